"""Indexing: every index expression that NumPy knows, read, written and put back, against PyTorch and a slow loop."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_edu as tg
from tests.ops.moving import check_moves, examples, outputs
from tests.ops.torch_indexing import TORCH
from tinygrad_edu.op import NUMPY, OPS
from tinygrad_edu.ops.indexing import LONG

try:
    import torch
except ImportError:  # a skip nobody reads would be a hole in the gate: there the oracle has to be
    if os.environ.get("CI"):
        raise
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is the oracle here")

A = np.array([[0.6, -1.5, 0.0], [0.9, 0.7, -0.2]])
ROW = np.array([0.6, 1.5, 0.9])
ORDER = np.array([[2, 0, 1], [1, 1, 0]])

# How each NumPy function is called.  Every one of them must do on Tensors what it does on arrays.
NUMPY_CALLS: dict[Any, list[Callable[..., Any]]] = {
    np.take: [
        lambda f, t: f(t(A), [0, -1, 5]),
        lambda f, t: f(t(A), ORDER, axis=1),
        lambda f, t: f(t(A), t(np.array([1, 0])), 0),
        lambda f, t: f(t(A), 2, axis=-1),
        lambda f, t: f(t(A), [-7, 9], axis=0, mode="wrap"),
        lambda f, t: f(t(A), [-7, 9], axis=1, mode="clip"),
        lambda f, t: f(t(A), [True, False], axis=1),
        lambda f, t: f(t(A), []),
    ],
    np.take_along_axis: [
        lambda f, t: f(t(A), ORDER, 1),
        lambda f, t: f(t(A), ORDER[:, :1], axis=-1),
        lambda f, t: f(t(A), np.array([[1, 0, 1]]), axis=0),
        lambda f, t: f(t(A), np.array([5, 0, -1]), axis=None),
        lambda f, t: f(t(A), t(ORDER), axis=1),
    ],
    np.where: [
        lambda f, t: f(t(A) > 0.5),
        lambda f, t: f(t(A)),
        lambda f, t: f(A > 0, t(A), 0.0),
        lambda f, t: f(t(A) > 0, t(A), A),
    ],
    np.nonzero: [lambda f, t: f(t(A)), lambda f, t: f(t(A) > 0)],
    np.argwhere: [lambda f, t: f(t(A)), lambda f, t: f(t(A) > 9)],
    np.flatnonzero: [lambda f, t: f(t(A))],
    np.compress: [
        lambda f, t: f([True, False, True], t(A), axis=1),
        lambda f, t: f([0, 1], t(A), axis=-2),
        lambda f, t: f(t(np.array([0, 0, 1, 1])), t(A)),
    ],
    np.extract: [lambda f, t: f(A > 0, t(A)), lambda f, t: f(t(A) > 0, t(A)), lambda f, t: f([1, 0, 1], t(A))],
    np.choose: [
        lambda f, t: f([0, 1, 0], [t(ROW), 2.5]),
        lambda f, t: f(t(ORDER), [t(A), 0.5, A]),
        lambda f, t: f(np.array([[-3], [4]]), [t(ROW), t(A)], mode="wrap"),
        lambda f, t: f(ORDER, t(A), mode="clip"),
    ],
    np.select: [
        lambda f, t: f([A > 0.5, A < 0], [t(A), -t(A)]),
        lambda f, t: f([t(A) > 0], [2 * t(A)], default=7.5),
        lambda f, t: f([A[:, :1] > 0.5, A > 0], [t(ROW), t(A)], t(A[:, :1])),
    ],
    np.searchsorted: [
        lambda f, t: f(t(np.sort(ROW)), ROW),
        lambda f, t: f(np.sort(ROW), t(A), side="right"),
        lambda f, t: f(t(ROW), 0.7, sorter=np.argsort(ROW)),
    ],
    np.digitize: [lambda f, t: f(t(A), np.sort(ROW)), lambda f, t: f(A, t(np.sort(ROW)), right=True)],
}


def as_tensor(x: Any) -> tg.Tensor:
    return tg.Tensor(x, requires_grad=np.asarray(x).dtype.kind == "f")


@pytest.mark.parametrize("function", [pytest.param(f, id=f.__name__) for f in NUMPY_CALLS])
def test_numpy_function_on_tensors(function: Any) -> None:
    """np.f(tensor) has the values, shapes and dtypes of np.f(array), and keeps the graph where there is one."""
    assert function in NUMPY
    for call in NUMPY_CALLS[function]:
        expected, got = call(function, lambda x: x), call(function, as_tensor)
        assert isinstance(got, tg.Tensor) or type(got) is type(expected)
        for ours, theirs in zip(outputs(got), outputs(expected), strict=True):
            assert ours.dtype == theirs.dtype
            assert ours.shape == np.shape(theirs)
            np.testing.assert_array_equal(ours.data, theirs)
            assert ours.requires_grad == (ours.dtype.kind == "f")


# -------------------------------------------------------------------------------- random expressions

seeds = st.integers(0, 2**32 - 1)


@st.composite
def expressions(draw: Any, min_side: int = 0) -> tuple[tuple[int, ...], Any]:
    """A shape, and an index for it of any kind that NumPy knows, its parts drawn one after the other."""
    smallest = min(draw(st.sampled_from([0, 1, 1, 1])) + min_side, 1)
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=smallest, max_side=4))
    common = draw(st.sampled_from([(0,), (), (3,), (3,), (4,), (2, 3), (3, 2), (1, 4)]))  # of the arrays of integers
    parts: list[Any] = []
    axis, masked = 0, False
    while axis < len(shape) and draw(st.integers(0, 9)) < 9:
        n = shape[axis]
        kinds = ["int", "slice", "slice", "array", "array", "array", "list", "mask", "none", "all"]
        kind = draw(st.sampled_from(kinds))
        if kind == "int" and n:
            parts.append(draw(st.sampled_from([int, np.int32]))(draw(st.integers(-n, n - 1))))
        elif kind == "array" and (n or 0 in common):
            elements = st.sampled_from([0, 0, 1, -1, n // 2, -n]).map(lambda i, n=n: min(i, n - 1) if n else 0)
            own = draw(st.sampled_from([common, common, common[1:], tuple(1 for _ in common)]))
            if n == 0 and 0 not in own:
                continue
            array = draw(hnp.arrays(draw(st.sampled_from([np.int64, np.int16])), own, elements=elements))
            layout = draw(st.sampled_from(["C", "F", "backwards"]))
            if layout == "F":
                array = np.asfortranarray(array) if array.ndim else array
            elif layout == "backwards":
                array = array[::-1].copy()[::-1] if array.ndim else array
            parts.append(array)
        elif kind == "list" and n and len(common) == 1:
            parts.append(draw(st.lists(st.integers(-n, n - 1), min_size=common[0], max_size=common[0])))
        elif kind == "mask" and not masked:  # one of them, so that its count need not fit another's
            masked = True
            size = draw(st.integers(0, len(shape) - axis))
            mask = draw(hnp.arrays(bool, shape[axis : axis + size]))
            parts.append(bool(mask) if size == 0 and draw(st.booleans()) else mask)
            axis += size
            continue
        elif kind == "none":
            parts.append(None)
            continue
        elif kind == "all" and Ellipsis not in [p for p in parts if not isinstance(p, np.ndarray)]:
            parts.append(Ellipsis)
            axis += draw(st.integers(0, len(shape) - axis))
            continue
        else:
            parts.append(draw(st.slices(n)))
        axis += 1
    index = tuple(parts) if len(parts) != 1 or draw(st.booleans()) else parts[0]
    try:  # a mask and an array of integers may not fit together
        np.zeros(shape)[index]
    except IndexError:
        assume(False)
    return shape, index


def with_tensors(index: Any) -> Any:
    """The same index with Tensors for the arrays in it."""
    if isinstance(index, tuple):
        return tuple(with_tensors(part) for part in index)
    return tg.Tensor(index) if isinstance(index, np.ndarray) else index


@examples(1500)
@given(case=expressions(), seed=seeds)
def test_getitem(case: tuple[tuple[int, ...], Any], seed: int) -> None:
    shape, index = case
    x = np.asarray(np.random.default_rng(seed).normal(size=shape))
    check_moves(lambda t: tg.getitem(t, index=tg.plain_index(index)), lambda a: a[index], x, seed=seed)
    t = tg.Tensor(x, requires_grad=True)
    for expression in (index, with_tensors(index)):
        np.testing.assert_array_equal(t[expression].data, x[index])


@pytest.mark.parametrize(
    "index",
    [
        (True, [0, 0, 1]),
        (True, [[1, 0]], -1),
        ([0, 1, 0], np.True_),
        (np.array(True), None, [1, 1]),
        (False, np.array(0)),
        (False, slice(None), np.array([2])),
        (0, slice(None), [0, 0]),  # the axis of the array goes to the front, as the integer counts as one
        (slice(None), 0, [0, 0]),
        ([1, 1], slice(None, None, -1), [0, 0]),
        (Ellipsis, [0, 0]),
        ([[0], [1], [0]], None, [2, 2]),
        ((0, 1), (1, 2)),
        (range(2), 0),
        np.array([[0, 1], [0, 1]], order="F"),
        np.s_[1:0:-1, ..., ::2],
        np.s_[-1, None, :, None],
        np.array(1),
        (np.array(1), np.array(0), np.array(0)),
    ],
    ids=repr,
)
def test_expressions_that_few_people_know(index: Any) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    check_moves(lambda t: t[index], lambda a: a[index], x)
    values = np.random.default_rng(1).normal(size=x[index].shape)
    check_moves(lambda t, v: tg.setitem(t, v, index), lambda a, v: slow_setitem(a, v, index), x, values)
    y = tg.scatter_add(values, index=tg.plain_index(index), shape=x.shape)
    np.testing.assert_allclose(y, slow_scatter_add(values, index, x.shape), rtol=0, atol=1e-14)


def slow_scatter_add(x: np.ndarray, index: Any, shape: tuple[int, ...]) -> np.ndarray:
    """One after the other."""
    places = np.arange(int(np.prod(shape))).reshape(shape)[index]
    out = np.zeros(int(np.prod(shape)))
    for place, value in zip(places.reshape(-1).tolist(), np.broadcast_to(x, places.shape).reshape(-1).tolist()):
        out[place] += value
    return out.reshape(shape)


@examples(1000)
@given(case=expressions(), seed=seeds)
def test_scatter_add(case: tuple[tuple[int, ...], Any], seed: int) -> None:
    """Put back: values and gradients, and those of the gradient; also of a number that is put everywhere."""
    shape, index = case
    rng = np.random.default_rng(seed)
    for own in (np.zeros(shape)[index].shape, ()):
        a = np.asarray(rng.normal(size=own))
        x = tg.Tensor(a, requires_grad=True)
        y = tg.scatter_add(x, index=tg.plain_index(index), shape=shape)
        np.testing.assert_allclose(y.data, slow_scatter_add(a, index, shape), rtol=0, atol=1e-13)
        g = tg.Tensor(rng.normal(size=shape), requires_grad=True)
        (first,) = tg.grad(y, x, g, create_graph=True)
        expected = g.data[index] if own else g.data[index].sum()
        np.testing.assert_allclose(first.data, expected, rtol=0, atol=1e-13)
        u = rng.normal(size=own)
        (second,) = tg.grad((first * u).sum(), g)
        np.testing.assert_allclose(second.data, slow_scatter_add(u, index, shape), rtol=0, atol=1e-13)


def slow_setitem(x: np.ndarray, value: np.ndarray, index: Any) -> np.ndarray:
    """One after the other, so that the last one stays."""
    places = np.arange(x.size).reshape(x.shape)[index]
    while value.ndim > places.ndim:
        value = value[0]
    row = x.reshape(-1).copy()
    for place, v in zip(places.reshape(-1).tolist(), np.broadcast_to(value, places.shape).reshape(-1).tolist()):
        row[place] = v
    return row.reshape(x.shape)


@examples(1500)
@given(case=expressions(), data=st.data(), seed=seeds)
def test_setitem(case: tuple[tuple[int, ...], Any], data: st.DataObject, seed: int) -> None:
    """Any index, and any value that broadcasts to it; in the order of the index, not of the memory."""
    shape, index = case
    rng = np.random.default_rng(seed)
    x = np.asarray(rng.normal(size=shape))
    named = x[index].shape
    own = tuple(1 if data.draw(st.integers(0, 4)) == 0 else n for n in named)
    own = data.draw(st.sampled_from([named, own, own[1:], (), (1, *own)]))
    value = np.asarray(rng.normal(size=own))
    if value.ndim and data.draw(st.booleans()):
        value = np.asfortranarray(value)
    try:
        x.copy()[index] = value
    except (TypeError, ValueError):  # more axes than NumPy takes
        with pytest.raises(tg.ShapeError, match="setitem: a value of shape"):
            tg.setitem(x, value, index)
        return
    check_moves(lambda t, v: tg.setitem(t, v, index), lambda a, v: slow_setitem(a, v, index), x, value, seed=seed)
    np.testing.assert_array_equal(tg.setitem(x, value, with_tensors(index)), slow_setitem(x, value, index))


@needs_torch
@examples(300)
@given(case=expressions(min_side=1), seed=seeds)
def test_getitem_and_setitem_against_torch(case: tuple[tuple[int, ...], Any], seed: int) -> None:
    """Nonlinear functions of what was read and written, to the third derivative."""
    shape, index = case
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.normal(size=s)) for s in (shape, np.zeros(shape)[index].shape)]
    xs = [tg.Tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    loss = (tg.setitem(xs[0] ** 2, xs[1] ** 3, index) ** 2).sum() + (xs[0][index] ** 3 * xs[1]).sum()
    their_loss = (TORCH["setitem"](torch, ts[0] ** 2, ts[1] ** 3, index=index) ** 2).sum()
    their_loss = their_loss + (TORCH["getitem"](torch, ts[0], index=index) ** 3 * ts[1]).sum()
    for order in range(3):
        first = tg.grad(loss, xs, create_graph=True, allow_unused=True)
        their_first = torch.autograd.grad(their_loss, ts, create_graph=True, allow_unused=True)
        loss, their_loss = tg.Tensor(0.0), torch.tensor(0.0, dtype=torch.float64)
        for a, b, x in zip(first, their_first, arrays):
            ours, theirs = np.zeros(x.shape) if a is None else a.data, np.zeros(x.shape) if b is None else b.detach()
            np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11, err_msg=f"order {order + 1}")
            u = rng.normal(size=x.shape)
            if a is not None:
                loss = loss + (a * u).sum()
            if b is not None:
                their_loss = their_loss + (b * torch.tensor(u)).sum()
        if not (loss.requires_grad and their_loss.requires_grad):
            break


@st.composite
def along(draw: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """An array, positions along one of its axes, and the axis."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    own = list(shape)
    own[axis] = draw(st.integers(0, 5))
    positions = draw(hnp.arrays(np.int64, tuple(own), elements=st.integers(0, shape[axis] - 1)))
    x = np.random.default_rng(draw(seeds)).normal(size=shape)
    return x, positions, axis


@examples(300)
@given(case=along(), seed=seeds)
def test_along_an_axis(case: tuple[np.ndarray, np.ndarray, int], seed: int) -> None:
    x, positions, axis = case
    check_moves(
        lambda t: tg.take_along_axis(t, positions, axis), lambda a: np.take_along_axis(a, positions, axis), x, seed=seed
    )
    signed = np.where(np.random.default_rng(seed).random(positions.shape) < 0.5, positions, positions - x.shape[axis])

    def put(a: np.ndarray, v: np.ndarray) -> np.ndarray:
        a = a.copy()
        np.put_along_axis(a, positions, v, axis)
        return a

    values = np.random.default_rng(seed).normal(size=positions.shape)
    check_moves(lambda t, v: tg.put_along_axis(t, signed, v, axis), put, x, values, seed=seed)


@needs_torch
@examples(300)
@given(case=along(), data=st.data(), seed=seeds)
def test_gather_and_scatter_against_torch(
    case: tuple[np.ndarray, np.ndarray, int], data: st.DataObject, seed: int
) -> None:
    """PyTorch's functions: the index may be smaller than x, and the source larger than the index."""
    x, positions, axis = case
    rng = np.random.default_rng(seed)
    corner = tuple(slice(data.draw(st.integers(0, n))) for n in positions.shape)
    index = positions[corner]
    their_index = torch.tensor(index)
    source = rng.normal(size=tuple(n + data.draw(st.integers(0, 2)) for n in index.shape))
    for ours, theirs, arrays in (
        (lambda t: tg.gather(t, axis, index), lambda t: torch.gather(t, axis, their_index), [x]),
        (
            lambda t, s: tg.scatter(t, axis, index, s, reduce="add"),
            lambda t, s: torch.scatter_add(t, axis, their_index, s[tuple(slice(n) for n in index.shape)]),
            [x, source],
        ),
        (
            lambda t, s: tg.index_add(t, axis, np.arange(x.shape[axis])[::-1], s),
            lambda t, s: torch.index_add(t, axis, torch.arange(x.shape[axis] - 1, -1, -1), s),
            [x, rng.normal(size=x.shape)],
        ),
    ):
        xs = [tg.Tensor(a, requires_grad=True) for a in arrays]
        ts = [torch.tensor(a, requires_grad=True) for a in arrays]
        y, z = ours(*xs), theirs(*ts)
        np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=0, atol=1e-14)
        g = rng.normal(size=y.shape)
        first = tg.grad((g * y**2).sum(), xs, create_graph=True)
        their_first = torch.autograd.grad((torch.tensor(g) * z**2).sum(), ts, create_graph=True)
        total, their_total = tg.Tensor(0.0), torch.tensor(0.0, dtype=torch.float64)
        for a, b in zip(first, their_first):
            np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=0, atol=1e-12)
            u = rng.normal(size=a.shape)
            total, their_total = total + (a * u).sum(), their_total + (b * torch.tensor(u)).sum()
        for a, b in zip(tg.grad(total, xs), torch.autograd.grad(their_total, ts)):
            np.testing.assert_allclose(a.data, b.numpy(), rtol=0, atol=1e-12)


@needs_torch
def test_scatter_is_that_of_torch() -> None:
    """Where no place is named twice; there PyTorch's choice is open."""
    x, index, source = A.T.copy(), np.array([[2, 0], [0, 1]]), np.arange(1.0, 7).reshape(3, 2)
    y = tg.scatter(x, 0, index, source)
    np.testing.assert_array_equal(y, torch.scatter(torch.tensor(x), 0, torch.tensor(index), torch.tensor(source)))
    y = tg.scatter(x, 1, index[1:], 5.0)
    np.testing.assert_array_equal(y, torch.scatter(torch.tensor(x), 1, torch.tensor(index[1:]), 5.0))


@needs_torch
def test_table_of_torch_is_complete() -> None:
    """Each operation of these files stands in the table, and the table has no others."""
    files = ("indexing", "selecting")
    own = {op.name for op in OPS.values() if op.__module__.rpartition(".")[2] in files and op.differentiable}
    assert own == set(TORCH)


# --------------------------------------------------------------------------------- what is made of them

BITS = np.array([[True, False, True], [False, False, True]])


def _masked_fill(x: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.where(BITS, v, x)


MOVES: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[tuple[int, ...]]]] = {
    "take flat": (lambda x: tg.take(x, [[5, 0], [-1, 5]]), lambda x: np.take(x, [[5, 0], [-1, 5]]), [(2, 3)]),
    "take rows": (lambda x: tg.take(x, [2, 0, 2], 0), lambda x: np.take(x, [2, 0, 2], 0), [(3, 2)]),
    "take inside": (lambda x: tg.take(x, ORDER, 1), lambda x: np.take(x, ORDER, 1), [(2, 3, 4)]),
    "take wrapped": (
        lambda x: tg.take(x, [-7, 8], -1, "wrap"),
        lambda x: np.take(x, [-7, 8], -1, mode="wrap"),
        [(2, 3)],
    ),
    "take clipped": (
        lambda x: tg.take(x, [-7, 8], -1, mode="clip"),
        lambda x: np.take(x, [-7, 8], -1, mode="clip"),
        [(2, 3)],
    ),
    "put flat": (
        lambda x, v: tg.put_along_axis(x, [0, 5, -6], v, None),
        lambda x, v: slow_setitem(x.reshape(-1), v, np.array([0, 5, 0])).reshape(x.shape),
        [(2, 3), (3,)],
    ),
    "put a number": (
        lambda x, v: tg.put_along_axis(x, ORDER[:, :1], v, 1),
        lambda x, v: slow_setitem(x, v, ([[0], [1]], ORDER[:, :1])),
        [(2, 3), ()],
    ),
    "masked_fill": (lambda x, v: tg.masked_fill(x, BITS, v), _masked_fill, [(2, 3), ()]),
    "masked_fill broadcast": (
        lambda x, v: tg.masked_fill(x, BITS[:, :1], v),
        lambda x, v: np.where(BITS[:, :1], v, x),
        [(2, 3), ()],
    ),
    "masked_select": (lambda x: tg.masked_select(x, BITS), lambda x: x[BITS], [(2, 3)]),
    "masked_select broadcast": (
        lambda x: tg.masked_select(x, tg.Tensor(BITS)),
        lambda x: np.broadcast_to(x, (2, 3))[BITS],
        [(3,)],
    ),
    "compress": (lambda x: tg.compress([1, 0, 1], x, 1), lambda x: np.compress([1, 0, 1], x, 1), [(2, 3)]),
    "extract": (lambda x: tg.extract(BITS, x), lambda x: np.extract(BITS, x), [(2, 3)]),
    "choose": (
        lambda a, b: tg.choose(ORDER % 2, [a, b]),
        lambda a, b: np.choose(ORDER % 2, [a, b]),
        [(2, 3), (3,)],
    ),
    "select": (
        lambda a, b, c: tg.select([BITS, BITS[::-1]], [a, b], c),
        lambda a, b, c: np.select([BITS, BITS[::-1]], [a, b], c),
        [(2, 3), (3,), ()],
    ),
    "scatter": (
        lambda x, v: tg.scatter(x, 1, ORDER, v),
        lambda x, v: slow_setitem(x, v, ([[0], [1]], ORDER)),
        [(2, 3), (2, 3)],
    ),
    "scatter a number": (
        lambda x, v: tg.scatter(x, 1, ORDER[:, :2], v),
        lambda x, v: slow_setitem(x, v, ([[0], [1]], ORDER[:, :2])),
        [(2, 3), ()],
    ),
    "open mesh": (lambda x: x[np.ix_([1, 0], [2, 2, 0])], lambda x: x[np.ix_([1, 0], [2, 2, 0])], [(2, 3)]),
    "nonzero": (lambda x: x[tg.nonzero(tg.Tensor(BITS))], lambda x: x[np.nonzero(BITS)], [(2, 3)]),
}


@pytest.mark.parametrize("name", MOVES)
def test_moves(name: str) -> None:
    ours, numpys, shapes = MOVES[name]
    rng = np.random.default_rng(list(name.encode()))
    check_moves(ours, numpys, *(rng.normal(size=shape) for shape in shapes))


def test_index_add_adds_what_is_named_twice() -> None:
    x, source = tg.Tensor(A, requires_grad=True), tg.Tensor(np.ones((2, 4)), requires_grad=True)
    y = tg.index_add(x, 1, [2, 0, 2, 2], source)
    np.testing.assert_array_equal(y.data, A + [1, 0, 3])
    g = np.arange(6.0).reshape(2, 3)
    y.backward(g)
    np.testing.assert_array_equal(x.grad, g)
    np.testing.assert_array_equal(source.grad, g[:, [2, 0, 2, 2]])


# ----------------------------------------------------------------------------------------- corners


@pytest.mark.parametrize("width", [1, 7, LONG - 1, LONG, LONG + 1])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_of_any_width_are_added_up(width: int, dtype: Any) -> None:
    """Short rows are added number by number, long ones row by row: the same sums, in the dtype of the rows."""
    rng = np.random.default_rng(0)
    ids = rng.integers(-5, 5, size=(3, 4))
    g = rng.integers(-8, 8, size=(3, 4, width)).astype(dtype)  # sums of these are exact
    y = tg.scatter_add(g, index=ids, shape=(5, width))
    assert y.dtype == dtype
    expected = np.zeros((5, width), dtype)
    np.add.at(expected, ids, g)
    np.testing.assert_array_equal(y, expected)


def test_small_index_dtypes_do_not_overflow() -> None:
    """A row number of one byte times the width of a row is more than a byte holds."""
    for dtype in (np.int8, np.uint8, np.int32, np.uint64):
        x = tg.Tensor(np.zeros((100, 50)), requires_grad=True)
        ids = np.array([99, 0, 99], dtype)
        x[ids].backward(np.ones((3, 50)))
        np.testing.assert_array_equal(x.grad[[0, 99, 50]].sum(axis=1), [50, 100, 0])
        x[ids, ids // 2].backward(np.ones(3))
        np.testing.assert_array_equal(x.grad[[0, 99], [0, 49]], [2, 4])


def test_the_index_may_change_afterwards() -> None:
    """What was recorded is the index at that time."""
    x, ids, mask = tg.Tensor(ROW, requires_grad=True), np.array([0, 1]), np.array([True, False, False])
    position = tg.Tensor([2])
    y = x[ids].sum() + (x * 10)[mask].sum() + tg.take(x, ids).sum() + 100 * x[position].sum()
    z = tg.setitem(x, 0.0, ids)
    ids[:], mask[:] = 2, True
    position.data[:] = 0
    y.backward(retain_graph=True)
    np.testing.assert_array_equal(x.grad, [12, 2, 100])
    z.backward([1.0, 2.0, 4.0])
    np.testing.assert_array_equal(x.grad, [12, 2, 104])


def test_numbers_of_shape_nothing() -> None:
    """0-d results, and 0-d tensors with every index that they have."""
    x = tg.Tensor(A, requires_grad=True)
    y = x[1, np.int64(2)]
    assert y.shape == ()
    y.backward()
    np.testing.assert_array_equal(x.grad, [[0, 0, 0], [0, 0, 1]])
    number = tg.Tensor(3.0, requires_grad=True)
    for index, shape in [((), ()), (Ellipsis, ()), (None, (1,)), (True, (1,)), (False, (0,)), ((None, True), (1, 1))]:
        assert number[index].shape == shape
        assert tg.setitem(number, 5.0, index).shape == ()
    tg.setitem(number, 5.0, False).backward()
    assert number.grad == 1


def test_what_is_overwritten_has_no_gradient_at_all() -> None:
    """Not even a NaN gets through: the rules select, they do not multiply."""
    x, v = tg.Tensor([1.0, 2.0], requires_grad=True), tg.Tensor([3.0, 4.0], requires_grad=True)
    tg.setitem(x, v, [0, 0]).backward([np.nan, np.inf])
    np.testing.assert_array_equal(x.grad, [0, np.inf])
    np.testing.assert_array_equal(v.grad, [0, np.nan])


def test_the_last_value_stays() -> None:
    x, v = tg.Tensor(np.zeros(3), requires_grad=True), tg.Tensor([1.0, 2.0, 4.0, 8.0], requires_grad=True)
    y = tg.setitem(x, v, np.array([2, 0, 2, 0]))
    np.testing.assert_array_equal(y.data, [8, 0, 4])
    y.backward([3.0, 5.0, 7.0])
    np.testing.assert_array_equal(x.grad, [0, 5, 0])
    np.testing.assert_array_equal(v.grad, [0, 0, 7, 3])


def test_setitem_leaves_its_inputs_alone() -> None:
    x, v = tg.Tensor(A, requires_grad=True), tg.Tensor(ROW, requires_grad=True)
    y = tg.setitem(x, v, 0)
    np.testing.assert_array_equal(x.data, A)
    assert not np.shares_memory(y.data, x.data)
    assert not np.shares_memory(y.data, v.data)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_dtypes_stay(dtype: Any) -> None:
    """The value takes the dtype of x, and its gradient is in its own."""
    for make in (
        lambda x: tg.setitem(x, 2.0, 0),
        lambda x: tg.setitem(x, np.float64(2), 0),
        lambda x: tg.take(x, [0, 0]),
        lambda x: tg.put_along_axis(x, np.array([0]), 1.5, 0),
        lambda x: tg.masked_fill(x, ROW > 1, -np.inf),
        lambda x: tg.masked_fill(x, ROW > 1, np.float64(-np.inf)),
        lambda x: tg.scatter(x, 0, [0], 1.0),
        lambda x: tg.scatter(x, 0, [0, 0], x, reduce="add"),
        lambda x: tg.select([x > 1], [x]),
        lambda x: tg.choose([0, 1, 0], [x, x]),
    ):
        x = tg.Tensor(ROW.astype(dtype), requires_grad=True)
        y = make(x)
        assert y.dtype == dtype
        y.backward(np.ones(y.shape))
        assert x.grad.dtype == dtype
    x, v = tg.Tensor(ROW.astype(dtype), requires_grad=True), tg.Tensor(ROW, requires_grad=True)
    y = tg.setitem(x, v, slice(None))
    assert y.dtype == dtype
    y.backward(np.ones(3))
    assert (x.grad.dtype, v.grad.dtype) == (dtype, np.float64)


def test_empty_indices_take_and_write_nothing() -> None:
    for index in ([], [[]], np.array([], int), np.zeros(3, bool), slice(0), (slice(None), None, slice(0))[:1]):
        x = tg.Tensor(ROW, requires_grad=True)
        y = x[index]
        y.backward(np.ones(y.shape))
        assert x.grad.sum() == y.size
    x = tg.Tensor(ROW, requires_grad=True)
    tg.setitem(x, 7.0, []).backward(ROW)
    np.testing.assert_array_equal(x.grad, ROW)
    assert tg.take(x, []).shape == (0,)
    assert tg.gather(x, 0, []).shape == (0,)


def test_a_gradient_is_nobody_elses() -> None:
    """Editing one gradient that came through an index leaves others alone."""
    x, z = tg.Tensor(ROW, requires_grad=True), tg.Tensor(ROW, requires_grad=True)
    g = np.arange(3.0)
    tg.setitem(x, z[::1], slice(None)).backward(g)
    z.grad[:] = 9
    np.testing.assert_array_equal(g, np.arange(3.0))
    np.testing.assert_array_equal(x.grad, 0)


@pytest.mark.parametrize("layout", ["C", "F"])
def test_parts_are_added_into_one_gradient(layout: Any) -> None:
    """The gradient of the first part is as large as x; the others are added to it where they belong."""
    a = np.asarray(np.random.default_rng(0).normal(size=(4, 5)), order=layout)
    x, z = tg.Tensor(a, requires_grad=True), tg.Tensor(3.0, requires_grad=True)
    indices = [0, (slice(None), 1), [0, 0, 3], ([1, 1], [2, 2]), a > 0, (Ellipsis, None, 2), 0]
    parts = [*(x[index] for index in indices), np.sin(x) * 0]  # the last one is swept first: its layout is that of x
    weights = [np.random.default_rng(1).normal(size=part.shape) for part in parts]
    tg.backward(parts, weights)
    expected = sum(slow_scatter_add(w, index, a.shape) for w, index in zip(weights, indices))
    np.testing.assert_allclose(x.grad, expected, rtol=0, atol=1e-13)
    tg.backward([z[None], z[()], z[None, None], z * 2], [[1.0], 2.0, [[4.0]], 8.0])
    assert z.grad == 23


def test_a_loop_over_parts_costs_no_more_than_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros as large as x are made for one part, not for each of them."""
    op = tg.op.OPS["scatter_add"]
    forward, calls = op.forward, []
    monkeypatch.setattr(op, "forward", lambda *args, **params: calls.append(args) or forward(*args, **params))
    x = tg.Tensor(np.ones((50, 3)), requires_grad=True)
    total = 0
    for row in x:
        total = total + row * row
    total.sum().backward()
    assert len(calls) == 1
    np.testing.assert_array_equal(x.grad, 2)


def test_positions_have_no_gradient() -> None:
    x = tg.Tensor(A, requires_grad=True)
    for y in (tg.argwhere(x), *tg.nonzero(x), tg.flatnonzero(x), tg.searchsorted(x[0], x), tg.digitize(x, [0.0])):
        assert not y.requires_grad
        assert y.dtype.kind == "i"


X, V = tg.Tensor(np.ones((2, 3)), requires_grad=True), tg.Tensor(np.ones(3), requires_grad=True)
ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: X[2], IndexError, "getitem: index 2 is out of bounds for axis 0 with size 2 (a tensor of shape (2, 3))"),
    (lambda: X[[0, 2]], IndexError, "getitem: index 2 is out of bounds for axis 0 with size 2"),
    (lambda: X[:, [-4]], IndexError, "getitem: index -4 is out of bounds for axis 1 with size 3"),
    (lambda: X[0, 0, 0], IndexError, "getitem: too many indices"),
    (lambda: X[0.5], IndexError, "getitem: only integers"),
    (lambda: X[V], IndexError, "getitem: arrays used as indices must be of integer (or boolean) type"),
    (lambda: X[np.ones(3, bool)], IndexError, "getitem: boolean index did not match"),
    (lambda: X[[0, 1], [0, 1, 2]], IndexError, "getitem: shape mismatch"),
    (lambda: tg.scatter_add(V, [0, 1, 5], (4,)), IndexError, "scatter_add: index 5 is out of bounds"),
    (lambda: tg.scatter_add(V, [0, 1, -5], (4,)), IndexError, "scatter_add: index -5 is out of bounds"),
    (lambda: tg.scatter_add(V, ([0, 1, 1], [0, 1, 1]), (4,)), IndexError, "scatter_add: too many indices"),
    (lambda: tg.scatter_add(V, [0, 1], (4,)), tg.ShapeError, "scatter_add: (3,) does not fit"),
    (lambda: tg.scatter_add(V, [0.0, 1.0, 2.0], (4,)), IndexError, "scatter_add: only integers, slices"),
    (lambda: tg.setitem(V, 1.0, 3), IndexError, "setitem: index 3 is out of bounds for axis 0 with size 3 (a tensor"),
    (lambda: tg.setitem(X, V[:2], 0), tg.ShapeError, "setitem: a value of shape (2,) into an index that names (3,)"),
    (lambda: tg.setitem(X, X, 0), tg.ShapeError, "setitem: a value of shape (2, 3) into an index that names (3,)"),
    (lambda: tg.setitem(tg.Tensor([1, 2]), 0.5, 0), tg.DtypeError, "setitem: float64 into int64 would cut"),
    (lambda: tg.setitem(tg.Tensor([1, 2]), V[0], 0), tg.DtypeError, "setitem: float64 into int64"),
    (lambda: tg.take(X, 2, 0), IndexError, "take: index 2 is out of bounds for axis 0"),
    (lambda: tg.take(X, 0, 2), tg.ShapeError, "take: axis 2 of a tensor of shape (2, 3)"),
    (lambda: tg.take(X, 0.5), tg.DtypeError, "take: positions of dtype float64"),
    (lambda: tg.take(X[:0], [0], 0), IndexError, "take: axis 0 of shape (0, 3) is empty"),
    (lambda: tg.take(X, 0, mode="round"), ValueError, "take: mode 'round'"),  # type: ignore[arg-type]
    (lambda: tg.take_along_axis(X, [0, 1], 1), tg.ShapeError, "take_along_axis: positions of shape (2,) for (2, 3)"),
    (lambda: tg.take_along_axis(X, [[0.5]], 1), IndexError, "take_along_axis: positions of dtype float64"),
    (lambda: tg.take_along_axis(X, [[3]], 1), IndexError, "take_along_axis: index 3 is out of bounds"),
    (lambda: tg.take_along_axis(X, [[0]], 2), tg.ShapeError, "take_along_axis: axis 2 of a tensor"),
    (lambda: tg.take_along_axis(X, [[0], [0], [0]], 1), IndexError, "take_along_axis: shape mismatch"),
    (lambda: tg.put_along_axis(X, [[3]], 1.0, 1), IndexError, "put_along_axis: index 3 is out of bounds"),
    (lambda: tg.put_along_axis(X, [[0]], [1.0, 2.0], 1), tg.ShapeError, "put_along_axis: a value of shape (2,)"),
    (lambda: tg.gather(X, 1, [[3]]), IndexError, "gather: index 3 is out of bounds"),
    (lambda: tg.gather(X, 1, [[-1]]), IndexError, "gather: index -1 is negative"),
    (lambda: tg.gather(X, 1, [0]), tg.ShapeError, "gather: index of shape (1,) for (2, 3)"),
    (lambda: tg.gather(X, 1, [[0], [0], [0]]), tg.ShapeError, "gather: index of shape (3, 1) is larger than (2, 3)"),
    (lambda: tg.gather(X, 1, [[0.5]]), tg.DtypeError, "gather: positions of dtype float64"),
    (lambda: tg.scatter(X, 1, [[0, 1]], [[1.0]]), tg.ShapeError, "scatter: src of shape (1, 1) is smaller"),
    (lambda: tg.scatter(X, 1, [[3]], 1.0), IndexError, "scatter: index 3 is out of bounds"),
    (lambda: tg.scatter(X, 1, [[3]], [[1.0]], reduce="add"), IndexError, "scatter: index 3 is out of bounds"),
    (lambda: tg.scatter(X, 1, [[0]], 1.0, reduce="mul"), ValueError, "scatter: reduce 'mul'"),  # type: ignore[arg-type]
    (lambda: tg.index_add(X, 1, [0, 1], X), tg.ShapeError, "index_add: source (2, 3) and index (2,) for (2, 3)"),
    (lambda: tg.index_add(V, 0, [-1], V[:1]), IndexError, "index_add: index -1 is negative"),
    (lambda: tg.index_add(V, 0, [3], V[:1]), IndexError, "index_add: index 3 is out of bounds"),
    (lambda: tg.masked_fill(X, [1, 0, 1], 0.0), tg.DtypeError, "masked_fill: a mask of dtype int64"),
    (lambda: tg.masked_fill(X, X.data > 0, V), tg.ShapeError, "masked_fill: a value of shape (3,)"),
    (lambda: tg.masked_select(X, [1, 0, 1]), tg.DtypeError, "masked_select: a mask of dtype int64"),
    (lambda: tg.masked_select(X, [True, False]), tg.ShapeError, "shapes (2, 3), (2,) do not broadcast"),
    (lambda: tg.compress([[True]], X), tg.ShapeError, "compress: a condition of shape (1, 1)"),
    (lambda: tg.compress([0, 0, 0, 1], V), IndexError, "compress: the condition is true at 3"),
    (lambda: tg.compress([1], X, axis=2), tg.ShapeError, "compress: axis 2 of a tensor"),
    (lambda: tg.choose([0, 2, 0], [V, V]), IndexError, "choose: numbers from 0 to 2 for 2 choices"),
    (lambda: tg.choose([0, -1, 0], [V, V]), IndexError, "choose: numbers from -1 to 0 for 2 choices"),
    (lambda: tg.choose([0], []), tg.ShapeError, "choose: at least one choice"),
    (lambda: tg.choose([0], [V], mode="up"), ValueError, "choose: mode 'up'"),  # type: ignore[arg-type]
    (lambda: tg.select([V > 0], [V, V]), tg.ShapeError, "select: 1 conditions for 2 choices"),
    (lambda: tg.select([], []), tg.ShapeError, "select: 0 conditions for 0 choices"),
    (lambda: tg.select([V], [V]), tg.DtypeError, "select: a condition of dtype float64"),
    (lambda: tg.nonzero(tg.Tensor(1.0)), tg.ShapeError, "nonzero: a number has no positions"),
    (lambda: tg.searchsorted(X, 1.0), tg.ShapeError, "searchsorted: "),
    (lambda: np.put_along_axis(X, np.array([[0]]), 1.0, 1), TypeError, "np.put_along_axis is not recorded"),
]


@pytest.mark.parametrize(("call", "kind", "words"), ERRORS)
def test_errors_say_what_would_work(call: Callable[[], Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=re.escape(words)):
        call()
