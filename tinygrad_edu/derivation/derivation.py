"""A derivation: the lines of the forward and the backward pass, and the forms in which they can be shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from tinygrad_edu.derivation.algebra import Step
from tinygrad_edu.derivation.documents import as_html, as_latex, as_markdown, as_text
from tinygrad_edu.derivation.expressions import Count, Expression, Symbol, walk
from tinygrad_edu.derivation.mathml import mathml
from tinygrad_edu.derivation.names import Derivative, Name
from tinygrad_edu.derivation.naming import Names, is_technical
from tinygrad_edu.derivation.numpy_source import Source
from tinygrad_edu.derivation.printing import Latex, Text
from tinygrad_edu.program import Contribution, Equation, Program, Variable

__all__ = ["Derivation", "Line"]


@dataclass(frozen=True, eq=False)
class Line:
    """One line of a derivation: `left = (also =) right`."""

    part: Literal["forward", "backward"]
    target: Variable
    left: Symbol
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
    _explain: Callable[[Variable], Derivation] = field(repr=False)
    chain: tuple[tuple[Name, Name], ...] = ()  # of an explanation: the links of the chain rule, if there is one way
    numbers: bool = False  # show in text the value of each line below it

    def symbol(self, variable: Variable) -> Expression:
        """The symbol under which a variable of the program stands in the lines."""
        return Symbol(variable, self.names.of(variable), variable in self.names.flipped)

    @property
    def counts(self) -> list[Count]:
        """The numbers that have a name, n and the like, as far as the lines mention them."""
        mentioned = (x for line in self.lines for x in walk(line.right) if isinstance(x, Count))
        return list(dict.fromkeys(mentioned))

    def explain(self, name: str, numbers: bool = False) -> Derivation:
        """Only the way to one gradient, with the chain rule written link by link.

        Parameters
        ----------
        name : str
            What the program calls the parameter ("fc1.weight"), or its symbol here ("W1").
        numbers : bool
            Show in text below each line the value that was recorded.

        Raises
        ------
        KeyError
            If nothing that receives a gradient has this name.

        Examples
        --------
        >>> import tinygrad_edu as tg
        >>> x = tg.Tensor(2.0, requires_grad=True, name="x")
        >>> loss = tg.sin(tg.exp(x))
        >>> print(tg.derive(loss).explain("x"))
        Chain rule
          ∂L/∂x = ∂L/∂v₁ · ∂v₁/∂x
        Forward
          v₁ = exp(x)
          L  = sin(v₁)
        Backward
          ∂L/∂v₁ = cos(v₁)
          ∂L/∂x  = ∂L/∂v₁ v₁
        """
        known = self.program.gradients
        found = [x for x in known if x.name == name] or [
            x for x in known if name in (self.names.of(x).text(), self.names.of(x).text(ascii=True))
        ]
        if not found:
            names = ", ".join(x.name for x in self.program.parameters)
            raise KeyError(f"explain: nothing called {name!r} receives a gradient; there are the parameters {names}")
        explained = self._explain(found[0])
        explained.numbers = numbers
        return explained

    def text(self, ascii: bool = False, steps: bool = False) -> str:
        """Plain text with aligned columns; with `steps`, below each line the rules that led to it."""
        where = [(name.text(ascii), said) for name, said in self.where()]
        links = [Derivative("d", loss=a, by=b).text(ascii) for a, b in self._links()]
        dot = " * " if ascii else " · "
        head = f"{links[0]} = {dot.join(links[1:])}" if links else ""
        return as_text(self.lines, where, head, ascii, steps, self.numbers)

    def latex(self) -> str:
        """A LaTeX document, which compiles as it is."""
        return as_latex(self.lines, self._where_latex(), self._chain_latex())

    def markdown(self) -> str:
        """Markdown with $$ mathematics, for GitHub and Jupyter."""
        return as_markdown(self.lines, self._where_latex(), self._chain_latex())

    def html(self) -> str:
        """A fragment of HTML with MathML: well-formed XML, with no script and nothing to load."""
        return as_html(self.lines, self._where_latex(), self._chain_latex())

    def _links(self) -> list[tuple[Name, Name]]:
        return [(self.chain[0][0], self.chain[-1][1]), *self.chain] if self.chain else []

    def _chain_latex(self) -> str:
        links = [Derivative("d", loss=a, by=b).latex() for a, b in self._links()]
        together = r" \cdot ".join(links[1:])
        return f"{links[0]} = {together}" if links else ""

    def _where_latex(self) -> list[tuple[str, str]]:
        return [(name.latex(), said) for name, said in self.where()]

    def to_numpy(self) -> str:
        """The source of a NumPy function `loss_and_gradients(...)`, which needs nothing but NumPy.

        It returns the loss, and a dict with the gradient of each parameter.  Values and gradients have the shapes of
        the program, whatever the convention of the derivation.

        Raises
        ------
        NotImplementedError
            For an operation that a user has defined: of it only a Python function is known, and no formula.

        Examples
        --------
        >>> import tinygrad_edu as tg
        >>> x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
        >>> print(tg.derive((x * x).sum()).to_numpy())
        import numpy as np
        <BLANKLINE>
        <BLANKLINE>
        def loss_and_gradients(x):
            \"""The loss, and its gradient by each parameter.\"""
            L = np.sum(x**2)
            dx = 2 * x
            return L, {"x": dx}
        <BLANKLINE>
        """
        return Source(self).text()

    def arguments(self) -> dict[str, Variable]:
        """The arguments of the function that `to_numpy` writes, and the variables whose values they take."""
        return Source(self).arguments

    def where(self) -> list[tuple[Name, str]]:
        """What some symbols are: L, if no output is called so, and W1, which the program calls fc1.weight."""
        outputs = self.program.outputs
        found = [] if len(outputs) == 1 and outputs[0].shape == () else [(self.names.loss, "the sum of all outputs")]
        for variable in self.program.variables():
            name = self.names.names.get(variable)
            if variable.named and name is not None and name != Name(variable.name) and is_technical(variable.name):
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
