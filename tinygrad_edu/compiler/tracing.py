"""Recording one run of a whole step: forward, sweeps, updates.  What cannot be recorded raises, with the user's line.

While a step is traced, its results are `Traced`: Tensors that know of it.  Each operation tells the Tracer, also in a
sweep, whose rules run on Traced, too.  A number that leaves the record (`loss.item()`, `if loss > 1`) raises.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

from tinygrad_edu.anomaly import users_line
from tinygrad_edu.errors import CompileError
from tinygrad_edu.memory import tick
from tinygrad_edu.modes import current_mode, mode
from tinygrad_edu.op import OPS, Op
from tinygrad_edu.optim import Optimizer
from tinygrad_edu.record import Node, Value, leaf, result
from tinygrad_edu.tensor import Tensor, sweep_from

__all__ = ["DELIVER", "UPDATE", "Record", "Traced", "Tracer", "Untraceable"]


class Untraceable(CompileError):
    """Something in a step that cannot be recorded."""


def _refuse(what: str) -> NoReturn:
    raise Untraceable(f"compile: {users_line().rstrip(':')}: {what}")


VALUE = (
    "{} needs the number itself, which a compiled step computes only later. Return the tensor and look at it outside "
    "(for a choice between two results there is tg.where)."
)


OUT_OF_REACH = (
    "cannot be reached by names that the step uses, so it could not be put back between the runs that check the "
    "compiled step: use a variable, an attribute or an argument that leads to it."
)


class Traced(Tensor):
    """A result, or an argument, of a step that is being traced."""

    __slots__ = ()

    def __bool__(self) -> bool:
        _refuse(VALUE.format("a condition on a tensor"))

    def __float__(self) -> float:
        _refuse(VALUE.format("float(tensor)"))

    def __int__(self) -> int:
        _refuse(VALUE.format("int(tensor)"))

    def __index__(self) -> int:
        _refuse(VALUE.format("a tensor used as a Python index"))

    def item(self) -> Any:
        _refuse(VALUE.format("item()"))

    def tolist(self) -> Any:
        _refuse(VALUE.format("tolist()"))

    def numpy(self) -> Any:
        _refuse(VALUE.format("numpy()"))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        _refuse(VALUE.format("np.asarray(tensor)"))

    def __repr__(self) -> str:
        _refuse(VALUE.format("printing a tensor"))

    def __format__(self, spec: str) -> str:
        _refuse(VALUE.format("printing a tensor"))

    @property
    def data(self) -> Any:
        _refuse(VALUE.format("tensor.data"))

    @data.setter
    def data(self, values: Any) -> None:
        _refuse("replacing tensor.data is not recorded; return the new values, or use an optimiser of tg.optim.")

    def __setitem__(self, index: Any, value: Any) -> None:
        _refuse("writing into a tensor (t[...] = v) cannot be compiled; compute a new one (tg.where, tg.concatenate).")

    def _becomes(self, result: Tensor) -> Tensor:
        _refuse("t += u writes into t, which cannot be compiled; write t = t + u.")

    def register_hook(self, hook: Any) -> Any:
        _refuse("hooks cannot be compiled.")

    def retain_grad(self) -> None:
        _refuse("retain_grad() cannot be compiled; tg.grad returns the gradients of intermediate results.")

    def detach(self) -> Tensor:
        return result(DETACH, (self._data,), None, (self._node,), self._data, False)  # type: ignore[return-value]

    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
        if create_graph:
            _refuse("backward(create_graph=True) cannot be compiled; tg.grad(..., create_graph=True) can.")
        found = sweep_from([self], [gradient], None, retain_graph, create_graph)
        for node, g in found.items():
            current_mode().tracer.deliver(node, g)


def _same(x: Any) -> Any:
    return x


# What a step does besides computing: `detach`; a sweep gives a leaf its gradient; an optimiser changes a parameter.
DETACH: Op[Any] = Op(_same, vjps=[None], name="detach")
DELIVER: Op[Any] = Op(lambda g, leaf: g, vjps=[None], name="deliver", like=lambda g, leaf: g)
UPDATE: Op[Any] = Op(
    lambda p, g, optimizer, index: p,
    vjps=[None, None],
    name="update",
    like=lambda p, g, optimizer, index: p,
    writes=(0,),
)


class Record:
    """One operation that has run: as a Node, but a sweep does not free it."""

    __slots__ = ("args", "node", "of", "op", "params", "parents", "value", "where")

    def __init__(self, op: Any, args: Any, params: Any, parents: Any, value: Any, node: Node | None, where: str):
        self.op, self.args, self.params, self.parents, self.value = op, args, params or {}, parents, value
        self.node, self.where = node, where
        self.of: Node | None = None  # the Node whose rule it belongs to, in a sweep


class Tracer:
    """What one run of a step has done."""

    result_class: type[Tensor] = Traced

    def __init__(self, lines: bool = True, leaves: Iterable[Node] = (), optimizers: Iterable[Optimizer] = ()) -> None:
        self.known = set(leaves)  # those whose gradients, and what is changed with them, can be put back
        self.known_optimizers = set(optimizers)
        self.start = tick()  # Nodes that are younger were made in the step
        self.records: list[Record] = []
        self.modules: dict[Any, None] = {}  # those that were called
        self.gradients: dict[Node, Node] = {}  # the Node of a gradient -> the Node it is the gradient of
        self.accumulated: dict[Node, None] = {}  # leaves whose gradient is added to one from before
        self.optimizers: dict[Optimizer, None] = {}
        self.lines = lines
        self.mark = 0

    def mode(self) -> mode:
        """The mode in which a step is traced."""
        return mode(everything=True, tracer=self)

    def record(self, out: Value) -> None:
        """The engine has computed `out`."""
        n = out._node
        assert n is not None
        self.records.append(Record(n.op, n.args, n.params, n.parents, n.value, n, users_line() if self.lines else ""))

    def copied(self, array: Any, original: Any) -> None:
        """A Tensor, or an index, was made as a copy of another."""
        data, node = (original._data, original._node) if isinstance(original, Value) else (original, None)
        params = {"dtype": array.dtype}
        self.records.append(Record(OPS["astype"], (data,), params, (node,), array, None, users_line()))

    def sweeping(self) -> Any:
        """A sweep begins: what it is to tell of each edge."""
        self.mark = len(self.records)
        return self.watch

    def watch(self, node: Node, parent: Node, contribution: Any, total: Any) -> None:
        """The sweep has gone along one edge: what was recorded since the last one belongs to `node`."""
        for record in self.records[self.mark :]:
            record.of = node
        self.mark = len(self.records)
        if isinstance(total, Value) and total._node is not None:
            self.gradients[total._node] = parent

    def argument(self, x: Any) -> Traced:
        """An argument of the step, as it is traced."""
        data, needs_grad = (x._data, x.requires_grad) if isinstance(x, Tensor) else (x, False)
        traced = Traced.__new__(Traced)
        traced._data, traced._node = data, leaf(data, needs_grad)
        if needs_grad:
            traced._node.note().grad = x.grad
        return traced

    def deliver(self, node: Node, g: Any) -> None:
        """A sweep has found the gradient of a leaf."""
        notes = node.note()
        if notes.hooks:
            _refuse("hooks cannot be compiled.")
        if node.order < self.start and node not in self.known:
            _refuse(f"the parameter {notes.name or 'that this gradient belongs to'} {OUT_OF_REACH}")
        old = notes.grad
        if old is not None and not isinstance(old, Traced):
            self.accumulated[node] = None
            old = None
        if not isinstance(g, Value):  # the cotangent itself
            g = self.argument(g)
        if old is not None:
            g = old + g
        value = np.array(g._data)
        out = result(DELIVER, (g._data,), {"leaf": node}, (g._node,), value, False)
        assert out._node is not None
        self.gradients[out._node] = node
        notes.grad = out

    def step(self, optimizer: Optimizer) -> None:
        """`optimizer.step()`: one update for each parameter that has a gradient."""
        if optimizer not in self.known_optimizers:
            _refuse(f"this optimiser {OUT_OF_REACH}")
        self.optimizers[optimizer] = None
        for i, (p, scratch) in enumerate(zip(optimizer.params, optimizer.scratch)):
            g = p.grad
            if g is None:
                continue
            if not isinstance(g, Traced):
                _refuse("this update takes a gradient that the step has not computed; call backward() in it.")
            optimizer.update(i, p.data, g._data, scratch)
            result(UPDATE, (p.data, g._data), {"optimizer": optimizer, "index": i}, (p._node, g._node), p.data, False)
