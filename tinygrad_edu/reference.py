"""The reference of all operations, made from their definitions: `python -m tinygrad_edu.reference > operations.md`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from tinygrad_edu import ops
from tinygrad_edu.op import NUMPY, OPS, Op

__all__ = ["reference"]


def reference() -> str:
    """A Markdown page: for each operation how it is called, what it computes, its gradient, and NumPy's name for it.

    Examples
    --------
    >>> from tinygrad_edu.reference import reference
    >>> [line for line in reference().splitlines() if line.startswith("| `exp(")]
    ['| `exp(x)` | exp(x) | dL/dx = g e^x. | `np.exp` |']
    """
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Operations"
    yield ""
    yield f"{len(OPS)} operations; g is the gradient of the loss with respect to the output, y the output."
    for name in ops.FAMILIES:
        family = getattr(ops, name)
        found = sorted((op for op in OPS.values() if op.shown.__module__ == family.__name__), key=lambda op: op.name)
        if found:
            yield ""
            yield f"## {(family.__doc__ or '').splitlines()[0]}"
            yield ""
            yield "| operation | computes | gradient | NumPy |"
            yield "|---|---|---|---|"
            yield from map(_row, found)


def _row(op: Op[Any]) -> str:
    numpy = sorted({f"`np.{f.__name__}`" for f, meaning in NUMPY.items() if meaning is op or meaning is op.shown})
    names = ", ".join(inspect.signature(op.shown).parameters)
    equation = re.sub(r"<(\*|\w+)>", lambda match: "..." if match[1] == "*" else match[1], op.notation.text)
    cells = [f"`{op.shown.__name__}({names})`", equation, gradient(op), " ".join(numpy)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def gradient(op: Op[Any]) -> str:
    """What an operation's docstring says of its gradient, in one line."""
    text = inspect.cleandoc(op.__doc__ or "")
    stated = re.search(r"Gradient[^:]*:\s+(.*?)(?:\n\n|$)", text, re.DOTALL)
    return " ".join(stated[1].split()) if stated else "none"


if __name__ == "__main__":
    print(reference(), end="")
