"""From a step to a compiled function: two traces that must agree, then the passes, then the source."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_edu.compiler.door import Door
from tinygrad_edu.compiler.listing import Listing, Renaming, Result, leaves_of, mapped, reads
from tinygrad_edu.compiler.lowering import lowered
from tinygrad_edu.compiler.parts import assembled
from tinygrad_edu.compiler.passes import (
    simplified,
    with_float_masks,
    without_copies,
    without_dead,
    without_signs,
    without_turned_products,
)
from tinygrad_edu.compiler.source import Source
from tinygrad_edu.compiler.state import Reach, Saved
from tinygrad_edu.compiler.tracing import DELIVER, Traced, Tracer
from tinygrad_edu.errors import CompileError, GraphError
from tinygrad_edu.op import Each, Op
from tinygrad_edu.program import Variable
from tinygrad_edu.record import Node
from tinygrad_edu.tensor import Tensor, sweep_from

__all__ = ["build", "flattened", "perturbed", "replaced"]


def flattened(x: Any, leaves: list[Any]) -> Any:
    """The key of an argument, equal for those that one function serves; its arrays and Tensors go to `leaves`."""
    if isinstance(x, np.ndarray):
        leaves.append(x)
        return x.shape, x.strides, x.dtype
    if isinstance(x, Tensor):
        if not x.is_leaf:
            raise CompileError(
                "compile: an argument is the result of a recorded operation: compute it in the step, or detach it"
            )
        leaves.append(x)
        return "tensor", x.shape, getattr(x._data, "strides", ()), x.dtype, x.requires_grad
    if isinstance(x, np.generic):
        leaves.append(x)
        return "number", x.dtype
    if isinstance(x, list | tuple):
        return type(x), tuple([flattened(part, leaves) for part in x])
    if isinstance(x, dict):
        return "dict", tuple([(name, flattened(part, leaves)) for name, part in x.items()])
    return type(x), x


def replaced(x: Any, leaves: Any) -> Any:
    """The same arguments with other arrays and Tensors, taken in turn from `leaves`."""
    return mapped(x, lambda part: next(leaves) if isinstance(part, np.ndarray | Tensor | np.generic) else part)


class Trace:
    """One run of a step, recorded."""

    def __init__(self, step: Callable[..., Any], args: Any, kwargs: Any, leaves: list[Any], reach: Reach) -> None:
        self.tracer = Tracer(leaves=reach.leaves, optimizers=reach.optimizers.values())
        self.arguments = [self.tracer.argument(x) for x in leaves]
        traced = iter(self.arguments)
        args = replaced(args, traced)
        kwargs = {name: x for name, x in zip(sorted(kwargs), replaced([kwargs[n] for n in sorted(kwargs)], traced))}
        rates = {o: o.lr for o in reach.optimizers.values()}
        with self.tracer.mode():
            result = step(*args, **kwargs)
            self.attached: list[Node] = []
            result = self.with_gradients(result)
        effect = reach.side_effect()
        if effect is None and any(o.lr != rate for o, rate in rates.items()):
            effect = "lr was changed: change it between the calls, where it is read"
        if effect:
            raise CompileError(f"compile: {getattr(step, '__name__', 'step')}: {effect}.")
        self.listing = Listing(self.tracer, self.arguments, [isinstance(x, Tensor) for x in leaves], reach.known())
        self.results = mapped(result, self.listing.result)

    def with_gradients(self, result: Any) -> Any:
        """A loss that is still to be differentiated brings its gradients along."""
        open_results = [x for x in leaves_of(result) if isinstance(x, Traced) and self.is_open(x)]
        self.open = open_results
        if not open_results:
            return result
        if len(open_results) > 1 or open_results[0].size != 1:
            raise CompileError(
                f"compile: the step returns {len(open_results)} tensors through which gradients could flow"
                if len(open_results) > 1
                else f"compile: the step returns a tensor of shape {open_results[0].shape} through which a gradient "
                "could flow; only a single number has one by itself. Call backward() inside the step, return "
                "tensor.detach(), or call it inside of tg.no_grad()."
            )
        found = sweep_from(open_results, None, None, True, False)
        self.attached = list(found)
        return result, tuple(found.values())

    @staticmethod
    def is_open(x: Traced) -> bool:
        node = x._node
        return node is not None and node.needs_grad and node.op is not None and node.args is not None


def build(
    step: Callable[..., Any],
    args: Any,
    kwargs: Any,
    leaves: list[Any],
    reach: Reach,
    saved: Saved,
    writer: type[Source] = Source,
) -> Door:
    """The compiled function of a step for these arguments, as `writer` writes it."""
    first = Trace(step, args, kwargs, leaves, reach)
    ends = {node: node.notes.grad for node in _grad_nodes(first, reach) if node.notes is not None}
    saved.restore()
    # Once more, with other numbers and with gradients left from before: what is not recorded shows itself.
    others = perturbed(leaves)
    marks = {node: np.zeros(np.shape(node.value), node.value.dtype) for node in reach.leaves}
    second: Trace | None = None
    for change in (True, False):
        try:
            if change:
                perturb_state(saved)
            for node, mark in marks.items():
                node.note().grad = mark
            for x in others:
                if isinstance(x, Tensor) and x.requires_grad:
                    x.grad = np.zeros(x.shape, x.dtype)
            with np.errstate(all="ignore"):
                second = Trace(step, args, kwargs, others if change else leaves, reach)
            break
        except CompileError:
            raise
        except Exception:
            if not change:
                raise
        finally:
            zeroed_now = {node: node.notes.grad for node in marks if node.notes is not None}
            saved.restore()
    assert second is not None
    _agree(first, second)
    accumulated = {node for node in second.tracer.accumulated}
    position = {node: k for node, k in second.listing.arguments.items()}
    of_first = {k: node for node, k in first.listing.arguments.items()}
    accumulated = {of_first[position[n]] if n in position else n for n in accumulated}
    if any(n in first.listing.arguments for n in accumulated):
        raise CompileError(
            "compile: an argument's gradient is added to one from before: set x.grad = None in the step."
        )
    kept = {n for n, grad in ends.items() if isinstance(grad, Traced)}
    zeroed = [n for n in marks if zeroed_now.get(n) is None and n not in kept]
    for node, k in second.listing.arguments.items():
        if node.needs_grad and node.notes is not None and node.notes.grad is None:
            zeroed.append(of_first[k])
    for node in first.listing.arguments:  # stand for arguments: their gradients would hold the whole trace
        node.note().grad = None
    return _compiled(step, first, reach, kept, accumulated, zeroed, writer)


def _grad_nodes(trace: Trace, reach: Reach) -> list[Node]:
    nodes = [*reach.leaves, *trace.listing.arguments]
    nodes += [
        r.params["leaf"]
        for r in trace.tracer.records
        if r.op is DELIVER and r.params["leaf"].order < trace.tracer.start
    ]
    return list(dict.fromkeys(nodes))


def _compiled(
    step: Callable[..., Any],
    trace: Trace,
    reach: Reach,
    kept: set[Node],
    accumulated: set[Node],
    zeroed: list[Node],
    writer: type[Source],
) -> Door:
    listing = trace.listing
    listing.name(_words(step, listing))
    renaming = Renaming()
    equations, origin = lowered(listing.equations, renaming)
    constants = {x for x, o in listing.inputs.items() if o.kind == "constant"}
    for equation in equations:
        for x in equation.operands:
            if isinstance(x, Variable) and x.kind == "constant" and x.equation is None and x not in listing.inputs:
                constants.add(x)
    equations = simplified(equations, renaming, constants)
    equations = without_signs(equations)
    without_copies(equations)
    tree = mapped(trace.results, lambda x: Result(renaming(x.variable), x.tensor) if isinstance(x, Result) else x)
    results = [x.variable for x in _results(tree)]
    equations = without_dead(without_turned_products(equations, results), results)
    equations = with_float_masks(assembled(equations, results))
    used = {x for e in equations for x in reads(e)} | set(results)
    inputs = [x for x, o in listing.inputs.items() if x in used and x not in constants]
    source = writer(equations, constants, inputs, results, kept, accumulated, origin, renaming)
    attach = None
    extra = len(trace.attached)
    if extra:
        tree, _ = tree[0], tree[1]
        nodes = trace.attached
        holder = _Attach(nodes, listing.arguments)
        attach = holder
    name = getattr(step, "__name__", "step")
    return Door("step" if name == "<lambda>" else name, source, listing, tree, reach, zeroed, attach, extra)


def _results(tree: Any) -> list[Result]:
    if isinstance(tree, Result):
        return [tree]
    if isinstance(tree, tuple | list):
        return [r for x in tree for r in _results(x)]
    if isinstance(tree, dict):
        return [r for x in tree.values() for r in _results(x)]
    return []


def _words(step: Callable[..., Any], listing: Listing) -> dict[Variable, str]:
    """Arguments are called as the step calls them."""
    try:
        names = list(inspect.signature(step).parameters)
    except (TypeError, ValueError):
        names = []
    arguments = [x for x, o in listing.inputs.items() if o.kind == "argument"]
    if len(names) == len(arguments):
        return dict(zip(arguments, names))
    return {x: f"argument{i + 1}" for i, x in enumerate(arguments)}


# ------------------------------------------------------------------------- a loss with its gradients


class _Attach:
    """Gives a loss its history: one operation of all leaves, whose gradients are known already."""

    def __init__(self, nodes: list[Node], arguments: dict[Node, int]) -> None:
        self.nodes, self.arguments = nodes, arguments

    def __call__(self, result: Any, gradients: tuple[Any, ...]) -> None:
        loss = next(x for x in leaves_of(result) if isinstance(x, Tensor))
        args = (*[node.value for node in self.nodes], gradients)
        loss._node = Node(COMPILED, args, None, tuple(self.nodes), loss._data, True)


def _rule(i: int, g: Any, y: Any, *args: Any) -> Any:
    gradient = args[-1][i]
    return gradient if isinstance(g, np.generic) and g == 1 else g * gradient


def _once(*args: Any, **params: Any) -> Any:
    raise GraphError("compile: a compiled loss has first derivatives; take the second ones inside the step (tg.grad).")


COMPILED: Op[Any] = Op(lambda *x: x, vjps=Each(_rule), residual=_once, name="compiled")


# ---------------------------------------------------------------------------------- other numbers


def perturbed(leaves: list[Any]) -> list[Any]:
    """Other arrays of the same kind: moved along their first axis, and floats made a little smaller."""
    found: list[Any] = []
    for k, x in enumerate(leaves):
        if isinstance(x, Tensor):
            other = Tensor(_moved(np.asarray(x._data), k), requires_grad=x.requires_grad, name=x.name)
            found.append(other)
        else:
            found.append(_moved(x, k))
    return found


def _moved(x: Any, k: int) -> Any:
    array = np.asarray(x)
    other = (array * array.dtype.type(0.97)).astype(array.dtype) if array.dtype.kind == "f" else array.copy()
    if other.ndim and other.shape[0] > 1:
        other = np.roll(other, 1 + k % (other.shape[0] - 1 or 1), axis=0)
    kept = np.empty_like(array)  # with the strides of the original
    kept[...] = other
    return kept if isinstance(x, np.ndarray) else kept[()]


def perturb_state(saved: Saved) -> None:
    """Other numbers in parameters, running statistics and arrays that the step can reach, for a moment."""
    for data in [*(data for _, data, _ in saved.tensors), *(array for array, _ in saved.arrays)]:
        if isinstance(data, np.ndarray) and data.dtype.kind == "f" and data.flags.writeable:
            data *= data.dtype.type(0.97)


def _agree(a: Trace, b: Trace) -> None:
    """Two runs must have recorded the same equations, with the same numbers of their own."""
    match: dict[Variable, Variable] = {}
    first, second = a.listing, b.listing
    for (x, origin), (y, other) in zip(first.inputs.items(), second.inputs.items()):
        same = origin.kind == other.kind and (
            (origin.kind in ("argument",) and origin.what == other.what)
            or origin.what is other.what
            or (origin.kind == "constant" and _equal(origin.what, other.what))
        )
        if not same:
            where = next((e.where for e in first.equations if x in reads(e)), None)
            raise CompileError(
                f"compile: {where or 'the step'}: {x.name or 'an array'} of shape {x.shape} is not the same in two "
                "runs: it was computed outside of the record, from numbers that change. Compute it with functions of "
                "tg, or pass it as an argument."
            )
        match[x] = y
    for e, f in zip(first.equations, second.equations):
        same = (
            e.op is f.op
            and e.target.shape == f.target.shape
            and e.target.dtype == f.target.dtype
            and len(e.operands) == len(f.operands)
            and all(_same(p, q, match) for p, q in zip(e.operands, f.operands))
            and (e.op is DELIVER or _same(e.params, f.params, match))
        )
        if not same:
            raise CompileError(
                f"compile: {e.where}: {e.op.name} is not the same in two runs with other numbers: a shape, an index or "
                "a setting depends on values, which a function that is written once cannot."
            )
        match[e.target] = f.target
        mapped_pairs(e.kept, f.kept, match)
    if len(first.equations) != len(second.equations):
        raise CompileError("compile: two runs of the step with other numbers have not done the same operations.")


def mapped_pairs(a: Any, b: Any, match: dict[Variable, Variable]) -> None:
    """Note which Variables stand in the same places of two trees."""
    for x, y in zip(leaves_of(a), leaves_of(b)):
        if isinstance(x, Variable) and isinstance(y, Variable):
            match[x] = y


def _same(a: Any, b: Any, match: dict[Variable, Variable]) -> bool:
    if isinstance(a, Variable):
        return match.get(a) is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k], match) for k in a)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(_same(x, y, match) for x, y in zip(a, b))
    return a is b or _equal(a, b)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray | np.generic | float) and isinstance(b, np.ndarray | np.generic | float):
        a, b = np.asarray(a), np.asarray(b)
        return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    try:
        return type(a) is type(b) and bool(a == b)
    except (TypeError, ValueError):
        return False
