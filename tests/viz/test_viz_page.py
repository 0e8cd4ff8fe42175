"""The page as a file: what is written into it, before any browser reads it."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
import viz
from tinygrad_edu import Tensor
from tinygrad_edu.program import trace
from viz.arrays import as_json, limit
from viz.stage import stage
from viz.steps import steps_of

NAMES = ("</script><img src=x onerror=pwned=1>", '"><svg onload=pwned=1>', "\x00\u2028 & `${x}` $picture", "Straße μ")


def network() -> Tensor:
    x, t = tg.data.xor()
    net = tg.nn.MLP([2, 3, 1], "relu", output="sigmoid", rng=0)
    loss = tg.nn.functional.binary_cross_entropy(net(Tensor(x, name="X")), Tensor(t, name="t"))
    loss.name = "L"
    return loss


def reused() -> Tensor:
    """x acts on the loss in four ways: two in x * x, one in the sum, one in the product."""
    x = Tensor([[1.0, 2.0], [-3.0, 0.5]], requires_grad=True, name="x")
    loss = ((x * x + x) @ x).sum()
    loss.name = "L"
    return loss


class Reader(HTMLParser):
    """The elements and the data of a page, as an HTML parser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.data: Any = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][1].get("id") == "data" and data.strip():
            self.data = json.loads(data)


def read(loss: Tensor, folder: Path) -> Reader:
    return Reader(viz.page(loss, folder / "page.html").read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------------- the steps


@pytest.mark.parametrize("build", [network, reused])
def test_steps_are_the_program_in_its_order(build: Any) -> None:
    program = trace(build())
    steps = steps_of(program)
    assert steps[0].part == "start"
    assert [s.equation for s in steps if s.part == "forward"] == program.forward
    assert [s.contribution for s in steps if s.contribution] == program.contributions
    forward = [i for i, s in enumerate(steps) if s.part == "forward"]
    assert max(forward) < min(i for i, s in enumerate(steps) if s.part == "backward")


def test_each_step_ends_with_the_engines_gradient() -> None:
    """What the last contribution to a tensor leaves is its `.grad` after `backward`."""
    loss = reused()
    steps = [s for s in steps_of(trace(loss)) if s.fills[0].name == "x" and s.part == "backward"]
    assert [(s.number, s.total) for s in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    x = steps[0].fills[0].value
    total = np.zeros_like(x)
    for step in steps:
        assert step.contribution is not None
        total = total + step.contribution.value.value
        np.testing.assert_allclose(step.coming_out[-1].variable.value, total, rtol=1e-15)
    twin = Tensor(x, requires_grad=True)
    ((twin * twin + twin) @ twin).sum().backward()
    np.testing.assert_allclose(total, twin.grad, rtol=1e-15)


def test_equations_shapes_and_simplified_lines() -> None:
    steps = {step.headline: step for step in steps_of(trace(network()))}
    assert [line.text() for line in steps["Gradient of W¹"].lines] == ["∂L/∂W¹ = Xᵀ δ¹"]
    assert steps["Gradient of W¹"].shapes == "(2, 4) @ (4, 3) → (2, 3)"
    assert steps["Compute U¹"].shapes == "(4, 2), (2, 3), (3,) → (4, 3)"
    short = steps["Gradient of U²"].short
    assert short is not None
    assert short.text() == "δ² = ∂L/∂U² = (y − t) / n"
    assert steps["Gradient of W²"].short is None  # it says the same


def test_what_a_loss_mentions_is_said_first() -> None:
    net = tg.nn.Linear(2, 3, rng=0)
    loss = tg.nn.functional.cross_entropy(net(np.ones((2, 2))), np.array([0, 2]))
    loss.name = "L"
    step = next(step for step in steps_of(trace(loss)) if step.fills[0].name == "L")
    assert [line.text() for line in step.lines] == ["T = onehot(t)", "Y = softmax(U¹)", "L = −1/n Σ[ T ⊙ log Y ]"]
    assert "n = 2" in step.note


@pytest.mark.parametrize("build", [network, reused])
def test_each_step_lights_its_own_arrows(build: Any, tmp_path: Path) -> None:
    """Forward: one solid arrow for each operand and one to the result.  Backward: two dashed ones."""
    program = trace(build())
    drawn = stage(program, tmp_path / "page.html")
    ids = {element.get("id") for element in drawn.svg.iter()}
    sent = []
    for step in steps_of(program)[1:]:
        light = drawn.light(step)
        assert set(light.lit) <= ids
        edges = [x for x in light.lit if x[0] in "ab"]
        if step.part == "forward":
            assert step.equation is not None
            assert len(edges) == len(step.equation.operands) + 1
            assert all(x[0] == "a" for x in edges)
        elif step.contribution is not None:
            assert len(edges) == 2
            assert all(x[0] == "b" for x in edges)
            sent.append(edges[1])
        assert light.target is not None
        assert drawn.boxes[light.target] in step.fills
    assert len(set(sent)) == len(program.contributions)  # x * x has two


# ------------------------------------------------------------------------------------------ the file


def test_numbers_of_the_page_are_the_engines(tmp_path: Path) -> None:
    loss = network()
    data = read(loss, tmp_path).data
    program = trace(loss)
    found = {x["name"]: x for x in data["tensors"]}
    assert set(found) == {x.name for x in [*program.inputs, *(e.target for e in program.forward)] if x.kind != "seed"}
    for name, tensor in found.items():
        for key, variable in (("value", program[name]), ("gradient", program.gradients.get(program[name]))):
            if variable is None:
                assert tensor[key] is None
                continue
            array = data["arrays"][tensor[key]]
            assert tuple(array["shape"]) == variable.shape
            np.testing.assert_allclose(np.reshape(array["values"], variable.shape), variable.value, rtol=1e-8)


def test_names_stay_text(tmp_path: Path) -> None:
    """Nothing in a name becomes an element, an attribute, or the end of the data."""
    plain = read(_named(("a", "b", "c", "d")), tmp_path)
    path = viz.page(_named(NAMES), tmp_path / "names.html", title=NAMES[0])
    text = path.read_text(encoding="utf-8")
    named = Reader(text)
    count = {tag: sum(t == tag for t, _ in plain.elements) for tag in ("script", "img", "svg", "style", "iframe")}
    assert {tag: sum(t == tag for t, _ in named.elements) for tag in count} == count
    assert not [key for _, attributes in named.elements for key in attributes if key.startswith("on")]
    assert NAMES[0] in {x["name"] for x in named.data["tensors"]}
    (embedded,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert not set(embedded) & set("<>&\u2028\u2029")


def _named(names: tuple[str, ...]) -> Tensor:
    product: Any = 1.0
    for name in names:
        product = product * Tensor([1.0, 2.0], requires_grad=True, name=name)
    return product.sum()


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    first, second = (viz.page(network(), tmp_path / name) for name in ("a.html", "b.html"))
    assert first.read_bytes() == second.read_bytes()


def test_no_gradient_is_touched_and_the_graph_stays(tmp_path: Path) -> None:
    x = Tensor(3.0, requires_grad=True, name="x")
    loss = x * x
    viz.page(loss, tmp_path / "page.html")
    assert x.grad is None
    loss.backward()
    assert x.grad == 6.0


def test_errors_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = Tensor(3.0, requires_grad=True)
    with pytest.raises(ValueError, match=r"page\.pdf: the ending must be \.html"):
        viz.page(x * x, tmp_path / "page.pdf")
    y = x * x
    y.backward()
    with pytest.raises(tg.GraphError, match="retain_graph=True"):
        viz.page(y, tmp_path / "page.html")
    monkeypatch.setattr(sys.modules["viz.page"], "MOST", 3)
    with pytest.raises(ValueError, match=r"page: 4 steps \(of 2 operations\) are more than the 3 .*smaller model"):
        viz.page(tg.exp(tg.exp(x)), tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_a_failed_layout_keeps_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("viz.layout.laid_out", _fails)
    with pytest.raises(viz.LayoutError, match=r"no engine\. The graph is kept in .*page\.dot"):
        viz.page(network(), tmp_path / "page.html")
    assert (tmp_path / "page.dot").read_text().startswith("digraph")


def _fails(*_: Any) -> bytes:
    raise viz.LayoutError("no engine.")


# ------------------------------------------------------------------------------------------ the arrays


def test_arrays_as_json() -> None:
    assert as_json(np.array([np.nan, np.inf, -np.inf, 0.1, 2.0]))["values"] == ["NaN", "Infinity", "-Infinity", 0.1, 2]
    assert as_json(np.float32(0.5)) == {"shape": [], "dtype": "float32", "rows": 1, "columns": 1, "values": [0.5]}
    assert as_json(np.zeros((0, 3)))["values"] == []
    assert as_json(np.array([[True, False]]))["values"] == [1, 0]
    assert "summary" not in as_json(np.ones((8, 6)))  # a table
    assert as_json(np.ones((9, 1)))["summary"] == {"norm": 3, "mean": 1, "min": 1, "max": 1}


def test_a_large_array_becomes_means_of_blocks() -> None:
    x = np.random.default_rng(0).normal(size=(100, 200))
    found = as_json(x, 200)
    assert found["rows"] * found["columns"] <= 200
    down, across = 100 // found["rows"], 200 // found["columns"]
    blocks = x.reshape(found["rows"], down, found["columns"], across).mean(axis=(1, 3))
    np.testing.assert_allclose(np.reshape(found["values"], blocks.shape), blocks, rtol=1e-7, atol=1e-9)
    assert found["summary"]["norm"] == pytest.approx(np.linalg.norm(x), rel=1e-8)
    x[3, 4] = np.nan
    assert as_json(x, 200)["summary"]["not finite"] == 1
    assert limit([4096] * 1000) < limit([4096] * 10) == 4096
