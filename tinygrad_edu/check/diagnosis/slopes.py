"""Mistakes with derivatives: of activations and other element-wise functions, softmax, normalisation, a maximum."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tinygrad_edu.check.agreement import Array
from tinygrad_edu.check.diagnosis.evidence import sigmoid
from tinygrad_edu.check.diagnosis.hypotheses import Hypothesis, Step

__all__ = ["CUT", "ELEMENTWISE", "LOG_SOFTMAX", "SOFTMAX", "STANDARDIZE", "is_elementwise"]


def is_elementwise(step: Step) -> bool:
    """Does each output depend on its own input only?  Then the rule multiplies what arrives, entry by entry."""
    if step.x.shape != np.shape(step.y) or not step.x.ndim or len(step.e.sweep.sends[step.equation]) != 1:
        return False
    if sum(np.ndim(x) > 0 for x in step.args) > 1:
        return False
    with np.errstate(all="ignore"):
        slope = step.slope(step.y, step.x)
        return slope.shape == step.x.shape and bool(np.allclose(step.g * slope, step.true, rtol=1e-9, atol=1e-300))


def _slope(s: Step) -> Array:
    return s.slope(s.y, s.x)


def _at_the_activation(s: Step) -> Array:
    return s.g * s.slope(s.apply(s.y), s.y)


def _inverted(s: Step) -> Array | None:
    slope = _slope(s)
    return s.g * (slope == 0) if set(np.unique(slope)) == {0.0, 1.0} else None


#: Derivatives as they are written, in terms of the activation y and the pre-activation x.
WRITTEN: dict[str, list[Callable[[Array, Array], Array]]] = {
    "relu": [lambda y, x: x > 0],
    "sigmoid": [lambda y, x: y * (1 - y), lambda y, x: sigmoid(x) * (1 - sigmoid(x))],
    "tanh": [lambda y, x: 1 - y**2, lambda y, x: 1 - np.tanh(x) ** 2],
}


def _other_activation(s: Step) -> Iterator[Array]:
    if s.operation not in WRITTEN:
        return
    for name, slopes in WRITTEN.items():
        if name != s.operation:
            yield from (s.g * slope(s.y, s.x) for slope in slopes)


def _is(s: Step, *names: str) -> bool:
    return s.operation in names


ELEMENTWISE = [
    Hypothesis(
        "activation derivative missing",
        "H = phi(U): on its way back through phi the gradient is multiplied by phi'(U), entry by entry.",
        lambda s: s.g,
    ),
    Hypothesis(
        "activation derivative applied twice",
        "phi'(U) stands in the chain rule once.",
        lambda s: s.g * _slope(s) ** 2,
    ),
    Hypothesis(
        "activation derivative evaluated at the activation",
        "The derivative is taken where the function was: at the pre-activation U, not at H = phi(U).",
        _at_the_activation,
    ),
    Hypothesis(
        "pre-activation used for activation",
        "This formula of the derivative is written in terms of the activation H; it was given the pre-activation U.",
        lambda s: s.g * s.slope(s.x, s.x),
    ),
    Hypothesis(
        "ReLU mask inverted",
        "The gradient passes where U > 0, and is 0 elsewhere.",
        _inverted,
    ),
    Hypothesis(
        "sigmoid's derivative as a",
        "The derivative of a = sigmoid(u) is a (1 - a).",
        lambda s: s.g * s.y if _is(s, "sigmoid") else None,
    ),
    Hypothesis(
        "sigmoid's derivative as 1 - a",
        "The derivative of a = sigmoid(u) is a (1 - a).",
        lambda s: s.g * (1 - s.y) if _is(s, "sigmoid") else None,
    ),
    Hypothesis(
        "tanh's derivative as 1 - a",
        "The derivative of a = tanh(u) is 1 - a^2: the square was forgotten.",
        lambda s: s.g * (1 - s.y) if _is(s, "tanh") else None,
    ),
    Hypothesis(
        "activation derivative replaced by the activation",
        "The gradient is multiplied by phi'(U), not by H = phi(U) itself.",
        lambda s: None if _is(s, "sigmoid", "exp") else s.g * s.y,
    ),
    Hypothesis(
        "derivative of another activation",
        "The derivative is that of the function that was used: (u > 0) of relu, a (1 - a) of sigmoid, 1 - a^2 of tanh.",
        _other_activation,
    ),
]

_JACOBIAN = "Each u_j moves every y_c: dy_c/du_j = y_c (1[c = j] - y_j)."

SOFTMAX = [
    Hypothesis("softmax diagonal only", f"{_JACOBIAN} Here only c = j was kept.", lambda s: s.g * s.y * (1 - s.y)),
    Hypothesis("softmax Jacobian skipped", f"{_JACOBIAN} It is a factor of the chain rule.", lambda s: s.g),
    Hypothesis(
        "path through the normaliser cut",
        "y_c = e^u_c / sum_j e^u_j: u_c is in the sum, too, and a gradient comes back through it.",
        lambda s: s.g * s.y,
    ),
]

LOG_SOFTMAX = [
    Hypothesis("softmax diagonal only", f"{_JACOBIAN} Here only c = j was kept.", lambda s: s.g * (1 - np.exp(s.y))),
    Hypothesis(
        "softmax Jacobian skipped", f"{_JACOBIAN} It is a factor of the chain rule.", lambda s: s.g / np.exp(s.y)
    ),
    Hypothesis(
        "path through the normaliser cut",
        "log y_c = u_c - log sum_j e^u_j: u_c is in the sum, too, and a gradient comes back through it.",
        lambda s: s.g,
    ),
]


def _mean_over(s: Step, a: Array) -> Array:
    return np.mean(a, axis=s.equation.params.get("axis", -1), keepdims=True)


_MOVES = "Every x moves the mean and the variance of its group, and a gradient comes back through both."

STANDARDIZE = [
    Hypothesis("normalisation statistics held constant", _MOVES, lambda s: s.g * s.args[-1]),
    Hypothesis("normalisation variance held constant", _MOVES, lambda s: s.args[-1] * (s.g - _mean_over(s, s.g))),
    Hypothesis(
        "normalisation mean held constant",
        _MOVES,
        lambda s: s.args[-1] * (s.g - s.y * _mean_over(s, s.g * s.y)),
    ),
]

_STATISTICS = ("mean", "var", "std")
_MAXIMA = ("max", "min", "maximum", "minimum")
_NORMALISERS = ("sum", "logsumexp", "norm")
#: What is cut if the gradient of a reduction is taken for 0: name, reason, and the operations.
CUT = [
    (
        "normalisation statistics held constant",
        _MOVES,
        _STATISTICS,
    ),
    (
        "path through the maximum cut",
        "The maximum is one of the entries: what arrives at it goes back to that entry.",
        _MAXIMA,
    ),
    (
        "path through the normaliser cut",
        "Every entry is in the sum that it is divided by, too, and a gradient comes back through it.",
        _NORMALISERS,
    ),
]
