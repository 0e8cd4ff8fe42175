"""Networks: Module, layers, activations, initialisers, and all of them as functions."""

from typing import TYPE_CHECKING

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
from tinygrad_edu.nn.attention import MultiheadAttention
from tinygrad_edu.nn.convolution import (
    AvgPool1d,
    AvgPool2d,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Flatten,
    MaxPool1d,
    MaxPool2d,
    Unflatten,
)
from tinygrad_edu.nn.embedding import Embedding
from tinygrad_edu.nn.layers import MLP, Dropout, Linear, Sequential
from tinygrad_edu.nn.module import Module, Parameter
from tinygrad_edu.nn.normalization import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, RMSNorm
from tinygrad_edu.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from tinygrad_edu.porting import OF_NN, missing

__all__ = [
    "ACTIVATIONS", "Activation", "AvgPool1d", "AvgPool2d", "BatchNorm1d", "BatchNorm2d", "Conv1d", "Conv2d",
    "ConvTranspose1d", "ConvTranspose2d", "Dropout", "ELU", "Embedding", "Flatten", "GELU", "GRU", "GRUCell",
    "GroupNorm", "Hardtanh", "Identity", "LSTM", "LSTMCell", "LayerNorm", "LeakyReLU", "Linear", "LogSigmoid",
    "LogSoftmax", "MLP", "MaxPool1d", "MaxPool2d", "Mish", "Module", "MultiheadAttention", "Parameter",
    "RMSNorm", "RNN", "RNNCell", "ReLU", "ReLU6", "SELU", "Sequential", "SiLU", "Sigmoid", "Softmax",
    "Softplus", "Softsign", "Tanh", "Unflatten", "functional", "init",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker knows by itself what is missing

    def __getattr__(name: str) -> object:
        raise missing("tinygrad_edu.nn", name, OF_NN)
