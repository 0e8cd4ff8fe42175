"""Normalisation: numbers with mean 0 and variance 1, over a batch, a layer or a group; then a scale and a shift.

`standardize` is the one operation behind batch_norm, layer_norm and group_norm: they differ in the axes only.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import DtypeError, ShapeError
from tinygrad_edu.memory import edited
from tinygrad_edu.modes import current_mode
from tinygrad_edu.op import PRODUCT, SUM, Notation, normal, operation, sample
from tinygrad_edu.ops.axes import Axis, axes_of, count, kept, numbers, operand
from tinygrad_edu.ops.shaping import reshape
from tinygrad_edu.record import leaf, tensor_of

__all__ = ["batch_norm", "group_norm", "layer_norm", "rms_norm", "standardize"]

Operand = Any  # a Tensor, an array or a number


# An einsum never stores the product that it sums: it is three times faster than (a * b).sum().
def _dot(a: Any, b: Any, axis: Axis) -> Any:
    """sum(a * b) along `axis`, which stays with size 1."""
    names = string.ascii_letters[: a.ndim]
    rest = "".join(names[i] for i in range(a.ndim) if i not in axes_of(a.shape, axis))
    return kept(np.einsum(f"{names},{names}->{rest}", a, b), a.shape, axis)


def _wide(x: Any) -> Any:
    """float16 as float32: its squares, and their sums, may be too large for it."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


# The axes that the weight has not are summed over here; those where its size is one, by the engine.
def _scale(g: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
    names = string.ascii_letters[: x.ndim]
    return np.einsum(f"{names},{names}->{names[x.ndim - weight.ndim :]}", g, x)


@operation(
    vjps=[lambda g, y, x, weight, bias: g * weight, _scale, lambda g, y, x, weight, bias: g],
    notation=Notation("<weight> * <x> + <bias>", r"<weight> \odot <x> + <bias>", SUM),
    samples=[
        sample(normal(2, 3, 4), normal(3, 1), normal(3, 1)),
        sample(normal(3, 4), normal(4), normal(4)),
        sample(normal(2, 3), normal(2, 1), normal(2, 3)),
    ],
)
def scale_and_shift(x: Operand, weight: Operand, bias: Operand) -> Any:
    r"""weight * x + bias, both of them broadcast to the shape of x.

    Gradient: dL/dx = g * weight; dL/dweight = the sum of g * x, and dL/dbias that of g, over the axes along which
    weight and bias were broadcast.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_edu.ops.normalization import scale_and_shift
    >>> scale_and_shift(np.ones((2, 2)), np.array([2.0, 3.0]), np.array([0.0, 10.0]))
    array([[ 2., 13.],
           [ 2., 13.]])
    """
    y = x * weight
    if np.result_type(y, bias) != y.dtype:
        return y + bias
    y += bias  # in place: one array less
    return y


def _rate(x: Any, axis: Axis, eps: float) -> Any:
    """What a deviation from the mean is multiplied with."""
    return 1 / np.sqrt(np.var(x, axis=axis, keepdims=True) + eps)


# Three things move y when an x moves: x itself, the mean it belongs to, and the deviation it belongs to.
def _standardize(g: Any, y: Any, x: Any, rate: Any, axis: Axis, eps: float) -> Any:
    g = _wide(g)
    through_mean = np.mean(g, axis=axis, keepdims=True)
    through_deviation = y * (_dot(g, y, axis) / count(x.shape, axis))
    return rate * (g - through_mean - through_deviation)


def _standardize_door(x: Any, axis: Axis, eps: float) -> str | Exception:
    if np.asarray(x).dtype.kind != "f":
        return DtypeError(f"dtype {np.asarray(x).dtype}: floats are expected")
    return f"axis {axis} of a tensor of shape {np.shape(x)}"


@operation(
    vjps=[_standardize],
    residual=_rate,
    notation=Notation(
        "(<x> - mean(<x>)) / sqrt(var(<x>) + <eps>)",
        r"\frac{<x> - \operatorname{mean}(<x>)}{\sqrt{\operatorname{var}(<x>) + <eps>}}",
        PRODUCT,
    ),
    samples=[
        sample(normal(3, 4)),
        sample(normal(3, 4), axis=0, eps=0.1),
        sample(normal(3, 2, 4), axis=(0, 2)),
        sample(normal(2, 3, 4), axis=None),
    ],
    door=_standardize_door,
)
def standardize(x: Operand, axis: Axis = -1, eps: float = 1e-5) -> Any:
    r"""(x - mean(x)) / sqrt(var(x) + eps) along `axis`: numbers with mean 0 and variance (almost) 1.

    The variance is that of the numbers themselves, divided by n; eps keeps the root away from 0.

    Gradient, with r = 1 / sqrt(var(x) + eps): dL/dx = r (g - mean(g) - y mean(g y)), the second and
    third term since every x also moves the mean and the variance.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.standardize(tg.Tensor([1.0, 2.0, 3.0]), eps=0)
    Tensor([-1.22474487,  0.        ,  1.22474487])
    """
    dtype = x.dtype
    if dtype.kind != "f":
        raise ValueError  # the door says it
    x = _wide(x)
    y = x - np.mean(x, axis=axis, keepdims=True)
    rate = 1 / np.sqrt(_dot(y, y, axis) / count(x.shape, axis) + eps)
    y *= rate
    return y.astype(dtype, copy=False), rate


def _scaled(y: Any, weight: Operand, bias: Operand, shape: tuple[int, ...]) -> Any:
    """weight * y + bias, both of them reshaped to `shape`."""
    weight, bias = (p if p is None else reshape(p, shape=shape) for p in (weight, bias))
    if weight is not None and bias is not None:
        return scale_and_shift(y, weight, bias)
    if weight is not None:
        return y * weight
    return y if bias is None else y + bias


def _check_parameter(name: str, which: str, parameter: Any, shape: tuple[int, ...], x: Any) -> None:
    if parameter is not None and np.shape(parameter) != shape:
        raise ShapeError(
            f"{name}: {which} of shape {np.shape(parameter)} for an input of shape {np.shape(x)}: {shape} is expected"
        )


def _channels(name: str, x: Any, **parameters: Any) -> tuple[int, tuple[int, ...]]:
    """The number of channels, and the shape in which one number for each broadcasts against x."""
    shape = np.shape(x)
    if len(shape) < 2:
        raise ShapeError(f"{name}: input {shape}: (samples, channels, ...) is expected")
    for which, parameter in parameters.items():
        _check_parameter(name, which, parameter, (shape[1],), x)
    return shape[1], (shape[1],) + (1,) * (len(shape) - 2)


def batch_norm(
    x: Operand,
    running_mean: Operand = None,
    running_var: Operand = None,
    weight: Operand = None,
    bias: Operand = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    r"""Each channel standardized over the batch, then scaled and shifted (Ioffe and Szegedy 2015).

    Parameters
    ----------
    x : (samples, channels, ...)
    running_mean, running_var : (channels,) Tensor or array, optional
        In training they move towards the batch's mean and variance (the unbiased one, as in PyTorch), in place and
        outside of the graph: r = (1 - momentum) r + momentum s.  Otherwise they replace the batch's statistics.
    weight, bias : (channels,), optional
        Scale and shift.
    training : bool
        Use the statistics of this batch (also done where no running ones are given).
    momentum, eps : float
        How fast the running statistics move; what is added to the variance.

    Gradient: in training that of `standardize`, which includes the way through mean and variance; otherwise mean and
    variance are constants, and dL/dx = g weight / sqrt(running_var + eps).

    Raises
    ------
    ShapeError
        If a parameter has not one number for each channel.
    ValueError
        In training with a single number for each channel, which has no variance.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> x = tg.Tensor([[1.0, 10.0], [3.0, 30.0]])
    >>> mean, var = np.zeros(2), np.ones(2)
    >>> tg.batch_norm(x, mean, var, training=True).data.round(4)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> mean
    array([0.2, 2. ])
    """
    x = operand(x)
    running = {"running_mean": running_mean, "running_var": running_var}
    channels, shape = _channels("batch_norm", x, **running, weight=weight, bias=bias)
    if (running_mean is None) != (running_var is None):
        raise ValueError("batch_norm: give both running_mean and running_var, or neither")
    if not training and running_mean is not None:
        mean, var = (_outside(r) for r in (running_mean, running_var))
        factor = (1 / np.sqrt(var + eps)).astype(x.dtype)
        if weight is not None:
            factor = factor * weight  # the small arrays first: then x is touched twice only
        shift = -mean.astype(x.dtype) * factor
        return _scaled(x, factor, shift if bias is None else shift + bias, shape)
    each = math.prod(np.shape(x)) // max(1, channels)
    if each < 2:
        raise ValueError(
            f"batch_norm: input {np.shape(x)} has {each} number{'' if each == 1 else 's'} for each channel; training "
            "needs at least 2, since one number has no variance"
        )
    axes = (0, *range(2, len(np.shape(x))))
    if running_mean is not None:
        values = _wide(_outside(x))
        move(running_mean, np.mean(values, axis=axes), momentum)
        move(running_var, np.var(values, axis=axes) * (each / (each - 1)), momentum)
    return _scaled(standardize(x, axis=axes, eps=eps), weight, bias, shape)


def _outside(x: Any) -> Any:
    """The numbers of a Tensor, outside of the graph.  (In a step that is traced they are a Tensor, to be recorded.)"""
    return numbers(x) if current_mode().tracer is None else tensor_of(leaf(numbers(x), False), numbers(x))


# Both write into their first input, outside of the graph.


@operation(vjps=[None, None, None], writes=(0,))
def move(running: Operand, statistic: Operand, momentum: Operand) -> Any:
    """running = (1 - momentum) running + momentum statistic, in place.  No gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_edu.ops.normalization import move
    >>> mean = np.zeros(2)
    >>> move(mean, np.array([1.0, 2.0]), 0.1)
    array([0.1, 0.2])
    >>> mean
    array([0.1, 0.2])
    """
    running *= 1 - momentum
    running += momentum * statistic
    edited(running)
    return running


@operation(vjps=[None], writes=(0,))
def advance(count: Operand) -> Any:
    """One more, in place.  No gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_edu.ops.normalization import advance
    >>> advance(np.array(3))
    array(4)
    """
    count += 1
    edited(count)
    return count


def _tail(name: str, x: Any, normalized_shape: int | Sequence[int], **parameters: Any) -> tuple[int, ...]:
    """The last axes, which `normalized_shape` describes."""
    given = (normalized_shape,) if isinstance(normalized_shape, (int, np.integer)) else tuple(normalized_shape)
    shape = np.shape(x)
    if not given or shape[-len(given) :] != given:
        raise ShapeError(f"{name}: input {shape} does not end in the normalized shape {given}")
    for which, parameter in parameters.items():
        _check_parameter(name, which, parameter, given, x)
    return given


def layer_norm(
    x: Operand,
    normalized_shape: int | Sequence[int],
    weight: Operand = None,
    bias: Operand = None,
    eps: float = 1e-5,
) -> Any:
    r"""Each sample standardized over its last axes, then scaled and shifted (Ba, Kiros and Hinton 2016).

    Parameters
    ----------
    x : (..., *normalized_shape)
    normalized_shape : int or tuple of int
        The sizes of the last axes, over which mean and variance are taken.
    weight, bias : normalized_shape, optional
        Scale and shift.
    eps : float
        What is added to the variance.

    Gradient: that of `standardize`.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.layer_norm(tg.Tensor([[1.0, 3.0], [10.0, 30.0]]), 2, eps=0)
    Tensor([[-1.,  1.],
            [-1.,  1.]])
    """
    tail = _tail("layer_norm", x, normalized_shape, weight=weight, bias=bias)
    return _scaled(standardize(x, axis=tuple(range(-len(tail), 0)), eps=eps), weight, bias, tail)


def rms_norm(
    x: Operand, normalized_shape: int | Sequence[int], weight: Operand = None, eps: float | None = None
) -> Any:
    r"""x / sqrt(mean(x^2) + eps) over the last axes, then scaled: layer_norm without the mean.

    (Zhang and Sennrich 2019.)  eps is the machine epsilon of the dtype unless given.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.rms_norm(tg.Tensor([3.0, 4.0, 0.0, 0.0]), 4)
    Tensor([1.2, 1.6, 0. , 0. ])
    """
    x = operand(x)
    tail = _tail("rms_norm", x, normalized_shape, weight=weight)
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    squares = np.mean(x * x, axis=tuple(range(-len(tail), 0)), keepdims=True)
    return _scaled(x / np.sqrt(squares + eps), weight, None, tail)


def group_norm(x: Operand, num_groups: int, weight: Operand = None, bias: Operand = None, eps: float = 1e-5) -> Any:
    r"""The channels of each sample standardized in groups, then scaled and shifted (Wu and He 2018).

    Parameters
    ----------
    x : (samples, channels, ...)
    num_groups : int
        A divisor of the number of channels; mean and variance are taken over the channels of a group and all that
        follows.  1 is a layer_norm over everything but the samples; as many as channels is an instance norm.
    weight, bias : (channels,), optional
        Scale and shift of each channel.
    eps : float
        What is added to the variance.

    Gradient: that of `standardize`.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.group_norm(tg.Tensor([[1.0, 3.0, 10.0, 30.0]]), 2, eps=0)
    Tensor([[-1.,  1., -1.,  1.]])
    """
    channels, shape = _channels("group_norm", x, weight=weight, bias=bias)
    if num_groups < 1 or channels % num_groups:
        raise ShapeError(f"group_norm: {channels} channels of input {np.shape(x)} in {num_groups} groups of equal size")
    whole = np.shape(x)
    groups = whole[0], num_groups, math.prod(whole[1:]) // num_groups
    y = standardize(reshape(x, shape=groups), axis=-1, eps=eps)
    return _scaled(reshape(y, shape=whole), weight, bias, shape)
