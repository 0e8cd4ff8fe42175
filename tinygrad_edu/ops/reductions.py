"""Reductions: many numbers become one, along some axes or all: sum, mean, max, var, logsumexp, ...

The gradient of a reduction has the reduced shape.  `_spread` sends it back to every element that it came from.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from tinygrad_edu.op import Notation, distinct, normal, operation, sample

__all__ = ["all", "any", "argmax", "argmin", "logsumexp", "max", "mean", "min", "std", "sum", "var"]

Operand = Any  # a Tensor, an array or a number
Axis = int | tuple[int, ...] | None

# The reductions of the ufuncs take a quarter of the time of np.sum, np.max, ... (which call them).
_add: Any = np.add
_maximum: Any = np.maximum
_minimum: Any = np.minimum
_logical_and: Any = np.logical_and
_logical_or: Any = np.logical_or

REDUCED = [
    sample(normal(3, 4)),
    sample(normal(3, 4), axis=0),
    sample(normal(2, 3, 4), axis=(0, -1)),
    sample(normal(3, 4), axis=1, keepdims=True),
    sample(normal(), axis=None),
]
EXTREMA = [
    sample(distinct(3, 4)),
    sample(distinct(3, 4), axis=0),
    sample(distinct(2, 3, 4), axis=(0, -1)),
    sample(distinct(3, 4), axis=1, keepdims=True),
]


def _axes(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The axes that are reduced, as numbers from 0."""
    ndim = len(shape)
    if axis is None:
        return tuple(range(ndim))
    return (axis % ndim,) if isinstance(axis, int) else tuple(i % ndim for i in axis)


def _count(shape: tuple[int, ...], axis: Axis) -> int:
    """How many numbers become one: a Python int, so that float16 neither overflows nor widens."""
    return math.prod(shape[i] for i in _axes(shape, axis))


def _wide(g: Any) -> Any:
    """float16 as float32: it can neither count to 100,000 nor hold 1 / 100,000 exactly enough."""
    return g.astype(np.float32) if g.dtype == np.float16 else g


def _kept(g: Any, shape: tuple[int, ...], axis: Axis) -> Any:
    """`g` with the reduced axes put back with size 1, so that it broadcasts against the input."""
    axes = _axes(shape, axis)
    return g.reshape(tuple(1 if i in axes else n for i, n in enumerate(shape)))


def _spread(g: Any, shape: tuple[int, ...], axis: Axis) -> Any:
    """`g` copied to every element of the input's shape."""
    return np.broadcast_to(_kept(g, shape, axis), shape)


def _door(x: Any, axis: Axis, **_: Any) -> str | None:
    shape = np.shape(x)
    given = () if axis is None else (axis,) if isinstance(axis, int) else axis
    if not builtins.all(-len(shape) <= i < len(shape) for i in given):
        return f"axis {axis} of a tensor of shape {shape}: axes run from {-len(shape)} to {len(shape) - 1}"
    if len({i % len(shape) for i in given}) < len(given):
        return f"axis {axis} of a tensor of shape {shape}: an axis is named twice"
    if _count(shape, axis) == 0:
        return f"the shape is {shape}: of no numbers there is none"
    return None


@operation(
    numpy=[np.sum],
    vjps=[lambda g, y, x, axis, keepdims: _spread(g, x.shape, axis)],
    notation=Notation("sum(<x>)", r"\sum <x>"),
    samples=REDUCED,
    door=_door,
)
def sum(x: Operand, axis: Axis = None, keepdims: bool = False) -> Any:
    r"""Sum along `axis` (an int, a tuple of ints, or None for all).

    Gradient: dL/dx = g at every element that went into the sum.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.sum(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    Tensor([4., 6.])
    """
    return _add.reduce(x, axis=axis, keepdims=keepdims)


@operation(
    numpy=[np.mean],
    vjps=[lambda g, y, x, axis, keepdims: _spread(_wide(g) / _count(x.shape, axis), x.shape, axis)],
    notation=Notation("mean(<x>)", r"\frac{1}{n} \sum <x>"),
    samples=REDUCED,
    door=_door,
)
def mean(x: Operand, axis: Axis = None, keepdims: bool = False) -> Any:
    r"""Arithmetic mean along `axis` (an int, a tuple of ints, or None for all); NaN of no numbers.

    Gradient: dL/dx = g / n, with n numbers in the mean.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.mean(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    Tensor([2., 3.])
    """
    return np.mean(x, axis=axis, keepdims=keepdims)


def _extremum(g: Any, y: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    y = _kept(y, x.shape, axis)
    ties = (x == y) | ((x != x) & (y != y))  # a NaN is the extremum, though it equals nothing
    count = np.sum(ties, axis=_axes(x.shape, axis), keepdims=True)
    return np.where(ties, _kept(g, x.shape, axis) / count, 0)


@operation(
    numpy=[np.max],
    vjps=[_extremum],
    notation=Notation("max(<x>)", r"\max <x>"),
    samples=EXTREMA,
    door=_door,
)
def max(x: Operand, axis: Axis = None, keepdims: bool = False) -> Any:
    r"""Largest number along `axis` (an int, a tuple of ints, or None for all); NaN if one is NaN.

    Gradient: it goes to the largest; several equal ones share it evenly.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.max(tg.Tensor([[1.0, 4.0], [3.0, 2.0]]), axis=0)
    Tensor([3., 4.])
    """
    return _maximum.reduce(x, axis=axis, keepdims=keepdims)


@operation(
    numpy=[np.min],
    vjps=[_extremum],
    notation=Notation("min(<x>)", r"\min <x>"),
    samples=EXTREMA,
    door=_door,
)
def min(x: Operand, axis: Axis = None, keepdims: bool = False) -> Any:
    r"""Smallest number along `axis` (an int, a tuple of ints, or None for all); NaN if one is NaN.

    Gradient: it goes to the smallest; several equal ones share it evenly.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.min(tg.Tensor([[1.0, 4.0], [3.0, 2.0]]), axis=0)
    Tensor([1., 2.])
    """
    return _minimum.reduce(x, axis=axis, keepdims=keepdims)


def _deviation(x: Any, axis: Axis) -> Any:
    return x - np.mean(x, axis=axis, keepdims=True)


def _freedom(shape: tuple[int, ...], axis: Axis, ddof: float) -> float:
    """n - ddof; NaN where that is not positive, as there is no variance then."""
    free = _count(shape, axis) - ddof
    return free if free > 0 else math.nan


@operation(
    numpy=[np.var],
    vjps=[
        lambda g, y, x, axis, ddof, keepdims: (
            _kept(_wide(g), x.shape, axis) * (2 / _freedom(x.shape, axis, ddof)) * _deviation(x, axis)
        )
    ],
    notation=Notation("var(<x>)", r"\operatorname{var}(<x>)"),
    samples=[*REDUCED[:-1], sample(normal(3, 4), axis=0, ddof=1)],
    door=_door,
)
def var(x: Operand, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Any:
    r"""Variance along `axis`: sum (x - mean)^2 / (n - ddof).  NaN, with NumPy's warning, if ddof >= n.

    Gradient: dL/dx = g 2 (x - mean) / (n - ddof).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.var(tg.Tensor([1.0, 2.0, 3.0]), ddof=1)
    Tensor(1.)
    """
    value = np.var(x, axis=axis, ddof=ddof, keepdims=keepdims)
    return value if _freedom(np.shape(x), axis, ddof) > 0 else value * np.nan


# Where all numbers are equal, std = 0 has a kink, as |x| has; the deviations are 0 there, and so is the gradient.
def _std(g: Any, y: Any, x: Any, axis: Axis, ddof: float, keepdims: bool) -> Any:
    slope = g / (_wide(np.where(y == 0, 1, y)) * _freedom(x.shape, axis, ddof))
    return _kept(slope, x.shape, axis) * _deviation(x, axis)


@operation(
    numpy=[np.std],
    vjps=[_std],
    notation=Notation("std(<x>)", r"\operatorname{std}(<x>)"),
    samples=[*REDUCED[:-1], sample(normal(3, 4), axis=0, ddof=1)],
    door=_door,
)
def std(x: Operand, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Any:
    r"""Standard deviation along `axis`, the root of the variance.  NaN, with NumPy's warning, if ddof >= n.

    Gradient: dL/dx = g (x - mean) / ((n - ddof) std); 0 where std = 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.std(tg.Tensor([1.0, 2.0, 3.0]), ddof=1)
    Tensor(1.)
    """
    value = np.std(x, axis=axis, ddof=ddof, keepdims=keepdims)
    return value if _freedom(np.shape(x), axis, ddof) > 0 else value * np.nan


# x - y is NaN where both are -inf (all inputs of that sum were): exp of it is wanted as 0 there.
@np.errstate(invalid="ignore")
def _logsumexp(g: Any, y: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    y = _kept(y, x.shape, axis)
    return _kept(g, x.shape, axis) * np.exp(x - np.where(np.isfinite(y), y, 0))


@operation(
    vjps=[_logsumexp],
    notation=Notation("log(sum(exp(<x>)))", r"\log \sum e^{<x>}"),
    samples=REDUCED,
    door=_door,
)
def logsumexp(x: Operand, axis: Axis = None, keepdims: bool = False) -> Any:
    r"""log(sum(e^x)) along `axis`, without overflow: m + log(sum(e^(x - m))) with m the largest x.

    Gradient: dL/dx = g softmax(x).  Of nothing but -inf the value is -inf, and the gradient 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.logsumexp(tg.Tensor([1000.0, 1000.0]))
    Tensor(1000.69314718)
    """
    m = np.max(x, axis=axis, keepdims=True)
    m = np.where(np.isfinite(m), m, 0)
    with np.errstate(divide="ignore", over="ignore"):  # log(0) = -inf and e^inf = inf are what is meant
        value = m + np.log(_add.reduce(np.exp(x - m), axis=axis, keepdims=True))
    return value if keepdims else np.squeeze(value, axis=_axes(value.shape, axis))


@operation(numpy=[np.argmax], vjps=[None], notation=Notation("argmax(<x>)", r"\arg\max <x>"))
def argmax(x: Operand, axis: int | None = None, keepdims: bool = False) -> Any:
    r"""Position of the (first) largest number along `axis`; None counts through the flattened tensor.

    No gradient: a position is constant almost everywhere.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.argmax(tg.Tensor([[1.0, 4.0], [3.0, 2.0]]), axis=1)
    Tensor([1, 0])
    """
    return np.argmax(x, axis=axis, keepdims=keepdims)


@operation(numpy=[np.argmin], vjps=[None], notation=Notation("argmin(<x>)", r"\arg\min <x>"))
def argmin(x: Operand, axis: int | None = None, keepdims: bool = False) -> Any:
    r"""Position of the (first) smallest number along `axis`; None counts through the flattened tensor.

    No gradient: a position is constant almost everywhere.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.argmin(tg.Tensor([[1.0, 4.0], [3.0, 2.0]]), axis=1)
    Tensor([0, 1])
    """
    return np.argmin(x, axis=axis, keepdims=keepdims)


@operation(numpy=[np.all], vjps=[None])
def all(x: Operand, axis: Axis = None, keepdims: bool = False) -> Any:
    r"""Are all elements along `axis` true?  No gradient.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.all(tg.Tensor([1.0, 4.0]) > 0)
    Tensor(True)
    """
    return _logical_and.reduce(x, axis=axis, keepdims=keepdims)


@operation(numpy=[np.any], vjps=[None])
def any(x: Operand, axis: Axis = None, keepdims: bool = False) -> Any:
    r"""Is some element along `axis` true?  No gradient.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.any(tg.Tensor([1.0, 4.0]) > 2)
    Tensor(True)
    """
    return _logical_or.reduce(x, axis=axis, keepdims=keepdims)
