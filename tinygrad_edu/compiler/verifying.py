"""A compiled function is trusted once it has done what the eager step does: on the arguments, and on others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_edu.compiler.door import STALE, Door
from tinygrad_edu.compiler.recording import perturb_state, perturbed, replaced
from tinygrad_edu.compiler.state import Saved, difference
from tinygrad_edu.errors import CompileError
from tinygrad_edu.tensor import Tensor

__all__ = ["check"]

ROUNDING = 1e5  # units in the last place of the largest number: what another order of operations may change


def check(door: Door, step: Callable[..., Any], args: Any, kwargs: Any, leaves: list[Any], saved: Saved) -> Any:
    """Compare the compiled function with the step; what the first call returns, with everything changed once."""
    others = perturbed(leaves)
    try:
        _compare(door, step, args, kwargs, others, saved, perturb_state)
    except CompileError:
        raise
    except Exception:  # the other numbers were nothing for this step
        pass
    finally:
        saved.restore()
    return _compare(door, step, args, kwargs, leaves, saved, lambda saved: None)


def _compare(
    door: Door,
    step: Callable[..., Any],
    args: Any,
    kwargs: Any,
    leaves: list[Any],
    saved: Saved,
    change: Callable[..., Any],
) -> Any:
    change(saved)
    given = iter(leaves)
    grads = [(x, _copy(x.grad)) for x in leaves if isinstance(x, Tensor) and x.requires_grad]
    eager_args = replaced(args, given)
    names = sorted(kwargs)
    eager_kwargs = dict(zip(names, replaced([kwargs[n] for n in names], given)))
    with np.errstate(all="ignore"):
        expected = _copies(step(*eager_args, **eager_kwargs))
    after = [*saved.now(), *[("an argument's gradient", _copy(x.grad)) for x, _ in grads]]
    saved.restore()
    for x, grad in grads:
        x.grad = grad
    change(saved)
    result = door.call(leaves)
    if result is STALE:
        raise CompileError(
            f"compile: {door.name} changes what it was compiled for (an attribute of a module, a global name)"
        )
    now = [*saved.now(), *[("an argument's gradient", _copy(x.grad)) for x, _ in grads]]
    for (name, a), (_, b) in zip([("what it returns", expected), *after], [("", _copies(result)), *now]):
        apart = difference(a, b, door.eps)
        if apart is None or apart > ROUNDING:
            raise CompileError(
                f"compile: {door.name}: compiled and eager step differ in {name}. Something in it was computed "
                "outside of the record: use functions of tg on tensors, generators that the step can reach by name, "
                "and no state of its own."
            )
    return result


def _copy(x: Any) -> Any:
    return x.copy() if isinstance(x, np.ndarray) else x


def _copies(tree: Any) -> Any:
    """Numbers of results, so that later runs do not change them."""
    if isinstance(tree, Tensor):
        return np.array(tree._data)
    if isinstance(tree, np.ndarray):
        return tree.copy()
    if isinstance(tree, tuple | list):
        return [_copies(x) for x in tree]
    if isinstance(tree, dict):
        return {key: _copies(x) for key, x in tree.items()}
    return tree
