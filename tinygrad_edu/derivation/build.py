"""From a program to the lines of its derivation: what gets a line of its own, and what is written inside of another."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from tinygrad_edu.derivation.algebra import DEEPEST, LARGEST, Algebra, Step
from tinygrad_edu.derivation.derivation import Derivation, Line
from tinygrad_edu.derivation.expressions import Apply, Count, Expression, Number, Symbol, walk
from tinygrad_edu.derivation.names import Name
from tinygrad_edu.derivation.naming import ACTIVATIONS, Convention, Names, Notation
from tinygrad_edu.derivation.simplify import RULES
from tinygrad_edu.program import Contribution, Equation, Program, Variable

__all__ = ["build"]

NOTHING: set[Variable] = set()
MANY = 20  # data: so many are compared with each other
PLAIN = frozenset({"add", "subtract", "multiply", "divide", "negative", "positive", "transpose", "reshape", "copy"})


def build(
    program: Program,
    notation: Notation,
    convention: Convention | None,
    simplify: bool,
    parameter: Variable | None = None,
) -> Derivation:
    """The derivation of a program; or of the gradient of one parameter only, with a line for each link of the chain."""

    def explain(variable: Variable) -> Derivation:
        return build(program, notation, convention, simplify, variable)

    names = Names(program, notation, convention)
    path = _path(program, parameter) if parameter is not None else []
    builder = _Builder(program, names, simplify, set(path))
    lines = builder.lines()
    if parameter is None:
        return Derivation(program, lines, names, explain)
    on_path = {program.gradients[x] for x in path if x in program.gradients}
    backward = [line for line in lines if line.part == "backward" and line.target in on_path]
    mentioned = {x.variable for line in backward for x in walk(line.right) if isinstance(x, Symbol)}
    mentioned.update(x for x in path if x not in builder.transparent)
    shown = [*(line for line in lines if line.part == "forward" and line.target in mentioned), *backward]
    written = {line.target for line in shown} | {parameter}
    return Derivation(program, shown, names, explain, _chain(program, names, path, written))


def _path(program: Program, parameter: Variable) -> list[Variable]:
    """The forward variables through which a parameter acts on the outputs, in the order of the sweep."""
    reached = {parameter}
    for equation in program.forward:
        if any(x in reached for x in equation.variables):
            reached.add(equation.target)
    found = [x for x in dict.fromkeys(c.equation.target for c in program.contributions) if x in reached]
    return [*found, parameter]


def _chain(
    program: Program, names: Names, path: list[Variable], written: Container[Variable | None]
) -> tuple[tuple[Name, Name], ...]:
    """The links d(later)/d(earlier) of what is written, if there is just one way from the loss to the parameter."""
    inside = set(path)
    ways = Counter(c.operand for c in program.contributions if c.operand in inside and c.equation.target in inside)
    if any(ways[x] > 1 for x in path):
        return ()
    spelled = [names.before.get(x) or names.of(x) for x in path if x in written]
    return tuple(itertools.pairwise(spelled))


class _Builder:
    def __init__(self, program: Program, names: Names, simplify: bool, links: set[Variable] = NOTHING) -> None:
        self.links = links  # these get a line of their own, whatever they are
        self.program = program
        self.names = names
        self.simplify = simplify
        self.algebra = Algebra(names, RULES if simplify else {})
        self.known: dict[Variable, Expression] = {}  # what stands for a variable inside of other expressions
        self.bodies: dict[Variable, Expression] = {}  # how a variable is computed
        self.steps: dict[Variable, tuple[Step, ...]] = {}  # those of its own equation
        self.inside: dict[Variable, tuple[Variable, ...]] = {}  # what its expression has taken in
        self.data = [x for x in program.inputs if x.kind == "data"][:MANY]
        self.backward: list[Line] = []
        self.transparent: set[Variable] = set()
        self.lined: set[Variable] = set()  # forward variables whose gradient has a line
        self.order = {equation: i for i, equation in enumerate(program.equations)}
        self.outgoing: Counter[Variable] = Counter()
        self.last: dict[Variable, Contribution] = {}
        for contribution in program.contributions:
            self.outgoing[contribution.equation.target] += 1
            self.last[contribution.operand] = contribution

    def lines(self) -> list[Line]:
        """All lines, forward and backward."""
        for seed in self.program.seeds:
            ones = Number(1)
            self.known[seed] = self.algebra.shaped(ones, seed.shape) if self.simplify else self.algebra.symbol(seed)
        if self.simplify:
            self._see_through()
            self._simplified()
        else:
            self._literal()
        lines = [*self._forward(), *self.backward]
        self.names.renumber(line.target for line in lines)
        return _declared(lines)

    def _see_through(self) -> None:
        """What only turns, scales or shifts a value (1 - y, a transpose) is written out wherever it is used."""
        names = self.names
        protected = {x for layer in names.layers for x in (layer.output, layer.activation)}
        for equation in self.program.forward:
            target = equation.target
            if target.named or target in protected or target in self.program.outputs:
                continue
            if len(equation.variables) != 1 or equation.op.name not in PLAIN:
                continue
            body = self.algebra.build(equation, [self._operand(x) for x in equation.operands])
            parts = [x for x in walk(body) if isinstance(x, Symbol)]
            if len(parts) == 1 and body.size <= 5:
                self.known[target] = body
                self.transparent.add(target)

    # ------------------------------------------------------------------------------ backward pass

    def _literal(self) -> None:
        """One line for each contribution, and one for each sum of two."""
        shown: set[Variable] = set()
        received: Counter[Variable] = Counter()
        for contribution in self.program.contributions:
            equations = contribution.equations
            adding = bool(equations) and equations[-1].adds
            for equation in equations[:-1] if adding else equations:
                self._compute(equation)
            value, total = contribution.value, contribution.total
            variable = contribution.operand
            body = self.bodies.get(value) or self._expression(value)
            if value in shown:  # an addition sends the same numbers to both sides
                body = self.algebra.symbol(value)
            shown.add(value)
            only = total is value and self.last[variable] is contribution
            part = None
            if not only:
                received[variable] += 1
                part = self.names.derivative(variable, str(received[variable]))
                self.names.names.setdefault(value, part)
            self._line(variable, value, body, contribution, part)
            self.known[value] = self.algebra.symbol(value)
            if adding:
                self._compute(equations[-1])
                so_far = self.names.derivative(variable, f"1..{received[variable]}")
                if self.last[variable] is not contribution:
                    self.names.names.setdefault(total, so_far)
                self._line(variable, total, self.bodies[total], contribution)
                shown.add(total)
                self.known[total] = self.algebra.symbol(total)

    def _simplified(self) -> None:
        """One line for each gradient that is used in several places, or asked for; the others stand inside of them."""
        current: Equation | None = None
        for contribution in self.program.contributions:
            equation = contribution.equation
            adding = bool(contribution.equations) and contribution.equations[-1].adds
            own = contribution.equations[:-1] if adding else contribution.equations
            if equation is not current:
                current = equation
                own = self._settle(equation.target, own)
            for each in own:
                self._compute(each)
            total, value = contribution.total, contribution.value
            if adding:
                self._compute(contribution.equations[-1])
            elif total not in self.known:
                self.known[total] = self._expression(value)
            operand = contribution.operand
            if operand.kind == "parameter" and self.last[operand] is contribution:
                gradient = self.program.gradients[operand]
                self._line(operand, gradient, self._expression(gradient), contribution)

    def _settle(self, variable: Variable, equations: list[Equation]) -> list[Equation]:
        """A gradient is complete: does it get a line, or is it written where it is used?"""
        gradient = self.program.gradients[variable]
        remaining = list(equations)
        while gradient not in self.known and remaining:  # hooks have replaced it
            self._compute(remaining.pop(0))
        body = self._expression(gradient)
        if gradient in self.program.seeds or body == self.algebra.symbol(gradient):
            return remaining
        layer = variable in self.names.output_of
        small = body.size <= 3
        several = self.outgoing[variable] > 1 and not small
        large = body.size > LARGEST or body.depth > DEEPEST
        link = variable in self.links and variable not in self.transparent
        if layer or link or several or large or variable.named or self._repeats(variable, gradient, body, remaining):
            self._line(variable, gradient, body, None)
            self.known[gradient] = self.algebra.symbol(gradient)
        return remaining

    def _repeats(self, variable: Variable, gradient: Variable, body: Expression, equations: list[Equation]) -> bool:
        """Would the gradient, written where it is used, stand there twice?"""
        uses = Counter(x for equation in equations for x in equation.variables)
        if body.size <= 3 or all(uses[x] < 2 for x in (gradient, *(e.target for e in equations))):
            return False
        symbol = self.algebra.symbol(gradient)
        target = equations[-1].target
        sizes = []
        for inside in (symbol, body):
            self.known[gradient] = inside
            lines = len(self.backward)
            for equation in equations:
                self._compute(equation)
            sizes.append((self.known[target].size, sum(x == symbol for x in walk(self.known[target]))))
            del self.backward[lines:]
            for equation in equations:
                del self.known[equation.target]
        self.known[gradient] = body
        (with_symbol, count), (with_body, _) = sizes
        return count > 1 and with_body > with_symbol + 2

    def _compute(self, equation: Equation) -> None:
        """What a rule's equation computes, as an expression."""
        target = equation.target
        self.algebra.log = []
        operands = [self._operand(x) for x in equation.operands]
        body = self.algebra.build(equation, operands)
        self.bodies[target] = body
        self._remember(equation)
        if target in self.names.auxiliary and self.simplify:
            self.known[target] = self.algebra.symbol(target)
            return
        self.known[target] = body
        gradient = target in self.names.owner
        if (body.size > LARGEST or body.depth > DEEPEST) and not gradient:
            self._line(target, target, body, None)
            self.known[target] = self.algebra.symbol(target)

    def _remember(self, equation: Equation) -> None:
        """By which rules an equation's expression came about, and whose expressions it has taken in."""
        self.steps[equation.target] = tuple(self.algebra.log)
        self.inside[equation.target] = tuple(x for x in equation.variables if not self._is_named(x) and x.equation)

    def _behind(self, target: Variable) -> list[Equation]:
        """The equations of the program that a line stands for, in order."""
        found: dict[Variable, None] = {}
        waiting = [target]
        while waiting:
            x = waiting.pop()
            if x not in found and x.equation is not None:
                found[x] = None
                waiting.extend(self.inside.get(x, ()))
        return sorted((x.equation for x in found if x.equation), key=self.order.__getitem__)

    def _is_named(self, x: Variable) -> bool:
        return x in self.known and self.known[x] == self.algebra.symbol(x)

    def _operand(self, x: Any) -> Expression | None:
        if x is None:
            return None
        return self._expression(x) if isinstance(x, Variable) else Number(x)

    def _expression(self, variable: Variable) -> Expression:
        """What stands for a variable: its symbol, or how it is computed."""
        if variable not in self.known:
            value = variable.value
            number = (
                variable.kind == "constant"
                and np.ndim(value) == 0
                and variable.dtype.kind == "f"
                and len(f"{float(value):.12g}") <= 6
            )
            self.known[variable] = Number(value.item()) if number else self._opposite(variable)
        return self.known[variable]

    def _opposite(self, variable: Variable) -> Expression:
        """The symbol of a variable; but 1 - t for nameless data that is exactly that, of other data t."""
        if self.simplify and variable in self.data and not variable.named and variable.dtype.kind == "f":
            for other in self.data[: self.data.index(variable)]:
                if other.shape == variable.shape and np.array_equal(variable.value, 1 - other.value):
                    minus = self.algebra.product(-1, [self._expression(other)])
                    return self.algebra.sum([Number(1), minus])
        return self.algebra.symbol(variable)

    # ------------------------------------------------------------------------------- forward pass

    def _forward(self) -> list[Line]:
        program, names = self.program, self.names
        uses: Counter[Variable] = Counter(x for e in program.forward for x in e.variables)
        mentioned = {x.variable for line in self.backward for x in walk(line.right) if isinstance(x, Symbol)}
        activations = {x.activation for x in names.layers}
        lines: list[Line] = []
        waiting = list(names.auxiliary) if self.simplify else []
        for equation in program.forward:
            target = equation.target
            waiting = self._auxiliary(waiting, equation, lines)
            self.algebra.log = []
            body = self.algebra.build(equation, [self._operand(x) for x in equation.operands])
            self._remember(equation)
            if target in self.transparent:
                self.known[target] = body
                if target in self.lined:
                    lines.append(self._made("forward", target, target, body, None))
                continue
            keep = (
                not self.simplify
                or target in names.output_of
                or target in activations
                or target in program.outputs
                or target in mentioned
                or target in self.lined
                or target.named
                or uses[target] != 1
                or equation.op.name in ACTIVATIONS
                or body.size > LARGEST
                or body.depth > DEEPEST
            )
            if keep:
                lines.append(self._made("forward", target, target, body, None))
                self.known[target] = self.algebra.symbol(target)
            else:
                self.known[target] = body
        return lines

    def _auxiliary(self, waiting: list[Variable], equation: Equation, lines: list[Line]) -> list[Variable]:
        """Probabilities and one-hot rows come right before the loss that is made of them."""
        rest = []
        for variable in waiting:
            own = self.names.auxiliary[variable]
            if own.of is equation or own.operands[0] in equation.operands:
                lines.append(self._made("forward", variable, variable, self.bodies[variable], None))
            else:
                rest.append(variable)
        return rest

    # ---------------------------------------------------------------------------------- the lines

    def _line(
        self,
        of: Variable,
        target: Variable,
        body: Expression,
        contribution: Contribution | None,
        part: Name | None = None,
    ) -> None:
        self.lined.add(of)
        self.backward.append(self._made("backward", of, target, body, contribution, part))

    def _made(
        self,
        part: Literal["forward", "backward"],
        of: Variable,
        target: Variable,
        body: Expression,
        contribution: Contribution | None,
        part_name: Name | None = None,
    ) -> Line:
        """A line, in the orientation in which its variable is written; `part_name` is that of one contribution."""
        names = self.names
        flipped = target in names.flipped
        name = part_name or names.of(target)
        also = None
        if part == "backward" and target is self.program.gradients.get(of):
            if body == self.algebra.symbol(target) or (of.kind == "parameter" and names.owner[target] is not of):
                # the same numbers as those of another gradient
                name = names.gradient(of) if names.gradient(of) != name else names.derivative(of)
            else:
                spelled = names.derivative(names.owner[target])
                also = Symbol(target, spelled, flipped) if spelled != name else None
        if target in names.before and part == "forward":
            also = Symbol(target, names.before[target], flipped)
        left = Symbol(target, name, flipped)
        if flipped:
            body = self.algebra.turn(body)
        columns = names.convention == "columns"
        line = Line(part, target, left, body, also, columns=columns, contribution=contribution)
        equations = self._behind(target) if body != left else []
        return replace(
            line,
            shapes=_shapes(body, left.shape),
            note=self._note(of, body, line),
            equations=tuple(equations),
            steps=self._steps(equations, body),
        )

    def _steps(self, equations: Sequence[Equation], body: Expression) -> tuple[Step, ...]:
        """The rules behind a line; where a fused loss has done all at once, the way that it has left out."""
        if not self.simplify:
            return ()
        steps = tuple(dict.fromkeys(step for e in equations for step in self.steps.get(e.target, ())))
        return steps if any(s.rule == "cancel" for s in steps) else (*steps, *self.algebra.proof(body))

    def _note(self, of: Variable, body: Expression, line: Line) -> str:
        if line.part == "forward":
            return ""
        if isinstance(body, Apply) and body.op.name == "sum" and of.kind == "parameter":
            name = self.names.of(of).text(ascii=True)
            batch = len(body.operands[0].shape) == 2 if body.operands[0] is not None else False
            return f"summed over {'the batch' if batch else 'the axes along which it was copied'}: {name} was broadcast"
        found = self.algebra.error_of(body) if self.simplify else None
        if found is not None:
            loss = {"softmax": "cross-entropy", "sigmoid": "bce"}[found[0]]
            return f"{found[0]}, then cross-entropy: rule {found[0]}+{loss}"
        return ""


def _declared(lines: list[Line]) -> list[Line]:
    """Where a count is used first, its line says what it is: n = 4."""
    known: set[Expression] = set()
    found = []
    for line in lines:
        new = [x for x in dict.fromkeys(walk(line.right)) if isinstance(x, Count) and x not in known]
        known.update(new)
        said = [f"{x.name.text(True)} = {x.value}" for x in new] + [line.note] * bool(line.note)
        found.append(replace(line, note=", ".join(said)) if new else line)
    return found


def _shapes(body: Expression, shape: tuple[int, ...]) -> str:
    if isinstance(body, Apply) and body.op.name == "matmul":
        factors = "".join(str(x.shape) for x in body.operands if x is not None)
        return f"{factors} → {shape}"
    return str(shape) if shape != () else ""
