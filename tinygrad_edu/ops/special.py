"""erf, sinc and x log y: functions that NumPy lacks, or whose derivatives need care.

Python's math.erf knows one number at a time.  For arrays erf is computed here, ten times faster: a Taylor series
around the nearest of 1,537 points.  That is short, since all derivatives of erf are known.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinygrad_edu.op import PRODUCT, Notation, between, normal, operation, sample

__all__ = ["erf", "sinc", "xlogy"]

Operand = Any  # a Tensor, an array or a number

# From 6 on erf is 1 in float64.  No number is farther from a point than 1/512, and no coefficient that is left out
# is larger than 0.1: that is an error of 0.1 / 512^6 = 6e-18.
LAST, STEPS, TERMS = 6, 256, 6
SLOPE = 2 / math.sqrt(math.pi)  # of erf at 0


@functools.cache
def _taylor() -> Any:
    """Row k: the k-th Taylor coefficient of erf around each grid point x, erf^(k)(x) / k!.

    erf' = 2/sqrt(pi) e^{-x^2}, and the derivatives of e^{-x^2} are (-1)^n H_n(x) e^{-x^2} with the Hermite polynomials
    H_0 = 1, H_1 = 2x, H_{n+1} = 2x H_n - 2n H_{n-1} (Abramowitz and Stegun, Handbook of Mathematical Functions,
    7.1.19 and 22.7.13).
    """
    x = np.arange(LAST * STEPS + 1) / STEPS
    slope = SLOPE * np.exp(-x * x)
    rows = [np.array([math.erf(point) for point in x])]
    hermite, following = np.ones_like(x), 2 * x
    for k in range(1, TERMS):
        rows.append((-1) ** (k - 1) * hermite * slope / math.factorial(k))
        hermite, following = following, 2 * x * following - 2 * k * hermite
    return rows


BLOCK = 8192  # elements at a time: what is computed in between stays in the cache
FEW = 128  # for so few, one at a time is faster


def _erf(x: Any, out: Any) -> None:
    """erf of a row of numbers, to about 3e-16 relative to erf."""
    if x.size < FEW:
        out[:] = [math.erf(number) for number in x.tolist()]
        return
    a = np.minimum(np.abs(x), LAST, dtype=np.float64)
    nearest = (np.fmin(a, LAST) * STEPS + 0.5).astype(np.intp)  # fmin: a NaN is no index
    h = a - nearest / STEPS
    *rows, last = _taylor()
    y = last.take(nearest)
    for row in reversed(rows):
        y *= h
        y += row.take(nearest)
    np.copysign(y, x, out=out, casting="same_kind")


@operation(
    vjps=[np.errstate(over="ignore")(lambda g, y, x: g * (SLOPE * np.exp(-x * x)))],
    notation=Notation("erf(<x>)", r"\operatorname{erf}(<x>)"),
    samples=[sample(normal(3, 4))],
)
def erf(x: Operand) -> Any:
    r"""The error function 2/sqrt(pi) times the integral of e^{-t^2} from 0 to x: from -1 to 1, as a sigmoid.

    (1 + erf(x / sqrt(2))) / 2 is the probability that a number from N(0, 1) is below x.

    Gradient: dL/dx = g 2/sqrt(pi) e^{-x^2}.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.erf(tg.Tensor([0.0, 1.0]))
    Tensor([0.        , 0.84270079])
    """
    x = np.asarray(x)
    y = np.empty(x.shape, x.dtype if x.dtype.kind == "f" else np.float64)
    numbers, values = x.reshape(-1), y.reshape(-1)
    for i in range(0, x.size, BLOCK):
        _erf(numbers[i : i + BLOCK], values[i : i + BLOCK])
    return y if y.ndim else y[()]


def _sinc(g: Any, y: Any, x: Any, order: int = 0) -> Any:
    return g * sinc_derivative(x, order=order + 1)


@operation(
    numpy=[np.sinc],
    vjps=[_sinc],
    notation=Notation("sinc(<x>)", r"\operatorname{sinc}(<x>)"),
    samples=[sample(normal(3, 4)), sample(np.array([0.0, 1e-9, -1e-3, 0.3]))],
)
def sinc(x: Operand) -> Any:
    r"""sin(pi x) / (pi x), and 1 at x = 0.

    Gradient: dL/dx = g sinc'(x), exact near 0 and of every order.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.sinc(tg.Tensor([0.0, 0.5]))
    Tensor([1.        , 0.63661977])
    """
    return np.sinc(x)


# With u = pi x and s(u) = sin(u)/u, n derivatives of u s = sin(u) give u s^(n) + n s^(n-1) = sin(u + n pi/2), from
# which each derivative follows from the one before.  Near 0 that is a difference of nearly equal numbers, and
# the Taylor series s(u) = 1 - u^2/3! + u^4/5! - ... is used, term by term derived.
@operation(
    vjps=[_sinc],
    notation=Notation("sinc^(<order>)(<x>)", r"\operatorname{sinc}^{(<order>)}(<x>)"),
    samples=[sample(between(0.3, 2, 3, 4), order=1), sample(between(-2, -0.3, 3, 4), order=2)],
)
def sinc_derivative(x: Operand, order: int) -> Any:
    r"""The derivative of sinc of any order.

    Gradient: dL/dx = g times the derivative of the next order.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.ops.special.sinc_derivative(tg.Tensor([0.5, 1.0]), order=1)
    Tensor([-1.27323954, -1.        ])
    """
    x = np.asarray(x)
    u = np.pi * x.astype(np.float64)
    near = np.abs(u) < 1 + order / 2
    far, u = np.where(near, 1, u), np.where(near, u, 0)
    s = np.sin(far) / far
    for n in range(1, order + 1):
        s = (np.sin(far + n * (np.pi / 2)) - n * s) / far
    series = np.zeros_like(u)
    first = order + order % 2  # the lowest power that is left: s has only even ones
    for k in range(first + 24 + 2 * order, first - 1, -2):
        series = series * (u * u) + (-1) ** (k // 2) / ((k + 1) * math.factorial(k - order))
    if order % 2:
        series = series * u
    return (np.pi**order * np.where(near, series, s)).astype(x.dtype if x.dtype.kind == "f" else np.float64)


@np.errstate(divide="ignore", invalid="ignore")
def _xlogy_x(g: Any, result: Any, x: Any, y: Any) -> Any:
    return g * np.log(np.where((x == 0) & (y <= 0), 1, y))


@operation(
    vjps=[_xlogy_x, np.errstate(divide="ignore", invalid="ignore")(lambda g, result, x, y: g * (x / y))],
    notation=Notation("<x> log(<y>)", r"<x> \log(<y>)", PRODUCT),
    samples=[sample(normal(3, 4), between(0.5, 3, 3, 4)), sample(normal(3, 1), between(0.5, 3, 4))],
)
def xlogy(x: Operand, y: Operand) -> Any:
    r"""x log(y), but 0 where x = 0, also for log(0): as in the entropy -sum p log(p).

    Gradient: dL/dx = g log(y), 0 where x = 0 and y <= 0; dL/dy = g x / y.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.xlogy(tg.Tensor([0.0, 2.0]), tg.Tensor([0.0, 3.0]))
    Tensor([0.        , 2.19722458])
    """
    dtype = getattr(x, "dtype", None)
    if isinstance(y, (int, float)) and dtype is not None and dtype.kind == "f":
        y = dtype.type(y)  # a Python number is weak; np.where would make a float64 of it
    nothing = (x == 0) & np.logical_not(np.isnan(y))
    return np.where(nothing, 0, x * np.log(np.where(nothing, 1, y)))
