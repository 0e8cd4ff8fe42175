"""`viz.render`: formats, layout engines, and what happens when there is none, or it fails, or takes too long."""

import os
import stat
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import tinygrad_edu as tg
import viz
from viz import layout, wheel

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def loss() -> tg.Tensor:
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    return (x * x).sum()


@pytest.fixture
def no_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Graphviz: only the wheel is left."""
    monkeypatch.setattr(layout.shutil, "which", lambda name: None)


def stub_dot(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program called dot, first on the PATH."""
    dot = folder / "dot"
    dot.write_text(f"#!{sys.executable}\n{script}\n")
    dot.chmod(dot.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


MAGIC = {".svg": b"<?xml", ".png": b"\x89PNG\r\n\x1a\n", ".pdf": b"%PDF"}


@pytest.mark.parametrize("ending", MAGIC)
def test_the_wheel_renders(ending: str, loss: tg.Tensor, tmp_path: Path, no_dot: None) -> None:
    path = viz.render(viz.draw(loss), tmp_path / f"graph{ending}")
    content = path.read_bytes()
    assert content.startswith(MAGIC[ending])
    assert len(content) > 1000


def test_dot_is_preferred(loss: tg.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    svg = f'<svg xmlns="{SVG[1:-1]}"><g><title>from dot</title></g></svg>'
    stub_dot(tmp_path, monkeypatch, f"import sys; assert sys.argv[1] == '-Tsvg'; sys.stdin.read(); print({svg!r})")
    assert "from dot" in viz.render(viz.draw(loss), tmp_path / "graph.svg").read_text()


def test_an_svg_can_be_read_aloud(loss: tg.Tensor, tmp_path: Path) -> None:
    root = ElementTree.parse(viz.render(viz.draw(loss, title="x < y & z"), tmp_path / "graph.svg")).getroot()
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "x < y & z"
    assert root.findtext(f"{SVG}desc") == "3 tensors, 2 operations"


@pytest.mark.parametrize("ending", [".dot", ".gv"])
def test_graphviz_text(ending: str, loss: tg.Tensor, tmp_path: Path) -> None:
    picture = viz.draw(loss)
    assert viz.render(picture, tmp_path / f"graph{ending}").read_text() == picture.source


def test_a_tensor_is_drawn_first(loss: tg.Tensor, tmp_path: Path) -> None:
    assert viz.render(loss, tmp_path / "graph.dot").read_text() == viz.draw(loss).source


@pytest.mark.parametrize("name", ["graph.jpg", "graph", "graph.svg.exe"])
def test_other_endings_are_refused(name: str, loss: tg.Tensor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be one of \.svg, \.png, \.pdf, \.dot, \.gv"):
        viz.render(loss, tmp_path / name)


def refused(loss: tg.Tensor, tmp_path: Path, message: str, timeout: float = 60) -> None:
    picture = viz.draw(loss)
    with pytest.raises(viz.LayoutError, match=message) as caught:
        viz.render(picture, tmp_path / "graph.svg", timeout=timeout)
    assert (tmp_path / "graph.dot").read_text() == picture.source
    assert str(tmp_path / "graph.dot") in str(caught.value)
    assert not (tmp_path / "graph.svg").exists()


def test_without_any_engine(loss: tg.Tensor, tmp_path: Path, no_dot: None, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pygraphviz.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    refused(loss, tmp_path, r'pip install "tinygrad_edu\[viz\]"')


def test_an_engine_that_hangs(loss: tg.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub_dot(tmp_path, monkeypatch, "import time; time.sleep(60)")
    refused(loss, tmp_path, r"dot took longer than 0\.3 s", timeout=0.3)


def test_an_engine_that_crashes(loss: tg.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub_dot(tmp_path, monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    refused(loss, tmp_path, "dot failed: it ended with code -11")


def test_an_engine_that_complains(loss: tg.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub_dot(tmp_path, monkeypatch, "import sys; sys.exit('no memory')")
    refused(loss, tmp_path, "dot failed: no memory")


def test_the_child_needs_nothing_of_the_package() -> None:
    """It runs as a script: an import of viz would look for the package where there may be none."""
    assert "import viz" not in Path(wheel.__file__).read_text()
    assert "from viz" not in Path(wheel.__file__).read_text()
