"""The page in a headless Chromium: stepping, numbers, keyboard, accessibility, paper, and what a name must not do."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
import viz
from tinygrad_edu import Tensor
from tinygrad_edu.program import Program, trace
from viz.screenshot import browser, installed, screenshot
from viz.steps import Step, steps_of

ROOT = Path(__file__).resolve().parents[2]
GEOMETRY = (Path(__file__).parent / "geometry.js").read_text(encoding="utf-8")
WIDTHS = ((360, 740), (800, 1000), (1400, 900))
NAMES = ("</script><img src=x onerror=pwned=1>", '"><svg onload=pwned=1>', "\x00\u2028 & `${x}` $picture", "Straße μ")


def network() -> Tensor:
    x, t = tg.data.xor()
    net = tg.nn.MLP([2, 3, 1], "relu", output="sigmoid", rng=0)
    loss = tg.nn.functional.binary_cross_entropy(net(Tensor(x, name="X")), Tensor(t, name="t"))
    loss.name = "L"
    return loss


def reused() -> Tensor:
    x = Tensor([[1.0, 2.0], [-3.0, 0.5]], requires_grad=True, name="x")
    loss = ((x * x + x) @ x).sum()
    loss.name = "L"
    return loss


def digits() -> Tensor:
    rng = np.random.default_rng(0)
    net = tg.nn.MLP([64, 64, 32, 10], "relu", rng=rng)
    loss = tg.nn.functional.cross_entropy(net(rng.random((32, 64))), rng.integers(10, size=32))
    loss.name = "L"
    return loss


def attention() -> Tensor:
    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(3, 4)), name="x")
    Wq, Wk, Wv = (Tensor(rng.normal(size=(4, 4)), requires_grad=True, name=name) for name in ("Wq", "Wk", "Wv"))
    weights: Any = tg.softmax((x @ Wq) @ (x @ Wk).T * 0.5, axis=-1)
    h: Any = tg.tanh(weights @ (x @ Wv) + x)
    return (h * h).mean()


def named() -> Tensor:
    product: Any = 1.0
    for name in NAMES:
        product = product * Tensor([1.0, 2.0], requires_grad=True, name=name)
    return product.sum()


def infinite() -> Tensor:
    x = Tensor([0.0, 1.0, -1.0], requires_grad=True, name="x")
    return (tg.log(x) / x).sum()


def chain() -> Tensor:
    x: Any = Tensor(1.0, requires_grad=True, name="w")
    for _ in range(1_000):
        x = x * 1.001
    return x


class Pages:
    """The pages of some networks, each made once, and opened as a test wants them."""

    def __init__(self, chromium: Any, folder: Path) -> None:
        self.chromium, self.folder = chromium, folder
        self.made: dict[str, tuple[Path, Program, list[Step]]] = {}
        self.contexts: list[Any] = []
        self.said: list[str] = []
        self.asked: list[str] = []

    def of(self, build: Callable[[], Tensor]) -> tuple[Path, Program, list[Step]]:
        if build.__name__ not in self.made:
            with np.errstate(all="ignore"):
                loss = build()
                path = viz.page(loss, self.folder / f"{build.__name__}.html")
                program = trace(loss)
            self.made[build.__name__] = path, program, steps_of(program)
        return self.made[build.__name__]

    def open(self, build: Callable[[], Tensor], step: int = 0, size: tuple[int, int] = (1400, 900), **more: Any) -> Any:
        options: dict[str, Any] = {"color_scheme": "light", "reduced_motion": "reduce", **more}
        context = self.chromium.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(f"{self.of(build)[0].as_uri()}#step={step}")
        return page

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        self.contexts.clear()


@pytest.fixture(scope="module")
def all_pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    if installed() is None and os.environ.get("CI") != "true":
        pytest.skip("NO CHROMIUM ON THIS MACHINE, SO NO PAGE IS TESTED; apt-get install chromium")
    with browser() as chromium:
        yield Pages(chromium, tmp_path_factory.mktemp("pages"))


@pytest.fixture
def pages(all_pages: Pages) -> Iterator[Pages]:
    """Whatever a test does: the console stays empty, and nothing but the file is asked for."""
    yield all_pages
    all_pages.close()
    said, asked = list(all_pages.said), list(all_pages.asked)
    all_pages.said.clear()
    all_pages.asked.clear()
    assert not said
    assert all(url.startswith(("file:", "data:,")) for url in asked)


def until(page: Any, expression: str) -> None:
    """Wait for something to be true on a page (whose policy forbids Playwright's own way to do so)."""
    for _ in range(500):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"it did not come about: {expression}")


def where(page: Any) -> int:
    return int(page.inner_text("#where").split()[1])


def tensors_of(page: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate("JSON.parse(document.getElementById('data').textContent).tensors")
    return found


def headline(page: Any) -> str:
    return str(page.inner_text("#headline"))


# ---------------------------------------------------------------------------------------- stepping


def test_keyboard(pages: Pages) -> None:
    _, _, steps = pages.of(network)
    page = pages.open(network)
    last = len(steps) - 1
    for i, step in enumerate(steps):
        assert (where(page), headline(page)) == (i, step.headline)
        assert page.url.endswith(f"#step={i}")
        page.keyboard.press("ArrowRight")
    assert where(page) == last  # and stays there
    page.keyboard.press("ArrowLeft")
    assert where(page) == last - 1
    page.keyboard.press("Home")
    assert where(page) == 0
    page.keyboard.press("End")
    assert where(page) == last
    assert page.is_disabled("#forth")
    assert page.is_disabled("#last")


def test_buttons_slider_and_links(pages: Pages) -> None:
    _, _, steps = pages.of(network)
    page = pages.open(network)
    page.click("#forth")
    page.click("#forth")
    page.click("#back")
    assert where(page) == 1
    page.click("#last")
    assert where(page) == len(steps) - 1
    page.click("#first")
    assert where(page) == 0
    page.focus("#slider")
    page.keyboard.press("ArrowRight")
    assert where(page) == 1
    page.locator("#slider").fill("9")
    assert (where(page), headline(page)) == (9, steps[9].headline)
    assert page.get_attribute("#slider", "aria-valuetext").endswith(steps[9].headline)
    page.click("#step-4 a")
    assert where(page) == 4
    assert page.get_attribute("#step-4", "aria-current") == "step"
    page.evaluate("location.hash = '#step=7'")
    until(page, "document.getElementById('where').textContent.startsWith('Step 7')")


@pytest.mark.parametrize(("address", "step"), [(12, 12), (99_999, -1)])
def test_a_link_opens_a_step(pages: Pages, address: int, step: int) -> None:
    steps = pages.of(network)[2]
    page = pages.open(network, address)
    assert headline(page) == steps[step].headline


def test_playing(pages: Pages) -> None:
    page = pages.open(network, 2)
    page.select_option("#speed", label="quick")
    page.locator("#speed").blur()
    page.keyboard.press("Space")
    assert page.get_attribute("#play", "aria-label") == "Pause"
    until(page, "Number(document.getElementById('where').textContent.split(' ')[1]) >= 3")
    page.keyboard.press("Space")
    assert page.get_attribute("#play", "aria-label") == "Play"
    at = where(page)
    page.wait_for_timeout(700)
    assert where(page) == at
    page.select_option("#speed", label="very quick")
    page.click("#play")
    until(page, "document.getElementById('play').getAttribute('aria-label') === 'Play'")
    assert where(page) == len(pages.of(network)[2]) - 1  # it stops at the end


def test_the_list_is_the_program_in_its_order(pages: Pages) -> None:
    steps = pages.of(reused)[2]
    page = pages.open(reused)
    assert page.locator("#steps li .head a").all_inner_texts() == [step.headline for step in steps]
    parts = page.locator("#steps li").evaluate_all("x => x.map(li => li.className.split(' ')[0])")
    assert parts == [step.part for step in steps]
    count = page.locator("#steps li.backward math").count()
    assert count == sum(len(s.lines) + (s.short is not None) for s in steps if s.part == "backward")


# ------------------------------------------------------------------------------------- what it shows


@pytest.mark.parametrize("build", [network, reused])
def test_numbers_of_each_step_are_the_engines(pages: Pages, build: Callable[[], Tensor]) -> None:
    """All tables of all steps: their full numbers to eight digits, what is read to four."""
    steps = pages.of(build)[2]
    page = pages.open(build)
    compared = 0
    for step in steps:
        for where_, shown in (("#going-in", step.going_in), ("#coming-out", step.coming_out)):
            tables = page.locator(f"{where_} figure").evaluate_all(
                "x => x.map(f => [f.querySelector('b').textContent, "
                "[...f.querySelectorAll('td')].map(td => [td.title, td.textContent])])"
            )
            assert [name for name, _ in tables] == [x.symbol for x in shown]
            for (_, cells), x in zip(tables, shown):
                full, short = ([float(cell[k].replace("\N{MINUS SIGN}", "-")) for cell in cells] for k in (0, 1))
                np.testing.assert_allclose(full, x.variable.value.ravel(), rtol=1e-8)
                np.testing.assert_allclose(short, x.variable.value.ravel(), rtol=5e-3)
                compared += 1
        page.keyboard.press("ArrowRight")
    assert compared > 2 * len(steps)


def test_values_and_gradients_appear_as_they_are_filled(pages: Pages) -> None:
    """Pale until it is computed; its numbers, and its gradient's, are there from the step on that fills them."""
    _, program, steps = pages.of(network)
    page = pages.open(network)
    names = [[x["name"], x["boxes"][0]] for x in tensors_of(page)]
    state = """(names) => names.map(([name, id]) => {
      const node = document.getElementById(id);
      const seen = (texts) => [...texts].filter((e) => getComputedStyle(e).visibility === "visible").length;
      const numbers = node.querySelectorAll("text:not(.faint, .gradient, .on-gradient, [font-weight='bold'])");
      return [name, node.classList.contains("waiting"), seen(numbers), seen(node.querySelectorAll("text.gradient"))];
    })"""
    for n, step in enumerate(steps):
        filled = {x for s in steps[: n + 1] for x in s.fills if s.part != "backward"}
        swept = {x for s in steps[: n + 1] for x in s.fills if s.part == "backward" and s.number == s.total}
        for name, waiting, numbers, gradients in page.evaluate(state, names):
            x = program[name]
            assert waiting == (x not in filled)
            assert (numbers > 0) == (x in filled)
            assert (gradients > 0) == (x in swept)
        lit = page.locator(".view .edge.lit").evaluate_all("x => x.map(e => e.classList[1])")
        assert set(lit) <= {step.part}
        assert lit or step.equation is None or step.contribution is None
        page.keyboard.press("ArrowRight")


def test_contributions_are_counted(pages: Pages) -> None:
    steps = pages.of(reused)[2]
    page = pages.open(reused)
    seen = []
    for step in steps:
        if step.total > 1:
            seen.append(page.inner_text("#received"))
            assert page.locator("#received i.full").count() == step.number
        page.keyboard.press("ArrowRight")
    assert [text.strip() for text in seen] == [f"received {k} of 4 contributions" for k in (1, 2, 3, 4)]


def test_clicking_a_box_goes_to_the_step_that_fills_it(pages: Pages) -> None:
    _, program, steps = pages.of(network)
    page = pages.open(network, len(steps) - 1)
    for tensor in tensors_of(page):
        x = program[tensor["name"]]
        backward = [i for i, s in enumerate(steps) if s.part == "backward" and x in s.fills]
        forward = [i for i, s in enumerate(steps) if s.part == "forward" and x in s.fills]
        page.keyboard.press("End")
        page.focus(f"#{tensor['boxes'][0]}")
        page.keyboard.press("Enter")
        assert where(page) == (backward[-1] if backward else 0)
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")  # in the forward half, it goes to the value
        page.evaluate("id => document.getElementById(id).dispatchEvent(new MouseEvent('click'))", tensor["boxes"][0])
        assert where(page) == ((forward or [0])[0] or (backward[-1] if backward else 0))
        assert page.inner_text("#chosen h2") == tensor["name"]
        page.keyboard.press("End")
        figures = page.locator("#chosen figure").evaluate_all(TITLES)
        values = [x.value, *([program.gradients[x].value] if x in program.gradients else [])]
        assert len(figures) == len(values)
        for figure, value in zip(figures, values):
            np.testing.assert_allclose([float(text) for text in figure], value.ravel(), rtol=1e-8)
    page.click("#chosen button[aria-label^=Close]")
    assert page.is_hidden("#chosen")


def test_a_mouse_click_reaches_a_box(pages: Pages) -> None:
    page = pages.open(network, 13)
    steps = pages.of(network)[2]
    target = steps[13].fills[0]
    page.click(".view .target text >> nth=0")
    assert where(page) == 13
    assert page.inner_text("#chosen h2") == target.name
    assert page.locator("#chosen .legend").count() == 2


def test_a_heat_map_says_its_numbers(pages: Pages) -> None:
    """On hover, and by keyboard; its legend goes from minus to plus the largest."""
    steps = pages.of(digits)[2]
    n = next(i for i, s in enumerate(steps) if s.headline == "Gradient of W¹")
    page = pages.open(digits, n)
    value = steps[n].coming_out[-1].variable.value
    figure = page.locator("#coming-out figure").last
    canvas = figure.locator("canvas")
    assert canvas.get_attribute("aria-label").startswith("∂L/∂W¹, 64×64")
    canvas.scroll_into_view_if_needed()
    canvas.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    place, number = figure.locator(".cell").inner_text().split("]")
    assert place == "[2, 1"
    assert float(number.replace("\N{MINUS SIGN}", "-")) == pytest.approx(value[2, 1], rel=1e-8)
    assert where(page) == n  # the arrow keys were the map's
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 3.5 / 64, box["y"] + box["height"] * 5.5 / 64)
    place, number = figure.locator(".cell").inner_text().split("]")
    assert place == "[5, 3"
    assert float(number.replace("\N{MINUS SIGN}", "-")) == pytest.approx(value[5, 3], rel=1e-8)
    low, high = figure.locator(".legend").inner_text().replace("\N{MINUS SIGN}", "-").split()
    assert (float(low), float(high)) == pytest.approx((-np.abs(value).max(), np.abs(value).max()), rel=1e-3)
    summary = dict(zip(figure.locator("dt").all_inner_texts(), figure.locator("dd").all_inner_texts()))
    assert float(summary["norm"]) == pytest.approx(np.linalg.norm(value), rel=1e-3)
    colours = canvas.evaluate(
        "(c, cells) => { const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
        " return cells.map((i) => [...data.slice(4 * i, 4 * i + 3)]); }",
        [int(value.argmin()), int(value.argmax())],
    )
    assert colours[0][2] > colours[0][0]  # below zero is blue
    assert colours[1][0] > colours[1][2]  # above zero is orange


def test_what_is_no_number_is_a_word(pages: Pages) -> None:
    page = pages.open(infinite)
    page.keyboard.press("ArrowRight")
    texts = page.locator("#coming-out td").all_inner_texts()
    assert texts == ["\N{MINUS SIGN}∞", "0", "NaN"]
    page.keyboard.press("End")
    assert "NaN" in page.locator("#coming-out td").all_inner_texts()


def test_a_long_program(pages: Pages) -> None:
    steps = pages.of(chain)[2]
    page = pages.open(chain, 1_500)
    assert headline(page) == steps[1_500].headline
    assert page.locator(".view .lit").count() >= 1
    page.keyboard.press("End")
    assert headline(page) == "Gradient of w"
    assert page.locator("#steps details").count() == 6


# ------------------------------------------------------------------------------------- for everyone


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("build", "step"), [(network, 13), (digits, 11), (reused, 8)])
def test_axe_finds_nothing(pages: Pages, build: Callable[[], Tensor], step: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = pages.open(build, step, color_scheme=scheme)
    page.evaluate("document.querySelector('.view .target').dispatchEvent(new MouseEvent('click'))")
    page.click("#code-box summary")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


TITLES = "x => x.map(f => [...f.querySelectorAll('td')].map(td => td.title))"
CONTRAST = """() => {
  const linear = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = (rgb) => {
    const [r, g, b] = rgb.match(/[\\d.]+/g).map(Number).map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return [...document.querySelectorAll(".view .node text")].map((text) => {
    const on = text.classList.contains("on-gradient") ? text.parentElement.querySelector("polygon.gradient")
      : text.parentElement.querySelector(":is(path, polygon, ellipse):not(.gradient)");
    const [a, b] = [text, on].map((e) => light(getComputedStyle(e).fill)).sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), text.textContent];
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pictures_words_stand_out(pages: Pages, scheme: str) -> None:
    """Axe does not look into an SVG: text against its box, at least 4.5 to 1."""
    page = pages.open(reused, 10, color_scheme=scheme)
    found = page.evaluate(CONTRAST)
    assert len(found) > 30
    assert min(found)[0] >= 4.5, min(found)


def test_each_step_is_announced(pages: Pages) -> None:
    steps = pages.of(reused)[2]
    page = pages.open(reused, 7)
    assert page.get_attribute("#announce", "aria-live") == "polite"
    page.keyboard.press("ArrowRight")
    until(page, "document.getElementById('announce').textContent.includes('Step 8')")
    said = page.text_content("#announce")
    assert steps[8].headline in said
    assert f"received {steps[8].number} of 4 contributions" in said or steps[8].total == 1
    assert steps[8].lines[-1].text() in said


def test_everything_can_be_reached_and_seen_by_keyboard(pages: Pages) -> None:
    page = pages.open(network, 13)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to this step"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "step"
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.evaluate("document.querySelector('.skip').focus()")
    reached = set()
    for _ in range(90):
        page.keyboard.press("Tab")
        name, ring = page.evaluate("""() => {
          const e = document.activeElement, style = getComputedStyle(e);
          const shape = e.querySelector(':scope > :is(polygon, path, ellipse)');
          const node = e.classList.contains('node');
          return [e.id || e.tagName, parseFloat(node ? getComputedStyle(shape).strokeWidth : style.outlineWidth)];
        }""")
        if name == "BODY":
            break
        assert ring >= 2, name
        reached.add(name)
    nodes = set(page.locator(".view .node").evaluate_all("x => x.map(e => e.id)"))
    assert nodes | {"theme", "slider", "play", "speed", "smaller", "larger", "fit"} <= reached


def test_light_and_dark(pages: Pages) -> None:
    for scheme, other in (("light", "dark"), ("dark", "light")):
        page = pages.open(network, 3, color_scheme=scheme)
        bright = "() => Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]) > 128"
        assert page.evaluate(bright) == (scheme == "light")
        assert page.get_attribute("#theme", "aria-pressed") == str(scheme == "dark").lower()
        page.click("#theme")
        assert page.evaluate(bright) == (other == "light")
        assert page.get_attribute("#theme", "aria-pressed") == str(other == "dark").lower()


@pytest.mark.parametrize(("motion", "seconds"), [("reduce", {"0s"}), ("no-preference", {"0.25s"})])
def test_reduced_motion(pages: Pages, motion: str, seconds: set[str]) -> None:
    page = pages.open(network, 3, reduced_motion=motion)
    page.evaluate("() => { Element.prototype.scrollBy = function (to) { (window.moves ??= []).push(to.behavior); }; }")
    assert set(page.locator(".node").evaluate_all("x => x.map(e => getComputedStyle(e).transitionDuration)")) == seconds
    page.keyboard.press("Home")
    page.keyboard.press("End")
    assert set(page.evaluate("moves")) == {"auto" if motion == "reduce" else "smooth"}


@pytest.mark.parametrize("size", WIDTHS)
@pytest.mark.parametrize("build", [network, digits, reused, attention])
def test_nothing_overlaps_or_is_clipped(pages: Pages, build: Callable[[], Tensor], size: tuple[int, int]) -> None:
    steps = pages.of(build)[2]
    page = pages.open(build, size=size)
    for n in sorted({0, 1, len(steps) // 3, len(steps) // 2, len(steps) * 3 // 4, len(steps) - 1}):
        page.evaluate("n => { location.hash = `#step=${n}`; }", n)
        until(page, f"document.getElementById('where').textContent.startsWith('Step {n} ')")
        assert page.evaluate(GEOMETRY) == [], f"step {n}"
    page.evaluate("document.querySelector('.view .target').dispatchEvent(new MouseEvent('click'))")
    page.click("#code-box summary")
    assert page.evaluate(GEOMETRY) == []


def test_zoom(pages: Pages) -> None:
    page = pages.open(network, 3)
    width = "document.querySelector('.view svg').getBoundingClientRect().width"
    before = page.evaluate(width)
    page.click("#larger")
    assert page.evaluate(width) == pytest.approx(1.25 * before, rel=1e-3)
    page.click("#fit")
    frame = page.locator("#view").evaluate("e => [e.clientWidth, e.clientHeight]")
    fitted = page.locator(".view svg").bounding_box()
    assert fitted["width"] <= frame[0]
    assert fitted["height"] <= frame[1] + 1


def test_dragging_moves_the_picture_and_chooses_nothing(pages: Pages) -> None:
    page = pages.open(network, 13)
    box = page.locator(".view .target").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = page.locator("#view").evaluate("e => e.scrollTop")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 40, steps=4)
    page.mouse.up()
    assert page.locator("#view").evaluate("e => e.scrollTop") == before + 40
    assert page.is_hidden("#chosen")
    page.mouse.click(x, y - 40)
    assert page.is_visible("#chosen")


def test_paper(pages: Pages) -> None:
    """The picture with all its numbers, whatever the step was; all equations; no buttons; black on white."""
    for build in (network, attention):
        steps = pages.of(build)[2]
        page = pages.open(build, 2, color_scheme="dark", size=(700, 1000))
        page.emulate_media(media="print")
        assert page.is_hidden("#player")
        assert page.is_hidden("#beside")
        assert page.is_hidden("footer")
        assert page.locator("#steps li:visible").count() == len(steps)
        assert page.locator("#steps li .words:visible").count() == len(steps)
        style = "(x, [key, value]) => x.every(e => getComputedStyle(e)[key] === value)"
        assert page.locator(".view text").evaluate_all(style, ["visibility", "visible"])
        assert page.locator(".view g").evaluate_all(style, ["opacity", "1"])
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(29, 33, 38)"
        right = "x => x.map(m => [m, m.closest('li')].map(e => e.getBoundingClientRect().right))"
        assert all(a <= b + 1 for a, b in page.locator("#steps math").evaluate_all(right))
        assert page.locator(".view svg").bounding_box()["width"] <= 700


def test_without_scripts(pages: Pages) -> None:
    steps = pages.of(network)[2]
    page = pages.open(network, java_script_enabled=False)
    assert page.is_hidden("#player")
    assert page.is_visible("#step-12 math")
    assert page.locator("#steps li .words:visible").count() == len(steps)
    assert page.is_visible(".view svg text >> nth=0")


# ----------------------------------------------------------------------------------------- and safely


def test_names_do_nothing(pages: Pages) -> None:
    steps = pages.of(named)[2]
    page = pages.open(named)
    for _ in steps:
        page.keyboard.press("ArrowRight")
    for node in page.locator(".view .node").all():
        node.dispatch_event("click")
    page.wait_for_timeout(100)
    assert page.evaluate("typeof pwned") == "undefined"
    assert page.locator("img").count() == 0
    assert NAMES[0] in page.text_content(".view")
    assert any(NAMES[0] in text for text in page.locator("#steps small").all_inner_texts())


def test_the_policy_lets_nothing_else_run(pages: Pages) -> None:
    """Even if markup got into the page: no script of its own, no request."""
    page = pages.open(network)
    page.evaluate("""() => {
      window.refused = [];
      addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
      const script = document.createElement("script");
      script.textContent = "pwned = 1";
      document.body.append(script);
      document.body.insertAdjacentHTML("beforeend", '<img src="https://example.invalid/x.png" onerror="pwned = 2">');
      document.body.insertAdjacentHTML("beforeend", '<p style="color: red">');
      fetch("https://example.invalid/").catch(() => {});
    }""")
    until(page, "refused.length >= 4")
    assert {"script-src-elem", "img-src", "connect-src", "style-src-attr"} <= set(page.evaluate("refused"))
    assert page.evaluate("typeof pwned") == "undefined"
    pages.said.clear()  # the browser reports each refusal
    pages.asked[:] = [url for url in pages.asked if "example.invalid" not in url]


# ------------------------------------------------------------------------------------- as a picture


def test_a_page_as_a_picture(pages: Pages, tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    command = [sys.executable, "-m", "viz.screenshot", f"{pages.of(network)[0]}#step=12", str(path), "--width", "800"]
    subprocess.run(command, check=True, cwd=ROOT, timeout=60)
    assert size_of(path) == (800, 900)
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere\.html; viz\.page"):
        screenshot(tmp_path / "nowhere.html#step=3", path)


def test_the_picture_in_the_readme() -> None:
    path = ROOT / "examples" / "pictures" / "backprop.png"
    assert size_of(path) == (1400, 900)
    assert path.stat().st_size < 200_000


def size_of(path: Path) -> tuple[int, ...]:
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    return struct.unpack(">II", head[16:])
