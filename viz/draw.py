"""The picture of a recorded graph: `viz.draw(loss)`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinygrad_edu import Tensor
from tinygrad_edu.program import Program
from viz.graph import Arrow, Box, Drawing, Operation, collect
from viz.labels import escape, number, shape, short, summary, table, tip
from viz.layout import laid_out
from viz.rollup import Repeat, chain, name
from viz.rules import local_rule

try:
    import graphviz
except ImportError:  # the picture needs it, but `import viz` does not
    graphviz = None

if TYPE_CHECKING:
    from graphviz import Digraph as _Digraph
else:
    _Digraph = graphviz.Digraph if graphviz is not None else object

Part = Literal["values", "gradients", "rules", "shapes"]
PARTS: tuple[Part, ...] = ("values", "gradients", "rules", "shapes")

FONT = "DejaVu Sans,Verdana,Helvetica,sans-serif"
INK, FAINT, GRADIENT_INK = "#1a1a1a", "#555555", "#a33b00"

# Kinds differ in shape and in words, not only in colour; the colours are Okabe and Ito's, which colour-blind people
# can tell apart, lightened behind the text.
STYLES: dict[str, dict[str, str]] = {
    "parameter": {"shape": "box", "style": "filled", "fillcolor": "#dcebf7", "color": "#0072B2", "penwidth": "2"},
    "data": {"shape": "note", "style": "filled", "fillcolor": "#f1f1f1", "color": "#555555"},
    "result": {"shape": "box", "style": "filled,rounded", "fillcolor": "#ffffff", "color": "#777777"},
    "output": {"shape": "box", "style": "filled", "fillcolor": "#fde9cc", "color": "#D55E00", "peripheries": "2"},
    "operation": {"shape": "ellipse", "style": "filled", "fillcolor": "#d9f0e7", "color": "#009E73"},
    "rolled up": {"shape": "box3d", "style": "filled", "fillcolor": "#f6e3ee", "color": "#CC79A7"},
}
BACK = {"dir": "back", "style": "dashed", "color": GRADIENT_INK, "fontcolor": GRADIENT_INK, "weight": "0"}


class Picture(_Digraph):  # type: ignore[misc]  # graphviz brings no types
    """A `graphviz.Digraph` that also shows itself in Jupyter where only the pygraphviz wheel can lay it out.

    `ids` says which element of the SVG stands for what: of a Variable (its box), an Equation (its operation), and a
    Contribution (the dashed arrow).  `drawing` is what was drawn.
    """

    ids: dict[Any, str]
    drawing: Drawing

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_: Any) -> dict[str, str]:
        return {"image/svg+xml": laid_out(self.source, "svg").decode()}


def draw(
    outputs: Tensor | Sequence[Tensor] | Program,
    *,
    direction: Literal["LR", "TB"] = "LR",
    show: Collection[Part] = PARTS,
    title: str | None = None,
    depth: int | None = None,
    collapse: Sequence[str] = (),
    rollup: bool | None = None,
    focus: Tensor | str | None = None,
    radius: int = 2,
    legend: bool = True,
) -> Picture:
    """The recorded graph of one tensor, or of several, as a `graphviz.Digraph`.

    Tensors are small tables with name, shape, dtype, value and gradient; operations stand between them with their
    formula.  Matrices up to 4x4 are shown in full, larger arrays by norm, mean, min and max.  Forward, the arrows are
    solid.  Back along them go dashed ones, each with its local rule (g is the gradient that arrives, y the output) and
    with what it contributes; a badge on a gradient says of how many contributions it is the sum.

    Modules are frames around what they have computed.  Past about 150 boxes the picture rolls itself up: repeats are
    drawn once ("x 11 more"), then inner modules become one box each, and at last neighbours share one.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        What the graph leads to, usually the loss.  The gradients are computed for the picture, of the outputs' sum;
        nobody's `.grad` changes.  (Or a Program that was traced already.)
    direction : "LR" or "TB"
        From left to right, or from top to bottom.
    show : some of "values", "gradients", "rules", "shapes"
        What stands in the boxes and on the arrows.  Without "gradients" nothing is swept, and no arrow is dashed.
    title : str, optional
        A headline, and what a screen reader announces.
    depth : int, optional
        How many levels of modules are open; what lies deeper is one box for each module.  0: the outermost ones closed.
    collapse : sequence of str
        Modules that are closed, by path ("encoder.fc1") or class ("Linear").
    rollup : bool, optional
        True rolls repeats up, False nothing at all; unless given, a picture of more than 150 boxes.
    focus : Tensor or str, optional
        Draw only the surroundings of this tensor, or of the one with this name: at most `radius` operations away.
    legend : bool
        A small sample of each kind.

    Returns
    -------
    graphviz.Digraph
        Its `ids` map the program's Variables, Equations and Contributions to the elements of the SVG.

    Raises
    ------
    GraphError
        For a tensor without a recorded history, or a graph that was freed: draw before `backward()`, or use
        `backward(retain_graph=True)`.
    ImportError
        Without the graphviz package: `pip install "tinygrad_edu[viz]"`.
    ValueError
        For a direction, a part, a module or a focus that is unknown.

    Examples
    --------
    >>> import tinygrad_edu as tg, viz
    >>> x = tg.Tensor(3.0, requires_grad=True, name="x")
    >>> print(viz.draw(x * x).source.splitlines()[0])
    digraph backpropagation {
    """
    if graphviz is None:
        raise ImportError('draw: the graphviz package is missing: pip install "tinygrad_edu[viz]"')
    if direction not in ("LR", "TB"):
        raise ValueError(f'draw: direction {direction!r}: "LR" or "TB" is expected')
    if isinstance(show, str) or not set(show) <= set(PARTS):
        raise ValueError(f"draw: show={show!r}: a selection of {PARTS} is expected")
    drawing = collect(outputs, "gradients" in show, depth, collapse, rollup, focus, radius)
    picture = Picture("backpropagation")
    picture.ids, picture.drawing = drawing.ids, drawing
    heading = title or "Computation graph"
    picture.attr(
        "graph", rankdir=direction, fontname=FONT, fontsize="14", nodesep="0.25", ranksep="0.4", bgcolor="white"
    )
    picture.attr("graph", tooltip=f"{tip(heading)}: {tip(described(drawing))}")
    lines = [line for line in (title, _left_out(drawing)) if line]
    if lines:
        picture.attr("graph", label=f"<{'<BR/>'.join(map(escape, lines))}>", labelloc="t")
    picture.attr("node", fontname=FONT, fontsize="10", fontcolor=INK, margin="0.06,0.03")
    picture.attr("edge", color="#666666", arrowsize="0.7", fontname=FONT, fontsize="9")
    _fill(picture, drawing, set(show))
    if legend:
        _legend(picture, drawing)
    return picture


def described(drawing: Drawing) -> str:
    """What a screen reader says of the picture."""
    operations = len(drawing.program.forward) - drawing.cut
    text = f"{len(drawing.boxes)} tensors, {operations:,} operations"
    return "; ".join(filter(None, [text, _left_out(drawing)]))


def _left_out(drawing: Drawing) -> str:
    """What the picture does not show one by one."""
    hidden, groups = drawing.rolled
    said = []
    if groups:
        said.append(f"{hidden:,} operations are rolled up into {groups} box{'es' * (groups != 1)}")
    if drawing.cut:
        said.append(f"{drawing.cut:,} operations farther away are left out")
    return "; ".join(said)


# ------------------------------------------------------------------------------------------ frames


class _Frames:
    """Nested clusters: one for each module call, and one around a pattern that is drawn once."""

    def __init__(self, picture: Picture) -> None:
        self.root = picture
        self.inside: dict[Any, dict[str, Any]] = {None: {"nodes": [], "frames": [], "label": ""}}

    def add(self, path: Sequence[Any], node: tuple[str, str, dict[str, str]]) -> None:
        """A node inside of the frames of `path`, the outermost first."""
        around = None
        for frame in path:
            if frame not in self.inside:
                label = f"repeats {frame.times:,} times" if isinstance(frame, Repeat) else name(frame)
                self.inside[frame] = {"nodes": [], "frames": [], "label": label}
                self.inside[around]["frames"].append(frame)
            around = frame
        self.inside[around]["nodes"].append(node)

    def draw(self) -> None:
        """Write all of them, each inside of its own."""
        count = 0
        waiting: list[tuple[Any, Any]] = [(None, self.root)]
        graphs: list[tuple[Any, Any]] = []  # parent and child, to be written from the innermost on
        while waiting:
            frame, graph = waiting.pop()
            for key, label, attributes in self.inside[frame]["nodes"]:
                graph.node(key, label, **attributes)
            for inner in self.inside[frame]["frames"]:
                child = graphviz.Digraph(name=f"cluster_{count}")
                count += 1
                repeats = isinstance(inner, Repeat)
                child.attr(
                    label=f"<{escape(self.inside[inner]['label'])}>", labeljust="l", fontname=FONT, fontsize="10",
                    fontcolor=FAINT, tooltip=tip(self.inside[inner]["label"]), margin="10",
                    color="#CC79A7" if repeats else "#bbbbbb", style="dashed" if repeats else "rounded",
                )  # fmt: skip
                waiting.append((inner, child))
                graphs.append((graph, child))
        for graph, child in reversed(graphs):
            graph.subgraph(child)


def _path(operation: Operation) -> list[Any]:
    """The frames around an operation: its modules, and the pattern that it belongs to."""
    frames: list[Any] = list(chain(operation.call))
    repeat = operation.unit.repeat
    if repeat is not None:
        frames.insert(len(chain(repeat.parent)), repeat)
    return frames


def _fill(picture: Picture, drawing: Drawing, show: set[str]) -> None:
    """Boxes and operations in the order of the program, then the arrows."""
    frames = _Frames(picture)
    repeats = {frame: path for o in drawing.operations for path in [_path(o)] for frame in path[-1:]}
    made = {e.target: _path(o) for o in drawing.operations for e in o.unit.equations}
    for box in drawing.boxes:
        path = made.get(box.variable) or repeats.get(box.call) or chain(box.call)
        frames.add(path, (box.key, _box_label(box, show), {"tooltip": _tooltip(box), **_marked(box.key, box.kind)}))
    for operation in drawing.operations:
        kind = "rolled up" if operation.unit.rolled else "operation"
        attributes = {"tooltip": tip(operation.formula), **_marked(operation.key, kind)}
        frames.add(_path(operation), (operation.key, _operation_label(operation), attributes))
    frames.draw()
    for arrow in drawing.arrows:
        picture.edge(arrow.tail, arrow.head, id=arrow.key, **{"class": "forward"})
        if arrow.back:
            picture.edge(
                arrow.tail, arrow.head, id=f"b{arrow.key[1:]}", **{"class": "backward"}, **_back(drawing, arrow, show)
            )
    for i, ends in enumerate(drawing.ends):
        outside = f"e{i}"
        picture.node(outside, "\N{HORIZONTAL ELLIPSIS}", shape="plaintext", tooltip="it goes on here")
        picture.edge(*(end or outside for end in ends), style="dotted", dir="none")


def _marked(key: str, kind: str) -> dict[str, str]:
    return {"id": key, "class": kind.replace(" ", "-"), **STYLES[kind]}


def _back(drawing: Drawing, arrow: Arrow, show: set[str]) -> dict[str, str]:
    """The look of a dashed arrow: its rule, and what it contributes."""
    contribution = arrow.contribution
    if contribution is None:
        return {**BACK, "tooltip": "gradient"}
    rule = local_rule(drawing.program, contribution)
    sent = amount(contribution.value.value)
    attributes = {**BACK, "tooltip": tip(f"{rule}: {sent}")}
    if "rules" in show:
        lines = f'{escape(short(rule, 28))}<BR/><FONT POINT-SIZE="8">{escape(sent)}</FONT>'
        attributes["label"] = f'<<TABLE BORDER="0" CELLPADDING="4"><TR><TD>{lines}</TD></TR></TABLE>>'  # off the line
    return attributes


def amount(value: Any) -> str:
    """What a contribution amounts to: the number, or the norm of many."""
    value = np.asarray(value)
    if value.size == 1:
        return f"+ {number(value.reshape(()))}"
    return f"norm {dict(summary(value)).get('norm', '0')}" if value.size else "empty"


def _tooltip(box: Box) -> str:
    return tip(f"{box.kind} {box.name}, {shape(box.value)}")


def _box_label(box: Box, show: set[str]) -> str:
    """An HTML-like label: a headline, then a row each for the value and the gradient."""
    kind = f"{box.kind}, again" if box.again else box.kind
    facts = " \N{MIDDLE DOT} ".join([kind, *([shape(box.value), str(box.variable.dtype)] if "shapes" in show else [])])
    rows = [
        f'<TR><TD COLSPAN="2"><B>{escape(short(box.name, 40))}</B></TD></TR>',
        f'<TR><TD COLSPAN="2"><FONT POINT-SIZE="8" COLOR="{FAINT}">{escape(facts)}</FONT></TD></TR>',
    ]
    if "values" in show and not box.again:
        rows.append(_row("value", table(box.value, INK), INK))
    if "gradients" in show and box.gradient is not None and not box.again:
        rows.append(_row("gradient", table(box.gradient.value, GRADIENT_INK), GRADIENT_INK, box.received))
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">{"".join(rows)}</TABLE>>'


def _row(word: str, content: str, ink: str, received: int = 0) -> str:
    """A row of a box; of a gradient that several contributions meet in, a badge says how many."""
    said = f'<FONT POINT-SIZE="8" COLOR="{ink}">{word}</FONT>'
    if received > 1:
        badge = f'<FONT POINT-SIZE="8" COLOR="#ffffff"><B>\N{N-ARY SUMMATION} of {received:,}</B></FONT>'
        cells = f'<TR><TD>{said}</TD></TR><TR><TD BGCOLOR="{ink}">{badge}</TD></TR>'
        said = f'<TABLE BORDER="0" CELLSPACING="0">{cells}</TABLE>'
    return f'<TR><TD ALIGN="LEFT" VALIGN="MIDDLE">{said}</TD><TD ALIGN="RIGHT">{content}</TD></TR>'


def _operation_label(operation: Operation) -> str:
    said = [operation.formula]
    if not operation.unit.module:
        for kind in ("parameter", "data"):
            count = sum(x.kind == kind for x in operation.hidden)
            if count:
                said.append(f"{count:,} {kind}{'s' * (kind == 'parameter' and count > 1)} inside")
    small = "".join(f'<BR/><FONT POINT-SIZE="9">{escape(short(line, 60))}</FONT>' for line in said)
    return f"<<B>{escape(operation.name)}</B>{small}>"


def _legend(picture: Picture, drawing: Drawing) -> None:
    """One small sample of each kind that occurs; values are dark and gradients reddish, as in the tables."""
    kinds = {box.kind for box in drawing.boxes} | {
        "rolled up" if operation.unit.rolled else "operation" for operation in drawing.operations
    }
    with picture.subgraph(name="cluster_legend") as legend:
        legend.attr(label="legend", color="#cccccc", fontsize="9", fontname=FONT, style="rounded")
        legend.attr("node", fontsize="8", margin="0.04,0.02", height="0.2")
        for kind in STYLES:
            if kind in kinds:
                legend.node(f"legend_{kind.replace(' ', '_')}", kind, **STYLES[kind])
        said = [("value, forward", INK)]
        if any(arrow.back for arrow in drawing.arrows):
            said.append(("gradient, backward (dashed); g arrives, y is the output", GRADIENT_INK))
        legend.node("legend_inks", f"<{_lines(said)}>", shape="plaintext")


def _lines(said: Iterable[tuple[str, str]]) -> str:
    return "<BR/>".join(f'<FONT COLOR="{ink}">{text}</FONT>' for text, ink in said)
