"""A recorded graph as a page on which one steps through the sweep: `viz.page(loss, "backprop.html")`.

The page is one file that asks for nothing.  How it looks and what it does is written in `assets/`; this file puts the
picture, the equations and the numbers into it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from pathlib import Path
from string import Template
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from tinygrad_edu import Tensor
from tinygrad_edu.program import Program, Variable, trace
from viz.arrays import as_json, limit
from viz.steps import Step, steps_of
from viz.stage import Stage, stage

ASSETS = Path(__file__).parent / "assets"


def page(loss: Tensor, path: str | Path, title: str | None = None) -> Path:
    """Write the page of a recorded graph: its picture, and a player that goes through forward and backward.

    Parameters
    ----------
    loss : Tensor
        Recorded and not yet swept; or swept with `backward(retain_graph=True)`.
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
        For another ending.
    LayoutError
        If nothing is installed that could lay out the picture, or it took too long.

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
    steps = steps_of(program)
    drawn = stage(loss, program)
    numbers = _Numbers()
    data: dict[str, Any] = {
        "steps": [numbers.step(step, drawn) for step in steps],
        "tensors": numbers.tensors(program, steps, drawn),
        "operations": _operations(steps, drawn),
    }
    data["arrays"] = numbers.arrays()
    css, script = ((ASSETS / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    template = Template((ASSETS / "page.html").read_text(encoding="utf-8"))
    headline = title or f"Backpropagation of {program.outputs[0].name}"
    contents = {
        "title": html.escape(headline),
        "summary": html.escape(_summary(program, steps)),
        "policy": _policy(css, script),
        "css": css,
        "script": script,
        "picture": _markup(drawn.svg),
        "steps": _markup(_list_of(steps)),
        "data": _embedded(data),
    }
    path.write_text(template.substitute(contents), encoding="utf-8")
    return path


class _Numbers:
    """The arrays of a page, each written once, and the steps and tensors that refer to them by their place."""

    def __init__(self) -> None:
        self.places: dict[Variable, int] = {}

    def place(self, variable: Variable) -> int:
        return self.places.setdefault(variable, len(self.places))

    def arrays(self) -> list[Any]:
        """All of them, in the order of their first use."""
        allowed = limit([x.value.size for x in self.places])
        return [as_json(x.value, allowed) for x in self.places]

    def step(self, step: Step, drawn: Stage) -> dict[str, Any]:
        """What the player shows of a step; its equation stands in the list of all steps."""
        return {
            "part": step.part,
            "headline": step.headline,
            "words": step.words,
            "rule": step.rule,
            "code": [str(equation) for equation in step.equations],
            "in": [[x.name, self.place(x)] for x in step.going_in],
            "out": [[x.name, self.place(x)] for x in step.coming_out],
            "number": step.number,
            "total": step.total,
            "lit": drawn.lit(step),
            "target": drawn.boxes.get(step.fills) if step.fills else None,
            "text": str(step.equations[-1]) if step.equations else "",
        }

    def tensors(self, program: Program, steps: list[Step], drawn: Stage) -> list[dict[str, Any]]:
        """The drawn tensors: value, gradient, and the steps that fill them."""
        found = {}
        for x in program.variables():
            if x in drawn.boxes:
                gradient = program.gradients.get(x)
                found[x] = {
                    "name": x.name,
                    "kind": x.kind,
                    "box": drawn.boxes[x],
                    "value": self.place(x),
                    "gradient": None if gradient is None else self.place(gradient),
                    "from": 0,  # the step that fills its value
                    "sent": [],  # the steps that send it a contribution, and the sums so far
                }
        for i, step in enumerate(steps):
            if step.fills not in found:
                continue
            if step.part == "forward":
                found[step.fills]["from"] = i
            else:
                found[step.fills]["sent"].append([i, self.place(step.coming_out[-1])])
        return list(found.values())


def _operations(steps: list[Step], drawn: Stage) -> list[dict[str, Any]]:
    """The drawn operations, with the steps that run them, forward and (from the first on) backward."""
    found: dict[str, dict[str, Any]] = {}
    for i, step in enumerate(steps):
        if step.of in drawn.operations:
            box = drawn.operations[step.of]
            entry = found.setdefault(box, {"box": box, "name": step.of.op.name, "from": i, "back": None})
            if step.contribution is not None and entry["back"] is None:
                entry["back"] = i
    return list(found.values())


def _list_of(steps: list[Step]) -> Element:
    """All steps with their equations: for the player to show one by one, for paper, and for browsers without scripts."""
    ol = Element("ol", {"start": "0"})
    for i, step in enumerate(steps):
        li = SubElement(ol, "li", {"id": f"step-{i}", "class": step.part})
        SubElement(li, "a", {"href": f"#step={i}"}).text = step.headline
        equation = SubElement(li, "div", {"class": "equation"})
        for e in step.equations[-1:]:
            SubElement(equation, "code").text = str(e)
        shapes = SubElement(li, "p", {"class": "shapes"})
        for e in step.equations[-1:]:
            operands = ", ".join(str(x.shape) for x in e.variables)
            shapes.text = f"{operands} \N{RIGHTWARDS ARROW} {e.target.shape}"
        SubElement(li, "p", {"class": "words"}).text = step.words
    return ol


def _markup(element: Element) -> str:
    """An element as HTML: everything in it escaped."""
    return tostring(element, encoding="unicode", short_empty_elements=False)


def _summary(program: Program, steps: list[Step]) -> str:
    count = sum(x.value.size for x in program.parameters)
    return (
        f"{len(program.forward):,} operations, {count:,} numbers in {len(program.parameters)} parameters; "
        f"{len(steps) - 1:,} steps, forward and then backward."
    )


def _policy(css: str, script: str) -> str:
    """Only this style and this script, by their hashes; nothing is loaded, nothing sent."""
    style_hash, script_hash = (
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in (css, script)
    )
    return (
        f"default-src 'none'; style-src {style_hash}; script-src {script_hash}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _embedded(data: Any) -> str:
    """JSON that cannot end the element in which it stands, whatever the names in it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # all but ASCII is escaped by itself
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
