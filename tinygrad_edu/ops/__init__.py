"""The operations, one family to a file.  Each is defined once: forward, vjps, notation, samples."""

from tinygrad_edu.ops import (
    activations,
    arithmetic,
    comparisons,
    distances,
    elementwise,
    indexing,
    joining,
    linalg,
    losses,
    rearranging,
    reductions,
    rounding,
    selecting,
    shaping,
    special,
    trigonometric,
)
from tinygrad_edu.ops.activations import *  # noqa: F403
from tinygrad_edu.ops.arithmetic import *  # noqa: F403
from tinygrad_edu.ops.comparisons import *  # noqa: F403
from tinygrad_edu.ops.distances import *  # noqa: F403
from tinygrad_edu.ops.elementwise import *  # noqa: F403
from tinygrad_edu.ops.indexing import *  # noqa: F403
from tinygrad_edu.ops.joining import *  # noqa: F403
from tinygrad_edu.ops.linalg import *  # noqa: F403
from tinygrad_edu.ops.losses import *  # noqa: F403
from tinygrad_edu.ops.rearranging import *  # noqa: F403
from tinygrad_edu.ops.reductions import *  # noqa: F403
from tinygrad_edu.ops.rounding import *  # noqa: F403
from tinygrad_edu.ops.selecting import *  # noqa: F403
from tinygrad_edu.ops.shaping import *  # noqa: F403
from tinygrad_edu.ops.special import *  # noqa: F403
from tinygrad_edu.ops.trigonometric import *  # noqa: F403

families = (
    arithmetic, elementwise, trigonometric, special, rounding, comparisons, reductions, linalg, shaping, joining,
    rearranging, indexing, selecting, activations, losses, distances,
)  # fmt: skip
__all__ = [name for family in families for name in family.__all__]
