"""The same numbers in another shape: reshape, transpose, squeeze, broadcast.

Their gradients undo the change of shape.  Where NumPy can, the result is a view that shares memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import Notation, implements, normal, operation, sample
from tinygrad_edu.ops.arithmetic import astype
from tinygrad_edu.record import Value

__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "broadcast_to", "expand_dims", "flatten",
    "matrix_transpose", "meshgrid", "moveaxis", "ravel", "reshape", "rollaxis", "squeeze", "swapaxes", "transpose",
]  # fmt: skip

Operand = Any  # a Tensor, an array or a number
Shape = int | Sequence[int]


# What NumPy asks about a tensor, without touching its numbers.
implements(np.shape)(lambda a: a.shape)
implements(np.ndim)(lambda a: a.ndim)
implements(np.size)(lambda a, axis=None: a.size if axis is None else a.shape[axis])


# Fresh numbers of a tensor's shape and dtype: arrays, since no gradient flows through them.
def _like(make: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, dtype=None, shape=None: make(a.shape if shape is None else shape, dtype=dtype or a.dtype)


implements(np.zeros_like)(_like(np.zeros))
implements(np.ones_like)(_like(np.ones))
implements(np.empty_like)(_like(np.empty))


@implements(np.full_like)
def _full_like(a: Any, fill_value: Operand, dtype: Any = None, shape: Any = None) -> Any:
    shape, dtype = a.shape if shape is None else shape, dtype or a.dtype
    if isinstance(fill_value, Value):  # it may have a gradient, which a fresh array would not carry
        return broadcast_to(astype(fill_value, dtype=dtype), shape)
    return np.full(shape, fill_value, dtype=dtype)


def axis_number(name: str, x: Operand, axis: int) -> int:
    """An axis of x as a number from 0; `name` is the function that was asked for one that x doesn't have."""
    n = np.ndim(x)
    if not -n <= axis < n:
        raise ShapeError(f"{name}: axis {axis} of a tensor of shape {np.shape(x)}")
    return int(axis) % n


def array_of(x: Operand) -> Any:
    """A Tensor or an array as it is; lists and numbers as arrays."""
    return x if isinstance(x, (Value, np.ndarray)) else np.asarray(x)


def _reshape_door(x: Any, shape: Shape) -> str | None:
    return f"{math.prod(np.shape(x))} elements of shape {np.shape(x)} do not fit into shape {shape}"


@operation(
    numpy=[np.reshape],
    vjps=[lambda g, y, x, shape: g.reshape(x.shape)],
    samples=[sample(normal(3, 4), shape=(2, 6)), sample(normal(3, 4), shape=-1), sample(normal(1), shape=())],
    door=_reshape_door,
)
def reshape(x: Operand, shape: Shape) -> Any:
    r"""The same numbers, row by row, in another shape; one size may be -1 and is worked out.

    Gradient: g, reshaped to the shape of x.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.reshape(tg.Tensor([1.0, 2.0, 3.0, 4.0]), (2, -1))
    Tensor([[1., 2.],
            [3., 4.]])
    """
    return np.reshape(x, shape)


def _transpose_door(x: Any, axes: Any) -> str | None:
    return f"axes {axes} for a tensor of shape {np.shape(x)}: each of its axes must be named once"


def _inverse(axes: Sequence[int] | None) -> Any:
    return None if axes is None else tuple(np.argsort([i % len(axes) for i in axes]).tolist())


@operation(
    numpy=[np.transpose],
    vjps=[lambda g, y, x, axes: g.transpose(_inverse(axes))],
    notation=Notation("<x>'", "<x>^{\\top}"),
    samples=[
        sample(normal(3, 4)),
        sample(normal(2, 3, 4), axes=(1, 2, 0)),
        sample(normal(2, 3, 4), axes=(-1, 0, 1)),
    ],
    door=_transpose_door,
)
def transpose(x: Operand, axes: Sequence[int] | None = None) -> Any:
    r"""The axes in another order; reversed unless given.

    Gradient: g with its axes put back.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.transpose(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[1., 3.],
            [2., 4.]])
    """
    return x.transpose(axes)


@implements(np.swapaxes)
def swapaxes(x: Operand, axis1: int, axis2: int) -> Any:
    """Exchange two axes.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.swapaxes(tg.Tensor(np.zeros((2, 3, 4))), 0, -1).shape
    (4, 3, 2)
    """
    axes = list(range(np.ndim(x)))
    try:
        axes[axis1], axes[axis2] = axes[axis2], axes[axis1]
    except IndexError:
        raise ShapeError(f"swapaxes: axes {axis1} and {axis2} for a tensor of shape {np.shape(x)}") from None
    return transpose(x, axes=tuple(axes))


@implements(np.matrix_transpose)
def matrix_transpose(x: Operand) -> Any:
    """Exchange the last two axes: the transpose of each matrix in a stack (`t.mT`).

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.matrix_transpose(tg.Tensor(np.zeros((5, 2, 3)))).shape
    (5, 3, 2)
    """
    return swapaxes(x, -1, -2)


@implements(np.moveaxis)
def moveaxis(x: Operand, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Move axes to other places; the others keep their order.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.moveaxis(tg.Tensor(np.zeros((2, 3, 4))), 0, -1).shape
    (3, 4, 2)
    """
    return _moved(np.moveaxis, x, source, destination)


@implements(np.rollaxis)
def rollaxis(x: Operand, axis: int, start: int = 0) -> Any:
    """Move an axis to before the one that stands at `start`; `moveaxis` is easier to understand.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.rollaxis(tg.Tensor(np.zeros((2, 3, 4))), 2).shape
    (4, 2, 3)
    """
    return _moved(np.rollaxis, x, axis, start)


def _moved(move: Callable[..., Any], x: Operand, *where: Any) -> Any:
    """NumPy moves the axes of a one-byte stand-in, and its strides tell where they went."""
    ndim = np.ndim(x)
    try:
        stand_in = np.lib.stride_tricks.as_strided(np.zeros(1, "b"), (1,) * ndim, tuple(range(ndim)))
        axes = move(stand_in, *where).strides
    except ValueError as error:
        raise ShapeError(f"{move.__name__}: {error} (a tensor of shape {np.shape(x)})") from None
    return transpose(x, axes=axes)


@operation(
    numpy=[np.squeeze],
    vjps=[lambda g, y, x, axis: g.reshape(x.shape)],
    notation=Notation("<x>"),
    samples=[sample(normal(3, 1, 4, 1)), sample(normal(3, 1, 4, 1), axis=1), sample(normal(1, 3, 1), axis=(0, -1))],
)
def squeeze(x: Operand, axis: int | tuple[int, ...] | None = None) -> Any:
    r"""Without the axes of size one (all of them, or those given).

    Gradient: g, reshaped to the shape of x.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.squeeze(tg.Tensor([[1.0], [2.0]]))
    Tensor([1., 2.])
    """
    return np.squeeze(x, axis=axis)


@operation(
    numpy=[np.expand_dims],
    vjps=[lambda g, y, x, axis: g.reshape(x.shape)],
    notation=Notation("<x>"),
    samples=[sample(normal(3, 4), axis=-1), sample(normal(3, 4), axis=(0, 2))],
)
def expand_dims(x: Operand, axis: int | tuple[int, ...]) -> Any:
    r"""With a new axis of size one at `axis` of the result; -1 appends one.

    Gradient: g, reshaped to the shape of x.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.expand_dims(tg.Tensor([1.0, 2.0]), -1)
    Tensor([[1.],
            [2.]])
    """
    return np.expand_dims(x, axis)


@implements(np.ravel)
def ravel(x: Operand) -> Any:
    """All numbers in one row.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.ravel(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([1., 2., 3., 4.])
    """
    return reshape(x, shape=(-1,))


def flatten(x: Operand, start_axis: int = 0, end_axis: int = -1) -> Any:
    """The axes from `start_axis` to `end_axis`, both included, as one: (n, 2, 3, 4) with start_axis=1 is (n, 24).

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.flatten(tg.Tensor(np.zeros((5, 2, 3, 4))), 1).shape
    (5, 24)
    """
    shape = np.shape(x)
    if not shape:
        return reshape(x, shape=(1,))
    start, end = axis_number("flatten", x, start_axis), axis_number("flatten", x, end_axis)
    if start > end:
        raise ShapeError(f"flatten: start_axis {start_axis} comes behind end_axis {end_axis} (shape {shape})")
    return reshape(x, shape=(*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


def _each(change: Callable[[Any], Any], arrays: tuple[Operand, ...]) -> Any:
    """One result for one argument, a tuple of them for several."""
    results = tuple(change(array_of(x)) for x in arrays)
    return results[0] if len(results) == 1 else results


@implements(np.atleast_1d)
def atleast_1d(*arrays: Operand) -> Any:
    """With one axis at least: a number becomes a row of one.  Several arguments give a tuple.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.atleast_1d(tg.Tensor(3.0))
    Tensor([3.])
    """
    return _each(lambda x: x if x.ndim else reshape(x, shape=(1,)), arrays)


@implements(np.atleast_2d)
def atleast_2d(*arrays: Operand) -> Any:
    """With two axes at least: a vector becomes a row, (n,) -> (1, n).  Several arguments give a tuple.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.atleast_2d(tg.Tensor([1.0, 2.0]))
    Tensor([[1., 2.]])
    """
    return _each(lambda x: x if x.ndim > 1 else reshape(x, shape=(1, -1)), arrays)


@implements(np.atleast_3d)
def atleast_3d(*arrays: Operand) -> Any:
    """With three axes at least: (n,) -> (1, n, 1) and (m, n) -> (m, n, 1).  Several arguments give a tuple.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.atleast_3d(tg.Tensor([1.0, 2.0])).shape
    (1, 2, 1)
    """
    return _each(lambda x: x if x.ndim > 2 else expand_dims(atleast_2d(x), axis=-1), arrays)


# The rule returns g as it is: the engine sums it over the axes that were repeated.
@operation(
    numpy=[np.broadcast_to],
    vjps=[lambda g, y, x, shape: g],
    notation=Notation("1 <x>", r"\mathbf{1} <x>"),
    samples=[sample(normal(4), shape=(3, 4)), sample(normal(3, 1), shape=(2, 3, 4))],
)
def broadcast_to(x: Operand, shape: Shape) -> Any:
    r"""Repeated along new axes and axes of size one, up to `shape` (a view that cannot be written to).

    Gradient: 1^T g, the sum over the axes that were repeated.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.broadcast_to(tg.Tensor([1.0, 2.0]), (2, 2))
    Tensor([[1., 2.],
            [1., 2.]])
    """
    return np.broadcast_to(x, shape)


@implements(np.broadcast_arrays)
def broadcast_arrays(*arrays: Operand) -> Any:
    """A tuple of these tensors, each repeated up to the shape that all of them broadcast to.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.broadcast_arrays(tg.Tensor([[1.0], [2.0]]), tg.Tensor([3.0, 4.0]))[1]
    Tensor([[3., 4.],
            [3., 4.]])
    """
    try:
        shape = np.broadcast_shapes(*map(np.shape, arrays))
    except ValueError:
        shapes = ", ".join(str(np.shape(x)) for x in arrays)
        raise ShapeError(f"broadcast_arrays: shapes {shapes} do not broadcast against each other") from None
    return tuple(x if x.shape == shape else broadcast_to(x, shape=shape) for x in map(array_of, arrays))


@implements(np.meshgrid)
def meshgrid(*xi: Operand, copy: bool = True, sparse: bool = False, indexing: Literal["xy", "ij"] = "xy") -> Any:
    """The coordinates of a grid: of n vectors, n tensors with n axes; the i-th varies along its own axis only.

    Parameters
    ----------
    xi : 1-D tensors
        The coordinates along each axis.
    copy : bool
        Accepted as in NumPy; the results share memory either way, as Tensors are not written to in place.
    sparse : bool
        Keep size 1 along the other axes: enough for arithmetic, which broadcasts.
    indexing : "xy" or "ij"
        "xy": the first vector runs along axis 1, as x does in a picture; "ij": the i-th runs along axis i.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x, y = tg.meshgrid(tg.Tensor([1.0, 2.0, 3.0]), tg.Tensor([4.0, 5.0]))
    >>> y
    Tensor([[4., 4., 4.],
            [5., 5., 5.]])
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f'meshgrid: indexing {indexing!r}: "xy" or "ij" is expected')
    grids = []
    for i, x in enumerate(xi):
        own = 1 - i if indexing == "xy" and len(xi) > 1 and i < 2 else i
        grids.append(reshape(x, shape=tuple(-1 if k == own else 1 for k in range(len(xi)))))
    return tuple(grids) if sparse else broadcast_arrays(*grids)
