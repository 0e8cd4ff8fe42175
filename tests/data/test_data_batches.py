"""batches(): every row once and in step, orders that can be repeated, and no copy of the whole."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_edu.data import DataError, batches


@given(st.integers(0, 40), st.integers(1, 45), st.booleans(), st.booleans(), st.integers(0, 9))
def test_an_epoch(n, size, shuffle, drop_last, seed):
    x = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    t = np.arange(n)
    seen = list(batches(x, t, size, rng=seed, shuffle=shuffle, drop_last=drop_last))
    whole, rest = divmod(n, size)
    wanted = [size] * whole + ([rest] if rest and not drop_last else [])
    assert [len(t_batch) for _, t_batch in seen] == wanted
    for x_batch, t_batch in seen:
        assert x_batch.dtype == np.float32
        assert x_batch.shape == (len(t_batch), 2)
        np.testing.assert_array_equal(x_batch, x[t_batch])
    rows = [row for _, t_batch in seen for row in t_batch.tolist()]
    assert len(set(rows)) == len(rows) == sum(wanted)
    if not shuffle:
        assert rows == sorted(rows)


def rows(*args, **options):
    t = np.arange(30)
    return [row for _, t_batch in batches(t[:, None], t, *args, **options) for row in t_batch.tolist()]


def test_orders():
    assert rows(4, rng=1) == rows(4, rng=1) == rows(7, rng=1) != rows(4, rng=2)
    assert rows(4, rng=1) == rows(4, rng=np.random.default_rng(1)) == np.random.default_rng(1).permutation(30).tolist()
    rng = np.random.default_rng(1)
    epochs = [rows(4, rng) for _ in range(3)]
    assert len(set(map(tuple, epochs))) == 3
    assert rows(4) != rows(4)  # no seed: another order each time
    assert rows(4, shuffle=False) == list(range(30))


def test_the_order_is_drawn_at_the_call():
    rng = np.random.default_rng(1)
    t = np.arange(30)
    early = batches(t, t, 30, rng)
    rng.random(100)
    assert next(early)[0].tolist() == np.random.default_rng(1).permutation(30).tolist()


def test_without_shuffling_the_generator_is_left_alone():
    rng = np.random.default_rng(1)
    rows(4, rng=rng, shuffle=False)
    assert rng.random() == np.random.default_rng(1).random()


def test_copies_when_shuffled_views_when_not():
    x, t = np.zeros((6, 3)), np.zeros((6, 1))
    for x_batch, t_batch in batches(x, t, 4, rng=0):
        assert not np.shares_memory(x_batch, x)
        assert not np.shares_memory(t_batch, t)
        x_batch += 1
    assert not x.any()
    for x_batch, t_batch in batches(x, t, 4, shuffle=False):
        assert np.shares_memory(x_batch, x)
        assert np.shares_memory(t_batch, t)


def test_images_keep_their_shape_and_lists_are_taken():
    x = np.arange(5 * 2 * 3).reshape(5, 1, 2, 3)
    x_batch, t_batch = next(batches(x, [0, 1, 2, 3, 4], 2, rng=0))
    assert x_batch.shape == (2, 1, 2, 3)
    np.testing.assert_array_equal(x_batch, x[t_batch])


@pytest.mark.parametrize("layout", ["C", "F", "every other row", "big-endian", "unaligned"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_never_copies_the_whole_array(layout, shuffle):
    x = np.random.default_rng(0).random((2000, 250))  # 4 MB
    x = {
        "C": lambda: x,
        "F": lambda: np.asfortranarray(x),
        "every other row": lambda: np.repeat(x, 2, axis=0)[::2],
        "big-endian": lambda: x.astype(">f8"),
        "unaligned": lambda: np.frombuffer(b"\0" + x.tobytes(), np.float64, offset=1).reshape(x.shape),
    }[layout]()
    t = np.arange(2000)
    tracemalloc.start()
    try:
        for x_batch, t_batch in batches(x, t, 10, rng=0, shuffle=shuffle):
            assert x_batch[0, 0] == x[t_batch[0], 0]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 400_000


@pytest.mark.parametrize(
    ("x", "t", "size", "message"),
    [
        (np.zeros((1200, 2)), np.zeros(1199), 4, "batches: x has 1,200 rows, t has 1,199."),
        (np.zeros((3, 2)), np.zeros(3), 0, "batches: size must be at least 1, got 0."),
        (np.zeros((3, 2)), np.zeros(3), -1, "batches: size must be at least 1, got -1."),
        (np.zeros((3, 2)), np.float64(3), 1, "batches: x and t need rows, their shapes are (3, 2) and ()."),
        (np.float64(3), np.zeros(3), 1, "batches: x and t need rows, their shapes are () and (3,)."),
    ],
)
@pytest.mark.parametrize("shuffle", [True, False])
def test_mistakes_are_named_at_the_call(x, t, size, message, shuffle):
    with pytest.raises(DataError) as raised:
        batches(x, t, size, shuffle=shuffle)  # not iterated
    assert str(raised.value) == message
