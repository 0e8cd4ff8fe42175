"""What becomes loops, for numba: whatever is small, and whatever works element by element.

A step of small arrays is mostly the cost of its calls, and one of large arrays mostly passes over memory.  Here, what
follows upon each other becomes one function of loops, and values that are needed only there are never stored.  Large
products of matrices, and what loops can't say or say slowly, stay lines of NumPy between them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.compiler.loops import FLOATS, LARGE, LETTERS, REDUCED, SLOW, Loops, form_of
from tinygrad_edu.compiler.passes import uniform
from tinygrad_edu.compiler.source import Source
from tinygrad_edu.compiler.threads import products
from tinygrad_edu.compiler.tracing import DELIVER, UPDATE
from tinygrad_edu.compiler.updates import update_of
from tinygrad_edu.program import Equation, Variable

__all__ = ["Looping"]

FEW = 512  # numbers, or products: below, loops beat the call of NumPy or BLAS also where they use no vectors
SHORTEST = 3  # equations: fewer are quicker as calls
LONGEST = 200  # equations of one function: the time of its compilation grows faster than they do
MOST = 600  # equations of all functions that differ: each costs 0.02 s to compile; what is behind them stays NumPy's
ROW = 16  # numbers: a shorter last axis of a large array would fill no vector


class Looping(Source):
    """Writes a step with functions of loops in it."""

    def groups(self) -> list[Equation | list[Equation]]:
        """The equations; what follows upon each other and can be written as loops is one list."""
        roundings = [float(np.finfo(e.target.dtype).eps) for e in self.equations if e.target.dtype in FLOATS]
        self.eps = max(roundings, default=0.0)
        self.compiled: dict[str, str] = {}  # the names of functions by their lines, so that equal ones are one
        self.life = self.lifetimes(self.equations)
        found: list[Equation | list[Equation]] = []
        run: list[Equation] = []
        written: dict[Any, int] = {}  # the lines of functions, by what tells them apart

        def close() -> None:
            lines = [e for e in run if e.op is not DELIVER and e.op.name != "transpose"]
            form = tuple([(e.op.name, *[_form(x) for x in (e.target, *e.operands)]) for e in lines])
            pays = len(lines) >= SHORTEST and any(shape for _, *values in form for shape, _ in values)
            if pays and form not in written:
                pays = sum(written.values()) + len(lines) <= MOST
            if pays:
                written[form] = len(lines)
            found.extend([list(run)] if pays else run)
            run.clear()

        for equation in self.equations:
            fits = self.fits(equation)
            if not fits or len(run) >= LONGEST:
                close()
            if fits:
                run.append(equation)
            else:
                found.append(equation)
        close()
        return found

    def group(self, group: list[Equation], end: int) -> None:
        """One function, and the line that calls it."""
        Loops(self, group, end).write()

    def fits(self, e: Equation) -> bool:
        """Can this equation be written as a loop that is quicker than a call of NumPy?"""
        target = e.target
        if e.op is DELIVER:  # nothing but a name, where the gradient is written to memory of its own
            return e.params["leaf"] not in self.accumulated and self.can_be_handed_over(e)
        if e.op is UPDATE:
            p, g = e.operands
            known = update_of(e.params["optimizer"]) is not None and p.dtype in FLOATS and np.ndim(p.value) > 0
            return known and (g.shape, g.dtype) == (p.shape, p.dtype) and (p.shape[-1] >= ROW or p.value.size < LARGE)
        if e.kept is not None or e.op.writes or not all(_plain(x) for x in (target, *e.operands)):
            return False
        if e.op.name == "transpose":
            return _matrix(target) and e.operands[0] not in self.constants
        if e.op.name == "matmul":
            a, b = e.operands
            return _matrix(a) and _matrix(b) and products(a, b) <= FEW and _are_floats(e)
        if e.op.name in REDUCED:
            x = e.operands[0]
            if not isinstance(x, Variable) or not np.size(x.value) or not np.ndim(x.value) or not _are_floats(e):
                return False
            return _is_quick(x.shape, [x]) if target.value.size == 1 else x.value.size <= FEW
        if form_of(e) is None or (e.op.name in SLOW and target.value.size > FEW):
            return False
        return _is_quick(target.shape, [target, *self.arrays(e)])

    def arrays(self, e: Equation) -> list[Variable]:
        """The operands that are read place by place: not those that are one number everywhere."""
        found = [x for x in e.operands if isinstance(x, Variable) and np.ndim(x.value)]
        return [x for x in found if x not in self.constants or uniform(x) is None]


def _form(x: Any) -> tuple[Any, Any]:
    """Shape and dtype of an operand, or its type."""
    return (x.shape, x.dtype) if isinstance(x, Variable) else ((), type(x))


def _plain(x: Any) -> bool:
    """A number, or numbers that a loop can reach by their places."""
    if not isinstance(x, Variable):
        return isinstance(x, bool | int | float)
    value = x.value
    known = (isinstance(value, np.ndarray) and 0 < value.ndim <= len(LETTERS)) or isinstance(value, np.generic)
    return known and (value.dtype in FLOATS or value.dtype.kind in "biu")


def _matrix(x: Any) -> bool:
    return isinstance(x, Variable) and len(x.shape) == 2


def _are_floats(e: Equation) -> bool:
    """Are operands and target of one dtype that loops can calculate with?"""
    return e.target.dtype in FLOATS and all(isinstance(x, Variable) and x.dtype == e.target.dtype for x in e.operands)


def _is_quick(shape: tuple[int, ...], arrays: list[Variable]) -> bool:
    """Do the numbers lie so that loops over `shape` meet them one after the other, many at once?"""
    if np.prod(shape) < LARGE:
        return True
    in_order = all(x.value.flags.c_contiguous for x in arrays)
    return in_order and (shape[-1] >= ROW or all(x.shape == shape for x in arrays))
