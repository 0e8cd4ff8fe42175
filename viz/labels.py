"""Text for Graphviz: names escaped, numbers rounded, arrays as small tables."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

LARGEST = 4  # a matrix up to 4x4 is shown in full


def escape(text: str) -> str:
    """Text for an HTML-like label: markup is written out, control characters (XML forbids them) become a sign.

    Graphviz reads \\N in a label as the node's name, but two backslashes as one.

    >>> escape('a < "b"\\n& \\x00')
    'a &lt; &quot;b&quot; &amp; \\ufffd'
    """
    text = " ".join(text.split("\n"))
    allowed = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return html.escape(allowed, quote=True).replace("\\", 2 * "&#92;") or " "


def tip(text: str) -> str:
    """Text for a tooltip, where Graphviz replaces twice: four backslashes become one."""
    return escape(text).replace("&#92;", 2 * "&#92;")


def short(text: str, most: int) -> str:
    """At most so many characters.

    >>> short("abcdefgh", 5)
    'abcd…'
    """
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def several(count: int, word: str) -> str:
    """A count and its noun.

    >>> several(1, "operation"), several(1200, "operation")
    ('1 operation', '1,200 operations')
    """
    return f"{count:,} {word}{'s' * (count != 1)}"


def number(x: Any) -> str:
    """A number in four significant digits.

    >>> number(0.123456), number(-1e-7), number(3)
    ('0.1235', '−1e-07', '3')
    """
    x = x.item() if isinstance(x, np.generic) else x
    text = str(x) if isinstance(x, bool) else f"{x + 0:.4g}"  # + 0 makes 0 of -0
    return text.replace("-", "\N{MINUS SIGN}", 1) if text.startswith("-") else text


def shape(array: Any) -> str:
    """The shape as a person writes it.

    >>> shape(np.zeros((2, 3))), shape(np.float64(1))
    ('2×3', 'scalar')
    """
    return "\N{MULTIPLICATION SIGN}".join(map(str, np.shape(array))) or "scalar"


def table(array: Any, ink: str) -> str:
    """An array as an HTML-like table: in full if it is small, else its norm, mean, minimum and maximum."""
    array = np.asarray(array)
    if array.ndim <= 2 and array.size and max(array.shape, default=1) <= LARGEST:
        rows = [[number(x) for x in row] for row in np.atleast_2d(array)]
    else:
        rows = summary(array)
    cells = "".join(
        "<TR>" + "".join(f'<TD ALIGN="RIGHT"><FONT COLOR="{ink}">{escape(x)}</FONT></TD>' for x in row) + "</TR>"
        for row in rows
    )
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3">{cells}</TABLE>'


def summary(array: Any) -> list[list[str]]:
    """What to say of an array that is too large to be shown."""
    if not array.size:
        return [["empty"]]
    if array.dtype.kind == "b":
        return [["true", f"{int(array.sum()):,} of {array.size:,}"]]
    if array.dtype.kind in "iu":
        return [["min", number(array.min())], ["max", number(array.max())]]
    with np.errstate(all="ignore"):
        x = array.astype(np.float64)
        figures = {"norm": np.linalg.norm(x.ravel()), "mean": x.mean(), "min": x.min(), "max": x.max()}
    return [[name, number(figure)] for name, figure in figures.items()]
