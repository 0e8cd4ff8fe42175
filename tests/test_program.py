"""The program of a recorded graph is what ran: evaluated, it gives the recorded values and the engine's gradients."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.op import OPS, Op, Sample
from tinygrad_edu.program import Program, trace
from tinygrad_edu.tensor import Tensor

CASES = [(name, i, op, s) for name, op in OPS.items() if op.differentiable for i, s in enumerate(op.samples)]


def assert_same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


def assert_ran(program: Program) -> None:
    """Evaluated anew, each equation gives the array that was recorded."""
    values = program.evaluate()
    for equation in program.equations:
        assert_same(values[equation.target], equation.target.value)
    names = [x.name for x in program.variables()]
    assert len(set(names)) == len(names)
    known = set(program.inputs)
    for equation in program.equations:
        assert known.issuperset(equation.variables), f"{equation} uses what comes later"
        known.add(equation.target)


@pytest.mark.parametrize(("name", "i", "op", "s"), CASES, ids=[f"{name}-{i}" for name, i, _, _ in CASES])
def test_every_operation(name: str, i: int, op: Op[Any], s: Sample) -> None:
    """Its gradients in the program equal those of the sweep, bit for bit, and all numbers can be computed anew."""
    rng = np.random.default_rng(i)
    inputs = [
        Tensor(x, requires_grad=True, name=f"in{k}")
        if np.asarray(x).dtype.kind == "f" and not isinstance(x, int)
        else x
        for k, x in enumerate(s.draw(rng))
    ]
    leaves = [x for x in inputs if isinstance(x, Tensor)]
    out = op(*inputs, **s.params)
    loss = (out * rng.normal(size=out.shape)).sum()
    program = trace(loss)
    assert_ran(program)
    loss.backward()
    for leaf in leaves:
        if leaf.grad is not None:
            gradient = program.gradients[program[str(leaf.name)]].value
            if op.residual is None:
                assert_same(gradient, leaf.grad)
            else:  # the rules of a fused operation compute again what the engine has kept: roundings may differ
                np.testing.assert_allclose(gradient, leaf.grad, rtol=1e-12, atol=1e-14)
    assert sum(leaf.grad is not None for leaf in leaves) > 0


def network() -> tuple[tg.nn.MLP, Tensor]:
    net = tg.nn.MLP([2, 3, 1], "relu", output="sigmoid", rng=0)
    x, t = tg.data.xor()
    return net, tg.nn.functional.binary_cross_entropy(net(Tensor(x, name="X")), t)


def test_names_are_stable_and_say_what_they_are() -> None:
    first, second = (trace(network()[1]) for _ in range(2))
    assert str(first) == str(second)
    assert [x.name for x in first.inputs if x.kind != "constant"] == [
        "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "X", "target", "d_binary_cross_entropy1",
    ]  # fmt: skip
    assert [(x.name, y.name) for x, y in first.gradients.items() if x.kind == "parameter"] == [
        (f"fc{i}.{part}", f"d_fc{i}.{part}") for i in (1, 2) for part in ("weight", "bias")
    ]


def test_it_is_in_the_order_of_the_sweep() -> None:
    program = trace(network()[1])
    order = [equation.op.name for equation in program.forward]
    assert order == ["linear", "relu", "linear", "sigmoid", "binary_cross_entropy"]
    swept = list(dict.fromkeys(c.equation.op.name + str(c.index) for c in program.contributions))
    assert swept == ["binary_cross_entropy0", "sigmoid0", "linear0", "linear1", "linear2", "relu0"]
    assert [e for c in program.contributions for e in c.equations] == program.backward


def test_module_calls() -> None:
    loss = network()[1]
    calls = [equation.call for equation in trace(loss).forward]
    assert [call and (call.path, call.kind, call.number) for call in calls] == [
        ("fc1", "Linear", 1), ("act1", "ReLU", 1), ("fc2", "Linear", 1), ("out", "Sigmoid", 1), None,
    ]  # fmt: skip
    assert calls[0] is not None
    assert calls[0].parent is not None
    assert (calls[0].parent.path, calls[0].parent.kind) == ("", "MLP")
    assert {e.call and e.call.path for e in trace(loss).backward} == {"fc1", "act1", "fc2", "out", None}


class Twice(tg.nn.Module):
    """Calls one layer twice, inside of another module, and returns two results."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = tg.nn.Sequential(tg.nn.Linear(3, 3, rng=0), tg.nn.Tanh())

    def forward(self, x: Any) -> tuple[Any, dict[str, Any]]:
        a = self.inner(x)
        return self.inner(a * 2), {"a": a}


def test_a_shared_module_is_called_twice() -> None:
    net = Twice()
    b, rest = net(np.ones((2, 3)))
    program = trace((b * rest["a"]).sum())
    assert [(e.op.name, e.call and (e.call.path, e.call.number)) for e in program.forward] == [
        ("linear", ("inner.0", 1)),
        ("tanh", ("inner.1", 1)),
        ("multiply", ("", 1)),
        ("linear", ("inner.0", 2)),
        ("tanh", ("inner.1", 2)),
        ("multiply", None),
        ("sum", None),
    ]
    weight = program["inner.0.weight"]
    first, second = program.contributions_to(weight)
    assert second.total is program.gradients[weight]
    assert [e for e in program.backward if e.adds] == [
        c.total.equation for c in program.contributions if c.total is not c.value
    ]
    assert second.total.equation is second.equations[-1]
    assert_same(first.value.value + second.value.value, second.total.value)


def test_a_module_that_keeps_its_result_makes_no_circle() -> None:
    class Keeps(tg.nn.Linear):
        def forward(self, x: Any) -> Any:
            self.last = super().forward(x)
            return self.last

    gc.collect()
    gc.disable()
    try:
        net = Keeps(2, 2)
        node = net(np.ones((1, 2)))._node
        net.last = None
        assert node.calls
        assert not [x for x in gc.get_referents(*node.calls) if isinstance(x, tg.nn.Module)]
    finally:
        gc.enable()


def test_one_array_is_one_variable() -> None:
    data = np.arange(3.0)
    w = Tensor(np.ones(3), requires_grad=True)
    program = trace((w * data + data * Tensor(data)).sum())
    assert len([x for x in program.inputs if x.value is data]) == 1


def test_same_tensor_twice_and_the_numbers_of_each_edge() -> None:
    x = Tensor(3.0, requires_grad=True, name="x")
    program = trace(x**x)
    first, second = program.contributions
    assert (first.index, second.index) == (0, 1)
    np.testing.assert_allclose([first.value.value, second.value.value], [27.0, 27 * np.log(3)])
    assert_same(second.total.value, program.gradients[program["x"]].value)


def test_hooks_are_seen() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    y = x * 2
    y.register_hook(lambda g: g * 10)
    program = trace(y.sum())
    assert_same(program.gradients[program["x"]].value, np.array([20.0, 20.0]))
    assert_same(program.gradients[program["multiply1"]].value, np.array([10.0, 10.0]))


def test_other_inputs() -> None:
    """The equations are formulas, not numbers: with other inputs they give other gradients, and the right ones."""
    net, loss = network()
    program = trace(loss)
    new = np.random.default_rng(1).normal(size=(4, 2))
    values = program.evaluate({program["X"]: new})
    tg.nn.functional.binary_cross_entropy(net(new), program["target"].value).backward()
    for name, parameter in net.named_parameters():
        assert_same(values[program.gradients[program[name]]], parameter.grad)


def test_several_outputs_without_gradients_and_without_sweep() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    constant = Tensor([3.0], name="c") * 2
    both = trace([x * 2, x.sum()])
    assert len(both.seeds) == len(both.outputs) == 2
    assert_same(both.gradients[both["leaf"]].value, np.array([3.0, 3.0]))
    assert trace(x * constant, gradients=False).backward == []


def test_what_cannot_be_traced() -> None:
    x = Tensor([1.0], requires_grad=True)
    y = (x * 2).sum()
    y.backward()
    with pytest.raises(tg.GraphError, match="already swept and freed"):
        trace(y)
    with pytest.raises(tg.GraphError, match="no recorded history"):
        trace(Tensor([1.0]) * 2)
    with pytest.raises(TypeError, match="ndarray was not recorded"):
        trace(np.ones(1))  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="there is no 'z'; there are leaf, "):
        trace((x * 2).sum())["z"]


def test_long_chains() -> None:
    """100,000 operations, without recursion."""
    y = Tensor(1.0, requires_grad=True)
    for _ in range(100_000):
        y = y * 1.00001
    program = trace(y)
    assert len(program.forward) == len(program.backward) == 100_000
    np.testing.assert_allclose(program.gradients[program["leaf"]].value, 1.00001**100_000, rtol=1e-9)
