"""The same numbers in another shape: reshape, transpose, broadcast, and several tensors in one.

Their gradients undo the change of shape.  Where NumPy can, the result is a view that shares memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import Each, Notation, implements, normal, operation, public, sample

__all__ = [
    "broadcast_to", "concatenate", "expand_dims", "matrix_transpose", "moveaxis", "ravel", "reshape", "squeeze",
    "stack", "swapaxes", "transpose",
]  # fmt: skip

Operand = Any  # a Tensor, an array or a number
Shape = int | Sequence[int]


# What NumPy asks about a tensor, without touching its numbers.
implements(np.shape)(lambda a: a.shape)
implements(np.ndim)(lambda a: a.ndim)
implements(np.size)(lambda a, axis=None: a.size if axis is None else a.shape[axis])
implements(np.zeros_like)(lambda a, dtype=None: np.zeros(a.shape, dtype or a.dtype))
implements(np.ones_like)(lambda a, dtype=None: np.ones(a.shape, dtype or a.dtype))


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
    return np.transpose(x, axes)


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
    ndim = np.ndim(x)
    try:  # NumPy moves the axes of a one-byte stand-in, and its strides tell where they went
        stand_in = np.lib.stride_tricks.as_strided(np.zeros(1, "b"), (1,) * ndim, tuple(range(ndim)))
        axes = np.moveaxis(stand_in, source, destination).strides
    except ValueError as error:
        raise ShapeError(f"moveaxis: {error} (a tensor of shape {np.shape(x)})") from None
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


# Behind its inputs, concatenate keeps where each of them begins.
def _concatenate(i: int, g: Any, y: Any, *arrays_and_bounds: Any, axis: int) -> Any:
    bounds = arrays_and_bounds[-1]
    return g[(slice(None),) * (axis % g.ndim) + (slice(int(bounds[i]), int(bounds[i + 1])),)]


def _bounds(*arrays: Any, axis: int) -> Any:
    return np.cumsum([0, *(x.shape[axis] for x in arrays)])


@operation(
    vjps=Each(_concatenate),
    name="concatenate",
    notation=Notation("[<*>]", r"\left[ <*> \right]"),
    residual=_bounds,
    samples=[
        sample(normal(3, 4), normal(2, 4), axis=0),
        sample(normal(3, 4), normal(3, 1), normal(3, 2), axis=-1),
    ],
)
def _joined(*arrays: Operand, axis: int) -> Any:
    return np.concatenate(arrays, axis=axis), _bounds(*map(np.asarray, arrays), axis=axis)


@public(_joined)
@implements(np.concatenate)
def concatenate(arrays: Sequence[Operand], axis: int | None = 0) -> Any:
    r"""Several tensors one behind the other along an axis that exists; None flattens them first.

    Gradient: each receives its own part of g.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.concatenate([tg.Tensor([1.0, 2.0]), tg.Tensor([3.0])])
    Tensor([1., 2., 3.])
    """
    if len(arrays) == 0:
        raise ShapeError("concatenate: at least one tensor is needed")
    if axis is None:
        return _joined(*map(ravel, arrays), axis=0)
    return _joined(*arrays, axis=axis)


@operation(
    vjps=Each(lambda i, g, y, *arrays, axis: g[(slice(None),) * (axis % g.ndim) + (i,)]),
    name="stack",
    notation=Notation("[<*>]", r"\left[ <*> \right]"),
    samples=[sample(normal(3, 4), normal(3, 4), axis=0), sample(normal(3), normal(3), normal(3), axis=-1)],
)
def _stacked(*arrays: Operand, axis: int) -> Any:
    return np.stack(arrays, axis=axis)


@public(_stacked)
@implements(np.stack)
def stack(arrays: Sequence[Operand], axis: int = 0) -> Any:
    r"""Several tensors of one shape side by side along a new axis.

    Gradient: each receives its own slice of g.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.stack([tg.Tensor([1.0, 2.0]), tg.Tensor([3.0, 4.0])], axis=1)
    Tensor([[1., 3.],
            [2., 4.]])
    """
    if len(arrays) == 0:
        raise ShapeError("stack: at least one tensor is needed")
    return _stacked(*arrays, axis=axis)
