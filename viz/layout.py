"""From Graphviz source to SVG, PNG and PDF: by `dot` where it is installed, else by the pygraphviz wheel.

The wheel carries Graphviz inside.  It runs in a child process with a time limit, because a layout can take very long or
crash, and inside of this process that could not be stopped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from viz import wheel

SVG = "http://www.w3.org/2000/svg"


class LayoutError(RuntimeError):
    """No layout engine, or one that failed or took too long.  The `.dot` file is kept, and the message says where."""


def laid_out(source: str, form: str, timeout: float = 60) -> bytes:
    """The picture of a Graphviz source, as bytes in the format `form`."""
    dot = shutil.which("dot")
    command = [dot, f"-T{form}"] if dot else [sys.executable, str(Path(wheel.__file__)), form]
    engine = "dot" if dot else "the pygraphviz wheel"
    try:
        child = subprocess.run(command, input=source.encode(), capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise LayoutError(
            f"render: {engine} took longer than {timeout:g} s. Draw a smaller graph, or allow more (timeout=...)."
        ) from None
    if child.returncode == wheel.MISSING:
        raise LayoutError(
            'render: no layout engine is installed: pip install "tinygrad_edu[viz]" brings one, or install Graphviz '
            "with your system's package manager."
        )
    if child.returncode or not child.stdout:
        said = child.stderr.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"it ended with code {child.returncode}"
        raise LayoutError(f"render: {engine} failed: {reason}.")
    return accessible(child.stdout) if form == "svg" else child.stdout


def laid_out_for(path: Path, source: str, form: str, timeout: float = 60) -> bytes:
    """The same for the file at `path`: where it fails, the source is kept beside it."""
    try:
        return laid_out(source, form, timeout)
    except LayoutError as error:
        kept = path.with_suffix(".dot")
        kept.write_text(source, encoding="utf-8")
        raise LayoutError(f"{error} The graph is kept in {kept}.") from None


def accessible(svg: bytes) -> bytes:
    """The SVG as a picture with a title and a description, which screen readers announce."""
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(svg)
    anchor = root.find(f".//{{{SVG}}}a")
    graph = root.find(f"{{{SVG}}}g")
    described = anchor.get("{http://www.w3.org/1999/xlink}title") if anchor is not None else None
    heading, _, rest = (described or "Computation graph").partition(": ")
    steps = [] if graph is None else [node.findtext(f"{{{SVG}}}title") for node in graph if node.get("class") == "node"]
    root.set("role", "img")
    title = ElementTree.Element(f"{{{SVG}}}title")
    title.text = heading
    description = ElementTree.Element(f"{{{SVG}}}desc")
    description.text = rest or f"{len(steps)} boxes"
    root.insert(0, title)
    root.insert(1, description)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
