"""gradcheck and gradgradcheck: right gradients pass, wrong ones are named with input and entry."""

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import check
from tinygrad_edu.check import GradientMismatch, gradcheck, gradgradcheck
from tinygrad_edu.errors import DtypeError, GraphError

rng = np.random.default_rng(0)


def variable(*shape, name=None):
    return tg.Tensor(rng.normal(size=shape), requires_grad=True, name=name)


both = pytest.mark.parametrize("checked", [gradcheck, gradgradcheck])

# ------------------------------------------------------------------------------------- what is right

RIGHT = {
    "one input": (lambda x: tg.exp(x) * x, [variable(3, 4)]),
    "broadcasting": (lambda x, b: (x + b) * b, [variable(3, 4), variable(4)]),
    "several outputs": (lambda x, y: (x * y, tg.tanh(x).sum()), [variable(3), variable(3)]),
    "a list of outputs": (lambda x: [x * x], [variable(3)]),
    "numbers": (lambda x, y: x * y * y, [variable(), variable()]),
    "the input itself": (lambda x: x, [variable(3)]),
    "one tensor twice": (lambda x: x @ x, [variable(3, 3)]),
    "one tensor in many places": (lambda x: x * tg.exp(x) + tg.tanh(x) + x * x * x, [variable(3)]),
    "an input that is not used": (lambda x, y: x * x, [variable(3), variable(2)]),
    "a constant": (lambda x: tg.Tensor([1.0, 2.0]), [variable(3)]),
    "linear": (lambda x: 3 * x, [variable(3)]),
    "integer outputs beside": (lambda x: (x * x, tg.argmax(x)), [variable(3)]),
    "no float output but one": (lambda x: (x > 0, x * x), [variable(3)]),
    "arguments that are no variables": (lambda x, k, y: x**k * y, [variable(3), 3, tg.Tensor([1.0, 2.0, 3.0])]),
    "an empty array": (lambda x: x * x, [variable(0, 3)]),
    "large values": (lambda x: 1e6 * tg.exp(x), [variable(3)]),
    "large values with small slopes": (lambda x: 1e6 + tg.sin(x), [variable(3)]),  # rounding noise of 1e-5
    "a network": (
        lambda X, W, b, V, c: tg.cross_entropy(tg.linear(tg.tanh(tg.linear(X, W, b)), V, c), np.array([0, 2, 1, 1])),
        [variable(4, 2), variable(2, 5), variable(5), variable(5, 3), variable(3)],
    ),
}


@both
@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_pass(checked, name):
    function, inputs = RIGHT[name]
    report = checked(function, inputs)
    variables = [x for x in inputs if isinstance(x, tg.Tensor) and x.requires_grad]
    assert report, "a report is true, so that `assert gradcheck(...)` can be written"
    assert report.entries >= sum(x.size for x in variables)
    assert len(report.errors) >= len(variables)


def test_one_tensor_given_twice():
    x = variable(3)
    assert gradcheck(lambda a, b: a * a * b, [x, x]).entries == 6


def test_a_single_tensor_is_a_list_of_one():
    assert gradcheck(tg.exp, variable(3)).entries == 3


def test_a_third_derivative_is_the_second_of_the_first():
    x = variable(3)
    assert gradgradcheck(lambda x: tg.grad((x**4).sum(), x, create_graph=True)[0], [x])


@both
def test_inside_no_grad(checked):
    with tg.no_grad():
        assert checked(lambda x: x * x, variable(3))


@both
def test_parameters_that_the_function_reaches_by_itself(checked):
    W, b = variable(2, 3, name="W"), variable(3, name="b")
    X = np.array([[1.0, 2.0], [3.0, 4.0]])
    report = checked(lambda *_: tg.tanh(tg.linear(X, W, b)), [W, b])
    assert list(report.errors)[:2] == ["input 0 (W)", "input 1 (b)"]


@both
def test_nothing_is_left_behind(checked):
    data = np.array([1.0, 2.0])
    x = tg.as_tensor(data)
    x.requires_grad = True
    checked(lambda x: x * x, x)
    assert x.data is data
    assert data.tolist() == [1.0, 2.0]
    assert x.grad is None
    assert x.is_leaf


def test_the_report_prints():
    report = gradcheck(lambda x, W: x @ W, [variable(2, 3), variable(3, 2, name="W")])
    first, x, W = str(report).splitlines()
    assert first == "gradcheck: all 12 entries are right; |automatic - numerical| is at most"
    assert x.startswith("  input 0      ")
    assert W.startswith("  input 1 (W)  ")
    assert float(x.split()[-1]) < 1e-9  # 4e-11 and a little more is what differences reach


def test_the_cotangents_are_random_and_repeatable():
    def cotangents(**kwargs):
        seen = []

        def keep(g, y, x):
            seen.append(np.array(g))
            return g * np.cos(x)

        gradcheck(tg.Op(np.sin, vjps=[keep], name="sine", like=lambda x: None), variable(4), **kwargs)
        return seen[0]

    assert len(set(cotangents())) == 4
    assert cotangents().tolist() == cotangents().tolist() == cotangents(rng=0).tolist()
    assert cotangents(rng=1).tolist() != cotangents().tolist()
    assert cotangents(rng=np.random.default_rng(1)).tolist() == cotangents(rng=1).tolist()


# ------------------------------------------------------------------------------------- what is wrong


def op(forward, *rules):
    return tg.Op(forward, vjps=rules, name="wrong")


def at(g, *places):
    """`g` with some entries doubled."""
    out = np.array(g)
    for place in places:
        out[place] *= 2
    return out


def test_a_factor_names_input_and_entry():
    double = op(lambda x, W: x * W, lambda g, y, x, W: g * W, lambda g, y, x, W: at(g * x, (2, 0)))
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(double, [variable(3, 2), variable(3, 2, name="W")])
    message = str(caught.value)
    first, last = message.splitlines()
    assert first.startswith("gradcheck: input 1 (W) entry (2, 0): automatic ")
    assert first.endswith("(relative error 0.5)")
    assert last == "1 of 12 entries are wrong: 1 of 6 in input 1 (W)"
    (wrong,) = caught.value.wrong
    assert (wrong.input, wrong.entry) == ("input 1 (W)", (2, 0))
    assert wrong.automatic == pytest.approx(2 * wrong.numerical, rel=1e-6)  # RTOL of the check


def test_it_is_an_assertion_error():
    assert issubclass(GradientMismatch, AssertionError)


SQUARE, X, B = variable(3, 3), variable(4, 3), variable(3)
WRONG = {
    "sign flipped": (op(lambda a, b: a - b, lambda g, y, a, b: g, lambda g, y, a, b: g), [X, X.detach() * 2], {1}),
    "factor 2 missing": (op(lambda x: x * x, lambda g, y, x: g * x), [X], {0}),
    "transposed": (
        op(lambda a, b: a @ b, lambda g, y, a, b: g @ b.T, lambda g, y, a, b: g.T @ a), [SQUARE, SQUARE.detach()], {1},
    ),
    "transpose of W missing": (
        op(lambda a, b: a @ b, lambda g, y, a, b: g @ b, lambda g, y, a, b: a.T @ g), [SQUARE, variable(3, 3)], {0},
    ),
    "sum over the batch missing": (
        op(lambda x, b: x + b, lambda g, y, x, b: g, lambda g, y, x, b: g[0]), [X, B], {1},
    ),
    "mean over the batch instead": (
        op(lambda x, b: x + b, lambda g, y, x, b: g, lambda g, y, x, b: g.mean(axis=0)), [X, B], {1},
    ),
    "sum inside softmax missing": (
        op(lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True), lambda g, y, x: g * y * (1 - y)), [X], {0},
    ),
    "derivative of the activation missing": (op(lambda x: np.tanh(x), lambda g, y, x: g), [X], {0}),
    "rule missing": (op(lambda a, b: a * b, lambda g, y, a, b: g * b, None), [X, variable(4, 3)], {1}),
    "gradients exchanged": (
        op(lambda a, b: a * b, lambda g, y, a, b: g * a, lambda g, y, a, b: g * b), [X, variable(4, 3)], {0, 1},
    ),
    "rows reversed": (op(lambda x: x * 2, lambda g, y, x: 2 * g[::-1]), [X], {0}),
    "gradient is NaN": (op(lambda x: x * 2, lambda g, y, x: g * np.nan), [X], {0}),
    "gradient is infinite": (op(lambda x: x * 2, lambda g, y, x: g * np.inf), [X], {0}),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rules_are_found_in_the_right_input(name):
    function, inputs, expected = WRONG[name]
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(function, [tg.Tensor(x, requires_grad=True) for x in inputs])
    found = {int(wrong.input.removeprefix("input ")) for wrong in caught.value.wrong}
    assert found == expected


def test_what_a_sum_would_hide():
    """Under a cotangent of ones this gradient is right: why cotangents are random."""
    shuffled = op(lambda x: x * 2, lambda g, y, x: 2 * g[::-1])
    x = variable(4)
    (g,) = tg.grad(shuffled(x).sum(), x)
    assert g.tolist() == [2, 2, 2, 2]
    with pytest.raises(GradientMismatch):
        gradcheck(shuffled, x)


def test_the_worst_comes_first():
    scale = np.array([1.0, 1.001, 3.0, 1.1])
    x = tg.Tensor(np.ones(4), requires_grad=True)
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(op(lambda x: x * 1, lambda g, y, x: g * scale), x)
    assert [wrong.entry for wrong in caught.value.wrong] == [(2,), (3,), (1,)]
    assert str(caught.value).splitlines()[-1] == "3 of 4 entries are wrong: 3 of 4 in input 0"


def test_nan_comes_first_of_all():
    bad = np.array([1.0, 5.0, np.nan, 2.0])
    with pytest.raises(GradientMismatch, match=r"^gradcheck: input 0 entry \(2,\): automatic nan"):
        gradcheck(op(lambda x: x * 1, lambda g, y, x: g * bad), variable(4))


def test_a_long_list_is_cut():
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(op(lambda x: x * 1, lambda g, y, x: 2 * g), variable(10, 10))
    assert len(str(caught.value).splitlines()) == 6
    assert len(caught.value.wrong) == 100


def test_a_gradient_that_is_not_there_counts_as_zeros():
    def cut(x, y):
        return x * y.detach() + x * y

    with pytest.raises(GradientMismatch, match=r"input 1 \(y\)"):
        gradcheck(cut, [variable(3), variable(3, name="y")])
    with pytest.raises(GradientMismatch, match=r"automatic 0, numerical"):
        gradcheck(lambda x: x.detach() * 2, variable(3))  # nothing requires a gradient any more


def test_one_wrong_output_of_two():
    twice = op(lambda x: x * 2, lambda g, y, x: g)
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: (x * x, twice(x)), variable(3))


@pytest.mark.parametrize(("factor", "right"), [(1 + 1e-7, True), (1 + 1e-5, False)])
def test_rtol(factor, right):
    almost = op(lambda x: x * 1, lambda g, y, x: g * factor)
    x = variable(4)
    if right:
        assert gradcheck(almost, x)
        with pytest.raises(GradientMismatch):
            gradcheck(almost, x, rtol=1e-9, atol=1e-9)
    else:
        with pytest.raises(GradientMismatch):
            gradcheck(almost, x)
        assert gradcheck(almost, x, rtol=1e-4)


def test_atol_and_eps():
    x = tg.Tensor([0.0], requires_grad=True)
    # The difference of x^3 is 3 x^2 + h^2: at 0, h^2 instead of 0.
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: x**3, x, eps=0.1)
    assert gradcheck(lambda x: x**3, x, eps=0.1, atol=1e-2)
    assert gradcheck(lambda x: x**3, x)


def test_a_gradient_of_another_shape():
    """The engine sees to shapes; but the witness does not trust the accused."""
    b = variable(4, name="b")
    with pytest.raises(GradientMismatch, match=r"input 0 \(b\) has shape \(4,\), the gradient \(yours\) \(3, 4\)"):
        gradcheck(lambda b: (b * b).sum(), b, gradient=lambda b: np.zeros((3, 4)))


# ----------------------------------------------------------------------------- what cannot be checked


@both
def test_float32_is_refused(checked):
    with pytest.raises(DtypeError, match=r"input 0 \(x\) is float32, and differences need float64"):
        checked(tg.exp, tg.Tensor([1.0], requires_grad=True, dtype=np.float32, name="x"))


@both
def test_no_variable(checked):
    with pytest.raises(ValueError, match="no input requires a gradient"):
        checked(tg.exp, [tg.Tensor([1.0])])


@both
def test_results_of_operations_are_refused(checked):
    with pytest.raises(GraphError, match="is the result of an operation"):
        checked(tg.exp, variable(3) * 2)


@both
def test_random_functions_are_refused(checked):
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"not deterministic: output 1 differs between two calls"):
        checked(lambda x: (x * 1, x * generator.normal()), variable(3))


def test_a_function_that_changes_its_input_is_refused():
    def careless(x, k):
        k += 1
        return x * k

    with pytest.raises(ValueError, match="the function wrote into input 1"):
        gradcheck(careless, [variable(3), np.ones(3)])

    def worse(x):
        x.data *= 2
        return x * 1

    with pytest.raises(ValueError, match=r"the function wrote into input 0 \(x\)"):
        gradcheck(worse, variable(3, name="x"))


def test_a_rule_that_writes_into_what_it_is_given_is_refused():
    def careless(g, y, x):
        g *= 2
        return g

    def worse(g, y, x):
        x *= 2
        return g * x

    def worst(g, y, x):
        y *= 2
        return g * y / x

    for rule, forward, victim in (
        (careless, lambda x: 2 * x, "cotangent 0"),
        (worse, lambda x: x * x, "input 0"),
        (worst, lambda x: x * x, "output 0"),
    ):
        with pytest.raises(ValueError, match=f"a rule wrote into {victim}"):
            gradcheck(op(forward, rule), variable(3))


@both
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_values_that_are_not_finite_are_refused(checked):
    with pytest.raises(ValueError, match="not finite"):
        checked(tg.log, tg.Tensor([1.0, 0.0], requires_grad=True))


# ------------------------------------------------------------------------------- second derivatives


def raw(x):
    return x._data if isinstance(x, tg.Tensor) else x


SECOND = {
    "detach": lambda g, y, x: g * 3 * (x.detach() if isinstance(x, tg.Tensor) else x) ** 2,
    "_data": lambda g, y, x: g * 3 * raw(x) ** 2,
    "the cotangent's _data": lambda g, y, x: (tg.as_tensor(raw(g)) if isinstance(g, tg.Tensor) else g) * 3 * x**2,
}


@pytest.mark.parametrize("name", SECOND)
def test_a_rule_that_leaves_the_record_is_only_seen_by_the_second_derivative(name):
    cube = op(lambda x: x**3, SECOND[name])
    x = variable(4, name="x")
    assert gradcheck(cube, x)
    with pytest.raises(GradientMismatch) as caught:
        gradgradcheck(cube, x)
    victim = "input 1 (cotangent)" if "cotangent" in name else "input 0 (x)"
    assert {wrong.input for wrong in caught.value.wrong} == {victim}
    assert all(wrong.automatic == 0 for wrong in caught.value.wrong)


def test_what_the_forward_pass_kept_is_a_constant():
    """Fused, but the residual does not recompute: its second derivative lacks a term."""
    kept = tg.Op(
        lambda x: (np.exp(x), np.exp(x)),
        vjps=[lambda g, y, x, e: g * e],
        residual=lambda x: tg.as_tensor(np.exp(raw(x))),
        name="kept",
    )
    right = tg.Op(
        lambda x: (np.exp(x), np.exp(x)), vjps=[lambda g, y, x, e: g * e], residual=lambda x: np.exp(x), name="right"
    )
    x = variable(3)
    assert gradcheck(kept, x)
    assert gradgradcheck(right, x)
    with pytest.raises(GradientMismatch, match=r"input 0 entry"):
        gradgradcheck(kept, x)


def test_another_gradient_under_create_graph_is_named():
    two = op(lambda x: x**2, lambda g, y, x: g * 2 * x if isinstance(x, np.ndarray) else g * 4 * x)
    x = variable(3, name="x")
    assert gradcheck(two, x)
    with pytest.raises(GradientMismatch) as caught:
        gradgradcheck(two, x)
    first = str(caught.value).splitlines()[0]
    assert first.startswith("gradgradcheck: input 0 (x) entry ")
    assert "under create_graph" in first
    assert "in an ordinary sweep" in first


def test_cotangents_of_several_outputs_are_told_apart():
    report = gradgradcheck(lambda x: (x * x, tg.exp(x)), variable(3))
    assert list(report.errors) == [
        "input 0", "input 1 (cotangent of output 0)", "input 2 (cotangent of output 1)",
    ]  # fmt: skip


def test_every_entry_is_evaluated_twice_and_no_more():
    calls = []

    def function(x):
        calls.append(None)
        return x * x

    gradcheck(
        function, tg.Tensor(np.linspace(1, 2, 50), requires_grad=True)
    )  # not at the minimum: it is looked at twice
    assert len(calls) <= 2 * 50 + 4  # and a few to know the outputs, and that they repeat


def test_the_module_is_reached_by_its_short_name():
    assert check.gradcheck is gradcheck
