"""Corners of reductions, scans and sorting that the samples of the table do not reach, and what is composed of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_edu as tg
from tests.ops.test_ops_oracle import arrays_of, compare, examples, seeds, shapes, torch
from tests.ops.torch_reductions import TORCH
from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import NUMPY, OPS

inf, nan = np.inf, np.nan

A = np.array([[0.6, 1.5, -0.3], [0.9, -0.7, 2.0]])
MASK = np.array([[True, False, True], [True, True, False]])
HOLES = np.array([[0.6, nan, -0.3], [nan, -0.7, 2.0]])
CUBE = np.random.default_rng(0).permutation(24).reshape(2, 3, 4) / 7 - 1.5


def leaf(x: Any, dtype: Any = float) -> tg.Tensor:
    return tg.Tensor(x, requires_grad=True, dtype=dtype)


def np_call(function: Any, *args: Any, **kwargs: Any) -> Any:
    """What a NumPy function means on Tensors, with the keywords that the dispatch may keep to itself."""
    return NUMPY[function](*args, **kwargs)


def gradients(y: tg.Tensor, *xs: tg.Tensor, seed: int = 0) -> list[np.ndarray]:
    """The gradients under a random cotangent."""
    g = np.random.default_rng(seed).normal(size=y.shape)
    return [d.numpy() for d in tg.grad(y, xs, g)]


@pytest.mark.parametrize(("name", "zeros"), [(n, z) for n in ("prod", "cumprod") for z in ([1], [0, 3], [0, 1, 4])])
def test_trap_29_derivatives_of_all_orders_with_zeros(name: str, zeros: list[int]) -> None:
    """Products are polynomials, so all derivatives are known: those of a composition of multiplications."""
    x = np.array([2.0, -3.0, 0.5, 4.0, -1.5])
    x[zeros] = 0
    rng = np.random.default_rng(1)
    v = rng.normal(size=(4, 5))

    def spelled_out(t: tg.Tensor) -> tg.Tensor:
        parts = [t[0]]
        for i in range(1, 5):
            parts.append(parts[-1] * t[i])
        return parts[-1] if name == "prod" else tg.stack(parts)

    found: list[list[np.ndarray]] = []
    for function in (OPS[name], spelled_out):
        t = leaf(x)
        value = (function(t) * v[0]).sum()
        found.append([value.numpy()])
        for order in range(1, 4):
            (d,) = tg.grad(value, t, create_graph=True)
            found[-1].append(d.numpy())
            value = (d * v[order]).sum()
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)


# ------------------------------------------------------------------------- any shape, any axes, against PyTorch


def axis_for(draw: Any, ndim: int, none: bool = True) -> Any:
    axes = st.integers(-ndim, ndim - 1) if ndim else st.nothing()
    return draw(st.one_of(st.none(), axes) if none else axes)


@st.composite
def arrays_and_axis(draw: Any, none: bool = True) -> tuple[np.ndarray, Any]:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    return arrays_of(shape, draw(seeds)), axis_for(draw, len(shape), none)


@st.composite
def arrays_and_axes(draw: Any) -> tuple[np.ndarray, Any, bool]:
    shape = draw(shapes)
    axis = draw(st.one_of(st.none(), hnp.valid_tuple_axes(len(shape))))
    return arrays_of(shape, draw(seeds)), axis, draw(st.booleans())


@pytest.mark.parametrize("name", ["prod", "median"])
@examples(100)
@given(arguments=arrays_and_axes())
def test_reductions(name: str, arguments: tuple[np.ndarray, Any, bool]) -> None:
    x, axis, keepdims = arguments
    rng = np.random.default_rng(0)
    numpy: Any = getattr(np, name)
    np.testing.assert_allclose(OPS[name](x, axis, keepdims), numpy(x, axis=axis, keepdims=keepdims), rtol=1e-14)
    if axis != ():
        compare(lambda t: OPS[name](t, axis, keepdims), lambda t: TORCH[name](torch, t, axis, keepdims), [x], rng)


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@examples(100)
@given(arguments=arrays_and_axis())
def test_scans(name: str, arguments: tuple[np.ndarray, Any]) -> None:
    x, axis = arguments
    np.testing.assert_array_equal(OPS[name](x, axis), getattr(np, name)(x, axis))
    compare(lambda t: OPS[name](t, axis), lambda t: TORCH[name](torch, t, axis), [x], np.random.default_rng(0))


@examples(100)
@given(arguments=arrays_and_axis(none=False), seed=seeds)
def test_recurrence(arguments: tuple[np.ndarray, Any], seed: int) -> None:
    b, axis = arguments
    a = arrays_of(b.shape, seed)
    compare(
        lambda a, b: tg.recurrence(a, b, axis), lambda a, b: TORCH["recurrence"](torch, a, b, axis), [a, b],
        np.random.default_rng(0),
    )  # fmt: skip


@examples(100)
@given(arguments=arrays_and_axis(none=False), share=st.floats(0, 1), largest=st.booleans())
def test_topk(arguments: tuple[np.ndarray, Any], share: float, largest: bool) -> None:
    x, axis = arguments
    k = round(share * x.shape[axis])
    rng = np.random.default_rng(0)
    compare(
        lambda t: tg.topk(t, k, axis, largest).values,
        lambda t: torch.topk(t, k, dim=axis, largest=largest).values,
        [x], rng,
    )  # fmt: skip
    values, indices = tg.topk(leaf(x), k, axis, largest, sorted=False)
    np.testing.assert_array_equal(np.take_along_axis(x, indices.numpy(), axis), values.numpy())
    assert not indices.requires_grad


@examples(100)
@given(arguments=arrays_and_axis())
def test_sort_and_argsort(arguments: tuple[np.ndarray, Any]) -> None:
    x, axis = arguments
    np.testing.assert_array_equal(tg.sort(x, axis), np.sort(x, axis))
    np.testing.assert_array_equal(tg.argsort(tg.Tensor(x), axis).numpy(), np.argsort(x, axis))
    along, flat = (0, True) if axis is None else (axis, False)
    compare(
        lambda t: tg.sort(t, axis),
        lambda t: torch.sort(t.reshape(-1) if flat else t, dim=along).values,
        [x], np.random.default_rng(0),
    )  # fmt: skip


@examples(100)
@given(arguments=arrays_and_axes(), q=st.one_of(st.floats(0, 1), st.lists(st.floats(0, 1), min_size=1, max_size=3)))
def test_quantile(arguments: tuple[np.ndarray, Any, bool], q: Any) -> None:
    x, axis, keepdims = arguments
    expected = np.quantile(x, q, axis=axis, keepdims=keepdims)
    np.testing.assert_allclose(tg.quantile(x, q, axis, keepdims=keepdims), expected, rtol=1e-12, atol=1e-14)
    hundred = np.multiply(q, 100)
    np.testing.assert_allclose(
        tg.percentile(tg.Tensor(x), hundred, axis, keepdims=keepdims).numpy(), expected, 1e-9, 1e-9
    )
    if isinstance(axis, tuple) or x.ndim == 0:
        return

    def theirs(t: Any) -> Any:
        return torch.quantile(t, torch.tensor(q, dtype=torch.float64), dim=axis, keepdim=keepdims)

    compare(lambda t: tg.quantile(t, q, axis, keepdims=keepdims), theirs, [x], np.random.default_rng(0))


@examples(100)
@given(arguments=arrays_and_axis(none=False), n=st.integers(0, 4))
def test_diff(arguments: tuple[np.ndarray, Any], n: int) -> None:
    x, axis = arguments
    np.testing.assert_array_equal(tg.diff(x, n, axis), np.diff(x, n, axis))
    if n:  # torch refuses n=0
        compare(lambda t: tg.diff(t, n, axis), lambda t: torch.diff(t, n, dim=axis), [x], np.random.default_rng(0))


@pytest.mark.parametrize("ord", [2, 3, 4, 2.5, 0.5, 1, 0, -1, -2, inf, -inf])
@examples(40)
@given(arguments=arrays_and_axes())
def test_vector_norm(ord: float, arguments: tuple[np.ndarray, Any, bool]) -> None:
    x, axis, keepdims = arguments
    if axis == ():
        return
    expected = np.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)
    got = tg.vector_norm(leaf(x), axis=axis, keepdims=keepdims, ord=ord)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-14)
    if ord == 0:
        return  # torch has no gradient there, and here it is 0: another test's subject
    compare(
        lambda t: tg.vector_norm(t, axis=axis, keepdims=keepdims, ord=ord),
        lambda t: torch.linalg.vector_norm(t, ord, dim=axis, keepdim=keepdims), [x], np.random.default_rng(0),
    )  # fmt: skip


# --------------------------------------------------------------------------------- where=, initial=, dtype=


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "max", "min", "var", "std", "all", "any"])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
@pytest.mark.parametrize("mask", [MASK, MASK[0], MASK[:, :1], np.True_, MASK.tolist()])
def test_where(name: str, axis: Any, keepdims: bool, mask: Any) -> None:
    """Values are NumPy's, and what is not selected has exactly no gradient, even where it is inf or NaN."""
    if name in ("mean", "var", "std") and not np.broadcast_to(mask, A.shape).any(axis=axis).all():
        return  # of nothing there is no mean: another test's subject
    function = getattr(np, name)
    more = {"initial": 0.5} if name in ("max", "min", "sum", "prod") else {}
    expected = function(A, axis=axis, keepdims=keepdims, where=mask, **more)
    x = leaf(A)
    got = np_call(function, x, axis=axis, keepdims=keepdims, where=mask, **more)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-14, atol=1e-15)
    assert got.shape == np.shape(expected)
    if name in ("all", "any"):
        return
    selected = np.broadcast_to(mask, A.shape)
    spoilt = leaf(np.where(selected, A, nan))
    again = np_call(function, spoilt, axis=axis, keepdims=keepdims, where=mask, **more)
    np.testing.assert_array_equal(again.numpy(), got.numpy())
    (first,), (second,) = gradients(got, x), gradients(again, spoilt)
    np.testing.assert_array_equal(first, second)
    assert not first[~selected].any()
    tg.check.gradcheck(lambda t: np_call(function, t, axis=axis, keepdims=keepdims, where=mask, **more), leaf(A))
    tg.check.gradgradcheck(lambda t: np_call(function, t, axis=axis, keepdims=keepdims, where=mask, **more), leaf(A))


def test_where_may_be_a_tensor() -> None:
    x = leaf(A)
    y = np_call(np.sum, x, where=x > 0)
    np.testing.assert_allclose(y.numpy(), A[A > 0].sum())
    np.testing.assert_array_equal(tg.grad(y, x)[0].numpy(), A > 0)


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min"])
def test_initial(name: str) -> None:
    function = getattr(np, name)
    for initial in (0.1, 5.0, -5.0):
        np.testing.assert_allclose(
            np_call(function, leaf(A), axis=0, initial=initial).numpy(), function(A, axis=0, initial=initial)
        )
    empty = leaf(np.zeros((2, 0)))
    y = np_call(function, empty, axis=1, initial=3.0)
    np.testing.assert_array_equal(y.numpy(), [3.0, 3.0])
    assert tg.grad(y, empty, [1.0, 2.0])[0].shape == (2, 0)
    start = leaf(2.5)  # it may have a gradient of its own
    tg.check.gradcheck(lambda t, s: np_call(function, t, axis=0, initial=s), [leaf(A), start])


def test_initial_at_a_tie_shares() -> None:
    x = leaf([0.0, -1.0, 9.0])
    y = np_call(np.max, x, initial=0.0, where=[True, True, False])
    np.testing.assert_array_equal(tg.grad(y, x)[0].numpy(), [0.5, 0, 0])


def test_a_number_is_a_weak_initial() -> None:
    for name in ("sum", "prod", "max", "min"):
        assert np_call(getattr(np, name), leaf(A, np.float32), initial=1, where=MASK).dtype == np.float32
    for name in ("mean", "var", "std"):
        assert np_call(getattr(np, name), leaf(A, np.float32), where=MASK).dtype == np.float32
        assert np_call(getattr(np, name), leaf(A, np.float16), where=MASK).dtype == np.float16
        assert np_call(getattr(np, name), tg.Tensor([1, 2, 4]), where=[True, False, True]).dtype == float


def test_float16_means_of_many() -> None:
    """Neither the sum nor the count fits into float16."""
    x = leaf(np.full(100_000, 2.0), np.float16)
    y = np_call(np.mean, x, where=np.arange(100_000) % 2 == 0)
    assert (y.dtype, float(y)) == (np.float16, 2.0)
    (g,) = tg.grad(y, x, np.float16(6e4))
    np.testing.assert_allclose(g.numpy()[:4].astype(float), [1.2, 0, 1.2, 0], rtol=1e-3)


def test_dtype() -> None:
    for name in ("sum", "prod", "mean", "var", "std", "cumsum", "cumprod"):
        function = getattr(np, name)
        x = leaf(A, np.float32)
        y = np_call(function, x, 0, np.float64)
        assert y.dtype == np.float64
        np.testing.assert_allclose(y.numpy(), function(A.astype(np.float32), 0, np.float64), rtol=1e-15)
        assert gradients(y, x)[0].dtype == np.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: np_call(np.sum, leaf(A), where=np.ones((2, 2, 3), bool)), r"^sum: where= of shape \(2, 2, 3\)"),
        (lambda: np_call(np.mean, leaf(A), where=np.ones(2, bool)), r"where= of shape \(2,\) does not broadcast"),
        (lambda: np_call(np.max, leaf(A), where=MASK), r"^max: where= needs initial="),
        (lambda: np_call(np.min, leaf(A), where=MASK), r"^min: where= needs initial="),
        (lambda: np_call(np.var, leaf(A), ddof=1, correction=2), r"^var: ddof=1 and correction=2"),
        (lambda: np_call(np.std, leaf(A), ddof=1, correction=2), r"^std: ddof=1 and correction=2"),
    ],
)
def test_where_errors(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# ------------------------------------------------------------------------------------------ without NaN


@pytest.mark.parametrize("name", ["nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin"])
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
def test_nan_reductions(name: str, axis: Any) -> None:
    function = getattr(np, name)
    for keepdims in (False, True):
        y = function(leaf(HOLES), axis=axis, keepdims=keepdims)
        np.testing.assert_allclose(y.numpy(), function(HOLES, axis=axis, keepdims=keepdims), rtol=1e-14)
    (g,) = gradients(function(x := leaf(HOLES), axis=axis), x)
    assert not g[np.isnan(HOLES)].any()
    finite = np.where(np.isnan(HOLES), 0.0, HOLES)
    number = ~np.isnan(HOLES)
    tg.check.gradcheck(lambda t: function(tg.where(number, t, nan), axis=axis), leaf(finite))
    tg.check.gradgradcheck(lambda t: function(tg.where(number, t, nan), axis=axis), leaf(finite))


def test_nan_scans() -> None:
    for function in (np.nancumsum, np.nancumprod):
        np.testing.assert_array_equal(function(leaf(HOLES), axis=1).numpy(), function(HOLES, axis=1))
        (g,) = gradients(function(x := leaf(HOLES), axis=1), x)
        assert np.isfinite(g).all()
        assert not g[np.isnan(HOLES)].any()


def test_nan_reductions_of_nothing_warn() -> None:
    for function in (np.nanmax, np.nanmin, np.nanmean):
        with pytest.warns(RuntimeWarning):
            y = function(tg.Tensor([[nan, nan], [1.0, nan]]), axis=1)
        np.testing.assert_array_equal(y.numpy(), [nan, 1.0])
    np.testing.assert_array_equal(np.nanmax(tg.Tensor([3, 5])).numpy(), 5)
    assert float(np_call(np.nanmax, tg.Tensor([nan]), initial=2.0)) == 2.0


# ---------------------------------------------------------------------------------------- compositions


@pytest.mark.parametrize(
    "function",
    [
        lambda t: tg.ptp(t, 1),
        lambda t: tg.ptp(t, (0, 1), keepdims=True),
        lambda t: tg.average(t),
        lambda t: tg.average(t, 0, [1.0, 3.0]),
        lambda t: tg.average(t, weights=np.abs(A) + 1),
        lambda t: tg.average(t, -1, t**2 + 1, keepdims=True),
        lambda t: tg.average(t, (1, 0), np.arange(1.0, 7.0).reshape(3, 2)),
        lambda t: tg.average(t, 1, [1.0, 2.0, 3.0], returned=True)[0],
        lambda t: tg.diff(t, prepend=t[:, :1], append=2.0),
        lambda t: tg.diff(t, 2, 0, prepend=1.0),
        lambda t: tg.trapezoid(t),
        lambda t: tg.trapezoid(t, dx=0.5, axis=0),
        lambda t: tg.trapezoid(t, tg.cumsum(t[0] ** 2)),
        lambda t: tg.trapezoid(t, t * 2, axis=0),
        lambda t: tg.quantile(t, [0.2, 0.5], axis=1),
        lambda t: tg.percentile(t, 30),
        lambda t: tg.median(t, 1),
        lambda t: tg.norm(t),
        lambda t: tg.norm(t, 3, 1),
        lambda t: np.var(t, 0, ddof=1),
        lambda t: np.std(t, axis=1, correction=1),
    ],
)
def test_gradients_of_compositions(function: Callable[[Any], Any]) -> None:
    tg.check.gradcheck(function, leaf(A))
    tg.check.gradgradcheck(function, leaf(A))


def test_average() -> None:
    x = leaf(A)
    for axis, weights in ((None, None), (0, [1.0, 3.0]), (1, [1, 2, 3]), (None, np.abs(A)), ((1, 0), np.ones((3, 2)))):
        for keepdims in (False, True):
            got = np.average(x, axis, weights, returned=True, keepdims=keepdims)
            expected = np.average(A, axis, weights, returned=True, keepdims=keepdims)
            for a, b in zip(got, expected):
                np.testing.assert_allclose(a.numpy() if isinstance(a, tg.Tensor) else a, b, rtol=1e-14)
    with pytest.raises(ZeroDivisionError, match="average: the weights sum to zero"):
        np.average(x, 0, [1.0, -1.0])
    for axis, weights in ((None, [1.0, 2.0]), (0, [1.0, 2.0, 3.0]), (5, [1.0, 2.0])):
        with pytest.raises(ShapeError, match=r"^average: .*weights have the tensor's shape"):
            tg.average(x, axis, weights)


def test_diff_and_trapezoid_are_numpys() -> None:
    for args, kwargs in (((), {}), ((2,), {"axis": 0}), ((1, 1, A[:, :1], 3.0), {}), ((0,), {})):
        np.testing.assert_array_equal(tg.diff(tg.Tensor(A), *args, **kwargs).numpy(), np.diff(A, *args, **kwargs))
    np.testing.assert_array_equal(tg.diff(tg.Tensor([True, True, False])).numpy(), [False, True])
    for kwargs in (
        {},
        {"dx": 0.3, "axis": 0},
        {"x": [0.0, 1.0, 4.0]},
        {"x": A**2, "axis": 1},
        {"x": [1.0, 3.0], "axis": 0},
    ):
        np.testing.assert_allclose(tg.trapezoid(leaf(A), **kwargs).numpy(), np.trapezoid(A, **kwargs), rtol=1e-14)


def test_sorting_picks_one_of_the_ties() -> None:
    x = leaf([2.0, 1.0, 2.0, 1.0])
    for y in (tg.sort(x), tg.topk(x, 4).values):
        (g,) = tg.grad(y, x, [1.0, 2.0, 3.0, 4.0])
        assert sorted(g.numpy()) == [1, 2, 3, 4]
    np.testing.assert_array_equal(tg.argsort(x, stable=True).numpy(), [1, 3, 0, 2])
    np.testing.assert_array_equal(tg.sort(x, kind="mergesort").numpy(), [1, 1, 2, 2])


def test_scalars_and_empty_ones() -> None:
    s = leaf(3.0)
    for function, value in (
        (tg.prod, 3), (tg.median, 3), (tg.norm, 3), (tg.ptp, 0), (tg.average, 3), (lambda t: tg.quantile(t, 0.3), 3),
    ):  # fmt: skip
        y = function(s)
        assert (y.shape, float(y)) == ((), value)
        assert tg.grad(y, s)[0].shape == ()
    for name in ("sum", "prod", "max"):  # NumPy lets a scalar have an axis 0 here
        y = OPS[name](s, axis=0)
        assert tg.grad(y, s)[0].shape == y.shape == ()
    for function in (tg.cumsum, tg.cumprod):
        y = function(s, axis=0)
        assert y.shape == (1,)
        assert float(tg.grad(y, s, [5.0])[0]) == 5
    empty = leaf(np.zeros((0, 3)))
    assert float(tg.prod(empty)) == 1
    for function in (tg.cumsum, tg.cumprod, tg.sort, tg.diff):
        y = function(empty, axis=0)
        assert tg.grad(y, empty, np.zeros(y.shape), allow_unused=True)[0] is not None
    with pytest.warns(RuntimeWarning):
        assert np.isnan(float(tg.median(empty)))


def test_inputs_of_any_layout() -> None:
    base = np.asfortranarray(CUBE)[::-1, :, ::2]
    for name in ("prod", "median", "cumsum", "cumprod", "sort"):
        for axis in (0, -1):
            x = leaf(base.copy())
            x._data = base  # an array that is neither contiguous nor in C order
            (g,) = gradients(OPS[name](x, axis), x)
            (h,) = gradients(OPS[name](y := leaf(np.ascontiguousarray(base)), axis), y)
            np.testing.assert_array_equal(g, h)


def test_float32_stays() -> None:
    x = leaf(A, np.float32)
    for y in (
        tg.ptp(x), tg.average(x), tg.average(x, weights=np.abs(A).astype(np.float32)), tg.quantile(x, 0.3),
        tg.percentile(x, [10, 20]), tg.trapezoid(x), tg.diff(x), tg.norm(x, 1), tg.norm(x, inf), tg.norm(x[0], 0),
        tg.norm(x), tg.norm(x, "nuc"), tg.norm(x, 3, axis=0), np.nanmean(x), np.nanstd(x), np.nanmax(x),
    ):  # fmt: skip
        assert y.dtype == np.float32
        assert gradients(y, x)[0].dtype == np.float32


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: tg.sum(x, 2), ShapeError, r"^sum: axis 2 of a tensor of shape \(2, 3\): axes run from -2 to 1"),
        (lambda x: tg.sum(x, (0, -2)), ShapeError, r"^sum: axis \(0, -2\) .* an axis is named twice"),
        (lambda x: tg.prod(x, 2), ShapeError, r"^prod: axis 2"),
        (lambda x: tg.sum(x, [0]), ShapeError, r"^sum: axis \[0\]: an int, a tuple of ints or None"),
        (lambda x: tg.sum(x.sum(), 1), ShapeError, r"^sum: axis 1 .* a scalar has no axis"),
        (lambda x: tg.max(x[:0]), ShapeError, r"^max: the shape is \(0, 3\): of no numbers"),
        (lambda x: tg.argmax(x, 2), ShapeError, r"^argmax: axis 2"),
        (lambda x: tg.argmin(x[:0]), ShapeError, r"^argmin: .*of no numbers"),
        (lambda x: tg.count_nonzero(x, 2), ShapeError, r"^count_nonzero: axis 2"),
        (lambda x: tg.all(x, 2), ShapeError, r"^all: axis 2"),
        (lambda x: tg.median(x, 2), ShapeError, r"^median: axis 2"),
        (lambda x: tg.cumsum(x, 2), ShapeError, r"^cumsum: axis 2"),
        (lambda x: tg.cumprod(x, -3), ShapeError, r"^cumprod: axis -3"),
        (lambda x: tg.recurrence(x, x[0]), ShapeError, r"^recurrence: factors \(2, 3\) and summands \(3,\)"),
        (lambda x: tg.recurrence(x, x, 2), ShapeError, r"^recurrence: axis 2"),
        (lambda x: tg.sort(x, 2), ShapeError, r"^sort: axis 2"),
        (lambda x: tg.sort(x.sum()), ShapeError, r"^sort: .*a scalar has no axis"),
        (lambda x: tg.argsort(x, 2), ShapeError, r"^argsort: axis 2"),
        (lambda x: tg.topk(x, 4), ShapeError, r"^topk: k=4 of the 3 numbers along axis -1"),
        (lambda x: tg.topk(x, -1), ShapeError, r"^topk: k=-1"),
        (lambda x: tg.topk(x, 1, 2), ShapeError, r"^topk: axis 2"),
        (lambda x: tg.topk(x.sum(), 1), ShapeError, r"^topk: a scalar"),
        (lambda x: tg.topk(x, 1.5), TypeError, r"integer"),
        (lambda x: tg.diff(x, -1), ValueError, r"^diff: n=-1"),
        (lambda x: tg.diff(x, 1, 2), ShapeError, r"^diff: axis 2"),
        (lambda x: tg.diff(x.sum()), ShapeError, r"^diff: .*scalar"),
        (lambda x: tg.trapezoid(x, axis=2), ShapeError, r"^trapezoid: axis 2"),
        (lambda x: tg.quantile(x, 1.5), ValueError, r"^quantile: q lies between 0 and 1"),
        (lambda x: tg.quantile(x, nan), ValueError, r"^quantile: q lies between 0 and 1"),
        (lambda x: tg.quantile(x, 0.5, method="nearest"), ValueError, r"^quantile: method 'nearest'"),
        (lambda x: tg.quantile(x, 0.5, 2), ShapeError, r"^quantile: axis 2"),
        (lambda x: tg.quantile(x[:0], 0.5), ShapeError, r"^quantile: no numbers"),
        (lambda x: tg.norm(x, "fro", 0), ValueError, r"^norm: ord='fro' is an order for matrices"),
        (lambda x: tg.norm(x, 3), ValueError, r"^norm: ord=3 for matrices"),
        (lambda x: tg.norm(x, axis=(0, 1, 0)), ShapeError, r"^norm: .*an axis is named twice"),
        (lambda x: tg.norm(x, axis=()), ShapeError, r"^norm: axis \(\): one axis .* or two"),
        (lambda x: tg.norm(tg.expand_dims(x, 0), 2), ShapeError, r"^norm: axis .*one axis .* or two"),
        (lambda x: tg.vector_norm(x, axis=2), ShapeError, r"^vector_norm: axis 2"),
        (lambda x: tg.matrix_norm(x[0]), ShapeError, r"^matrix_norm: shape \(3,\)"),
    ],
)
def test_errors(call: Callable[[tg.Tensor], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call(leaf(A))


# ----------------------------------------------------------------------------------- norms of matrices


@pytest.mark.parametrize("ord", [None, "fro", "f", "nuc", 1, -1, 2, -2, inf, -inf])
@pytest.mark.parametrize("axis", [(0, 1), (-1, 0), (2, 1)])
def test_matrix_norms(ord: Any, axis: tuple[int, int]) -> None:
    for keepdims in (False, True):
        got = np.linalg.norm(leaf(CUBE), ord, axis, keepdims)
        np.testing.assert_allclose(got.numpy(), np.linalg.norm(CUBE, ord, axis, keepdims), rtol=1e-13)
        assert got.shape == np.linalg.norm(CUBE, ord, axis, keepdims).shape
    name = "fro" if ord in (None, "f") else ord
    compare(
        lambda t: tg.norm(t, ord, axis), lambda t: torch.linalg.matrix_norm(t, name, dim=axis), [CUBE],
        np.random.default_rng(0),
    )  # fmt: skip
    np.testing.assert_allclose(tg.norm(tg.Tensor(A), ord).numpy(), np.linalg.norm(A, ord), rtol=1e-14)
    np.testing.assert_allclose(
        tg.matrix_norm(tg.Tensor(CUBE), ord=ord).numpy(), [tg.norm(m, ord) for m in CUBE], rtol=1e-13
    )


@pytest.mark.parametrize("ord", ["fro", "nuc", 1, -1, 2, -2, inf, -inf])
def test_matrix_norms_at_kinks_are_pytorchs(ord: Any) -> None:
    for matrix in (np.zeros((2, 2)), np.eye(2), np.ones((3, 2)), np.diag([2.0, 0.0])):
        compare(
            lambda t: tg.norm(t, ord), lambda t: torch.linalg.matrix_norm(t, ord), [matrix], np.random.default_rng(0)
        )


@pytest.mark.parametrize("ord", [2, 3, 2.5, 0.5, 1, -1, -2, inf, -inf])
def test_vector_norms_at_kinks_are_pytorchs(ord: float) -> None:
    vectors = [np.zeros(3), np.array([0.0, 1, -2]), np.array([1.0, 1, -1]), np.array([inf, 1])]
    if ord not in (1, inf, -inf):  # where PyTorch makes a gradient of 0 of a NaN, here it stays NaN
        vectors.append(np.array([nan, 1]))
    for vector in vectors:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of inf / inf in some of the values
            compare(
                lambda t: tg.norm(t, ord),
                lambda t: torch.linalg.vector_norm(t, ord),
                [vector],
                np.random.default_rng(0),
            )


def test_the_norm_near_a_zero_element_has_its_derivatives() -> None:
    """Even orders are smooth there: x^4 has a fourth derivative at 0, too."""
    x = np.array([0.0, 1.0, 0.0])
    for ord in (2, 4):
        t, u = leaf(x), leaf(x)
        a, b = tg.norm(t, ord), tg.sum(u**ord) ** (1 / ord)
        for order in range(4):
            v = np.random.default_rng(order).normal(size=3)
            (a,), (b,) = tg.grad(a, t, create_graph=True), tg.grad(b, u, create_graph=True)
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-12)
            a, b = (a * v).sum(), (b * v).sum()


def test_norm_zero_counts() -> None:
    x = leaf([0.0, 2.0, nan])
    y = tg.norm(x, 0)
    assert float(y) == 2
    np.testing.assert_array_equal(tg.grad(y, x)[0].numpy()[:2], [0, 0])


# ------------------------------------------------------------------------------------ NumPy's functions

# How each function is called; t makes a Tensor of an array, or leaves it as it is.
NUMPY_CALLS: dict[Any, list[Callable[..., Any]]] = {
    np.amax: [lambda f, t: f(t(A)), lambda f, t: f(t(A), axis=0, keepdims=True)],
    np.amin: [lambda f, t: f(t(A)), lambda f, t: f(t(A), axis=0, keepdims=True)],
    np.prod: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0), lambda f, t: f(t(A), axis=(0, 1), keepdims=True)],
    np.median: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0), lambda f, t: f(t(A), axis=(0, 1), keepdims=True)],
    np.ptp: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0), lambda f, t: f(t(A), axis=-1, keepdims=True)],
    np.average: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0, t(np.array([1.0, 3.0])))],
    np.quantile: [lambda f, t: f(t(A), 0.3), lambda f, t: f(t(A), [0.3, 0.5], axis=0)],
    np.percentile: [lambda f, t: f(t(A), 30), lambda f, t: f(t(A), q=[30, 50], axis=0)],
    np.count_nonzero: [lambda f, t: f(t(A)), lambda f, t: f(t(A), axis=0), lambda f, t: f(t(MASK), 1, keepdims=True)],
    np.cumsum: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0), lambda f, t: f(t(A), axis=-1)],
    np.cumprod: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0), lambda f, t: f(t(A), axis=-1)],
    np.nancumsum: [lambda f, t: f(t(HOLES)), lambda f, t: f(t(HOLES), axis=-1)],
    np.nancumprod: [lambda f, t: f(t(HOLES)), lambda f, t: f(t(HOLES), axis=-1)],
    np.diff: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 1, 0), lambda f, t: f(t(A), n=2, axis=1)],
    np.trapezoid: [lambda f, t: f(t(A)), lambda f, t: f(t(A), dx=0.5, axis=0), lambda f, t: f(A, t(A**2))],
    np.sort: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0), lambda f, t: f(t(A), axis=None)],
    np.argsort: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0), lambda f, t: f(t(A), axis=None)],
    np.nansum: [lambda f, t: f(t(HOLES)), lambda f, t: f(t(HOLES), 0)],
    np.nanprod: [lambda f, t: f(t(HOLES)), lambda f, t: f(t(HOLES), 0)],
    np.nanmean: [lambda f, t: f(t(HOLES)), lambda f, t: f(t(HOLES), axis=0, keepdims=True)],
    np.nanvar: [lambda f, t: f(t(HOLES)), lambda f, t: f(t(HOLES), axis=0, ddof=0)],
    np.nanstd: [lambda f, t: f(t(HOLES)), lambda f, t: f(t(HOLES), axis=0, ddof=0)],
    np.nanmax: [lambda f, t: f(t(HOLES)), lambda f, t: f(t(HOLES), axis=0)],
    np.nanmin: [lambda f, t: f(t(HOLES)), lambda f, t: f(t(HOLES), axis=0)],
    np.linalg.norm: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 1, axis=0), lambda f, t: f(t(A), "nuc", keepdims=True)],
    np.linalg.vector_norm: [lambda f, t: f(t(A)), lambda f, t: f(t(A), axis=0, ord=3)],
    np.linalg.matrix_norm: [lambda f, t: f(t(A)), lambda f, t: f(t(A), ord=2, keepdims=True)],
}


def check_numpy_call(function: Any, make: Callable[..., Any]) -> None:
    """np.f(tensor) has the values, shapes and dtypes of np.f(array), and keeps the graph; results may be several."""
    expected = make(function, lambda x: x)
    got = make(function, lambda x: tg.Tensor(x, requires_grad=x.dtype.kind == "f"))
    several = isinstance(expected, tuple)
    if several and hasattr(expected, "_fields"):
        assert got._fields == expected._fields
    pairs = list(zip(got, expected)) if several else [(got, expected)]
    for a, b in pairs:
        assert isinstance(a, tg.Tensor)
        assert (a.shape, a.dtype) == (np.shape(b), b.dtype)
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-13, atol=1e-15)
        assert a.requires_grad == (a.dtype.kind == "f" and getattr(NUMPY[function], "differentiable", True))


@pytest.mark.parametrize("function", [pytest.param(f, id=f.__name__) for f in NUMPY_CALLS])
def test_numpy_function_on_a_tensor(function: Any) -> None:
    for make in NUMPY_CALLS[function]:
        check_numpy_call(function, make)
