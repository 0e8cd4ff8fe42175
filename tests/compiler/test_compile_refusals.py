"""What cannot be compiled raises with the user's line, or runs eagerly if asked to; never is an answer wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg

F = tg.nn.functional

X = np.random.default_rng(0).normal(size=(6, 4))
LABELS = np.array([0, 1, 2, 0, 1, 2])


def parts() -> tuple[tg.nn.Module, Any]:
    net = tg.nn.MLP([4, 5, 3], "tanh", rng=0)
    return net, tg.optim.SGD(net.parameters(), lr=0.1)


def branch(net: Any, x: Any) -> Any:
    loss = net(x).sum()
    if loss > 0:  # here
        loss = loss * 2
    return loss.detach()


def item(net: Any, x: Any) -> Any:
    y = net(x)
    return (y * y.max().item()).detach()  # here


def asarray(net: Any, x: Any) -> Any:
    scaled = np.asarray(x) / 2  # here
    return net(scaled).detach()


def numpy(net: Any, x: Any) -> Any:
    return net(x.numpy() / 2).detach()  # here


def data(net: Any, x: Any) -> Any:
    return tg.Tensor(net(x).data)  # here


def shown(net: Any, x: Any) -> Any:
    y = net(x)
    print(f"{y.sum():.2f}")  # here
    return y.detach()


def written(net: Any, x: Any) -> Any:
    y = net(x).detach()
    y[0] = 0  # here
    return y


def hook(net: Any, x: Any) -> Any:
    y = net(x)
    y.register_hook(lambda g: g * 2)  # here
    return y.detach()


def chosen(net: Any, x: Any) -> Any:
    y = net(x).detach()
    return y[y > 0]  # here


def unknown(net: Any, x: Any) -> Any:
    return tg.Tensor(float(np.linalg.norm(net(x).detach().numpy())))  # here


REFUSED: list[Callable[..., Any]] = [branch, item, asarray, numpy, data, shown, written, hook, chosen, unknown]


def line_of(step: Callable[..., Any]) -> int:
    import inspect

    lines, first = inspect.getsourcelines(step)
    return first + next(i for i, line in enumerate(lines) if "# here" in line)


@pytest.mark.parametrize("step", REFUSED, ids=lambda step: step.__name__)
def test_the_line_is_named(step: Callable[..., Any]) -> None:
    net, _ = parts()
    before = net.state_dict()
    with pytest.raises(tg.CompileError, match=rf"test_compile_refusals\.py:{line_of(step)}"):
        tg.compile(lambda x: step(net, x))(X)
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize(
    "step", [s for s in REFUSED if s not in (numpy, shown, unknown)], ids=lambda step: step.__name__
)
def test_it_runs_eagerly_if_asked_to(step: Callable[..., Any]) -> None:
    net, _ = parts()
    x = X if step is not numpy else tg.Tensor(X)
    compiled = tg.compile(fallback=True)(lambda x: step(net, x))
    with pytest.warns(UserWarning, match="It runs eagerly"):
        result = compiled(x)
    np.testing.assert_array_equal(result.numpy(), step(net, x).numpy())
    with warnings.catch_warnings():  # it says so once
        warnings.simplefilter("error")
        compiled(x)


def test_numbers_from_outside_of_the_record() -> None:
    """A parameter's raw numbers, a value that another random generator gives: found by running the step twice."""
    net, _ = parts()
    with pytest.raises(tg.CompileError, match=r"not the same in two runs|differ in"):
        tg.compile(lambda x: (net(x) * np.abs(net.fc1.weight.data).max()).detach())(X)
    with pytest.raises(tg.CompileError, match=r"not the same in two runs|differ in"):
        tg.compile(lambda x: (net(x) * np.random.default_rng().normal()).detach())(X)


def test_a_generator_that_the_step_reaches_is_no_way_around() -> None:
    """Raw numbers drawn in the step would be the same at each call."""
    net, _ = parts()
    rng = np.random.default_rng(0)

    def step(x: Any) -> Any:
        return net(x + rng.normal(size=x.shape)).detach()

    state = rng.bit_generator.state
    with pytest.raises(tg.CompileError):
        tg.compile(step)(X)
    assert rng.bit_generator.state == state


def test_side_effects() -> None:
    net, optimizer = parts()
    losses: list[Any] = []
    count = 0

    def appends(x: Any) -> Any:
        losses.append(net(x).detach())

    def counts(x: Any) -> Any:
        nonlocal count
        count += 1
        return net(x).detach()

    def cools(x: Any) -> Any:
        optimizer.lr *= 0.5
        return net(x).detach()

    class Trainer:
        steps = 0

        def step(self, x: Any) -> Any:
            self.steps = self.steps + 1
            return net(x).detach()

    cases = [
        (appends, "losses has changed"), (counts, "nonlocal"), (cools, "lr was changed"),
        (Trainer().step, "Trainer has changed"),
    ]  # fmt: skip
    for step, match in cases:
        with pytest.raises(tg.CompileError, match=match):
            tg.compile(step)(X)
    assert (losses, count, optimizer.lr) == ([], 0, 0.1)


def test_what_the_step_uses_may_change() -> None:
    """Another layer, a frozen parameter, another global array, another setting of the optimiser: compiled anew."""
    net, optimizer = parts()
    table = X.copy()

    def step(labels: Any) -> Any:
        loss = F.cross_entropy(net(table), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def eager_twin() -> float:
        return float(F.cross_entropy(net(table), LABELS).item())

    compiled = tg.compile(step)
    compiled(LABELS)
    table = 2 * X
    expected = eager_twin()
    assert compiled(LABELS).item() == expected
    table[0] = 5.0  # in place: the same memory, so no new function
    expected, functions = eager_twin(), compiled.functions
    assert compiled(LABELS).item() == expected
    assert compiled.functions == functions
    net.fc1 = tg.nn.Linear(4, 5, rng=7)
    expected = eager_twin()
    assert compiled(LABELS).item() == expected
    net.fc2.weight.requires_grad = False
    before = net.fc2.weight.data.copy()
    optimizer.momentum = 0.5
    compiled(LABELS)
    np.testing.assert_array_equal(net.fc2.weight.data, before)
    assert optimizer.velocity[3] is not None


def test_errors_point_at_the_users_line() -> None:
    net, _ = parts()

    def step(x: Any, labels: Any) -> Any:
        y = net(x)
        return F.cross_entropy(y, labels).detach()  # here

    compiled = tg.compile(step)
    compiled(X, LABELS)
    with pytest.raises(ValueError, match=rf"label 3 at position 5 .*test_compile_refusals\.py:{line_of(step)}"):
        compiled(X, np.array([0, 1, 2, 0, 1, 3]))
    with pytest.raises(ValueError, match="label -1 at position 0"):
        compiled(X, np.array([-1, 1, 2, 0, 1, 2]))
    assert compiled(X, LABELS).item() == step(X, LABELS).item()


def test_shapes_that_change_every_time() -> None:
    net, _ = parts()
    forward = tg.compile(lambda x: net(x).detach(), limit=4)
    for n in range(1, 5):
        assert forward(X[:n]).shape == (n, 3)
    with pytest.warns(
        UserWarning, match=r"argument 1 was float64 of shape \(4, 4\), and now is float64 of shape \(5, 4\)"
    ):
        forward(X[:5])
    with warnings.catch_warnings():  # it says so once
        warnings.simplefilter("error")
        forward(X)
    assert forward.functions == 4
    np.testing.assert_array_equal(forward(X[:1]).numpy(), net(X[:1]).numpy())


def test_dtypes_and_settings_have_functions_of_their_own() -> None:
    net, _ = parts()
    forward = tg.compile(lambda x, scale=1.0, deep=True: (net(x) * scale if deep else net.fc1(x)).detach())
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((X,), {}), ((X.astype(np.float32),), {}), ((X, 2.0), {}), ((X,), {"deep": False}), ((X[::2],), {}),
        ((np.asfortranarray(X),), {}), ((tg.Tensor(X),), {}),
    ]  # fmt: skip
    for args, kwargs in calls:
        for _ in range(2):
            result = forward(*args, **kwargs)
            expected = forward.step(*args, **kwargs)
            np.testing.assert_array_equal(result.numpy(), expected.numpy(), strict=True)
    assert forward.functions == len(calls)


def test_an_argument_that_has_a_history() -> None:
    net, _ = parts()
    x = tg.Tensor(X, requires_grad=True)
    with pytest.raises(tg.CompileError, match="detach it"):
        tg.compile(lambda y: net(y).sum())(x * 2)
    y = x * 2
    with pytest.raises(tg.CompileError, match="computed before the step"):
        tg.compile(lambda z: (net(z) * y.sum()).detach())(X)


def test_anomalies_are_looked_for_eagerly() -> None:
    net, _ = parts()
    forward = tg.compile(lambda x: net(x / x).sum().detach())
    forward(X)
    with tg.detect_anomaly(), np.errstate(all="ignore"), pytest.raises(tg.AnomalyError):
        forward(np.zeros_like(X))


def test_what_is_no_function() -> None:
    with pytest.raises(TypeError, match="a function is expected"):
        tg.compile(3)  # type: ignore[call-overload]
    with pytest.raises(tg.CompileError, match="nothing is compiled yet"):
        tg.compile(lambda x: x).source  # noqa: B018


def test_settings_in_dicts_and_objects() -> None:
    """A number that the step reads from a dict, a list or an object is part of the function: it is compiled anew."""

    class Settings:
        scale = 1.0

    settings, table, numbers = Settings(), {"scale": 1.0}, [1.0]
    settings.scale = 2.0

    def step(x: Any) -> Any:
        return (tg.as_tensor(x) * settings.scale * table["scale"] + numbers[0]).detach()

    compiled = tg.compile(step)
    for change in (lambda: None, lambda: setattr(settings, "scale", 3.0), lambda: table.update(scale=5.0)):
        change()
        for _ in range(2):
            np.testing.assert_array_equal(compiled(X).numpy(), step(X).numpy())
    numbers[0] = 7.0
    np.testing.assert_array_equal(compiled(X).numpy(), step(X).numpy())
    assert compiled.functions == 4


class Hidden:
    """Holds what a step needs where its names do not lead."""

    def __init__(self, *parts: Any) -> None:
        self.get = iter([parts] * 100).__next__


@pytest.mark.parametrize("what", ["parameter", "optimiser"])
def test_what_cannot_be_reached_is_not_touched(what: str) -> None:
    """The runs that check a compiled step have to begin with the same numbers: what cannot be put back is refused."""
    net, optimizer = parts()
    before = net.state_dict()
    hidden = Hidden(net, optimizer)

    def step(x: Any, net: Any = net if what == "optimiser" else None) -> Any:
        found, optimizer = hidden.get()
        loss = (net or found)(x).sum()
        loss.backward()
        optimizer.step()
        return loss

    with pytest.raises(tg.CompileError, match=rf"{what}.* cannot be reached"):
        tg.compile(step)(X)
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    assert all(p.grad is None for p in net.parameters())
