"""Embedding: a table of vectors that are learned, one for each word (or whatever is counted)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_edu.nn import functional, init
from tinygrad_edu.nn.init import Initializer
from tinygrad_edu.nn.module import Module, Parameter

__all__ = ["Embedding"]


class Embedding(Module):
    """The rows of a table by their numbers.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows and features of the table, `weight`.
    padding_idx : int, optional
        A row that starts as zeros and gets no gradient: that of the filler in short sequences.
    weight_init : str or function
        From `nn.init`; N(0, 1) unless given.
    rng : int, Generator or None
        Where the numbers are drawn from; an int seeds a new generator.
    dtype : dtype
        float64 unless given.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> layer = tg.nn.Embedding(10, 4, rng=0)
    >>> layer(np.array([[1, 2, 3], [4, 5, 6]])).shape
    (2, 3, 4)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        weight_init: str | Initializer = "normal",
        rng: int | np.random.Generator | None = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        super().__init__()
        for name, size in (("num_embeddings", num_embeddings), ("embedding_dim", embedding_dim)):
            if not isinstance(size, (int, np.integer)) or size < 1:
                raise ValueError(f"Embedding: {name}={size!r}: a positive integer is expected")
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"Embedding: padding_idx {padding_idx} is outside a table of {num_embeddings} rows")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        shape = num_embeddings, embedding_dim
        weight = init.get(weight_init)(shape, *shape, np.random.default_rng(rng))
        if self.padding_idx is not None:
            weight[self.padding_idx] = 0
        self.weight = Parameter(weight, dtype=dtype)

    def forward(self, labels: Any) -> Any:
        return functional.embedding(labels, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
