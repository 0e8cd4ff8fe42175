"""Scans: running sums and products, and differences of neighbours: cumsum, cumprod, diff, trapezoid.

A scan goes along an axis and keeps every intermediate result, so each element has an effect on all that follow it.
Its gradient is a scan in the other direction: it collects from all that follow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import Notation, implements, normal, operation, public, sample
from tinygrad_edu.ops.arithmetic import astype
from tinygrad_edu.ops.axes import axis_problem, flipped, operand, part
from tinygrad_edu.ops.comparisons import not_equal
from tinygrad_edu.ops.joining import concatenate
from tinygrad_edu.ops.reductions import sum as total
from tinygrad_edu.ops.shaping import broadcast_to, reshape

__all__ = ["cumprod", "cumsum", "diff", "recurrence", "trapezoid"]

Operand = Any  # a Tensor, an array or a number

SCANNED = [
    sample(normal(3, 4)),
    sample(normal(3, 4), axis=0),
    sample(normal(2, 3, 4), axis=-2),
    sample(normal(5), axis=0),
    sample(normal(3, 1), axis=1),
    sample(normal(), axis=0),
]


def _door(x: Any, axis: int | None) -> str | None:
    return axis_problem(np.shape(x) or (1,), axis)  # a scalar counts as a row of one


# Without an axis the result, and g with it, is one row.
def _cumsum_rule(g: Any, y: Any, x: Any, axis: int | None) -> Any:
    line = axis or 0
    return flipped(np.cumsum(flipped(g, line), axis=line), line).reshape(x.shape)


@operation(
    name="cumsum",
    vjps=[_cumsum_rule],
    notation=Notation("cumsum(<x>)", r"\operatorname{cumsum}(<x>)"),
    samples=SCANNED,
    door=_door,
)
def _cumsum(x: Any, axis: int | None = None) -> Any:
    return np.cumsum(x, axis=axis)


@public(_cumsum)
@implements(np.cumsum)
def cumsum(x: Operand, axis: int | None = None, dtype: Any = None) -> Any:
    r"""Running sums y_i = x_0 + ... + x_i along `axis`; None goes through the flattened tensor.

    Gradient: dL/dx_i = g_i + g_(i+1) + ..., the running sum from the other end.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.cumsum(tg.Tensor([1.0, 2.0, 3.0]))
    Tensor([1., 3., 6.])
    """
    return _cumsum(x if dtype is None else astype(x, dtype), axis=axis)


# ----------------------------------------------------------------------------------------------- products


def _previous(x: Any, axis: int, first: float) -> Any:
    """x moved on by one place: what stands at i - 1, and `first` at the beginning."""
    beginning = np.ones_like(x[part(x.ndim, axis, slice(0, 1))]) * first
    return np.concatenate([beginning, x[part(x.ndim, axis, slice(0, -1))]], axis=axis)


def _collected(g: Any, a: Any, axis: int) -> Any:
    """h_i = g_i + a_(i+1) h_(i+1): the gradient of each y_i of a recurrence, from all that y_i went into."""
    return flipped(recurrence(_previous(flipped(a, axis), axis, 0), flipped(g, axis), axis=axis), axis)


@operation(
    vjps=[
        lambda g, y, a, b, axis: _collected(g, a, axis) * _previous(y, axis, 0),
        lambda g, y, a, b, axis: _collected(g, a, axis),
    ],
    samples=[
        sample(normal(5), normal(5), axis=0),
        sample(normal(3, 4), normal(3, 4)),
        sample(normal(2, 3, 4), normal(2, 3, 4), axis=-2),
        sample(lambda rng: np.array([0.0, 2.0, 0.0, 3.0]), normal(4)),
    ],
    door=lambda a, b, axis: axis_problem(np.shape(b), axis),
)
def recurrence(a: Operand, b: Operand, axis: int = -1) -> Any:
    r"""The linear recurrence y_i = a_i y_(i-1) + b_i along `axis`, beginning with y_0 = b_0 (a_0 plays no part).

    A decaying average, a discounted return, a recurrent network without its non-linearity.  a and b have one shape.
    It takes one step after the other; all rows take it together.

    Gradient: dL/db = h with h_i = g_i + a_(i+1) h_(i+1), a recurrence from the other end; dL/da_i = h_i y_(i-1).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.recurrence(tg.Tensor([0.5, 0.5, 0.5]), tg.Tensor([1.0, 1.0, 1.0]))
    Tensor([1.  , 1.5 , 1.75])
    """
    if np.shape(a) != np.shape(b):
        raise ShapeError(f"recurrence: factors {np.shape(a)} and summands {np.shape(b)}: the shapes must be equal")
    y = np.array(b, dtype=np.result_type(a, b))
    factors, values = np.moveaxis(np.asarray(a), axis, 0), np.moveaxis(y, axis, 0)  # views
    for i in range(1, len(values)):
        values[i] += factors[i] * values[i - 1]
    return y


# y_i = x_i y_(i-1) is a recurrence, so its gradient is h_i y_(i-1).  No division: exact where x is 0, too.
def _cumprod_rule(g: Any, y: Any, x: Any, axis: int | None) -> Any:
    line = axis or 0
    return (_collected(g, x.reshape(y.shape), line) * _previous(y, line, 1)).reshape(x.shape)


@operation(
    name="cumprod",
    vjps=[_cumprod_rule],
    notation=Notation("cumprod(<x>)", r"\operatorname{cumprod}(<x>)"),
    samples=[
        *SCANNED,
        sample(lambda rng: np.array([2.0, 0.0, -3.0, 0.5])),
        sample(lambda rng: np.array([[2.0, 0.0, -3.0, 0.0, 4.0], [0.0, -1.0, 0.0, 0.5, 3.0]]), axis=1),
    ],
    door=_door,
)
def _cumprod(x: Any, axis: int | None = None) -> Any:
    return np.cumprod(x, axis=axis)


@public(_cumprod)
@implements(np.cumprod)
def cumprod(x: Operand, axis: int | None = None, dtype: Any = None) -> Any:
    r"""Running products y_i = x_0 x_1 ... x_i along `axis`; None goes through the flattened tensor.

    Gradient: dL/dx_i = h_i y_(i-1) with h_i = g_i + x_(i+1) h_(i+1), collected from the other end; it divides
    by nothing, so it is exact with zeros among the factors, too.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.cumprod(tg.Tensor([1.0, 2.0, 3.0]))
    Tensor([1., 2., 6.])
    """
    return _cumprod(x if dtype is None else astype(x, dtype), axis=axis)


# ------------------------------------------------------------------------------------ differences of neighbours


@implements(np.diff)
def diff(x: Operand, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences x_(i+1) - x_i of neighbours along `axis`, taken n times.

    `prepend` and `append` are put at the ends first: numbers, or tensors that fit along the other axes.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.diff(tg.Tensor([1.0, 4.0, 9.0]))
    Tensor([3., 5.])
    """
    x = operand(x)
    if n < 0:
        raise ValueError(f"diff: n={n}: differences are taken 0, 1, 2, ... times")
    problem = axis_problem(x.shape, axis) or (None if x.ndim else "a scalar has no neighbours")
    if problem:
        raise ShapeError(f"diff: {problem}")
    if n == 0:
        return x
    ends = [e if e is None else _end(operand(e), x.shape, axis) for e in (prepend, append)]
    joined = [e for e in (ends[0], x, ends[1]) if e is not None]
    if len(joined) > 1:
        x = concatenate(joined, axis=axis)
    for _ in range(n):
        after, before = x[part(x.ndim, axis, slice(1, None))], x[part(x.ndim, axis, slice(None, -1))]
        x = not_equal(after, before) if x.dtype == bool else after - before
    return x


def _end(x: Any, shape: tuple[int, ...], axis: int) -> Any:
    """A number as a slab that can be put in front of a tensor of this shape."""
    return x if x.ndim else broadcast_to(x, tuple(1 if i == axis % len(shape) else n for i, n in enumerate(shape)))


@implements(np.trapezoid)
def trapezoid(y: Operand, x: Operand | None = None, dx: float = 1.0, axis: int = -1) -> Any:
    """Integral of y along `axis` by the trapezoidal rule, at places x or at distances dx; x has a gradient, too.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.trapezoid(tg.Tensor([1.0, 2.0, 3.0]))
    Tensor(4.)
    """
    y = operand(y)
    problem = axis_problem(y.shape, axis)
    if problem:
        raise ShapeError(f"trapezoid: {problem}")
    step: Any = dx
    if x is not None:
        x = operand(x)
        step = diff(x, axis=0 if x.ndim == 1 else axis)
        if x.ndim == 1:  # along `axis` of y
            step = reshape(step, shape=tuple(step.shape[0] if i == axis % y.ndim else 1 for i in range(y.ndim)))
    right, left = y[part(y.ndim, axis, slice(1, None))], y[part(y.ndim, axis, slice(None, -1))]
    return total(step * (right + left) / 2, axis)
