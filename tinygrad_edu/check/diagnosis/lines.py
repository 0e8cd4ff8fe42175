"""The corrected line: how a gradient is computed, as one writes it in NumPy with the derivation's symbols."""

from __future__ import annotations

import numpy as np

from tinygrad_edu.check.diagnosis.evidence import Evidence, Layer, Output
from tinygrad_edu.program import Variable

__all__ = ["right_line"]

#: phi'(U) as one writes it; H and U stand for the layer's own.
SLOPES = {
    "relu": "(U > 0)",
    "sigmoid": "H * (1 - H)",
    "tanh": "(1 - H**2)",
    "leaky_relu": "np.where(U > 0, 1, slope)",
    "softplus": "sigmoid(U)",
    "exp": "H",
}


def right_line(e: Evidence, variable: Variable, columns: bool = False) -> str | None:
    """`dW2 = H1.T @ delta2`, and the like; None for a gradient that has no line here.

    Rows are samples, or columns are: then it is `dW2 = delta2 @ H1.T`.
    """
    layer = e.layer_of(variable)
    if layer is None:
        return _activation_line(e, variable, columns)
    name = e.gradient(variable)
    delta = e.gradient(layer.U)
    penalty = _penalty(e, variable)
    if variable is layer.W and layer.H is not None:
        if e.of(variable).ndim == 2 and e.of(layer.U).ndim == 2 and e.of(layer.H).shape[-1] == e.of(variable).shape[0]:
            product = f"{delta} @ {e.symbol(layer.H)}.T" if columns else f"{e.symbol(layer.H)}.T @ {delta}"
            return f"{name} = {product}{penalty}"
        return f"{name} = np.outer({e.symbol(layer.H)}, {delta}){penalty}"
    if variable is layer.b:
        over = "axis=1, keepdims=True" if columns else "axis=0"
        return f"{name} = {delta}.sum({over}){penalty}" if e.of(layer.U).ndim == 2 else f"{name} = {delta}{penalty}"
    if variable is layer.U:
        return _delta_line(e, layer, columns)
    return None


def _penalty(e: Evidence, variable: Variable) -> str:
    edges = [edge for edge in e.sweep.uses.get(variable, []) if e.is_decay(edge)]
    if not edges:
        return ""
    W = e.of(variable)
    rate = float(np.sum(sum(e.sweep.parts[edge] for edge in edges) * W) / np.sum(W * W))
    return f" + {rate:.6g} * {e.symbol(variable)}"


def _delta_line(e: Evidence, layer: Layer, columns: bool) -> str | None:
    output = next((o for o in e.outputs if o.v is layer.U), None)
    name = e.gradient(layer.U)
    if output is not None:
        return f"{name} = {_error(e, output)}"
    following = [x for x in e.layers if x.number == layer.number + 1]
    users = e.sweep.uses.get(layer.U, [])
    if len(users) != 1:
        return None
    made = users[0][0]
    H = made.target
    if made.op.name == "standardize":
        g, axis = e.gradient(H), made.params.get("axis")
        return f"{name} = r * (g - g.mean({axis}) - Z * (g * Z).mean({axis})), r = 1 / sqrt(var + eps), g = {g}"
    if np.shape(H.value) != np.shape(layer.U.value) or len(made.variables) != 1:
        return None
    slope = SLOPES.get(made.op.name, f"{made.op.name}'(U)")
    symbols = {"U": e.symbol(layer.U), "H": e.symbol(H)}
    slope = "".join(symbols.get(c, c) for c in slope)
    at = next((o for o in e.outputs if o.v is H), None)
    if at is not None:
        return f"{name} = {_error(e, at)} * {slope}"
    if following and following[0].H is H and following[0].W is not None and len(e.sweep.uses[H]) == 1:
        return f"{name} = ({_back(e, following[0], columns)}) * {slope}"
    if following and following[0].H is layer.U and following[0].W is not None:
        return f"{name} = {_back(e, following[0], columns)}"
    return f"{name} = {e.gradient(H)} * {slope}"


def _activation_line(e: Evidence, variable: Variable, columns: bool) -> str | None:
    output = next((o for o in e.outputs if o.v is variable), None)
    if output is not None:
        return f"{e.gradient(variable)} = {_error(e, output)}"
    layer = next((x for x in e.layers if x.H is variable and x.W is not None), None)
    if layer is not None and layer.W is not None and len(e.sweep.uses.get(variable, [])) == 1:
        return f"{e.gradient(variable)} = {_back(e, layer, columns)}"
    return None


def _back(e: Evidence, layer: Layer, columns: bool) -> str:
    """delta W^T, or with samples as columns W^T delta."""
    assert layer.W is not None
    delta, W = e.gradient(layer.U), e.symbol(layer.W)
    return f"{W}.T @ {delta}" if columns else f"{delta} @ {W}.T"


def _error(e: Evidence, output: Output) -> str:
    """k (a - t), with k as one writes it."""
    n, C, k = e.n, e.classes, output.k
    a = "y" if output.recorded or not output.activation else f"{output.activation}({e.symbol(output.v)})"
    if not output.activation:
        a = "y" if e.symbol(output.v).startswith("U") else e.symbol(output.v)
    factors = [
        (1.0, ""),
        (1 / n, " / n"),
        (2 / n, " * 2 / n"),
        (1 / (n * C), " / (n * C)"),
        (2 / (n * C), " * 2 / (n * C)"),
        (2.0, " * 2"),
    ]
    for number, text in factors:
        if np.isclose(k, number, rtol=1e-9):
            return f"({a} - t){text}" if text else f"{a} - t"
    return f"{k:.6g} * ({a} - t)"
