"""The one exception of this package."""


class DataError(ValueError):
    """A file, an array or a parameter that cannot be used as data; the message says which, and what is wrong.

    >>> raise DataError("train.csv: the file is empty.")
    Traceback (most recent call last):
    tinygrad_edu.data.errors.DataError: train.csv: the file is empty.
    """
