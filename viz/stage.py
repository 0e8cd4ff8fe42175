"""The laid-out picture as the stage of the player: an SVG whose boxes and arrows can be lit one by one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from xml.etree.ElementTree import Element, fromstring

from tinygrad_edu import Tensor
from tinygrad_edu.program import Equation, Program, Variable
from viz.draw import draw
from viz.graph import collect
from viz.layout import laid_out
from viz.steps import Step


@dataclass
class Stage:
    """The SVG, and the ids of what stands for what."""

    svg: Element
    boxes: dict[Variable, str]
    operations: dict[Equation, str]
    edges: dict[tuple[str, str], list[str]]  # from one id to another; parallel arrows in order

    def lit(self, step: Step) -> list[str]:
        """What lights up: what is read, the operation, what is filled, and the arrows between."""
        operation = self.operations.get(step.of) if step.of else None
        found = []
        if step.part == "start":
            return [self.boxes[x] for x in step.coming_out if x in self.boxes]
        target = self.boxes.get(step.fills) if step.fills else None
        if step.contribution is not None and operation and target:
            output = self.boxes.get(step.of.target)
            found = [operation, target, *self.edges.get((operation, output), [])[:1]]
            before = [x for x in step.of.operands[: step.contribution.index] if x is step.fills]
            found += self.edges.get((target, operation), [])[len(before) : len(before) + 1]
        elif step.part == "forward" and operation:
            found = [operation, target]
            found += self.edges.get((operation, target), [])
            for x in step.going_in:
                found += self.edges.get((self.boxes.get(x), operation), [])
        elif target:
            found = [target]
        return [x for x in found if x]


def stage(loss: Tensor, program: Program) -> Stage:
    """Lay out the picture of a graph."""
    import re
    source = re.sub(r"subgraph cluster_legend \{.*?\n\t\}", "", str(draw(loss, direction="TB").source), flags=re.S)
    source = source.replace("ranksep=0.4", "ranksep=0.3")
    svg = fromstring(laid_out(source, "svg"))
    drawing = collect([loss])
    boxes, operations = {}, {}
    by_value = {id(x.value): x for x in program.variables()}
    keys = {}
    for box in drawing.boxes:
        x = by_value.get(id(box.value))
        if x is not None:
            boxes[x] = keys[box.key] = box.key
    for op, equation in zip(drawing.operations, program.forward):
        operations[equation] = op.key
    edges = defaultdict(list)
    parents = {c: p for p in svg.iter() for c in p}
    for e in list(svg.iter()):
        e.tag = e.tag.split("}")[1]
    svg.attrib.pop("width"), svg.attrib.pop("height")
    for g in list(svg.iter("g")):
        if g.get("class") not in ("node", "edge", "graph", "cluster"):
            continue
        title = g.find("title")
        g.remove(title)
        if g.get("class") == "node":
            g.set("id", title.text)
            fills = {"#dcebf7": "parameter", "#f1f1f1": "data", "#fde9cc": "output", "#d9f0e7": "operation"}
            k = next((fills[c.get("fill")] for c in g.iter() if c.get("fill") in fills), "result")
            g.set("class", "node " + k)
            for c in g.iter("text"):
                if c.get("fill") == "#a33b00":
                    c.set("class", "gradient")
        elif g.get("class") == "edge":
            a, _, b = title.text.partition("->")
            edges[a, b].append(g.get("id"))
    for e in list(svg.iter()):
        for child in list(e):
            while child.tag == "a" or (child.tag == "g" and child.get("id", "").startswith("a_")):
                i = list(e).index(child)
                e.remove(child)
                for k, x in enumerate(list(child)):
                    e.insert(i + k, x)
                if not len(child):
                    break
                child = e[i]
    return Stage(svg, boxes, operations, dict(edges))
