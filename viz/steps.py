"""A program as the steps of a player: forward, then backward in the order of the sweep, each with words and numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from tinygrad_edu.derivation.build import build
from tinygrad_edu.derivation.derivation import Derivation, Line
from tinygrad_edu.derivation.expressions import Symbol, walk
from tinygrad_edu.op import Op
from tinygrad_edu.program import Contribution, Equation, Program, Variable
from viz.rules import input_names, local_rule

Part = Literal["start", "forward", "backward"]
SIMPLIFIED = 2_000  # equations: a longer program is not simplified as well, which takes much longer than reading it off


class Shown(NamedTuple):
    """A number to show: its symbol, and the variable that holds it."""

    symbol: str
    variable: Variable


@dataclass(eq=False)
class Step:
    """One step: what it fills, from which numbers, and why."""

    part: Part
    headline: str
    words: str
    fills: Sequence[Variable]  # the forward variables whose values, or gradients, are filled
    lines: list[Line] = field(default_factory=list)  # what is computed, as mathematics
    short: Line | None = None  # the same as a person writes it, where that differs
    rule: str = ""  # the local rule; g is the gradient that arrives, y the output
    equation: Equation | None = None  # the forward equation that runs, or whose rule is used
    contribution: Contribution | None = None
    going_in: list[Shown] = field(default_factory=list)
    coming_out: list[Shown] = field(default_factory=list)
    number: int = 0  # which of the contributions this one is ...
    total: int = 0  # ... of how many

    @property
    def note(self) -> str:
        """What else is to be said of its lines: n = 4, summed over the batch."""
        lines = [*self.lines, *([self.short] if self.short else [])]
        return "; ".join(dict.fromkeys(line.note for line in lines if line.note))

    @property
    def code(self) -> list[Equation]:
        """What NumPy computes."""
        if self.part == "forward":
            return [self.equation] if self.equation else []
        return self.contribution.equations if self.contribution else []

    @property
    def shapes(self) -> str:
        """The shapes of what goes in, and of what comes out."""
        last = self.lines[-1] if self.lines else None
        if last is None:
            return ""
        if len(self.lines) == 1 and "→" in last.shapes:
            return last.shapes.replace(")(", ") @ (")
        taken = [str(shown.variable.shape) for shown in self.going_in]
        return f"{', '.join(taken)} → {last.target.shape}"


def steps_of(program: Program) -> list[Step]:
    """What is given; each forward equation; the seed of each output; each contribution of the sweep."""
    return _Steps(program).all()


class _Steps:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.derivation = build(program, "delta", None, simplify=False)
        self.forward = {line.target: line for line in self.derivation.lines if line.part == "forward"}
        self.backward: defaultdict[Contribution, list[Line]] = defaultdict(list)
        waiting: list[Line] = []  # what a rule computes first has no contribution of its own
        for line in self.derivation.lines:
            if line.part == "backward":
                waiting.append(line)
                if line.contribution is not None:
                    self.backward[line.contribution] += waiting
                    waiting = []
        self.short = _simplified(program, self.derivation)
        self.shown = {e.target for e in program.forward}.union(program.inputs, program.gradients.values())
        self.shown |= {x for c in program.contributions for x in (c.value, c.total)}

    def all(self) -> list[Step]:
        program = self.program
        given = [x for x in program.inputs if x.kind in ("parameter", "data")]
        loss = self._name(program.outputs[0])
        words = (
            f"Parameters are what is learned; data stay as they are. The forward pass computes {loss} from them, box by"
            f" box. Then the backward pass goes from {loss} back to each of them, and finds by how much {loss} changes"
            " with it: its gradient."
        )
        steps = [Step("start", "What is given", words, given, coming_out=self._named(given))]
        steps += map(self._computed, program.forward)
        outputs = [x for x in program.outputs if x in program.gradients]
        steps += [self._started(output, seed) for output, seed in zip(outputs, program.seeds)]
        totals = Counter([*(c.operand for c in program.contributions), *outputs])
        numbers = Counter(outputs)
        for c in program.contributions:
            numbers[c.operand] += 1
            steps.append(self._sent_back(c, numbers[c.operand], totals[c.operand]))
        steps[-1].words += " With this step, all gradients are complete."
        return steps

    def _computed(self, equation: Equation) -> Step:
        op, call, target = equation.op, equation.call, equation.target
        where = f" in {call.path} ({call.kind})" if call and call.path else ""
        own = self.short.get(target)
        exact = own is not None and own.equations == (equation,)
        line = own if exact else self.forward.get(target)
        return Step(
            "forward",
            f"Compute {self._name(target)}",
            f"The operation {op.name.strip('_')}{where}. {described(op)}",
            [target],
            lines=[*self._before(line), line] if line else [],
            equation=equation,
            going_in=self._named(x for x in equation.variables if x.kind != "constant" or x.shape),
            coming_out=self._named([target]),
        )

    def _started(self, output: Variable, seed: Variable) -> Step:
        name = self._name(output)
        words = (
            f"The sweep starts here. If {name} grows by a little, {name} grows by just as much: its gradient is 1."
            if not output.shape
            else f"The sweep starts here. What is differentiated is the sum of {name}, so its gradient is ones."
        )
        number = Shown(self._name(seed), seed)
        return Step(
            "backward", f"Gradient of {name} by itself", words, [output], coming_out=[number], number=1, total=1
        )

    def _sent_back(self, c: Contribution, number: int, total: int) -> Step:
        """One contribution: the gradient of a result, sent back to one of its operands."""
        result, operand, op = c.equation.target, c.operand, c.equation.op.name.strip("_")
        made = {e.target for e in c.equations}
        arrived = self.program.gradients[result]
        reads = [x for e in c.equations for x in e.variables if x not in made and x in self.shown]
        lines = self.backward[c]
        name, to = self._name(result), self._name(operand)
        words = (
            f"{to} has gone into {op}, and {name} has come out. The gradient of {name} is complete by now; {op} sends "
            f"it back, times its own derivative by {to}."
        )
        if total > 1:
            words += f" {to} is used {total:,} times, so {total:,} contributions arrive, and are added."
        return Step(
            "backward",
            f"Gradient of {to}" + (f", part {number:,} of {total:,}" if total > 1 else ""),
            words,
            [operand],
            lines=lines,
            short=self._differently(lines),
            rule=f"The rule of {op} for {input_names(c.equation)[c.index]}: {local_rule(self.program, c)}",
            equation=c.equation,
            contribution=c,
            going_in=self._named([arrived, *(x for x in reads if x.kind != "constant")]),
            coming_out=[
                Shown(line.left.name.text(), line.target) for line in lines if line.target in (c.value, c.total)
            ],
            number=number,
            total=total,
        )

    def _differently(self, lines: list[Line]) -> Line | None:
        """The simplified line of the same gradient, if it says more than the line that is there."""
        last = lines[-1] if lines else None
        short = self.short.get(last.target) if last is not None else None
        return short if last is not None and short is not None and short.text() != last.text() else None

    def _before(self, line: Line) -> list[Line]:
        """The lines of what a loss mentions, and its rule computes: probabilities, and one-hot rows."""
        mentioned = dict.fromkeys(x.variable for x in walk(line.right) if isinstance(x, Symbol))
        return [self.short[x] for x in mentioned if x in self.short and x.equation and x.equation.of]

    def _name(self, variable: Variable) -> str:
        return self.derivation.names.of(variable).text()

    def _named(self, variables: Iterable[Variable]) -> list[Shown]:
        return [Shown(self._name(x), x) for x in dict.fromkeys(variables)]


def _simplified(program: Program, literal: Derivation) -> dict[Variable, Line]:
    """The simplified lines that speak of the same symbols as the literal ones."""
    if len(program.equations) > SIMPLIFIED:
        return {}
    simplified = build(program, "delta", None, simplify=True)
    found = {}
    for line in simplified.lines:
        symbols = [x for side in (line.left, line.right) for x in walk(side) if isinstance(x, Symbol)]
        if all(x.name == literal.names.of(x.variable) for x in symbols):
            found[line.target] = line
    return found


def described(op: Op[Any]) -> str:
    """The first sentence of an operation's docstring."""
    first = " ".join((op.__doc__ or "").strip().split("\n\n")[0].split())
    return first if first.endswith(".") or not first else f"{first}."
