"""The diagnosis: mistakes are called by their names, what has no name is described, what is right is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.check.confusion import draw, recorded, run, special
from tests.check.hand_written import OUTPUT, SPECIAL, Case, compiled, mistakes
from tinygrad_edu.check import assert_gradients_match, compare_gradients, gradients_of
from tinygrad_edu.check.diagnosis.evidence import evidence_of
from tinygrad_edu.check.diagnosis.naming import matched_names
from tinygrad_edu.op import OPS

EVERY = [
    "sign", "missing 1/n", "1/n twice", "factor 2", "mean over classes too", "result transposed",
    "weight not transposed", "product in the wrong order", "pre-activation used for activation",
    "bias not summed over the batch", "bias summed over the wrong axis", "bias averaged over the batch",
    "broadcast axis lost", "broadcast axis kept", "activation derivative missing",
    "activation derivative applied twice", "activation derivative evaluated at the activation",
    "activation derivative replaced by the activation", "ReLU mask inverted", "sigmoid's derivative as a",
    "sigmoid's derivative as 1 - a", "softmax diagonal only", "softmax Jacobian skipped", "forgot minus target",
    "branch overwritten instead of added", "accumulated twice or not zeroed", "weight decay missing",
    "weight decay extra", "first sample only", "outer product of sums", "path through the maximum cut",
    "path through the normaliser cut", "normalisation statistics held constant", "stale values after an update",
    "value and gradient of two different losses", "an update that climbs",
]  # fmt: skip


def network(
    sizes: tuple[int, ...] = (4, 5, 6, 3),
    phi: str = "tanh",
    loss: str = "ce",
    n: int = 7,
    seed: int = 0,
    **options: Any,
) -> tuple[Case, Any, dict[str, Any]]:
    """A hand-written network, its graph, and the values of its inputs."""
    case = Case(sizes, phi, loss, n, 1, **options)
    parameters, X, t = draw(case, np.random.default_rng(seed))
    return case, recorded(case, parameters, X, t, fused=True), {"X": X, "t": t, **parameters}


def diagnosed(case: Case, graph: Any, changes: dict[str, str], **options: Any) -> Any:
    return compare_gradients(compiled(case.write(changes)), graph, **options)


# --------------------------------------------------------------------------------- all of them


def test_every_mistake_is_named_and_nothing_right_is_called_wrong():
    table, right, said = run(seeds=1)
    assert right["WRONG"] == 0, said
    assert right["right"] > 60
    total = sum(counts.total() for counts in table.values())
    good = sum(counts["named"] + counts["synonyms"] for counts in table.values())
    assert total > 800
    assert good >= 0.99 * total, said
    assert set(table) >= set(EVERY)
    assert sum(counts["misnamed"] for counts in table.values()) == 0, said


def test_numbers_alone_name_most_of_them_too():
    case, graph, given = network()
    for name, changes in mistakes(case):
        first = compare_gradients(compiled(case.write(changes))(**given), graph).mistakes[0]
        assert name in first.names
        assert not first.sure.startswith("certain") or name.startswith("value")


@pytest.mark.parametrize("loss", OUTPUT)
@pytest.mark.parametrize("phi", ["relu", "tanh", "sigmoid"])
def test_a_right_float32_gradient_is_right(phi, loss):
    case, graph, given = network(phi=phi, loss=loss)
    narrow = {name: x.astype(np.float32) for name, x in given.items()}
    value, found = compiled(case.write())(**narrow)
    comparison = compare_gradients((value, found), graph, rtol=1e-5)
    assert comparison.ok, comparison
    strict = compare_gradients(found, graph)
    assert not strict.ok
    (mistake,) = strict.mistakes
    assert mistake.names == ()
    assert "roundings of float32" in mistake.says


def test_a_graph_in_float32():
    case, _, given = network()
    parameters = {k: np.float32(v) for k, v in given.items() if k not in "Xt"}
    graph = recorded(case, parameters, np.float32(given["X"]), np.float32(given["t"]), True)
    assert compare_gradients(compiled(case.write()), graph, rtol=1e-5).ok
    wrong = diagnosed(case, graph, {"db1": "db1 = d1.mean(axis=0)"}, rtol=1e-5)
    assert wrong.mistakes[0].names == ("bias averaged over the batch",)


def test_a_gradient_that_is_zero_but_for_roundings_is_right():
    """A bias before a normalisation moves nothing; all that is left of its gradient are roundings."""
    graph, given = special("norm", np.random.default_rng(0))
    assert np.abs(gradients_of(graph)["db1"]).max() < 1e-15
    function = compiled(SPECIAL["norm"])
    assert compare_gradients(function, graph).ok
    _, found = function(**given)
    assert not compare_gradients({**found, "db1": found["db1"] + 1e-9}, graph).ok


# ------------------------------------------------------------------------------- the articles' slips


def test_the_weight_without_its_transpose():
    """delta^l = (delta^{l+1} W^{l+1}) phi'(U^l), on a single sample."""
    case, graph, given = network(sizes=(4, 5, 5, 3), loss="mse", n=1)
    wrong = {"dH1": "dH1 = d2 @ W2"}
    (mistake,) = diagnosed(case, graph, wrong).mistakes
    assert mistake.names == ("weight not transposed",)
    assert mistake.line == "delta1 = (delta2 @ W2.T) * (1 - H1**2)"
    assert mistake.sure.startswith("certain")
    _, found = compiled(case.write(wrong))(**given)
    assert "weight not transposed" in compare_gradients(found, graph).mistakes[0].names


def test_the_update_that_adds_the_gradient():
    case, graph, given = network(loss="mse")
    _, found = compiled(case.write())(**given)
    new = {name: given[name] + 0.1 * found[f"d{name}"] for name in ("W1", "b1", "W2", "b2", "W3", "b3")}
    comparison = compare_gradients(found, graph, updated=new)
    assert not comparison.ok
    assert {m.names for m in comparison.mistakes} == {("an update that climbs",)}
    assert comparison.mistakes[0].line == "W1 = W1 - eta * dW1"
    down = {name: given[name] - 0.1 * found[f"d{name}"] for name in new}
    assert compare_gradients(found, graph, updated=down).ok


def test_the_value_of_one_loss_and_the_gradient_of_another():
    """E = 1/2 sum (y - t)^2, and a gradient that is divided by n; whichever of both the graph has."""
    case, graph, given = network(loss="mse")
    wrong = {"return": "return np.sum((y - t) ** 2) / 2, found"}
    (mistake,) = diagnosed(case, graph, wrong).mistakes
    assert mistake.names == ("value and gradient of two different losses",)
    assert "n = 7 times" in mistake.says

    p = {k: tg.Tensor(v, requires_grad=True, name=k) for k, v in given.items() if k not in "Xt"}
    H: Any = tg.Tensor(given["X"], name="X")
    for i in (1, 2, 3):
        U = tg.linear(H, p[f"W{i}"], p[f"b{i}"])
        H = tg.tanh(U) if i < 3 else tg.sigmoid(U)
    summed = ((H - tg.Tensor(given["t"], name="t")) ** 2).sum() / 2
    comparison = diagnosed(case, summed, wrong)
    assert comparison.mistakes[0].names == ("1/n too many",)
    assert "value and gradient of two different losses" in str(comparison)


# ------------------------------------------------------------------------- graphs in single operations


def in_single_steps(case: Case, given: dict[str, Any]) -> Any:
    """The same network, of products, sums, exponentials and quotients only."""
    p = {k: tg.Tensor(v, requires_grad=True, name=k) for k, v in given.items() if k not in "Xt"}
    H, t, n = tg.Tensor(given["X"], name="X"), tg.Tensor(given["t"], name="t"), case.n
    phi = {
        "relu": lambda u: tg.maximum(u, 0),
        "tanh": lambda u: (tg.exp(u) - tg.exp(-u)) / (tg.exp(u) + tg.exp(-u)),
        "sigmoid": lambda u: 1 / (1 + tg.exp(-u)),
    }
    for i in range(1, case.depth + 1):
        U = H @ p[f"W{i}"] + p[f"b{i}"]
        H = phi[case.phi](U)
    if case.loss == "ce":
        E = tg.exp(U - U.max(axis=1, keepdims=True))
        return -(t * tg.log(E / E.sum(axis=1, keepdims=True))).sum() / n
    y = phi["sigmoid"](U)
    return ((y - t) ** 2).sum() / (2 * n) if case.loss == "mse" else -(t * tg.log(y) + (1 - t) * tg.log(1 - y)).mean()


@pytest.mark.parametrize("loss", OUTPUT)
@pytest.mark.parametrize("phi", ["relu", "tanh", "sigmoid"])
def test_a_graph_in_single_operations(phi, loss):
    case, _, given = network(sizes=(6, 5, 4), phi=phi, loss=loss)
    graph = in_single_steps(case, given)
    assert compare_gradients(compiled(case.write()), graph).ok
    for name, changes in mistakes(case):
        assert name in diagnosed(case, graph, changes).mistakes[0].names


COLUMNS = """
def backward(X, t, W1, b1, W2, b2):
    n = X.shape[1]
    U1 = W1 @ X + b1
    H1 = np.tanh(U1)
    d2 = (W2 @ H1 + b2 - t) / n
    dW2 = d2 @ H1.T
    db2 = d2.sum(axis=1, keepdims=True)
    d1 = (W2.T @ d2) * (1 - H1 ** 2)
    return {"d2": d2, "dW2": dW2, "db2": db2, "d1": d1, "dW1": d1 @ X.T, "db1": d1.sum(axis=1, keepdims=True)}
"""


@pytest.mark.parametrize(
    ("name", "right", "wrong", "line"),
    [
        ("missing 1/n", "+ b2 - t) / n", "+ b2 - t)", "delta2 = (y - t) / n"),
        ("1/n twice", "+ b2 - t) / n", "+ b2 - t) / n / n", "delta2 = (y - t) / n"),
        ("result transposed", "d2 @ H1.T", "H1 @ d2.T", "dW2 = delta2 @ H1.T"),
        ("pre-activation used for activation", "d2 @ H1.T", "d2 @ U1.T", "dW2 = delta2 @ H1.T"),
        ("first sample only", "d2 @ H1.T", "np.outer(d2[:, 0], H1[:, 0])", "dW2 = delta2 @ H1.T"),
        (
            "bias averaged over the batch", "db2 = d2.sum(", "db2 = d2.mean(",
            "db2 = delta2.sum(axis=1, keepdims=True)",
        ),
        ("weight not transposed", "W2.T @ d2", "W2 @ d2", "delta1 = (W2.T @ delta2) * (1 - H1**2)"),
        ("activation derivative missing", " * (1 - H1 ** 2)", "", "delta1 = (W2.T @ delta2) * (1 - H1**2)"),
        ("stale values after an update", "    d1 =", "    W2 = W2 - 0.1 * dW2\n    d1 =", None),
    ],
)  # fmt: skip
def test_a_graph_with_samples_as_columns(name, right, wrong, line):
    """Like W a + b of the other article: n is the number of columns, and the weight stands on the left."""
    rng = np.random.default_rng(0)
    shapes = {"W1": (5, 4), "b1": (5, 1), "W2": (5, 5), "b2": (5, 1)}
    p = {k: tg.Tensor(rng.normal(size=s), requires_grad=True, name=k) for k, s in shapes.items()}
    X, t = tg.Tensor(rng.normal(size=(4, 6)), name="X"), tg.Tensor(rng.normal(size=(5, 6)), name="t")
    loss = ((p["W2"] @ tg.tanh(p["W1"] @ X + p["b1"]) + p["b2"] - t) ** 2).sum() / 12
    assert compare_gradients(compiled(COLUMNS), loss).ok
    assert right in COLUMNS
    (mistake,) = compare_gradients(compiled(COLUMNS.replace(right, wrong)), loss).mistakes
    assert mistake.names == (name,)
    assert line is None or mistake.line == line


# ------------------------------------------------------------------- what the data cannot tell apart


def test_one_sample_hides_the_batch():
    """Of one sample, sum, mean and first row are one: no mistake can be seen, and none is claimed."""
    case, graph, given = network(n=1)
    for line in ("db1 = d1.mean(axis=0)", "db1 = d1[0]"):
        _, found = compiled(case.write({"db1": line}))(**given)
        assert compare_gradients(found, graph).ok


@pytest.mark.parametrize(
    ("sizes", "n", "change", "names", "reason"),
    [
        ((4, 5, 3), 3, "d2 = (y - t) / (n * C)", {"1/n twice", "mean over classes too"}, "n = C = 3"),
        ((4, 5, 3), 2, "d2 = 2 * (y - t) / n", {"factor 2", "missing 1/n"}, "n = 2"),
    ],
)
def test_synonyms_are_told_together_and_a_probe_tells_them_apart(sizes, n, change, names, reason):
    case, graph, given = network(sizes=sizes, n=n)
    function = compiled(case.write({"d2": change}))
    first = compare_gradients(function(**given)[1], graph).mistakes[0]
    assert set(first.names) == names
    assert reason in first.remark
    assert "Pass the function itself" in first.remark
    probed = compare_gradients(function, graph).mistakes[0]
    assert len(probed.names) == 1
    assert probed.names[0] in names
    assert probed.sure.startswith("certain")


def test_zero_weights_hide_what_went_through_them():
    """With W2 = 0 nothing comes back; the wrong derivative of the hidden layer shows on a probe only."""
    case, _, given = network(sizes=(4, 5, 3))
    given["W2"] = np.zeros((5, 3))
    parameters = {k: v for k, v in given.items() if k not in "Xt"}
    graph = recorded(case, parameters, given["X"], given["t"], True)
    wrong = {"d2": "d2 = (t - y) / n", "d1": "d1 = dH1"}
    first, *rest = diagnosed(case, graph, wrong).mistakes
    assert first.names == ("sign",)
    assert not rest  # what does not show in your numbers is not held against you


def test_a_square_layer_and_a_function_that_works_on_square_layers_only():
    case, graph, _ = network(sizes=(5, 5, 5, 5), n=5)
    for line, name in (("dH1 = d2 @ W2", "weight not transposed"), ("dH1 = W2.T @ d2", "product in the wrong order")):
        (mistake,) = diagnosed(case, graph, {"dH1": line}).mistakes
        assert mistake.names == (name,)
        assert "certain" in mistake.sure


# --------------------------------------------------------------------------------- several mistakes


def test_what_follows_and_what_does_not():
    case, graph, _ = network()
    comparison = diagnosed(case, graph, {"d2": "d2 = dH2", "db1": "db1 = d1.mean(axis=0)"})
    rows = {row.name: row for row in comparison.rows}
    assert rows["delta2"].note == "activation derivative missing"
    for name in ("dW2", "db2", "delta1", "dW1"):
        assert rows[name].note == "follows from delta2"
    assert rows["db1"].note == "bias averaged over the batch"
    assert rows["delta3"].ok
    assert [m.where for m in comparison.mistakes] == ["delta2", "db1"]
    assert set(comparison.mistakes[0].follows) == {"dW2", "db2", "delta1", "dW1"}


def test_the_second_mistake_is_judged_by_your_own_delta():
    """Even after a mistake without a name."""
    case, graph, _ = network()
    first, second = diagnosed(
        case, graph, {"d2": "d2 = dH2 * (1 - H2 ** 2) + 0.01 * U2 ** 2", "d1": "d1 = dH1 * H1"}
    ).mistakes
    assert (first.where, first.names) == ("delta2", ())
    assert (second.where, second.names) == ("delta1", ("activation derivative replaced by the activation",))


def test_two_mistakes_in_one_line():
    case, graph, _ = network()
    (mistake,) = diagnosed(case, graph, {"d2": "d2 = -dH2"}).mistakes
    assert mistake.names == ("activation derivative missing, and sign",)


def test_a_delta_before_the_division_by_n():
    """delta = y - t and dW = H^T delta / n: the gradients are right, and delta2 alone is called what it is."""
    case, graph, _ = network(sizes=(4, 5, 3))
    lines = {"d2": "d2 = y - t"}
    lines |= {f"{k}{i}": f"{line} / n" for k in ("dW", "db") for i in (1, 2) for line in [case.right()[f"{k}{i}"]]}
    comparison = diagnosed(case, graph, lines)
    assert all(row.ok for row in comparison.rows if not row.name.startswith("delta"))
    first = comparison.mistakes[0]
    assert (first.where, first.names) == ("delta2", ("missing 1/n",))
    assert "What is made from delta2 is right" in first.remark


# ------------------------------------------------------------------------------- what has no name

UNKNOWN = {
    "a factor": ({"d1": "d1 = 0.73 * dH1 * (1 - H1 ** 2)"}, "delta1", "scale 0.73, the same for all entries"),
    "n - 1": ({"d3": "d3 = (y - t) / (n - 1)"}, "delta3", "= n / (n - 1), the same for all entries"),
    "logarithm to base 2": ({"d3": "d3 = (y - t) / n / np.log(2)"}, "delta3", "scale 1.4427 = 1 / log 2"),
    "clipped": ({"dW2": "dW2 = np.clip(H1.T @ d2, -0.01, 0.01)"}, "dW2", "clipped at 0.01"),
    "columns": ({"dW2": "dW2 = (H1.T @ d2)[:, ::-1]"}, "dW2", "columns permuted: 5, 4, 3, 2, 1, 0"),
    "rows": ({"d1": "d1 = (dH1 * (1 - H1 ** 2))[::-1]"}, "delta1", "rows permuted"),
    "a mask": ({"d1": "d1 = dH1 * (1 - H1 ** 2) * (np.arange(5) % 2)"}, "delta1", "each column has a scale of its own"),
    "absolute values": ({"d2": "d2 = abs(dH2 * (1 - H2 ** 2))"}, "delta2", "the right numbers, but "),
    "one row": ({"d2": "d2 = dH2 * (1 - H2 ** 2)\nd2[1] = 0"}, "delta2", "wrong in row 1 only, where yours is 0"),
    "one entry": ({"dW2": "dW2 = H1.T @ d2\ndW2[2, 3] = 5"}, "dW2", "differs in 1 of 30 entries only, at (2, 3): 5"),
    "nan": ({"dW2": "dW2 = H1.T @ d2\ndW2[2, 3] = np.nan"}, "dW2", "NaN at (2, 3); the other entries are right"),
    "the sign of W": ({"dW2": "dW2 = H1.T @ d2 + 0.01 * np.sign(W2)"}, "dW2", "0.01 added to some entries"),
    "nothing": ({"dW2": "dW2 = 0 * W2"}, "dW2", "zero everywhere"),
    "squared": ({"d2": "d2 = (dH2 * (1 - H2 ** 2)) ** 2"}, "delta2", "no pattern that has a name here"),
    "bias in H": ({"dW2": "dW2 = (H1 + b1).T @ d2"}, "dW2", "no pattern that has a name here"),
    "classes": ({"d3": "d3 = (np.eye(C)[y.argmax(axis=1)] - t) / n"}, "delta3", "no pattern that has a name here"),
}  # fmt: skip


@pytest.mark.parametrize("deltas", [True, False])
@pytest.mark.parametrize("what", UNKNOWN)
def test_what_has_no_name_is_described(what, deltas):
    changes, where, says = UNKNOWN[what]
    case, graph, given = network(deltas=deltas)
    (mistake,) = diagnosed(case, graph, changes).mistakes
    assert mistake.names == ()
    assert mistake.where == where
    assert says in mistake.says
    assert "no mistake that is known here" in mistake.sure
    _, found = compiled(case.write(changes))(**given)
    assert not any(m.names for m in compare_gradients(found, graph).mistakes)


def test_a_leaky_mask():
    case, graph, _ = network(phi="relu", deltas=False)
    (mistake,) = diagnosed(case, graph, {"d1": "d1 = dH1 * np.where(U1 > 0, 1, 0.01)"}).mistakes
    assert (mistake.where, mistake.names) == ("delta1", ())
    assert "differs only where U1 < 0, where it should be 0" in mistake.says


def test_exchanged_names():
    case, graph, given = network(sizes=(4, 4, 4))
    _, found = compiled(case.write())(**given)
    found["dW1"], found["dW2"] = found["dW2"], found["dW1"]
    first, second = compare_gradients(found, graph).mistakes
    assert first.says == "is dW1 itself, under the wrong name"
    assert second.says == "is dW2 itself, under the wrong name"


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if op.differentiable])
def test_every_operation(name):
    """Its gradients are right; with the sign changed they are a sign; noise has no name."""
    for k, s in enumerate(OPS[name].samples):
        rng = np.random.default_rng(k)
        inputs = [
            tg.Tensor(x, requires_grad=True, name=f"in{i}")
            if np.asarray(x).dtype.kind == "f" and not isinstance(x, int)
            else x
            for i, x in enumerate(s.draw(rng))
        ]
        out = OPS[name](*inputs, **s.params)
        loss = (out * rng.normal(size=out.shape)).sum()
        true = gradients_of(loss)
        assert compare_gradients(true, loss).ok
        live = [key for key in true if true[key].any()]
        if live:
            assert "sign" in compare_gradients({key: -g for key, g in true.items()}, loss).mistakes[0].names
            noisy = {**true, live[0]: true[live[0]] + rng.normal(size=true[live[0]].shape)}
            if true[live[0]].size > 1:
                assert compare_gradients(noisy, loss).mistakes[0].names == ()


def test_a_long_chain_is_searched_near_the_mistake():
    x = tg.Tensor(np.ones(3), requires_grad=True, name="x")
    y: Any = x
    for _ in range(3000):
        y = y * 1.0001
    loss = (y * np.arange(1.0, 4.0)).sum()
    (mistake,) = compare_gradients({"x": -gradients_of(loss)["x"]}, loss).mistakes
    assert mistake.names == ("sign",)


# ----------------------------------------------------------------------------- how gradients are handed in


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("delta2", "delta2"), ("d2", "delta2"), ("δ2", "delta2"), ("δ₂", "delta2"), ("dU2", "delta2"),
        ("dL/dU2", "delta2"), ("dZ2", "delta2"), ("dW2", "dW2"), ("W2", "dW2"), ("w2", "dW2"), ("dL/dW2", "dW2"),
        ("∂L/∂W²", "dW2"), ("dE/dW^2", "dW2"), ("grad_W2", "dW2"), ("W2.grad", "dW2"), ("W2_grad", "dW2"),
        ("db1", "db1"), ("b1", "db1"), ("∇b1", "db1"), ("dH1", "dH1"), ("fc2.weight", "dW2"), ("d_fc2.weight", "dW2"),
        ("dfc1.bias", "db1"),
    ],
)  # fmt: skip
def test_names(given, meant):
    X = np.random.default_rng(0).normal(size=(4, 2))
    net = tg.nn.MLP([2, 3, 1], "tanh", rng=0)
    e = evidence_of((net(X) ** 2).mean())
    assert matched_names(e, [given]) == {given: meant}


@pytest.mark.parametrize("unknown", ["dW3", "W", "delta", "d", "nothing", "dW", "weights"])
def test_names_that_mean_nothing(unknown):
    net = tg.nn.MLP([2, 3, 1], "tanh", rng=0)
    loss = (net(np.ones((4, 2))) ** 2).mean()
    assert matched_names(evidence_of(loss), [unknown]) == {}
    comparison = compare_gradients({unknown: np.zeros(3)}, loss)
    assert {row.name: row.note for row in comparison.rows}[unknown] == "unknown: the graph has no such gradient"


def test_a_tensors_own_name_comes_first():
    """Who counts layers from 0 gets what is meant by it."""
    rng = np.random.default_rng(0)
    W0, W1 = (tg.Tensor(rng.normal(size=s), requires_grad=True, name=n) for s, n in (((2, 3), "W0"), ((3, 2), "W1")))
    loss = ((tg.tanh(np.ones((4, 2)) @ W0) @ W1) ** 2).sum()
    first, second = tg.grad(loss, [W0, W1], retain_graph=True)
    assert compare_gradients({"dW0": first, "dW1": second}, loss).ok


def test_two_names_of_one_gradient():
    case, graph, given = network()
    _, found = compiled(case.write())(**given)
    with pytest.raises(ValueError, match="'dW1' and 'W1' are two names of one gradient, dW1"):
        compare_gradients({**found, "W1": found["dW1"]}, graph)


def test_deltas_may_be_left_out_and_parameters_may_not():
    case, graph, given = network(deltas=False)
    _, found = compiled(case.write())(**given)
    comparison = compare_gradients(found, graph)
    assert comparison.ok
    assert len(comparison.rows) == 6
    del found["db2"]
    comparison = compare_gradients(found, graph)
    assert [(row.name, row.note) for row in comparison.rows if not row.ok] == [
        ("db2", "missing: only the graph has it")
    ]


def test_functions():
    case, graph, given = network()
    function = compiled(case.write())
    assert compare_gradients(function, graph).ok
    assert compare_gradients(lambda: function(**given), graph).ok
    assert compare_gradients(lambda **p: function(given["X"], given["t"], **p), graph).ok
    assert compare_gradients(lambda x, target, *, w1, **p: function(x, target, **p), graph)
    with pytest.raises(TypeError, match=r"wants 'V1', .* it may be called with X, t, W1, b1, W2"):
        compare_gradients(lambda X, V1: {}, graph)
    with pytest.raises(TypeError, match="a list given; a mapping of names to arrays is expected"):
        compare_gradients(lambda X: [X], graph)
    with pytest.raises(ZeroDivisionError):
        compare_gradients(lambda X: 1 / 0, graph)


def test_a_function_cannot_edit_the_graph():
    case, graph, _ = network()
    before = gradients_of(graph)

    def careless(X, t, W1, b1, W2, b2, W3, b3):
        found = compiled(case.write())(X, t, W1, b1, W2, b2, W3, b3)
        X *= 0
        W1 -= 0.1
        return found

    assert compare_gradients(careless, graph).ok
    after = gradients_of(graph)
    assert all((before[name] == after[name]).all() for name in before)


def test_gradients_that_are_not_zeroed():
    case, graph, _ = network()
    function, kept = compiled(case.write()), {}

    def adding(X, t, W1, b1, W2, b2, W3, b3):
        L, found = function(X, t, W1, b1, W2, b2, W3, b3)
        for name, g in found.items():
            kept[name] = kept.get(name, 0) + g
        return L, dict(kept)

    comparison = compare_gradients(adding, graph)
    assert not comparison.ok
    assert comparison.mistakes[-1].names == ("accumulated twice or not zeroed",)
    assert "called twice" in comparison.mistakes[-1].sure


class TwoLayers:
    """A network as people write it: forward keeps, backward uses."""

    def __init__(self, W1, b1, W2, b2):
        self.W1, self.b1, self.W2, self.b2 = W1, b1, W2, b2

    def forward(self, X):
        self.X = X
        self.H = np.tanh(X @ self.W1 + self.b1)
        self.y = self.H @ self.W2 + self.b2
        return self.y

    def backward(self, t):
        d2 = (self.y - t) / len(t)
        self.dW2, self.db2 = self.H.T @ d2, d2.sum(axis=0)
        d1 = (d2 @ self.W2.T) * self.slope()
        self.dW1, self.db1 = self.X.T @ d1, d1.sum(axis=0)

    def slope(self):
        return 1 - self.H**2


class Wrong(TwoLayers):
    def slope(self):
        return 1 - self.H


@pytest.mark.parametrize("whole", [True, False])
def test_an_object_with_backward(whole):
    rng = np.random.default_rng(0)
    given = [rng.normal(size=s) for s in ((2, 3), (3,), (3, 2), (2,))]
    p = [tg.Tensor(x, requires_grad=True, name=n) for x, n in zip(given, ("W1", "b1", "W2", "b2"))]
    X, t = rng.normal(size=(4, 2)), rng.normal(size=(4, 2))
    loss = tg.half_mse_loss(tg.linear(tg.tanh(tg.linear(X, p[0], p[1])), p[2], p[3]), t)
    right, wrong = (TwoLayers, Wrong) if whole else (TwoLayers(*given), Wrong(*given))
    assert compare_gradients(right, loss).ok
    (mistake,) = compare_gradients(wrong, loss).mistakes
    assert mistake.names == ("tanh's derivative as 1 - a",)
    assert mistake.sure.startswith("certain")


def test_columns():
    case, graph, given = network(sizes=(4, 5, 3))
    _, found = compiled(case.write({"dW2": "dW2 = -(H1.T @ d2)"}))(**given)
    turned = {name: g.T for name, g in found.items()}
    (mistake,) = compare_gradients(turned, graph, convention="columns").mistakes
    assert mistake.names == ("sign",)
    assert mistake.line == "dW2 = delta2 @ H1.T"


# ------------------------------------------------------------------------------------------- updates


def test_updates_that_are_no_descent():
    case, graph, given = network(sizes=(4, 5, 3))
    _, found = compiled(case.write())(**given)
    new = {name: given[name] - 0.1 * found[f"d{name}"] for name in ("W1", "b1", "W2", "b2")}
    other = compare_gradients(found, graph, updated={**new, "W2": given["W2"] - 0.1 * np.sign(found["dW2"])})
    assert [(m.where, m.names) for m in other.mistakes] == [("W2", ())]
    assert "no multiple of the gradient" in other.mistakes[0].says
    assert "downhill" in other.mistakes[0].says
    rates = compare_gradients(found, graph, updated={**new, "b1": given["b1"] - 0.2 * found["db1"]})
    assert [m.where for m in rates.mistakes] == ["the update"]
    with pytest.raises(ValueError, match="updated has W7, which the graph does not know"):
        compare_gradients(found, graph, updated={"W7": 0.0})


# ---------------------------------------------------------------------------------------- the output


def test_the_report():
    case, graph, _ = network(sizes=(2, 3, 1), phi="relu", loss="bce", n=4)
    comparison = diagnosed(case, graph, {"db2": "db2 = d2.mean(axis=0)", "d1": "d1 = dH1"})
    sure = "certain: nothing else fits, also on a probe (3 samples, layers 4-5-1)"
    assert str(comparison).split("\n\n")[1].splitlines() == [
        "2 mistakes. First in the order of the sweep:",
        f"  db2: bias averaged over the batch ({sure})",
        "    b was added to every row, so its gradient is the sum of the rows. (The 1/n of a mean is in delta "
        "already.)",
        "    right: db2 = delta2.sum(axis=0)",
        f"  delta1: activation derivative missing ({sure})",
        "    H = phi(U): on its way back through phi the gradient is multiplied by phi'(U), entry by entry.",
        "    right: delta1 = (delta2 @ W2.T) * (U1 > 0)",
    ]
    with pytest.raises(AssertionError) as caught:
        assert_gradients_match(compiled(case.write({"d1": "d1 = dH1"})), graph)
    assert "activation derivative missing" in str(caught.value)


def test_the_example_plays_them_all(tmp_path):
    """In a short run: two of each chapter."""
    root = Path(__file__).parents[2]
    command = [sys.executable, str(root / "examples" / "find_the_mistake.py"), "--quick", "--out", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert "16 of 16: called by its name, or described where it has none" in done.stdout
    table = (tmp_path / "find_the_mistake" / "mistakes.md").read_text(encoding="utf-8").splitlines()
    assert len(table) == 2 + 16
    assert {line.count("|") for line in table} == {6}


def test_nothing_is_said_when_all_is_well():
    case, graph, _ = network()
    text = str(compare_gradients(compiled(case.write()), graph))
    assert text.endswith("9 of 9 agree to 1e-10")


def test_the_graph_stays_as_it_is():
    case, graph, _ = network()
    before = gradients_of(graph)
    diagnosed(case, graph, {"d1": "d1 = dH1"})
    after = gradients_of(graph)
    assert all((before[name] == after[name]).all() for name in before)


@pytest.mark.parametrize("name", SPECIAL)
def test_the_sweep_is_the_engines(name):
    graph, _ = special(name, np.random.default_rng(3))
    e = evidence_of(graph)
    for key, g in gradients_of(graph).items():
        np.testing.assert_allclose(e.sweep.totals[e.targets[key]], g, rtol=1e-13, atol=1e-16)


def two_three_one(slip):
    """The backward pass of 2-3-1 as most people write it: the loss divides by n C, and here C = 1."""

    def backward(X, t, W1, b1, W2, b2):
        U1 = X @ W1 + b1
        H1 = np.maximum(U1, 0)
        y = 1 / (1 + np.exp(-(H1 @ W2 + b2)))
        d2 = (y - t) / len(X) * (0.73 if slip == "scale" else 1)
        threshold = 0.2 if slip == "threshold" else 0
        d1 = (d2 @ W2.T) * (threshold < U1)
        return {"d2": d2, "W2": H1.T @ d2, "b2": d2.sum(axis=0), "d1": d1, "W1": X.T @ d1, "b1": d1.sum(axis=0)}

    return backward


@pytest.mark.parametrize(
    ("slip", "where", "said"),
    [("scale", "delta2", "scale 0.73, the same"), ("threshold", "delta1", "differs only where U1 > 0")],
)
def test_a_function_is_not_blamed_for_shapes_that_it_was_not_written_for(slip, where, said):
    """On a probe with several outputs, (y - t) / n would be wrong; but nobody has asked for that."""
    X, t = tg.data.xor()
    net = tg.nn.MLP([2, 3, 1], "relu", output="sigmoid", rng=0)
    loss = tg.nn.functional.binary_cross_entropy(net(tg.Tensor(X, name="X")), tg.Tensor(t, name="t"))
    assert compare_gradients(two_three_one("none"), loss)
    (mistake,) = compare_gradients(two_three_one(slip), loss).mistakes
    assert mistake.where == where
    assert mistake.names == ()
    assert mistake.says.startswith(said)
    assert "n * C" not in mistake.line
