"""How operations are recorded: not at all, only where a gradient flows, everything; and with an eye on NaN."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class Mode:
    """How operations are recorded, for this thread and this asynchronous task.  It is never changed, but replaced."""

    __slots__ = ("anomaly", "everything", "recording", "tracer")

    def __init__(
        self, recording: bool = True, everything: bool = False, anomaly: bool = False, tracer: Any = None
    ) -> None:
        self.recording = recording
        self.everything = everything  # also what needs no gradient: masks, comparisons, constants
        self.anomaly = anomaly  # look for the first NaN or infinity
        self.tracer = tracer  # of a step that is compiled: it is told of each result, and says of which class it is

    def changed(self, **changes: Any) -> Mode:
        """This mode with some flags changed."""
        return Mode(**{name: changes.get(name, getattr(self, name)) for name in self.__slots__})


USUAL = Mode()
MODE: ContextVar[Mode] = ContextVar("tinygrad_edu.mode", default=USUAL)
current_mode = MODE.get


class mode:
    """`with mode(recording=False):` changes the mode for a block, a function or a coroutine function."""

    def __init__(self, **changes: Any) -> None:
        self.changes = changes
        self.tokens: list[Token[Mode]] = []

    def __enter__(self) -> None:
        self.tokens.append(MODE.set(MODE.get().changed(**self.changes)))

    def __exit__(self, *error: object) -> None:
        MODE.reset(self.tokens.pop())

    def __call__(self, function: Function) -> Function:
        import inspect  # not at the top: it takes a tenth of the time of importing NumPy

        changes = self.changes

        async def run_coroutine(*args: Any, **kwargs: Any) -> Any:
            with mode(**changes):
                return await function(*args, **kwargs)

        def run(*args: Any, **kwargs: Any) -> Any:
            with mode(**changes):
                return function(*args, **kwargs)

        chosen: Any = run_coroutine if inspect.iscoroutinefunction(function) else run
        return functools.wraps(function)(chosen)  # type: ignore[return-value]  # wraps keeps the signature
