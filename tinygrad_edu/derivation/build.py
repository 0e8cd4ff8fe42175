"""From a program to the lines of its derivation: what gets a line of its own, and what is written inside of another."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from tinygrad_edu.derivation.derivation import Derivation, Line
from tinygrad_edu.derivation.expressions import Apply, Expression, Number, Symbol, walk
from tinygrad_edu.derivation.naming import ACTIVATIONS, Convention, Names, Notation
from tinygrad_edu.derivation.simplify import DEEPEST, LARGEST, Algebra, Step
from tinygrad_edu.program import Contribution, Equation, Program, Variable

__all__ = ["build"]

PLAIN = frozenset({"add", "subtract", "multiply", "divide", "negative", "positive", "transpose", "reshape", "copy"})


def build(program: Program, notation: Notation, convention: Convention | None, simplify: bool) -> Derivation:
    """The derivation of a program."""
    builder = _Builder(program, Names(program, notation, convention), simplify)
    return Derivation(program, builder.lines(), builder.names)


class _Builder:
    def __init__(self, program: Program, names: Names, simplify: bool) -> None:
        self.program = program
        self.names = names
        self.simplify = simplify
        self.algebra = Algebra(names, simplify)
        self.known: dict[Variable, Expression] = {}  # what stands for a variable inside of other expressions
        self.bodies: dict[Variable, Expression] = {}  # how a variable is computed
        self.steps: dict[Variable, tuple[Step, ...]] = {}
        self.equations: dict[Variable, tuple[Equation, ...]] = {}
        self.backward: list[Line] = []
        self.transparent: set[Variable] = set()
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
        forward = self._forward()
        return [*forward, *self.backward]

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
            if not only:
                count = sum(1 for x in self.backward if x.contribution and x.contribution.operand is variable) + 1
                name = self.names.derivative(variable, str(count))
                self.names.names.setdefault(value, name)
            self._line(variable, value, body, contribution)
            self.known[value] = self.algebra.symbol(value)
            if adding:
                self._compute(equations[-1])
                self._line(variable, total, self.bodies[total], contribution)
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
        if layer or several or large or variable.named or self._repeats(variable, gradient, body, remaining):
            self._line(variable, gradient, body, None)
            self.known[gradient] = self.algebra.symbol(gradient)
        return remaining

    def _repeats(self, variable: Variable, gradient: Variable, body: Expression, equations: list[Equation]) -> bool:
        """Would the gradient, written where it is used, stand there twice?"""
        if body.size <= 3 or not equations:
            return False
        symbol = self.algebra.symbol(gradient)
        target = equations[-1].target
        sizes = []
        for inside in (symbol, body):
            saved = dict(self.known)
            log = list(self.algebra.log)
            self.known[gradient] = inside
            for equation in equations:
                self._compute(equation)
            sizes.append((self.known[target].size, sum(x == symbol for x in walk(self.known[target]))))
            self.known = saved
            self.algebra.log = log
        (with_symbol, count), (with_body, _) = sizes
        return count > 1 and with_body > with_symbol + 2

    def _compute(self, equation: Equation) -> None:
        """What a rule's equation computes, as an expression."""
        target = equation.target
        self.algebra.log = []
        operands = [self._operand(x) for x in equation.operands]
        body = self.algebra.build(equation, operands)
        steps: tuple[Step, ...] = ()
        covered: tuple[Equation, ...] = ()
        for x in equation.variables:
            if not self._is_named(x):
                steps += tuple(s for s in self.steps.get(x, ()) if s not in steps)
                covered += tuple(e for e in self.equations.get(x, ()) if e not in covered)
        self.bodies[target] = body
        self.steps[target] = (*steps, *self.algebra.log)
        self.equations[target] = (*covered, equation)
        if target in self.names.auxiliary and self.simplify:
            self.known[target] = self.algebra.symbol(target)
            return
        self.known[target] = body
        gradient = target in self.names.owner
        if (body.size > LARGEST or body.depth > DEEPEST) and not gradient:
            self._line(target, target, body, None)
            self.known[target] = self.algebra.symbol(target)

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
            number = variable.kind == "constant" and np.ndim(value) == 0 and variable.dtype.kind == "f" and len(f"{float(value):.12g}") <= 6
            self.known[variable] = Number(value.item()) if number else self._opposite(variable)
        return self.known[variable]

    def _opposite(self, variable: Variable) -> Expression:
        """The symbol of a variable; but 1 - t for nameless data that is exactly that, of other data t."""
        if self.simplify and variable.kind == "data" and not variable.named and variable.dtype.kind == "f":
            for other in self.program.inputs:
                if other is variable:
                    break
                if other.kind == "data" and other.shape == variable.shape and np.array_equal(variable.value, 1 - other.value):
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
        made: set[Variable] = set()
        for equation in program.forward:
            target = equation.target
            waiting = self._auxiliary(waiting, made, equation, lines)
            if target in self.transparent:
                body = self.algebra.build(equation, [self._operand(x) for x in equation.operands])
                self.known[target] = body
                self.equations[target] = (equation,)
                made.add(target)
                continue
            self.algebra.log = []
            body = self.algebra.build(equation, [self._operand(x) for x in equation.operands])
            steps: tuple[Step, ...] = ()
            covered: tuple[Equation, ...] = ()
            for x in equation.variables:
                if not self._is_named(x):
                    steps += self.steps.get(x, ())
                    covered += self.equations.get(x, ())
            self.steps[target] = (*steps, *self.algebra.log)
            self.equations[target] = (*covered, equation)
            made.add(target)
            keep = (
                not self.simplify
                or target in names.output_of
                or target in activations
                or target in program.outputs
                or target in mentioned
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

    def _auxiliary(
        self, waiting: list[Variable], made: set[Variable], equation: Equation, lines: list[Line]
    ) -> list[Variable]:
        """Probabilities and one-hot rows come right before the loss that is made of them."""
        rest = []
        for variable in waiting:
            own = self.names.auxiliary[variable]
            needed = own.of is equation or own.operands[0] in equation.operands
            if needed and own.of is not None and own.of is equation or (needed and variable in self.bodies):
                lines.append(self._made("forward", variable, variable, self.bodies[variable], None))
            else:
                rest.append(variable)
        return rest

    # ---------------------------------------------------------------------------------- the lines

    def _line(self, of: Variable, target: Variable, body: Expression, contribution: Contribution | None) -> None:
        self.backward.append(self._made("backward", of, target, body, contribution))

    def _made(
        self,
        part: Literal["forward", "backward"],
        of: Variable,
        target: Variable,
        body: Expression,
        contribution: Contribution | None,
    ) -> Line:
        """A line, in the orientation in which its variable is written."""
        names = self.names
        flipped = target in names.flipped
        name = names.of(target)
        also = None
        if part == "backward" and target is self.program.gradients.get(of):
            if body == self.algebra.symbol(target):  # the same numbers as those of another gradient
                name = names.gradient(of)
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
        return replace(
            line,
            shapes=_shapes(body, left.shape),
            note=self._note(of, body, line),
            equations=self.equations.get(target, ()),
            steps=self._steps(target, body),
        )

    def _steps(self, target: Variable, body: Expression) -> tuple[Step, ...]:
        """The rules behind a line; where a fused loss has done all at once, the way that it has left out."""
        if not self.simplify:
            return ()
        steps = self.steps.get(target, ())
        return steps if any(s.rule == "cancel" for s in steps) else (*steps, *self.algebra.proof(body))

    def _note(self, of: Variable, body: Expression, line: Line) -> str:
        if line.part == "forward":
            counted = [x for x in walk(body) if type(x).__name__ == "Count"]
            return ", ".join(f"{x.name.text(True)} = {x.value}" for x in dict.fromkeys(counted))  # type: ignore[attr-defined]
        if isinstance(body, Apply) and body.op.name == "sum" and of.kind == "parameter":
            return f"summed over the batch: {self.names.of(of).text(True)} was broadcast"
        found = self.algebra.error_of(body) if self.simplify else None
        if found is not None:
            loss = {"softmax": "cross-entropy", "sigmoid": "bce"}[found[0]]
            return f"{found[0]}, then cross-entropy: rule {found[0]}+{loss}"
        return ""


def _shapes(body: Expression, shape: tuple[int, ...]) -> str:
    if isinstance(body, Apply) and body.op.name == "matmul":
        factors = "".join(str(x.shape) for x in body.operands if x is not None)
        return f"{factors} → {shape}"
    return str(shape) if shape != () else ""
