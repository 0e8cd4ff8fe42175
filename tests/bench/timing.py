"""Timing for shared, noisy machines: what is compared runs in turn, and medians are taken."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from time import perf_counter, process_time, sleep
from typing import NamedTuple, Protocol

import numpy as np

from tests.bench.systems import Step, System

TURN = 0.04  # seconds of one turn, or one call if that is longer
BUDGET = 60.0  # seconds for one workload: long steps get fewer rounds, but at least three
QUIET = 0.1  # cores: a round in which other processes took more is repeated
LOOK = 0.02  # seconds, of several ticks of the system's clock: are threads still at work?


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


def settle() -> None:
    """Wait until the threads of this process sleep, for a second at most.

    OpenBLAS's go on looking for work for 2^28 ticks of the processor's clock, 0.12 s here.  So they would still be at
    it in the next turn: that of PyTorch with two threads took 1.6 times as long on two cores.
    """
    for _ in range(round(1 / LOOK)):
        before = process_time()
        sleep(LOOK)
        if process_time() - before < LOOK / 10:
            return


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) == 1:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


class _Turn:
    """A step that takes turns: a few calls that are not counted, then as many as fill its time."""

    def __init__(self, system: System, step: Step, turn: float) -> None:
        self.prepare, self.run, self.foreign = system.prepare, step.run, system.foreign
        self.prepare()
        first = self._seconds(1)
        once = min(self._seconds(1) for _ in range(3)) if first < 1 else first
        self.calls = max(1, round(turn / once))
        self.warm = max(1, self.calls // 5) if once < 0.5 else 0
        self.length = (self.calls + self.warm) * once  # in seconds, about

    def _seconds(self, calls: int) -> float:
        run = self.run
        start = perf_counter()
        for _ in range(calls):
            run()
        return (perf_counter() - start) / calls

    def __call__(self) -> float:
        if self.foreign:
            settle()
        self.prepare()
        for _ in range(self.warm):
            self.run()
        return self._seconds(self.calls)


class Round(NamedTuple):
    """The seconds of a step in each turn, and the cores that other processes took."""

    by_hand: list[float]  # one more: before each system's turn, and behind the last
    seconds: list[float]
    others: float


class Turns:
    """The steps of one family in turn, a step by hand before and after each of them, and its copies in turn."""

    def __init__(self, hands: list[tuple[System, Step]], others: list[tuple[System, Step]], turn: float) -> None:
        self.hands = [_Turn(*pair, turn) for pair in hands]
        self.others = [_Turn(*pair, turn) for pair in others]
        self.length = sum(t.length for t in self.others) + (len(others) + 1) * self.hands[0].length
        self.first = 0  # of the copies by hand, in the next round

    def _by_hand(self, turn: int) -> float:
        return self.hands[(self.first + turn) % len(self.hands)]()

    def round(self) -> Round:
        others = Others()
        by_hand, seconds = [self._by_hand(0)], []
        for i, turn in enumerate(self.others, start=1):
            seconds.append(turn())
            by_hand.append(self._by_hand(i))
        self.first += 1
        return Round(by_hand, seconds, others.cores())


class Family(Protocol):
    """Turns, here or in another process."""

    length: float  # of a round, in seconds, about

    def round(self) -> Round: ...


def side_by_side(rounds: int, families: Sequence[Family]) -> tuple[Timing, list[Timing], float]:
    """Time families of steps, one after the other in each round.

    Every ratio is taken from neighbours, so a machine that slows down for a second slows both of them.  A family's
    rounds in which other processes took much of the cores are repeated, up to three times as many in all; the quietest
    ones count.  Returns the times by hand, those of all other steps, and how many cores other processes took in the
    rounds that count, beside the family that was disturbed most.
    """
    rounds = min(rounds, max(3, int(BUDGET / sum(family.length for family in families))))

    def disturbed(done: list[Round]) -> bool:
        return sum(not r.others > QUIET for r in done) < rounds and len(done) < 3 * rounds

    results: list[list[Round]] = [[] for _ in families]
    while any(map(disturbed, results)):
        for family, done in zip(families, results):
            if disturbed(done):
                done.append(family.round())
    counting = [sorted(done, key=lambda r: r.others)[:rounds] for done in results]
    by_hand = Timing(quartiles([t for done in counting for r in done for t in r.by_hand]), (1.0, 1.0, 1.0))
    timings = []
    for done in counting:
        for i in range(len(done[0].seconds)):
            seconds = [r.seconds[i] for r in done]
            ratios = [2 * r.seconds[i] / (r.by_hand[i] + r.by_hand[i + 1]) for r in done]
            timings.append(Timing(quartiles(seconds), quartiles(ratios)))
    return by_hand, timings, max(statistics.mean(r.others for r in done) for done in counting)


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
