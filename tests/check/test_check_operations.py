"""check_op: every operation of the package passes; wrong ones are named with sample, input and entry."""

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.check import GradientMismatch, check_op
from tinygrad_edu.op import OPS, Each, normal

DIFFERENTIABLE = sorted(name for name, op in OPS.items() if op.differentiable)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_every_operation_of_the_package(name):
    report = check_op(OPS[name])
    assert report.name == name
    assert report.samples == len(OPS[name].samples)
    assert report.first > 0
    assert report.second >= report.first


@pytest.mark.parametrize("name", sorted(OPS.keys() - set(DIFFERENTIABLE)))
def test_what_has_no_gradient_is_refused(name):
    with pytest.raises(ValueError, match=f"check_op: {name} has no gradient to check"):
        check_op(OPS[name])


def scale(x, factor=2.0):
    """factor * x"""
    return x * factor


SAMPLES = [tg.sample(normal(2, 3))]


def define(forward=scale, rules=(lambda g, y, x, factor: g * factor,), samples=SAMPLES, like=None):
    return tg.Op(forward, vjps=rules, name="mine", samples=samples, like=like)


def test_an_operation_of_ones_own():
    report = check_op(define(samples=[tg.sample(normal(2, 3)), tg.sample(normal(4), factor=-1.0)]))
    assert report == ("mine", 2, 10, 20)
    assert str(report) == (
        "mine: 10 first and 20 second derivatives agree with differences, and float32 with float64, on 2 samples"
    )


def test_samples_may_be_given():
    op = define(samples=())
    assert check_op(op, [tg.sample(np.array([1.0, 2.0]))]).first == 2
    assert check_op(op, samples=[tg.sample(tg.Tensor([1.0, 2.0]))]).first == 2
    assert check_op(op, samples=[tg.sample(np.float64(3.0))]).first == 1


def test_without_samples_it_says_to_give_some():
    with pytest.raises(ValueError, match="mine has no samples; give some"):
        check_op(define(samples=()))


def test_what_is_no_operation():
    def mean_square(x):
        return (x * x).mean()

    for thing, name in ((mean_square, "mean_square"), ("relu", "str")):
        with pytest.raises(TypeError, match=f"{name} is no operation"):
            check_op(thing)


def test_any_number_of_inputs():
    def add_all(*xs):
        return sum(xs[1:], xs[0])

    samples = [tg.sample(normal(3), normal(3)), tg.sample(normal(2), normal(2), normal(2))]
    right = define(add_all, Each(lambda i, g, y, *xs: g), samples)
    assert check_op(right).first == 12
    with pytest.raises(GradientMismatch, match=r"mine, sample 1: input 2 entry \(\d,\)"):
        check_op(define(add_all, Each(lambda i, g, y, *xs: g if i < 2 else 2 * g), samples))


def test_integers_and_python_numbers_are_no_variables():
    def pick(x, index):
        return x[index]

    def put(g, y, x, index):
        return tg.scatter_add(g, index=index, shape=x.shape)

    op = define(pick, [put, None], [tg.sample(normal(4), np.array([0, 0, 2]))])
    assert check_op(op).first == 4
    weak = define(lambda x, k: x * k, [lambda g, y, x, k: g * k, None], [tg.sample(normal(3), 2.5)])
    assert check_op(weak).first == 3


# --------------------------------------------------------------------------------------------- wrong


def product(a, b):
    return a * b


PAIR = [tg.sample(normal(2), 3.0), tg.sample(normal(3, 2), normal(2))]


def doubled(g, y, a, b):
    mask = np.ones((3, 2))
    mask[2, 0] = 2
    return g * b * mask if np.ndim(a) == 2 else g * b


@pytest.mark.parametrize(
    ("rules", "where"),
    [
        ((doubled, lambda g, y, a, b: g * a), r"mine, sample 1: input 0 \(a\) entry \(2, 0\)"),
        ((lambda g, y, a, b: -g * b, lambda g, y, a, b: g * a), r"mine, sample 0: input 0 \(a\) entry \(\d,\)"),
        ((lambda g, y, a, b: g * b, lambda g, y, a, b: (g * a)[0]), r"mine, sample 1: input 1 \(b\) entry \(\d,\)"),
        ((lambda g, y, a, b: g * b, None), r"mine, sample 1: input 1 \(b\) .* automatic 0,"),
    ],
    ids=["one entry doubled", "sign flipped", "sum missing", "rule missing"],
)
def test_sample_input_and_entry_are_named(rules, where):
    with pytest.raises(GradientMismatch, match=f"^check_op: {where}"):
        check_op(define(product, rules, PAIR))


def test_transposed():
    def rule(g, y, a, b):
        return (a.T @ g).T

    op = define(np.matmul, [lambda g, y, a, b: g @ b.T, rule], [tg.sample(normal(3, 3), normal(3, 3))], like=product)
    with pytest.raises(GradientMismatch, match=r"sample 0: input 1 \(b\)"):
        check_op(op)


def test_a_wrong_second_derivative():
    def rule(g, y, x):
        return g * 2 * (x.detach() if isinstance(x, tg.Tensor) else x)

    with pytest.raises(GradientMismatch, match=r"^check_op: mine, sample 0, second derivatives: input 0 \(x\)"):
        check_op(define(lambda x: x * x, [rule]))


def test_float32_must_stay_float32():
    wide = np.float64(2)
    op = define(lambda x: x * wide, [lambda g, y, x: 2 * g])
    with pytest.raises(AssertionError, match=r"sample 0: of float32 inputs the value is float64; keep constants"):
        check_op(op)


def test_float32_must_be_as_exact_as_float32_can():
    def coarse(x):
        return np.round(x, 3) if x.dtype == np.float32 else x * 1

    with pytest.raises(AssertionError, match="the value in float32 differs from float64 by a relative error of"):
        check_op(define(coarse, [lambda g, y, x: g]))

    def coarse_rule(g, y, x):
        return np.round(g, 3) if g.dtype == np.float32 else g * 1

    with pytest.raises(AssertionError, match=r"the gradient of input 0 \(x\) in float32 differs"):
        check_op(define(lambda x: x * 1, [coarse_rule]))


def test_the_draw_can_be_repeated():
    drawn = []

    def draw(rng):
        drawn.append(rng.normal(size=2))
        return drawn[-1]

    op = define(samples=[tg.sample(draw)])
    for rng in (0, 0, 1, np.random.default_rng(1)):
        check_op(op, rng=rng)
    a, b, c, d = (x.tolist() for x in drawn)
    assert a == b
    assert c == d
    assert a != c
