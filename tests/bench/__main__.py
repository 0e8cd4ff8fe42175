"""`python -m tests.bench`: the figures of the engine, from one run.

The step of 784-64-10 against the same step by hand; a multiply with its gradient; long chains; the digits.
"""

from __future__ import annotations

import gc
from time import perf_counter

import numpy as np

import tinygrad_edu as tg
from tests.bench.by_hand import ClassifierSGD
from tests.bench.timing import interleaved, machine, quartiles
from tinygrad_edu.nn.functional import cross_entropy


def classifier_step() -> str:
    """784-64-10, batch 16, float32, SGD: eager against by hand, after checking that both compute the same losses."""
    rng = np.random.default_rng(0)
    X = rng.random((16, 784), dtype=np.float32)
    labels = rng.integers(0, 10, 16)
    net = tg.nn.MLP([784, 64, 10], rng=rng, dtype=np.float32)
    hand = ClassifierSGD(*(p.data.copy() for p in net.parameters()), lr=0.005)
    optimizer = tg.optim.SGD(net.parameters(), lr=0.005)

    def by_hand() -> float:
        return hand.step(X, labels)

    def eager() -> float:
        loss = cross_entropy(net(X), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    losses = [(by_hand(), eager()) for _ in range(20)]
    np.testing.assert_allclose(*zip(*losses), rtol=1e-4)  # float32, 20 steps
    a, b = interleaved(60, 200, by_hand, eager)
    low, middle, high = quartiles([y / x for x, y in zip(a, b)])
    spread = f"quartiles {low:.2f}, {high:.2f}"
    return f"784-64-10 step, batch 16: {middle:.2f} x by hand ({spread}); {np.median(a) * 1e6:.0f} us by hand"


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


if __name__ == "__main__":
    print(machine())
    for benchmark in (classifier_step, multiply, chains, digits):
        print(benchmark(), flush=True)
