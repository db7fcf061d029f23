"""Makes docs/pictures/lab*.png: the live page in a real browser, as the documentation shows it.

    python docs/make_lab_pictures.py

Needs the `dev` extra and Chromium. The server is `netlathe lab`, as a user starts it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import NamedTuple

from make_pictures import OUT, smaller
from playwright.sync_api import Browser, sync_playwright

FIRST = "net=resnet50&width=0.75&device=rpi-5&latency=300ms&memory=80MB&size=60MB&macs=3G"


class View(NamedTuple):
    """A state of the page, where it is scrolled to, and on what screen."""

    state: str
    at: str = ""
    scheme: str = "light"
    size: tuple[int, int] = (1280, 900)


VIEWS = {
    "lab": View(FIRST),
    "lab-charts": View(FIRST, "#side-a"),
    "lab-compare": View(f"{FIRST}&b.net=mobilenetv2&at=b", "#versus", "dark"),
    "lab-road": View("net=resnet50&step=5&device=rpi-5&claim=s10-1", "#road"),
    "lab-phone": View(FIRST, size=(375, 812)),
}


def shot(browser: Browser, url: str, view: View) -> bytes:
    """A screenshot when all charts in sight are drawn."""
    width, height = view.size
    tab = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme=view.scheme,  # type: ignore[arg-type]
        device_scale_factor=2 if width < 500 else 1,
    )
    tab.set_default_timeout(120_000)
    tab.goto(f"{url}#{view.state}")
    tab.wait_for_selector("body[data-ready]")
    tab.wait_for_selector("#chart-front-front .main-svg", state="attached")
    tab.wait_for_selector("#advice:not([hidden])", state="attached")
    tab.wait_for_selector("#claim dl", state="attached")
    if view.at:
        tab.eval_on_selector(view.at, "part => scrollTo(0, part.getBoundingClientRect().top + scrollY - 64)")
    tab.wait_for_timeout(4000)
    found = tab.screenshot()
    tab.close()
    return found


def main() -> None:
    """All of them, from one server."""
    command = [sys.executable, "-m", "netlathe", "lab", "--no-open"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for name, view in VIEWS.items():
                smaller(shot(browser, url, view), OUT / f"{name}.png")
            browser.close()
    finally:
        server.terminate()
        server.wait(10)


if __name__ == "__main__":
    main()
