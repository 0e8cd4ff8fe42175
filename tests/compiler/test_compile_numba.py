"""tg.compile(step, backend="numba"): the loops compute what the eager step computes, to rounding."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.compiler.extras import needs_numba
from tinygrad_edu.compiler import looping, vectorised
from tinygrad_edu.errors import CompileError

FLOATS = [np.float32, np.float64]


def close(found: Any, expected: Any) -> None:
    """Equal to some roundings of the dtype, with NaN and infinities in the same places."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    eps = 64 * float(np.finfo(expected.dtype).eps)
    finite = np.abs(expected[np.isfinite(expected)])
    np.testing.assert_allclose(found, expected, rtol=eps, atol=eps * float(finite.max(initial=1.0)))


def leaves(arrays: list[np.ndarray]) -> list[tg.Tensor]:
    """Tensors with the memory of these arrays, so with their strides."""
    tensors = [tg.Tensor(x, requires_grad=True) for x in arrays]
    for tensor, x in zip(tensors, arrays):
        tensor.data = x
    return tensors


def agrees(
    function: Callable[..., Any], *arrays: np.ndarray, layout: Callable[..., Any] = lambda x: x, loops: bool = True
) -> str:
    """Value and gradients of a sum, eager and compiled, on these and on other numbers; the source."""

    def step(*given: Any) -> Any:
        for x in given:
            x.grad = None
        value = function(*given)
        value.backward()
        return value

    compiled = tg.compile(step, backend="numba")
    for change in (1, 0.5):
        eager, ours = (leaves([layout(x * x.dtype.type(change)) for x in arrays]) for _ in range(2))
        with np.errstate(all="ignore"):
            expected = step(*eager)
            found = compiled(*ours)  # whose first call runs eagerly, too
        assert type(found._data) is type(expected._data)
        close(found.numpy(), expected.numpy())
        for x, y in zip(ours, eager):
            assert (x.grad is None) == (y.grad is None)
            if y.grad is not None:
                close(x.grad, y.grad)
    assert compiled.functions == 1
    assert ("@jit" in compiled.source) == loops
    return compiled.source


def chain(x: Any) -> Any:
    return tg.tanh(tg.sigmoid(x) * x + tg.exp(-x * x)).sum()


# ------------------------------------------------------------------------- exp and tanh, also without numba


@pytest.mark.parametrize("dtype", FLOATS)
def test_exp_and_tanh_are_right_to_some_units_in_the_last_place(dtype: Any) -> None:
    """Run as Python, on numbers of all sizes; the witness computes in higher precision."""
    exp, tanh = vectorised.exponentials(np.dtype(dtype), compiled=lambda f: f)
    rng = np.random.default_rng(0)
    largest = float(np.log(np.finfo(dtype).max))
    x = np.concatenate([rng.normal(size=300), rng.uniform(-largest, largest, 300), 10 ** rng.uniform(-20, 0, 300)])
    x = np.concatenate([x, -x[600:], [0.0, largest * 0.9999, -largest]]).astype(dtype)
    wide = x.astype(np.longdouble)
    for function, exact, units in ((exp, np.exp(wide), 1.5), (tanh, np.tanh(wide), 3)):
        found = np.array([function(v) for v in x])
        assert found.dtype == dtype
        spacing = np.spacing(np.abs(exact).astype(dtype)).astype(np.longdouble)
        assert float((np.abs(found - exact) / spacing).max()) < units


@pytest.mark.parametrize("dtype", FLOATS)
def test_exp_and_tanh_of_what_is_no_number_or_too_large(dtype: Any) -> None:
    exp, tanh = vectorised.exponentials(np.dtype(dtype), compiled=lambda f: f)
    x = np.array([np.nan, np.inf, -np.inf, 1e4, -1e4], dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal([exp(v) for v in x], [np.nan, np.inf, 0, np.inf, 0])
        np.testing.assert_array_equal([tanh(v) for v in x], [np.nan, 1, -1, 1, -1])
        tiny = dtype(-100 if dtype is np.float32 else -740)  # its exponential has less than all bits
        assert exp(tiny) == np.exp(tiny) > 0


def test_the_larger_and_the_smaller_keep_what_is_no_number() -> None:
    for a, b in [(1.0, np.nan), (np.nan, 1.0), (2.0, 1.0), (-np.inf, 1.0)]:
        np.testing.assert_equal(vectorised.maximum(a, b), np.maximum(a, b))
        np.testing.assert_equal(vectorised.minimum(a, b), np.minimum(a, b))


# ---------------------------------------------------------------------------------------------- chains


@needs_numba
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [0, 1, 7, 100_003])
def test_chains_of_any_length(size: int, dtype: Any) -> None:
    agrees(chain, np.random.default_rng(size).normal(size=size).astype(dtype))


@needs_numba
@pytest.mark.parametrize("dtype", FLOATS)
def test_what_is_no_number_and_what_is_huge(dtype: Any) -> None:
    agrees(chain, np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e4, -1e4, 1e-40, 88.6, -103, 3], dtype))


@needs_numba
def test_a_large_sum_is_no_less_exact_than_that_of_numpy() -> None:
    x = tg.Tensor(np.random.default_rng(0).random(1_000_003, np.float32))
    step = tg.compile(lambda x: tg.sqrt(x * x + 1).sum(), backend="numba")
    exact = np.sqrt(x.numpy().astype(np.float64) ** 2 + 1).sum()
    with tg.no_grad():
        assert abs(step(x).item() / exact - 1) < 3e-7


LAYOUTS = {
    "every third": lambda x: x.reshape(-1)[::3],
    "backwards": lambda x: x.reshape(-1)[::-1],
    "turned": lambda x: x.reshape(20, 36).T,
    "large": lambda x: np.resize(x, (200, 100)),
    "large and narrow": lambda x: np.resize(x, (20_000, 3)),
    "five axes": lambda x: x.reshape(1, 4, 1, 6, 30),
}


@needs_numba
@pytest.mark.parametrize("layout", LAYOUTS)
def test_numbers_in_any_order_of_memory(layout: str) -> None:
    agrees(chain, np.random.default_rng(1).normal(size=720), layout=LAYOUTS[layout])


@needs_numba
def test_a_large_array_beside_a_row() -> None:
    rng = np.random.default_rng(1)
    agrees(lambda x, row: (tg.tanh(x * row) + x - row).sum(), rng.normal(size=(200, 100)), rng.normal(size=100))


@needs_numba
def test_what_would_be_slow_as_a_loop_stays_numpy() -> None:
    x = np.random.default_rng(1).normal(size=(200, 300))
    source = agrees(lambda x: (x * x * x + x).sum(), x, layout=np.transpose, loops=False)
    assert "np.multiply" in source


# ------------------------------------------------------------------- small arrays: shapes, dtypes, products


def turned(x: Any) -> Any:
    y = tg.exp(x)
    return (y.T * x + y).sum() * y[0, 1]


SMALL: dict[str, Callable[..., Any]] = {
    "broadcast": lambda a, b, w: (tg.tanh(a * b[0] + b[:, :1]) * a).sum(),
    "rows and columns": lambda a, b, w: (a.sum(axis=0) * b.max(axis=1, keepdims=True) - a.min(axis=0)).sum(),
    "sums of all": lambda a, b, w: ((a - a.max()) * b.sum(keepdims=True) / a.mean()).sum(),
    "products": lambda a, b, w: (tg.tanh(a @ w) @ w.T * b.T.T).mean(),
    "square and turned": lambda a, b, w: turned(w.T @ b.T[:, :2]),
    "losses": lambda a, b, w: tg.nn.functional.binary_cross_entropy_with_logits(a, tg.sigmoid(b).detach()),
    "branches": lambda a, b, w: (tg.where(a > b, a * b, b) + tg.maximum(a, b) * tg.minimum(a, 0.5) + tg.relu(b)).sum(),
    "functions": lambda a, b, w: (
        tg.log(a * a + 1) + tg.sqrt(b * b + 1) + tg.abs(a) + 1 / (1 + b**2) + tg.softplus(a)
    ).sum(),
    "of a number": lambda a, b, w: (tg.exp(a[0, 0]) * tg.tanh(b[0, 0]) + a[0, 0] / 3 - b[1, 1] ** 2) * (a + b).sum(),
    "softmax": lambda a, b, w: (tg.softmax(a, axis=1) * tg.log_softmax(b, axis=0)).sum(),
}


@needs_numba
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", SMALL)
def test_small_arrays(name: str, dtype: Any) -> None:
    rng = np.random.default_rng(2)
    agrees(SMALL[name], *[rng.normal(size=s).astype(dtype) for s in ((4, 5), (4, 5), (5, 2))])


@needs_numba
def test_dtypes_are_converted_as_by_numpy() -> None:
    """float32 beside float64 is float64, computed from what float32 had; bools and whole numbers are numbers."""
    counts = np.arange(20).reshape(4, 5)

    def step(x: Any, y: Any) -> Any:
        x.grad = y.grad = None
        loss = (tg.exp(x) * y + x * counts + y * (counts > 2)).sum()
        loss.backward()
        return loss, tg.exp(x).detach()

    rng = np.random.default_rng(3)
    data = [rng.normal(size=(4, 5)).astype(np.float32), rng.normal(size=(4, 5))]
    eager, ours = leaves(data), leaves(data)
    expected, found = step(*eager), tg.compile(step, backend="numba")(*ours)
    for x, y in [*zip(found, expected), *((x.grad, y.grad) for x, y in zip(ours, eager))]:
        x, y = np.asarray(getattr(x, "_data", x)), np.asarray(getattr(y, "_data", y))
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-6)


OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "sgd": lambda p: tg.optim.SGD(p, lr=0.1, weight_decay=0.01),
    "momentum": lambda p: tg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: tg.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "adamw": lambda p: tg.optim.AdamW(p, lr=0.01, weight_decay=0.1),
}


@needs_numba
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training(name: str, dtype: Any) -> None:
    """A network's parameters after five steps, the learning rate changed in between; its loops hold the update."""
    rng = np.random.default_rng(4)
    X, t = rng.normal(size=(6, 5)).astype(dtype), rng.normal(size=(6, 2)).astype(dtype)

    def trained(wrap: Callable[..., Any]) -> tuple[Any, list[np.ndarray], Any]:
        net = tg.nn.MLP([5, 4, 2], rng=0, dtype=dtype)
        optimizer = OPTIMIZERS[name](net.parameters())

        def step(X: Any, t: Any) -> Any:
            loss = tg.nn.functional.mse_loss(net(X), t)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(step)
        for k in range(5):
            optimizer.lr *= 0.9
            loss = step(X * (1 + k), t)
        return loss.numpy(), [p.data for p in net.parameters()], step

    loss, parameters, _ = trained(lambda step: step)
    loss_found, found, compiled = trained(lambda step: tg.compile(step, backend="numba"))
    for x, y in zip([loss_found, *found], [loss, *parameters]):
        assert x.dtype == y.dtype == dtype
        single = dtype is np.float32
        np.testing.assert_allclose(x, y, rtol=1e-4 if single else 1e-11, atol=1e-5 if single else 1e-12)
    assert "p <- p - lr" in compiled.source.split("def step")[0]


@needs_numba
def test_what_is_read_behind_an_update_is_new() -> None:
    """Loops over one shape join each other, but nothing passes a write."""

    def results(wrap: Callable[..., Any]) -> tuple[Any, Any]:
        w = tg.nn.Parameter(np.array([1.0, 2.0, 3.0]))
        optimizer = tg.optim.SGD([w], lr=0.1)

        def step(x: Any) -> Any:
            before = tg.exp(w * x)
            optimizer.zero_grad()
            before.sum().backward()
            optimizer.step()
            with tg.no_grad():
                return before.detach(), tg.exp(w * x)

        step = wrap(step)
        step(np.array([0.3, 0.2, 0.1]))
        return step(np.array([0.1, 0.2, 0.3]))

    found = results(lambda step: tg.compile(step, backend="numba"))
    for x, y in zip(found, results(lambda step: step)):
        close(x.numpy(), y.numpy())
    assert abs(found[0].numpy() - found[1].numpy()).min() > 1e-3


@needs_numba
def test_equal_loops_are_one_function() -> None:
    """Ten steps of a recurrence on matrices that BLAS multiplies are the same loops on other arrays."""
    rng = np.random.default_rng(5)
    W, x = rng.normal(0, 0.1, (40, 40)), rng.normal(size=(20, 40))

    def loss(W: Any, h: Any) -> Any:
        for _ in range(10):
            h = tg.tanh(h @ W) * 0.5 + tg.sigmoid(h) * h
        return h.sum()

    source = agrees(loss, W, x)
    assert source.count("@jit") < 10 < source.count("= loops") + source.count("    loops")


def _random_programs() -> Any:
    path = Path(__file__).with_name("test_compile_random.py")
    spec = importlib.util.spec_from_file_location("random_programs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.program


@needs_numba
@pytest.mark.parametrize("seed", range(200, 206))
def test_random_programs(seed: int) -> None:
    step = _random_programs()(seed)
    compiled = tg.compile(step, backend="numba")
    for k in range(2):
        draws = [np.random.default_rng([seed, k, i]).normal(size=(4, 3)) for i in range(3)]
        eager, ours = leaves(draws), leaves([x.copy() for x in draws])
        with np.errstate(all="ignore"):
            expected = step(*eager)
            found = compiled(*ours)
        for a, b in zip(found, expected):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-9)
        for x, y in zip(ours, eager):
            assert (x.grad is None) == (y.grad is None)
            if y.grad is not None:
                np.testing.assert_allclose(x.grad, y.grad, rtol=1e-9, atol=1e-9)


# ------------------------------------------------------------------------------------ source and errors

SCRIPT = """
import numpy as np, tinygrad_edu as tg
net = tg.nn.MLP([2, 3, 1], rng=0)
optimizer = tg.optim.Adam(net.parameters(), lr=0.1)
def step(X, t):
    loss = tg.nn.functional.mse_loss(net(X), t)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss
step = tg.compile(step, backend="numba")
step(*tg.data.xor())
print(step.source)
"""


@needs_numba
def test_two_interpreters_write_the_same_source() -> None:
    root = Path(tg.__file__).resolve().parents[1]
    runs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=root,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert "def loops1(X, fc1_weight, " in runs[0]
    assert "# act1: relu1 = relu(linear1)" in runs[0]


def test_without_numba_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    vectorised.numba.cache_clear()
    with pytest.raises(ImportError, match=r'needs numba: pip install "tinygrad_edu\[numba\]"'):
        tg.compile(chain, backend="numba")


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match=r"backend 'cuda' is unknown: 'numpy' or 'numba' is expected"):
        tg.compile(chain, backend="cuda")


@needs_numba
def test_what_cannot_be_compiled_is_refused_with_its_line() -> None:
    @tg.compile(backend="numba")
    def step(x: Any) -> Any:
        with tg.no_grad():
            return tg.exp(x) * 2 if x.sum().item() > 0 else x

    with pytest.raises(CompileError, match=r"test_compile_numba\.py"):
        step(tg.Tensor(np.ones(3)))


@needs_numba
def test_long_programs_do_not_become_ever_more_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba takes 0.02 s a line: only so many become loops; the same ones again cost nothing, the rest is NumPy's."""
    monkeypatch.setattr(looping, "LONGEST", 6)
    monkeypatch.setattr(looping, "MOST", 15)
    x = np.linspace(-1, 1, 10)

    def chain(x: Any, kinds: str) -> Any:
        for kind in kinds:
            x = {"*": lambda x: x * x, "+": lambda x: x + x, "-": lambda x: x - 0.3, "t": tg.tanh}[kind](x)
        return x

    def functions(kinds: str, of: Any = x) -> tuple[int, int]:
        """How many functions there are, and how many calls of them."""
        compiled = tg.compile(lambda x: chain(tg.Tensor(x), kinds), backend="numba")
        for _ in range(2):
            close(compiled(of).data, chain(of, kinds))
        return compiled.source.count("def loops"), compiled.source.count("loops") - compiled.source.count("def loops")

    assert functions("*+-t*+" + "t-+*+-" + "++--**" * 3) == (2, 2), "12 lines, and 6 more would be too many"
    assert functions("*+-t*+" * 5) == (1, 5)
    assert functions("*+-t*+", x[3]) == (0, 0), "single numbers gain nothing"
