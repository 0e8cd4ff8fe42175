"""A page as it looks in a browser, as a PNG: `python -m viz.screenshot "backprop.html#step=10" backprop.png`."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")


def installed() -> str | None:
    """The path of a Chromium on this machine, if there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise ImportError('screenshot: playwright is missing: pip install "tinygrad_edu[test]"') from None
    path = installed()
    if path is None:
        raise RuntimeError(f"screenshot: no browser: install one of {', '.join(NAMES)}")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path)
        try:
            yield started
        finally:
            started.close()


def screenshot(
    page: str | Path,
    path: str | Path,
    width: int = 1400,
    height: int = 900,
    scheme: Literal["light", "dark"] = "light",
) -> Path:
    """Write what a browser shows of a page that `viz.page` has made; "backprop.html#step=10" is the tenth step.

    Parameters
    ----------
    page : str or Path
        The file, and if wanted a step.
    path : str or Path
        Of the PNG.
    width, height : int
        Of the window, in pixels.
    scheme : "light" or "dark"

    Returns
    -------
    The path of the PNG.

    Raises
    ------
    FileNotFoundError
        If there is no such page.
    ImportError, RuntimeError
        Without playwright, or without a Chromium.
    """
    file, _, step = str(page).partition("#")
    if not Path(file).is_file():
        raise FileNotFoundError(f"screenshot: there is no {file}; viz.page(loss, ...) writes one")
    with browser() as opened:
        shown = opened.new_page(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
        )
        shown.goto(f"{Path(file).resolve().as_uri()}#{step}")
        shown.screenshot(path=path)
    return Path(path)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m viz.screenshot", description=__doc__)
    parser.add_argument("page", help='the file, with "#step=10" behind it if wanted')
    parser.add_argument("path", help="of the PNG")
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    args = parser.parse_args()
    print(screenshot(args.page, args.path, args.width, args.height, args.scheme))


if __name__ == "__main__":
    main()
