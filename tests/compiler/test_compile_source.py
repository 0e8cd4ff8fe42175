"""The source: what is in it, what is not, the same in each run; scratch, threads, long programs."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_edu as tg

F = tg.nn.functional

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = """
import numpy as np, tinygrad_edu as tg
rng = np.random.default_rng(0)
net = tg.nn.Sequential(tg.nn.Conv2d(1, 2, 3, rng=0), tg.nn.BatchNorm2d(2), tg.nn.ReLU(), tg.nn.Flatten(),
                       tg.nn.Dropout(0.5, rng=1), tg.nn.Linear(32, 3, rng=2))
optimizer = tg.optim.Adam(net.parameters(), lr=0.01)
@tg.compile
def step(x, t):
    loss = tg.nn.functional.cross_entropy(net(x), t)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss
step(rng.normal(size=(4, 1, 6, 6)), np.array([0, 1, 2, 0]))
print(step.source)
"""


def network(sizes: list[int], dtype: Any = np.float64) -> tuple[tg.nn.MLP, Any, Any]:
    net = tg.nn.MLP(sizes, "relu", rng=0, dtype=dtype)
    optimizer = tg.optim.SGD(net.parameters(), lr=0.01)

    def step(x: Any, t: Any) -> Any:
        loss = F.cross_entropy(net(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return net, optimizer, step


def test_two_interpreters_write_the_same() -> None:
    sources = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM], cwd=ROOT, env={"PYTHONHASHSEED": seed, "PATH": ""}, capture_output=True,
            text=True, check=True, timeout=120,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert sources[0] == sources[1]
    assert "back through" in sources[0]


def test_it_is_backpropagation_written_by_hand() -> None:
    """Each layer's lines in order, with their comments; the products of the equations, and nothing of the engine."""
    _, _, step = network([6, 5, 3])
    compiled = tg.compile(step)
    compiled(np.ones((4, 6)), np.array([0, 1, 2, 0]))
    source = compiled.source
    expected = [
        "def step(x, t, fc1_weight, fc1_bias, fc2_weight, fc2_bias",
        "# fc1: linear1 = x fc1_weight + 1 fc1_bias", "linear1 += fc1_bias", "# act1: relu1 = relu(linear1)",
        "# fc2: linear2 = relu1 fc2_weight + 1 fc2_bias", "linear2 += fc2_bias", "# back through fc2 (linear)",
        "d_linear2.dot(fc2_weight.T, out=d_relu1)", "relu1.T.dot(d_linear2, out=d_fc2_weight)",
        "ones_4.dot(d_linear2, out=d_fc2_bias)", "# back through act1 (relu)",
        "np.greater(relu1, zero, out=greater1)", "d_relu1 *= greater1", "# back through fc1 (linear)",
        "x.T.dot(d_relu1, out=d_fc1_weight)", "# fc1_weight: p <- p - lr g",
    ]  # fmt: skip
    at = 0
    for text in expected:
        at = source.index(text, at)
    assert max(len(line) for line in source.splitlines() if not line.startswith("def ")) <= 120


def test_nothing_is_computed_twice_or_for_nobody() -> None:
    net = tg.nn.MLP([4, 3, 2], "tanh", rng=0)

    def step(x: Any) -> Any:
        net(x)  # nobody looks at it
        a = (tg.exp(net(x)) * 1.0).sum() + tg.exp(net(x)).sum()
        return a.detach()

    compiled = tg.compile(step)
    x = np.random.default_rng(0).normal(size=(5, 4))
    np.testing.assert_array_equal(compiled(x).numpy(), step(x).numpy())
    assert compiled.source.count("np.exp") == 1
    assert compiled.source.count("np.tanh") == 1


def test_a_step_takes_less_memory_than_eagerly() -> None:
    """Scratch is written again and again: at its peak a step takes less than an eager one."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(64, 200)), rng.integers(0, 10, 64)
    peaks = []
    for compiled in (False, True):
        _, _, step = network([200, 300, 300, 10])
        function = tg.compile(step) if compiled else step
        for _ in range(3):
            function(x, t)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        function(x, t)
        function(x, t)
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
        tracemalloc.stop()
    assert peaks[1] < 0.05 * peaks[0]


def test_all_scratch_together_is_less_than_an_eager_step() -> None:
    """Also counted from nothing, with everything that the compiled function holds."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(256, 100)), rng.integers(0, 10, 256)
    _, _, step = network([100, 300, 300, 10])
    step(x, t)
    tracemalloc.start()
    step(x, t)
    eager = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    compiled = tg.compile(step)
    compiled(x, t)
    memory = compiled.last.pool[0]
    held = sum(a.nbytes for a in memory.slots) + sum(g.nbytes for g in memory.gradients)
    assert held < eager


def test_threads_do_not_share_scratch() -> None:
    net = tg.nn.MLP([30, 40, 50, 10], "tanh", rng=0)
    forward = tg.compile(lambda x: tg.softmax(net(x)).detach())
    inputs = [np.random.default_rng(i).normal(size=(200, 30)) for i in range(4)]
    expected = [tg.softmax(net(x)).numpy() for x in inputs]
    forward(inputs[0])
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(50):
            if not np.array_equal(forward(inputs[i]).numpy(), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong
    assert forward.functions == 1


def test_a_long_program() -> None:
    """10,000 operations: no recursion, and seconds to compile."""
    rng = np.random.default_rng(0)
    wiring = rng.integers(0, 3, 10_000).tolist()
    leaves = [tg.Tensor(v, requires_grad=True) for v in (0.5, 0.999, 0.001)]

    def step(a: Any, b: Any, c: Any) -> Any:
        y = a
        for kind in wiring:
            y = y * b if kind == 0 else y + c if kind == 1 else tg.tanh(y)
        for x in (a, b, c):
            x.grad = None
        y.backward()
        return y

    compiled = tg.compile(step)
    start = time.process_time()
    first = compiled(*leaves)
    seconds = time.process_time() - start
    ours = [x.grad for x in leaves]
    assert step(*leaves).item() == first.item() == compiled(*leaves).item()
    np.testing.assert_array_equal(ours, [x.grad for x in leaves])
    assert compiled.source.count("\n") > 10_000
    assert seconds < 120  # not a figure: quadratic work would take hours


def test_chains_on_large_arrays_run_in_blocks() -> None:
    """With an end that fills no block; the numbers are those of whole arrays."""
    x = tg.Tensor(np.random.default_rng(0).normal(size=(3, 100_001)), requires_grad=True)

    def step(x: Any, scale: Any) -> Any:
        x.grad = None
        y = tg.tanh(tg.sigmoid(x) * x + tg.exp(-x * x)) * scale
        loss = y.sum()
        loss.backward()
        return loss, y.detach()

    compiled = tg.compile(step)
    for scale in (np.float64(2.0), np.float64(-0.5)):
        loss, y = compiled(x, scale)
        gradient = x.grad.copy()
        expected, right = step(x, scale)
        np.testing.assert_array_equal(y.numpy(), right.numpy())
        np.testing.assert_array_equal(gradient, x.grad)
        assert loss.item() == expected.item()
    assert "in_blocks(block1" in compiled.source
    assert compiled.functions == 1


def test_constants_in_chains() -> None:
    """One number everywhere is written as a number; any other constant comes in blocks, as arrays do."""
    mask = tg.Tensor((np.arange(300_000) % 3).astype(float)) * 2  # computed outside of the step
    x = tg.Tensor(np.random.default_rng(0).normal(size=300_000), requires_grad=True)

    def step(x: Any) -> Any:
        x.grad = None
        y = tg.tanh(tg.sigmoid(x) * x * (tg.Tensor(np.arange(300_000.0)) % 7)) * mask * 3
        loss = (y * 5).mean()
        loss.backward()
        return loss, y.detach(), tg.grad((x * 3).sum() * 2, [x])[0]

    compiled = tg.compile(step)
    for _ in range(2):
        loss, y, constant = compiled(x)
        gradient = x.grad.copy()
        expected, right, same = step(x)
        assert loss.item() == expected.item()
        np.testing.assert_array_equal(y.numpy(), right.numpy())
        np.testing.assert_array_equal(gradient, x.grad)
        np.testing.assert_array_equal(constant, same)
        constant[:] = 0  # it is the caller's
    assert "in_blocks(block1" in compiled.source
    large = [c for c in compiled.last.namespace.values() if isinstance(c, np.ndarray) and c.strides and any(c.strides)]
    assert sum(c.size > 300 for c in large) == 1, "the numbers from 0 on; 30 / 300000 is one number"


def test_a_hessian_vector_product() -> None:
    """Two sweeps, the second through the first."""
    rng = np.random.default_rng(0)
    params = [rng.normal(size=s) for s in ((6, 5), (5,), (5, 3), (3,))]
    x, t = rng.normal(size=(8, 6)), rng.integers(0, 3, 8)

    def loss(w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
        return F.cross_entropy(F.linear(tg.tanh(F.linear(x, w1, b1)), w2, b2), t)

    def product(params: Any, direction: Any) -> Any:
        return tg.hvp(loss, params, direction)

    compiled = tg.compile(product)
    for i in range(3):
        direction = [np.random.default_rng(i).normal(size=p.shape) for p in params]
        value, products = compiled(params, direction)
        right, expected = product(params, direction)
        assert value.item() == right.item()
        for a, b in zip(products, expected):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-11)
    assert compiled.functions == 1


def test_nothing_of_the_trace_is_kept() -> None:
    """What stays is scratch, gradients and the text: not the values that were recorded, and not the arguments."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(2000, 50)), rng.integers(0, 10, 2000)
    _, _, step = network([50, 100, 10])
    compiled = tg.compile(step)
    tracemalloc.start()
    compiled(x, t)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    memory = compiled.last.pool[0]
    planned = sum(a.nbytes for a in memory.slots) + sum(g.nbytes for g in memory.gradients)
    assert held < planned + 300_000
    arguments = sys.getrefcount(x), sys.getrefcount(t)
    compiled(x[:500], t[:500])
    gc.collect()
    assert (sys.getrefcount(x), sys.getrefcount(t)) == arguments


def test_an_argument_with_a_gradient_does_not_keep_the_trace() -> None:
    x = tg.Tensor(np.random.default_rng(0).normal(size=200_000), requires_grad=True)

    def step(x: Any) -> Any:
        x.grad = None
        loss = tg.tanh(tg.sigmoid(x) * x + tg.exp(-x * x)).sum()
        loss.backward()
        return loss

    compiled = tg.compile(step)
    tracemalloc.start()
    compiled(x)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    memory = compiled.last.pool[0]
    gradients = 2 * sum(g.nbytes for g in memory.gradients)  # and those that the first check has used
    assert held < sum(a.nbytes for a in memory.slots) + gradients + 300_000
