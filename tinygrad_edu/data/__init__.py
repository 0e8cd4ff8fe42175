"""Data to train on: real images, small made-up sets, and batches of them, all as plain NumPy arrays."""

from .batches import batches
from .digits import digits
from .errors import DataError
from .idx import read_idx, write_idx
from .mnist import mnist
from .split import Split
from .toys import article_regression, circles, moons, spiral, xor

__all__ = [
    "DataError",
    "Split",
    "article_regression",
    "batches",
    "circles",
    "digits",
    "mnist",
    "moons",
    "read_idx",
    "spiral",
    "write_idx",
    "xor",
]
