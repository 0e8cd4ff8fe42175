"""The order of equations: a large product waits until there is memory that it can be written to.

The record goes back through a layer in the order of its inputs: first the gradient of what the layer below has
returned, d_h = d W^T, then that of its weights, and then the mask of the ReLU below.  These are the last that read h.
If d_h comes behind them, it takes h's memory, as an expert would write it: a step then needs one activation less.
"""

from __future__ import annotations

import numpy as np

from tinygrad_edu.blocks import LARGE
from tinygrad_edu.compiler.blocks import SHORTEST
from tinygrad_edu.compiler.buffers import Lifetimes
from tinygrad_edu.compiler.listing import reads
from tinygrad_edu.compiler.lowering import ufunc_of
from tinygrad_edu.compiler.passes import is_kept
from tinygrad_edu.compiler.tracing import UPDATE
from tinygrad_edu.program import Equation

__all__ = ["with_late_products"]

WORTH = 32_768  # bytes
NEAR = 8  # equations: so far is looked ahead


def with_late_products(equations: list[Equation], life: Lifetimes) -> list[Equation]:
    """The equations, with large products just before they are needed, where memory of their size is free by then."""
    moved: dict[int, list[Equation]] = {}  # by the place of what they come before
    for i, e in enumerate(equations):
        if e.op.name == "matmul" and np.asarray(e.target.value).nbytes >= WORTH:
            place = _needed(equations, i)
            if place is not None and _frees(equations, i, place, life):
                moved.setdefault(place, []).append(e)
    late = {e for products in moved.values() for e in products}
    found = []
    for i, e in enumerate(equations):
        found += moved.get(i, [])
        if e not in late:
            found.append(e)
    return found


def _needed(equations: list[Equation], i: int) -> int | None:
    """The place of the first equation that reads the result of number i, if it may be computed right before that."""
    product = equations[i].target
    for k in range(i + 1, min(i + 1 + NEAR, len(equations))):
        if product in reads(equations[k]):
            return None if product.value.size >= LARGE and _is_chain(equations, k) else k
        if is_kept(equations[k]) or equations[k].op is UPDATE:
            return None
    return None


def _is_chain(equations: list[Equation], k: int) -> bool:
    """Does number k belong to a chain from before, which is computed block by block and must not be torn apart?"""
    first = last = k
    while first > 0 and ufunc_of(equations[first - 1].op):
        first -= 1
    while last < len(equations) and ufunc_of(equations[last].op):
        last += 1
    return first < k and last - first >= SHORTEST


def _frees(equations: list[Equation], i: int, place: int, life: Lifetimes) -> bool:
    """Is memory of the same size read for the last time in between, by something that does not take it over?"""
    size = equations[i].target.value.nbytes
    needed = set(map(life.of, reads(equations[i])))
    for k in range(i + 1, place):
        for root in {*map(life.of, reads(equations[k]))} - needed:
            if life.last[root] == k and root.value.nbytes == size > np.asarray(equations[k].target.value).nbytes:
                return True
    return False
