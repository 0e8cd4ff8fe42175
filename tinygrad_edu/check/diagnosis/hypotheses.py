"""What a hypothesis is, and what a step of the sweep looks like to it.

A hypothesis is a mistake that people make at one kind of step: its name, and a function that computes, from the true
gradient that arrives there and the forward values, the gradient that this mistake would yield.  The tables stand in
`products`, `slopes`, `sums` and `endings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_edu.check.agreement import Array
from tinygrad_edu.check.diagnosis.backward import Change, Edge
from tinygrad_edu.check.diagnosis.evidence import Evidence
from tinygrad_edu.program import Equation, Variable

__all__ = ["Guess", "Hypothesis", "Step", "guesses"]

Predicted = Array | None | Iterable[Array | None]


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the sweep: `variable` receives `true`, since `g` has arrived at the target of `equation`.

    `y` is the target's value, `args` those of the operands, `raw` what the rule returns before it is summed over
    broadcast axes.  Without an edge it is the complete gradient of a variable.
    """

    e: Evidence
    variable: Variable
    true: Array
    edge: Edge | None = None
    g: Any = 0.0
    y: Any = 0.0
    args: tuple[Any, ...] = ()
    raw: Any = 0.0

    @property
    def equation(self) -> Equation:
        """The forward equation whose rule this is."""
        assert self.edge is not None
        return self.edge[0]

    @property
    def i(self) -> int:
        """Which of its operands."""
        assert self.edge is not None
        return self.edge[1]

    @property
    def operation(self) -> str:
        """What the function at this step is called."""
        return str(self.equation.op.name)

    def apply(self, x: Array) -> Array:
        """The function at this step, applied to something else."""
        args = list(self.args[: len(self.equation.operands)])
        args[self.i] = x
        y = self.equation.op.forward(*args, **self.equation.params)
        return np.asarray(y if self.equation.op.residual is None else y[0])

    @property
    def x(self) -> Array:
        """The operand itself."""
        return np.asarray(self.args[self.i])

    def slope(self, y: Array, x: Array) -> Array:
        """The derivative of an element-wise function, from the output and input that its rule is told."""
        args = list(self.args)
        args[self.i] = x
        rule = self.e.sweep.rule(self.equation, self.i)
        return np.asarray(rule(np.ones(np.shape(x)), y, *args, **self.equation.params))

    def change(self, array: Array) -> Change:
        """What is computed if `array` takes the place of what is right."""
        return Change(parts={self.edge: array}) if self.edge is not None else Change(totals={self.variable: array})


@dataclass(frozen=True)
class Hypothesis:
    """A mistake: its name, why it is one, and the wrong gradient that it yields at a step (None: it can't be made)."""

    name: str
    why: str
    predict: Callable[[Step], Predicted]


@dataclass(frozen=True, eq=False)
class Guess:
    """A hypothesis at a place: what would be computed there, and in consequence everywhere."""

    name: str
    why: str
    where: Variable | None  # whose gradient is the first that it makes wrong; None: that of the loss itself
    change: Change
    families: bool = False  # may `change` be multiplied by a constant?


def guesses(table: Iterable[Hypothesis], step: Step) -> Iterator[Guess]:
    """What the hypotheses of a table predict at a step, where that differs from what is right and is finite."""
    for hypothesis in table:
        try:
            with np.errstate(all="ignore"):
                predicted = hypothesis.predict(step)
                arrays = (
                    [predicted]
                    if predicted is None or isinstance(predicted, np.ndarray | np.generic)
                    else list(predicted)
                )
        except ValueError:  # the shapes do not fit: nobody can make this mistake here
            continue
        for array in arrays:
            if array is None:
                continue
            array = np.asarray(array)
            if not np.isfinite(array).all() or (array.shape == step.true.shape and same(array, step.true)):
                continue
            name = hypothesis.name.replace("activation derivative", _what(step))
            yield Guess(name, hypothesis.why, step.variable, step.change(array))


def same(a: Array, b: Array) -> bool:
    """Equal up to rounding?"""
    return bool(np.allclose(a, b, rtol=1e-9, atol=1e-12 * float(np.abs(b).max(initial=0))))


def _what(step: Step) -> str:
    """An operation that is no activation has a derivative, too."""
    if step.edge is None or step.equation.op.__module__.endswith("activations") or step.operation == "tanh":
        return "activation derivative"
    return f"derivative of {step.operation}"
