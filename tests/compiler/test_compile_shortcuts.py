"""What makes a compiled step quick changes nothing: products turned around, masks of numbers, the ways in and out."""

from __future__ import annotations

import copy
import gc
import sys
import warnings
import weakref
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg

F = tg.nn.functional
RNG = np.random.default_rng(0)
Z, LABELS = RNG.normal(size=(6, 3)), np.array([0, 2, 1, 2, 0, 1])


def assert_same(step: Any, *args: Any, times: int = 3) -> Any:
    """The compiled step returns what the step returns, each time."""
    compiled = tg.compile(step)
    for _ in range(times):
        for a, b in zip(step(*args), compiled(*args), strict=True):
            np.testing.assert_array_equal(np.asarray(a.data), np.asarray(b.data), strict=True)
    assert compiled.functions == 1
    return compiled


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("classes", [3, 40])
def test_softmax_is_computed_once_for_both_derivatives(reduction: str, classes: int) -> None:
    z = tg.Tensor(RNG.normal(size=(50, classes)), requires_grad=True)
    labels = RNG.integers(0, classes, 50)
    v = RNG.normal(size=z.shape)

    def step(z: Any) -> Any:
        loss = F.cross_entropy(z, labels, reduction).sum()
        (g,) = tg.grad(loss, [z], create_graph=True)
        return loss.detach(), g.detach(), *tg.grad((g * v).sum(), [z])

    source = assert_same(step, z).source
    assert source.count("np.exp(") == 1
    assert "= softmax" not in source, "no call of the whole operation"


def test_the_gradient_by_the_logits_is_returned() -> None:
    """Small results are fresh arrays, also where softmax is turned into them in place."""

    def step(z: Any) -> Any:
        return tg.grad(F.cross_entropy(z, LABELS, "sum"), [z])

    assert_same(step, tg.Tensor(Z, requires_grad=True))


def test_a_product_that_is_needed_turned_around() -> None:
    a, b, c = RNG.normal(size=(7, 5)), RNG.normal(size=(5, 6)), RNG.normal(size=(6, 7))

    def step(a: Any, b: Any, c: Any) -> Any:
        return tg.exp((tg.Tensor(a) @ b).T + c), tg.Tensor(a).T @ a

    compiled = assert_same(step, a, b, c)
    assert "b.T.dot(a.T" in compiled.source

    def both(a: Any, b: Any, c: Any) -> Any:
        product = tg.Tensor(a) @ b
        return product.T + c, product * 2

    assert ".T.dot" not in assert_same(both, a, b, c).source


def test_a_product_that_is_turned_around_after_an_update() -> None:
    """It is computed where it stood, with the parameter as it was."""
    runs = []
    for compiled in (False, True):
        weight = tg.nn.Parameter(Z.T.copy())
        optimizer = tg.optim.SGD([weight], lr=0.1)

        def step(x: Any, weight: Any = weight, optimizer: Any = optimizer) -> Any:
            before = x @ weight.detach()
            optimizer.zero_grad()
            ((x @ weight) ** 2).sum().backward()
            optimizer.step()
            return before.T * 3

        function = tg.compile(step) if compiled else step
        runs.append([function(tg.Tensor(Z)).numpy() for _ in range(3)])
    np.testing.assert_array_equal(*runs)


@pytest.mark.parametrize("size", [5, 16_384, 100_000])
def test_masks_keep_infinities_and_nan(size: int) -> None:
    """0 * inf is NaN, NaN > 0 is false, and -0.0 stays: masks of numbers change none of that."""
    x = np.resize([np.nan, np.inf, -1.0, 2.0, 0.0], size).astype(np.float32)
    w = np.resize([-1.0, np.inf, np.inf, -np.inf, np.nan, -0.0, 3.0], size).astype(np.float32)

    def step(x: Any, w: Any) -> Any:
        y = tg.relu(x)
        (g,) = tg.grad((y * w).sum(), [x], create_graph=True)
        return y.detach(), g.detach(), *tg.grad((g * w).sum(), [w])

    with np.errstate(all="ignore"):  # eagerly NumPy warns
        compiled = assert_same(step, tg.Tensor(x, requires_grad=True), tg.Tensor(w, requires_grad=True))
    assert ("greater1_float32" in compiled.source) == (size <= 65_536), "of many numbers the copy would cost more"


def test_lists_of_arrays_are_told_apart() -> None:
    """The short way in looks at each array of a list, and at the list."""
    compiled = tg.compile(lambda pair, scale: (tg.Tensor(pair[0]) * scale[0][0] + pair[1]).detach())
    a, b, scale = np.ones(3), np.arange(3.0), [(np.array([2.0]),)]
    calls: list[tuple[Any, Any, int]] = [
        ([a, b], scale, 1),
        ([b, a], scale, 1),
        ([np.ones(6)[::2], b], scale, 2),
        ([a.astype(np.float32), b], scale, 3),
        ([np.ones((2, 3)), b], scale, 4),
        ((a, b), scale, 5),
        ([a, b], ((np.array([2.0]),),), 6),
        ([a, b], scale, 6),
    ]
    for pair, scale_, functions in calls:
        np.testing.assert_array_equal(compiled(pair, scale_).numpy(), pair[0] * 2 + pair[1])
        assert compiled.functions == functions
    with pytest.raises(IndexError):
        compiled([a], scale)


def test_numpys_warnings_are_off_inside_and_as_they_were_outside() -> None:
    compiled = tg.compile(lambda x: tg.log(x))
    x = np.array([-1.0, 0.0, 1.0])
    compiled(np.ones(3))
    with np.errstate(all="warn"), warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            np.testing.assert_array_equal(compiled(x).numpy(), [np.nan, -np.inf, 0.0])
        assert set(np.geterr().values()) == {"warn"}
        with pytest.raises(RuntimeWarning):
            np.log(x)


def test_gradients_and_views_of_them_that_are_given_up_leave_no_memory_behind() -> None:
    net = tg.nn.MLP([3, 4, 2], rng=0)

    @tg.compile
    def step(x: Any) -> Any:
        for p in net.parameters():
            p.grad = None
        loss = (net(x) ** 2).mean()
        loss.backward()
        return loss

    x = RNG.normal(size=(5, 3))
    step(x)
    memory = step.last.pool[0]
    first = [id(g) for g in memory.gradients]
    step(x)
    assert [id(g) for g in memory.gradients] == first, "memory is used again"
    view = net.fc1.weight.grad[1:].T
    before = view.copy()
    step(2 * x)
    np.testing.assert_array_equal(view, before)
    assert not np.array_equal(net.fc1.weight.grad[1:].T, before)
    changed = [i for i, g in enumerate(memory.gradients) if id(g) != first[i]]
    assert len(changed) == 1
    del view
    kept = net.fc1.weight.grad
    step(x)
    assert [id(g) for g in memory.gradients] == first, "the first one is free again"
    assert kept is not net.fc1.weight.grad


def test_the_sum_of_a_chain_is_numpys_to_the_last_bit() -> None:
    """Blocks are the halves of halves that NumPy adds up; arguments may be called as the block's own rows."""
    for size in (300_000, 1_000_000, 2**19 + 5):
        for shape in ((size,), (2, size // 2)):
            x = np.resize(RNG.normal(size=10_007).astype(np.float32), shape)

            def step(t1: Any, total: Any) -> Any:
                u = tg.tanh(tg.Tensor(t1) * total + t1) + 2
                return u.sum(), tg.exp(-u), u.mean()

            compiled = assert_same(step, x, 2 * x, times=2)
            assert "total_ = np.add.reduce(" in compiled.source


def test_a_sum_that_the_rest_of_a_chain_needs() -> None:
    x = RNG.normal(size=300_000)

    def step(x: Any) -> Any:
        u = tg.exp(-tg.tanh(tg.Tensor(x) * 2))
        v = tg.sqrt(tg.exp(u / u.sum()) + 1) * 2
        return v.sum(), v.max()

    compiled = assert_same(step, x)
    assert compiled.source.count("= in_blocks(") == 2
    sizes = compiled.last.plan.sizes
    assert sum(sizes) < 2.3 * x.nbytes, "u and v, whose largest number is asked for; the rest are rows of blocks"


def test_signs_that_cancel() -> None:
    """-x x and its derivative, signed zeros included; whole numbers without a sign are left alone."""
    x = np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan])
    w = np.array([1.0, -1.0, -0.0, 0.0, 2.0, 3.0, 4.0])

    def step(x: Any) -> Any:
        y = -x * x
        (g,) = tg.grad((y * w).sum(), [x])
        return y.detach(), g, 1 / g, 1 / (w - g), (-x - x).detach()

    with np.errstate(all="ignore"):
        compiled = assert_same(step, tg.Tensor(x, requires_grad=True))
    assert compiled.source.count("np.negative") == 3, "-x, g (which is divided by), and the last result"

    whole, signed = np.array([1, 2, 255], np.uint8), np.array([3, -4, 5], np.int16)
    assert_same(lambda a, b: (a + -tg.Tensor(b), -tg.Tensor(b) * a), signed, whole)


def test_a_negative_of_a_parameter_before_its_update() -> None:
    runs = []
    for compiled in (False, True):
        weight = tg.nn.Parameter(np.array([1.0, 2.0, 3.0]))
        optimizer = tg.optim.SGD([weight], lr=0.1)

        def step(x: Any, weight: Any = weight, optimizer: Any = optimizer) -> Any:
            negative, square = -weight.detach(), weight.detach() * x
            optimizer.zero_grad()
            (weight**2 * x).sum().backward()
            optimizer.step()
            return x + negative, -x * weight.detach(), square

        function = tg.compile(step) if compiled else step
        runs.append([[y.numpy() for y in function(tg.Tensor(np.arange(3.0)))] for _ in range(3)])
    np.testing.assert_array_equal(*runs)


PLACES: dict[str, tuple[list[Any], bool]] = {  # and whether something is filled with 0 first
    "all columns": ([np.s_[:, :2], np.s_[:, 2:5], np.s_[:, 5:]], False),
    "some columns": ([np.s_[:, :2], np.s_[:, 4:5]], True),
    "every other": ([np.s_[:, ::2], np.s_[..., 1::2]], False),
    "rows": ([0, np.s_[1:4], 4, -1], False),
    "numbers": ([(0, 0), (5, 5), (slice(1, 5), 0), (0, None, slice(1, 3))], True),
    "overlapping": ([np.s_[:, :4], np.s_[:, 3:]], True),
    "by arrays": ([np.array([0, 0, 1]), np.s_[3:]], True),
}


@pytest.mark.parametrize("name", PLACES)
def test_gradients_of_parts_are_put_side_by_side(name: str) -> None:
    places, filled = PLACES[name]
    weights = [RNG.normal(size=np.shape(np.zeros((6, 6))[place])) for place in places]
    weights[0] = np.copysign(0.0, weights[0])

    def step(x: Any) -> Any:
        y = x * 1.5
        loss = sum(((tg.exp(y[place]) * w).sum() for place, w in zip(places, weights)), 0.0)
        (g,) = tg.grad(loss, [y])
        return loss.detach(), g, 1 / g

    with np.errstate(all="ignore"):  # 1 / g tells 0 from -0
        source = assert_same(step, tg.Tensor(RNG.normal(size=(6, 6)), requires_grad=True)).source
    assert ("scatter_add(" in source) == (name == "by arrays")
    assert ("[...] = 0" in source or "np.zeros(" in source) == filled


def test_the_part_of_a_parameter_before_its_update() -> None:
    runs = []
    for compiled in (False, True):
        weight = tg.nn.Parameter(np.arange(4.0))
        optimizer = tg.optim.SGD([weight], lr=0.1)

        def step(x: Any, weight: Any = weight, optimizer: Any = optimizer) -> Any:
            left = tg.scatter_add(weight.detach()[:2], index=slice(0, 2), shape=(4,))
            optimizer.zero_grad()
            (weight * x).sum().backward()
            optimizer.step()
            return left + tg.scatter_add(weight.detach()[2:], index=slice(2, 4), shape=(4,))

        function = tg.compile(step) if compiled else step
        runs.append([function(tg.Tensor(np.ones(4))).numpy() for _ in range(3)])
    np.testing.assert_array_equal(*runs)


def test_an_update_needs_no_scratch_of_its_own() -> None:
    """The optimiser has some already, as large as the parameter or as a block of it."""
    for size in (30, 700):
        net = tg.nn.Linear(size, size, rng=0)
        for optimizer in (tg.optim.SGD(net.parameters(), 0.1, momentum=0.9), tg.optim.Adam(net.parameters())):

            @tg.compile
            def step(x: Any, net: Any = net, optimizer: Any = optimizer) -> Any:
                optimizer.zero_grad()
                loss = (net(x) ** 2).mean()
                loss.backward()
                optimizer.step()
                return loss

            step(np.ones((2, size)))
            assert sum(step.last.plan.sizes) < net.weight.data.nbytes


def training(net: Any, optimizers: list[Any], compiled: bool) -> tuple[Any, Any, Any]:
    """A step of training, and six samples of three classes for it."""

    def step(x: Any, t: Any) -> Any:
        net.zero_grad()
        loss = F.cross_entropy(net(x), t)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss

    x = np.random.default_rng(0).normal(size=(6, net.fc1.in_features))
    return tg.compile(step) if compiled else step, x, np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("make", [tg.optim.Adam, tg.optim.AdamW])
def test_small_parameters_are_updated_together(make: Any, decay: float) -> None:
    """As in the eager step, and no longer once somebody has replaced what Adam keeps."""
    runs = []
    for compiled in (False, True):
        net = tg.nn.MLP([5, 4, 4, 3], rng=0)
        optimizer = make(net.parameters(), lr=0.1, weight_decay=decay)

        step, x, t = training(net, [optimizer], compiled)
        found: list[Any] = [step(x, t).item() for _ in range(3)]
        if compiled:
            assert "6 parameters side by side" in step.source
            assert step.source.count("np.sqrt") == 1
        optimizer.m[2] = optimizer.m[2] * 0.5
        found += [step(x, t).item() for _ in range(3)]
        if compiled:
            assert "side by side" not in step.source
            assert step.functions == 2
        runs.append([*found, *[p.data for p in net.parameters()], *optimizer.m, *optimizer.v, optimizer.steps])
    for a, b in zip(*runs):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda p: tg.optim.Adam(p, betas=[0.8, 0.9]), {"betas": (0.5, 0.6)}),
        (lambda p: tg.optim.Adam(p), {"betas": [0.5, 0.6]}),  # no tuple: Adam's own update is called
        (lambda p: tg.optim.AdamW(p, weight_decay=0.1), {"weight_decay": 0.3}),
        (lambda p: tg.optim.SGD(p, 0.1, momentum=np.float32(0.9)), {"momentum": np.float32(0.5)}),
        (lambda p: tg.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1), {"weight_decay": 0.0}),
    ],
    ids=["betas", "list", "adamw", "momentum", "decay"],
)
def test_settings_may_change(make: Any, change: dict[str, Any]) -> None:
    """They are numbers in the source: with others the step is compiled anew."""
    runs = []
    for compiled in (False, True):
        net = tg.nn.MLP([5, 4, 3], rng=0)
        optimizer = make(net.parameters())

        step, x, t = training(net, [optimizer], compiled)
        found = [step(x, t).item() for _ in range(3)]
        vars(optimizer).update(copy.deepcopy(change))
        found += [step(x, t).item() for _ in range(3)]
        if compiled:
            assert step.functions == 2
        if isinstance(change.get("betas"), list):
            optimizer.betas[0] = 0.7
            found += [step(x, t).item() for _ in range(3)]
        runs.append([*found, *[p.data for p in net.parameters()]])
    for a, b in zip(*runs):
        np.testing.assert_array_equal(a, b)


def test_two_adams_in_one_step_have_their_own_parts() -> None:
    """Both update the same parameters, one behind the other, beside a large one."""
    runs = []
    for compiled in (False, True):
        net = tg.nn.MLP([300, 100, 4, 3], rng=0)
        optimizers = [tg.optim.Adam(net.parameters(), lr=lr) for lr in (0.1, 0.01)]

        step, x, t = training(net, optimizers, compiled)
        runs.append([*[step(x, t).item() for _ in range(4)], *[p.data for p in net.parameters()]])
    assert step.source.count("5 parameters side by side") == 2
    for a, b in zip(*runs):
        np.testing.assert_array_equal(a, b)


def test_products_in_either_order_are_one_but_not_those_with_zeros_of_two_signs() -> None:
    def step(x: Any, y: Any) -> Any:
        x, y = tg.Tensor(x), tg.Tensor(y)
        return (x * y + y * x), 1 / (x * 0.0), 1 / (x * -0.0), x - y, y - x, 1 / (-x * -0.0)

    with np.errstate(all="ignore"):
        source = assert_same(step, np.array([1.0, 2.0, -3.0]), np.array([1.0, 5.0, 0.5])).source
    assert source.count("np.multiply(") + source.count(" *= ") == 4
    assert source.count("np.subtract(") + source.count(" -= ") == 2


def test_what_compiling_has_taken_is_free_when_memory_is_given_back(monkeypatch: Any) -> None:
    """Copies of all that the step changes, the runs that were recorded: what lives on then stays with the process."""
    made: list[Any] = []
    alive: list[Any] = []

    def watched(kind: Any) -> Any:
        def make(*args: Any) -> Any:
            made.append(weakref.ref(found := kind(*args)))
            return found

        return make

    compiler = sys.modules["tinygrad_edu.compiler"]
    recording = sys.modules["tinygrad_edu.compiler.recording"]
    monkeypatch.setattr(compiler, "Saved", watched(compiler.Saved))
    monkeypatch.setattr(recording, "Trace", watched(recording.Trace))
    monkeypatch.setattr(compiler, "_give_back", lambda: alive.append([ref() for ref in made]))
    net = tg.nn.Linear(3, 2, rng=0)
    optimizer = tg.optim.SGD(net.parameters(), 1e-3)

    @tg.compile
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = net(x).sum()
        loss.backward()
        optimizer.step()
        return loss

    step(np.ones((2, 3)))
    assert alive == [[None, None, None]]


def test_nothing_holds_on_to_large_gradients() -> None:
    """Also where the collector is off: the next call writes to the same memory."""
    net = tg.nn.Linear(600, 600, rng=0)
    optimizer = tg.optim.SGD(net.parameters(), 1e-3, momentum=0.9)

    @tg.compile
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (net(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    gc.collect()
    gc.disable()
    try:
        for _ in range(2):
            step(np.ones((2, 600)))
        assert "in_blocks(" in step.source
        memory = step.last.pool[0]
        first = [id(g) for g in memory.gradients]
        for _ in range(3):
            step(np.ones((2, 600)))
            assert [id(g) for g in memory.gradients] == first
    finally:
        gc.enable()


def _network(activation: Any, rows: int, width: int) -> Any:
    """A compiled training step of three layers, beside the eager one: the same loss and the same parameters."""
    X, t = RNG.normal(size=(rows, 8)), RNG.normal(size=(rows, 1))
    made = []
    for wrap in (tg.compile, lambda step: step):
        net = tg.nn.MLP([8, width, width, 1], activation, rng=0)
        optimizer = tg.optim.SGD(net.parameters(), 1e-2, momentum=0.9)

        def step(X: Any, t: Any, net: Any = net, optimizer: Any = optimizer) -> Any:
            loss = F.mse_loss(net(X), t)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = wrap(step)
        losses = [run(X, t).item() for _ in range(3)]
        made.append((run, losses, [p.data for p in net.parameters()]))
    (compiled, losses, params), (_, expected, right) = made
    assert losses == expected
    for a, b in zip(params, right, strict=True):
        np.testing.assert_array_equal(a, b)
    return compiled


def test_what_goes_back_through_a_layer_takes_the_memory_of_its_input() -> None:
    """Two activations, and nothing else of their size."""
    compiled = _network("relu", 640, 128)
    assert sum(size >= 640 * 128 * 8 for size in compiled.last.plan.sizes) == 2
    lines = [line.strip() for line in compiled.source.splitlines() if "#" not in line]
    products = [i for i, line in enumerate(lines) if "fc2_weight.T" in line or "fc3_weight.T" in line]
    assert len(products) == 2
    for i in products:
        target = lines[i].split("out=")[1].rstrip(")")
        assert lines[i - 1].startswith("np.greater("), "the last that reads what the layer below has returned"
        assert lines[i + 1].startswith(f"{target} *= ")


@pytest.mark.parametrize(("activation", "width"), [("tanh", 128), ("tanh", 512), ("hardtanh", 512)])
def test_what_would_tear_a_chain_apart_or_free_nothing_stays_in_its_place(activation: str, width: int) -> None:
    """1 - h h is written over h; the comparisons of hardtanh and the product behind them are one chain."""
    compiled = _network(activation, 640, width)
    lines = [line.strip() for line in compiled.source.splitlines() if "#" not in line]
    for i in (i for i, line in enumerate(lines) if "fc2_weight.T" in line or "fc3_weight.T" in line):
        assert "T.dot(" in lines[i + 1] or "np.matmul(" in lines[i + 1], "the weights' gradient comes next"
    blocks = compiled.source.split("def step")[0].split("def block")[1:]
    assert sum("*= " in text or "np.multiply(" in text for text in blocks) >= 2 * (width == 512)


def test_no_product_waits_until_its_weights_have_changed() -> None:
    weight = tg.Tensor(RNG.normal(size=(100, 100)), requires_grad=True)
    optimizer = tg.optim.SGD([weight], 0.1)
    x, start = RNG.normal(size=(100, 100)), weight.data.copy()

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        h = tg.exp(tg.Tensor(x))
        (h * weight).sum().backward()
        product = tg.Tensor(x) @ weight.detach()
        largest = h.max()  # from here on, h's memory is free
        optimizer.step()
        return largest, tg.exp(product * 0.01).detach()

    compiled = tg.compile(step)
    found = []
    for run in (step, compiled):
        weight.data[...] = start
        found.append([value.data.copy() for _ in range(3) for value in run(x)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
