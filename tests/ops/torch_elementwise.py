"""What elementwise functions, activations and losses are called in PyTorch, for the tests that compare all operations.

Each function gets torch, then the inputs (tensors of torch, or numbers as they were), then the parameters by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def _tensors(torch: Any, *inputs: Any) -> list[Any]:
    """Numbers as tensors, for functions of torch that want nothing else."""
    return [x if torch.is_tensor(x) else torch.tensor(x, dtype=torch.float64) for x in inputs]


def _one(name: str) -> Callable[..., Any]:
    return lambda torch, x: getattr(torch, name)(x)


def _two(name: str) -> Callable[..., Any]:
    return lambda torch, a, b: getattr(torch, name)(*_tensors(torch, a, b))


def _cbrt(torch: Any, x: Any) -> Any:
    return torch.sign(x) * torch.abs(x) ** (1 / 3)


def _heaviside(torch: Any, x: Any, at_zero: Any) -> Any:
    """torch has the value, but no gradient."""
    above = (x > 0).to(x.dtype)
    return torch.where(x == 0, at_zero, above) + 0 * x


def _sinc(torch: Any, x: Any) -> Any:
    """torch.sinc has a wrong second derivative at 0; near it, the series 1 - u^2/6 + u^4/120 - ... is exact."""
    u = math.pi * x
    near = u.abs() < 1
    series = sum((-1) ** k * torch.where(near, u, 0.0) ** (2 * k) / math.gamma(2 * k + 2) for k in range(12))
    far = torch.where(near, 1.0, u)
    return torch.where(near, series, torch.sin(far) / far)


def _sinc_derivative(torch: Any, x: Any, order: int) -> Any:
    """From u s^(n) + n s^(n-1) = sin(u + n pi/2), u = pi x: exact away from 0."""
    u = math.pi * x
    s = torch.sin(u) / u
    for n in range(1, order + 1):
        s = (torch.sin(u + n * math.pi / 2) - n * s) / u
    return s * math.pi**order


def _reduce(losses: Any, reduction: str) -> Any:
    return {"none": losses, "sum": losses.sum(), "mean": losses.mean()}[reduction]


def _multi_margin(torch: Any, scores: Any, labels: Any, p: int, margin: float, reduction: str) -> Any:
    """torch has the loss, but no second derivative of it."""
    rows = scores.reshape(-1, scores.shape[-1])
    own = rows.gather(1, labels.reshape(-1, 1))
    others = 1 - torch.nn.functional.one_hot(labels.reshape(-1), rows.shape[1]).to(scores.dtype)
    losses = ((margin - own + rows).clamp(min=0) ** p * others).sum(-1) / rows.shape[1]
    return _reduce(losses.reshape(labels.shape), reduction)


def _kl_div(torch: Any, q: Any, t: Any, reduction: str, log_target: bool) -> Any:
    """torch warns that its "mean" is not what one expects."""
    if reduction != "mean":
        return torch.nn.functional.kl_div(q, t, reduction=reduction, log_target=log_target)
    return torch.nn.functional.kl_div(q, t, reduction="none", log_target=log_target).mean()


def _loss(name: str) -> Callable[..., Any]:
    return lambda torch, y, t, **params: getattr(torch.nn.functional, name)(y, t, **params)


def _activation(name: str) -> Callable[..., Any]:
    return lambda torch, x, **params: getattr(torch.nn.functional, name)(x, **params)


TORCH: dict[str, Callable[..., Any]] = {
    # exponentials, logarithms, powers and roots
    **{name: _one(name) for name in ("exp2", "expm1", "log1p", "log2", "log10", "reciprocal", "rsqrt", "square")},
    "cbrt": _cbrt,
    "logaddexp": _two("logaddexp"),
    "logaddexp2": _two("logaddexp2"),
    "lerp": lambda torch, start, end, weight: torch.lerp(
        *torch.broadcast_tensors(*_tensors(torch, start, end, weight))
    ),
    # angles and hyperbolas
    **{name: _one(name) for name in ("tan", "arcsin", "arccos", "arctan", "deg2rad", "rad2deg")},
    **{name: _one(name) for name in ("sinh", "cosh", "arcsinh", "arccosh", "arctanh")},
    "arctan2": _two("arctan2"),
    "hypot": _two("hypot"),
    # steps, signs, remainders
    **{name: _one(name) for name in ("ceil", "floor", "sign", "trunc")},
    "rint": _one("round"),
    "round": lambda torch, x, decimals=0: torch.round(x, decimals=decimals),
    "heaviside": _heaviside,
    "copysign": _two("copysign"),
    "fmod": _two("fmod"),
    "remainder": _two("remainder"),
    "floor_divide": lambda torch, a, b: torch.div(a, b, rounding_mode="floor"),
    # special functions
    "erf": _one("erf"),
    "sinc": _sinc,
    "sinc_derivative": _sinc_derivative,
    "xlogy": _two("xlogy"),
    # choices
    "fmax": _two("fmax"),
    "fmin": _two("fmin"),
    "nan_to_num": lambda torch, x, nan, posinf, neginf: torch.nan_to_num(x, nan, posinf, neginf),
    # activations
    **{name: _activation(name) for name in ("elu", "gelu", "hardtanh", "mish", "selu", "silu", "softplus", "softsign")},
    "log_sigmoid": _activation("logsigmoid"),
    # losses
    **{name: _loss(name) for name in ("huber_loss", "l1_loss")},
    "kl_div": _kl_div,
    "multi_margin_loss": _multi_margin,
}

A, UNIT = np.array([[0.6, 1.5], [0.9, 0.7]]), np.array([[0.6, -0.5], [0.9, 0.0]])
HOLES = np.array([np.nan, np.inf, -np.inf, 1.5, -0.0])

# How NumPy's functions are called on tensors: f the function, t what makes a tensor.  Ufuncs that take A, or A and A,
# are not listed.
NUMPY_CALLS: dict[Any, list[Callable[..., Any]]] = {
    np.arcsin: [lambda f, t: f(t(UNIT))],
    np.arccos: [lambda f, t: f(t(UNIT))],
    np.arctanh: [lambda f, t: f(t(UNIT))],
    np.arccosh: [lambda f, t: f(t(A + 1))],
    np.sinc: [lambda f, t: f(t(UNIT))],
    np.fix: [lambda f, t: f(t(A * -2))],
    np.round: [lambda f, t: f(t(A * 30)), lambda f, t: f(t(A), 1), lambda f, t: f(t(A * 30), decimals=-1)],
    np.around: [lambda f, t: f(t(A * 30)), lambda f, t: f(t(A), 1)],
    np.nan_to_num: [lambda f, t: f(t(HOLES)), lambda f, t: f(t(HOLES), nan=1.0, posinf=2.0, neginf=3.0)],
    np.isposinf: [lambda f, t: f(t(HOLES))],
    np.isneginf: [lambda f, t: f(t(HOLES))],
    np.isclose: [lambda f, t: f(t(A), A + 1e-9), lambda f, t: f(A, t(UNIT), rtol=0.5, atol=0.1)],
    np.select: [
        lambda f, t: f([A < 0.65, A < 0.8], [t(A), t(A) * 2]),
        lambda f, t: f([t(A) < 0.65], [t(A)], default=5.0),
    ],
}
