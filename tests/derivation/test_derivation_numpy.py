"""The written NumPy functions run in a bare interpreter, without this package, and find the engine's gradients."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.derivation.networks import NETWORKS, operations, smallest

RUNNER = """
import sys, json, pathlib, warnings
import numpy as np
warnings.simplefilter("ignore")
folder = pathlib.Path(sys.argv[1])
for name in json.loads((folder / "names.json").read_text()):
    scope = {}
    exec(compile((folder / f"{name}.py").read_text(encoding="utf-8"), name, "exec"), scope)
    with np.load(folder / f"{name}.npz") as given:
        loss, gradients = scope["loss_and_gradients"](*(given[key] for key in given.files))
    np.savez(folder / f"{name}.out.npz", loss, **gradients)
assert not [x for x in sys.modules if x.startswith("tinygrad")]
"""


def run(cases: dict[str, Callable[[], Any]], folder: Path, **form: Any) -> None:
    """Write all functions, run them in one interpreter of its own, and compare."""
    expected: dict[str, tuple[Any, dict[str, Any]]] = {}
    for number, (name, case) in enumerate(cases.items()):
        made = case()
        loss = made[0] if isinstance(made, tuple) else made
        derivation = tg.derive(loss, **form)
        key = f"case{number}"
        (folder / f"{key}.py").write_text(derivation.to_numpy(), encoding="utf-8")
        arguments = derivation.arguments()
        np.savez(folder / f"{key}.npz", *(x.value for x in arguments.values()))
        gradients = derivation.program.gradients
        expected[key] = loss.data, {a: gradients[x].value for a, x in arguments.items() if x in gradients}
        assert expected[key][1], name
    (folder / "names.json").write_text(json.dumps(list(expected)))
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUNNER, str(folder)], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for (key, (loss, gradients)), name in zip(expected.items(), cases):
        with np.load(folder / f"{key}.out.npz") as found:
            np.testing.assert_allclose(found["arr_0"], loss, rtol=1e-10, atol=1e-13, err_msg=name)
            assert set(found.files) == {"arr_0", *gradients}, name
            for argument, gradient in gradients.items():
                assert found[argument].shape == np.shape(gradient), name
                np.testing.assert_allclose(found[argument], gradient, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("convention", [None, "columns"])
def test_all_operations(tmp_path: Path, convention: Any) -> None:
    run(dict(operations()), tmp_path, convention=convention)


@pytest.mark.parametrize("form", [{}, {"convention": "columns"}, {"simplify": False}, {"notation": "bar"}])
def test_all_networks(tmp_path: Path, form: dict[str, Any]) -> None:
    run(NETWORKS, tmp_path, **form)


def test_it_reads_as_a_student_should_have_written_it() -> None:
    source = tg.derive(smallest()).to_numpy()
    assert (
        source[source.index("def loss_and_gradients") :]
        == '''\
def loss_and_gradients(X, t, W1, b1, W2, b2):
    """The loss, and its gradient by each parameter."""
    U1 = X @ W1 + b1
    H1 = np.maximum(U1, 0)
    U2 = H1 @ W2 + b2
    y = sigmoid(U2)
    n = X.shape[0]
    L = -np.sum(t * np.log(y) + (1 - t) * np.log(1 - y)) / n
    d2 = (y - t) / n
    dW2 = H1.T @ d2
    db2 = d2.sum(axis=0)
    d1 = (d2 @ W2.T) * (U1 > 0)
    dW1 = X.T @ d1
    db1 = d1.sum(axis=0)
    return L, {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
'''
    )


def test_another_batch_size() -> None:
    """n is taken from the data, so the function serves any batch."""
    scope: dict[str, Any] = {}
    exec(tg.derive(smallest()).to_numpy(), scope)
    net = tg.nn.MLP([2, 3, 1], "relu", output="sigmoid", rng=0)
    x, t = np.random.default_rng(0).normal(size=(7, 2)), np.ones((7, 1))
    weights = [p.data for p in net.parameters()]
    loss, gradients = scope["loss_and_gradients"](x, t, *weights)
    expected = tg.nn.functional.binary_cross_entropy(net(x), t)
    expected.backward()
    np.testing.assert_allclose(loss, expected.data, rtol=1e-12)
    for found, parameter in zip(gradients.values(), net.parameters()):
        np.testing.assert_allclose(found, parameter.grad, rtol=1e-10, atol=1e-15)


def test_an_operation_of_a_user_has_no_formula() -> None:
    cube = tg.Op(lambda x: x**3, vjps=[lambda g, y, x: 3 * g * x**2], name="cube")
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(NotImplementedError, match="to_numpy: cube is an operation of your own"):
        tg.derive(cube(x).sum()).to_numpy()
