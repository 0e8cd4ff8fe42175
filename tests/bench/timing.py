"""Timing for shared, noisy machines: what is compared runs in turn, and medians are taken."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter

import numpy as np


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


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def machine() -> str:
    """NumPy, its BLAS, the kernel that it has chosen, and the number of threads."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload]
    try:
        from threadpoolctl import threadpool_info

        found = [p for p in threadpool_info() if p["user_api"] == "blas"]
        pools = [f"{p['architecture']}, {p['num_threads']} threads" for p in found]
    except ImportError:
        pools = ["kernel unknown: threadpoolctl is not installed"]
    return f"NumPy {np.__version__}, {blas['name']} {blas['version']} ({'; '.join(pools)})"
