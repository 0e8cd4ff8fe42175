"""The made-up sets and the bundled digits: shapes, classes, formulas, seeds."""

import sys

import numpy as np
import pytest

from tinygrad_edu.data import DataError, article_regression, circles, digits, moons, spiral, xor

PLANE = [moons, circles, spiral]
SKLEARN = [moons, circles, digits]


def test_xor():
    X, t = xor()
    assert X.dtype == t.dtype == np.float64
    assert X.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert t.tolist() == [[0], [1], [1], [0]]
    X[:] = 9
    assert xor()[0].max() == 1  # each call gives arrays of its own


@pytest.mark.parametrize("make", PLANE)
@pytest.mark.parametrize("n", [2, 7, 200])
def test_points_in_the_plane(make, n):
    X, t = make(n)
    assert X.shape == (n, 2)
    assert t.shape == (n, 1)
    assert X.dtype == t.dtype == np.float64
    assert np.isfinite(X).all()
    assert set(t.ravel()) == {0.0, 1.0}
    assert abs((t == 0).sum() - (t == 1).sum()) <= 1


@pytest.mark.parametrize("make", PLANE)
def test_classes_are_shuffled(make):
    t = make(200)[1].ravel()
    assert 60 < np.count_nonzero(np.diff(t)) < 140  # about half of the neighbours differ


@pytest.mark.parametrize("make", [*PLANE, article_regression])
def test_an_int_repeats_and_a_generator_goes_on(make):
    np.testing.assert_array_equal(make(50, rng=3)[0], make(50, rng=3)[0])
    assert not np.array_equal(make(50, rng=3)[0], make(50, rng=4)[0])
    rng = np.random.default_rng(3)
    first, second = make(50, rng=rng)[0], make(50, rng=rng)[0]
    np.testing.assert_array_equal(first, make(50, rng=3)[0])
    assert not np.array_equal(first, second)
    assert not np.array_equal(make(50, rng=None)[0], make(50, rng=None)[0])


@pytest.mark.parametrize("make", PLANE)
def test_noise_is_added_to_both_coordinates(make):
    shapes = [make(4000, noise=noise, rng=0)[0] for noise in (0.0, 0.3)]
    growth = np.var(shapes[1], axis=0) - np.var(shapes[0], axis=0)
    np.testing.assert_allclose(growth, 0.09, atol=0.05)


def test_moons_and_circles_lie_where_they_should():
    X, t = moons(100, noise=0)
    upper, lower = X[t[:, 0] == 0], X[t[:, 0] == 1]
    np.testing.assert_allclose(np.hypot(*upper.T), 1)
    np.testing.assert_allclose(np.hypot(*(lower - [1, 0.5]).T), 1)
    assert upper[:, 1].min() > -1e-12
    assert lower[:, 1].max() < 0.5 + 1e-12
    X, t = circles(100, noise=0)
    np.testing.assert_allclose(np.hypot(*X.T), 1 - 0.5 * t[:, 0])


def test_the_arms_of_the_spiral_are_opposite():
    X, t = spiral(500, noise=0)
    r = np.hypot(*X.T)
    assert r.min() > 0.25
    assert r.max() < 3
    np.testing.assert_allclose(X[:, 1], np.where(t[:, 0] == 0, 1, -1) * r * np.sin(np.pi * r), atol=1e-12)


@pytest.mark.parametrize("make", PLANE)
def test_bad_parameters_of_the_plane(make):
    for n in 1, 0, -3:
        with pytest.raises(DataError, match=f"{make.__name__}: n must be at least 2.* got {n}"):
            make(n)
    for noise in -0.1, np.nan:
        with pytest.raises(DataError, match=f"{make.__name__}: noise is a standard deviation and cannot be"):
            make(10, noise)


def test_article_regression_follows_its_formula():
    X, y = article_regression(500, rng=5)
    rng = np.random.default_rng(5)
    e0, e1, e2 = rng.standard_normal((3, 500))
    s = 0.75 * (0.5 * e0 + 0.35) - 0.35
    wanted = np.exp(-(8 * s * s + 0.1 * s + 0.1) + 0.05 * e1) + 0.05 * e2
    np.testing.assert_allclose(X[:, 0], 0.5 * e0 + 0.35, rtol=1e-14)
    np.testing.assert_allclose(y[:, 0], wanted / abs(wanted).max(), rtol=1e-12)


def test_article_regression_defaults():
    X, y = article_regression()
    assert X.shape == y.shape == (2000, 1)
    assert X.dtype == y.dtype == np.float64
    assert np.abs(y).max() == 1
    np.testing.assert_array_equal(X, article_regression(2000, 1)[0])
    with pytest.raises(DataError, match="n must be at least 1, got 0"):
        article_regression(0)


def test_digits():
    split = digits()
    assert repr(split) == "Split(digits: 1,797 images of 8x8, 1,437 train, 360 test, 10 classes, float64)"
    assert split.x_train.shape == (1437, 64)
    assert split.x_test.shape == (360, 64)
    assert split.t_train.dtype == split.t_test.dtype == np.int64
    assert split.x_train.min() == 0
    assert split.x_train.max() == 1
    assert set(split.t_train) == set(split.t_test) == set(range(10))


def test_digits_are_the_bundled_ones_each_once_with_its_label():
    bundled = pytest.importorskip("sklearn.datasets").load_digits()
    split = digits(rng=3)
    rows = np.column_stack([np.vstack([split.x_train, split.x_test]) * 16, [*split.t_train, *split.t_test]])
    assert sorted(rows.tolist()) == sorted(np.column_stack([bundled.data, bundled.target]).tolist())


def test_digits_parameters():
    split = digits(0.5, rng=1, dtype=np.float32, scale=(-1, 1))
    assert len(split.x_test) == 899
    assert split.x_train.dtype == np.float32
    assert split.x_train.min() == -1
    assert split.x_train.max() == 1
    assert len(digits(1e-9).x_test) == 1
    assert len(digits(1 - 1e-9).x_train) == 1
    np.testing.assert_array_equal(digits(rng=4).t_test, digits(rng=np.random.default_rng(4)).t_test)
    assert not np.array_equal(digits(rng=4).t_test, digits(rng=5).t_test)


@pytest.mark.parametrize("fraction", [0, 1, -0.2, 1.5, np.nan])
def test_digits_refuses_an_empty_side(fraction):
    with pytest.raises(DataError, match="test_fraction must lie between 0 and 1, got"):
        digits(fraction)


@pytest.mark.parametrize("make", SKLEARN)
def test_without_scikit_learn_the_error_says_how_to_get_it(monkeypatch, make):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError) as raised:
        make()
    name = make.__name__
    assert str(raised.value) == f'{name} needs scikit-learn: pip install "tinygrad_edu[examples]"'
