"""The pytest plugin: gradcheck as a fixture, with numbers that are drawn anew for each test and the same in each run.

    def test_cube(gradcheck, gradcheck_rng):
        x = tg.Tensor(gradcheck_rng.normal(size=(3, 4)), requires_grad=True)
        gradcheck(lambda x: x**3, x)

It comes with the package, into every pytest of an environment.  So it stands beside the package, and not in it: it
loads nothing, neither NumPy nor tinygrad_edu, until a test asks for one of its fixtures; and it says nothing unless
such a test fails.  Then it says with which seed.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import numpy as np

SEED = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The seed of all seeds, for other numbers than the usual ones: an option, or a line in the ini file."""
    parser.getgroup("gradcheck").addoption(
        "--gradcheck-seed", type=int, default=None, metavar="N", help="draw other numbers in tests that use gradcheck"
    )
    parser.addini("gradcheck_seed", "draw other numbers in tests that use gradcheck (0)", default="0")


@pytest.fixture
def gradcheck_rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator of its own for each test, seeded from the test's name: the same in each run and in any order."""
    import numpy as np

    request.node.stash[SEED] = seed = _seed(request.config, request.node)
    return np.random.default_rng(seed)


@pytest.fixture
def gradcheck(gradcheck_rng: np.random.Generator) -> Any:
    """`tinygrad_edu.check.gradcheck`, whose cotangents are drawn with the test's generator."""
    from tinygrad_edu import check

    return functools.partial(check.gradcheck, rng=gradcheck_rng)


@pytest.fixture
def gradgradcheck(gradcheck_rng: np.random.Generator) -> Any:
    """`tinygrad_edu.check.gradgradcheck`, whose cotangents are drawn with the test's generator."""
    from tinygrad_edu import check

    return functools.partial(check.gradgradcheck, rng=gradcheck_rng)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Write the seed into the report of a test that has failed."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and SEED in item.stash:
        base = _base(item.config)
        report.sections.append(
            (
                "gradcheck",
                f"seed {item.stash[SEED]}: np.random.default_rng({item.stash[SEED]}) draws these numbers again, and "
                f"so does --gradcheck-seed={base}",
            )
        )


def _base(config: pytest.Config) -> int:
    """The seed of all seeds."""
    option = config.getoption("gradcheck_seed")
    said = config.getini("gradcheck_seed") if option is None else option
    try:
        return int(said)
    except ValueError:
        raise pytest.UsageError(f"gradcheck_seed = {said}: a whole number is expected") from None


def _seed(config: pytest.Config, item: pytest.Item) -> int:
    """The seed of a test: from its name, which no worker of xdist and no order of the tests changes."""
    path, _, name = item.location
    text = f"{_base(config)} {path} {name}".replace("\\", "/")
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
