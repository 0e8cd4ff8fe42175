"""The picture of a recorded graph: `viz.draw(loss)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from tinygrad_edu import Tensor
from viz.graph import Box, Drawing, Operation, collect
from viz.labels import escape, shape, table, tip
from viz.layout import laid_out

try:
    import graphviz
except ImportError:  # the picture needs it, but `import viz` does not
    graphviz = None

if TYPE_CHECKING:
    from graphviz import Digraph as _Digraph
else:
    _Digraph = graphviz.Digraph if graphviz is not None else object

FONT = "DejaVu Sans,Verdana,Helvetica,sans-serif"
INK, GRADIENT_INK = "#1a1a1a", "#a33b00"

# Kinds differ in shape and in words, not only in colour; the colours are Okabe and Ito's, which colour-blind people
# can tell apart, lightened behind the text.
STYLES: dict[str, dict[str, str]] = {
    "parameter": {"shape": "box", "style": "filled", "fillcolor": "#dcebf7", "color": "#0072B2", "penwidth": "2"},
    "data": {"shape": "note", "style": "filled", "fillcolor": "#f1f1f1", "color": "#555555"},
    "result": {"shape": "box", "style": "filled,rounded", "fillcolor": "#ffffff", "color": "#777777"},
    "output": {"shape": "box", "style": "filled", "fillcolor": "#fde9cc", "color": "#D55E00", "peripheries": "2"},
    "number": {"shape": "plaintext"},
}
OPERATION = {"shape": "ellipse", "style": "filled", "fillcolor": "#d9f0e7", "color": "#009E73"}
WORDS = {
    "parameter": "parameter", "data": "data", "result": "result", "output": "output", "operation": "operation",
}  # fmt: skip


class Picture(_Digraph):  # type: ignore[misc]  # graphviz brings no types
    """A `graphviz.Digraph` that also shows itself in Jupyter where only the pygraphviz wheel can lay it out."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_: Any) -> dict[str, str]:
        return {"image/svg+xml": laid_out(self.source, "svg").decode()}


def draw(
    outputs: Tensor | Sequence[Tensor],
    *,
    direction: Literal["LR", "TB"] = "LR",
    values: bool = True,
    gradients: bool = True,
    title: str | None = None,
) -> Picture:
    """The recorded graph of one tensor, or of several, as a `graphviz.Digraph`.

    Tensors are small tables with name, shape, dtype, value and gradient; operations stand between them with their
    formula.  Matrices up to 4x4 are shown in full, larger arrays by norm, mean, min and max.  Parameters, data, results
    and outputs differ in shape, colour and words.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        What the graph leads to, usually the loss.
    direction : "LR" or "TB"
        From left to right, or from top to bottom.
    values, gradients : bool
        What the tables show.  The gradients of scalar outputs are computed for the picture; nobody's `.grad` changes.
        For other outputs, those are shown that an earlier `backward` has left.
    title : str, optional
        A headline, and what a screen reader announces.

    Raises
    ------
    GraphError
        For a tensor without a recorded history, or a graph that was freed: draw before `backward()`, or use
        `backward(retain_graph=True)`.
    ImportError
        Without the graphviz package: `pip install "tinygrad_edu[viz]"`.

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
    drawing = collect([outputs] if isinstance(outputs, Tensor) else list(outputs), gradients)
    heading = title or "Computation graph"
    picture = Picture("backpropagation", comment=None)
    picture.attr(
        "graph", rankdir=direction, fontname=FONT, fontsize="14", nodesep="0.25", ranksep="0.4", bgcolor="white"
    )
    picture.attr("graph", tooltip=f"{tip(heading)}: {len(drawing.boxes)} tensors, {len(drawing.operations)} operations")
    if title:
        picture.attr("graph", label=f"<{escape(title)}>", labelloc="t")
    picture.attr("node", fontname=FONT, fontsize="10", fontcolor=INK, margin="0.06,0.03")
    picture.attr("edge", color="#666666", arrowsize="0.7")
    _fill(picture, drawing, values, gradients)
    _legend(picture, drawing)
    return picture


def _fill(picture: Picture, drawing: Drawing, values: bool, gradients: bool) -> None:
    """Boxes and operations in the order of creation, then the arrows."""
    for box in drawing.boxes:
        picture.node(box.key, _box_label(box, values, gradients), tooltip=_tooltip(box), **STYLES[box.kind])
    for operation in drawing.operations:
        picture.node(operation.key, _operation_label(operation), tooltip=tip(operation.formula), **OPERATION)
        for key in operation.inputs:
            picture.edge(key, operation.key)
        picture.edge(operation.key, operation.output)


def _tooltip(box: Box) -> str:
    return tip(f"{WORDS.get(box.kind, 'number')} {box.name}, {shape(box.value)}")


def _box_label(box: Box, values: bool, gradients: bool) -> str:
    """An HTML-like label: a headline, then a row each for the value and the gradient."""
    if box.kind == "number":
        return f"<{escape(box.name)}>"
    facts = f"{WORDS[box.kind]} \N{MIDDLE DOT} {shape(box.value)} \N{MIDDLE DOT} {box.value.dtype}"
    rows = [
        f'<TR><TD COLSPAN="2"><B>{escape(box.name)}</B></TD></TR>',
        f'<TR><TD COLSPAN="2"><FONT POINT-SIZE="8" COLOR="#555555">{escape(facts)}</FONT></TD></TR>',
    ]
    if values:
        rows.append(_row("value", table(box.value, INK), INK))
    if gradients and box.gradient is not None:
        rows.append(_row("gradient", table(box.gradient, GRADIENT_INK), GRADIENT_INK))
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">{"".join(rows)}</TABLE>>'


def _row(word: str, content: str, ink: str) -> str:
    head = f'<TD ALIGN="LEFT" VALIGN="MIDDLE"><FONT POINT-SIZE="8" COLOR="{ink}">{word}</FONT></TD>'
    return f'<TR>{head}<TD ALIGN="RIGHT">{content}</TD></TR>'


def _operation_label(operation: Operation) -> str:
    name = f"<B>{escape(operation.name)}</B>"
    small = f'<BR/><FONT POINT-SIZE="9">{escape(operation.formula)}</FONT>'
    return f"<{name}{small}>"


def _legend(picture: Picture, drawing: Drawing) -> None:
    """One small sample of each kind that occurs; values are dark and gradients reddish, as in the tables."""
    kinds = [kind for kind in ("parameter", "data", "result", "output") if any(b.kind == kind for b in drawing.boxes)]
    with picture.subgraph(name="cluster_legend") as legend:
        legend.attr(label="legend", color="#cccccc", fontsize="9", fontname=FONT, style="rounded")
        legend.attr("node", fontsize="8", margin="0.04,0.02", height="0.2")
        for kind in kinds:
            legend.node(f"legend_{kind}", WORDS[kind], **STYLES[kind])
        if drawing.operations:
            legend.node("legend_operation", "operation", **OPERATION)
        colours = f'<<FONT COLOR="{INK}">value</FONT> <FONT COLOR="{GRADIENT_INK}">gradient</FONT>>'
        legend.node("legend_inks", colours, shape="plaintext")
