"""The results as a Markdown table, as JSON and as a bar chart."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.bench.systems import HAND

Results = dict[str, Any]  # what `json.dump` writes; see `__main__`


def installed(package: str, *others: str) -> str:
    """The version of a package, and of those that it needs."""
    found = []
    for each in (package, *others):
        try:
            found.append(version(each))
        except PackageNotFoundError:
            found.append("as it stands here, not installed")
    return ", ".join([found[0], *map(" ".join, zip(others, found[1:]))])


MOVES = 1.2  # a figure whose runs are further apart is not a result yet


def merged(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One line of several runs: for each system that of the middle one, with the medians of all."""
    line = dict(rows[0], others=max(row["others"] for row in rows), systems={})
    for name in rows[0]["systems"]:
        entries = sorted((row["systems"][name] for row in rows), key=lambda entry: entry["quartiles"][1])
        runs = [row["systems"][name]["quartiles"][1] for row in rows]
        line["systems"][name] = dict(entries[len(entries) // 2], runs=runs, settled=max(runs) <= MOVES * min(runs))
    return line


def number(value: float) -> str:
    return f"{value:.3g}" if value < 0.095 else f"{value:.2f}" if value < 9.95 else f"{value:.0f}"


def cell(entry: dict[str, Any] | None) -> str:
    """The median and the quartiles; of several runs the middle one's median, and the runs from the lowest on."""
    if entry is None:
        return "–"
    low, middle, high = map(number, entry["quartiles"])
    if len(entry.get("runs", ())) > 1:
        low, high = number(min(entry["runs"])), number(max(entry["runs"]))
    text = middle if low == high else f"{middle} ({low}–{high})"
    return text if entry.get("settled", True) else f"{text} ?"


def unit(row: dict[str, Any]) -> str:
    return "x by hand" if row["unit"] == "ratio" else str(row["unit"])


def lines(key: str, row: dict[str, Any]) -> str:
    """A workload's results as they are printed while the benchmark runs."""
    head = f"({key}) {row['title']}: {row['by_hand']} by hand; {unit(row)}; others took {row['others']:.2f} cores"
    return "\n".join([head, *(f"    {name:28} {cell(entry)}" for name, entry in row["systems"].items())])


def markdown(results: Results) -> str:
    """A table with a line for each workload and a column for each system."""
    names = results["systems"]
    says = "Median, and in brackets the quartiles"
    if results["runs"] > 1:
        says = f"The middle one of {results['runs']} runs (lowest–highest); ? marks what moved by more than a fifth"
    found = [
        f"{says}. A ratio is to the step by hand, measured just before and just after, in {results['rounds']} rounds.",
        "",
        "| workload | " + " | ".join(["goal (compiled)", HAND, *names]) + " |",
        "|---" * (len(names) + 3) + "|",
    ]
    for key, row in results["workloads"].items():
        eager, compiled = row["goals"]
        goal = "–" if eager is None else f"{eager:g}" + (f" ({compiled:g})" if compiled is not None else "")
        cells = [f"({key}) {row['title']}, {unit(row)}", goal, row["by_hand"]]
        cells += [cell(row["systems"].get(name)) for name in names]
        found.append("| " + " | ".join(cells) + " |")
    found += ["", results["machine"], ""]
    found.append(", ".join(f"{name} {version}" for name, version in results["versions"].items()) + ".")
    found += [f"Left out: {name} ({why})." for name, why in results["left_out"].items()]
    disturbed = {key: row["others"] for key, row in results["workloads"].items() if row["others"] > 0.1}
    if disturbed:
        cores = ", ".join(f"({key}) {number(cores)}" for key, cores in disturbed.items())
        found += ["", f"Other processes took part of the cores meanwhile: {cores} of them."]
    return "\n".join(found) + "\n"


def write(results: Results, out: Path) -> list[Path]:
    """Write bench.md, bench.json and, if matplotlib is here, bench.svg; return what was written."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.md").write_text(markdown(results), encoding="utf-8")
    (out / "bench.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    written = [out / "bench.md", out / "bench.json"]
    try:
        written.append(chart(results, out / "bench.svg"))
    except ImportError:
        print('no chart: matplotlib is not installed, pip install "tinygrad_edu[bench]" brings it')
    return written


def chart(results: Results, file: Path) -> Path:
    """A panel for each workload that has ratios, a bar for each system, whiskers at the quartiles; 1 is by hand."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    rows = [(key, row) for key, row in results["workloads"].items() if row["systems"]]
    across = min(3, len(rows))
    down = -(-len(rows) // max(across, 1))
    figure, axes = pyplot.subplots(down, across, figsize=(5 * across, 2.6 * down), squeeze=False)
    for axis in axes.flat[len(rows) :]:
        axis.remove()
    for axis, (key, row) in zip(axes.flat, rows):
        bars = {
            name: row["systems"][name] for name in results["systems"] if "quartiles" in row["systems"].get(name, {})
        }
        low, middle, high = ([e["quartiles"][i] for e in bars.values()] for i in range(3))
        ours = ["#c44e52" if name.startswith("tinygrad") else "#8c96a3" for name in bars]
        spread = [[m - a for m, a in zip(middle, low)], [b - m for m, b in zip(middle, high)]]
        axis.barh(list(bars), middle, xerr=spread, color=ours, error_kw={"lw": 0.8})
        if row["unit"] == "ratio":
            axis.axvline(1, color="black", lw=0.8)
        axis.invert_yaxis()
        axis.set_xscale("log")
        axis.tick_params(labelsize=7)
        axis.set_title(f"({key}) {row['title']}\n{unit(row)}", fontsize=7)
    figure.tight_layout()
    figure.savefig(file)
    pyplot.close(figure)
    return file
