"""MyGrad, without the guards of its memory, as it advises for speed; the update is the one by hand, in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mygrad as mg
import numpy as np
from mygrad.nnet.activations import relu, sigmoid
from mygrad.nnet.layers import conv_nd, max_pool
from mygrad.nnet.losses import softmax_crossentropy

from tests.bench.by_hand.updates import SGD, Adam, Momentum
from tests.bench.systems import Made, Step, System
from tests.bench.workloads import CHAINS, Workload


def training(workload: Workload, loss: Callable[..., Any]) -> Step:
    params = [mg.tensor(p) for p in workload.fresh()]
    optimize = {"b": Adam, "c": Momentum}.get(workload.key, SGD)([p.data for p in params], workload.lr)

    def run() -> float:
        value = loss(params, workload.X, workload.targets)
        value.backward()
        optimize([p.grad for p in params])
        return float(value.data)

    return Made(run, lambda: [p.data for p in params])


def _layers(params: list[Any], h: Any) -> Any:
    for i in range(0, len(params), 2):
        if i:
            h = relu(h)
        h = mg.matmul(h, params[i]) + params[i + 1]
    return h


def classifier(workload: Workload) -> Step:
    return training(workload, lambda params, X, labels: softmax_crossentropy(_layers(params, X), labels))


def tiny(workload: Workload) -> Step:
    signs = 1 - 2 * workload.targets
    return training(workload, lambda params, X, _: mg.mean(mg.logaddexp(0, _layers(params, X) * signs)))


def convolution(workload: Workload) -> Step:
    def loss(params: list[Any], X: Any, labels: Any) -> Any:
        w, b, W, c = params
        h = relu(conv_nd(X, w, stride=1) + b.reshape(1, -1, 1, 1))
        h = max_pool(h, (2, 2), 2).reshape(len(X), -1)
        return softmax_crossentropy(mg.matmul(h, W) + c, labels)

    return training(workload, loss)


def recurrent(workload: Workload) -> Step:
    def loss(params: list[Any], X: Any, labels: Any) -> Any:
        W, V, b, c, W2, b2 = params
        n = len(V)
        h = state = np.zeros((X.shape[1], n), X.dtype)
        for x in X:
            a = mg.matmul(x, W) + b + (mg.matmul(h, V) + c)
            i, f, g, o = (a[:, k * n : (k + 1) * n] for k in range(4))
            state = sigmoid(f) * state + sigmoid(i) * mg.tanh(g)
            h = sigmoid(o) * mg.tanh(state)
        return softmax_crossentropy(mg.matmul(h, W2) + b2, labels)

    return training(workload, loss)


def elementwise(workload: Workload) -> Step:
    x = mg.tensor(workload.X)

    def run() -> float:
        value = mg.tanh(sigmoid(x) * x + mg.exp(-x * x)).sum()
        value.backward()
        return float(value.data)

    return Made(run, lambda: [x.grad])


def scalars(workload: Workload) -> Step:
    given = [mg.tensor(v) for v in workload.params[0]]
    wiring = workload.X.tolist()

    def run() -> float:
        values = [given[0]]
        for k, (back, i) in enumerate(wiring):
            a = values[-back]
            values.append(a * given[i] if k % 3 == 0 else a + given[i] if k % 3 == 1 else relu(a))
        values[-1].backward()
        return float(values[-1].data)

    return Made(run, lambda: [np.array([t.grad for t in given])])


def chain(workload: Workload) -> Step:
    a = mg.tensor(1.0000001)

    def run() -> float:
        y = a
        for _ in range(workload.nodes // 2):
            y = y * a
            y = y + a
        y.backward()
        return float(y.data)

    return Made(run, lambda: [a.grad])


def systems() -> list[System]:
    steps: dict[str, Callable[[Workload], Step]] = {"a": classifier, "b": classifier, "c": classifier, "d": tiny}
    steps |= {"e": scalars, "f": elementwise, "j": convolution, "l": recurrent}
    steps |= {f"g{n}": chain for n in CHAINS if n <= 100_000}
    return [System("MyGrad", mg.__version__, steps, prepare=mg.turn_memory_guarding_off, module="mygrad")]
