"""The operations, one family to a file.  Each is defined once: forward, vjps, notation, samples."""

import functools
from importlib import import_module
from typing import TYPE_CHECKING

from tinygrad_edu.late import late
from tinygrad_edu.op import NUMPY, OPS

if TYPE_CHECKING:
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

# Each is loaded when one of its operations is first used.
FAMILIES = {
    "arithmetic": ["add", "astype", "copy", "divide", "multiply", "negative", "positive", "power", "subtract"],
    "elementwise": [
        "abs", "cbrt", "exp", "exp2", "expm1", "float_power", "lerp", "log", "log1p", "log2", "log10", "logaddexp",
        "logaddexp2", "reciprocal", "rsqrt", "sqrt", "square",
    ],
    "trigonometric": [
        "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "cos", "cosh", "deg2rad", "degrees",
        "hypot", "rad2deg", "radians", "sin", "sinh", "tan", "tanh",
    ],
    "special": ["erf", "sinc", "xlogy"],
    "rounding": [
        "ceil", "copysign", "divmod", "floor", "floor_divide", "fmod", "heaviside", "mod", "remainder", "rint", "round",
        "sign", "trunc",
    ],
    "comparisons": [
        "allclose", "array_equal", "bitwise_and", "bitwise_or", "bitwise_xor", "clip", "equal", "fmax", "fmin",
        "greater", "greater_equal", "invert", "isclose", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "less",
        "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor", "maximum", "minimum", "nan_to_num",
        "not_equal", "signbit", "where",
    ],
    "reductions": [
        "all", "any", "argmax", "argmin", "count_nonzero", "logsumexp", "max", "mean", "median", "min", "prod", "std",
        "sum", "var",
    ],
    "selections": ["nancumprod", "nancumsum", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar"],
    "statistics": ["average", "percentile", "ptp", "quantile"],
    "scans": ["cumprod", "cumsum", "diff", "recurrence", "trapezoid"],
    "sorting": ["argsort", "sort", "topk"],
    "linalg": [
        "addmm", "bmm", "cross", "dot", "inner", "kron", "linear", "matmul", "multi_dot", "outer", "tensordot", "vdot",
        "vecdot",
    ],
    "einsums": ["einsum"],
    "diagonals": ["diag", "diagonal", "put_on_diagonal", "trace", "tril", "triu"],
    "solving": ["det", "inv", "matrix_power", "pinv", "slogdet", "solve"],
    "decompositions": ["cholesky", "eigh", "eigvalsh", "qr", "svd", "svdvals"],
    "norms": ["matrix_norm", "norm", "vector_norm"],
    "shaping": [
        "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "broadcast_to", "expand_dims", "flatten",
        "matrix_transpose", "meshgrid", "moveaxis", "ravel", "reshape", "rollaxis", "squeeze", "swapaxes", "transpose",
    ],
    "joining": [
        "append", "array_split", "block", "chunk", "column_stack", "concatenate", "delete", "dsplit", "dstack",
        "hsplit", "hstack", "insert", "split", "stack", "unstack", "vsplit", "vstack",
    ],
    "rearranging": ["flip", "fliplr", "flipud", "pad", "repeat", "roll", "rot90", "tile"],
    "indexing": [
        "argwhere", "gather", "getitem", "index_add", "nonzero", "plain_index", "put_along_axis", "scatter",
        "scatter_add", "setitem", "take", "take_along_axis",
    ],
    "selecting": [
        "choose", "compress", "digitize", "extract", "flatnonzero", "masked_fill", "masked_select", "searchsorted",
        "select",
    ],
    "activations": [
        "elu", "gelu", "hardtanh", "leaky_relu", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu",
        "sigmoid", "silu", "softmax", "softplus", "softsign",
    ],
    "losses": [
        "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "kl_div", "multi_margin_loss",
        "nll_loss", "one_hot",
    ],
    "distances": [
        "cosine_similarity", "half_mse_loss", "hinge_embedding_loss", "hinge_loss", "huber_loss", "l1_loss", "mse_loss",
        "smooth_l1_loss",
    ],
    "windows": ["fold", "unfold"],
    "convolution": ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"],
    "pooling": ["avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d"],
    "normalization": ["batch_norm", "group_norm", "layer_norm", "rms_norm", "standardize"],
    "dropping": [],
    "embeddings": ["embedding"],
    "attention": ["attention_weights"],
}  # fmt: skip
__all__ = [name for names in FAMILIES.values() for name in names]


@functools.cache
def load(name: str | None = None) -> None:
    """Load the family of an operation, or all if none is known to have it: together they take 2 MiB.

    What NumPy's own reductions mean (`np.sum(t, where=mask)`) stands in `selections`.
    """
    families = [family for family, names in FAMILIES.items() if name in names]
    if "reductions" in families:
        families.append("selections")
    for family in families or FAMILIES:
        import_module(f"{__name__}.{family}")


OPS.load = NUMPY.load = load

if not TYPE_CHECKING:  # a type checker knows by itself what is missing
    contents = {f"{__name__}.{family}": names for family, names in FAMILIES.items()}
    __getattr__ = late(__name__, {**contents, __name__: FAMILIES})


def __dir__() -> list[str]:
    return sorted(__all__)
