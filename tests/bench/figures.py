"""`python -m tests.bench --only figures`: single figures of the engine, without peers."""

from __future__ import annotations

import gc
import tracemalloc
from time import perf_counter

import numpy as np

import tinygrad_edu as tg
from tests.bench.timing import interleaved, quartiles
from tinygrad_edu.nn.functional import cross_entropy
from tinygrad_edu.op import NUMPY, OPS


def multiply() -> str:
    """A multiply of ten numbers and its gradient."""
    rng = np.random.default_rng(0)
    a, b = (tg.Tensor(rng.normal(size=10), requires_grad=True) for _ in range(2))
    g = rng.normal(size=10)

    def step() -> None:
        (a * b).backward(g)
        a.grad = b.grad = None

    (seconds,) = interleaved(50, 2000, step)
    median, best = np.median(seconds) * 1e6, min(seconds) * 1e6
    return f"multiply of ten numbers with its gradient: {median:.2f} us, best {best:.2f} us"


def chains() -> str:
    """Microseconds for each operation of a scalar chain, forward and backward: the same for short and long ones."""

    def chain(n: int) -> float:
        start = perf_counter()
        a = tg.Tensor(1.0000001, requires_grad=True)
        y = a
        for _ in range(n // 2):
            y = y * a
            y = y + a
        y.backward()
        return (perf_counter() - start) / n

    figures = []
    for n in (1_000, 10_000, 100_000, 1_000_000):
        gc.collect()
        figures.append(f"{n:,}: {min(chain(n) for _ in range(3)) * 1e6:.2f} us")
    return "scalar chains, each operation forward and backward: " + ", ".join(figures)


def digits() -> str:
    """Test accuracy and seconds of training of the main job, for three seeds."""
    split = tg.data.digits(dtype=np.float32)
    figures = []
    for seed in (1, 2, 3):
        rng = np.random.default_rng(seed)
        net = tg.nn.MLP([64, 64, 32, 10], weight_init="he_normal", bias_init="zeros", rng=rng, dtype=np.float32)
        optimizer = tg.optim.Adam(net.parameters(), lr=2e-3)
        start = perf_counter()
        for _ in range(30):
            for x, t in tg.data.batches(split.x_train, split.t_train, 32, rng):
                optimizer.zero_grad()
                cross_entropy(net(x), t).backward()
                optimizer.step()
        seconds = perf_counter() - start
        with tg.no_grad():
            right = np.mean(net(split.x_test).argmax(axis=1).numpy() == split.t_test)
        figures.append(f"{right:.1%} in {seconds:.1f} s")
    return "digits 64-64-32-10, float32, 30 epochs, three seeds: " + ", ".join(figures)


def convolution() -> str:
    """8 filters of 3x3 over 32x1x28x28 in float32, forward and backward, against PyTorch; and the peak of memory."""
    try:
        import torch
    except ImportError:
        return "conv2d 32x1x28x28, 8 filters of 3x3: PyTorch is not installed"
    rng = np.random.default_rng(0)
    x, w, b = (rng.normal(size=s).astype(np.float32) for s in ((32, 1, 28, 28), (8, 1, 3, 3), (8,)))
    g = rng.normal(size=(32, 8, 26, 26)).astype(np.float32)
    ours = [tg.Tensor(a, requires_grad=True) for a in (x, w, b)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
    their_g = torch.tensor(g)

    def step() -> None:
        tg.nn.functional.conv2d(*ours).backward(g)
        for t in ours:
            t.grad = None

    def torch_step() -> None:
        torch.nn.functional.conv2d(*theirs).backward(their_g)
        for t in theirs:
            t.grad = None

    ratios = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        a, c = interleaved(40, 10, step, torch_step)
        _, middle, _ = quartiles([p / q for p, q in zip(a, c)])
        ratios.append(f"{middle:.2f} x PyTorch with {threads} thread{'s' * (threads > 1)}")
    tracemalloc.start()
    step()
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return f"conv2d 32x1x28x28, 8 filters of 3x3: {', '.join(ratios)}; peak of new memory {peak:.1f} MiB"


def table() -> str:
    """How many operations there are, with how many samples, and how many NumPy functions come to them."""
    samples = sum(len(op.samples) for op in OPS.values())
    return f"{len(OPS)} operations with {samples} samples; {len(NUMPY)} NumPy functions work on tensors"


FIGURES = (table, multiply, chains, digits, convolution)
