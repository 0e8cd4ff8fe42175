"""The sweep through a program in plain NumPy, and what becomes of it if one of its steps goes wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_edu.check.agreement import Array
from tinygrad_edu.engine import fit
from tinygrad_edu.program import Equation, Program, Variable

__all__ = ["Change", "Edge", "Sweep", "Unsuitable"]

Edge = tuple[Equation, int]  # a forward equation and one of its operands: where one rule sends something back


class Unsuitable(Exception):
    """A change whose shapes do not fit what follows: nobody's code computes that."""


@dataclass
class Change:
    """What somebody computes instead of what is right: other contributions, or other complete gradients."""

    parts: dict[Edge, Array] = field(default_factory=dict)
    totals: dict[Variable, Array] = field(default_factory=dict)

    def __or__(self, other: Change) -> Change:
        return Change({**self.parts, **other.parts}, {**self.totals, **other.totals})


class Sweep:
    """All gradients of a program at some values: `raw[edge]` as its rule returns it, `parts[edge]` in the operand's
    shape, `totals[variable]` complete.

    It calls the very rules that the engine calls.  `changed` says what a Change makes of the gradients behind it;
    `after` is the whole sweep with the Change in it.
    """

    def __init__(self, program: Program, values: Mapping[Variable, Any]) -> None:
        self.forward = program.forward
        self.values = values
        self.root = program.outputs[0]
        self.position = {equation.target: i for i, equation in enumerate(self.forward)}
        self.change = Change()
        self.raw: dict[Edge, Array] = {}
        self.parts: dict[Edge, Array] = {}
        self.totals: dict[Variable, Array] = {}
        self.uses: dict[Variable, list[Edge]] = {}
        needing = set(program.parameters)
        self.sends: dict[Equation, list[int]] = {}
        for equation in self.forward:
            rules = zip(equation.operands, equation.op.vjps)
            sends = [i for i, (x, rule) in enumerate(rules) if rule is not None and x in needing]
            self.sends[equation] = sends
            if sends:
                needing.add(equation.target)
        for equation in reversed(self.forward):
            for i in self.sends[equation]:
                self.uses.setdefault(equation.operands[i], []).append((equation, i))
        self._run()

    def _run(self) -> None:
        self.totals = {self.root: np.ones(np.shape(self.values[self.root]))}
        for equation in reversed(self.forward):
            g = self.totals.get(equation.target)
            if g is None:
                continue
            for i, raw, part in self.send(equation, g):
                self.raw[equation, i], self.parts[equation, i] = raw, part
                operand = equation.operands[i]
                self.totals[operand] = self.totals[operand] + part if operand in self.totals else part

    def arguments(self, equation: Equation) -> list[Any]:
        """The values of its operands, and behind them what a fused operation keeps for its rules."""
        values = [self.values[x] if isinstance(x, Variable) else x for x in equation.operands]
        if equation.op.residual is not None:
            values.append(equation.op.residual(*values, **equation.params))
        return values

    def rule(self, equation: Equation, i: int) -> Any:
        """The rule of one operand."""
        return next(rule for k, rule in enumerate(equation.op.vjps) if k == i)

    def send(self, equation: Equation, g: Array) -> Iterator[tuple[int, Array, Array]]:
        """What an equation sends back to its operands, given the gradient of its target.

        Raises
        ------
        Unsuitable
            If that has another shape than the target.
        """
        if g.shape != np.shape(self.values[equation.target]):
            if equation.op.name != "reshape":
                raise Unsuitable
            yield 0, g, g  # of a parameter that was only reshaped: handed on as it is
            return
        args = self.arguments(equation)
        with np.errstate(all="ignore"):
            for i in self.sends[equation]:
                raw = self.rule(equation, i)(g, self.values[equation.target], *args, **equation.params)
                yield i, np.asarray(raw), np.asarray(fit(raw, np.asarray(args[i]), equation.op))

    def magnitude(self, variable: Variable) -> float:
        """How large the numbers are that a gradient is a sum of: it has their roundings, even if they cancel."""
        total = 0.0
        with np.errstate(all="ignore"):
            for edge in self.uses.get(variable, []):
                if edge not in self.parts:
                    continue
                equation, i = edge
                g = np.abs(self.totals[equation.target])
                operands = [np.abs(np.asarray(self.values[x], float)) for x in equation.variables[:2]]
                raw = np.abs(self.raw[edge])
                if equation.op.name in ("linear", "matmul") and i < 2 and all(x.ndim == 2 for x in (g, *operands)):
                    raw = g @ operands[1].T if i == 0 else operands[0].T @ g
                elif raw.shape != variable.shape:
                    raw = np.asarray(fit(raw, np.asarray(self.values[variable]), equation.op))
                total += float(np.max(raw, initial=0.0))
        return total

    def changed(self, change: Change, until: Variable | None = None) -> dict[Variable, Array]:
        """The gradients that are others under a Change.  With `until` only that one is sure to be complete.

        Raises
        ------
        Unsuitable
            If an intermediate gradient would not have the shape of its variable.
        """
        fixed = self.change | change
        parts = dict(change.parts)
        dirty = {equation.operands[i] for equation, i in change.parts} | set(change.totals)
        found: dict[Variable, Array] = {}

        def total(variable: Variable) -> Array:
            if variable in fixed.totals:
                return fixed.totals[variable]
            arrived = [parts[e] if e in parts else self.parts[e] for e in self.uses[variable] if e in self.parts]
            if len(arrived) > 1 and any(a.shape != variable_shape(variable) for a in arrived):
                raise Unsuitable
            return sum(arrived[1:], arrived[0]) if arrived else np.zeros(variable_shape(variable))

        def variable_shape(variable: Variable) -> tuple[int, ...]:
            return np.shape(self.values[variable])

        start = max((self.position.get(v, -1) for v in dirty), default=-1)
        stop = min((self.position[e.target] for e, _ in self.uses.get(until, [])), default=0) if until else 0
        for position in range(start, stop - 1, -1):
            equation = self.forward[position]
            variable = equation.target
            if variable not in dirty:
                continue
            g = total(variable)
            found[variable] = g
            for i, _, part in self.send(equation, g):
                if (equation, i) not in fixed.parts:
                    parts[equation, i] = part
                    dirty.add(equation.operands[i])
        for variable in dirty:
            if variable not in found:
                found[variable] = total(variable)
        return found

    def after(self, change: Change) -> Sweep:
        """This sweep with a Change in it."""
        new = object.__new__(Sweep)
        new.__dict__.update(self.__dict__)
        new.change = self.change | change
        new.raw, new.parts = dict(self.raw), {**self.parts, **change.parts}
        new.totals = {**self.totals, **self.changed(change)}
        for equation in self.forward:
            g = new.totals.get(equation.target)
            if g is self.totals.get(equation.target) or g is None:
                continue
            for i, raw, part in self.send(equation, g):
                if (equation, i) not in new.change.parts:
                    new.raw[equation, i], new.parts[equation, i] = raw, part
        return new

    def above(self, variable: Variable, known: set[Variable]) -> list[Edge]:
        """The edges on the way from the output to a variable, nearest first; not beyond gradients that are known."""
        found: list[Edge] = []
        seen = {variable}
        queue = [variable]
        for v in queue:
            for edge in self.uses.get(v, []):
                target = edge[0].target
                if edge not in self.parts:
                    continue
                found.append(edge)
                if target not in seen and target not in known:
                    seen.add(target)
                    queue.append(target)
            if len(found) > LIMIT:
                break
        return found


LIMIT = 400  # steps are searched before a wrong gradient; what lies farther back is left out
