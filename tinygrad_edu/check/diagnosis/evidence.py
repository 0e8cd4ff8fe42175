"""What there is to go on: the program, its layers and their names, the values, and the true gradient of everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_edu.check.agreement import Array
from tinygrad_edu.check.diagnosis.backward import Edge, Sweep
from tinygrad_edu.check.layers import layers_of, named, recorded
from tinygrad_edu.engine import Node
from tinygrad_edu.program import Equation, Program, Variable, trace
from tinygrad_edu.tensor import Tensor

__all__ = ["Evidence", "Layer", "Output", "evidence_of", "sigmoid"]


PENALTIES = {"multiply", "power", "square", "sum", "norm", "abs", "absolute"}  # what weight decay is made of


@dataclass(frozen=True, eq=False)
class Layer:
    """U = H W + 1 b: its variables, and its number, counted from 1."""

    number: int
    H: Variable | None
    W: Variable | None
    b: Variable | None
    U: Variable


@dataclass(frozen=True, eq=False)
class Output:
    """Where the sweep begins: dL/dv = k (a - t).  `a` is v itself, or its softmax or sigmoid."""

    v: Variable
    a: Array
    t: Array
    k: float
    activation: str  # "", "softmax" or "sigmoid"
    recorded: bool  # is `a` a variable of the program, rather than inside of a fused operation?


class Evidence:
    """A program at some values, its gradients, and what a person calls them.

    `targets` maps the names of `gradients_of` (delta2, dW2, db2, ..., the order of the sweep) to variables.
    """

    def __init__(
        self, program: Program, layers: list[Layer], targets: dict[str, Variable], values: Mapping[Variable, Any]
    ) -> None:
        self.program = program
        self.layers = layers
        self.targets = targets
        self.values = values
        self.sweep = Sweep(program, values)
        self._penalties = self._find_penalties()
        self.made_by = {equation.target: equation for equation in program.forward}
        self.names = {variable: name for name, variable in reversed(targets.items())}
        self.symbols = self._symbols()
        self.n, self.classes = self._sizes()
        self.outputs = self._outputs()
        self.output = self.outputs[0] if self.outputs else None

    def at(self, inputs: Mapping[Variable, Any]) -> Evidence:
        """The same program at other values of its inputs."""
        return Evidence(self.program, self.layers, self.targets, evaluated(self.program, inputs))

    def of(self, variable: Variable) -> Array:
        """The value of a variable, as an array."""
        return np.asarray(self.values[variable])

    @property
    def parameters(self) -> list[Variable]:
        """The leaves that need a gradient and get one."""
        return [x for x in self.program.parameters if x in self.sweep.totals]

    @property
    def weights(self) -> list[Variable]:
        """The weights of the layers."""
        return list(dict.fromkeys(layer.W for layer in self.layers if layer.W is not None))

    @property
    def biases(self) -> set[Variable]:
        """The biases of the layers."""
        return {layer.b for layer in self.layers if layer.b is not None}

    @property
    def mean(self) -> bool:
        """Is the loss divided by the number of samples?"""
        if self.output is not None and not float(abs(self.output.k)).is_integer():
            return True
        return any(
            equation.op.name in ("mean", "half_mse_loss") or equation.params.get("reduction") == "mean"
            for equation in self.program.forward
        )

    def symbol(self, variable: Variable) -> str:
        """What a person calls a variable: X, U1, H1, W2, y, t."""
        return self.symbols.get(variable, variable.name)

    def gradient(self, variable: Variable) -> str:
        """What a person calls its gradient: delta2, dW2, dH1."""
        return self.names.get(variable) or f"d{self.symbol(variable)}"

    def layer_of(self, variable: Variable) -> Layer | None:
        """The layer that a variable belongs to, as its U, W or b."""
        return next((layer for layer in self.layers if variable in (layer.U, layer.W, layer.b)), None)

    def is_decay(self, edge: Edge) -> bool:
        """Does this use of a parameter belong to a penalty: something computed from parameters alone?"""
        return edge[0].target in self._penalties

    def _find_penalties(self) -> set[Variable]:
        free = {x for x in self.program.inputs if x.kind == "parameter" or not np.ndim(x.value)}
        found: set[Variable] = set()
        for equation in self.program.forward:
            if all(x in free for x in equation.variables) and equation.op.name in PENALTIES | {"add", "divide"}:
                free.add(equation.target)
                found.add(equation.target)
        return found

    def _symbols(self) -> dict[Variable, str]:
        found: dict[Variable, str] = {}
        for layer in self.layers:
            number = layer.number
            for letter, variable in (("U", layer.U), ("W", layer.W), ("b", layer.b)):
                if variable is not None:
                    found.setdefault(variable, f"{letter}{number}")
            if layer.H is not None:
                found.setdefault(layer.H, "X" if number == 1 else f"H{number - 1}")
        last = self.layers[-1].U if self.layers else None
        for variable, equation in self.made_by.items():
            if last is not None and last in equation.variables and np.shape(variable.value) == np.shape(last.value):
                found.setdefault(variable, "y")
        return found

    def _sizes(self) -> tuple[int, int]:
        """The number of samples, and of classes or outputs."""
        if self.layers:
            shape = np.shape(self.values[self.layers[-1].U])
            return (shape[0], shape[-1]) if len(shape) > 1 else (1, shape[-1] if shape else 1)
        data = [np.shape(self.values[x]) for x in self.program.inputs if x.kind == "data" and np.ndim(x.value)]
        return (data[0][0], 1) if data else (1, 1)

    def _outputs(self) -> list[Output]:
        """The gradients of the form k (a - t): whatever the loss is called, its numbers say so."""
        if not self.layers:
            return []
        last = self.layers[-1].U
        shape = np.shape(self.values[last])
        behind = {last: None}  # and what is computed from it element by element: an ordered set
        for equation in self.program.forward:
            if any(x in behind for x in equation.variables) and np.shape(self.values[equation.target]) == shape:
                behind[equation.target] = None
        targets = [t for x in self.program.inputs if (t := self._target(x, shape)) is not None]
        found: list[Output] = []
        for v in behind:
            D = self.sweep.totals.get(v)
            if D is None:
                continue
            u = self.of(v)
            for t in targets:
                for activation, a in (("", u), ("softmax", softmax(u)), ("sigmoid", sigmoid(u))):
                    k = _factor(a - t, D)
                    if k is None:
                        continue
                    seen = any(q.op.name == activation and v in q.variables for q in self.program.forward)
                    found.append(Output(v, a, t, k, activation, seen))
                    break
        return found

    def _target(self, x: Variable, shape: tuple[int, ...]) -> Array | None:
        """An input that may be the targets, in the shape of the output: class numbers become one-hot rows."""
        value = np.asarray(self.values[x])
        if x.kind == "parameter" or x.kind == "seed":
            return None
        if value.shape == shape and value.dtype.kind == "f":
            return value
        if value.dtype.kind in "iu" and shape and value.shape == shape[:-1]:
            classes = np.arange(shape[-1])
            return np.asarray(value[..., None] == classes, float)
        return None


def _factor(direction: Array, D: Array) -> float | None:
    """k, if D is k times the direction; None if it is not."""
    square = float(np.sum(direction * direction))
    if not np.isfinite(square) or square == 0:
        return None
    k = float(np.sum(direction * D)) / square
    if D.size == 1 and not np.isclose([k, 2 * k], np.round([k, 2 * k]), rtol=1e-12).any():
        return None  # a single number is a multiple of anything
    return k if k != 0 and np.allclose(D, k * direction, rtol=1e-9, atol=1e-12 * np.abs(D).max()) else None


def softmax(u: Array) -> Array:
    """Along the last axis."""
    if not u.ndim:
        return np.ones_like(u)
    e = np.exp(u - u.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(u: Array) -> Array:
    """Without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * u))


def evaluated(program: Program, inputs: Mapping[Variable, Any]) -> dict[Variable, Any]:
    """The forward pass, from these inputs; what is not among them keeps its value."""
    values: dict[Variable, Any] = {x: x.value for x in program.inputs}
    values.update(inputs)
    for equation in program.forward:
        values[equation.target] = equation.evaluate(values)
    return values


def evidence_of(loss: Tensor) -> Evidence:
    """The evidence in a recorded loss.  A graph in float32 is computed anew in float64.

    Raises
    ------
    GraphError, ValueError
        As `gradients_of`.
    """
    nodes = recorded(loss)
    found = layers_of(nodes)
    names = named(found, nodes)
    program = trace(loss, gradients=False)
    made: dict[tuple[int, Any], Variable] = {}
    for equation in program.forward:
        made.setdefault((id(equation.target.value), equation.op), equation.target)
    given = {id(x.value): x for x in program.inputs}

    def variable(node: Node | None) -> Variable | None:
        if node is None:
            return None
        return given.get(id(node.value)) if node.op is None else made.get((id(node.value), node.op))

    equations = {equation.target: equation for equation in program.forward}
    layers = []
    for number, layer in enumerate(found, start=1):
        U, W, b = (variable(node) for node in layer)
        assert U is not None
        layers.append(Layer(number, _input(U, W, b, equations), W, b, U))
    targets = {name: x for name, node in names.items() if (x := variable(node)) is not None}
    wide = {x: x.value.astype(np.float64) for x in program.inputs if x.dtype in (np.float32, np.float16)}
    values = evaluated(program, wide) if wide else {x: x.value for x in program.variables()}
    return Evidence(program, layers, targets, values)


def _input(
    U: Variable, W: Variable | None, b: Variable | None, equations: Mapping[Variable, Equation]
) -> Variable | None:
    """The other factor of a layer's product."""
    equation = equations[U]
    if equation.op.name == "add":
        product = next(x for x in equation.variables if x is not b and x in equations)
        equation = equations[product]
    return next((x for x in equation.variables[:2] if x is not W), None)
