"""Optimisers: SGD, Adam and AdamW.  They change the parameters in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_edu.blocks import BLOCK, LARGE, in_blocks
from tinygrad_edu.memory import aligned, write_of, writing
from tinygrad_edu.modes import current_mode
from tinygrad_edu.porting import OF_OPTIM, missing
from tinygrad_edu.tensor import Tensor
from tinygrad_edu.together import FEW, Together

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]

Array = NDArray[Any]
Ready = tuple[int, Array, Array, Array]  # a parameter with a gradient: its number, itself, the gradient, scratch


class Optimizer:
    """What all optimisers share: the parameters, a scratch array for each, and the loop of a step.

    The scratch arrays are views of one buffer, as large as the largest parameter: a step needs no new memory.  Those
    of this module change large parameters block by block (`in_blocks`): that takes scratch for one block, meanwhile.
    """

    by_blocks = False
    together: Together | None = None  # small parameters that one update changes

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        self.params = list(params)
        if not self.params:
            raise ValueError(f"{type(self).__name__}: no parameters given (a generator can be used only once)")
        for i, p in enumerate(self.params):
            if not isinstance(p, Tensor) or not p.is_leaf or not p.requires_grad:
                raise TypeError(f"{type(self).__name__}: parameter {i} is not a Tensor leaf with requires_grad=True")
        if len(set(map(id, self.params))) < len(self.params):
            raise ValueError(f"{type(self).__name__}: a parameter is given twice; it would be updated twice")
        self.lr = lr
        shapes = [(0,) if self.by_blocks and p.size >= LARGE else p.shape for p in self.params]
        sizes = [math.prod(shape) * p.dtype.itemsize for shape, p in zip(shapes, self.params)]
        buffer = aligned(np.zeros(max(sizes), np.uint8))
        self.scratch = [
            buffer[:size].view(p.dtype).reshape(shape) for p, shape, size in zip(self.params, shapes, sizes)
        ]
        self.arrays = [p.data for p in self.params]
        self.writes = [write_of(array) for array in self.arrays]

    @property
    def lr(self) -> float:
        """The learning rate; it may be set at any time."""
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        _check_range("lr", lr, 0, math.inf)
        self._lr = lr
        self.rates = [np.array(lr, p.dtype) for p in self.params]  # NumPy takes them 0.5 us quicker than a number

    def zero_grad(self) -> None:
        """Forget the gradients.  Before the forward pass it needs less memory: theirs is free for what that makes."""
        for p in self.params:
            if p._node.notes is not None:  # type: ignore[union-attr]  # leaves that need gradients have Nodes
                p._node.notes.grad = None  # type: ignore[union-attr]

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        tracer = current_mode().tracer
        if tracer is not None:  # a step that is being compiled
            tracer.step(self)
            return
        now = writing()
        update, members = self.update, self.together.shapes if self.together is not None else ()
        small: list[Ready] = []
        for i, (p, array, scratch, write) in enumerate(zip(self.params, self.arrays, self.scratch, self.writes)):
            notes = p._node.notes  # type: ignore[union-attr]  # `p.grad`, without the call
            if notes is not None and notes.grad is not None:
                g = notes.grad
                if p._data is not array:  # `p.data = ...` has given it other memory
                    array = self.arrays[i] = p.data
                    write = self.writes[i] = write_of(array)
                if type(g) is not np.ndarray:
                    g = g._data
                if i in members:
                    small.append((i, array, g, scratch))
                else:
                    update(i, array, g, scratch)
                write.any = now
        if small:
            self.update_together(small)

    def update_together(self, small: list[Ready]) -> None:
        """Update those parameters of `together` that have a gradient."""
        for one in small:
            self.update(*one)

    def update(self, i: int, p: Array, g: Array, scratch: Array) -> None:
        """Change parameter number `i` in place.  `g` stays as it is; `scratch` may be overwritten."""
        raise NotImplementedError


def _change(formula: Callable[..., object], scratch: Array, arrays: tuple[Array, ...], *numbers: float) -> None:
    """Call `formula(*arrays, scratch, *numbers)`; for large arrays once for each block of them."""
    if scratch.shape == arrays[0].shape:
        formula(*arrays, scratch, *numbers)
    elif all(array.flags.c_contiguous for array in arrays):
        in_blocks(formula, arrays, (np.empty(BLOCK, scratch.dtype),), numbers)
    else:  # blocks would be copies
        formula(*arrays, np.empty_like(arrays[0]), *numbers)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"optim: {name}={value}: a number from {low} to {high} is expected")


class SGD(Optimizer):
    r"""Stochastic gradient descent: p <- p - lr g.

    With `momentum` mu: v <- mu v + g (v starts as g), p <- p - lr v; with `nesterov`: p <- p - lr (g + mu v).
    `weight_decay` adds weight_decay * p to g first.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> w = tg.nn.Parameter([1.0, 2.0])
    >>> optimizer = tg.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    Tensor([0.8, 1.6], requires_grad=True)
    """

    by_blocks = True

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        _check_range("momentum", momentum, 0, 1)
        _check_range("weight_decay", weight_decay, 0, math.inf)
        if nesterov and momentum == 0:
            raise ValueError("SGD: nesterov=True needs a momentum above 0")
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.velocity: list[Array | None] = [None] * len(self.params)

    def update(self, i: int, p: Array, g: Array, scratch: Array) -> None:
        if not self.momentum and not self.weight_decay and scratch.shape == p.shape:  # the short way
            p -= np.multiply(g, self.rates[i], scratch)
            return
        arrays: tuple[Array, ...] = (p, g)
        if self.momentum:
            v = self.velocity[i]
            if v is None:
                v = self.velocity[i] = np.zeros_like(p)
            arrays = (p, g, v)
        _change(self.descend, scratch, arrays)

    def descend(self, p: Array, g: Array, *others: Array) -> None:
        """The step itself, with the velocity (if there is any momentum) and scratch."""
        *velocity, scratch = others
        rate = self.lr
        if self.weight_decay:
            g = np.add(np.multiply(p, self.weight_decay, out=scratch), g, out=scratch)
        for v in velocity:
            v *= self.momentum
            v += g
            if self.nesterov:  # lr (g + mu v), one term after the other
                p -= np.multiply(g, self.lr, out=scratch)
                rate *= self.momentum
            g = v
        p -= np.multiply(g, rate, scratch)


class Adam(Optimizer):
    r"""Adam (Kingma, Ba 2015): each parameter's step is scaled by running means of its gradient and its square.

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,
    p <- p - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)  at step t = 1, 2, ...

    `weight_decay` adds weight_decay * p to g first (AdamW decays p itself instead).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> w = tg.nn.Parameter([1.0, 2.0])
    >>> optimizer = tg.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    Tensor([0.9, 1.9], requires_grad=True)
    """

    by_blocks = True

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        _check_range("betas[0]", betas[0], 0, 1)
        _check_range("betas[1]", betas[1], 0, 1)
        _check_range("weight_decay", weight_decay, 0, math.inf)
        self.betas, self.eps, self.weight_decay = tuple(betas), eps, weight_decay
        self.steps = [0] * len(self.params)
        self.m = [np.zeros_like(p.data) for p in self.params]
        self.v = [np.zeros_like(p.data) for p in self.params]
        self.together = self._together()

    def _together(self) -> Together | None:
        """The small parameters that can be updated as one array, if there are at least two."""
        if type(self).update is not Adam.update or type(self).adapt is not Adam.adapt:
            return None  # somebody has other plans for single parameters
        small = {i: p.data for i, p in enumerate(self.params) if p.size <= FEW}
        first = next(iter(small.values()), None)
        alike = {i: array for i, array in small.items() if first is not None and array.dtype == first.dtype}
        return Together(alike, (self.m, self.v)) if len(alike) > 1 else None

    def are_together(self) -> bool:
        """Do the small parameters share one update?  Not if one has missed a step, or its m or v was replaced."""
        together = self.together
        if together is None or not together.holds(self.m, self.v):
            return False
        return len(set(together.chosen(self.steps))) == 1

    def update_together(self, small: list[Ready]) -> None:
        together = self.together
        if together is None or len(small) < len(together.shapes) or not self.are_together():
            super().update_together(small)
            return
        for i, p, g, _ in small:
            self.steps[i] += 1
            together.gradients[i][...] = self.decay(p, g)
        m, v = together.state
        g, change, numbers = together.gradient, together.change, self.corrected(small[0][0])
        if change.size < LARGE:
            self.move(g, m, v, change, *numbers)
        else:
            in_blocks(self.move, (g, m, v, change), (), numbers)
        for i, p, _, _ in small:
            p -= together.changes[i]

    def update(self, i: int, p: Array, g: Array, scratch: Array) -> None:
        self.steps[i] += 1
        _change(self.adapt, scratch, (p, g, self.m[i], self.v[i]), *self.corrected(i))

    def corrected(self, i: int) -> tuple[float, float]:
        """lr and eps with the corrections of m and v in them: two numbers instead of two passes over arrays.

        With r = sqrt(1 - b2^t):  m / (1 - b1^t) / (sqrt(v) / r + eps) = r / (1 - b1^t) m / (sqrt(v) + r eps).
        """
        b1, b2 = self.betas
        root = math.sqrt(1 - b2 ** self.steps[i])
        return self.lr * root / (1 - b1 ** self.steps[i]), self.eps * root

    def adapt(self, p: Array, g: Array, m: Array, v: Array, scratch: Array, rate: float, eps: float) -> None:
        """The step itself: p <- p - rate m / (sqrt(v) + eps), with the new m and v."""
        self.move(self.decay(p, g), m, v, scratch, rate, eps)
        p -= scratch

    def move(self, g: Array, m: Array, v: Array, scratch: Array, rate: float, eps: float) -> None:
        """The new m and v, and in `scratch` what is taken from the parameter."""
        b1, b2 = self.betas
        # m <- b1 m + (1 - b1) g
        m *= b1
        m += np.multiply(g, 1 - b1, out=scratch)
        # v <- b2 v + (1 - b2) g^2
        np.multiply(g, g, out=scratch)
        scratch *= 1 - b2
        v *= b2
        v += scratch
        # rate m / (sqrt(v) + eps)
        np.sqrt(v, out=scratch)
        scratch += eps
        np.divide(m, scratch, out=scratch)
        scratch *= rate

    def decay(self, p: Array, g: Array) -> Array:
        """The gradient with weight decay."""
        return g + self.weight_decay * p if self.weight_decay else g


class AdamW(Adam):
    r"""Adam with decoupled weight decay (Loshchilov, Hutter 2019): p <- p - lr weight_decay p, then Adam's step.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> w = tg.nn.Parameter([1.0, 2.0])
    >>> optimizer = tg.optim.AdamW([w], lr=0.1, weight_decay=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    Tensor([0.85, 1.8 ], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    def decay(self, p: Array, g: Array) -> Array:
        p *= 1 - self.lr * self.weight_decay
        return g


if not TYPE_CHECKING:  # a type checker knows by itself what is missing

    def __getattr__(name: str) -> object:
        raise missing("tinygrad_edu.optim", name, OF_OPTIM)
