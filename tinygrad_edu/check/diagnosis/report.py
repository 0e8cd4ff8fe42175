"""A diagnosis: the mistakes in hand-written gradients, by name, how sure, with the line that would be right."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Diagnosis", "Mistake"]


class Mistake(NamedTuple):
    """One mistake.

    `names` are the mistakes that would yield just these numbers: one, or several that can't be told apart here, or
    none, and then `says` describes what is seen.  `where` is the gradient that the mistake makes wrong first, `name`
    the first of yours in which it shows; `follows` are others that it explains.

    Examples
    --------
    >>> print(Mistake("db2", "db2", ("bias averaged over the batch",), "certain", "b was added to every row.",
    ...               "db2 = delta2.sum(axis=0)"))
    db2: bias averaged over the batch (certain)
      b was added to every row.
      right: db2 = delta2.sum(axis=0)
    """

    name: str
    where: str
    names: tuple[str, ...]
    sure: str
    says: str
    line: str | None = None
    follows: tuple[str, ...] = ()
    remark: str = ""

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        if not self.names:
            return self.says
        return self.names[0] if len(self.names) == 1 else "one of: " + "; ".join(self.names)

    def __str__(self) -> str:
        if self.names:
            lines = [f"{self.where}: {self.title} ({self.sure})", *textwrap.wrap(self.says, 108)]
        else:
            lines = [*textwrap.wrap(f"{self.where}: {self.says}", 110), f"({self.sure})"]
        if self.line:
            lines.append(f"right: {self.line}")
        lines += textwrap.wrap(self.remark, 108)
        return "\n  ".join(lines)


@dataclass(frozen=True)
class Diagnosis:
    """The mistakes in the order of the sweep: each is taken to be made upon those before it.

    False if there are none; printed, it is a list.

    Examples
    --------
    >>> print(Diagnosis((Mistake("dW1", "dW1", (), "this is what is seen", "scale 0.73, the same for all entries"),)))
    1 mistake:
      dW1: scale 0.73, the same for all entries
        (this is what is seen)
    """

    mistakes: tuple[Mistake, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.mistakes)

    @property
    def first(self) -> Mistake | None:
        """The first mistake; the others are taken to be made upon it."""
        return self.mistakes[0] if self.mistakes else None

    def __str__(self) -> str:
        count = len(self.mistakes)
        lines = []
        if count:
            lines.append("1 mistake:" if count == 1 else f"{count} mistakes. First in the order of the sweep:")
            lines += [textwrap.indent(str(mistake), "  ") for mistake in self.mistakes]
        return "\n".join(lines)
