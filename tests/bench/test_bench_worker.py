"""Each family of systems has a process of its own: what goes to and fro, and that none is left."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import __main__ as command
from tests.bench import awkward, worker
from tests.bench.agreement import Disagreement
from tests.bench.awkward import right
from tests.bench.systems import Make
from tests.bench.worker import Worker, workers
from tests.bench.workloads import WORKLOADS

TURN = 1e-4  # seconds


def _run(*families: Make) -> dict[str, object]:
    """A run of (d) with two rounds."""
    with workers({make.__name__: make for make in families}) as running:
        names = [system.name for one in running for system in one.systems]
        return command.measured(WORKLOADS["d"](), running, names, 2, TURN)


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_each_family_has_a_process_which_is_gone_afterwards() -> None:
    with workers({"one": right, "two": right, "none": awkward.missing}) as running:
        found = [system for one in running for system in one.systems]
        assert [(s.name, s.file, list(s.steps)) for s in found] == [("right", "one", ["d"]), ("right", "two", ["d"])]
        assert [one.left_out for one in running] == [{}, {}, {"none": "No module named 'missing'"}]
        pids = {int(system.version) for system in found}
        assert len(pids | {os.getpid()}) == 3
        with pytest.raises(RuntimeError, match="in another process"):
            found[0].steps["d"](WORKLOADS["d"]())
    assert all(map(_gone, pids))
    assert multiprocessing.active_children() == []


def test_a_process_holds_no_modules_but_those_of_its_own_file() -> None:
    with workers({"alone": awkward.what_is_imported}) as (alone,):
        modules = alone.systems[0].name.split()
    assert "tests.bench.by_hand" in modules
    assert not {"tinygrad_edu", "tests.bench.systems.ours", "torch", "viz"} & set(modules)


def test_rounds_are_taken_beside_the_step_by_hand_of_the_same_process() -> None:
    with workers({"right": right}) as (alone,):
        alone.prepare("d", ["right"], TURN)
        found = alone.round()
        assert (len(found.by_hand), len(found.seconds)) == (2, 1)
        assert min(found.by_hand + found.seconds) > 0
        alone.prepare("d", [], TURN)
        assert len(alone.round().by_hand) == 1


def test_a_run_measures_the_systems_that_it_is_asked_for() -> None:
    with workers({"one": right, "two": awkward.what_is_imported}) as running:
        for names in (["right"], []):
            row = command.measured(WORKLOADS["d"](), running, names, 2, TURN)
            assert list(row["systems"]) == names
            assert min(row["by_hand_seconds"]) > 0


@pytest.mark.parametrize(
    ("family", "error", "says"),
    [
        (awkward.wrong, Disagreement, r"\(d\) .* wrong computes the losses"),
        (awkward.spoilt, Disagreement, r"by hand, in the process of spoilt, computes the losses"),
        (awkward.fails, RuntimeError, r"(?s)^fails, in its own process: .*KeyError: 'no such key'"),
        (awkward.dies, RuntimeError, r"^dies: its process ended .* exit code -9; killed"),
        (awkward.dies_at_import, RuntimeError, r"^dies_at_import: its process ended .* exit code 3;"),
    ],
)
def test_an_error_in_a_process_stops_the_run_and_all_processes(family: Make, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        _run(right, family)
    assert multiprocessing.active_children() == []


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C is a KeyboardInterrupt, which processes of pytest-xdist ignore; afterwards it is what it was."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_after_ctrl_c_no_process_goes_on() -> None:
    with pytest.raises(KeyboardInterrupt):
        _run(right, awkward.interrupts)
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("interruptible")
def test_an_answer_comes_when_the_threads_of_its_process_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the next process has all cores: here in this process, with a connection that ends after two questions."""
    log: list[str] = []
    questions = iter([("find", ()), ("prepare", ("d", ["right"], TURN))])

    class Connected:
        def recv(self) -> object:
            if question := next(questions, None):
                return question
            raise EOFError

        def send(self, answer: object) -> None:
            log.append("answer")

    monkeypatch.setattr(worker, "settle", lambda: log.append("settle"))
    try:
        worker._serve(Connected(), "right", right)  # type: ignore[arg-type]
    finally:
        gc.unfreeze()
    assert log == ["settle", "answer"] * 2


def test_a_process_ends_when_the_other_end_is_closed() -> None:
    """As it is when the benchmark itself is killed."""
    made = Worker("right", right)
    made.find()
    process = made._process
    made._connection.close()
    process.join(60)
    assert process.exitcode == 0
    process.close()


def test_the_command_ends_with_the_sentence_of_a_disagreement(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "FAMILIES", {"right": right, "wrong": awkward.wrong})
    monkeypatch.setattr("sys.argv", ["bench", "--only", "d", "--rounds", "1", "--turn", "1e-4", "--out", str(tmp_path)])
    with pytest.raises(Disagreement, match="wrong computes the losses"):
        command.main()
    assert list(tmp_path.iterdir()) == []
