"""Which lines there are, what they know of the program, and that large graphs are no problem."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.derivation.networks import NETWORKS, as_recorded, evaluated, mnist, smallest
from tinygrad_edu.derivation.expressions import Symbol, evaluate, walk
from tinygrad_edu.tensor import Tensor


@pytest.mark.parametrize("simplify", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_lines_stand_for_equations(name: str, simplify: bool) -> None:
    """Each line names the equations it stands for; together they are all that leads to outputs and gradients."""
    derivation = tg.derive(NETWORKS[name](), simplify=simplify)
    program = derivation.program
    stood_for = {e for line in derivation.lines for e in line.equations}
    needed, waiting = set(), [*program.outputs, *(program.gradients.get(x) for x in program.parameters)]
    while waiting:
        x = waiting.pop()
        if x is not None and x.equation is not None and x.equation not in needed:
            needed.add(x.equation)
            waiting.extend(x.equation.variables)
    assert {e.target for e in program.forward} <= {e.target for e in stood_for}
    missing = needed - stood_for
    assert not missing or simplify, missing


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_used_before_it_is_known(name: str) -> None:
    for simplify in (True, False):
        derivation = tg.derive(NETWORKS[name](), simplify=simplify)
        known = set(derivation.program.inputs)
        for line in derivation.lines:
            used = {x.variable for x in walk(line.right) if isinstance(x, Symbol)}
            assert used <= known | {line.target}, line.text()
            known.add(line.target)
        texts = [line.left for line in derivation.lines]
        names = [derivation.symbol(line.target).name.text() for line in derivation.lines]  # type: ignore[attr-defined]
        assert len({x.name.text() for x in texts}) == len(texts), name  # type: ignore[attr-defined]
        assert all(names)


def test_one_line_for_each_edge() -> None:
    derivation = tg.derive(smallest(), simplify=False)
    backward = [line for line in derivation.lines if line.part == "backward"]
    assert [line.contribution for line in backward] == derivation.program.contributions
    assert [line.text() for line in backward][:3] == [
        "∂L/∂y = (∂L/∂L / 4) ⊙ ((y − t) / maximum(y ⊙ (1 − y), 1e-12))",
        "δ² = ∂L/∂U² = ∂L/∂y ⊙ (y ⊙ (1 − y))",
        "∂L/∂H¹ = δ² (W²)ᵀ",
    ]
    assert len([line for line in derivation.lines if line.part == "forward"]) == len(derivation.program.forward)


def test_a_value_used_twice() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    loss = (tg.sin(x) * tg.exp(x)).sum()
    assert (
        tg.derive(loss).lines[-1].text() == "∂L/∂x = sin(x) ⊙ exp(x) + exp(x) ⊙ cos(x)"
        or "+" in tg.derive(loss).lines[-1].text()
    )
    literal = [line.text() for line in tg.derive(loss, simplify=False).lines]
    assert literal[-1] == "∂L/∂x = ∂L/∂x|1 + ∂L/∂x|2"


def test_contributions_and_their_sums_have_names_of_their_own() -> None:
    """Also where an addition sends the same numbers to both sides."""
    x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="x")
    lines = tg.derive(((x * x + x) @ x).sum(), simplify=False).lines
    assert [line.text() for line in lines if line.contribution and line.contribution.operand.name == "x"] == [
        "∂L/∂x|1 = v₂ᵀ δ¹",
        "∂L/∂x|2 = ∂L/∂v₂",
        "∂L/∂x|1..2 = ∂L/∂x|1 + ∂L/∂v₂",
        "∂L/∂x|3 = ∂L/∂v₂ ⊙ x",
        "∂L/∂x|1..3 = ∂L/∂x|1..2 + ∂L/∂x|3",
        "∂L/∂x|4 = ∂L/∂v₂ ⊙ x",
        "∂L/∂x = ∂L/∂x|1..3 + ∂L/∂x|4",
    ]


def test_symbols() -> None:
    derivation = tg.derive(mnist())
    program = derivation.program
    texts = {x.name: derivation.symbol(x).name.text() for x in program.parameters}  # type: ignore[attr-defined]
    assert texts == {"fc1.weight": "W¹", "fc1.bias": "b¹", "fc2.weight": "W²", "fc2.bias": "b²"}
    assert "W¹ = fc1.weight" in str(derivation)


def test_names_of_users() -> None:
    x = Tensor(np.ones((3, 2)), name="data")
    w, b = Tensor(np.ones((2, 2)), requires_grad=True, name="theta"), Tensor(np.ones(2), requires_grad=True, name="v1")
    loss = tg.tanh(x @ w + b).sum()
    loss.name = "E"
    assert [line.text() for line in tg.derive(loss).lines][-3:] == [
        "δ¹ = ∂E/∂U¹ = 1 − Y²",
        "∂E/∂v¹ = 𝟏ᵀ δ¹",
        "∂E/∂θ = dataᵀ δ¹",
    ]


def test_hooks_are_seen() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    y = tg.exp(x)
    y.register_hook(lambda g: g * 10)
    derivation = tg.derive((y * y).sum())
    evaluated(derivation)
    assert "10" in str(derivation) or "20" in str(derivation)


def test_float32() -> None:
    net = tg.nn.MLP([5, 4, 3], "tanh", rng=0, dtype=np.float32)
    x = np.ones((4, 5), np.float32)
    t = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    assert "δ² = ∂L/∂U² = (Y − T) / n" in [
        line.text() for line in tg.derive(tg.nn.functional.cross_entropy(net(x), t)).lines
    ]


def test_several_outputs() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    derivation = tg.derive([tg.exp(x).sum(), tg.sin(x).sum()])
    evaluated(derivation)


def test_what_cannot_be_derived() -> None:
    with pytest.raises(ValueError, match="derive: notation='deltas': 'delta', 'leibniz', 'bar' are possible"):
        tg.derive(smallest(), notation="deltas")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="convention='row'"):
        tg.derive(smallest(), convention="row")  # type: ignore[arg-type]
    loss = smallest()
    loss.backward()
    with pytest.raises(tg.GraphError, match="already swept and freed"):
        tg.derive(loss)


def test_nobodys_gradient_changes() -> None:
    x = Tensor([1.0], requires_grad=True)
    loss = tg.exp(x).sum()
    assert str(tg.derive(loss)) == str(tg.derive(loss))
    assert x.grad is None


# ------------------------------------------------------------------------------------------- explain


def test_explain() -> None:
    explained = tg.derive(smallest()).explain("fc1.weight")
    assert str(explained).splitlines()[1].strip() == "∂L/∂W¹ = ∂L/∂y · ∂y/∂U² · ∂U²/∂H¹ · ∂H¹/∂U¹ · ∂U¹/∂W¹"
    assert [line.text() for line in explained.lines if line.part == "backward"] == [
        "∂L/∂y = (y − t) / (n y ⊙ (1 − y))",
        "δ² = ∂L/∂U² = ∂L/∂y ⊙ y ⊙ (1 − y)",
        "∂L/∂H¹ = δ² (W²)ᵀ",
        "δ¹ = ∂L/∂U¹ = ∂L/∂H¹ ⊙ 𝟏[U¹ > 0]",
        "∂L/∂W¹ = Xᵀ δ¹",
    ]
    assert str(tg.derive(smallest()).explain("W1")) == str(explained)
    assert "0.7569" in tg.derive(smallest()).explain("fc1.weight", numbers=True).text()
    with pytest.raises(KeyError, match="nothing called 'fc9' receives a gradient; there are the parameters fc1"):
        tg.derive(smallest()).explain("fc9")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_explanation_is_right(name: str) -> None:
    derivation = tg.derive(NETWORKS[name]())
    for parameter in derivation.program.parameters[:3]:
        explained = derivation.explain(parameter.name)
        last = explained.lines[-1]
        assert last.target is explained.program.gradients[parameter]
        recorded = {x: x.value for x in explained.program.variables()}
        for line in explained.lines:
            found = as_recorded(evaluate(line.right, recorded), line)
            np.testing.assert_allclose(found, line.target.value, rtol=1e-10, atol=1e-13, err_msg=line.text())


def test_a_chain_names_only_what_is_written() -> None:
    """x @ W.T + b: neither the transpose nor the product has a line of its own."""
    w, b = Tensor(np.ones((3, 5)), requires_grad=True, name="W"), Tensor(np.ones(3), requires_grad=True, name="b")
    explained = tg.derive(tg.tanh(np.ones((4, 5)) @ w.T + b).sum()).explain("W")
    assert str(explained).splitlines()[1].strip() == "∂L/∂W = ∂L/∂v₂ · ∂v₂/∂v₁ · ∂v₁/∂W"
    assert explained.lines[-1].text() == "∂L/∂W = (∂L/∂v₁)ᵀ X"
    assert explained.lines[-1].text(ascii=True) == "dL/dW = (dL/dv1)' X"


def test_several_ways_have_no_chain() -> None:
    x = Tensor(2.0, requires_grad=True, name="x")
    explained = tg.derive(tg.sin(x) * x).explain("x")
    assert not str(explained).startswith("Chain rule")
    assert explained.lines[-1].text() == "∂L/∂x = v₁ + ∂L/∂v₁ cos(x)"


# -------------------------------------------------------------------------------------------- large graphs


def chain(function: Any, length: int) -> Tensor:
    y = Tensor(np.full(3, 0.5), requires_grad=True, name="x")
    for i in range(length):
        y = function(y, i)
    return y.sum()


@pytest.mark.parametrize("kind", ["tanh", "affine", "used twice"])
def test_long_chains(kind: str) -> None:
    """5,000 operations: no recursion, no expression that grows with the graph, and still the right numbers."""
    functions = {
        "tanh": lambda y, i: tg.tanh(y) if i % 2 else y * 1.0001,
        "affine": lambda y, i: y * 0.999 + 0.001,
        "used twice": lambda y, i: y * 0.5 + tg.sin(y) * 0.5,
    }
    derivation = tg.derive(chain(functions[kind], 5000 if kind == "tanh" else 1500))
    assert max(line.right.depth for line in derivation.lines) < 40
    assert max(line.right.size for line in derivation.lines) < 200
    evaluated(derivation)
    assert len(str(derivation).splitlines()) > 50
    derivation.to_numpy()


def test_many_uses_of_one_value() -> None:
    x = Tensor(np.full(3, 0.5), requires_grad=True, name="x")
    total: Any = 0
    for k in range(1000):
        total = total + tg.sin(x * float(k))
    derivation = tg.derive(total.sum())
    evaluated(derivation)
    assert max(line.right.size for line in derivation.lines) < 300
