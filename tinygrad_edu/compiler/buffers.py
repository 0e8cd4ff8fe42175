"""Where each value of a step is kept: which memory it shares, how long it lives, which scratch it is written to.

Fresh arrays of a megabyte cost more than the arithmetic on them (page faults), so each call writes into the same
scratch: a value takes over the memory of an operand that nobody needs any more, or a piece of scratch that is free.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.compiler.listing import Renaming, reads, variables_in
from tinygrad_edu.program import Equation, Variable

__all__ = ["Lifetimes", "Piece", "Scratch", "laid_out", "order_of"]

FOREVER = 1 << 60


class Piece(NamedTuple):
    """A piece of scratch as one value sees it."""

    slot: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: tuple[int, ...]  # the axes from the outermost in memory to the innermost


def order_of(value: np.ndarray) -> tuple[int, ...] | None:
    """The order of axes in which an array's elements lie side by side in memory, or None if they don't."""
    axes = tuple(sorted(range(value.ndim), key=lambda i: (-value.strides[i], -value.shape[i], i)))
    if value.flags.c_contiguous:
        return tuple(range(value.ndim))
    return axes if value.transpose(axes).flags.c_contiguous else None


def laid_out(memory: np.ndarray, piece: Piece) -> np.ndarray:
    """A view of raw memory with the shape, dtype and order of a piece."""
    size = int(np.prod(piece.shape)) * piece.dtype.itemsize
    shape = tuple(piece.shape[i] for i in piece.order)
    return memory[:size].view(piece.dtype).reshape(shape).transpose(np.argsort(piece.order).tolist())


class Lifetimes:
    """Which Variables share memory, and when each memory is read for the last time."""

    def __init__(self, equations: list[Equation], results: Iterable[Variable], renaming: Renaming) -> None:
        self.memory = renaming.memory
        self.root: dict[Variable, Variable] = {}
        self.last: dict[Variable, int] = {}
        self.made: dict[Variable, int] = {}
        for i, equation in enumerate(equations):
            needed = reads(equation)
            for x in needed:
                self.last[self.of(x)] = i
            for target in (equation.target, *variables_in(equation.kept)):
                self.made[target] = i
                self.root[target] = self.shared(target, needed)
                self.last[self.of(target)] = max(i, self.last.get(self.of(target), 0))
        for x in results:
            self.last[self.of(x)] = FOREVER

    def of(self, x: Variable) -> Variable:
        """The Variable whose memory this one sees."""
        return self.root.get(x, x)

    def shared(self, target: Variable, needed: list[Variable]) -> Variable:
        """The root of what an operation has returned: of an operand if it is a view of it, else itself."""
        if not isinstance(target.value, np.ndarray):
            return target
        memory = self.memory(target)
        for x in needed:
            if isinstance(x.value, np.ndarray) and self.memory(x) == memory:
                return self.of(x)
        return target


class Scratch:
    """Pieces of memory, given out and taken back: a large one is split for nobody, the smallest that fits is taken."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.free: list[int] = []
        self.busy_rows: list[int] = []  # of the update that is being written

    def take(self, size: int) -> int:
        """The number of a slot of at least `size` bytes."""
        fitting = [slot for slot in self.free if self.sizes[slot] >= size]
        if fitting:
            slot = min(fitting, key=lambda s: (self.sizes[s], s))
            if self.sizes[slot] <= 4 * size + 4096:
                self.free.remove(slot)
                return slot
        elif self.free and size > 4096:  # the largest free one grows
            slot = max(self.free, key=lambda s: (self.sizes[s], -s))
            if self.sizes[slot] * 4 >= size:
                self.free.remove(slot)
                self.sizes[slot] = size
                return slot
        self.sizes.append(size)
        return len(self.sizes) - 1

    def give_back(self, slot: int) -> None:
        """Nobody needs this slot any more."""
        self.free.append(slot)
