"""Elementwise functions, activations and losses where their samples do not reach: corners, errors, any shape.

The rules themselves are compared with PyTorch on the samples by `test_ops_oracle.py`.
"""

from __future__ import annotations

import math
import os
import pickle
import re
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_edu as tg
from tests.ops.torch_elementwise import NUMPY_CALLS, TORCH
from tinygrad_edu import nn
from tinygrad_edu.nn import functional
from tinygrad_edu.op import OPS
from tinygrad_edu.ops import activations, comparisons, distances, elementwise, losses, rounding, special, trigonometric

try:
    import torch
except ImportError:  # a skip nobody reads would be a hole in the gate: there the oracle has to be
    if os.environ.get("CI"):
        raise
    pytest.skip("PyTorch is the oracle here: pip install tinygrad_edu[oracle]", allow_module_level=True)

F = torch.nn.functional
inf, nan = math.inf, math.nan

# The same few operations in another order: some 1e-16 times the condition of the steepest point, 1e2.
CLOSE = {"rtol": 1e-12, "atol": 1e-14}


def examples(n: int) -> settings:
    """The same random examples at each run."""
    return settings(
        max_examples=n, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


def unary() -> list[str]:
    """The functions of one array that have a gradient and need no settings."""
    families: list[types.ModuleType] = [activations, elementwise, rounding, special, trigonometric]
    names = {op.name for op in OPS.values() if op.arity == 1 and op.differentiable and not op.required}
    names &= {name for family in families for name in family.__all__}
    return sorted(names - {"softmax", "log_softmax"})  # not of each element by itself


UNARY = unary()
# Where a point of 0.1..0.9 lies outside of the domain.
SHIFT = {"arccosh": 1.0}


def derivatives(f: Callable[..., Any], x: float, order: int) -> list[float]:
    """f(x), f'(x), ... up to the order, each by a sweep through the one before."""
    t = tg.Tensor(x, requires_grad=True)
    found = [f(t)]
    for _ in range(order):
        found += tg.grad(found[-1], t, create_graph=True)
    return [float(y.item()) for y in found]


# ------------------------------------------------------------------------------- corners, as in PyTorch

POINTS: dict[str, list[Any]] = {
    "exp2": [[-2000.0, 0.0, -inf, nan]],
    "expm1": [[0.0, 1e-20, -1e-20, 20.0, nan]],
    "log1p": [[-1.0, 0.0, 1e-300, inf, nan]],
    "log2": [[0.0, 1.0, inf, nan]],
    "log10": [[0.0, 1.0, inf, nan]],
    "rsqrt": [[0.0, 4.0, inf, nan]],
    "reciprocal": [[0.0, -0.0, inf, -inf, nan]],
    "square": [[0.0, -inf, nan]],
    "arcsin": [[1.0, -1.0, 0.0, nan]],
    "arccos": [[1.0, -1.0, 0.0, nan]],
    "arctan": [[inf, -inf, 1e200, 0.0, nan]],
    "arctan2": [[0.0, 0.0, 1.0, 0.0, -0.0, 1.0, nan], [0.0, -1.0, 0.0, 1.0, -2.0, inf, 1.0]],
    "arcsinh": [[0.0, -1e100, nan]],
    "arccosh": [[1.0, nan]],
    "arctanh": [[1.0, -1.0, 0.0, nan]],
    "hypot": [[3.0, 0.0, -2.0, 3.0], [4.0, 2.0, 0.0, nan]],
    "logaddexp": [[-inf, inf, 1e4, -1e4, 0.0, 800.0], [1.0, 1.0, 0.0, -1e4, 0.0, -800.0]],
    "logaddexp2": [[-inf, inf, 1e4, -1e4, 0.0, 800.0], [1.0, 1.0, 0.0, -1e4, 0.0, -800.0]],
    "lerp": [[1.0, 1.0, 1e16], [3.0, 3.0, 1.0], [0.0, 1.0, 1.0]],
    "floor": [[0.5, -0.5, 2.0, inf, nan]],
    "ceil": [[0.5, -0.5, 2.0, inf, nan]],
    "trunc": [[0.5, -0.5, 2.0, inf, nan]],
    "rint": [[0.5, 1.5, -2.5, inf, nan]],
    "round": [[0.5, 1.5, -2.5, inf, nan]],
    "sign": [[0.0, -0.0, inf, -inf]],
    "copysign": [[0.0, -2.0, 3.0, -0.0, 5.0], [-1.0, 1.0, -0.0, 3.0, nan]],
    "fmod": [[5.5, -5.5, 5.5, -5.5, 5.0], [2.0, 2.0, -2.0, -2.0, inf]],
    "remainder": [[5.5, -5.5, 5.5, -5.5, 5.0, -5.0], [2.0, 2.0, -2.0, -2.0, inf, inf]],
    "floor_divide": [[5.5, -5.5, 5.5, 6.0], [2.0, 2.0, -2.0, 3.0]],
    "fmax": [[1.0, nan, nan, 2.0, 3.0], [1.0, 2.0, nan, nan, 1.0]],
    "fmin": [[1.0, nan, nan, 2.0, 3.0], [1.0, 2.0, nan, nan, 1.0]],
    "xlogy": [[0.0, 2.0, 0.0, 0.0], [2.0, 3.0, nan, 1e-300]],
    "erf": [[0.0, -0.0, inf, -inf, 1e200, 1e-300, 5.9, 6.1, nan]],
    "elu": [[0.0, -inf, inf, -50.0, -1e-20]],
    "selu": [[0.0, -inf, inf, -50.0, -1e-20]],
    "gelu": [[0.0, -40.0, 40.0, 1e200, -1e200, 1e-300, nan]],
    "silu": [[0.0, -800.0, 800.0, 1e300, 1e-300, nan]],
    "mish": [[0.0, -800.0, 800.0, 1e300, 1e-300, nan]],
    "softsign": [[0.0, 1e150, -1e300, nan]],
    "hardtanh": [[0.0, -1.0, 1.0, inf, -inf, nan]],
    "log_sigmoid": [[0.0, -1000.0, 1000.0, -inf, inf, nan]],
    "softplus": [[0.0, -1000.0, 1000.0, -inf, inf, nan]],
}


def compare(ours: Any, theirs: Any, *arrays: Any, **tolerance: float) -> None:
    """Value and gradients under a random cotangent; a gradient that torch leaves out is 0."""
    arrays = tuple(np.array(a, dtype=float) for a in arrays)
    xs = [tg.Tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    with np.errstate(divide="ignore"):  # log(0) warns, as in NumPy
        y = ours(*xs)
    z = theirs(*ts)
    np.testing.assert_allclose(y.data, z.numpy(force=True), **(tolerance or CLOSE), err_msg="value")
    g = np.random.default_rng(0).normal(size=y.shape)
    found = tg.grad(y, xs, g)
    expected = torch.autograd.grad(z, ts, torch.tensor(g), allow_unused=True)
    for x, a, b in zip(arrays, found, expected):
        right = np.zeros(x.shape) if b is None else b.numpy(force=True)
        np.testing.assert_allclose(a.data, right, **(tolerance or CLOSE), err_msg="gradient")


@pytest.mark.parametrize("name", POINTS)
def test_corners_are_those_of_torch(name: str) -> None:
    compare(OPS[name], lambda *ts: TORCH[name](torch, *ts), *POINTS[name])


LOSSES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("l1_loss", [[1.0, 2.0, 2.0], [1.0, 3.0, 1.0]], {}),
    ("huber_loss", [[0.0, 1.0, -1.0, 5.0], [0.0] * 4], {}),
    ("huber_loss", [[0.0, 0.5, -0.5, 5.0], [0.0] * 4], {"delta": 0.5}),
    ("smooth_l1_loss", [[0.0, 1.0, -1.0, 5.0], [0.0] * 4], {}),
    ("smooth_l1_loss", [[0.0, 0.5, -0.5, 5.0], [0.0] * 4], {"beta": 0.5}),
    ("smooth_l1_loss", [[0.0, 0.5, -0.5, 5.0], [0.0] * 4], {"beta": 0}),
    ("kl_div", [[-1.0, -2.0, -inf], [0.5, 0.1, 0.4]], {}),
]


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize(("name", "points", "settings"), LOSSES)
@pytest.mark.filterwarnings("ignore:reduction:UserWarning")  # torch about its own kl_div
def test_corners_of_losses(name: str, points: list[Any], settings: dict[str, Any], reduction: str) -> None:
    ours, theirs = getattr(functional, name), getattr(F, name)
    compare(
        lambda y, t: ours(y, t, reduction=reduction, **settings),
        lambda y, t: theirs(y, t, reduction=reduction, **settings),
        *points,
    )


def gradient(f: Callable[..., Any], *points: Any, g: Any = None) -> list[Any]:
    """The gradients at these points, for the cotangent g or ones."""
    xs = [tg.Tensor(np.array(p, dtype=float), requires_grad=True) for p in points]
    with np.errstate(divide="ignore"):
        y = f(*xs)
    return [d.data.tolist() for d in tg.grad(y, xs, np.ones(y.shape) if g is None else np.array(g))]


def test_corners_that_torch_leaves_undefined() -> None:
    """Where PyTorch answers NaN, and an answer exists: the norm at 0, nothing but -inf, 0 log 0."""
    assert gradient(tg.hypot, 0.0, 0.0) == [0, 0]
    assert gradient(tg.logaddexp, -inf, -inf) == [0, 0]
    assert gradient(tg.logaddexp2, [inf], [inf]) == [[0], [0]]
    assert gradient(lambda q, t: functional.kl_div(q, t, "sum"), [-inf, -1.0], [0.0, 1.0])[0] == [0, -1]
    assert functional.kl_div(np.array([-inf]), np.array([0.0])) == 0
    assert functional.kl_div(np.array([-inf]), np.array([-inf]), log_target=True) == 0
    assert gradient(lambda x: tg.gelu(x, approximate="tanh"), [1e200, -1e200]) == [[1, 0]]
    assert derivatives(lambda x: tg.gelu(x, approximate="tanh"), 1e200, 2) == [1e200, 1, 0]
    assert tg.xlogy(np.array([0.0, 0.0]), np.array([0.0, -1.0])).tolist() == [0, 0]
    assert gradient(lambda x: tg.xlogy(x, np.array([0.0, -1.0])), [0.0, 0.0]) == [[0, 0]]
    assert gradient(tg.heaviside, [-1.0, 0.0, 2.0], [5.0, 6.0, 7.0]) == [[0, 0, 0], [0, 1, 0]]
    assert gradient(tg.cbrt, [0.0, -8.0]) == [[inf, 1 / 12]]
    assert gradient(tg.arcsinh, 1e200) == [1e-200]  # in PyTorch the square overflows, which leaves 0
    assert gradient(tg.fmod, 1.0, 0.1)[1] == -9  # the quotient 1 / 0.1 is rounded up to 10


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "rint", "round", "sign"])
def test_a_step_has_gradient_0_also_of_infinity(name: str) -> None:
    assert gradient(OPS[name], [0.3, -1.7, nan], g=[inf, nan, -inf]) == [[0, 0, 0]]


def test_nan_to_num() -> None:
    x = [nan, inf, -inf, 1.5]
    compare(tg.nan_to_num, torch.nan_to_num, x)
    compare(
        lambda t: tg.nan_to_num(t, nan=1.0, posinf=2.0, neginf=3.0), lambda t: torch.nan_to_num(t, 1.0, 2.0, 3.0), x
    )
    assert gradient(tg.nan_to_num, x, g=[inf, inf, inf, 2.0]) == [[0, 0, 0, 2]]


# ------------------------------------------------------------------------------------- erf and sinc


def test_erf_is_exact() -> None:
    """Against the C library: a unit of the last digit, and 5e-16 of erf itself."""
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            np.linspace(-6.5, 6.5, 60_001),
            rng.normal(size=30_000),
            np.arange(1 / 512, 6, 1 / 256),  # half way between the points of the series
            np.arange(1 / 512, 6, 1 / 256) * (1 - 1e-15),
            10 ** rng.uniform(-307, 1, 10_000),
        ]
    )
    exact = np.array([math.erf(v) for v in x])
    got = tg.erf(x)
    assert np.abs(got - exact).max() < 2.3e-16  # a unit of the last digit of 1
    np.testing.assert_allclose(got, exact, rtol=5e-16, atol=0)


def test_erf_of_every_kind_of_array() -> None:
    x = np.random.default_rng(0).normal(size=(3, 20, 500))  # 30,000: several blocks
    right = np.vectorize(math.erf)(x)
    np.testing.assert_allclose(tg.erf(x), right, rtol=5e-16)
    np.testing.assert_allclose(tg.erf(x[:, ::-3, ::7]), right[:, ::-3, ::7], rtol=5e-16)
    np.testing.assert_allclose(tg.erf(x.T), right.T, rtol=5e-16)
    np.testing.assert_allclose(tg.erf(x[0, 0, :9].reshape(3, 3)), right[0, 0, :9].reshape(3, 3), rtol=5e-16)
    assert tg.erf(np.empty((0, 3))).shape == (0, 3)
    for times in (1, 100):
        ends = tg.erf(np.tile([nan, inf, -inf, -0.0], times))
        np.testing.assert_array_equal(ends[-4:], [nan, 1, -1, 0])
        assert np.signbit(ends[-1])
    assert tg.erf(0.5) == tg.erf(np.float64(0.5)) == pytest.approx(math.erf(0.5), rel=5e-16)
    assert tg.erf(np.array([2, -1])).tolist() == pytest.approx([math.erf(2), -math.erf(1)], rel=5e-16)
    for dtype in (np.float16, np.float32):
        got = tg.erf(x.astype(dtype))
        assert got.dtype == dtype
        np.testing.assert_allclose(got, np.vectorize(math.erf)(x.astype(dtype)).astype(dtype), rtol=np.finfo(dtype).eps)
    assert math.copysign(1, tg.erf(-0.0)) == -1


def test_erf_derivatives_are_hermite_polynomials() -> None:
    for x in (0.0, 1e-9, -0.7, 2.5):
        slope = 2 / math.sqrt(math.pi) * math.exp(-x * x)
        expected = [math.erf(x), slope, -2 * x * slope, (4 * x * x - 2) * slope, (12 * x - 8 * x**3) * slope]
        assert derivatives(tg.erf, x, 4) == pytest.approx(expected, rel=1e-13, abs=1e-15)


def sinc_by_integration(x: float, order: int) -> float:
    """sin(u)/u is the integral of cos(ut) for t from 0 to 1; its derivatives are those of the integrand."""
    nodes, weights = np.polynomial.legendre.leggauss(80)
    t = (nodes + 1) / 2
    u = math.pi * x
    return float(math.pi**order * (weights / 2 * t**order * np.cos(u * t + order * math.pi / 2)).sum())


@pytest.mark.parametrize("x", [0.0, 1e-300, 1e-9, -1e-5, 1e-3, 0.05, 0.3, -0.47, 0.5, 0.64, 0.95, 1.0, -1.3, 2.0, 7.1])
def test_sinc_is_exact_of_every_order(x: float) -> None:
    """At 0 PyTorch's second derivative is NaN, and near 0 it loses all digits."""
    expected = [sinc_by_integration(x, n) for n in range(7)]
    got = derivatives(tg.sinc, x, 6)
    for n, (a, b) in enumerate(zip(got, expected)):
        assert a == pytest.approx(b, rel=0, abs=5e-15 * math.pi**n), f"order {n}"


def test_derivatives_near_0_and_1() -> None:
    """Formulas that are differences of nearly equal numbers: the rules avoid them."""
    d = 2.0**-40
    assert gradient(tg.expm1, [-50.0, -1e-20])[0] == pytest.approx([math.exp(-50), 1], rel=1e-15, abs=0)
    assert gradient(tg.arcsin, 1 - d)[0] == pytest.approx(1 / math.sqrt(d * (2 - d)), rel=1e-15)
    assert gradient(tg.arccos, 1 - d)[0] == pytest.approx(-1 / math.sqrt(d * (2 - d)), rel=1e-15)
    assert gradient(tg.arctanh, 1 - d)[0] == pytest.approx(1 / (d * (2 - d)), rel=1e-15)
    assert gradient(tg.arccosh, 1 + d)[0] == pytest.approx(1 / math.sqrt(d * (2 + d)), rel=1e-15)
    assert gradient(tg.elu, -50.0)[0] == pytest.approx(math.exp(-50), rel=1e-14)
    assert gradient(tg.log_sigmoid, 50.0)[0] == pytest.approx(math.exp(-50), rel=1e-14)
    assert gradient(tg.arctan2, 3e-200, 4e-200) == [pytest.approx(16e198, rel=1e-14), pytest.approx(-12e198, rel=1e-14)]


# A third derivative is the slope of the second: h^4/30 times the seventh derivative is 1e-9 here, and rounding
# 1.5e-16/h times the second 1e-12.
THIRD = {
    "erf": 0.4, "gelu": 0.4, "silu": -0.7, "mish": -0.7, "elu": -0.4, "selu": -0.4, "softsign": 0.6, "softplus": 0.3,
    "log_sigmoid": 0.3, "sinc": 0.2, "arcsin": 0.3, "arccos": 0.3, "arctan": 0.5, "arctanh": 0.3, "arcsinh": 0.5,
    "arccosh": 1.9, "tan": 0.4, "sinh": 0.4, "cosh": 0.4, "tanh": 0.4, "expm1": 0.3, "exp2": 0.3, "log1p": 0.5,
    "log2": 1.2, "log10": 1.2, "rsqrt": 1.2, "reciprocal": 1.2, "cbrt": 1.2,
}  # fmt: skip
PAIRS: dict[str, Callable[[Any], Any]] = {
    "logaddexp": lambda x: tg.logaddexp(x * x, 0.3 * x),
    "logaddexp2": lambda x: tg.logaddexp2(x * x, 0.3 * x),
    "hypot": lambda x: tg.hypot(x * x, 1 + x),
    "arctan2": lambda x: tg.arctan2(x * x, 1 + x),
    "xlogy": lambda x: tg.xlogy(x * x, 1 + x),
    "lerp": lambda x: tg.lerp(x * x, 1 / (2 + x), x),
    "gelu tanh": lambda x: tg.gelu(x, approximate="tanh"),
    "kl_div": lambda x: functional.kl_div(x * x, x * x * x, "sum"),
    "kl_div log": lambda x: functional.kl_div(x * x, x * x * x, "sum", log_target=True),
    "huber_loss": lambda x: functional.huber_loss(x * x, x * x * x),
    "cosine": lambda x: functional.cosine_similarity(tg.stack([x, x * x]), [1.0, 2.0], axis=0),
}


@pytest.mark.parametrize("name", [*THIRD, *PAIRS])
def test_third_derivatives(name: str) -> None:
    f = PAIRS[name] if name in PAIRS else OPS[name]
    x, h = THIRD.get(name, 0.6), 4e-3
    (*_, third) = derivatives(f, x, 3)
    slope = sum(w * derivatives(f, x + k * h, 2)[2] for k, w in ((-2, 1), (-1, -8), (1, 8), (2, -1))) / (12 * h)
    assert third == pytest.approx(slope, rel=1e-6, abs=1e-7)


# ------------------------------------------------------------------------------- dtypes, shapes, layouts


@pytest.mark.parametrize("name", UNARY)
def test_dtype_stays(name: str) -> None:
    for dtype in (np.float16, np.float32, np.float64):
        x = tg.Tensor(np.linspace(0.1, 0.9, 5) + SHIFT.get(name, 0), requires_grad=True, dtype=dtype)
        y = OPS[name](x)
        assert y.dtype == dtype
        (d,) = tg.grad(y, x, np.ones(5, dtype), create_graph=True)
        assert d.dtype == dtype


@pytest.mark.parametrize("name", UNARY)
def test_shapes_and_layouts(name: str) -> None:
    """0-d, empty, strided, reversed and Fortran-ordered arrays, and plain numbers."""
    op = OPS[name]
    values = np.linspace(0.1, 0.9, 24).reshape(2, 3, 4) + SHIFT.get(name, 0)
    expected, slopes = op(values), gradient(op, values)[0]
    for view in (np.s_[...], np.s_[:, ::-2], np.s_[1, 2, 3], np.s_[:0]):
        x = tg.Tensor(values)
        part = tg.as_tensor(x.data[view])
        part.requires_grad = True
        y = op(part)
        np.testing.assert_allclose(y.data, expected[view], rtol=1e-14)
        y.backward(np.ones(y.shape))
        assert part.grad.shape == y.shape == np.shape(values[view])
        np.testing.assert_allclose(part.grad, np.array(slopes)[view], rtol=1e-14)
    np.testing.assert_allclose(op(np.asfortranarray(values)), expected, rtol=1e-14)
    assert float(op(float(values[0, 0, 0]))) == pytest.approx(float(expected[0, 0, 0]), rel=1e-14)


BINARY = [
    "arctan2", "copysign", "floor_divide", "fmax", "fmin", "fmod", "heaviside", "hypot", "logaddexp", "logaddexp2",
    "remainder", "xlogy",
]  # fmt: skip
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("name", BINARY)
@examples(60)
@given(pair=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4, min_side=0), seed=seeds)
def test_broadcasting(name: str, pair: hnp.BroadcastableShapes, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (np.asarray(rng.normal(size=shape)) for shape in pair.input_shapes)
    if name == "xlogy":
        b = np.abs(b) + 0.1
    compare(OPS[name], lambda x, y: TORCH[name](torch, x, y), a, b, rtol=1e-11, atol=1e-13)


@examples(60)
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3), seed=seeds)
def test_lerp_broadcasts(shapes: hnp.BroadcastableShapes, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.normal(size=shape)) for shape in shapes.input_shapes]
    compare(tg.lerp, lambda *ts: TORCH["lerp"](torch, *ts), *arrays)


def test_python_numbers_are_weak() -> None:
    x = np.array([0.5, 2.0], np.float32)
    for f in (tg.logaddexp, tg.hypot, tg.arctan2, tg.copysign, tg.fmod, tg.remainder, tg.fmax, tg.xlogy):
        for pair in ((x, 1.5), (1.5, x)):
            t = [tg.Tensor(p, requires_grad=True) if p is x else p for p in pair]
            y = f(*t)
            assert y.dtype == np.float32
            y.sum().backward()
            assert all(p.grad.dtype == np.float32 for p in t if isinstance(p, tg.Tensor))
    assert tg.lerp(tg.Tensor(x), tg.Tensor(x), 0.25).dtype == np.float32


# ----------------------------------------------------------------------------------- losses, any shape

REDUCTIONS = st.sampled_from(["mean", "sum", "none"])
loss_shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4)


@pytest.mark.parametrize("name", ["l1_loss", "huber_loss", "smooth_l1_loss", "kl_div", "kl_div log"])
@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@examples(60)
@given(shape=loss_shapes, reduction=st.sampled_from(["mean", "sum", "none", "batchmean"]), seed=seeds)
def test_losses_of_any_shape(name: str, shape: tuple[int, ...], reduction: Any, seed: int) -> None:
    name, _, log = name.partition(" ")
    if reduction == "batchmean" and name != "kl_div":
        reduction = "none"
    rng = np.random.default_rng(seed)
    y, t = np.asarray(3 * rng.normal(size=shape)), np.asarray(rng.random(shape) + 0.01)
    more: dict[str, Any] = {"log_target": bool(log)} if name == "kl_div" else {}
    compare(
        lambda a, b: getattr(functional, name)(a, b, reduction=reduction, **more),
        lambda a, b: getattr(F, name)(a, b, reduction=reduction, **more),
        y,
        t,
    )


@examples(60)
@given(shape=loss_shapes, reduction=REDUCTIONS, margin=st.sampled_from([0.5, 1.0, 2.0]), seed=seeds)
def test_hinge_losses(shape: tuple[int, ...], reduction: Any, margin: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    d, t = np.asarray(2 * rng.normal(size=shape)), np.asarray(rng.choice([-1.0, 1.0], size=shape))
    signs = torch.tensor(t)
    compare(
        lambda x: functional.hinge_embedding_loss(x, t, margin, reduction),
        lambda x: F.hinge_embedding_loss(x, signs, margin, reduction=reduction),
        d,
    )
    reduced = {"none": lambda x: x, "sum": torch.sum, "mean": torch.mean}[reduction]
    compare(
        lambda x: functional.hinge_loss(x, t, margin, reduction),
        lambda x: reduced((margin - signs * x).clamp(min=0)),
        d,
    )


def test_hinge_losses_at_the_margin() -> None:
    t = np.array([1, -1, -1, -1])
    compare(
        lambda x: functional.hinge_embedding_loss(x, t, reduction="none"),
        lambda x: F.hinge_embedding_loss(x, torch.tensor(t), reduction="none"),
        [0.3, 0.3, 1.0, 3.0],
    )
    assert gradient(lambda x: functional.hinge_loss(x, np.array([1, -1, 1]), reduction="none"), [1.0, 0.0, 0.0]) == [
        [0, 1, -1]
    ]


@examples(60)
@given(
    samples=st.integers(0, 4), classes=st.integers(1, 5), p=st.integers(1, 2), reduction=REDUCTIONS, seed=seeds
)  # fmt: skip
def test_multi_margin_loss(samples: int, classes: int, p: int, reduction: Any, seed: int) -> None:
    """0 samples stand for a single one, without an axis."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(samples, classes) if samples else (classes,))
    labels = np.asarray(rng.integers(classes, size=(samples,) if samples else ()))
    compare(
        lambda x: functional.multi_margin_loss(x, labels, p, 0.7, reduction),
        lambda x: F.multi_margin_loss(x, torch.tensor(labels), p, 0.7, reduction=reduction),
        scores,
    )


def test_multi_margin_loss_at_the_margin() -> None:
    scores, labels = [[1.0, 0.0, 0.5], [0.0, 0.0, 0.0]], np.array([0, 1])
    compare(
        lambda x: functional.multi_margin_loss(x, labels, reduction="none"),
        lambda x: F.multi_margin_loss(x, torch.tensor(labels), reduction="none"),
        scores,
    )


@examples(60)
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, min_dims=1, max_dims=3, max_side=4), data=st.data(),
       seed=seeds)  # fmt: skip
def test_cosine_similarity(shapes: hnp.BroadcastableShapes, data: st.DataObject, seed: int) -> None:
    n = len(shapes.result_shape)
    shape = [(1,) * (n - len(s)) + s for s in shapes.input_shapes]
    axis = data.draw(st.integers(-n, n - 1))
    rng = np.random.default_rng(seed)
    a, b = (np.asarray(rng.normal(size=s)) for s in shape)
    a, b = (np.array(np.broadcast_to(x, shapes.result_shape)) if x.shape[axis] == 1 else x for x in (a, b))
    compare(
        lambda x, y: functional.cosine_similarity(x, y, axis=axis),
        lambda x, y: F.cosine_similarity(x, y, dim=axis),
        a, b, rtol=1e-10, atol=1e-12,
    )  # fmt: skip


def test_cosine_similarity_of_nothing_is_0() -> None:
    assert gradient(lambda a: functional.cosine_similarity(a, [3.0, 4.0], axis=0), [0.0, 0.0]) == [[6e7, 8e7]]
    assert functional.cosine_similarity(np.zeros((1, 2)), np.ones((1, 2))).tolist() == [0]


def test_float16_means_of_many() -> None:
    """Neither the number of elements nor their sum fits into float16."""
    y = tg.Tensor(np.full(100_000, 3.0), requires_grad=True, dtype=np.float16)
    t = np.ones(100_000, np.float16)
    for loss in (functional.l1_loss, functional.huber_loss, functional.mse_loss):
        value = loss(y, t)
        assert value.dtype == np.float16
        (d,) = tg.grad(value, y, np.float16(1000))
        assert np.isfinite(value.item())
        assert value.item() > 0
        np.testing.assert_allclose(d.data, 1000 * {"l1_loss": 1, "huber_loss": 1, "mse_loss": 4}[loss.__name__] / 1e5,
                                   rtol=2e-3)  # fmt: skip


# ------------------------------------------------------------------------------------- composed functions


def test_float_power_is_float64() -> None:
    compare(tg.float_power, torch.float_power, [0.5, 2.0, 0.0, -1.0], [1.5, -2.0, 2.0, 2.0])
    x = tg.Tensor([4.0, 9.0], requires_grad=True, dtype=np.float32)
    y = np.float_power(x, 2)
    assert y.dtype == np.float64
    y.sum().backward()
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [8, 18]
    assert tg.float_power(tg.Tensor([2, 4]), -1).tolist() == [0.5, 0.25]
    assert tg.float_power(2, tg.Tensor([3, -1])).tolist() == [8, 0.5]


def test_divmod_and_fix() -> None:
    a, b = np.array([5.5, -5.5, 7.0]), np.array([2.0, 2.0, -3.0])
    for pair in (np.divmod(tg.Tensor(a), b), np.divmod(a, tg.Tensor(b)), tg.divmod(a, b)):
        for got, expected in zip(pair, np.divmod(a, b), strict=True):
            np.testing.assert_array_equal(np.asarray(got), expected)
    assert np.fix(tg.Tensor(a)).tolist() == [5, -5, 7]
    assert tg.mod is tg.remainder
    assert np.mod is np.remainder


def test_select() -> None:
    x = tg.Tensor([-2.0, 0.5, 3.0], requires_grad=True)
    y = tg.select([x < 0, x < 1], [-x, x * x], default=x * 10)
    assert y.tolist() == [2, 0.25, 30]
    y.backward(np.array([2.0, 3.0, 5.0]))
    assert x.grad.tolist() == [-2, 3, 50]
    with pytest.raises(ValueError, match="select: 1 conditions for 2 choices"):
        tg.select([x < 0], [x, x])
    with pytest.raises(ValueError, match="select: 0 conditions"):
        tg.select([], [])


def test_clip_without_bounds_is_the_input() -> None:
    if np.lib.NumpyVersion(np.__version__) < "2.1.0":
        pytest.skip("NumPy wanted a bound")
    assert gradient(lambda x: tg.clip(x), [1.0, -2.0], g=[2.0, 3.0]) == [[2, 3]]


def test_relu6() -> None:
    compare(tg.relu6, F.relu6, [-1.0, 0.0, 3.0, 6.0, 7.0, inf, nan])


def test_softplus_with_beta() -> None:
    """PyTorch counts x beyond beta x = 20 as infinite, which is 2e-9 off; so the points stay below."""
    x = [-1000.0, -3.0, 0.0, 3.0, 7.0]
    compare(lambda t: tg.softplus(t, beta=2.5), lambda t: F.softplus(t, beta=2.5), x)
    assert tg.softplus(25.0) == pytest.approx(25 + math.exp(-25), rel=1e-16)


def test_choices_and_truths() -> None:
    a, b = tg.Tensor([1.0, nan, -0.0, inf]), np.array([1.0, nan, 0.0, -inf])
    assert tg.isclose(a, b).tolist() == [True, False, True, False]
    assert tg.isclose(a, b, equal_nan=True).tolist() == [True, True, True, False]
    assert np.allclose(a, b) is False
    assert tg.allclose(a[:1], b[:1]) is True
    assert np.array_equal(a, a.data, equal_nan=True) is True
    assert tg.array_equal(a, b) is False
    weight = tg.Tensor([1.0], requires_grad=True)
    assert np.allclose(weight, 1.0)  # a truth needs no gradient
    assert np.array_equal(weight, [1.0])
    assert tg.signbit(a).tolist() == [False, False, True, False]
    assert tg.isposinf(a).tolist() == [False, False, False, True]
    assert tg.isneginf(-a).tolist() == [False, False, False, True]
    six, three = tg.Tensor([6, 5]), np.array([3, 3])
    assert (three & six).tolist() == [2, 1]  # NumPy's operator on an array asks the tensor
    assert (three | six).tolist() == [7, 7]
    assert (three ^ six).tolist() == [5, 6]
    assert tg.invert(six).tolist() == [-7, -6]
    assert tg.logical_xor(six > 5, three > 2).tolist() == [False, True]
    with pytest.raises(TypeError, match="bitwise_and"):
        tg.bitwise_and(tg.Tensor([1.0]), 2)


def test_degrees() -> None:
    assert tg.degrees is tg.rad2deg
    assert tg.radians is tg.deg2rad
    compare(tg.degrees, torch.rad2deg, [1.0, -2.0])
    assert np.degrees(tg.Tensor([math.pi])).tolist() == np.rad2deg(tg.Tensor([math.pi])).tolist() == [180]


@pytest.mark.parametrize("function", [pytest.param(f, id=f.__name__) for f in NUMPY_CALLS])
def test_numpy_functions(function: Any) -> None:
    for make in NUMPY_CALLS[function]:
        expected = make(function, lambda x: x)
        got = make(function, lambda x: tg.Tensor(x, requires_grad=True))
        assert isinstance(got, tg.Tensor)
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(got.data, expected)
        assert got.requires_grad == (got.dtype.kind == "f")


# --------------------------------------------------------------------------------------------- modules


@pytest.mark.parametrize(
    ("module", "theirs"),
    [
        (nn.ELU(0.7), torch.nn.ELU(0.7)),
        (nn.SELU(), torch.nn.SELU()),
        (nn.GELU(), torch.nn.GELU()),
        (nn.GELU("tanh"), torch.nn.GELU("tanh")),
        (nn.SiLU(), torch.nn.SiLU()),
        (nn.Mish(), torch.nn.Mish()),
        (nn.Softsign(), torch.nn.Softsign()),
        (nn.Hardtanh(-0.5, 0.7), torch.nn.Hardtanh(-0.5, 0.7)),
        (nn.LogSigmoid(), torch.nn.LogSigmoid()),
        (nn.ReLU6(), torch.nn.ReLU6()),
        (nn.Softplus(beta=2.0), torch.nn.Softplus(beta=2.0)),
        (nn.LeakyReLU(0.2), torch.nn.LeakyReLU(0.2)),
    ],
    ids=lambda m: repr(m) if isinstance(m, nn.Module) else "",
)
def test_activation_modules(module: nn.Module, theirs: Any) -> None:
    x = np.random.default_rng(0).normal(size=(4, 5)) * 3
    compare(module, theirs, x)
    twin = pickle.loads(pickle.dumps(module))
    assert repr(twin) == repr(module)
    np.testing.assert_array_equal(twin(x), module(x))


def test_a_setting_of_an_activation_can_be_changed() -> None:
    module = nn.LeakyReLU(0.1)
    module.slope = 0.5
    assert module(np.array([-2.0])).tolist() == [-1]
    assert repr(module) == "LeakyReLU(slope=0.5)"


def test_activations_by_name() -> None:
    x = tg.Tensor(np.linspace(-2, 2, 7))
    for name, make in nn.ACTIVATIONS.items():
        expected = x if name == "identity" else getattr(functional, name)(x)
        np.testing.assert_array_equal(make()(x).data, expected.data)


# ---------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: tg.gelu(tg.Tensor([1.0]), approximate="erf"), 'gelu: approximate=\'erf\': "none" or "tanh"'),
        (lambda: tg.hardtanh(tg.Tensor([1.0]), 2, 1), "hardtanh: min_val=2 is above max_val=1"),
        (lambda: tg.softplus(tg.Tensor([1.0]), beta=0), "softplus: beta=0"),
        (lambda: tg.hypot(tg.Tensor([1.0, 2.0]), np.ones(3)), "hypot: shapes (2,) and (3,) do not broadcast"),
        (lambda: functional.l1_loss(np.ones((3, 1)), np.ones(3)), "l1_loss: prediction (3, 1) against target (3,)"),
        (lambda: functional.l1_loss(np.ones(3), np.ones(3), "avg"), "l1_loss: reduction 'avg'"),
        (lambda: functional.huber_loss(np.ones(3), np.ones(3), delta=0), "huber_loss: delta=0"),
        (lambda: functional.smooth_l1_loss(np.ones(3), np.ones(3), beta=-1), "smooth_l1_loss: beta=-1"),
        (lambda: functional.kl_div(np.ones(3), np.ones(2)), "kl_div: prediction (3,) against target (2,)"),
        (lambda: functional.hinge_loss(np.ones(2), np.array([0, 1])), "hinge_loss: a target is neither 1 nor -1"),
        (lambda: functional.hinge_embedding_loss(np.ones(2), np.ones(3)), "hinge_embedding_loss: prediction (2,)"),
        (lambda: functional.multi_margin_loss(np.ones((2, 3)), [0, 3]), "label 3 at position 1 is outside 0..2"),
        (lambda: functional.multi_margin_loss(np.ones((2, 3)), [0, -1]), "label -1 at position 1 is outside 0..2"),
        (lambda: functional.multi_margin_loss(np.ones((2, 3)), [0]), "labels of shape (1,) for scores of shape (2, 3)"),
        (lambda: functional.multi_margin_loss(np.ones((2, 3)), [0, 1], p=3), "multi_margin_loss: p=3"),
        (lambda: tg.nan_to_num(tg.Tensor([1.0]), copy=False), "nan_to_num: copy=False"),
    ],
)
def test_mistakes_are_named(mistake: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        mistake()


def test_labels_must_be_integers() -> None:
    with pytest.raises(tg.DtypeError, match="multi_margin_loss: labels of dtype float64"):
        functional.multi_margin_loss(np.ones((2, 3)), np.ones((2, 3)))


# These families are what is tested here; a module that is missing from the list would go untested.
def test_every_family_is_here() -> None:
    for family in (comparisons, distances, losses):
        assert family.__name__.rpartition(".")[2] in tg.ops.FAMILIES
    assert len(UNARY) > 40
