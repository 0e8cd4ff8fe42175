"""The pictures of training: each is a PNG with what was asked for, and bad input is named."""

from pathlib import Path

import numpy as np
import pytest

from viz import training

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 2))
T = (X[:, 0] > 0).astype(int)


def sigmoid(points: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-3 * points[:, 0]))


CASES = {
    "curves": lambda p: training.loss_curve({"loss": [2.0, 1.0], "train": [0.5, 0.9], "test": [0.4, 0.8]}, p),
    "losses": lambda p: training.loss_curve({"loss, a": list(range(50)), "loss, b": [1.0]}, p),
    "boundary": lambda p: training.decision_boundary(sigmoid, X, T, p),
    "no boundary": lambda p: training.decision_boundary(lambda q: np.full(len(q), 0.9), X, T, p),
    "grid": lambda p: training.grid_of_boundaries([("a", sigmoid)] * 5, X, T, p, columns=3, title="five"),
    "fits": lambda p: training.regression_fits(X[:, 0], X[:, 1], [0, 1], {"line": [0, 1], "flat": [1, 1]}, p),
    "norms": lambda p: training.gradient_norms({"a": [1.0, 0.1], "b": [0.0, 2.0]}, {"a": [1e-3], "b": [1e-2]}, p),
    "no norms": lambda p: training.gradient_norms({"a": [0.0]}, {"a": [0.0]}, p),
    "weights": lambda p: training.weight_images(RNG.normal(size=(64, 20)), (8, 8), p),
    "zero weights": lambda p: training.weight_images(np.zeros((6, 1)), (2, 3), p),
    "images": lambda p: training.image_grid(RNG.random((10, 8, 8)), list(range(10)), [0] * 10, p),
    "no images": lambda p: training.image_grid(np.zeros((0, 8, 8)), [], [], p),
}


@pytest.mark.parametrize("name", CASES)
def test_a_picture_is_written(name: str, tmp_path: Path) -> None:
    path = CASES[name](tmp_path / "picture.png")
    assert path == tmp_path / "picture.png"
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = np.frombuffer(content[16:24], ">u4")
    assert width > 150
    assert height > 150


def test_an_empty_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="history is empty"):
        training.loss_curve({}, tmp_path / "x.png")


def test_probabilities_are_asked_for_in_the_plane(tmp_path: Path) -> None:
    """The shading covers all points with a margin: predict sees a grid that reaches beyond them."""
    seen = []

    def predict(points: np.ndarray) -> np.ndarray:
        seen.append(points)
        return sigmoid(points)

    training.decision_boundary(predict, X, T, tmp_path / "x.png")
    (points,) = seen
    assert (points.min(axis=0) < X.min(axis=0)).all()
    assert (points.max(axis=0) > X.max(axis=0)).all()


def test_layers_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"norms of \['a'\], ratios of \['b'\]: the same layers"):
        training.gradient_norms({"a": [1.0]}, {"b": [1.0]}, tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"a weight of shape \(5, 2\) for images of 2x3 pixels"):
        training.weight_images(np.zeros((5, 2)), (2, 3), tmp_path / "x.png")
