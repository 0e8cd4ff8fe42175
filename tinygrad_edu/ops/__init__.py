"""The operations, one family to a file.  Each is defined once: forward, vjps, notation, samples."""

from tinygrad_edu.ops import (
    activations,
    arithmetic,
    attention,
    convolution,
    elementwise,
    embeddings,
    indexing,
    linalg,
    losses,
    normalization,
    pooling,
    reductions,
    shaping,
    windows,
)
from tinygrad_edu.ops.activations import *  # noqa: F403
from tinygrad_edu.ops.arithmetic import *  # noqa: F403
from tinygrad_edu.ops.attention import *  # noqa: F403
from tinygrad_edu.ops.convolution import *  # noqa: F403
from tinygrad_edu.ops.elementwise import *  # noqa: F403
from tinygrad_edu.ops.embeddings import *  # noqa: F403
from tinygrad_edu.ops.indexing import *  # noqa: F403
from tinygrad_edu.ops.linalg import *  # noqa: F403
from tinygrad_edu.ops.losses import *  # noqa: F403
from tinygrad_edu.ops.normalization import *  # noqa: F403
from tinygrad_edu.ops.pooling import *  # noqa: F403
from tinygrad_edu.ops.reductions import *  # noqa: F403
from tinygrad_edu.ops.shaping import *  # noqa: F403
from tinygrad_edu.ops.windows import *  # noqa: F403

families = (
    arithmetic, elementwise, reductions, linalg, shaping, indexing, activations, losses, windows, convolution, pooling,
    normalization, embeddings, attention,
)  # fmt: skip
__all__ = [name for family in families for name in family.__all__]
