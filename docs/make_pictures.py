"""Makes docs/pictures/*.png: pages of the report in a real browser, as the documentation shows them.

    python docs/make_pictures.py                 # all of them; those whose data are absent are left out, saying so
    python docs/make_pictures.py cost phone      # some
    python docs/make_pictures.py fit --fit out/  # the page of a fit that was made before

Needs the `dev` extra and Chromium. The pages come from the command line, as a user gets them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parent.parent
OUT = Path(__file__).parent / "pictures"
TABLE = ROOT.parent / "shared" / "data" / "nas_bench_macro" / "nas_bench_macro.npz"
MOST_BYTES = 200_000
MARGIN = 16  # pixels around a part of a page
DESK, PHONE = (1100, 900), (375, 812)


class Picture(NamedTuple):
    """A part of a page: what makes the page ({} is the file), what is shown of it, in which scheme and size."""

    words: str
    of: str = ""  # the element that is shown; else the first screen
    scheme: str = "light"
    size: tuple[int, int] = DESK
    needs: Path | None = None


PICTURES = {
    "cost": Picture("cost mobilenetv2 --html {}", size=(1100, 1000)),
    "profile-hourglass": Picture("cost resnet50 --device rpi-5 --html {}", "figure:has(#chart-profile)"),
    "profile-barrel": Picture("cost mobilenetv2 --device rpi-5 --html {}", "figure:has(#chart-profile)"),
    "roofline": Picture("cost efficientnet_b0 --device rpi-5 --html {}", "figure:has(#chart-roofline)", "dark"),
    "memory": Picture("cost mobilenetv2 --device rpi-5 --html {}", "figure:has(#chart-memory)"),
    "choose": Picture("choose --device rpi-4-1500 --latency 60ms --size 20MB --html {}", size=(1100, 1080)),
    "phone": Picture("choose --device rpi-4-1500 --latency 60ms --size 20MB --html {}", "", "dark", PHONE),
    "why": Picture("device why efficientnet_b0 --device rpi-5 --html {}"),
    "search": Picture(
        f"search compare --table {TABLE} --strategies random,local,evolution --noisy --runs 33 --html {{}}", needs=TABLE
    ),
    "audit": Picture("audit --html {}", size=(1100, 1000)),
    "fit": Picture("report {fit} -o {}", size=(1100, 1100)),
}


def main() -> None:
    """Make what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *PICTURES], help="[default: all]")
    parser.add_argument("--fit", type=Path, help="The folder of a fit.")
    asked = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in asked.names or PICTURES:
            picture = PICTURES[name]
            if (picture.needs and not picture.needs.exists()) or (name == "fit" and not asked.fit):
                print(f"{name}: left out, {picture.needs or 'give --fit FOLDER'} is absent")
                continue
            page = made(picture.words.replace("{fit}", str(asked.fit)), Path(folder))
            smaller(shot(browser, picture, page), OUT / f"{name}.png")
        browser.close()


def made(words: str, folder: Path) -> Path:
    """The page of a command; the same command is run once."""
    page = folder / f"{abs(hash(words))}.html"
    if not page.exists():
        command = [part.replace("{}", str(page)) for part in words.split()]
        subprocess.run([sys.executable, "-m", "netlathe", *command], check=True, stdout=subprocess.DEVNULL)
    return page


def shot(browser: Browser, picture: Picture, page: Path) -> bytes:
    """A screenshot, sharp enough for a good screen."""
    width, height = picture.size
    scale = 2 if width < 500 else 1
    tab: Any = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=picture.scheme, device_scale_factor=scale
    )
    tab.goto(page.as_uri())
    tab.wait_for_timeout(400)
    box = tab.locator(picture.of).bounding_box() if picture.of else None
    around = box and {
        "x": box["x"] - MARGIN, "y": box["y"] - MARGIN, "width": box["width"] + 2 * MARGIN, "height": box["height"]
    }  # fmt: skip
    found: bytes = tab.screenshot(full_page=bool(box), clip=around)
    tab.close()
    return found


def smaller(png: bytes, file: Path) -> None:
    """Write a picture with as many colours as its size allows."""
    image = Image.open(BytesIO(png)).convert("RGB")
    for colours in shades():
        image.quantize(colours, dither=Image.Dither.NONE).save(file, optimize=True)
        if file.stat().st_size < MOST_BYTES:
            break
    print(f"{file.name}: {image.width} x {image.height}, {file.stat().st_size / 1000:.0f} kB")


def shades() -> Iterator[int]:
    """Numbers of colours, the most first."""
    yield from (256, 128, 64, 32)


if __name__ == "__main__":
    main()
