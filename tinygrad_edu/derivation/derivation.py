"""A derivation: the lines of the forward and the backward pass, and the forms in which they can be shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tinygrad_edu.derivation.expressions import Count, Expression, Symbol
from tinygrad_edu.derivation.naming import Names
from tinygrad_edu.derivation.printing import Latex, Text
from tinygrad_edu.derivation.simplify import Step
from tinygrad_edu.program import Contribution, Equation, Program, Variable

__all__ = ["Derivation", "Line"]


@dataclass(frozen=True, eq=False)
class Line:
    """One line of a derivation: `left = (also =) right`."""

    part: Literal["forward", "backward"]
    target: Variable
    left: Expression
    right: Expression
    also: Expression | None = None  # what `left` stands for, when that has a short name: delta = dL/dU
    shapes: str = ""
    note: str = ""
    contribution: Contribution | None = None
    equations: tuple[Equation, ...] = ()  # of the program: those that the line stands for
    steps: tuple[Step, ...] = ()  # the rules that lead from those to `right`
    columns: bool = False

    def text(self, ascii: bool = False) -> str:
        """The equation as plain text, in Unicode or in ASCII."""
        return self._written(Text(ascii, self.columns))

    def latex(self) -> str:
        """The equation in LaTeX, for inside of mathematics."""
        return self._written(Latex(self.columns))

    def mathml(self) -> str:
        """The equation as a <math> element."""
        raise NotImplementedError

    def _written(self, write: Any) -> str:
        return " = ".join(write(x) for x in (self.left, self.also, self.right) if x is not None)


@dataclass(eq=False)
class Derivation:
    """The derivation of a recorded graph's gradients; `print` it, or show it in Jupyter."""

    program: Program
    lines: list[Line]
    names: Names = field(repr=False)

    def symbol(self, variable: Variable) -> Expression:
        """The symbol under which a variable of the program stands in the lines."""
        return Symbol(variable, self.names.of(variable), variable in self.names.flipped)

    @property
    def counts(self) -> list[Count]:
        """The numbers that have a name, n and the like, as far as the lines mention them."""
        return [Count(name, number) for number, name in self.names.counts.items()]

    def text(self, ascii: bool = False) -> str:
        """The derivation as plain text with aligned columns."""
        rows: list[tuple[str, str, str, str, str]] = []
        for line in self.lines:
            write = Text(ascii, line.columns)
            middle = "" if line.also is None else f"{write(line.also)} = "
            rows.append((line.part, write(line.left), middle + write(line.right), line.shapes, line.note))
        texts: list[str] = []
        for part in ("forward", "backward"):
            chosen = [row for row in rows if row[0] == part]
            if not chosen:
                continue
            texts.append(part.capitalize())
            left = max(_width(row[1]) for row in chosen)
            right = max([_width(row[2]) for row in chosen if _width(row[2]) <= 60], default=0)
            shapes = max([len(row[3]) for row in chosen if row[4]], default=0)
            for _, a, b, c, d in chosen:
                texts.append(f"  {_pad(a, left)} = {_pad(b, right)}  {c:<{shapes}}  {d}".rstrip())
        return "\n".join(texts)

    def __str__(self) -> str:
        return self.text()


def _width(text: str) -> int:
    return len(text) - text.count("\N{COMBINING MACRON}")


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
