"""The systems that are compared, a family of them in each file.

A file holds `systems()`, which returns its Systems (PyTorch's returns one for each number of threads) and raises
ImportError where a package is not installed.  To add a peer, write such a file and name it in `FILES`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

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
    file: str = ""  # of FILES, filled in by `family`
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
    return found


Make = Callable[[], list[System]]
FAMILIES: dict[str, Make] = {file: functools.partial(systems_of, file) for file in FILES}


def family(file: str, make: Make) -> tuple[list[System], dict[str, str]]:
    """The systems of a file that are here, and for each that is left out, or for the whole file, the reason."""
    try:
        found = make()
    except ImportError as error:
        return [], {file: str(error)}
    here = [system._replace(file=file) for system in found if system.steps]
    return here, {system.name: system.version for system in found if not system.steps}


def _elsewhere(*_: object) -> Any:
    raise RuntimeError("this system is in another process, and here is only its description")


def described(system: System) -> System:
    """A system without its functions, which can be sent to another process."""
    return system._replace(steps=dict.fromkeys(system.steps, _elsewhere), prepare=_elsewhere)
