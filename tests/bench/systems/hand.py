"""The steps by hand, and the products of matrices alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.bench import by_hand
from tests.bench.by_hand.convolution import Rearranged, Textbook
from tests.bench.by_hand.networks import Products, Tricks, at_offset
from tests.bench.systems import HAND, Step, System
from tests.bench.workloads import Workload

OFFSETS = (0, 16, 32, 48)  # where NumPy may put an array: it aligns to 16 bytes
FLOOR = "BLAS alone"


def _at(make: Callable[..., Any], offset: int) -> Callable[[Workload], Step]:
    return lambda workload: make(workload, [at_offset(p, offset) for p in workload.params])


def copies() -> list[System]:
    """One system for each place in memory that NumPy may choose for the parameters: they take turns.

    Where W1 lies changes the time of X @ W1 by a third (the vector instructions of BLAS read across cache lines), and a
    step by hand that is lucky or unlucky in that would move all ratios.
    """
    return [
        System(HAND, np.__version__, {key: _at(make, offset) for key, make in by_hand.STEPS.items()})
        for offset in OFFSETS
    ]


def systems() -> list[System]:
    return [
        System(FLOOR, np.__version__, {"c": _at(Products, 0)}),
        System(f"{HAND}, rearranged", np.__version__, {"j": _at(Rearranged, 0)}),
        System(f"{HAND}, as in textbooks", np.__version__, {"j": _at(Textbook, 0)}),
        System(f"{HAND}, with tricks", np.__version__, {"a": _at(Tricks, 0)}),
    ]
