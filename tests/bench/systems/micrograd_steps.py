"""micrograd: numbers only, in Python floats; its sweep is recursive, so chains of 1,000 are the longest it can do."""

from __future__ import annotations

import sys

import numpy as np
from micrograd.engine import Value

from tests.bench.systems import Made, Step, System
from tests.bench.workloads import Workload


def scalars(workload: Workload) -> Step:
    given = [Value(v) for v in workload.params[0].tolist()]
    wiring = workload.X.tolist()

    def run() -> float:
        values = [given[0]]
        for k, (back, i) in enumerate(wiring):
            a = values[-back]
            values.append(a * given[i] if k % 3 == 0 else a + given[i] if k % 3 == 1 else a.relu())
        for t in given:
            t.grad = 0
        _deep(values[-1], len(wiring))
        return values[-1].data

    return Made(run, lambda: [np.array([t.grad for t in given])])


def chain(workload: Workload) -> Step:
    a = Value(1.0000001)

    def run() -> float:
        y = a
        for _ in range(workload.nodes // 2):
            y = y * a
            y = y + a
        a.grad = 0
        _deep(y, workload.nodes)
        return y.data

    return Made(run, lambda: [np.array(a.grad)])


def _deep(y: Value, nodes: int) -> None:
    """`backward`, with room for its recursion."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 2 * nodes + 1000))
    try:
        y.backward()
    finally:
        sys.setrecursionlimit(limit)


def systems() -> list[System]:
    return [
        System(
            "micrograd",
            "",
            {"e": scalars, "g1000": chain, "g10000": chain},
            module="micrograd.engine",
            packages=("micrograd",),
        )
    ]
