"""The results as a Markdown table, as JSON and as a bar chart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.bench.systems import HAND

Results = dict[str, Any]  # what `json.dump` writes; see `__main__`


def cell(entry: dict[str, Any] | None) -> str:
    """The median, and the quartiles if they are apart."""
    if entry is None:
        return "–"
    if "note" in entry:
        return str(entry["note"])
    low, middle, high = (
        f"{v:.3g}" if v < 0.095 else f"{v:.2f}" if v < 9.95 else f"{v:.0f}" for v in entry["quartiles"]
    )
    return middle if low == high else f"{middle} ({low}–{high})"


def unit(row: dict[str, Any]) -> str:
    return row["unit"] if row["unit"] != "ratio" else "x by hand"


def markdown(results: Results) -> str:
    """A table with a line for each workload and a column for each system."""
    names = results["systems"]
    lines = [
        f"Median, and in brackets the quartiles, of {results['rounds']} rounds; a ratio is to the step {HAND}, measured just before "
        "and just after.",
        "",
        "| workload | " + " | ".join([HAND, *names]) + " |",
        "|---" * (len(names) + 2) + "|",
    ]
    for key, row in results["workloads"].items():
        cells = [f"({key}) {row['title']}, {unit(row)}", row["by_hand"]]
        cells += [cell(row["systems"].get(name)) for name in names]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", results["machine"], ""]
    lines += [", ".join(f"{name} {version}" for name, version in results["versions"].items())]
    lines += [f"Left out: {name} ({why})" for name, why in results["left_out"].items()]
    return "\n".join(lines) + "\n"


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
