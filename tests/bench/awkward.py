"""Families for the tests of processes: one that is right, and others that go wrong, each in its way.

They are a module of their own because the processes import them by their names.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.bench import by_hand
from tests.bench.systems import Made, Step, System
from tests.bench.systems.hand import copies
from tests.bench.workloads import Array, Workload


def _system(name: str, run: Callable[[Step], float]) -> list[System]:
    """A system that computes (d) by hand, but for what it does instead of the step's `run`."""

    def make(workload: Workload) -> Step:
        step = copies()[0].steps["d"](workload)
        return Made(lambda: run(step), step.state)

    return [System(name, str(os.getpid()), {"d": make})]


def right() -> list[System]:
    return _system("right", lambda step: step.run())


def wrong() -> list[System]:
    return _system("wrong", lambda step: 1.001 * step.run())


def spoilt() -> list[System]:
    """Importing it changes what the step by hand computes, so the two agree."""
    make: Callable[..., Any] = by_hand.STEPS["d"]

    def otherwise(workload: Workload, params: list[Array]) -> Step:
        step = make(workload, params)
        return Made(lambda: 1.001 * step.run(), step.state)

    by_hand.STEPS["d"] = otherwise
    return right()


def missing() -> list[System]:
    raise ImportError("No module named 'missing'")


def dies_at_import() -> list[System]:
    os._exit(3)


def dies() -> list[System]:
    def run(step: Step) -> float:
        os.kill(os.getpid(), signal.SIGKILL)
        return step.run()

    return _system("dies", run)


def fails() -> list[System]:
    def run(step: Step) -> float:
        raise KeyError("no such key")

    return _system("fails", run)


def interrupts() -> list[System]:
    """As if someone pressed Ctrl-C while a long step runs."""

    def run(step: Step) -> float:
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(600)
        return step.run()

    return _system("interrupts", run)


def what_is_imported() -> list[System]:
    return _system(" ".join(sys.modules), lambda step: step.run())
