"""`python -m tests.bench`: this package beside its peers and beside NumPy by hand, from one run; see README.md."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tests.bench import report, timing
from tests.bench.agreement import after, check
from tests.bench.figures import FIGURES
from tests.bench.processes import LINES
from tests.bench.systems import HAND, Step, System, available
from tests.bench.systems.hand import FLOOR, copies
from tests.bench.workloads import WORKLOADS, Workload

ALL = sorted([*WORKLOADS, *LINES])
CHECKED = 5  # steps of training whose losses are compared; without training all are the same


def prepared(workload: Workload, systems: list[System]) -> tuple[list[tuple[System, Step]], list[tuple[System, Step]]]:
    """The steps by hand, and those of the systems that have this workload, after a check that all compute the same."""
    hands = [(system, system.steps[workload.key](workload)) for system in copies()]
    steps = CHECKED if workload.lr else 1
    reference, *same = [after(step, steps) for _, step in hands]
    for found in same:
        check(workload, HAND, found, reference)
    others = []
    for system in systems:
        if workload.key in system.steps:
            system.prepare()
            step = system.steps[workload.key](workload)
            found = after(step, steps)
            if system.name != FLOOR:
                check(workload, system.name, found, reference)
            others.append((system, step))
    return hands, others


def measured(workload: Workload, systems: list[System], rounds: int) -> dict[str, Any]:
    """A line of the table: ratios to the step by hand, or for a scalar graph microseconds a node."""
    hands, others = prepared(workload, systems)
    by_hand, timings, busy = timing.side_by_side(rounds, hands, others)
    scale = 1e6 / workload.nodes if workload.nodes else 0
    row: dict[str, Any] = {
        "title": workload.title,
        "unit": "us a node" if scale else "ratio",
        "by_hand": f"{by_hand.seconds[1] * scale:.2f}" if scale else f"{by_hand.seconds[1] * 1e6:.0f} us",
        "by_hand_seconds": by_hand.seconds,
        "goals": [workload.goal, workload.goal_compiled],
        "others": busy,
        "systems": {},
    }
    for (system, _), found in zip(others, timings):
        values = [s * scale for s in found.seconds] if scale else list(found.ratios)
        row["systems"][system.name] = {"quartiles": values, "seconds": found.seconds, "ratios": found.ratios}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", default=",".join(ALL), help="workloads: %(default)s; or figures")
    parser.add_argument("--systems", help="parts of names: only the systems that contain one of them")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it runs")
    parser.add_argument("--rounds", type=int, help="rounds of turns (25, or 5 with --quick)")
    parser.add_argument("--runs", type=int, default=1, help="of everything; a figure that moves by a fifth is marked")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder of the results (%(default)s)")
    options = parser.parse_args()
    if options.only == "figures":
        print(timing.machine())
        for figure in FIGURES:
            print(figure(), flush=True)
        return
    keys = options.only.split(",")
    if unknown := set(keys) - set(ALL):
        parser.error(f"unknown workload {', '.join(sorted(unknown))}; there are {', '.join(ALL)}, or figures")
    systems, left_out = available()
    if options.systems:
        systems = [s for s in systems if any(part in s.name for part in options.systems.split(","))]
    rounds = options.rounds or (5 if options.quick else 25)
    print(timing.machine(), flush=True)
    rows: dict[str, list[dict[str, Any]]] = {key: [] for key in keys}
    for _ in range(options.runs):
        for key in keys:
            others = timing.Others()
            row = LINES[key](systems, rounds) if key in LINES else measured(WORKLOADS[key](), systems, rounds)
            row.setdefault("others", others.cores())
            rows[key].append(row)
            print(report.lines(key, row), flush=True)
    results: report.Results = {
        "machine": timing.machine(),
        "versions": {s.name: s.version or report.installed(*s.packages) for s in systems},
        "left_out": left_out,
        "rounds": rounds,
        "runs": options.runs,
        "systems": [s.name for s in systems],
        "workloads": {key: report.merged(found) for key, found in rows.items()},
    }
    for file in report.write(results, options.out):
        print(file)


if __name__ == "__main__":
    main()
