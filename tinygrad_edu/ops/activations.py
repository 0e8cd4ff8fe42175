"""Activation functions: what a layer does with its pre-activations, stable for large ones."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinygrad_edu.op import PRODUCT, Notation, distinct, normal, operation, sample
from tinygrad_edu.ops.special import erf
from tinygrad_edu.sums import QUICK, ones

__all__ = [
    "elu", "gelu", "hardtanh", "leaky_relu", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid",
    "silu", "softmax", "softplus", "softsign",
]  # fmt: skip

Operand = Any  # a Tensor, an array or a number


ZEROS = {np.dtype(letter): np.zeros((), letter) for letter in "efd"}


def zero_beside(x: Any) -> Any:
    """0 as NumPy takes it fastest beside x: for an array, an array of its dtype, which saves 0.5 us."""
    return ZEROS.get(x.dtype, 0) if type(x) is np.ndarray else 0


def as_numbers(mask: Any, dtype: Any) -> Any:
    """0 and 1 for False and True: numbers are multiplied quicker than booleans, 128 x 128 in 0.74 of the time."""
    return mask.astype(dtype) if type(mask) is np.ndarray else mask


@operation(
    vjps=[lambda g, y, x: g * as_numbers(y > zero_beside(y), y.dtype)],
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
    if type(x) is np.float64:  # a single number: a tenth of the time
        return x if x > 0 or x != x else np.float64(0)
    return np.maximum(x, zero_beside(x))


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


# Up to 0 the slope of elu is alpha e^x, above it 1.  One sum says both, as e^min(x, 0) = 1 above 0: that is three
# times faster than a choice.
@operation(
    vjps=[lambda g, y, x, alpha: g * (alpha * np.exp(np.minimum(x, 0)) + (1 - alpha) * (x > 0))],
    notation=Notation("elu(<x>)", r"\operatorname{elu}(<x>)"),
    samples=[sample(normal(3, 4)), sample(normal(3, 4), alpha=0.3)],
)
def elu(x: Operand, alpha: float = 1.0) -> Any:
    r"""Exponential linear unit (Clevert et al. 2015): x where x > 0, else alpha (e^x - 1), which ends at -alpha.

    Gradient: dL/dx = g where x > 0, else g alpha e^x.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.elu(tg.Tensor([-1.0, 0.0, 2.0]))
    Tensor([-0.63212056,  0.        ,  2.        ])
    """
    return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0))


# With these two numbers, activations of mean 0 and variance 1 stay so from layer to layer (Klambauer et al. 2017).
SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_END = SELU_SCALE * SELU_ALPHA


@operation(
    vjps=[lambda g, y, x: g * (SELU_END * np.exp(np.minimum(x, 0)) + (SELU_SCALE - SELU_END) * (x > 0))],
    notation=Notation("selu(<x>)", r"\operatorname{selu}(<x>)"),
    samples=[sample(normal(3, 4))],
)
def selu(x: Operand) -> Any:
    r"""Self-normalising elu (Klambauer et al. 2017): scale x where x > 0, else scale alpha (e^x - 1).

    scale = 1.0507 and alpha = 1.6733.

    Gradient: dL/dx = g scale where x > 0, else g scale alpha e^x.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.selu(tg.Tensor([-1.0, 0.0, 2.0]))
    Tensor([-1.11133074,  0.        ,  2.10140197])
    """
    return SELU_SCALE * np.maximum(x, 0) + SELU_END * np.expm1(np.minimum(x, 0))


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
    vjps=[lambda g, y, x, beta: g * sigmoid(_scaled(x, beta))],
    notation=Notation("softplus(<x>)", r"\operatorname{softplus}(<x>)"),
    samples=[sample(normal(3, 4)), sample(normal(3, 4), beta=2.5)],
)
def softplus(x: Operand, beta: float = 1) -> Any:
    r"""log(1 + e^{beta x}) / beta, a smooth relu, computed as max(x, 0) + log(1 + e^-|beta x|) / beta: no overflow.

    Gradient: dL/dx = g sigmoid(beta x).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.softplus(tg.Tensor([-1000.0, 0.0, 1000.0]))
    Tensor([0.00000000e+00, 6.93147181e-01, 1.00000000e+03])
    """
    if beta <= 0:
        raise ValueError(f"softplus: beta={beta}: a positive number is expected")
    tail = np.log1p(np.exp(-np.abs(_scaled(x, beta))))
    return np.maximum(x, 0) + (tail if beta == 1 else tail / beta)


def _scaled(x: Any, beta: float) -> Any:
    return x if beta == 1 else beta * x


# Several activations are x times a smooth switch from 0 to 1.  The rule needs the switch again: the forward pass
# keeps it.


@operation(
    vjps=[lambda g, y, x, s: g * (s * (1 + x * (1 - s)))],
    residual=lambda x: sigmoid(x),
    notation=Notation("silu(<x>)", r"\operatorname{silu}(<x>)"),
    samples=[sample(normal(3, 4))],
)
def silu(x: Operand) -> Any:
    r"""x sigmoid(x), also called swish.

    Gradient: dL/dx = g s (1 + x (1 - s)), s = sigmoid(x).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.silu(tg.Tensor([-1000.0, 0.0, 2.0]))
    Tensor([-0.        ,  0.        ,  1.76159416])
    """
    s = sigmoid(x)
    return x * s, s


@operation(
    vjps=[lambda g, y, x, t: g * (t + x * (1 - t * t) * sigmoid(x))],
    residual=lambda x: np.tanh(softplus(x)),
    notation=Notation("mish(<x>)", r"\operatorname{mish}(<x>)"),
    samples=[sample(normal(3, 4))],
)
def mish(x: Operand) -> Any:
    r"""x tanh(softplus(x)) (Misra 2019).

    Gradient: dL/dx = g (t + x (1 - t^2) sigmoid(x)), t = tanh(softplus(x)).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.mish(tg.Tensor([-1000.0, 0.0, 2.0]))
    Tensor([-0.        ,  0.        ,  1.94395896])
    """
    t = np.tanh(softplus(x))
    return x * t, t


SQRT_HALF = math.sqrt(0.5)
ROOT_2_OVER_PI = math.sqrt(2 / math.pi)
CUBIC = 0.044715
FAR = 100  # where x^2 is larger, the normal distribution ends: x^2 need not grow until it overflows


@np.errstate(over="ignore")
def _normal_below(x: Any, approximate: str) -> Any:
    """How much of the normal distribution N(0, 1) lies below x."""
    if approximate == "none":
        return 0.5 + 0.5 * erf(SQRT_HALF * x)
    if approximate == "tanh":  # (1 + tanh(u)) / 2 = sigmoid(2u)
        return sigmoid(2 * ROOT_2_OVER_PI * x * (1 + CUBIC * np.minimum(x * x, FAR)))
    raise ValueError(f'gelu: approximate={approximate!r}: "none" or "tanh" is expected')


@np.errstate(over="ignore")
def _normal_at(x: Any, below: Any, approximate: str) -> Any:
    """The derivative of `_normal_below`: the density of the normal distribution at x."""
    if approximate == "none":
        return np.exp(-0.5 * x * x) * (0.5 * ROOT_2_OVER_PI)
    return below * (1 - below) * (2 * ROOT_2_OVER_PI * (1 + 3 * CUBIC * np.minimum(x * x, FAR)))


@operation(
    vjps=[lambda g, y, x, below, approximate: g * (below + x * _normal_at(x, below, approximate))],
    residual=_normal_below,
    notation=Notation("gelu(<x>)", r"\operatorname{gelu}(<x>)"),
    samples=[sample(normal(3, 4)), sample(normal(3, 4), approximate="tanh")],
)
def gelu(x: Operand, approximate: str = "none") -> Any:
    r"""x P(x), where P(x) = (1 + erf(x / sqrt(2))) / 2 is how much of N(0, 1) lies below x (Hendrycks, Gimpel 2016).

    With approximate="tanh", as in GPT-2: P(x) = (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2.

    Gradient: dL/dx = g (P + x P'), and P' = e^{-x^2/2} / sqrt(2 pi) unless approximated.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.gelu(tg.Tensor([-1.0, 0.0, 2.0]))
    Tensor([-0.15865525,  0.        ,  1.95449974])
    >>> tg.gelu(tg.Tensor([-1.0, 0.0, 2.0]), approximate="tanh")
    Tensor([-0.15880801,  0.        ,  1.95459769])
    """
    below = _normal_below(x, approximate)
    return x * below, below


@np.errstate(over="ignore")
def _softsign(g: Any, y: Any, x: Any) -> Any:
    d = 1 + np.abs(x)
    return g / (d * d)


@operation(
    vjps=[_softsign],
    notation=Notation("<x> / (1 + |<x>|)", r"\frac{<x>}{1 + \lvert <x> \rvert}", PRODUCT),
    samples=[sample(normal(3, 4))],
)
def softsign(x: Operand) -> Any:
    r"""x / (1 + |x|): from -1 to 1, as tanh, but slowly.

    Gradient: dL/dx = g / (1 + |x|)^2.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.softsign(tg.Tensor([-1.0, 0.0, 3.0]))
    Tensor([-0.5 ,  0.  ,  0.75])
    """
    return x / (1 + np.abs(x))


# Unlike clip, it passes nothing on at a bound: so it is in PyTorch.
@operation(
    vjps=[lambda g, y, x, min_val, max_val: g * np.logical_not((x <= min_val) | (x >= max_val))],
    notation=Notation("hardtanh(<x>)", r"\operatorname{hardtanh}(<x>)"),
    samples=[sample(distinct(3, 4)), sample(distinct(3, 4), min_val=-0.4, max_val=0.6)],
)
def hardtanh(x: Operand, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    r"""x, but no less than `min_val` and no more than `max_val`.

    Gradient: dL/dx = g where min_val < x < max_val, else 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.hardtanh(tg.Tensor([-3.0, 0.5, 2.0]))
    Tensor([-1. ,  0.5,  1. ])
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val={min_val} is above max_val={max_val}")
    return np.clip(x, min_val, max_val)


def relu6(x: Operand) -> Any:
    """min(max(x, 0), 6); its gradient is 0 at 0 and at 6.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.relu6(tg.Tensor([-1.0, 3.0, 7.0]))
    Tensor([0., 3., 6.])
    """
    return hardtanh(x, min_val=0, max_val=6)


@operation(
    vjps=[lambda g, y, x: g * sigmoid(-x)],
    notation=Notation("log sigmoid(<x>)", r"\log \sigma(<x>)", PRODUCT),
    samples=[sample(normal(3, 4))],
)
def log_sigmoid(x: Operand) -> Any:
    r"""log(sigmoid(x)), exact also where sigmoid is too small to be told from 0: min(x, 0) - log(1 + e^-|x|).

    Gradient: dL/dx = g sigmoid(-x).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.log_sigmoid(tg.Tensor([-1000.0, 0.0, 1000.0]))
    Tensor([-1.00000000e+03, -6.93147181e-01,  0.00000000e+00])
    """
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


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
    if is_rows(x, axis):
        return softmax_of_rows(x)[2]
    e = np.exp(x - np.maximum.reduce(x, axis=axis, keepdims=True))
    e /= np.add.reduce(e, axis=axis, keepdims=True)
    return e


def softmax_of_rows(z: Any) -> tuple[Any, Any, Any]:
    """Of each row: its numbers less the largest, the sum of their exponentials, and their shares of it."""
    shifted = z - largest(z)
    p = np.exp(shifted, order="C")
    total = p.dot(ones(z.shape[1], p.dtype))
    p /= total.reshape(-1, 1)
    return shifted, total, p


def is_rows(x: Any, axis: int) -> bool:
    """Are these the rows of a matrix, of numbers that BLAS knows?"""
    return len(x.shape) == 2 and axis in (-1, 1) and x.dtype in QUICK and x.size > 0


def largest(rows: Any) -> Any:
    """The largest number of each row, by its position: a third of the time of `max` over rows."""
    return rows.take(rows.argmax(1) + starts(rows.size, rows.shape[1])).reshape(-1, 1)


@functools.lru_cache(8)
def starts(size: int, columns: int) -> Any:
    """Where each row begins among all numbers: `starts + column` is twice as quick as an index of rows and columns."""
    return np.arange(0, size, columns or 1)


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
