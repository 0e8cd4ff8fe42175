"""The program of a recorded graph as a list of things to draw: tensors, operations, and the arrows between them.

Everything is numbered in the order of the program, so two runs of one script give the same names.
"""

from __future__ import annotations

import inspect
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tinygrad_edu import Tensor
from tinygrad_edu.program import Call, Contribution, Equation, Program, Variable, trace
from viz.labels import short
from viz.rollup import Unit, rolled_up

Kind = Literal["parameter", "data", "result", "output"]
SHARED = 3  # a leaf that is used more often is drawn once for each use: one box with fifty arrows tangles the layout


@dataclass
class Box:
    """A tensor to draw: `key` is its name in the drawing, `name` what a person reads."""

    key: str
    name: str
    kind: Kind
    variable: Variable
    gradient: Variable | None
    received: int  # how many contributions its gradient is the sum of
    call: Call | None  # the module call in whose frame it stands
    again: bool = False  # a second box of a leaf that is drawn once for each use

    @property
    def value(self) -> Any:
        """The recorded array."""
        return self.variable.value


@dataclass
class Operation:
    """An operation to draw, or several that are rolled up into one box."""

    key: str
    name: str
    formula: str
    unit: Unit
    hidden: list[Variable] = field(default_factory=list)  # leaves that only operations in here use

    @property
    def call(self) -> Call | None:
        """The module call in whose frame it stands."""
        return self.unit.frame


@dataclass
class Arrow:
    """From a tensor to an operation or back, with what the sweep sends in the opposite direction."""

    tail: str
    head: str
    key: str
    contribution: Contribution | None = None
    back: bool = False  # does a gradient come back along it?


@dataclass
class Drawing:
    """All that is drawn, in the order of the program."""

    program: Program
    boxes: list[Box] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    ids: dict[Any, str] = field(default_factory=dict)  # of Variables, Equations and Contributions
    cut: int = 0  # operations that are not drawn at all, because the picture shows the surroundings of one tensor
    ends: list[tuple[str, str]] = field(default_factory=list)  # where it goes on outside of the picture: "" and a box

    @property
    def rolled(self) -> tuple[int, int]:
        """How many operations are rolled up, and into how many boxes."""
        groups = [len(operation.unit.equations) for operation in self.operations if operation.unit.rolled]
        return sum(groups), len(groups)


def collect(
    outputs: Tensor | Sequence[Tensor] | Program,
    gradients: bool = True,
    depth: int | None = None,
    collapse: Sequence[str] = (),
    rollup: bool | None = False,
    focus: Tensor | str | None = None,
    radius: int = 2,
) -> Drawing:
    """The graph behind some outputs, ready to be drawn; the arguments are those of `viz.draw`."""
    program = outputs if isinstance(outputs, Program) else trace(outputs, gradients=gradients)
    equations = program.forward
    middle = None if focus is None else _focused(program, focus)
    if middle is not None:
        equations = _surroundings(program, middle, radius)
    drawing = Drawing(program, cut=len(program.forward) - len(equations))
    units = rolled_up(equations, depth, collapse, rollup)
    _Collector(drawing, units, middle).collect()
    return drawing


def _focused(program: Program, focus: Tensor | str) -> Variable:
    """The Variable that the picture is about."""
    if isinstance(focus, str):
        found = [x for x in program.variables() if x.name == focus and not (x.equation and x.equation.of)]
    else:
        found = [x for x in program.variables() if x.value is focus._data]
    if not found:
        names = ", ".join(dict.fromkeys(x.name for x in [*program.inputs, *(e.target for e in program.forward)][:40]))
        said = repr(focus) if isinstance(focus, str) else "this tensor"
        raise ValueError(f"draw: focus={said}: it is not in this graph; there are {names}")
    return found[0]


def _surroundings(program: Program, middle: Variable, radius: int) -> list[Equation]:
    """The operations at most `radius` steps away."""
    uses: defaultdict[Variable, list[Equation]] = defaultdict(list)
    for equation in program.forward:
        for x in equation.variables:
            uses[x].append(equation)
    seen: set[Equation] = set()
    reached = {middle}
    for _ in range(radius):
        near = {e for x in reached for e in [*uses[x], *([x.equation] if x.equation else [])]} - seen
        seen |= near
        reached = {x for e in near for x in [*e.variables, e.target]}
    return [equation for equation in program.forward if equation in seen]


class _Collector:
    """Boxes, operations and arrows of a list of units."""

    def __init__(self, drawing: Drawing, units: list[Unit], middle: Variable | None) -> None:
        self.drawing, self.units, self.middle = drawing, units, middle
        program = drawing.program
        self.number = {x: i for i, x in enumerate([*program.inputs, *(e.target for e in program.forward)])}
        self.sent = {(c.equation, c.index): c for c in program.contributions}
        self.received = Counter(c.operand for c in program.contributions)
        self.outputs = set(program.outputs)
        self.calls: dict[str, Call] = {}  # the first call of each module
        for equation in program.forward:
            call = equation.call
            while call is not None:
                self.calls.setdefault(call.path, call)
                call = call.parent
        self.uses: defaultdict[Variable, list[Unit]] = defaultdict(list)
        for unit in units:
            for x in unit.reads:
                self.uses[x].append(unit)
        self.leaves: Counter[Variable] = Counter()  # how often a leaf was drawn

    def collect(self) -> None:
        drawing = self.drawing
        boxes: dict[Variable, Box] = {}
        drawn_units = {e for unit in self.units for e in unit.equations}
        for position, unit in enumerate(self.units):
            operation = self._operation(position, unit)
            read: list[tuple[Variable, Contribution | None]] = []
            if unit.rolled:
                for x in unit.reads:
                    if x.equation is None and self._stays_inside(x):
                        operation.hidden.append(x)
                    elif x.kind != "constant":
                        read.append((x, None))
            else:
                (equation,) = unit.equations
                for i, x in enumerate(equation.operands):
                    if isinstance(x, Variable) and not (x.kind == "constant" and x.shape == ()):
                        read.append((x, self.sent.get((equation, i))))
            incoming = []
            for x, contribution in read:
                box = boxes.get(x)
                if box is None or (x.equation is None and len(self.uses[x]) > SHARED):
                    box = self._box(x, unit, again=box is not None)
                    boxes.setdefault(x, box)
                    if x.equation is not None and x.equation not in drawn_units:
                        drawing.ends.append(("", box.key))
                incoming.append((box, contribution))
            drawing.operations.append(operation)
            for equation in unit.equations:
                drawing.ids[equation] = operation.key
            for box, contribution in incoming:
                self._arrow(box.key, operation.key, contribution, self._sends_back(unit, box.variable))
            for equation in unit.equations:
                x = equation.target
                if x in self.outputs or self._leaves(x, unit):
                    box = boxes[x] = self._box(x, unit)
                    self._arrow(operation.key, box.key, None, box.gradient is not None)
        used = (
            {x for e in drawing.program.forward if e not in drawn_units for x in e.variables} if drawing.cut else set()
        )
        drawing.ends += [(box.key, "") for x, box in boxes.items() if x in used]
        for x in drawing.program.outputs:  # an output may be a leaf
            if x not in boxes and x.equation is None:
                boxes[x] = self._box(x, None)

    def _operation(self, position: int, unit: Unit) -> Operation:
        if unit.rolled:
            return Operation(f"o{position}", unit.title, unit.contents, unit)
        (equation,) = unit.equations
        return Operation(f"o{position}", equation.op.name.strip("_"), _formula(equation), unit)

    def _box(self, x: Variable, unit: Unit | None, again: bool = False) -> Box:
        key = f"t{self.number[x]}" + (f"_{self.leaves[x]}" if again else "")
        self.leaves[x] += 1
        leaf: Kind = "parameter" if x.kind == "parameter" else "data"
        kind: Kind = "output" if x in self.outputs else "result" if x.equation is not None else leaf
        frame = unit.frame if unit is not None else None
        if x.equation is None:
            module = x.name.rpartition(".")[0]
            frame = self.calls.get(module, frame) if x.named and not again else frame
            frame = frame if x.kind == "parameter" else None
        box = Box(key, x.name, kind, x, self.drawing.program.gradients.get(x), self.received[x], frame, again)
        self.drawing.boxes.append(box)
        self.drawing.ids.setdefault(x, key)
        return box

    def _arrow(self, tail: str, head: str, contribution: Contribution | None, back: bool) -> None:
        key = f"a{len(self.drawing.arrows)}"
        self.drawing.arrows.append(Arrow(tail, head, key, contribution, back))
        if contribution is not None:
            self.drawing.ids[contribution] = f"b{key[1:]}"

    def _sends_back(self, unit: Unit, x: Variable) -> bool:
        return any((e, i) in self.sent for e in unit.equations for i, o in enumerate(e.operands) if o is x)

    def _stays_inside(self, x: Variable) -> bool:
        """A leaf that nothing but rolled-up operations use; what a module is given comes in from outside, though."""
        users = self.uses[x]
        given = x.kind == "data" and any(unit.module for unit in users)
        return not given and x is not self.middle and all(unit.rolled for unit in users)

    def _leaves(self, x: Variable, unit: Unit) -> bool:
        """Is the result of an operation used outside of the box in which it is rolled up?"""
        return not unit.rolled or any(user is not unit for user in self.uses[x])


def _formula(equation: Equation) -> str:
    op = equation.op
    labels = op.inputs if op.arity is not None else [str(i) for i in range(len(equation.operands))]
    words = {}
    for label, x in zip(labels, equation.operands):
        if isinstance(x, Variable):
            words[label] = f"{float(x.value):.4g}" if x.kind == "constant" and x.shape == () else x.name
        elif x is not None:
            words[label] = f"{float(x):.4g}"
    return formula(op, words, equation.params)


def formula(op: Any, words: dict[str, str], params: dict[str, Any] | None) -> str:
    """The operation's notation with names for its inputs, and the parameters that were set behind it."""
    text: str = op.notation.text.replace("<*>", ", ".join(words.values()))
    for label, word in {**{k: _short(v) for k, v in (params or {}).items()}, **words}.items():
        text = text.replace(f"<{label}>", word)
    usual = {name: parameter.default for name, parameter in inspect.signature(op.shown).parameters.items()}
    special = {
        name: value
        for name, value in (params or {}).items()
        if f"<{name}>" not in op.notation.text and value is not None and not _equal(value, usual.get(name))
    }
    extra = ", ".join(f"{name}={_short(value)}" for name, value in special.items())
    return f"{text}  ({extra})" if extra else text


def _equal(a: Any, b: Any) -> bool:
    return a is b or (not isinstance(a, np.ndarray) and not isinstance(b, np.ndarray) and bool(a == b))


def _short(value: Any) -> str:
    text = "..." if isinstance(value, np.ndarray) and value.size > 8 else " ".join(str(value).split())
    return short(text, 24)
