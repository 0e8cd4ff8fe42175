"""Choices and comparisons: the larger, the smaller, the clipped, the chosen; and what is true of each element."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.op import SUM, Notation, Op, between, distinct, implements, normal, operation, public, sample
from tinygrad_edu.ops.indexing import nonzero
from tinygrad_edu.record import Value

__all__ = [
    "allclose", "array_equal", "bitwise_and", "bitwise_or", "bitwise_xor", "clip", "equal", "fmax", "fmin", "greater",
    "greater_equal", "invert", "isclose", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "less", "less_equal",
    "logical_and", "logical_not", "logical_or", "logical_xor", "maximum", "minimum", "nan_to_num", "not_equal",
    "signbit", "where",
]  # fmt: skip

Operand = Any  # a Tensor, an array or a number


# `a >= b` would send a NaN nowhere; "not smaller" sends its gradient on, as the value was sent on.
@operation(
    np.maximum,
    vjps=[
        lambda g, y, a, b: g * (np.logical_not(a < b) - 0.5 * (a == b)),
        lambda g, y, a, b: g * (np.logical_not(b < a) - 0.5 * (a == b)),
    ],
    samples=[sample(distinct(3, 4), between(-0.04, 0.04, 3, 4)), sample(distinct(3, 4), between(-0.04, 0.04, 4))],
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
    samples=[sample(distinct(3, 4), between(-0.04, 0.04, 3, 4)), sample(distinct(3, 4), between(-0.04, 0.04, 4))],
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


# Unlike maximum, these pass over a NaN.  At a tie PyTorch gives all to a, and so do we.
@operation(
    np.fmax,
    vjps=[lambda g, y, a, b: np.where(_taken(a >= b, b), g, 0), lambda g, y, a, b: np.where(_taken(a >= b, b), 0, g)],
    samples=[sample(distinct(3, 4), between(-0.04, 0.04, 3, 4)), sample(distinct(3, 4), between(-0.04, 0.04, 4))],
)
def fmax(a: Operand, b: Operand) -> Any:
    r"""The larger of a and b, element by element; of a NaN and a number it is the number.

    Gradient: it goes to the larger one; at a tie to a.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.fmax(tg.Tensor([1.0, float("nan")]), 3)
    Tensor([3., 3.])
    """


@operation(
    np.fmin,
    vjps=[lambda g, y, a, b: np.where(_taken(a <= b, b), g, 0), lambda g, y, a, b: np.where(_taken(a <= b, b), 0, g)],
    samples=[sample(distinct(3, 4), between(-0.04, 0.04, 3, 4)), sample(distinct(3, 4), between(-0.04, 0.04, 4))],
)
def fmin(a: Operand, b: Operand) -> Any:
    r"""The smaller of a and b, element by element; of a NaN and a number it is the number.

    Gradient: it goes to the smaller one; at a tie to a.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.fmin(tg.Tensor([5.0, float("nan")]), 3)
    Tensor([3., 3.])
    """


def _taken(ahead: Any, b: Any) -> Any:
    return np.logical_or(ahead, np.isnan(b))


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


def _clip_door(x: Any, low: Any, high: Any) -> str | None:
    return "give low, high or both" if low is None and high is None else None


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
        return True if high is None else x <= high
    return x >= low if high is None else (x >= low) & (x <= high)


@operation(
    name="nan_to_num",
    vjps=[lambda g, y, x, **_: np.where(np.isfinite(x), g, 0)],
    notation=Notation("nan_to_num(<x>)", r"\operatorname{nan\_to\_num}(<x>)"),
    samples=[sample(normal(3, 4), nan=0.0, posinf=None, neginf=None)],
)
def _finite(x: Any, nan: float, posinf: float | None, neginf: float | None) -> Any:
    return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


@public(_finite)
@implements(np.nan_to_num)
def nan_to_num(
    x: Operand, copy: bool = True, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    r"""x with numbers for NaN (0), inf and -inf (the largest and the smallest number of the dtype).

    `copy=False`, NumPy's way to edit x itself, is refused.

    Gradient: g where x is finite, else 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nan_to_num(tg.Tensor([float("nan"), float("inf"), 1.0]), posinf=9.0)
    Tensor([0., 9., 1.])
    """
    if not copy:
        raise ValueError("nan_to_num: copy=False would edit a recorded value; use the result instead")
    return _finite(x, nan=nan, posinf=posinf, neginf=neginf)


# Comparisons and logic are constant almost everywhere: they have no gradient, and are not recorded.


def _pair(ufunc: Any, symbol: str, latex: str, answer: str = "a Tensor of booleans") -> Op[Any]:
    def like(a: Operand, b: Operand) -> Any: ...

    like.__doc__ = f"""a {symbol} b, element by element: {answer}, without a gradient.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> bool(tg.{ufunc.__name__}(tg.Tensor(1), 2).item() == np.{ufunc.__name__}(1, 2))
    True
    """
    like.__module__ = __name__
    notation = Notation(f"<a> {symbol} <b>", f"<a> {latex} <b>", SUM)
    return operation(ufunc, name=ufunc.__name__, vjps=[None, None], notation=notation)(like)


def _single(function: Any, sentence: str, answer: str = "a Tensor of booleans") -> Op[Any]:
    def like(x: Operand) -> Any: ...

    like.__doc__ = f"""{sentence}, element by element: {answer}, without a gradient.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> bool(tg.{function.__name__}(tg.Tensor(True)).item() == np.{function.__name__}(True))
    True
    """
    like.__module__ = __name__
    return operation(function, name=function.__name__, numpy=[function], vjps=[None])(like)


greater = _pair(np.greater, ">", ">")
greater_equal = _pair(np.greater_equal, ">=", r"\ge")
less = _pair(np.less, "<", "<")
less_equal = _pair(np.less_equal, "<=", r"\le")
equal = _pair(np.equal, "==", "=")
not_equal = _pair(np.not_equal, "!=", r"\ne")
logical_and = _pair(np.logical_and, "and", r"\land")
logical_or = _pair(np.logical_or, "or", r"\lor")
logical_xor = _pair(np.logical_xor, "xor", r"\oplus")
logical_not = _single(np.logical_not, "True where x is False or 0")
isnan = _single(np.isnan, "True where x is not a number")
isinf = _single(np.isinf, "True where x is infinite")
isfinite = _single(np.isfinite, "True where x is a finite number")
isposinf = _single(np.isposinf, "True where x is inf")
isneginf = _single(np.isneginf, "True where x is -inf")
signbit = _single(np.signbit, "True where x is negative or -0.0")
bitwise_and = _pair(np.bitwise_and, "&", r"\mathbin{\&}", "bit by bit, of integers or booleans")
bitwise_or = _pair(np.bitwise_or, "|", r"\mathbin{|}", "bit by bit, of integers or booleans")
bitwise_xor = _pair(np.bitwise_xor, "^", r"\oplus", "bit by bit, of integers or booleans")
invert = _single(np.invert, "1 for 0 and 0 for 1", "bit by bit, of integers or booleans")


@operation(
    numpy=[np.isclose],
    vjps=[None, None],
    notation=Notation("<a> ~ <b>", r"<a> \approx <b>", SUM),
)
def isclose(a: Operand, b: Operand, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """|a - b| <= atol + rtol |b|, element by element: a Tensor of booleans, without a gradient.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.isclose(tg.Tensor([1.0, 2.0]), [1.0 + 1e-9, 2.1])
    Tensor([ True, False])
    """
    return np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan)


def _plain(x: Any) -> Any:
    return x._data if isinstance(x, Value) else x


@implements(np.allclose)
def allclose(a: Operand, b: Operand, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Is |a - b| <= atol + rtol |b| for all elements?  A plain bool.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.allclose(tg.Tensor([1.0, 2.0]), [1.0 + 1e-9, 2.0])
    True
    """
    return np.allclose(_plain(a), _plain(b), rtol=rtol, atol=atol, equal_nan=equal_nan)


@implements(np.array_equal)
def array_equal(a: Operand, b: Operand, equal_nan: bool = False) -> bool:
    """Have a and b the same shape and the same elements?  A plain bool.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.array_equal(tg.Tensor([1.0, 2.0]), [1.0, 2.0])
    True
    """
    return np.array_equal(_plain(a), _plain(b), equal_nan=equal_nan)
