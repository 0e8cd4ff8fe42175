"""autograd (HIPS): gradients of functions of NumPy; the update is the one by hand, in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tests.bench.by_hand.updates import SGD, Adam, Momentum
from tests.bench.systems import Made, Step, System
from tests.bench.systems.functional import cell, cross_entropy, losses
from tests.bench.workloads import CHAINS, Workload


def _lstm(params: Any, X: Any) -> Any:
    W, V, b, c = params[:4]
    h = state = np.zeros((X.shape[1], len(V)), X.dtype)
    gates = anp.dot(X, W) + b
    for t in range(len(X)):
        h, state = cell(anp, h, state, gates[t] + anp.dot(h, V) + c)
    return h


def _convolution(params: Any, X: Any, targets: Any) -> Any:
    w, b, W, c = params
    n = len(X)
    windows = sliding_window_view(X[:, 0], (3, 3), axis=(1, 2)).transpose(3, 4, 0, 1, 2).reshape(9, -1)
    h = anp.maximum(anp.dot(w.reshape(8, 9), windows) + b[:, None], 0)
    h = anp.max(h.reshape(8, n, 13, 2, 13, 2), axis=(3, 5)).transpose((1, 0, 2, 3))
    return cross_entropy(anp, anp.dot(h.reshape(n, -1), W) + c, targets)


LOSSES = {**losses(anp, _lstm), "j": _convolution}


def _targets(workload: Workload) -> Any:
    t = workload.targets
    return np.eye(10, dtype=np.float32)[t] if t.dtype.kind == "i" else t


def training(workload: Workload) -> Step:
    function = autograd.value_and_grad(LOSSES[workload.key])
    params, targets = workload.fresh(), _targets(workload)
    optimize = {"b": Adam, "c": Momentum}.get(workload.key, SGD)(params, workload.lr)

    def run() -> float:
        value, gradients = function(params, workload.X, targets)
        optimize(gradients)
        return float(value)

    return Made(run, lambda: params)


def elementwise(workload: Workload) -> Step:
    function = autograd.value_and_grad(LOSSES["f"])
    found: list[Any] = [None]

    def run() -> float:
        value, found[0] = function(workload.X)
        return float(value)

    return Made(run, lambda: [found[0]])


def curvature(workload: Workload) -> Step:
    loss, targets = LOSSES["k"], _targets(workload)
    params, direction = workload.params[:4], workload.params[4:]
    gradient = autograd.value_and_grad(lambda params: loss(params, workload.X, targets))
    values: list[Any] = []
    found: list[Any] = []

    def along(params: Any) -> Any:
        value, gradients = gradient(params)
        values[:] = [value]
        return sum(anp.sum(g * v) for g, v in zip(gradients, direction))

    product = autograd.grad(along)

    def run() -> float:
        found[:] = product(params)
        value = values[0]
        return float(getattr(value, "_value", value))

    return Made(run, lambda: found)


def scalars(workload: Workload) -> Step:
    wiring = workload.X.tolist()

    def last(given: Any) -> Any:
        values = [given[0]]
        for k, (back, i) in enumerate(wiring):
            a = values[-back]
            values.append(a * given[i] if k % 3 == 0 else a + given[i] if k % 3 == 1 else anp.maximum(a, 0))
        return values[-1]

    function = autograd.value_and_grad(last)
    given, found = list(workload.params[0]), []

    def run() -> float:
        value, found[:] = function(given)
        return float(value)

    return Made(run, lambda: [np.array(found)])


def chain(workload: Workload) -> Step:
    def last(a: Any) -> Any:
        y = a
        for _ in range(workload.nodes // 2):
            y = y * a
            y = y + a
        return y

    function = autograd.value_and_grad(last)
    found = [0.0]

    def run() -> float:
        value, found[0] = function(1.0000001)
        return float(value)

    return Made(run, lambda: [np.array(found[0])])


def systems() -> list[System]:
    steps: dict[str, Callable[[Workload], Step]] = dict.fromkeys("abcdjl", training)
    steps |= {"e": scalars, "f": elementwise, "k": curvature, **{f"g{n}": chain for n in CHAINS if n <= 100_000}}
    return [System("autograd", "", steps, module="autograd.numpy", packages=("autograd",))]
