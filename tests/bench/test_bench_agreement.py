"""What the benchmark compares is the same work: losses and updates by hand are those of every system that is here."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from tests.bench.agreement import Disagreement, after, check, prepared
from tests.bench.systems import FAMILIES, Made, Step, System, family
from tests.bench.systems.hand import FLOOR, OFFSETS, copies
from tests.bench.workloads import WORKLOADS, Workload

# Large enough that a step changes the next loss: an update that is missing or wrong shows in the losses, too.
RATES = {"a": 0.1, "b": 1e-3, "c": 1e-2, "d": 0.5, "j": 0.05, "l": 0.5}
SHORT = [key for key in WORKLOADS if key not in ("g100000", "g1000000")]


def _faster(key: str) -> Workload:
    workload = WORKLOADS[key]()
    return workload._replace(lr=RATES[key]) if workload.lr else workload


def _by_hand(key: str, workload: Workload) -> Step:
    return copies()[0].steps[key](workload)


@pytest.fixture(scope="module")
def systems() -> list[System]:
    """Those that are installed; what torch.compile compiles is what its neighbour runs, but it takes its time."""
    found = [system for file, make in FAMILIES.items() for system in family(file, make)[0]]
    return [s for s in found if not s.name.startswith(("torch.compile", FLOOR))]


@pytest.mark.parametrize("key", SHORT)
def test_by_hand_and_every_system_make_the_same_losses_and_updates(key: str, systems: list[System]) -> None:
    """By hand there is no engine, and PyTorch is another one: three derivations of one step."""
    workload = _faster(key)
    expected = after(_by_hand(key, workload), 4)
    assert not workload.lr or len(set(expected[0])) == 4
    compared = [system for system in systems if key in system.steps]
    assert any(system.name == "tinygrad_edu" for system in compared)
    for system in compared:
        system.prepare()
        check(workload, system.name, after(system.steps[key](workload), 4), expected, changes=2e-3)


def test_copies_by_hand_lie_at_all_places_that_numpy_may_choose() -> None:
    workload = WORKLOADS["a"]()
    places = {tuple(p.ctypes.data % 64 for p in system.steps["a"](workload).state()) for system in copies()}
    assert places == {(offset,) * 4 for offset in OFFSETS}


def _wrong(what: str) -> System:
    """A system that computes (d) by hand, but for one mistake."""

    def make(workload: Workload) -> Step:
        step = _by_hand("d", workload)

        def run() -> float:
            return step.run() * (1.001 if what == "loss" else 1)

        def state() -> list[np.ndarray]:
            params = [p.copy() for p in step.state()]
            if what == "update":
                params[1] += 0.1 * np.abs(params[1] - workload.params[1]).max()
            if what == "shape":
                params[0] = params[0].T
            return params[:-1] if what == "count" else params

        return Made(run, state)

    return System(f"with a wrong {what}", "0", {"d": make})


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("loss", r"\(d\) .* with a wrong loss computes the losses"),
        ("update", "array 1 differs by"),
        ("shape", r"array 0 has the shape \(3, 2\), by hand \(2, 3\)"),
        ("count", "returns 3 arrays, by hand there are 4"),
    ],
)
def test_a_system_that_computes_something_else_stops_the_benchmark(what: str, says: str) -> None:
    workload = _faster("d")
    prepared(workload, [_wrong("nothing")])
    with pytest.raises(Disagreement, match=says):
        prepared(workload, [_wrong(what)])


def test_nan_is_no_agreement() -> None:
    workload = _faster("d")
    expected = after(_by_hand("d", workload), 3)
    nothing = [np.full_like(a, np.nan) for a in expected[1]]
    with pytest.raises(Disagreement, match="losses"):
        check(workload, "NaN", ([np.nan] * 3, expected[1]), expected)
    with pytest.raises(Disagreement, match="array 0"):
        check(workload, "NaN", (expected[0], nothing), expected)


def test_a_file_whose_package_is_not_installed_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(name: str) -> object:
        raise ImportError("No module named 'torch'")

    monkeypatch.setattr(importlib, "import_module", without)
    assert family("pytorch", FAMILIES["pytorch"]) == ([], {"pytorch": "No module named 'torch'"})


def test_a_system_that_can_do_nothing_here_is_left_out_with_the_reason() -> None:
    right, idle = _wrong("nothing"), System("slow", "it needs a C++ compiler", {})
    found, left_out = family("both", lambda: [right, idle])
    assert [(system.name, system.file) for system in found] == [(right.name, "both")]
    assert left_out == {"slow": "it needs a C++ compiler"}
