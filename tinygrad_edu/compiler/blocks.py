"""Chains of element-wise operations on large arrays, block by block: what is between two operations stays in the cache.

One pass over a million numbers takes them from memory and writes them back; twenty operations are twenty such passes.  In
blocks of 16,384 numbers they are one.  Two threads share the blocks, as NumPy lets other threads run meanwhile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tinygrad_edu.compiler.listing import reads
from tinygrad_edu.compiler.lowering import ufunc_of
from tinygrad_edu.compiler.passes import is_kept
from tinygrad_edu.program import Equation, Variable

__all__ = ["BLOCK", "THREADS", "grouped", "in_blocks"]

BLOCK = 16_384  # numbers
SHORTEST = 3  # operations: fewer are not worth it
LARGE = 65_536  # numbers: below, an array is in the cache anyway
THREADS = 2
FOR_THREADS = 262_144  # numbers: below, waking a thread costs more than it saves


def grouped(equations: list[Equation], constants: set[Variable]) -> list[Equation | list[Equation]]:
    """The equations, with chains that can be computed block by block as lists.

    What stands between two parts of a chain and is small (a sum of its numbers) is put behind it.
    """
    found: list[Equation | list[Equation]] = []
    chain: list[Equation] = []
    behind: list[Equation] = []
    sequence: list[Equation] = []  # both, as they came

    def close() -> None:
        if len(chain) >= SHORTEST:
            found.extend([list(chain), *behind])
        else:
            found.extend(sequence)
        for part in (chain, behind, sequence):
            part.clear()

    for equation in equations:
        fits = _is_large(equation, constants)
        later = {e.target for e in behind}
        if chain and fits and (equation.target.shape != chain[0].target.shape or not later.isdisjoint(reads(equation))):
            close()
        if fits:
            chain.append(equation)
            sequence.append(equation)
        elif chain and not is_kept(equation) and np.size(equation.target.value) * 16 <= chain[0].target.value.size:
            behind.append(equation)
            sequence.append(equation)
        else:
            close()
            found.append(equation)
    close()
    return found


def _is_large(equation: Equation, constants: set[Variable]) -> bool:
    """Can it be computed block by block, and is that worth it?"""
    target = equation.target.value
    if not isinstance(target, np.ndarray) or target.size < LARGE or not target.flags.c_contiguous:
        return False
    if ufunc_of(equation.op) is None:
        return False
    for x in equation.operands:
        if isinstance(x, Variable) and np.ndim(x.value):
            uniform = x in constants and not any(x.value.strides)
            if not uniform and (x.shape != target.shape or not x.value.flags.c_contiguous):
                return False
    return True


@functools.cache
def _helpers() -> ThreadPoolExecutor:
    """The threads that help, made when they are first needed."""
    return ThreadPoolExecutor(THREADS - 1, thread_name_prefix="tinygrad_edu")


def in_blocks(
    function: Callable[..., object], arrays: tuple[np.ndarray, ...], scratch: tuple[np.ndarray, ...], numbers: tuple[Any, ...]
) -> None:
    """Call `function` with one block of each array after the other, scratch of its size, and the numbers.

    `scratch` has a row for each thread.
    """
    flat = [array.reshape(-1) for array in arrays]
    size = flat[0].size

    def part(start: int, stop: int, thread: int) -> None:
        rows = [s[thread] for s in scratch]
        for i in range(start, stop, BLOCK):
            end = min(i + BLOCK, stop)
            if end - i < BLOCK:
                rows = [row[: end - i] for row in rows]
            function(*[array[i:end] for array in flat], *rows, *numbers)

    def guarded(*bounds: int) -> None:
        with np.errstate(all="ignore"):
            part(*bounds)

    if size < FOR_THREADS:
        part(0, size, 0)
        return
    middle = size // 2 // BLOCK * BLOCK
    other = _helpers().submit(guarded, middle, size, 1)
    try:
        part(0, middle, 0)
    finally:
        other.result()
