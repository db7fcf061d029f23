"""How long a move of a knob takes in the lab, from the event of the slider to the frame after the charts have changed.

In Chromium, with ResNet-152 (155 convolutions and products, 515 operators), 1280 x 900 and a page so tall that every
chart is in sight. `server` is the answer alone, over HTTP, fresh and from memory. Records go to benchmarks/README.md.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from lab_server import Lab, running

STATE = "net=resnet152&device=rpi-5&latency=500ms"
CHARTS = "view?charts=roofline,stages,memory,profile"
TARGET = 100.0  # ms, p95
MOVES = """async (values) => {
  const knob = document.getElementById("knob-width"), moves = () => Number(document.body.dataset.moves || 0);
  performance.clearMeasures();
  for (const value of values) {
    const before = moves();
    knob.value = value;
    knob.dispatchEvent(new Event("input", { bubbles: true }));
    while (moves() === before) await new Promise((later) => setTimeout(later, 1));
    await new Promise((later) => setTimeout(later, 30));
  }
  return performance.getEntriesByName("move").map((entry) => entry.duration);
}"""


def moves(browser: Browser, lab: Lab, height: int, values: list[float]) -> tuple[list[float], str]:
    """ms of every move of the width, and the processor time of one."""
    page = browser.new_page(viewport={"width": 1280, "height": height})
    page.goto(f"{lab.url}#{STATE}")
    page.wait_for_selector("body[data-ready]", timeout=120_000)
    page.wait_for_selector("#chart-front-front .main-svg", state="attached", timeout=120_000)
    page.wait_for_timeout(2000)
    page.evaluate(MOVES, values[:4])  # warm
    before = cpu(lab)
    found: list[float] = page.evaluate(MOVES, values)
    spent = {name: 1e3 * (now - before[name]) / len(values) for name, now in cpu(lab).items()}
    page.close()
    return found, ", ".join(f"{name} {ms:.0f} ms" for name, ms in spent.items())


def cpu(lab: Lab) -> dict[str, float]:
    """Seconds of processor time so far: of the server with its workers, and of all processes of the browser."""
    server = psutil.Process(lab.process.pid)
    processes = {
        "server": [server],
        "workers": server.children(recursive=True),
        "browser": [p for p in psutil.Process().children(recursive=True) if "chrom" in p.name()],
    }
    return {name: sum(sum(process.cpu_times()[:2]) for process in some) for name, some in processes.items()}


def answers(lab: Lab, values: list[float]) -> list[float]:
    """ms of every answer."""
    found = []
    for value in values:
        start = time.perf_counter()
        lab.ask(CHARTS, f"{STATE}&width={value}")
        found.append(1e3 * (time.perf_counter() - start))
    return found


def show(what: str, found: list[float], more: str = "") -> None:
    """One line."""
    p95 = sorted(found)[round(0.95 * (len(found) - 1))]
    print(f"{what:34} {statistics.median(found):7.1f} {p95:7.1f} {min(found):7.1f} ms  {more}".rstrip(), flush=True)


def main() -> None:
    """All of it, in one run."""
    values = [round(0.3 + 0.02 * i, 2) for i in range(60)]
    launch: dict[str, Any] = {"executable_path": "/usr/bin/chromium", "args": ["--no-sandbox"]}
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {'median':>22} {'p95':>7} {'min':>7}")
    with running() as lab, sync_playwright() as playwright:
        fresh = [round(value + 0.005, 3) for value in values]
        show("server, a network never seen", answers(lab, fresh))
        show("server, from memory", answers(lab, [fresh[-1]] * 60))
        browser = playwright.chromium.launch(**launch)
        found, spent = moves(browser, lab, 900, values)
        show("page, 1280 x 900", found, f"target {TARGET:g}; processor time of a move: {spent}")
        found, spent = moves(browser, lab, 3600, [v + 0.01 for v in values])
        show("page, every chart in sight", found, f"processor time of a move: {spent}")
        browser.close()


if __name__ == "__main__":
    main()
