"""Networks: Module, layers, activations, initialisers, and all of them as functions."""

from tinygrad_edu.nn import functional, init
from tinygrad_edu.nn.layers import (
    ACTIVATIONS,
    MLP,
    Dropout,
    Identity,
    LeakyReLU,
    Linear,
    LogSoftmax,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
)
from tinygrad_edu.nn.module import Module, Parameter

__all__ = [
    "ACTIVATIONS", "MLP", "Dropout", "Identity", "LeakyReLU", "Linear", "LogSoftmax", "Module", "Parameter", "ReLU",
    "Sequential", "Sigmoid", "Softmax", "Softplus", "Tanh", "functional", "init",
]  # fmt: skip
