"""The edge cases where autodiff libraries go wrong, one test for each row of the project's list of traps.

The expectation is PyTorch's, computed by PyTorch itself where it has the operation, unless a docstring says
otherwise.  Losses are never a bare sum: its cotangent of ones would hide transposed and unscaled gradients.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import itertools
import os
import pickle
import sys
import threading
import tracemalloc
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.ops.test_ops_table import CALLS, call, check_second_order, positions, rng_for
from tinygrad_edu import memory
from tinygrad_edu.errors import DtypeError, GraphError, ShapeError
from tinygrad_edu.nn import functional
from tinygrad_edu.op import OPS, Op, Sample

try:
    import torch
except ImportError:  # a skip nobody reads would be a hole in the gate: there the oracle has to be
    if os.environ.get("CI"):
        raise
    pytest.skip("PyTorch is the oracle here: pip install tinygrad_edu[oracle]", allow_module_level=True)

F = torch.nn.functional
torch.set_num_threads(1)

inf, nan = np.inf, np.nan

# Both sides do the same handful of operations in float64: a few units in the last place.
close = functools.partial(np.testing.assert_allclose, rtol=1e-13, atol=1e-15)
same = np.testing.assert_array_equal


def leaf(data: Any, **keywords: Any) -> tg.Tensor:
    return tg.Tensor(data, requires_grad=True, **keywords)


def like_torch(
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    *arrays: Any,
    g: Any = None,
    seed: int = 0,
    rtol: float = 1e-13,
    compare_value: bool = True,
) -> list[np.ndarray]:
    """Check value and every gradient against PyTorch under a random cotangent, and return the gradients."""
    arrays = tuple(np.asarray(a) for a in arrays)
    xs, ts = [leaf(a) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = ours(*xs), theirs(*ts)
    assert isinstance(y, tg.Tensor)
    assert y.shape == tuple(z.shape)
    if compare_value:
        np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=rtol, atol=1e-15)
    cotangent = np.random.default_rng(seed).normal(size=y.shape) if g is None else np.asarray(g)
    y.backward(cotangent.astype(y.dtype))
    z.backward(torch.tensor(cotangent, dtype=z.dtype))
    for x, t in zip(xs, ts):
        assert x.grad.dtype == x.dtype
        assert x.grad.shape == x.shape
        np.testing.assert_allclose(x.grad, t.grad.numpy(), rtol=rtol, atol=1e-15)
    return [x.grad for x in xs]


@contextmanager
def without_collector() -> Iterator[None]:
    """Only reference counting frees memory here, as in a training loop between two collections."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# ------------------------------------------------------------------------------------ graph and sweep


def test_trap_01_same_tensor_twice() -> None:
    """One tensor in both places of an operation receives both shares; so does a result that is used twice."""
    x = np.array([[1.5, -0.7], [0.3, 2.0]])
    like_torch(lambda t: t * t, lambda t: t * t, x)
    like_torch(lambda t: t + t, lambda t: t + t, x)
    like_torch(lambda t: t - t, lambda t: t - t, x)
    like_torch(lambda t: t / t, lambda t: t / t, x)
    like_torch(lambda t: t @ t, lambda t: t @ t, x)
    like_torch(lambda t: t @ t, lambda t: t @ t, x[0])
    like_torch(lambda t: tg.concatenate([t, t]), lambda t: torch.cat([t, t]), x)
    like_torch(lambda t: tg.stack([t, t], axis=1), lambda t: torch.stack([t, t], dim=1), x)
    like_torch(lambda t: np.maximum(t, t), lambda t: torch.maximum(t, t), x)
    like_torch(lambda t: tg.linear(t, t, t[0]), lambda t: t @ t + t[0], x)

    def diamond(a: Any) -> Any:
        b = a + a
        return b + b

    (gradient,) = like_torch(diamond, diamond, 3.0, g=1.0)
    assert gradient == 4.0

    def ladder(a: Any) -> Any:  # 2^20 paths through 20 operations: adding up path by path would take for ever
        for _ in range(20):
            a = a * 0.5 + a * 0.5
        return a

    like_torch(ladder, ladder, x)


def test_trap_02_backward_twice() -> None:
    """A second sweep needs retain_graph on the first; leaves add up, and intermediates are not counted double."""
    x = leaf([1.5, -0.7])
    h = x * x
    loss = (h * np.array([2.0, 3.0])).sum()
    loss.backward()
    with pytest.raises(GraphError, match=r"already swept and freed.*retain_graph=True"):
        loss.backward()
    close(x.grad, [6.0, -4.2])  # the failed sweep has added nothing

    def thrice(t: Any, other: Any) -> Any:
        h = t * t
        h.retain_grad()
        loss = (h * other).sum()
        for _ in range(3):
            loss.backward(retain_graph=True)
        return h

    x, t = leaf([1.5, -0.7]), torch.tensor([1.5, -0.7], dtype=torch.float64, requires_grad=True)
    h, their_h = thrice(x, np.array([2.0, 3.0])), thrice(t, torch.tensor([2.0, 3.0], dtype=torch.float64))
    close(x.grad, t.grad.numpy())
    close(x.grad, 3 * 2 * np.array([1.5, -0.7]) * [2, 3])
    close(h.grad, their_h.grad.numpy())  # three sweeps of (2, 3): what is retained adds up, as a leaf's does


def test_trap_03_cotangent_of_a_non_scalar() -> None:
    """Only a scalar has a gradient by itself; a cotangent of another shape is refused with both shapes."""
    x = leaf([[1.0, 2.0, 3.0]])
    with pytest.raises(ShapeError, match=r"\(1, 3\)"):
        (x * 2).backward()
    with pytest.raises(ShapeError, match=r"\(3, 1\).*\(1, 3\)"):
        (x * 2).backward(np.ones((3, 1)))
    with pytest.raises(ShapeError, match=r"\(3,\).*\(1, 3\)"):  # it would broadcast, and is wrong all the same
        (x * 2).backward(np.ones(3))
    with pytest.raises(ShapeError, match=r"\(1,\).*\(\)"):
        (x * 2).sum().backward(np.ones(1))
    assert x.grad is None
    (x * 2).backward([[1.0, -2.0, 3.0]])
    same(x.grad, [[2.0, -4.0, 6.0]])
    y = leaf([[5.0]])
    (y * 3).backward()  # one element is as good as a scalar
    same(y.grad, [[3.0]])


def test_trap_04_backward_on_a_leaf() -> None:
    """A leaf's gradient by itself is the cotangent; without requires_grad there is none, and the error says why."""
    x = leaf([1.0, 2.0])
    g = np.array([3.0, 5.0])
    x.backward(g)
    same(x.grad, g)
    x.backward(g)
    same(x.grad, 2 * g)
    same(g, [3.0, 5.0])  # the caller's array is the caller's
    y = leaf(2.0)
    y.backward()
    same(y.grad, 1.0)
    for constant in (tg.Tensor([1.0]).sum(), tg.Tensor(1.0)):
        with pytest.raises(GraphError, match=r"does not depend on anything that needs a gradient.*requires_grad=True"):
            constant.backward()
    with tg.no_grad():
        cut = x.sum()
    with pytest.raises(GraphError, match="no_grad"):
        cut.backward()


def test_trap_05_unused_input() -> None:
    """What the loss does not depend on keeps .grad None; grad() raises, or gives None if it may."""
    x, unused = leaf([1.0, 2.0]), leaf([1.0])
    (x * [2.0, 3.0]).sum().backward()
    assert unused.grad is None
    loss = (x * [2.0, 3.0]).sum()
    with pytest.raises(GraphError, match=r"do not depend on input 1.*allow_unused=True"):
        tg.grad(loss, [x, unused])
    loss = (x * [2.0, 3.0]).sum()
    used, none = tg.grad(loss, [x, unused], allow_unused=True)
    assert none is None
    same(used.data, [2.0, 3.0])
    zero = (x * 0.0).sum()  # used, though it does not matter: zeros, not None
    same(tg.grad(zero, x)[0].data, [0.0, 0.0])


@pytest.mark.parametrize("create_graph", [False, True])
def test_trap_06_gradients_share_no_memory(create_graph: bool) -> None:
    """Editing one gradient leaves the others alone; a leaf's gradient is writable memory of its own."""

    def numbers(t: tg.Tensor) -> np.ndarray:
        return t.grad.data if isinstance(t.grad, tg.Tensor) else t.grad

    cases: dict[str, Callable[[tg.Tensor, tg.Tensor], tg.Tensor]] = {
        "a + b": lambda a, b: a + b,
        "sum of all": lambda a, b: a.sum() + b.sum(),
        "views": lambda a, b: a.reshape(4) + b.T.reshape(-1),
        "parts of one": lambda a, b: tg.concatenate([a, b]),
        "broadcast": lambda a, b: np.broadcast_to(a, (3, 2, 2)) + b,
        "the leaf itself": lambda a, b: a + 0 * b,
        "positive": lambda a, b: +a + +b,
        "astype": lambda a, b: a.astype(float) + b.astype(float),
    }
    for name, f in cases.items():
        a, b = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([[5.0, 6.0], [7.0, 8.0]])
        y = f(a, b)
        g = np.random.default_rng(0).normal(size=y.shape)
        kept = g.copy()
        y.backward(g, create_graph=create_graph)
        for t in (a, b):
            assert numbers(t).flags.writeable, name
            assert not np.shares_memory(numbers(t), g), name
            assert not np.shares_memory(numbers(t), t.data), name
        assert not np.shares_memory(numbers(a), numbers(b)), name
        before = numbers(b).copy()
        numbers(a)[...] = 99.0
        same(numbers(b), before)
        same(g, kept)


FIXED = np.array([5.0, 7.0])
RETURNED: dict[str, Callable[..., Any]] = {
    "an input": lambda g, y, a, b: a,
    "the other input": lambda g, y, a, b: b,
    "the output": lambda g, y, a, b: y,
    "the cotangent": lambda g, y, a, b: g,
    "a view": lambda g, y, a, b: b[::-1][::-1],
    "the same array each time": lambda g, y, a, b: FIXED,
}


@pytest.mark.parametrize("what", RETURNED)
def test_trap_06_a_rule_may_return_what_it_was_given(what: str) -> None:
    """A user's rule may hand back an array that others hold, too; the sweep must not write to it nor give it away."""
    rule = RETURNED[what]
    op = tg.Op(lambda a, b: a + 2 * b, vjps=[rule, rule], name="op")
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = op(a, b)
    g = np.array([11.0, 13.0])
    value = y.data.copy()
    expected = rule(g, value, a.data.copy(), b.data.copy()).copy()
    for sweep in (1, 2, 3):
        tg.backward([y, y], [g, 0 * g] if what == "the cotangent" else [g, g], retain_graph=True)
        same(a.data, [1.0, 2.0])
        same(b.data, [3.0, 4.0])
        same(y.data, value)
        same(g, [11.0, 13.0])
        same(a.grad, sweep * expected)
        same(b.grad, sweep * expected)
    for t in (a, b):
        for other in (a.data, b.data, y.data, g):
            assert not np.shares_memory(t.grad, other)
    assert not np.shares_memory(a.grad, b.grad)

    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    first, second = op(a, b), op(a, b)  # two Nodes send their shares to the same leaves
    one = rule(g, first.data, a.data, b.data).copy()
    tg.backward([first, second], [g, g])
    same(a.data, [1.0, 2.0])
    same(b.data, [3.0, 4.0])
    same(first.data, second.data)
    same(a.grad, 2 * one)
    same(b.grad, 2 * one)


def _chain(length: int) -> tuple[tg.Tensor, tg.Tensor]:
    x = leaf([0.5, -0.25])
    y = x
    for i in range(length):
        y = y + 1e-6 if i % 2 else y * 1.000001
    return x, y


def test_trap_07_depth() -> None:
    """A chain of 100,000 operations is built, swept, differentiated twice and freed, without recursion."""
    limit = sys.getrecursionlimit()
    with without_collector():
        x, y = _chain(100_000)
        (y * np.array([2.0, 3.0])).sum().backward()
        # 50,000 factors, each rounded: 5e4 * 1e-16
        np.testing.assert_allclose(x.grad, np.array([2.0, 3.0]) * 1.000001**50_000, rtol=1e-10)

        x, y = _chain(100_000)  # never swept: freed in one go
        dies = weakref.ref(y._node.parents[0].parents[0].value)
        del y
        assert dies() is None

        x, y = _chain(20_000)
        (first,) = tg.grad((y * y).sum(), x, create_graph=True)
        (first * np.array([2.0, 3.0])).sum().backward()
        np.testing.assert_allclose(x.grad, 2 * np.array([2.0, 3.0]) * 1.000001**20_000, rtol=1e-10)
        del first, y
    assert sys.getrecursionlimit() == limit


def test_trap_07_linear_time() -> None:
    """16 times the chain takes 16 times the calls, to build, to sweep, and to find the way to one input."""

    def calls(length: int) -> int:
        count = 0

        def profile(frame: Any, event: str, what: Any) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(profile)
        try:
            x, y = _chain(length)
            tg.grad((y * np.array([2.0, 3.0])).sum(), x)
        finally:
            sys.setprofile(None)
        return count

    short, long = calls(1_000), calls(16_000)
    assert 15 * short < long < 17 * short  # what happens once for each chain makes it a little less than 16


def test_trap_07_copies_of_a_deep_graph() -> None:
    """A leaf at the end of a long chain is copied without the chain; the chain's end refuses, without recursion."""
    x, y = _chain(100_000)
    same(copy.deepcopy(x).data, x.data)
    same(pickle.loads(pickle.dumps(x)).data, x.data)
    for make in (copy.deepcopy, copy.copy, pickle.dumps):
        with pytest.raises(GraphError, match=r"result of (add|multiply)"):
            make(y)
    y.backward([2.0, 3.0])  # and the refusals have done no harm
    assert x.grad is not None


def test_trap_08_a_dropped_loss_frees_its_graph() -> None:
    """Reference counting alone frees every array of the graph: swept, retained, twice differentiated or never swept."""

    def graph(x: tg.Tensor) -> tuple[tg.Tensor, list[weakref.ref[Any]]]:
        a = x * 2.0
        b = functional.cross_entropy(a.exp() @ x.T, np.array([0, 1]))
        return b, [weakref.ref(a._data), weakref.ref(a), weakref.ref(b)]

    def never(loss: tg.Tensor, x: tg.Tensor) -> None:
        pass

    def swept(loss: tg.Tensor, x: tg.Tensor) -> None:
        loss.backward()

    def retained(loss: tg.Tensor, x: tg.Tensor) -> None:
        loss.backward(retain_graph=True)
        loss.backward(retain_graph=True)

    def twice(loss: tg.Tensor, x: tg.Tensor) -> None:
        (first,) = tg.grad(loss, x, create_graph=True)
        (first * np.arange(6.0).reshape(2, 3)).sum().backward()

    def failed(loss: tg.Tensor, x: tg.Tensor) -> None:
        with suppress(ShapeError):
            loss.backward(np.ones(3))
        with suppress(ShapeError):
            loss @ loss

    with without_collector():
        for use in (never, swept, retained, twice, failed):
            x = leaf(np.arange(6.0).reshape(2, 3) / 5)
            loss, watched = graph(x)
            use(loss, x)
            del loss
            alive = [w for w in watched if w() is not None]
            assert not alive, f"{use.__name__}: {len(alive)} objects of the graph are still there"


def test_trap_08_a_training_loop_does_not_grow() -> None:
    """A hundred steps end with the memory of ten, without the collector."""
    w = leaf(np.random.default_rng(0).normal(size=(50, 50)))

    def step() -> None:
        w.grad = None
        ((w @ w).tanh() * np.linspace(-1, 1, 50)).sum().backward()
        w.data -= 0.01 * w.grad

    with without_collector():
        for _ in range(10):
            step()
        tracemalloc.start()
        try:
            step()
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(90):
                step()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    assert grown < 20_000  # one array of this size is 20,000 bytes: not even one is left behind
    assert len(memory.writes) < 50  # the notes about edited memory are dropped with the memory


def test_trap_08_memory_of_a_sweep() -> None:
    """Gradients of intermediates are dropped on the way: a sweep of 200 large operations holds a few of them."""
    x = leaf(np.ones(100_000))
    y = x
    for _ in range(200):
        y = y.sin()
    tracemalloc.start()
    try:
        y.backward(np.linspace(1, 2, 100_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * x.data.nbytes


def test_trap_09_detach() -> None:
    """detach shares memory and stops the gradient."""
    x = leaf([1.5, -0.7])
    y = x * 2
    d = y.detach()
    assert np.shares_memory(d.data, y.data)
    assert not d.requires_grad
    assert d.is_leaf
    like_torch(lambda t: t * t.detach() + (t * 3).detach(), lambda t: t * t.detach() + (t * 3).detach(), x.data)
    s = leaf(2.0)
    s.detach().data[...] = 5.0  # a scalar, too
    assert s.item() == 5.0


def test_trap_09_no_grad() -> None:
    """no_grad nests, survives exceptions and works as a decorator; enable_grad undoes it inside."""
    x = leaf([1.5, -0.7])
    with tg.no_grad():
        assert not (x * x).requires_grad
        with tg.no_grad():
            assert not (x * x).requires_grad
        assert not (x * x).requires_grad
        with tg.enable_grad():
            assert (x * x).requires_grad
            with tg.no_grad():
                assert not (x * x).requires_grad
            assert (x * x).requires_grad
        assert not (x * x).requires_grad
    assert (x * x).requires_grad

    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert (x * x).requires_grad

    @tg.no_grad()
    def evaluate(t: tg.Tensor, depth: int) -> bool:
        """Docstring."""
        return (t * t).requires_grad or (depth > 0 and evaluate(t, depth - 1))

    assert evaluate(x, 3) is False
    assert evaluate.__name__ == "evaluate"
    assert evaluate.__doc__ == "Docstring."

    @tg.no_grad()
    def fails() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert (x * x).requires_grad
    with tg.no_grad():  # a leaf may be made inside; and a sweep needs no recording
        inside = leaf([1.0])
    loss = (inside * x).sum()
    with tg.no_grad():
        loss.backward()
    same(x.grad, [1.0, 1.0])
    same(inside.grad, [x.data.sum()])


def test_trap_09_no_grad_is_local_to_a_thread() -> None:
    """One thread evaluates while another one trains."""
    x = leaf([1.5, -0.7])
    inside, done = threading.Event(), threading.Event()
    seen: dict[str, bool] = {}

    def evaluate() -> None:
        with tg.no_grad():
            inside.set()
            done.wait(5)
            seen["evaluating"] = (x * x).requires_grad

    thread = threading.Thread(target=evaluate)
    thread.start()
    assert inside.wait(5)
    seen["training"] = (x * x).requires_grad
    done.set()
    thread.join(5)
    assert seen == {"evaluating": False, "training": True}

    with tg.no_grad():  # a new thread starts with recording, as in PyTorch
        fresh = threading.Thread(target=lambda: seen.update(fresh=(x * x).requires_grad))
        fresh.start()
        fresh.join(5)
    assert seen["fresh"] is True


def test_trap_09_no_grad_is_local_to_a_task() -> None:
    """Two asynchronous tasks take turns inside and outside of no_grad."""
    x = leaf([1.5, -0.7])

    async def evaluate(turns: int) -> list[bool]:
        seen = []
        with tg.no_grad():
            for _ in range(turns):
                seen.append((x * x).requires_grad)
                await asyncio.sleep(0)
        return seen

    async def train(turns: int) -> list[bool]:
        seen = []
        for _ in range(turns):
            seen.append((x * x).requires_grad)
            await asyncio.sleep(0)
        return seen

    @tg.no_grad()
    async def decorated(turns: int) -> list[bool]:
        return await train(turns)

    async def main() -> list[list[bool]]:
        return list(await asyncio.gather(evaluate(3), train(5), decorated(3), train(4)))

    assert asyncio.run(main()) == [[False] * 3, [True] * 5, [False] * 3, [True] * 4]
    assert (x * x).requires_grad


def test_trap_10_an_edit_that_matters_is_detected() -> None:
    """A value that the sweep still reads was edited: an error with the operation's name, and no gradient at all."""

    def edit(t: tg.Tensor) -> None:
        t.data -= 0.5

    def edit_view(t: tg.Tensor) -> None:  # the memory is what counts, not the object
        d = t[:1].detach() if t.ndim else t.detach()
        d.data *= 3.0

    def edit_by_hand(t: tg.Tensor) -> None:
        t.data[0] = 7.0
        memory.edited(t.data)

    for change in (edit, edit_view, edit_by_hand):
        x = leaf([1.5, 0.7])
        loss = (x * x).sum()
        with tg.no_grad():
            change(x)
        with pytest.raises(GraphError, match=r"multiply.*edited"):
            loss.backward()
        assert x.grad is None

    # The output is read by the rule of exp, of tanh, ...: editing a detached view of it is seen, too.
    for name in ("exp", "tanh", "sigmoid", "relu", "sqrt"):
        x = leaf([1.5, 0.7])
        y = OPS[name](x)
        loss = (y + 0.0).sum()
        d = y.detach()
        d.data *= 2.0
        with pytest.raises(GraphError, match=rf"{name}'s output was edited"):
            loss.backward()

    a, b = leaf([[1.0, 2.0]]), leaf([[3.0], [4.0]])
    loss = (a @ b).sum()
    b.data *= 2.0
    with pytest.raises(GraphError, match=r"matmul's input 2 was edited"):
        loss.backward()
    logits = leaf([[1.0, 2.0]])
    loss = functional.cross_entropy(logits * 1.0, np.array([0]))
    loss.backward()
    assert logits.grad is not None


def test_trap_10_an_edit_that_does_not_matter_is_fine() -> None:
    """What no remaining rule reads may be edited: the gradient is that of the values before."""
    x = leaf([1.5, 0.7])
    loss = ((x + 1.0) * [2.0, 3.0]).sum()  # a sum needs no value
    x.data -= 0.5
    loss.backward()
    same(x.grad, [2.0, 3.0])

    x = leaf([1.5, 0.7])
    y = x.exp()  # exp reads its output, not its input
    x.data -= 0.5
    y.backward([2.0, 3.0])
    close(x.grad, np.exp([1.5, 0.7]) * [2.0, 3.0])

    a, b = leaf([1.5, 0.7]), tg.Tensor([2.0, 3.0])
    loss = (a * b).sum()  # b needs no gradient, so nobody asks for a
    a.data -= 0.5
    loss.backward()
    same(a.grad, [2.0, 3.0])

    x = leaf([1.5, 0.7])
    loss = (x * x).sum()
    x.data = np.array([9.0, 9.0])  # other memory: the graph still holds the old values
    loss.backward()
    same(x.grad, [3.0, 1.4])

    x = leaf([1.5, 0.7])
    early = (x * x).sum()
    early.backward()
    x.data -= 0.5  # after the sweep: the training loop
    late = (x * x).sum()
    x.grad = None
    late.backward()
    close(x.grad, [2.0, 0.4])


@pytest.mark.parametrize(("op", "sample"), CALLS)
def test_trap_10_every_operation_knows_what_its_rules_read(op: Op[Any], sample: Sample) -> None:
    """After an edit of any input or of the output, a sweep is either refused or still right: never silently wrong."""
    rng = rng_for(op.name)
    args = sample.draw(rng)
    where = positions(op, args)
    y, tensors = call(op, args, sample.params, where)
    g = rng.normal(size=y.shape)
    expected = [d.data for d in tg.grad(y, tensors, g)]
    for which in range(len(where) + 1):
        inputs = [tg.as_tensor(args[i].copy() if args[i].ndim else np.array(args[i])) for i in where]
        for t in inputs:
            t.requires_grad = True
        by_place = dict(zip(where, inputs))
        y = op(*(by_place.get(i, a) for i, a in enumerate(args)), **sample.params)
        out = y * 1.0  # so that y is not the root, whose value the caller may see
        victim = (inputs[which] if which < len(where) else y).detach()
        if not victim.data.flags.writeable:
            continue
        victim.data += 0.5
        try:
            found = tg.grad(out, inputs, g)
        except GraphError as error:
            said = str(error)
        else:
            said = ""
            for d, right in zip(found, expected):
                close(d.data, right)
        assert not said or ("was edited" in said and (op.name in said or "multiply" in said))


def test_trap_11_a_step_between_two_sweeps_is_detected() -> None:
    """An optimizer's step is an edit: the second sweep of a retained graph would mix old values and new ones."""
    w = leaf([[1.5, 0.7], [0.2, -0.4]])
    x = tg.Tensor([[1.0, 2.0]])
    loss = ((x @ w).tanh() @ w).sum()
    loss.backward(retain_graph=True)
    w.data -= 0.1
    with pytest.raises(GraphError, match=r"edited.*optimiser"):
        loss.backward()
    assert w.grad is not None  # of the first sweep

    one_layer = leaf([[1.5], [0.7]])
    loss = (x @ one_layer).sum()
    loss.backward(retain_graph=True)
    one_layer.data -= 0.1
    loss.backward()  # x needs no gradient, so nobody reads the weight: allowed, and right
    same(one_layer.grad, [[2.0], [4.0]])


def test_trap_11_assigning_to_elements_of_a_leaf() -> None:
    """`w.data[...] = v` is how a leaf is edited in place; on w itself nothing may be lost in silence."""
    w = leaf([1.0, 2.0])
    with pytest.raises((GraphError, TypeError)):
        w[0] = 5.0
    same(w.data, [1.0, 2.0])


@pytest.mark.parametrize(("op", "sample"), CALLS)
def test_trap_12_double_backward_through_every_operation(op: Op[Any], sample: Sample) -> None:
    """Second derivatives by inputs and by cotangent, for the fused losses and for indexing as for all others."""
    check_second_order(op, sample, rng_for(f"trap {op.name}"))


def test_trap_12_a_fused_rule_does_not_reuse_its_array() -> None:
    """The Hessian of cross-entropy is diag(p) - p p^T over n: with p taken from the forward pass it would be 0."""
    z0 = np.array([[0.3, -1.2, 0.7], [1.0, 0.1, -0.4]])
    labels = np.array([2, 0])

    def hessian(f: Callable[[Any], Any], z: Any, grad: Any) -> np.ndarray:
        (first,) = grad(f(z), z, create_graph=True)
        rows = [grad(first.reshape(-1)[i], z, retain_graph=True)[0] for i in range(z0.size)]
        return np.stack([np.asarray(r) for r in rows]).reshape(6, 6)

    ours = hessian(lambda z: functional.cross_entropy(z, labels), leaf(z0), tg.grad)
    theirs = hessian(
        lambda z: F.cross_entropy(z, torch.tensor(labels)), torch.tensor(z0, requires_grad=True), torch.autograd.grad
    )
    close(ours, theirs)
    p = np.exp(z0[0]) / np.exp(z0[0]).sum()
    close(ours[:3, :3], (np.diag(p) - np.outer(p, p)) / 2)

    t = np.array([[0.2, 0.9, 0.1], [0.0, 1.0, 0.5]])
    ours = hessian(lambda z: functional.binary_cross_entropy_with_logits(z, t), leaf(z0), tg.grad)
    theirs = hessian(
        lambda z: F.binary_cross_entropy_with_logits(z, torch.tensor(t)),
        torch.tensor(z0, requires_grad=True),
        torch.autograd.grad,
    )
    close(ours, theirs)


def test_trap_12_third_and_fourth_derivatives() -> None:
    """Every order comes from the same rule."""
    x, t = leaf([0.3, -0.8]), torch.tensor([0.3, -0.8], dtype=torch.float64, requires_grad=True)
    y, z = ((x.tanh() * x).exp()).sum(), ((t.tanh() * t).exp()).sum()
    for _ in range(4):
        (d,), (e,) = tg.grad(y, x, create_graph=True), torch.autograd.grad(z, t, create_graph=True)
        # each order multiplies the number of terms, and cancels some of them
        np.testing.assert_allclose(d.data, e.detach().numpy(), rtol=1e-10)
        y, z = (d * np.array([2.0, 3.0])).sum(), (e * torch.tensor([2.0, 3.0], dtype=torch.float64)).sum()


def test_trap_13_hooks() -> None:
    """A hook sees the complete gradient, once for each sweep, and may replace it."""
    seen: list[np.ndarray] = []
    x = leaf([1.0, 2.0])
    h = x * 3.0
    h.register_hook(lambda g: seen.append(g.copy()))
    loss = (h * [2.0, 3.0] + h * [5.0, 7.0]).sum()
    loss.backward(retain_graph=True)
    assert len(seen) == 1  # not once for each use
    same(seen[0], [7.0, 10.0])
    loss.backward()
    assert len(seen) == 2

    x = leaf([1.0, 2.0])
    total: list[np.ndarray] = []
    x.register_hook(lambda g: total.append(g.copy()))
    x.register_hook(lambda g: g * 10.0)
    x.register_hook(lambda g: g + 1.0)  # in the order in which they were registered
    (x * x + x * 2.0).sum().backward()
    assert len(total) == 1
    same(total[0], [4.0, 6.0])
    same(x.grad, [41.0, 61.0])

    x = leaf([1.0, 2.0])
    h = x * 3.0
    h.register_hook(lambda g: g * 10.0)
    h.retain_grad()
    (h * [2.0, 3.0]).sum().backward()
    same(h.grad, [20.0, 30.0])
    same(x.grad, [60.0, 90.0])


def test_trap_14_copies_keep_everything() -> None:
    """deepcopy, copy and pickle of a leaf keep data, dtype, name and flag; of a result they raise."""
    makers: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy]
    makers += [
        lambda t, protocol=protocol: pickle.loads(pickle.dumps(t, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ]
    originals = [
        leaf([1.5, -0.7], name="w"),
        leaf(np.float32(2.5), name="scale"),
        tg.Tensor([[1, 2], [3, 4]], name="labels"),
        tg.Tensor([True, False]),
        leaf(np.zeros((0, 3), dtype=np.float16)),
        tg.as_tensor(np.arange(6.0).reshape(2, 3).T),
    ]
    for make, t in itertools.product(makers, originals):
        made = make(t)
        same(made.data, t.data)
        assert made.dtype == t.dtype
        assert made.shape == t.shape
        assert made.name == t.name
        assert made.requires_grad == t.requires_grad
        assert made.is_leaf
    w = leaf([1.5, -0.7])
    made = copy.deepcopy(w)
    made.data[0] = 9.0
    same(w.data, [1.5, -0.7])
    (made * [2.0, 3.0]).sum().backward()
    assert w.grad is None
    both = copy.deepcopy({"a": w, "b": w})
    assert both["a"] is both["b"]  # what was one stays one
    for make in makers:
        with pytest.raises(GraphError, match="result of multiply"):
            make(w * 2)


# -------------------------------------------------------------------------------- types and shapes


@pytest.mark.parametrize(
    "data",
    [1, [1, 2], True, [True, False], np.array([1], dtype=np.uint8), np.array([1.0, None], dtype=object), ["a"], 1j,
     np.array([1j]), np.array(["2020-01-01"], dtype="datetime64[D]")],
)  # fmt: skip
def test_trap_15_only_floats_have_gradients(data: Any) -> None:
    """requires_grad on anything but floats raises; text, objects and complex numbers are no data at all."""
    with pytest.raises(DtypeError):
        leaf(data)


def test_trap_15_integers() -> None:
    """int/int gives a float; a cast to integers cuts the gradient; complex numbers are refused everywhere."""
    quotient = tg.Tensor([1, 2]) / tg.Tensor([2, 4])
    assert quotient.dtype == np.float64
    same(quotient.data, [0.5, 0.5])
    assert (tg.Tensor(1) / 2).dtype == np.float64
    assert tg.Tensor([1, 2]).mean().dtype == np.float64
    x = leaf([1.5, 2.5])
    for dtype in (int, np.int32, bool):
        assert not x.astype(dtype).requires_grad  # as in PyTorch: integers have no gradient
    assert not (x > 2).requires_grad
    assert not x.argmax().requires_grad
    t = tg.Tensor([1, 2])
    with pytest.raises(DtypeError, match="int64"):
        t.requires_grad = True
    for make in (lambda: x * 1j, lambda: 1j * x, lambda: x + np.array([1j, 0]), lambda: tg.Tensor([1j])):
        with pytest.raises(DtypeError, match="complex"):
            make()
    with pytest.raises(DtypeError):
        tg.as_tensor(["a"])


# What makes other libraries turn float32 into float64: Python numbers, counts, masks, and constants in a rule.
FLOAT32: dict[str, Callable[[Any], Any]] = {
    "2 * x": lambda x: 2 * x,
    "x / 3": lambda x: x / 3,
    "1 / x": lambda x: 1 / x,
    "1.5 - x": lambda x: 1.5 - x,
    "x ** 2": lambda x: x**2,
    "x ** 0.5": lambda x: x**0.5,
    "2.0 ** x": lambda x: 2.0**x,
    "x * True": lambda x: x * True,
    "mean": lambda x: x.mean(),
    "max": lambda x: x.max(axis=0),
    "var": lambda x: x.var(axis=0, ddof=1),
    "std": lambda x: x.std(),
    "logsumexp": lambda x: x.logsumexp(axis=0),
    "softmax": lambda x: x.softmax(axis=0),
    "sigmoid": lambda x: x.sigmoid(),
    "softplus": lambda x: x.softplus(),
    "leaky_relu": lambda x: tg.leaky_relu(x, 0.1),
    "clip": lambda x: x.clip(0.6, 2.0),
    "maximum": lambda x: np.maximum(x, 1.0),
    "where": lambda x: tg.where(x > 1, x, 0.0),
    "x[0]": lambda x: x[0],
    "x[[0, 0]]": lambda x: x[[0, 0]],
    "concatenate": lambda x: tg.concatenate([x, x]),
    "matmul": lambda x: x @ x.T,
    "cross_entropy": lambda x: functional.cross_entropy(x, np.array([0, 1])),
    "bce": lambda x: functional.binary_cross_entropy_with_logits(x, np.ones((2, 2), x.dtype)),
    "mse": lambda x: functional.mse_loss(x, np.ones((2, 2), x.dtype)),
    "half_mse": lambda x: functional.half_mse_loss(x, np.ones((2, 2), x.dtype)),
    "sum of 0-d": lambda x: x.sum() * 2 + x.mean() / 3,
}


@pytest.mark.parametrize("name", FLOAT32)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_trap_16_small_floats_stay_small(name: str, dtype: Any) -> None:
    """Value and gradient keep the dtype of the input, at first and at second order (the table does it for every op)."""
    x = leaf(np.array([[0.5, 1.5], [2.5, 0.75]], dtype=dtype))
    y = FLOAT32[name](x)
    assert y.dtype == dtype
    g = np.random.default_rng(0).normal(size=y.shape).astype(dtype)
    (plain,) = tg.grad(y, x, g, retain_graph=True)
    (recorded,) = tg.grad(y, x, g, create_graph=True)
    assert plain.dtype == dtype
    assert recorded.dtype == dtype
    assert plain.shape == recorded.shape == x.shape


def test_trap_16_scalars_follow_numpy() -> None:
    """Python scalars are weak, NumPy's are not: the dtype is always the one that NumPy gives for arrays."""
    x = np.array([0.5, 1.5], dtype=np.float32)
    for other in (2, 2.0, True, np.float64(2), np.float32(2), np.float16(2), np.int64(2), np.array(2.0), np.array(2)):
        for f in (lambda a, b: a + b, lambda a, b: b * a, lambda a, b: a / b, lambda a, b: b - a, lambda a, b: a**b):
            expected = f(x, other)
            for t in (tg.Tensor(x), leaf(x)):
                got = f(t, other)
                assert isinstance(got, tg.Tensor)
                assert got.dtype == expected.dtype
                same(got.data, expected)
            if not isinstance(other, (int, float)) or isinstance(other, np.generic):
                assert f(leaf(x), tg.Tensor(other)).dtype == expected.dtype


def test_trap_17_each_gradient_has_the_dtype_of_its_input() -> None:
    """float32 with float64: the value is float64, and each gradient what its own input is."""
    rng = np.random.default_rng(0)
    for f, g in [
        (lambda a, b: a * b, None),
        (lambda a, b: a + b, None),
        (lambda a, b: a / b, None),
        (lambda a, b: np.maximum(a, b), lambda a, b: torch.maximum(a.double(), b)),
        (lambda a, b: tg.concatenate([a, b]), lambda a, b: torch.cat([a, b])),
        (lambda a, b: a @ b, lambda a, b: a.double() @ b),
    ]:
        a, b = rng.normal(size=(3, 3)).astype(np.float32), rng.normal(size=(3, 3))
        # float32 rounds the first gradient, and only that: 6e-8
        like_torch(f, g or f, a, b, rtol=1e-6)
    a, b = leaf(np.float32([1.5, 0.7])), leaf([2.0, 3.0])
    first = tg.grad((a * b).sum() ** 2, [a, b], create_graph=True)
    assert [d.dtype for d in first] == [np.float32, np.float64]
    w, s = leaf(np.float32([1.0, 2.0])), leaf(3.0)  # a 0-d float64 tensor is not weak: NumPy's own rule
    y = w * s
    assert y.dtype == np.float64
    y.backward([1.0, 2.0])
    assert w.grad.dtype == np.float32
    assert s.grad.dtype == np.float64


def test_trap_18_the_other_operand_on_the_left() -> None:
    """Numbers, NumPy scalars and arrays on the left give one Tensor, never an array of objects."""
    x0 = np.array([[0.5, 1.5], [2.5, 0.75]])
    array = np.array([[1.0, 2.0], [3.0, 4.0]])
    left: list[Any] = [2, 2.0, True, np.float64(2), np.float32(2), np.int64(2), np.array(2.0), array, array[0]]
    operators: list[Callable[[Any, Any], Any]] = [
        lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: a**b,
        lambda a, b: a < b, lambda a, b: a <= b, lambda a, b: a == b, lambda a, b: a != b, lambda a, b: a >= b,
    ]  # fmt: skip
    for other, f in itertools.product(left, operators):
        expected = f(other, x0)
        got = f(other, leaf(x0))
        assert isinstance(got, tg.Tensor)
        assert got.dtype == expected.dtype
        same(got.data, expected)
    for a in (array, array[0]):
        like_torch(lambda t, a=a: a @ t, lambda t, a=a: torch.tensor(a) @ t, x0)
    like_torch(lambda t: 2 - t, lambda t: 2 - t, x0)
    like_torch(lambda t: 1 / t, lambda t: 1 / t, x0)
    like_torch(lambda t: 2.0**t, lambda t: 2.0**t, x0)
    like_torch(lambda t: np.float64(2) * t, lambda t: 2 * t, x0)
    like_torch(lambda t: array * t, lambda t: torch.tensor(array) * t, x0)
    mask = np.array([True, False])
    for f in (lambda a, b: a & b, lambda a, b: a | b):
        got = f(mask, tg.Tensor([True, True]))
        assert isinstance(got, tg.Tensor)
        same(got.data, f(mask, np.array([True, True])))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 4), (4,)), ((3, 4), (1, 4)), ((3, 1), (1, 4)), ((3, 1), (4,)), ((), (3, 4)), ((1,), (3,)), ((1, 1), ()),
        ((2, 1, 4), (3, 1)), ((1,), (0,)), ((0, 1), (1, 3)), ((1, 3), (0, 3)), ((5, 1, 1), (1, 2, 1)), ((), ()),
    ],
)  # fmt: skip
def test_trap_19_broadcasting(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """Size one, added axes, 0-d, both sides at once, and (1,) with (0,), whose gradient is zeros of shape (1,)."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=a), rng.normal(size=b)
    for f in (lambda s, t: s + t, lambda s, t: s * t, lambda s, t: s - t, lambda s, t: s / (t * t + 1)):
        dx, dy = like_torch(f, f, x, y)
        assert dx.shape == a
        assert dy.shape == b
        # the same through a recorded sweep
        s, t = leaf(x), leaf(y)
        out = f(s, t)
        for d, shape in zip(tg.grad(out, [s, t], rng.normal(size=out.shape), create_graph=True), (a, b)):
            assert d.shape == shape
    if (a, b) == ((1,), (0,)):
        same(dx, [0.0])


REDUCTIONS = ["sum", "mean", "max", "min", "var", "std", "logsumexp"]


@pytest.mark.parametrize("name", REDUCTIONS)
def test_trap_20_reductions(name: str) -> None:
    """Negative and tuple axes, axis=(), keepdims and 0-d; an axis named twice, or one too many, is refused by name."""
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    numpy_function = getattr(np, name, None) or (lambda x, **k: np.log(np.sum(np.exp(x), **k)))
    op = OPS[name]
    theirs: dict[str, Callable[..., Any]] = {
        "max": torch.amax, "min": torch.amin,
        "var": functools.partial(torch.var, correction=0), "std": functools.partial(torch.std, correction=0),
    }  # fmt: skip
    torch_function = theirs.get(name) or getattr(torch, name)
    for axis in (0, -1, 1, (0, 1), (-1, 0), (2, 1, 0), (1,)):
        for keepdims in (False, True):
            like_torch(
                lambda t, axis=axis, keepdims=keepdims: op(t, axis=axis, keepdims=keepdims),
                lambda t, axis=axis, keepdims=keepdims: torch_function(t, dim=axis, keepdim=keepdims),
                x,
                rtol=1e-12,
            )
    for axis in (None, ()):
        for keepdims in (False, True):
            got = op(leaf(x), axis=axis, keepdims=keepdims)
            expected = numpy_function(x, axis=axis, keepdims=keepdims)
            assert got.shape == np.shape(expected)
            close(got.data, expected)
            assert isinstance(got.data, np.ndarray)
    scalar = leaf(2.5)
    for axis in (None, ()):
        y = op(scalar, axis=axis)
        assert y.shape == ()
        assert isinstance(y.data, np.ndarray)  # an array, never a NumPy scalar
        (d,) = tg.grad(y, scalar, 3.0)
        assert d.item() == {"var": 0.0, "std": 0.0}.get(name, 3.0)
        assert isinstance(d.data, np.ndarray)
    for axis in ((0, 0), (1, -2)):
        with pytest.raises(ValueError, match=rf"{name}: .*twice"):
            op(leaf(x), axis=axis)
    for axis in (3, -4, (0, 5)):
        with pytest.raises((ShapeError, IndexError), match=rf"{name}: axis .*\(2, 3, 4\)"):
            op(leaf(x), axis=axis)


def test_trap_20_axis_of_nothing() -> None:
    """axis=() reduces nothing: sum, mean, max and min leave x as it is, and the gradient is g."""
    x = np.random.default_rng(0).normal(size=(2, 3))
    g = np.random.default_rng(1).normal(size=(2, 3))
    for name in ("sum", "mean", "max", "min", "logsumexp"):
        t = leaf(x)
        y = OPS[name](t, axis=())
        close(y.data, x)
        y.backward(g)
        close(t.grad, g)


def test_trap_21_empty_arrays() -> None:
    """sum of nothing is 0, mean of nothing NaN with NumPy's warning, max of nothing an error that names the op."""
    for shape, axis in (((0,), None), ((0, 3), 0), ((3, 0), 1)):
        x = leaf(np.zeros(shape))
        y = x.sum(axis=axis)
        same(y.data, np.zeros(y.shape))
        (d,) = tg.grad(y, x, np.ones(y.shape))
        assert d.shape == shape
        with pytest.warns(RuntimeWarning):
            y = x.mean(axis=axis)
        assert np.isnan(y.data).all()
        for f in (x.max, x.min):
            with pytest.raises(ValueError, match=rf"^{f.__name__}: .*{str(shape)[1:-1]}"):
                f(axis=axis)
    x = leaf(np.zeros((0, 3)))
    same(x.sum(axis=1).data, np.zeros(0))
    assert x.max(axis=1).shape == (0,)  # each of no rows has a maximum
    like_torch(lambda t: t @ t.T, lambda t: t @ t.T, np.zeros((3, 0)))  # a product over nothing is zeros
    like_torch(lambda t: tg.concatenate([t, t]), lambda t: torch.cat([t, t]), np.zeros((0, 2)))
    with pytest.raises(ValueError, match="logsumexp"):
        leaf(np.zeros(0)).logsumexp()


def test_trap_22_shapes() -> None:
    """expand_dims(-1) appends, transpose takes negative axes, reshape takes -1."""
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    like_torch(lambda t: tg.expand_dims(t, -1), lambda t: t.unsqueeze(-1), x)
    like_torch(lambda t: tg.expand_dims(t, -2), lambda t: t.unsqueeze(-2), x)
    like_torch(lambda t: tg.expand_dims(t, 0), lambda t: t.unsqueeze(0), x)
    like_torch(lambda t: t.transpose(-1, 0, -2), lambda t: t.permute(-1, 0, -2), x)
    like_torch(lambda t: t.transpose(), lambda t: t.permute(2, 1, 0), x)
    like_torch(lambda t: t.swapaxes(-1, 0), lambda t: t.swapaxes(-1, 0), x)
    like_torch(lambda t: tg.moveaxis(t, -1, 0), lambda t: t.movedim(-1, 0), x)
    like_torch(lambda t: t.mT, lambda t: t.mT, x)
    like_torch(lambda t: t.reshape(-1, 6), lambda t: t.reshape(-1, 6), x)
    like_torch(lambda t: t.reshape((4, -1)), lambda t: t.reshape(4, -1), x)
    like_torch(lambda t: t.reshape(-1), lambda t: t.reshape(-1), x)
    like_torch(lambda t: t.reshape(()), lambda t: t.reshape(()), x[:1, :1, :1])
    like_torch(lambda t: t.ravel(), lambda t: t.ravel(), x)


def test_trap_22_layouts() -> None:
    """Fortran order, negative strides and overlapping windows are inputs like any other."""
    base = np.random.default_rng(0).normal(size=(4, 6))
    windows = np.lib.stride_tricks.sliding_window_view(base[0], 3)  # memory that overlaps, and is read-only
    layouts = [
        np.asfortranarray(base),
        base[::-1, ::-2],
        base.T,
        base[:, ::3],
        np.broadcast_to(base[0], (3, 6)),
        windows,
    ]
    for x in layouts:
        for f, g in [
            (lambda t: t * t, lambda t: t * t),
            (lambda t: t.reshape(-1) ** 2, lambda t: t.reshape(-1) ** 2),
            (lambda t: t @ t.T, lambda t: t @ t.T),
            (lambda t: t.sum(axis=0) * t.max(axis=0), lambda t: t.sum(0) * t.amax(0)),
            (lambda t: t[1:, ::2].exp(), lambda t: t[1:, ::2].exp()),
        ]:
            contiguous = np.ascontiguousarray(x)
            expected = like_torch(f, g, contiguous)
            t = tg.as_tensor(x)  # shares the odd memory; Tensor(x) would copy it
            t.requires_grad = True
            y = f(t)
            y.backward(np.random.default_rng(0).normal(size=y.shape))
            close(t.grad, expected[0])
            assert t.grad.flags.writeable
            assert not np.shares_memory(t.grad, base)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((3,), (5, 3, 4)), ((5, 2, 3), (3,)),
        ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((1, 2, 3), (5, 3, 4)), ((6, 1, 2, 3), (5, 3, 4)),
        ((1, 1), (1, 1)), ((1,), (1,)), ((0, 3), (3, 4)), ((2, 0), (0, 4)), ((5, 2, 1), (1, 4)),
    ],
)  # fmt: skip
def test_trap_23_matmul(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """Vectors on either side, batches, and batches that broadcast; also through a recorded sweep."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=a), rng.normal(size=b)
    like_torch(lambda s, t: s @ t, lambda s, t: s @ t, x, y, rtol=1e-12)
    s, t = leaf(x), leaf(y)
    out = s @ t
    g = rng.normal(size=out.shape)
    plain = tg.grad(out, [s, t], g, retain_graph=True)
    recorded = tg.grad(out, [s, t], g, create_graph=True)
    for p, r in zip(plain, recorded):
        assert p.shape == r.shape
        close(p.data, r.data)


def test_trap_23_matmul_refuses_scalars() -> None:
    """0-d operands raise and say what to write instead; sizes that differ raise with both shapes."""
    x = leaf([1.0, 2.0])
    for f in (
        lambda: x @ leaf(2.0),
        lambda: leaf(2.0) @ x,
        lambda: x @ 2.0,
        lambda: 2.0 @ x,
        lambda: np.matmul(x, 2.0),
    ):
        with pytest.raises(ShapeError, match=r"matmul: .*use \* instead"):
            f()
    with pytest.raises(ShapeError, match=r"matmul: \(32, 784\) @ \(10, 784\): inner sizes 784 and 10.*W\.T"):
        leaf(np.ones((32, 784))) @ np.ones((10, 784))
    with pytest.raises(ShapeError, match=r"matmul: \(2,\) @ \(3, 4\): inner sizes 2 and 3"):
        x @ np.ones((3, 4))
    with pytest.raises(ShapeError, match=r"batch axes \(2,\) and \(3,\)"):
        leaf(np.ones((2, 4, 5))) @ np.ones((3, 5, 4))


def test_trap_24_indexing() -> None:
    """Repeated indices add up; masks, None, Ellipsis, negative steps, tuples, lists, Tensors and 0-d results."""
    x = leaf([5.0, 6.0, 7.0])
    x[[0, 0, 1]].sum().backward()
    same(x.grad, [2.0, 1.0, 0.0])
    a = np.random.default_rng(0).normal(size=(3, 4, 2))
    places = np.arange(a.size).reshape(a.shape)
    rows, columns = np.array([0, 2, 2]), np.array([1, 1, 1])
    indices: list[Any] = [
        0, -1, (1, 2, 1), (1, 2), slice(None), slice(None, None, -1), slice(2, 0, -1), slice(5, 9), slice(0, 0),
        None, (None, 0), (Ellipsis, 0), (0, Ellipsis, 1), (Ellipsis, None), (slice(None, None, -2), None, Ellipsis, 1),
        [0, 2, 0], ([0, 1], [2, 2]), (rows, columns), (rows[:, None], columns), (slice(None), [3, 3, 0]),
        (rows, slice(None), 0), np.array(1), np.array([[0, 1], [2, 2]]), [], ([], slice(None)),
        a[..., 0] > 0, a > 0, (a > 0)[:, 0, 0], (0, a[0] > 0), [True, False, True], np.zeros((3, 4, 2), bool), True,
        False, np.int64(1), (np.uint8(2), np.int32(0)), [[0, 1], [1, 1]], ((0, 1), 1),
    ]  # fmt: skip
    for index in indices:
        taken = torch.from_numpy(np.array(places[index]))
        like_torch(lambda t, i=index: t[i], lambda t, p=taken: t.reshape(-1)[p], a)
    for index in indices[:24]:  # a Tensor of integers or booleans is an index like the array it holds
        if isinstance(index, np.ndarray):
            same(leaf(a)[tg.Tensor(index)].data, a[index])
    t = leaf(a)
    same(t[t > 0].data, a[a > 0])
    same(t[tg.Tensor(1)].data, a[1])
    same(t[tg.Tensor([0, 0]), tg.Tensor([1, 2])].data, a[[0, 0], [1, 2]])
    assert t[0, 0, 0].shape == ()
    assert isinstance(t[0, 0, 0].data, np.ndarray)
    same(t[[0, 1]].data, a[[0, 1]])
    same(t[(0, 1)].data, a[0, 1])  # a tuple is two indices, a list is one
    with pytest.raises(IndexError, match=r"getitem.*out of bounds"):
        t[3]
    with pytest.raises(IndexError, match="getitem"):
        t[1.5]
    with pytest.raises(IndexError, match="getitem"):
        t[0, 0, 0, 0]


def test_trap_24_an_index_is_copied() -> None:
    """The rule must find the index as it was: editing the caller's array between forward and backward is harmless."""
    index = np.array([0, 0, 1])
    mask = np.array([True, False, True])
    x = leaf([5.0, 6.0, 7.0])
    y, z = x[index], x[mask]
    index[:] = 2
    mask[:] = False
    (y * [1.0, 2.0, 4.0]).sum().backward()
    same(x.grad, [3.0, 4.0, 0.0])
    x.grad = None
    (z * [1.0, 2.0]).sum().backward()
    same(x.grad, [1.0, 0.0, 2.0])


def test_trap_24_labels_are_not_shared() -> None:
    """Labels that the caller reuses for the next batch do not change the gradient of this one."""
    labels = np.array([0, 1])
    z = leaf([[0.5, 1.0], [2.0, 0.1]])
    loss = functional.cross_entropy(z, labels)
    expected = tg.grad(loss, z, retain_graph=True)[0].data.copy()
    labels[:] = 0
    loss.backward()
    close(z.grad, expected)


# ------------------------------------------------------------------------------------------ values


def test_trap_25_ties() -> None:
    """max, min, maximum and minimum split the gradient evenly between ties; argmax takes the first."""
    tied = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    g = np.array([4.0, 6.0])
    (d,) = like_torch(lambda t: t.max(axis=1), lambda t: t.amax(1), tied, g=g)
    same(d, [[0.0, 2.0, 2.0], [2.0, 2.0, 2.0]])
    (d,) = like_torch(lambda t: (-t).min(axis=1), lambda t: (-t).amin(1), tied, g=g)
    same(d, [[0.0, -2.0, -2.0], [-2.0, -2.0, -2.0]])
    like_torch(lambda t: t.max(), lambda t: t.amax(), np.full((2, 3), 7.0))
    like_torch(lambda t: t.max(axis=(0, 1), keepdims=True), lambda t: t.amax((0, 1), keepdim=True), tied)
    a, b = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
    like_torch(lambda s, t: np.maximum(s, t), torch.maximum, a, b)
    like_torch(lambda s, t: np.minimum(s, t), torch.minimum, a, b)
    like_torch(lambda t: np.maximum(t, 2.0), lambda t: torch.maximum(t, torch.tensor(2.0)), a)
    like_torch(lambda s, t: np.maximum(s, t), torch.maximum, np.array([inf, -inf]), np.array([inf, -inf]))
    assert tg.Tensor(tied).argmax(axis=1).tolist() == [1, 0]
    assert tg.Tensor(tied).argmin(axis=1).tolist() == [0, 0]


def test_trap_26_kinks() -> None:
    """relu at 0 gives 0, relu(-inf) is 0, NaN stays NaN; abs at 0 gives 0; clip passes at its bounds."""
    x = np.array([-inf, -1.0, -0.0, 0.0, 2.0, inf])
    (d,) = like_torch(lambda t: t.relu(), torch.relu, x)
    assert d[2] == d[3] == 0
    same(leaf([-inf, nan]).relu().data, [0.0, nan])
    (d,) = like_torch(lambda t: abs(t), torch.abs, x)
    assert d[2] == d[3] == 0
    (d,) = like_torch(lambda t: t.clip(-1, 2), lambda t: t.clamp(-1, 2), x)
    assert d[1] != 0
    assert d[4] != 0
    (d,) = like_torch(lambda t: np.sign(t), torch.sign, x)
    same(d, np.zeros(6))
    like_torch(lambda t: tg.leaky_relu(t, 0.1), lambda t: F.leaky_relu(t, 0.1), x[1:5])
    for f in (lambda t: t.relu(), lambda t: abs(t), lambda t: t.clip(-1, 2), np.sign, lambda t: np.maximum(t, 0.0)):
        assert np.isnan(f(leaf([nan])).data).all()
    low, high = np.array([-1.0, 0.0, 1.0]), np.array([1.0, 1.0, 1.0])
    like_torch(lambda t, lo, hi: t.clip(lo, hi), torch.clamp, np.array([-1.0, 0.5, 1.0]), low, high)


def test_trap_27_zeros_and_powers() -> None:
    """sqrt and log at 0 have the slope inf, without an exception; x**0 has 0; x**y by y is 0 at x = 0 and NaN below."""
    (d,) = like_torch(lambda t: t.sqrt(), torch.sqrt, np.array([0.0, 4.0]), g=[2.0, 3.0])
    assert d[0] == inf
    with np.errstate(divide="ignore"):  # of log(0) itself, NumPy warns
        (d,) = like_torch(lambda t: t.log(), torch.log, np.array([0.0, 4.0]), g=[2.0, 3.0])
    assert d[0] == inf
    x = np.array([0.0, -2.0, 3.0])
    for exponent in (0, 0.0, 1, 2, 3, 2.0, -1):
        start = 1 if exponent == -1 else 0
        like_torch(lambda t, e=exponent: t**e, lambda t, e=exponent: t**e, x[start:])
    (d,) = like_torch(lambda t: t**0, lambda t: t**0, x)
    same(d, np.zeros(3))
    bases = np.array([0.0, 0.0, 0.0, -2.0, -2.0, 3.0])
    exponents = np.array([0.0, 2.0, 1.0, 2.0, 0.0, 1.5])
    d, e = like_torch(lambda a, b: a**b, lambda a, b: a**b, bases, exponents)
    same(e[:3], np.zeros(3))
    assert np.isnan(e[3:5]).all()
    assert d[0] == 0
    # second order: (x^2)'' = 2 and (x^3)'' = 0 at 0, (x^1)'' = 0 and (x^0)'' = 0 everywhere
    for exponent, expected in ((0, 0.0), (1, 0.0), (2, 2.0), (3, 0.0), (2.0, 2.0), (np.array([2.0]), 2.0)):
        t = leaf([0.0])
        (first,) = tg.grad((t**exponent).sum(), t, create_graph=True)
        second = tg.grad(first.sum(), t, allow_unused=True)[0] if first.requires_grad else None
        assert (0.0 if second is None else second.item()) == expected


def test_trap_28_where_selects() -> None:
    """The branch that was not taken gets exactly 0, even where its value or the cotangent is infinite."""
    mask = np.array([True, False, True])
    a, b = np.array([1.0, inf, nan]), np.array([nan, 2.0, inf])
    da, db = like_torch(
        lambda s, t: tg.where(mask, s, t), lambda s, t: torch.where(torch.tensor(mask), s, t), a, b, g=[inf, -inf, 3.0]
    )
    same(da, [inf, 0.0, 3.0])
    same(db, [0.0, -inf, 0.0])
    # The double where: without the inner one, 0 * inf = NaN comes from the rule of sqrt.
    x = leaf([0.0, 4.0])
    tg.where(x > 0, np.sqrt(tg.where(x > 0, x, 1.0)), 0.0).backward([2.0, 3.0])
    same(x.grad, [0.0, 0.75])
    assert "double where" in (tg.where.__doc__ or "")
    condition = tg.Tensor(mask)  # and the condition may be a Tensor
    same(tg.where(condition, tg.Tensor([1.0, 2.0, 3.0]), 0.0).data, [1.0, 0.0, 3.0])


@pytest.mark.parametrize("axis", [-1, 0])
def test_trap_30_extreme_logits(axis: int) -> None:
    """softmax, log_softmax and logsumexp of logits of 1e4, and with some -inf, are finite and silent."""
    z = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [5.0, -3.0, 1e4]])
    holes = np.array([[-inf, 1.0, 2.0], [0.5, -inf, -inf], [1e4, 0.0, -1e4]])
    for x in (z, holes, z.T, holes.T):
        # e^(x - m) of numbers of 1e4, which are known to 1e-12
        like_torch(lambda t: t.softmax(axis), lambda t: t.softmax(axis), x, rtol=1e-11)
        like_torch(lambda t: t.logsumexp(axis), lambda t: t.logsumexp(axis), x, rtol=1e-11)
        like_torch(lambda t: t.log_softmax(axis), lambda t: t.log_softmax(axis), x, rtol=1e-11)
    like_torch(lambda t: t.logsumexp(), lambda t: t.logsumexp((0, 1)), holes, rtol=1e-11)


def test_trap_30_nothing_but_minus_infinity() -> None:
    """logsumexp of nothing is -inf with the gradient 0 (PyTorch: NaN); softmax of it is NaN, as documented."""
    x = leaf([-inf, -inf])
    y = x.logsumexp()
    assert y.item() == -inf
    y.backward()
    same(x.grad, [0.0, 0.0])
    for name in ("softmax", "log_softmax"):
        assert "-inf" in (OPS[name].__doc__ or "")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # NumPy says "invalid value", and is right
            assert np.isnan(OPS[name](x).data).all()


def test_trap_31_saturated_sigmoids() -> None:
    """sigmoid at 1000 and its cross-entropy have their exact limits, and no overflow is reported."""
    x = np.array([-1000.0, -1.0, 0.0, 1.0, 1000.0])
    for dtype in (np.float64, np.float32):
        z = x.astype(dtype)
        rtol = 1e-13 if dtype == np.float64 else 1e-5  # float32 knows 1 - 0.7 to 3e-7
        like_torch(lambda t: t.sigmoid(), torch.sigmoid, z, rtol=rtol)
        like_torch(lambda t: t.softplus(), F.softplus, z, rtol=rtol)
        for target in (0.0, 1.0, 0.3):
            t = np.full(5, target, dtype)
            for reduction in ("sum", "none", "mean"):
                like_torch(
                    lambda s, t=t, r=reduction: functional.binary_cross_entropy_with_logits(s, t, r),
                    lambda s, t=t, r=reduction: F.binary_cross_entropy_with_logits(s, torch.tensor(t), reduction=r),
                    z,
                    rtol=rtol,
                )
    x = leaf([1000.0, -1000.0, 1000.0, -1000.0])
    functional.binary_cross_entropy_with_logits(x, [0.0, 1.0, 1.0, 0.0], "sum").backward()
    same(x.grad, [1.0, -1.0, 0.0, 0.0])
    y = np.array([0.0, 1.0, 0.0, 1.0, 0.5])
    t = np.array([0.0, 1.0, 1.0, 0.0, 0.3])
    like_torch(
        lambda s: functional.binary_cross_entropy(s, t),
        lambda s: F.binary_cross_entropy(s, torch.tensor(t)),
        y,
        rtol=1e-8,  # torch divides by 1e-12 as float32 knows it
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_trap_32_labels_of_any_integer_type(dtype: str) -> None:
    """Eager and compiled: NumPy makes floats of uint64 and int64 added up, which name no place."""
    z0, labels = np.random.default_rng(0).normal(size=(3, 4)), np.array([3, 0, 2])

    def loss_and_gradient(labels: Any, wrap: Callable[[Any], Any]) -> tuple[Any, Any]:
        z = leaf(z0)

        def step(labels: Any) -> Any:
            z.grad = None
            loss = functional.cross_entropy(z, labels)
            loss.backward()
            return loss

        loss = wrap(step)(labels)
        return loss.numpy(), z.grad

    expected = loss_and_gradient(labels, lambda step: step)
    for wrap in (lambda step: step, tg.compile):
        for a, b in zip(loss_and_gradient(labels.astype(dtype), wrap), expected):
            same(a, b)
    q = leaf(z0)
    same(functional.nll_loss(q, labels.astype(dtype)).data, functional.nll_loss(q, labels).data)
    with pytest.raises(ValueError, match=r"label 4 at position 1 is outside 0\.\.3"):
        functional.cross_entropy(q, np.array([0, 4, 1], dtype))


def test_trap_32_labels_out_of_range() -> None:
    """A class number outside 0..C-1 raises with its position: NumPy would take -1 for the last class."""
    z = leaf(np.zeros((32, 10)))
    for bad in (10, -1, 1000):
        labels = np.zeros(32, dtype=int)
        labels[3] = bad
        for f in (functional.cross_entropy, functional.nll_loss):
            with pytest.raises(ValueError, match=rf"label {bad} at position 3 is outside 0\.\.9.*\(32, 10\)"):
                f(z, labels)
        with pytest.raises(ValueError, match=rf"label {bad}"):
            tg.one_hot(labels, 10)
    for labels in (np.zeros((32, 1), int), np.zeros(31, int), np.zeros((32, 10), int), 0):
        with pytest.raises(ShapeError, match=r"labels of shape .*\(32, 10\)"):
            functional.cross_entropy(z, labels)
    with pytest.raises(ShapeError, match=r"\(32, 9\).*\(32, 10\)"):
        functional.cross_entropy(z, np.zeros((32, 9)))
    assert z.grad is None


def test_trap_32_targets_that_do_not_sum_to_one() -> None:
    """The gradient by the logits is p sum(t) - t: p - t would be right for distributions only."""
    rng = np.random.default_rng(0)
    z, t = rng.normal(size=(4, 3)), rng.random((4, 3)) * 2
    for reduction in ("mean", "sum", "none"):
        like_torch(
            lambda a, b, r=reduction: functional.cross_entropy(a, b, r),
            lambda a, b, r=reduction: F.cross_entropy(a, b, reduction=r),
            z,
            t,
        )
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    x = leaf(z)
    functional.cross_entropy(x, t, "sum").backward()
    close(x.grad, p * t.sum(axis=1, keepdims=True) - t, rtol=1e-12)


def test_trap_33_deviations() -> None:
    """std of a constant has the gradient 0; with ddof >= n the value is NaN with a warning, and so is the gradient."""
    (d,) = like_torch(lambda t: t.std(), lambda t: t.std(correction=0), np.full(3, 2.5))
    same(d, np.zeros(3))
    x = np.array([[2.5, 2.5], [1.0, 4.0]])
    like_torch(lambda t: t.std(axis=1, ddof=1), lambda t: t.std(1, correction=1), x)
    like_torch(lambda t: t.var(axis=1, ddof=1), lambda t: t.var(1, correction=1), x)
    for name, ddof in itertools.product(("var", "std"), (2, 3, 5)):
        t = leaf([1.0, 4.0])
        with pytest.warns(RuntimeWarning):
            y = OPS[name](t, ddof=ddof)
        assert np.isnan(y.item())
        y.backward()
        assert np.isnan(t.grad).all()
    one = leaf([1.5])
    with pytest.warns(RuntimeWarning):
        y = one.var(ddof=1)
    assert np.isnan(y.item())


def test_trap_34_float16_counts() -> None:
    """100,000 elements are more than float16 can count: means, shares and ties come out all the same."""
    n = 100_000
    x = leaf(np.ones(n, dtype=np.float16))
    mean = x.mean()
    assert mean.dtype == np.float16
    assert mean.item() == 1.0
    mean.backward(np.float16(4.0))
    same(x.grad, np.full(n, np.float16(4.0 / n)))
    x.grad = None
    x.max().backward(np.float16(60000.0))  # all tied
    same(x.grad, np.full(n, np.float16(60000.0 / n)))
    x = leaf((np.arange(n) % 2).astype(np.float16))
    variance = x.var()
    assert variance.dtype == np.float16
    same(variance.data, x.data.var())  # as NumPy accumulates it: 0.2499
    variance.backward(np.float16(60000.0))
    # float16 has 11 bits, and numbers below 6e-5 fewer
    np.testing.assert_allclose(x.grad.astype(float), 60000.0 * 2 / n * (np.arange(n) % 2 - 0.5), rtol=1e-2)
    data = np.random.default_rng(0).random(5000).astype(np.float16)
    for axis in (None, 0):
        same(leaf(data).sum(axis=axis).data, data.sum(axis=axis))  # accumulated as NumPy does


def test_trap_35_no_global_random_state() -> None:
    """Neither importing nor building and sweeping a graph touches NumPy's legacy global generator."""
    before = np.random.get_state()[1].copy()
    x = leaf(np.linspace(-1, 1, 6).reshape(2, 3))
    functional.cross_entropy((x @ x.T).tanh(), np.array([0, 1])).backward()
    tg.nn.Linear(3, 2, rng=0)
    same(np.random.get_state()[1], before)
    same(tg.nn.Linear(3, 2, rng=0).weight.data, tg.nn.Linear(3, 2, rng=np.random.default_rng(0)).weight.data)


# ------------------------------------------------------------------ rows that the wider table completes


def second_like_torch(
    ours: Callable[..., Any], theirs: Callable[..., Any], *arrays: Any, rtol: float = 1e-13, atol: float = 1e-13
) -> list[np.ndarray]:
    """Check value, gradients and second derivatives (by inputs and cotangent) against PyTorch's double backward."""
    like_torch(ours, theirs, *arrays, rtol=rtol)
    rng = np.random.default_rng(1)
    xs, ts = [leaf(a) for a in arrays], [torch.tensor(np.array(a), requires_grad=True) for a in arrays]
    y, z = ours(*xs), theirs(*ts)
    g = rng.normal(size=y.shape)
    weights = [rng.normal(size=x.shape) for x in xs]
    c, tc = leaf(g), torch.tensor(g, requires_grad=True)
    first = tg.grad(y, xs, c, create_graph=True)
    total = sum(((d * w).sum() for d, w in zip(first, weights)), start=tg.Tensor(0.0))
    found = tg.grad(total, [*xs, c], allow_unused=True)
    their_first = torch.autograd.grad(z, ts, tc, create_graph=True)
    their_total = sum((d * torch.tensor(w)).sum() for d, w in zip(their_first, weights))
    expected = torch.autograd.grad(their_total, [*ts, tc], allow_unused=True)
    seconds = []
    for x, d, e in zip([*xs, c], found, expected):
        mine = np.zeros(x.shape) if d is None else d.data
        # the same sums of products, in another order: what cancels leaves an error that is small beside 1
        np.testing.assert_allclose(mine, np.zeros(x.shape) if e is None else e.numpy(), rtol=rtol, atol=atol)
        seconds.append(mine)
    return seconds


STEPS: dict[str, Callable[[Any], Any]] = {
    "t[0] = v": lambda t: t.__setitem__(0, 9.0),
    "t[...] = v": lambda t: t.__setitem__(Ellipsis, 9.0),
    "t[mask] = v": lambda t: t.__setitem__(t.data > 1 if isinstance(t, tg.Tensor) else t > 1, 9.0),
    "t += v": lambda t: t.__iadd__(1.0),
    "t -= v": lambda t: t.__isub__(1.0),
    "t *= v": lambda t: t.__imul__(3.0),
    "t /= v": lambda t: t.__itruediv__(3.0),
}
# What stands between a value and the loss, and whether its rule reads that value.
READERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "multiply": (lambda u: u * u, lambda u: u * u),
    "exp": (lambda u: u.exp(), lambda u: u.exp()),
    "sin": (lambda u: u.sin(), lambda u: u.sin()),
    "add": (lambda u: u + 2.0, lambda u: u + 2.0),
    "cumsum": (lambda u: tg.cumsum(u, axis=0), lambda u: torch.cumsum(u, 0)),
    "cumprod": (lambda u: tg.cumprod(u, axis=0), lambda u: torch.cumprod(u, 0)),
    "prod": (lambda u: tg.prod(u) * np.ones(3), lambda u: torch.prod(u) * torch.ones(3, dtype=torch.float64)),
    "vector_norm": (lambda u: tg.norm(u) * np.ones(3), lambda u: u.norm() * torch.ones(3, dtype=torch.float64)),
    "einsum": (lambda u: tg.einsum("i,i->i", u, u), lambda u: torch.einsum("i,i->i", u, u)),
    "sort": (lambda u: tg.sort(u), lambda u: torch.sort(u)[0]),
    "getitem": (lambda u: u[[2, 0, 0]], lambda u: u[[2, 0, 0]]),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("reader", READERS)
def test_trap_10_every_way_to_edit(reader: str, step: str) -> None:
    """After each kind of edit a sweep is refused, or gives the gradient that a graph without the edit gives."""
    ours, theirs = READERS[reader]
    g = np.array([2.0, -3.0, 5.0])
    for how in ("recorded", "no_grad", "detached"):
        x, t = leaf([1.5, 0.7, 2.5]), torch.tensor([1.5, 0.7, 2.5], dtype=torch.float64, requires_grad=True)
        u, v = x * 1.0, t * 1.0
        y = ours(u)
        theirs(v).backward(torch.tensor(g))
        if how == "recorded":
            STEPS[step](u)
        elif how == "no_grad":
            with tg.no_grad():
                STEPS[step](u)
        else:
            STEPS[step](u.detach())
        # These rules read no value, or only the output, which nobody has edited; sort knows where each number stood.
        if reader in ("add", "cumsum", "sort", "getitem", "exp"):
            y.backward(g)
            close(x.grad, t.grad.numpy())
        else:
            with pytest.raises(GraphError, match=rf"{reader}'s input \d was edited"):
                y.backward(g)
            assert x.grad is None


def test_trap_10_an_edit_between_two_orders_is_detected() -> None:
    """The second sweep reads the values, too: an edit after the first one is found by the second."""
    x = leaf([1.5, 0.7])
    (first,) = tg.grad(x**3, x, [2.0, 3.0], create_graph=True)
    x.data -= 0.5
    with pytest.raises(GraphError, match=r"edited"):
        first.backward([1.0, -1.0])
    assert x.grad is None


def test_trap_10_a_view_from_before_is_refused() -> None:
    """A view that was taken before a recorded write has another history than its memory: using it raises."""
    x = leaf([1.5, 0.7])
    u = x * 1.0
    view = u[:1]
    u[0] = 3.0
    with pytest.raises(GraphError, match=r"multiply.*shares memory"):
        view * 2.0
    close((u[:1] * 2.0).data, [6.0])  # taken again, it is fine


# Every kind of index, with a value that has the shape of what it names, or broadcasts to it.
WRITTEN: list[Any] = [
    0, -1, (1, 2, 1), (1, 2), slice(None), slice(None, None, -1), slice(2, 0, -1), slice(0, 0), Ellipsis, (),
    None, (Ellipsis, 0), (0, Ellipsis, 1), (slice(None, None, -2), Ellipsis, 1), [2, 0], ([0, 1], [2, 3]),
    (np.array([0, 2])[:, None], np.array([1, 3])), (slice(None), [3, 0]), ([2, 0], slice(None), 0), np.array(1), [],
    "mask", "row mask", (0, slice(1, None, 2)), [True, False, True], np.int64(1), ([0, 2], slice(None), [1, 0]),
]  # fmt: skip


@pytest.mark.parametrize("index", WRITTEN, ids=str)
@pytest.mark.parametrize("broadcast", [False, True])
def test_trap_11_writing_into_a_result(index: Any, broadcast: bool) -> None:
    """`t[i] = v` is recorded: what was overwritten gets 0, v what stood in its places; at both orders, as PyTorch's."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, 4, 2))
    index = {"mask": a > 0, "row mask": a[:, 0, 0] > 0}.get(index, index) if isinstance(index, str) else index
    shape = a[index].shape
    value = rng.normal(size=shape[1:] if broadcast else shape)
    places = torch.from_numpy(np.array(np.arange(a.size).reshape(a.shape)[index]))

    def ours(t: Any, v: Any) -> Any:
        u = t * t
        u[index] = v * 2.0
        return u * u

    def theirs(t: Any, v: Any) -> Any:  # the flat places, since PyTorch has neither negative steps nor 0-d masks
        u = (t * t).reshape(-1)
        u = u.index_put((places.reshape(-1),), (v * 2.0).broadcast_to(places.shape).reshape(-1))
        return (u * u).reshape(t.shape)

    second_like_torch(ours, theirs, a, value)


def test_trap_11_in_place_operators() -> None:
    """+=, -=, *= and /= on a result are recorded, keep the object, and give PyTorch's gradients."""

    def chain(t: Any, s: Any) -> Any:
        u = t * t
        kept = u
        u += s
        u *= t
        u -= 0.5
        u /= s
        u *= 3.0
        assert kept is u
        return u

    rng = np.random.default_rng(0)
    second_like_torch(chain, chain, rng.normal(size=(2, 3)), 1 + rng.random((2, 3)))
    second_like_torch(chain, chain, rng.normal(size=(2, 3)), 1 + rng.random(3))
    second_like_torch(chain, chain, 1.5, 0.7)

    def loop(t: Any) -> Any:  # the loop that fills a result row by row
        u = t * 0.0
        for i in range(3):
            u[i] = t[i].sin() + (u[i - 1] * 0.5 if i else 0.0)
        return u * u

    second_like_torch(loop, loop, rng.normal(size=(3, 2)))
    shifted = leaf([1.0, 2.0, 3.0])
    u = shifted * 2.0
    u[1:] = u[:-1]  # the memory overlaps (PyTorch refuses): NumPy's meaning, the old values moved on by one
    same(u.data, [2.0, 2.0, 4.0])
    u.backward([1.0, 10.0, 100.0])
    same(shifted.grad, [22.0, 200.0, 0.0])
    u = leaf([[1.0, 2.0]]) * 2.0
    with pytest.raises(ShapeError, match=r"\(4, 2\).*\(1, 2\)"):  # in place, nothing can grow
        u += np.ones((4, 2))


def test_trap_11_writing_into_constants_and_leaves() -> None:
    """A constant becomes a result when a gradient is written into it; a leaf refuses, except inside of no_grad."""

    def fill(zeros: Callable[[], Any]) -> Callable[[Any], Any]:
        def f(t: Any) -> Any:
            u = zeros()
            u[0] = t[0] * 2.0
            u[2] = t[1] * t[0]
            return u

        return f

    x = np.array([1.5, -0.7])
    second_like_torch(fill(lambda: tg.Tensor(np.zeros(3))), fill(lambda: torch.zeros(3, dtype=torch.float64)), x)
    w = leaf([1.0, 2.0])
    edits: list[Callable[[Any], Any]] = [*STEPS.values(), lambda t: t.__setitem__([0], leaf([1.0]))]
    for edit in edits:
        with pytest.raises(GraphError, match=r"setitem: this leaf needs a gradient.*no_grad"):
            edit(w)
        same(w.data, [1.0, 2.0])
        with tg.no_grad():
            edit(w)
        assert w.is_leaf
        assert w.requires_grad
        w.data = np.array([1.0, 2.0])
    for mine in (w.reshape(2, 1), w[:1], w.T):  # these share the memory of the leaf
        with pytest.raises(GraphError, match=r"setitem: .*shares memory with a leaf"):
            mine[0] = 1.0
    same(w.data, [1.0, 2.0])
    base = w * 2.0
    view = base.reshape(2, 1)
    view[0] = 1.0
    same(base.data, [1.0, 4.0])  # whoever shares the memory sees it ...
    with pytest.raises(GraphError, match=r"multiply: input 1 shares memory with a tensor that was assigned to"):
        base * 3.0  # ... but does not know whose gradient it is
    same(tg.grad(view, w, np.array([[5.0], [7.0]]))[0].data, [0.0, 14.0])
    u = w * 2.0
    with pytest.raises(IndexError, match=r"setitem.*out of bounds"):
        u[5] = 1.0
    with pytest.raises(ShapeError, match=r"setitem.*\(3,\).*\(2,\)"):
        u[:] = np.ones(3)
    with pytest.raises(DtypeError, match="setitem"):
        u[0] = 1j
    same(u.data, [2.0, 4.0])  # none of the refusals has written anything
    u.backward([2.0, 3.0])
    same(w.grad, [4.0, 6.0])


VIEWS = ()


@pytest.mark.parametrize(
    "index",
    [
        pytest.param(slice(1, None), marks=VIEWS), pytest.param(0, marks=VIEWS), [0, 0, 1], [True, False, True],
        pytest.param(slice(None, None, -1), marks=VIEWS),
    ],
    ids=str,
)  # fmt: skip
def test_trap_11_in_place_on_a_part(index: Any) -> None:
    """`u[1:] += v` reads a part, adds, and writes it back, as in NumPy and in PyTorch."""
    places = np.arange(6).reshape(3, 2)[index]
    v = np.random.default_rng(0).normal(size=places.shape)

    def ours(t: Any, s: Any) -> Any:
        u = t * t
        u[index] += s
        u[index] *= 3.0
        return u * u

    def theirs(t: Any, s: Any) -> Any:
        u = (t * t).reshape(-1)
        for change in (lambda part: part + s.reshape(-1), lambda part: part * 3.0):
            flat = places.reshape(-1)
            last = {p: i for i, p in enumerate(flat)}  # what is named twice keeps what was written last
            one = torch.tensor(sorted(last.values()))
            u = u.index_put((torch.tensor(flat)[one],), change(u[torch.tensor(flat)])[one])
        return (u * u).reshape(t.shape)

    like_torch(ours, theirs, np.random.default_rng(1).normal(size=(3, 2)), v)


def test_trap_11_in_place_with_a_tensor_that_needs_a_gradient() -> None:
    """A constant times what needs a gradient, in place: the rule needs the constant as it was."""
    for name in ("__iadd__", "__isub__", "__imul__", "__itruediv__"):

        def f(t: Any, make: Callable[[Any], Any], name: str = name) -> Any:
            u = make([1.0, -2.0, 3.0])
            return getattr(u, name)(t)

        def double(data: Any) -> Any:
            return torch.tensor(data, dtype=torch.float64)

        like_torch(lambda t, f=f: f(t, tg.Tensor), lambda t, f=f: f(t, double), np.array([1.5, 0.7, 2.5]))


def test_trap_11_integers_take_no_fractions_in_place() -> None:
    """NumPy and PyTorch refuse to add a fraction to integers in place; so it is here."""
    u = tg.Tensor([1, 2, 3])
    with pytest.raises((DtypeError, TypeError)):
        u += 1.5
    same(u.data, [1, 2, 3])


def test_trap_11_integers_take_no_gradient() -> None:
    """Writing a number that needs a gradient into integers raises, or cuts the gradient as astype(int) does."""
    t = tg.Tensor([1, 2, 3])
    with suppress(DtypeError, GraphError):
        t[0] = leaf(2.5)
    assert not t.requires_grad


OPTIMISERS: dict[str, Callable[[Any], Any]] = {
    name: functools.partial(getattr(tg.optim, name), lr=0.1)
    for name in dir(tg.optim)
    if isinstance(getattr(tg.optim, name), type)
    and issubclass(getattr(tg.optim, name), tg.optim.Optimizer)
    and getattr(tg.optim, name) is not tg.optim.Optimizer
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_trap_11_every_optimiser_notes_its_step(name: str) -> None:
    """The step of each optimiser is seen by the second sweep of a retained graph."""
    w = leaf([[1.5, 0.7], [0.2, -0.4]])
    optimiser = OPTIMISERS[name]([w])
    loss = ((tg.Tensor([[1.0, 2.0]]) @ w).tanh() @ w * [2.0, 3.0]).sum()
    loss.backward(retain_graph=True)
    kept = w.grad.copy()
    optimiser.step()
    with pytest.raises(GraphError, match=r"edited"):
        loss.backward()
    same(w.grad, kept)  # the refused sweep has added nothing


def test_trap_12_the_whole_table_is_swept_twice() -> None:
    """No operation with a rule is left out of the generated tests of second derivatives."""
    swept = {param.values[0].name for param in CALLS}
    assert swept == {op.name for op in OPS.values() if op.differentiable}
    assert {"setitem", "getitem", "einsum", "cross_entropy", "svd", "topk", "recurrence"} <= swept


# Functions that are composed of operations: what they are made of has second derivatives, and so have they.
COMPOSED: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[tuple[int, ...]]]] = {
    "norm": (lambda x: tg.norm(x, axis=1), lambda x: torch.linalg.vector_norm(x, dim=1), [(2, 3)]),
    "frobenius": (lambda x: tg.norm(x), lambda x: torch.linalg.matrix_norm(x), [(2, 3)]),
    "quantile": (lambda x: tg.quantile(x, 0.3, axis=1), lambda x: torch.quantile(x, 0.3, dim=1), [(2, 5)]),
    "tensordot": (lambda a, b: tg.tensordot(a, b, 2), lambda a, b: torch.tensordot(a, b, 2), [(2, 3, 4), (3, 4, 2)]),
    "kron": (tg.kron, torch.kron, [(2, 3), (3, 2)]),
    "outer": (tg.outer, torch.outer, [(3,), (4,)]),
    "matrix_power": (lambda x: tg.matrix_power(x, 3), lambda x: torch.linalg.matrix_power(x, 3), [(3, 3)]),
    "multi_dot": (
        lambda a, b, c: tg.multi_dot([a, b, c]), lambda a, b, c: torch.linalg.multi_dot([a, b, c]),
        [(2, 3), (3, 4), (4, 2)],
    ),
    "trapezoid": (lambda y, x: tg.trapezoid(y, x), lambda y, x: torch.trapezoid(y, x), [(5,), (5,)]),
    "cosine_similarity": (
        lambda a, b: tg.cosine_similarity(a, b, axis=1), lambda a, b: F.cosine_similarity(a, b, dim=1), [(2, 3), (2, 3)]
    ),
    "smooth_l1_loss": (lambda a, b: tg.smooth_l1_loss(a, b), lambda a, b: F.smooth_l1_loss(a, b), [(2, 3), (2, 3)]),
    "diff": (lambda x: tg.diff(x, n=2) ** 2, lambda x: torch.diff(x, n=2) ** 2, [(2, 5)]),
    "roll, flip": (lambda x: tg.roll(x, 1) * tg.flip(x), lambda x: torch.roll(x, 1) * torch.flip(x, [0]), [(5,)]),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPOSED)
def test_trap_12_composed_functions(name: str) -> None:
    """Second derivatives of functions that are several operations, against PyTorch's."""
    ours, theirs, shapes = COMPOSED[name]
    rng = np.random.default_rng(5)
    # norms and similarities divide by lengths: three or four operations, each rounded, at two orders
    second_like_torch(ours, theirs, *(rng.normal(size=s) for s in shapes), rtol=1e-11, atol=1e-12)


def test_trap_14_parameters_and_modules() -> None:
    """A Parameter stays one, a network is copied with everything it has, and shared weights stay shared."""
    net = tg.nn.Sequential(tg.nn.Linear(3, 4, rng=0), tg.nn.Tanh(), tg.nn.Linear(4, 2, rng=1))
    for make in (copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))):
        made = make(net)
        for (name, p), (other, q) in zip(net.named_parameters(), made.named_parameters()):
            assert name == other
            assert type(q) is type(p) is tg.nn.Parameter
            assert q.requires_grad
            assert q.name == p.name
            assert q.dtype == p.dtype
            same(q.data, p.data)
            assert not np.shares_memory(q.data, p.data)
        x = np.random.default_rng(0).normal(size=(5, 3))
        same(made(x).data, net(x).data)
        made(x).backward(np.ones((5, 2)))
        assert all(p.grad is None for p in net.parameters())


def test_trap_14_results_of_every_kind_refuse() -> None:
    """What has a history is never copied without it: views, written tensors, swept and retained results raise."""
    x = leaf([1.5, -0.7])
    written = x.copy()
    written[0] = 2.0
    constant = tg.Tensor([0.0, 0.0])
    constant[0] = x[1]
    swept = x * 2.0
    swept.backward([1.0, 1.0])
    in_place = x * 2.0
    in_place += 1.0
    results = [x[:1], x.reshape(2, 1), x.T, written, constant, swept, in_place, tg.sort(x), tg.topk(x, 1).values]
    for t in results:
        for make in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(GraphError, match="result of"):
                make(t)
        same(copy.deepcopy(t.detach()).data, t.data)  # as the error advises
    with tg.no_grad():
        free = x * 2.0
    same(copy.deepcopy(free).data, free.data)  # nothing is lost here
    assert not copy.deepcopy(tg.argsort(x)).requires_grad


EINSUMS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ii->i", [(3, 3)]), ("ii", [(3, 3)]), ("ij->j", [(2, 3)]), ("ij->", [(2, 3)]), ("ij->ji", [(2, 3)]),
    ("iij->ij", [(3, 3, 2)]), ("iij->j", [(3, 3, 2)]), ("iji->j", [(3, 2, 3)]), ("iii->i", [(2, 2, 2)]),
    ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk", [(2, 3), (3, 4)]), ("ij,kj->ik", [(2, 3), (4, 3)]),
    ("i,j->ij", [(2,), (3,)]), ("i,i->", [(3,), (3,)]), ("ij,ij->i", [(2, 3), (2, 3)]), ("ii,ij->j", [(3, 3), (3, 2)]),
    ("ij,ij->ij", [(1, 3), (2, 3)]), ("ij,jk->ik", [(2, 1), (3, 4)]), ("ij,ij->", [(2, 1), (1, 3)]),
    ("i,i->i", [(1,), (3,)]), ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]), 
    ("...ij,...jk->...ik", [(5, 1, 2, 3), (2, 3, 4)]), ("...,...->...", [(2, 3), (3,)]),
    ("i...->...", [(2, 3, 4)]), ("...i->i...", [(2, 3, 4)]), ("...ii->...i", [(2, 3, 3)]),
    ("i...,i->...", [(3, 2), (3,)]), ("bij,bjk,bk->bi", [(2, 3, 4), (2, 4, 2), (2, 2)]),
    ("i,ij,j->", [(3,), (3, 4), (4,)]), ("ij,j,j->i", [(2, 3), (3,), (3,)]), (",ij->ij", [(), (2, 3)]), ("->", [()]),
    ("ij,kl->", [(2, 3), (2, 2)]), (" ij , jk -> ik ", [(2, 3), (3, 4)]), ("aB,Bc->ac", [(2, 3), (3, 4)]),
]  # fmt: skip


@pytest.mark.parametrize(("subscripts", "shapes"), EINSUMS, ids=[f"{s} {n}" for s, n in EINSUMS])
def test_trap_23_einsum(subscripts: str, shapes: list[tuple[int, ...]]) -> None:
    """Diagonals, traces, axes summed away, sizes of one, ellipses, several operands: value, first and second order."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in shapes]
    for einsum in (tg.einsum, np.einsum):
        second_like_torch(
            lambda *x, e=einsum: e(subscripts, *x),
            lambda *x: torch.einsum(subscripts.replace(" ", ""), *x),
            *arrays,
            # sums of up to 24 products in another order; the second order sums again
            rtol=1e-12,
        )


def test_trap_23_einsum_one_operand_twice() -> None:
    """The same tensor in both places receives both shares; a name in neither place is refused with the subscripts."""
    x = np.random.default_rng(0).normal(size=(3, 3))
    for subscripts in ("ij,jk->ik", "ij,ij->", "ij,ji->i", "ii,ij->j", "ii,jj->ij"):
        second_like_torch(
            lambda t, s=subscripts: tg.einsum(s, t, t), lambda t, s=subscripts: torch.einsum(s, t, t), x, rtol=1e-12
        )
    second_like_torch(lambda t: tg.einsum(t, [0, 1], t, [1, 2], [0, 2]), lambda t: t @ t, x, rtol=1e-12)
    t = leaf(x)
    for wrong in (lambda: tg.einsum("ij->k", t), lambda: tg.einsum("ijk->i", t), lambda: tg.einsum("ij,jk->ik", t)):
        with pytest.raises(ValueError, match="einsum"):
            wrong()
    with pytest.raises(ShapeError, match=r"einsum.*"):
        tg.einsum("ij,jk->ik", t, np.ones((4, 2)))


READ: list[Any] = [
    (), Ellipsis, (Ellipsis,), True, (None, True), (0, slice(None), [0, 1]), ([0, 1], slice(None), [1, 0]),
    (0, [[0, 1], [2, 3]]), (slice(np.int64(0), np.int64(2)),), (None, None, 1), (slice(None), None, [1, 1]),
    ([2], [[1], [3]], [0, 1]), (np.array([0, 2], np.uint8),), (slice(-1, None, -1), slice(None, None, 3)),
    (np.array([True, False, True]), 1), (np.array([True, False, True]), [0, 3]), range(2), ([-1, -1, 0], -1, -2),
]  # fmt: skip


@pytest.mark.parametrize("index", READ, ids=str)
def test_trap_24_more_indices(index: Any) -> None:
    """Axes that move to the front, 0-d masks, NumPy integers in slices, negative repeats: at both orders."""
    a = np.random.default_rng(0).normal(size=(3, 4, 2))
    places = torch.from_numpy(np.array(np.arange(a.size).reshape(a.shape)[index]))
    second_like_torch(lambda t: t[index] ** 2, lambda t: t.reshape(-1)[places] ** 2, a)

    def with_tensors(part: Any) -> Any:
        return tg.Tensor(part) if isinstance(part, (list, np.ndarray)) and np.size(part) else part

    swapped = tuple(with_tensors(p) for p in index) if isinstance(index, tuple) else with_tensors(index)
    same(leaf(a)[swapped].data, a[index])
    taken = leaf(a)[index]
    assert isinstance(taken.data, np.ndarray)
    assert taken.requires_grad


def test_trap_24_functions_that_index() -> None:
    """take, take_along_axis, gather, index_add, scatter and masked_fill add up what is named twice."""
    a = np.random.default_rng(0).normal(size=(3, 4))
    n = np.array([[0, 0, 3], [1, 2, 1], [3, 3, 3]])
    i = torch.tensor(n)
    second_like_torch(
        lambda t: tg.take(t, [2, 0, 2], axis=0) ** 2, lambda t: t.index_select(0, torch.tensor([2, 0, 2])) ** 2, a
    )
    second_like_torch(lambda t: tg.take(t, n) ** 2, lambda t: torch.take(t, i) ** 2, a)
    second_like_torch(lambda t: np.take_along_axis(t, n, 1) ** 2, lambda t: torch.take_along_dim(t, i, 1) ** 2, a)
    second_like_torch(lambda t: tg.gather(t, 1, n) ** 2, lambda t: torch.gather(t, 1, i) ** 2, a)
    second_like_torch(
        lambda t, s: tg.index_add(t, 0, [0, 2, 0], s) ** 2,
        lambda t, s: t.index_add(0, torch.tensor([0, 2, 0]), s) ** 2, a, 2 * a[::-1],
    )  # fmt: skip
    second_like_torch(
        lambda t, s: tg.scatter(t, 1, n, s, reduce="add") ** 2, lambda t, s: t.scatter_add(1, i, s) ** 2, a, a[:, 1:]
    )
    second_like_torch(
        lambda t: tg.masked_fill(t, a > 0, 2.0) ** 2, lambda t: t.masked_fill(torch.tensor(a > 0), 2.0) ** 2, a
    )


@pytest.mark.parametrize("axis", [-1, 0, None])
def test_trap_25_sort_and_topk_pick_one(axis: int | None) -> None:
    """sort and topk send each gradient to one of the ties (sort: in their order), and nothing is lost or doubled."""
    tied = np.array([[1.0, 3.0, 3.0, 2.0], [2.0, 2.0, 2.0, 2.0], [3.0, 1.0, 3.0, 0.0]])

    def stable(t: Any) -> Any:
        return torch.sort(t.reshape(-1) if axis is None else t, dim=axis or 0, stable=True)[0]

    like_torch(lambda t: tg.sort(t, axis=axis, stable=True), stable, tied)
    second_like_torch(lambda t: tg.sort(t, axis=axis, stable=True) ** 2, lambda t: stable(t) ** 2, tied)
    if axis is None:
        return
    for k, largest in itertools.product((1, 2, 3), (True, False)):
        t = leaf(tied)
        values, indices = tg.topk(t, k, axis=axis, largest=largest)
        expected = torch.topk(torch.tensor(tied), k, dim=axis, largest=largest)[0]
        same(values.data, expected.numpy())
        same(np.take_along_axis(tied, indices.data, axis), values.data)  # which of the ties is free: NumPy's or torch's
        g = np.random.default_rng(0).normal(size=values.shape)
        values.backward(g)
        right = np.zeros_like(tied)
        np.put_along_axis(right, indices.data, g, axis)
        same(t.grad, right)
        assert (t.grad != 0).sum() == g.size  # one element each, not shares
        assert not indices.requires_grad
    first = leaf(tied)
    place = np.expand_dims(first.argmax(axis=axis).data, axis)
    tg.take_along_axis(first, place, axis).backward(np.full(place.shape, 5.0))
    assert (first.grad == 5.0).sum() == place.size


def test_trap_26_and_27_with_anomalies_watched() -> None:
    """detect_anomaly stops where a slope of infinity or a NaN is made; without it the same sweep is silent."""
    for f, name in ((np.sqrt, "sqrt"), (lambda t: t**0.5, "power"), (tg.cbrt, "cbrt")):
        x = leaf([0.0, 4.0])
        f(x).backward([2.0, 3.0])
        assert x.grad[0] == inf
        x.grad = None
        with tg.detect_anomaly(), pytest.raises(tg.AnomalyError, match=rf"{name}.*infinity"):
            f(x).backward([2.0, 3.0])
        assert x.grad is None


ZEROS = {
    "none": [[1.5, 2.0, -3.0, 0.5]], "one": [[1.5, 0.0, -3.0, 0.5]], "two": [[0.0, 2.0, 0.0, 0.5]],
    "first": [[0.0, 2.0, 3.0, 0.5]], "last": [[1.5, 2.0, 3.0, 0.0]], "three": [[0.0, 0.0, 3.0, 0.0]],
    "all": [[0.0, 0.0, 0.0, 0.0]], "rows": [[1.5, 0.0, 2.0], [0.0, 0.0, 4.0], [-1.0, 2.0, 3.0]],
}  # fmt: skip


@pytest.mark.parametrize("zeros", ZEROS)
def test_trap_29_products_with_zeros(zeros: str) -> None:
    """prod and cumprod with any number of zeros: gradients and second derivatives are PyTorch's, and finite."""
    x = np.array(ZEROS[zeros])
    # products of up to nine factors, which PyTorch multiplies in another order
    check = functools.partial(second_like_torch, rtol=1e-12)
    check(lambda t: tg.prod(t), torch.prod, x)
    check(lambda t: np.prod(t) ** 2, lambda t: torch.prod(t) ** 2, x)
    for axis in (0, 1, -1):
        check(lambda t, a=axis: tg.prod(t, axis=a), lambda t, a=axis: torch.prod(t, a), x)
        check(lambda t, a=axis: tg.prod(t, axis=a, keepdims=True) * t, lambda t, a=axis: torch.prod(t, a, True) * t, x)
        check(lambda t, a=axis: tg.cumprod(t, axis=a), lambda t, a=axis: torch.cumprod(t, a), x)
        check(lambda t, a=axis: t.cumprod(a) * t, lambda t, a=axis: torch.cumprod(t, a) * t, x)
    check(lambda t: np.cumprod(t), lambda t: torch.cumprod(t.reshape(-1), 0), x)
    check(lambda t: tg.prod(t, axis=(0, 1)), torch.prod, x)


def test_trap_29_cumsum() -> None:
    """cumsum with axis None goes through the flattened tensor; negative axes count from the end."""
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    for axis in (0, 1, 2, -1, -2, -3):
        second_like_torch(
            lambda t, a=axis: tg.cumsum(t, axis=a) ** 2, lambda t, a=axis: torch.cumsum(t, a) ** 2, x, rtol=1e-12
        )  # running sums, which PyTorch may add in another order: so below
    flat = (lambda t: torch.cumsum(t.reshape(-1), 0) ** 2,)
    for ours in (lambda t: tg.cumsum(t) ** 2, lambda t: np.cumsum(t, axis=None) ** 2, lambda t: t.cumsum() ** 2):
        second_like_torch(ours, *flat, x, rtol=1e-12, atol=1e-12)
    (d,) = like_torch(lambda t: tg.cumsum(t, axis=0), lambda t: torch.cumsum(t, 0), np.zeros((0, 3)))
    assert d.shape == (0, 3)
    like_torch(lambda t: tg.cumsum(t), lambda t: t.reshape(1), 2.5)  # a scalar is a row of one
    with pytest.raises(ShapeError, match="cumsum: axis 3"):
        tg.cumsum(leaf(x), axis=3)


@pytest.mark.parametrize("order", [None, 1, 2, 3, 2.5, inf, -inf])
def test_trap_33_norm_at_zero(order: Any) -> None:
    """The norm of zeros has the gradient 0 for every order, and rows of zeros leave the other rows alone."""
    p = 2 if order is None else order
    (d,) = like_torch(lambda t: tg.norm(t, order), lambda t: torch.linalg.vector_norm(t, p), np.zeros(3))
    same(d, np.zeros(3))
    rows = np.array([[0.0, 0.0, 0.0], [3.0, -4.0, 1.0], [0.0, 2.0, 0.0]])
    for keepdims in (False, True):
        (d,) = like_torch(
            lambda t, k=keepdims: tg.norm(t, order, axis=1, keepdims=k),
            lambda t, k=keepdims: torch.linalg.vector_norm(t, p, dim=1, keepdim=k),
            rows,
            rtol=1e-12,  # powers and roots of the order, each rounded
        )
        same(d[0], np.zeros(3))
    if order is None:  # NumPy has orders for vectors and matrices only
        like_torch(lambda t: tg.norm(t), lambda t: torch.linalg.vector_norm(t), 0.0)
    one = leaf([0.0, 0.0])
    np.linalg.norm(one, order).backward()
    same(one.grad, [0.0, 0.0])


def test_trap_33_other_lengths_at_zero() -> None:
    """The Frobenius norm, hypot and the cosine of zeros: no NaN where PyTorch has none."""
    (d,) = like_torch(lambda t: tg.norm(t, "fro"), lambda t: torch.linalg.matrix_norm(t), np.zeros((2, 3)))
    same(d, np.zeros((2, 3)))
    (d,) = like_torch(lambda t: tg.norm(t), lambda t: torch.linalg.vector_norm(t), np.zeros((2, 3)))
    (d,) = like_torch(lambda t: t.std(axis=1), lambda t: t.std(1, correction=0), np.array([[1.0, 1.0], [2.0, 5.0]]))
    same(d[0], [0.0, 0.0])
    same(leaf(np.full((2, 2), 7.0)).var(axis=0).data, [0.0, 0.0])


def test_trap_34_float16_of_the_wider_table() -> None:
    """Means, medians, norms and losses over 100,000 float16 numbers: counts that float16 cannot hold do no harm."""
    n = 100_000
    half = np.float16
    x = leaf(np.full(n, 2.0, dtype=half))
    cases: dict[str, tuple[tg.Tensor, float, Any]] = {
        "mean": (tg.mean(x), 2.0, 1 / n),
        "nanmean": (tg.nanmean(x), 2.0, 1 / n),
        "max": (tg.max(x), 2.0, 1 / n),
        "min": (tg.min(x), 2.0, 1 / n),
        "mse_loss": (tg.mse_loss(x, np.zeros(n, half)), 4.0, 4 / n),
        "l1_loss": (tg.l1_loss(x, np.zeros(n, half)), 2.0, 1 / n),
        "huber_loss": (tg.huber_loss(x, np.zeros(n, half)), 1.5, 1 / n),
    }
    for name, (y, value, slope) in cases.items():
        assert y.dtype == half, name
        assert y.item() == value, name
        (d,) = tg.grad(y, x, half(4.0), retain_graph=True)
        assert d.dtype == half, name
        # 4 / n is a subnormal float16, known to 6e-8
        np.testing.assert_allclose(d.data.astype(float), np.full(n, 4.0 * slope), rtol=0, atol=1.2e-7, err_msg=name)
    z = leaf(np.zeros((n, 2), dtype=half))
    loss = functional.cross_entropy(z, np.zeros(n, dtype=int))
    assert loss.dtype == half
    np.testing.assert_allclose(float(loss), np.log(2), rtol=1e-3)  # 11 bits
    for shape in ((n,), (3, 5000)):
        data = np.random.default_rng(0).random(shape).astype(half)
        same(tg.sum(leaf(data), axis=-1).data, data.sum(axis=-1))
        same(tg.mean(leaf(data), axis=-1).data, data.mean(axis=-1))
        same(tg.cumsum(leaf(data[..., :500]), axis=-1).data, data[..., :500].cumsum(axis=-1))
        same(tg.var(leaf(data), axis=-1).data, data.var(axis=-1))
        same(tg.std(leaf(data), axis=-1).data, data.std(axis=-1))


def test_trap_34_average_of_float16() -> None:
    """average without weights is the mean, and counts as it does."""
    x = leaf(np.full(100_000, 2.0, dtype=np.float16))
    y = tg.average(x)
    assert y.item() == 2.0
    y.backward(np.float16(4.0))
    same(x.grad, np.full(100_000, np.float16(4e-5)))


def test_trap_35_one_generator_for_everything() -> None:
    """Dropout, initialisation and shuffling: one seed gives one result, and the legacy state is not even read."""
    np.random.seed(0)
    before = np.random.get_state()
    x = leaf(np.ones((4, 5)))

    def everything(rng: Any) -> list[np.ndarray]:
        net = tg.nn.MLP([5, 3, 2], rng=rng)
        dropped = functional.dropout(x, 0.5, True, rng)
        return [*(p.data for p in net.parameters()), dropped.data, tg.nn.Dropout(0.5, rng=rng)(x).data]

    first = everything(np.random.default_rng(3))
    np.random.seed(1)
    for a, b in zip(first, everything(np.random.default_rng(3))):
        same(a, b)
    assert any((a != b).any() for a, b in zip(first, everything(np.random.default_rng(4))))
    np.random.seed(0)
    everything(7)
    everything(None)
    after = np.random.get_state()
    same(before[1], after[1])
    assert before[2:] == after[2:]


def test_trap_00_every_row_has_a_test() -> None:
    """The list has 35 rows, and each has at least one test of its number in this file."""
    rows = {int(name.split("_")[2]) for name, f in globals().items() if name.startswith("test_trap_") and callable(f)}
    assert rows == set(range(36))  # and 0 is this one
