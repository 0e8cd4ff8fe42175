"""A compiled function and what leads into it: its inputs, its scratch, and the checks that it still is the right one.

The door is generated, too: it stands before each call, so it may cost no more than a microsecond or two.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.compiler.buffers import Piece, laid_out, order_of
from tinygrad_edu.compiler.listing import Listing, Origin, Result, identifier
from tinygrad_edu.compiler.source import Source
from tinygrad_edu.compiler.state import Reach, contents, same_attributes
from tinygrad_edu.compiler.tracing import UPDATE
from tinygrad_edu.errors import CompileError
from tinygrad_edu.memory import aligned, edited_again, write_of
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


ALONE = _alone()


class Plan(NamedTuple):
    """What memory a function needs."""

    sizes: list[int]  # of the slots, in bytes
    pieces: list[Piece]  # views of them
    gradients: list[Piece]  # and of large results: each with memory of its own


class Memory:
    """The memory of one call at a time: calls in other threads take another one."""

    def __init__(self, plan: Plan) -> None:
        self.slots = [aligned(np.zeros(size, np.uint8)) for size in plan.sizes]
        self.pieces = [laid_out(self.slots[piece.slot], piece) for piece in plan.pieces]
        self.gradients = [_fresh(piece) for piece in plan.gradients]
        self.kept: list[list[np.ndarray]] = [[] for _ in self.gradients]

    def replace(self, i: int) -> None:
        """Other memory for gradient (or result) number i: somebody has kept the last one."""
        kept = self.kept[i]
        kept.append(self.gradients[i])
        for k in range(len(kept)):
            if getrefcount(kept[k]) <= ALONE and getrefcount(kept[k].base) <= ALONE:  # given up meanwhile
                self.gradients[i] = kept.pop(k)
                break
        else:
            self.gradients[i] = _fresh(_piece(kept[-1]))
        del kept[:-2]


def _piece(array: np.ndarray) -> Piece:
    return Piece(0, array.shape, array.dtype, order_of(array) or tuple(range(array.ndim)))


def _fresh(piece: Piece) -> np.ndarray:
    """Memory for a gradient or a result.  Views of it hang on its base."""
    return laid_out(aligned(np.empty(math.prod(piece.shape) * piece.dtype.itemsize, np.uint8)), piece)


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
        self.plan = Plan(source.scratch.sizes, [*source.pieces.values()], gradients)
        self.modules = [(module, dict(vars(module))) for module in listing.tracer.modules]
        self.changes = Module.changes
        self.pool: list[Memory] = []
        self.namespace = {**source.namespace}  # of the function
        signature = [source.names[x] for x in source.inputs] + [*source.pieces, *source.gradient_buffers]
        head = f"def {self.name}({', '.join(signature)}):"
        heads = ["\n".join(source.heads) + "\n\n"] if source.heads else []
        self.text = "\n".join([*heads, *[f"{text}\n\n" for text in source.blocks.values()], head, *source.lines]) + "\n"
        self.first = self.text[: self.text.index(head)].count("\n") + 1  # the line of `head`
        self.file = f"<compiled {self.name}>"
        exec(compile(self.text, self.file, "exec"), self.namespace)
        self.function = self.namespace[self.name]
        self.gradients = [(node, name) for name, (node, _) in source.gradient_buffers.items()]
        self.delivered = list(source.delivered)
        self.zeroed = zeroed
        self.attach, self.extra = attach, extra
        self.optimizers = [(o, _settings(o)) for o in listing.tracer.optimizers]
        self.call = self._generated(listing, source, results)
        self.quick: Callable[[tuple[Any, ...]], Any] | None = None

    def hasten(self, args: tuple[Any, ...]) -> None:
        """A shorter way in for arguments that are arrays: a microsecond less than looking the function up."""
        if not args or not all(type(x) is np.ndarray for x in args):
            return
        names: dict[str, Any] = {"STALE": STALE, "ndarray": np.ndarray, "call": self.call}
        variables = [f"x{i}" for i in range(len(args))]
        lines = [
            "def quick(args):",
            f"    if len(args) != {len(args)}: return STALE",
            f"    {', '.join(variables)}, = args",
        ]
        for x, array in zip(variables, args):
            names[f"{x}_dtype"], names[f"{x}_shape"], names[f"{x}_strides"] = array.dtype, array.shape, array.strides
            lines.append(f"    if type({x}) is not ndarray or {x}.dtype is not {x}_dtype: return STALE")
            lines.append(f"    if {x}.shape != {x}_shape or {x}.strides != {x}_strides: return STALE")
        lines.append("    return call(args)")
        exec(compile("\n".join(lines), f"<way into {self.name}>", "exec"), names)
        self.quick = names["quick"]

    # --------------------------------------------------------------------------------------- generated

    def _generated(self, listing: Listing, source: Source, results: Any) -> Callable[[list[Any]], Any]:
        """The door itself, as a function of the arrays and Tensors among the arguments."""
        names: dict[str, Any] = {
            "STALE": STALE, "Module": Module, "door": self, "step": self.function, "pool": self.pool,
            "refs": getrefcount, "errstate": np.errstate, "make": self._memory, "edited_again": edited_again,
            "tensor": _tensor, "np": np,
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
        lines.append("    if door.changes != Module.changes and not door.unchanged(): return STALE")
        for at in range(0, len(guards), 8):
            lines.append(f"    if not ({' and '.join(guards[at : at + 8])}): return STALE")
        inputs = [self._input(listing.inputs[variable], name) for variable in source.inputs]
        updated = [e.operands[0] for e in source.equations if e.op is UPDATE]
        if updated:
            self.arrays = [_held(listing.inputs[x]) for x in updated]
            self.writes = [write_of(array) for array in self.arrays]
            held = [self._input(listing.inputs[x], name) for x in updated]
            same = " and ".join(f"{text} is door.arrays[{i}]" for i, text in enumerate(held))
            lines.append(f"    if not ({same}) and not door.moved([{', '.join(held)}]): return STALE")
        lines.append("    memory = pool.pop() if pool else make()")
        lines.append("    gradients = memory.gradients")

        def notes_of(node: Node) -> str:
            k = listing.arguments.get(node)
            return name(node.note(), "notes") if k is None else f"leaves[{k}]._node.note()"

        for i, (node, _) in enumerate(self.gradients):
            own = "0"
            if node is not None and node not in source.accumulated:
                own = f"({notes_of(node)}.grad is gradients[{i}])"
            lines.append(
                f"    if refs(gradients[{i}]) > {ALONE} + {own} or refs(gradients[{i}].base) > {ALONE}: "
                f"memory.replace({i})"
            )
        lines.append("    try:")
        lines.append("        with errstate(all='ignore'):")
        lines.append(f"            out = step({', '.join([*inputs, '*memory.pieces', '*gradients'])})")
        lines.append("    except Exception as error: door.explain(error)")
        lines.append("    finally: pool.append(memory)")
        count = len(source.results)
        for i, node in enumerate(self.delivered):
            lines.append(f"    {notes_of(node)}.grad = out[{count + i}]")
        for node in self.zeroed:
            lines.append(f"    {notes_of(node)}.grad = None")
        if updated:
            lines.append("    edited_again(door.writes)")
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
        self.writes = [write_of(array) for array in arrays]
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


def _settings(optimizer: Any) -> dict[str, Any]:
    """What decides which equations an optimiser's step has: all its numbers but lr, which is read at each call."""
    return {k: v for k, v in vars(optimizer).items() if isinstance(v, bool | int | float | tuple) and k != "_lr"}


def _written(tree: Any, leaf: Callable[[Any], str]) -> str:
    """A tree of results as an expression."""
    if isinstance(tree, tuple):
        return f"({', '.join(_written(x, leaf) for x in tree)}{',' * (len(tree) == 1)})"
    if isinstance(tree, list):
        return f"[{', '.join(_written(x, leaf) for x in tree)}]"
    if isinstance(tree, dict):
        return f"{{{', '.join(f'{key!r}: {_written(x, leaf)}' for key, x in tree.items())}}}"
    return leaf(tree)
