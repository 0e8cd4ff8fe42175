"""The losses as functions of parameters, for systems that bring a NumPy of their own: JAX and autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Loss = Callable[..., Any]


def layers(xp: Any, params: Any, h: Any) -> Any:
    for i in range(0, len(params), 2):
        if i:
            h = xp.maximum(h, 0)
        h = xp.dot(h, params[i]) + params[i + 1]
    return h


def cross_entropy(xp: Any, Z: Any, indicator: Any) -> Any:
    """`indicator` is one-hot: picking by index is slow in these systems."""
    Z = Z - Z.max(axis=1, keepdims=True)
    return (xp.log(xp.exp(Z).sum(axis=1)) - (Z * indicator).sum(axis=1)).sum() / len(Z)


def losses(xp: Any, lstm: Callable[..., Any]) -> dict[str, Loss]:
    """For each workload its loss(params, X, targets); `lstm(params, X)` returns the last state."""

    def classifier(params: Any, X: Any, targets: Any) -> Any:
        return cross_entropy(xp, layers(xp, params, X), targets)

    def tiny(params: Any, X: Any, targets: Any) -> Any:
        return xp.logaddexp(0, layers(xp, params, X) * (1 - 2 * targets)).sum() / len(X)

    def recurrent(params: Any, X: Any, targets: Any) -> Any:
        return cross_entropy(xp, xp.dot(lstm(params, X), params[4]) + params[5], targets)

    def elementwise(x: Any) -> Any:
        return xp.tanh(x / (1 + xp.exp(-x)) + xp.exp(-x * x)).sum()

    found = {"a": classifier, "b": classifier, "c": classifier, "k": classifier}
    return {**found, "d": tiny, "f": elementwise, "l": recurrent}


def cell(xp: Any, h: Any, c: Any, a: Any) -> tuple[Any, Any]:
    """An LSTM's state after a step, from the pre-activations of its four gates."""
    n = h.shape[1]
    i, f, o = (0.5 + 0.5 * xp.tanh(0.5 * a[:, k * n : (k + 1) * n]) for k in (0, 1, 3))
    c = f * c + i * xp.tanh(a[:, 2 * n : 3 * n])
    return o * xp.tanh(c), c
