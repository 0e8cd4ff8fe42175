"""Functions of gradients: grad, vjp, jvp, jacobian, hessian, hvp.

They differentiate what they are given and leave every `.grad` alone.  With `create_graph=True` their results can
be differentiated in turn, to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_edu import ops
from tinygrad_edu.engine import UNUSED
from tinygrad_edu.errors import GraphError, ShapeError
from tinygrad_edu.tensor import Tensor, as_tensor, sweep_from

__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "vjp"]

Function = Callable[..., Any]
Tensors = Tensor | Sequence[Tensor]


def grad(
    outputs: Tensors,
    inputs: Tensors,
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
    found = sweep_from(outputs, grad_outputs, nodes, retain_graph, create_graph, allow_unused)  # type: ignore[arg-type]
    results: list[Tensor | None] = []
    for i, node in enumerate(nodes):
        if node not in found and not allow_unused:  # it is reached, but only through what has no gradient
            raise GraphError(UNUSED.format(i))
        results.append(as_tensor(found[node]) if node in found else None)
    return tuple(results)


# ------------------------------------------------------------------------------ functions of functions


def _variables(inputs: Any, create_graph: bool) -> list[Tensor]:
    """The inputs as Tensors that need a gradient: with `create_graph` themselves, so that theirs goes on."""
    given = [inputs] if isinstance(inputs, (Tensor, np.ndarray, float, int)) else list(inputs)
    fresh = []
    for x in given:
        if create_graph and isinstance(x, Tensor) and x.requires_grad:
            fresh.append(ops.copy(x))
        elif type(x) is np.ndarray:  # its memory is shared: a copy of large parameters takes longer than a product
            fresh.append(as_tensor(x))
            fresh[-1].requires_grad = True
        else:
            fresh.append(Tensor(x, requires_grad=True))
    return fresh


def _output(function: Function, variables: list[Tensor], name: str, scalar: bool = False) -> Tensor:
    y = function(*variables)
    if not isinstance(y, Tensor):
        raise TypeError(f"{name}: the function returned a {type(y).__name__}; one Tensor is expected")
    if scalar and y.size != 1:
        raise ShapeError(f"{name}: the function returned shape {y.shape}; a scalar is expected")
    return y


def _gradients(y: Tensor, variables: list[Tensor], cotangent: Any, retain: bool, create_graph: bool) -> list[Tensor]:
    """The gradient for each variable; zeros for one that y does not depend on."""
    if not y.requires_grad:
        return [as_tensor(np.zeros_like(x.data)) for x in variables]
    found = grad(y, variables, cotangent, retain or create_graph, create_graph, allow_unused=True)
    return [as_tensor(np.zeros_like(x.data)) if g is None else g for g, x in zip(found, variables)]


def _shaped_like(inputs: Any, results: Sequence[Any]) -> Any:
    """One result for one input, a tuple for a sequence of inputs."""
    return results[0] if isinstance(inputs, (Tensor, np.ndarray, float, int)) else tuple(results)


def _directions(v: Any, inputs: Any, targets: Sequence[Tensor], name: str) -> list[Any]:
    """A direction for each target, checked."""
    given = [v] if isinstance(inputs, (Tensor, np.ndarray, float, int)) else list(v)
    for i, (d, x) in enumerate(zip(given, targets)):
        if np.shape(d) != x.shape:
            raise ShapeError(f"{name}: direction {i} has shape {np.shape(d)}; {x.shape} is expected")
    if len(given) != len(targets):
        raise ShapeError(f"{name}: {len(given)} directions for {len(targets)} inputs")
    return given


def vjp(function: Function, inputs: Any, v: ArrayLike | Tensor | None = None, create_graph: bool = False) -> Any:
    """The output of a function, and v^T J: the gradient of v . f(x) with respect to its inputs.

    Parameters
    ----------
    function : callable
        Takes the inputs as Tensors and returns one Tensor.
    inputs : Tensor, array, or a sequence of them
    v : array of the output's shape
        May be left out for a scalar output.

    Returns
    -------
    (output, products)
        One product for one input, a tuple of them for a sequence.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> y, product = tg.vjp(lambda x: x**2, np.array([1.0, 2.0]), np.array([1.0, 10.0]))
    >>> product
    Tensor([ 2., 40.])
    """
    variables = _variables(inputs, create_graph)
    y = _output(function, variables, "vjp")
    products = _gradients(y, variables, v, False, create_graph)
    return y if create_graph else y.detach(), _shaped_like(inputs, products)


def jvp(function: Function, inputs: Any, v: Any, create_graph: bool = False) -> Any:
    """The output of a function, and J v: its derivative in the direction v.

    Reverse mode alone suffices: u -> u^T J is linear in u, and its own derivative with respect to u, applied to v, is
    J v (the double-backward trick).

    Parameters
    ----------
    function, inputs
        As in `vjp`.
    v : array of the input's shape, or one for each input

    Returns
    -------
    (output, product)

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> y, product = tg.jvp(lambda x: x**2, np.array([1.0, 2.0]), np.array([1.0, 10.0]))
    >>> product
    Tensor([ 2., 40.])
    """
    variables = _variables(inputs, create_graph)
    directions = _directions(v, inputs, variables, "jvp")
    y = _output(function, variables, "jvp")
    u = Tensor(np.ones(y.shape), requires_grad=True, dtype=y.dtype)
    products = _gradients(y, variables, u, True, True)
    along = [p for p in zip(products, directions) if p[0].requires_grad]
    if not along:
        return y if create_graph else y.detach(), as_tensor(np.zeros_like(y.data))
    (product,) = _many(along, u, create_graph)
    return y if create_graph else y.detach(), product


def _many(pairs: Sequence[tuple[Tensor, Any]], target: Tensor, create_graph: bool) -> list[Tensor]:
    """The gradient of sum(output . cotangent) over several pairs."""
    found = grad([p for p, _ in pairs], target, [d for _, d in pairs], create_graph=create_graph, allow_unused=True)
    return [as_tensor(np.zeros_like(target.data)) if g is None else g for g in found]


def jacobian(function: Function, inputs: Any, create_graph: bool = False, batched: bool = False) -> Any:
    """All partial derivatives: J[i, j] = d f(x)[i] / d x[j], of shape output.shape + input.shape.

    One sweep for each element of the output.

    Parameters
    ----------
    function, inputs
        As in `vjp`.
    batched : bool
        The first axis of inputs and output counts samples that do not influence each other: then one sweep serves
        all samples, and the result has the shape (samples,) + output.shape[1:] + input.shape[1:].

    Returns
    -------
    Tensor, or a tuple with one for each input

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.jacobian(lambda x: x**2, np.array([1.0, 2.0]))
    Tensor([[2., 0.],
            [0., 4.]])
    >>> tg.jacobian(lambda x: x**2, np.ones((100, 2)), batched=True).shape
    (100, 2, 2)
    """
    variables = _variables(inputs, create_graph)
    y = _output(function, variables, "jacobian")
    if batched and (not y.ndim or any(not x.ndim or x.shape[0] != y.shape[0] for x in variables)):
        shapes = ", ".join(str(x.shape) for x in variables)
        raise ShapeError(f"jacobian: batched: output {y.shape} and input {shapes} must have one number of samples")
    shape = y.shape[1:] if batched else y.shape
    rows: list[list[Tensor]] = []
    for i in np.ndindex(shape):
        cotangent = np.zeros(y.shape, y.dtype)
        cotangent[(slice(None), *i) if batched else i] = 1
        rows.append(_gradients(y, variables, cotangent, True, create_graph))
    axis = 1 if batched else 0
    results = []
    for k, x in enumerate(variables):
        inner = x.shape[1:] if batched else x.shape
        lead = (y.shape[0],) if batched else ()
        stacked = ops.stack([row[k] for row in rows], axis) if rows else as_tensor(np.zeros((*lead, 0, *inner)))
        results.append(stacked.reshape((*lead, *shape, *inner)))
    return _shaped_like(inputs, results)


def hessian(function: Function, inputs: Any, create_graph: bool = False) -> Any:
    """All second derivatives of a scalar function: H[i, j] = d^2 f / dx[i] dx[j], of shape input.shape + input.shape.

    For a sequence of inputs, a tuple of tuples: block [a][b] holds the derivatives by inputs a and b.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.hessian(lambda x: (x**3).sum(), np.array([1.0, 2.0]))
    Tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    single = isinstance(inputs, (Tensor, np.ndarray, float, int))
    blocks = []
    for k in range(1 if single else len(inputs)):

        def gradient(*variables: Tensor, k: int = k) -> Tensor:
            y = _output(function, list(variables), "hessian", scalar=True)
            return _gradients(y, [variables[k]], None, True, True)[0]

        blocks.append(jacobian(gradient, inputs, create_graph))
    return blocks[0] if single else tuple(blocks)


def hvp(function: Function, inputs: Any, v: Any, create_graph: bool = False) -> Any:
    """The value of a scalar function, and H v: the Hessian times a direction, without forming the Hessian.

    It is the gradient of (gradient . v): two sweeps, whatever the number of inputs (Pearlmutter 1994).

    Returns
    -------
    (value, product)
        One product for one input, a tuple of them for a sequence.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> value, product = tg.hvp(lambda x: (x**3).sum(), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    >>> product
    Tensor([ 6., 12.])
    """
    variables = _variables(inputs, create_graph)
    directions = _directions(v, inputs, variables, "hvp")
    y = _output(function, variables, "hvp", scalar=True)
    gradients = _gradients(y, variables, None, True, True)
    along = [pair for pair in zip(gradients, directions) if pair[0].requires_grad]
    if along:
        tensors, cotangents = [p for p, _ in along], [d for _, d in along]
        found = grad(tensors, variables, cotangents, create_graph=create_graph, allow_unused=True)
    else:
        found = (None,) * len(variables)
    products = [as_tensor(np.zeros_like(x.data)) if g is None else g for g, x in zip(found, variables)]
    return y if create_graph else y.detach(), _shaped_like(inputs, products)
