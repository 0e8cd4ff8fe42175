"""Lines of the table that are measured in child processes: memory, (h), and the time of imports, (i)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.systems import HAND, System
from tests.bench.timing import quartiles

ROOT = Path(__file__).parents[2]
IMPORT = "from time import perf_counter as t; start = t(); import {}; print(t() - start)"


def _ask(*words: str, **environment: str) -> float:
    """The number that a child process prints."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return float(done.stdout)


@contextlib.contextmanager
def _bytecode() -> Iterator[dict[str, str]]:
    """The environment of children that keep compiled bytecode, as installed packages have it: from the second on."""
    with tempfile.TemporaryDirectory() as folder:
        yield {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}  # empty: it is written


def _child(what: str, file: str, name: str) -> float:
    with _bytecode() as environment:
        _, found = (_ask("-m", "tests.bench.child", what, file, name, **environment) for _ in range(2))
    return found


def _peaks(systems: list[System], what: str, title: str, goal: float) -> dict[str, Any]:
    by_hand = _child(what, "hand", HAND)
    found = {}
    for system in systems:
        if "c" in system.steps and not (what == "arrays" and system.foreign):
            found[system.name] = {"quartiles": [_child(what, system.file, system.name) / by_hand] * 3}
    by = f"{by_hand / 2**20:.1f} MiB"
    return {"title": title, "unit": "ratio", "by_hand": by, "goals": [goal, 1], "systems": found}


def process_memory(systems: list[System], rounds: int) -> dict[str, Any]:
    return _peaks(systems, "peak", "peak memory of (c), the whole process with its imports", 1.06)


def array_memory(systems: list[System], rounds: int) -> dict[str, Any]:
    return _peaks(systems, "arrays", "peak memory of (c), what tracemalloc sees: parameters, data, steps", 1.06)


def node_memory(systems: list[System], rounds: int) -> dict[str, Any]:
    found = {}
    for system in systems:
        if "e" in system.steps and not system.foreign:
            found[system.name] = {"quartiles": [_child("nodes", system.file, system.name)] * 3}
    title = "memory of (e) at the peak of its step"
    return {"title": title, "unit": "bytes a node", "by_hand": "", "goals": [350, None], "systems": found}


def imports(systems: list[System], rounds: int) -> dict[str, Any]:
    """In turn, each with an import of NumPy beside it; all with compiled bytecode, as installed packages have it."""
    modules = {s.module: s.name for s in reversed(systems) if s.module}  # of systems that share one, the first
    seconds: dict[str, list[float]] = {module: [] for module in ("numpy", *reversed(modules))}
    with _bytecode() as environment:
        for _ in range(1 + max(3, rounds // 3)):
            for module, found in seconds.items():
                found.append(_ask("-c", IMPORT.format(module), **environment))
    _, *numpy = seconds["numpy"]  # the first time fills the caches
    row: dict[str, Any] = {
        "title": "import",
        "unit": "ratio",
        "by_hand": f"import numpy: {quartiles(numpy)[1] * 1e3:.0f} ms",
        "goals": [1.1, None],
        "systems": {},
    }
    for module, name in modules.items():
        ratios = [s / n for s, n in zip(seconds[module][1:], numpy)]
        row["systems"][name] = {"quartiles": quartiles(ratios)}
    return row


LINES = {"e-bytes": node_memory, "h": process_memory, "h-arrays": array_memory, "i": imports}
