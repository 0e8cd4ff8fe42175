"""Large arrays, block by block: what is between two passes over a block stays in the cache.

A pass over a large array takes it from memory and writes it back, and that costs more than the arithmetic.  Where each
number depends only on those at its own place, all passes can be made over one block after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

BLOCK = 32_768  # numbers: seven arrays of them fit in the cache of a core
LARGE = 262_144  # numbers: below, whole arrays fit


def in_blocks(function: Callable[..., Any], arrays: tuple[Any, ...], rows: tuple[Any, ...], numbers: Any = ()) -> Any:
    """Call `function` with one block of each array after the other, rows of scratch of its size, and the numbers.

    What the calls return is added up.  The parts are halves of halves, as in NumPy's sums, which therefore come out the
    same to the last bit.
    """
    flat = [array.reshape(-1) for array in arrays]
    return in_part(function, flat, rows, numbers, 0, flat[0].size)


def in_part(
    function: Callable[..., Any],
    flat: list[Any],
    rows: Iterable[Any],
    numbers: Any,
    start: int,
    end: int,
    block: int | None = None,
) -> Any:
    """The same for a part of flat arrays, in blocks of at most `block` numbers (BLOCK)."""
    # (Not inside of `in_blocks`: a function that knows itself is a circle, and would hold the arrays.)
    size = end - start
    if size <= (block or BLOCK):
        return function(*[array[start:end] for array in flat], *[row[:size] for row in rows], *numbers)
    middle = start + size // 2 // 8 * 8
    first = in_part(function, flat, rows, numbers, start, middle, block)
    second = in_part(function, flat, rows, numbers, middle, end, block)
    return added(first, second)


def added(one: Any, other: Any) -> Any:
    """What the calls for two parts return, added up: numbers, several of them, or nothing."""
    if isinstance(one, tuple):
        return tuple([a + b for a, b in zip(one, other)])
    return None if one is None else one + other
