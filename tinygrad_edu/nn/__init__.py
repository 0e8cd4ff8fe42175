"""Networks: Module, layers, activations, initialisers, and all of them as functions."""

from tinygrad_edu.nn import functional, init
from tinygrad_edu.nn.activations import (
    ACTIVATIONS,
    ELU,
    GELU,
    SELU,
    Activation,
    Hardtanh,
    Identity,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from tinygrad_edu.nn.layers import MLP, Dropout, Linear, Sequential
from tinygrad_edu.nn.module import Module, Parameter

__all__ = [
    "ACTIVATIONS", "ELU", "GELU", "MLP", "SELU", "Activation", "Dropout", "Hardtanh", "Identity", "LeakyReLU",
    "Linear", "LogSigmoid", "LogSoftmax", "Mish", "Module", "Parameter", "ReLU", "ReLU6", "Sequential", "SiLU",
    "Sigmoid", "Softmax", "Softplus", "Softsign", "Tanh", "functional", "init",
]  # fmt: skip
