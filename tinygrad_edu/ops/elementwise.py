"""Functions of each element: exponentials and logarithms, powers and roots."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.op import POWER, PRODUCT, SUM, Notation, between, implements, normal, operation, sample
from tinygrad_edu.ops.activations import sigmoid
from tinygrad_edu.ops.arithmetic import astype, power

__all__ = [
    "abs", "cbrt", "exp", "exp2", "expm1", "float_power", "lerp", "log", "log1p", "log2", "log10", "logaddexp",
    "logaddexp2", "reciprocal", "rsqrt", "sqrt", "square",
]  # fmt: skip

Operand = Any  # a Tensor, an array or a number

LOG_2, LOG_10 = math.log(2), math.log(10)


@operation(
    np.absolute,
    vjps=[lambda g, y, x: g * np.sign(x)],
    notation=Notation("|<x>|", r"\lvert <x> \rvert"),
    samples=[sample(normal(3, 4))],
)
def abs(x: Operand) -> Any:
    r"""Absolute value of each element.

    Gradient: dL/dx = g sign(x); 0 at x = 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.abs(tg.Tensor([-1.0, 2.0]))
    Tensor([1., 2.])
    """


@operation(
    np.exp,
    vjps=[lambda g, y, x: g * y],
    notation=Notation("exp(<x>)", "e^{<x>}"),
    samples=[sample(normal(3, 4))],
)
def exp(x: Operand) -> Any:
    r"""e to the power of each element.

    Gradient: dL/dx = g e^x.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.exp(tg.Tensor([0.0, 1.0]))
    Tensor([1.        , 2.71828183])
    """


@operation(
    np.expm1,
    vjps=[lambda g, y, x: g * np.exp(x)],
    notation=Notation("exp(<x>) - 1", "e^{<x>} - 1", SUM),
    samples=[sample(normal(3, 4))],
)
def expm1(x: Operand) -> Any:
    r"""e^x - 1, exact also for small x, where e^x is too close to 1.

    Gradient: dL/dx = g e^x.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.expm1(tg.Tensor([1e-20, 1.0]))
    Tensor([1.00000000e-20, 1.71828183e+00])
    """


@operation(
    np.exp2,
    vjps=[lambda g, y, x: g * (y * LOG_2)],
    notation=Notation("2^<x>", "2^{<x>}", POWER),
    samples=[sample(normal(3, 4))],
)
def exp2(x: Operand) -> Any:
    r"""2 to the power of each element.

    Gradient: dL/dx = g 2^x log 2.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.exp2(tg.Tensor([-1.0, 3.0]))
    Tensor([0.5, 8. ])
    """


@operation(
    np.log,
    vjps=[np.errstate(divide="ignore", invalid="ignore")(lambda g, y, x: g / x)],
    notation=Notation("log(<x>)", r"\log(<x>)"),
    samples=[sample(between(0.5, 3, 3, 4))],
)
def log(x: Operand) -> Any:
    r"""Natural logarithm of each element.

    Gradient: dL/dx = g / x; inf at x = 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.log(tg.Tensor([1.0, 2.0]))
    Tensor([0.        , 0.69314718])
    """


@operation(
    np.log1p,
    vjps=[np.errstate(divide="ignore", invalid="ignore")(lambda g, y, x: g / (1 + x))],
    notation=Notation("log(1 + <x>)", r"\log(1 + <x>)"),
    samples=[sample(between(-0.5, 3, 3, 4))],
)
def log1p(x: Operand) -> Any:
    r"""log(1 + x), exact also for small x, where 1 + x is too close to 1.

    Gradient: dL/dx = g / (1 + x); inf at x = -1.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.log1p(tg.Tensor([1e-20, 1.0]))
    Tensor([1.00000000e-20, 6.93147181e-01])
    """


@operation(
    np.log2,
    vjps=[np.errstate(divide="ignore", invalid="ignore")(lambda g, y, x: g / (x * LOG_2))],
    notation=Notation("log2(<x>)", r"\log_2(<x>)"),
    samples=[sample(between(0.5, 3, 3, 4))],
)
def log2(x: Operand) -> Any:
    r"""Logarithm to base 2 of each element.

    Gradient: dL/dx = g / (x log 2); inf at x = 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.log2(tg.Tensor([1.0, 8.0]))
    Tensor([0., 3.])
    """


@operation(
    np.log10,
    vjps=[np.errstate(divide="ignore", invalid="ignore")(lambda g, y, x: g / (x * LOG_10))],
    notation=Notation("log10(<x>)", r"\log_{10}(<x>)"),
    samples=[sample(between(0.5, 3, 3, 4))],
)
def log10(x: Operand) -> Any:
    r"""Logarithm to base 10 of each element.

    Gradient: dL/dx = g / (x log 10); inf at x = 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.log10(tg.Tensor([1.0, 1000.0]))
    Tensor([0., 3.])
    """


@operation(
    np.square,
    vjps=[lambda g, y, x: g * (2 * x)],
    notation=Notation("<x>^2", "<x>^2", POWER),
    samples=[sample(normal(3, 4))],
)
def square(x: Operand) -> Any:
    r"""Each element times itself.

    Gradient: dL/dx = g 2x.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.square(tg.Tensor([-3.0, 4.0]))
    Tensor([ 9., 16.])
    """


@operation(
    np.sqrt,
    vjps=[np.errstate(divide="ignore", invalid="ignore")(lambda g, y, x: g / (2 * y))],
    notation=Notation("sqrt(<x>)", r"\sqrt{<x>}"),
    samples=[sample(between(0.5, 3, 3, 4))],
)
def sqrt(x: Operand) -> Any:
    r"""Square root of each element.

    Gradient: dL/dx = g / (2 sqrt(x)); inf at x = 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.sqrt(tg.Tensor([4.0, 9.0]))
    Tensor([2., 3.])
    """


@operation(
    np.cbrt,
    vjps=[np.errstate(divide="ignore", invalid="ignore")(lambda g, y, x: g / (3 * y * y))],
    notation=Notation("cbrt(<x>)", r"\sqrt[3]{<x>}"),
    samples=[sample(normal(3, 4))],
)
def cbrt(x: Operand) -> Any:
    r"""Cube root of each element; of a negative one it is negative.

    Gradient: dL/dx = g / (3 cbrt(x)^2); inf at x = 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.cbrt(tg.Tensor([-8.0, 27.0]))
    Tensor([-2.,  3.])
    """


@operation(
    vjps=[np.errstate(over="ignore", invalid="ignore")(lambda g, y, x: g * (-0.5 * y * y * y))],
    notation=Notation("1 / sqrt(<x>)", r"\frac{1}{\sqrt{<x>}}", PRODUCT),
    samples=[sample(between(0.5, 3, 3, 4))],
)
def rsqrt(x: Operand) -> Any:
    r"""1 / sqrt(x), the reciprocal of the square root; inf at x = 0, with NumPy's warning.

    Gradient: dL/dx = -g y^3 / 2, y = rsqrt(x); -inf at x = 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.rsqrt(tg.Tensor([0.25, 4.0]))
    Tensor([2. , 0.5])
    """
    return 1 / np.sqrt(x)


@operation(
    np.reciprocal,
    vjps=[np.errstate(over="ignore", invalid="ignore")(lambda g, y, x: -g * y * y)],
    notation=Notation("1 / <x>", r"\frac{1}{<x>}", PRODUCT),
    samples=[sample(normal(3, 4))],
)
def reciprocal(x: Operand) -> Any:
    r"""1 / x for each element.  As in NumPy, of integers it is an integer (mostly 0); `1 / x` is always a float.

    Gradient: dL/dx = -g / x^2.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.reciprocal(tg.Tensor([0.5, -4.0]))
    Tensor([ 2.  , -0.25])
    """


@implements(np.float_power)
def float_power(a: Operand, b: Operand) -> Any:
    """Power a ** b in float64, whatever the dtypes: integers may have negative exponents.

    Its gradient is that of `power`, in the dtype of each input.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.float_power(tg.Tensor([2, 4]), -1)
    Tensor([0.5 , 0.25])
    """
    return power(_double(a), _double(b))


def _double(x: Any) -> Any:
    return float(x) if isinstance(x, (int, float)) else astype(x, dtype=np.float64)


# The share of a in log(e^a + e^b) is e^a / (e^a + e^b) = sigmoid(a - b).  Of two infinities that are equal
# a - b is NaN: as in logsumexp, the gradient is 0 then.
@np.errstate(invalid="ignore")
def _ahead(a: Any, b: Any) -> Any:
    return np.where(np.isinf(a) & (a == b), -np.inf, a - b)


@operation(
    np.logaddexp,
    vjps=[lambda g, y, a, b: g * sigmoid(_ahead(a, b)), lambda g, y, a, b: g * sigmoid(_ahead(b, a))],
    notation=Notation("log(exp(<a>) + exp(<b>))", r"\log(e^{<a>} + e^{<b>})"),
    samples=[sample(normal(3, 4), normal(3, 4)), sample(normal(3, 1), normal(4)), sample(normal(3), 0.5)],
)
def logaddexp(a: Operand, b: Operand) -> Any:
    r"""log(e^a + e^b) without overflow: the sum of two numbers of which only the logarithms are at hand.

    Gradient: dL/da = g sigmoid(a - b), dL/db = g sigmoid(b - a).  Of -inf and -inf the value is -inf, and the
    gradient 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.logaddexp(tg.Tensor([0.0, 1000.0]), tg.Tensor([0.0, 1000.0]))
    Tensor([6.93147181e-01, 1.00069315e+03])
    """


@operation(
    np.logaddexp2,
    vjps=[
        lambda g, y, a, b: g * sigmoid(LOG_2 * _ahead(a, b)),
        lambda g, y, a, b: g * sigmoid(LOG_2 * _ahead(b, a)),
    ],
    notation=Notation("log2(2^<a> + 2^<b>)", r"\log_2(2^{<a>} + 2^{<b>})"),
    samples=[sample(normal(3, 4), normal(3, 4)), sample(normal(3, 1), normal(4))],
)
def logaddexp2(a: Operand, b: Operand) -> Any:
    r"""log2(2^a + 2^b) without overflow.

    Gradient: dL/da = g sigmoid((a - b) log 2), dL/db = g sigmoid((b - a) log 2).  Of -inf and -inf the value is
    -inf, and the gradient 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.logaddexp2(tg.Tensor([0.0, 1000.0]), tg.Tensor([0.0, 1000.0]))
    Tensor([1.000e+00, 1.001e+03])
    """


# Of the two formulas each is exact at its own end: start for weight 0, end for weight 1.
@operation(
    vjps=[
        lambda g, y, start, end, weight: g * (1 - weight),
        lambda g, y, start, end, weight: g * weight,
        lambda g, y, start, end, weight: g * (end - start),
    ],
    notation=Notation("<start> + <weight> (<end> - <start>)", binds=SUM),
    samples=[
        sample(normal(3, 4), normal(3, 4), between(0, 1, 3, 4)),
        sample(normal(3, 1), normal(4), 0.25),
        sample(normal(4), normal(3, 4), between(0.6, 1.4, 3, 1)),
    ],
)
def lerp(start: Operand, end: Operand, weight: Operand) -> Any:
    r"""Linear interpolation start + weight (end - start): `start` for weight 0, `end` for weight 1.

    Gradient: dL/dstart = g (1 - weight), dL/dend = g weight, dL/dweight = g (end - start).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.lerp(tg.Tensor([0.0, 10.0]), tg.Tensor([4.0, 20.0]), 0.25)
    Tensor([ 1. , 12.5])
    """
    step = end - start
    return np.where(np.abs(weight) < 0.5, start + weight * step, end - (1 - weight) * step)
