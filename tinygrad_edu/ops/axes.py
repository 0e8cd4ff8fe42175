"""Axes: the small questions about shapes that several families of operations ask."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.record import Value, plain

Axis = int | tuple[int, ...] | None


def operand(x: Any) -> Any:
    """A Tensor as it is, anything else as an array: lists are welcome, too."""
    return x if isinstance(x, Value) else plain(x)


def numbers(x: Any) -> Any:
    """The array of a Tensor or an array, to decide by: what is computed from it is no part of the graph."""
    return x._data if isinstance(x, Value) else x


def axes_of(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The axes that are meant, as numbers from 0."""
    ndim = len(shape)
    if axis is None or not ndim:  # NumPy lets a scalar be reduced along its axis 0, which it does not have
        return tuple(range(ndim))
    return tuple(i % ndim for i in axis) if isinstance(axis, tuple) else (axis % ndim,)


def axis_problem(shape: tuple[int, ...], axis: Axis) -> str | None:
    """One sentence about an axis that a tensor of this shape does not have."""
    given = () if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if not shape and given:
        return f"axis {axis} of a tensor of shape (): a scalar has no axis"
    for i in given:
        if not isinstance(i, (int, np.integer)):
            return f"axis {axis!r}: an int, a tuple of ints or None is expected"
        if not -len(shape) <= i < len(shape):
            return f"axis {axis} of a tensor of shape {shape}: axes run from {-len(shape)} to {len(shape) - 1}"
    if len({i % len(shape) for i in given}) < len(given):
        return f"axis {axis} of a tensor of shape {shape}: an axis is named twice"
    return None


def count(shape: tuple[int, ...], axis: Axis) -> int:
    """How many numbers become one: a Python int, so that float16 neither overflows nor widens."""
    return math.prod(shape[i] for i in axes_of(shape, axis))


def kept(g: Any, shape: tuple[int, ...], axis: Axis) -> Any:
    """`g` with the reduced axes put back with size 1, so that it broadcasts against the input."""
    axes = axes_of(shape, axis)
    return g.reshape(tuple(1 if i in axes else n for i, n in enumerate(shape)))


def spread(g: Any, shape: tuple[int, ...], axis: Axis) -> Any:
    """`g` at every element of the input's shape: without a copy, and not to be written to."""
    if isinstance(g, np.generic):  # np.broadcast_to takes eight times as long
        strides: Any = (0,) * len(shape)
    else:
        g = kept(g, shape, axis)
        if type(g) is not np.ndarray or not g.flags.c_contiguous or not g.size:
            return np.broadcast_to(g, shape)
        strides = [0 if n == 1 else stride for n, stride in zip(g.shape, g.strides)]
    view = np.ndarray(shape, g.dtype, g, 0, strides)
    view.setflags(write=False)
    return view


def _rows_last(shape: tuple[int, ...], axis: Axis) -> tuple[tuple[int, ...], int]:
    """The order of axes with those that are meant at the end, and how many stay in front."""
    axes = axes_of(shape, axis)
    rest = tuple(i for i in range(len(shape)) if i not in axes)
    return rest + axes, len(rest)


def as_rows(x: Any, axis: Axis) -> Any:
    """The axes that are meant, flattened into one at the end: a table whose rows will be reduced."""
    order, rest = _rows_last(x.shape, axis)
    return x.transpose(order).reshape((*(x.shape[i] for i in order[:rest]), count(x.shape, axis)))


def from_rows(rows: Any, shape: tuple[int, ...], axis: Axis) -> Any:
    """Undo `as_rows`."""
    order, _ = _rows_last(shape, axis)
    return rows.reshape(tuple(shape[i] for i in order)).transpose(tuple(np.argsort(order).tolist()))


def part(ndim: int, axis: int, taken: slice) -> tuple[slice, ...]:
    """The index that takes `taken` along one axis, and everything along the others."""
    return (slice(None),) * (axis % ndim) + (taken,)


def flipped(x: Any, axis: int) -> Any:
    """x read backwards along one axis (a view)."""
    return x[part(x.ndim, axis, slice(None, None, -1))]


def along(indices: Any, axis: int) -> tuple[Any, ...]:
    """The index that takes, along one axis, the element that `indices` names in each row."""
    index: list[Any] = list(np.indices(indices.shape, sparse=True))
    index[axis] = np.asarray(indices)
    return tuple(index)
