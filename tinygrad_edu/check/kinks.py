"""Where a function has no slope: kinks (relu at 0, ties of max) and steps, told apart from steep and from noisy ones.

The slope on the left and the slope on the right of x differ by h f'' where a function is smooth: over an eighth of
the step, by an eighth.  At a kink the difference stays.  So three steps are looked at, h, h/8 and h/64, and a kink
that lies beside x, not at it, is stepped over with the smaller ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinygrad_edu.check.agreement import Array
from tinygrad_edu.check.probing import Probe

__all__ = ["Kink", "slope_or_kink"]

SMOOTH = 1e-3  # slopes on the left and right that differ by less than this, relatively, make no one suspicious
STABLE = 0.1  # what may change from one step to the next, as a part of the kink, or of the jump


class Kink(NamedTuple):
    """An entry at which a function has a slope on the left and another on the right, or jumps.

    If a single output has the kink, the slopes are its own; else those of the weighed sum s.  `low` and `high` bound
    what a gradient of s may be: each output may take any slope between its two.

    Examples
    --------
    >>> print(Kink("x[3]", -1.0, 1.0, 0.0, -1.0, 1.0))
    kink at x[3]: slope -1 on the left, 1 on the right
    >>> print(Kink("x[3]", 0.0, 0.0, 1.0, 0.0, 0.0))
    step at x[3]: the value jumps by 1, slope 0 on the left, 0 on the right
    """

    place: str
    left: float
    right: float
    jump: float  # 0 at a kink
    low: float
    high: float

    def __str__(self) -> str:
        kind, jump = ("step", f"the value jumps by {self.jump:.4g}, ") if self.jump else ("kink", "")
        left, right = (f"{slope + 0:.4g}" for slope in (self.left, self.right))
        return f"{kind} at {self.place}: {jump}slope {left} on the left, {right} on the right"

    def admits(self, gradient: float, tolerance: float) -> bool:
        """May a rule answer so?  (NaN it may not.)"""
        return self.low - tolerance <= gradient <= self.high + tolerance


def slope_or_kink(probe: Probe, step: float, place: str, doubted: bool = False) -> tuple[float, Kink | None]:
    """The slope over +-step, from a smaller step if a kink is in between; and the kink, if it is at x itself.

    A function that looks smooth costs two evaluations, unless its slope is `doubted`.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_edu.check.probing import Experiment
    >>> with Experiment("example", np.abs, np.array(0.0)).turning("input 0") as probes:
    ...     slope, kink = slope_or_kink(next(probes), 1e-5, "x")
    >>> slope, str(kink)
    (0.0, 'kink at x: slope -1 on the left, 1 on the right')
    """
    x = probe.x
    steps = (step, step / 8, step / 64)
    central = probe.slope(x - step, x + step)
    if not doubted and _smooth(probe, step):
        return central, None
    kink = _kink(probe, steps, place)
    if kink is None and _smooth(probe, steps[2]):  # also where f'' jumps (elu at 0), differences are off by h f''
        return probe.slope(x - steps[2], x + steps[2]), None
    return central, kink


def _smooth(probe: Probe, step: float) -> bool:
    """Are the slopes on the left and the right as good as equal?"""
    left, right = probe.chord(probe.x - step, probe.x), probe.chord(probe.x, probe.x + step)
    return _size(right - left) <= SMOOTH * (_size(left) + _size(right)) + probe.noise(step)


def _kink(probe: Probe, steps: tuple[float, float, float], place: str) -> Kink | None:
    """A kink or a step within the smallest of three steps; None if it is neither (a cusp, a pole, noise, a minimum).

    Slopes are taken beside it, between one step and the next: neither side then knows of the jump.
    """
    far, near, least = steps
    x = probe.x
    left, right = probe.chord(x - near, x - least), probe.chord(x + least, x + near)
    drift = _size(left - probe.chord(x - far, x - near)) + _size(right - probe.chord(x + near, x + far))
    rises = [probe.chord(x - each, x + each) * (2 * each) for each in (near, least)]
    jump = _size(rises[1])
    jumps = jump > 10 * least * (_size(left) + _size(right)) + probe.noise(1.0)
    if jumps and not (_size(rises[0] - rises[1]) <= STABLE * jump and drift * near <= STABLE * jump):
        return None
    if not jumps and not drift + probe.noise(near) <= STABLE * _size(right - left):
        return None
    slack = drift + probe.noise(near)
    low, high = (float(bound(left, right).sum()) for bound in (np.minimum, np.maximum))
    shown = [left, right, rises[1] if jumps else np.zeros_like(left)]
    cause = np.abs(rises[1] if jumps else right - left)
    alone = int(cause.argmax())
    if cause[alone] >= cause.sum() - STABLE * cause[alone]:  # one output only: without its weight
        weight = np.concatenate([v.ravel() for v in probe.experiment.weights])[alone]
        shown = [terms[alone] / weight for terms in shown]
    slopes = [float(np.sum(terms)) for terms in shown]
    return Kink(place, slopes[0], slopes[1], slopes[2], low - slack, high + slack)


def _size(terms: Array) -> float:
    return float(np.abs(terms).sum())
