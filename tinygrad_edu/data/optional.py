"""Where scikit-learn comes in: an optional extra, imported only by the call that needs it."""

import importlib
from typing import Any


def sklearn_datasets(needed_by: str) -> Any:
    """The module `sklearn.datasets`, for the function named `needed_by`.

    Raises ImportError with the command that installs it.

    >>> sklearn_datasets("digits").__name__
    'sklearn.datasets'
    """
    try:
        return importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise ImportError(
            f'{needed_by} needs scikit-learn: pip install "tinygrad_edu[examples]"', name="sklearn"
        ) from error
