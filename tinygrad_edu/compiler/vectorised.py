"""Functions that numba's compiler can turn into vector instructions: exp and tanh from sums and products alone.

A loop over `math.exp` calls the C library for each number, and takes four times as long as NumPy.  Written out, the
whole loop becomes instructions that work on 8 or 16 numbers at once, with nothing stored in between.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["helpers", "jit", "numba", "unlocked"]

Function = Callable[..., Any]


@functools.cache
def numba() -> Any:
    """The module, if it is installed."""
    try:
        return importlib.import_module("numba")
    except ModuleNotFoundError as error:
        raise ImportError(
            'compile: backend="numba" needs numba: pip install "tinygrad_edu[numba]", or leave the backend out',
            name="numba",
        ) from error


def jit(function: Function, nogil: bool = False) -> Any:
    """Compiled at its first call: 1 / 0 is infinity as in NumPy, and a x + b may be one instruction, rounded once.

    Nothing else is taken lightly: NaN stays NaN, and sums stay in their order.
    """
    return numba().njit(error_model="numpy", fastmath={"contract"}, nogil=nogil)(function)


def unlocked(function: Function) -> Any:
    """The same, without Python's lock: two threads may be in it."""
    return jit(function, nogil=True)


@functools.cache
def helpers(dtype: np.dtype[Any]) -> dict[str, Any]:
    """The functions that loops over numbers of this dtype, float32 or float64, call beside NumPy's."""
    exp, tanh = exponentials(dtype)
    return {"exp": exp, "tanh": tanh, **_for_all()}


@functools.cache
def _for_all() -> dict[str, Any]:
    in_any_order = numba().njit(fastmath={"reassoc", "nsz", "contract"})
    return {"maximum": jit(maximum), "minimum": jit(minimum), "plus": in_any_order(plus)}


def maximum(a: Any, b: Any) -> Any:
    """The larger number, or NaN if one of them is."""
    return a if a > b or a != a else b


def minimum(a: Any, b: Any) -> Any:
    """The smaller number, or NaN if one of them is."""
    return a if a < b or a != a else b


def plus(total: Any, x: Any) -> Any:
    """A sum in whatever order is quickest: several partial sums at once."""
    return total + x


def exponentials(dtype: np.dtype[Any], compiled: Callable[[Function], Any] = jit) -> tuple[Any, Any]:
    """exp and tanh of one number, to 1 and 2.5 units in the last place.

    e^x = 2^n e^r with a whole n and |r| <= log(2) / 2, where a few terms of the series suffice; 2^n is written into the
    bits of a floating-point number.  tanh(x) = e / (e + 2) with e = e^(2x) - 1, which is exact for small x, too.
    """
    number: Any = dtype.type
    single = number is np.float32
    integer: Any = np.int32 if single else np.int64
    mantissa, bias = (integer(23), integer(127)) if single else (integer(52), integer(1023))
    one, two = number(1), number(2)
    # log(2) in two parts: n times the first one is exact.
    log2_high, log2_low = (
        (0.693359375, -2.1219444005469058e-4) if single else (0.693145751953125, 1.4286068203094172e-6)
    )
    high, low, inverse = number(log2_high), number(log2_low), number(1 / math.log(2))
    # Beside so large a number there is no room for a fraction: adding it rounds, and n stands in the last bits.
    shift = number(1.5 * 2.0 ** int(mantissa))
    shift_bits = shift.view(integer)
    terms = tuple(number(1 / math.factorial(k)) for k in range(7 if single else 13, 1, -1))
    top, bottom = (number(89), number(-104)) if single else (number(710), number(-746))  # infinity, and 0
    far = number(10 if single else 20)  # from here on tanh is 1

    @compiled
    def parts(x: Any) -> Any:
        """The n and e^r - 1 of e^x."""
        z = x * inverse + shift
        n = z - shift
        r = x - n * high
        r = r - n * low
        p = number(0)
        for c in terms:
            p = p * r + c
        return number(z).view(integer) - shift_bits, r + r * r * p

    @compiled
    def power_of_two(n: Any) -> Any:
        return integer((n + bias) << mantissa).view(number)

    @compiled
    def exp(x: Any) -> Any:
        x = top if x > top else x  # written so that NaN stays what it is
        x = bottom if x < bottom else x
        n, p = parts(x)
        half = n >> integer(1)  # 2^n itself may be too large or too small for a number of its own
        return (one + p) * power_of_two(half) * power_of_two(n - half)

    @compiled
    def tanh(x: Any) -> Any:
        x = far if x > far else x
        x = -far if x < -far else x
        n, p = parts(x + x)
        scale = power_of_two(n)
        e = scale * p + (scale - one)
        return e / (e + two)

    return exp, tanh
