"""The pytest plugin, in pytests of its own: nothing without a use, a seed for each test, printed where one fails."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENTRY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]

SEEDS = """
import pathlib, pytest

@pytest.mark.parametrize("i", range(3))
def test_a(gradcheck_rng, i, request):
    with open(pathlib.Path(__file__).parent / "drawn", "a") as file:
        file.write(f"{request.node.name} {gradcheck_rng.integers(10**9)}\\n")

@pytest.mark.xdist_group("group")
def test_b(gradcheck_rng, request): test_a(gradcheck_rng, 0, request)
"""


@pytest.fixture
def installed(tmp_path):
    """A pytest in an environment into which the package is installed, as far as its entry point goes."""
    site = tmp_path / "site"
    info = site / "tinygrad_edu-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tinygrad_edu\nVersion: 0\n")
    lines = [f"{name} = {module}\n" for name, module in ENTRY.items()]
    (info / "entry_points.txt").write_text("[pytest11]\n" + "".join(lines))
    folder = tmp_path / "tests"
    folder.mkdir()

    def run(text, *options, ini="[pytest]\nfilterwarnings = error\n"):
        (folder / "test_it.py").write_text(text)
        (folder / "pytest.ini").write_text(ini)
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV"))}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options], cwd=folder, capture_output=True,
            text=True, timeout=120, env={**environment, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])},
        )  # fmt: skip

    def drawn(*options, **kwargs):
        (folder / "drawn").write_text("")
        done = run(SEEDS, *options, **kwargs)
        assert done.returncode == 0, done.stdout
        return dict(sorted(line.split() for line in (folder / "drawn").read_text().splitlines()))

    run.drawn = drawn
    return run


def test_it_loads_nothing_and_says_nothing(installed):
    text = """
import sys
def test_plain():
    assert "tinygrad_edu_pytest" in sys.modules
    assert not {"numpy", "tinygrad_edu"} & set(sys.modules)
"""
    done = installed(text)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    said = done.stdout.replace("plugins:", "").lower()
    assert not [line for line in said.splitlines() if "seed" in line or "gradcheck" in line]
    without = installed(text, "-p", "no:tinygrad_edu", "-k", "nothing")
    assert without.returncode == 5, "it can be switched off under its name"


def test_nothing_is_printed_when_all_is_well(installed):
    done = installed("""
import tinygrad_edu as tg
def test_cube(gradcheck, gradgradcheck, gradcheck_rng):
    x = tg.Tensor(gradcheck_rng.normal(size=(3, 4)), requires_grad=True)
    assert gradcheck(lambda x: x**3, x).entries == 12
    assert gradgradcheck(lambda x: x**3, x)
    assert gradcheck(lambda x: x**3, x, rng=1)
""", "-rA")  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "seed" not in done.stdout + done.stderr


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_a_failure_names_its_seed(installed, workers):
    done = installed("""
import numpy as np
def test_wrong(gradcheck, gradcheck_rng):
    print("drawn", gradcheck_rng.integers(10**9))
    gradcheck(lambda w: np.sum(w**2), np.array([1.0]), gradient=lambda w: w)
def test_other():
    assert 1 == 2
""", *workers)  # fmt: skip
    assert done.returncode == 1
    assert "yours 1, numerical 2" in done.stdout
    assert ">   " in done.stdout
    assert "check_first" not in done.stdout, "the line of the test is shown, and not what is behind it"
    found = re.findall(
        r"- gradcheck -+\nseed (\d+): np\.random\.default_rng\(\1\) .* --gradcheck-seed=0\n", done.stdout
    )
    assert len(found) == 1, done.stdout
    drawn = re.search(r"drawn (\d+)", done.stdout)[1]
    code = f"import numpy as np; print(np.random.default_rng({found[0]}).integers(10**9))"
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert again.stdout.strip() == drawn


def test_an_error_in_a_fixture_names_the_seed_too(installed):
    done = installed("""
import pytest
@pytest.fixture
def data(gradcheck_rng): raise ValueError("no data")
def test_it(data): pass
""")
    assert done.stdout.count("\nseed ") == 1


def test_seeds_differ_by_test_and_not_by_run_order_or_worker(installed):
    usual = installed.drawn()
    assert len(usual) == 4
    assert len(set(usual.values())) == 4
    assert installed.drawn("-n", "2") == usual
    assert installed.drawn("-n", "2", "--dist", "loadgroup") == usual
    assert installed.drawn("-k", "test_b") == {"test_b": usual["test_b"]}


def test_other_seeds_on_demand(installed):
    usual, other = installed.drawn(), installed.drawn("--gradcheck-seed", "1")
    assert not set(usual.values()) & set(other.values())
    ini = "[pytest]\ngradcheck_seed = 1\n"
    assert installed.drawn(ini=ini) == other
    assert installed.drawn("-n", "2", "--gradcheck-seed=0", ini=ini) == usual
    assert installed.drawn("-n", "2", "--gradcheck-seed=1") == other


def test_a_seed_that_is_no_number(installed):
    done = installed(SEEDS, ini="[pytest]\ngradcheck_seed = many\n")
    assert "gradcheck_seed = many: a whole number is expected" in done.stdout + done.stderr
