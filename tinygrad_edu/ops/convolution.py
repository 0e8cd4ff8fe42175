"""Convolution: a small window of weights slides over images; and its two gradients, which are convolutions again.

With images x, weights w and a cotangent g of the output, everything here is one formula,

    sum over n, o, c, i, k:   g[n, o, i]  w[o, c, k]  x[n, c, stride * i + dilation * k - padding],

in which i runs over the places of the window and k over its elements.  Leave out g, and it is `conv2d`.  Leave out x,
and it is `conv_transpose2d`, the gradient of the images.  Leave out w, and it is `conv2d_weight`, the gradient of the
weights.  So the rules of each of the three are the other two, and there is a derivative of every order.

The arithmetic is done by matrix products: the windows are copied into the columns of a matrix (im2col), a block of
samples at a time, so that the copies stay in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import SUM, Notation, normal, operation, public, sample
from tinygrad_edu.ops.shaping import reshape
from tinygrad_edu.ops.windows import (
    Padding,
    Pair,
    Size,
    as_batch,
    count,
    elements,
    ends,
    meeting,
    no_window,
    of_one,
    padded,
    pair,
    patches,
    reach,
)
from tinygrad_edu.record import apply

__all__ = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"]

Operand = Any  # a Tensor, an array or a number

BLOCK = 1 << 19  # bytes of columns at a time: what a core's cache holds


def _columns(windows: Any, groups: int, ones: bool = False) -> Iterator[tuple[slice, Any]]:
    """The windows as matrices (samples, groups, elements of a window, places), some samples at a time.

    With a last row of ones, if wanted: what it is multiplied with is added everywhere, as a bias is.
    Each block lies in the memory of the one before: fresh memory would cost more than the copying.
    """
    n, c, *sizes = windows.shape
    c //= groups
    rows, places = c * math.prod(sizes[:2]), math.prod(sizes[2:])
    if windows.flags.c_contiguous and not ones:  # a window of one element: there is nothing to copy
        yield slice(0, n), windows.reshape(n, groups, rows, places)
        return
    some = max(1, BLOCK // max(1, groups * rows * places * windows.itemsize))
    memory = np.empty((min(some, n), groups, rows + ones, places), windows.dtype)
    memory[:, :, rows:] = 1
    inside = memory[:, :, :rows].reshape(len(memory), groups, c, *sizes)  # a view
    for start in range(0, n, some):
        block = windows[start : start + some]
        np.copyto(inside[: len(block)], block.reshape(len(block), groups, c, *sizes))
        yield slice(start, start + some), memory[: len(block)]


def _left_over(size: Any, places: Any, kernel: Any, stride: Pair, padding: Padding, dilation: Pair) -> Pair:
    """How many rows and columns of an image the last window leaves over: the transpose must put them back."""
    down, across = (
        n + sum(p) - r - s * (m - 1)
        for n, p, r, s, m in zip(size, ends(padding), reach(kernel, dilation), stride, places)
    )
    return down, across


def _first(y: Any, places: Any) -> Any:
    """The outputs at the first places: a large output padding leaves room for more windows than there were."""
    return y[:, :, : places[0], : places[1]]


# ----------------------------------------------------------------------------------- the three operations


def _conv2d_x(g: Any, y: Any, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, **more: Any) -> Any:
    rest = _left_over(x.shape[2:], y.shape[2:], weight.shape[2:], stride, padding, more["dilation"])
    return _conv_transpose2d(g, weight, None, stride=stride, padding=padding, output_padding=rest, **more)


def _correlated(x: Any, g: Any, weight: Any, **geometry: Any) -> Any:
    return conv2d_weight(x, g, kernel=weight.shape[2:], **geometry)


def _bias(g: Any, *_: Any, **__: Any) -> Any:
    return np.sum(np.sum(g, axis=0), axis=(1, 2))  # the samples first: twice as fast as all axes at once


GEOMETRIES: list[dict[str, Any]] = [
    {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1},
    {"stride": (2, 3), "padding": (2, 1), "dilation": (1, 1), "groups": 1},
    {"stride": (3, 1), "padding": ((1, 0), (0, 2)), "dilation": (1, 2), "groups": 2},
]


@operation(
    name="conv2d",
    vjps=[
        _conv2d_x,
        lambda g, y, x, weight, bias, **geometry: _correlated(x, g, weight, **geometry),
        _bias,
    ],
    notation=Notation("<weight> ⋆ <x> + 1 <bias>", r"<weight> \star <x> + \mathbf{1} <bias>", SUM),
    samples=[
        sample(normal(2, 3, 5, 6), normal(4, 3, 3, 2), normal(4), **GEOMETRIES[0]),
        sample(normal(2, 3, 5, 6), normal(4, 3, 3, 2), None, **GEOMETRIES[1]),
        sample(normal(2, 4, 5, 6), normal(4, 2, 2, 2), normal(4), **GEOMETRIES[2]),
        sample(normal(2, 3, 2, 2), normal(4, 3, 1, 1), None, **GEOMETRIES[0]),
    ],
)
def _conv2d(x: Any, weight: Any, bias: Any, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> Any:
    outputs, _, *kernel = weight.shape
    places = count(x.shape[2:], kernel, stride, padding, dilation)
    windows = patches(padded(x, padding), kernel, stride, dilation, places)
    rows = weight.reshape(groups, outputs // groups, math.prod(weight.shape[1:]))
    dtype = np.result_type(x, weight) if bias is None else np.result_type(x, weight, bias)
    inside = bias is not None and not windows.flags.c_contiguous
    if inside:  # the bias takes part in the product: a pass over the outputs is saved
        rows = np.concatenate([rows, bias.reshape(groups, outputs // groups, 1)], axis=2)
    y = np.empty((len(x), *rows.shape[:2], math.prod(places)), dtype)
    for block, columns in _columns(windows, groups, ones=inside):
        np.matmul(rows, columns, out=y[block])
    y = y.reshape(len(x), outputs, *places)
    if bias is not None and not inside:
        y += bias.reshape(outputs, 1, 1)
    return y


@operation(
    vjps=[
        lambda v, y, x, g, kernel, **geometry: _conv2d_x(g, g, x, v, None, **geometry),
        lambda v, y, x, g, kernel, **geometry: _first(_conv2d(x, v, None, **geometry), g.shape[2:]),
    ],
    samples=[
        sample(normal(2, 3, 5, 6), normal(2, 4, 3, 5), kernel=(3, 2), **GEOMETRIES[0]),
        sample(normal(2, 3, 5, 6), normal(2, 4, 4, 3), kernel=(3, 2), **GEOMETRIES[1]),
        sample(normal(2, 3, 5, 6), normal(2, 4, 3, 1), kernel=(3, 2), **GEOMETRIES[1]),
        sample(normal(2, 4, 5, 6), normal(2, 4, 2, 6), kernel=(2, 2), **GEOMETRIES[2]),
    ],
)
def conv2d_weight(
    x: Operand,
    g: Operand,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Any:
    r"""What the weights of a convolution receive: the correlation of its images x with the gradient g of its outputs.

    dL/dw[o, c, k] = sum over n and i of g[n, o, i] x[n, c, stride i + dilation k - padding].

    Shapes: x (samples, channels, height, width), g (samples, out_channels, rows, columns) -> (out_channels,
    channels / groups, *kernel).

    Gradient, with v the cotangent of the weights: dL/dx = conv_transpose2d(g, v), dL/dg = conv2d(x, v).

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_edu.ops.convolution import conv2d_weight
    >>> conv2d_weight(np.array([[[[1.0, 2.0, 4.0]]]]), np.array([[[[1.0, 10.0]]]]), kernel=(1, 2))
    array([[[[21., 42.]]]])
    """
    n, outputs, *places = g.shape
    rows = g.reshape(n, groups, outputs // groups, math.prod(places))
    channels = x.shape[1] // groups
    weight = np.zeros((groups, outputs // groups, channels * math.prod(kernel)), np.result_type(x, g))
    for block, columns in _columns(patches(padded(x, padding), kernel, stride, dilation, places), groups):
        weight += np.add.reduce(rows[block] @ columns.swapaxes(-1, -2), axis=0)
    return weight.reshape(outputs, channels, *kernel)


@operation(
    name="conv_transpose2d",
    vjps=[
        lambda g, y, x, weight, bias, output_padding, **geometry: _first(
            _conv2d(g, weight, None, **geometry), x.shape[2:]
        ),
        lambda g, y, x, weight, bias, output_padding, **geometry: _correlated(g, x, weight, **geometry),
        _bias,
    ],
    notation=Notation("<weight>' ⋆ <x> + 1 <bias>", r"<weight>^{\top} \star <x> + \mathbf{1} <bias>", SUM),
    samples=[
        sample(normal(2, 4, 3, 2), normal(4, 3, 3, 2), normal(3), output_padding=(0, 0), **GEOMETRIES[0]),
        sample(normal(2, 4, 3, 2), normal(4, 3, 3, 2), None, output_padding=(1, 2), **GEOMETRIES[1]),
        sample(normal(2, 4, 3, 2), normal(4, 1, 2, 2), normal(2), output_padding=(2, 1), **GEOMETRIES[2]),
    ],
)
def _conv_transpose2d(
    x: Any, weight: Any, bias: Any, stride: Pair, padding: Padding, output_padding: Pair, dilation: Pair, groups: int
) -> Any:
    n, channels, height, width = x.shape
    _, outputs, *kernel = weight.shape
    places = height, width
    size = [
        step * (m - 1) - sum(p) + r + q
        for step, m, p, r, q in zip(stride, places, ends(padding), reach(kernel, dilation), output_padding)
    ]
    dtype = np.result_type(x, weight) if bias is None else np.result_type(x, weight, bias)
    y = np.zeros((n, groups * outputs, *size), dtype)
    if bias is not None:
        y += bias.reshape(groups * outputs, 1, 1)
    # One element k of the window at a time: W_k^T x, and where it goes.  Each is one matrix product and one addition.
    turned = weight.reshape(groups, channels // groups, outputs, *kernel).transpose(3, 4, 0, 2, 1)
    turned = np.ascontiguousarray(turned)
    columns = x.reshape(n, groups, channels // groups, height * width)
    sent = np.empty((n, groups, outputs, height * width), dtype)
    for k in elements(kernel):
        at, seen = meeting(k, size, stride, padding, dilation, places)
        np.matmul(turned[k], columns, out=sent)
        y[seen] += sent.reshape(n, groups * outputs, height, width)[at]
    return y


# ------------------------------------------------------------------------------------------ for users


def _prepared(
    operation: str, axes: int, x: Operand, weight: Operand, bias: Operand, groups: int, transposed: bool = False
) -> tuple[Any, bool]:
    """The images as a batch, once channels, groups and bias are known to fit."""
    x, single = as_batch(operation, x, axes)
    given, shape = np.shape(x), np.shape(weight)
    if len(shape) != axes + 2:
        window = "height and width" if axes == 2 else "length"
        raise ShapeError(f"{operation}: weight {shape}: {axes + 2} axes are expected, at the end the window's {window}")
    pair(operation, "groups", groups, axes=1)
    expected, outputs = (shape[0], shape[1] * groups) if transposed else (shape[1] * groups, shape[0])
    if given[1] != expected:
        arrive = f"{given[1]} channel{' arrives' if given[1] == 1 else 's arrive'}"
        raise ShapeError(
            f"{operation}: input {given[single:]} against weight {shape}"
            + (f" in {groups} groups" if groups > 1 else "")
            + f": {arrive}, {expected} {'is' if expected == 1 else 'are'} expected"
        )
    if shape[0] % groups:
        raise ShapeError(f"{operation}: weight {shape}: {shape[0]} channels cannot be split into {groups} groups")
    if bias is not None and np.shape(bias) != (outputs,):
        raise ShapeError(
            f"{operation}: bias {np.shape(bias)} against weight {shape}: {outputs} numbers are expected, one for each "
            "output channel"
        )
    return x, single


def _settled(operation: str, padding: Size | str, size: Any, kernel: Any, stride: Pair, dilation: Pair) -> Padding:
    """The padding in numbers, once it is known that a window fits."""
    settled: Padding
    if padding == "valid":
        settled = 0, 0
    elif padding == "same":
        if stride != (1, 1):
            raise ValueError(f"{operation}: padding='same' with stride {stride}: only stride 1 keeps the size")
        edges = [r - 1 for r in reach(kernel, dilation)]
        (a, c), (b, d) = [e // 2 for e in edges], [e - e // 2 for e in edges]
        settled = ((a, b), (c, d)) if (a, c) != (b, d) else (a, c)
    elif isinstance(padding, str):
        raise ValueError(f"{operation}: padding={padding!r}: 'same', 'valid' or numbers are expected")
    else:
        settled = pair(operation, "padding", padding, 0)
    if not all(count(size, kernel, stride, settled, dilation)):
        raise ShapeError(f"{operation}: {no_window(size, kernel, settled, dilation)}")
    return settled


@public(_conv2d)
def conv2d(
    x: Operand,
    weight: Operand,
    bias: Operand = None,
    stride: Size = 1,
    padding: Size | Literal["same", "valid"] = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    r"""Slide windows of weights over images: y[n, o, i] = b[o] + sum over c, k of w[o, c, k] x[n, c, stride i + k].

    (Mathematicians call it a cross-correlation; their convolution would flip the window.)

    Parameters
    ----------
    x : (samples, channels, height, width), or one sample without the first axis
        The images.
    weight : (out_channels, channels / groups, kh, kw)
        One window for each output channel.
    bias : (out_channels,), optional
        Added to each output channel.
    stride, dilation : int or pair of int
        The step of the windows, and of the elements in a window.
    padding : int or pair of int, "same" or "valid"
        Zeros around the images; "same" adds as many as keep the size (with stride 1), "valid" none.
    groups : int
        Channels and outputs are split into that many groups, each with its own convolution.

    Shapes: -> (samples, out_channels, (height + 2 padding - dilation (kh - 1) - 1) // stride + 1, ...).

    Gradient, with g = dL/dy: dL/dx = conv_transpose2d(g, w); dL/dw[o, c, k] = sum of g[n, o, i] x[n, c, stride i + k]
    over n and i, the correlation of the images with g; dL/db = the sum of g over all but its channels.

    Raises
    ------
    ShapeError
        If channels or bias do not fit the weight, or the window is larger than the image.
    ValueError
        For a stride, padding, dilation or number of groups that cannot be.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> x = tg.Tensor(np.arange(9.0).reshape(1, 1, 3, 3))
    >>> edges = tg.Tensor([[[[1.0, -1.0]]]])
    >>> tg.conv2d(x, edges)
    Tensor([[[[-1., -1.],
              [-1., -1.],
              [-1., -1.]]]])
    """
    x, single = _prepared("conv2d", 2, x, weight, bias, groups)
    step, gap = pair("conv2d", "stride", stride), pair("conv2d", "dilation", dilation)
    edge = _settled("conv2d", padding, np.shape(x)[2:], np.shape(weight)[2:], step, gap)
    geometry = {"stride": step, "padding": edge, "dilation": gap, "groups": groups}
    return of_one(apply(_conv2d, (x, weight, bias), geometry), single)


def conv1d(
    x: Operand,
    weight: Operand,
    bias: Operand = None,
    stride: Size = 1,
    padding: Size | Literal["same", "valid"] = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """Slide windows of weights over sequences: `conv2d` on images of one row.

    Shapes: x (samples, channels, length) or one sample without the first axis, weight (out_channels,
    channels / groups, k), bias (out_channels,) -> (samples, out_channels, length').

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.conv1d(tg.Tensor([[[1.0, 2.0, 4.0]]]), tg.Tensor([[[-1.0, 1.0]]]))
    Tensor([[[1., 2.]]])
    """
    x, single = _prepared("conv1d", 1, x, weight, bias, groups)
    step, gap = _row("conv1d", "stride", stride), _row("conv1d", "dilation", dilation)
    around = padding if isinstance(padding, str) else (0, *pair("conv1d", "padding", padding, 0, axes=1))
    x, weight = _as_rows(x), _as_rows(weight)
    edge = _settled("conv1d", around, x.shape[2:], weight.shape[2:], step, gap)
    geometry = {"stride": step, "padding": edge, "dilation": gap, "groups": groups}
    return of_one(_as_sequences(apply(_conv2d, (x, weight, bias), geometry)), single)


@public(_conv_transpose2d)
def conv_transpose2d(
    x: Operand,
    weight: Operand,
    bias: Operand = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Any:
    r"""The transpose of `conv2d`: every number of x puts a copy of the window, scaled by it, into the output.

    It makes images larger where conv2d makes them smaller, and is conv2d's gradient: <conv2d(a, w), x> =
    <a, conv_transpose2d(x, w)> for all a and x.  It does not undo conv2d.

    Parameters
    ----------
    x : (samples, channels, height, width), or one sample without the first axis
    weight : (channels, out_channels / groups, kh, kw)
    bias : (out_channels,), optional
    stride, padding, groups, dilation
        Those of the conv2d whose transpose this is: padding is cut off here.
    output_padding : int or pair of int
        Rows and columns more at the end, smaller than stride or dilation: they tell apart the sizes from which conv2d
        comes to the same size.

    Shapes: -> (samples, out_channels, (height - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1, ...).

    Gradient, with g = dL/dy: dL/dx = conv2d(g, w); dL/dw = the correlation of g with x; dL/db = the sum of g
    over all but its channels.

    Raises
    ------
    ShapeError
        If channels or bias do not fit the weight, or padding cuts everything off.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.conv_transpose2d(tg.Tensor([[[[1.0, 2.0]]]]), tg.Tensor([[[[1.0, 10.0]]]]), stride=2)
    Tensor([[[[ 1., 10.,  2., 20.]]]])
    """
    name = "conv_transpose2d"
    x, single = _prepared(name, 2, x, weight, bias, groups, transposed=True)
    geometry: dict[str, Any] = {
        "stride": pair(name, "stride", stride),
        "padding": pair(name, "padding", padding, 0),
        "output_padding": pair(name, "output_padding", output_padding, 0),
        "dilation": pair(name, "dilation", dilation),
        "groups": groups,
    }
    _check_transposed(name, x, weight, **geometry)
    return of_one(apply(_conv_transpose2d, (x, weight, bias), geometry), single)


def conv_transpose1d(
    x: Operand,
    weight: Operand,
    bias: Operand = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Any:
    """The transpose of `conv1d`: `conv_transpose2d` on images of one row.

    Shapes: x (samples, channels, length) or one sample without the first axis, weight (channels,
    out_channels / groups, k), bias (out_channels,) -> (samples, out_channels, length').

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.conv_transpose1d(tg.Tensor([[[1.0, 2.0]]]), tg.Tensor([[[1.0, 10.0]]]))
    Tensor([[[ 1., 12., 20.]]])
    """
    name = "conv_transpose1d"
    x, single = _prepared(name, 1, x, weight, bias, groups, transposed=True)
    geometry: dict[str, Any] = {
        "stride": _row(name, "stride", stride),
        "padding": (0, *pair(name, "padding", padding, 0, axes=1)),
        "output_padding": (0, *pair(name, "output_padding", output_padding, 0, axes=1)),
        "dilation": _row(name, "dilation", dilation),
        "groups": groups,
    }
    x, weight = _as_rows(x), _as_rows(weight)
    _check_transposed(name, x, weight, **geometry)
    return of_one(_as_sequences(apply(_conv_transpose2d, (x, weight, bias), geometry)), single)


def _row(operation: str, name: str, value: Size) -> Pair:
    """The pair for images of one row."""
    (step,) = pair(operation, name, value, axes=1)
    return 1, step


def _as_rows(x: Operand) -> Any:
    """Sequences as images of one row."""
    shape = np.shape(x)
    return reshape(x, shape=(*shape[:-1], 1, shape[-1]))


def _as_sequences(y: Any) -> Any:
    return reshape(y, shape=(*y.shape[:-2], y.shape[-1]))


def _check_transposed(
    operation: str, x: Any, weight: Any, stride: Pair, padding: Pair, output_padding: Pair, dilation: Pair, groups: int
) -> None:
    steps = tuple(map(max, zip(stride, dilation)))
    if not all(q < s for q, s in zip(output_padding, steps)):
        raise ValueError(f"{operation}: output_padding {output_padding}: smaller than stride or dilation is expected")
    size = [
        s * (m - 1) - 2 * p + r + q
        for s, m, p, r, q in zip(stride, x.shape[2:], padding, reach(weight.shape[2:], dilation), output_padding)
    ]
    if not all(n > 0 for n in size):
        raise ShapeError(f"{operation}: padding {padding} leaves nothing of the output, whose size would be {size}")
