"""A recorded graph, forward and backward, laid out as one list of equations in the order in which they ran.

The backward pass comes from the engine's own sweep, run on Tensors, so that each rule records what it does.  Whoever
prints, plays, checks or compiles a derivation reads this list and nothing else: the formula that is shown is the code
that ran.

>>> import tinygrad_edu as tg
>>> W = tg.Tensor([[2.0], [3.0]], requires_grad=True, name="W")
>>> X = tg.Tensor([[1.0, 2.0]], name="X")
>>> print(trace((X @ W).sum()))
forward
  matmul1 = matmul(X, W)               (1, 1)
  sum1 = sum(matmul1, keepdims=False)  ()
backward
  reshape1 = reshape(d_sum1, shape=(1, 1))          (1, 1)
  d_matmul1 = broadcast_to(reshape1, shape=(1, 1))  (1, 1)
  transpose1 = transpose(X)                         (2, 1)
  d_W = matmul(transpose1, d_matmul1)               (2, 1)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from tinygrad_edu.engine import Node, ancestors, leaf, mode, sweep, tensor_of
from tinygrad_edu.errors import GraphError
from tinygrad_edu.memory import tick
from tinygrad_edu.tensor import Tensor

__all__ = ["Call", "Contribution", "Equation", "Program", "Variable", "trace"]

Kind = Literal["parameter", "data", "constant", "seed", "result"]


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module: `name` is its attribute in the module that has called it, `kind` its class."""

    name: str | None
    kind: str
    parent: Call | None
    number: int  # 1 for the first call at this path, 2 for the second, ...

    @property
    def path(self) -> str:
        """The names from the outermost call to this one, "encoder.fc1"; the outermost is often nameless: ""."""
        names: list[str] = []
        call: Call | None = self
        while call is not None:
            if call.name is not None or call.parent is not None:
                names.append(call.name or call.kind)
            call = call.parent
        return ".".join(reversed(names))


@dataclass(eq=False)
class Variable:
    """A value of the program: what was given (a parameter, data, a constant, the seed of the sweep) or computed."""

    name: str  # unique in the program, and the same in each run
    kind: Kind
    value: Any  # an array, or a NumPy scalar
    equation: Equation | None = None  # which computes it
    named: bool = False  # by the user or a module

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its value."""
        return np.shape(self.value)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of its value."""
        return np.asarray(self.value).dtype

    def __repr__(self) -> str:
        return f"Variable({self.name!r}, {self.kind}, {self.shape})"


@dataclass(eq=False)
class Equation:
    """`target = op(*operands, **params)`.  An operand is a Variable, or a Python number that stayed one, or None."""

    target: Variable
    op: Any
    operands: tuple[Any, ...]
    params: dict[str, Any]
    call: Call | None = None  # the module call that it is part of; of a rule, that of the operation it belongs to
    of: Equation | None = None  # of a backward equation: the forward one whose rules (or whose sum) it belongs to
    adds: bool = False  # it adds a contribution to those that came before
    where: str | None = None  # the user's line, if it was recorded under detect_anomaly

    @property
    def variables(self) -> list[Variable]:
        """Those of its operands that are Variables."""
        return [x for x in self.operands if isinstance(x, Variable)]

    def evaluate(self, values: Mapping[Variable, Any]) -> Any:
        """Compute the target from the values of the operands."""
        operands = (values[x] if isinstance(x, Variable) else x for x in self.operands)
        with np.errstate(all="ignore"):
            value = self.op.forward(*operands, **self.params)
        return value[0] if self.op.residual is not None else value

    def __str__(self) -> str:
        operands = [x.name if isinstance(x, Variable) else str(x) for x in self.operands]
        params = [f"{name}={_short(value)}" for name, value in self.params.items() if value is not None]
        return f"{self.target.name} = {self.op.name}({', '.join([*operands, *params])})"


@dataclass(eq=False)
class Contribution:
    """What the sweep sends back along one edge: from a forward equation to one of its operands."""

    equation: Equation  # the forward equation; its target's gradient is what comes in
    index: int  # which of its operands
    operand: Variable
    value: Variable  # what is sent, in the operand's shape
    total: Variable  # what the operand has received by now: `value` itself, or a sum with it
    equations: list[Equation] = field(default_factory=list)  # those that compute `value`, then the sum


@dataclass(eq=False)
class Program:
    """Forward and backward equations in the order in which they ran, and what is given and found."""

    inputs: list[Variable]  # parameters, data, constants and seeds, in the order of their creation
    outputs: list[Variable]
    seeds: list[Variable]  # dL/d(output), one for each output that needs a gradient
    forward: list[Equation]
    backward: list[Equation]
    contributions: list[Contribution]  # in the order of the sweep
    gradients: dict[Variable, Variable]  # of each forward variable that received one: its complete gradient

    @property
    def equations(self) -> list[Equation]:
        """All of them, in order."""
        return [*self.forward, *self.backward]

    @property
    def parameters(self) -> list[Variable]:
        """The leaves that need a gradient, in the order of their creation."""
        return [x for x in self.inputs if x.kind == "parameter"]

    def variables(self) -> Iterator[Variable]:
        """Inputs, then the targets of all equations, in order."""
        yield from self.inputs
        for equation in self.equations:
            yield equation.target

    def __getitem__(self, name: str) -> Variable:
        for variable in self.variables():
            if variable.name == name:
                return variable
        raise KeyError(f"program: there is no {name!r}; there are {', '.join(x.name for x in self.variables())}")

    def contributions_to(self, variable: Variable) -> list[Contribution]:
        """What a forward variable receives, in the order of the sweep: one for each time that it is used."""
        return [c for c in self.contributions if c.operand is variable]

    def evaluate(self, given: Mapping[Variable, Any] | None = None) -> dict[Variable, Any]:
        """Compute all equations anew, from other inputs where `given` has some: the value of each variable."""
        values = {x: x.value for x in self.inputs}
        values.update(given or {})
        for equation in self.equations:
            values[equation.target] = equation.evaluate(values)
        return values

    def __str__(self) -> str:
        lines = []
        for title, equations in (("forward", self.forward), ("backward", self.backward)):
            texts = [str(equation) for equation in equations]
            width = max(24, *(len(text) for text in texts if len(text) <= 60), 0) if texts else 0
            lines.append(title)
            lines += [f"  {text:<{width}}  {equation.target.shape}" for text, equation in zip(texts, equations)]
        return "\n".join(lines)


def trace(outputs: Tensor | Sequence[Tensor], gradients: bool = True) -> Program:
    """The program behind some outputs: their recorded graph, and the sweep through it.

    The graph stays alive, and nobody's `.grad` changes.  (Hooks run, as in every sweep.)

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        Recorded.  The sweep starts from those that need a gradient; one that is no scalar is swept as its sum is.
    gradients : bool
        False leaves the sweep out.

    Raises
    ------
    GraphError
        For a tensor that was not recorded, or a graph that was freed by an earlier `backward`.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor(3.0, requires_grad=True, name="x")
    >>> program = trace(x * x)
    >>> [str(equation) for equation in program.backward]
    ['d_x_part1 = multiply(d_multiply1, x)', 'd_x_part2 = multiply(d_multiply1, x)', 'd_x = add(d_x_part1, d_x_part2)']
    >>> print(program.gradients[program["x"]].value)
    6.0
    """
    several: list[Any] = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    roots = [_root(output) for output in several]
    nodes = sorted(ancestors(roots), key=_order)
    if any(node.op is not None and node.args is None for node in nodes):
        raise GraphError(
            "program: this graph was already swept and freed. Derive or draw it before backward(), or keep it with "
            "backward(retain_graph=True)."
        )
    layout = _Layout()
    calls = _calls_of(nodes)
    for node in nodes:
        layout.add(node, call=calls.get(node))
    forward = [layout.variables[node] for node in nodes]
    found = [layout.variables[root] for root in roots]
    starts = [output for output, root in zip(several, roots) if root.needs_grad] if gradients else []
    back = _Backward(layout, starts)
    layout.name(forward, back)
    return Program(
        inputs=layout.inputs,
        outputs=found,
        seeds=back.seeds,
        forward=[x.equation for x in forward if x.equation is not None],
        backward=back.equations,
        contributions=back.contributions,
        gradients=back.gradients,
    )


def _root(output: Any) -> Node:
    if not isinstance(output, Tensor):
        raise TypeError(f"program: a {type(output).__name__} was not recorded; a Tensor is expected")
    if output._node is None:
        raise GraphError("program: this tensor has no recorded history; compute it from a leaf with requires_grad=True")
    return output._node


def _order(node: Node) -> int:
    return node.order


class _Layout:
    """Variables for Nodes and for raw arrays; one array is one Variable, wherever it is used."""

    def __init__(self) -> None:
        self.inputs: list[Variable] = []
        self.variables: dict[Node, Variable] = {}
        self.arrays: dict[int, Variable] = {}  # of what was not computed, by id (the Variable keeps the array alive)
        self.words: dict[Variable, str] = {}  # what the operation that uses it first calls an input without a name

    def add(self, node: Node, call: Call | None = None, of: Equation | None = None, adds: bool = False) -> Variable:
        """The Variable of a Node, with its Equation; the Nodes that it was made from were added before."""
        name = node.notes.name if node.notes is not None else None
        if node.op is None:
            variable = self.given(node.value, "parameter" if node.needs_grad else "data")
        else:
            variable = Variable("", "result", node.value)
            operands = self._operands(node, of is not None)
            where = node.notes.where if node.notes is not None else None
            variable.equation = Equation(variable, node.op, operands, node.params or {}, call, of, adds, where)
        if name is not None and not variable.named:
            variable.name, variable.named = name, True
        self.variables[node] = variable
        return variable

    def given(self, value: Any, kind: Kind) -> Variable:
        """The Variable of an array that was not computed."""
        variable = self.arrays.get(id(value))
        if variable is None:
            variable = self.arrays[id(value)] = Variable("", kind, value)
            self.inputs.append(variable)
        return variable

    def of(self, x: Any) -> Variable:
        """The Variable of what a rule has returned: a Tensor that was recorded, or an array of its own."""
        if isinstance(x, Tensor):
            node = x._node
            return self.variables[node] if node in self.variables else self.given(x._data, "constant")
        return self.given(x, "constant")

    def _operands(self, node: Node, backward: bool) -> tuple[Any, ...]:
        op = node.op
        found: list[Any] = []
        for i, (parent, arg) in enumerate(zip(node.parents, node.args)):
            if parent is not None and (parent.op is not None or parent in self.variables):
                found.append(self.variables[parent])
            elif isinstance(arg, np.ndarray | np.generic):
                found.append(self.given(arg, "data" if arg.ndim and not backward else "constant"))
            else:
                found.append(arg)
            if isinstance(found[-1], Variable):
                self.words.setdefault(found[-1], op.inputs[i] if op.arity is not None else "x")
        return tuple(found)

    def name(self, forward: list[Variable], back: _Backward) -> None:
        """A name for each Variable: its own, or a word; d_x for the gradient of x."""
        taken: Counter[str] = Counter()
        named: set[Variable] = set()

        def give(variable: Variable, word: str, first: str = "") -> None:
            if variable in named:
                return
            named.add(variable)
            word = variable.name or word
            name = word + first
            while name in taken:
                taken[word] += 1
                name = f"{word}{taken[word]}"
            taken[name] += 1
            variable.name = name

        for variable in sorted((x for x in [*self.inputs, *forward] if x.named), key=lambda x: x.equation is not None):
            give(variable, "")
        for variable in forward:
            op = variable.equation.op.name.strip("_") if variable.equation else ""
            give(
                variable,
                op or ("leaf" if variable.kind == "parameter" else self.words.get(variable, "x")),
                "1" * bool(op),
            )
        for variable in self.inputs:
            if variable.kind == "data":
                give(variable, self.words.get(variable, "x"))
        for of, variable in back.gradients.items():
            give(variable, f"d_{of.name}")
        for number, contribution in back.numbered():
            give(contribution.value, f"d_{contribution.operand.name}_part{number}")
            give(contribution.total, f"d_{contribution.operand.name}_sum{number}")
        for equation in back.equations:
            give(equation.target, equation.op.name.strip("_"), "1")
        for variable in self.inputs:
            give(
                variable, self.words.get(variable, "c") if variable.value.ndim else "c", "1" * (not variable.value.ndim)
            )


class _Backward:
    """The sweep from some outputs, run on Tensors: its equations, and which edge each belongs to."""

    def __init__(self, layout: _Layout, starts: Sequence[Tensor]) -> None:
        self.seeds: list[Variable] = []
        self.equations: list[Equation] = []
        self.contributions: list[Contribution] = []
        self.gradients: dict[Variable, Variable] = {}
        if not starts:
            return
        before = set(layout.variables)
        edges: list[tuple[Node, Node, Any, Any, int]] = []

        def watch(node: Node, parent: Node, contribution: Any, total: Any) -> None:
            edges.append((node, parent, contribution, total, tick()))

        roots = []
        for output in starts:
            assert output._node is not None
            seed = np.ones(output.shape, output.dtype)
            self.seeds.append(layout.given(seed, "seed"))
            roots.append((output._node, tensor_of(leaf(seed, False), seed)))
        targets = [node for node in layout.variables if node.needs_grad]
        with mode(recording=True, everything=True):
            found = sweep(roots, targets, retain_graph=True, create_graph=True, watch=watch)

        made = [x._node for *_, c, total, _ in edges for x in (c, total) if isinstance(x, Tensor) and x._node]
        new = sorted((n for n in ancestors(made) if n not in before and n.op is not None), key=_order)
        position = 0
        sent: dict[Node, Iterator[int]] = {}
        for node, parent, c, total, end in edges:
            variable = layout.variables[node]
            forward = variable.equation
            assert forward is not None
            if node not in sent:
                sent[node] = iter(
                    [i for i, (p, rule) in enumerate(zip(node.parents, node.op.vjps)) if rule and p and p.needs_grad]
                )
            added: list[Equation] = []
            while position < len(new) and new[position].order < end:
                n = new[position]
                adds = isinstance(total, Tensor) and n is total._node and total is not c
                equation = layout.add(n, forward.call, forward, adds).equation
                assert equation is not None
                added.append(equation)
                position += 1
            self.equations += added
            self.contributions.append(
                Contribution(forward, next(sent[node]), layout.variables[parent], layout.of(c), layout.of(total), added)
            )
        self.gradients = {x: layout.of(found[node]) for node, x in layout.variables.items() if node in found}

    def numbered(self) -> Iterator[tuple[int, Contribution]]:
        """The contributions, each with its number among those to the same operand."""
        count: Counter[Variable] = Counter()
        for contribution in self.contributions:
            count[contribution.operand] += 1
            yield count[contribution.operand], contribution


def _calls_of(nodes: Iterable[Node]) -> dict[Node, Call]:
    """The innermost module call in which each Node was recorded.

    A call leaves a note at its results: when it began.  It made all Nodes from then up to its (last) result, and calls
    of one thread lie inside one another or apart.
    """
    notes: dict[int, list[Any]] = {}
    computed = [node for node in nodes if node.op is not None]
    for node in computed:
        note = node.calls
        while note is not None:
            start, name, kind, note = note
            notes[start] = [node.order, name, kind.__name__]  # Nodes come in order: the last result wins
    waiting = sorted(notes.items(), reverse=True)
    numbers: Counter[str] = Counter()
    found: dict[Node, Call] = {}
    inside: list[tuple[int, Call]] = []  # the calls that are going on, with their ends
    for node in computed:
        while True:
            while inside and inside[-1][0] < node.order:
                inside.pop()
            if not waiting or waiting[-1][0] > node.order:
                break
            _, (end, name, kind) = waiting.pop()
            call = Call(name, kind, inside[-1][1] if inside else None, 1)
            numbers[call.path] += 1
            inside.append((end, replace(call, number=numbers[call.path])))
        if inside:
            found[node] = inside[-1][1]
    return found


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 24 else f"{text[:21]}..."
