"""Which memory has been written to, and when: so that a stale value is noticed, and no gradient is silently wrong.

Only writing through the library is seen (an optimiser's step, `t[i] = v`, `t.data -= step`), not `t.numpy()[0] = 5`.
Several arrays may share memory (views, detached tensors).  So the time of the last write is kept for the array that
owns the memory, and all who share it find it.
"""

from __future__ import annotations

import itertools
import weakref
from typing import Any

import numpy as np

tick = itertools.count(1).__next__  # the clock of the record: operations and writes take their number from it


class Write:
    """The last writes to one piece of memory: any, and the last one that was itself recorded as an operation."""

    __slots__ = ("any", "memory", "recorded")

    def __init__(self, memory: weakref.ref[Any]) -> None:
        self.memory = memory
        self.any = 0
        self.recorded = 0


writes: dict[int, Write] = {}  # by the id of the owner
last_write = 0  # whatever is newer than this needs no look into `writes`
recorded_writes = 0  # how many pieces of memory have a recorded write


def owner(array: Any) -> Any:
    """The array whose memory `array` is a view of."""
    while type(array.base) is np.ndarray:
        array = array.base
    return array


def edited(*arrays: Any, recorded: bool = False) -> None:
    """Note that the memory of these arrays has just been written to."""
    global recorded_writes
    now = writing()
    for array in arrays:
        write = write_of(array)
        write.any = now
        if recorded:
            recorded_writes += not write.recorded
            write.recorded = now


def writing() -> int:
    """The time of writes that happen now, for whoever keeps the `write_of` its arrays: `write.any = now`."""
    global last_write
    last_write = now = tick()
    return now


def write_of(array: Any) -> Write:
    """The entry of an array's memory, a new one if it has none."""
    memory = owner(array)
    key = id(memory)
    write = writes.get(key)
    if write is None or write.memory() is not memory:
        write = writes[key] = Write(weakref.ref(memory, _forget(key)))
    return write


def _forget(key: int) -> Any:
    def forget(reference: Any) -> None:
        global recorded_writes
        write = writes.get(key)
        if write is not None and write.memory is reference:  # the id may belong to other memory already
            recorded_writes -= bool(write.recorded)
            del writes[key]

    return forget


def _write(array: Any) -> Write | None:
    return writes.get(id(owner(array))) if isinstance(array, np.ndarray) else None  # a number can't be written to


def edited_since(array: Any, order: int) -> bool:
    """Has this memory been written to after the clock stood at `order`?"""
    write = _write(array)
    return write is not None and write.any > order


def recorded_since(array: Any, order: int) -> bool:
    """Has a recorded operation written to this memory after the clock stood at `order`?"""
    write = _write(array)
    return write is not None and write.recorded > order


# Linux's C library gives memory back to the system as soon as a little lies idle, and taking it again costs more than
# the arithmetic that is done in it: every step pays for each page anew.  But it learns from what is freed: whoever has
# freed a block of up to 32 MiB is left twice as much.  So one is freed here (it is never touched, so nothing is spent
# on it): a step with a dozen arrays of 4 MB then takes 0.47 of the time.
np.empty(2**25 - 2**16, np.uint8)


def aligned(array: Any) -> Any:
    """A copy whose memory begins at a multiple of 64 bytes: `x @ W` with such a W takes 0.7 of the time.

    NumPy aligns to 16 bytes, so of four arrays three make the vector instructions of BLAS read across cache lines
    (784x64 times 16x784 in float32, OpenBLAS on AVX-512: 10.4 us against 14.5 us).
    """
    buffer = np.empty(array.nbytes + 63, np.uint8)
    start = -buffer.ctypes.data % 64
    copy = buffer[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
