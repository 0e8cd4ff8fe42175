"""Chains of element-wise operations on large arrays, block by block: what is between two operations stays in the cache.

One pass over a million numbers takes them from memory and writes them back; twenty operations are twenty such passes.
In blocks of 32,768 numbers they are one, and a sum of what they make is taken along: sum(tanh(sigmoid(x) x + e^(-x x)))
with its gradient, a million numbers in float32, takes 0.65 of the time by hand, and 0.5 if two threads share the work.
"""

from __future__ import annotations

import numpy as np

from tinygrad_edu.blocks import LARGE
from tinygrad_edu.compiler.listing import reads
from tinygrad_edu.compiler.lowering import ufunc_of
from tinygrad_edu.compiler.passes import is_kept
from tinygrad_edu.op import OPS
from tinygrad_edu.program import Equation, Variable

__all__ = ["grouped", "is_total"]

SHORTEST = 3  # operations: fewer are not worth it


def grouped(equations: list[Equation], constants: set[Variable]) -> list[Equation | list[Equation]]:
    """The equations, with chains that can be computed block by block as lists.

    The first sum of all numbers of an array that a chain makes is one of its links.  What else stands between two
    parts of a chain, and is small, is put behind it.
    """
    found: list[Equation | list[Equation]] = []
    chain: list[Equation] = []
    behind: list[Equation] = []
    totals: list[Equation] = []
    sequence: list[Equation] = []  # both, as they came

    def close() -> None:
        if len(chain) - len(totals) >= SHORTEST:
            found.extend([list(chain), *behind])
        else:
            found.extend(sequence)
        for part in (chain, behind, totals, sequence):
            part.clear()

    for equation in equations:
        fits = _is_large(equation, constants)
        later = {e.target for e in (*behind, *totals)}
        if chain and fits and (equation.target.shape != chain[0].target.shape or not later.isdisjoint(reads(equation))):
            close()
        if fits:
            chain.append(equation)
            sequence.append(equation)
        elif not totals and is_total(equation) and equation.operands[0] in [e.target for e in chain]:
            chain.append(equation)
            totals.append(equation)
            sequence.append(equation)
        elif chain and not is_kept(equation) and np.size(equation.target.value) * 16 <= chain[0].target.value.size:
            behind.append(equation)
            sequence.append(equation)
        else:
            close()
            found.append(equation)
    close()
    return found


def is_total(equation: Equation) -> bool:
    """Is it the sum of all numbers of an array?"""
    x = equation.operands[0] if equation.operands else None
    everything = equation.op is OPS["sum"] and equation.params["axis"] is None and not equation.params["keepdims"]
    return everything and isinstance(x, Variable) and x.dtype.kind == "f" and x.dtype.itemsize > 2


def _is_large(equation: Equation, constants: set[Variable]) -> bool:
    """Can it be computed block by block, and is that worth it?"""
    target = equation.target.value
    if not isinstance(target, np.ndarray) or target.size < LARGE or not target.flags.c_contiguous:
        return False
    if ufunc_of(equation.op) is None:
        return False
    for x in equation.operands:
        if isinstance(x, Variable) and np.ndim(x.value):
            uniform = x in constants and not any(x.value.strides) and x.dtype == target.dtype and x.dtype.kind == "f"
            if not uniform and (x.shape != target.shape or not x.value.flags.c_contiguous):
                return False
    return True
