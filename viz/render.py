"""A picture into a file: `viz.render(viz.draw(loss), "graph.svg")`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinygrad_edu import Tensor
from viz.draw import draw
from viz.layout import laid_out_for

if TYPE_CHECKING:
    from graphviz import Digraph

FORMATS = ("svg", "png", "pdf", "dot", "gv")


def render(picture: Digraph | Tensor | Sequence[Tensor], path: str | Path, timeout: float = 60) -> Path:
    """Write a picture to a file; its ending says how: .svg, .png, .pdf, or .dot (.gv) for Graphviz's own text.

    Parameters
    ----------
    picture : graphviz.Digraph, or what `viz.draw` takes
    path : str or Path
    timeout : float
        Seconds that the layout may take.

    Returns
    -------
    The path of the file.

    Raises
    ------
    ValueError
        For another ending.
    LayoutError
        If nothing is installed that could lay it out, or the layout failed or took longer than `timeout`.  The `.dot`
        file is then beside the path.

    Examples
    --------
    >>> import tempfile, tinygrad_edu as tg, viz
    >>> x = tg.Tensor(3.0, requires_grad=True, name="x")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     viz.render(x * x, folder + "/square.svg").name
    'square.svg'
    """
    path = Path(path)
    form = path.suffix[1:].lower()
    if form not in FORMATS:
        raise ValueError(f"render: {path.name}: the ending must be one of {', '.join('.' + f for f in FORMATS)}")
    source = str(picture.source if hasattr(picture, "source") else draw(picture).source)
    if form in ("dot", "gv"):
        path.write_text(source, encoding="utf-8")
        return path
    path.write_bytes(laid_out_for(path, source, form, timeout))
    return path
