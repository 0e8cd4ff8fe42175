"""A compiled function and what leads into it: its inputs, its scratch, and the checks that it still is the right one.

The door is generated, too: it stands before each call, so it may cost no more than a microsecond or two.
"""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Callable
from contextvars import Context
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.compiler.buffers import Piece, laid_out, order_of
from tinygrad_edu.compiler.listing import Listing, Origin, Result, identifier
from tinygrad_edu.compiler.source import Source
from tinygrad_edu.compiler.state import Reach, contents, same_attributes
from tinygrad_edu.compiler.tracing import UPDATE
from tinygrad_edu.errors import CompileError
from tinygrad_edu.memory import aligned, write_of, writing
from tinygrad_edu.nn.module import Module
from tinygrad_edu.record import Node
from tinygrad_edu.tensor import Tensor

__all__ = ["STALE", "Door"]

STALE = object()  # what a door answers when its function no longer fits

getrefcount: Callable[[Any], int] = getattr(sys, "getrefcount", lambda _: 1_000)


def _alone() -> int:
    """What getrefcount says of an array that only a list holds."""
    held = [np.empty(1)]
    return getrefcount(held[0])


ALONE = _alone() if hasattr(sys, "getrefcount") else 0  # where nothing can be counted, everything may be kept


class Plan(NamedTuple):
    """A function, and what memory it needs as its last arguments."""

    function: Any
    sizes: list[int]  # of the slots, in bytes
    pieces: list[Piece | np.ndarray]  # views of them, and scratch that somebody else has
    gradients: list[Piece]  # and of large results: each with memory of its own


class Memory:
    """The memory of one call at a time, and the function with it: calls in other threads take another one."""

    def __init__(self, plan: Plan) -> None:
        self.slots = [aligned(np.zeros(size, np.uint8)) for size in plan.sizes]
        self.gradients = [_fresh(piece) for piece in plan.gradients]
        self.kept: list[list[np.ndarray]] = [[] for _ in self.gradients]
        # Scratch is the function's defaults: that is quicker than to hand it over at each call.
        scratch = tuple([laid_out(self.slots[x.slot], x) if isinstance(x, Piece) else x for x in plan.pieces])
        f = plan.function
        self.step = types.FunctionType(f.__code__, f.__globals__, f.__name__, scratch)
        # NumPy's warnings are off in this context: entering it takes a twentieth of the time of `np.errstate`.
        quiet = Context()
        quiet.run(np.seterr, all="ignore")
        self.quietly = quiet.run

    def look(self, i: int, left: bool) -> None:
        """Take other memory for gradient (or result) number i if somebody has kept the last one.

        `left`: it stands in the leaf's `.grad`, where the last call has left it.
        """
        gradients, kept = self.gradients, self.kept[i]
        if getrefcount(gradients[i]) <= ALONE + left:
            return
        kept.append(gradients[i])
        for k in range(len(kept) - 1):
            if getrefcount(kept[k]) <= ALONE:  # given up meanwhile
                gradients[i] = kept.pop(k)
                break
        else:
            gradients[i] = _fresh(_piece(kept[-1]))
        del kept[:-2]


def _piece(array: np.ndarray) -> Piece:
    return Piece(0, array.shape, array.dtype, order_of(array) or tuple(range(array.ndim)))


class _Owner(np.ndarray):
    """Memory as NumPy takes it.  A view of a view of it hangs on that view, since the owner is of another class."""


def _fresh(piece: Piece) -> np.ndarray:
    """Memory for a gradient or a result: all views of it count as its users."""
    size = math.prod(piece.shape) * piece.dtype.itemsize
    memory = _Owner(size + 63, np.uint8)
    start = -memory.ctypes.data % 64  # aligned, as in `aligned`
    strides = laid_out(np.empty(size, np.uint8), piece).strides
    return np.ndarray(piece.shape, piece.dtype, memory, start, strides)


class Door:
    """One compiled function, ready to be called with the arrays and Tensors among its arguments."""

    def __init__(
        self,
        name: str,
        source: Source,
        listing: Listing,
        results: Any,
        reach: Reach,
        zeroed: list[Node],
        attach: Callable[[Any, tuple[Any, ...]], Any] | None,
        extra: int,
    ) -> None:
        self.name = identifier(name)
        self.reach = reach
        self.wheres = source.wheres
        self.eps = source.eps
        gradients = [_piece(variable.value) for _, variable in source.gradient_buffers.values()]
        self.modules = [(module, dict(vars(module))) for module in listing.tracer.modules]
        self.changes = Module.changes
        self.pool: list[Memory] = []
        self.namespace = {**source.namespace}  # of the function
        signature = [source.names[x] for x in source.inputs] + [*source.gradient_buffers, *source.pieces]
        head = f"def {self.name}({', '.join(signature)}):"
        heads = ["\n".join(source.heads) + "\n\n"] if source.heads else []
        self.text = "\n".join([*heads, *[f"{text}\n\n" for text in source.blocks.values()], head, *source.lines]) + "\n"
        self.first = self.text[: self.text.index(head)].count("\n") + 1  # the line of `head`
        self.file = f"<compiled {self.name}>"
        exec(compile(self.text, self.file, "exec"), self.namespace)
        pieces = [*source.pieces.values()]
        self.plan = Plan(self.namespace[self.name], source.scratch.sizes, pieces, gradients)
        self.gradients = [(node, name) for name, (node, _) in source.gradient_buffers.items()]
        self.delivered = list(source.delivered)
        self.zeroed = zeroed
        self.attach, self.extra = attach, extra
        self.optimizers = [(o, _settings(o)) for o in listing.tracer.optimizers]
        self.call = self._generated(listing, source, results)
        self.quick: Callable[[tuple[Any, ...]], Any] | None = None

    def hasten(self, args: tuple[Any, ...]) -> None:
        """A shorter way in for arguments that are arrays, or lists of them: no function has to be looked up."""
        names: dict[str, Any] = {"STALE": STALE, "ndarray": np.ndarray, "call": self.call}
        lines = ["def quick(args):"]
        leaves: list[str] = []

        def take(x: Any, word: str) -> bool:
            """Unpack one argument; `quick` returns if it is of another kind than it was here."""
            if type(x) is np.ndarray:
                leaves.append(word)
                names.update({f"{word}_dtype": x.dtype, f"{word}_shape": x.shape, f"{word}_strides": x.strides})
                lines.append(f"    if type({word}) is not ndarray or {word}.dtype is not {word}_dtype: return STALE")
                lines.append(f"    if {word}.shape != {word}_shape or {word}.strides != {word}_strides: return STALE")
                return True
            if type(x) not in (list, tuple):
                return False
            parts = [f"{word}_{i}" for i in range(len(x))]
            lines.append(f"    if type({word}) is not {type(x).__name__} or len({word}) != {len(x)}: return STALE")
            lines.append(f"    [{', '.join(parts)}] = {word}")
            return all(map(take, x, parts))

        if not take(args, "args"):
            return
        lines.append(f"    return call([{', '.join(leaves)}])")
        exec(compile("\n".join(lines), f"<way into {self.name}>", "exec"), names)
        self.quick = names["quick"]

    # --------------------------------------------------------------------------------------- generated

    def _generated(self, listing: Listing, source: Source, results: Any) -> Callable[[list[Any]], Any]:
        """The door itself, as a function of the arrays and Tensors among the arguments."""
        names: dict[str, Any] = {
            "STALE": STALE, "Module": Module, "door": self, "pool": self.pool, "make": self._memory,
            "refs": getrefcount, "errstate": np.errstate, "writing": writing, "tensor": _tensor, "np": np,
        }  # fmt: skip

        def name(value: Any, word: str) -> str:
            for known, other in names.items():
                if other is value:
                    return known
            names[f"{word}{len(names)}"] = value
            return f"{word}{len(names) - 1}"

        lines = ["def call(leaves):"]
        guards = []
        for variable in source.inputs:
            origin = listing.inputs[variable]
            if origin.kind == "leaf":
                guards.append(f"{name(origin.what, 'leaf')}.needs_grad is {origin.what.needs_grad}")
        for names_of, word, value in self.reach.names:
            guards.append(f"{name(names_of, 'globals')}.get({word!r}) is {name(value, 'value')}")
        for cell, value in self.reach.cells:
            guards.append(f"{name(cell, 'cell')}.cell_contents is {name(value, 'value')}")
        for _, holder, before in self.reach.holders:
            values = before.values() if isinstance(before, dict) else before
            if all(isinstance(x, bool | int | float | str | None) for x in values):
                guards.append(f"{name(contents(holder), 'held')} == {name(before, 'before')}")
            elif "door.reach.unchanged()" not in guards:  # what is in it may have an == of its own
                guards.append("door.reach.unchanged()")
        for optimizer, settings in self.optimizers:
            guards += [
                f"{name(optimizer, 'optimizer')}.{key} == {name(value, 'value')}" for key, value in settings.items()
            ]
        guards += [f"{name(optimizer, 'optimizer')}.are_together()" for optimizer in source.together]
        lines.append("    if door.changes != Module.changes and not door.unchanged(): return STALE")
        for at in range(0, len(guards), 8):
            lines.append(f"    if not ({' and '.join(guards[at : at + 8])}): return STALE")
        inputs = [self._input(listing.inputs[variable], name) for variable in source.inputs]
        inputs += [f"gradients[{i}]" for i in range(len(self.gradients))]
        updated = [e.operands[0] for e in source.equations if e.op is UPDATE]
        if updated:
            self.arrays = [_held(listing.inputs[x]) for x in updated]
            held = [self._input(listing.inputs[x], name) for x in updated]
            same = " and ".join(f"{text} is array{i}" for i, text in enumerate(held))
            lines.append(f"    if not ({same}) and not door.moved([{', '.join(held)}]): return STALE")
        lines.append("    memory = pool.pop() if pool else make()")
        lines.append("    gradients = memory.gradients")

        def notes_of(node: Node) -> str:
            k = listing.arguments.get(node)
            return name(node.note(), "notes") if k is None else f"leaves[{k}]._node.note()"

        for i, (node, _) in enumerate(self.gradients):
            if node is not None and node not in source.accumulated:
                left = f"{notes_of(node)}.grad is gradients[{i}]"
                lines.append(f"    if refs(gradients[{i}]) != {ALONE + 1} or not {left}: memory.look({i}, {left})")
            else:
                lines.append(f"    if refs(gradients[{i}]) > {ALONE}: memory.look({i}, False)")
        lines.append("    try:")
        if source.foreign:
            lines.append(f"        with errstate(all='ignore'): out = memory.step({', '.join(inputs)})")
        else:
            lines.append(f"        out = memory.quietly({', '.join(['memory.step', *inputs])})")
        lines.append("    except Exception as error: door.explain(error)")
        lines.append("    finally: pool.append(memory)")
        count = len(source.results)
        for i, node in enumerate(self.delivered):
            lines.append(f"    {notes_of(node)}.grad = out[{count + i}]")
        for node in self.zeroed:
            lines.append(f"    {notes_of(node)}.grad = None")
        if updated:
            lines.append(f"    {' = '.join(f'write{i}.any' for i in range(len(updated)))} = writing()")
        numbers = iter(range(count))

        def result(x: Any) -> Any:
            if not isinstance(x, Result):
                return name(x, "value") if not isinstance(x, bool | int | float | str | None) else repr(x)
            i = next(numbers)
            return f"tensor(out[{i}])" if x.tensor else f"out[{i}]"

        text = _written(results, result)
        lines.append(f"    result = {text}")
        if self.attach is not None:
            first = count - self.extra
            names["attach"] = self.attach
            lines.append(f"    attach(result, out[{first}:{count}])")
        lines.append("    return result")
        exec(compile("\n".join(lines), f"<door of {self.name}>", "exec"), names)
        self.names = names
        if updated:
            self.moved(self.arrays)
        return names["call"]

    @staticmethod
    def _input(origin: Origin, name: Callable[[Any, str], str]) -> str:
        if origin.kind == "argument":
            return f"leaves[{origin.what}]" + "._data" * origin.tensor
        if origin.kind == "leaf":
            return f"{name(origin.what, 'leaf')}.value"
        if origin.kind == "tensor":
            return f"{name(origin.what, 'tensor')}._data"
        return name(origin.what, "array")

    # ------------------------------------------------------------------------------ what is rarely called

    def _memory(self) -> Memory:
        return Memory(self.plan)

    def unchanged(self) -> bool:
        """Have all modules that were called the attributes that they had?"""
        if all(same_attributes(module, attributes) for module, attributes in self.modules):
            self.changes = Module.changes
            return True
        return False

    def moved(self, arrays: list[np.ndarray]) -> bool:
        """Parameters have other memory than before: is it laid out in the same way?"""
        if any(now.strides != before.strides for now, before in zip(arrays, self.arrays)):
            return False
        self.arrays = arrays
        for i, array in enumerate(arrays):
            self.names[f"array{i}"], self.names[f"write{i}"] = array, write_of(array)
        return True

    def explain(self, error: Exception) -> None:
        """Raise an error of the compiled function with the line of the user that it came from."""
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.file:
                line = trace.tb_lineno - self.first - 1
                where = self.wheres[line] if line >= 0 else ""
                if where:
                    try:
                        told: Exception = type(error)(f"{error} (compiled from {where})")
                    except Exception:  # an error with other arguments
                        told = CompileError(f"compile: {type(error).__name__}: {error} (compiled from {where})")
                    raise told from error
            trace = trace.tb_next
        raise error


def _held(origin: Origin) -> Any:
    return origin.what.value if origin.kind == "leaf" else origin.what._data


def _tensor(data: Any) -> Tensor:
    tensor = Tensor.__new__(Tensor)
    tensor._data, tensor._node = data, None
    return tensor


SETTINGS = (bool, int, float, np.generic, tuple)  # what can't be changed but by setting the attribute


def _settings(optimizer: Any) -> dict[str, Any]:
    """What decides which equations an optimiser's step has: all its numbers but lr, which is read at each call."""
    return {k: v for k, v in vars(optimizer).items() if isinstance(v, SETTINGS) and k != "_lr"}


def _written(tree: Any, leaf: Callable[[Any], str]) -> str:
    """A tree of results as an expression."""
    if isinstance(tree, tuple):
        return f"({', '.join(_written(x, leaf) for x in tree)}{',' * (len(tree) == 1)})"
    if isinstance(tree, list):
        return f"[{', '.join(_written(x, leaf) for x in tree)}]"
    if isinstance(tree, dict):
        return f"{{{', '.join(f'{key!r}: {_written(x, leaf)}' for key, x in tree.items())}}}"
    return leaf(tree)
