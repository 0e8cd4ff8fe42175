"""tg.compile: a step recorded once and written out as NumPy source, in place and without needless temporaries.

step = tg.compile(step)        # or @tg.compile above it
loss = step(X, labels)         # the first call records, compiles and checks; the others run what was written
print(step.source)             # hand-written backpropagation, each line with the module and equation it comes from
"""

from __future__ import annotations

import ctypes
import functools
import gc
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, overload

import numpy as np

from tinygrad_edu.compiler.door import STALE, Door
from tinygrad_edu.compiler.looping import Looping
from tinygrad_edu.compiler.recording import build, flattened
from tinygrad_edu.compiler.source import Source
from tinygrad_edu.compiler.state import Reach, Saved
from tinygrad_edu.compiler.vectorised import numba
from tinygrad_edu.compiler.verifying import check
from tinygrad_edu.errors import CompileError
from tinygrad_edu.modes import USUAL, Mode, current_mode

__all__ = ["Compiled", "compile"]

Step = Callable[..., Any]
WRITERS: dict[str, type[Source]] = {"numpy": Source, "numba": Looping}  # by backend
LIMIT = 16  # functions that are kept, unless asked otherwise


class Compiled:
    """A step that compiles itself when it is called; see `compile`.

    Attributes
    ----------
    source : str
        The NumPy source of the function that was called last.
    functions : int
        How many functions are kept: one for each combination of shapes, dtypes and settings.
    """

    def __init__(self, step: Step, fallback: bool = False, limit: int = LIMIT, backend: str = "numpy") -> None:
        if backend not in WRITERS:
            raise ValueError(f"compile: backend {backend!r} is unknown: {' or '.join(map(repr, WRITERS))} is expected")
        if backend == "numba":
            numba()  # say now that it is missing
        functools.update_wrapper(self, step)
        self.step = step
        self.backend = backend
        self.fallback = fallback
        self.limit = limit
        self.doors: dict[Any, list[Door]] = {}
        self.refused: dict[Any, str] = {}  # what runs eagerly, and why
        self.last: Door | None = None
        self.quick: Callable[[tuple[Any, ...]], Any] | None = None  # the short way into the last one
        self.warned = False

    @property
    def source(self) -> str:
        """The NumPy source of the function that was called last."""
        if self.last is None:
            raise CompileError("compile: nothing is compiled yet: call the step once")
        return self.last.text

    @property
    def functions(self) -> int:
        """How many functions are kept."""
        return sum(len(doors) for doors in self.doors.values())

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """A method: `@tg.compile` inside of a class compiles for each object anew."""
        if instance is None:
            return self
        name = f"_compiled_{self.step.__name__}"
        bound = instance.__dict__.get(name)
        if bound is None:
            bound = Compiled(self.step.__get__(instance, owner), self.fallback, self.limit, self.backend)
            object.__setattr__(instance, name, bound)
        return bound

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        mode = current_mode()
        if self.quick is not None and mode is USUAL and not kwargs:
            result = self.quick(args)
            if result is not STALE:
                return result
        if mode.everything or mode.anomaly:  # inside of another step that is traced, or under detect_anomaly
            return self.step(*args, **kwargs)
        leaves: list[Any] = []
        key = (mode.recording, *[_plain(x, leaves) for x in args])
        if kwargs:
            key = (*key, *[(name, _plain(x, leaves)) for name, x in sorted(kwargs.items())])
        try:
            doors = self.doors.get(key)
        except TypeError as error:
            raise CompileError(f"compile: {self._name}: an argument can't be told from others: {error}") from None
        if doors is not None:
            for door in doors:
                result = door.call(leaves)
                if result is not STALE:
                    self.last, self.quick = door, door.quick
                    return result
        if key in self.refused:
            return self.step(*args, **kwargs)
        return self._first(key, leaves, args, kwargs, mode)

    @property
    def _name(self) -> str:
        return getattr(self.step, "__name__", type(self.step).__name__)

    def _first(self, key: Any, leaves: list[Any], args: Any, kwargs: Any, mode: Mode) -> Any:
        """Record, compile, check."""
        reach = Reach(self.step, (args, kwargs))
        saved = Saved(reach)
        try:
            door = build(self.step, args, kwargs, leaves, reach, saved, WRITERS[self.backend])
            result = check(door, self.step, args, kwargs, leaves, saved)
        except CompileError as error:
            saved.restore()
            reach.undo()
            if not self.fallback:
                raise
            self.refused[key] = str(error)
            warnings.warn(f"{error} It runs eagerly.", stacklevel=3)
            return self.step(*args, **kwargs)
        except Exception:
            saved.restore()
            raise
        reach.forget()
        del saved  # a copy of everything
        gc.collect()  # equations and their variables point at each other, and hold all values of the trace
        _give_back()
        self._keep(key, door)
        if mode is USUAL and not kwargs:
            door.hasten(args)
        self.quick = door.quick
        return result

    def _keep(self, key: Any, door: Door) -> None:
        """Keep a function; the oldest goes if there are too many."""
        if self.functions >= self.limit:
            if not self.warned:
                self.warned = True
                warnings.warn(
                    f"compile: {self._name} was compiled for {self.limit} combinations of arguments, and each call "
                    f"with another is compiled again: {_change(next(reversed(self.doors)), key)}. Pad batches to one "
                    "shape, pass numbers that change as arrays, or give compile a larger limit.",
                    stacklevel=4,
                )
            oldest = next(iter(self.doors))
            self.doors[oldest].pop(0)
            if not self.doors[oldest]:
                del self.doors[oldest]
        self.doors.setdefault(key, []).append(door)
        self.last = door


def _give_back() -> None:
    """Give memory that lies idle back to the system: compiling takes several copies of everything, a step none.

    The C library would keep it (see the end of memory.py): the process of (c) took 186 MiB instead of 68.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # not every C library has it
            trim(0)


def _plain(x: Any, leaves: list[Any]) -> Any:
    """The key of an argument; arrays and Tensors in it are added to `leaves`."""
    if type(x) is np.ndarray:
        leaves.append(x)
        return x.shape, x.strides, x.dtype
    return flattened(x, leaves)


def _change(before: Any, now: Any) -> str:
    """What has changed between two keys."""
    if isinstance(before, tuple) and isinstance(now, tuple) and len(before) == len(now):
        for i, (a, b) in enumerate(zip(before[1:], now[1:])):
            if a != b:
                if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b) == 3:
                    return f"argument {i + 1} was {a[2]} of shape {a[0]}, and now is {b[2]} of shape {b[0]}"
                return f"argument {i + 1} was {a!r}, and now is {b!r}"
    return "the arguments, or what the step uses, have changed"


C = TypeVar("C", bound=Step)


@overload
def compile(step: Step, *, fallback: bool = False, limit: int = LIMIT, backend: str = "numpy") -> Compiled: ...
@overload
def compile(
    step: None = None, *, fallback: bool = False, limit: int = LIMIT, backend: str = "numpy"
) -> Callable[[Step], Compiled]: ...
def compile(step: Step | None = None, *, fallback: bool = False, limit: int = LIMIT, backend: str = "numpy") -> Any:
    """Write a step out as one NumPy function, and run that from then on.

    A step is a function of arrays and Tensors: a loss, or a whole training step with `zero_grad`, `backward` and
    `optimizer.step()`.  Its first call records one run, forward, backward and update; leaves out what is constant, dead
    or computed twice; plans which scratch each value is written to; and writes NumPy source.  Before that is trusted it
    is run beside the eager step, twice, on the arguments and on others, and must agree: bit for bit where the order of
    operations is kept, else to rounding.  Chains of element-wise operations on large arrays run block by block in the
    cache, the longest of them (4 million operations on numbers) on two cores if the process may use two.

    Parameters
    ----------
    step : callable
        Without one, `compile` returns a decorator: `@tg.compile(fallback=True)`.
    fallback : bool
        Run eagerly, with a warning, what cannot be compiled; otherwise that raises CompileError with your line.
    limit : int
        How many functions are kept.  There is one for each combination of the shapes and dtypes of the arguments, the
        values of other arguments, train and eval, and no_grad; the oldest goes, and a warning says what changes.
    backend : str
        "numpy", or "numba" (`pip install "tinygrad_edu[numba]"`), which makes one function of loops of what is small or
        element-wise and follows upon each other; large products of matrices stay NumPy's.  The first call takes
        about a second longer for each hundred lines of loops, and results equal the eager ones to rounding.

    Returns
    -------
    Compiled
        To be called as the step.  Parameters, velocities and running statistics are changed in place; afterwards each
        `.grad` is what it is after the eager step (None, or the gradient).  Learning rates are read at each call,
        random operations draw from their generators as they would.  NumPy's warnings are not given.

    Raises
    ------
    CompileError
        At the first call, for what has no place in a function that is written once: a branch on a value, `item()`,
        a hook, a number that was computed outside of the record, a side effect on Python's lists and names.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> net = tg.nn.MLP([2, 3, 1], rng=0)
    >>> optimizer = tg.optim.SGD(net.parameters(), lr=0.1)
    >>> @tg.compile
    ... def step(X, t):
    ...     loss = tg.nn.functional.mse_loss(net(X), t)
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> X, t = tg.data.xor()
    >>> first = step(X, t).item()
    >>> step(X, t).item() < first
    True
    >>> "X.dot(fc1_weight, out=linear1)" in step.source
    True
    """
    if step is None:
        return lambda step: Compiled(step, fallback, limit, backend)
    if not callable(step):
        raise TypeError(f"compile: a {type(step).__name__} cannot be called; a function is expected")
    return Compiled(step, fallback, limit, backend)
