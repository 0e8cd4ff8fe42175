"""A program as the steps of a player: forward, then backward in the order of the sweep, each with words and numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from tinygrad_edu.op import Op
from tinygrad_edu.program import Contribution, Equation, Program, Variable
from tinygrad_edu.reference import gradient as gradient_rule

Part = Literal["start", "forward", "backward"]


@dataclass(eq=False)
class Step:
    """One step: what it fills, from which numbers, and why."""

    part: Part
    headline: str
    words: str
    equations: list[Equation] = field(default_factory=list)  # what NumPy computes
    rule: str = ""  # the rule of the operation, in its own letters
    going_in: list[Variable] = field(default_factory=list)
    coming_out: list[Variable] = field(default_factory=list)
    of: Equation | None = None  # the forward equation that runs, or whose rule is used
    fills: Variable | None = None  # the forward variable whose value or gradient is filled
    contribution: Contribution | None = None
    number: int = 0  # which of the contributions to `fills` this one is ...
    total: int = 0  # ... of how many


def steps_of(program: Program) -> list[Step]:
    """What is given; each forward equation; the seed of each output; each contribution of the sweep."""
    given = [x for x in program.inputs if x.kind in ("parameter", "data")]
    shown = {e.target for e in program.forward}.union(program.inputs, program.gradients.values())
    steps = [Step("start", "What is given", "Parameters are learned; data stay as they are.", coming_out=given)]
    for equation in program.forward:
        op, call = equation.op, equation.call
        where = f" in {call.path} ({call.kind})" if call and call.path else ""
        steps.append(
            Step(
                "forward",
                f"Compute {equation.target.name}",
                f"The operation {op.name}{where}. {described(op)}",
                [equation],
                going_in=_once(equation.variables),
                coming_out=[equation.target],
                of=equation,
                fills=equation.target,
            )
        )
    outputs = [x for x in program.outputs if x in program.gradients]
    for output, seed in zip(outputs, program.seeds):
        words = (
            f"The sweep starts here: {output.name} changes by as much as it changes itself, so its gradient is 1."
            if not output.shape
            else f"The sweep starts here: what is differentiated is the sum of {output.name}, so its gradient is ones."
        )
        steps.append(
            Step("backward", f"Start at {output.name}", words, coming_out=[seed], of=output.equation, fills=output)
        )
    totals = Counter(c.operand for c in program.contributions)
    totals.update(outputs)
    numbers = Counter(outputs)
    for c in program.contributions:
        numbers[c.operand] += 1
        steps.append(_sent_back(c, numbers[c.operand], totals[c.operand], shown, program))
    return steps


def _sent_back(c: Contribution, number: int, total: int, shown: set[Variable], program: Program) -> Step:
    """One contribution: the gradient of a result, sent back to one of its operands."""
    result, operand, op = c.equation.target, c.operand, c.equation.op
    made = {e.target for e in c.equations}
    reads = _once(x for e in c.equations for x in e.variables if x not in made and x in shown and x.kind != "constant")
    arrived = program.gradients[result]
    ways = f"through {result.name}" if total == 1 else f"in {total} ways; this one is through {result.name}"
    words = (
        f"{operand.name} acts on the loss {ways}. So the gradient of {result.name}, which is complete by now, goes "
        f"back through {op.name}: it is multiplied by the derivative of {op.name} with respect to {operand.name}."
    )
    return Step(
        "backward",
        f"Send back to {operand.name}",
        words,
        c.equations,
        gradient_rule(op) if op.__doc__ else "",
        going_in=[arrived, *(x for x in reads if x is not arrived)],
        coming_out=_once([c.value, c.total]),
        of=c.equation,
        fills=operand,
        contribution=c,
        number=number,
        total=total,
    )


def described(op: Op[Any]) -> str:
    """The first sentence of an operation's docstring."""
    first = " ".join((op.__doc__ or "").strip().split("\n\n")[0].split())
    return first if first.endswith(".") or not first else f"{first}."


def _once(variables: Iterable[Variable]) -> list[Variable]:
    return list(dict.fromkeys(variables))
