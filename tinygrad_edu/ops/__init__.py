"""The operations, one family to a file.  Each is defined once: forward, vjps, notation, samples."""

from tinygrad_edu.ops import (
    activations,
    arithmetic,
    decompositions,
    diagonals,
    einsums,
    elementwise,
    indexing,
    linalg,
    losses,
    norms,
    reductions,
    scans,
    selections,
    shaping,
    solving,
    sorting,
    statistics,
)
from tinygrad_edu.ops.activations import *  # noqa: F403
from tinygrad_edu.ops.arithmetic import *  # noqa: F403
from tinygrad_edu.ops.decompositions import *  # noqa: F403
from tinygrad_edu.ops.diagonals import *  # noqa: F403
from tinygrad_edu.ops.einsums import *  # noqa: F403
from tinygrad_edu.ops.elementwise import *  # noqa: F403
from tinygrad_edu.ops.indexing import *  # noqa: F403
from tinygrad_edu.ops.linalg import *  # noqa: F403
from tinygrad_edu.ops.losses import *  # noqa: F403
from tinygrad_edu.ops.norms import *  # noqa: F403
from tinygrad_edu.ops.reductions import *  # noqa: F403
from tinygrad_edu.ops.scans import *  # noqa: F403
from tinygrad_edu.ops.selections import *  # noqa: F403
from tinygrad_edu.ops.shaping import *  # noqa: F403
from tinygrad_edu.ops.solving import *  # noqa: F403
from tinygrad_edu.ops.sorting import *  # noqa: F403
from tinygrad_edu.ops.statistics import *  # noqa: F403

families = (
    arithmetic, elementwise, reductions, scans, selections, sorting, statistics, linalg, einsums, diagonals,
    solving, decompositions, norms, shaping, indexing, activations, losses,
)  # fmt: skip
__all__ = [name for family in families for name in family.__all__]
