"""Mistakes with products: the gradients of the two factors of H W, and of a factor of an element-wise product."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinygrad_edu.check.agreement import Array
from tinygrad_edu.check.diagnosis.hypotheses import Hypothesis, Step

__all__ = ["INPUT", "MULTIPLY", "WEIGHT"]


def _matrices(s: Step) -> tuple[Array, Array, Array] | None:
    """H (n, in), W (in, out) and what has arrived, (n, out); a vector is a single row."""
    H, W, g = np.asarray(s.args[0]), np.asarray(s.args[1]), np.asarray(s.g)
    if W.ndim != 2 or H.ndim not in (1, 2):
        return None
    return np.atleast_2d(H), W, np.atleast_2d(g)


# ------------------------------------------------------------------------------ dL/dH = delta W^T


def _not_transposed(s: Step) -> Array | None:
    if (m := _matrices(s)) is None:
        return None
    _, W, g = m
    return (g @ W).reshape(s.true.shape)


def _reshaped(s: Step) -> Array | None:
    if (m := _matrices(s)) is None or 1 in m[1].shape:
        return None
    _, W, g = m
    return (g @ W.reshape(W.T.shape)).reshape(s.true.shape) if W.shape[0] != W.shape[1] else None


def _input_order(s: Step) -> Iterator[Array]:
    if (m := _matrices(s)) is not None and s.g.ndim == 2:
        _, W, g = m
        for A in (W, W.T):
            if A.shape[1] == g.shape[0] and (A.shape[0], g.shape[1]) == s.true.shape:
                yield A @ g


def _other_weight(s: Step) -> Iterator[Array]:
    if (m := _matrices(s)) is not None:
        _, W, g = m
        for other in s.e.weights:
            V = s.e.of(other)
            if V.shape == W.shape and other is not s.equation.operands[1]:
                yield (g @ V.T).reshape(s.true.shape)


INPUT = [
    Hypothesis(
        "weight not transposed",
        "U = H W takes `in` numbers to `out`; the gradient goes the other way, and needs the transpose of W.",
        _not_transposed,
    ),
    Hypothesis(
        "weight reshaped instead of transposed",
        "reshape keeps the numbers in a row; a transpose exchanges rows and columns.",
        _reshaped,
    ),
    Hypothesis(
        "product in the wrong order",
        "A matrix product does not commute: with samples as rows W^T stands on the right of delta.",
        _input_order,
    ),
    Hypothesis(
        "result transposed",
        "The gradient has the shape of the value: one row for each sample.",
        lambda s: s.true.T if s.true.ndim == 2 and s.true.shape[0] == s.true.shape[1] else None,
    ),
    Hypothesis(
        "weight of another layer",
        "A gradient goes back through the weight that its value went forward through.",
        _other_weight,
    ),
]

# ------------------------------------------------------------------------------ dL/dW = H^T delta


def _pre_activation(s: Step) -> Array | None:
    """H = phi(U) was recorded: U instead."""
    made = s.e.made_by.get(s.equation.operands[0])
    if (m := _matrices(s)) is None or made is None or len(made.variables) != 1:
        return None
    U = s.e.of(made.variables[0])
    return np.atleast_2d(U).T @ m[2] if U.shape == s.e.of(s.equation.operands[0]).shape else None


def _other_activation(s: Step) -> Iterator[Array]:
    if (m := _matrices(s)) is None:
        return
    own = s.equation.operands[0]
    before = s.e.made_by[own].variables if own in s.e.made_by else []
    for layer in s.e.layers:
        for other in (layer.H, layer.U):
            if other is not None and other is not own and other not in before:
                V = s.e.of(other)
                if V.shape == np.shape(s.args[0]):
                    yield np.atleast_2d(V).T @ m[2]


def _weight_order(s: Step) -> Iterator[Array]:
    if (m := _matrices(s)) is None or s.g.ndim < 2:
        return
    H, _, g = m
    for a, b in ((g, H.T), (g, H), (H, g.T)):
        if a.shape[1] == b.shape[0] and (a.shape[0], b.shape[1]) == s.true.shape:
            yield a @ b


def _input_not_transposed(s: Step) -> Array | None:
    if (m := _matrices(s)) is None or s.g.ndim < 2 or m[0].shape[1] != m[0].shape[0]:
        return None
    return m[0] @ m[2]


def _first_sample(s: Step) -> Iterator[Array]:
    if (m := _matrices(s)) is not None:
        H, _, g = m
        yield np.outer(H[0], g[0])
        yield np.outer(H[-1], g[-1])


def _left_out(s: Step) -> Iterator[Array]:
    if (m := _matrices(s)) is not None and len(m[0]) > 2:
        H, _, g = m
        yield H[:-1].T @ g[:-1]
        yield H[1:].T @ g[1:]


def _sums(s: Step) -> Iterator[Array]:
    if (m := _matrices(s)) is not None:
        H, _, g = m
        whole = np.outer(H.sum(axis=0), g.sum(axis=0))
        yield whole
        yield whole / len(H)
        yield whole / len(H) ** 2


def _weight_transposed(s: Step) -> Array | None:
    return s.true.T if s.true.ndim == 2 and min(s.true.shape) > 1 else None


WEIGHT = [
    Hypothesis(
        "pre-activation used for activation",
        "The layer has multiplied W by the activation H of the layer before, not by its pre-activation U.",
        _pre_activation,
    ),
    Hypothesis(
        "result transposed",
        "A gradient has the shape of what it is the gradient of: H^T delta is (in, out), as W is.",
        _weight_transposed,
    ),
    Hypothesis(
        "product in the wrong order",
        "A matrix product does not commute: H^T stands on the left of delta.",
        _weight_order,
    ),
    Hypothesis(
        "input not transposed",
        "W is used once for each sample, and H^T delta sums over the samples.",
        _input_not_transposed,
    ),
    Hypothesis(
        "first sample only",
        "W is used for every sample, and its gradient is the sum over all of them.",
        _first_sample,
    ),
    Hypothesis(
        "one sample left out",
        "W is used for every sample, and its gradient is the sum over all of them: the first or the last is missing.",
        _left_out,
    ),
    Hypothesis(
        "outer product of sums",
        "The sum of products is not the product of the sums: multiply sample by sample, then add.",
        _sums,
    ),
    Hypothesis(
        "values of another layer",
        "The gradient of a weight needs the values that this very weight was multiplied with.",
        _other_activation,
    ),
]

# ------------------------------------------------------------------------ element-wise: d(a b)/da = b


def _own_factor(s: Step) -> Array | None:
    return s.g * s.x if np.broadcast_shapes(s.g.shape, s.x.shape) == s.true.shape else None


MULTIPLY = [
    Hypothesis(
        "factor missing",
        "The derivative of a b with respect to a is b.",
        lambda s: s.g if s.g.shape == s.true.shape else None,
    ),
    Hypothesis("wrong factor", "The derivative of a b with respect to a is b, not a.", _own_factor),
]
