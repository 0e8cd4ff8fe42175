"""What the picture says beyond boxes: modules, rules and contributions, and what is rolled up or left out."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_edu as tg
import viz
from tinygrad_edu import Tensor
from tinygrad_edu.op import OPS
from tinygrad_edu.program import Contribution, Equation, Variable, trace
from viz.graph import SHARED, collect
from viz.layout import laid_out
from viz.rollup import LIMIT
from viz.rules import local_rule

SVG = "{http://www.w3.org/2000/svg}"


def network() -> Tensor:
    x, t = tg.data.xor()
    net = tg.nn.MLP([2, 3, 1], "relu", output="sigmoid", rng=0)
    return tg.nn.functional.binary_cross_entropy(net(Tensor(x, name="X")), Tensor(t, name="t"))


def blocks(n: int, width: int = 4) -> Tensor:
    rng = np.random.default_rng(0)
    net = tg.nn.Sequential(*(tg.nn.MLP([width, 5, width], rng=i) for i in range(n)))
    return (net(rng.normal(size=(3, width))) ** 2).mean()


def rnn(steps: int) -> Tensor:
    rng = np.random.default_rng(0)
    W, U = (Tensor(rng.normal(size=(4, 4)), requires_grad=True, name=name) for name in "WU")
    h: Any = Tensor(np.zeros((2, 4)), name="h0")
    for _ in range(steps):
        h = tg.tanh(h @ W + Tensor(rng.normal(size=(2, 4))) @ U)
    return (h * h).sum()


# ------------------------------------------------------------------------------------------- rules


def rules(loss: Tensor, of: str) -> list[str]:
    program = trace(loss)
    return [local_rule(program, c) for c in program.contributions if c.equation.op.name == of]


def test_rules_are_the_textbooks() -> None:
    a, b = (Tensor(np.arange(1.0, 5.0).reshape(2, 2), requires_grad=True) for _ in range(2))
    assert rules((a @ b).sum(), "matmul") == ["g bᵀ", "aᵀ g"]
    assert rules((a * b).sum(), "multiply") == ["g ⊙ b", "g ⊙ a"]
    assert rules((a / b).sum(), "divide") == ["g / b", "−g ⊙ y / b"]
    assert rules((a - b).sum(), "subtract") == ["g", "−g"]
    assert rules(tg.relu(a).sum(), "relu") == ["g ⊙ 𝟏[y > 0]"]
    assert rules(tg.sigmoid(a).sum(), "sigmoid") == ["g ⊙ y ⊙ (1 − y)"]
    assert rules(tg.softsign(a).sum(), "softsign") == ["g / (1 + |x|)²"]
    assert rules(tg.linear(a, b, a[0]).sum(), "linear") == ["g weightᵀ", "xᵀ g", "𝟏ᵀ g"]
    loss = tg.nn.functional.cross_entropy(a, np.array([0, 1]))
    assert rules(loss, "cross_entropy") == ["g (softmax(logits) − onehot(targets)) / 2"]


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if op.differentiable and op.samples])
def test_every_operation_has_a_rule(name: str) -> None:
    """Nothing but g, y, constants and the names of its own inputs stands in it."""
    op = OPS[name]
    rng = np.random.default_rng(0)
    inputs = [
        Tensor(x, requires_grad=True) if np.asarray(x).dtype.kind == "f" and not isinstance(x, int) else x
        for x in op.samples[0].draw(rng)
    ]
    out = op(*inputs, **op.samples[0].params)
    program = trace((out * rng.normal(size=out.shape)).sum())
    own = [c for c in program.contributions if c.equation.op is op]
    assert own
    names = {x.name for x in program.variables()} - set(op.inputs)
    for contribution in own:
        text = local_rule(program, contribution)
        assert text
        assert not {word for word in re.findall(r"[a-z_]+\d+", text) if word in names}


# ----------------------------------------------------------------------------------- arrows and ids


def elements(picture: viz.draw.Picture) -> dict[str, ElementTree.Element]:  # type: ignore[name-defined]
    root = ElementTree.fromstring(laid_out(picture.source, "svg"))
    return {g.get("id", ""): g for g in root.iter(f"{SVG}g")}


def said(element: ElementTree.Element) -> str:
    return " ".join(text.text or "" for text in element.iter(f"{SVG}text"))


def test_everything_is_found_in_the_svg() -> None:
    """The ids of a picture name the elements: boxes, operations, and the dashed arrow of each contribution."""
    picture = viz.draw(network())
    found = elements(picture)
    program = picture.drawing.program
    for variable in [*program.inputs, *(e.target for e in program.forward)]:
        if variable.kind not in ("constant", "seed"):
            assert variable.name in said(found[picture.ids[variable]])
    for equation in program.forward:
        assert equation.op.name in said(found[picture.ids[equation]])
    for contribution in program.contributions:
        arrow = found[picture.ids[contribution]]
        assert arrow.get("class") == "edge backward"
        (path,) = arrow.iter(f"{SVG}path")
        assert path.get("stroke-dasharray")
        assert local_rule(program, contribution)[:20] in said(arrow)
    kinds = {type(x) for x in picture.ids}
    assert kinds == {Variable, Equation, Contribution}


def test_contributions_stand_on_their_arrows() -> None:
    x = Tensor(3.0, requires_grad=True, name="x")
    y = x * 2
    picture = viz.draw(y * y + y)
    found = elements(picture)
    program = picture.drawing.program
    sent = [said(found[picture.ids[c]]) for c in program.contributions if c.operand.name == "multiply1"]
    assert sent == ["g + 1", "g a + 6", "g a + 6"]  # a and b are one tensor here
    assert "Σ of 3".replace("Σ", "\N{N-ARY SUMMATION}") in said(found[picture.ids[program["multiply1"]]])


def places(source: str, axis: int) -> dict[str, float]:
    """Where the nodes are, left to right or top to bottom."""
    root = ElementTree.fromstring(laid_out(source, "svg"))
    found = {}
    for g in root.iter(f"{SVG}g"):
        if g.get("class", "").startswith("node"):
            text = next(g.iter(f"{SVG}text"))
            found[g.findtext(f"{SVG}title", "")] = float(text.get("xy"[axis], 0))
    return found


def test_dashed_arrows_leave_the_layout_as_it_is() -> None:
    """Every operation keeps its place in the order from left to right."""
    full = viz.draw(network(), legend=False).source
    forward = "\n".join(line for line in full.splitlines() if "class=backward" not in line)
    assert forward != full
    orders = []
    for source in (full, forward):
        x = places(source, 0)
        orders.append(sorted((key for key in x if key.startswith("o")), key=x.__getitem__))
    assert orders[0] == orders[1] == [f"o{i}" for i in range(5)]


# ---------------------------------------------------------------------------------------- modules


def frames(picture: Any) -> dict[str, set[str]]:
    """The frames by their labels, and the tensors' names inside."""
    names = {box.key: box.name for box in picture.drawing.boxes}
    found: dict[str, set[str]] = {}
    open_frames: list[str] = []
    for line in picture.source.splitlines():
        if "subgraph" in line:
            open_frames.append("?")
        elif match := re.search(r"graph \[.*?label=<([^<>]*)>|^\t+color=.* label=<([^<>]*)>", line):
            if open_frames:
                open_frames[-1] = match[1] or match[2]
        elif line.strip() == "}" and open_frames:
            open_frames.pop()
        elif (key := line.split(" ")[0].strip()) in names:
            for frame in open_frames:
                found.setdefault(frame, set()).add(names[key])
    return found


def test_modules_are_frames() -> None:
    picture = viz.draw(network(), legend=False)
    assert frames(picture) == {
        "MLP": {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "linear1", "relu1", "linear2", "sigmoid1"},
        "fc1: Linear": {"fc1.weight", "fc1.bias", "linear1"},
        "act1: ReLU": {"relu1"},
        "fc2: Linear": {"fc2.weight", "fc2.bias", "linear2"},
        "out: Sigmoid": {"sigmoid1"},
    }


def test_modules_can_be_closed() -> None:
    loss = blocks(2)
    whole = collect(loss, depth=0)
    first = whole.operations[0]
    assert (first.name, first.formula) == (
        "Sequential",
        "6 operations, 8 parameters (98 numbers)",
    )
    assert [box.name for box in whole.boxes] == ["x", "linear4", "power1", "mean1"]
    closed = collect(loss, depth=1)
    assert [o.name for o in closed.operations] == ["0: MLP", "1: MLP", "power", "mean"]
    one = collect(loss, collapse=["1"])
    assert [o.name for o in one.operations] == ["linear", "relu", "linear", "1: MLP", "power", "mean"]
    layers = collect(loss, collapse=["Linear"])
    assert [o.name for o in layers.operations][:3] == ["fc1: Linear", "relu", "fc2: Linear"]
    assert [len(o.hidden) for o in layers.operations] == [2, 0, 2, 2, 0, 2, 0, 0]
    assert layers.rolled == (4, 4)
    with pytest.raises(ValueError, match=r"collapse='encoder': no module is called so; there is 0, 0\.act1, "):
        collect(loss, collapse=["encoder"])


def test_repeats_are_drawn_once() -> None:
    picture = viz.draw(blocks(12), rollup=True)
    assert [o.name for o in picture.drawing.operations] == ["linear", "relu", "linear", "× 11 more", "power", "mean"]
    assert "repeats 12 times" in picture.source
    assert "33 operations are rolled up into 1 box" in picture.source
    assert viz.draw(blocks(12), rollup=False).drawing.rolled == (0, 0)
    assert viz.draw(blocks(2), rollup=True).drawing.rolled == (0, 0)  # twice is no pattern


def test_a_large_picture_rolls_itself_up() -> None:
    small, large = (viz.draw(blocks(n)).drawing for n in (12, 60))
    assert small.rolled == (0, 0)
    assert large.rolled == (177, 1)
    rng = np.random.default_rng(0)
    y = x = Tensor(0.5, requires_grad=True, name="x")
    for choice in rng.integers(0, 4, 3000):  # no pattern, no modules
        y = [lambda y: y * x, lambda y: y + 1, tg.sin, tg.tanh][choice](y)
    chaos = viz.draw(y)
    assert len(chaos.drawing.operations) + len(chaos.drawing.boxes) <= LIMIT
    assert sum(len(o.unit.equations) for o in chaos.drawing.operations) == 3000
    assert "3,000 operations are rolled up into 50 boxes" in chaos.source


def test_fifty_steps_with_shared_weights() -> None:
    drawing = viz.draw(rnn(50)).drawing
    assert [o.name for o in drawing.operations] == ["matmul", "matmul", "add", "tanh", "× 49 more", "multiply", "sum"]
    assert len(drawing.operations[4].hidden) == 49  # the other inputs
    assert {box.name: box.received for box in drawing.boxes if box.kind == "parameter"} == {"W": 50, "U": 50}


def test_a_leaf_that_is_used_often_is_drawn_for_each_use() -> None:
    drawing = collect(rnn(SHARED + 1))
    names = [(box.name, box.again) for box in drawing.boxes if box.kind == "parameter"]
    assert names.count(("W", False)) == 1
    assert names.count(("W", True)) == SHARED
    assert len({box.key for box in drawing.boxes}) == len(drawing.boxes)
    assert sum(box.name == "W" for box in collect(rnn(SHARED)).boxes) == 1


def test_the_surroundings_of_one_tensor() -> None:
    loss = network()
    picture = viz.draw(loss, focus="relu1", radius=1)
    assert [o.name for o in picture.drawing.operations] == ["relu", "linear"]
    assert picture.drawing.cut == 3
    assert "3 operations farther away are left out" in picture.source
    keys = {box.name: box.key for box in picture.drawing.boxes}
    assert picture.drawing.ends == [("", keys["linear1"]), (keys["linear2"], "")]
    assert picture.source.count("it goes on here") == 2
    x = Tensor(2.0, requires_grad=True)
    y = x * 3
    assert [o.name for o in viz.draw(tg.sin(y) + 1, focus=y, radius=1).drawing.operations] == ["multiply", "sin"]
    with pytest.raises(ValueError, match=r"focus='nobody': it is not in this graph; there are fc1\.weight, "):
        viz.draw(loss, focus="nobody")


def test_no_box_overlaps_another() -> None:
    """The boxes of the nodes in the laid-out picture, legend and all."""
    for loss in (network(), blocks(3)):
        root = ElementTree.fromstring(laid_out(viz.draw(loss).source, "svg"))
        boxes = []
        for g in root.iter(f"{SVG}g"):
            if not g.get("class", "").startswith("node"):
                continue
            points = [
                p
                for e in g.iter()
                for p in re.findall(r"(-?[\d.]+)[, ](-?[\d.]+)", e.get("points") or e.get("d") or "")
            ]
            ellipse = g.find(f".//{SVG}ellipse")
            if ellipse is not None:
                cx, cy, rx, ry = (float(ellipse.get(k, 0)) for k in ("cx", "cy", "rx", "ry"))
                boxes.append((cx - rx, cy - ry, cx + rx, cy + ry))
            elif points:
                xs, ys = zip(*[(float(x), float(y)) for x, y in points])
                boxes.append((min(xs), min(ys), max(xs), max(ys)))
        assert len(boxes) > 10
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
