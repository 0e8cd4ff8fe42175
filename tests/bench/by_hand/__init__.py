"""The steps as an expert writes them in NumPy: what every other system is measured against.

The rules: every quantity of the equations (activations, gradients, velocities, Adam's m and v) exists as an array with
its textbook value; whole arrays, no blocks that fit a cache; memory is taken once and written to in place; softmax and
cross-entropy are one.  Everything else is permitted.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.bench.by_hand import convolution, elementwise, graphs, networks, recurrent
from tests.bench.workloads import CHAINS, Array, Workload

STEPS: dict[str, Callable[[Workload, list[Array]], object]] = {
    "a": networks.OneHidden,
    "b": networks.AdamClassifier,
    "c": networks.MomentumClassifier,
    "d": networks.Tiny,
    "e": graphs.Scalars,
    "f": elementwise.Elementwise,
    **{f"g{n}": graphs.Chain for n in CHAINS},
    "j": convolution.Convolution,
    "k": networks.HessianProduct,
    "l": recurrent.LSTM,
}
