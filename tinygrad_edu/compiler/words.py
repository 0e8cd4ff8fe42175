"""The words of the source: names for values and constants, numbers and parameters as they are written."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.compiler.buffers import FOREVER, Lifetimes
from tinygrad_edu.compiler.listing import identifier
from tinygrad_edu.compiler.passes import uniform
from tinygrad_edu.program import Variable

__all__ = ["SIGNS", "SMALL", "Words"]

WORDS: dict[Any, str] = {0: "zero", 1: "one", 2: "two"}
SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
SMALL = 16_384  # numbers: below, it counts how a call is written


class Words:
    """Who is called what, and until when."""

    life: Lifetimes

    def __init__(self, constants: set[Variable]) -> None:
        self.constants = constants  # Variables whose value is known
        self.namespace: dict[str, Any] = {"np": np}  # what constant names mean
        self.names: dict[Variable, str] = {}
        self.busy: dict[str, int] = {}  # until when a name is used
        self.fixed = {"np"}  # names that are not assigned to: memory and constants
        self.numbers: dict[Any, str] = {}
        self.heads: list[str] = []  # lines that say what small constants are
        self.now = 0

    def named(self, x: Variable, wish: str | None = None, memory: bool = False) -> str:
        """A new name for a Variable: its own, unless somebody still uses it.

        A name that stands for memory (a parameter of the function) is never assigned to.
        """
        word = name = wish or x.name or "t"
        number = 0
        last = self.life.last.get(self.life.of(x), FOREVER)
        while self.busy.get(name, -1) >= self.now or name in self.fixed or (memory and name in self.busy):
            number += 1
            name = f"{word}_{number}"
        if memory:
            self.fixed.add(name)
        self.busy[name] = last
        self.names[x] = name
        return name

    def constant(self, word: str, value: Any) -> str:
        """A name for something that is known already."""
        for name, known in self.namespace.items():
            if known is value:
                return name
        name = self.unused(word)
        self.namespace[name] = value
        return name

    def unused(self, word: str) -> str:
        """A name that nothing has, and that is not assigned to."""
        word = name = identifier(word)
        number = 0
        while name in self.fixed or name in self.busy:
            number += 1
            name = f"{word}{number}"
        self.fixed.add(name)
        return name

    def text(self, x: Any, beside: Variable | None = None) -> str:
        """An operand as it is written; `beside` has the dtype (and shape) that a literal number would take."""
        if not isinstance(x, Variable):
            return self.number(x, beside)
        if x in self.names:
            return self.names[x]
        if x in self.constants:
            number = uniform(x) if np.ndim(x.value) and beside is not None and beside.shape == x.shape else None
            if not np.ndim(x.value):
                number = np.asarray(x.value)[()]
            if number is not None and beside is not None and beside.dtype == x.dtype and x.dtype.kind == "f":
                return self.number(float(number), beside)
            self.names[x] = self.constant(x.name or "c", x.value)
            return self.names[x]
        raise AssertionError(f"{x!r} is used before it is computed")

    def number(self, x: Any, beside: Variable | None) -> str:
        """A number beside an array: for a small one as an array of its dtype, which saves half of the call's time."""
        if (
            beside is None
            or not 0 < np.size(beside.value) < SMALL
            or not np.ndim(beside.value)
            or beside.dtype.kind != "f"
            or isinstance(x, bool)
            or not isinstance(x, int | float)
        ):
            return self.literal(x)
        key = (float(x), math.copysign(1, x), beside.dtype)
        if key not in self.numbers:
            word = WORDS.get(x) or f"number_{abs(x):.4g}".replace(".", "_").replace("-", "m").replace("+", "")
            name = self.constant(f"minus_{word}" if x < 0 else word, np.array(x, beside.dtype))
            self.numbers[key] = name
            self.heads.append(f"{name} = np.array({self.literal(float(x))}, np.{beside.dtype.name})")
        return self.numbers[key]

    def literal(self, x: Any) -> str:
        """A number, or a parameter of an operation, as it is written."""
        if isinstance(x, float) and not np.isfinite(x):
            return "np.nan" if np.isnan(x) else "np.inf" if x > 0 else "-np.inf"
        if x is None or isinstance(x, bool | int | float | str):
            return repr(x)
        if isinstance(x, Variable):
            return self.text(x)
        if isinstance(x, tuple) and type(x) is tuple:
            return f"({', '.join(self.literal(part) for part in x)}{',' * (len(x) == 1)})"
        if isinstance(x, list):
            return f"[{', '.join(self.literal(part) for part in x)}]"
        if isinstance(x, slice):
            return f"slice({self.literal(x.start)}, {self.literal(x.stop)}, {self.literal(x.step)})"
        if isinstance(x, np.dtype):
            return f"np.dtype({x.str!r})"
        if x is Ellipsis:
            return "..."
        return self.constant(type(x).__name__.lower(), x)

    def starts(self, rows: int, columns: int) -> str:
        """Where each row begins among all numbers."""
        key = "starts", rows, columns
        if key not in self.numbers:
            self.numbers[key] = self.constant("starts", np.arange(0, rows * columns, columns or 1))
            self.heads.append(f"{self.numbers[key]} = np.arange(0, {rows * columns}, {columns or 1})")
        return self.numbers[key]

    def ones(self, n: int, dtype: np.dtype[Any]) -> str:
        """Ones, with which a product is a sum."""
        key = "ones", n, dtype
        if key not in self.numbers:
            self.numbers[key] = self.constant(f"ones_{n}", np.ones(n, dtype))
            self.heads.append(f"{self.numbers[key]} = np.ones({n}, np.{dtype.name})")
        return self.numbers[key]
