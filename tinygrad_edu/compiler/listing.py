"""A traced step as one list of equations: forward, backward and updates, in the order in which they ran.

One array is one Variable wherever it is used, so also a value that an operation has taken out of the record (the
numbers of a Tensor as an index, say) is found again.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.compiler.tracing import DELIVER, Record, Traced, Tracer
from tinygrad_edu.errors import CompileError
from tinygrad_edu.memory import owner
from tinygrad_edu.op import OPS, Op
from tinygrad_edu.program import Call, Equation, Variable, calls_of
from tinygrad_edu.record import Node, Value
from tinygrad_edu.tensor import Tensor

__all__ = ["Listing", "Origin", "Renaming", "Result", "identifier", "leaves_of", "mapped", "reads", "variables_in"]


class Origin(NamedTuple):
    """Where an input comes from at each call: an argument, a leaf, a Tensor, or an array that stays what it is."""

    kind: str  # "argument", "leaf", "tensor", "array" or "constant"
    what: Any
    tensor: bool = False  # of an argument: is it a Tensor?


@dataclass(frozen=True)
class Result:
    """In the tree of what a step returns: a Variable, and whether it is a Tensor."""

    variable: Variable
    tensor: bool


def mapped(x: Any, change: Callable[[Any], Any]) -> Any:
    """A tree of tuples, lists and dicts with each leaf changed."""
    if isinstance(x, tuple):
        parts, kind = [mapped(part, change) for part in x], type(x)
        if hasattr(x, "_fields"):
            return kind(*parts)
        return kind(parts) if kind.__new__ is tuple.__new__ else tuple(parts)
    if isinstance(x, list):
        return [mapped(part, change) for part in x]
    if isinstance(x, dict):
        return {key: mapped(part, change) for key, part in x.items()}
    return change(x)


def reads(equation: Equation) -> list[Variable]:
    """All Variables that an equation needs, also those among its parameters (an index)."""
    inside = variables_in(equation.params) if equation.params and equation.op is not DELIVER else []
    return [x for x in equation.operands if isinstance(x, Variable)] + inside


def leaves_of(tree: Any) -> list[Any]:
    """The leaves of a tree."""
    found: list[Any] = []
    mapped(tree, found.append)
    return found


def variables_in(tree: Any) -> list[Variable]:
    """The Variables among the leaves of a tree."""
    return [x for x in leaves_of(tree) if isinstance(x, Variable)]


SHAPED_BY_VALUES = {"argwhere", "flatnonzero", "nonzero", "unique"}


class Renaming:
    """Which Variables are now others, and whose memory is one since then."""

    def __init__(self) -> None:
        self.renamed: dict[Variable, Variable] = {}
        self.joined: dict[int, int] = {}  # by the ids of the arrays that own the memory in the trace

    def __call__(self, x: Any) -> Any:
        while isinstance(x, Variable) and x in self.renamed:
            x = self.renamed[x]
        return x

    def rename(self, old: Variable, new: Variable) -> None:
        """From now on `old` is `new`; what was a view of the one is a view of the other."""
        self.renamed[old] = new
        a, b = self.memory(old), self.memory(new)
        if a != b:
            self.joined[a] = b

    def memory(self, x: Variable) -> int:
        """Equal for Variables that share memory."""
        number = id(owner(x.value))
        while number in self.joined:
            number = self.joined[number]
        return number

    def apply(self, equation: Equation) -> None:
        """In the operands and parameters of an equation."""
        equation.operands = tuple(self(x) for x in equation.operands)
        if equation.params and equation.op is not DELIVER:
            equation.params = mapped(equation.params, self)


class Listing:
    """The equations of a trace, its inputs with their origins, and what is left behind for each leaf."""

    def __init__(self, tracer: Tracer, arguments: list[Any], given: list[bool], known: dict[int, Any]) -> None:
        self.tracer = tracer
        self.known = known  # arrays that were there before: by id, the Tensor that holds them or they themselves
        self.inputs: dict[Variable, Origin] = {}
        self.equations: list[Equation] = []
        self.nodes: dict[Node, Variable] = {}
        self.arrays: dict[int, Variable] = {}
        self.alive: list[Any] = []  # so that no id is used again
        self.hints: dict[Variable, str] = {}
        self.gradient_of: dict[Variable, Variable] = {}
        self.arguments = {x._node: k for k, x in enumerate(arguments)}
        for k, x in enumerate(arguments):
            variable = self.given(x._data, Origin("argument", k, given[k]), x._node.needs_grad)
            self.nodes[x._node] = variable
        calls = calls_of([record.node for record in tracer.records if record.node is not None])
        for record in tracer.records:
            self.add(record, calls)
        for node, of in tracer.gradients.items():
            if node in self.nodes and of in self.nodes:
                self.gradient_of[self.nodes[node]] = self.nodes[of]

    # ------------------------------------------------------------------------------------- equations

    def add(self, record: Record, calls: dict[Node, Call]) -> None:
        """The equation of one operation that ran."""
        op = record.op
        operands = tuple(
            self.operand(arg, parent, op, i) for i, (arg, parent) in enumerate(zip(record.args, record.parents))
        )
        params = mapped(record.params, self.parameter)
        if op is DELIVER:
            params = record.params
        if op.name in SHAPED_BY_VALUES or any(self.is_mask(x) for x in leaves_of(params)):
            raise CompileError(
                f"compile: {record.where}: the shape of what {op.name} returns depends on values, and scratch is "
                "planned for one shape. Use tg.where, or multiply by the mask."
            )
        of = self.nodes[record.of].equation if record.of in self.nodes else None
        target = Variable("", "result", record.value)
        call = calls.get(record.node) if record.node is not None else None
        if of is not None:
            call = of.call
        equation = Equation(target, op, operands, params, call, of, False, record.where)
        target.equation = equation
        if op.residual is not None:
            equation.kept = mapped(record.args[-1], lambda x: self.keep(x, equation))
        self.equations.append(equation)
        if record.node is not None:
            self.nodes[record.node] = target
            notes = record.node.notes
            if notes is not None and notes.name:
                target.name, target.named = notes.name, True
        if not op.writes:
            self.register(record.value, target)

    def is_mask(self, x: Any) -> bool:
        """Is this part of an index a mask that the step computes, or is given?"""
        if not isinstance(x, Variable) or x.dtype != np.bool_:
            return False
        while x.equation is not None and x.equation.op is OPS["astype"]:  # a copy of one that stays
            x = x.equation.operands[0]
        return x not in self.inputs or self.inputs[x].kind not in ("constant", "array")

    def keep(self, x: Any, equation: Equation) -> Any:
        """A Variable for an array that a fused operation keeps."""
        if not isinstance(x, np.ndarray | np.generic):
            return x
        variable = Variable("", "result", x, equation)
        self.hints[variable] = "kept"
        self.register(x, variable)
        return variable

    def register(self, value: Any, variable: Variable) -> None:
        """This array is that Variable (booleans of NumPy are only two objects, and mean nothing)."""
        if isinstance(value, np.ndarray | np.generic) and not isinstance(value, np.bool_):
            self.alive.append(value)
            self.arrays.setdefault(id(value), variable)

    def operand(self, arg: Any, parent: Node | None, op: Op[Any], i: int) -> Any:
        """What an equation takes: a Variable, or a number of Python's."""
        if parent is not None:
            if parent in self.nodes:
                return self.nodes[parent]
            if parent.op is not None:
                raise CompileError(
                    f"compile: {op.name} takes a result that was computed before the step (by {parent.op.name}): "
                    "compute it in the step, or detach it."
                )
            variable = self.arrays.get(id(parent.value)) if parent.order > self.tracer.start else None
            if variable is None and parent.order > self.tracer.start:  # made in the step, of numbers that stay
                variable = self.raw(parent.value)
            if variable is None:
                variable = self.given(parent.value, Origin("leaf", parent), parent.needs_grad)
                if parent.notes is not None and parent.notes.name:
                    variable.name, variable.named = parent.notes.name, True
            self.nodes[parent] = variable
            return variable
        if not isinstance(arg, np.ndarray | np.generic):
            return arg
        variable = self.arrays.get(id(arg))
        if variable is None:
            variable = self.raw(arg)
            self.hints[variable] = op.inputs[i] if op.arity is not None else "x"
        return variable

    def parameter(self, x: Any) -> Any:
        """A parameter of an operation: an array that is a Variable becomes it."""
        if isinstance(x, Traced) and x._node is not None:
            return self.nodes[x._node]
        if isinstance(x, Value):
            x = x._data
        if isinstance(x, np.ndarray):
            variable = self.arrays.get(id(x)) or self.raw(x)
            self.hints.setdefault(variable, "index")
            return variable
        return x

    def raw(self, array: Any) -> Variable:
        """The Variable of an array that nothing in the record has made."""
        holder = self.known.get(id(array))
        if isinstance(holder, Tensor):
            return self.given(array, Origin("tensor", holder), False)
        return self.given(array, Origin("constant" if holder is None else "array", array), False)

    def given(self, value: Any, origin: Origin, needs_grad: bool) -> Variable:
        """A new input."""
        kind = "constant" if origin.kind == "constant" else "parameter" if needs_grad else "data"
        variable = Variable("", kind, value)  # type: ignore[arg-type]
        self.inputs[variable] = origin
        self.register(value, variable)
        return variable

    # ----------------------------------------------------------------------------------------- results

    def result(self, x: Any) -> Any:
        """What a step returns, with Results in place of tensors and arrays."""
        if isinstance(x, Value):
            if x._node is not None and x._node in self.nodes:
                return Result(self.nodes[x._node], True)
            if x._node is not None and x._node.op is None and id(x._data) in self.arrays:
                return Result(self.arrays[id(x._data)], True)
            if isinstance(x, Traced):
                raise CompileError("compile: the step returns a tensor that it has not computed")
            return x  # the very object: a parameter
        if isinstance(x, np.ndarray | np.generic) and not isinstance(x, np.bool_):
            return Result(self.arrays.get(id(x)) or self.raw(x), False)
        return x

    # ------------------------------------------------------------------------------------------- names

    def name(self, words: dict[Variable, str]) -> None:
        """A name for each Variable: its own or a word, d_x for the gradient of x; all of them Python's."""
        taken: Counter[str] = Counter(words.values())
        numbers: Counter[str] = Counter()

        def give(variable: Variable, word: str, numbered: bool = False) -> None:
            word = identifier(word)
            name = word
            if numbered or name in taken:
                while numbered or name in taken:
                    numbers[word] += 1
                    name, numbered = f"{word}{numbers[word]}", False
            taken[name] += 1
            variable.name = name

        done = set()
        for variable, word in words.items():
            variable.name = word
            done.add(variable)
        for variable in self.inputs:
            if variable not in done:
                kind = self.inputs[variable].kind
                word = self.hints.get(variable, "x" if kind != "constant" else "c")
                give(variable, variable.name if variable.named else word)
                done.add(variable)
        for equation in self.equations:
            for variable in (equation.target, *variables_in(equation.kept)):
                if variable in self.gradient_of or variable in done:
                    continue
                if variable.named:
                    give(variable, variable.name)
                elif variable is not equation.target:
                    give(variable, f"{equation.op.name}_kept")
                elif equation.of is None or variable in self.hints:
                    give(variable, self.hints.get(variable, equation.op.name.strip("_")), numbered=True)
                else:
                    continue
                done.add(variable)
        for variable, of in self.gradient_of.items():
            give(variable, f"d_{of.name}")
            done.add(variable)
        for equation in self.equations:
            for variable in (equation.target, *variables_in(equation.kept)):
                if variable not in done:
                    give(variable, equation.op.name.strip("_"), numbered=True)
                    done.add(variable)


RESERVED = {"np", "slice", "range"}


def identifier(word: str) -> str:
    """A word as a name in Python: fc1.weight is fc1_weight."""
    word = re.sub(r"\W", "_", word).strip("_") or "x"
    if word[0].isdigit():
        return f"_{word}"
    return f"{word}_" if keyword.iskeyword(word) or word in RESERVED else word
