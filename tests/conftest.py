"""What holds for all tests."""

import gc

import pytest
from hypothesis import settings

settings.register_profile("no clock", deadline=None)  # a busy machine is no failure
settings.load_profile("no clock")


def pytest_collection_finish(session: pytest.Session) -> None:
    """The collector needs not look at modules and thousands of tests again and again: compiling a step calls it."""
    gc.collect()
    gc.freeze()
