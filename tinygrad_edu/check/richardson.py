"""Richardson extrapolation: differences over many steps, carried on to the step zero, with an error estimate.

A central difference is D(h) = f' + a h^2 + b h^4 + ...  From two steps the term in h^2 can be taken out, from three
the one in h^4, and so on: Ridders' table (C. J. F. Ridders, "Accurate computation of F'(x) and F'(x) F''(x)",
Advances in Engineering Software 4, 1982).  A large step has no rounding error to speak of, and the table pays for it.

    T[k, 0] = D(h_k)        T[k, j] = T[k, j-1] + (T[k, j-1] - T[k-1, j-1]) / (r^-2j - 1)        h_k = r^k h_0

The estimate of the error is honest if it counts everything that may go wrong:

* what the last extrapolation has changed, twice: against both of its parents, and against the oldest step used;
* rounding: the noise of the function, divided by the step, and magnified as the table magnifies it.

The noise is measured, since a function may cancel large numbers inside, of which its value shows nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tinygrad_edu.check.probing import UNIT, Probe

__all__ = ["Estimate", "extrapolate"]

# Neither the ratio nor the offsets below are round numbers: halved steps meet an oscillation at the same phase again
# and again, and offsets that are multiples of each other meet the same rounding error.
RATIO = 0.618034
START = 0.23  # the largest step where |x| <= 1
LEVELS = 48  # the smallest is 4e-11
DEPTH = 8  # so many powers of h^2 are taken out, at most
PATIENCE = 4  # rows without progress, once rounding dominates
OWN = 8 * UNIT  # what the table's own arithmetic adds
OFFSETS = np.modf(np.arange(1, 11) * RATIO)[0] * 2 - 1


class Estimate(NamedTuple):
    """A slope, and how far off it may be.

    Examples
    --------
    >>> Estimate(3.0, 1e-12).error
    1e-12
    """

    value: float
    error: float


def extrapolate(probe: Probe) -> Estimate:
    """The slope of s at the probe, from 20 to 60 evaluations; steps that leave the function's domain are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_edu.check.probing import Experiment
    >>> with Experiment("example", np.exp, np.array(1.0)).turning("input 0") as probes:
    ...     value, error = extrapolate(next(probes))
    >>> bool(abs(value - np.e) < error < 1e-11)
    True
    """
    scale = max(1.0, abs(probe.x))
    rounding = probe.noise(1.0) + 4 * _jitter(probe, scale)
    best = Estimate(math.nan, math.inf)
    row: list[Estimate] = []  # of the step before: each with its rounding error
    idle = 0
    for k in range(LEVELS):
        step = START * scale * RATIO**k
        slope = _defined(probe, probe.x - step, probe.x + step)
        if not math.isfinite(slope):
            row = []
            continue
        above, row = row, [Estimate(slope, rounding / step)]
        idle += 1
        for j, parent in enumerate(above[:DEPTH], start=1):
            growth = RATIO ** (-2 * j) - 1
            last = row[-1]
            value = last.value + (last.value - parent.value) / growth
            row.append(Estimate(value, last.error + (last.error + parent.error) / growth))
            changes = (value - last.value, value - parent.value, last.value - above[-1].value)
            error = 2 * max(map(abs, changes)) + row[-1].error + OWN * abs(value)
            if len(above) > 1 and error < best.error:  # two steps may agree by chance
                best, idle = Estimate(value, error), 0
        if idle > PATIENCE and row[0].error > best.error:
            break
    return best


def _defined(probe: Probe, low: float, high: float) -> float:
    """The slope between two places; NaN where the function is not defined (math.log raises, np.log does not)."""
    try:
        return probe.slope(low, high)
    except (ValueError, ArithmeticError):
        return math.nan


def _jitter(probe: Probe, scale: float) -> float:
    """The standard deviation of the function's rounding errors: what a cubic through near-by values does not explain.

    What it leaves may also be the function's own bending.  That fades on a shorter stretch, and rounding does not.
    """
    found: list[float] = []
    for width in (1e-7 * scale, 1e-10 * scale):
        places = probe.x + width * OFFSETS
        rises = np.array([_defined(probe, probe.x, x) * (x - probe.x) for x in places.tolist()])
        if not np.isfinite(rises).all():
            continue
        powers = np.vander((places - probe.x) / width, 4)
        unexplained = rises - powers @ np.linalg.lstsq(powers, rises)[0]
        found.append(math.sqrt(float((unexplained**2).sum()) / (rises.size - 4)))
        if found[-1] <= 1e-3 * np.abs(rises).max():
            break
    return min((jitter for jitter in found if jitter > 0), default=0.0)
