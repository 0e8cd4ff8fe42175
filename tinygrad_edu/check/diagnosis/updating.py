"""Is a step of descent one?  The new parameters beside the old ones and their gradient."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinygrad_edu.check.agreement import Array
from tinygrad_edu.check.diagnosis.evidence import Evidence
from tinygrad_edu.check.diagnosis.report import Mistake

__all__ = ["wrong_updates"]


def wrong_updates(e: Evidence, updated: Mapping[str, Array], given: Mapping[str, Array], rtol: float) -> list[Mistake]:
    """The mistakes in `updated`, new parameters under the names of their gradients.

    A step of gradient descent is -eta times the gradient; the gradient is yours, where you have given one.
    """
    found: list[Mistake] = []
    rates: dict[str, float] = {}
    for name, new in updated.items():
        variable = e.targets[name]
        old, symbol = e.of(variable), e.symbol(variable)
        g = given.get(name, e.sweep.totals[variable])
        line = f"{symbol} = {symbol} - eta * {name}"
        if new.size != old.size or g.size != old.size:
            says = f"{symbol} has shape {old.shape}, after the update {new.shape}: what was subtracted was broadcast."
            found.append(Mistake(name, symbol, ("update of another shape",), "certain", says, line))
            continue
        step, g = (new.reshape(old.shape) - old).ravel(), g.ravel()
        size = float(g @ g)
        if size == 0 or not step.any():
            continue
        rate = -float(step @ g) / size
        # old + step was rounded: the step itself is known to so many digits of the old value only
        noise = 8 * np.finfo(np.float64).eps * float(np.abs(old).max(initial=0))
        rest = float(np.abs(step + rate * g).max())
        if rest > max(rtol, 1e-9) * float(np.abs(step).max()) + noise:
            cosine = -float(step @ g) / float(np.linalg.norm(step) * np.linalg.norm(g))
            direction = "downhill" if cosine > 0 else "uphill"
            says = (
                f"The step is no multiple of the gradient: their cosine is {-cosine:.2f}, it goes {direction}. (With "
                "momentum or Adam that is as it should be.)"
            )
            found.append(Mistake(name, symbol, (), "this is what is seen", says, line))
        elif rate < 0:
            says = (
                f"{symbol} + {-rate:.6g} {name} goes uphill: the gradient points where the loss grows. Descent "
                "subtracts it."
            )
            found.append(Mistake(name, symbol, ("an update that climbs",), "certain", says, line))
        else:
            rates[name] = rate
    spread = list(rates.values())
    if spread and not np.allclose(spread, spread[0], rtol=1e-6):
        shown = ", ".join(f"{rate:.6g} for {e.symbol(e.targets[name])}" for name, rate in rates.items())
        says = f"The steps have different rates: {shown}."
        found.append(Mistake("update", "the update", (), "this is what is seen", says))
    return found
