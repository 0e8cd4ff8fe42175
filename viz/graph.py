"""The recorded graph as a list of things to draw: tensors, operations, and the arrows between them.

Everything is numbered in the order of its creation, so two runs of one program give the same names.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tinygrad_edu import GraphError, Tensor
from tinygrad_edu.engine import sweep
from tinygrad_edu.record import Node, ancestors

Kind = Literal["parameter", "data", "result", "output", "number"]


@dataclass
class Box:
    """A tensor to draw: `key` is its name in the drawing, `name` what a person reads."""

    key: str
    name: str
    kind: Kind
    value: Any
    gradient: Any = None


@dataclass
class Operation:
    """An operation to draw, with its formula written in the names of its inputs."""

    key: str
    name: str
    formula: str
    inputs: list[str] = field(default_factory=list)
    output: str = ""


@dataclass
class Drawing:
    """All that is drawn, in the order of creation."""

    boxes: list[Box] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)


def collect(outputs: Sequence[Tensor], gradients: bool = True) -> Drawing:
    """The graph behind some outputs, ready to be drawn.

    Raises GraphError for an output that was not recorded, and for a graph that was already freed.
    """
    roots = [_root(output) for output in outputs]
    nodes = sorted(ancestors(roots), key=lambda node: node.order)
    if any(node.op is not None and node.args is None for node in nodes):
        raise GraphError(
            "draw: this graph was already swept and freed. Draw it before backward(), or keep it with "
            "backward(retain_graph=True)."
        )
    found = _gradients(roots, nodes) if gradients else {}
    drawing = Drawing()
    keys: dict[Any, str] = {}  # of Nodes, and of raw arrays by their id (they live in the Nodes all the while)
    names = _Names(nodes)
    for node in nodes:
        operation = None
        if node.op is not None:
            operation = _operation(node, drawing, keys, names)
            drawing.operations.append(operation)
        box = Box(f"t{len(drawing.boxes)}", names.of(node), _kind(node, roots), node.value, found.get(node))
        if operation is not None:
            operation.output = box.key
        keys[node] = box.key
        drawing.boxes.append(box)
    return drawing


def _root(output: Any) -> Node:
    if not isinstance(output, Tensor):
        raise TypeError(f"draw: a {type(output).__name__} was not recorded; a Tensor is expected")
    if output._node is None:
        raise GraphError("draw: this tensor has no recorded history; compute it from a leaf with requires_grad=True")
    return output._node


def _kind(node: Node, roots: Sequence[Node]) -> Kind:
    if node.op is None:
        return "parameter" if node.needs_grad else "data"
    return "output" if any(node is root for root in roots) else "result"


class _Names:
    """A person's name for each Node: its own, else t1, t2, ... in the order of creation."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        own = {node: node.notes.name for node in nodes if node.notes is not None and node.notes.name}
        taken = set(own.values())
        numbers = (f"t{i}" for i in range(1, 2 * len(nodes) + 2))
        free = (name for name in numbers if name not in taken)
        self.names: dict[Node, str] = {node: own.get(node) or next(free) for node in nodes}

    def of(self, node: Node) -> str:
        return self.names[node]


def _operation(node: Node, drawing: Drawing, keys: dict[Any, str], names: _Names) -> Operation:
    """The drawn operation of a Node; raw arrays and numbers among its inputs become boxes of their own."""
    op = node.op
    words: dict[str, str] = {}
    operation = Operation(f"o{len(drawing.operations)}", op.name, "")
    labels = op.inputs if op.arity is not None else [str(i) for i in range(len(node.parents))]
    for label, parent, arg in zip(labels, node.parents, node.args):
        if parent is not None:
            operation.inputs.append(keys[parent])
            words[label] = names.of(parent)
        elif isinstance(arg, np.ndarray) and arg.ndim:
            if id(arg) not in keys:
                keys[id(arg)] = f"t{len(drawing.boxes)}"
                drawing.boxes.append(Box(keys[id(arg)], label, "data", arg))
            operation.inputs.append(keys[id(arg)])
            words[label] = label
        elif arg is not None:
            key = f"t{len(drawing.boxes)}"
            words[label] = f"{float(arg):.4g}"
            drawing.boxes.append(Box(key, words[label], "number", arg))
            operation.inputs.append(key)
    operation.formula = formula(op, words, node.params)
    return operation


def formula(op: Any, words: dict[str, str], params: dict[str, Any] | None) -> str:
    """The operation's notation with names for its inputs, and the parameters that were set behind it."""
    text: str = op.notation.text.replace("<*>", ", ".join(words.values()))
    for label, word in {**{k: _short(v) for k, v in (params or {}).items()}, **words}.items():
        text = text.replace(f"<{label}>", word)
    usual = {name: parameter.default for name, parameter in inspect.signature(op.shown).parameters.items()}
    special = {
        name: value
        for name, value in (params or {}).items()
        if f"<{name}>" not in op.notation.text
        and not (value is None or usual.get(name) is value or usual.get(name) == value)
    }
    extra = ", ".join(f"{name}={_short(value)}" for name, value in special.items())
    return f"{text}  ({extra})" if extra else text


def _short(value: Any) -> str:
    text = "..." if isinstance(value, np.ndarray) and value.size > 8 else " ".join(str(value).split())
    return text if len(text) <= 24 else text[:21] + "..."


def _gradients(roots: Sequence[Node], nodes: Sequence[Node]) -> dict[Node, Any]:
    """The gradient of every Node; nobody's `.grad` changes, and the graph stays."""
    if any(root.value.size != 1 for root in roots):
        return {node: node.notes.grad for node in nodes if node.notes is not None and node.notes.grad is not None}
    starts = [(root, np.ones(root.value.shape, root.value.dtype)) for root in roots if root.needs_grad]
    if not starts:
        return {}
    return sweep(starts, [node for node in nodes if node.needs_grad], retain_graph=True)
