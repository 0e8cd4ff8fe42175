"""The benchmark's turns, ratios and tables, on a clock that the tests move."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import multiprocessing
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.bench import __main__ as command
from tests.bench import report, timing
from tests.bench.systems import FAMILIES, Made, Step, System, systems_of


class Clock:
    """Time passes only in steps; the whole machine may slow down."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slow = 1.0
        self.others = 0.0  # processors' time that other processes have used
        self.own = 0.0  # and the threads of this one, beside their steps
        self.spin = 0.0  # until when they go on
        self.log: list[str] = []

    def sleep(self, seconds: float) -> None:
        self.log.append("pause")
        self.own += max(0.0, min(seconds, self.spin - self.now))
        self.now += seconds

    def pair(self, name: str, seconds: float, slower: float = 1.0, **more: Any) -> tuple[System, Step]:
        def run() -> float:
            self.log.append(name)
            self.now += seconds * self.slow
            self.slow *= slower
            return 0.0

        return System(name, "0", {}, **more), Made(run, list)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timing, "perf_counter", lambda: made.now)
    monkeypatch.setattr(timing, "BUDGET", 1e9)
    monkeypatch.setattr(timing.Others, "_clocks", lambda self: (made.now, made.others))
    monkeypatch.setattr(timing, "process_time", lambda: made.own)
    monkeypatch.setattr(timing, "sleep", made.sleep)
    return made


Pairs = list[tuple[System, Step]]


def _side_by_side(rounds: int, *families: tuple[Pairs, Pairs]) -> tuple[timing.Timing, list[timing.Timing], float]:
    """All of them in this process."""
    return timing.side_by_side(rounds, [timing.Turns(*pairs, timing.TURN) for pairs in families])


def test_a_step_by_hand_runs_before_and_after_each_system_and_copies_take_turns(clock: Clock) -> None:
    hands = [clock.pair("hand 1", 1.0), clock.pair("hand 2", 1.0), clock.pair("hand 3", 1.0)]
    others = [clock.pair("ours", 2.0), clock.pair("theirs", 3.0)]
    by_hand, (ours, theirs), _ = _side_by_side(3, (hands, others))
    assert clock.log[-15:] == [
        *("hand 1", "ours", "hand 2", "theirs", "hand 3"),
        *("hand 2", "ours", "hand 3", "theirs", "hand 1"),
        *("hand 3", "ours", "hand 1", "theirs", "hand 2"),
    ]  # fmt: skip
    assert by_hand.seconds == (1, 1, 1)
    assert ours.ratios == (2, 2, 2)
    assert theirs.ratios == (3, 3, 3)
    assert theirs.seconds == (3, 3, 3)


def test_families_take_turns_each_between_its_own_steps_by_hand(clock: Clock) -> None:
    """The step by hand is twice as slow in the second process: the ratios there are to that one."""
    ours = [clock.pair("hand beside ours", 1.0)], [clock.pair("ours", 2.0)]
    theirs = [clock.pair("hand beside theirs", 2.0)], [clock.pair("theirs", 2.0), clock.pair("more", 3.0)]
    by_hand, timings, _ = _side_by_side(2, ours, theirs)
    first = ["hand beside ours", "ours", "hand beside ours"]
    second = [*("hand beside theirs", "theirs", "hand beside theirs", "more", "hand beside theirs")]
    assert clock.log[-16:] == [*first, *second] * 2
    assert [found.ratios[1] for found in timings] == [2, 1, 1.5]
    assert by_hand.seconds == (1, 2, 2)


def test_only_systems_with_threads_of_their_own_wait_for_those_of_blas(clock: Clock) -> None:
    others = [clock.pair("ours", 2.0), clock.pair("theirs", 3.0, foreign=True)]
    _side_by_side(2, ([clock.pair("hand", 1.0)], others))
    waited = [after for before, after in zip(clock.log, clock.log[1:]) if before == "pause"]
    assert waited == ["theirs"] * 2


def test_a_pause_is_as_long_as_the_threads_go_on_but_not_for_ever(clock: Clock) -> None:
    def pause(spin: float) -> float:
        start, clock.spin = clock.now, clock.now + spin
        timing.settle()
        return clock.now - start

    assert pause(0) == pytest.approx(timing.LOOK)
    assert 0.12 <= pause(0.12) <= 0.12 + 2 * timing.LOOK
    assert pause(1e9) == pytest.approx(1)


def test_a_pause_sees_the_threads_of_this_process() -> None:
    """On the real clock: one thread hashes, without the lock of the interpreter, until it is told to stop."""
    stop, worked = threading.Event(), 0

    def work() -> None:
        nonlocal worked
        while not stop.is_set():
            hashlib.sha256(bytes(1_000_000))
            worked += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        timing.settle()  # gives up
    finally:
        stop.set()
        thread.join()
    assert worked > 10


def test_short_steps_are_called_until_a_turn_is_full_and_the_first_calls_are_not_counted(clock: Clock) -> None:
    fast = timing.TURN / 10
    _, (ours,), _ = _side_by_side(1, ([clock.pair("hand", fast)], [clock.pair("ours", 2 * fast)]))
    assert clock.log.count("ours") == 4 + 1 + 5  # to know how long it takes, to get warm, measured
    assert ours.ratios[1] == pytest.approx(2)


def test_a_machine_that_slows_down_changes_seconds_and_not_ratios(clock: Clock) -> None:
    """Between two steps by hand the speed changes by a percent, over the whole run a hundredfold."""
    family = [clock.pair("hand", 1.0, 1.01)], [clock.pair("ours", 2.0, 1.01)]
    by_hand, (ours,), _ = _side_by_side(230, family)
    assert by_hand.seconds[2] / by_hand.seconds[0] > 5
    assert ours.ratios == pytest.approx((2, 2, 2), rel=1e-3)


def test_rounds_in_which_other_processes_took_a_core_do_not_count(clock: Clock) -> None:
    """In every second turn of ours another process works as long as we do, and we take twice the time."""
    hand, ours = clock.pair("hand", 0.6), clock.pair("ours", 1.2)
    free, count = ours[1].run, itertools.count()

    def run() -> float:
        if next(count) % 2:
            clock.others += 1.2
            clock.now += 1.2
        return free()

    quiet = [clock.pair("hand", 0.6)], [clock.pair("theirs", 1.2)]
    _, (timing_of_ours, _), others = _side_by_side(4, ([hand], [(ours[0], Made(run, list))]), quiet)
    assert timing_of_ours.ratios == pytest.approx((2, 2, 2))
    assert others == 0
    assert 4 < clock.log.count("ours") - 1 <= 8
    assert clock.log.count("theirs") - 1 == 4  # was not disturbed, so its rounds are not repeated


def test_if_no_round_is_quiet_the_table_says_how_much_others_took(clock: Clock) -> None:
    hand, ours = clock.pair("hand", 0.6), clock.pair("ours", 1.2)
    free = ours[1].run

    def run() -> float:
        clock.others += 2.4
        return free()

    quiet = [clock.pair("hand", 0.6)], [clock.pair("theirs", 1.2)]
    _, _, others = _side_by_side(4, quiet, ([hand], [(ours[0], Made(run, list))]), quiet)
    assert others == pytest.approx(1)  # beside ours, whatever it was beside the rest
    assert clock.log.count("ours") == 1 + 3 * 4


def test_long_steps_get_fewer_rounds_but_at_least_three(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "BUDGET", 45.0)

    def rounds(seconds: float) -> int:
        clock.log.clear()
        ours, theirs = (([clock.pair("hand", 1.0)], [clock.pair(name, seconds)]) for name in ("ours", "theirs"))
        _side_by_side(25, ours, theirs)
        assert clock.log.count("ours") == clock.log.count("theirs")
        return clock.log.count("ours") - 1  # one to know how long it takes

    assert rounds(2.5) == 5  # of all families 9 seconds
    assert rounds(50.0) == 3


def _row(*medians: float) -> list[dict[str, Any]]:
    return [
        {
            "title": "t",
            "unit": "ratio",
            "by_hand": "1 us",
            "goals": [1, None],
            "others": 0.0,
            "systems": {"s": {"quartiles": [m] * 3}},
        }
        for m in medians
    ]


def test_of_several_runs_the_middle_one_counts_and_one_that_moved_by_a_fifth_is_marked() -> None:
    steady = report.merged(_row(1.3, 1.1, 1.2))["systems"]["s"]
    moved = report.merged(_row(1.3, 1.05, 1.2))["systems"]["s"]
    assert (steady["quartiles"][1], steady["runs"], steady["settled"]) == (1.2, [1.3, 1.1, 1.2], True)
    assert report.cell(steady) == "1.20 (1.10–1.30)"
    assert not moved["settled"]
    assert report.cell(moved) == "1.20 (1.05–1.30) ?"


@pytest.mark.parametrize(
    ("quartiles", "text"),
    [
        ((1.0, 1.1, 1.2), "1.10 (1.00–1.20)"),
        ((83.0, 83.2, 84.0), "83 (83–84)"),
        ((0.01, 0.0123, 0.02), "0.0123 (0.01–0.02)"),
    ],
)
def test_numbers_are_written_with_two_or_three_digits(quartiles: tuple[float, ...], text: str) -> None:
    assert report.cell({"quartiles": quartiles}) == text


def test_the_command_checks_measures_and_writes_a_table_and_json_and_a_chart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = {file: FAMILIES[file] for file in ("hand", "ours")}
    monkeypatch.setattr(command, "FAMILIES", {**here, "theirs": functools.partial(systems_of, "not_there")})
    words = ["--only", "d,g1000", "--systems", "tinygrad,alone", "--rounds", "2", "--runs", "2", "--turn", "1e-4"]
    monkeypatch.setattr("sys.argv", ["bench", *words, "--out", str(tmp_path)])
    command.main()
    assert multiprocessing.active_children() == []
    printed = capsys.readouterr().out
    assert timing.blas() in printed
    results = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    entry = results["workloads"]["d"]["systems"]["tinygrad_edu"]
    assert len(entry["runs"]) == 2
    assert min(entry["seconds"]) > 0
    assert results["workloads"]["g1000"]["unit"] == "us a node"
    table = (tmp_path / "bench.md").read_text(encoding="utf-8")
    line = next(line for line in table.splitlines() if line.startswith("| (d) 2-3-1"))
    column = [cell.strip() for cell in table.splitlines()[2].split("|")].index("tinygrad_edu")
    assert line.split("|")[column].strip() == report.cell(entry)
    assert results["machine"] in table
    assert "Left out: theirs (No module named 'tests.bench.systems.not_there')." in table
    assert "–" in line.split("|")[4]  # a system that does not have the workload
    pytest.importorskip("matplotlib")
    assert (tmp_path / "bench.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_an_unknown_workload_is_an_error_that_names_those_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--only", "a,z"])
    with pytest.raises(SystemExit):
        command.main()
    assert "unknown workload z; there are a, b, c" in capsys.readouterr().err
