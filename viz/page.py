"""A recorded graph as a page on which one steps through the sweep: `viz.page(loss, "backprop.html")`.

The page is one file that asks for nothing.  How it looks and what it does is written in `assets/`; this file puts the
picture, the equations and the numbers into it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

from tinygrad_edu import Tensor
from tinygrad_edu.derivation.derivation import Line
from tinygrad_edu.derivation.names import printable
from tinygrad_edu.program import Program, Variable, trace
from viz.arrays import as_json, limit
from viz.labels import several
from viz.stage import Stage, stage
from viz.steps import Shown, Step, steps_of

ASSETS = Path(__file__).parent / "assets"
MOST = 40_000  # steps: more make a page that no browser opens in a few seconds, and nobody goes through
FOLD = 400  # steps: of a longer list, so many stand in one part
WIDE = 60  # characters of an equation that gets a whole row on paper


def page(loss: Tensor, path: str | Path, title: str | None = None) -> Path:
    """Write the page of a recorded graph: its picture, and a player that goes through forward and backward.

    Open it in any browser; it needs no network.  The arrow keys step, the space bar plays, a click on a box of the
    picture goes to the step that fills it, and `#step=12` at the end of the address opens that step.

    Parameters
    ----------
    loss : Tensor
        Recorded and not yet swept; or swept with `backward(retain_graph=True)`.  Nobody's `.grad` changes.
    path : str or Path
        Of the file, which ends in `.html`.
    title : str, optional
        The headline.

    Returns
    -------
    The path of the file.

    Raises
    ------
    GraphError
        For a tensor without a recorded history, or a graph that was freed.
    ValueError
        For another ending, or a graph that is too large to be gone through.
    LayoutError
        If nothing is installed that could lay out the picture, or it took too long.
    ImportError
        Without the graphviz package: `pip install "tinygrad_edu[viz]"`.

    Examples
    --------
    >>> import tempfile, tinygrad_edu as tg, viz
    >>> x = tg.Tensor(3.0, requires_grad=True, name="x")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     viz.page(x * x, folder + "/square.html", title="A square").name
    'square.html'
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"page: {path.name}: the ending must be .html")
    program = trace(loss)
    count = len(program.forward) + len(program.contributions)
    if count > MOST:
        raise ValueError(
            f"page: {count:,} steps (of {len(program.forward):,} operations) are more than the {MOST:,} that one page "
            "holds; make the page of a smaller model or a shorter sequence, or draw this one: viz.draw(loss)"
        )
    steps = steps_of(program)
    drawn = stage(program, path)
    css, script = ((ASSETS / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    template = Template((ASSETS / "page.html").read_text(encoding="utf-8"))
    contents = {
        "title": html.escape(printable(title or f"Backpropagation of {program.outputs[0].name}")),
        "summary": html.escape(_summary(program, steps)),
        "policy": _policy(css, script),
        "css": css,
        "script": script,
        "picture": _markup(drawn.svg),
        "steps": _list_of(steps),
        "data": _embedded(_data(program, steps, drawn)),
    }
    path.write_text(template.substitute(contents), encoding="utf-8")
    return path


# ---------------------------------------------------------------------------------------------- the data


def _data(program: Program, steps: Sequence[Step], drawn: Stage) -> dict[str, Any]:
    """What the player needs besides the list of all steps: numbers, and what lights up."""
    places: dict[Variable, int] = {}  # each array is written once, and referred to by its place

    def place(variable: Variable) -> int:
        return places.setdefault(variable, len(places))

    def shown(numbers: Iterable[Shown]) -> list[Any]:
        return [[x.symbol, printable(x.variable.name), place(x.variable)] for x in numbers]

    lights = [drawn.light(step) for step in steps]
    data: dict[str, Any] = {
        "steps": [
            {
                "part": step.part,
                "in": shown(step.going_in),
                "out": shown(step.coming_out),
                "number": step.number,
                "total": step.total,
                "lit": light.lit,
                "target": light.target,
                "text": "; ".join(line.text() for line in step.lines),
            }
            for step, light in zip(steps, lights)
        ]
    }
    tensors: dict[Variable, dict[str, Any]] = {}
    for x, boxes in drawn.places.items():
        gradient = program.gradients.get(x)
        tensors[x] = {
            "name": printable(x.name),
            "kind": x.kind,
            "boxes": boxes,
            "value": place(x),
            "gradient": None if gradient is None else place(gradient),
            "from": 0,  # the step that fills its value
            "sent": [],  # the steps that send it a contribution, and the sums so far
        }
    for i, step in enumerate(steps):
        for x in step.fills:
            if step.part == "forward" and x in tensors:
                tensors[x]["from"] = i
            elif step.part == "backward" and x in tensors:
                tensors[x]["sent"].append([i, place(step.coming_out[-1].variable)])
    operations: dict[str, dict[str, Any]] = {}
    for o in drawn.drawing.operations:
        operations[o.key] = {
            "box": o.key,
            "name": o.name,
            "from": None,
            "back": None,
        }  # the first steps to use its rules
    for i, step in enumerate(steps):
        if step.equation is not None:
            operation = operations[drawn.drawing.ids[step.equation]]
            half = "from" if step.part == "forward" else "back"
            operation[half] = i if operation[half] is None else operation[half]
    data["tensors"], data["operations"] = list(tensors.values()), list(operations.values())
    allowed = limit([x.value.size for x in places])
    data["arrays"] = [as_json(x.value, allowed) for x in places]
    return data


def _embedded(data: Any) -> str:
    """JSON that cannot end the element in which it stands, whatever the names in it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # all but ASCII is escaped by itself
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


# -------------------------------------------------------------------------------------- what can be read


def _list_of(steps: Sequence[Step]) -> str:
    """All steps with their equations: for the player to show one by one, for paper, and for browsers without scripts.

    A long list is folded, a part at a time: a browser lays out only what is open.
    """
    parts = []
    for start in range(0, len(steps), FOLD):
        ol = Element("ol", {"start": str(start)})
        for i, step in enumerate(steps[start : start + FOLD], start):
            ol.append(_item(i, step))
        if len(steps) > FOLD:
            details = Element("details")
            SubElement(details, "summary").text = f"Steps {start:,} to {min(start + FOLD, len(steps)) - 1:,}"
            details.append(ol)
        parts.append(_markup(details if len(steps) > FOLD else ol))
    return "\n".join(parts)


def _item(i: int, step: Step) -> Element:
    """One step in the list."""
    wide = any(len(line.text()) > WIDE for line in step.lines)
    li = Element("li", {"id": f"step-{i}", "class": f"{step.part} wide" if wide else step.part})
    head = SubElement(li, "p", {"class": "head"})
    SubElement(head, "a", {"href": f"#step={i}"}).text = step.headline
    if step.part != "start":
        SubElement(head, "small").text = printable(step.fills[0].name)
    if step.lines:
        li.append(_equation(step.lines, "equation"))
        SubElement(li, "p", {"class": "shapes"}).text = step.shapes
    if step.short is not None:
        li.append(_equation([step.short], "equation short"))
    for name, text in (("note", step.note), ("words", step.words), ("rule", step.rule)):
        if text:
            SubElement(li, "p", {"class": name}).text = printable(text)
    if step.code:
        SubElement(li, "pre", {"class": "code"}).text = "\n".join(printable(str(x)) for x in step.code)
    return li


def _equation(lines: Sequence[Line], name: str) -> Element:
    """Lines as mathematics."""
    div = Element("div", {"class": name})
    for line in lines:
        div.append(fromstring(line.mathml()))
    return div


def _markup(element: Element) -> str:
    """An element as HTML: everything in it escaped."""
    return tostring(element, encoding="unicode", short_empty_elements=False)


def _summary(program: Program, steps: Sequence[Step]) -> str:
    numbers = several(sum(x.value.size for x in program.parameters), "number")
    parameters = several(len(program.parameters), "parameter")
    operations, moves = several(len(program.forward), "operation"), several(len(steps) - 1, "step")
    return f"{operations}, {numbers} in {parameters}; {moves}, forward and then backward."


def _policy(css: str, script: str) -> str:
    """Only this style and this script, by their hashes; nothing is loaded, nothing sent."""
    style_hash, script_hash = (
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in (css, script)
    )
    return (
        f"default-src 'none'; style-src {style_hash}; script-src {script_hash}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
