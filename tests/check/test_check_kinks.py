"""Kinks: seen as what they are, never an excuse for a wrong gradient, and never a reason to refuse a right one."""

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.check import GradientMismatch, check_op, gradcheck, gradgradcheck, numerical_gradient
from tinygrad_edu.check.kinks import slope_or_kink
from tinygrad_edu.check.probing import Experiment
from tinygrad_edu.op import OPS


def x_at(*values, name="x"):
    return tg.Tensor(np.array(values, dtype=float), requires_grad=True, name=name)


def kinks(function, *inputs):
    return [str(kink) for kink in gradcheck(function, list(inputs)).kinks]


# ------------------------------------------------------------------------------------------ seen

AT_ZERO = {
    "abs": (tg.abs, "kink at x[3]: slope -1 on the left, 1 on the right"),
    "relu": (tg.relu, "kink at x[3]: slope 0 on the left, 1 on the right"),
    "leaky_relu": (tg.leaky_relu, "kink at x[3]: slope 0.01 on the left, 1 on the right"),
    "maximum": (lambda x: tg.maximum(x, 0), "kink at x[3]: slope 0 on the left, 1 on the right"),
    "minimum": (lambda x: tg.minimum(x, 0), "kink at x[3]: slope 1 on the left, 0 on the right"),
    "clip at its bound": (lambda x: tg.clip(x, 0, 1), "kink at x[3]: slope 0 on the left, 1 on the right"),
    "a bend": (lambda x: tg.exp(x) * 2 + tg.abs(x), "kink at x[3]: slope 1 on the left, 3 on the right"),
    "a step": (lambda x: tg.where(x > 0, 1.0, 0.0) + 3 * x,
               "step at x[3]: the value jumps by 1, slope 3 on the left, 3 on the right"),
    "a step downwards": (lambda x: tg.where(x >= 0, -2.0, 0.0) * tg.exp(x),
                         "step at x[3]: the value jumps by -2, slope 0 on the left, -2 on the right"),
}  # fmt: skip


@pytest.mark.parametrize("name", AT_ZERO)
def test_a_kink_is_reported_and_no_failure(name):
    function, words = AT_ZERO[name]
    x = x_at(1.5, -2.0, 0.7, 0.0, -0.3)
    report = gradcheck(function, x)
    assert [str(kink) for kink in report.kinks] == [words]
    assert report.entries == 5
    lines = str(report).splitlines()
    assert lines[0].startswith("gradcheck: 4 of 5 entries are right;")
    assert lines[-1] == "  " + words
    assert max(report.errors.values()) < 1e-8, "what lies on a kink is no error"


def test_several_dimensions_numbers_and_names():
    W = tg.Tensor([[1.0, -1.0], [0.5, 0.0]], requires_grad=True, name="W")
    assert kinks(tg.abs, W) == ["kink at W[1, 1]: slope -1 on the left, 1 on the right"]
    assert kinks(tg.abs, tg.Tensor(0.0, requires_grad=True)) == [
        "kink at input 0: slope -1 on the left, 1 on the right"
    ]
    assert kinks(tg.abs, tg.Tensor([0.0], requires_grad=True)) == [
        "kink at input 0[0]: slope -1 on the left, 1 on the right"
    ]


def test_ties_of_max():
    x = x_at(2.0, 1.0, 2.0)
    assert kinks(lambda x: x.max(), x) == [f"kink at x[{i}]: slope 0 on the left, 1 on the right" for i in (0, 2)]
    a, b = x_at(1.0, 2.0, name="a"), x_at(1.0, 0.0, name="b")
    assert kinks(tg.maximum, a, b) == [f"kink at {n}[0]: slope 0 on the left, 1 on the right" for n in "ab"]


def test_a_norm_at_the_origin():
    assert len(kinks(tg.norm, x_at(0.0, 0.0, 0.0))) == 3


def test_second_derivatives_of_relu_jump():
    report = gradgradcheck(lambda x: tg.relu(x) ** 2, x_at(1.0, 0.0))
    (kink,) = report.kinks
    assert str(kink).startswith("kink at x[1]: slope 0 on the left, ")
    assert abs(kink.right) > 0.1  # 2, times the cotangent
    report = gradgradcheck(tg.abs, x_at(1.0, 0.0))
    assert str(report.kinks[0]).startswith("step at x[1]: the value jumps by")


def test_numpy_functions_have_kinks_too():
    x = np.array([1.0, 0.0])
    report = gradcheck(lambda x: np.abs(x).sum(), x, gradient=np.sign)
    assert [str(kink) for kink in report.kinks] == ["kink at input 0[1]: slope -1 on the left, 1 on the right"]


@pytest.mark.parametrize("method", ["richardson", "central"])
def test_the_result_at_a_kink_is_the_mean(method):
    (slope,) = numerical_gradient(lambda x: tg.maximum(x, 3 * x), tg.Tensor(0.0, requires_grad=True), method=method)
    assert slope == pytest.approx(2, abs=1e-6)


def test_many_kinks_are_cut_in_print():
    report = gradcheck(tg.abs, tg.Tensor(np.zeros(20), requires_grad=True))
    assert len(report.kinks) == 20
    assert str(report).splitlines()[-1] == "  and 15 more kinks"


def test_a_sample_on_a_kink_is_a_mistake_of_the_sample():
    with pytest.raises(ValueError, match=r"check_op: relu, sample 0: kink at x\[1\]: slope 0 .* choose inputs away"):
        check_op(OPS["relu"], [tg.sample(np.array([1.0, 0.0]))])


# ----------------------------------------------------------------------- no excuse for what is wrong


@pytest.mark.parametrize("answer", [-1.0, -0.5, 0.0, 1.0])
def test_between_the_slopes_everything_is_right(answer):
    rule = tg.Op(
        np.abs, vjps=[lambda g, y, x: g * np.where(x == 0, answer, np.sign(x))], name="abs", like=lambda x: None
    )
    assert len(gradcheck(rule, x_at(1.0, 0.0)).kinks) == 1


@pytest.mark.parametrize("answer", [1.001, -1.001, 5.0, np.nan, np.inf])
def test_outside_of_them_it_is_wrong(answer):
    rule = tg.Op(
        np.abs, vjps=[lambda g, y, x: g * np.where(x == 0, answer, np.sign(x))], name="abs", like=lambda x: None
    )
    with pytest.raises(
        GradientMismatch, match=r"kink at x\[1\]: slope -1 on the left, 1 on the right; anything from"
    ) as e:
        gradcheck(rule, x_at(1.0, 0.0))
    (wrong,) = e.value.wrong
    assert (wrong.entry, wrong.kink.left, wrong.kink.right) == ((1,), pytest.approx(-1), pytest.approx(1))


def test_at_a_step_the_slope_beside_it_counts():
    step = lambda factor: tg.Op(
        lambda x: 3 * x + (x > 0), vjps=[lambda g, y, x: 3 * factor * g], name="step", like=lambda x: None
    )
    assert gradcheck(step(1), x_at(0.0)).kinks
    for factor in (0.999, 1.001, 100, -1):
        with pytest.raises(GradientMismatch, match="step at x"):
            gradcheck(step(factor), x_at(0.0))


# Smooth, each in its way hard for one who looks for kinks: steep, curved, flat, a minimum, noisy, large, nearly kinked.
SMOOTH = {
    "steep": lambda x: np.exp(30 * x),
    "curved": lambda x: np.sin(200 * x),
    "at a minimum": lambda x: 1e3 * (x - 0.3) ** 2 + 1e-5 * x,
    "beside a minimum": lambda x: (x - 0.3001) ** 2,
    "a saddle": lambda x: (x - 0.3) ** 3 + 1e-6 * x,
    "a soft kink": lambda x: np.sqrt((x - 0.3005) ** 2 + 1e-6),
    "a softer step": lambda x: np.tanh(1e3 * (x - 0.3001)),
    "noisy inside": lambda x: (np.sin(x) + 1e3) - 1e3,
    "large": lambda x: 1e5 * np.cos(x),
    "f'' jumps": lambda x: np.where(x > 0.3, (x - 0.3) ** 2, 0) + x,
    "nearly singular": lambda x: np.log(x - 0.2999),
}


def derivative(function, x):
    """The second witness: a complex step where the function takes it, else central differences of five points."""
    (slope,) = numerical_gradient(function, x, method="richardson")
    return float(slope)


@pytest.mark.parametrize("factor", [1 + 1e-3, 1 - 1e-3, 0.5, 2.0, -1.0, 0.0])
@pytest.mark.parametrize("name", SMOOTH)
def test_a_wrong_smooth_gradient_is_never_excused(name, factor):
    true = derivative(SMOOTH[name], 0.3)
    assert abs(true) > 1e-7
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(SMOOTH[name], 0.3, gradient=lambda x: factor * true, atol=1e-11)
    assert caught.value.wrong[0].kink is None


@pytest.mark.parametrize("name", SMOOTH)
def test_a_right_smooth_gradient_has_no_kink(name):
    true = derivative(SMOOTH[name], 0.3)
    assert gradcheck(SMOOTH[name], 0.3, gradient=lambda x: true, rtol=1e-5, atol=1e-7).kinks == ()


ELEMENTWISE = ["abs", "relu", "leaky_relu", "hardtanh", "elu", "selu", "softplus", "tanh", "exp", "sin",
               "square", "sigmoid", "softsign", "cos", "expm1", "arctan", "sinh"]  # fmt: skip


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_operations_at_and_near_their_kinks(name):
    """The right rule passes at, near and far from every bend; a rule that is a thousandth off is found far from it."""
    op, right = OPS[name], OPS[name].vjps[0]
    wrong = tg.Op(op.forward, vjps=[lambda g, y, x, **p: 1.001 * right(g, y, x, **p)], name="wrong", like=op.shown)
    near = [s * d for d in (0, 1e-9, 1e-7, 3e-7, 1e-6, 5e-6, 1e-5, 1e-3) for s in (-1, 1)]
    x = x_at(*(bend + d for bend in (-1.0, 0.0, 1.0, 6.0) for d in near))
    report = gradcheck(op, x)
    places = {kink.place for kink in report.kinks}
    far = [i for i in range(x.size) if i % len(near) >= 12]
    assert not places & {f"x[{i}]" for i in far}
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(wrong, x)
    found = {entry.entry[0] for entry in caught.value.wrong}
    slopes = tg.grad(op(x).sum(), x)[0].numpy()
    assert found >= {i for i in far if abs(slopes[i]) > 0.1}


@pytest.mark.parametrize("seed", range(40))
def test_relu_networks(seed):
    """Units at, near and far from 0.  Right gradients pass; a wrong one is found in each entry that has a slope."""
    rng = np.random.default_rng(seed)
    activation = [tg.relu, tg.abs, tg.leaky_relu, tg.relu6, tg.hardtanh, tg.elu][seed % 6]
    X = rng.normal(size=(4, 3))
    W, b, V = (
        tg.Tensor(rng.normal(size=s), requires_grad=True, name=n) for s, n in [((3, 5), "W"), (5, "b"), ((5, 2), "V")]
    )
    distance = [None, 0.0, rng.choice([-1, 1]) * 10 ** rng.uniform(-12, -4)][seed % 3]
    i, j = rng.integers(4), rng.integers(5)
    if distance is not None:
        b.data[j] -= (X @ W.data + b.data)[i, j] - distance

    def network(W, b, V):
        return tg.tanh(activation(tg.linear(X, W, b))) @ V

    report = gradcheck(network, [W, b, V])
    allowed = {f"W[{k}, {j}]" for k in range(3)} | {f"b[{j}]"}
    assert {kink.place for kink in report.kinks} <= (set() if distance is None else allowed)

    off = tg.Op(lambda x: x * 1, vjps=[lambda g, y, x: g * (1 + 1e-4)], name="off")
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(lambda W, b, V: network(off(W), off(b), off(V)), [W, b, V])
    wrong = {(w.input, w.entry) for w in caught.value.wrong}
    hidden = activation(tg.linear(X, W, b)).numpy()
    live = np.abs(np.tanh(hidden)).sum(axis=0) > 1e-2
    assert wrong >= {("input 2 (V)", (k, c)) for k in range(5) if live[k] for c in range(2)}
    smooth = [w for w in caught.value.wrong if w.input != "input 2 (V)" and w.entry[-1] != j]
    assert all(w.kink is None for w in smooth)


# ------------------------------------------------------------------------------------ how it looks


def look(function, x, doubted=False, step=6e-6):
    experiment = Experiment("test", function, np.array(x))
    calls = []
    experiment.function = lambda x: (calls.append(float(x)), function(x))[1]
    with experiment.turning("input 0") as probes:
        slope, kink = slope_or_kink(next(probes), step, "x", doubted)
    return slope, kink, len(calls)


def test_what_looks_smooth_costs_two_evaluations():
    assert look(np.exp, 0.3)[2] == 2
    assert look(np.exp, 0.3, doubted=True)[2] == 6
    assert look(np.abs, 0.0)[2] == 6


@pytest.mark.parametrize("distance", [5.9e-6, 1e-6, 7.4e-7, 1e-7, 9.4e-8])
def test_a_kink_beside_x_is_stepped_over(distance):
    slope, kink, _ = look(lambda x: np.abs(x), distance)
    if kink is None:
        assert slope == pytest.approx(1, rel=1e-7)
    else:
        assert distance < 6e-6 / 32
        assert kink.low <= -1 + 1e-6
        assert kink.high >= 1 - 1e-6


def test_what_is_neither_is_no_kink():
    assert look(lambda x: np.sqrt(np.abs(x)), 0.0)[1] is None  # a cusp
    assert look(np.cbrt, 0.0)[1] is None
    assert look(lambda x: 1 / x if x else 0.0, 0.0)[1] is None  # a pole
    noise = np.random.default_rng(0)
    assert sum(look(lambda x: x + 1e-6 * noise.normal(), 0.0)[1] is not None for _ in range(300)) <= 3
