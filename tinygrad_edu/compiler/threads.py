"""Two threads for element-wise work on large arrays: each takes one half.

NumPy's functions let go of Python's lock while they compute, but between them each thread has to get it back, and
waiting for it costs as much as a pass over 50,000 numbers.  So a thread's blocks are wide: few calls, few meetings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import numpy as np

from tinygrad_edu.blocks import added, in_blocks, in_part
from tinygrad_edu.program import Equation, Variable

__all__ = ["WIDE", "are_taken", "in_halves", "in_threads", "pays", "products"]

WIDE = 131_072  # numbers in a block of a thread; 65,536 and 250,000 are slower
WORK = 4_000_000  # operations on single numbers, about a millisecond: waking a thread takes a tenth of one
OF_BLAS = 2**18  # products of single numbers, from which on OpenBLAS uses its threads


class Helper:
    """The other thread: started when it is first needed, and anew in a process that was forked."""

    def __init__(self) -> None:
        self.pool: ThreadPoolExecutor | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self.pool = None

    def both(self, first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
        """What both return; `second` is left to the other thread, if it gets round to it."""
        if self.pool is None:
            self.pool = ThreadPoolExecutor(1, "tinygrad_edu")
        there = self.pool.submit(copy_context().run, second)  # with the settings of this thread: np.errstate
        try:
            here = first()
        finally:
            mine = there.cancel()  # it is busy with something else
            if not mine:
                there.exception()  # wait: it writes to memory that is free again when this call is over
        return here, second() if mine else there.result()


HELPER = Helper()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pays(size: int, operations: int) -> bool:
    """Is this much work shared?"""
    return size >= 4 * WIDE and size * operations >= WORK


def are_taken(equations: Iterable[Equation]) -> bool:
    """Does a step have all cores at work: by products of matrices so large that BLAS shares them?

    OpenBLAS's threads go on looking for work for 0.1 s.  Beside them two halves take longer than the whole: 1.06.
    """
    found = [e for e in equations if e.op.name == "matmul" or e.op.name.startswith("conv")]
    return any(e.op.name != "matmul" or products(*e.operands) > OF_BLAS for e in found)


def products(a: Variable, b: Variable) -> int:
    """How many products of single numbers a @ b is made of."""
    return int(np.size(a.value)) * (b.shape[-1] if len(b.shape) > 1 else 1)


def in_threads(function: Callable[..., Any], arrays: tuple[Any, ...], rows: tuple[Any, ...], numbers: Any = ()) -> Any:
    """As `in_blocks`, with rows for a wide block of each thread; the sums come out the same to the last bit."""
    if cores() < 2:
        return in_blocks(function, arrays, rows, numbers)
    flat = [array.reshape(-1) for array in arrays]
    size = flat[0].size
    middle = size // 2 // 8 * 8

    def first() -> Any:
        return in_part(function, flat, rows, numbers, 0, middle, WIDE)

    def second() -> Any:
        return in_part(function, flat, [row[WIDE:] for row in rows], numbers, middle, size, WIDE)

    return added(*HELPER.both(first, second))


def in_halves(function: Callable[..., Any], size: int, *arguments: Any) -> Any:
    """Call `function(first, last, *arguments)` for both halves of 0..size, and add up what it returns."""
    if cores() < 2:
        return function(0, size, *arguments)
    middle = size // 2
    return added(*HELPER.both(lambda: function(0, middle, *arguments), lambda: function(middle, size, *arguments)))
