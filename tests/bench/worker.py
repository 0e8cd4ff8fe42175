"""A process for each family of systems, so that none of them has the others' threads, memory and modules beside it."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import signal
import traceback
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from tests.bench.agreement import Disagreement, Made, prepared
from tests.bench.systems import Make, System, described, family
from tests.bench.timing import Round, Turns, settle
from tests.bench.workloads import WORKLOADS

LAST = 10.0  # seconds that a process has to end by itself


class _There:
    """What a process does when it is asked to."""

    def __init__(self, file: str, make: Make) -> None:
        self.file, self.make = file, make
        self.systems: list[System] = []
        self.turns: Turns | None = None

    def find(self) -> tuple[list[System], dict[str, str]]:
        """Import the file; only now, so that an error in it is an answer."""
        self.systems, left_out = family(self.file, self.make)
        return [described(system) for system in self.systems], left_out

    def prepare(self, key: str, names: list[str], turn: float) -> tuple[Made, float]:
        self.turns = None  # the memory of the last workload goes first
        gc.unfreeze()
        hands, others, reference = prepared(WORKLOADS[key](), [s for s in self.systems if s.name in names])
        gc.collect()
        gc.freeze()  # the collector looks at what a step makes, not at modules
        self.turns = Turns(hands, others, turn)
        return reference, self.turns.length

    def round(self) -> Round:
        assert self.turns is not None
        return self.turns.round()


def _serve(connection: Connection, file: str, make: Make) -> None:
    """Answer until the other end is closed, also because its process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    there = _There(file, make)
    with contextlib.suppress(EOFError, OSError):
        while True:
            what, arguments = connection.recv()
            try:
                answer = getattr(there, what)(*arguments)
            except Disagreement as error:
                answer = error
            except Exception:  # many can't be sent
                answer = RuntimeError(f"{file}, in its own process: {traceback.format_exc()}")
            settle()  # whoever is next has the machine for itself
            connection.send(answer)


class Worker:
    """A process that has imported one file of systems, and waits until it is asked to measure them."""

    def __init__(self, file: str, make: Make) -> None:
        context = multiprocessing.get_context("spawn")
        self.file = file
        self.systems: list[System] = []
        self.left_out: dict[str, str] = {}
        self.length = 0.0  # of a round; see `timing.Family`
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, file, make), daemon=True)
        with theirs:  # open in that process alone, so that its end is an end of the pipe
            self._process.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, where: TracebackType | None) -> None:
        self._connection.close()
        if kind is not None:
            self._process.terminate()  # it may be in the middle of a long round
        self._process.join(LAST)
        self._process.kill()
        self._process.join()
        self._process.close()

    def _ask(self, what: str, *arguments: object) -> Any:
        try:
            self._connection.send((what, arguments))
            answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(LAST)
            code = self._process.exitcode
            why = "killed, maybe for want of memory" if code == -signal.SIGKILL else "what it wrote may say why"
            raise RuntimeError(
                f"{self.file}: its process ended in the middle of the benchmark with exit code {code}; {why}"
            ) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def find(self) -> None:
        """Import the file there."""
        self.systems, self.left_out = self._ask("find")

    def prepare(self, key: str, names: list[str], turn: float) -> Made:
        """Make the steps of some systems for a workload, and check them; returns what the steps by hand have made."""
        reference: Made
        reference, self.length = self._ask("prepare", key, names, turn)
        return reference

    def round(self) -> Round:
        """Let each step take its turn."""
        taken: Round = self._ask("round")
        return taken


@contextlib.contextmanager
def workers(families: Mapping[str, Make]) -> Iterator[list[Worker]]:
    """A process for each family, all of them gone afterwards."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(Worker(file, make)) for file, make in families.items()]
        for worker in found:
            worker.find()
        yield found
