"""The reverse sweep: it turns the record of a computation into gradients.

It knows no operation by name.  `record.py` says what is written down: each Node holds an operation, the arrays that
went in and the one that came out.  **sweep** walks the Nodes backwards in the order of their creation and hands each
one its complete gradient (its *cotangent*), from which the operation's rules (its *vjps*) make those of its inputs.
Before a rule reads values that may have been edited since, `edits.py` looks whether they were.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from heapq import heappop, heappush, heappushpop
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu import memory
from tinygrad_edu.anomaly import check_backward
from tinygrad_edu.edits import check_unedited
from tinygrad_edu.errors import GraphError, ShapeError
from tinygrad_edu.modes import current_mode
from tinygrad_edu.record import FLOATS, Node, Value, ancestors, leaf, ndarray, plain, tensor_of
from tinygrad_edu.sums import Repeated, add_up, sum_of_rows

if TYPE_CHECKING:
    from tinygrad_edu.op import Op

FREED = (
    "backward: this graph was already swept and freed. Use retain_graph=True on the first call to sweep twice (or to "
    "draw what was swept). A sweep that failed has freed what it had visited."
)
UNUSED = "grad: the outputs do not depend on input {}; allow_unused=True returns None for it"

# A rule may return an array that somebody else holds, too: its input, its output, g itself.  Only one that nobody
# else refers to may be changed in place or handed on; `sys.getrefcount` tells.  It is asked at the moment of adding:
# to keep a list of the shared ones made chains of scalars a tenth slower.
getrefcount: Callable[[Any], int] = getattr(sys, "getrefcount", lambda _: 1_000)


def _count_of_owned() -> int:
    """What getrefcount says of an array that one dict and one local variable refer to."""
    pending = {0: np.empty(1)}
    g = pending[0]
    return getrefcount(g)


OWNED = _count_of_owned()


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

    The graph is freed on the way, unless `retain_graph`: what a Node has held is gone as soon as it has been visited.
    """
    wanted: Collection[Node] = ()
    useful: set[Node] | None = None
    if targets is not None:
        wanted = dict.fromkeys(targets)
        useful = leading_to(wanted, [node for node, _ in roots], allow_unused)
    found: dict[Node, Any] = {}  # gradients of intermediate results that are wanted or retained
    pending: dict[Node, Any] = {}  # gradients that are still being added up
    queue: list[tuple[int, Node]] = []  # Nodes of operations, the newest in front; leaves wait in `pending`
    waiting: Node | None = None  # one Node more, outside of the queue: a chain needs no queue
    for node, cotangent in roots:
        if node in pending:
            pending[node] = pending[node] + cotangent
            continue
        pending[node] = cotangent
        if node.op is not None:
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
            if node in wanted or (notes is not None and notes.retain):
                owned = type(g) is ndarray and g.base is None and getrefcount(g) < OWNED
                found[node] = g if create_graph or owned else np.array(g)
        if useful is not None and useful.isdisjoint(node.parents or ()):
            continue  # nobody wants what lies behind: it stays as it is
        args = node.args
        if args is None:
            raise GraphError(FREED)
        if last_write > node.order:
            check_unedited(node, useful, create_graph)
        op = node.op
        params = node.params
        # (The sum of tuples takes a third of the time of (g, node.value, *args).)
        values: Any = (g, *as_tensors(node)) if create_graph else (g, node.value) + args
        for parent, arg, rule in zip(node.parents, args, op.vjps):
            if parent is None or not parent.needs_grad or rule is None:
                continue
            if useful is not None and parent not in useful:
                continue
            earlier = None
            if parent in pending:
                earlier = pending[parent]
                in_place = type(earlier) is ndarray and earlier.base is None and getrefcount(earlier) <= OWNED
                if in_place and op.into is not None and watch is None:
                    op.into(earlier, g, **(params or {}))  # a part of a tensor: added where it belongs
                    continue
            c: Any = rule(*values) if params is None else rule(*values, **params)
            kind = type(c)
            if kind is ndarray:
                shape = arg.shape
                if c.shape != shape:  # first the common case, a bias
                    c = sum_of_rows(c) if c.shape[1:] == shape else unbroadcast(c, shape, op.name)
                if c.dtype is not arg.dtype:
                    c = c.astype(arg.dtype, copy=False)
            elif kind is not type(arg):  # NumPy scalars of one type have one shape and dtype
                c = fit(c, arg, op)
            if earlier is None:
                pending[parent] = c
                if parent.op is not None:
                    if waiting is None:
                        waiting = parent
                    else:
                        heappush(queue, (-parent.order, parent))
            elif in_place:
                earlier += c
            else:
                pending[parent] = earlier + c
            if watch is not None:
                watch(node, parent, c, pending[parent])
            c = None  # now only `pending` holds it
        if not retain_graph:  # so that the next gradients find memory that has just been used
            node.args = node.parents = None

    values = earlier = None  # they would count as holders of what is left in `pending`: the gradients of leaves
    for node in pending:
        g = pending[node]
        notes = node.notes
        if notes is not None and notes.hooks:
            g = pending[node] = run_hooks(node, g, create_graph)
        # Its holder may keep and edit it, so it must be an array whose memory nothing else points to.
        if not create_graph and (type(g) is not ndarray or g.base is not None or getrefcount(g) > OWNED):
            pending[node] = np.array(g)
    return {**pending, **found} if found else pending


def leading_to(wanted: Collection[Node], roots: Iterable[Node], allow_unused: bool) -> set[Node]:
    """The Nodes between `roots` and `wanted`: those whose gradients are needed on the way."""
    useful = set(wanted)
    seen = ancestors(roots)
    for node in sorted(seen, key=attrgetter("order")):  # parents are decided before children
        parents = node.parents
        if parents is None:
            if node not in useful:
                raise GraphError(FREED)  # what lies behind it can't be seen any more
        elif not useful.isdisjoint(parents):
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
    if op.residual and current_mode().recording:  # recomputed, so that derivatives flow through it
        args.append(op.residual(*args, **(node.params or {})))
    elif op.residual:  # a constant; a Tensor if it isn't an index
        kept = node.args[-1]
        args.append(tensor_of(leaf(kept, False), kept) if getattr(kept, "dtype", None) in FLOATS else kept)
    return [tensor_of(node, node.value), *args]


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


def unbroadcast(c: Any, shape: tuple[int, ...], name: str = "backward") -> Any:
    """Sum `c` over the axes along which an array of this `shape` was repeated: what is copied to many
    places receives the sum of what they send back, 1^T c.
    """
    extra = c.ndim - len(shape)
    aligned = c.shape[extra:] if extra >= 0 else ()
    if len(aligned) != len(shape) or any(n != m and m != 1 for n, m in zip(aligned, shape)):
        raise ShapeError(f"{name}: a rule returned a gradient of shape {c.shape} for an input of shape {shape}")
    repeated = (i + extra for i, (n, m) in enumerate(zip(aligned, shape)) if n != m)
    total = add_up(c, Repeated((*range(extra), *repeated)))
    return total if total.shape == shape else total.reshape(shape)
