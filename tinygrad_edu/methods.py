"""The methods of a Tensor: each is one line over `ops`, written out so that editors and readers see them.

The equations, the gradients and examples stand with the operations of the same name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.porting import for_porters

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from tinygrad_edu.tensor import Tensor

Axis = int | tuple[int, ...] | None


@for_porters
class Methods:
    """What `t.exp()`, `t.sum(axis=0)`, `t.reshape(2, 3)`, ... mean."""

    __slots__ = ()

    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return ops.transpose(self)

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""
        return ops.matrix_transpose(self)

    def exp(self) -> Tensor:
        """e to the power of each element."""
        return ops.exp(self)

    def log(self) -> Tensor:
        """Natural logarithm of each element."""
        return ops.log(self)

    def sqrt(self) -> Tensor:
        """Square root of each element."""
        return ops.sqrt(self)

    def abs(self) -> Tensor:
        """Absolute value of each element."""
        return ops.abs(self)

    def sin(self) -> Tensor:
        """Sine of each element."""
        return ops.sin(self)

    def cos(self) -> Tensor:
        """Cosine of each element."""
        return ops.cos(self)

    def tanh(self) -> Tensor:
        """Hyperbolic tangent of each element."""
        return ops.tanh(self)

    def relu(self) -> Tensor:
        """max(x, 0) for each element."""
        return ops.relu(self)

    def sigmoid(self) -> Tensor:
        """1 / (1 + e^-x) for each element."""
        return ops.sigmoid(self)

    def softplus(self) -> Tensor:
        """log(1 + e^x) for each element."""
        return ops.softplus(self)

    def softmax(self, axis: int = -1) -> Tensor:
        """e^x / sum(e^x) along `axis`."""
        return ops.softmax(self, axis=axis)

    def log_softmax(self, axis: int = -1) -> Tensor:
        """log(softmax(x)) along `axis`."""
        return ops.log_softmax(self, axis=axis)

    def clip(self, low: Any = None, high: Any = None) -> Tensor:
        """No less than `low` and no more than `high`."""
        return ops.clip(self, low, high)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Sum along `axis`."""
        return ops.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Arithmetic mean along `axis`."""
        return ops.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Largest number along `axis`."""
        return ops.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Smallest number along `axis`."""
        return ops.min(self, axis=axis, keepdims=keepdims)

    def var(self, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
        """Variance along `axis`."""
        return ops.var(self, axis=axis, ddof=ddof, keepdims=keepdims)

    def std(self, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
        """Standard deviation along `axis`."""
        return ops.std(self, axis=axis, ddof=ddof, keepdims=keepdims)

    def logsumexp(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """log(sum(e^x)) along `axis`."""
        return ops.logsumexp(self, axis=axis, keepdims=keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """Position of the largest number along `axis`."""
        return ops.argmax(self, axis=axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """Position of the smallest number along `axis`."""
        return ops.argmin(self, axis=axis, keepdims=keepdims)

    def all(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Are all elements along `axis` true?"""
        return ops.all(self, axis=axis, keepdims=keepdims)

    def any(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Is some element along `axis` true?"""
        return ops.any(self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """The same numbers in another shape: `t.reshape(2, 3)` or `t.reshape((2, 3))`."""
        return ops.reshape(self, shape=shape[0] if len(shape) == 1 else shape)  # type: ignore[arg-type]

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order: `t.transpose()`, `t.transpose(1, 0)` or `t.transpose((1, 0))`."""
        if len(axes) == 1 and not isinstance(axes[0], int):
            axes = axes[0]
        return ops.transpose(self, axes=axes or None)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Two axes exchanged."""
        return ops.swapaxes(self, axis1, axis2)

    def squeeze(self, axis: Axis = None) -> Tensor:
        """Without the axes of size one."""
        return ops.squeeze(self, axis=axis)

    def ravel(self) -> Tensor:
        """All numbers in one row."""
        return ops.ravel(self)

    def flatten(self, start_axis: int = 0, end_axis: int = -1) -> Tensor:
        """Some axes (all, unless given) as one."""
        return ops.flatten(self, start_axis, end_axis)

    def astype(self, dtype: DTypeLike) -> Tensor:
        """The same numbers in another dtype."""
        return ops.astype(self, dtype=np.dtype(dtype))

    def dot(self, other: Any) -> Tensor:
        """Product of scalars, vectors or matrices."""
        return ops.dot(self, other)

    def expm1(self) -> Tensor:
        """e^x - 1, exact for small x."""
        return ops.expm1(self)

    def exp2(self) -> Tensor:
        """2 to the power of each element."""
        return ops.exp2(self)

    def log1p(self) -> Tensor:
        """log(1 + x), exact for small x."""
        return ops.log1p(self)

    def log2(self) -> Tensor:
        """Logarithm to base 2."""
        return ops.log2(self)

    def log10(self) -> Tensor:
        """Logarithm to base 10."""
        return ops.log10(self)

    def square(self) -> Tensor:
        """x * x."""
        return ops.square(self)

    def rsqrt(self) -> Tensor:
        """1 / sqrt(x)."""
        return ops.rsqrt(self)

    def reciprocal(self) -> Tensor:
        """1 / x."""
        return ops.reciprocal(self)

    def tan(self) -> Tensor:
        """Tangent of each element."""
        return ops.tan(self)

    def sinh(self) -> Tensor:
        """Hyperbolic sine."""
        return ops.sinh(self)

    def cosh(self) -> Tensor:
        """Hyperbolic cosine."""
        return ops.cosh(self)

    def arcsin(self) -> Tensor:
        """Inverse sine."""
        return ops.arcsin(self)

    def arccos(self) -> Tensor:
        """Inverse cosine."""
        return ops.arccos(self)

    def arctan(self) -> Tensor:
        """Inverse tangent."""
        return ops.arctan(self)

    def arcsinh(self) -> Tensor:
        """Inverse hyperbolic sine."""
        return ops.arcsinh(self)

    def arccosh(self) -> Tensor:
        """Inverse hyperbolic cosine."""
        return ops.arccosh(self)

    def arctanh(self) -> Tensor:
        """Inverse hyperbolic tangent."""
        return ops.arctanh(self)

    def floor(self) -> Tensor:
        """The largest integer that is not larger; gradient 0."""
        return ops.floor(self)

    def ceil(self) -> Tensor:
        """The smallest integer that is not smaller; gradient 0."""
        return ops.ceil(self)

    def trunc(self) -> Tensor:
        """Without the fraction; gradient 0."""
        return ops.trunc(self)

    def sign(self) -> Tensor:
        """-1, 0 or 1; gradient 0."""
        return ops.sign(self)

    def erf(self) -> Tensor:
        """The error function of each element."""
        return ops.erf(self)

    def isnan(self) -> Tensor:
        """True where it is not a number."""
        return ops.isnan(self)

    def isinf(self) -> Tensor:
        """True where it is infinite."""
        return ops.isinf(self)

    def isfinite(self) -> Tensor:
        """True where it is a finite number."""
        return ops.isfinite(self)

    def round(self, decimals: int = 0) -> Tensor:
        """Rounded, halves to the even neighbour; gradient 0."""
        return ops.round(self, decimals)

    def maximum(self, other: Any) -> Tensor:
        """The larger of the two, element by element."""
        return ops.maximum(self, other)

    def minimum(self, other: Any) -> Tensor:
        """The smaller of the two, element by element."""
        return ops.minimum(self, other)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Product along `axis`."""
        return ops.prod(self, axis=axis, keepdims=keepdims)

    def median(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The middle one, or the mean of the middle two."""
        return ops.median(self, axis=axis, keepdims=keepdims)

    def ptp(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The largest minus the smallest."""
        return ops.ptp(self, axis=axis, keepdims=keepdims)

    def quantile(self, q: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The value below which a share q lies."""
        return ops.quantile(self, q, axis=axis, keepdims=keepdims)

    def count_nonzero(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """How many elements are not 0."""
        return ops.count_nonzero(self, axis=axis, keepdims=keepdims)

    def norm(self, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """A vector or matrix norm, the Euclidean one unless given."""
        return ops.norm(self, ord, axis, keepdims)

    def cumsum(self, axis: int | None = None) -> Tensor:
        """Running sum along `axis`."""
        return ops.cumsum(self, axis=axis)

    def cumprod(self, axis: int | None = None) -> Tensor:
        """Running product along `axis`."""
        return ops.cumprod(self, axis=axis)

    def sort(self, axis: int | None = -1) -> Tensor:
        """In rising order along `axis`."""
        return ops.sort(self, axis=axis)

    def argsort(self, axis: int | None = -1) -> Tensor:
        """The positions in rising order along `axis`."""
        return ops.argsort(self, axis=axis)

    def outer(self, other: Any) -> Tensor:
        """Every element times every element of the other."""
        return ops.outer(self, other)

    def inner(self, other: Any) -> Tensor:
        """Sum of products over the last axis of both."""
        return ops.inner(self, other)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """Sum of the diagonal."""
        return ops.trace(self, offset, axis1, axis2)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """The diagonal of each matrix."""
        return ops.diagonal(self, offset, axis1, axis2)

    def tril(self, k: int = 0) -> Tensor:
        """With 0 above diagonal k."""
        return ops.tril(self, k)

    def triu(self, k: int = 0) -> Tensor:
        """With 0 below diagonal k."""
        return ops.triu(self, k)

    def inv(self) -> Tensor:
        """The inverse of each matrix."""
        return ops.inv(self)

    def det(self) -> Tensor:
        """The determinant of each matrix."""
        return ops.det(self)

    def matrix_power(self, n: int) -> Tensor:
        """The matrix multiplied with itself n times."""
        return ops.matrix_power(self, n)

    def broadcast_to(self, shape: int | Sequence[int]) -> Tensor:
        """Repeated up to a shape."""
        return ops.broadcast_to(self, shape)

    def expand_dims(self, axis: int | tuple[int, ...]) -> Tensor:
        """With a new axis of size one."""
        return ops.expand_dims(self, axis)

    def moveaxis(self, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
        """Axes moved to other places."""
        return ops.moveaxis(self, source, destination)

    def flip(self, axis: Axis = None) -> Tensor:
        """The other way round along `axis`."""
        return ops.flip(self, axis)

    def roll(self, shift: int | Sequence[int], axis: Axis = None) -> Tensor:
        """Shifted round along `axis`."""
        return ops.roll(self, shift, axis)

    def repeat(self, repeats: int | Sequence[int], axis: int | None = None) -> Tensor:
        """Each element several times."""
        return ops.repeat(self, repeats, axis)

    def tile(self, reps: int | Sequence[int]) -> Tensor:
        """The whole tensor several times."""
        return ops.tile(self, reps)

    def take(self, indices: Any, axis: int | None = None) -> Tensor:
        """The elements at these positions along `axis`."""
        return ops.take(self, indices, axis)

    def gather(self, axis: int, index: Any) -> Tensor:
        """One element for each index along `axis` (as PyTorch's gather)."""
        return ops.gather(self, axis, index)

    def masked_fill(self, mask: Any, value: Any) -> Tensor:
        """With `value` where the mask is True."""
        return ops.masked_fill(self, mask, value)

    def masked_select(self, mask: Any) -> Tensor:
        """The elements where the mask is True, in one row."""
        return ops.masked_select(self, mask)

    def topk(self, k: int, axis: int = -1, largest: bool = True, sorted: bool = True) -> Any:
        """The k largest (or smallest) along `axis`: a pair of values and indices."""
        return ops.topk(self, k, axis, largest, sorted)

    def split(self, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
        """Parts of equal length, or cut at these positions."""
        return ops.split(self, indices_or_sections, axis)

    def chunk(self, chunks: int, axis: int = 0) -> tuple[Tensor, ...]:
        """So many parts, as equal as can be (as PyTorch's chunk)."""
        return ops.chunk(self, chunks, axis)

    # Names under which PyTorch's users look for what is here already.

    def pow(self, exponent: Any) -> Tensor:
        """`t ** exponent`."""
        return ops.power(self, exponent)

    def matmul(self, other: Any) -> Tensor:
        """`t @ other`."""
        return ops.matmul(self, other)

    def clone(self) -> Tensor:
        """The same numbers in memory of their own, through which the gradient flows: `t.copy()`."""
        return ops.copy(self)

    def permute(self, *axes: Any) -> Tensor:
        """The axes in another order: `t.transpose(...)`."""
        return self.transpose(*axes)

    def index_select(self, axis: int, index: Any) -> Tensor:
        """The rows (or columns, ...) at these positions: `t.take(index, axis)`."""
        return ops.take(self, index, axis)

    def unbind(self, axis: int = 0) -> tuple[Tensor, ...]:
        """The parts along an axis, without it."""
        return ops.unstack(self, axis=axis)
