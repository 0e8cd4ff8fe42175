"""The printed equations are right: evaluated in NumPy they give the engine's values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.derivation.networks import NETWORKS, evaluated, operations
from tinygrad_edu.derivation.expressions import evaluate
from tinygrad_edu.derivation.simplify import RULES

OPERATIONS = dict(operations())
FORMS: list[dict[str, Any]] = [{}, {"convention": "columns"}, {"convention": "rows"}, {"simplify": False}]
IDS = ["simplified", "columns", "rows", "literal"]


def assert_steps(derivation: Any) -> None:
    """Both sides of each step are the same numbers."""
    recorded = {x: x.value for x in derivation.program.variables()}
    for line in derivation.lines:
        for step in line.steps:
            before, after = (np.asarray(evaluate(x, recorded)) for x in (step.before, step.after))
            np.testing.assert_allclose(*np.broadcast_arrays(before, after), rtol=1e-9, atol=1e-12, err_msg=step.rule)


@pytest.mark.parametrize("form", FORMS, ids=IDS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation(name: str, form: dict[str, Any]) -> None:
    loss, leaves = OPERATIONS[name]()
    derivation = tg.derive(loss, **form)
    values = evaluated(derivation)
    assert_steps(derivation)
    loss.backward()
    program = derivation.program
    for leaf in leaves:
        if leaf.grad is not None:
            found = values[program.gradients[program[str(leaf.name)]]]
            np.testing.assert_allclose(found, leaf.grad, rtol=1e-10, atol=1e-13)
    assert sum(leaf.grad is not None for leaf in leaves) > 0


@pytest.mark.parametrize("form", FORMS, ids=IDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network(name: str, form: dict[str, Any]) -> None:
    loss = NETWORKS[name]()
    derivation = tg.derive(loss, **form)
    values = evaluated(derivation)
    assert_steps(derivation)
    for parameter in derivation.program.parameters:
        gradient = derivation.program.gradients.get(parameter)
        if gradient is not None:
            np.testing.assert_allclose(values[gradient], gradient.value, rtol=1e-10, atol=1e-13)


def test_other_inputs_than_the_recorded_ones() -> None:
    """The equations are formulas: with other data they give the gradients at those."""
    x, t = tg.data.xor()
    net = tg.nn.MLP([2, 3, 1], "relu", output="sigmoid", rng=0)
    derivation = tg.derive(tg.nn.functional.binary_cross_entropy(net(x), t))
    program = derivation.program
    other = np.random.default_rng(5).normal(size=(4, 2))
    values = {v: v.value for v in program.inputs}
    values[program["x"]] = other
    for line in derivation.lines:
        values[line.target] = evaluate(line.right, values)
    tg.nn.functional.binary_cross_entropy(net(other), t).backward()
    for name, parameter in net.named_parameters():
        np.testing.assert_allclose(values[program.gradients[program[name]]], parameter.grad, rtol=1e-10, atol=1e-14)


def test_every_rule_says_what_it_proves() -> None:
    for rules in RULES.values():
        for rule in rules:
            assert rule.__doc__, rule.__name__
            assert len(rule.__doc__.split()) > 5
