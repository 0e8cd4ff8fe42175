"""Windows that slide over images: where they stand, and `unfold` and `fold`, which copy them out and add them back.

Convolution and pooling look at an image (samples, channels, height, width) through a window.  It has a size
(`kernel`), moves in steps (`stride`), may reach over the edge (`padding`), and may have gaps between its
elements (`dilation`).  Each of them is a pair, (vertical, horizontal).

All windows at once are one strided view of the image (`patches`), and what one element of every window sees, say the
one at the top left, is a slice of it (`meet`): nothing here loops over pixels.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import normal, operation, public, sample
from tinygrad_edu.ops.shaping import reshape
from tinygrad_edu.record import apply

__all__ = ["fold", "unfold"]

Operand = Any  # a Tensor, an array or a number
Pair = tuple[int, int]
Padding = tuple[int, int] | tuple[Pair, Pair]  # the same before and after, or ((top, bottom), (left, right))
Size = int | Sequence[int]


# ------------------------------------------------------------------------------------- what users give


def pair(operation: str, name: str, value: Size, least: int = 1, axes: int = 2) -> Any:
    """An integer for all axes, or one for each, checked."""
    if type(value) is int and value >= least:  # nearly always
        return (value,) * axes
    given: tuple[Any, ...] = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    if len(given) != axes or not all(isinstance(i, (int, np.integer)) and i >= least for i in given):
        what = "a positive integer" if least else "an integer that is not negative"
        each = f", or {axes} of them," if axes > 1 else ""
        raise ValueError(f"{operation}: {name}={value!r}: {what}{each} is expected")
    return tuple(int(i) for i in given)


def as_batch(operation: str, x: Operand, axes: int = 2) -> tuple[Any, bool]:
    """The images as a batch, and whether there was only one, without the axis of samples."""
    shape = np.shape(x)
    if len(shape) not in (axes + 1, axes + 2):
        names = "(samples, channels, height, width)" if axes == 2 else "(samples, channels, length)"
        raise ShapeError(f"{operation}: input {shape}: {names} is expected, or one sample without the first axis")
    single = len(shape) == axes + 1
    return (reshape(x, shape=(1, *shape)) if single else x), single


def of_one(y: Any, single: bool) -> Any:
    """The result for one sample without the axis of samples, if it was given so."""
    return reshape(y, shape=y.shape[1:]) if single else y


# ------------------------------------------------------------------------------- where the windows stand


def reach(kernel: Pair, dilation: Pair) -> Pair:
    """How far a window reaches, its gaps included."""
    return dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1


def ends(padding: Padding) -> tuple[Pair, Pair]:
    """What is added before and after along each axis: ((top, bottom), (left, right))."""
    (a, b), (c, d) = ((p, p) if isinstance(p, int) else p for p in padding)
    return (a, b), (c, d)


def count(size: Any, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Pair:
    """How many windows stand beside each other along each axis of an image of this size; 0 if none fits."""
    rows, columns = (
        max(0, (n + sum(p) - r) // s + 1) for n, p, r, s in zip(size, ends(padding), reach(kernel, dilation), stride)
    )
    return rows, columns


def no_window(size: Any, kernel: Pair, padding: Padding, dilation: Pair) -> str:
    """The sentence for an image that is smaller than a window."""
    height, width = (n + sum(p) for n, p in zip(size, ends(padding)))
    high, wide = reach(kernel, dilation)
    dilated = f" (dilation {dilation})" if dilation != (1, 1) else ""
    padded = " with its padding" if any(map(sum, ends(padding))) else ""
    return f"a window of {high}x{wide}{dilated} does not fit into an image of {height}x{width}{padded}"


def padded(x: Any, padding: Padding) -> Any:
    """The images with an edge of zeros around them."""
    (top, bottom), (left, right) = ends(padding)
    if not (top or bottom or left or right):
        return x
    n, c, h, w = x.shape
    out = np.zeros((n, c, top + h + bottom, left + w + right), x.dtype)
    out[:, :, top : top + h, left : left + w] = x
    return out


def patches(x: Any, kernel: Pair, stride: Pair, dilation: Pair, places: Pair) -> Any:
    """Every window of padded images, as a view (samples, channels, *kernel, *places): nothing is copied."""
    n, c, down, across = x.strides
    return np.lib.stride_tricks.as_strided(
        x,
        (*x.shape[:2], *kernel, *places),
        (n, c, down * dilation[0], across * dilation[1], down * stride[0], across * stride[1]),
        writeable=False,
    )


def elements(kernel: Pair) -> Iterator[Pair]:
    """The elements of a window, row by row."""
    return itertools.product(range(kernel[0]), range(kernel[1]))


@functools.lru_cache(4096)  # the layers of a network ask the same at every step, and the answer takes 2 us
def meet(element: int, size: int, stride: int, before: int, dilation: int, places: int) -> tuple[slice, slice]:
    """Along one axis: at which places this element of the window sees something of the image, and what it sees there.

    Two slices of one length, into the places and into the image; what would fall into the padding is left out.
    """
    start = element * dilation - before
    first = max(0, -(start // stride))
    behind = max(first, min(places, (size - 1 - start) // stride + 1))
    begin, end = start + first * stride, start + (behind - 1) * stride + 1
    return slice(first, behind), slice(begin, max(begin, end), stride)


def meeting(
    element: Pair, size: Any, stride: Pair, padding: Padding, dilation: Pair, places: Any
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """`meet` along both axes: an index into the places and one into the images, of equal shapes."""
    (rows, ys), (columns, xs) = (
        meet(e, n, s, before, d, m)
        for e, n, s, (before, _), d, m in zip(element, size, stride, ends(padding), dilation, places)
    )
    return (..., rows, columns), (..., ys, xs)


# ----------------------------------------------------------------------------------------- unfold, fold

IMAGES = normal(2, 3, 5, 6)
GEOMETRIES: list[dict[str, Any]] = [
    {"kernel": (3, 2), "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)},
    {"kernel": (2, 3), "stride": (2, 1), "padding": (1, 2), "dilation": (1, 1)},
    {"kernel": (2, 2), "stride": (3, 2), "padding": (0, 1), "dilation": (2, 3)},
]


@operation(
    name="unfold",
    vjps=[lambda g, y, x, **windows: _fold_back(g, x, **windows)],
    samples=[sample(IMAGES, **geometry) for geometry in GEOMETRIES],
)
def _unfold(x: Any, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Any:
    places = count(x.shape[2:], kernel, stride, padding, dilation)
    if not all(places):
        raise ShapeError(f"unfold: {no_window(x.shape[2:], kernel, padding, dilation)}")
    windows = patches(padded(x, padding), kernel, stride, dilation, places)
    return np.array(windows, order="C").reshape(len(x), x.shape[1] * math.prod(kernel), math.prod(places))


def _fold_back(g: Any, x: Any, **windows: Any) -> Any:
    return _fold(g, size=x.shape[2:], **windows)


@public(_unfold)
def unfold(x: Operand, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> Any:
    r"""Every window of the images as a column (often called im2col): a convolution is W unfold(x).

    Shapes: (samples, channels, height, width) -> (samples, channels * kh * kw, windows), or both without the
    first axis.  The windows are counted row by row.

    Gradient: fold(g), which adds each column back to where it was taken from.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> x = tg.Tensor(np.arange(9.0).reshape(1, 1, 3, 3))
    >>> tg.unfold(x, 2)
    Tensor([[[0., 1., 3., 4.],
             [1., 2., 4., 5.],
             [3., 4., 6., 7.],
             [4., 5., 7., 8.]]])
    """
    params = {
        "kernel": pair("unfold", "kernel_size", kernel_size),
        "stride": pair("unfold", "stride", stride),
        "padding": pair("unfold", "padding", padding, 0),
        "dilation": pair("unfold", "dilation", dilation),
    }
    x, single = as_batch("unfold", x)
    return of_one(apply(_unfold, (x,), params), single)


@operation(
    name="fold",
    vjps=[lambda g, y, x, size, **windows: _unfold(g, **windows)],
    samples=[
        sample(normal(2, 18, 15), size=(5, 6), **GEOMETRIES[0]),
        sample(normal(2, 18, 24), size=(5, 6), **GEOMETRIES[1]),
        sample(normal(2, 12, 3), size=(5, 6), **GEOMETRIES[2]),
    ],
)
def _fold(x: Any, size: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Any:
    places = count(size, kernel, stride, padding, dilation)
    n, rows, columns = x.shape
    if not all(places):
        raise ShapeError(f"fold: {no_window(size, kernel, padding, dilation)}")
    if rows % math.prod(kernel):
        raise ShapeError(
            f"fold: input {x.shape}: {rows} rows are no multiple of {kernel[0]} x {kernel[1]}, the elements of a window"
        )
    if columns != math.prod(places):
        raise ShapeError(
            f"fold: input {x.shape}: {columns} columns, but {places[0]} x {places[1]} windows stand on an image of "
            f"{size[0]}x{size[1]}"
        )
    windows = x.reshape(n, rows // math.prod(kernel), *kernel, *places)
    images = np.zeros((n, windows.shape[1], *size), dtype=x.dtype)
    for i, j in elements(kernel):
        at, seen = meeting((i, j), size, stride, padding, dilation, places)
        images[seen] += windows[:, :, i, j][at]
    return images


@public(_fold)
def fold(
    x: Operand, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Any:
    r"""Columns added to the windows of images from which `unfold` takes them (often called col2im).

    It is the transpose of `unfold`, not its inverse: where windows overlap, their numbers are added.

    Shapes: (samples, channels * kh * kw, windows) -> (samples, channels, *output_size), or both without the first
    axis.

    Gradient: unfold(g).

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> columns = tg.unfold(tg.Tensor(np.ones((1, 1, 3, 3))), 2)
    >>> tg.fold(columns, 3, 2)
    Tensor([[[[1., 2., 1.],
              [2., 4., 2.],
              [1., 2., 1.]]]])
    """
    params = {
        "size": pair("fold", "output_size", output_size),
        "kernel": pair("fold", "kernel_size", kernel_size),
        "stride": pair("fold", "stride", stride),
        "padding": pair("fold", "padding", padding, 0),
        "dilation": pair("fold", "dilation", dilation),
    }
    shape = np.shape(x)
    if len(shape) not in (2, 3):
        raise ShapeError(f"fold: input {shape}: (samples, channels * kh * kw, windows) is expected")
    single = len(shape) == 2
    x = reshape(x, shape=(1, *shape)) if single else x
    return of_one(apply(_fold, (x,), params), single)
