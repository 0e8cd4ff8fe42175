"""A chain of element-wise operations, written as a function of one block and a line that calls it for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu.blocks import BLOCK, in_blocks
from tinygrad_edu.compiler.blocks import is_total
from tinygrad_edu.compiler.buffers import Piece
from tinygrad_edu.compiler.lowering import ufunc_of
from tinygrad_edu.compiler.passes import uniform
from tinygrad_edu.compiler.threads import WIDE, in_threads, pays
from tinygrad_edu.compiler.words import SIGNS
from tinygrad_edu.program import Equation, Variable

if TYPE_CHECKING:
    from tinygrad_edu.compiler.source import Source

__all__ = ["write_chain"]


def write_chain(source: Source, chain: list[Equation], end: int) -> None:
    """Element-wise operations on large arrays: a function of one block, and a line that calls it for each."""
    made = {e.target for e in chain}
    total = next((e.target for e in chain if is_total(e)), None)
    out = [
        e
        for e in chain
        if e.target is not total
        and (source.life.last[source.life.of(e.target)] >= end or e.target in source.handed_over)
    ]
    given = dict.fromkeys(x for e in chain for x in e.operands if isinstance(x, Variable) and x not in made)
    arrays = [x for x in given if np.ndim(x.value) and (x not in source.constants or uniform(x) is None)]
    names = {x: source.text(x) for x in arrays}
    for e in out:
        names[e.target], has_memory = source.memory(e)
        if not has_memory:
            source.line(f"{names[e.target]} = np.empty({e.target.shape}, {source.literal(e.target.dtype)})")
    numbers = [x for x in given if not np.ndim(x.value) and x not in source.constants]
    block = Block(source, chain, {**names, **{x: source.text(x) for x in numbers}}, {e.target for e in out})
    function = source.constant(f"block{len(source.blocks) + 1}", block)
    inputs = [names[x] for x in (*arrays, *(e.target for e in out))]
    shared = source.is_alone and pays(chain[0].target.value.size, len(chain))
    length = 2 * WIDE if shared else BLOCK
    scratch = []
    for number, dtype in enumerate(block.dtypes):
        slot = source.scratch.take(length * dtype.itemsize)
        name = f"{function}_row{number + 1}"
        source.fixed.add(name)
        source.pieces[name] = Piece(slot, (length,), dtype, (0,))
        scratch.append((name, slot))
    for _, slot in scratch:
        source.scratch.give_back(slot)
    loose = [source.text(x) for x in numbers]
    head = f"def {function}({', '.join([*inputs, *block.registers, *loose])}):"
    source.blocks[function] = "\n".join([head, *block.lines])
    del source.namespace[function]
    call = source.constant("in_threads", in_threads) if shared else source.constant("in_blocks", in_blocks)
    result = "" if total is None else f"{source.named(total)} = "
    texts = [f"({', '.join(part)}{',' * (len(part) == 1)})" for part in (inputs, [n for n, _ in scratch], loose)]
    source.line(f"{result}{call}({function}, {', '.join(texts)})")


class Block:
    """Element-wise operations on one block, in as few rows of scratch as they need."""

    def __init__(self, source: Source, chain: list[Equation], names: dict[Variable, str], out: set[Variable]) -> None:
        self.lines: list[str] = []
        self.registers: list[str] = []
        self.dtypes: list[np.dtype[Any]] = []
        last = {x: i for i, e in enumerate(chain) for x in e.operands if isinstance(x, Variable)}
        names = dict(names)
        self.taken = set(names.values())
        end = ""
        free: list[int] = []
        held: dict[Variable, int] = {}
        for i, e in enumerate(chain):
            source.where = e.where or ""
            target = e.target
            if is_total(e):
                x = e.operands[0]
                total = self.word("total")
                self.lines.append(f"    {total} = np.add.reduce({names[x]})")
                end = f"    return {total}"
                if x in held and last[x] == i:
                    free.append(held.pop(x))
                continue
            beside = next(
                (x for x in e.operands if isinstance(x, Variable) and x in names and np.ndim(x.value)), target
            )
            texts = [names[x] if x in names else source.text(x, beside) for x in e.operands]
            dying = [x for x in dict.fromkeys(e.operands) if x in held and last[x] == i]
            if target not in out:
                x = next((x for x in dying if x.dtype == target.dtype), None)
                if x is not None:
                    dying.remove(x)
                    held[target] = held.pop(x)
                else:
                    held[target] = self.register(target.dtype, free)
                names[target] = self.registers[held[target]]
            name, sign = names[target], SIGNS.get(e.op.name)
            if sign and texts[0] == name:
                self.lines.append(f"    {name} {sign}= {texts[1]}")
            else:
                self.lines.append(f"    np.{ufunc_of(e.op).__name__}({', '.join(texts)}, out={name})")  # type: ignore[union-attr]
            free += [held.pop(x) for x in dying]
        if end:
            self.lines.append(end)

    def word(self, word: str) -> str:
        """A name that no argument of the block has."""
        while word in self.taken:
            word = f"{word}_"
        return word

    def register(self, dtype: np.dtype[Any], free: list[int]) -> int:
        """A row of scratch that nobody uses."""
        for number in free:
            if self.dtypes[number] == dtype:
                free.remove(number)
                return number
        self.registers.append(self.word(f"t{len(self.registers) + 1}"))
        self.dtypes.append(dtype)
        return len(self.registers) - 1
