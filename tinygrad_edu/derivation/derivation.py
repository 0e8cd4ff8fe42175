"""A derivation: the lines of the forward and the backward pass, and the forms in which they can be shown."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any, Literal

from tinygrad_edu.derivation.documents import as_html, as_latex, as_markdown, as_text
from tinygrad_edu.derivation.expressions import Count, Expression, Symbol
from tinygrad_edu.derivation.mathml import mathml
from tinygrad_edu.derivation.names import Name
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
        return mathml(self.latex())

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

    def text(self, ascii: bool = False, steps: bool = False) -> str:
        """Plain text with aligned columns; with `steps`, below each line the rules that led to it."""
        return as_text(self.lines, [(name.text(ascii), said) for name, said in self.where()], ascii, steps)

    def latex(self) -> str:
        """A LaTeX document, which compiles as it is."""
        return as_latex(self.lines, [(name.latex(), said) for name, said in self.where()])

    def markdown(self) -> str:
        """Markdown with $$ mathematics, for GitHub and Jupyter."""
        return as_markdown(self.lines, [(name.latex(), said) for name, said in self.where()])

    def html(self) -> str:
        """A fragment of HTML with MathML: well-formed XML, with no script and nothing to load."""
        return as_html(self.lines, [(name.latex(), said) for name, said in self.where()])

    def where(self) -> list[tuple[Name, str]]:
        """The symbols whose names in the program are other ones: W1 is fc1.weight."""
        found = []
        for variable in self.program.variables():
            name = self.names.names.get(variable)
            if variable.named and name is not None and name != Name(variable.name) and "." in variable.name:
                found.append((name, variable.name))
        return found

    def __str__(self) -> str:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        text = self.text()
        try:
            text.encode(encoding)
        except (UnicodeEncodeError, LookupError):
            return self.text(ascii=True)
        return text

    def _repr_html_(self) -> str:
        return self.html()

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def _repr_latex_(self) -> str:
        rows = " \\\\\n".join(line.latex().replace(" = ", " &= ", 1) for line in self.lines)
        return f"$$\\begin{{aligned}}\n{rows}\n\\end{{aligned}}$$"
