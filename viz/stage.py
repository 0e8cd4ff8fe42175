"""The laid-out picture as the stage of the player: an SVG whose boxes and arrows can be lit one by one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, fromstring

from tinygrad_edu.program import Program, Variable
from viz.draw import FAINT, GRADIENT_INK, draw
from viz.graph import Arrow, Drawing
from viz.layout import SVG, laid_out_for
from viz.steps import Step

NS = f"{{{SVG}}}"
SHAPES = {NS + tag for tag in ("path", "polygon", "polyline", "ellipse", "text")}
INKS = {FAINT: "faint", GRADIENT_INK: "gradient", "white": "on-gradient"}  # what is written in one, as a class


@dataclass
class Light:
    """What lights up in a step: ids of the SVG's elements."""

    lit: list[str] = field(default_factory=list)
    target: str | None = None  # the box that the step fills, if it is drawn


class Stage:
    """The SVG, and which of its elements stand for what."""

    def __init__(self, svg: Element, drawing: Drawing) -> None:
        self.svg, self.drawing = svg, drawing
        self.boxes = {box.key: box.variable for box in drawing.boxes}
        self.places: defaultdict[Variable, list[str]] = defaultdict(list)  # a leaf may be drawn for each of its uses
        for key, variable in self.boxes.items():
            self.places[variable].append(key)
        self.arrows: defaultdict[str, list[Arrow]] = defaultdict(list)  # those of an operation
        for arrow in drawing.arrows:
            self.arrows[arrow.head if arrow.tail in self.boxes else arrow.tail].append(arrow)

    def light(self, step: Step) -> Light:
        """What is read, the operation, what is filled, and the arrows between."""
        if step.equation is None or (step.part == "backward" and step.contribution is None):
            found = [key for x in step.fills for key in self.places[x]]
            return Light(found, found[0] if len(found) == 1 else None)
        operation = self.drawing.ids[step.equation]
        arrows = self._forward(step, operation) if step.part == "forward" else self._backward(step, operation)
        ends = [end for arrow in arrows for end in (arrow.tail, arrow.head)]
        keys = [arrow.key if step.part == "forward" else f"b{arrow.key[1:]}" for arrow in arrows]
        filled = [end for end in ends if self.boxes.get(end) in step.fills]
        return Light(list(dict.fromkeys([operation, *ends, *keys])), filled[0] if filled else None)

    def _forward(self, step: Step, operation: str) -> list[Arrow]:
        """The arrows to and from the operation; in a box of several, those that this one uses."""
        assert step.equation is not None
        ends = {*step.equation.variables, step.equation.target}
        return [a for a in self.arrows[operation] if self.boxes[a.tail if a.head == operation else a.head] in ends]

    def _backward(self, step: Step, operation: str) -> list[Arrow]:
        """The dashed arrow from the result, and the one on which this contribution is sent."""
        sent = step.contribution
        assert sent is not None
        own = [a for a in self.arrows[operation] if a.back]
        arrived = [a for a in own if a.tail == operation and self.boxes[a.head] is sent.equation.target]
        leaving = [a for a in own if a.head == operation and self.boxes[a.tail] is sent.operand]
        exact = [a for a in leaving if a.contribution is sent]
        return arrived + (exact or leaving[:1])


def stage(program: Program, path: Path) -> Stage:
    """Lay out the picture of a program for the page at `path`."""
    picture = draw(program, direction="TB", legend=False)
    svg = fromstring(laid_out_for(path, picture.source, "svg"))
    for size in ("width", "height"):  # the page decides
        svg.attrib.pop(size)
    for group in svg.iter(NS + "g"):
        kind = group.get("class", "").split(" ")[0]
        if kind in ("graph", "node", "edge", "cluster"):
            _flatten(group, keep=kind == "graph")
    return Stage(svg, picture.drawing)


def _flatten(group: Element, keep: bool) -> None:
    """Drop the links that carry the tooltips of a group, and say in classes what its colours mean.

    The style sheet replaces the colours, in light and in dark.  The group's own title is Graphviz's name of a node;
    the tooltip says it better.
    """
    inner = [child for child in group if child.get("class")] if keep else []
    anchors = [a for child in group if child not in inner for a in child.iter(NS + "a")]
    shapes = [shape for child in group if child not in inner for shape in child.iter() if shape.tag in SHAPES]
    for child in list(group):
        group.remove(child)
    said = next((text for a in anchors for name, text in a.items() if name.endswith("title")), "")
    if said and not keep:
        SubElement(group, NS + "title").text = said
    for shape in shapes:
        ink = INKS.get(shape.get("fill", ""))
        if ink:
            shape.set("class", ink)
        group.append(shape)
    group.extend(inner)
