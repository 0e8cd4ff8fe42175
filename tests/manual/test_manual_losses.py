"""Every loss against its definition, written with loops; gradients and fused deltas against differences."""

import math

import numpy as np
import pytest

from tinygrad_edu.manual import ACTIVATIONS, FUSED, LOSSES, one_hot, output_delta, softmax

pytestmark = pytest.mark.filterwarnings("error")

SHAPES = [(4, 3), (3,), (4, 1), (1, 3), (1,)]


def squares(Y, T):
    return sum((y - t) ** 2 for y, t in zip(Y.flat, T.flat, strict=True))


def cross(Y, T):
    return -sum(t * math.log(y) for y, t in zip(Y.flat, T.flat, strict=True))


def binary(Y, T):
    return -sum(t * math.log(y) + (1 - t) * math.log(1 - y) for y, t in zip(Y.flat, T.flat, strict=True))


def samples(Y):
    return Y.shape[0] if Y.ndim == 2 else 1


DEFINITIONS = {
    "half_sum_of_squares": lambda Y, T: squares(Y, T) / 2,
    "half_squared_error": lambda Y, T: squares(Y, T) / (2 * samples(Y)),
    "mean_squared_error": lambda Y, T: squares(Y, T) / Y.size,
    "cross_entropy_sum": cross,
    "cross_entropy_mean": lambda Y, T: cross(Y, T) / samples(Y),
    "binary_cross_entropy_sum": binary,
    "binary_cross_entropy_mean": lambda Y, T: binary(Y, T) / Y.size,
}

every_loss = pytest.mark.parametrize("name", LOSSES)
every_pair = pytest.mark.parametrize("pair", FUSED, ids="+".join)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def outputs_and_targets(shape):
    """Outputs well inside (0, 1), and targets in it that do not sum to 1."""
    rng = np.random.default_rng(1)
    return rng.uniform(0.2, 0.8, shape), rng.uniform(0.1, 0.9, shape)


@every_loss
@every_shape
def test_value_is_its_definition(name, shape):
    Y, T = outputs_and_targets(shape)
    # Both sum a dozen terms of one sign: a few units in the last place.
    np.testing.assert_allclose(LOSSES[name].value(Y, T), DEFINITIONS[name](Y, T), rtol=1e-14)


@every_loss
@every_shape
def test_gradient_is_the_slope_of_the_value(name, shape, is_slope):
    Y, T = outputs_and_targets(shape)
    value, gradient = LOSSES[name]
    is_slope(gradient(Y, T), lambda: value(Y, T), Y)


@every_pair
@every_shape
def test_fused_value_is_activation_then_loss(pair, shape):
    activation, loss = pair
    _, T = outputs_and_targets(shape)
    U = np.random.default_rng(2).normal(size=shape)
    Y = softmax(U) if activation == "softmax" else ACTIVATIONS[activation].phi(U)
    # A one-class softmax is 1 and its loss 0: hence the absolute term, eps times a few roundings.
    np.testing.assert_allclose(FUSED[pair].value(U, T), LOSSES[loss].value(Y, T), rtol=1e-14, atol=1e-15)


@every_pair
@pytest.mark.parametrize("shape", [(4, 3), (3,)], ids=str)
def test_fused_delta_is_the_slope_of_the_fused_value(pair, shape, is_slope):
    _, T = outputs_and_targets(shape)
    U = np.random.default_rng(2).normal(size=shape)
    value, delta = FUSED[pair]
    is_slope(delta(U, T), lambda: value(U, T), U)


@every_pair
@every_shape
def test_both_routes_to_the_output_delta_agree(pair, shape):
    _, T = outputs_and_targets(shape)
    U = np.random.default_rng(2).normal(size=shape)
    # The long way divides by y > 0.05 and multiplies by it again, a few eps each on numbers of order 1.
    np.testing.assert_allclose(output_delta(U, T, *pair), output_delta(U, T, *pair, fused=False), rtol=0, atol=2e-15)


def test_the_routes_are_not_one_and_the_same():
    # At u = +-1000 only the short way survives: the long one divides by a y that has rounded to 0.
    short = output_delta([1000.0, -1000.0], [0.0, 1.0], "softmax", "cross_entropy_sum")
    assert short.tolist() == [1, -1]
    with np.errstate(invalid="ignore"):
        assert np.isnan(output_delta([1000.0, -1000.0], [0.0, 1.0], "softmax", "cross_entropy_sum", fused=False)).all()


@pytest.mark.parametrize("name", ["cross_entropy_sum", "cross_entropy_mean"])
def test_softmax_delta_is_y_minus_t_for_targets_that_sum_to_one(name):
    U = np.random.default_rng(3).normal(size=(4, 3))
    T = one_hot([0, 2, 1, 1], 3)
    n = 4 if name.endswith("mean") else 1
    np.testing.assert_allclose(output_delta(U, T, "softmax", name), (softmax(U) - T) / n, rtol=1e-15)


def test_softmax_delta_for_targets_that_sum_to_two():
    # y = (1/2, 1/2): y sum(t) - t, where the short Y - T would say (-1, 0).
    assert output_delta([0.0, 0.0], [1.5, 0.5], "softmax", "cross_entropy_sum").tolist() == [-0.5, 0.5]


def test_softmax_cross_entropy_of_extreme_logits():
    U = np.array([[1e4, -1e4], [0.0, -np.inf]])
    value, delta = FUSED["softmax", "cross_entropy_sum"]
    assert value(U, one_hot([1, 0], 2)) == 2e4
    assert delta(U, one_hot([1, 0], 2)).tolist() == [[1, -1], [0, 0]]
    assert value(U, one_hot([0, 1], 2)) == np.inf


def test_sigmoid_cross_entropy_of_extreme_logits():
    U, T = np.array([-1000.0, -1000.0, 1000.0, 1000.0]), np.array([0.0, 1.0, 0.0, 1.0])
    value, delta = FUSED["sigmoid", "binary_cross_entropy_sum"]
    assert value(U, T) == 2000
    assert delta(U, T).tolist() == [0, -1, 1, 0]
    # log(1 + e^-40) is a number, not 0.
    assert value([40.0], [1.0]) == pytest.approx(math.exp(-40), rel=1e-14, abs=0)


def test_certain_and_right_costs_nothing_certain_and_wrong_costs_inf():
    for name in ("cross_entropy_sum", "binary_cross_entropy_sum"):
        value, gradient = LOSSES[name]
        assert value([0.0, 1.0], [0.0, 1.0]) == 0
        assert np.isfinite(gradient([0.0, 1.0], [0.0, 1.0])).all()
        assert value([0.0, 1.0], [1.0, 0.0]) == np.inf
        assert gradient([0.0, 1.0], [1.0, 0.0])[0] == -np.inf
        assert np.isnan(value([np.nan, 0.5], [0.0, 1.0]))


@pytest.mark.parametrize("table", [LOSSES, FUSED], ids=["losses", "fused"])
def test_dtype_follows_the_outputs(table):
    Y = np.full((2, 3), 0.5, np.float32)
    T = one_hot([0, 1], 3)
    for value, gradient in table.values():
        assert value(Y, T).dtype == gradient(Y, T).dtype == np.float32
        assert (
            value(Y.astype("f8"), T.astype("f4")).dtype == gradient(Y.astype("f8"), T.astype("i8")).dtype == np.float64
        )


@pytest.mark.parametrize("table", [LOSSES, FUSED], ids=["losses", "fused"])
@pytest.mark.parametrize(
    "shapes", [((4, 1), (4,)), ((4, 3), (3,)), ((0, 3), (0, 3)), ((), ()), ((2, 2, 2), (2, 2, 2))], ids=str
)
def test_shapes_that_do_not_fit_raise(table, shapes):
    Y, T = (np.full(shape, 0.5) for shape in shapes)
    for loss in table.values():
        for f in loss:
            with pytest.raises(ValueError) as error:
                f(Y, T)
            assert str(shapes[0]) in str(error.value)
            assert str(shapes[1]) in str(error.value)


@pytest.mark.parametrize("name", [name for name in LOSSES if "cross_entropy" in name])
@pytest.mark.parametrize("y", [-0.25, 1.25])
def test_outputs_that_are_no_probabilities_raise(name, y):
    for f in LOSSES[name]:
        with pytest.raises(ValueError, match=f"{y}.*softmax or sigmoid"):
            f([0.5, y], [0.0, 1.0])


def test_one_hot():
    assert one_hot([2, 0], 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert one_hot(1, 3).tolist() == [0, 1, 0]
    assert one_hot(np.array([3], np.uint8), 4).dtype == np.float64


@pytest.mark.parametrize(("labels", "label", "position"), [([0, 1, 9, 10], 10, 3), ([0, -1], -1, 1), (3, 3, 0)])
def test_one_hot_names_the_label_and_its_position(labels, label, position):
    classes = 10 if label == 10 else 3
    with pytest.raises(ValueError, match=f"label {label} at position {position} is outside 0..{classes - 1}"):
        one_hot(labels, classes)


@pytest.mark.parametrize("labels", [[0.0, 1.0], [[0, 1]], [True], ["a"]])
def test_one_hot_takes_integers_in_a_row(labels):
    with pytest.raises(ValueError, match="pass integers"):
        one_hot(labels, 3)


def test_output_delta_names_what_exists():
    with pytest.raises(ValueError, match=r"unknown loss 'mse'; choose one of half_sum_of_squares, "):
        output_delta([0.5], [1.0], "tanh", "mse")
    with pytest.raises(ValueError, match=r"unknown activation 'tan'; choose one of identity, .*softmax"):
        output_delta([0.5], [1.0], "tan", "half_squared_error")
