"""The systems that are compared, one in each file.

A file holds `systems()`, which returns its Systems (PyTorch's returns one for each number of threads) and raises
ImportError where a package is not installed.  To add a peer, write such a file and name it in `FILES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import NamedTuple, Protocol

from tests.bench.workloads import Array, Workload


class Step(Protocol):
    """One workload in one system, ready to run."""

    def run(self) -> float:
        """Take one step, wait until it is done, and return the loss."""

    def state(self) -> list[Array]:
        """What the steps have made, in the layout of the workload: the parameters, or the gradients of (e) to (g)."""


class System(NamedTuple):
    """One column of the table.  Without any steps it is left out, and its version says why.

    A file need not know its version: asking for it takes 3 MiB, which would count as a system's in a process whose
    memory is measured.
    """

    name: str
    version: str  # "" stands for what is installed of `packages`
    steps: dict[str, Callable[[Workload], Step]]  # by the key of the workload; those it cannot do are not there
    prepare: Callable[[], object] = lambda: None  # called before each turn: the number of threads, for example
    module: str = ""  # whose import is measured
    file: str = ""  # of FILES, filled in by `systems_of`
    packages: tuple[str, ...] = ()
    foreign: bool = False  # has it memory that tracemalloc doesn't see, and threads beside those of NumPy's BLAS?


class Made:
    """A Step made of two functions."""

    def __init__(self, run: Callable[[], float], state: Callable[[], list[Array]]) -> None:
        self.run, self.state = run, state


HAND = "by hand"
OURS = "tinygrad_edu"
FILES = ("hand", "ours", "pytorch", "jax_jit", "hips_autograd", "mygrad_steps", "dezero_steps", "micrograd_steps")


def systems_of(file: str) -> list[System]:
    """The systems of one file, which alone is imported."""
    found: list[System] = importlib.import_module(f"tests.bench.systems.{file}").systems()
    return [system._replace(file=file) for system in found]


def available() -> tuple[list[System], dict[str, str]]:
    """The systems that are here, and for each file of FILES that is left out the reason."""
    found: list[System] = []
    left_out: dict[str, str] = {}
    for file in FILES:
        try:
            made = systems_of(file)
        except ImportError as error:
            left_out[file] = str(error)
            continue
        left_out |= {system.name: system.version for system in made if not system.steps}
        found += [system for system in made if system.steps]
    return found, left_out
