"""Which operations share a box: modules that are collapsed, repeats that are drawn once, and long stretches.

A Unit is what gets one box.  Units are neighbours in the order of the program, so arrows between them never make a
circle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_edu.program import Call, Equation, Variable
from viz.labels import several

LIMIT = 150  # boxes: past that, nobody finds anything, and the layout takes long
LONGEST = 64  # operations in a pattern that is looked for
FEWEST = 3  # times that a pattern must occur to be drawn once


@dataclass(eq=False)
class Repeat:
    """A pattern of operations that follows itself `times` times; its first occurrence is drawn."""

    times: int
    parent: Call | None  # the innermost module call that contains all of it


@dataclass(eq=False)
class Unit:
    """One box: an operation, or several under a title."""

    equations: list[Equation]
    frame: Call | None  # the module call in whose frame it stands
    title: str = ""
    contents: str = ""
    repeat: Repeat | None = None  # of which it belongs to the first occurrence
    module: bool = False  # is it a module, whose data come in from outside?

    @property
    def rolled(self) -> bool:
        """Does it stand for several operations?"""
        return bool(self.title)

    @cached_property
    def reads(self) -> list[Variable]:
        """What comes in, each once, in order."""
        made = {equation.target for equation in self.equations}
        return list(dict.fromkeys(x for e in self.equations for x in e.variables if x not in made))


def rolled_up(
    equations: Sequence[Equation], depth: int | None, collapse: Sequence[str], rollup: bool | None
) -> list[Unit]:
    """One Unit for each operation, or fewer: as `viz.draw` is asked to."""
    single = [Unit([equation], equation.call) for equation in equations]
    _known(collapse, equations)
    units = collapsed(single, depth, collapse)
    if rollup is False or (rollup is None and boxes(units) <= LIMIT):
        return units
    units = folded(units)
    deepest = max((len(chain(unit.frame)) for unit in units), default=0)
    for level in range(min(deepest, deepest if depth is None else depth) - 1, -1, -1):
        if boxes(units) <= LIMIT:
            return units
        units = folded(collapsed(single, level, collapse))
    return units if boxes(units) <= LIMIT else stretched(units)


def boxes(units: Sequence[Unit]) -> int:
    """About how many boxes a drawing of these has: operations, results and leaves."""
    leaves = {x for unit in units if not unit.rolled for x in unit.reads if x.equation is None}
    return 2 * len(units) + len(leaves)


def chain(call: Call | None) -> list[Call]:
    """The module calls around something, the outermost first."""
    found = []
    while call is not None:
        found.append(call)
        call = call.parent
    return found[::-1]


def collapsed(units: Sequence[Unit], depth: int | None, collapse: Sequence[str] = ()) -> list[Unit]:
    """Each module call below `depth`, or of a module in `collapse` (a path or a class), becomes one box."""
    found: list[Unit] = []
    before: Call | None = None
    for unit in units:
        outer = chain(unit.frame)
        at = next((c for i, c in enumerate(outer) if i == depth or c.path in collapse or c.kind in collapse), None)
        if at is None:
            found.append(unit)
        elif at is before:
            found[-1].equations += unit.equations
        else:
            found.append(Unit(list(unit.equations), at.parent, name(at), module=True))
        before = at
    for unit in found:
        if unit.rolled:
            unit.contents = counted(unit.equations)
    return found


def name(call: Call) -> str:
    """What stands above the frame of a module call: "fc1: Linear"; which call it is, if it is not the first."""
    said = f"{call.path.rpartition('.')[2]}: {call.kind}" if call.path else call.kind
    return said if call.number == 1 else f"{said} (call {call.number})"


def counted(equations: Sequence[Equation]) -> str:
    """What is inside of a box: how many operations and parameters."""
    leaves = dict.fromkeys(x for e in equations for x in e.variables if x.kind == "parameter")
    inside = several(len(equations), "operation")
    if not leaves:
        return inside
    numbers = several(sum(np.size(x.value) for x in leaves), "number")
    return f"{inside}, {several(len(leaves), 'parameter')} ({numbers})"


def folded(units: Sequence[Unit]) -> list[Unit]:
    """Patterns that follow themselves three times or more are drawn once, and the others are one box behind them."""
    runs = _runs([_signature(unit) for unit in units])
    found: list[Unit] = []
    i = 0
    while i < len(units):
        times = runs[:, i] // np.arange(1, len(runs) + 1) + 1 if len(runs) else np.ones(1, int)
        covered = np.where(times >= FEWEST, times * np.arange(1, len(times) + 1), 0)
        period = int(covered.argmax()) + 1
        if not covered[period - 1]:
            found.append(units[i])
            i += 1
            continue
        end = i + int(covered[period - 1])
        inside = units[i:end]
        repeat = Repeat(int(times[period - 1]), _around(inside))
        for unit in inside[:period]:
            found.append(replace(unit, repeat=repeat))
        rest = [equation for unit in inside[period:] for equation in unit.equations]
        names = ", ".join(dict.fromkeys(e.op.name.strip("_") for unit in inside[:period] for e in unit.equations))
        said = names if len(names) <= 40 else f"{len(rest):,} operations"
        title = f"\N{MULTIPLICATION SIGN} {repeat.times - 1:,} more"
        found.append(Unit(rest, repeat.parent, title, f"each as before: {said}"))
        i = end
    return found


def stretched(units: Sequence[Unit]) -> list[Unit]:
    """Neighbours share a box, whatever they are, so that few boxes remain."""
    size = -(-len(units) // (LIMIT // 3))
    found = []
    for i in range(0, len(units), size):
        equations = [equation for unit in units[i : i + size] for equation in unit.equations]
        common = ", ".join(word for word, _ in Counter(e.op.name.strip("_") for e in equations).most_common(3))
        found.append(
            Unit(equations, _around(units[i : i + size]), f"{len(equations):,} operations", f"mostly {common}")
        )
    return found


def _known(collapse: Iterable[str], equations: Sequence[Equation]) -> None:
    calls = {call for equation in equations for call in chain(equation.call)}
    known = {c.path for c in calls} | {c.kind for c in calls}
    for each in collapse:
        if each not in known:
            there = ", ".join(sorted(x for x in known if x)) or "no module"
            raise ValueError(f"draw: collapse={each!r}: no module is called so; there is {there}")


def _signature(unit: Unit) -> Any:
    """What makes two boxes look alike: operations, shapes, and where their inputs come from."""
    if len(unit.equations) > LONGEST:
        return (unit.title, len(unit.equations))
    return tuple(
        (e.op.name, e.target.shape, tuple(isinstance(x, Variable) and x.kind == "parameter" for x in e.operands))
        for e in unit.equations
    )


def _runs(signatures: Sequence[Any]) -> Any:
    """[p - 1, i]: for how many steps from i on each signature equals the one p places further."""
    numbers: dict[Any, int] = {}
    codes = np.array([numbers.setdefault(s, len(numbers)) for s in signatures])
    n = len(codes)
    longest = min(LONGEST, n // FEWEST)
    runs = np.zeros((longest, n + 1), np.int32)
    for p in range(1, longest + 1):
        equal = np.append(codes[p:] == codes[:-p], False)
        ends = np.flatnonzero(~equal)  # each run ends at the next difference
        runs[p - 1, : len(equal)] = ends[np.searchsorted(ends, np.arange(len(equal)))] - np.arange(len(equal))
    return runs


def _around(units: Sequence[Unit]) -> Call | None:
    """The innermost module call that contains all of them."""
    common: list[Call] | None = None
    for unit in units:
        outer = chain(unit.frame)
        same = outer if common is None else [a for a, b in zip(common, outer) if a is b]
        common = same
    return common[-1] if common else None
