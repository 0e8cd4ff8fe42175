"""Pooling: of the numbers in each window one remains, the largest (max_pool) or the mean (avg_pool)."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import Notation, distinct, normal, operation, public, sample
from tinygrad_edu.ops.shaping import reshape
from tinygrad_edu.ops.windows import Pair, Size, as_batch, elements, meet, meeting, no_window, of_one, pair, reach
from tinygrad_edu.record import apply

__all__ = ["avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d"]

Operand = Any  # a Tensor, an array or a number


def _places(size: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> Pair:
    """How many windows stand along each axis.  With `ceil_mode` the last may reach over the end if it begins inside."""
    places = []
    for n, r, s, p in zip(size, reach(kernel, dilation), stride, padding):
        m = (n + 2 * p - r + (s - 1 if ceil_mode else 0)) // s + 1
        places.append(m - 1 if ceil_mode and (m - 1) * s >= n + p else m)
    rows, columns = places
    return rows, columns


def _slide(
    ufunc: np.ufunc, x: Any, start: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, places: Any
) -> Any:
    """`ufunc` over the elements of each window, along one axis and then the other: kh + kw steps, not kh * kw.

    Within the rows first: every second number of them all is one long slice, every second row is many short ones.
    """
    for axis in (1, 0):
        looks = [
            meet(k, x.shape[2 + axis], stride[axis], padding[axis], dilation[axis], places[axis])
            for k in range(kernel[axis])
        ]
        index = (slice(None),) * (2 + axis)
        parts = [(at, x[(*index, seen)]) for at, seen in looks]
        if len(parts) > 1 and all(at == slice(0, places[axis]) for at, _ in parts[:2]):
            y = ufunc(parts[0][1], parts[1][1])  # half of the time of filling y and then putting them in
            del parts[:2]
        else:
            y = np.full((*x.shape[: 2 + axis], places[axis], *x.shape[3 + axis :]), start, x.dtype)
        for at, part in parts:
            ufunc(y[(*index, at)], part, out=y[(*index, at)])
        x = y
    return x


# --------------------------------------------------------------------------------------------------- max


def _lowest(dtype: Any) -> Any:
    """What no number is smaller than."""
    return -math.inf if dtype.kind == "f" else np.iinfo(dtype).min


POOLED: list[dict[str, Any]] = [
    {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "ceil_mode": False},
    {"kernel": (3, 2), "stride": (1, 2), "padding": (1, 1), "ceil_mode": False},
    {"kernel": (2, 3), "stride": (2, 3), "padding": (0, 1), "ceil_mode": True},
]
STRAIGHT = {"dilation": (1, 1)}
WINNERS = np.arange(0, 60, 15).reshape(2, 2, 1, 1) + np.array([[0, 3, 5], [13, 13, 13]])  # in images of 3x5


@operation(
    name="max_pool2d",
    vjps=[lambda g, y, x, **windows: _to_winners(g, y, x, **windows)],
    notation=Notation("max_pool(<x>)", r"\operatorname{max\_pool}(<x>)"),
    samples=[
        sample(distinct(2, 3, 4, 6), **POOLED[0], **STRAIGHT),
        sample(distinct(2, 2, 5, 6), **POOLED[1], **STRAIGHT),
        sample(distinct(2, 2, 5, 6), **POOLED[2], dilation=(2, 1)),
    ],
)
def _max_pool2d(x: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> Any:
    places = _places(x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    return _slide(np.maximum, x, _lowest(x.dtype), kernel, stride, padding, dilation, places)


@functools.lru_cache(256)
def _search(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, places: Pair
) -> tuple[list[Any], Any, Any]:
    """What each element of the windows sees, how far behind the first element it lies, and where the first ones lie.

    It depends on the geometry alone, so a layer asks once, not at each step: that would take as long as a pass.
    """
    looks = [meeting(k, size, stride, padding, dilation, places) for k in elements(kernel)]
    ahead = [dilation[0] * i * size[1] + dilation[1] * j for i, j in elements(kernel)]
    rows, columns = (s * np.arange(m) - p for s, m, p in zip(stride, places, padding))
    return looks, np.array(ahead, np.min_scalar_type(-ahead[-1] - 1)), size[1] * rows[:, None] + columns


def _to_winners(g: Any, y: Any, x: Any, **windows: Any) -> Any:
    return max_unpool2d(g, max_pool2d_winners(x, y, **windows), size=x.shape[2:])


@operation(vjps=[None, None])
def max_pool2d_winners(
    x: Operand,
    y: Operand,
    kernel: Pair,
    stride: Pair,
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    ceil_mode: bool = False,
) -> Any:
    r"""Where each window finds its largest number y: the position in x.reshape(-1).  No gradient.

    Of equal ones it is the first, and of several NaN the last (as in PyTorch).

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_edu.ops.pooling import max_pool2d_winners
    >>> x = np.array([[[[1.0, 3.0, 5.0, 5.0], [2.0, 0.0, 4.0, 5.0]]]])
    >>> max_pool2d_winners(x, np.array([[[[3.0, 5.0]]]]), (2, 2), (2, 2))
    array([[[[1, 2]]]])
    """
    looks, ahead, firsts = _search(x.shape[2:], kernel, stride, padding, dilation, y.shape[2:])
    # How far behind the first element of its window the largest lies: for each one before it, a step further.  (The
    # last need not be compared.)  In the smallest integers that is nothing beside the comparisons.
    offsets = np.zeros(y.shape, ahead.dtype)
    searching = np.ones(y.shape, bool)
    for (at, seen), step in zip(looks, ahead[1:] - ahead[:-1]):
        searching[at] &= x[seen] != y[at]
        offsets += searching.view(np.int8) * step
    largest = np.maximum.reduce(y.reshape(-1), initial=0)
    if largest != largest:
        for (at, seen), offset in zip(looks, ahead):
            offsets[at][np.isnan(x[seen])] = offset
    images = np.arange(0, x.size, math.prod(x.shape[2:])).reshape(*x.shape[:2], 1, 1)
    winners = images + firsts
    winners += offsets
    if any(padding) or ceil_mode:  # if y has been edited, nothing is equal, and the last element may lie outside
        np.clip(winners, 0, x.size - 1, out=winners)
    return winners


@operation(
    vjps=[lambda v, y, g, winners, size: _taken(v, winners), None],
    samples=[sample(normal(2, 2, 2, 3), WINNERS, size=(3, 5))],
)
def max_unpool2d(g: Operand, winners: Operand, size: Pair) -> Any:
    r"""Images of zeros, with the number of each window added where it was found: the transpose of taking them.

    Gradient: dL/dg is what stands at the winners.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_edu.ops.pooling import max_unpool2d
    >>> max_unpool2d(np.array([[[[10.0, 20.0]]]]), np.array([[[[1, 5]]]]), size=(2, 3))
    array([[[[ 0., 10.,  0.],
             [ 0.,  0., 20.]]]])
    """
    out = np.zeros((*g.shape[:2], *size), g.dtype)
    np.add.at(out.reshape(-1), winners.reshape(-1), g.reshape(-1))
    return out


def _taken(v: Any, winners: Any) -> Any:
    return take_winners(v, winners)


@operation(
    vjps=[lambda g, y, x, winners: max_unpool2d(g, winners, size=x.shape[2:]), None],
    samples=[sample(normal(2, 2, 3, 5), WINNERS)],
)
def take_winners(x: Operand, winners: Operand) -> Any:
    r"""The numbers of images at the positions that `max_pool2d_winners` has found.

    Gradient: max_unpool2d(g) puts g back there.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_edu.ops.pooling import take_winners
    >>> take_winners(np.arange(6.0).reshape(1, 1, 2, 3), np.array([[[[1, 5]]]]))
    array([[[[1., 5.]]]])
    """
    return x.reshape(-1)[winners]


def _indices(x: Operand, y: Operand, windows: dict[str, Any]) -> Any:
    """The winners as users get them: positions in the image of their window, row * width + column."""
    return apply(max_pool2d_winners, (x, y), windows) % math.prod(x.shape[2:])


@public(_max_pool2d)
def max_pool2d(
    x: Operand,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    r"""The largest number in each window; NaN if one is NaN.

    Parameters
    ----------
    x : (samples, channels, height, width), or one sample without the first axis
    kernel_size, stride, dilation : int or pair of int
        The size of the windows, their step (their size unless given), and the step of the elements in a window.
    padding : int or pair of int
        How far windows reach over the edge, at most by half; what lies there never is the largest.
    ceil_mode : bool
        Let a last window reach over the end, if it begins inside.
    return_indices : bool
        Return also where in its image each largest number was found: row * width + column.

    Gradient: each window sends its g to its largest element, to the first of several equal ones.  An element that won
    in several windows receives the sum.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> x = tg.Tensor([[[1.0, 2.0, 0.0, 0.0], [3.0, 2.0, 0.0, 5.0]]], requires_grad=True)
    >>> y = tg.max_pool2d(x, 2)
    >>> y
    Tensor([[[3., 5.]]], from reshape)
    >>> (10 * y).sum().backward()
    >>> x.grad
    array([[[ 0.,  0.,  0.,  0.],
            [10.,  0.,  0., 10.]]])
    """
    x, windows, single = _prepared("max_pool2d", 2, x, kernel_size, stride, padding, dilation, ceil_mode)
    y = apply(_max_pool2d, (x,), windows)
    return (of_one(y, single), of_one(_indices(x, y, windows), single)) if return_indices else of_one(y, single)


def max_pool1d(
    x: Operand,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest number in each window of sequences (samples, channels, length): `max_pool2d` on images of one row.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.max_pool1d(tg.Tensor([[[1.0, 2.0, 4.0, 3.0]]]), 2)
    Tensor([[[2., 4.]]])
    """
    x, windows, single = _prepared("max_pool1d", 1, x, kernel_size, stride, padding, dilation, ceil_mode)
    y = apply(_max_pool2d, (x,), windows)
    found = _sequences(y, single)
    return (found, _sequences(_indices(x, y, windows), single)) if return_indices else found


# --------------------------------------------------------------------------------------------------- mean


def _counts(size: Any, kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool, count_include_pad: bool) -> Any:
    """How many elements each window has: a number if all have as many, else one for each place."""
    counts = []
    for n, k, s, p, m in zip(size, kernel, stride, padding, _places(size, kernel, stride, padding, (1, 1), ceil_mode)):
        edge = p if count_include_pad else 0
        begin = np.arange(m) * s - p
        counts.append(np.minimum(begin + k, n + edge) - np.maximum(begin, -edge))
    rows, columns = counts
    if (rows == kernel[0]).all() and (columns == kernel[1]).all():
        return math.prod(kernel)
    return rows[:, None] * columns


def _divided(y: Any, counts: Any) -> Any:
    """Sums divided by their counts, in the dtype of the sums."""
    return y / (counts.astype(y.dtype) if isinstance(counts, np.ndarray) and y.dtype.kind == "f" else counts)


def _wide(x: Any) -> Any:
    """float16 is added up as float32: a sum can be too large where the mean is not."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


@operation(
    name="avg_pool2d",
    vjps=[lambda g, y, x, **windows: _to_all(g, x, **windows)],
    notation=Notation("avg_pool(<x>)", r"\operatorname{avg\_pool}(<x>)"),
    samples=[
        sample(normal(2, 3, 4, 6), **POOLED[0]),
        sample(normal(2, 2, 5, 6), **POOLED[1], count_include_pad=False),
        sample(normal(2, 2, 5, 6), **POOLED[2]),
        sample(normal(2, 2, 5, 6), **POOLED[2], divisor=3),
    ],
)
def _avg_pool2d(
    x: Any,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Any:
    size = x.shape[2:]
    places = _places(size, kernel, stride, padding, (1, 1), ceil_mode)
    y = _slide(np.add, _wide(x), 0, kernel, stride, padding, (1, 1), places)
    counts = divisor or _counts(size, kernel, stride, padding, ceil_mode, count_include_pad)
    y = _divided(y, counts)
    return y.astype(x.dtype) if x.dtype.kind == "f" else y


def _to_all(g: Any, x: Any, **windows: Any) -> Any:
    return avg_unpool2d(g, size=x.shape[2:], **windows)


@operation(
    vjps=[lambda v, y, g, size, **windows: _avg_pool2d(v, **windows)],
    samples=[
        sample(normal(2, 3, 2, 3), size=(4, 6), **POOLED[0]),
        sample(normal(2, 2, 5, 4), size=(5, 6), **POOLED[1], count_include_pad=False),
        sample(normal(2, 2, 3, 3), size=(5, 6), **POOLED[2], divisor=3),
    ],
)
def avg_unpool2d(
    g: Operand,
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Any:
    r"""The number of each window, divided by the count of its elements, added to every one of them.

    Gradient: avg_pool2d(g), whose transpose it is.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_edu.ops.pooling import avg_unpool2d
    >>> avg_unpool2d(np.array([[[[4.0, 8.0]]]]), size=(2, 3), kernel=(2, 2), stride=(1, 1))
    array([[[[1., 3., 2.],
             [1., 3., 2.]]]])
    """
    counts = divisor or _counts(size, kernel, stride, padding, ceil_mode, count_include_pad)
    x = _divided(_wide(g), counts)
    for axis in (1, 0):
        shape = (*x.shape[: 2 + axis], size[axis], *x.shape[3 + axis :])
        out = np.zeros(shape, x.dtype)
        index = (slice(None),) * (2 + axis)
        for k in range(kernel[axis]):
            at, seen = meet(k, size[axis], stride[axis], padding[axis], 1, x.shape[2 + axis])
            out[(*index, seen)] += x[(*index, at)]
        x = out
    return x.astype(g.dtype, copy=False)


@public(_avg_pool2d)
def avg_pool2d(
    x: Operand,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    r"""The mean of each window.

    Parameters
    ----------
    x : (samples, channels, height, width), or one sample without the first axis
    kernel_size, stride : int or pair of int
        The size of the windows, and their step (their size unless given).
    padding : int or pair of int
        How far windows reach over the edge, at most by half; what lies there is 0.
    ceil_mode : bool
        Let a last window reach over the end, if it begins inside.
    count_include_pad : bool
        Do zeros in the padding count in the mean?
    divisor_override : int, optional
        Divide by this instead of the number of elements.

    Gradient: every element of a window receives g / n, with n elements in the mean.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.avg_pool2d(tg.Tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), 2)
    Tensor([[[[3.]]]])
    """
    x, windows, single = _prepared("avg_pool2d", 2, x, kernel_size, stride, padding, 1, ceil_mode)
    del windows["dilation"]
    if divisor_override == 0:
        raise ValueError("avg_pool2d: divisor_override=0: an integer that is not zero is expected")
    windows |= {"count_include_pad": count_include_pad, "divisor": divisor_override}
    return of_one(apply(_avg_pool2d, (x,), windows), single)


def avg_pool1d(
    x: Operand,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The mean of each window of sequences (samples, channels, length): `avg_pool2d` on images of one row.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.avg_pool1d(tg.Tensor([[[1.0, 2.0, 4.0, 3.0]]]), 2)
    Tensor([[[1.5, 3.5]]])
    """
    x, windows, single = _prepared("avg_pool1d", 1, x, kernel_size, stride, padding, 1, ceil_mode)
    del windows["dilation"]
    windows |= {"count_include_pad": count_include_pad, "divisor": None}
    return _sequences(apply(_avg_pool2d, (x,), windows), single)


# ------------------------------------------------------------------------------------------ for both


def _sequences(y: Any, single: bool) -> Any:
    """Images of one row as sequences again."""
    return of_one(reshape(y, shape=(*y.shape[:2], y.shape[3])), single)


def _prepared(
    name: str,
    axes: int,
    x: Operand,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
) -> tuple[Any, dict[str, Any], bool]:
    """The images as a batch and the windows' geometry, once it is known that one fits."""
    x, single = as_batch(name, x, axes)
    kernel = pair(name, "kernel_size", kernel_size, axes=axes)
    windows = {
        "kernel": kernel,
        "stride": kernel if stride is None else pair(name, "stride", stride, axes=axes),
        "padding": pair(name, "padding", padding, 0, axes=axes),
        "dilation": pair(name, "dilation", dilation, axes=axes),
    }
    if axes == 1:  # one row, one step, no padding above it
        shape = np.shape(x)
        x = reshape(x, shape=(*shape[:2], 1, shape[2]))
        windows = {key: (0 if key == "padding" else 1, *value) for key, value in windows.items()}
    size, edge = np.shape(x)[2:], windows["padding"]
    if any(2 * p > k for p, k in zip(edge, windows["kernel"])):
        raise ValueError(f"{name}: padding {padding!r}: at most half of the window {kernel_size!r} is expected")
    places = _places(size, **windows, ceil_mode=ceil_mode)
    if not all(n > 0 for n in places):
        raise ShapeError(f"{name}: {no_window(size, windows['kernel'], edge, windows['dilation'])}")
    if any(_blind(*axis) for axis in zip(size, windows["stride"], edge, windows["dilation"], places)):
        raise ShapeError(
            f"{name}: with padding {padding!r} and dilation {dilation!r} a window on an image of {size[0]}x{size[1]} "
            "sees nothing but padding"
        )
    return x, {**windows, "ceil_mode": ceil_mode}, single


def _blind(size: int, stride: int, before: int, dilation: int, places: int) -> bool:
    """Does some window that begins in the padding step over the whole image?"""
    begins = range(-before, min(0, places * stride - before), stride)
    return any(begin % dilation >= size for begin in begins)
