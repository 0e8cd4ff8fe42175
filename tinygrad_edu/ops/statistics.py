"""Statistics made of other reductions: weighted averages, ranges and quantiles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import implements
from tinygrad_edu.ops.axes import Axis, as_rows, axes_of, axis_problem, count, operand
from tinygrad_edu.ops.comparisons import isnan
from tinygrad_edu.ops.comparisons import where as choose
from tinygrad_edu.ops.reductions import max, mean, min, sum
from tinygrad_edu.ops.shaping import broadcast_to, moveaxis, reshape, transpose
from tinygrad_edu.ops.sorting import sort

__all__ = ["average", "percentile", "ptp", "quantile"]

Operand = Any  # a Tensor, an array or a number


@implements(np.ptp)
def ptp(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Range along `axis`, "peak to peak": the largest number minus the smallest.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.ptp(tg.Tensor([3.0, 7.0, 4.0]))
    Tensor(4.)
    """
    return max(x, axis, keepdims=keepdims) - min(x, axis, keepdims=keepdims)


@implements(np.average)
def average(
    a: Operand, axis: Axis = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False
) -> Any:
    """Weighted mean sum(w a) / sum(w); gradients go to the weights, too.

    The weights have the shape of `a`, or that of the axes that are averaged.  With `returned` it is a pair, the
    second being the sum of the weights.  Weights that sum to zero raise ZeroDivisionError.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.average(tg.Tensor([1.0, 5.0]), weights=[3, 1])
    Tensor(2.)
    """
    a = operand(a)
    if weights is None:
        result = mean(a, axis, keepdims=keepdims)
        if not returned:
            return result
        total: Any = np.full(result.shape, count(a.shape, axis), result.dtype)
        return result, total
    weights = _aligned("average", a.shape, axis, operand(weights))
    total = sum(broadcast_to(weights, a.shape), axis, keepdims=keepdims)
    if (total == 0).any():
        raise ZeroDivisionError("average: the weights sum to zero; give weights with another sum")
    result = sum(a * weights, axis, keepdims=keepdims) / total
    return (result, total) if returned else result


def _aligned(name: str, shape: tuple[int, ...], axis: Axis, weights: Any) -> Any:
    """Weights for some axes, shaped so that they broadcast against a tensor of this shape."""
    if weights.shape == shape:
        return weights
    problem = axis_problem(shape, axis)
    axes = () if axis is None or problem else axes_of(shape, axis)
    if not axes or weights.shape != tuple(shape[i] for i in axes):
        raise ShapeError(
            f"{name}: {problem or f'weights of shape {weights.shape} for a tensor of shape {shape}, axis {axis}'}; "
            "weights have the tensor's shape, or that of the axes that are named"
        )
    weights = transpose(weights, axes=tuple(np.argsort(axes).tolist()))
    return reshape(weights, shape=tuple(n if i in axes else 1 for i, n in enumerate(shape)))


@implements(np.quantile)
def quantile(x: Operand, q: Any, axis: Axis = None, *, method: str = "linear", keepdims: bool = False) -> Any:
    """The value below which a share q (a number, or an array of them, from 0 to 1) of the numbers along `axis` lies.

    Between two numbers it is interpolated linearly; that is the only method here.  NaN if one number is NaN.

    Shapes: the axes of q, then those of x that remain.

    Gradient: to the two neighbours in sorted order, in proportion to their weights.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.quantile(tg.Tensor([1.0, 2.0, 5.0]), [0.25, 1.0])
    Tensor([1.5, 5. ])
    """
    x, q = operand(x), np.asarray(q)
    problem = axis_problem(x.shape, axis) or (None if count(x.shape, axis) else f"no numbers in shape {x.shape}")
    if problem:
        raise ShapeError(f"quantile: {problem}")
    if method != "linear":
        raise ValueError(f'quantile: method {method!r} is not recorded, only "linear"; use t.numpy() for the others')
    if not ((q >= 0) & (q <= 1)).all():
        raise ValueError("quantile: q lies between 0 and 1 (percentile counts from 0 to 100)")
    rows = sort(as_rows(x, axis))
    place = q * (rows.shape[-1] - 1)
    lower, upper = np.floor(place).astype(int), np.ceil(place).astype(int)
    fraction = place - lower
    if x.dtype.kind == "f":
        fraction = fraction.astype(x.dtype)
    value = rows[..., lower] + (rows[..., upper] - rows[..., lower]) * fraction
    last = rows[..., -1].reshape((*rows.shape[:-1], *(1,) * q.ndim))
    value = choose(isnan(last), math.nan, value)
    front = tuple(range(q.ndim))
    value = moveaxis(value, tuple(i - q.ndim for i in front), front) if q.ndim else value
    if not keepdims:
        return value
    axes = axes_of(x.shape, axis)
    return reshape(value, shape=(*q.shape, *(1 if i in axes else n for i, n in enumerate(x.shape))))


@implements(np.percentile)
def percentile(x: Operand, q: Any, axis: Axis = None, *, method: str = "linear", keepdims: bool = False) -> Any:
    """`quantile` with q counted from 0 to 100.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.percentile(tg.Tensor([1.0, 2.0, 5.0]), 50)
    Tensor(2.)
    """
    return quantile(x, np.asarray(q) / 100, axis, method=method, keepdims=keepdims)
