"""Activation functions as modules, and by their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_edu.nn import functional
from tinygrad_edu.nn.module import Module

__all__ = [
    "ACTIVATIONS", "ELU", "GELU", "SELU", "Activation", "Hardtanh", "Identity", "LeakyReLU", "LogSigmoid",
    "LogSoftmax", "Mish", "ReLU", "ReLU6", "SiLU", "Sigmoid", "Softmax", "Softplus", "Softsign", "Tanh",
]  # fmt: skip


class Activation(Module):
    """A module that calls a `function`.  The settings that it is made with are its attributes, and are passed on.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nn.ELU(alpha=0.5)
    ELU(alpha=0.5)
    >>> tg.nn.ELU(alpha=0.5)(tg.Tensor([-1.0, 2.0]))
    Tensor([-0.31606028,  2.        ])
    """

    function: Callable[..., Any]

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = tuple(settings)
        for name, value in settings.items():
            setattr(self, name, value)

    def forward(self, x: Any) -> Any:
        if not self.settings:
            return self.function(x)
        return self.function(x, **{name: getattr(self, name) for name in self.settings})

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.settings)


class Identity(Module):
    """Passes its input on."""

    def forward(self, x: Any) -> Any:
        return x


class ReLU(Activation):
    """max(x, 0) for each element."""

    function = staticmethod(functional.relu)


class ReLU6(Activation):
    """min(max(x, 0), 6) for each element."""

    function = staticmethod(functional.relu6)


class LeakyReLU(Activation):
    """x where x > 0, else slope * x."""

    function = staticmethod(functional.leaky_relu)

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__(slope=slope)


class ELU(Activation):
    """x where x > 0, else alpha (e^x - 1)."""

    function = staticmethod(functional.elu)

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)


class SELU(Activation):
    """elu, scaled so that activations keep mean 0 and variance 1."""

    function = staticmethod(functional.selu)


class GELU(Activation):
    """x times how much of N(0, 1) lies below x; approximate="tanh" for the form of GPT-2."""

    function = staticmethod(functional.gelu)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__(approximate=approximate)


class SiLU(Activation):
    """x sigmoid(x) for each element."""

    function = staticmethod(functional.silu)


class Mish(Activation):
    """x tanh(softplus(x)) for each element."""

    function = staticmethod(functional.mish)


class Sigmoid(Activation):
    """1 / (1 + e^-x) for each element."""

    function = staticmethod(functional.sigmoid)


class LogSigmoid(Activation):
    """log(sigmoid(x)) for each element."""

    function = staticmethod(functional.log_sigmoid)


class Tanh(Activation):
    """Hyperbolic tangent of each element."""

    function = staticmethod(functional.tanh)


class Hardtanh(Activation):
    """x, but no less than `min_val` and no more than `max_val`."""

    function = staticmethod(functional.hardtanh)

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        super().__init__(min_val=min_val, max_val=max_val)


class Softsign(Activation):
    """x / (1 + |x|) for each element."""

    function = staticmethod(functional.softsign)


class Softplus(Activation):
    """log(1 + e^{beta x}) / beta for each element."""

    function = staticmethod(functional.softplus)

    def __init__(self, beta: float = 1) -> None:
        super().__init__(beta=beta)


class Softmax(Activation):
    """e^x / sum(e^x) along an axis, the last unless given."""

    function = staticmethod(functional.softmax)

    def __init__(self, axis: int = -1) -> None:
        super().__init__(axis=axis)


class LogSoftmax(Activation):
    """log(softmax(x)) along an axis, the last unless given."""

    function = staticmethod(functional.log_softmax)

    def __init__(self, axis: int = -1) -> None:
        super().__init__(axis=axis)


# By name, for MLP and scripts.
ACTIVATIONS: dict[str, Callable[[], Module]] = {
    "identity": Identity,
    "relu": ReLU,
    "relu6": ReLU6,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "selu": SELU,
    "gelu": GELU,
    "silu": SiLU,
    "mish": Mish,
    "sigmoid": Sigmoid,
    "log_sigmoid": LogSigmoid,
    "tanh": Tanh,
    "hardtanh": Hardtanh,
    "softsign": Softsign,
    "softplus": Softplus,
    "softmax": Softmax,
    "log_softmax": LogSoftmax,
}
