"""The record: which operation made which array from which others.

* a **Node** is one entry: which operation ran, on which arrays, and what came out;
* **apply** runs an operation and writes its Node, if some input needs a gradient.

A Node holds arrays and other Nodes, never the Tensor of its output.  So there is no reference cycle, and
a graph is freed the moment the last Tensor that leads to it is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu import memory
from tinygrad_edu.anomaly import check_forward
from tinygrad_edu.errors import DtypeError, GraphError
from tinygrad_edu.memory import recorded_since, tick
from tinygrad_edu.modes import USUAL, current_mode

if TYPE_CHECKING:
    from tinygrad_edu.op import Op

Rule = Callable[..., Any]  # a vjp: (g, y, *args, **params) -> gradient of one input

ndarray = np.ndarray
new = object.__new__


class Value:
    """What the engine needs of a Tensor: its array and its Node.  `tensor.py` adds everything else.

    `_data` is an array, or for shape () often a NumPy scalar, whose arithmetic is eight times faster.
    `_node` is None for a constant that nothing has asked about yet.
    """

    __slots__ = ("__weakref__", "_data", "_node")
    _data: Any
    _node: Node | None


result_class: type[Value] = Value  # set by tensor.py: the class of what `apply` returns


class Node:
    """One entry of the record: `value = op(*args, **params)`.

    `args` are raw arrays and scalars; `parents[i]` is the Node that made `args[i]`, or None where that was
    no Tensor.  `args` may be longer than `parents`: behind the inputs it then holds what a fused operation
    kept for its backward rules.  A *leaf* (a parameter, or data) has no `op`.

    `calls` says which modules' calls returned this value: (start, name, class, the call inside it), or None.
    """

    __slots__ = ("args", "calls", "needs_grad", "notes", "op", "order", "params", "parents", "value")

    def __init__(
        self,
        op: Op[Any] | None,
        args: Any,
        params: dict[str, Any] | None,
        parents: Any,
        value: Any,
        needs_grad: bool,
    ) -> None:
        self.op: Any = op  # an Op; None for a leaf
        self.args = args
        self.params = params
        self.parents = parents
        self.value = value
        self.needs_grad = needs_grad
        self.order = tick()
        self.notes: Notes | None = None
        self.calls: Any = None

    def note(self) -> Notes:
        """The Node's notes, made when they are first needed (most Nodes never have any)."""
        if self.notes is None:
            self.notes = Notes()
        return self.notes


class Notes:
    """What few Nodes have: a name, a gradient that is kept, hooks, the user's line."""

    __slots__ = ("grad", "hooks", "name", "retain", "where")

    def __init__(self) -> None:
        self.name: str | None = None
        self.grad: Any = None
        self.retain = False
        self.hooks: dict[int, Callable[[Any], Any]] = {}
        self.where: str | None = None  # the line that called the operation, under detect_anomaly


def leaf(data: Any, needs_grad: bool, name: str | None = None) -> Node:
    """A Node without an operation: where gradients end (a parameter) or never go (data)."""
    node = Node(None, (), None, (), data, needs_grad)
    if name is not None:
        node.note().name = name
    return node


def apply(op: Op[Any], inputs: Iterable[Any], params: dict[str, Any] | None = None) -> Any:
    """Run `op` on its inputs; record it if one of them needs a gradient.

    Inputs may be Tensors, arrays and numbers.  Python numbers reach NumPy as they are, so that they stay
    *weak* (2 * float32 is float32).  Without any Tensor among the inputs the result is a plain array.
    """
    if memory.recorded_writes:
        check_aliases(op, inputs)
    args: list[Any] = []
    parents: list[Any] = []
    needs_grad = tensors = False
    for x in inputs:
        if isinstance(x, Value):
            tensors = True
            args.append(x._data)
            node = x._node
            parents.append(node)
            if node is not None and node.needs_grad:
                needs_grad = True
        else:
            kind = type(x)
            args.append(x if kind in PLAIN or (kind is ndarray and x.dtype.kind in "fiub") else plain(x, op))
            parents.append(None)
    try:
        value = op.forward(*args) if params is None else op.forward(*args, **params)
    except REFUSALS as error:
        raise op.explain(error, args, params) from None
    if op.residual is not None:  # a fused operation returns its value, and what its rules will need
        value, kept = value
        args.append(kept)
    if not needs_grad or current_mode() is not USUAL or not op.differentiable:
        return result(op, tuple(args), params, tuple(parents), value, needs_grad) if tensors else value
    out = new(result_class)  # as in `result`, without the call: a tenth of what recording costs
    out._data = value
    out._node = node = new(Node)
    node.op = op
    node.args = tuple(args)
    node.params = params
    node.parents = tuple(parents)
    node.value = value
    node.needs_grad = True
    node.order = tick()
    node.notes = node.calls = None
    return out


def apply2(op: Op[Any], a: Any, b: Any) -> Any:
    """`apply` for the binary operators, a third faster: scalar graphs are made of nothing else."""
    if memory.recorded_writes:
        check_aliases(op, (a, b))
    if isinstance(a, Value):
        x, x_node = a._data, a._node
    else:
        x, x_node = a if type(a) in PLAIN else plain(a, op), None
    if isinstance(b, Value):
        y, y_node = b._data, b._node
    else:
        y, y_node = b if type(b) in PLAIN else plain(b, op), None
    try:
        value = op.forward(x, y)
    except REFUSALS as error:
        raise op.explain(error, [x, y], None) from None
    needs_grad = (x_node is not None and x_node.needs_grad) or (y_node is not None and y_node.needs_grad)
    if not needs_grad or current_mode() is not USUAL or not op.differentiable:
        return result(op, (x, y), None, (x_node, y_node), value, needs_grad)
    out = new(result_class)  # as in `result`, without the call: it is worth a seventh of the time
    out._data = value
    out._node = node = new(Node)
    node.op = op
    node.args = (x, y)
    node.params = None
    node.parents = (x_node, y_node)
    node.value = value
    node.needs_grad = True
    node.order = tick()
    node.notes = node.calls = None
    return out


def result(
    op: Op[Any],
    args: tuple[Any, ...],
    params: dict[str, Any] | None,
    parents: tuple[Node | None, ...],
    value: Any,
    needs_grad: bool,
) -> Value:
    """The Tensor of a result, with its Node if it is to be recorded."""
    mode = current_mode()
    out = new(result_class if mode.tracer is None else mode.tracer.result_class)
    out._data = value
    out._node = None
    needs_grad = needs_grad and mode.recording and op.differentiable
    if needs_grad or mode.everything:
        out._node = node = new(Node)  # as Node(...), without the call: that is 0.1 us of 1
        node.op = op
        node.args = args
        node.params = params
        node.parents = parents
        node.value = value
        node.needs_grad = needs_grad
        node.order = tick()
        node.notes = node.calls = None
    if mode.anomaly:
        where = check_forward(op.name, args, value)
        if out._node is not None:
            out._node.note().where = where
    if mode.tracer is not None:
        mode.tracer.record(out)
    return out


REFUSALS = (ValueError, TypeError, IndexError)  # what NumPy raises for inputs that do not fit
FLOATS = frozenset(map(np.dtype, "efd"))
PLAIN = frozenset({float, int, bool, np.float64, np.float32, np.bool_, np.int64, type(None)})


def plain(x: Any, op: Op[Any] | None = None) -> Any:
    """An input that is no Tensor, as NumPy takes it; text, objects and complex numbers are refused."""
    array = x if isinstance(x, (ndarray, np.generic)) else np.asarray(x)
    if array.dtype.kind not in "fiub":
        where = f"{op.name}: " if op else ""
        raise DtypeError(
            f"{where}{type(x).__name__} of dtype {array.dtype} is not supported: use real numbers or booleans"
        )
    return array


def check_aliases(op: Op[Any], inputs: Iterable[Any]) -> None:
    """Raise for a Tensor whose memory was assigned to through another one: its own history does not know of that."""
    for i, x in enumerate(inputs):
        if isinstance(x, Value) and recorded_since(x._data, 0 if x._node is None else x._node.order):
            raise GraphError(
                f"{op.name}: input {i + 1} shares memory with a tensor that was assigned to (t[...] = v) after it was "
                "made, so its gradient would be wrong. Take it again from that tensor, or copy it before."
            )


def tensor_of(node: Node, data: Any) -> Value:
    """A Tensor for a Node: its own has perhaps been dropped."""
    tracer = current_mode().tracer
    out = new(result_class if tracer is None else tracer.result_class)
    out._data = data
    out._node = node
    return out


def ancestors(nodes: Iterable[Node]) -> set[Node]:
    """These Nodes and all that they were made from."""
    seen = set(nodes)
    stack = list(seen)
    while stack:
        for parent in stack.pop().parents or ():
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return seen
