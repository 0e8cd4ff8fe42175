"""The same numbers in other places (flip, roll, rot90) or in several places (repeat, tile, pad)."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import implements, normal, operation, public, sample
from tinygrad_edu.ops.indexing import getitem, integers
from tinygrad_edu.ops.shaping import array_of, axis_number, ravel, reshape, transpose

__all__ = ["flip", "fliplr", "flipud", "pad", "repeat", "roll", "rot90", "tile"]

Operand = Any  # a Tensor, an array or a number
Axis = int | tuple[int, ...] | None


# --------------------------------------------------------------------------------------- in other places


def _axis_door(x: Any, axis: Any, **_: Any) -> str | None:
    axes, ndim = np.ravel(axis).tolist(), np.ndim(x)
    if axis is None or all(-ndim <= a < ndim for a in axes):
        return None
    return f"axis {axis} of a tensor of shape {np.shape(x)}: axes run from {-ndim} to {ndim - 1}"


@operation(
    numpy=[np.flip],
    vjps=[lambda g, y, x, axis: np.flip(g, axis)],
    samples=[sample(normal(3, 4)), sample(normal(3, 4), axis=-1), sample(normal(2, 3, 4), axis=(0, 2))],
    door=_axis_door,
)
def flip(x: Operand, axis: Axis = None) -> Any:
    r"""From behind along `axis` (an int, a tuple of ints, or None for all): a view.

    Gradient: g, flipped back.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.flip(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    Tensor([[2., 1.],
            [4., 3.]])
    """
    return np.flip(x, axis)


@implements(np.fliplr)
def fliplr(x: Operand) -> Any:
    """The columns of a matrix from right to left: flip along axis 1.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.fliplr(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[2., 1.],
            [4., 3.]])
    """
    return flip(x, axis=axis_number("fliplr", x, 1))


@implements(np.flipud)
def flipud(x: Operand) -> Any:
    """The rows from the last to the first: flip along axis 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.flipud(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[3., 4.],
            [1., 2.]])
    """
    return flip(x, axis=axis_number("flipud", x, 0))


@implements(np.rot90)
def rot90(x: Operand, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """A quarter turn, k times, in the plane of two axes: from the first towards the second.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.rot90(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[2., 4.],
            [1., 3.]])
    """
    x = array_of(x)
    if len(axes) != 2:
        raise ShapeError(f"rot90: axes {axes}; a plane has two")
    a, b = (axis_number("rot90", x, axis) for axis in axes)
    if a == b:
        raise ShapeError(f"rot90: axes {axes} of a tensor of shape {x.shape} are one and the same")
    k = operator.index(k) % 4
    if k in (0, 2):
        return flip(x, axis=(a, b) if k else ())
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    if k == 1:
        return transpose(flip(x, axis=b), axes=tuple(order))
    return flip(transpose(x, axes=tuple(order)), axis=b)


@operation(
    numpy=[np.roll],
    vjps=[lambda g, y, x, shift, axis: np.roll(g, np.negative(shift), axis)],
    samples=[
        sample(normal(3, 4), shift=5),
        sample(normal(3, 4), shift=-1, axis=1),
        sample(normal(2, 3, 4), shift=(1, -2), axis=(0, -1)),
    ],
    door=_axis_door,
)
def roll(x: Operand, shift: int | Sequence[int], axis: Axis = None) -> Any:
    r"""Moved on by `shift` places along `axis`; what leaves at the end comes in at the start.  None: as one long row.

    Gradient: g, rolled back.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.roll(tg.Tensor([1.0, 2.0, 3.0]), 1)
    Tensor([3., 1., 2.])
    """
    return np.roll(x, shift, axis)


# ------------------------------------------------------------------------------------- in several places


# What went to several places receives the sum of what they send back.
def _repeat(g: Any, y: Any, x: Any, repeats: int, axis: int) -> Any:
    copies = (*x.shape[: axis + 1], repeats, *x.shape[axis + 1 :])
    if axis == x.ndim - 1:  # 1^T g: along so short an axis a product is many times faster than a sum
        return g.reshape(copies) @ np.ones(repeats, g.dtype)
    return np.sum(g.reshape(copies), axis=axis + 1)


@operation(
    name="repeat",
    vjps=[_repeat],
    samples=[sample(normal(3), repeats=2, axis=0), sample(normal(2, 3, 2), repeats=3, axis=1)],
)
def _repeated(x: Operand, repeats: int, axis: int) -> Any:
    return np.repeat(x, repeats, axis=axis)


@public(_repeated)
@implements(np.repeat)
def repeat(x: Operand, repeats: int | Sequence[int], axis: int | None = None) -> Any:
    r"""Each element along `axis` so many times in a row; one number, or one for each position.  None flattens x first.

    (PyTorch calls this repeat_interleave; its `repeat` is `tile`.)

    Gradient: each element receives the sum of the g of its copies.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.repeat(tg.Tensor([1.0, 2.0]), 2)
    Tensor([1., 1., 2., 2.])
    >>> tg.repeat(tg.Tensor([1.0, 2.0]), [3, 1])
    Tensor([1., 1., 1., 2.])
    """
    x, axis = (ravel(x), 0) if axis is None else (array_of(x), axis_number("repeat", x, axis))
    counts, n = integers("repeat", repeats), x.shape[axis]
    if (counts.size != 1 and counts.shape != (n,)) or (counts.size and counts.min() < 0):
        raise ShapeError(
            f"repeat: repeats {repeats} along axis {axis} of shape {x.shape}: one number is expected, or one for each "
            f"of the {n} positions, and none negative"
        )
    if counts.size == 1:
        return _repeated(x, repeats=counts.item(), axis=axis)
    return getitem(x, index=(slice(None),) * axis + (np.repeat(np.arange(n), counts),))


def _tile(g: Any, y: Any, x: Any, reps: tuple[int, ...]) -> Any:
    copies = g.reshape(tuple(n for pair in zip(reps, x.shape) for n in pair))
    return np.sum(copies, axis=tuple(range(0, 2 * x.ndim, 2)))


@operation(
    name="tile",
    vjps=[_tile],
    samples=[
        sample(normal(3), reps=(2,)),
        sample(normal(2, 3), reps=(3, 2)),
        sample(normal(2, 1, 3), reps=(1, 2, 2)),
        sample(normal(2, 3), reps=(0, 2)),
    ],
)
def _tiled(x: Operand, reps: tuple[int, ...]) -> Any:
    return np.tile(x, reps)


@public(_tiled)
@implements(np.tile)
def tile(x: Operand, reps: int | Sequence[int]) -> Any:
    r"""x set side by side with itself so many times along each axis; new axes come in front (PyTorch's `repeat`).

    Gradient: each element receives the sum of the g of its copies.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.tile(tg.Tensor([1.0, 2.0]), (2, 2))
    Tensor([[1., 2., 1., 2.],
            [1., 2., 1., 2.]])
    """
    x, counts = array_of(x), integers("tile", reps).reshape(-1)
    if counts.size and counts.min() < 0:
        raise ShapeError(f"tile: reps {reps}: a negative number of copies")
    if counts.size > x.ndim:
        x = reshape(x, shape=(1,) * (counts.size - x.ndim) + x.shape)
    return _tiled(x, reps=(1,) * (x.ndim - counts.size) + tuple(counts.tolist()))


def _inside(widths: tuple[tuple[int, int], ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Where x stands in the padded array."""
    return tuple(slice(before, before + n) for (before, _), n in zip(widths, shape))


@operation(
    name="pad",
    vjps=[lambda g, y, x, widths, values: g[_inside(widths, x.shape)]],
    samples=[
        sample(normal(3), widths=((1, 2),), values=0.0),
        sample(normal(2, 3), widths=((0, 1), (2, 0)), values=5.0),
    ],
)
def _padded(x: Operand, widths: tuple[tuple[int, int], ...], values: Any) -> Any:
    return np.pad(x, widths or 0, constant_values=values)  # a number has no axis to be padded


@public(_padded)
@implements(np.pad)
def pad(
    x: Operand, pad_width: Any, mode: str = "constant", constant_values: Any = None, reflect_type: str = "even"
) -> Any:
    r"""With a margin around x.

    Parameters
    ----------
    x : tensor
    pad_width : int, (before, after), ((before, after), ...) or {axis: (before, after)}
        How wide the margin is: everywhere, along each axis, or along single axes.
    mode : str
        What stands in it: "constant" (0 unless `constant_values` says otherwise), or numbers of x: "edge" (the
        nearest one), "reflect" (x as in a mirror on its last number), "symmetric" (as in a mirror behind its last
        number) or "wrap" (x again, from its other end).
    constant_values : number, (before, after) or ((before, after), ...), optional
        The constants, without a gradient.
    reflect_type : "even"
        NumPy's "odd" is not offered.

    Gradient: the part of g that stands where x stood; in the other modes a number also receives the g of its copies.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.pad(tg.Tensor([1.0, 2.0, 3.0]), (2, 1))
    Tensor([0., 0., 1., 2., 3., 0.])
    >>> tg.pad(tg.Tensor([1.0, 2.0, 3.0]), (2, 1), "reflect")
    Tensor([3., 2., 1., 2., 3., 2.])
    """
    x = array_of(x)
    widths = _widths(x, pad_width)
    if mode == "constant":
        return _padded(x, widths=widths, values=0 if constant_values is None else constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap") or reflect_type != "even":
        raise ValueError(
            f"pad: mode {mode!r} with reflect_type {reflect_type!r} has no gradient here; there are "
            '"constant", "edge", "reflect", "symmetric" and "wrap" with "even". Others can be made with concatenate.'
        )
    if constant_values is not None:
        raise ValueError(f'pad: constant_values go with mode "constant", not {mode!r}')
    for axis, width in enumerate(widths):
        if width == (0, 0):
            continue
        if x.shape[axis] == 0:
            raise ShapeError(f"pad: axis {axis} of shape {x.shape} is empty; only mode constant can extend it")
        # NumPy pads positions instead of numbers; then one index takes all numbers from where they are.
        origin = np.pad(np.arange(x.shape[axis]), width, mode)  # type: ignore[call-overload]
        x = getitem(x, index=(slice(None),) * axis + (origin,))
    return x


def _widths(x: Any, pad_width: Any) -> tuple[tuple[int, int], ...]:
    """The margin before and after, for each axis."""
    if isinstance(pad_width, dict):
        chosen = np.zeros((x.ndim, 2), int)
        for axis, width in pad_width.items():
            chosen[axis_number("pad", x, axis)] = integers("pad", width)
        pad_width = chosen
    widths = integers("pad", pad_width)
    try:
        widths = np.broadcast_to(widths, (x.ndim, 2))
    except ValueError:
        raise ShapeError(
            f"pad: pad_width of shape {widths.shape} for a tensor of shape {x.shape}: a number is expected, "
            f"(before, after), or {x.ndim} such pairs"
        ) from None
    if widths.size and widths.min() < 0:
        raise ShapeError(f"pad: pad_width {pad_width}: a negative margin; cut with a slice instead")
    return tuple((before, after) for before, after in widths.tolist())
