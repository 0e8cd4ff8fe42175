"""Large element-wise work is shared by two threads: the same numbers, nobody's memory, and no call that never ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.compiler.extras import needs_numba
from tinygrad_edu.compiler import threads

RNG = np.random.default_rng(0)
SIZES = [4 * threads.WIDE, 600_001, 1_000_000]


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a machine that has but one."""
    monkeypatch.setattr(threads, "cores", lambda: 2)


@pytest.fixture
def busy() -> Iterator[None]:
    """The other thread has something else to do for as long as the test lasts."""
    done = threading.Event()
    threads.HELPER.both(int, int)
    assert threads.HELPER.pool is not None
    waiting = threads.HELPER.pool.submit(done.wait)
    yield
    done.set()
    waiting.result()


def chain(x: Any) -> Any:
    """Nine operations, a sum along the way, and the gradient."""
    x = tg.Tensor(x, requires_grad=True)
    y = tg.tanh(tg.sigmoid(x) * x + tg.exp(-x * x)) * 3
    loss = y.sum()
    loss.backward()
    return loss.detach(), y.detach(), x.grad


def who_does_both() -> tuple[int, int]:
    """The first half waits until the second is taken, so there is somebody to take it."""
    taken = threading.Event()

    def first() -> int:
        taken.wait(10)
        return threading.get_ident()

    def second() -> int:
        taken.set()
        return threading.get_ident()

    return threads.HELPER.both(first, second)


def equal(found: Any, expected: Any) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(getattr(a, "data", a)), np.asarray(getattr(b, "data", b)), strict=True)


@pytest.mark.parametrize("available", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_what_threads_share_is_the_same_to_the_last_bit(
    size: int, available: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "cores", lambda: available)
    compiled = tg.compile(chain)
    for scale in (1, 0.5):
        x = (scale * RNG.normal(size=size)).astype(np.float32)
        equal(compiled(x), chain(x))
    assert "in_threads(block1" in compiled.source
    assert compiled.functions == 1


def test_little_work_is_not_shared() -> None:
    assert not threads.pays(4 * threads.WIDE - 1, 1000), "small arrays"
    assert not threads.pays(4 * threads.WIDE, 5), "few operations"
    compiled = tg.compile(lambda x: tg.exp(-tg.tanh(tg.Tensor(x))))
    compiled(RNG.normal(size=4 * threads.WIDE))
    assert "in_blocks(block1" in compiled.source


@pytest.mark.parametrize(("n", "shared"), [(2, True), (64, True), (65, False)])
def test_where_blas_has_the_cores_at_work_nothing_is_shared(n: int, shared: bool) -> None:
    """From 2^18 products of numbers on, its threads are awake; a product of vectors wakes nobody."""
    a, x = RNG.normal(size=(n, 64)), RNG.normal(size=(64, 64))
    large = RNG.normal(size=4 * threads.WIDE)

    def step(a: Any, x: Any, large: Any) -> Any:
        return (tg.Tensor(a) @ x).sum() + chain(large)[0] + tg.Tensor(a[0]) @ x[0]

    compiled = tg.compile(step)
    equal([compiled(a, x, large)], [step(a, x, large)])
    assert ("in_threads(" in compiled.source) == shared
    images = RNG.normal(size=(1, 1, 4, 4))
    compiled = tg.compile(lambda x, large: tg.conv2d(x, np.ones((1, 1, 2, 2))).sum() + chain(large)[0])
    compiled(images, large)
    assert "in_threads(" not in compiled.source


def test_each_thread_takes_one_half_with_rows_of_its_own() -> None:
    x, out = np.arange(600_001.0), np.zeros(600_001)
    row = np.empty(2 * threads.WIDE)
    seen: list[tuple[int, int, int, Any]] = []

    def function(x: Any, out: Any, row: Any, factor: float) -> Any:
        if threading.get_ident() == me:
            taken.wait(10)
        else:
            taken.set()
        place = (row.ctypes.data - scratch) // 8
        seen.append((threading.get_ident(), int(x[0]), place, np.geterr()["divide"]))
        np.multiply(x, factor, out=row)
        np.add(row, 1, out=out)
        return np.add.reduce(out)

    scratch, me, taken = row.ctypes.data, threading.get_ident(), threading.Event()
    with np.errstate(divide="raise"):
        total = threads.in_threads(function, (x, out), (row,), (2.0,))
    np.testing.assert_array_equal(out, 2 * x + 1)
    assert total == (2 * x + 1).sum()
    assert {who for who, *_ in seen} > {me}
    middle = 600_001 // 2 // 8 * 8
    assert all((who == me) == (first < middle) == (place == 0) for who, first, place, _ in seen)
    assert {place for _, _, place, _ in seen} == {0, threads.WIDE}
    assert {setting for *_, setting in seen} == {"raise"}, "both see the settings of the caller"


def test_an_error_in_either_half_is_raised_when_both_are_over() -> None:
    done = []

    def half(number: int, fails: bool) -> Any:
        if fails:
            raise ZeroDivisionError(f"half {number}")
        done.append(number)

    with pytest.raises(ZeroDivisionError, match="half 2"):
        threads.HELPER.both(lambda: half(1, False), lambda: half(2, True))
    assert done == [1]
    started = threading.Event()

    def late() -> None:
        started.set()
        threading.Event().wait(0.05)
        done.append(2)

    def fail() -> None:
        started.wait()
        half(1, True)

    with pytest.raises(ZeroDivisionError, match="half 1"):
        threads.HELPER.both(fail, late)
    assert done == [1, 2], "the second half was over before the error was raised"


def test_a_thread_that_is_busy_is_not_waited_for(busy: None) -> None:
    x = RNG.normal(size=600_001)
    equal(tg.compile(chain)(x), chain(x))
    assert threads.HELPER.both(threading.get_ident, threading.get_ident) == (threading.get_ident(),) * 2


def test_several_callers_share_the_other_thread() -> None:
    compiled = tg.compile(chain)
    xs = [RNG.normal(size=600_000) * scale for scale in (1, 2, 3)]
    compiled(xs[0])
    found: list[Any] = [None] * 3

    def work(i: int) -> None:
        for _ in range(3):
            found[i] = compiled(xs[i])

    callers = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for x, result in zip(xs, found):
        equal(result, chain(x))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_starts_a_thread_of_its_own() -> None:
    """The parent's is not there: a child that waited for it would wait for ever."""
    here, there = who_does_both()
    assert here == threading.get_ident() != there
    child = os.fork()
    if child == 0:
        here, there = who_does_both()
        os._exit(here == threading.get_ident() != there)
    waited = threading.Event()
    for _ in range(600):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        waited.wait(0.05)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child waits for a thread that it does not have")
    assert os.waitstatus_to_exitcode(status) == 1


@needs_numba
@pytest.mark.parametrize("available", [1, 2])
@pytest.mark.parametrize("shape", [(1_000_000,), (4, 150_001)])
def test_loops_are_shared_as_well(shape: tuple[int, ...], available: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores", lambda: available)

    def two_sums(x: Any) -> Any:
        x = tg.Tensor(x)
        y = tg.tanh(tg.sigmoid(x) * x + tg.exp(-x * x)) * 3
        return y.sum(), (y * y).sum(), y

    for function in (chain, two_sums):
        compiled = tg.compile(function, backend="numba")
        x = RNG.normal(size=shape).astype(np.float32)
        for found, expected in zip(compiled(x), function(x), strict=True):
            a, b = (np.asarray(getattr(r, "data", r)) for r in (found, expected))
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6)
        assert "in_halves(loops1, " in compiled.source
        assert compiled.source.count("unlocked") == 1


@needs_numba
def test_the_largest_of_two_halves_is_not_their_sum() -> None:
    """Only sums are added up; a sum with its axes kept is written to an array."""
    x = np.exp(RNG.normal(size=1_000_000))

    def step(x: Any) -> Any:
        y = tg.tanh(tg.sigmoid(tg.Tensor(x)) * x + tg.exp(-tg.Tensor(x) * x)) * 3
        return y.max(), y.sum(keepdims=True)

    compiled = tg.compile(step, backend="numba")
    for found, expected in zip(compiled(x), step(x), strict=True):
        np.testing.assert_allclose(np.asarray(found.data), np.asarray(expected.data), rtol=1e-12)
    assert "in_halves" not in compiled.source
