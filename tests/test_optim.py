"""Optimisers against PyTorch's, step by step, and what they refuse."""

import copy
import gc
import os
import weakref

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import blocks, optim

if os.environ.get("CI"):
    import torch  # there it must not be missing
else:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle: pip install torch==2.13.0")

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.03}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.03}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.03}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.03}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.2}),
]


@pytest.mark.parametrize(("name", "settings"), CASES, ids=[f"{n}-{'-'.join(s)}" for n, s in CASES])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_ten_steps_agree_with_torch(name: str, settings: dict, dtype: str) -> None:
    """Parameters of several shapes, one of them without a gradient in every third step."""
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (4,), (), (2, 1, 3)]
    start = [rng.normal(size=s).astype(dtype) for s in shapes]
    ours = [tg.nn.Parameter(a) for a in start]
    theirs = [torch.tensor(a, requires_grad=True) for a in start]
    ours_step = getattr(optim, name)(ours, **settings)
    theirs_step = getattr(torch.optim, name)(theirs, **settings)
    memory = [p.data for p in ours]
    for step in range(10):
        for i, (p, q) in enumerate(zip(ours, theirs)):
            if step % 3 == 2 and i == 1:
                p.grad = q.grad = None
                continue
            g = rng.normal(size=shapes[i]).astype(dtype)
            p.grad, q.grad = g.copy(), torch.tensor(g)
        kept = [None if p.grad is None else p.grad.copy() for p in ours]
        ours_step.step()
        theirs_step.step()
        for p, q, g in zip(ours, theirs, kept):
            # Ten steps with a few roundings each, of numbers of size 1: sixteen units of rounding.
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=0, atol=16 * np.finfo(dtype).eps)
            assert g is None or np.array_equal(p.grad, g)  # the gradient is not used as scratch paper
    assert all(p.data is m for p, m in zip(ours, memory))
    assert all(p.dtype == dtype for p in ours)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=[f"{n}-{'-'.join(s)}" for n, s in CASES])
def test_blocks_change_nothing(name: str, settings: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large parameters are updated block by block, those that have no blocks as a whole: always the same numbers."""
    monkeypatch.setattr(optim, "FEW", 0)  # these are not the small ones
    rng = np.random.default_rng(0)
    start = [rng.normal(size=s) for s in [(7, 5), (16,), (5, 7)]]
    start[2] = np.asfortranarray(start[2])
    gradients = [[rng.normal(size=a.shape) for a in start] for _ in range(4)]
    gradients[1][0] = np.asfortranarray(gradients[1][0])

    def trained() -> tuple[list[np.ndarray], list[np.ndarray]]:
        params = [tg.nn.Parameter(a) for a in start]
        params[2].data = start[2].copy(order="F")
        optimizer = getattr(optim, name)(params, **settings)
        for at in gradients:
            for p, g in zip(params, at):
                p.grad = g
            optimizer.step()
        return [p.data for p in params], optimizer.scratch

    whole, scratch = trained()
    assert [s.shape for s in scratch] == [(7, 5), (16,), (5, 7)]
    for module in (optim, blocks):
        monkeypatch.setattr(module, "BLOCK", 16)
    monkeypatch.setattr(optim, "LARGE", 17)
    in_parts, scratch = trained()
    assert [s.shape for s in scratch] == [(0,), (16,), (0,)]  # between the steps no memory is held for large ones
    for a, b in zip(whole, in_parts):
        np.testing.assert_array_equal(a, b)


def trained(make, starts: list[np.ndarray], steps: int = 5, meddle=lambda step, optimizer: None) -> list[np.ndarray]:
    """What some steps make of parameters, their m and v."""
    params = [tg.nn.Parameter(a, dtype=a.dtype) for a in starts]
    optimizer = make(params)
    rng = np.random.default_rng(1)
    for step in range(steps):
        for p in params:
            p.grad = rng.normal(size=p.shape).astype(p.dtype)
        meddle(step, optimizer)
        optimizer.step()
    return [np.array(x) for x in (*[p.data for p in params], *optimizer.m, *optimizer.v)]


def alone(make):
    """The same optimiser, which updates each parameter by itself."""

    def made(params):
        optimizer = make(params)
        optimizer.together = None
        return optimizer

    return made


def starts(*shapes: tuple[int, ...], dtype: str = "float32") -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=s).astype(dtype) for s in shapes]


ADAMS = [
    lambda params: optim.Adam(params, lr=0.1),
    lambda params: optim.Adam(params, lr=0.1, weight_decay=0.1),
    lambda params: optim.AdamW(params, lr=0.1, weight_decay=0.1),
]


def assert_equal(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    assert len(a) == len(b)
    for x, y in zip(a, b):
        np.testing.assert_array_equal(x, y, strict=True)


@pytest.mark.parametrize("make", ADAMS, ids=["adam", "decay", "adamw"])
def test_small_parameters_are_updated_together(make, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit as each by itself: beside a large one, of several dtypes, in one piece and in blocks."""
    some = [*starts((200, 100), (100,), (), (3, 1, 2)), *starts((4,), (5, 2), dtype="float64")]
    expected = trained(alone(make), some)
    calls = []
    move = optim.Adam.move
    monkeypatch.setattr(optim.Adam, "move", lambda self, g, *rest: (calls.append(g.shape), move(self, g, *rest))[1])
    assert_equal(trained(make, some), expected)
    assert calls == 5 * [(200, 100), (4,), (5, 2), (107,)]  # one dtype is together, the other is not
    for module in (optim, blocks):
        monkeypatch.setattr(module, "LARGE", 100)
        monkeypatch.setattr(module, "BLOCK", 64)
    calls.clear()
    assert_equal(trained(make, some), expected)
    assert max(shape[0] for shape in calls) <= 64


@pytest.mark.parametrize("make", ADAMS, ids=["adam", "decay", "adamw"])
def test_who_misses_a_step_goes_alone(make) -> None:
    def meddle(step: int, optimizer: optim.Adam) -> None:
        assert optimizer.together is None or optimizer.are_together() == (step < 2)
        if step == 1:
            optimizer.params[1].grad = None

    some = starts((3, 2), (2,), (4,))
    assert_equal(trained(make, some, meddle=meddle), trained(alone(make), some, meddle=meddle))


def test_state_may_be_edited_replaced_and_copied() -> None:
    """m and v are the optimiser's, wherever they lie."""

    def edit(step: int, optimizer: optim.Adam) -> None:
        if step == 2:
            optimizer.m[0][...] = 0.5
            optimizer.v[1] *= 2

    def replace(step: int, optimizer: optim.Adam) -> None:
        if step == 2:
            optimizer.m = [np.full_like(m, 0.5) for m in optimizer.m]
        if step == 3:
            optimizer.v[1] = optimizer.v[1] * 2

    make, some = ADAMS[0], starts((3, 2), (2,), (4,))
    for meddle in (edit, replace):
        found = trained(make, some, meddle=meddle)
        assert_equal(found, trained(alone(make), some, meddle=meddle))
        assert not np.array_equal(found[0], trained(make, some)[0])
    mixed = make([tg.nn.Parameter(a) for a in starts((200, 100), (3,), (2,))])
    mixed.m[0] = mixed.m[0] * 2  # of a large one, which is by itself anyway
    assert mixed.are_together()
    params = [tg.nn.Parameter(a, dtype=a.dtype) for a in some]
    one = make(params)
    for p in params:
        p.grad = np.ones_like(p.data)
    one.step()
    other = make(params)
    state = one.m, one.v, one.steps, one.together
    other.m, other.v, other.steps, other.together = copy.deepcopy(state)  # copies of parts are no longer parts
    assert one.are_together()
    assert not other.are_together()
    before = [p.data.copy() for p in params]
    one.step()
    after = [p.data.copy() for p in params]
    for p, x in zip(params, before):
        p.data[...] = x
    other.step()
    assert_equal([p.data for p in params], after)


def test_an_adam_of_ones_own_sees_each_parameter() -> None:
    class Seen(optim.Adam):
        def update(self, i: int, p: np.ndarray, g: np.ndarray, scratch: np.ndarray) -> None:
            seen.append(i)
            super().update(i, p, np.clip(g, -0.1, 0.1), scratch)

    seen: list[int] = []
    trained(Seen, starts((3, 2), (2,), (4,)), steps=2)
    assert seen == [0, 1, 2, 0, 1, 2]


def test_a_step_in_blocks_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient is gone when it is forgotten, without the garbage collector."""
    for module in (optim, blocks):
        monkeypatch.setattr(module, "BLOCK", 16)
    monkeypatch.setattr(optim, "LARGE", 17)
    w = tg.nn.Parameter(np.ones(100))
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9)
    gc.disable()
    try:
        w.grad = np.ones(100)
        gradient = weakref.ref(w.grad)
        optimizer.step()
        optimizer.zero_grad()
        assert gradient() is None
    finally:
        gc.enable()


def test_an_optimizer_of_ones_own_gets_scratch_as_large_as_the_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optim, "LARGE", 2)

    class Signs(optim.Optimizer):
        def update(self, i: int, p: np.ndarray, g: np.ndarray, scratch: np.ndarray) -> None:
            p -= np.multiply(np.sign(g, out=scratch), self.lr, out=scratch)

    w = tg.nn.Parameter([[1.0, 2.0], [3.0, 4.0]])
    w.grad = [[5.0, -6.0], [0.0, 0.1]]
    Signs([w], lr=0.5).step()
    np.testing.assert_array_equal(w.data, [[0.5, 2.5], [3.0, 3.5]])


def test_the_learning_rate_may_be_set_at_any_time() -> None:
    w = tg.nn.Parameter([1.0, 2.0])
    optimizer = optim.SGD([w], lr=0.5)
    w.grad = [1.0, 1.0]
    optimizer.step()
    optimizer.lr *= 0.5
    assert optimizer.lr == 0.25
    optimizer.step()
    np.testing.assert_array_equal(w.data, [0.25, 1.25])
    with pytest.raises(ValueError, match="lr=-1"):
        optimizer.lr = -1
    assert optimizer.lr == 0.25


def test_a_step_is_an_edit() -> None:
    w = tg.nn.Parameter([1.0, 2.0])
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    optim.SGD([w], lr=0.1).step()
    with pytest.raises(tg.GraphError, match=r"multiply.*edited"):
        loss.backward()


def test_zero_grad() -> None:
    w = tg.nn.Parameter([1.0])
    w.grad = [1.0]
    optimizer = optim.SGD([w], lr=0.1)
    optimizer.zero_grad()
    assert w.grad is None
    optimizer.step()
    assert w.data == [1.0]


def test_a_recorded_gradient_serves_too() -> None:
    w = tg.nn.Parameter([1.0, 2.0])
    (w * w).sum().backward(create_graph=True)
    optim.SGD([w], lr=0.5).step()
    np.testing.assert_array_equal(w.data, [0.0, 0.0])


W = tg.nn.Parameter([1.0])


@pytest.mark.parametrize(
    ("mistake", "kind", "message"),
    [
        (lambda: optim.SGD([], lr=0.1), ValueError, "no parameters"),
        (lambda: optim.SGD([W, W], lr=0.1), ValueError, "given twice"),
        (lambda: optim.SGD([tg.Tensor([1.0])], lr=0.1), TypeError, "parameter 0"),
        (lambda: optim.SGD([W * 2], lr=0.1), TypeError, "parameter 0"),
        (lambda: optim.SGD([np.ones(2)], lr=0.1), TypeError, "parameter 0"),
        (lambda: optim.SGD([W], lr=-1), ValueError, "lr=-1"),
        (lambda: optim.SGD([W], lr=float("nan")), ValueError, "lr=nan"),
        (lambda: optim.SGD([W], lr=0.1, momentum=1.5), ValueError, "momentum=1.5"),
        (lambda: optim.SGD([W], lr=0.1, nesterov=True), ValueError, "nesterov=True needs a momentum"),
        (lambda: optim.SGD([W], lr=0.1, weight_decay=-1), ValueError, "weight_decay=-1"),
        (lambda: optim.Adam([W], betas=(1.1, 0.9)), ValueError, "betas"),
    ],
)
def test_mistakes_are_named(mistake, kind, message) -> None:
    with pytest.raises(kind, match=message):
        mistake()
