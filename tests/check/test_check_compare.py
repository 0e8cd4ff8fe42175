"""compare_gradients and assert_gradients_match: what agrees, what does not, and how the table says it."""

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.check import Comparison, assert_gradients_match, compare_gradients
from tinygrad_edu.errors import DtypeError, GraphError
from tinygrad_edu.manual import Network

rng = np.random.default_rng(0)
RIGHT = {
    "delta2": rng.normal(size=(5, 1)), "dW2": rng.normal(size=(3, 1)), "db2": rng.normal(size=1),
    "delta1": rng.normal(size=(5, 3)), "dW1": rng.normal(size=(2, 3)), "db1": rng.normal(size=3),
}  # fmt: skip


def one(yours, true, **kwargs):
    """The row of a comparison of two arrays."""
    (row,) = compare_gradients({"dW1": yours}, {"dW1": true}, **kwargs).rows
    return row


def test_equal_gradients():
    comparison = compare_gradients(RIGHT, RIGHT)
    assert comparison
    assert comparison.ok is True
    assert [row.name for row in comparison.rows] == list(RIGHT)
    assert all(row.ok and row.error == 0 and row.note == "" for row in comparison.rows)
    assert [row.shape for row in comparison.rows] == [g.shape for g in RIGHT.values()]


@pytest.mark.parametrize("name", RIGHT)
def test_one_wrong_gradient(name):
    wrong = {**RIGHT, name: 2 * RIGHT[name]}
    comparison = compare_gradients(wrong, RIGHT)
    assert not comparison
    assert [row.name for row in comparison.rows if not row.ok] == [name]
    assert {row.name: row.error for row in comparison.rows}[name] == 0.5


@pytest.mark.parametrize(("change", "ok"), [(0.99e-10, True), (1.01e-10, False)])
def test_the_tolerance_is_the_one_that_is_promised(change, ok):
    true = np.array([1.0, 1000.0])
    row = one(true + np.array([0, 1000 * change]), true)
    assert row.ok is ok
    assert row.error == pytest.approx(change, rel=1e-3)
    assert one(true * (1 + change), true, rtol=1e-6).ok


# ------------------------------------------------------------------------------------ shapes


@pytest.mark.parametrize(
    ("a", "b"),
    [((3,), (1, 3)), ((3,), (3, 1)), ((), (1,)), ((1,), (1, 1)), ((2, 3), (1, 2, 3)), ((2, 3), (2, 1, 3))],
)
def test_an_axis_of_size_one_more_or_less_is_no_difference(a, b):
    x = rng.normal(size=a)
    assert one(x, x.reshape(b)).ok
    assert one(x.reshape(b), x).ok
    assert one(x.reshape(b), x).shape == a
    assert not one(2 * x, x.reshape(b)).ok


def test_a_lost_axis_with_which_an_update_would_be_broadcast():
    x = rng.normal(size=3)
    assert one(x, x.reshape(3, 1)).note == "its shape is (3,): subtracted from (3, 1), it is broadcast to (3, 3)"
    assert one(x.reshape(1, 3), x).note == ""
    assert one(x, x.reshape(1, 3)).note == ""


@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 4), (4, 3)), ((1, 3), (3, 1)), ((3,), (4,)), ((2, 3), (6,)), ((3,), (3, 3)), ((), (2,)), ((2, 1, 3), (3, 2))],
)
def test_other_shapes_are_rows_that_are_wrong(a, b):
    row = one(np.zeros(a), np.zeros(b))
    assert not row.ok
    assert row.note == f"shape {a} vs {b}"
    assert row.shape == b
    assert row.error == np.inf


def test_a_square_matrix_that_is_transposed_is_wrong():
    x = rng.normal(size=(3, 3))
    assert not one(x.T, x).ok


# ------------------------------------------------------------------------------------ values


def test_nan_never_agrees():
    number, nan = np.ones(3), np.array([1.0, np.nan, 1.0])
    assert one(nan, number)[2:] == (np.inf, False, "NaN in yours")
    assert one(number, nan)[2:] == (np.inf, False, "NaN in the automatic one")
    assert one(nan, nan)[2:] == (np.inf, False, "NaN in yours and the automatic one")


def test_zeros_and_infinities():
    assert one(np.zeros(3), np.zeros(3)).ok
    assert not one(np.zeros(3), np.full(3, 1e-300)).ok
    assert one([np.inf, 1], [np.inf, 1]).ok
    assert not one([np.inf, 1], [1, 1]).ok
    assert not one([np.inf, 1], [-np.inf, 1]).ok


def test_missing_and_unknown_names_are_wrong():
    yours = {name: g for name, g in RIGHT.items() if name != "db2"}
    comparison = compare_gradients({**yours, "dW3": np.zeros((1, 1))}, RIGHT)
    rows = {row.name: row for row in comparison.rows}
    assert list(rows) == [*RIGHT, "dW3"]
    assert not comparison
    assert [name for name, row in rows.items() if not row.ok] == ["db2", "dW3"]
    assert rows["db2"].note == "missing: only the graph has it"
    assert rows["db2"].shape == (1,)
    assert rows["dW3"].note == "unknown: the graph has no such gradient"


def test_none_is_missing():
    assert not compare_gradients({**RIGHT, "db1": None}, RIGHT)
    assert not compare_gradients(RIGHT, {**RIGHT, "db1": None})


def test_of_nothing_nothing_is_right():
    assert not compare_gradients({}, {})


def test_lists_integers_and_tensors():
    assert one([[1, 2]], tg.Tensor([[1.0, 2.0]], requires_grad=True)).ok


@pytest.mark.parametrize("bad", [["a"], [1j], [object()]])
def test_what_is_no_number(bad):
    with pytest.raises(DtypeError):
        one(bad, [1.0])


# -------------------------------------------------------------------------------- conventions


def test_columns_are_transposed():
    columns = {name: g.T for name, g in RIGHT.items()}
    columns["db1"] = columns["db1"].reshape(3, 1)
    assert compare_gradients(columns, RIGHT, convention="columns")
    assert not compare_gradients(columns, RIGHT)
    assert not compare_gradients(RIGHT, RIGHT, convention="columns")


def test_an_unknown_convention():
    with pytest.raises(ValueError, match='"rows" or "columns" is expected'):
        compare_gradients(RIGHT, RIGHT, convention="cols")


# ---------------------------------------------------------------------------- manual and graph

X = rng.normal(size=(5, 2))
T = rng.integers(2, size=(5, 1)).astype(float)


def by_hand_and_recorded():
    W = [tg.Tensor(rng.normal(size=shape), requires_grad=True) for shape in ((2, 3), (3, 1))]
    b = [tg.Tensor(rng.normal(size=m), requires_grad=True) for m in (3, 1)]
    net = Network([w.data for w in W], [v.data for v in b], ["tanh", "sigmoid"], "binary_cross_entropy_mean")
    loss = tg.binary_cross_entropy_with_logits(tg.linear(tg.tanh(tg.linear(X, W[0], b[0])), W[1], b[1]), T)
    return net.backward(net.forward(X), T), loss


def test_an_object_with_named_and_a_loss():
    gradients, loss = by_hand_and_recorded()
    assert compare_gradients(gradients, loss)
    assert compare_gradients(gradients.named(), loss)
    assert_gradients_match(gradients, loss)
    loss.backward()
    with pytest.raises(GraphError, match="already swept and freed"):
        compare_gradients(gradients, loss)


def test_something_else_than_gradients():
    with pytest.raises(TypeError, match="a list given; a mapping of names to arrays is expected"):
        compare_gradients([1, 2], RIGHT)
    with pytest.raises(TypeError, match="a list given"):
        compare_gradients(RIGHT, [1, 2])


# A learner's mistakes: the gradient that each makes wrong, computed from the right ones, H^1 and W^2.
MISTAKES = {
    "sign": ("delta2", lambda g, H, W: -g["delta2"]),
    "transposed": ("dW2", lambda g, H, W: g["delta2"].T @ H),
    "mean instead of sum": ("db2", lambda g, H, W: g["delta2"].mean(axis=0)),
    "sum forgotten": ("db2", lambda g, H, W: g["delta2"]),
    "activation's derivative forgotten": ("delta1", lambda g, H, W: g["delta2"] @ W.T),
    "factor n": ("dW1", lambda g, H, W: 5 * g["dW1"]),
    "one entry": ("db1", lambda g, H, W: g["db1"] * [1, 1, 1 + 1e-9]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_found_where_they_are(mistake):
    gradients, loss = by_hand_and_recorded()
    output_layer = loss._node.parents[0]
    H, W, _ = output_layer.args
    name, wrong = MISTAKES[mistake]
    mine = gradients.named()
    mine[name] = wrong(mine, H, W)
    comparison = compare_gradients(mine, loss)
    assert [row.name for row in comparison.rows if not row.ok] == [name]


# --------------------------------------------------------------------------------------- the table


def test_the_table():
    yours = {
        **RIGHT,
        "delta2": RIGHT["delta2"] * (1 + 3e-14),
        "db2": RIGHT["db2"] / 4,
        "dW1": RIGHT["dW1"].T,
        "delta1": np.full((5, 3), np.nan),
        "gain": [1.0],
    }
    del yours["db1"]
    assert str(compare_gradients(yours, RIGHT)).splitlines() == [
        "gradients against the hand-derived equations",
        "            shape   error    verdict",
        "  delta2    (5, 1)  3.0e-14  ok",
        "  dL/dW2    (3, 1)  0        ok",
        "  dL/db2    (1,)    7.5e-01  WRONG",
        "  delta1    (5, 3)  -        WRONG  NaN in yours",
        "  dL/dW1    (2, 3)  -        WRONG  shape (3, 2) vs (2, 3)",
        "  dL/db1    (3,)    -        WRONG  missing: only the graph has it",
        "  dL/dgain  (1,)    -        WRONG  unknown: the graph has no such gradient",
        "2 of 7 agree to 1e-10",
    ]


def test_the_closing_line():
    assert str(compare_gradients(RIGHT, RIGHT)).endswith("\n6 of 6 agree to 1e-10")
    assert str(compare_gradients(RIGHT, RIGHT, rtol=0.001)).endswith("\n6 of 6 agree to 0.001")
    assert str(Comparison((), 1e-10)).endswith("\n0 of 0 agree to 1e-10")


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("delta3", "delta3"), ("delta", "delta"), ("dW3", "dL/dW3"), ("db10", "dL/db10"), ("dW", "dL/dW"),
        ("gain", "dL/dgain"), ("fc1.weight", "dL/dfc1.weight"), ("depth", "dL/ddepth"), ("deltas", "dL/ddeltas"),
    ],
)  # fmt: skip
def test_symbols(name, symbol):
    assert compare_gradients({name: 1.0}, {name: 1.0}).rows[0].symbol == symbol


def test_the_assertion_shows_the_table():
    assert assert_gradients_match(RIGHT, RIGHT) is None
    columns = {name: g.T for name, g in RIGHT.items()}
    assert_gradients_match(columns, RIGHT, convention="columns")
    wrong = {**RIGHT, "db1": 2 * RIGHT["db1"]}
    with pytest.raises(AssertionError) as caught:
        assert_gradients_match(wrong, RIGHT)
    assert str(caught.value) == str(compare_gradients(wrong, RIGHT))
    assert_gradients_match(wrong, RIGHT, rtol=0.6)
