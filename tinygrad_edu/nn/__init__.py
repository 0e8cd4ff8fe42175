"""Networks: Module, layers, activations, initialisers, and all of them as functions."""

from tinygrad_edu.nn import functional, init
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
from tinygrad_edu.nn.normalization import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, RMSNorm
from tinygrad_edu.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell

__all__ = [
    "ACTIVATIONS", "MLP", "Dropout", "Identity", "LeakyReLU", "Linear", "LogSoftmax", "Module", "Parameter", "ReLU",
    "Sequential", "Sigmoid", "Softmax", "Softplus", "Tanh", "functional", "init",
]  # fmt: skip
__all__ += [
    "GRU", "LSTM", "RNN", "AvgPool1d", "AvgPool2d", "BatchNorm1d", "BatchNorm2d", "Conv1d", "Conv2d", "ConvTranspose1d",
    "ConvTranspose2d", "Embedding", "Flatten", "GRUCell", "GroupNorm", "LSTMCell", "LayerNorm", "MaxPool1d",
    "MaxPool2d", "MultiheadAttention", "RMSNorm", "RNNCell", "Unflatten",
]  # fmt: skip
