"""Mistakes with sums: over the axes along which a value was broadcast, and over the uses of a value."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinygrad_edu.check.agreement import Array
from tinygrad_edu.check.diagnosis.backward import Change, Edge
from tinygrad_edu.check.diagnosis.evidence import Evidence
from tinygrad_edu.check.diagnosis.hypotheses import Guess, Hypothesis, Step
from tinygrad_edu.check.diagnosis.slopes import CUT
from tinygrad_edu.program import Variable

__all__ = ["BIAS", "BROADCAST", "cuts", "joins"]


def summed_axes(s: Step) -> tuple[int, ...]:
    """The axes of the raw contribution that are summed over, since the operand was repeated along them."""
    extra = s.raw.ndim - s.true.ndim
    axes = [i for i, size in enumerate(s.true.shape) if size == 1 and s.raw.shape[i + extra] != 1]
    return (*range(extra), *(i + extra for i in axes))


def _not_summed(s: Step) -> Array | None:
    return s.raw if s.raw.shape != s.true.shape else None


def _averaged(s: Step) -> Array | None:
    axes = summed_axes(s)
    return s.raw.mean(axis=axes).reshape(s.true.shape) if axes else None


def _wrong_axis(s: Step) -> Iterator[Array]:
    axes = summed_axes(s)
    for axis in range(s.raw.ndim):
        if axes and axes != (axis,):
            total = s.raw.sum(axis=axis)
            yield total
            yield np.expand_dims(total, axis)
            yield s.raw.mean(axis=axis)


def _all_axes(s: Step) -> Iterator[Array]:
    if summed_axes(s) and s.true.size > 1:
        yield np.asarray(s.raw.sum())
        yield np.full(s.true.shape, s.raw.sum())


def _first(s: Step) -> Iterator[Array]:
    axes = summed_axes(s)
    if axes and s.raw.ndim > 1:
        yield np.take(s.raw, 0, axis=axes[0])
        yield np.take(s.raw, -1, axis=axes[0])


_ROWS = "b was added to every row, so its gradient is the sum of the rows."
_REPEATED = "It was broadcast: repeated along an axis. What each copy receives is added up over that axis."

BIAS = [
    Hypothesis("bias not summed over the batch", _ROWS, _not_summed),
    Hypothesis("bias averaged over the batch", f"{_ROWS} (The 1/n of a mean is in delta already.)", _averaged),
    Hypothesis("bias summed over the wrong axis", f"{_ROWS} Rows are added along axis 0.", _wrong_axis),
    Hypothesis("bias summed over all axes", f"{_ROWS} Each unit has a bias, and a gradient, of its own.", _all_axes),
    Hypothesis("first sample only", f"{_ROWS} Not the first row alone.", _first),
]

BROADCAST = [
    Hypothesis("broadcast axis kept", _REPEATED, _not_summed),
    Hypothesis("averaged over the broadcast axis", _REPEATED, _averaged),
    Hypothesis("broadcast axis lost", f"{_REPEATED} Over that one, and no other.", _wrong_axis),
    Hypothesis("summed over all axes", f"{_REPEATED} Over that one, and no other.", _all_axes),
    Hypothesis("first sample only", _REPEATED, _first),
]


# ------------------------------------------------------------------------ a value that is used more than once


def cuts(e: Evidence, above: list[Edge]) -> Iterator[Guess]:
    """A statistic (mean, maximum, norm) taken for a constant, though it depends on the values as well."""
    for name, why, operations in CUT:
        targets: list[Variable] = []
        for equation in dict.fromkeys(equation for equation, _ in above):
            if equation.op.name in operations and equation.variables:
                source = equation.variables[0]
                if len(e.sweep.uses.get(source, [])) + _elsewhere(e, source) > 1:
                    targets.append(equation.target)
        zeros = {x: np.zeros(np.shape(e.values[x])) for x in targets if x in e.sweep.totals}
        groups = [zeros] if len(zeros) < 2 else [zeros, *({x: zero} for x, zero in zeros.items())]
        for group in groups:
            if group:
                where = e.made_by[next(iter(group))].variables[0]
                yield Guess(name, why, where, Change(totals=dict(group)))


def _elsewhere(e: Evidence, source: Variable) -> int:
    """Is what a statistic is taken of (the square of a deviation, say) made from something that is used elsewhere?"""
    made = e.made_by.get(source)
    if made is None:
        return 0
    return int(any(len({q for q, _ in e.sweep.uses.get(x, [])}) > 1 for x in made.variables))


def joins(e: Evidence, variable: Variable) -> Iterator[Guess]:
    """Contributions that overwrite each other, one that is forgotten, one that is added twice."""
    edges = [edge for edge in e.sweep.uses.get(variable, []) if edge in e.sweep.parts]
    if len(edges) < 2:
        return
    parts = [e.sweep.parts[edge] for edge in edges]
    total = e.sweep.totals[variable]
    decay = [edge for edge in edges if e.is_decay(edge)]
    if decay and len(decay) < len(edges):
        return  # `endings` speaks of weight decay
    symbol = e.symbol(variable)
    why = f"{symbol} is used {len(edges)} times: its gradient is the sum of what comes back from each use."
    for part in parts:
        yield Guess("branch overwritten instead of added", why, variable, Change(totals={variable: part}))
    if len(parts) > 2:
        for part in parts:
            yield Guess("branch forgotten", why, variable, Change(totals={variable: total - part}))
    for part in parts:
        yield Guess("branch added twice", why, variable, Change(totals={variable: total + part}))
    yield Guess("branches averaged instead of added", why, variable, Change(totals={variable: total / len(parts)}))
