"""`python -m tests.bench`: this package beside its peers and beside NumPy by hand, from one run; see README.md."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tests.bench import report, timing
from tests.bench.agreement import Made, check
from tests.bench.figures import FIGURES
from tests.bench.processes import LINES
from tests.bench.systems import FAMILIES, HAND
from tests.bench.worker import Worker, workers
from tests.bench.workloads import WORKLOADS, Workload

ALL = sorted([*WORKLOADS, *LINES])


def measured(workload: Workload, running: list[Worker], names: list[str], rounds: int, turn: float) -> dict[str, Any]:
    """A line of the table: ratios to the step by hand, or for a scalar graph microseconds a node."""
    having = {w: [s.name for s in w.systems if s.name in names and workload.key in s.steps] for w in running}
    families = [worker for worker in running if having[worker]] or running[:1]  # by hand alone
    reference: Made | None = None
    for worker in families:
        made = worker.prepare(workload.key, having[worker], turn)
        reference = reference or made
        check(workload, f"{HAND}, in the process of {worker.file},", made, reference)
    by_hand, timings, busy = timing.side_by_side(rounds, families)
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
    for name, found in zip((name for worker in families for name in having[worker]), timings):
        values = [s * scale for s in found.seconds] if scale else list(found.ratios)
        row["systems"][name] = {"quartiles": values, "seconds": found.seconds, "ratios": found.ratios}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", default=",".join(ALL), help="workloads: %(default)s; or figures")
    parser.add_argument("--systems", help="parts of names: only the systems that contain one of them")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it runs")
    parser.add_argument("--rounds", type=int, help="rounds of turns (25, or 5 with --quick)")
    parser.add_argument("--turn", type=float, default=timing.TURN, help="seconds of one turn (%(default)s)")
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
    rounds = options.rounds or (5 if options.quick else 25)
    parts = options.systems.split(",") if options.systems else [""]
    print(timing.machine(), flush=True)
    rows: dict[str, list[dict[str, Any]]] = {key: [] for key in keys}
    with workers(FAMILIES) as running:
        systems = [s for worker in running for s in worker.systems if any(part in s.name for part in parts)]
        names = [s.name for s in systems]
        for _ in range(options.runs):
            for key in keys:
                if key in LINES:
                    others = timing.Others()
                    row = LINES[key](systems, rounds)
                    row["others"] = others.cores()
                else:
                    row = measured(WORKLOADS[key](), running, names, rounds, options.turn)
                rows[key].append(row)
                print(report.lines(key, row), flush=True)
    results: report.Results = {
        "machine": timing.machine(),
        "versions": {s.name: s.version or report.installed(*s.packages) for s in systems},
        "left_out": {name: why for worker in running for name, why in worker.left_out.items()},
        "rounds": rounds,
        "runs": options.runs,
        "systems": names,
        "workloads": {key: report.merged(found) for key, found in rows.items()},
    }
    for file in report.write(results, options.out):
        print(file)


if __name__ == "__main__":
    main()
