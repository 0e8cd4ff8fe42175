"""The operations, one family to a file.  Each is defined once: forward, vjps, notation, samples."""

from tinygrad_edu.ops import (
    activations,
    arithmetic,
    attention,
    comparisons,
    convolution,
    decompositions,
    diagonals,
    distances,
    dropping,
    einsums,
    elementwise,
    embeddings,
    indexing,
    joining,
    linalg,
    losses,
    normalization,
    norms,
    pooling,
    rearranging,
    reductions,
    rounding,
    scans,
    selecting,
    selections,
    shaping,
    solving,
    sorting,
    special,
    statistics,
    trigonometric,
    windows,
)
from tinygrad_edu.ops.activations import *  # noqa: F403
from tinygrad_edu.ops.arithmetic import *  # noqa: F403
from tinygrad_edu.ops.attention import *  # noqa: F403
from tinygrad_edu.ops.comparisons import *  # noqa: F403
from tinygrad_edu.ops.convolution import *  # noqa: F403
from tinygrad_edu.ops.decompositions import *  # noqa: F403
from tinygrad_edu.ops.diagonals import *  # noqa: F403
from tinygrad_edu.ops.distances import *  # noqa: F403
from tinygrad_edu.ops.einsums import *  # noqa: F403
from tinygrad_edu.ops.elementwise import *  # noqa: F403
from tinygrad_edu.ops.embeddings import *  # noqa: F403
from tinygrad_edu.ops.indexing import *  # noqa: F403
from tinygrad_edu.ops.joining import *  # noqa: F403
from tinygrad_edu.ops.linalg import *  # noqa: F403
from tinygrad_edu.ops.losses import *  # noqa: F403
from tinygrad_edu.ops.normalization import *  # noqa: F403
from tinygrad_edu.ops.norms import *  # noqa: F403
from tinygrad_edu.ops.pooling import *  # noqa: F403
from tinygrad_edu.ops.rearranging import *  # noqa: F403
from tinygrad_edu.ops.reductions import *  # noqa: F403
from tinygrad_edu.ops.rounding import *  # noqa: F403
from tinygrad_edu.ops.scans import *  # noqa: F403
from tinygrad_edu.ops.selecting import *  # noqa: F403
from tinygrad_edu.ops.selections import *  # noqa: F403
from tinygrad_edu.ops.shaping import *  # noqa: F403
from tinygrad_edu.ops.solving import *  # noqa: F403
from tinygrad_edu.ops.sorting import *  # noqa: F403
from tinygrad_edu.ops.special import *  # noqa: F403
from tinygrad_edu.ops.statistics import *  # noqa: F403
from tinygrad_edu.ops.trigonometric import *  # noqa: F403
from tinygrad_edu.ops.windows import *  # noqa: F403

families = (
    arithmetic, elementwise, trigonometric, special, rounding, comparisons, reductions, selections,
    statistics, scans, sorting, linalg, einsums, diagonals, solving, decompositions, norms, shaping, joining,
    rearranging, indexing, selecting, activations, losses, distances, windows, convolution, pooling,
    normalization, dropping, embeddings, attention,
)  # fmt: skip
__all__ = [name for family in families for name in family.__all__]
