"""Gradients of the parts of an array, written side by side into one: what x[:, :n], x[:, n:] and so on give back.

Eagerly each part gives an array of zeros with its own numbers in it, and these are added up.  By hand, and here, each
part is written to its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.compiler.listing import reads
from tinygrad_edu.op import OPS, Each, Op
from tinygrad_edu.program import Equation, Variable

__all__ = ["ASSEMBLE", "assembled"]


def _assemble(*parts: Any, places: list[Any], shape: tuple[int, ...], whole: bool) -> Any:
    out = np.zeros(shape, parts[0].dtype)
    for part, place in zip(parts, places):
        out[place] += part
    return out


ASSEMBLE: Op[Any] = Op(_assemble, vjps=Each(lambda i, g, y, *parts, **params: None), name="assemble")


class Parts(NamedTuple):
    """A sum of arrays that are zero but for one part each, and no two in the same place."""

    parts: list[Variable]
    places: list[Any]
    taken: np.ndarray  # which numbers belong to one of the parts
    since: int  # where the first of them is computed


def assembled(equations: list[Equation], wanted: Iterable[Variable]) -> list[Equation]:
    """With one equation for each sum of parts."""
    uses = Counter(x for equation in equations for x in reads(equation))
    uses.update(wanted)
    sums: dict[Any, Parts] = {}
    inner: set[Variable] = set()  # what is part of a larger sum
    written = 0
    for i, equation in enumerate(equations):
        if equation.op.writes:
            written = i  # parts from before it are left where they are computed
        if equation.op is OPS["scatter_add"]:
            found = _part(equation, i)
        elif equation.op is OPS["add"]:
            a, b = equation.operands
            found = _joined(sums.get(a), sums.get(b), written) if uses[a] == uses[b] == 1 else None
            inner.update([a, b] if found is not None else [])
        else:
            found = None
        if found is not None:
            sums[equation.target] = found
    for target, (parts, places, taken, _) in sums.items():
        if target not in inner and target.equation is not None:
            params = {"places": places, "shape": target.shape, "whole": bool(taken.all())}
            target.equation.op, target.equation.operands, target.equation.params = ASSEMBLE, tuple(parts), params
    return [equation for equation in equations if equation.target not in inner]


def _part(equation: Equation, i: int) -> Parts | None:
    """One part, if its place is told by numbers and slices."""
    x, place = equation.operands[0], equation.params["index"]
    for one in place if isinstance(place, tuple) else (place,):
        if isinstance(one, bool) or not isinstance(one, int | np.integer | slice | None | type(Ellipsis)):
            return None
    taken = np.zeros(equation.target.shape, bool)
    if not isinstance(x, Variable) or x.shape != taken[place].shape or x.dtype != equation.target.dtype:
        return None
    taken[place] = True
    return Parts([x], [place], taken, i)


def _joined(a: Parts | None, b: Parts | None, written: int) -> Parts | None:
    """Both together, if they don't overlap and nothing was written to memory meanwhile."""
    if a is None or b is None or (a.taken & b.taken).any() or min(a.since, b.since) < written:
        return None
    return Parts(a.parts + b.parts, a.places + b.places, a.taken | b.taken, min(a.since, b.since))
