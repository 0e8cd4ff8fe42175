"""Steps, signs and remainders: floor and its kin, whose slope is 0, and what is built on them.

A step function is constant between its jumps, so its gradient is 0.  It is a gradient nevertheless: a network with
`floor` in the middle sweeps, and what lies before it does not learn from it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.op import PRODUCT, Notation, Op, between, distinct, implements, normal, operation, sample

__all__ = [
    "ceil", "copysign", "divmod", "floor", "floor_divide", "fmod", "heaviside", "mod", "remainder", "rint", "round",
    "sign", "trunc",
]  # fmt: skip

Operand = Any  # a Tensor, an array or a number


def _zero(g: Any, *_: Any, **__: Any) -> Any:
    """Zeros that stay 0 where g is infinite, which 0 * g would not."""
    return np.where(False, g, 0)


def _step(ufunc: Any, sentence: str, text: str, latex: str, values: str) -> Op[Any]:
    def like(x: Operand) -> Any: ...

    like.__doc__ = f"""{sentence}

    Gradient: 0 everywhere.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.{ufunc.__name__}(tg.Tensor([-1.5, 0.5, 2.5]))
    Tensor([{values}])
    """
    like.__module__ = __name__
    define = operation(
        ufunc,
        name=ufunc.__name__,
        vjps=[_zero],
        notation=Notation(text, latex),
        samples=[sample(distinct(3, 4))],
    )
    return define(like)


floor = _step(
    np.floor, "The largest whole number that is not above x.", "floor(<x>)", r"\lfloor <x> \rfloor", "-2.,  0.,  2."
)
ceil = _step(
    np.ceil, "The smallest whole number that is not below x.", "ceil(<x>)", r"\lceil <x> \rceil", "-1.,  1.,  3."
)
trunc = _step(
    np.trunc, "The whole number next to x on the side of 0.", "trunc(<x>)", r"\operatorname{trunc}(<x>)",
    "-1.,  0.,  2.",
)  # fmt: skip
rint = _step(
    np.rint, "The nearest whole number; of two that are equally near, the even one.", "round(<x>)",
    r"\operatorname{round}(<x>)", "-2.,  0.,  2.",
)  # fmt: skip
sign = _step(
    np.sign, "-1, 0 or 1: the sign of each element.", "sign(<x>)", r"\operatorname{sign}(<x>)", "-1.,  1.,  1."
)
implements(np.fix)(lambda x: trunc(x))


@operation(
    numpy=[np.round, np.around],
    vjps=[_zero],
    notation=Notation("round(<x>)", r"\operatorname{round}(<x>)"),
    samples=[sample(distinct(3, 4)), sample(normal(3), decimals=1)],
)
def round(x: Operand, decimals: int = 0) -> Any:
    r"""Rounded to `decimals` places; of two numbers that are equally near, the even one.  -1 rounds to tens.

    Gradient: 0 everywhere.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.round(tg.Tensor([0.5, 1.5, 2.345]), 1)
    Tensor([0.5, 1.5, 2.3])
    """
    return np.round(x, decimals)


@operation(
    np.heaviside,
    vjps=[_zero, lambda g, y, x, at_zero: np.where(x == 0, g, 0)],
    notation=Notation("1[<x> > 0], <at_zero> at 0", r"\mathbf{1}[<x> > 0],\ <at_zero> \text{ at } 0"),
    samples=[sample(normal(3, 4), normal(4)), sample(np.array([0, 1, 0, -1], np.int8), normal(4))],
)
def heaviside(x: Operand, at_zero: Operand) -> Any:
    r"""0 where x < 0, 1 where x > 0, and `at_zero` where x = 0.

    Gradient: 0 for x; g for `at_zero` where x = 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.heaviside(tg.Tensor([-2.0, 0.0, 3.0]), 0.5)
    Tensor([0. , 0.5, 1. ])
    """


@operation(
    np.copysign,
    vjps=[lambda g, y, a, b: g * (np.sign(a) * np.copysign(1, b)), _zero],
    notation=Notation("|<a>| sign(<b>)", r"\lvert <a> \rvert \operatorname{sign}(<b>)", PRODUCT),
    samples=[sample(normal(3, 4), normal(3, 4)), sample(normal(3, 1), normal(4)), sample(normal(3), -1.0)],
)
def copysign(a: Operand, b: Operand) -> Any:
    r"""The size of a with the sign of b (-0.0 counts as negative).

    Gradient: dL/da = g where a and b have the same sign, -g where they differ, 0 where a = 0; dL/db = 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.copysign(tg.Tensor([1.0, -2.0]), tg.Tensor([-3.0, 4.0]))
    Tensor([-1.,  2.])
    """


# Of a = n b + y with a whole number n, the derivatives are those with n held fast.
REMAINDERS = [  # away from the jumps: a / b is never close to a whole number
    sample(between(2.3, 2.7, 3, 4), between(0.95, 1.05, 3, 4)),
    sample(between(-2.7, -2.3, 3, 1), between(0.95, 1.05, 4)),
    sample(between(3.3, 3.7, 3, 4), between(-1.05, -0.95, 4)),
    sample(between(-1.3, -1.1, 4), -0.5),
]
by_zero = np.errstate(divide="ignore", invalid="ignore")


@operation(
    np.remainder,
    vjps=[lambda g, y, a, b: g, by_zero(lambda g, y, a, b: -g * np.floor_divide(a, b))],
    notation=Notation("<a> mod <b>", r"<a> \bmod <b>", PRODUCT),
    samples=REMAINDERS,
)
def remainder(a: Operand, b: Operand) -> Any:
    r"""What is left of a when b is taken away floor(a / b) times; it has the sign of b, as Python's `%`.

    Gradient: dL/da = g, dL/db = -g floor(a / b).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.remainder(tg.Tensor([5.5, -5.5]), 2)
    Tensor([1.5, 0.5])
    """


mod = remainder


@operation(
    np.fmod,
    vjps=[lambda g, y, a, b: g, by_zero(lambda g, y, a, b: -g * np.rint((a - y) / b))],
    notation=Notation("fmod(<a>, <b>)", r"\operatorname{fmod}(<a>, <b>)"),
    samples=REMAINDERS,
)
def fmod(a: Operand, b: Operand) -> Any:
    r"""What is left of a when b is taken away trunc(a / b) times; it has the sign of a, as `fmod` in C.

    Gradient: dL/da = g, dL/db = -g trunc(a / b).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.fmod(tg.Tensor([5.5, -5.5]), 2)
    Tensor([ 1.5, -1.5])
    """


@operation(
    np.floor_divide,
    vjps=[_zero, _zero],
    notation=Notation("floor(<a> / <b>)", r"\left\lfloor \frac{<a>}{<b>} \right\rfloor"),
    samples=REMAINDERS,
)
def floor_divide(a: Operand, b: Operand) -> Any:
    r"""The largest whole number that is not above a / b, as Python's `//`.

    Gradient: 0 everywhere.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.floor_divide(tg.Tensor([5.5, -5.5]), 2)
    Tensor([ 2., -3.])
    """


@implements(np.divmod)
def divmod(a: Operand, b: Operand) -> tuple[Any, Any]:
    """floor_divide and remainder in one call: a = quotient * b + rest.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.divmod(tg.Tensor([5.5, -5.5]), 2)
    (Tensor([ 2., -3.]), Tensor([1.5, 0.5]))
    """
    return floor_divide(a, b), remainder(a, b)
