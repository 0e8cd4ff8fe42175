"""Which gradients of a recorded graph does a derivation by hand speak of?  The layers', found and named."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinygrad_edu.check.agreement import Array
from tinygrad_edu.engine import Node, ancestors
from tinygrad_edu.errors import GraphError
from tinygrad_edu.tensor import Tensor, sweep_from

__all__ = ["Layer", "gradients_of", "recorded", "layers_of", "named"]


class Layer(NamedTuple):
    """The Nodes of U = H W + 1 b: U itself, and W and b where they need a gradient."""

    output: Node
    weight: Node | None
    bias: Node | None


def gradients_of(loss: Tensor) -> dict[str, Array]:
    r"""The gradients in a recorded graph, under the names that a derivation by hand gives them.

    Layers are counted from 1 to L in the order in which they were computed.  A layer is an operation `linear`; or the
    product with a weight, `x @ W` or `x @ W + b`; or, in the column convention, `W @ x + b`.  For layer l:

        delta_l    dL/dU_l, the gradient of its output U_l, before the activation
        dW_l       dL/dW_l, the gradient of its weight
        db_l       dL/db_l, the gradient of its bias

    Every other leaf that requires a gradient stands behind them under its own name, or as leaf1, leaf2, ... in order
    of creation.  A weight that two layers share has one gradient, the sum over both; it stands under both names.

    The graph stays alive, and nobody's `.grad` changes.  (Hooks run, as in every sweep.)

    Parameters
    ----------
    loss : Tensor
        A scalar, recorded, whose graph has not been freed.

    Returns
    -------
    dict of str to array
        "deltaL", "dWL", "dbL", ..., "delta1", "dW1", "db1": the order of the sweep.  Each has the shape and dtype of
        what it is the gradient of, and memory of its own.

    Raises
    ------
    GraphError
        If the graph was freed by an earlier `backward`, or nothing in it requires a gradient.
    ShapeError
        If `loss` is no scalar.
    ValueError
        If two of the other leaves have the same name.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> X = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> W = tg.Tensor([[1.0], [1.0]], requires_grad=True)
    >>> b = tg.Tensor([0.0], requires_grad=True)
    >>> loss = tg.linear(X, W, b).sum()
    >>> for name, gradient in gradients_of(loss).items():
    ...     print(name, gradient.tolist())
    delta1 [[1.0], [1.0]]
    dW1 [[4.0], [6.0]]
    db1 [2.0]
    """
    if not isinstance(loss, Tensor):
        raise TypeError(f"gradients_of: a {type(loss).__name__} has no graph; a Tensor is expected")
    nodes = recorded(loss)
    targets = named(layers_of(nodes), nodes)
    found = sweep_from([loss], None, list(targets.values()), retain_graph=True, create_graph=False)
    # A Node to which no rule sends anything (the condition of a `where`) has a gradient of zeros.
    return {name: np.array(found.get(node, np.zeros_like(node.value))) for name, node in targets.items()}


def recorded(loss: Tensor) -> list[Node]:
    """The Nodes of the graph that need a gradient, oldest first."""
    if loss._node is None or not loss.requires_grad:
        raise GraphError(
            "gradients_of: this tensor does not depend on anything that needs a gradient. Make a leaf with "
            "requires_grad=True, and compute outside no_grad."
        )
    nodes = sorted((node for node in ancestors([loss._node]) if node.needs_grad), key=lambda node: node.order)
    if any(node.op is not None and node.args is None for node in nodes):
        raise GraphError(
            "gradients_of: this graph was already swept and freed. Ask before loss.backward(), or use "
            "backward(retain_graph=True)."
        )
    return nodes


def layers_of(nodes: Sequence[Node]) -> list[Layer]:
    """The layers among the Nodes, in order of creation."""
    sums: dict[Node, tuple[Node, Node]] = {}  # a product: its sum with a bias, and the bias
    for node in nodes:
        if _is(node, "add"):
            for product, bias in itertools.permutations(node.parents):
                if _is(product, "matmul") and _is_parameter(bias) and _is_row_or_column(bias):
                    sums[product] = (node, bias)
    layers = []
    for node in nodes:
        if _is(node, "linear"):
            _, weight, bias = node.parents
            layers.append(Layer(node, _needing(weight), _needing(bias)))
        elif _is(node, "matmul"):
            output, bias = sums.get(node, (node, None))
            weight = _weight(node, bias)
            if weight is not None or bias is not None:
                layers.append(Layer(output, weight, bias))
    return layers


def _weight(product: Node, bias: Node | None) -> Node | None:
    """The factor of a matrix product that is its layer's weight, if that is a parameter.

    In x @ W it stands on the right, in W @ x on the left.  A vector is never the weight, unless both are vectors.
    Otherwise the shape of the bias decides, (m,) or (1, m) against (m, 1); and for a single unit, whose bias looks the
    same in both, the factor that is a parameter.  Without a bias it is taken for x @ W.
    """
    left, right = product.parents
    a, b = product.args
    if a.ndim == 1 or b.ndim == 1:
        columns = a.ndim > 1
    elif bias is None:
        columns = False
    elif bias.value.size > 1:
        columns = bias.value.ndim == 2 and bias.value.shape[1] == 1
    else:
        columns = _is_parameter(left) and not _is_parameter(right)
    weight = left if columns else right
    return weight if _is_parameter(weight) else None


def named(layers: Sequence[Layer], nodes: Sequence[Node]) -> dict[str, Node]:
    """What each gradient is called, in the order of the sweep; then the other leaves."""
    names: dict[str, Node] = {}
    for number, layer in reversed(list(enumerate(layers, start=1))):
        for symbol, node in zip(("delta", "dW", "db"), layer):
            if node is not None:
                names[f"{symbol}{number}"] = node
    known = set(names.values())
    unnamed = itertools.count(1)
    for node in nodes:
        if _is_parameter(node) and node not in known:
            name = (node.notes and node.notes.name) or f"leaf{next(unnamed)}"
            if name in names:
                raise ValueError(f"gradients_of: two tensors are called {name}; give them names that tell them apart")
            names[name] = node
    return names


def _is(node: Node | None, operation: str) -> bool:
    # By name and not by identity: somebody's own `linear`, right or wrong, is a layer as well.
    return node is not None and node.op is not None and node.op.name == operation


def _is_parameter(node: Node | None) -> bool:
    return node is not None and node.op is None and node.needs_grad


def _is_row_or_column(node: Node) -> bool:
    return node.value.ndim < 2 or (node.value.ndim == 2 and 1 in node.value.shape)


def _needing(node: Node | None) -> Node | None:
    return node if node is not None and node.needs_grad else None
