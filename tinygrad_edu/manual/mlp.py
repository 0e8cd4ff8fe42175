"""A network of fully connected layers: the forward pass, and the backward pass written out by hand.

Layers are counted as in the derivation, from 1 to L; H^0 is the input X and H^L the output Y. So H[layer - 1]
is the derivation's H^{l-1}, and the same two loops serve both conventions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from . import columns, rows
from ._checks import Array, Scalar, floats, look_up
from .activations import ACTIVATIONS, softmax
from .losses import FUSED, LOSSES
from .output_layer import output_delta


class Convention(Protocol):
    """What rows.py and columns.py both offer: the equation of a layer, and its three gradients.

    >>> sorted(CONVENTIONS)
    ['columns', 'rows']
    """

    W_SHAPE: str
    X_SHAPE: str

    def sizes(self, W: Array) -> tuple[int, int]: ...
    def as_rows(self, A: Array) -> Array: ...
    def affine(self, H: Array, W: Array, b: Array) -> Array: ...
    def input_gradient(self, delta: Array, W: Array) -> Array: ...
    def weight_gradient(self, H: Array, delta: Array) -> Array: ...
    def bias_gradient(self, delta: Array) -> Array: ...


CONVENTIONS: dict[str, Convention] = {"rows": rows, "columns": columns}


class Forward(NamedTuple):
    """All that the forward pass computed, by layer: U[1] ... U[L], and H[0] ... H[L] with H[0] = X.

    >>> Network([[[2.0]]], [[1.0]], ["relu"], "half_squared_error").forward([3.0])
    Forward(U={1: array([7.])}, H={0: array([3.]), 1: array([7.])})
    """

    U: dict[int, Array]
    H: dict[int, Array]

    @property
    def Y(self) -> Array:
        """The output of the network, H^L."""
        return self.H[len(self.U)]


@dataclass(frozen=True)
class Gradients:
    """All that the backward pass computed, by layer: delta = dE/dU, dW = dE/dW, db = dE/db.

    >>> net = Network([[[2.0]]], [[1.0]], ["identity"], "half_squared_error")
    >>> net.backward(net.forward([3.0]), [5.0]).dW
    {1: array([[6.]])}
    """

    delta: dict[int, Array]
    dW: dict[int, Array]
    db: dict[int, Array]

    def named(self) -> dict[str, Array]:
        """Every array under its name, in the order of the sweep: deltaL, dWL, dbL, ..., delta1, dW1, db1.

        >>> Gradients({1: np.ones(2)}, {1: np.ones((1, 2))}, {1: np.ones(2)}).named()
        {'delta1': array([1., 1.]), 'dW1': array([[1., 1.]]), 'db1': array([1., 1.])}
        """
        symbols = {"delta": self.delta, "dW": self.dW, "db": self.db}
        sweep = sorted(self.delta, reverse=True)
        return {f"{symbol}{layer}": arrays[layer] for layer in sweep for symbol, arrays in symbols.items()}


class Network:
    """L layers, H^l = phi^l(U^l) with U^l affine in H^{l-1}, and a loss E on the last of them.

    weights      W^1 ... W^L, each (in, out) with rows, (out, in) with columns
    biases       b^1 ... b^L, each (out,), or (1, out) with rows, or (out, 1) with columns
    activations  a name in ACTIVATIONS for each layer; the last may also be "softmax"
    loss         a name in LOSSES
    convention   "rows": X is (n, m_0) and U = H W + 1 b. "columns": X is (m_0, n) and U = W H + b 1^T.

    A single sample is a vector (m_0,) in both conventions. The network computes in float32 if all of its
    parameters are float32, else in float64, and converts X and T to match. Parameters that have this type
    are used as they are, not copied. Raises ValueError for unknown names and for shapes that do not fit.

    Here is the network of the article "Neural Networks from Scratch" (2018), with two features, three ReLU
    units and a sigmoid:

    >>> W1, b1 = [[1.0, 0.0, -1.0], [0.0, 1.0, 1.0]], [0.0, 0.0, 0.0]
    >>> W2, b2 = [[1.0], [-1.0], [1.0]], [0.0]
    >>> net = Network([W1, W2], [b1, b2], ["relu", "sigmoid"], "binary_cross_entropy_mean")
    >>> f = net.forward([[2.0, 2.0], [0.0, 0.0]])
    >>> f.Y
    array([[0.5],
           [0.5]])
    >>> net.backward(f, [[1.0], [0.0]]).dW[2]
    array([[-0.5],
           [-0.5],
           [ 0. ]])
    """

    def __init__(
        self,
        weights: Sequence[ArrayLike],
        biases: Sequence[ArrayLike],
        activations: Sequence[str],
        loss: str,
        convention: str = "rows",
    ) -> None:
        if isinstance(activations, str) or not len(weights) == len(biases) == len(activations) > 0:
            raise ValueError(
                f"Network: {len(weights)} weights, {len(biases)} biases and activations {activations!r} do "
                f"not match; pass three lists, with one weight, one bias and one name per layer"
            )
        look_up(LOSSES, loss, "loss")
        self.equations = look_up(CONVENTIONS, convention, "convention")
        self.convention = convention
        self.loss = loss
        self.L = len(weights)
        parameters = [floats(p) for p in (*weights, *biases)]
        self.dtype = np.result_type(*parameters)
        parameters = [p.astype(self.dtype, copy=False) for p in parameters]
        self.W = dict(enumerate(parameters[: self.L], start=1))
        self.b = dict(enumerate(parameters[self.L :], start=1))
        self.activation = dict(enumerate(activations, start=1))
        for layer in self.W:
            self._check(layer)

    def _check(self, layer: int) -> None:
        W, b, phi = self.W[layer], self.b[layer], self.activation[layer]
        want = self.equations.W_SHAPE
        if W.ndim != 2:
            raise ValueError(f"Network: W{layer} has shape {W.shape}; pass a matrix {want}")
        arriving, units = self.equations.sizes(W)
        before = self.b[layer - 1].size if layer > 1 else arriving
        if arriving != before:
            advice = f"did you mean W{layer}.T?" if units == before else f"make it {before}"
            raise ValueError(
                f"Network: W{layer} {W.shape}, which is {want}, takes in {arriving} units, and the layer "
                f"before it gives {before}; {advice}"
            )
        whole = self.equations.as_rows(np.empty((1, units))).shape  # b as one row, or as one column
        if b.shape not in ((units,), whole):
            raise ValueError(
                f"Network: b{layer} has shape {b.shape}, and W{layer} {W.shape}, which is {want}, "
                f"gives {units} units; pass ({units},) or {whole}"
            )
        if phi == "softmax" and layer < self.L:
            raise ValueError(f"Network: softmax in layer {layer} of {self.L}; only the last may have it")
        look_up({**ACTIVATIONS, "softmax": None}, phi, "activation")

    def forward(self, X: ArrayLike) -> Forward:
        """H^0 = X, then for l = 1 ... L: U^l = affine(H^{l-1}, W^l, b^l), H^l = phi^l(U^l).

        Every U and H is kept, because backward needs phi'(U^l) and H^{l-1} again. Raises ValueError if X
        does not have the features that W^1 takes in.

        >>> net = Network([[[1.0, 2.0]]], [[0.5]], ["identity"], "half_squared_error", "columns")
        >>> net.forward([[1.0, 0.0], [1.0, 1.0]]).Y
        array([[3.5, 2.5]])
        """
        X = floats(X).astype(self.dtype, copy=False)
        features = self.equations.sizes(self.W[1])[0]
        if X.ndim not in (1, 2) or self.equations.as_rows(X).shape[-1] != features:
            raise ValueError(
                f"forward: X has shape {X.shape}, and W1 {self.W[1].shape} takes in {features} features; "
                f"pass a batch {self.equations.X_SHAPE} or a sample (in,) with in = {features}"
            )
        U: dict[int, Array] = {}
        H: dict[int, Array] = {0: X}
        for layer in range(1, self.L + 1):
            U[layer] = self.equations.affine(H[layer - 1], self.W[layer], self.b[layer].ravel())
            H[layer] = self._phi(layer, U[layer])
        return Forward(U, H)

    def _phi(self, layer: int, U: Array) -> Array:
        if self.activation[layer] == "softmax":
            as_rows = self.equations.as_rows
            return as_rows(softmax(as_rows(U)))
        return ACTIVATIONS[self.activation[layer]].phi(U)

    def loss_value(self, forward: Forward, T: ArrayLike) -> Scalar:
        """E(Y, T), from U^L itself where the last activation and the loss have a fused form.

        T has the shape of Y, else ValueError.

        >>> net = Network([[[1.0], [0.0]]], [[0.0, 0.0]], ["softmax"], "cross_entropy_sum", "columns")
        >>> net.loss_value(net.forward([1000.0]), [0.0, 1.0])
        np.float64(1000.0)
        """
        U, Y, T = self._output(forward, T)
        pair = self.activation[self.L], self.loss
        return FUSED[pair].value(U, T) if pair in FUSED else LOSSES[self.loss].value(Y, T)

    def _output(self, forward: Forward, T: ArrayLike) -> tuple[Array, Array, Array]:
        T = floats(T).astype(self.dtype, copy=False)
        if T.shape != forward.Y.shape:
            raise ValueError(
                f"T has shape {T.shape}, and the network's output {forward.Y.shape}; "
                f"pass targets of the output's shape (class numbers become targets by one_hot)"
            )
        U, Y, T = (self.equations.as_rows(A) for A in (forward.U[self.L], forward.Y, T))
        return U, Y, T

    def backward(self, forward: Forward, T: ArrayLike, fused: bool = True) -> Gradients:
        """Backpropagation, from the output delta^L down to the first layer.

        E depends on U^l only through H^l, and on H^l only through U^{l+1}. In the row convention:

            delta^L = dE/dU^L                                        see output_delta
            delta^l = dE/dH^l (.) phi'(U^l)                          since H^l = phi(U^l)
                    = (delta^{l+1} (W^{l+1})^T) (.) phi'(U^l)        since U^{l+1} = H^l W^{l+1} + 1 b^{l+1}
            dE/dW^l = (H^{l-1})^T delta^l
            dE/db^l = 1^T delta^l

        These are the equations of "Build a Neural Network from Scratch Using Numpy". In the column convention
        they become BP1 to BP4 of Nielsen's book: delta^l = ((W^{l+1})^T delta^{l+1}) (.) phi'(U^l),
        dE/dW^l = delta^l (H^{l-1})^T, dE/db^l = delta^l 1.

        T has the shape of Y, else ValueError. The deltas have the shapes of the U, and dW and db those of W
        and b as they were given. fused=False takes the long way to delta^L.

        >>> net = Network([[[2.0]], [[3.0]]], [[1.0], [0.0]], ["relu", "identity"], "half_squared_error")
        >>> f = net.forward([1.0])                      # U1 = H1 = 3, Y = 9
        >>> net.backward(f, [8.0]).delta                # delta2 = 9 - 8, delta1 = delta2 * 3 * relu'(3)
        {2: array([1.]), 1: array([3.])}
        """
        U, H = forward
        U_L, _, T = self._output(forward, T)
        equations, W = self.equations, self.W
        phi_prime = {layer: ACTIVATIONS[self.activation[layer]].prime for layer in range(1, self.L)}

        delta = {self.L: equations.as_rows(output_delta(U_L, T, self.activation[self.L], self.loss, fused))}
        for layer in range(self.L - 1, 0, -1):
            dE_dH = equations.input_gradient(delta[layer + 1], W[layer + 1])
            delta[layer] = dE_dH * phi_prime[layer](U[layer])
        dW = {layer: equations.weight_gradient(H[layer - 1], delta[layer]) for layer in delta}
        db = {layer: equations.bias_gradient(delta[layer]).reshape(self.b[layer].shape) for layer in delta}
        return Gradients(delta, dW, db)
