"""Training, compiled and eager: the same losses, parameters, gradients and statistics after several steps, bit for bit.

The order of operations is kept, so nothing but equality is expected; where a case may round otherwise it says why.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg

F = tg.nn.functional

Make = Callable[[], tuple[tg.nn.Module, Callable[..., Any], list[tuple[Any, ...]]]]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 6))
LABELS = RNG.integers(0, 3, (4, 8))
IMAGES = RNG.normal(size=(4, 3, 2, 8, 8))


def batches(*targets: Any) -> list[tuple[Any, ...]]:
    """Four batches: the same numbers, shifted."""
    return [(np.roll(X, i, axis=0) * (1 + 0.1 * i), *(t[i] for t in targets)) for i in range(4)]


def classifier(activation: str, dtype: Any = np.float64) -> Make:
    def make() -> Any:
        net = tg.nn.MLP([6, 5, 4, 3], activation, rng=0, dtype=dtype)
        return net, F.cross_entropy, [(x.astype(dtype), t) for x, t in batches(LABELS)]

    return make


def regression(loss: Callable[..., Any]) -> Make:
    def make() -> Any:
        targets = np.random.default_rng(1).uniform(0.1, 0.9, size=(4, 8, 2))
        return tg.nn.MLP([6, 4, 2], ["relu"], output="sigmoid", rng=0), loss, batches(targets)

    return make


def tiny() -> Any:
    x, t = tg.data.xor()
    return tg.nn.MLP([2, 3, 1], "relu", output="sigmoid", rng=0), F.binary_cross_entropy, [(x, t)] * 4


def convolutional() -> Any:
    net = tg.nn.Sequential(
        tg.nn.Conv2d(2, 3, 3, rng=0), tg.nn.BatchNorm2d(3), tg.nn.ReLU(), tg.nn.MaxPool2d(2), tg.nn.Flatten(),
        tg.nn.Dropout(0.3, rng=5), tg.nn.Linear(27, 3, rng=1),
    )  # fmt: skip
    return net, F.cross_entropy, [(x, t[:3]) for x, t in zip(IMAGES, LABELS)]


class Last(tg.nn.Module):
    """A recurrent layer, and a linear one for its last state."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.recurrent = kind(4, 5, rng=0)
        self.out = tg.nn.Linear(5, 3, rng=1)

    def forward(self, x: Any) -> Any:
        y, _ = self.recurrent(x)
        return self.out(y[-1])


def recurrent(kind: Any) -> Make:
    def make() -> Any:
        x = np.random.default_rng(2).normal(size=(4, 6, 8, 4))
        return Last(kind), F.cross_entropy, list(zip(x, LABELS))

    return make


class Attentive(tg.nn.Module):
    """Self-attention with dropout, a norm, a mean over the places."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = tg.nn.MultiheadAttention(8, 2, dropout=0.2, batch_first=True, rng=0)
        self.norm = tg.nn.LayerNorm(8)
        self.out = tg.nn.Linear(8, 3, rng=1)

    def forward(self, x: Any) -> Any:
        y, _ = self.attention(x, x, x, is_causal=True, need_weights=False)
        return self.out(self.norm(x + y).mean(axis=1))


def attentive() -> Any:
    x = np.random.default_rng(3).normal(size=(4, 8, 5, 8))
    return Attentive(), F.cross_entropy, list(zip(x, LABELS))


class Words(tg.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = tg.nn.Embedding(10, 4, rng=0)
        self.norm = tg.nn.BatchNorm1d(4, momentum=None)
        self.out = tg.nn.Linear(4, 3, rng=1)

    def forward(self, words: Any) -> Any:
        return self.out(self.norm(self.table(words).mean(axis=1)))


def words() -> Any:
    return Words(), F.cross_entropy, list(zip(np.random.default_rng(4).integers(0, 10, (4, 8, 5)), LABELS))


MODELS: dict[str, Make] = {
    **{
        f"classifier-{name}": classifier(name)
        for name in ("relu", "tanh", "sigmoid", "gelu", "elu", "softplus", "silu")
    },
    "classifier-float32": classifier("relu", np.float32),
    **{
        loss.__name__: regression(loss)
        for loss in (F.mse_loss, F.half_mse_loss, F.l1_loss, F.huber_loss, F.binary_cross_entropy, F.smooth_l1_loss)
    },
    "with-logits": regression(F.binary_cross_entropy_with_logits),
    "2-3-1": tiny,
    "convolution": convolutional,
    "rnn": recurrent(tg.nn.RNN),
    "lstm": recurrent(tg.nn.LSTM),
    "gru": recurrent(tg.nn.GRU),
    "attention": attentive,
    "embedding": words,
}
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: tg.optim.SGD(p, lr=0.1),
    "momentum": lambda p: tg.optim.SGD(p, lr=0.1, momentum=0.9),
    "nesterov": lambda p: tg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: tg.optim.Adam(p, lr=0.01),
    "adam-decay": lambda p: tg.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "adamw": lambda p: tg.optim.AdamW(p, lr=0.01),
}


def training(net: tg.nn.Module, optimizer: Any, loss_of: Callable[..., Any]) -> Callable[..., Any]:
    def step(x: Any, t: Any) -> Any:
        loss = loss_of(net(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def run(make: Make, optimize: Callable[[Any], Any], compiled: bool) -> list[Any]:
    """Everything that training leaves behind, after each step."""
    net, loss_of, data = make()
    optimizer = optimize(net.parameters())
    step = training(net, optimizer, loss_of)
    if compiled:
        step = tg.compile(step)
    found: list[Any] = []
    for k, batch in enumerate(data):
        optimizer.lr *= 0.9  # is read at each call
        loss = step(*batch)
        assert isinstance(loss, tg.Tensor)
        found += [loss.numpy(), *[p.grad.copy() for p in net.parameters()], *net.state_dict().values()]
        assert not compiled or step.functions == 1, f"compiled again at call {k}"
    return found


def assert_same(a: list[Any], b: list[Any]) -> None:
    assert len(a) == len(b)
    for x, y in zip(a, b):
        np.testing.assert_array_equal(x, y, strict=True)


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    runs = [run(MODELS[name], OPTIMIZERS["sgd"], compiled) for compiled in (False, True)]
    assert_same(*runs)
    losses = [x for x in runs[1] if x.shape == ()]
    assert len(set(map(float, losses[:4]))) > 1, "nothing was trained"


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_optimizers(name: str, dtype: Any) -> None:
    assert_same(*(run(classifier("tanh", dtype), OPTIMIZERS[name], compiled) for compiled in (False, True)))


def test_training_and_use_take_turns() -> None:
    """Dropout drops and statistics move in training only; one function for each, and no third."""
    results = []
    for compiled in (False, True):
        net, loss_of, data = convolutional()
        optimizer = tg.optim.SGD(net.parameters(), lr=0.1)
        step = training(net, optimizer, loss_of)

        def use(x: Any, net: Any = net) -> Any:
            return net(x)

        forward: Any = use
        if compiled:
            step, forward = tg.compile(step), tg.compile(use)
        found = []
        for x, t in data:
            found.append(step(x, t).numpy())
            net.eval()
            with tg.no_grad():
                found.append(forward(x).numpy())
            net.train()
        found += net.state_dict().values()
        results.append(found)
        if compiled:
            assert (step.functions, forward.functions) == (1, 1)
    assert_same(*results)


def test_gradients_that_are_added_up() -> None:
    """Without zero_grad each call adds to .grad, as two eager calls do; with zero_grad at the end nothing is left."""
    for ends in (False, True):
        grads = []
        for compiled in (False, True):
            net, loss_of, data = classifier("tanh")()
            optimizer = tg.optim.SGD(net.parameters(), lr=0.1)

            def step(
                x: Any,
                t: Any,
                net: Any = net,
                loss_of: Any = loss_of,
                optimizer: Any = optimizer,
                at_the_end: bool = ends,
            ) -> Any:
                loss = loss_of(net(x), t)
                loss.backward()
                optimizer.step()
                if at_the_end:
                    optimizer.zero_grad()
                return loss

            function = tg.compile(step) if compiled else step
            for batch in data:
                function(*batch)
            grads.append([*net.state_dict().values(), *[p.grad for p in net.parameters()]])
        if ends:
            assert [x is None for x in grads[0]] == [x is None for x in grads[1]]
            assert grads[1][-1] is None
            grads = [g[:6] for g in grads]
        assert_same(*grads)


def test_a_gradient_that_somebody_keeps_is_not_overwritten() -> None:
    net, loss_of, data = classifier("tanh")()
    step = tg.compile(training(net, tg.optim.SGD(net.parameters(), lr=0.1), loss_of))
    step(*data[0])
    step(*data[0])
    kept, view = net.fc1.weight.grad, net.fc2.weight.grad.T
    before = kept.copy(), view.copy()
    step(*data[1])
    step(*data[2])
    assert_same([kept, view], list(before))
    assert not np.array_equal(net.fc1.weight.grad, kept)


def test_a_result_is_not_overwritten() -> None:
    net = tg.nn.MLP([6, 5, 3], rng=0)
    forward = tg.compile(lambda x: (net(x).detach(), net(x).detach().T))
    results = [forward(x) for x in (X, 2 * X, 3 * X)]
    for x, result in zip((X, 2 * X, 3 * X), results):
        assert_same([result[0].numpy(), result[1].numpy()], [net(x).numpy(), net(x).numpy().T])


def test_parameters_may_move_to_other_memory() -> None:
    net, loss_of, data = classifier("tanh")()
    twin = copy.deepcopy(net)
    step = tg.compile(training(net, tg.optim.SGD(net.parameters(), lr=0.1), loss_of))
    eager = training(twin, tg.optim.SGD(twin.parameters(), lr=0.1), loss_of)
    for i, batch in enumerate(data):
        if i == 2:
            for n in (net, twin):
                n.fc1.weight.data = n.fc1.weight.data * 2
        assert_same([step(*batch).numpy()], [eager(*batch).numpy()])
    assert_same(list(net.state_dict().values()), list(twin.state_dict().values()))


def test_an_edit_by_a_compiled_step_is_noticed() -> None:
    """A graph that was recorded before the step updates the parameters cannot be swept behind it."""
    net, loss_of, data = classifier("tanh")()
    step = tg.compile(training(net, tg.optim.SGD(net.parameters(), lr=0.1), loss_of))
    step(*data[0])
    loss = loss_of(net(data[0][0]), data[0][1])
    step(*data[1])
    with pytest.raises(tg.GraphError, match="edited"):
        loss.backward()


def test_a_loss_alone() -> None:
    """A compiled loss is differentiated as an eager one."""
    found = []
    for compiled in (False, True):
        net, loss_of, data = classifier("tanh")()

        def loss(x: Any, t: Any, net: Any = net, loss_of: Any = loss_of) -> Any:
            return loss_of(net(x), t)

        function = tg.compile(loss) if compiled else loss
        for batch in data[:3]:
            function(*batch).backward()
            value = function(*batch)
            (2 * value).backward()
        found.append([p.grad for p in net.parameters()])
        with tg.no_grad():
            assert not function(*data[0]).requires_grad
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-13)  # 2 * gradient, where eager sweeps with 2


def test_two_updates_in_one_step() -> None:
    """What is computed again behind an update is not what was computed before it, though the equations are the same."""
    found = []
    for compiled in (False, True):
        net, loss_of, data = classifier("tanh")()
        optimizer = tg.optim.SGD(net.parameters(), lr=0.5)

        def step(x: Any, t: Any, net: Any = net, loss_of: Any = loss_of, optimizer: Any = optimizer) -> Any:
            losses = []
            for _ in range(2):
                losses.append(loss_of(net(x), t))
                optimizer.zero_grad()
                losses[-1].backward()
                optimizer.step()
                losses.append((net.fc1.weight * net.fc1.weight).sum().detach())
            return losses

        function = tg.compile(step) if compiled else step
        losses = [loss.numpy() for batch in data for loss in function(*batch)]
        found.append([*losses, *[p.grad for p in net.parameters()], *net.state_dict().values()])
    assert found[0][1] != found[0][3]
    assert_same(*found)


def test_an_accuracy_beside_the_loss() -> None:
    """Several results, in a dict; whole numbers among them."""
    net, loss_of, data = classifier("relu")()

    def evaluate(x: Any, t: Any) -> dict[str, Any]:
        logits = net(x)
        return {"loss": loss_of(logits, t).detach(), "right": (logits.argmax(axis=1) == t).sum(), "n": len(t)}

    compiled = tg.compile(evaluate)
    for batch in data:
        ours, expected = compiled(*batch), evaluate(*batch)
        assert ours["n"] == expected["n"] == 8
        assert ours["loss"].item() == expected["loss"].item()
        assert ours["right"].item() == expected["right"].item()
