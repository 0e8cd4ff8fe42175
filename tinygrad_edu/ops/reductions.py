"""Reductions: many numbers become one, along some axes or all: sum, mean, prod, max, median, var, logsumexp, ...

The gradient of a reduction has the reduced shape.  `spread` sends it back to every element that it came from.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu import sums
from tinygrad_edu.op import Notation, Op, distinct, normal, operation, sample
from tinygrad_edu.ops.axes import Axis, as_rows, axes_of, axis_problem, count, from_rows, kept, spread
from tinygrad_edu.record import apply
from tinygrad_edu.sums import Repeated, add_up

__all__ = [
    "all", "any", "argmax", "argmin", "count_nonzero", "logsumexp", "max", "mean", "median", "min", "prod", "std",
    "sum", "var",
]  # fmt: skip

Operand = Any  # a Tensor, an array or a number

# The reductions of the ufuncs take a quarter of the time of np.sum, np.max, ... (which call them).
_add: Any = np.add
_multiply: Any = np.multiply
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


def _wide(g: Any) -> Any:
    """float16 as float32: it can neither count to 100,000 nor hold 1 / 100,000 exactly enough."""
    return g.astype(np.float32) if g.dtype == np.float16 else g


def _door(x: Any, axis: Axis, **_: Any) -> str | None:
    shape = np.shape(x)
    problem = axis_problem(shape, axis)
    if problem is None and count(shape, axis) == 0:
        return f"the shape is {shape}: of no numbers there is none"
    return problem


@operation(
    vjps=[lambda g, y, x, axis, keepdims: spread(g, x.shape, axis)],
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
    if type(axis) is Repeated:
        return add_up(x, axis)
    return _add.reduce(x, axis=axis, keepdims=keepdims)


sums.recorded = lambda g, axes: apply(sum, (g,), {"axis": axes, "keepdims": False})


@operation(
    vjps=[lambda g, y, x, axis, keepdims: spread(_wide(g) / count(x.shape, axis), x.shape, axis)],
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


# The derivative by one factor is the product of all the others.  A quotient y / x would be 0 / 0 where x = 0, so
# it is the product of what stands before it and what stands behind it.
def _other_factors(x: Any, axis: Axis) -> Any:
    rows = as_rows(x, axis)
    before = _product_before(rows)
    behind = _product_before(rows[..., ::-1])[..., ::-1]
    return from_rows(before * behind, x.shape, axis)


def _product_before(rows: Any) -> Any:
    shifted = np.concatenate([np.ones_like(rows[..., :1]), rows[..., :-1]], axis=-1)
    return np.cumprod(shifted, axis=-1)


@operation(
    vjps=[lambda g, y, x, axis, keepdims: kept(g, x.shape, axis) * _other_factors(x, axis)],
    notation=Notation("prod(<x>)", r"\prod <x>"),
    samples=[
        *REDUCED,
        sample(lambda rng: np.array([2.0, 0.0, -3.0, 0.5])),
        sample(lambda rng: np.array([[2.0, 0.0, -3.0, 0.0], [1.5, -1.0, 0.0, 0.5]]), axis=1),
        sample(normal(2, 3, 4), axis=(2, 0)),
    ],
    door=_door,
)
def prod(x: Operand, axis: Axis = None, keepdims: bool = False) -> Any:
    r"""Product along `axis` (an int, a tuple of ints, or None for all).

    Gradient: dL/dx = g times the product of all the other factors, which is exact with zeros among them, too.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([2.0, 0.0, 5.0], requires_grad=True)
    >>> tg.prod(x).backward()
    >>> x.grad
    array([ 0., 10.,  0.])
    """
    return _multiply.reduce(x, axis=axis, keepdims=keepdims)


def _share(g: Any, x: Any, value: Any, axis: Axis) -> Any:
    """g, shared evenly by the elements that equal `value`; all but x have the reduced axes with size 1."""
    ties = (x == value) | ((x != x) & (value != value))  # a NaN is the extremum, though it equals nothing
    return np.where(ties, g / np.sum(ties, axis=axes_of(x.shape, axis), keepdims=True), 0)


def _extremum(g: Any, y: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    return _share(kept(g, x.shape, axis), x, kept(y, x.shape, axis), axis)


@operation(
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


def _middle_of(x: Any, axis: Axis) -> Any:
    """The two numbers in the middle of each sorted row (twice the same one of an odd number), or NaN."""
    rows = as_rows(np.asarray(x), axis)
    n = rows.shape[-1]
    two = [(n - 1) // 2, n // 2]
    ordered = np.partition(rows, [*two, -1], axis=-1)  # a NaN comes last
    return np.where(np.isnan(ordered[..., -1:]), np.nan, ordered[..., two])


_middle = Op(_middle_of, vjps=[None], name="middle_two")


def _median(g: Any, y: Any, x: Any, middle: Any, axis: Axis, keepdims: bool) -> Any:
    g = kept(g, x.shape, axis) / 2
    lower, upper = (kept(middle[..., i], x.shape, axis) for i in (0, 1))
    return _share(g, x, lower, axis) + _share(g, x, upper, axis)


@operation(
    numpy=[np.median],
    vjps=[_median],
    residual=lambda x, axis, keepdims: _middle(x, axis=axis),
    notation=Notation("median(<x>)", r"\operatorname{median}(<x>)"),
    samples=[*EXTREMA, sample(distinct(5)), sample(distinct(2, 3, 5), axis=(1, 2), keepdims=True)],
    door=lambda x, axis, keepdims: axis_problem(np.shape(x), axis),
)
def median(x: Operand, axis: Axis = None, keepdims: bool = False) -> Any:
    r"""The number in the middle along `axis`, or the mean of the two in the middle; NaN if one is NaN.

    Gradient: it goes to the number in the middle, or half to each of the two; equal ones share it evenly.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([5.0, 1.0, 3.0, 2.0], requires_grad=True)
    >>> tg.median(x).backward()
    >>> x.grad
    array([0. , 0. , 0.5, 0.5])
    """
    shape = np.shape(x)
    if axis_problem(shape, axis):
        raise ValueError  # the door says it
    if count(shape, axis) == 0:
        value: Any = np.mean(x, axis=axis, keepdims=keepdims)  # NaN, with NumPy's warning
        return value, np.empty((*value.shape, 2))
    middle = _middle_of(x, axis)
    value = np.mean(middle, axis=-1)
    return kept(value, shape, axis) if keepdims else value, middle


def _deviation(x: Any, axis: Axis) -> Any:
    return x - np.mean(x, axis=axis, keepdims=True)


def _freedom(shape: tuple[int, ...], axis: Axis, ddof: float) -> float:
    """n - ddof; NaN where that is not positive, as there is no variance then."""
    free = count(shape, axis) - ddof
    return free if free > 0 else math.nan


@operation(
    vjps=[
        lambda g, y, x, axis, ddof, keepdims: (
            kept(_wide(g), x.shape, axis) * (2 / _freedom(x.shape, axis, ddof)) * _deviation(x, axis)
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
    return kept(slope, x.shape, axis) * _deviation(x, axis)


@operation(
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
    y = kept(y, x.shape, axis)
    return kept(g, x.shape, axis) * np.exp(x - np.where(np.isfinite(y), y, 0))


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
    return value if keepdims else np.squeeze(value, axis=axes_of(value.shape, axis))


@operation(numpy=[np.argmax], vjps=[None], notation=Notation("argmax(<x>)", r"\arg\max <x>"), door=_door)
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


@operation(numpy=[np.argmin], vjps=[None], notation=Notation("argmin(<x>)", r"\arg\min <x>"), door=_door)
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


@operation(numpy=[np.count_nonzero], vjps=[None], door=_door)
def count_nonzero(x: Operand, axis: Axis = None, keepdims: bool = False) -> Any:
    r"""How many elements along `axis` are not 0 (or are True).  No gradient.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.count_nonzero(tg.Tensor([1.0, 0.0, 4.0]))
    Tensor(2)
    """
    return np.asarray(np.count_nonzero(x, axis=axis, keepdims=keepdims))


@operation(vjps=[None], door=_door)
def all(x: Operand, axis: Axis = None, keepdims: bool = False) -> Any:
    r"""Are all elements along `axis` true?  No gradient.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.all(tg.Tensor([1.0, 4.0]) > 0)
    Tensor(True)
    """
    return _logical_and.reduce(x, axis=axis, keepdims=keepdims)


@operation(vjps=[None], door=_door)
def any(x: Operand, axis: Axis = None, keepdims: bool = False) -> Any:
    r"""Is some element along `axis` true?  No gradient.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.any(tg.Tensor([1.0, 4.0]) > 2)
    Tensor(True)
    """
    return _logical_or.reduce(x, axis=axis, keepdims=keepdims)
