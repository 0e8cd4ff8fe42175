"""Functions of gradients: grad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from tinygrad_edu.errors import GraphError
from tinygrad_edu.tensor import Tensor, as_tensor, sweep_from

__all__ = ["grad"]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: ArrayLike | Tensor | Sequence[Any] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `outputs` with respect to `inputs`, as Tensors; nobody's `.grad` changes.

    Parameters
    ----------
    outputs, inputs : Tensor or sequence of Tensor
        Inputs may be leaves or intermediate results.  Only what lies between is computed.
    grad_outputs : array_like, optional
        The cotangent of the output (for several outputs, a sequence of them); 1 for scalars unless given.
    retain_graph, create_graph : bool
        As in `Tensor.backward`.
    allow_unused : bool
        Return None for an input that the outputs do not depend on, instead of raising.

    Raises
    ------
    GraphError
        For an input that needs no gradient, or that the outputs do not depend on.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor(3.0, requires_grad=True)
    >>> (first,) = tg.grad(x**3, x, create_graph=True)
    >>> (second,) = tg.grad(first, x)
    >>> first, second
    (Tensor(27., from multiply), Tensor(18.))
    """
    if isinstance(outputs, Tensor):
        outputs = [outputs]
        grad_outputs = None if grad_outputs is None else [grad_outputs]
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor) or not x.requires_grad:
            what = "needs no gradient; make it with requires_grad=True" if isinstance(x, Tensor) else "is no Tensor"
            raise GraphError(f"grad: input {i} {what}")
    nodes = [x._node for x in inputs if x._node is not None]
    found = sweep_from(outputs, grad_outputs, nodes, retain_graph, create_graph)  # type: ignore[arg-type]
    results: list[Tensor | None] = []
    for i, node in enumerate(nodes):
        if node not in found and not allow_unused:
            raise GraphError(f"grad: the outputs do not depend on input {i}; allow_unused=True returns None for it")
        results.append(as_tensor(found[node]) if node in found else None)
    return tuple(results)
