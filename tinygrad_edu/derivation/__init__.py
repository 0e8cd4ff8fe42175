"""tg.derive: the derivation of a recorded graph's gradients, as mathematics."""

from __future__ import annotations

from collections.abc import Sequence

from tinygrad_edu.derivation.build import build
from tinygrad_edu.derivation.derivation import Derivation, Line
from tinygrad_edu.derivation.naming import Convention, Notation
from tinygrad_edu.program import trace
from tinygrad_edu.tensor import Tensor

__all__ = ["Derivation", "Line", "derive"]


def derive(
    outputs: Tensor | Sequence[Tensor],
    notation: Notation = "delta",
    convention: Convention | None = None,
    simplify: bool = True,
) -> Derivation:
    """The forward equations of a recorded graph, and its backward equations in the order of the sweep."""
    return build(trace(outputs), notation, convention, simplify)
