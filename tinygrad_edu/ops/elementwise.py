"""Functions of each element: exp, log, sin, ...; the larger, the smaller, the chosen; and comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.op import SUM, Notation, Op, between, distinct, implements, normal, operation, sample
from tinygrad_edu.ops.indexing import nonzero

__all__ = [
    "abs", "bitwise_and", "bitwise_or", "clip", "cos", "equal", "exp", "greater", "greater_equal", "invert", "isfinite", "isinf", "isnan", "less",
    "less_equal", "log", "logical_and", "logical_not", "logical_or", "maximum", "minimum", "not_equal", "sign", "sin", "sqrt", "tanh",
    "where",
]  # fmt: skip

Operand = Any  # a Tensor, an array or a number


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
    np.sin,
    vjps=[lambda g, y, x: g * np.cos(x)],
    notation=Notation("sin(<x>)", r"\sin(<x>)"),
    samples=[sample(normal(3, 4))],
)
def sin(x: Operand) -> Any:
    r"""Sine of each element (in radians).

    Gradient: dL/dx = g cos(x).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.sin(tg.Tensor([0.0, 1.0]))
    Tensor([0.        , 0.84147098])
    """


@operation(
    np.cos,
    vjps=[lambda g, y, x: -g * np.sin(x)],
    notation=Notation("cos(<x>)", r"\cos(<x>)"),
    samples=[sample(normal(3, 4))],
)
def cos(x: Operand) -> Any:
    r"""Cosine of each element (in radians).

    Gradient: dL/dx = -g sin(x).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.cos(tg.Tensor([0.0, 1.0]))
    Tensor([1.        , 0.54030231])
    """


@operation(
    np.tanh,
    vjps=[lambda g, y, x: g * (1 - y * y)],
    notation=Notation("tanh(<x>)", r"\tanh(<x>)"),
    samples=[sample(normal(3, 4))],
)
def tanh(x: Operand) -> Any:
    r"""Hyperbolic tangent of each element.

    Gradient: dL/dx = g (1 - y^2), y = tanh(x).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.tanh(tg.Tensor([0.0, 1.0]))
    Tensor([0.        , 0.76159416])
    """


# `a >= b` would send a NaN nowhere; "not smaller" sends its gradient on, as the value was sent on.
@operation(
    np.maximum,
    vjps=[
        lambda g, y, a, b: g * (np.logical_not(a < b) - 0.5 * (a == b)),
        lambda g, y, a, b: g * (np.logical_not(b < a) - 0.5 * (a == b)),
    ],
    samples=[sample(distinct(3, 4), between(-0.1, 0.1, 3, 4)), sample(distinct(3, 4), between(-0.1, 0.1, 4))],
)
def maximum(a: Operand, b: Operand) -> Any:
    r"""The larger of a and b, element by element; NaN if either is.

    Gradient: it goes to the larger one; at a tie each gets half.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.maximum(tg.Tensor([1.0, 5.0]), 3)
    Tensor([3., 5.])
    """


@operation(
    np.minimum,
    vjps=[
        lambda g, y, a, b: g * (np.logical_not(a > b) - 0.5 * (a == b)),
        lambda g, y, a, b: g * (np.logical_not(b > a) - 0.5 * (a == b)),
    ],
    samples=[sample(distinct(3, 4), between(-0.1, 0.1, 3, 4)), sample(distinct(3, 4), between(-0.1, 0.1, 4))],
)
def minimum(a: Operand, b: Operand) -> Any:
    r"""The smaller of a and b, element by element; NaN if either is.

    Gradient: it goes to the smaller one; at a tie each gets half.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.minimum(tg.Tensor([1.0, 5.0]), 3)
    Tensor([1., 3.])
    """


# The branch that was not taken gets exactly 0: a product with the mask would make NaN of 0 * inf.
@operation(
    vjps=[None, lambda g, y, c, a, b: np.where(c, g, 0), lambda g, y, c, a, b: np.where(c, 0, g)],
    notation=Notation(
        "<a> where <condition>, else <b>",
        r"\begin{cases} <a> & <condition> \\ <b> & \text{else} \end{cases}",
    ),
    samples=[
        sample(lambda rng: rng.random((3, 4)) < 0.5, normal(3, 4), normal(3, 4)),
        sample(lambda rng: rng.random((3, 4)) < 0.5, normal(4), normal(3, 1)),
        sample(lambda rng: rng.random((3, 4)) < 0.5, normal(3, 4), 0.0),
    ],
)
def where(condition: Operand, a: Operand, b: Operand) -> Any:
    r"""a where the condition holds, b elsewhere.

    Gradient: g where the condition holds goes to a, elsewhere to b, and exactly 0 to the other one.

    Both branches are computed before one is chosen.  If the one that is not taken has an infinite derivative
    (sqrt at 0), then 0 * inf = NaN still comes out *before* `where`, in the branch's own rule.  The cure is the
    double where: give the branch a harmless input where it is not taken, as in
    `where(x > 0, sqrt(where(x > 0, x, 1)), 0)`.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([0.0, 4.0], requires_grad=True)
    >>> y = tg.where(x > 0, tg.sqrt(tg.where(x > 0, x, 1)), 0)
    >>> y.sum().backward()
    >>> x.grad
    array([0.  , 0.25])
    """
    return np.where(condition, a, b)


@implements(np.where)
def _np_where(condition: Operand, *branches: Operand) -> Any:
    """`np.where`, which of a condition alone says where it holds."""
    return where(condition, *branches) if branches else nonzero(condition)


@operation(
    vjps=[
        lambda g, y, x, low, high: g * _inside(x, low, high),
        lambda g, y, x, low, high: g * ((x < low) & (True if high is None else low < high)),
        lambda g, y, x, low, high: g * ((x > high) if low is None else (x > high) | (high < low)),
    ],
    samples=[sample(distinct(3, 4), -0.4, 0.6), sample(distinct(3, 4), None, 0.6), sample(distinct(4), -0.4, None),
             sample(distinct(3, 4), between(-0.42, -0.4, 4), between(0.6, 0.62, 3, 1))],
)  # fmt: skip
def clip(x: Operand, low: Operand = None, high: Operand = None) -> Any:
    r"""x, but no less than low and no more than high (either may be None).

    Gradient: g where low <= x <= high, else 0: a value at a bound still passes its gradient on.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.clip(tg.Tensor([-2.0, 0.5, 2.0]), -1, 1)
    Tensor([-1. ,  0.5,  1. ])
    """
    return np.clip(x, low, high)


@implements(np.clip)
def _np_clip(
    a: Operand, a_min: Operand = None, a_max: Operand = None, *, min: Operand = None, max: Operand = None
) -> Any:
    """`np.clip`, which has two names for each bound."""
    return clip(a, min if a_min is None else a_min, max if a_max is None else a_max)


def _inside(x: Any, low: Any, high: Any) -> Any:
    if low is None:
        return x <= high
    return x >= low if high is None else (x >= low) & (x <= high)


# Comparisons and logic are constant almost everywhere: they have no gradient, and are not recorded.


def _pair(ufunc: Any, symbol: str, latex: str) -> Op[Any]:
    def like(a: Operand, b: Operand) -> Any: ...

    like.__doc__ = f"""a {symbol} b, element by element: a Tensor of booleans, without a gradient.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> bool(tg.{ufunc.__name__}(tg.Tensor(1), 2).item() == np.{ufunc.__name__}(1, 2))
    True
    """
    like.__module__ = __name__
    notation = Notation(f"<a> {symbol} <b>", f"<a> {latex} <b>", SUM)
    return operation(ufunc, name=ufunc.__name__, vjps=[None, None], notation=notation)(like)


def _single(ufunc: Any, sentence: str) -> Op[Any]:
    def like(x: Operand) -> Any: ...

    like.__doc__ = f"""{sentence}, element by element: a Tensor of booleans, without a gradient.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> bool(tg.{ufunc.__name__}(tg.Tensor(True)).item() == np.{ufunc.__name__}(True))
    True
    """
    like.__module__ = __name__
    return operation(ufunc, name=ufunc.__name__, vjps=[None])(like)


greater = _pair(np.greater, ">", ">")
greater_equal = _pair(np.greater_equal, ">=", r"\ge")
less = _pair(np.less, "<", "<")
less_equal = _pair(np.less_equal, "<=", r"\le")
equal = _pair(np.equal, "==", "=")
not_equal = _pair(np.not_equal, "!=", r"\ne")
logical_and = _pair(np.logical_and, "and", r"\land")
logical_or = _pair(np.logical_or, "or", r"\lor")
bitwise_and = _pair(np.bitwise_and, "&", r"\mathbin{\&}")
bitwise_or = _pair(np.bitwise_or, "|", r"\mathbin{|}")
logical_not = _single(np.logical_not, "True where x is False or 0")
invert = _single(np.invert, "True where x is False (of integers, every bit inverted)")
isnan = _single(np.isnan, "True where x is not a number")
isinf = _single(np.isinf, "True where x is infinite")
isfinite = _single(np.isfinite, "True where x is a finite number")


@operation(
    np.sign,
    vjps=[lambda g, y, x: g * 0],
    notation=Notation("sign(<x>)", r"\operatorname{sign}(<x>)"),
    samples=[sample(normal(3, 4))],
)
def sign(x: Operand) -> Any:
    r"""-1, 0 or 1: the sign of each element.

    Gradient: 0 everywhere.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.sign(tg.Tensor([-3.0, 0.0, 2.0]))
    Tensor([-1.,  0.,  1.])
    """
