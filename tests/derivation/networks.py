"""Networks whose derivations the tests read: the three articles', and those of the examples and of nn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.derivation.derivation import Derivation
from tinygrad_edu.derivation.expressions import evaluate
from tinygrad_edu.tensor import Tensor

F, nn = tg.nn.functional, tg.nn
LABELS = np.array([2, 0, 1, 1])


def images(samples: int = 4) -> np.ndarray:
    return np.random.default_rng(1).uniform(-0.5, 0.5, size=(samples, 784))


def mnist(reduction: str = "sum", labels: bool = False) -> Tensor:
    """784-64-10 of seed 000, ReLU, softmax and summed cross-entropy, four images."""
    net = nn.MLP([784, 64, 10], "relu", rng=0)
    return F.cross_entropy(net(images()), LABELS if labels else np.eye(10)[LABELS], reduction=reduction)


def columns(single: bool = False) -> Tensor:
    """784-10-10 of seed 001: z = W a + b, for a batch of columns or for one sample."""
    rng = np.random.default_rng(2)
    w1, w2 = (Tensor(rng.uniform(-0.5, 0.5, s), requires_grad=True) for s in ((10, 784), (10, 10)))
    shape = (10,) if single else (10, 1)
    b1, b2 = (Tensor(rng.uniform(-0.5, 0.5, shape), requires_grad=True) for _ in range(2))
    x = images()[0] if single else images().T
    z = w2 @ tg.relu(w1 @ x + b1) + b2
    return F.cross_entropy(z, np.eye(10)[2]) if single else F.cross_entropy(z.T, np.eye(10)[LABELS], reduction="sum")


def regression(activation: Any = ("relu", "sigmoid")) -> Tensor:
    """1-16-16-1 of seed 000, squared error 1/(2n), with or without activations."""
    net = nn.MLP([1, 16, 16, 1], list(activation) if isinstance(activation, tuple) else activation, rng=0)
    x, t = tg.data.article_regression(n=5, rng=1)
    return F.half_mse_loss(net(x), t)


def smallest(target: Any = None) -> Tensor:
    """2-3-1 of seed 002 on XOR: ReLU, sigmoid, binary cross-entropy."""
    x, t = tg.data.xor()
    net = nn.MLP([2, 3, 1], "relu", output="sigmoid", rng=0)
    return F.binary_cross_entropy(net(x), t if target is None else target)


ARTICLES: dict[str, Callable[[], Tensor]] = {
    "784-64-10": mnist,
    "784-10-10 columns": columns,
    "784-10-10 columns, one sample": lambda: columns(single=True),
    "1-16-16-1": regression,
    "1-16-16-1 straight": lambda: regression("identity"),
    "2-3-1": smallest,
}


def _first(y: Any) -> Any:
    return y[0] if isinstance(y, tuple) else y


def _decayed() -> Tensor:
    net = nn.MLP([5, 4, 3], "tanh", rng=0)
    penalty = sum((p**2).sum() for p in net.parameters())
    return F.cross_entropy(net(small()), LABELS) + 0.01 * penalty  # type: ignore[no-any-return]


def small(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape or (4, 5))


def mlp(activation: str = "tanh", outputs: int = 3, **settings: Any) -> nn.MLP:
    return nn.MLP([5, 4, outputs], activation, rng=0, **settings)


def unfused(name: str) -> Tensor:
    """The famous losses, put together from single operations."""
    rows = np.eye(3)[LABELS]
    if name == "softmax":
        return -(Tensor(rows) * tg.log(tg.softmax(mlp()(small())))).sum() / 4  # type: ignore[no-any-return]
    if name == "log_softmax":
        return F.nll_loss(tg.log_softmax(mlp()(small())), LABELS)
    y = tg.sigmoid(mlp()(small()))
    return -(rows * tg.log(y) + (1 - rows) * tg.log(1 - y)).mean()  # type: ignore[no-any-return]


NETWORKS: dict[str, Callable[[], Tensor]] = {
    **ARTICLES,
    "digits": lambda: F.cross_entropy(nn.MLP([64, 64, 32, 10], "relu", rng=0)(small(4, 64)), LABELS),
    "mnist, labels": lambda: mnist("mean", labels=True),
    "playground": lambda: F.binary_cross_entropy_with_logits(
        nn.MLP([2, 8, 8, 1], "tanh", rng=0)(small(4, 2)), np.eye(4, 1)
    ),
    "sigmoid, squared error": lambda: F.mse_loss(mlp("sigmoid", output="sigmoid")(small()), np.eye(4, 3)),
    "absolute error": lambda: F.l1_loss(mlp()(small()), np.eye(4, 3)),
    "weight decay": _decayed,
    "softmax by hand": lambda: unfused("softmax"),
    "log_softmax by hand": lambda: unfused("log_softmax"),
    "sigmoid by hand": lambda: unfused("sigmoid"),
    **{
        name: lambda name=name: F.half_mse_loss(mlp(name)(small()), np.eye(4, 3))  # type: ignore[misc]
        for name in (
            "relu", "leaky_relu", "elu", "selu", "sigmoid", "softplus", "silu", "gelu", "mish", "softsign", "hardtanh",
        )
    },
    "batch norm": lambda: F.cross_entropy(
        nn.Sequential(nn.Linear(5, 4, rng=0), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3, rng=1))(small()), LABELS
    ),
    "layer norm, dropout": lambda: F.mse_loss(
        nn.Sequential(nn.Linear(5, 4, rng=0), nn.LayerNorm(4), nn.GELU(), nn.Dropout(0.5, rng=0))(small()),
        np.ones((4, 4)),
    ),
    "convolution": lambda: F.cross_entropy(
        nn.Sequential(
            nn.Conv2d(1, 2, 3, rng=0), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(18, 3, rng=0),
        )(small(4, 1, 8, 8)),
        LABELS,
    ),
    "embedding": lambda: F.cross_entropy(
        nn.Sequential(nn.Embedding(5, 4, rng=0), nn.Linear(4, 3, rng=1))(np.array([0, 1, 4, 1])), LABELS
    ),
    "lstm": lambda: (_first(nn.LSTM(3, 4, rng=0)(small(3, 2, 3))) ** 2).sum(),
    "gru": lambda: (_first(nn.GRU(3, 4, rng=0)(small(3, 2, 3))) ** 2).mean(),
    "attention": lambda: (_first(nn.MultiheadAttention(4, 2, rng=0)(*[small(2, 3, 4)] * 3)) ** 2).sum(),
}  # fmt: skip


def as_recorded(value: Any, line: Any) -> Any:
    """What a line computes, in the orientation of its variable in the program."""
    return (
        value
        if not line.left.flipped
        else np.reshape(value, line.target.shape)
        if np.ndim(value) == 2 and len(line.target.shape) == 1
        else value.T
    )


def evaluated(derivation: Derivation) -> dict[Any, Any]:
    """All lines, computed one after the other from the inputs; each must be what was recorded."""
    values = {x: x.value for x in derivation.program.inputs}
    for line in derivation.lines:
        values[line.target] = as_recorded(evaluate(line.right, values), line)
        want = line.target.value
        assert np.shape(values[line.target]) == np.shape(want), line.text()
        np.testing.assert_allclose(values[line.target], want, rtol=1e-10, atol=1e-13, err_msg=line.text())
    return values


def operations() -> Iterator[tuple[str, Callable[[], tuple[Tensor, list[Tensor]]]]]:
    """Each sample of each differentiable operation: its loss with a random cotangent, and its leaves."""
    for name, op in tg.op.OPS.items():
        if op.differentiable:
            for i, sample in enumerate(op.samples):
                yield f"{name}-{i}", lambda op=op, i=i, sample=sample: _loss(op, i, sample)  # type: ignore[misc]


def _loss(op: Any, seed: int, sample: Any) -> tuple[Tensor, list[Tensor]]:
    rng = np.random.default_rng(seed)
    inputs = [
        Tensor(x, requires_grad=True, name=f"in{k}")
        if np.asarray(x).dtype.kind == "f" and not isinstance(x, int)
        else x
        for k, x in enumerate(sample.draw(rng))
    ]
    out = op(*inputs, **sample.params)
    return (out * rng.normal(size=out.shape)).sum(), [x for x in inputs if isinstance(x, Tensor)]
