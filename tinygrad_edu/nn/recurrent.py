"""Recurrent networks: a state that is carried from step to step of a sequence; RNN, LSTM and GRU, and their cells.

Equations and the order of the gates are PyTorch's; weights are (in, gates * hidden), in the row-vector convention of
`Linear`, which is the transpose of PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_edu import ops
from tinygrad_edu.errors import ShapeError
from tinygrad_edu.nn import functional
from tinygrad_edu.nn.module import Module, Parameter

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"]

Seed: TypeAlias = "int | np.random.Generator | None"  # in quotes: np.random is loaded when it is first used
State = Any  # a Tensor, or for an LSTM a pair of them

NONLINEARITIES: dict[str, Callable[[Any], Any]] = {"tanh": ops.tanh, "relu": ops.relu}


# ------------------------------------------------------------------------------------------- one step

# Each takes what the input contributes to the gates (x W_ih + b_ih), the state, and the weights on the state.


def _rnn_step(gates: Any, state: Any, weight: Any, bias: Any, nonlinearity: str) -> Any:
    return NONLINEARITIES[nonlinearity](gates + functional.linear(state, weight, bias))


def _lstm_step(gates: Any, state: State, weight: Any, bias: Any) -> State:
    h, c = state
    i, f, g, o = ops.split(gates + functional.linear(h, weight, bias), 4, axis=-1)
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
    return ops.sigmoid(o) * ops.tanh(c), c


def _gru_step(gates: Any, state: Any, weight: Any, bias: Any) -> Any:
    r_x, z_x, n_x = ops.split(gates, 3, axis=-1)
    r_h, z_h, n_h = ops.split(functional.linear(state, weight, bias), 3, axis=-1)
    r, z = ops.sigmoid(r_x + r_h), ops.sigmoid(z_x + z_h)
    n = ops.tanh(n_x + r * n_h)
    return (1 - z) * n + z * state


# ---------------------------------------------------------------------------------------------- cells


class _Recurrent(Module):
    """What cells and layers share: how many gates there are, the step, and how weights are drawn."""

    gates = 1

    def _start(self, input_size: int, hidden_size: int, rng: Seed, dtype: DTypeLike) -> None:
        name = type(self).__name__
        for what, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not isinstance(size, (int, np.integer)) or size < 1:
                raise ValueError(f"{name}: {what}={size!r}: a positive integer is expected")
        self.input_size, self.hidden_size = input_size, hidden_size
        self._rng, self._dtype = np.random.default_rng(rng), np.dtype(dtype)

    def _draw(self, *shape: int) -> Parameter:
        bound = 1 / math.sqrt(self.hidden_size)
        return Parameter(self._rng.uniform(-bound, bound, size=shape), dtype=self._dtype)

    def _weights(self, inputs: int, bias: bool, suffix: str = "") -> None:
        width = self.gates * self.hidden_size
        setattr(self, f"weight_ih{suffix}", self._draw(inputs, width))
        setattr(self, f"weight_hh{suffix}", self._draw(self.hidden_size, width))
        setattr(self, f"bias_ih{suffix}", self._draw(width) if bias else None)
        setattr(self, f"bias_hh{suffix}", self._draw(width) if bias else None)

    def _step(self, gates: Any, state: State, weight: Any, bias: Any) -> State:
        raise NotImplementedError

    def _zeros(self, *shape: int) -> State:
        """The state before the first step."""
        return np.zeros((*shape, self.hidden_size), self._dtype)

    def _checked(self, state: State, shape: tuple[int, ...]) -> State:
        """A state that the user has given, once it is known that it fits."""
        name = type(self).__name__
        if isinstance(self._zeros(), tuple):
            if not isinstance(state, (tuple, list)) or len(state) != 2:
                raise ShapeError(f"{name}: a state is a pair (h, c); a {type(state).__name__} is given")
            state = tuple(state)
        for part in state if isinstance(self._zeros(), tuple) else (state,):
            if np.shape(part) != shape:
                raise ShapeError(f"{name}: a state of shape {np.shape(part)}: {shape} is expected")
        return state


class _Cell(_Recurrent):
    """One step of a recurrent network."""

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, *, rng: Seed = None, dtype: DTypeLike = np.float64
    ) -> None:
        super().__init__()
        self._start(input_size, hidden_size, rng, dtype)
        self._weights(input_size, bias)

    def forward(self, x: Any, state: State = None) -> State:
        leading = np.shape(x)[:-1]
        if len(leading) > 1 or np.shape(x)[-1:] != (self.input_size,):
            raise ShapeError(f"{type(self).__name__}: input {np.shape(x)}: (samples, {self.input_size}) is expected")
        state = self._zeros(*leading) if state is None else self._checked(state, (*leading, self.hidden_size))
        return self._step(functional.linear(x, self.weight_ih, self.bias_ih), state, self.weight_hh, self.bias_hh)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}{'' if self.bias_ih is not None else ', bias=False'}"


class RNNCell(_Cell):
    """One step h' = tanh(x W_ih + b_ih + h W_hh + b_hh), or with relu for tanh.

    Parameters
    ----------
    input_size, hidden_size : int
        weight_ih is (input_size, hidden_size), weight_hh (hidden_size, hidden_size), the biases (hidden_size,).
    bias : bool
        Have biases.
    nonlinearity : "tanh" or "relu"
    rng : int, Generator or None
        Where weights and biases are drawn from: U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)).
    dtype : dtype
        float64 unless given.

    Called with x (samples, input_size) and a state (samples, hidden_size), zeros unless given; or both of them without
    the axis of samples.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.nn.RNNCell(3, 5, rng=0)(np.ones((2, 3))).shape
    (2, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        rng: Seed = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, rng=rng, dtype=dtype)
        self.nonlinearity = _known("RNNCell", nonlinearity)

    def _step(self, gates: Any, state: State, weight: Any, bias: Any) -> State:
        return _rnn_step(gates, state, weight, bias, self.nonlinearity)


class LSTMCell(_Cell):
    """One step of a long short-term memory (Hochreiter and Schmidhuber 1997).

    Its state is a pair (h, c).  With a = x W_ih + b_ih + h W_hh + b_hh in four parts, in this order:
    i = sigmoid(a_i), f = sigmoid(a_f), g = tanh(a_g), o = sigmoid(a_o);
    c' = f * c + i * g;   h' = o * tanh(c').

    weight_ih is (input_size, 4 hidden_size), weight_hh (hidden_size, 4 hidden_size), the biases (4 hidden_size,);
    everything else is as in `RNNCell`.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> h, c = tg.nn.LSTMCell(3, 5, rng=0)(np.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    gates = 4
    _step = staticmethod(_lstm_step)

    def _zeros(self, *shape: int) -> State:
        return super()._zeros(*shape), super()._zeros(*shape)


class GRUCell(_Cell):
    """One step of a gated recurrent unit (Cho et al. 2014).

    With a = x W_ih + b_ih and b = h W_hh + b_hh, each in three parts, in this order: r = sigmoid(a_r + b_r),
    z = sigmoid(a_z + b_z), n = tanh(a_n + r * b_n);   h' = (1 - z) * n + z * h.

    weight_ih is (input_size, 3 hidden_size), weight_hh (hidden_size, 3 hidden_size), the biases (3 hidden_size,);
    everything else is as in `RNNCell`.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.nn.GRUCell(3, 5, rng=0)(np.ones((2, 3))).shape
    (2, 5)
    """

    gates = 3
    _step = staticmethod(_gru_step)


def _known(module: str, nonlinearity: str) -> str:
    if nonlinearity not in NONLINEARITIES:
        raise ValueError(f'{module}: nonlinearity {nonlinearity!r}: "tanh" or "relu" is expected')
    return nonlinearity


# ------------------------------------------------------------------------------------- whole sequences


class _Layers(_Recurrent):
    """Layers of cells that run over a sequence, in one direction or in both."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: Seed = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        super().__init__()
        self._start(input_size, hidden_size, rng, dtype)
        if num_layers < 1:
            raise ValueError(f"{type(self).__name__}: num_layers={num_layers}: a positive integer is expected")
        if not 0 <= dropout <= 1:
            raise ValueError(f"{type(self).__name__}: dropout={dropout}: a probability is expected")
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional = dropout, bidirectional
        self._suffixes = ["", "_reverse"] if bidirectional else [""]
        for layer in range(num_layers):
            inputs = input_size if layer == 0 else hidden_size * len(self._suffixes)
            for suffix in self._suffixes:
                self._weights(inputs, bias, f"_l{layer}{suffix}")

    def forward(self, x: Any, state: State = None) -> tuple[Any, State]:
        shape = np.shape(x)
        single = len(shape) == 2
        if len(shape) not in (2, 3) or shape[-1] != self.input_size or 0 in shape:
            order = "samples, time" if self.batch_first else "time, samples"
            raise ShapeError(f"{type(self).__name__}: input {shape}: ({order}, {self.input_size}) is expected")
        if single:
            x = ops.expand_dims(x, 1)
        elif self.batch_first:
            x = ops.swapaxes(x, 0, 1)
        states = self._split_state(state, np.shape(x)[1], single)
        finals: list[State] = []
        steps = list(x)
        for layer in range(self.num_layers):
            if layer:
                steps = [functional.dropout(x, self.dropout, self.training, self._rng) for x in steps]
            runs = []
            for suffix in self._suffixes:
                outputs, final = self._run(steps, states[len(finals)], f"_l{layer}{suffix}", bool(suffix))
                runs.append(outputs)
                finals.append(final)
            steps = runs[0] if len(runs) == 1 else [ops.concatenate(both, axis=-1) for both in zip(*runs)]
        final = self._join_state(finals)
        if single:
            return ops.stack(steps)[:, 0], _each(final, lambda part: part[:, 0])
        return ops.stack(steps, axis=1 if self.batch_first else 0), final

    def _run(self, steps: list[Any], state: State, suffix: str, reverse: bool) -> tuple[list[Any], State]:
        """One layer in one direction: its outputs at all steps, and the last state."""
        weight_ih, weight_hh = getattr(self, f"weight_ih{suffix}"), getattr(self, f"weight_hh{suffix}")
        bias_ih, bias_hh = getattr(self, f"bias_ih{suffix}"), getattr(self, f"bias_hh{suffix}")
        outputs = []
        for x in reversed(steps) if reverse else steps:
            state = self._step(functional.linear(x, weight_ih, bias_ih), state, weight_hh, bias_hh)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return outputs[::-1] if reverse else outputs, state

    def _split_state(self, state: State, samples: int, single: bool) -> list[State]:
        """The states before the first step, one for each layer and direction."""
        count = self.num_layers * len(self._suffixes)
        if state is None:
            return [self._zeros(samples)] * count
        state = self._checked(state, (count, self.hidden_size) if single else (count, samples, self.hidden_size))
        if single:
            state = _each(state, lambda part: ops.expand_dims(part, 1))
        return list(zip(*state)) if isinstance(state, tuple) else list(state)

    def _join_state(self, finals: list[State]) -> State:
        return ops.stack(finals)

    def extra_repr(self) -> str:
        usual = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        others = "".join(f", {k}={getattr(self, k)}" for k, v in usual.items() if getattr(self, k) != v)
        return f"{self.input_size}, {self.hidden_size}{others}"


def _each(state: State, function: Callable[[Any], Any]) -> State:
    """The function of a state, or of both parts of one."""
    return tuple(map(function, state)) if isinstance(state, tuple) else function(state)


class RNN(_Layers):
    """A recurrent network over a sequence: h_t = tanh(x_t W_ih + b_ih + h_(t-1) W_hh + b_hh).

    Parameters
    ----------
    input_size, hidden_size : int
        Sizes of the inputs and of the state.
    num_layers : int
        Layers on top of each other; each reads the outputs of the one below.
    nonlinearity : "tanh" or "relu"
    bias : bool
        Have biases.
    batch_first : bool
        Take (samples, time, features) instead of (time, samples, features).
    dropout : float
        Between layers, in training.
    bidirectional : bool
        Run also backwards in time, and put both outputs side by side.
    rng : int, Generator or None
        Where weights and biases are drawn from, U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)); and dropout's masks.
    dtype : dtype
        float64 unless given.

    Called with x and a state (num_layers * directions, samples, hidden_size), zeros unless given, it returns the
    outputs of the last layer at all steps, and the last state of each layer and direction.  A single sequence may
    come without the axis of samples.

    The parameters are called weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, and so on; backwards in time
    weight_ih_l0_reverse.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> output, h = tg.nn.RNN(3, 5, rng=0)(np.ones((7, 2, 3)))
    >>> output.shape, h.shape
    ((7, 2, 5), (1, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: Seed = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        self.nonlinearity = _known("RNN", nonlinearity)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, rng=rng, dtype=dtype
        )

    def _step(self, gates: Any, state: State, weight: Any, bias: Any) -> State:
        return _rnn_step(gates, state, weight, bias, self.nonlinearity)


class LSTM(_Layers):
    """Long short-term memory over a sequence; the equations are in `LSTMCell`, the parameters in `RNN`.

    Its state is a pair (h, c), each (num_layers * directions, samples, hidden_size).

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> output, (h, c) = tg.nn.LSTM(3, 5, num_layers=2, batch_first=True, rng=0)(np.ones((2, 7, 3)))
    >>> output.shape, h.shape, c.shape
    ((2, 7, 5), (2, 2, 5), (2, 2, 5))
    """

    gates = 4
    _step = staticmethod(_lstm_step)

    def _zeros(self, *shape: int) -> State:
        return super()._zeros(*shape), super()._zeros(*shape)

    def _join_state(self, finals: list[State]) -> State:
        return tuple(ops.stack(parts) for parts in zip(*finals))


class GRU(_Layers):
    """Gated recurrent units over a sequence; the equations are in `GRUCell`, the parameters in `RNN`.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> output, h = tg.nn.GRU(3, 5, bidirectional=True, rng=0)(np.ones((7, 2, 3)))
    >>> output.shape, h.shape
    ((7, 2, 10), (2, 2, 5))
    """

    gates = 3
    _step = staticmethod(_gru_step)
