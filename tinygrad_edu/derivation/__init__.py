"""tg.derive: the derivation of a recorded graph's gradients, as mathematics, as a document, as plain NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from tinygrad_edu.derivation.build import build
from tinygrad_edu.derivation.derivation import Derivation, Line
from tinygrad_edu.derivation.naming import Convention, Notation
from tinygrad_edu.program import trace
from tinygrad_edu.tensor import Tensor

__all__ = ["Derivation", "Line", "derive"]


def derive(
    outputs: Tensor | Sequence[Tensor],
    notation: Notation = "delta",
    convention: Convention | None = None,
    simplify: bool = True,
) -> Derivation:
    """The derivation of the gradients of a recorded graph: its forward equations, then the backward ones, in the order
    of the sweep.

    The equations are those that the sweep itself computes, simplified to what a person would write.  Nobody's `.grad`
    changes, and the graph stays alive: derive before `backward()`, or keep the graph with `retain_graph=True`.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        Recorded; usually the loss.  One that is no scalar is derived as its sum is.
    notation : "delta", "leibniz" or "bar"
        How gradients are called: delta^l for what layer l's pre-activation receives, and dL/dW for the others; dL/dU
        for all of them; or as adjoints, a letter with a bar.
    convention : "rows" or "columns", optional
        A row or a column for each sample: U = H W + 1 b, or z = W a + b.  Unless given, as it was recorded; if it was
        recorded in the other one, every matrix is written transposed.
    simplify : bool
        False gives one line for each edge of the graph, as the sweep computes it.

    Returns
    -------
    Derivation
        Print it.  Its `text`, `latex`, `markdown` and `html` are documents, `to_numpy()` is the source of a NumPy
        function, and `explain("fc1.weight")` follows the chain rule to one parameter.

    Raises
    ------
    GraphError
        For a tensor that was not recorded, or a graph that was freed by an earlier `backward`.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> net = tg.nn.MLP([2, 3, 1], "relu", output="sigmoid", rng=0)
    >>> x, t = tg.data.xor()
    >>> loss = tg.nn.functional.binary_cross_entropy(net(x), t)
    >>> print(tg.derive(loss).text(ascii=True))
    Forward
      U1 = X W1 + 1 b1                                   (4, 3)
      H1 = relu(U1)                                      (4, 3)
      U2 = H1 W2 + 1 b2                                  (4, 1)
      y  = sigmoid(U2)                                   (4, 1)
      L  = -1/n sum[ t * log y + (1 - t) * log(1 - y) ]  n = 4
    Backward
      d2     = dL/dU2 = (y - t) / n           (4, 1)  sigmoid, then cross-entropy: rule sigmoid+bce
      dL/dW2 = H1' d2                         (3, 4)(4, 1) -> (3, 1)
      dL/db2 = 1' d2                          (1,)    summed over the batch: b2 was broadcast
      d1     = dL/dU1 = (d2 W2') * 1[U1 > 0]  (4, 3)
      dL/dW1 = X' d1                          (2, 4)(4, 3) -> (2, 3)
      dL/db1 = 1' d1                          (3,)    summed over the batch: b1 was broadcast
    where
      W1 = fc1.weight
      b1 = fc1.bias
      W2 = fc2.weight
      b2 = fc2.bias
    """
    for name, value, choices in (("notation", notation, Notation), ("convention", convention, Convention)):
        allowed = get_args(choices)
        if value not in allowed and not (name == "convention" and value is None):
            raise ValueError(f"derive: {name}={value!r}: {', '.join(map(repr, allowed))} are possible")
    return build(trace(outputs), notation, convention, simplify)
