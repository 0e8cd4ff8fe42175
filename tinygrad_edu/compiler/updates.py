"""Optimisers' updates as lines of NumPy, for those of tg.optim; any other optimiser's own `update` is called.

`{p}`, `{g}` and `{s}` stand for the parameter, its gradient and scratch; settings are read from the optimiser at each call.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.optim import SGD, Adam, AdamW, Optimizer

__all__ = ["Update", "corrections", "update_of", "velocity"]


class Update(NamedTuple):
    """The lines of one update, the arrays of state they change, the numbers they need, and the equation."""

    lines: list[str]
    state: dict[str, str]  # name -> expression of the optimiser {o} and the parameter's number {i}
    numbers: dict[str, str]
    equation: str


def update_of(optimizer: Optimizer) -> Update | None:
    """How to write an optimiser's update, or None if it is none of ours."""
    if type(optimizer) is SGD:
        return _sgd(optimizer)
    if type(optimizer) in (Adam, AdamW):
        return _adam(optimizer)
    return None


def _sgd(optimizer: SGD) -> Update:
    lines, g, state, numbers = [], "{g}", {}, {"lr": "{o}.lr"}
    equation = "p <- p - lr g"
    if optimizer.weight_decay:
        lines += ["np.multiply({p}, {decay}, out={s})", "np.add({s}, {g}, out={s})"]
        numbers["decay"] = "{o}.weight_decay"
        g, equation = "{s}", "g <- g + decay p;  " + equation
    if optimizer.momentum:
        lines += ["{v} *= {mu}", f"{{v}} += {g}"]
        state["v"] = "velocity({o}, {i})"
        numbers["mu"] = "{o}.momentum"
        equation = equation.replace("p <- p - lr g", "v <- mu v + g;  p <- p - lr v")
        if optimizer.nesterov:
            lines += [f"np.multiply({g}, {{lr}}, out={{s}})", "{p} -= {s}"]
            numbers["rate"] = "{o}.lr * {o}.momentum"
            equation = equation.replace("p <- p - lr v", "p <- p - lr (g + mu v)")
        g = "{v}"
    rate = "{rate}" if optimizer.nesterov else "{lr}"
    lines += [f"np.multiply({g}, {rate}, out={{s}})", "{p} -= {s}"]
    return Update(lines, state, numbers, equation)


def _adam(optimizer: Adam) -> Update:
    lines = []
    numbers = {"b1": "{o}.betas[0]", "a1": "1 - {o}.betas[0]", "b2": "{o}.betas[1]", "a2": "1 - {o}.betas[1]"}
    g = "{g}"
    if type(optimizer) is AdamW:
        lines.append("{p} *= {shrink}")
        numbers["shrink"] = "1 - {o}.lr * {o}.weight_decay"
    elif optimizer.weight_decay:
        lines += ["np.multiply({decay}, {p}, out={d})", "np.add({g}, {d}, out={d})"]
        numbers["decay"] = "{o}.weight_decay"
        g = "{d}"
    lines += [
        "{m} *= {b1}", f"np.multiply({g}, {{a1}}, out={{s}})", "{m} += {s}",
        f"np.multiply({g}, {g}, out={{s}})", "{s} *= {a2}", "{v} *= {b2}", "{v} += {s}",
        "np.sqrt({v}, out={s})", "{s} *= {root}", "{s} += {eps}", "np.divide({m}, {s}, out={s})", "{s} *= {rate}",
        "{p} -= {s}",
    ]  # fmt: skip
    numbers |= {"eps": "{o}.eps", "root, rate": "corrections({o}, {i})"}
    equation = "m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  p <- p - lr m' / (sqrt(v') + eps)"
    return Update(lines, {"m": "{o}.m[{i}]", "v": "{o}.v[{i}]"}, numbers, equation)


def velocity(optimizer: SGD, i: int) -> Any:
    """The velocity of parameter number i: 0 before the first step."""
    v = optimizer.velocity[i]
    if v is None:
        v = optimizer.velocity[i] = np.zeros_like(optimizer.params[i].data)
    return v


def corrections(optimizer: Adam, i: int) -> tuple[float, float]:
    """One more step of Adam for parameter number i: what sqrt(v) and m are multiplied with."""
    b1, b2 = optimizer.betas
    optimizer.steps[i] += 1
    return 1 / math.sqrt(1 - b2 ** optimizer.steps[i]), optimizer.lr / (1 - b1 ** optimizer.steps[i])
