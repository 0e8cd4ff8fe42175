"""What a step costs, in numbers that do not depend on the machine: recorded nodes, NumPy calls, memory.

The limits are what the engine needed when they were written, or a goal where it is better than that.  Lower them when
it needs less; that one has to be raised is a decision, with its reason beside it.
"""

from __future__ import annotations

import functools
import gc
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.bench.systems import Step, System
from tests.bench.systems.hand import copies
from tests.bench.systems.ours import systems
from tests.bench.workloads import WORKLOADS, Workload
from tinygrad_edu.nn.functional import cross_entropy

HAND, (OURS, COMPILED) = copies()[0], systems()[:2]


def _recorded(result: tg.Tensor) -> list[str]:
    """The names of the operations that lead to a result, the newest first."""
    found, waiting = {}, [result._node]
    while waiting:
        node = waiting.pop()
        if node is not None and node.op is not None and node.order not in found:
            found[node.order] = node.op.name
            waiting += node.parents
    return [found[order] for order in sorted(found, reverse=True)]


def test_the_classifier_records_one_node_for_each_layer_activation_and_loss() -> None:
    workload = WORKLOADS["a"]()
    net = tg.nn.MLP([784, 64, 10], rng=0, dtype=np.float32)
    assert _recorded(cross_entropy(net(workload.X), workload.targets)) == ["cross_entropy", "linear", "relu", "linear"]


def test_the_elementwise_function_records_one_node_for_each_operation() -> None:
    x = tg.Tensor(np.ones(3, np.float32), requires_grad=True)
    y = tg.tanh(tg.sigmoid(x) * x + tg.exp(-x * x)).sum()
    assert len(_recorded(y)) <= 8


@functools.cache
def _numpy_calls(key: str) -> dict[str, dict[str, int]]:
    command = [sys.executable, "-m", "tests.bench.counting", key]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


VIEWS = ("array.reshape", "array.view", "array.transpose", "array.swapaxes", "transpose", "reshape")  # no arithmetic


@pytest.mark.parametrize(("key", "more"), [("a", 9), ("b", 10), ("d", 7), ("f", 4), ("k", 40)])
def test_a_step_makes_few_more_numpy_calls_than_the_step_by_hand(key: str, more: int) -> None:
    """Views are not counted.  The step by hand has nothing to spare, so a pass that is added anywhere shows here.

    (What is read and written at a list of places is counted where it is a method, `take` and `put`, as ours is; so are
    masks that are turned into numbers.  In (c) the parameters are updated in blocks, with calls for each of them.)
    """
    found = _numpy_calls(key)
    by_hand, ours = (sum(n for call, n in found[name].items() if call not in VIEWS) for name in (HAND.name, OURS.name))
    assert ours <= by_hand + more, found


def test_no_product_of_matrices_is_computed_that_is_not_needed() -> None:
    """Of the network of (c): three forward, three for the weights, and two for the hidden layers; none for the data.

    Four of ours are products with ones, which are sums: three of a bias' gradient, one in the loss.
    """
    found = _numpy_calls("c")
    names = ("matmul", "dot", "array.dot")
    products = [sum(n for name, n in calls.items() if name.lower().startswith(names)) for calls in found.values()]
    assert products == [8, 8 + 4]


def _peak(system: System, workload: Workload, key: str, of_step: bool) -> int:
    """The peak of memory: of everything, or of what the fifth step adds."""
    gc.collect()
    tracemalloc.start()
    try:
        step: Step = system.steps[key](workload)
        for _ in range(4):
            step.run()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        step.run()
        return tracemalloc.get_traced_memory()[1] - (before if of_step else 0)
    finally:
        tracemalloc.stop()


def test_training_the_wide_network_needs_little_more_memory_than_by_hand() -> None:
    """Parameters, velocities, gradients, activations.  By hand the gradients are used up as scratch; ours are kept."""
    workload = WORKLOADS["c"]()
    assert _peak(OURS, workload, "c", False) <= 1.07 * _peak(HAND, workload, "c", False)


@pytest.mark.parametrize("key", ["c", "j", "k", "l"])
def test_a_compiled_step_needs_less_memory_than_an_eager_one(key: str) -> None:
    """It keeps its scratch between the steps, but what no line reads any more is gone, or written over.

    (Where a step has few activations, as in (a) and (b), the compiled function itself is the difference: 40 kB.)
    """
    workload = WORKLOADS[key]()
    COMPILED.steps[key](workload).run()  # what is loaded late is there then
    assert _peak(COMPILED, workload, key, False) < _peak(OURS, workload, key, False)


def test_a_step_of_the_wide_network_takes_no_memory_but_for_activations_and_gradients() -> None:
    workload = WORKLOADS["c"]()
    gradients = sum(p.nbytes for p in workload.params)
    layer = len(workload.X) * 1024 * 4
    assert _peak(OURS, workload, "c", True) <= gradients  # the last ones are gone by then
    assert _peak(HAND, workload, "c", True) <= layer


def test_the_elementwise_function_holds_few_arrays_at_once() -> None:
    workload = WORKLOADS["f"]()
    assert _peak(OURS, workload, "f", True) <= 8.1 * workload.X.nbytes
    assert _peak(HAND, workload, "f", True) < 1e5


def test_a_node_of_a_scalar_graph_takes_few_bytes() -> None:
    workload = WORKLOADS["e"]()
    assert _peak(OURS, workload, "e", True) <= 320 * workload.nodes
