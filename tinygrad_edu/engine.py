"""Recording operations, and the reverse sweep that turns the record into gradients.

This file knows no operation by name.  It knows three things:

* a **Node** is one entry of the record: which operation ran, on which arrays, and what came out;
* **apply** runs an operation and writes its Node, if some input needs a gradient;
* **sweep** walks the Nodes backwards in the order of their creation and hands each one its complete
  gradient (its *cotangent*), from which the operation's rules (its *vjps*) make those of its inputs.

A Node holds arrays and other Nodes, never the Tensor of its output.  So there is no reference cycle, and
a graph is freed the moment the last Tensor that leads to it is dropped.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from contextvars import ContextVar, Token
from heapq import heapify, heappop, heappush, heappushpop
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinygrad_edu import memory
from tinygrad_edu.anomaly import check_backward, check_forward
from tinygrad_edu.errors import DtypeError, GraphError, ShapeError
from tinygrad_edu.memory import edited_since, recorded_since, tick

if TYPE_CHECKING:
    from tinygrad_edu.op import Op

Function = TypeVar("Function", bound=Callable[..., Any])
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


# ---------------------------------------------------------------------------------------- recording


class Mode:
    """How operations are recorded, for this thread and this asynchronous task.  It is never changed, but replaced."""

    __slots__ = ("anomaly", "everything", "recording")

    def __init__(self, recording: bool = True, everything: bool = False, anomaly: bool = False) -> None:
        self.recording = recording
        self.everything = everything  # also what needs no gradient: masks, comparisons, constants
        self.anomaly = anomaly  # look for the first NaN or infinity

    def changed(self, **changes: bool) -> Mode:
        """This mode with some flags changed."""
        return Mode(**{name: changes.get(name, getattr(self, name)) for name in self.__slots__})


USUAL = Mode()
MODE: ContextVar[Mode] = ContextVar("tinygrad_edu.mode", default=USUAL)
current_mode = MODE.get


class mode:
    """`with mode(recording=False):` changes the mode for a block, a function or a coroutine function."""

    def __init__(self, **changes: bool) -> None:
        self.changes = changes
        self.tokens: list[Token[Mode]] = []

    def __enter__(self) -> None:
        self.tokens.append(MODE.set(MODE.get().changed(**self.changes)))

    def __exit__(self, *error: object) -> None:
        MODE.reset(self.tokens.pop())

    def __call__(self, function: Function) -> Function:
        changes = self.changes

        async def run_coroutine(*args: Any, **kwargs: Any) -> Any:
            with mode(**changes):
                return await function(*args, **kwargs)

        def run(*args: Any, **kwargs: Any) -> Any:
            with mode(**changes):
                return function(*args, **kwargs)

        chosen: Any = run_coroutine if inspect.iscoroutinefunction(function) else run
        return functools.wraps(function)(chosen)  # type: ignore[return-value]  # wraps keeps the signature


def apply(op: Op[Any], inputs: Iterable[Any], params: dict[str, Any] | None = None) -> Any:
    """Run `op` on its inputs; record it if one of them needs a gradient.

    Inputs may be Tensors, arrays and numbers.  Python numbers reach NumPy as they are, so that they stay
    *weak* (2 * float32 is float32).  Without any Tensor among the inputs the result is a plain array.
    """
    if memory.recorded_writes:
        check_aliases(op, inputs)
    args: list[Any] = []
    parents: list[Node | None] = []
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
    return result(op, tuple(args), params, tuple(parents), value, needs_grad) if tensors else value


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
    out = new(result_class)
    out._data = value
    out._node = None
    mode = current_mode()
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
    return out


REFUSALS = (ValueError, TypeError, IndexError)  # what NumPy raises for inputs that do not fit
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


def check_unedited(node: Node, useful: set[Node] | None, create_graph: bool) -> None:
    """Raise if a value that this Node's rules are about to read is no longer the recorded one."""
    stale = [i for i, array in enumerate((node.value, *node.args)) if edited_since(array, node.order)]
    if not stale:
        return
    op = node.op
    for parent, rule in zip(node.parents, op.vjps):
        if parent is None or not parent.needs_grad or rule is None or (useful is not None and parent not in useful):
            continue
        read = read_by(rule, node)
        if create_graph and op.residual is not None:  # which is then computed again, from what it reads
            read |= read_by(lambda g, y, *args, **params: op.residual(*args[:-1], **params), node)
        for i in read.intersection(stale):
            which = "output" if i == 0 else f"input {i}" if i <= len(node.parents) else "saved value"
            raise GraphError(
                f"backward: {op.name}'s {which} was edited after it was recorded; its gradient needs the old value. "
                "Sweep before you edit, or edit a copy (an optimiser's step is an edit, too)."
            )


def read_by(rule: Rule, node: Node) -> set[int]:
    """Which values a rule reads, 0 for the output and i for input i.  It is asked by letting it record."""
    values = (node.value, node.value, *node.args)
    g, *places = [tensor_of(leaf(x, False), x) if isinstance(x, ndarray) else x for x in values]
    with mode(everything=True), np.errstate(all="ignore"):
        result = rule(g, *places, **(node.params or {}))
    used = ancestors([result._node]) if isinstance(result, Value) and result._node is not None else set()
    return {i for i, place in enumerate(places) if isinstance(place, Value) and place._node in used}


# -------------------------------------------------------------------------------------------- sweep

FREED = (
    "backward: this graph was already swept and freed. Use retain_graph=True on the first call to sweep twice (or to "
    "draw what was swept)."
)
UNUSED = "grad: the outputs do not depend on input {}; allow_unused=True returns None for it"

# A rule may return an array that somebody else holds, too: its input, its output, g itself.  Only one that nobody
# else refers to may be changed in place or handed on; `sys.getrefcount` tells.
getrefcount: Callable[[Any], int] = getattr(sys, "getrefcount", lambda _: 1_000)


def _fresh() -> int:
    """What getrefcount says of an array that only a local variable refers to."""
    c = np.empty(1)
    return getrefcount(c)


FRESH = _fresh()


def sweep(
    roots: Sequence[tuple[Node, Any]],
    targets: Iterable[Node] | None = None,
    retain_graph: bool | None = False,
    create_graph: bool = False,
    allow_unused: bool = True,
    watch: Callable[[Node, Node, Any, Any], object] | None = None,
) -> dict[Node, Any]:
    """Carry the cotangents of `roots` back through the record; return the gradient of each leaf.

    With `targets`, theirs are the gradients that are returned, and only what leads to them is computed; unless
    `allow_unused`, one that nothing leads to is an error.

    Newest Node first: whatever used a Node is newer than it, so when its turn comes its gradient is complete.
    Each Node is visited once and each edge once.  Gradients are dropped as they are consumed, and added in
    place only into arrays that no one else can see.  With `create_graph` the rules get Tensors instead of
    arrays, and the same lines of NumPy record themselves.

    `watch(node, parent, contribution, total)` is told of each edge in turn: what a Node sends back to one of its
    parents, and what that parent has received by now.

    The graph is freed when the sweep has come to its end: an error on the way leaves it as it was.
    """
    wanted: Collection[Node] = ()
    useful: set[Node] | None = None
    if targets is not None:
        wanted = dict.fromkeys(targets)
        useful = leading_to(wanted, [node for node, _ in roots], allow_unused)
    found: dict[Node, Any] = {}  # gradients of intermediate results that are wanted or retained
    pending: dict[Node, Any] = {}  # gradients that are still being added up
    shared: set[Node] = set()  # those of them whose array somebody else may see
    swept: list[Node] = []
    queue: list[tuple[int, Node]] = []  # Nodes of operations, the newest in front; leaves wait in `pending`
    waiting: Node | None = None  # one Node more, outside of the queue: a chain needs no queue
    for node, cotangent in roots:
        if node in pending:
            pending[node] = pending[node] + cotangent
            continue
        pending[node] = cotangent
        shared.add(node)
        if node.op is None:
            continue
        if waiting is None:
            waiting = node
        else:
            heappush(queue, (-node.order, node))

    if current_mode().anomaly:
        watch = check_contribution
    last_write = memory.last_write
    while queue or waiting is not None:
        if waiting is None:
            node = heappop(queue)[1]
        else:
            node = heappushpop(queue, (-waiting.order, waiting))[1] if queue else waiting
            waiting = None
        g = pending.pop(node)
        notes = node.notes
        if notes is not None or wanted:
            if notes is not None and notes.hooks:
                g = run_hooks(node, g, create_graph)
                shared.add(node)
            if node in wanted or (notes is not None and notes.retain):
                found[node] = g if create_graph or (type(g) is ndarray and node not in shared) else np.array(g)
        if useful is not None and useful.isdisjoint(node.parents or ()):
            continue  # nobody wants what lies behind: it stays as it is
        args = node.args
        if args is None:
            raise GraphError(FREED)
        if last_write > node.order:
            check_unedited(node, useful, create_graph)
        op = node.op
        params = node.params
        values = (g, *as_tensors(node)) if create_graph else (g, node.value, *args)
        for parent, arg, rule in zip(node.parents, args, op.vjps):
            if parent is None or not parent.needs_grad or rule is None:
                continue
            if useful is not None and parent not in useful:
                continue
            c = rule(*values) if params is None else rule(*values, **params)
            kind = type(c)
            if kind is ndarray:
                shape = arg.shape
                if c.shape != shape:  # first the common case, a bias
                    c = add_up(c, 0) if c.shape[1:] == shape else unbroadcast(c, shape, op.name)
                if c.dtype is not arg.dtype:
                    c = c.astype(arg.dtype, copy=False)
            elif kind is not type(arg):  # NumPy scalars of one type have one shape and dtype
                c = fit(c, arg, op)
            if parent not in pending:
                if create_graph or c.base is not None or getrefcount(c) > FRESH:
                    shared.add(parent)
                pending[parent] = c
                if parent.op is not None:
                    if waiting is None:
                        waiting = parent
                    else:
                        heappush(queue, (-parent.order, parent))
            elif parent in shared:
                pending[parent] = pending[parent] + c
                if not create_graph:
                    shared.discard(parent)
            else:
                pending[parent] += c
            if watch is not None:
                watch(node, parent, c, pending[parent])
        swept.append(node)

    for node, g in pending.items():  # only leaves are left
        notes = node.notes
        if notes is not None and notes.hooks:
            pending[node] = g = run_hooks(node, g, create_graph)
            shared.add(node)
        # Its holder may keep and edit it, so it must be an array whose memory nothing else points to.
        if (type(g) is not ndarray or node in shared) and not create_graph:
            pending[node] = np.array(g)
    if not retain_graph:
        for node in swept:
            node.args = node.parents = None
    return {**pending, **found} if found else pending


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


def leading_to(wanted: Collection[Node], roots: Iterable[Node], allow_unused: bool) -> set[Node]:
    """The Nodes between `roots` and `wanted`: those whose gradients are needed on the way."""
    useful = set(wanted)
    seen = ancestors(roots)
    for node in sorted(seen, key=lambda node: node.order):  # parents are decided before children
        if node.op is not None and node.args is None and node not in useful:
            raise GraphError(FREED)  # what lies behind it can't be seen any more
        if any(parent in useful for parent in node.parents or ()):
            useful.add(node)
    for i, node in enumerate(wanted):
        if node not in seen and not allow_unused:
            raise GraphError(UNUSED.format(i))
    return useful


def as_tensors(node: Node) -> list[Any]:
    """Output and arguments of a Node as Tensors again, so that what the rules do with them is recorded."""
    op = node.op
    args = [x if parent is None else tensor_of(parent, x) for x, parent in zip(node.args, node.parents)]
    if current_mode().everything:  # then constants, too
        args = [tensor_of(leaf(x, False), x) if isinstance(x, ndarray | np.generic) else x for x in args]
    if op.residual:  # recomputed, so that derivatives flow through it: what the forward kept is a constant
        args.append(op.residual(*args, **(node.params or {})))
    return [tensor_of(node, node.value), *args]


def tensor_of(node: Node, data: Any) -> Value:
    """A Tensor for a Node: its own has perhaps been dropped."""
    out = new(result_class)
    out._data = data
    out._node = node
    return out


def check_contribution(node: Node, parent: Node, c: Any, total: Any) -> None:
    """Under `detect_anomaly`: is what a Node sends to this parent finite?"""
    where = node.notes.where if node.notes is not None else None
    check_backward(node.op.name, node.parents.index(parent), getattr(c, "_data", c), where)


def run_hooks(node: Node, g: Any, create_graph: bool) -> Any:
    """Show a complete gradient to the hooks; each may return another."""
    assert node.notes is not None
    for hook in list(node.notes.hooks.values()):
        answer = hook(g)
        if answer is None:
            continue
        if np.shape(answer) != np.shape(g):
            raise ShapeError(f"hook: returned shape {np.shape(answer)} for a gradient of shape {np.shape(g)}")
        if isinstance(answer, Value) and create_graph:
            g = answer
        else:
            array = plain(answer._data if isinstance(answer, Value) else answer).astype(node.value.dtype)
            g = tensor_of(leaf(array, False), array) if create_graph else array
    return g


def fit(c: Any, arg: Any, op: Op[Any]) -> Any:
    """Give a contribution the shape and dtype of its input: sum over broadcast axes, cast."""
    if not isinstance(c, (ndarray, np.generic, Value)):
        c = np.asarray(c, dtype=arg.dtype)
    if c.shape != arg.shape:
        c = unbroadcast(c, arg.shape, op.name)
    return c if c.dtype == arg.dtype else c.astype(arg.dtype)


add_up: Any = np.add.reduce


def unbroadcast(c: Any, shape: tuple[int, ...], name: str = "backward") -> Any:
    """Sum `c` over the axes along which an array of this `shape` was repeated: what is copied to many
    places receives the sum of what they send back, 1^T c.
    """
    extra = c.ndim - len(shape)
    aligned = c.shape[extra:] if extra >= 0 else ()
    if len(aligned) != len(shape) or any(n != m and m != 1 for n, m in zip(aligned, shape)):
        raise ShapeError(f"{name}: a rule returned a gradient of shape {c.shape} for an input of shape {shape}")
    repeated = (i + extra for i, (n, m) in enumerate(zip(aligned, shape)) if n != m)
    total = add_up(c, (*range(extra), *repeated))
    return total if total.shape == shape else total.reshape(shape)
