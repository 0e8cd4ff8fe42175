"""Gradient descent: the step that uses what backward found."""

from .mlp import Gradients, Network


def descend(net: Network, gradients: Gradients, eta: float, samples: int = 1) -> Network:
    """Return a new network, one step downhill: W <- W - (eta / samples) dE/dW, and b likewise.

    E(W + s) is about E(W) + sum s (.) dE/dW for a small step s. Of all steps of one length, the one
    against the gradient lowers it most, and s = -eta dE/dW lowers it by eta ||dE/dW||^2: hence the minus.

    samples = 1 takes the gradient as it is. With a loss that is *summed* over a batch of n, samples = n gives
    the averaged update of Nielsen's book, W <- W - eta/n sum_x delta^x (a^x)^T: then eta means the same for
    every batch size. A loss that is a mean has its 1/n already.

    Raises ValueError unless eta > 0 and samples > 0.

    >>> net = Network([[[2.0]]], [[1.0]], ["identity"], "half_squared_error")
    >>> f = net.forward([3.0])                          # Y = 7
    >>> net = descend(net, net.backward(f, [5.0]), eta=0.1)
    >>> net.W[1], net.b[1]                              # 2 - 0.1 * 6, 1 - 0.1 * 2
    (array([[1.4]]), array([0.8]))
    """
    if not (eta > 0 and samples > 0):
        raise ValueError(f"descend: eta = {eta} and samples = {samples} must both be positive")
    rate = float(eta) / samples  # a Python float: a NumPy float64 would turn float32 parameters into float64
    return Network(
        [W - rate * gradients.dW[layer] for layer, W in net.W.items()],
        [b - rate * gradients.db[layer] for layer, b in net.b.items()],
        list(net.activation.values()),
        net.loss,
        net.convention,
    )
