"""Timing for shared, noisy machines: what is compared runs in turn, and medians are taken."""

from __future__ import annotations

import gc
import math
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from time import perf_counter, sleep
from typing import NamedTuple

import numpy as np

from tests.bench.systems import Step, System

TURN = 0.04  # seconds of one turn, or one call if that is longer
BUDGET = 60.0  # seconds for one workload: long steps get fewer rounds, but at least three
QUIET = 0.1  # cores: a round in which other processes took more is repeated

# OpenBLAS's threads go on looking for work for 2^28 ticks of the processor's clock, 0.12 s here, before they sleep.  So
# they would still be at it in the turn of a system with threads of its own, which took 1.6 times as long on two cores.
PAUSE = 0.13


class Timing(NamedTuple):
    """Of one system in one workload: quartiles of the seconds of a step, and of the ratios to the step by hand."""

    seconds: tuple[float, float, float]
    ratios: tuple[float, float, float]


class Others:
    """How many cores other processes took, from here to `cores()`; NaN where the system does not tell.

    With one of two cores taken, whatever uses two threads looks many times slower than it is.
    """

    def __init__(self) -> None:
        self.before = self._clocks()

    def _clocks(self) -> tuple[float, float]:
        """The time, and the seconds of processors' time that others have used so far."""
        own = os.times()
        try:
            with open("/proc/stat", encoding="ascii") as file:
                user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
        except OSError:
            return perf_counter(), math.nan
        busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        return perf_counter(), busy - own.user - own.system - own.children_user - own.children_system

    def cores(self) -> float:
        (start, before), (now, after) = self.before, self._clocks()
        return max(0.0, (after - before) / (now - start))


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) == 1:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


class _Turn:
    """A step that takes turns: a few calls that are not counted, then as many as fill its time."""

    def __init__(self, system: System, step: Step) -> None:
        self.prepare, self.run = system.prepare, step.run
        # JAX asks to be called in each collection, which is no business of the others.
        self.callbacks = [c for c in gc.callbacks if c.__module__.split(".")[0] == system.module]
        self.pause = PAUSE if system.foreign else 0
        self.prepare()
        first = self._seconds(1)
        once = min(self._seconds(1) for _ in range(3)) if first < 1 else first
        self.calls = max(1, round(TURN / once))
        self.warm = max(1, self.calls // 5) if once < 0.5 else 0
        self.length = (self.calls + self.warm) * once + self.pause  # in seconds, about

    def _seconds(self, calls: int) -> float:
        run = self.run
        start = perf_counter()
        for _ in range(calls):
            run()
        return (perf_counter() - start) / calls

    def __call__(self) -> float:
        sleep(self.pause)
        self.prepare()
        everybody, gc.callbacks[:] = gc.callbacks[:], self.callbacks
        try:
            for _ in range(self.warm):
                self.run()
            return self._seconds(self.calls)
        finally:
            gc.callbacks[:] = everybody


class _Round(NamedTuple):
    """The seconds of a step in each turn, and the cores that other processes took."""

    by_hand: list[float]  # one more: before each system's turn, and behind the last
    seconds: list[float]
    others: float


def _round(references: list[_Turn], turns: list[_Turn], first: int) -> _Round:
    others = Others()
    by_hand, seconds = [references[first % len(references)]()], []
    for i, turn in enumerate(turns, start=first + 1):
        seconds.append(turn())
        by_hand.append(references[i % len(references)]())
    return _Round(by_hand, seconds, others.cores())


def side_by_side(
    rounds: int, hands: list[tuple[System, Step]], others: list[tuple[System, Step]]
) -> tuple[Timing, list[Timing], float]:
    """Time the steps of `others` in turn, a step by hand before and after each of them, and its copies in turn.

    Every ratio is taken from neighbours, so a machine that slows down for a second slows both of them.  Rounds in which
    other processes took much of the cores are repeated, up to three times as many in all; the quietest ones count.
    Returns the times by hand, those of the others, and how many cores other processes took in the rounds that count.
    """
    gc.collect()
    gc.freeze()  # the collector looks at what a step makes, not at the modules of the other systems
    references = [_Turn(*pair) for pair in hands]
    turns = [_Turn(*pair) for pair in others]
    length = sum(turn.length for turn in turns) + (len(turns) + 1) * references[0].length
    rounds = min(rounds, max(3, int(BUDGET / length)))
    done: list[_Round] = []
    while sum(not r.others > QUIET for r in done) < rounds and len(done) < 3 * rounds:
        done.append(_round(references, turns, len(done)))
    gc.unfreeze()
    done = sorted(done, key=lambda r: r.others)[:rounds]
    by_hand = Timing(quartiles([t for r in done for t in r.by_hand]), (1.0, 1.0, 1.0))
    timings = []
    for i in range(len(turns)):
        seconds = [r.seconds[i] for r in done]
        ratios = [2 * r.seconds[i] / (r.by_hand[i] + r.by_hand[i + 1]) for r in done]
        timings.append(Timing(quartiles(seconds), quartiles(ratios)))
    return by_hand, timings, statistics.mean(r.others for r in done)


def interleaved(rounds: int, calls: int, *functions: Callable[[], object]) -> list[list[float]]:
    """Seconds per call of each function, one number a round; every round runs all of them, one after the other."""
    for function in functions:
        function()
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, results in zip(functions, seconds):
            start = perf_counter()
            for _ in range(calls):
                function()
            results.append((perf_counter() - start) / calls)
    return seconds


def blas() -> str:
    """NumPy, its BLAS, the kernel that it has chosen, and the number of threads."""
    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload]
    try:
        from threadpoolctl import threadpool_info

        found = [p for p in threadpool_info() if p["user_api"] == "blas" and "numpy" in p["filepath"]]
        pools = [f"{p['architecture']}, {p['num_threads']} threads" for p in found]
    except ImportError:
        pools = ["kernel unknown: threadpoolctl is not installed"]
    return f"NumPy {np.__version__}, {built['name']} {built['version']} ({'; '.join(pools)})"


def machine() -> str:
    """The processor, Python, and what `blas` says."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores; Python {platform.python_version()}; {blas()}"
