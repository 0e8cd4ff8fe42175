"""The operations, one family to a file.  Each is defined once: forward, vjps, notation, samples."""

from tinygrad_edu.ops.activations import *  # noqa: F403
from tinygrad_edu.ops.arithmetic import *  # noqa: F403
from tinygrad_edu.ops.elementwise import *  # noqa: F403
from tinygrad_edu.ops.indexing import *  # noqa: F403
from tinygrad_edu.ops.linalg import *  # noqa: F403
from tinygrad_edu.ops.losses import *  # noqa: F403
from tinygrad_edu.ops.reductions import *  # noqa: F403
from tinygrad_edu.ops.shaping import *  # noqa: F403
