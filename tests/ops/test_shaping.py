"""Shapes, joining, splitting, repeating: NumPy's functions on Tensors, corners, errors, and random shapes and axes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_edu as tg
from tests.ops.moving import check_moves, examples, outputs
from tests.ops.torch_shaping import TORCH
from tinygrad_edu.op import NUMPY, OPS

try:
    import torch
except ImportError:  # a skip nobody reads would be a hole in the gate: there the oracle has to be
    if os.environ.get("CI"):
        raise
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is the oracle here")

A, B = np.array([[0.6, 1.5], [0.9, 0.7]]), np.array([[1.2, 0.8], [0.5, 1.1]])
ROW = np.array([0.6, 1.5, 0.9])
CUBE = np.arange(24.0).reshape(2, 3, 4) / 10 + 0.1

# How each NumPy function is called.  Every one of them must do on Tensors what it does on arrays.
NUMPY_CALLS: dict[Any, list[Callable[..., Any]]] = {
    np.empty_like: [lambda f, t: f(t(A)) * 0, lambda f, t: f(t(A), dtype=np.float32, shape=(3,)) * 0],
    np.full_like: [lambda f, t: f(t(A), 2.5), lambda f, t: f(t(A), 7, dtype=int), lambda f, t: f(t(A), 1.5, shape=3)],
    np.zeros_like: [lambda f, t: f(t(A), shape=(3,))],
    np.ones_like: [lambda f, t: f(t(A), dtype=bool, shape=(3, 1))],
    np.rollaxis: [lambda f, t: f(t(CUBE), 2), lambda f, t: f(t(CUBE), -1, 1), lambda f, t: f(t(CUBE), 0, 3)],
    np.atleast_1d: [lambda f, t: f(t(np.array(0.5))), lambda f, t: f(t(A)), lambda f, t: f(t(np.array(0.5)), t(A))],
    np.atleast_2d: [lambda f, t: f(t(np.array(0.5))), lambda f, t: f(t(ROW)), lambda f, t: f(t(CUBE), ROW)],
    np.atleast_3d: [lambda f, t: f(t(np.array(0.5))), lambda f, t: f(t(ROW), t(A)), lambda f, t: f(t(CUBE))],
    np.broadcast_arrays: [lambda f, t: f(t(A), t(A[:, :1])), lambda f, t: f(t(ROW), A[:, :1], 2.0)],
    np.meshgrid: [
        lambda f, t: f(t(ROW), t(A[0])),
        lambda f, t: f(t(ROW), t(A[0]), indexing="ij"),
        lambda f, t: f(t(ROW), t(A[0]), t(A[1]), sparse=True),
        lambda f, t: f(t(ROW), t(A), indexing="xy", copy=False),
        lambda f, t: f(t(ROW)),
    ],
    np.concatenate: [lambda f, t: f([t(A), B], axis=1, dtype=np.float32), lambda f, t: f(t(CUBE))],
    np.stack: [lambda f, t: f([t(A), t(B)], 2, dtype=np.float32), lambda f, t: f(t(CUBE), axis=-1)],
    np.vstack: [lambda f, t: f([t(A), t(A[0])]), lambda f, t: f((t(ROW), ROW)), lambda f, t: f(t(CUBE))],
    np.hstack: [lambda f, t: f([t(A), t(B)]), lambda f, t: f([t(ROW), t(A[0])]), lambda f, t: f([t(A[0, 0]), 1.0])],
    np.dstack: [lambda f, t: f([t(A), t(B)]), lambda f, t: f([t(ROW), ROW])],
    np.column_stack: [lambda f, t: f([t(A[0]), t(A)]), lambda f, t: f([t(ROW), ROW])],
    np.block: [
        lambda f, t: f([[t(A), t(A[:, :1])], [t(ROW[None])]]),
        lambda f, t: f([t(ROW), t(A[0]), 2.0]),
        lambda f, t: f([[t(A)], [t(A[0])]]),
        lambda f, t: f([[[t(ROW), 1.0]], [[t(ROW), 2.0]]]),
        lambda f, t: f([t(CUBE), CUBE]),
        lambda f, t: f([[t(CUBE), CUBE], [t(CUBE), CUBE]]),
        lambda f, t: f(t(ROW)),
    ],
    np.append: [
        lambda f, t: f(t(A), t(ROW)),
        lambda f, t: f(t(A), t(B), axis=1),
        lambda f, t: f(t(A), [[1.0, 2.0]], 0),
    ],
    np.split: [lambda f, t: f(t(A), 2), lambda f, t: f(t(CUBE), [1, 3, -1, 9], axis=-1), lambda f, t: f(t(ROW), [])],
    np.array_split: [lambda f, t: f(t(ROW), 2), lambda f, t: f(t(ROW), 5), lambda f, t: f(t(CUBE), 3, 2)],
    np.hsplit: [lambda f, t: f(t(A), 2), lambda f, t: f(t(ROW), [1])],
    np.vsplit: [lambda f, t: f(t(A), [1])],
    np.dsplit: [lambda f, t: f(t(CUBE), 2)],
    np.delete: [
        lambda f, t: f(t(A), 1),
        lambda f, t: f(t(CUBE), [0, -1], axis=2),
        lambda f, t: f(t(CUBE), slice(None, None, 2), -2),
        lambda f, t: f(t(ROW), np.array([True, False, True])),
    ],
    np.insert: [
        lambda f, t: f(t(ROW), 1, t(A[0])),
        lambda f, t: f(t(ROW), [1, 1, 3], [7.0, 8.0, 9.0]),
        lambda f, t: f(A, 1, t(A[0]), axis=1),
        lambda f, t: f(t(CUBE), [0, 2], t(A[:, None]), axis=-1),
        lambda f, t: f(t(CUBE), -1, 0.5, axis=0),
        lambda f, t: f(t(A), slice(0, 2), 5, axis=0),
    ],
    np.flip: [lambda f, t: f(t(CUBE)), lambda f, t: f(t(CUBE), 1), lambda f, t: f(t(CUBE), axis=(0, -1))],
    np.fliplr: [lambda f, t: f(t(CUBE))],
    np.flipud: [lambda f, t: f(t(ROW))],
    np.rot90: [lambda f, t: f(t(A)), lambda f, t: f(t(CUBE), -3, (2, 0)), lambda f, t: f(t(CUBE), k=2, axes=(1, -1))],
    np.roll: [
        lambda f, t: f(t(CUBE), 5),
        lambda f, t: f(t(CUBE), -1, axis=1),
        lambda f, t: f(t(CUBE), (1, 2), (0, -1)),
        lambda f, t: f(t(CUBE), 2, axis=(0, 2)),
    ],
    np.repeat: [
        lambda f, t: f(t(A), 2),
        lambda f, t: f(t(CUBE), 3, axis=1),
        lambda f, t: f(t(CUBE), [2, 0, 1], axis=-2),
        lambda f, t: f(t(ROW), [2]),
        lambda f, t: f(t(ROW), 0),
    ],
    np.tile: [lambda f, t: f(t(ROW), 2), lambda f, t: f(t(A), (2, 1, 3)), lambda f, t: f(t(CUBE), [2])],
    np.pad: [
        lambda f, t: f(t(A), 1),
        lambda f, t: f(t(A), (1, 2), constant_values=3),
        lambda f, t: f(t(A), ((1, 0), (0, 2)), "constant", constant_values=((1, 2), (3, 4))),
        lambda f, t: f(t(CUBE), 2, "edge"),
        lambda f, t: f(t(CUBE), ((0, 0), (5, 4), (3, 1)), mode="reflect"),
        lambda f, t: f(t(CUBE), ((1,), (7,), (0,)), mode="symmetric"),
        lambda f, t: f(t(CUBE), (1, 6), mode="wrap"),
        lambda f, t: f(t(CUBE[:0]), ((0, 0), (1, 0), (2, 2)), "edge"),
    ],
}
if np.lib.NumpyVersion(np.__version__) >= "2.1.0":  # functions and keywords that came later
    NUMPY_CALLS[np.unstack] = [lambda f, t: f(t(CUBE)), lambda f, t: f(t(CUBE), axis=-1)]
if np.lib.NumpyVersion(np.__version__) >= "2.3.0":
    NUMPY_CALLS[np.pad] += [lambda f, t: f(t(CUBE), {-1: (1, 2), 0: 1}), lambda f, t: f(t(CUBE), {1: 2}, "edge")]


def as_tensor(x: Any) -> tg.Tensor:
    return tg.Tensor(x, requires_grad=np.asarray(x).dtype.kind == "f")


FRESH = (np.empty_like, np.full_like, np.zeros_like, np.ones_like)


def check_numpy_function(function: Any, call: Callable[..., Any]) -> None:
    """np.f(tensor) has the values, shapes, dtypes and containers of np.f(array), and keeps the graph."""
    expected, got = call(function, lambda x: x), call(function, as_tensor)
    assert type(got) is type(expected) or isinstance(got, tg.Tensor)
    assert len(outputs(got)) == len(outputs(expected))
    for ours, theirs in zip(outputs(got), outputs(expected)):
        assert ours.dtype == theirs.dtype
        assert ours.shape == np.shape(theirs)
        np.testing.assert_array_equal(ours.data if isinstance(ours, tg.Tensor) else ours, theirs)
    if function not in FRESH:  # of several results, one at least comes from a tensor
        floats = [y for y in outputs(got) if isinstance(y, tg.Tensor) and y.dtype.kind == "f"]
        assert any(y.requires_grad for y in floats) or not floats


@pytest.mark.parametrize("function", [pytest.param(f, id=f.__name__) for f in NUMPY_CALLS])
def test_numpy_function_on_tensors(function: Any) -> None:
    assert function in NUMPY
    for call in NUMPY_CALLS[function]:
        check_numpy_function(function, call)


# ------------------------------------------------------------------------------- values and gradients

MOVES: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[tuple[int, ...]]]] = {
    "atleast_3d": (tg.atleast_3d, np.atleast_3d, [(3, 4)]),
    "atleast_2d several": (tg.atleast_2d, np.atleast_2d, [(3,), (), (2, 2)]),
    "meshgrid": (tg.meshgrid, np.meshgrid, [(3,), (2,), (4,)]),
    "meshgrid ij": (lambda *x: tg.meshgrid(*x, indexing="ij"), lambda *x: np.meshgrid(*x, indexing="ij"), [(3,), (2,)]),
    "broadcast_arrays": (tg.broadcast_arrays, np.broadcast_arrays, [(3, 1), (4,), (2, 1, 1)]),
    "flatten": (lambda x: tg.flatten(x, 1), lambda x: x.reshape(2, -1), [(2, 3, 4)]),
    "flatten all": (tg.flatten, np.ravel, [(2, 3)]),
    "flatten number": (tg.flatten, np.ravel, [()]),
    "vstack": (lambda *x: tg.vstack(x), lambda *x: np.vstack(x), [(3,), (2, 3)]),
    "hstack": (lambda *x: tg.hstack(x), lambda *x: np.hstack(x), [(2, 1), (2, 3)]),
    "dstack": (lambda *x: tg.dstack(x), lambda *x: np.dstack(x), [(2, 3), (2, 3, 2)]),
    "column_stack": (lambda *x: tg.column_stack(x), lambda *x: np.column_stack(x), [(3,), (3, 2)]),
    "block": (
        lambda a, b, c, d: tg.block([[a, b], [c, d]]),
        lambda a, b, c, d: np.block([[a, b], [c, d]]),
        [(2, 2), (2, 1), (1, 2), ()],
    ),
    "append": (tg.append, np.append, [(2, 2), (3,)]),
    "append axis": (lambda a, b: tg.append(a, b, -1), lambda a, b: np.append(a, b, -1), [(2, 2), (2, 3)]),
    "same tensor twice": (lambda x: tg.concatenate([x, x[::-1], x]), lambda x: np.concatenate([x, x[::-1], x]), [(3,)]),
    "split": (lambda x: tg.split(x, [1, 3], axis=1), lambda x: np.split(x, [1, 3], axis=1), [(2, 5)]),
    "hsplit": (lambda x: tg.hsplit(x, 2), lambda x: np.hsplit(x, 2), [(2, 4)]),
    "vsplit": (lambda x: tg.vsplit(x, 2), lambda x: np.vsplit(x, 2), [(2, 4)]),
    "dsplit": (lambda x: tg.dsplit(x, 2), lambda x: np.dsplit(x, 2), [(2, 1, 4)]),
    "overlapping parts": (lambda x: tg.split(x, [3, 1]), lambda x: np.split(x, [3, 1]), [(5,)]),
    "unstack": (
        lambda x: tg.unstack(x, -2),
        lambda x: tuple(np.moveaxis(x, -2, 0)),
        [(2, 3, 4)],
    ),
    "delete": (lambda x: tg.delete(x, [0, -1], 1), lambda x: np.delete(x, [0, -1], 1), [(2, 4)]),
    "delete by a tensor": (lambda x: tg.delete(x, tg.Tensor([1])), lambda x: np.delete(x, [1]), [(2, 2)]),
    "insert": (lambda x, v: tg.insert(x, [1, 3], v, 1), lambda x, v: np.insert(x, [1, 3], v, 1), [(2, 4), (2, 2)]),
    "insert one": (lambda x, v: tg.insert(x, 1, v, 0), lambda x, v: np.insert(x, 1, v, 0), [(2, 4), (4,)]),
    "insert flat": (lambda x, v: tg.insert(x, 2, v), lambda x, v: np.insert(x, 2, v), [(2, 2), (3,)]),
    "repeat counts": (
        lambda x: tg.repeat(x, tg.Tensor([2, 0, 1, 3]), 1),
        lambda x: np.repeat(x, [2, 0, 1, 3], 1),
        [(2, 4)],
    ),
    "repeat flat": (lambda x: tg.repeat(x, 3), lambda x: np.repeat(x, 3), [(2, 2)]),
    "tile": (lambda x: tg.tile(x, (2, 1, 3)), lambda x: np.tile(x, (2, 1, 3)), [(2, 2)]),
    "tile of a number": (lambda x: tg.tile(x, 3), lambda x: np.tile(x, 3), [()]),
    "pad far": (lambda x: tg.pad(x, 7, "reflect"), lambda x: np.pad(x, 7, "reflect"), [(3, 2)]),
    "roll": (lambda x: tg.roll(x, (1, -2), (0, 1)), lambda x: np.roll(x, (1, -2), (0, 1)), [(3, 4)]),
    "rollaxis": (lambda x: tg.rollaxis(x, -1, 1), lambda x: np.rollaxis(x, -1, 1), [(2, 3, 4)]),
}


@pytest.mark.parametrize("name", MOVES)
def test_moves(name: str) -> None:
    ours, numpys, shapes = MOVES[name]
    rng = np.random.default_rng(list(name.encode()))
    check_moves(ours, numpys, *(rng.normal(size=shape) for shape in shapes))


def agree(ours: Callable[..., Any], theirs: Callable[..., Any], *arrays: np.ndarray) -> None:
    """Values, gradients, and gradients of the gradients of the cubes of all outputs, against PyTorch."""
    rng = np.random.default_rng(1)
    xs = [tg.Tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    ys, zs = outputs(ours(*xs)), outputs(theirs(*ts))
    assert len(ys) == len(zs)
    loss, their_loss = tg.Tensor(0.0), torch.tensor(0.0, dtype=torch.float64)
    for y, z in zip(ys, zs):
        assert y.shape == tuple(z.shape)
        np.testing.assert_array_equal(y.data, z.detach().numpy())
        g = rng.normal(size=y.shape)
        loss, their_loss = loss + (g * y**3).sum(), their_loss + (torch.tensor(g) * z**3).sum()
    first = tg.grad(loss, xs, create_graph=True)
    their_first = torch.autograd.grad(their_loss, ts, create_graph=True)
    total, their_total = tg.Tensor(0.0), torch.tensor(0.0, dtype=torch.float64)
    for a, b in zip(first, their_first):
        np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=0, atol=1e-12)
        u = rng.normal(size=a.shape)
        total, their_total = total + (u * a).sum(), their_total + (torch.tensor(u) * b).sum()
    for a, b in zip(tg.grad(total, xs), torch.autograd.grad(their_total, ts)):
        np.testing.assert_allclose(a.data, b.numpy(), rtol=0, atol=1e-12)


@needs_torch
@pytest.mark.parametrize("n", [0, 1, 5, 6, 7])
@pytest.mark.parametrize("chunks", [1, 2, 3, 4, 9])
def test_chunk_is_that_of_torch(n: int, chunks: int) -> None:
    x = np.random.default_rng(n).normal(size=(2, n))
    agree(lambda t: tg.chunk(t, chunks, -1), lambda t: torch.chunk(t, chunks, -1), x)


@needs_torch
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda t: tg.array_split(t, 3, 2), lambda t: torch.tensor_split(t, 3, 2)),
        (lambda t: tg.split(t, [1, 3], -1), lambda t: torch.tensor_split(t, [1, 3], -1)),
        (lambda t: tg.unstack(t, 1), lambda t: torch.unbind(t, 1)),
        (lambda t: tg.rot90(t, 3, (0, 2)), lambda t: torch.rot90(t, 3, (0, 2))),
        (lambda t: tg.flatten(t, 0, 1), lambda t: torch.flatten(t, 0, 1)),
        (lambda t: tg.flatten(t, -2), lambda t: torch.flatten(t, -2)),
        (lambda t: tg.repeat(t, [1, 2, 0], 1), lambda t: t.repeat_interleave(torch.tensor([1, 2, 0]), 1)),
        (lambda t: tg.tile(t, (2, 3)), lambda t: torch.tile(t, (2, 3))),
        (lambda t: tg.fliplr(t), lambda t: torch.fliplr(t)),
        (lambda t: tg.hstack([t, t]), lambda t: torch.hstack([t, t])),
        (lambda t: tg.dstack([t, t]), lambda t: torch.dstack([t, t])),
        (lambda t: tg.column_stack([t[0, 0], t[1]]), None),
        (
            lambda t: tg.pad(t, ((0, 0), (0, 0), (3, 2)), "reflect"),
            lambda t: torch.nn.functional.pad(t, (3, 2), mode="reflect"),
        ),
        (
            lambda t: tg.pad(t, ((0, 0), (0, 0), (3, 2)), "edge"),
            lambda t: torch.nn.functional.pad(t, (3, 2), mode="replicate"),
        ),
        (
            lambda t: tg.pad(t, ((0, 0), (0, 0), (3, 2)), "wrap"),
            lambda t: torch.nn.functional.pad(t, (3, 2), mode="circular"),
        ),
    ],
)
def test_functions_of_torch(ours: Any, theirs: Any) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    if theirs is None:
        ours, theirs = (lambda t: tg.column_stack([t[0, 0], t[1].T])), (lambda t: torch.column_stack([t[0, 0], t[1].T]))
    agree(ours, theirs, x)


@needs_torch
def test_table_of_torch_is_complete() -> None:
    """Each operation of these files stands in the table, and the table has no others."""
    files = ("shaping", "joining", "rearranging")
    own = {op.name for op in OPS.values() if op.__module__.rpartition(".")[2] in files and op.differentiable}
    assert own == set(TORCH)


# ---------------------------------------------------------------------------- random shapes and axes

seeds = st.integers(0, 2**32 - 1)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
some_axes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)


def layouts(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers in C order, in Fortran's, or as a view that runs backwards with gaps."""
    kind = rng.integers(3)
    if kind == 0:
        return np.asarray(rng.normal(size=shape))
    if kind == 1:
        return np.asfortranarray(rng.normal(size=shape)) if shape else np.asarray(rng.normal())
    wide = rng.normal(size=tuple(2 * n for n in shape))
    return np.asarray(wide[tuple(slice(None, None, -2) for _ in shape)])


@examples(150)
@given(shape=shapes, data=st.data(), seed=seeds)
def test_flip_and_roll(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    x = layouts(np.random.default_rng(seed), shape)
    axes = data.draw(st.one_of(st.none(), hnp.valid_tuple_axes(len(shape))))
    check_moves(lambda t: tg.flip(t, axes), lambda a: np.flip(a, axes), x, seed=seed)
    axes = axes if shape else None  # NumPy itself can't roll a number along axis=()
    shift: Any = data.draw(st.integers(-9, 9))
    if axes is not None and data.draw(st.booleans()):
        shift = tuple(data.draw(st.integers(-5, 5)) for _ in axes)
    check_moves(lambda t: tg.roll(t, shift, axes), lambda a: np.roll(a, shift, axes), x, seed=seed)


@examples(100)
@given(shape=hnp.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=4), data=st.data(), seed=seeds)
def test_turning(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    x = layouts(np.random.default_rng(seed), shape)
    n = len(shape)
    i, j = data.draw(st.permutations(range(n)))[:2]
    axes, k = (i, j - n), data.draw(st.integers(-5, 5))
    check_moves(lambda t: tg.rot90(t, k, axes), lambda a: np.rot90(a, k, axes), x, seed=seed)
    start = data.draw(st.integers(-n, n))
    check_moves(lambda t: tg.rollaxis(t, i - n, start), lambda a: np.rollaxis(a, i - n, start), x, seed=seed)


@examples(150)
@given(shape=some_axes, data=st.data(), seed=seeds)
def test_repeat_and_tile(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    x = layouts(np.random.default_rng(seed), shape)
    axis = data.draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    length = x.size if axis is None else shape[axis]
    count: Any = data.draw(st.integers(0, 3))
    counts: Any = data.draw(st.lists(st.integers(0, 3), min_size=length, max_size=length))
    for c in (count, counts):
        check_moves(lambda t: tg.repeat(t, c, axis), lambda a: np.repeat(a, c, axis), x, seed=seed)  # noqa: B023
    reps = data.draw(st.one_of(st.integers(0, 3), st.lists(st.integers(0, 2), max_size=4).map(tuple)))
    check_moves(lambda t: tg.tile(t, reps), lambda a: np.tile(a, reps), x, seed=seed)


@examples(200)
@given(shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=4), data=st.data(), seed=seeds)
def test_pad(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    x = layouts(np.random.default_rng(seed), shape)
    mode = data.draw(st.sampled_from(["constant", "edge", "reflect", "symmetric", "wrap"]))
    width = st.integers(0, 6)
    widths = data.draw(
        st.one_of(width, st.tuples(width, width), st.tuples(*[st.tuples(width, width)] * max(len(shape), 1)))
    )
    if not shape and isinstance(widths, tuple) and isinstance(widths[0], tuple):
        widths = widths[0]
    check_moves(lambda t: tg.pad(t, widths, mode), lambda a: np.pad(a, widths, mode), x, seed=seed)


@examples(150)
@given(shape=some_axes, data=st.data(), seed=seeds)
def test_splitting(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    x = layouts(np.random.default_rng(seed), shape)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    where: Any = data.draw(st.one_of(st.integers(1, 6), st.lists(st.integers(-5, 5), max_size=4)))
    check_moves(lambda t: tg.array_split(t, where, axis), lambda a: np.array_split(a, where, axis), x, seed=seed)
    even = where if isinstance(where, list) else (shape[axis] or 1)
    check_moves(lambda t: tg.split(t, even, axis), lambda a: np.split(a, even, axis), x, seed=seed)
    check_moves(lambda t: tg.unstack(t, axis), lambda a: tuple(np.moveaxis(a, axis, 0)), x, seed=seed)
    positions = data.draw(st.lists(st.integers(-shape[axis], shape[axis] - 1), max_size=3)) if shape[axis] else []
    check_moves(lambda t: tg.delete(t, positions, axis), lambda a: np.delete(a, positions, axis), x, seed=seed)


@examples(150)
@given(shape=some_axes, count=st.integers(1, 4), data=st.data(), seed=seeds)
def test_joining(shape: tuple[int, ...], count: int, data: st.DataObject, seed: int) -> None:
    rng = np.random.default_rng(seed)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    parts = []
    for _ in range(count):
        own = list(shape)
        own[axis] = data.draw(st.integers(0, 3))
        parts.append(layouts(rng, tuple(own)))
    for a in (axis, None):
        check_moves(lambda *t: tg.concatenate(t, a), lambda *t: np.concatenate(t, a), *parts, seed=seed)  # noqa: B023
    same = [layouts(rng, shape) for _ in range(count)]
    new = data.draw(st.integers(-len(shape) - 1, len(shape)))
    check_moves(lambda *t: tg.stack(t, new), lambda *t: np.stack(t, new), *same, seed=seed)
    for ours, numpys in ((tg.vstack, np.vstack), (tg.hstack, np.hstack), (tg.dstack, np.dstack)):
        check_moves(lambda *t: ours(t), lambda *t: numpys(t), *same, seed=seed)  # noqa: B023


@examples(150)
@given(shape=some_axes, data=st.data(), seed=seeds)
def test_insert(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    """Wherever NumPy inserts, and whatever it broadcasts: numbers, rows, one or several positions."""
    rng = np.random.default_rng(seed)
    x = layouts(rng, shape)
    axis = data.draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    length = x.size if axis is None else shape[axis]
    place: Any = data.draw(st.one_of(st.integers(-length, length), st.lists(st.integers(0, length), max_size=3)))
    count = len(place) if isinstance(place, list) else 1
    slot = (count,) if axis is None else tuple(count if i == axis % len(shape) else n for i, n in enumerate(shape))
    values = layouts(rng, data.draw(st.sampled_from([(), slot])))
    check_moves(lambda t, v: tg.insert(t, place, v, axis), lambda a, v: np.insert(a, place, v, axis), x, values)


# ----------------------------------------------------------------------------------------- corners


def test_full_like_keeps_the_gradient_of_its_number() -> None:
    fill = tg.Tensor(2.0, requires_grad=True)
    y = np.full_like(tg.Tensor(A), fill)
    assert y.shape == A.shape
    (y * A).sum().backward()
    np.testing.assert_allclose(fill.grad, A.sum())


def test_parts_are_views() -> None:
    """Splitting, flipping and changing axes copy nothing."""
    x = tg.Tensor(CUBE)
    for y in (*tg.split(x, 3, 1), *tg.chunk(x, 2), *tg.unstack(x), tg.flip(x), tg.rot90(x), tg.atleast_3d(x)):
        assert np.shares_memory(y.data, x.data)


@pytest.mark.parametrize("make", [tg.flip, lambda x: tg.roll(x, 1), lambda x: tg.tile(x, 2), lambda x: tg.repeat(x, 2)])
def test_a_gradient_is_nobody_elses(make: Callable[[Any], Any]) -> None:
    """The gradient that a leaf receives can be edited without another one changing."""
    x, z = tg.Tensor([1.0, 2.0], requires_grad=True), tg.Tensor([3.0, 4.0], requires_grad=True)
    y = make(x + z)
    g = np.arange(1.0, y.size + 1).reshape(y.shape)
    y.backward(g)
    before = z.grad.copy()
    x.grad[...] = 100
    np.testing.assert_array_equal(z.grad, before)
    np.testing.assert_array_equal(g, np.arange(1.0, y.size + 1).reshape(y.shape))


def test_nan_and_inf_move_as_numbers_do() -> None:
    x = tg.Tensor([np.nan, 1.0, np.inf], requires_grad=True)
    y = tg.pad(tg.roll(x, 1), 1)
    np.testing.assert_array_equal(y.data, [0, np.inf, np.nan, 1.0, 0])
    y.backward([np.nan, 1.0, np.inf, 3.0, np.nan])
    np.testing.assert_array_equal(x.grad, [np.inf, 3.0, 1.0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_dtypes_stay(dtype: Any) -> None:
    """Small floats stay small in value and gradient, also beside Python numbers."""
    for make in (
        lambda x: tg.pad(x, 1, "reflect"),
        lambda x: tg.repeat(x, [1, 2, 3]),
        lambda x: tg.insert(x, 1, 2.0),
        lambda x: tg.delete(x, 1),
        lambda x: tg.concatenate(tg.split(x, [1])),
        lambda x: tg.tile(x, (2, 2)),
        lambda x: tg.block([x, x]),
    ):
        x = tg.Tensor(ROW.astype(dtype), requires_grad=True)
        y = make(x)
        assert y.dtype == dtype
        y.backward(np.ones(y.shape))
        assert x.grad.dtype == dtype


def test_joining_takes_the_wider_dtype_and_gives_each_its_own_back() -> None:
    a, b = tg.Tensor(ROW.astype(np.float32), requires_grad=True), tg.Tensor(ROW, requires_grad=True)
    y = tg.concatenate([a, b])
    assert y.dtype == np.float64
    y.backward(np.arange(6.0))
    assert (a.grad.dtype, b.grad.dtype) == (np.float32, np.float64)


def test_booleans_and_integers_move_too() -> None:
    mask = tg.Tensor([True, False, True])
    np.testing.assert_array_equal(tg.roll(mask, 1).data, [True, True, False])
    np.testing.assert_array_equal(tg.pad(tg.Tensor([1, 2]), 1, "edge").data, [1, 1, 2, 2])
    np.testing.assert_array_equal(tg.insert(mask, 0, [False]).data, [False, True, False, True])
    assert not tg.tile(tg.Tensor([1, 2]), 2).requires_grad


X, V = tg.Tensor(np.ones((2, 3)), requires_grad=True), tg.Tensor(np.ones(3), requires_grad=True)
ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: tg.split(X, 2, axis=1), tg.ShapeError, "split: axis 1 of shape (2, 3) does not divide into 2 equal parts"),
    (lambda: tg.split(X, 0), tg.ShapeError, "split: 0 sections"),
    (lambda: tg.array_split(X, -1), tg.ShapeError, "array_split: -1 sections"),
    (lambda: tg.split(X, 2, axis=2), tg.ShapeError, "split: axis 2 of a tensor of shape (2, 3)"),
    (lambda: tg.split(X, [0.5]), tg.DtypeError, "split: positions of dtype float64"),
    (lambda: tg.split(X, 1.5), TypeError, "float"),
    (lambda: tg.hsplit(tg.Tensor(1.0), 1), tg.ShapeError, "hsplit: a tensor of shape ()"),
    (lambda: tg.vsplit(V, 3), tg.ShapeError, "vsplit: a tensor of shape (3,)"),
    (lambda: tg.dsplit(X, 3), tg.ShapeError, "dsplit: a tensor of shape (2, 3)"),
    (lambda: tg.chunk(X, 0), tg.ShapeError, "chunk: 0 chunks"),
    (lambda: tg.unstack(tg.Tensor(1.0)), tg.ShapeError, "unstack: axis 0 of a tensor of shape ()"),
    (lambda: tg.concatenate([]), tg.ShapeError, "concatenate: at least one tensor is needed"),
    (lambda: tg.concatenate([X, V]), tg.ShapeError, "concatenate: shapes (2, 3), (3,): all must have the same number"),
    (lambda: tg.concatenate([X, X[:, :2]]), tg.ShapeError, "concatenate: shapes (2, 3), (2, 2) along axis 0"),
    (lambda: tg.concatenate([X], axis=2), tg.ShapeError, "concatenate: axis 2 for shapes (2, 3)"),
    (lambda: tg.concatenate([X[0, 0], X[0, 0]]), tg.ShapeError, "concatenate: numbers have no axis"),
    (lambda: tg.concatenate(tg.Tensor(1.0)), TypeError, "concatenate: a Tensor is given; a list of"),
    (lambda: tg.concatenate(3), TypeError, "concatenate: a int is given"),
    (lambda: tg.stack([X, V]), tg.ShapeError, "stack: shapes (2, 3) and (3,): all must be equal"),
    (lambda: tg.stack([X, X], axis=3), tg.ShapeError, "stack: axis 3 of a result with 3 axes"),
    (lambda: tg.vstack([X, V[:2]]), tg.ShapeError, "(2, 3), (1, 2)"),
    (lambda: tg.block([[X], X]), tg.ShapeError, "block: blocks stand at different depths"),
    (lambda: tg.block([[X], []]), tg.ShapeError, "block: a list is empty"),
    (lambda: tg.delete(V, 3), IndexError, "delete: index 3 is out of bounds"),
    (lambda: tg.insert(V, 4, 1.0), IndexError, "insert: index 4 is out of bounds"),
    (lambda: tg.insert(X, 1, [1.0, 2.0], axis=0), ValueError, "insert: "),
    (lambda: tg.insert(tg.Tensor([1, 2]), 1, 0.5), tg.DtypeError, "insert: float64 into int64 would cut the fractions"),
    (lambda: tg.flip(X, axis=2), tg.ShapeError, "flip: axis 2 of a tensor of shape (2, 3)"),
    (lambda: tg.fliplr(V), tg.ShapeError, "fliplr: axis 1 of a tensor of shape (3,)"),
    (lambda: tg.flipud(tg.Tensor(1.0)), tg.ShapeError, "flipud: axis 0 of a tensor of shape ()"),
    (lambda: tg.rot90(V), tg.ShapeError, "rot90: axis 1 of a tensor of shape (3,)"),
    (lambda: tg.rot90(X, axes=(0, -2)), tg.ShapeError, "rot90: axes (0, -2) of a tensor of shape (2, 3) are one"),
    (lambda: tg.rot90(X, axes=(0,)), tg.ShapeError, "rot90: axes (0,); a plane has two"),
    (lambda: tg.roll(X, 1, axis=2), tg.ShapeError, "roll: axis 2 of a tensor of shape (2, 3)"),
    (lambda: tg.flip(X, axis=(0, 0)), tg.ShapeError, "flip: repeated axis"),
    (lambda: tg.repeat(V, [1, 2]), tg.ShapeError, "repeat: repeats [1, 2] along axis 0 of shape (3,)"),
    (lambda: tg.repeat(V, -1), tg.ShapeError, "repeat: repeats -1"),
    (lambda: tg.repeat(V, 1.5), tg.DtypeError, "repeat: positions of dtype float64"),
    (lambda: tg.tile(V, -1), tg.ShapeError, "tile: reps -1"),
    (lambda: tg.pad(X, ((1, 1),) * 3), tg.ShapeError, "pad: pad_width of shape (3, 2) for a tensor of shape (2, 3)"),
    (lambda: tg.pad(X, -1), tg.ShapeError, "pad: pad_width -1: a negative margin"),
    (lambda: tg.pad(X, 1, "mean"), ValueError, "pad: mode 'mean'"),
    (lambda: tg.pad(X, 1, "reflect", reflect_type="odd"), ValueError, "pad: mode 'reflect' with reflect_type 'odd'"),
    (lambda: tg.pad(X, 1, "edge", constant_values=2), ValueError, "pad: constant_values go with mode"),
    (lambda: tg.pad(X[:0], 1, "edge"), tg.ShapeError, "pad: axis 0 of shape (0, 3) is empty"),
    (lambda: tg.pad(X, 1, constant_values=X[0, 0]), tg.GraphError, "needs a gradient"),
    (lambda: tg.pad(X, 0.5), tg.DtypeError, "pad: positions of dtype float64"),
    (lambda: tg.flatten(X, 1, 0), tg.ShapeError, "flatten: start_axis 1 comes behind end_axis 0"),
    (lambda: tg.flatten(X, 2), tg.ShapeError, "flatten: axis 2 of a tensor of shape (2, 3)"),
    (lambda: tg.moveaxis(X, 2, 0), tg.ShapeError, "moveaxis: "),
    (lambda: tg.rollaxis(X, 2), tg.ShapeError, "rollaxis: "),
    (lambda: tg.broadcast_arrays(X, X.T), tg.ShapeError, "broadcast_arrays: shapes (2, 3), (3, 2) do not broadcast"),
    (lambda: tg.meshgrid(V, indexing="yx"), ValueError, "meshgrid: indexing 'yx'"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "kind", "words"), ERRORS)
def test_errors_say_what_would_work(call: Callable[[], Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=re.escape(words)):
        call()
