"""The network: forward against loops, every delta, dW and db against differences, rows against columns."""

import itertools

import numpy as np
import pytest

from tinygrad_edu.manual import ACTIVATIONS, FUSED, LOSSES, Network, one_hot

pytestmark = pytest.mark.filterwarnings("error")

SIZES = (2, 3, 4, 2)  # no two neighbours alike, so that a missing transpose cannot fit
SQUARES = ("half_sum_of_squares", "half_squared_error", "mean_squared_error")

# Pre-activations at which phi is about 1/2: a probability, and one whose logarithm has moderate derivatives.
HALF = {"softplus": -0.4, "silu": 0.8, "gelu": 0.7, "gelu_tanh": 0.7}

conventions = pytest.mark.parametrize("convention", ["rows", "columns"])
batches = pytest.mark.parametrize("n", [None, 3], ids=["single", "batch"])


def problem(activations, loss, convention, n, halfway=False):
    """A network, X and T, the first of a row of seeds whose point suits differences.

    Every pre-activation keeps clear of the kink at 0 by more than the differences reach, and each hidden
    layer has one above it, or a ReLU would pass nothing back. Biases are 1-D in the second layer and 2-D in
    the others, and the targets do not sum to 1. halfway keeps the outputs of an element-wise phi near 1/2.
    """
    for seed in range(200):
        rng = np.random.default_rng(seed)
        W = [rng.normal(size=shape) for shape in itertools.pairwise(SIZES)]
        b = [rng.normal(size=(1, m)) for m in SIZES[1:]]
        X = rng.normal(size=SIZES[0] if n is None else (n, SIZES[0]))
        T = rng.uniform(0.1, 0.9, size=SIZES[-1] if n is None else (n, SIZES[-1]))
        middle = HALF.get(activations[-1], 0.5)
        if halfway:
            W[-1] *= 0.02
            b[-1][:] = middle
        b[1] = b[1].ravel()
        if convention == "columns":
            W, b, X, T = [w.T for w in W], [v.T for v in b], X.T, T.T
        net = Network(W, b, activations, loss, convention)
        f = net.forward(X)
        clear = all(np.abs(U).min() > 0.02 for U in f.U.values())
        alive = all(f.U[layer].max() > 0.1 for layer in range(1, net.L))
        if clear and alive and not (halfway and np.abs(f.U[net.L] - middle).max() > 0.1):
            return net, X, T
    raise AssertionError("no seed suits")


def tail(net, layer):
    """The network from U^l on, as a function of U^l: before phi^l stands a layer with W = 1 and b = 0."""
    m = net.b[layer].size
    later = range(layer + 1, net.L + 1)
    return Network(
        [np.eye(m), *(net.W[k] for k in later)],
        [np.zeros(m), *(net.b[k] for k in later)],
        [net.activation[layer], *(net.activation[k] for k in later)],
        net.loss,
        net.convention,
    )


def assert_gradients_are_slopes(net, X, T, is_slope, fused=True):
    f = net.forward(X)
    gradients = net.backward(f, T, fused)

    def E():
        return net.loss_value(net.forward(X), T)

    for layer in range(1, net.L + 1):
        is_slope(gradients.dW[layer], E, net.W[layer])
        is_slope(gradients.db[layer], E, net.b[layer])
        rest, U = tail(net, layer), f.U[layer].copy()
        is_slope(gradients.delta[layer], lambda rest=rest, U=U: rest.loss_value(rest.forward(U), T), U)


@conventions
@batches
@pytest.mark.parametrize("hidden", ACTIVATIONS)
@pytest.mark.parametrize(("output", "loss"), [*FUSED, *(("identity", loss) for loss in SQUARES)], ids=lambda name: name)
def test_every_hidden_activation(hidden, output, loss, convention, n, is_slope):
    net, X, T = problem([hidden, hidden, output], loss, convention, n)
    assert_gradients_are_slopes(net, X, T, is_slope)


@conventions
@batches
@pytest.mark.parametrize("output", [*ACTIVATIONS, "softmax"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_output_activation_and_loss_by_the_long_way(output, loss, convention, n, is_slope):
    net, X, T = problem(["tanh", "relu", output], loss, convention, n, halfway=True)
    assert_gradients_are_slopes(net, X, T, is_slope, fused=False)


@conventions
@batches
@pytest.mark.parametrize("pair", FUSED, ids="+".join)
def test_both_routes_give_one_backward_pass(pair, convention, n):
    net, X, T = problem(["tanh", "relu", pair[0]], pair[1], convention, n)
    f = net.forward(X)
    short, long = (net.backward(f, T, fused).named() for fused in (True, False))
    assert list(short) == list(long)
    for name in short:
        # Two routes of a dozen roundings each, on numbers of order 1 to 10.
        np.testing.assert_allclose(short[name], long[name], rtol=1e-13, atol=1e-14)


@batches
@pytest.mark.parametrize(
    "pair", [*FUSED, ("softmax", "mean_squared_error"), ("tanh", "half_squared_error")], ids="+".join
)
def test_rows_and_columns_are_transposes(pair, n):
    net, X, T = problem(["gelu", "relu", pair[0]], pair[1], "rows", n)
    mirror = Network(
        [W.T for W in net.W.values()],
        [b.T for b in net.b.values()],
        list(net.activation.values()),
        net.loss,
        "columns",
    )
    f, g = net.forward(X), mirror.forward(X.T)
    # The same products, summed in an order that BLAS chooses: some eps.
    np.testing.assert_allclose(mirror.loss_value(g, T.T), net.loss_value(f, T), rtol=1e-14)
    theirs = mirror.backward(g, T.T).named()
    for name, ours in net.backward(f, T).named().items():
        assert theirs[name].shape == ours.T.shape
        np.testing.assert_allclose(theirs[name], ours.T, rtol=1e-12, atol=1e-14)


@conventions
def test_a_summed_loss_sums_the_gradients_of_its_samples(convention):
    net, X, T = problem(["relu", "tanh", "softmax"], "cross_entropy_sum", convention, 3)
    whole = net.backward(net.forward(X), T)
    singles = [
        net.backward(net.forward(x), t) for x, t in zip(*((X, T) if convention == "rows" else (X.T, T.T)), strict=True)
    ]
    for layer in range(1, net.L + 1):
        # Three terms in another order.
        np.testing.assert_allclose(sum(s.dW[layer] for s in singles), whole.dW[layer], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(sum(s.db[layer] for s in singles), whole.db[layer], rtol=1e-12, atol=1e-14)
        stacked = np.stack([s.delta[layer] for s in singles], axis=0 if convention == "rows" else 1)
        np.testing.assert_allclose(stacked, whole.delta[layer], rtol=1e-12, atol=1e-14)


@conventions
@batches
def test_forward_is_its_definition(convention, n):
    net, X, _ = problem(["relu", "tanh", "softmax"], "cross_entropy_sum", convention, n)
    f = net.forward(X)
    rows = np.atleast_2d(X if convention == "rows" else X.T)
    for i, x in enumerate(rows):
        H = x.tolist()
        for layer in range(1, net.L + 1):
            W = net.W[layer] if convention == "rows" else net.W[layer].T
            U = [sum(H[k] * W[k, j] for k in range(len(H))) + net.b[layer].flat[j] for j in range(W.shape[1])]
            match net.activation[layer]:
                case "relu":
                    H = [max(u, 0.0) for u in U]
                case "tanh":
                    H = np.tanh(U).tolist()
                case "softmax":
                    H = (np.exp(U) / np.exp(U).sum()).tolist()
            for ours, expected in ((f.U[layer], U), (f.H[layer], H)):
                sample = ours if n is None else ours[i] if convention == "rows" else ours[:, i]
                # Sums of at most five products.
                np.testing.assert_allclose(sample, expected, rtol=1e-13, atol=1e-15)
    assert f.H[0] is X
    assert f.Y is f.H[3]


def test_the_two_three_one_network_by_hand():
    net = Network(
        weights=[[[1.0, -1.0, 2.0], [1.0, 1.0, -1.0]], [[1.0], [2.0], [-1.0]]],
        biases=[[[0.0, 0.5, -1.0]], [[-2.5]]],
        activations=["relu", "sigmoid"],
        loss="binary_cross_entropy_mean",
    )
    f = net.forward([[1.0, 2.0], [2.0, 0.0]])
    assert f.U[1].tolist() == [[3, 1.5, -1], [2, -1.5, 3]]
    assert f.H[1].tolist() == [[3, 1.5, 0], [2, 0, 3]]
    assert f.U[2].tolist() == [[3.5], [-3.5]]
    y = 1 / (1 + np.exp(-3.5))  # and the second output is 1 - y
    gradients = net.backward(f, [[1.0], [1.0]]).named()
    p, q = (y - 1) / 2, -y / 2  # delta2 = (Y - T) / N
    expected = {
        "delta2": [[p], [q]],
        "dW2": [[3 * p + 2 * q], [1.5 * p], [3 * q]],
        "db2": [[p + q]],
        "delta1": [[p, 2 * p, 0], [q, 0, -q]],
        "dW1": [[p + 2 * q, 2 * p, -2 * q], [2 * p, 4 * p, 0]],
        "db1": [[p + q, 2 * p, -q]],
    }
    assert list(gradients) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(gradients[name], value, rtol=1e-14)  # a handful of roundings


@conventions
@batches
@pytest.mark.parametrize(("output", "loss"), list(FUSED), ids=lambda name: name)
def test_extreme_logits_give_finite_gradients(output, loss, convention, n):
    net, X, _ = problem(["relu", "identity", output], loss, convention, n)
    for layer in net.W:
        net.W[layer] *= 1e3
    f = net.forward(X)
    assert np.abs(f.U[3]).max() > 1e4
    T = 1 - f.Y.round()  # the opposite of what the network is so sure of
    assert np.isfinite(net.loss_value(f, T))
    assert all(np.isfinite(g).all() for g in net.backward(f, T).named().values())
    # The long way has 0/0 there, which also shows that fused=False does take it.
    with np.errstate(invalid="ignore"):
        assert not np.isfinite(net.backward(f, T, fused=False).delta[3]).all()


@conventions
@batches
def test_gradients_have_the_shapes_of_what_was_given(convention, n):
    net, X, T = problem(["relu", "tanh", "softmax"], "cross_entropy_mean", convention, n)
    f = net.forward(X)
    gradients = net.backward(f, T)
    assert list(gradients.named()) == ["delta3", "dW3", "db3", "delta2", "dW2", "db2", "delta1", "dW1", "db1"]
    for layer in range(1, 4):
        assert gradients.delta[layer].shape == f.U[layer].shape
        assert gradients.dW[layer].shape == net.W[layer].shape
        assert gradients.db[layer].shape == net.b[layer].shape


def test_gradients_share_no_memory():
    net, X, T = problem(["relu", "tanh", "softmax"], "cross_entropy_mean", "rows", None)
    arrays = [*net.backward(net.forward(X), T).named().values(), *net.W.values(), *net.b.values(), X, T]
    for i, a in enumerate(arrays):
        assert not any(np.shares_memory(a, other) for other in arrays[:i])


@conventions
def test_float32_parameters_decide(convention):
    net, X, T = problem(["gelu", "elu", "softmax"], "cross_entropy_mean", convention, 3)
    W, b, names = (
        [w.astype("f4") for w in net.W.values()],
        list(net.b.values()),
        list(net.activation.values()),
    )
    small = Network(W, [v.astype("f4") for v in b], names, net.loss, convention)
    f = small.forward(X)
    arrays = [*f.U.values(), *f.H.values(), *small.backward(f, T).named().values(), small.loss_value(f, T)]
    assert {a.dtype for a in arrays} == {np.dtype("f4")}
    mixed = Network(W, b, names, net.loss, convention)
    f = mixed.forward(X.astype("f4"))
    assert {a.dtype for a in [*f.U.values(), *mixed.backward(f, T).named().values()]} == {np.dtype("f8")}


W1, W2, B1, B2 = np.ones((2, 3)), np.ones((3, 1)), np.zeros(3), np.zeros(1)
TWO = ["relu", "sigmoid"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ([W1, W2.T], [B1, B2], TWO, "half_squared_error"),
            r"W2 \(1, 3\).*takes in 1 units, .*gives 3; did you mean W2.T",
        ),
        (
            ([W1, np.ones((5, 4))], [B1, B2], TWO, "half_squared_error"),
            r"W2 \(5, 4\).*takes in 5 .*gives 3; make it 3",
        ),
        (
            ([W1.T, W2], [B1, B2], TWO, "half_squared_error", "columns"),
            r"W2 \(3, 1\).*\(out, in\).* did you mean W2.T",
        ),
        (
            ([W1, W2], [B2, B2], TWO, "half_squared_error"),
            r"b1 has shape \(1,\).*3 units; pass \(3,\) or \(1, 3\)",
        ),
        (
            ([W1, W2], [B1[:, None], B2], TWO, "half_squared_error"),
            r"b1 has shape \(3, 1\).*pass \(3,\) or \(1, 3\)",
        ),
        (
            ([W1.T, W2.T], [B1[None], B2], TWO, "half_squared_error", "columns"),
            r"b1 has shape \(1, 3\).*\(3,\) or \(3, 1\)",
        ),
        (([B1], [B1], ["relu"], "half_squared_error"), r"W1 has shape \(3,\); pass a matrix \(in, out\)"),
        (
            ([W1, W2], [B1], TWO, "half_squared_error"),
            "2 weights, 1 biases .*one weight, one bias and one name per layer",
        ),
        (([W1], [B1], "relu", "half_squared_error"), "activations 'relu' do not match"),
        (([], [], [], "half_squared_error"), "0 weights, 0 biases"),
        (
            ([W1, W2], [B1, B2], ["rleu", "sigmoid"], "half_squared_error"),
            "unknown activation 'rleu'; choose .*softmax",
        ),
        (
            ([W1, W2], [B1, B2], ["softmax", "sigmoid"], "half_squared_error"),
            "softmax in layer 1 of 2; only the last",
        ),
        (([W1, W2], [B1, B2], TWO, "mse"), "unknown loss 'mse'; choose one of half_sum_of_squares"),
        (
            ([W1, W2], [B1, B2], TWO, "half_squared_error", "row"),
            "unknown convention 'row'; choose one of rows, columns",
        ),
        (([W1 * 1j, W2], [B1, B2], TWO, "half_squared_error"), "complex128"),
    ],
)
def test_networks_that_do_not_fit_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        Network(*arguments)


def test_inputs_and_targets_that_do_not_fit_raise():
    net = Network([W1, W2], [B1, B2], TWO, "half_squared_error")
    columns = Network([W1.T, W2.T], [B1, B2], TWO, "half_squared_error", "columns")
    for shape in ((5, 3), (3,), (), (1, 5, 2)):
        with pytest.raises(ValueError) as error:
            net.forward(np.zeros(shape))
        assert f"X has shape {shape}" in str(error.value)
        assert "pass a batch (n, in)" in str(error.value)
    with pytest.raises(
        ValueError, match=r"X has shape \(5, 2\).*pass a batch \(in, n\) or a sample \(in,\) with in = 2"
    ):
        columns.forward(np.zeros((5, 2)))
    f = net.forward(np.zeros((5, 2)))
    for use in (net.backward, net.loss_value):
        with pytest.raises(ValueError, match=r"T has shape \(5,\), and the network's output \(5, 1\).*one_hot"):
            use(f, np.zeros(5))


def test_cross_entropy_of_a_layer_that_gives_no_probabilities_raises():
    net = Network([np.ones((2, 2))], [np.zeros(2)], ["identity"], "cross_entropy_mean")
    f = net.forward([1.0, 1.0])
    for use in (net.backward, net.loss_value):
        with pytest.raises(ValueError, match="needs probabilities"):
            use(f, one_hot(0, 2))
