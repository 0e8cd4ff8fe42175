"""Arithmetic: + - * / ** and the sign, with broadcasting, and the change of dtype."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tinygrad_edu.errors import DtypeError
from tinygrad_edu.op import POWER, PRODUCT, SUM, Notation, between, implements, normal, operation, public, sample

__all__ = ["add", "astype", "copy", "divide", "multiply", "negative", "positive", "power", "subtract"]

Operand = Any  # a Tensor, an array or a number

# One shape, a missing axis, an axis of size one, and a weak Python number.
PAIRS = [
    sample(normal(3, 4), normal(3, 4)),
    sample(normal(3, 4), normal(4)),
    sample(normal(3, 1), normal(1, 4)),
    sample(normal(3), 2.5),
]


# The operators serve arrays as the ufuncs do, and NumPy scalars eight times faster.
@operation(
    operator.add,
    numpy=[np.add],
    vjps=[lambda g, y, a, b: g, lambda g, y, a, b: g],
    notation=Notation("<a> + <b>", binds=SUM),
    samples=PAIRS,
)
def add(a: Operand, b: Operand) -> Any:
    r"""Sum a + b, element by element.

    Gradient: dL/da = g, dL/db = g.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.add(tg.Tensor([1.0, 2.0]), 1)
    Tensor([2., 3.])
    """


@operation(
    operator.sub,
    numpy=[np.subtract],
    vjps=[lambda g, y, a, b: g, lambda g, y, a, b: -g],
    notation=Notation("<a> - <b>", binds=SUM),
    samples=PAIRS,
)
def subtract(a: Operand, b: Operand) -> Any:
    r"""Difference a - b, element by element.

    Gradient: dL/da = g, dL/db = -g.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.subtract(tg.Tensor([1.0, 2.0]), 1)
    Tensor([0., 1.])
    """


@operation(
    operator.mul,
    numpy=[np.multiply],
    vjps=[lambda g, y, a, b: g * b, lambda g, y, a, b: g * a],
    notation=Notation("<a> * <b>", r"<a> \odot <b>", PRODUCT),
    samples=PAIRS,
)
def multiply(a: Operand, b: Operand) -> Any:
    r"""Product a * b, element by element (the Hadamard product).

    Gradient: dL/da = g * b, dL/db = g * a.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.multiply(tg.Tensor([1.0, 2.0]), 3)
    Tensor([3., 6.])
    """


@operation(
    operator.truediv,
    numpy=[np.divide],
    vjps=[lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b],
    notation=Notation("<a> / <b>", r"\frac{<a>}{<b>}", PRODUCT),
    samples=[*PAIRS, sample(2.5, normal(3))],
)
def divide(a: Operand, b: Operand) -> Any:
    r"""Quotient a / b, element by element; of two integers it is a float.

    Gradient: dL/da = g / b, dL/db = -g a / b^2.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.divide(1, tg.Tensor([1, 2]))
    Tensor([1. , 0.5])
    """


# At x = 0 the formulas meet 0 * inf.  What is right there: x**0 is the constant 1, so its derivative is 0; and
# 0**y stays 0 for y > 0, so the derivative by y is 0 (for x < 0, x**y has no derivative by y: NaN).
@np.errstate(divide="ignore", invalid="ignore")
def _power_base(g: Any, y: Any, a: Any, b: Any) -> Any:
    if isinstance(b, (int, float)):
        return g * (b * a ** (b - 1)) if b != 0 else g * np.zeros_like(a)
    return g * (b * a ** np.where(b == 0, 1, b - 1))


@np.errstate(divide="ignore", invalid="ignore")
def _power_exponent(g: Any, y: Any, a: Any, b: Any) -> Any:
    return g * (y * np.log(np.where((a == 0) & (b >= 0), 1, a)))


@operation(
    operator.pow,
    numpy=[np.power],
    vjps=[_power_base, _power_exponent],
    notation=Notation("<a>^<b>", "{<a>}^{<b>}", POWER),
    samples=[
        sample(between(0.5, 2, 3, 4), normal(3, 4)),
        sample(between(0.5, 2, 3, 1), normal(4)),
        sample(normal(3), 3),
        sample(between(0.5, 2, 3), -0.5),
        sample(2.0, normal(3)),
    ],
)
def power(a: Operand, b: Operand) -> Any:
    r"""Power a ** b, element by element.

    Gradient: dL/da = g b a^(b-1), dL/db = g a^b log a.  Where b = 0 the former is 0, also at a = 0; where
    a = 0 and b >= 0 the latter is 0; where a < 0 it is NaN.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.power(tg.Tensor([1.0, 2.0, 3.0]), 2)
    Tensor([1., 4., 9.])
    """


@operation(
    operator.neg,
    numpy=[np.negative],
    vjps=[lambda g, y, x: -g],
    notation=Notation("-<x>", binds=PRODUCT),
    samples=[sample(normal(3, 4))],
)
def negative(x: Operand) -> Any:
    r"""The negative -x.

    Gradient: dL/dx = -g.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.negative(tg.Tensor([1.0, -2.0]))
    Tensor([-1.,  2.])
    """


@operation(
    operator.pos,
    numpy=[np.positive],
    vjps=[lambda g, y, x: g],
    notation=Notation("+<x>", binds=PRODUCT),
    samples=[sample(normal(3, 4))],
)
def positive(x: Operand) -> Any:
    r"""The same numbers, +x.

    Gradient: dL/dx = g.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.positive(tg.Tensor([1.0, -2.0]))
    Tensor([ 1., -2.])
    """


# The rule returns g as it is: the engine gives every gradient the dtype of its input.
@operation(
    name="astype",
    vjps=[lambda g, y, x, dtype: g],
    notation=Notation("<x>"),
    samples=[sample(normal(3, 4), dtype=np.dtype(np.float64))],
)
def _astype(x: Operand, dtype: Any) -> Any:
    return np.asarray(x).astype(dtype)


@operation(name="to_dtype", vjps=[None], notation=Notation("<x>"))
def _to_dtype(x: Operand, dtype: Any) -> Any:
    """The same numbers as integers or booleans (what `astype` does for them).  No gradient.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.astype(tg.Tensor([1.5, -2.5]), int)
    Tensor([ 1, -2])
    """
    return np.asarray(x).astype(dtype)


@public(_astype)
@implements(np.astype)
def astype(x: Operand, dtype: Any) -> Any:
    r"""The same numbers in another dtype; integers and booleans have no gradient.

    Gradient: dL/dx = g, in the dtype of x.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.astype(tg.Tensor([1.0, 2.0]), "float32").dtype
    dtype('float32')
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "fiub":
        raise DtypeError(f"astype: dtype {dtype} is not supported: use real numbers or booleans")
    return _astype(x, dtype=dtype) if dtype.kind == "f" else _to_dtype(x, dtype=dtype)


@operation(
    numpy=[np.copy],
    vjps=[lambda g, y, x: g],
    notation=Notation("<x>"),
    samples=[sample(normal(3, 4))],
)
def copy(x: Operand) -> Any:
    r"""The same numbers in memory of their own.

    Gradient: dL/dx = g.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.copy(tg.Tensor([1.0, 2.0]))
    Tensor([1., 2.])
    """
    return np.array(x)
