"""This package, eager and compiled, into NumPy's calls and into numba's loops."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tests.bench.systems import OURS, Made, Step, System
from tests.bench.workloads import BETAS, CHAINS, EPS, MOMENTUM, Workload
from tinygrad_edu.nn.functional import binary_cross_entropy_with_logits, cross_entropy

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]  # the identity, or tg.compile

OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "b": lambda params, lr: tg.optim.Adam(params, lr, BETAS, EPS),
    "c": lambda params, lr: tg.optim.SGD(params, lr, momentum=MOMENTUM),
}


def fill(net: tg.nn.Module, params: list[Any]) -> None:
    """Write the workload's numbers into a module's parameters."""
    for mine, given in zip(net.parameters(), params, strict=True):
        mine.data[...] = given


def training(workload: Workload, net: tg.nn.Module, loss: Callable[..., Any], wrap: Wrap) -> Step:
    """The step that a user writes: loss, zero_grad, backward, step."""
    fill(net, workload.params)
    optimizer = OPTIMIZERS.get(workload.key, tg.optim.SGD)(net.parameters(), lr=workload.lr)

    def step(X: Any, targets: Any) -> Any:
        value = loss(net(X), targets)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value

    step = wrap(step)
    X, targets = workload.X, workload.targets
    return Made(lambda: step(X, targets).item(), lambda: [p.data for p in net.parameters()])


def classifier(workload: Workload, wrap: Wrap) -> Step:
    sizes = [len(W) for W in workload.params[::2]] + [10]
    return training(workload, tg.nn.MLP(sizes, rng=0, dtype=np.float32), cross_entropy, wrap)


def tiny(workload: Workload, wrap: Wrap) -> Step:
    net = tg.nn.MLP([2, 3, 1], rng=0, dtype=np.float32)
    return training(workload, net, binary_cross_entropy_with_logits, wrap)


def convolution(workload: Workload, wrap: Wrap) -> Step:
    class Net(tg.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = tg.nn.Conv2d(1, 8, 3, rng=0, dtype=np.float32)
            self.out = tg.nn.Linear(8 * 169, 10, rng=0, dtype=np.float32)

        def forward(self, x: Any) -> Any:
            h = tg.nn.functional.max_pool2d(tg.nn.functional.relu(self.conv(x)), 2)
            return self.out(h.reshape((len(x), 8 * 169)))

    return training(workload, Net(), cross_entropy, wrap)


def recurrent(workload: Workload, wrap: Wrap) -> Step:
    class Net(tg.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            inputs, width = workload.X.shape[2], len(workload.params[1])
            self.lstm = tg.nn.LSTM(inputs, width, rng=0, dtype=np.float32)
            self.out = tg.nn.Linear(width, 10, rng=0, dtype=np.float32)

        def forward(self, x: Any) -> Any:
            _, (h, _) = self.lstm(x)
            return self.out(h[0])

    return training(workload, Net(), cross_entropy, wrap)


def elementwise(workload: Workload, wrap: Wrap) -> Step:
    x = tg.Tensor(workload.X, requires_grad=True)

    def step(x: Any) -> Any:
        x.grad = None
        loss = tg.tanh(tg.sigmoid(x) * x + tg.exp(-x * x)).sum()
        loss.backward()
        return loss

    step = wrap(step)
    return Made(lambda: step(x).item(), lambda: [x.grad])


def curvature(workload: Workload, wrap: Wrap) -> Step:
    X, labels = workload.X, workload.targets
    params, direction = workload.params[:4], workload.params[4:]
    found: list[Any] = []

    def loss(W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
        hidden = tg.nn.functional.relu(tg.nn.functional.linear(X, W1, b1))
        return cross_entropy(tg.nn.functional.linear(hidden, W2, b2), labels)

    step = wrap(lambda params, direction: tg.hvp(loss, params, direction))

    def run() -> float:
        value, found[:] = step(params, direction)
        return value.item()

    return Made(run, lambda: [p.data for p in found])


def scalars(workload: Workload, wrap: Wrap) -> Step:
    given = [tg.Tensor(v, requires_grad=True) for v in workload.params[0]]
    wiring = workload.X.tolist()

    def step(given: list[Any]) -> Any:
        values = [given[0]]
        for k, (back, i) in enumerate(wiring):
            a = values[-back]
            values.append(a * given[i] if k % 3 == 0 else a + given[i] if k % 3 == 1 else tg.relu(a))
        for t in given:
            t.grad = None
        values[-1].backward()
        return values[-1]

    step = wrap(step)
    return Made(lambda: step(given).item(), lambda: [np.array([t.grad for t in given])])


def chain(workload: Workload, wrap: Wrap) -> Step:
    a = tg.Tensor(1.0000001, requires_grad=True)

    def step(a: Any) -> Any:
        y = a
        for _ in range(workload.nodes // 2):
            y = y * a
            y = y + a
        a.grad = None
        y.backward()
        return y

    step = wrap(step)
    return Made(lambda: step(a).item(), lambda: [a.grad])


NETWORKS: dict[str, Callable[[Workload, Wrap], Step]] = {
    "a": classifier,
    "b": classifier,
    "c": classifier,
    "d": tiny,
    "f": elementwise,
    "j": convolution,
    "k": curvature,
    "l": recurrent,
}
GRAPHS: dict[str, Callable[[Workload, Wrap], Step]] = {"e": scalars, **{f"g{n}": chain for n in CHAINS}}


def systems() -> list[System]:
    def made(name: str, steps: dict[str, Callable[[Workload, Wrap], Step]], wrap: Wrap, *others: str) -> System:
        return System(
            name,
            "",
            {key: (lambda workload, make=make: make(workload, wrap)) for key, make in steps.items()},
            module="tinygrad_edu",
            packages=("tinygrad_edu", *others),
        )

    found = [made(OURS, {**NETWORKS, **GRAPHS}, lambda step: step)]
    # `tg.compile` is named only where it is called: that loads the compiler.
    found.append(made(f"{OURS} compiled", NETWORKS, lambda step: tg.compile(step)))
    name = f"{OURS} compiled, numba"
    if find_spec("numba"):
        found.append(made(name, NETWORKS, lambda step: tg.compile(step, backend="numba"), "numba"))
    else:
        found.append(System(name, 'not installed: pip install "tinygrad_edu[numba]"', {}))
    return found
