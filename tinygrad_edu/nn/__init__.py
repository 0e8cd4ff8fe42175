"""Networks: Module, layers, activations, initialisers, and all of them as functions."""

from typing import TYPE_CHECKING

from tinygrad_edu.late import late
from tinygrad_edu.porting import OF_NN

if TYPE_CHECKING:
    from tinygrad_edu.nn import functional as functional
    from tinygrad_edu.nn import init as init
    from tinygrad_edu.nn.activations import *  # noqa: F403
    from tinygrad_edu.nn.attention import *  # noqa: F403
    from tinygrad_edu.nn.convolution import *  # noqa: F403
    from tinygrad_edu.nn.embedding import *  # noqa: F403
    from tinygrad_edu.nn.layers import *  # noqa: F403
    from tinygrad_edu.nn.module import *  # noqa: F403
    from tinygrad_edu.nn.normalization import *  # noqa: F403
    from tinygrad_edu.nn.recurrent import *  # noqa: F403

CONTENTS = {
    "tinygrad_edu.nn.activations": [
        "ACTIVATIONS", "ELU", "GELU", "SELU", "Activation", "Hardtanh", "Identity", "LeakyReLU", "LogSigmoid",
        "LogSoftmax", "Mish", "ReLU", "ReLU6", "Sigmoid", "SiLU", "Softmax", "Softplus", "Softsign", "Tanh",
    ],
    "tinygrad_edu.nn.attention": ["MultiheadAttention"],
    "tinygrad_edu.nn.convolution": [
        "AvgPool1d", "AvgPool2d", "Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d", "Flatten", "MaxPool1d",
        "MaxPool2d", "Unflatten",
    ],
    "tinygrad_edu.nn.embedding": ["Embedding"],
    "tinygrad_edu.nn.layers": ["MLP", "Dropout", "Linear", "Sequential"],
    "tinygrad_edu.nn.module": ["Module", "Parameter"],
    "tinygrad_edu.nn.normalization": ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm", "RMSNorm"],
    "tinygrad_edu.nn.recurrent": ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"],
    "tinygrad_edu.nn": ["functional", "init"],
}  # fmt: skip
__all__ = [name for names in CONTENTS.values() for name in names]

if not TYPE_CHECKING:  # a type checker knows by itself what is missing
    __getattr__ = late(__name__, CONTENTS, OF_NN)


def __dir__() -> list[str]:
    return sorted(__all__)
