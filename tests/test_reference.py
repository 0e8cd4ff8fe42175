"""The reference page names every operation, with its equation and its gradient."""

import subprocess
import sys

import pytest

import tinygrad_edu as tg
from tinygrad_edu.op import OPS
from tinygrad_edu.reference import gradient, reference

PAGE = reference()


@pytest.mark.parametrize("name", OPS)
def test_every_operation_is_there(name: str) -> None:
    op = OPS[name]
    shown = op.shown.__name__
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{shown}(")]
    assert rows, f"{name} ({op.shown.__module__}) is missing"
    assert (gradient(op) != "none") == op.differentiable
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)


def test_it_is_a_program() -> None:
    ran = subprocess.run([sys.executable, "-m", "tinygrad_edu.reference"], capture_output=True, text=True, check=True)
    assert ran.stdout == PAGE


def test_numpy_names_are_given() -> None:
    assert "`np.tanh`" in PAGE
    assert "`np.matmul`" in PAGE


def test_the_chapter_on_own_operations() -> None:
    """The README's example of an own operation runs as it stands, and finds the planted mistake."""
    from pathlib import Path

    text = (Path(__file__).parents[1] / "README.md").read_text()
    chapter = text[text.index("## Add your own operation") :]
    code = chapter.split("```python\n")[1].split("```")[0]
    scope: dict = {}
    exec(code, scope)
    swish = scope["swish"]
    x = tg.Tensor([1.0, -2.0], requires_grad=True)
    assert swish(x, beta=2.0).shape == (2,)
    wrong = tg.Op(swish.forward, vjps=[lambda g, y, x, beta: g * tg.sigmoid(beta * x)], name="wrong", like=swish.shown)
    with pytest.raises(AssertionError, match="wrong"):
        tg.check.check_op(wrong, samples=swish.samples)
