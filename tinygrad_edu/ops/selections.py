"""Reductions of some elements only: `where=`, `initial=` and `dtype=` of NumPy's reductions, and those that skip NaN.

They need no rules of their own.  What is not selected is replaced by the number that leaves the reduction as it is (0
in a sum, 1 in a product), and the rule of `where` gives it the gradient 0.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import broadcastable, implements
from tinygrad_edu.ops import reductions
from tinygrad_edu.ops.arithmetic import astype
from tinygrad_edu.ops.axes import Axis, operand
from tinygrad_edu.ops.comparisons import isnan, logical_and, logical_not, logical_or, maximum, minimum
from tinygrad_edu.ops.comparisons import where as choose
from tinygrad_edu.ops.elementwise import sqrt
from tinygrad_edu.ops.scans import cumprod, cumsum
from tinygrad_edu.ops.shaping import broadcast_to

__all__ = [
    "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar",
]  # fmt: skip

Operand = Any  # a Tensor, an array or a number


def _selected(name: str, x: Any, where: Any, unchanged: Any) -> Any:
    """x, with the number that leaves the reduction as it is in place of what is not selected."""
    if where is True:
        return x
    shape, given = np.shape(x), np.shape(where)
    if not broadcastable(given, shape) or np.broadcast_shapes(given, shape) != shape:
        raise ShapeError(f"{name}: where= of shape {given} does not broadcast to the tensor's shape {shape}")
    return choose(where, x, unchanged)


def _typed(x: Any, dtype: Any) -> Any:
    return operand(x) if dtype is None else astype(x, dtype)


# The functions below are what NumPy's mean on Tensors: np.sum(t, where=mask).


@implements(np.sum)
def np_sum(
    a: Operand, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Any:
    """`np.sum`: what is not selected counts as 0; plus `initial`.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> from tinygrad_edu.ops.selections import np_sum
    >>> np_sum(tg.Tensor([1.0, 2.0, 4.0]), where=[True, False, True])
    Tensor(5.)
    """
    total = reductions.sum(_selected("sum", _typed(a, dtype), where, 0), axis, keepdims)
    return total if initial is None else total + initial


@implements(np.prod)
def np_prod(
    a: Operand, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Any:
    """`np.prod`: what is not selected counts as 1; times `initial`.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> from tinygrad_edu.ops.selections import np_prod
    >>> np_prod(tg.Tensor([3.0, 0.0, 4.0]), where=[True, False, True])
    Tensor(12.)
    """
    product = reductions.prod(_selected("prod", _typed(a, dtype), where, 1), axis, keepdims)
    return product if initial is None else product * initial


@implements(np.all)
def np_all(a: Operand, axis: Axis = None, *, keepdims: bool = False, where: Any = True) -> Any:
    """`np.all`: what is not selected counts as True.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> from tinygrad_edu.ops.selections import np_all
    >>> np_all(tg.Tensor([True, False]), where=[True, False])
    Tensor(True)
    """
    return reductions.all(a if where is True else logical_or(a, logical_not(where)), axis, keepdims)


@implements(np.any)
def np_any(a: Operand, axis: Axis = None, *, keepdims: bool = False, where: Any = True) -> Any:
    """`np.any`: what is not selected counts as False.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> from tinygrad_edu.ops.selections import np_any
    >>> np_any(tg.Tensor([True, False]), where=[False, True])
    Tensor(False)
    """
    return reductions.any(a if where is True else logical_and(a, where), axis, keepdims)


# ----------------------------------------------------------------------------------- the largest, the smallest


@implements(np.max, np.amax)
def np_max(a: Operand, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = True) -> Any:
    """`np.max`: at least `initial`, which has to be given with `where`.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> from tinygrad_edu.ops.selections import np_max
    >>> np_max(tg.Tensor([3.0, 7.0, 4.0]), where=[True, False, True], initial=0)
    Tensor(4.)
    """
    if initial is None and where is True:
        return reductions.max(a, axis, keepdims)
    return _with_initial(reductions.max, maximum, -math.inf, operand(a), axis, keepdims, initial, where)


@implements(np.min, np.amin)
def np_min(a: Operand, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = True) -> Any:
    """`np.min`: at most `initial`, which has to be given with `where`.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> from tinygrad_edu.ops.selections import np_min
    >>> np_min(tg.Tensor([3.0, 1.0, 4.0]), where=[True, False, True], initial=9)
    Tensor(3.)
    """
    if initial is None and where is True:
        return reductions.min(a, axis, keepdims)
    return _with_initial(reductions.min, minimum, math.inf, operand(a), axis, keepdims, initial, where)


def _with_initial(
    extremum: Any, better: Any, worst: float, x: Any, axis: Axis, keepdims: bool, initial: Any, where: Any
) -> Any:
    """The extremum of the selected elements and of `initial`."""
    if initial is None:
        raise ValueError(f"{extremum.name}: where= needs initial=, the result where nothing is selected")
    x = _selected(extremum.name, x, where, worst if x.dtype.kind == "f" else initial)
    if not x.size:
        return reductions.sum(x, axis, keepdims) + initial  # a sum of nothing is 0
    return better(extremum(x, axis, keepdims), initial)


# ------------------------------------------------------------------------------------------ mean and variance


@implements(np.mean)
def np_mean(a: Operand, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, where: Any = True) -> Any:
    """`np.mean`: of the selected elements; NaN, with NumPy's warning, of none.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> from tinygrad_edu.ops.selections import np_mean
    >>> np_mean(tg.Tensor([1.0, 9.0, 4.0]), where=[True, False, True])
    Tensor(2.5)
    """
    x = _typed(a, dtype)
    if where is True:
        return reductions.mean(x, axis, keepdims)
    return _in_float32(_mean, x, axis=axis, keepdims=keepdims, where=where)


@implements(np.var)
def np_var(
    a: Operand, axis: Axis = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False, where: Any = True,
    correction: float | None = None,
) -> Any:  # fmt: skip
    """`np.var`: of the selected elements; `correction` is another name for `ddof`.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> from tinygrad_edu.ops.selections import np_var
    >>> np_var(tg.Tensor([1.0, 9.0, 3.0]), where=[True, False, True], correction=1)
    Tensor(2.)
    """
    x, ddof = _typed(a, dtype), _ddof("var", ddof, correction)
    if where is True:
        return reductions.var(x, axis, ddof, keepdims)
    return _in_float32(_variance, x, axis=axis, ddof=ddof, keepdims=keepdims, where=where)


@implements(np.std)
def np_std(
    a: Operand, axis: Axis = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False, where: Any = True,
    correction: float | None = None,
) -> Any:  # fmt: skip
    """`np.std`: of the selected elements; `correction` is another name for `ddof`.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> from tinygrad_edu.ops.selections import np_std
    >>> np_std(tg.Tensor([1.0, 9.0, 5.0]), where=[True, False, True])
    Tensor(2.)
    """
    x, ddof = _typed(a, dtype), _ddof("std", ddof, correction)
    if where is True:
        return reductions.std(x, axis, ddof, keepdims)
    return _in_float32(_deviation, x, axis=axis, ddof=ddof, keepdims=keepdims, where=where)


def _ddof(name: str, ddof: float, correction: float | None) -> float:
    if correction is None:
        return ddof
    if ddof:
        raise ValueError(f"{name}: ddof={ddof} and correction={correction} are two names of one number; give one")
    return correction


def _in_float32(reduction: Callable[..., Any], x: Any, **params: Any) -> Any:
    """As in NumPy, means of float16 are computed in float32: their sums and counts could overflow."""
    if x.dtype == np.float16:
        return astype(reduction(astype(x, np.float32), **params), np.float16)
    return reduction(x, **params)


def _number(x: Any, axis: Axis, keepdims: bool, where: Any) -> Any:
    """How many elements are selected; in the dtype of x, so that float32 stays float32."""
    number = reductions.count_nonzero(broadcast_to(operand(where), x.shape), axis, keepdims)
    return astype(number, x.dtype) if x.dtype.kind == "f" else number


def _mean(x: Any, axis: Axis, keepdims: bool, where: Any) -> Any:
    total = np_sum(x, axis, keepdims=keepdims, where=where)  # first, as it checks the mask
    return total / _number(x, axis, keepdims, where)


def _variance(x: Any, axis: Axis, ddof: float, keepdims: bool, where: Any) -> Any:
    deviation = choose(where, x - _mean(x, axis, True, where), 0)
    free = _number(x, axis, keepdims, where) - ddof
    return reductions.sum(deviation * deviation, axis, keepdims) / choose(free > 0, free, math.nan)


def _deviation(x: Any, **params: Any) -> Any:
    variance = _variance(x, **params)
    return choose(variance == 0, 0, sqrt(choose(variance == 0, 1, variance)))


# ------------------------------------------------------------------------------------------ without the NaNs


def _numbers(x: Any, where: Any = True) -> Any:
    """Where x is a number (and is selected)."""
    numbers = logical_not(isnan(x))
    return numbers if where is True else logical_and(numbers, where)


@implements(np.nansum)
def nansum(
    x: Operand, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Any:
    """`sum` of what is no NaN.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nansum(tg.Tensor([1.0, float("nan"), 2.0]))
    Tensor(3.)
    """
    return np_sum(x, axis, dtype, keepdims=keepdims, initial=initial, where=_numbers(x, where))


@implements(np.nanprod)
def nanprod(
    x: Operand, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Any:
    """`prod` of what is no NaN.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nanprod(tg.Tensor([3.0, float("nan"), 2.0]))
    Tensor(6.)
    """
    return np_prod(x, axis, dtype, keepdims=keepdims, initial=initial, where=_numbers(x, where))


@implements(np.nanmean)
def nanmean(x: Operand, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, where: Any = True) -> Any:
    """`mean` of what is no NaN; NaN, with NumPy's warning, of nothing but NaN.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nanmean(tg.Tensor([1.0, float("nan"), 2.0]))
    Tensor(1.5)
    """
    return np_mean(x, axis, dtype, keepdims=keepdims, where=_numbers(x, where))


@implements(np.nanvar)
def nanvar(
    x: Operand, axis: Axis = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False,
    where: Any = True, correction: float | None = None,
) -> Any:  # fmt: skip
    """`var` of what is no NaN.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nanvar(tg.Tensor([1.0, float("nan"), 3.0]))
    Tensor(1.)
    """
    numbers = _numbers(x, where)
    return np_var(x, axis, dtype, ddof=ddof, keepdims=keepdims, where=numbers, correction=correction)


@implements(np.nanstd)
def nanstd(
    x: Operand, axis: Axis = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False,
    where: Any = True, correction: float | None = None,
) -> Any:  # fmt: skip
    """`std` of what is no NaN.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nanstd(tg.Tensor([1.0, float("nan"), 3.0]))
    Tensor(1.)
    """
    numbers = _numbers(x, where)
    return np_std(x, axis, dtype, ddof=ddof, keepdims=keepdims, where=numbers, correction=correction)


@implements(np.nanmax)
def nanmax(x: Operand, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = True) -> Any:
    """`max` of what is no NaN; NaN, with NumPy's warning, of nothing but NaN.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nanmax(tg.Tensor([1.0, float("nan"), 2.0]))
    Tensor(2.)
    """
    return _nan_extremum("nanmax", np_max, -math.inf, x, axis, keepdims, initial, where)


@implements(np.nanmin)
def nanmin(x: Operand, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = True) -> Any:
    """`min` of what is no NaN; NaN, with NumPy's warning, of nothing but NaN.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nanmin(tg.Tensor([1.0, float("nan"), 2.0]))
    Tensor(1.)
    """
    return _nan_extremum("nanmin", np_min, math.inf, x, axis, keepdims, initial, where)


def _nan_extremum(
    name: str, extremum: Any, worst: float, x: Any, axis: Axis, keepdims: bool, initial: Any, where: Any
) -> Any:
    x = operand(x)
    if x.dtype.kind != "f":  # no NaN in it
        return extremum(x, axis, keepdims=keepdims, initial=initial, where=where)
    if initial is not None or where is not True:
        return extremum(x, axis, keepdims=keepdims, initial=initial, where=_numbers(x, where))
    value = extremum(choose(isnan(x), worst, x), axis, keepdims=keepdims)
    nothing = reductions.all(isnan(x), axis, keepdims)
    if nothing.any():
        warnings.warn(f"{name}: nothing but NaN along an axis", RuntimeWarning, stacklevel=4)
    return choose(nothing, math.nan, value)


@implements(np.nancumsum)
def nancumsum(x: Operand, axis: int | None = None, dtype: Any = None) -> Any:
    """`cumsum` with 0 for NaN.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nancumsum(tg.Tensor([1.0, float("nan"), 2.0]))
    Tensor([1., 1., 3.])
    """
    return cumsum(choose(isnan(x), 0, x), axis, dtype)


@implements(np.nancumprod)
def nancumprod(x: Operand, axis: int | None = None, dtype: Any = None) -> Any:
    """`cumprod` with 1 for NaN.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nancumprod(tg.Tensor([3.0, float("nan"), 2.0]))
    Tensor([3., 3., 6.])
    """
    return cumprod(choose(isnan(x), 1, x), axis, dtype)
