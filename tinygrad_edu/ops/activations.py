"""Activation functions: what a layer does with its pre-activations, stable for large ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.op import Notation, normal, operation, sample

__all__ = ["leaky_relu", "log_softmax", "relu", "sigmoid", "softmax", "softplus"]

Operand = Any  # a Tensor, an array or a number


@operation(
    vjps=[lambda g, y, x: g * (y > 0)],
    notation=Notation("relu(<x>)", r"\operatorname{relu}(<x>)"),
    samples=[sample(normal(3, 4))],
)
def relu(x: Operand) -> Any:
    r"""Rectified linear unit max(x, 0); NaN stays NaN.

    Gradient: dL/dx = g where x > 0, else 0 (also at x = 0).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.relu(tg.Tensor([-1.0, 0.0, 2.0]))
    Tensor([0., 0., 2.])
    """
    return np.maximum(x, 0)


@operation(
    vjps=[lambda g, y, x, slope: g * np.where(x > 0, 1, slope)],
    notation=Notation("leaky_relu(<x>)", r"\operatorname{leaky\_relu}(<x>)"),
    samples=[sample(normal(3, 4)), sample(normal(3, 4), slope=0.3)],
)
def leaky_relu(x: Operand, slope: float = 0.01) -> Any:
    r"""x where x > 0, else slope * x.

    Gradient: dL/dx = g where x > 0, else slope * g.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.leaky_relu(tg.Tensor([-1.0, 0.0, 2.0]))
    Tensor([-0.01,  0.  ,  2.  ])
    """
    return np.where(x > 0, x, slope * x)


@operation(
    vjps=[lambda g, y, x: g * (y * (1 - y))],
    notation=Notation("sigmoid(<x>)", r"\sigma(<x>)"),
    samples=[sample(normal(3, 4))],
)
def sigmoid(x: Operand) -> Any:
    r"""Logistic function 1 / (1 + e^-x): exactly 0 or 1 far out, without a warning.

    Gradient: dL/dx = g y (1 - y).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.sigmoid(tg.Tensor([-1000.0, 0.0, 1000.0]))
    Tensor([0. , 0.5, 1. ])
    """
    with np.errstate(over="ignore"):  # e^1000 = inf is harmless here: 1 / (1 + inf) = 0
        return 1 / (1 + np.exp(-x))


@operation(
    vjps=[lambda g, y, x: g * sigmoid(x)],
    notation=Notation("softplus(<x>)", r"\operatorname{softplus}(<x>)"),
    samples=[sample(normal(3, 4))],
)
def softplus(x: Operand) -> Any:
    r"""log(1 + e^x), computed as max(x, 0) + log(1 + e^-|x|), which cannot overflow.

    Gradient: dL/dx = g sigmoid(x).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.softplus(tg.Tensor([-1000.0, 0.0, 1000.0]))
    Tensor([0.00000000e+00, 6.93147181e-01, 1.00000000e+03])
    """
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _axis_door(x: Any, axis: int) -> str | None:
    if np.ndim(x) == 0:
        return "a scalar has no axis to normalise along"
    if not -np.ndim(x) <= axis < np.ndim(x):
        return f"axis {axis} of a tensor of shape {np.shape(x)}"
    return None


SOFTMAX = [sample(normal(3, 4)), sample(normal(3, 4), axis=0), sample(normal(5))]


@operation(
    vjps=[lambda g, y, x, axis: y * (g - np.sum(g * y, axis=axis, keepdims=True))],
    notation=Notation("softmax(<x>)", r"\operatorname{softmax}(<x>)"),
    samples=SOFTMAX,
    door=_axis_door,
)
def softmax(x: Operand, axis: int = -1) -> Any:
    r"""e^x / sum(e^x) along `axis`: positive numbers that sum to 1.  Nothing but -inf gives NaN (and NumPy's warning).

    Computed from x - max(x), which is the same number and cannot overflow.

    Gradient: dL/dx = y * (g - sum(g * y)), which is the Jacobian dy_c/dx_j = y_c (1[c = j] - y_j) applied to g.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.softmax(tg.Tensor([1000.0, 1000.0]))
    Tensor([0.5, 0.5])
    """
    e = np.exp(x - np.maximum.reduce(x, axis=axis, keepdims=True))
    e /= np.add.reduce(e, axis=axis, keepdims=True)
    return e


@operation(
    vjps=[lambda g, y, x, axis: g - np.exp(y) * np.sum(g, axis=axis, keepdims=True)],
    notation=Notation("log_softmax(<x>)", r"\log \operatorname{softmax}(<x>)"),
    samples=SOFTMAX,
    door=_axis_door,
)
def log_softmax(x: Operand, axis: int = -1) -> Any:
    r"""log(softmax(x)) along `axis`, exact also where softmax is too small to be told from 0.

    Computed as (x - m) - log(sum(e^(x - m))), m = max(x).  Nothing but -inf gives NaN (and
    NumPy's warning).

    Gradient: dL/dx = g - softmax(x) sum(g).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.log_softmax(tg.Tensor([0.0, 1000.0]))
    Tensor([-1000.,     0.])
    """
    shifted = x - np.maximum.reduce(x, axis=axis, keepdims=True)
    return shifted - np.log(np.add.reduce(np.exp(shifted), axis=axis, keepdims=True))
