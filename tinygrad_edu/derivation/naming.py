"""From the variables of a program to mathematical names: layers are found and numbered, counts are named."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tinygrad_edu.derivation.names import Derivative, Name, parse
from tinygrad_edu.program import Equation, Program, Variable

__all__ = ["ACTIVATIONS", "Convention", "Layer", "Names", "Notation"]

Notation = Literal["delta", "leibniz", "bar"]
Convention = Literal["rows", "columns"]

ACTIVATIONS = frozenset({
    "relu", "leaky_relu", "elu", "selu", "sigmoid", "softplus", "silu", "mish", "gelu", "softsign", "hardtanh",
    "log_sigmoid", "tanh", "softmax",
})  # fmt: skip
LOSSES = {  # the operation: what a mean over its samples divides by
    "cross_entropy": "samples", "nll_loss": "samples", "half_mse_loss": "samples", "multi_margin_loss": "samples",
    "binary_cross_entropy": "elements", "binary_cross_entropy_with_logits": "elements", "mse_loss": "elements",
    "l1_loss": "elements", "huber_loss": "elements", "kl_div": "elements",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Layer:
    """U = H W + 1 b, or in the column convention z = W a + b; and what follows it, if that is an activation."""

    product: Equation
    output: Variable
    input: Any
    weight: Variable
    bias: Variable | None
    columns: bool
    activation: Variable | None


class Names:
    """The mathematical name of each variable, and which of them are written transposed."""

    def __init__(self, program: Program, notation: Notation, convention: Convention | None) -> None:
        self.program = program
        self.notation = notation
        self.layers = list(_layers(program))
        recorded: Convention = "columns" if self.layers and all(x.columns for x in self.layers) else "rows"
        self.convention: Convention = convention or recorded
        self.turned = self.convention != recorded
        self.flipped: set[Variable] = set()
        self.names: dict[Variable, Name] = {}
        self.before: dict[Variable, Name] = {}  # of outputs without an activation: what they are before it
        self.taken: set[str] = set()
        self.made_up: dict[Variable, None] = {}  # those that are called v1, v2, ...
        self.numbers: dict[str, Iterator[int]] = {}
        self.output_of: dict[Variable, int] = {x.output: i for i, x in enumerate(self.layers, start=1)}
        self.auxiliary: dict[Variable, Equation] = {}  # what only the rules compute, but a person would write forward
        self.probability: dict[Variable, Variable] = {}  # of logits: the auxiliary softmax or sigmoid
        self.indicator: dict[Variable, Variable] = {}  # of labels: the auxiliary one-hot rows
        self._find_auxiliary()
        self._name_all()
        self.owner: dict[Variable, Variable] = {}
        for variable, gradient in program.gradients.items():
            if self.owner.get(gradient) not in self.output_of:
                self.owner[gradient] = variable
        self.samples, self.counts = self._find_samples()

    # ------------------------------------------------------------------------------------ names

    def of(self, variable: Variable) -> Name:
        """The name of a variable, made up when it has none yet."""
        if variable not in self.names:
            if variable in self.owner:
                self.names[variable] = self.gradient(self.owner[variable])
            else:
                rule = variable.equation is not None and variable.equation.of is not None
                letter = "g" if rule else "c" if variable.kind == "constant" else "v"
                self.names[variable] = self._free(letter)
                self.made_up[variable] = None
        return self.names[variable]

    def gradient(self, variable: Variable) -> Name:
        """What the gradient of a forward variable is called: delta for a layer's output, else dL/dx."""
        if self.notation == "delta" and variable in self.output_of:
            return Name("δ", str(self.output_of[variable]))
        return self.derivative(variable)

    def derivative(self, variable: Variable, part: str = "") -> Name:
        """The gradient of a forward variable, spelled out as dL/dx or as an adjoint."""
        by = self.before.get(variable) or self.of(variable)
        return Derivative("d", "", part, self.loss, by, self.notation == "bar")

    def _free(self, letter: str) -> Name:
        return self._take(Name(letter, "", str(next(self.numbers.setdefault(letter, itertools.count(1))))))

    def renumber(self, variables: Iterable[Variable]) -> None:
        """Give the made-up names their numbers in the order of these variables, which is that of the lines."""
        waiting = list(dict.fromkeys([*(x for x in variables if x in self.made_up), *self.made_up]))
        for variable in waiting:
            self.taken.discard(self.names[variable].text(True))
        counters: dict[str, Iterator[int]] = {}
        for variable in waiting:
            name = self.names[variable]
            for number in counters.setdefault(name.base, itertools.count(1)):
                object.__setattr__(name, "below", str(number))  # all symbols that have this name follow
                if name.text(True) not in self.taken:
                    break
            self.taken.add(name.text(True))

    def _take(self, name: Name, *others: Name) -> Name:
        """The first of some names that no variable has yet."""
        numbers = self.numbers.setdefault(f"{name.base}^{name.above}_{name.below}", itertools.count(2))
        candidates = itertools.chain(
            (name, *others), (Name(name.base, name.above, f"{name.below}{k}") for k in numbers)
        )
        for candidate in candidates:
            if candidate.text(True) not in self.taken:
                self.taken.add(candidate.text(True))
                return candidate
        raise AssertionError("there is always another number")

    def _name_all(self) -> None:
        program, columns = self.program, self.convention == "columns"
        single = [x for x in program.outputs if x.shape == ()]
        self.loss = Name("L")
        if len(program.outputs) == 1 and single:
            self.loss = self.names[single[0]] = parse(single[0].name) if single[0].named else Name("L")
            self.taken.add(self.loss.text(True))
        for variable in program.variables():  # what users have called something comes first
            if variable.named and variable not in self.names and "." not in variable.name:
                self.names[variable] = self._take(parse(variable.name))
        last = len(self.layers)
        for number, layer in enumerate(self.layers, start=1):
            index = str(number)
            self._name(layer.weight, Name("W", index))
            if layer.bias is not None:
                self._name(layer.bias, Name("b", index))
            before = Name("z" if columns else "U", index)
            letter = Name("a", index) if columns else Name("H", index)
            result = layer.activation or self.probability.get(_untransposed(layer, self.program))
            if result is not None:
                end = number == last and not columns
                self._name(layer.output, before)
                self._name(result, *([Name("Y" if _wide(result) else "y")] if end else []), letter)
            elif number == last and layer.output not in self.names and self._is_result(layer.output):
                self.before[layer.output] = before  # without an activation, Y = U
                self._name(layer.output, letter if columns else Name("Y" if _wide(layer.output) else "y"))
            else:
                self._name(layer.output, before)
            if number == 1 and isinstance(layer.input, Variable) and layer.input.kind == "data":
                self._name(layer.input, Name("x" if columns else "X"))
        for equation in program.forward:
            if equation.op.name in LOSSES and isinstance(target := equation.operands[1], Variable):
                if target.dtype.kind in "iu":
                    self._name(target, Name("labels") if columns else Name("t"))
                else:
                    self._name(target, Name("y") if columns else Name("T" if _wide(target) else "t"))
        for target in self.indicator.values():
            self._name(target, Name("y") if columns else Name("T"))
        for variable in program.variables():
            if variable.named:
                self._name(variable, Name(variable.name))
        for variable in program.inputs:
            if variable.kind == "parameter":
                self._name(variable, Name("θ"))
            elif variable.kind == "data" and self.layers and variable.shape == self.layers[-1].output.shape:
                self._name(variable, Name("y") if columns else Name("T" if _wide(variable) else "t"))
            elif variable.kind == "data":
                self._name(variable, Name("x") if columns else Name("X" if _wide(variable) else "x"))
        recorded_columns = (self.convention == "columns") != self.turned
        rows = self._rows_among_columns() if recorded_columns else set()
        self.flipped = rows
        if self.turned:
            # a single sample is a vector, which is a row or a column as one likes: then only matrices turn
            vectors = any(isinstance(x.input, Variable) and len(x.input.shape) == 1 for x in self.layers)
            turning = (2,) if vectors else (1, 2)
            self.flipped = {
                x for x in program.variables() if len(x.shape) in turning and x.dtype.kind not in "iub"
            } - rows

    def _is_result(self, variable: Variable) -> bool:
        """Is it what a loss compares with the targets, as it is?"""
        uses = [e for e in self.program.forward if variable in e.variables]
        return len(uses) == 1 and uses[0].op.name in LOSSES | {"subtract": ""}

    def _name(self, variable: Variable, *wanted: Name) -> None:
        if variable not in self.names:
            self.names[variable] = self._take(*wanted)

    # -------------------------------------------------------------------------- auxiliary results

    def _find_auxiliary(self) -> None:
        """The probabilities and one-hot rows inside of a fused loss: a person writes them as lines of their own."""
        forward = {(e.op.name, e.operands[0]) for e in self.program.forward if e.operands}
        for equation in self.program.backward:
            if equation.of is None or not equation.operands or not isinstance(equation.operands[0], Variable):
                continue
            inner, op, of = equation.operands[0], equation.op.name, equation.of.op.name
            if op == "exp" and of == "log_softmax" and inner is equation.of.target:
                logits = equation.of.operands[0]
                if ("softmax", logits) not in forward:
                    self.probability.setdefault(logits, equation.target)
                    self.probability.setdefault(inner, equation.target)
            elif (op, of) in (("softmax", "cross_entropy"), ("sigmoid", "binary_cross_entropy_with_logits")):
                if inner is equation.of.operands[0] and (op, inner) not in forward:
                    self.probability.setdefault(inner, equation.target)
            elif op == "one_hot" and inner.kind in ("data", "constant"):
                self.indicator.setdefault(inner, equation.target)
        for variable in (*self.probability.values(), *self.indicator.values()):
            assert variable.equation is not None
            self.auxiliary[variable] = variable.equation

    def _rows_among_columns(self) -> set[Variable]:
        """In a graph of columns a loss takes rows: which values are rows although the layers work on columns."""
        found: set[Variable] = set()
        transposed = {e.target for e in self.program.forward if e.op.name == "transpose" and len(e.target.shape) == 2}
        for logits, probability in self.probability.items():
            if logits in transposed:
                found.add(probability)
        for equation in self.program.forward:
            if equation.op.name in LOSSES and equation.operands[0] in transposed:
                given = equation.operands[1]
                target = self.indicator.get(given, given)
                if isinstance(target, Variable) and len(target.shape) == 2 and target.kind in ("data", "result"):
                    found.add(target)
        return found

    # ------------------------------------------------------------------------------------ counts

    def _find_samples(self) -> tuple[int | None, dict[int, Name]]:
        """How many samples there are, as far as the layers or the loss tell."""
        samples = elements = None
        for layer in self.layers[:1]:
            shape = layer.output.shape
            samples = shape[1] if layer.columns and len(shape) > 1 else math.prod(shape[:-1])
        for equation in self.program.forward:
            if equation.op.name in LOSSES and isinstance(equation.operands[0], Variable):
                shape = equation.operands[0].shape
                if samples is None:
                    samples = math.prod(shape[:-1]) if LOSSES[equation.op.name] == "samples" else None
                if LOSSES[equation.op.name] == "elements":
                    elements = math.prod(shape)
            elif equation.op.name == "mean" and equation.target.shape == ():
                elements = math.prod(equation.variables[0].shape)
        counts = {}
        if elements:
            counts[elements] = self._take(Name("N"))
        if samples:
            counts[samples] = self._take(Name("n"))
        return samples, counts

    def count(self, number: Any, equation: Equation) -> Name | None:
        """The name of a divisor, if it counts something.

        What a loss or a mean divides by is a count.  A number that the user has written is one when it equals the
        number of samples and is no 1 or 2, which mean something else too often.
        """
        if isinstance(number, bool) or not isinstance(number, int | float | np.integer | np.floating):
            return None
        if number != int(number) or int(number) not in self.counts or number <= 1:
            return None
        of = (equation.of or equation).op.name
        return self.counts[int(number)] if of in LOSSES or of == "mean" or number > 2 else None


def _wide(variable: Variable) -> bool:
    return len(variable.shape) > 1 and variable.shape[-1] > 1


def _untransposed(layer: Layer, program: Program) -> Any:
    """What the loss takes of a layer's output: the output, or its transpose, or the log-softmax of one of them."""
    for equation in program.forward:
        if equation.op.name == "transpose" and equation.operands[0] is layer.output:
            return equation.target
    return layer.output


def _layers(program: Program) -> Iterator[Layer]:
    """The layers in the order in which they were computed, by the rules of `check.gradients_of`."""
    sums: dict[Variable, tuple[Variable, Variable]] = {}
    follows: dict[Variable, Variable] = {}
    for equation in program.forward:
        if equation.op.name == "add" and len(equation.variables) == 2:
            for product, bias in itertools.permutations(equation.variables):
                if product.equation and product.equation.op.name == "matmul" and _is_bias(bias):
                    sums[product] = (equation.target, bias)
        if equation.op.name in ACTIVATIONS and isinstance(equation.operands[0], Variable):
            follows.setdefault(equation.operands[0], equation.target)
    for equation in program.forward:
        if equation.op.name == "linear":
            x, weight, bias = equation.operands
            if _is_parameter(weight):
                y = equation.target
                yield Layer(equation, y, x, weight, bias if _is_parameter(bias) else None, False, follows.get(y))
        elif equation.op.name == "matmul" and len(equation.variables) == 2:
            output, added = sums.get(equation.target, (equation.target, None))
            columns = _in_columns(equation, added)
            factors = equation.variables if columns else equation.variables[::-1]
            if _is_parameter(factors[0]):
                yield Layer(equation, output, factors[1], factors[0], added, columns, follows.get(output))


def _in_columns(equation: Equation, bias: Variable | None) -> bool:
    """W @ x, and not x @ W?  A vector is never the weight; else the bias tells; else which factor is a parameter."""
    left, right = equation.variables
    if len(left.shape) == 1 or len(right.shape) == 1:
        return len(left.shape) > 1
    if bias is not None and math.prod(bias.shape) > 1:
        return len(bias.shape) == 2 and bias.shape[1] == 1
    return _is_parameter(left) and not _is_parameter(right)


def _is_parameter(x: Any) -> bool:
    return isinstance(x, Variable) and x.kind == "parameter"


def _is_bias(x: Variable) -> bool:
    return _is_parameter(x) and (len(x.shape) < 2 or (len(x.shape) == 2 and 1 in x.shape))
