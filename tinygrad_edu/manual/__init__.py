"""Backpropagation derived by hand and written out in plain NumPy, for networks of fully connected layers.

It shares no code with the automatic differentiation of tinygrad_edu, so the two can witness for each other.
Where to start reading: rows.py has one layer, output_layer.py starts the sweep, and mlp.py carries it back.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> net = Network(
...     weights=[rng.normal(size=(2, 3)), rng.normal(size=(3, 2))],
...     biases=[np.zeros(3), np.zeros(2)],
...     activations=["relu", "softmax"],
...     loss="cross_entropy_mean",
... )
>>> X, T = rng.normal(size=(4, 2)), one_hot([0, 1, 1, 0], 2)
>>> f = net.forward(X)
>>> {name: gradient.shape for name, gradient in net.backward(f, T).named().items()}
{'delta2': (4, 2), 'dW2': (3, 2), 'db2': (2,), 'delta1': (4, 3), 'dW1': (2, 3), 'db1': (3,)}
>>> better = descend(net, net.backward(f, T), eta=0.1)
>>> bool(better.loss_value(better.forward(X), T) < net.loss_value(f, T))
True
"""

from .activations import ACTIVATIONS, Activation, log_softmax, softmax, softmax_jacobian
from .losses import FUSED, LOSSES, Loss, one_hot
from .mlp import CONVENTIONS, Convention, Forward, Gradients, Network
from .output_layer import output_delta
from .updates import descend

__all__ = [
    "ACTIVATIONS",
    "CONVENTIONS",
    "FUSED",
    "LOSSES",
    "Activation",
    "Convention",
    "Forward",
    "Gradients",
    "Loss",
    "Network",
    "descend",
    "log_softmax",
    "one_hot",
    "output_delta",
    "softmax",
    "softmax_jacobian",
]
