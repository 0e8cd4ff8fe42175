"""Calling a backward pass written by hand: a function of named inputs, or an object with forward and backward."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_edu.check.agreement import Array, floats
from tinygrad_edu.check.diagnosis.evidence import Evidence
from tinygrad_edu.check.diagnosis.naming import arguments_of, shown_arguments, values_of
from tinygrad_edu.program import Variable

__all__ = ["Answer", "answer_of", "can_be_called", "caller"]


@dataclass
class Answer:
    """What a backward pass says: gradients by name, and the value of the loss if it is told."""

    gradients: dict[str, Array]
    value: float | None = None


def can_be_called(manual: Any) -> bool:
    """Is this a function, or has it a method `backward`, rather than being the gradients themselves?"""
    return (
        not isinstance(manual, Mapping)
        and not hasattr(manual, "named")
        and (callable(manual) or callable(getattr(manual, "backward", None)))
    )


def answer_of(result: Any) -> Answer:
    """The gradients in what somebody's backward pass returned: a mapping, `(loss, mapping)`, or what has `named()`.

    Raises
    ------
    TypeError
        For anything else.
    """
    value = None
    if isinstance(result, tuple) and len(result) == 2 and np.ndim(result[0]) == 0 and not hasattr(result[0], "named"):
        value, result = result
    mapping = result.named() if hasattr(result, "named") else result
    if not isinstance(mapping, Mapping):
        raise TypeError(
            f"compare_gradients: a {type(result).__name__} given; a mapping of names to arrays is expected, or an "
            "object whose method named() returns one"
        )
    gradients = {name: floats(array) for name, array in mapping.items() if array is not None}
    for name in list(gradients):
        if name.lower() in ("l", "e", "loss", "cost", "error") and gradients[name].ndim == 0:
            value = gradients.pop(name)
    return Answer(gradients, None if value is None else float(value))


def caller(manual: Any, e: Evidence) -> tuple[Callable[[Mapping[Variable, Any]], Answer], bool]:
    """A function from the values of the program's inputs to an Answer, and whether it depends on them.

    Raises
    ------
    TypeError
        If a parameter of the function is none of the program's inputs.
    """
    if callable(getattr(manual, "backward", None)):
        return (lambda values: _from_object(manual, e, values)), True
    parameters = inspect.signature(manual).parameters
    if not parameters:
        return (lambda values: answer_of(manual())), False
    _check(manual, e)
    return (lambda values: answer_of(_call(manual, e, values))), True


def _needed(function: Any) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds and p.default is p.empty]


def _check(function: Any, e: Evidence) -> None:
    known = arguments_of(e)
    for name in _needed(function):
        if name.lower() not in known:
            raise TypeError(
                f"compare_gradients: {getattr(function, '__name__', 'the function')} wants {name!r}, which is none of "
                f"the inputs of this graph: it may be called with {shown_arguments(e)}"
            )


def _call(function: Any, e: Evidence, values: Mapping[Variable, Any], **more: Any) -> Any:
    """Call a function by the names of its parameters; each array is a copy that it may edit."""
    given = values_of(e, values)
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.VAR_KEYWORD:
            keywords.update({e.symbol(x): np.array(values[x]) for x in e.parameters if e.symbol(x).isidentifier()})
        elif p.kind is p.VAR_POSITIONAL:
            continue
        elif p.name in more or p.name.lower() in given:
            if p.default is not p.empty and p.name not in more and p.kind is not p.KEYWORD_ONLY and np.ndim(p.default):
                continue
            value = more[p.name] if p.name in more else np.array(given[p.name.lower()])
            if p.kind is p.KEYWORD_ONLY:
                keywords[p.name] = value
            else:
                positional.append(value)
    return function(*positional, **keywords)


def _from_object(manual: Any, e: Evidence, values: Mapping[Variable, Any]) -> Answer:
    """Run forward, if there is one, then backward, on a copy that holds these parameters.

    What backward can't find among the inputs is taken to be what forward has returned.  If it returns nothing, the
    gradients are the attributes that it has set.
    """
    own = _holding(manual, e, values)
    before = dict(vars(own))
    forward = getattr(own, "forward", None)
    made = _call(forward, e, values) if callable(forward) else None
    known = arguments_of(e)
    unknown = {name: made for name in _needed(own.backward) if name.lower() not in known}
    if len(unknown) > 1:
        _check(own.backward, e)
    result = _call(own.backward, e, values, **unknown)
    if result is not None:
        return answer_of(result)
    attributes = {
        name: x
        for name, x in vars(own).items()
        if isinstance(x, np.ndarray | float | int) and (name not in before or before[name] is not x)
    }
    return answer_of({name: x for name, x in attributes.items() if name[:1] in "dgδ∂"})


def _holding(manual: Any, e: Evidence, values: Mapping[Variable, Any]) -> Any:
    """The object with the parameters that it holds (attributes, or entries of attributes that are dicts) replaced."""
    if isinstance(manual, type):
        return _call(manual, e, values)
    own = copy.deepcopy(manual)
    held = [(np.asarray(x.value), np.array(values[x])) for x in e.program.parameters]
    replaced: set[int] = set()

    def fresh(x: Any) -> Any:
        if isinstance(x, dict):
            return {key: fresh(y) for key, y in x.items()}
        if isinstance(x, list):
            return [fresh(y) for y in x]
        if isinstance(x, np.ndarray):
            for k, (old, new) in enumerate(held):
                if k not in replaced and x.shape == old.shape and np.array_equal(x, old):
                    replaced.add(k)
                    return new
        return x

    for name, x in list(vars(own).items()):
        setattr(own, name, fresh(x))
    return own
