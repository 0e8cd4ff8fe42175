"""All systems must compute the same before their times are compared."""

from __future__ import annotations

import numpy as np

from tests.bench.systems import HAND, Step, System
from tests.bench.systems.hand import FLOOR, copies
from tests.bench.workloads import Array, Workload

CHECKED = 5  # steps of training whose losses are compared; without training all are the same
LOSSES, CHANGES = 1e-4, 1e-2  # relative; float32, and a parameter's change is a small part of it


class Disagreement(AssertionError):
    """Two systems do not compute the same: their times must not be compared."""


Made = tuple[list[float], list[Array]]  # losses, and parameters or gradients


def after(step: Step, steps: int) -> Made:
    """The losses of some steps, and what they have made."""
    losses = [step.run() for _ in range(steps)]
    return losses, [np.array(a, np.float64) for a in step.state()]


def check(workload: Workload, name: str, theirs: Made, hand: Made, changes: float = CHANGES) -> None:
    """Raise Disagreement if the losses, or the changes of the parameters, are not those of the steps by hand."""
    where = f"({workload.key}) {workload.title}: {name}"
    if not np.allclose(theirs[0], hand[0], rtol=LOSSES, atol=0):
        raise Disagreement(f"{where} computes the losses {theirs[0]}, by hand they are {hand[0]}")
    if len(theirs[1]) != len(hand[1]):
        raise Disagreement(f"{where} returns {len(theirs[1])} arrays, by hand there are {len(hand[1])}")
    start = workload.params if workload.lr else [np.zeros_like(a) for a in hand[1]]
    for i, (a, b, zero) in enumerate(zip(theirs[1], hand[1], start)):
        if a.shape != b.shape:
            raise Disagreement(f"{where}: array {i} has the shape {a.shape}, by hand {b.shape}")
        change = np.linalg.norm(b - zero)
        error = np.linalg.norm(a - b)
        if not error <= changes * change:
            raise Disagreement(f"{where}: array {i} differs by {error:.2g} where it should change by {change:.2g}")


Ready = list[tuple[System, Step]]


def prepared(workload: Workload, systems: list[System]) -> tuple[Ready, Ready, Made]:
    """The steps by hand and those of the systems, after a check that all compute the same; and what that is."""
    hands = [(system, system.steps[workload.key](workload)) for system in copies()]
    steps = CHECKED if workload.lr else 1
    reference, *same = [after(step, steps) for _, step in hands]
    for found in same:
        check(workload, HAND, found, reference)
    others = []
    for system in systems:
        system.prepare()
        step = system.steps[workload.key](workload)
        found = after(step, steps)
        if system.name != FLOOR:
            check(workload, system.name, found, reference)
        others.append((system, step))
    return hands, others, reference
