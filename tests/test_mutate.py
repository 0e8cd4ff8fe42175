"""The mutation run itself, on a few operations: it breaks what it says, sees it, and puts everything back."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_edu as tg
from tests import mutate
from tests.ops.test_ops_table import check_operation
from tinygrad_edu.op import OPS


@pytest.mark.parametrize("name", ["tanh", "maximum", "matmul"])
def test_every_mutant_is_killed(name: str) -> None:
    outcome = mutate.run(name)
    assert outcome.failure is None
    assert outcome.count > 15
    assert not outcome.survivors


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("exp", "rule 0: negated"),
        ("exp", "rule 0: g * y  ->  g"),
        ("divide", "rule 1: not summed over broadcast axes"),
        ("add", "rule 0: averaged over broadcast axes"),
        ("matmul", "rule 1: a.T @ g  ->  g @ a.T"),
        ("tanh", "rule 0: 1 - y * y  ->  1 + y * y"),
        ("relu", "rule 0: y > zero_beside(y)  ->  y >= zero_beside(y)"),
        ("concatenate", "rule 0: doubled"),
    ],
)
def test_a_known_mistake_is_seen(name: str, change: str) -> None:
    """The right operation passes, the wrong one fails, and the right one is there again afterwards."""
    op = OPS[name]
    check_operation(op)
    right = op.vjps
    found = [m for m in mutate.mutants(op) if m.change == change]
    assert len(found) == 1, f"there is no such mutant of {name}"
    assert mutate.killed(found[0])
    assert op.vjps is right
    check_operation(op)


def test_a_helper_is_broken_and_mended() -> None:
    mutants = [m for m in mutate.mutants(OPS["mean"]) if m.change.startswith("_")]
    assert mutants
    assert any(mutate.killed(m) for m in mutants)
    check_operation(OPS["mean"])


def test_two_lambdas_on_one_line_are_told_apart() -> None:
    """subtract's rules are `g` and `-g`, side by side: only the second has a sign to lose."""
    changes = {m.change for m in mutate.mutants(OPS["subtract"])}
    assert "rule 1: -g  ->  g" in changes
    assert "rule 0: -g  ->  g" not in changes


def test_what_changes_nothing_is_no_mutant() -> None:
    """The gradient of sign is 0: negating it is no mistake, and is not counted as one that survived."""
    outcome = mutate.run("sign")
    assert not outcome.survivors
    assert outcome.count < len(list(mutate.mutants(OPS["sign"])))


def test_names_of_attributes_are_no_helpers() -> None:
    """The rule of cumsum calls np.cumsum: that is not the public function cumsum of its module."""
    assert not [m for m in mutate.mutants(OPS["cumsum"]) if m.change.startswith("cumsum")]


def test_what_an_error_says_is_not_changed() -> None:
    """The sentences of errors have tests of their own, and no sweep reads them."""
    assert not [m for m in mutate.mutants(OPS["det"]) if m.change.partition(":")[2].lstrip().startswith("LinAlgError")]


def test_zeros_of_another_shape_are_no_mutant() -> None:
    """The gradient of floor_divide is 0: that it is not summed over broadcast axes changes nothing."""
    assert not mutate.run("floor_divide").survivors


def test_reasons_are_of_mutants_that_exist() -> None:
    found = {(m.op, m.change) for op in OPS.values() if op.differentiable for m in mutate.mutants(op)}
    found |= {("*", change) for _, change in found}
    assert not mutate.EQUIVALENT.keys() - found


def test_survivors_are_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With tests that see nothing every mutant survives, and the exit status says so."""
    monkeypatch.setattr(mutate, "check_operation", lambda op: op(tg.Tensor(np.ones(3))))
    assert mutate.main(["--op", "exp"]) == 1
    said = capsys.readouterr().out
    assert "SURVIVED  exp: rule 0: g * y  ->  g" in said
    assert "0 killed" in said


def test_a_good_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert mutate.main(["--op", "exp", "--op", "linear", "--list"]) == 0
    said = capsys.readouterr().out
    assert "0 survived" in said
    assert "_flat leaves a matrix as it is" in said
    with pytest.raises(SystemExit):
        mutate.main(["--op", "nonsense"])
