"""Layers and networks: Linear, Dropout, Sequential, MLP."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_edu.nn import functional, init
from tinygrad_edu.nn.activations import ACTIVATIONS
from tinygrad_edu.nn.init import Initializer
from tinygrad_edu.nn.module import Module, Parameter
from tinygrad_edu.ops.linalg import linear, matmul
from tinygrad_edu.record import apply

__all__ = ["MLP", "Dropout", "Linear", "Sequential"]

Seed: TypeAlias = "int | np.random.Generator | None"  # in quotes: np.random is loaded when it is first used


class Linear(Module):
    """U = X W + 1 b, with one row for each sample.

    Parameters
    ----------
    in_features, out_features : int
        The weight is (in_features, out_features), the bias (out_features,).
    bias : bool
        Without it, U = X W.
    weight_init, bias_init : str or function
        From `nn.init`; U(-1/sqrt(in_features), 1/sqrt(in_features)) unless given.
    rng : int, Generator or None
        Where the numbers are drawn from; an int seeds a new generator.
    dtype : dtype
        float64 unless given.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> layer = tg.nn.Linear(2, 3, rng=0)
    >>> layer
    Linear(2, 3)    9 parameters, float64
    >>> layer(np.ones((5, 2))).shape
    (5, 3)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weight_init: str | Initializer = "fan_in_uniform",
        bias_init: str | Initializer = "fan_in_uniform",
        rng: Seed = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        super().__init__()
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if not isinstance(size, (int, np.integer)) or size < 1:
                raise ValueError(f"Linear: {name}={size!r}: a positive integer is expected")
        rng = np.random.default_rng(rng)
        fans = in_features, out_features
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(init.get(weight_init)((in_features, out_features), *fans, rng), dtype=dtype)
        self.bias = Parameter(init.get(bias_init)((out_features,), *fans, rng), dtype=dtype) if bias else None

    def forward(self, x: Any) -> Any:
        if self.bias is None:
            return matmul(x, self.weight)
        return apply(linear, (x, self.weight, self.bias))

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}{'' if self.bias is not None else ', bias=False'}"


class Dropout(Module):
    """In training, each element is 0 with probability p and divided by 1 - p otherwise; in use, nothing happens."""

    def __init__(self, p: float = 0.5, rng: Seed = None) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p = {p}: a probability between 0 and 1 is expected")
        self.p = p
        self.rng = np.random.default_rng(rng)

    def forward(self, x: Any) -> Any:
        return functional.dropout(x, self.p, self.training, self.rng)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Sequential(Module):
    """Modules one behind the other, called "0", "1", ...

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> net = tg.nn.Sequential(tg.nn.Linear(2, 3, rng=0), tg.nn.ReLU())
    >>> [name for name, _ in net.named_parameters()]
    ['0.weight', '0.bias']
    >>> net[1]
    ReLU
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(f"Sequential: part {i} is a {type(module).__name__}; a Module is expected")
            setattr(self, str(i), module)

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x

    def __iter__(self) -> Any:
        return (child for _, child in self.named_children())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, i: int) -> Module:
        return list(self)[i]


Activation = str | Callable[[], Module]


def _activation(activation: Activation) -> Module:
    if not isinstance(activation, str):
        return activation()
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"MLP: activation {activation!r} is unknown; one of {', '.join(ACTIVATIONS)}, or a Module class"
        )
    return ACTIVATIONS[activation]()


class MLP(Module):
    """A multi-layer perceptron: Linear layers with an activation behind each hidden one.

    Parameters
    ----------
    sizes : sequence of int
        Widths from the input to the output: [784, 64, 10].
    activation : str, Module class, or a sequence of them
        Of the hidden layers ("relu", "tanh", ...); a sequence has one for each.
    output : str or Module class, optional
        What follows the last layer; nothing unless given (logits, for losses that bring their own softmax or sigmoid).
    bias, weight_init, bias_init, rng, dtype
        As in `Linear`; one generator draws all layers, first to last, weight before bias.

    Its parts are called fc1, act1, fc2, ..., and out.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nn.MLP([2, 3, 1], activation="relu", output="sigmoid", rng=0)
    MLP(
      (fc1): Linear(2, 3)    9 parameters
      (act1): ReLU
      (fc2): Linear(3, 1)    4 parameters
      (out): Sigmoid
    )                        13 parameters, float64
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Activation | Sequence[Activation] = "relu",
        output: Activation | None = None,
        bias: bool = True,
        *,
        weight_init: str | Initializer = "fan_in_uniform",
        bias_init: str | Initializer = "fan_in_uniform",
        rng: Seed = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        super().__init__()
        if len(sizes) < 2:
            raise ValueError(f"MLP: sizes {list(sizes)}: at least an input and an output width are expected")
        hidden = len(sizes) - 2
        activations = [activation] * hidden if isinstance(activation, str) or callable(activation) else list(activation)
        if len(activations) != hidden:
            raise ValueError(f"MLP: {len(activations)} activations for {hidden} hidden layers")
        rng = np.random.default_rng(rng)
        for i, (m, n) in enumerate(itertools.pairwise(sizes), start=1):
            layer = Linear(m, n, bias, weight_init=weight_init, bias_init=bias_init, rng=rng, dtype=dtype)
            setattr(self, f"fc{i}", layer)
            if i <= hidden:
                setattr(self, f"act{i}", _activation(activations[i - 1]))
        if output is not None:
            self.out = _activation(output)
        self._order = [name for name, _ in self.named_children()]

    def forward(self, x: Any) -> Any:
        parts = vars(self)
        for name in self._order:
            x = parts[name](x)
        return x
