"""DeZero.  Under NumPy 2 it needs `np.int` to be imported, which is put back for that moment only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.bench.systems import Made, Step, System
from tests.bench.workloads import BETAS, CHAINS, EPS, MOMENTUM, Workload

if not hasattr(np, "int"):
    np.int = int  # type: ignore[attr-defined]
    try:
        import dezero
        from dezero import Parameter, Variable, optimizers
        from dezero import functions as fn
    finally:
        del np.int  # type: ignore[attr-defined]


def training(workload: Workload, loss: Callable[..., Any]) -> Step:
    params = [Parameter(p) for p in workload.fresh()]
    model = dezero.Layer()
    for i, p in enumerate(params):
        setattr(model, f"p{i}", p)
    makers = {
        "b": lambda: optimizers.Adam(workload.lr, *BETAS, EPS),
        "c": lambda: optimizers.MomentumSGD(workload.lr, MOMENTUM),
    }
    optimizer = makers.get(workload.key, lambda: optimizers.SGD(workload.lr))().setup(model)

    def run() -> float:
        value = loss(params, workload.X, workload.targets)
        model.cleargrads()
        value.backward()
        optimizer.update()
        return float(value.data)

    return Made(run, lambda: [p.data for p in params])


def _layers(params: list[Any], h: Any) -> Any:
    for i in range(0, len(params), 2):
        if i:
            h = fn.relu(h)
        h = fn.linear(h, params[i], params[i + 1])
    return h


def classifier(workload: Workload) -> Step:
    return training(workload, lambda params, X, labels: fn.softmax_cross_entropy(_layers(params, X), labels))


def tiny(workload: Workload) -> Step:
    return training(workload, lambda params, X, targets: fn.sigmoid_cross_entropy(_layers(params, X), targets))


def convolution(workload: Workload) -> Step:
    def loss(params: list[Any], X: Any, labels: Any) -> Any:
        h = fn.pooling(fn.relu(fn.conv2d(X, params[0], params[1])), 2, 2)
        return fn.softmax_cross_entropy(fn.linear(fn.flatten(h), params[2], params[3]), labels)

    return training(workload, loss)


def recurrent(workload: Workload) -> Step:
    def loss(params: list[Any], X: Any, labels: Any) -> Any:
        W, V, b, c, W2, b2 = params
        n = len(V.data)
        h = state = np.zeros((X.shape[1], n), X.dtype)
        for x in X:
            a = fn.linear(x, W, b) + fn.linear(h, V, c)
            i, f, g, o = (a[:, k * n : (k + 1) * n] for k in range(4))
            state = fn.sigmoid(f) * state + fn.sigmoid(i) * fn.tanh(g)
            h = fn.sigmoid(o) * fn.tanh(state)
        return fn.softmax_cross_entropy(fn.linear(h, W2, b2), labels)

    return training(workload, loss)


def elementwise(workload: Workload) -> Step:
    x = Variable(workload.X)

    def run() -> float:
        x.cleargrad()
        value = fn.sum(fn.tanh(fn.sigmoid(x) * x + fn.exp(-x * x)))
        value.backward()
        return float(value.data)

    return Made(run, lambda: [x.grad.data])


def curvature(workload: Workload) -> Step:
    params = [Parameter(p) for p in workload.params[:4]]
    direction = workload.params[4:]

    def run() -> float:
        for p in params:
            p.cleargrad()
        value = fn.softmax_cross_entropy(_layers(params, workload.X), workload.targets)
        value.backward(create_graph=True)
        gradients = [p.grad for p in params]
        for p in params:
            p.cleargrad()
        along = fn.sum(gradients[0] * direction[0])
        for g, v in zip(gradients[1:], direction[1:]):
            along = along + fn.sum(g * v)
        along.backward()
        return float(value.data)

    return Made(run, lambda: [p.grad.data for p in params])


def scalars(workload: Workload) -> Step:
    given = [Variable(np.array(v)) for v in workload.params[0]]
    wiring = workload.X.tolist()

    def run() -> float:
        values = [given[0]]
        for k, (back, i) in enumerate(wiring):
            a = values[-back]
            values.append(a * given[i] if k % 3 == 0 else a + given[i] if k % 3 == 1 else fn.relu(a))
        for t in given:
            t.cleargrad()
        values[-1].backward()
        return float(values[-1].data)

    return Made(run, lambda: [np.array([t.grad.data for t in given])])


def chain(workload: Workload) -> Step:
    a = Variable(np.array(1.0000001))

    def run() -> float:
        y = a
        for _ in range(workload.nodes // 2):
            y = y * a
            y = y + a
        a.cleargrad()
        y.backward()
        return float(y.data)

    return Made(run, lambda: [a.grad.data])


def systems() -> list[System]:
    steps: dict[str, Callable[[Workload], Step]] = {"a": classifier, "b": classifier, "c": classifier, "d": tiny}
    steps |= {"e": scalars, "f": elementwise, "j": convolution, "k": curvature, "l": recurrent}
    steps |= {f"g{n}": chain for n in CHAINS if n <= 100_000}
    return [System("DeZero", "", steps, packages=("dezero",))]
