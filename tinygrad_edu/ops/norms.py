"""Norms of vectors and matrices, of every order that NumPy knows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import Notation, implements, normal, operation, public, sample
from tinygrad_edu.ops.arithmetic import astype
from tinygrad_edu.ops.axes import Axis, axis_problem, kept, operand
from tinygrad_edu.ops.comparisons import where as choose
from tinygrad_edu.ops.decompositions import svdvals
from tinygrad_edu.ops.elementwise import abs
from tinygrad_edu.ops.reductions import max, min, sum
from tinygrad_edu.ops.rounding import sign
from tinygrad_edu.ops.shaping import expand_dims, moveaxis

__all__ = ["matrix_norm", "norm", "vector_norm"]

Operand = Any  # a Tensor, an array or a number


def _signed_power(x: Any, y: Any, p: float) -> Any:
    """sign(x) |x / y|^p: an odd power has all its derivatives at x = 0, too; of others they are 0 there."""
    ratio = x / y
    if p > 0 and p % 2 == 1:
        return ratio**p
    return np.sign(x) * np.where(x == 0, 1, np.abs(ratio)) ** p


# At y = 0 the norm has a kink, as |x| has; the gradient there is 0.
@np.errstate(divide="ignore", invalid="ignore")
def _norm_rule(g: Any, y: Any, x: Any, axis: Axis, keepdims: bool, ord: float) -> Any:
    g, y = kept(g, x.shape, axis), kept(y, x.shape, axis)
    zero = y == 0
    return g * _signed_power(np.where(zero, 0, x), np.where(zero, 1, y), ord - 1)


@operation(
    name="vector_norm",
    vjps=[_norm_rule],
    notation=Notation("||<x>||", r"\lVert <x> \rVert"),
    samples=[
        sample(normal(3, 4)),
        sample(normal(2, 3, 4), axis=(0, -1)),
        sample(normal(3, 4), axis=0, keepdims=True, ord=3),
        sample(normal(3, 4), axis=1, ord=2.5),
        sample(normal(4), ord=4),
        sample(normal(4), ord=0.5),
        sample(normal(4), ord=-2),
        sample(lambda rng: np.array([[0.0, 2.0, -1.0]]), axis=1),
    ],
    door=lambda x, axis, keepdims, ord: axis_problem(np.shape(x), axis),
)
def _vector_norm(x: Any, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Any:
    with np.errstate(divide="ignore"):  # 0 to a negative power: the norm is 0 then
        return np.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)  # type: ignore[arg-type]  # None is fine


@public(_vector_norm)
@implements(np.linalg.vector_norm)
def vector_norm(x: Operand, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Any:
    r"""(sum |x|^p)^(1/p) along `axis`, p = `ord`: Euclid's for 2, the largest |x| for inf, the smallest for -inf.

    For `ord=0` it is the number of elements that are not 0.

    Gradient: dL/dx = g sign(x) (|x| / y)^(p-1), for p = 2 that is g x / y; 0 where the norm y is 0, and for p < 1
    also where x is 0.  Several equal |x| share the gradient of the orders inf and -inf evenly.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([3.0, -4.0], requires_grad=True)
    >>> length = tg.vector_norm(x)
    >>> length
    Tensor(5., from vector_norm)
    >>> length.backward()
    >>> x.grad
    array([ 0.6, -0.8])
    """
    x = operand(x)
    if x.dtype.kind != "f":
        x = astype(x, np.float64)
    if isinstance(ord, str):
        raise ValueError(f"norm: ord={ord!r} is an order for matrices; for vectors it is a number")
    if ord == math.inf:
        return max(abs(x), axis, keepdims=keepdims)
    if ord == -math.inf:
        return min(abs(x), axis, keepdims=keepdims)
    if ord == 0:
        return sum(sign(choose(x != 0, 1, x)), axis, keepdims=keepdims)
    if ord == 1:
        return sum(abs(x), axis, keepdims=keepdims)
    return _vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Operand, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """Norm of each matrix (the last two axes).

    `ord` is "fro" (Frobenius: the root of the sum of squares), "nuc" (the sum of the singular values), 2 or -2 (the
    largest or smallest singular value), 1 or -1 (the largest or smallest sum of a column's |x|), inf or -inf (of a
    row's |x|).

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.matrix_norm(tg.Tensor([[1.0, -2.0], [3.0, 4.0]]), ord=np.inf)
    Tensor(7.)
    """
    x = operand(x)
    if x.ndim < 2:
        raise ShapeError(f"matrix_norm: shape {x.shape}: matrices (..., n, m) are expected")
    if ord in ("fro", "f", None):
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord in ("nuc", 2, -2):
        reduce = sum if ord == "nuc" else max if ord == 2 else min
        value = reduce(svdvals(x), -1)
    elif ord in (1, -1, math.inf, -math.inf):
        x = x if x.dtype.kind == "f" else astype(x, np.float64)
        value = (max if ord > 0 else min)(sum(abs(x), -2 if ord in (1, -1) else -1), -1)
    else:
        raise ValueError(f'norm: ord={ord!r} for matrices; "fro", "nuc", 1, -1, 2, -2, inf or -inf is expected')
    return expand_dims(value, (-2, -1)) if keepdims else value


@implements(np.linalg.norm)
def norm(x: Operand, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Any:
    """Norm of vectors (`axis` is an int) or matrices (`axis` is a pair), of any order, as `np.linalg.norm`.

    Without `axis` and `ord`, Euclid's norm of all elements.  With `ord` alone, x is one vector or one matrix; its
    orders are those of `vector_norm` and `matrix_norm`.

    Gradient: 0 where the norm is 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.norm(tg.Tensor([[3.0, 4.0], [6.0, 8.0]]), axis=1)
    Tensor([ 5., 10.])
    """
    x = operand(x)
    if axis is None:
        if ord is None:
            return vector_norm(x, keepdims=keepdims)
        axis = tuple(range(x.ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    problem = axis_problem(x.shape, axes)
    if problem or len(axes) not in (1, 2):
        raise ShapeError(f"norm: {problem or f'axis {axis}: one axis (vectors) or two (matrices) are expected'}")
    if len(axes) == 1:
        return vector_norm(x, axis=axes, keepdims=keepdims, ord=2 if ord is None else ord)
    value = matrix_norm(moveaxis(x, axes, (-2, -1)), ord=ord)
    return expand_dims(value, tuple(i % x.ndim for i in axes)) if keepdims else value
