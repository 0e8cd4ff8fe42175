"""JAX: the whole step, update included, is one function for jit; the parameters' memory is donated."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.bench.systems import Made, Step, System
from tests.bench.systems.functional import cell, losses
from tests.bench.workloads import BETAS, EPS, MOMENTUM, Workload


def _lstm(params: Any, X: Any) -> Any:
    W, V, b, c = params[:4]
    start = jnp.zeros((X.shape[1], len(V)), X.dtype)

    def step(state: Any, gates: Any) -> Any:
        return cell(jnp, *state, gates + state[0] @ V + c), None

    (h, _), _ = jax.lax.scan(step, (start, start), X @ W + b)
    return h


def _convolution(params: Any, X: Any, targets: Any) -> Any:
    """With XLA's own convolution and windows, as a user of JAX would write it."""
    w, b, W, c = params
    h = jax.lax.conv(X, w, (1, 1), "VALID") + b[:, None, None]
    h = jax.lax.reduce_window(jax.nn.relu(h), -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    Z = h.reshape(len(X), -1) @ W + c
    return -(jax.nn.log_softmax(Z) * targets).sum() / len(X)


def _inputs(workload: Workload) -> tuple[Any, Any]:
    t = workload.targets
    return jnp.asarray(workload.X), jnp.asarray(np.eye(10, dtype=np.float32)[t] if t.dtype.kind == "i" else t)


def _sgd(lr: float, params: Any, gradients: Any, memory: Any) -> tuple[Any, Any]:
    return [p - lr * g for p, g in zip(params, gradients)], memory


def _momentum(lr: float, params: Any, gradients: Any, memory: Any) -> tuple[Any, Any]:
    memory = [MOMENTUM * v + g for v, g in zip(memory, gradients)]
    return [p - lr * v for p, v in zip(params, memory)], memory


def _adam(lr: float, params: Any, gradients: Any, memory: Any) -> tuple[Any, Any]:
    (b1, b2), (t, m, v) = BETAS, memory
    t = t + 1
    m = [b1 * a + (1 - b1) * g for a, g in zip(m, gradients)]
    v = [b2 * a + (1 - b2) * g * g for a, g in zip(v, gradients)]
    rate, root = lr / (1 - b1**t), jnp.sqrt(1 - b2**t)
    return [p - rate * a / (jnp.sqrt(s) / root + EPS) for p, a, s in zip(params, m, v)], (t, m, v)


def training(workload: Workload) -> Step:
    loss = losses(jnp, _lstm)[workload.key] if workload.key != "j" else _convolution
    update = {"b": _adam, "c": _momentum}.get(workload.key, _sgd)
    X, targets = _inputs(workload)
    zeros = [jnp.zeros_like(p) for p in workload.params]
    memory = {"b": (jnp.float32(0), zeros, [jnp.zeros_like(p) for p in zeros]), "c": zeros}.get(workload.key, ())
    now = [[jnp.array(p) for p in workload.params], memory]

    def step(params: Any, memory: Any, X: Any, targets: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(params, X, targets)
        return value, *update(workload.lr, params, gradients, memory)

    compiled = jax.jit(step, donate_argnums=(0, 1))

    def run() -> float:
        value, now[0], now[1] = compiled(*now, X, targets)
        return float(value)

    return Made(run, lambda: [np.asarray(p) for p in now[0]])


def elementwise(workload: Workload) -> Step:
    x = jnp.asarray(workload.X)
    function = jax.jit(jax.value_and_grad(losses(jnp, _lstm)["f"]))
    found: list[Any] = [None]

    def run() -> float:
        value, found[0] = function(x)
        return float(value)

    return Made(run, lambda: [np.asarray(found[0])])


def curvature(workload: Workload) -> Step:
    loss = losses(jnp, _lstm)["k"]
    X, targets = _inputs(workload)
    params = [jnp.array(p) for p in workload.params]
    found: list[Any] = []

    @jax.jit
    def product(params: Any, direction: Any, X: Any, targets: Any) -> Any:
        gradient = jax.value_and_grad(lambda params: loss(params, X, targets))
        (value, _), (_, along) = jax.jvp(gradient, (params,), (direction,))
        return value, along

    def run() -> float:
        value, found[:] = product(params[:4], params[4:], X, targets)
        return float(value)

    return Made(run, lambda: [np.asarray(p) for p in found])


def systems() -> list[System]:
    warnings.filterwarnings("ignore", message="Some donated buffers were not usable")
    steps: dict[str, Callable[[Workload], Step]] = dict.fromkeys("abcdjl", training)
    steps |= {"f": elementwise, "k": curvature}
    return [System("JAX jit", jax.__version__, steps, module="jax", foreign=True)]
