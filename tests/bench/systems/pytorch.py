"""PyTorch with one and two threads, and torch.compile with two where there is a C++ compiler."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as fn

from tests.bench.systems import Made, Step, System
from tests.bench.workloads import BETAS, CHAINS, EPS, MOMENTUM, Workload

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]  # the identity, or torch.compile

OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "b": lambda params, lr: torch.optim.Adam(params, lr, BETAS, EPS),
    "c": lambda params, lr: torch.optim.SGD(params, lr, momentum=MOMENTUM),
}


def _tensor(array: Any) -> Any:
    return torch.tensor(array, requires_grad=True)


def training(workload: Workload, params: list[Any], loss: Callable[..., Any], wrap: Wrap, layout: Any = None) -> Step:
    X, targets = torch.tensor(workload.X), torch.tensor(workload.targets)
    optimizer = OPTIMIZERS.get(workload.key, torch.optim.SGD)(params, lr=workload.lr)
    loss = wrap(loss)

    def run() -> float:
        value = loss(params, X, targets)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value.item()

    def state() -> list[Any]:
        arrays = [p.detach().numpy() for p in params]
        return layout(arrays) if layout else arrays

    return Made(run, state)


def _transposed(arrays: list[Any]) -> list[Any]:
    """Weights are (out, in) in PyTorch."""
    return [a.T if a.ndim == 2 else a for a in arrays]


def _layers(params: list[Any], h: Any) -> Any:
    for i in range(0, len(params), 2):
        if i:
            h = fn.relu(h)
        h = fn.linear(h, params[i], params[i + 1])
    return h


def _own(workload: Workload) -> list[Any]:
    return [_tensor(np.ascontiguousarray(a)) for a in _transposed(workload.params)]


def classifier(workload: Workload, wrap: Wrap) -> Step:
    def loss(params: list[Any], X: Any, labels: Any) -> Any:
        return fn.cross_entropy(_layers(params, X), labels)

    return training(workload, _own(workload), loss, wrap, _transposed)


def tiny(workload: Workload, wrap: Wrap) -> Step:
    def loss(params: list[Any], X: Any, targets: Any) -> Any:
        return fn.binary_cross_entropy_with_logits(_layers(params, X), targets)

    return training(workload, _own(workload), loss, wrap, _transposed)


def convolution(workload: Workload, wrap: Wrap) -> Step:
    def loss(params: list[Any], X: Any, labels: Any) -> Any:
        h = fn.max_pool2d(fn.relu(fn.conv2d(X, params[0], params[1])), 2)
        return fn.cross_entropy(fn.linear(h.flatten(1), params[2], params[3]), labels)

    return training(workload, _own(workload), loss, wrap, _transposed)


def recurrent(workload: Workload, wrap: Wrap) -> Step:
    width = len(workload.params[1])
    lstm = torch.nn.LSTM(workload.X.shape[2], width)
    own = _own(workload)
    for name, given in zip(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"), own):
        with torch.no_grad():
            getattr(lstm, name).copy_(given)
    params = [lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0, *own[4:]]

    def loss(params: list[Any], X: Any, labels: Any) -> Any:
        _, (h, _) = lstm(X)
        return fn.cross_entropy(fn.linear(h[0], params[4], params[5]), labels)

    return training(workload, params, loss, wrap, _transposed)


def elementwise(workload: Workload, wrap: Wrap) -> Step:
    x = _tensor(workload.X)
    function = wrap(lambda x: torch.tanh(torch.sigmoid(x) * x + torch.exp(-x * x)).sum())

    def run() -> float:
        x.grad = None
        loss = function(x)
        loss.backward()
        return loss.item()

    return Made(run, lambda: [x.grad.numpy()])


def curvature(workload: Workload, wrap: Wrap) -> Step:
    X, labels = torch.tensor(workload.X), torch.tensor(workload.targets)
    params, direction = _own(workload)[:4], [t.detach() for t in _own(workload)[4:]]
    found: list[Any] = []

    def run() -> float:
        loss = fn.cross_entropy(_layers(params, X), labels)
        gradients = torch.autograd.grad(loss, params, create_graph=True)
        found[:] = torch.autograd.grad(gradients, params, direction)
        return loss.item()

    return Made(run, lambda: _transposed([t.numpy() for t in found]))


def scalars(workload: Workload, wrap: Wrap) -> Step:
    given = [_tensor(v) for v in workload.params[0]]
    wiring = workload.X.tolist()

    def run() -> float:
        values = [given[0]]
        for k, (back, i) in enumerate(wiring):
            a = values[-back]
            values.append(a * given[i] if k % 3 == 0 else a + given[i] if k % 3 == 1 else torch.relu(a))
        for t in given:
            t.grad = None
        values[-1].backward()
        return values[-1].item()

    return Made(run, lambda: [np.array([t.grad for t in given])])


def chain(workload: Workload, wrap: Wrap) -> Step:
    a = torch.tensor(1.0000001, dtype=torch.float64, requires_grad=True)

    def run() -> float:
        y = a
        for _ in range(workload.nodes // 2):
            y = y * a
            y = y + a
        a.grad = None
        y.backward()
        return y.item()

    return Made(run, lambda: [a.grad.numpy()])


NETWORKS: dict[str, Callable[[Workload, Wrap], Step]] = {
    "a": classifier,
    "b": classifier,
    "c": classifier,
    "d": tiny,
    "f": elementwise,
    "j": convolution,
    "l": recurrent,
}
# Double backward of a compiled function is an error in PyTorch, so (k) is eager only.
EAGER: dict[str, Callable[[Workload, Wrap], Step]] = {
    **NETWORKS,
    "k": curvature,
    "e": scalars,
    **{f"g{n}": chain for n in CHAINS},
}


def systems() -> list[System]:
    def made(name: str, steps: dict[str, Callable[[Workload, Wrap], Step]], threads: int, wrap: Wrap) -> System:
        return System(
            name,
            torch.__version__,
            {key: (lambda workload, make=make: make(workload, wrap)) for key, make in steps.items()},
            prepare=lambda: torch.set_num_threads(threads),
            module="torch",
            foreign=True,
        )

    found = [made(f"PyTorch, {n} thread{'s' * (n > 1)}", EAGER, n, lambda step: step) for n in (1, 2)]
    if any(map(shutil.which, ("c++", "g++", "clang++"))):
        without = {key: make for key, make in NETWORKS.items() if key != "l"}  # its LSTM is a graph break
        found.append(made("torch.compile, 2 threads", without, 2, torch.compile))
    else:
        found.append(System("torch.compile", "it needs a C++ compiler", {}))
    return found
