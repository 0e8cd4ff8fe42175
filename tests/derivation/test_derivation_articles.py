"""The three articles' networks give the articles' equations, symbol by symbol."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.derivation.networks import LABELS, columns, mnist, regression, small, smallest
from tinygrad_edu.derivation import Derivation
from tinygrad_edu.tensor import Tensor

F, nn = tg.nn.functional, tg.nn


def equations(derivation: Derivation) -> list[str]:
    return [line.text() for line in derivation.lines]


def layer(number: int, before: str) -> str:
    return f"U{number} = {before} W{number} + 𝟏 b{number}".translate(str.maketrans("123", "¹²³"))


def test_seed_000_mnist() -> None:
    """delta^L = Y - T, for softmax and cross-entropy summed over the samples; ReLU before."""
    assert equations(tg.derive(mnist())) == [
        "U¹ = X W¹ + 𝟏 b¹",
        "H¹ = relu(U¹)",
        "U² = H¹ W² + 𝟏 b²",
        "Y = softmax(U²)",
        "L = −Σ[ T ⊙ log Y ]",
        "δ² = ∂L/∂U² = Y − T",
        "∂L/∂W² = (H¹)ᵀ δ²",
        "∂L/∂b² = 𝟏ᵀ δ²",
        "δ¹ = ∂L/∂U¹ = (δ² (W²)ᵀ) ⊙ 𝟏[U¹ > 0]",
        "∂L/∂W¹ = Xᵀ δ¹",
        "∂L/∂b¹ = 𝟏ᵀ δ¹",
    ]


def test_seed_000_regression() -> None:
    """E = 1/(2n) sum ||t - y||^2: its delta is (Y - T) / n, and each hidden one (delta W') (.) phi'(U)."""
    assert equations(tg.derive(regression())) == [
        "U¹ = X W¹ + 𝟏 b¹",
        "H¹ = relu(U¹)",
        "U² = H¹ W² + 𝟏 b²",
        "H² = σ(U²)",
        "y = U³ = H² W³ + 𝟏 b³",
        "L = 1/(2 n) Σ[ (y − t)² ]",
        "δ³ = ∂L/∂U³ = (y − t) / n",
        "∂L/∂W³ = (H²)ᵀ δ³",
        "∂L/∂b³ = 𝟏ᵀ δ³",
        "δ² = ∂L/∂U² = (δ³ (W³)ᵀ) ⊙ H² ⊙ (1 − H²)",
        "∂L/∂W² = (H¹)ᵀ δ²",
        "∂L/∂b² = 𝟏ᵀ δ²",
        "δ¹ = ∂L/∂U¹ = (δ² (W²)ᵀ) ⊙ 𝟏[U¹ > 0]",
        "∂L/∂W¹ = Xᵀ δ¹",
        "∂L/∂b¹ = 𝟏ᵀ δ¹",
    ]
    straight = equations(tg.derive(regression("identity")))
    assert "δ² = ∂L/∂U² = δ³ (W³)ᵀ" in straight
    assert "∂L/∂W³ = (U²)ᵀ δ³" in straight


@pytest.mark.parametrize(
    ("activation", "slope"),
    [("tanh", "(1 − Y²) / n"), ("sigmoid", "Y ⊙ (1 − Y) / n"), ("relu", "𝟏[U² > 0] / n")],
)
def test_seed_000_output_with_an_activation(activation: str, slope: str) -> None:
    """delta^L = (Y - T) (.) phi'(U^L) / n."""
    net = nn.MLP([5, 4, 3], activation, output=activation, rng=0)
    derivation = tg.derive(F.half_mse_loss(net(small()), np.eye(4, 3)))
    assert f"δ² = ∂L/∂U² = (Y − T) ⊙ {slope}" in equations(derivation)


def test_mean_over_the_samples() -> None:
    derivation = tg.derive(mnist("mean", labels=True))
    assert "δ² = ∂L/∂U² = (Y − T) / n" in equations(derivation)
    assert "T = onehot(t)" in equations(derivation)
    assert [(x.name.text(), x.value) for x in derivation.counts] == [("n", 4)]
    assert [line.note for line in derivation.lines if "n = 4" in line.note] == ["n = 4"]


SEED_001 = [
    "z¹ = W¹ x + b¹ 𝟏ᵀ",
    "a¹ = relu(z¹)",
    "z² = W² a¹ + b² 𝟏ᵀ",
    "a² = softmax(z²)",
    "L = −Σ[ y ⊙ log a² ]",
    "δ² = ∂L/∂z² = a² − y",
    "∂L/∂W² = δ² (a¹)ᵀ",
    "∂L/∂b² = δ² 𝟏",
    "δ¹ = ∂L/∂z¹ = ((W²)ᵀ δ²) ⊙ 𝟏[z¹ > 0]",
    "∂L/∂W¹ = δ¹ xᵀ",
    "∂L/∂b¹ = δ¹ 𝟏",
]


def test_seed_001_batch() -> None:
    """z = W a + b with a column for each sample; the sum over the samples is delta 1."""
    assert sorted(equations(tg.derive(columns()))) == sorted(SEED_001)


def test_seed_001_asked_of_a_graph_of_rows() -> None:
    """784-64-10 was recorded with a row for each sample; transposed, it is written as seed 001 writes it."""
    derivation = tg.derive(mnist(), convention="columns")
    assert equations(derivation) == SEED_001
    assert derivation.lines[0].shapes == "(64, 4)"
    assert derivation.lines[6].shapes == "(10, 4)(4, 64) → (10, 64)"


def test_seed_000_asked_of_a_graph_of_columns() -> None:
    assert sorted(equations(tg.derive(columns(), convention="rows"))) == sorted(equations(tg.derive(mnist())))


def test_seed_001_one_sample() -> None:
    """The article's own form: vectors, and delta itself is the gradient of the bias."""
    assert equations(tg.derive(columns(single=True))) == [
        "z¹ = W¹ x + b¹",
        "a¹ = relu(z¹)",
        "z² = W² a¹ + b²",
        "a² = softmax(z²)",
        "L = −Σ[ y ⊙ log a² ]",
        "δ² = ∂L/∂z² = a² − y",
        "∂L/∂b² = δ²",
        "∂L/∂W² = δ² (a¹)ᵀ",
        "δ¹ = ∂L/∂z¹ = ((W²)ᵀ δ²) ⊙ 𝟏[z¹ > 0]",
        "∂L/∂b¹ = δ¹",
        "∂L/∂W¹ = δ¹ xᵀ",
    ]


def test_seed_002() -> None:
    assert equations(tg.derive(smallest())) == [
        "U¹ = X W¹ + 𝟏 b¹",
        "H¹ = relu(U¹)",
        "U² = H¹ W² + 𝟏 b²",
        "y = σ(U²)",
        "L = −1/n Σ[ t ⊙ log y + (1 − t) ⊙ log(1 − y) ]",
        "δ² = ∂L/∂U² = (y − t) / n",
        "∂L/∂W² = (H¹)ᵀ δ²",
        "∂L/∂b² = 𝟏ᵀ δ²",
        "δ¹ = ∂L/∂U¹ = (δ² (W²)ᵀ) ⊙ 𝟏[U¹ > 0]",
        "∂L/∂W¹ = Xᵀ δ¹",
        "∂L/∂b¹ = 𝟏ᵀ δ¹",
    ]


@pytest.mark.parametrize("convention", ["rows", "columns"])
def test_both_ways_of_recording_give_one_derivation(convention: Any) -> None:
    """x @ W + b, linear(x, W, b), and (W @ x + b).T with the transposed weights."""
    rng = np.random.default_rng(0)
    w, b, x = rng.normal(size=(5, 3)), rng.normal(size=3), rng.normal(size=(4, 5))
    leaves = [[Tensor(v, requires_grad=True) for v in pair] for pair in ((w, b), (w, b), (w.T, b[:, None]))]
    (w0, b0), (w1, b1), (w2, b2) = leaves
    outputs = [tg.linear(x, w0, b0), x @ w1 + b1, (w2 @ x.T + b2).T]
    texts = [sorted(equations(tg.derive(F.cross_entropy(u, LABELS % 3), convention=convention))) for u in outputs]
    assert texts[0] == texts[1] == texts[2]


def test_notations() -> None:
    delta, leibniz, bar = (equations(tg.derive(mnist(), notation=n))[5:7] for n in ("delta", "leibniz", "bar"))  # type: ignore[arg-type]
    assert delta == ["δ² = ∂L/∂U² = Y − T", "∂L/∂W² = (H¹)ᵀ δ²"]
    assert leibniz == ["∂L/∂U² = Y − T", "∂L/∂W² = (H¹)ᵀ ∂L/∂U²"]
    assert bar == ["U\u0304² = Y − T", "W\u0304² = (H¹)ᵀ U\u0304²"]


def test_ascii() -> None:
    text = tg.derive(smallest()).text(ascii=True)
    assert text.isascii()
    assert "d1     = dL/dU1 = (d2 W2') * 1[U1 > 0]  (4, 3)" in text
    assert "dL/dW2 = H1' d2                         (3, 4)(4, 1) -> (3, 1)" in text
