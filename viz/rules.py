"""The local rule of an operation, as one says it: what goes back to an input, in the letters g, y and x.

>>> import tinygrad_edu as tg
>>> from tinygrad_edu.program import trace
>>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
>>> program = trace(tg.tanh(x).sum())
>>> local_rule(program, program.contributions[-1])
'g ⊙ (1 − y ⊙ y)'
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.derivation.expressions import Apply, Expression, Number, Product, Sum, Symbol
from tinygrad_edu.derivation.names import Name
from tinygrad_edu.derivation.printing import Text
from tinygrad_edu.program import Contribution, Equation, Program, Variable

DEEPEST = 40  # a rule that loops writes a long formula: printers recurse, and nobody would read it


def local_rule(program: Program, contribution: Contribution) -> str:
    """What a contribution computes, in g (the gradient that arrives), y (the output) and the names of the inputs."""
    forward = contribution.equation
    known: dict[Variable, Expression] = {}
    for name, x in zip(input_names(forward), forward.operands):
        if isinstance(x, Variable):
            known.setdefault(x, Symbol(x, Name(name)))
    known[forward.target] = Symbol(forward.target, Name("y"))
    arrived = program.gradients[forward.target]
    known[arrived] = Symbol(arrived, Name("g"))

    waiting = [contribution.value]  # each after what it is made of
    while waiting:
        x = waiting[-1]
        if x in known:
            waiting.pop()
            continue
        equation = x.equation
        if equation is None or equation.of is not forward:
            known[x] = _constant(x)
            continue
        missing = [part for part in equation.variables if part not in known]
        if missing:
            waiting += missing
            continue
        made = _written(equation, [known[o] if isinstance(o, Variable) else o for o in equation.operands])
        known[x] = made if made.depth < DEEPEST else Symbol(x, Name("…"))
    return Text()(known[contribution.value])


def _written(equation: Equation, operands: list[Any]) -> Expression:
    """An equation as a formula: sums and products as such, everything else as the operation's own notation."""
    name = equation.op.name
    parts: tuple[Any, ...] = tuple(x if x is None or isinstance(x, Expression) else Number(x) for x in operands)
    if name == "negative":
        return _product(-1, parts, ())
    if name == "add":
        return Sum(parts)
    if name == "subtract":
        return Sum((parts[0], _product(-1, parts[1:], ())))
    if name == "multiply":
        return _product(1, parts, ())
    if name == "divide":
        return _product(1, parts[:1], parts[1:])
    return Apply(equation.op, parts, equation.params, equation.target.shape)


def _product(coefficient: Any, above: tuple[Expression, ...], below: tuple[Expression, ...]) -> Expression:
    """One product of all factors; numbers are gathered in front."""
    over: list[Expression] = []
    under: list[Expression] = []
    for factors, mine, other in ((above, over, under), (below, under, over)):
        for x in factors:
            if isinstance(x, Number) and mine is over:
                coefficient = coefficient * x.value
            elif isinstance(x, Product) and (mine is over or x.coefficient in (1, -1)):
                coefficient = coefficient * x.coefficient
                mine += x.above
                other += x.below
            else:
                mine.append(x)
    return Product(coefficient, tuple(over), tuple(under))


def input_names(equation: Equation) -> list[str]:
    """How an operation calls its inputs: a, b; one with any number of them counts: x1, x2, ..."""
    op = equation.op
    return op.inputs if op.arity is not None else [f"x{i + 1}" for i in range(len(equation.operands))]


def _constant(x: Variable) -> Expression:
    """A number that a rule brings along is written out; an array is called c."""
    value = np.asarray(x.value)
    return Number(value.item()) if value.ndim == 0 and value.dtype.kind in "fiu" else Symbol(x, Name("c"))
