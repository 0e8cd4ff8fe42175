"""No rule fires on a look-alike, and the steps of the famous ones can be shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.derivation.networks import LABELS, evaluated, mlp, small, unfused
from tinygrad_edu.derivation import Derivation
from tinygrad_edu.tensor import Tensor

F, nn = tg.nn.functional, tg.nn
ONE_HOT = np.eye(3)[LABELS]


def derived(loss: Any) -> Derivation:
    """The derivation, whose equations are evaluated and compared."""
    derivation = tg.derive(loss)
    evaluated(derivation)
    return derivation


def delta(derivation: Derivation) -> str:
    """The right side of the last layer's delta."""
    return next(x for x in derivation.lines if x.part == "backward" and "δ²" in x.text()).text().split(" = ")[-1]


def rules(derivation: Derivation) -> set[str]:
    return {step.rule for line in derivation.lines for step in line.steps}


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "sigmoid"])
def test_put_together_by_hand(name: str) -> None:
    """The unfused losses come to the same equation as the fused ones."""
    derivation = derived(unfused(name))
    count = "N" if name == "sigmoid" else "n"
    assert delta(derivation) in (f"(Y − T) / {count}", f"(Y − X₂) / {count}")


def test_the_steps_of_a_fused_loss() -> None:
    text = derived(F.cross_entropy(mlp()(small()), ONE_HOT, reduction="sum")).text(steps=True)
    for step in (
        "chain rule through the softmax: Y − T = Y ⊙ (−T / Y − ((−T / Y) ⊙ Y) 𝟏)",
        "cancel: T ⊙ Y / Y = T",
        "rows sum to one: (−T) 𝟏 = −𝟏",
        "multiply out: Y ⊙ (−T / Y + 1) = Y − T",
    ):
        assert step.split(":")[0] in text, text
    assert "chain rule through the softmax: Y − T = Y ⊙ (−T / Y − ((−T / Y) ⊙ Y) 𝟏)" in text


def test_targets_that_do_not_sum_to_one() -> None:
    """y sum(t) - t, and never y - t."""
    derivation = derived(F.cross_entropy(mlp()(small()), ONE_HOT + 0.1))
    assert delta(derivation) == "(Y ⊙ (T 𝟏) − T) / n"
    assert "softmax+cross-entropy" not in str(derivation)


def test_smoothed_labels_do_sum_to_one() -> None:
    assert delta(derived(F.cross_entropy(mlp()(small()), 0.9 * ONE_HOT + 0.1 / 3))) == "(Y − T) / n"


def test_one_bad_row_is_enough() -> None:
    targets = ONE_HOT.copy()
    targets[2] *= 1 + 1e-6
    assert delta(derived(F.cross_entropy(mlp()(small()), targets))) == "(Y ⊙ (T 𝟏) − T) / n"


def test_targets_that_are_learned() -> None:
    """Their rows sum to one now, but need not after a step."""
    targets = Tensor(ONE_HOT, requires_grad=True, name="T")
    assert "T 𝟏" in delta(derived(F.cross_entropy(mlp()(small()), targets)))


def test_weights_of_the_samples() -> None:
    weights = np.array([1.0, 2.0, 0.5, 3.0])
    losses = F.cross_entropy(mlp()(small()), ONE_HOT, reduction="none")
    found = delta(derived((Tensor(weights, name="w") * losses).sum()))
    assert "w" in found


def test_weights_of_the_classes() -> None:
    """- sum w t log y by hand: w t does not sum to one."""
    weighted = Tensor(ONE_HOT * [1.0, 2.0, 3.0], name="T")
    loss = -(weighted * tg.log(tg.softmax(mlp()(small())))).sum()
    assert delta(derived(loss)) == "Y ⊙ (T 𝟏) − T"


def test_softmax_along_the_wrong_axis() -> None:
    loss = -(Tensor(ONE_HOT, name="T") * tg.log(tg.softmax(mlp()(small()), axis=0))).sum()
    assert delta(derived(loss)) != "Y − T"


def test_sigmoid_then_softmax_cross_entropy() -> None:
    """Softmax of a sigmoid: y - t is the delta of the sigmoid's output, not of the layer's."""
    loss = F.cross_entropy(tg.sigmoid(mlp()(small())), ONE_HOT)
    assert "(1 − Y)" in delta(derived(loss))


def test_log_of_something_else() -> None:
    """y + 0.1 does not cancel against y."""
    loss = -(Tensor(ONE_HOT, name="T") * tg.log(tg.softmax(mlp()(small())) + 0.1)).sum()
    assert delta(derived(loss)) != "Y − T"


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_the_bound_of_binary_cross_entropy(scale: float) -> None:
    """y (1 - y) below 1e-12 is bounded: there the gradient is not y - t, and the rule does not say so."""
    net = mlp(outputs=1)
    y = tg.sigmoid(scale * net(small()))
    if scale > 1:
        assert (y.data * (1 - y.data)).min() < 1e-12
    derivation = derived(F.binary_cross_entropy(y, np.ones((4, 1))))
    assert ("bound that does nothing" in rules(derivation)) == (scale == 1)
    assert ("1e-12" in str(derivation)) == (scale > 1)


def test_a_bound_of_ones_own_stays() -> None:
    """Only what the loss bounds by itself is left out: a floor of 0.3 is somebody's model."""
    y = tg.sigmoid(mlp()(small()))
    loss = (tg.maximum(y * (1 - y), 0.01) * Tensor(small(4, 3), name="c")).sum()
    assert "bound that does nothing" not in rules(derived(loss))


def test_what_may_be_zero_does_not_cancel() -> None:
    """x / x is 1 but where x is 0."""
    x = Tensor([1.0, 0.5, -2.0], requires_grad=True, name="x")
    w = Tensor([1.0, 2.0, 3.0], name="w")
    assert "cancel" not in rules(derived((x * w / x).sum()))


def test_relu_mask_only_for_relu() -> None:
    u = Tensor(small(), requires_grad=True, name="u")
    assert "relu mask" in rules(derived((tg.relu(u) * Tensor(small(), name="c")).sum()))
    assert "relu mask" not in rules(derived((tg.where(tg.tanh(u) > 0, u, 0.0) * Tensor(small(), name="c")).sum()))


def test_seed_of_ones() -> None:
    """A loss that is no scalar: its seed is a matrix of ones, which must not lose its shape."""
    x = Tensor(small(), requires_grad=True, name="x")
    assert derived(x + 1).lines[-1].text() == "∂L/∂x = 𝟏"
    assert derived(x * 3.0).lines[-1].text() == "∂L/∂x = 3 𝟏"
    assert derived(x * x).lines[-1].text() == "∂L/∂x = 2 x"


def test_a_divisor_is_a_count_only_if_it_counts() -> None:
    """With two samples a written 2 is no n; a loss that divides by 2 samples does divide by n."""
    net = nn.MLP([5, 3], rng=0)
    x, t = small(2, 5), np.ones((2, 3))
    half = derived(((net(x) - Tensor(t, name="T")) ** 2).sum() / 2)
    assert "n" not in {name.text() for name in (c.name for c in half.counts if c.value == 2)} or " / n" not in str(half)
    assert " / n" in str(derived(F.half_mse_loss(net(x), t)))


def test_one_minus_the_targets() -> None:
    """An array that is exactly 1 - t is written so; one that almost is, is not."""
    y, t = tg.sigmoid(mlp()(small())), ONE_HOT
    right, wrong = 1 - t, 1 - t + 1e-9
    by_hand = [-(t * tg.log(y) + other * tg.log(1 - y)).sum() for other in (right, wrong)]
    assert delta(derived(by_hand[0])) in ("Y − T", "Y − X₂")
    assert delta(derived(by_hand[1])) not in ("Y − T", "Y − X₂")
