"""Builds the documentation as a site: `make docs`, then open site/index.html.

The pages are the Markdown files of docs/, which a forge shows as they are. Here they are gathered in build/site with
the generated reference; a link to a file elsewhere in the repository leads to a copy of it. The order of the navigation
is that of the tables in docs/README.md. Zensical (the successor of Material for MkDocs) makes the pages; they ask
no other host for anything.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
SOURCE = ROOT / "src" / "netlathe"
WORK = ROOT / "build" / "site"
BUILD = WORK / "docs"
SITE = ROOT / "site"
ASSETS = (".png", ".css")
LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)]*)?\))")
ELSEWHERE = {
    ROOT / "benchmarks" / "README.md": "benchmarks.md",
    ROOT / "src" / "netlathe" / "zoo" / "PUBLISHED.md": "published.md",
    ROOT / "CHANGELOG.md": "changelog.md",
}
INDEX = DOCS / "README.md"


def main(site: Path = SITE) -> None:
    """Gather, generate, build."""
    shutil.rmtree(WORK, ignore_errors=True)
    pages = {page: str(page.relative_to(DOCS)) for page in sorted(DOCS.rglob("*.md"))} | ELSEWHERE
    for page, place in pages.items():
        write(BUILD / place, relinked(page, place, pages))
    for asset in [file for file in DOCS.rglob("*") if file.suffix in ASSETS]:
        copy(asset, BUILD / asset.relative_to(DOCS))
    sys.path.insert(0, str(DOCS))
    import make_reference

    reference = [{title: f"reference/{name}"} for name, title in make_reference.main(BUILD / "reference")]
    settings = (DOCS / "zensical.toml").read_text(encoding="utf-8")
    order = toml([*navigation(INDEX, pages), {"Reference": reference}])
    write(WORK / "zensical.toml", settings.replace("nav = []", f"nav = {order}"))
    subprocess.run([sys.executable, "-m", "zensical", "build", "--clean"], cwd=WORK, check=True)
    shutil.rmtree(site, ignore_errors=True)
    shutil.move(WORK / "site", site)


def relinked(page: Path, place: str, pages: dict[Path, str]) -> str:
    """The text of a page with links that lead to the same files from its place on the site."""

    def lead(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(page.parent / match[2]))
        if target.is_dir() and SOURCE in target.parents:  # a room, which the reference has a page of
            at = f"reference/{target.relative_to(SOURCE).parts[0]}.md"
            return match[1] + os.path.relpath(at, Path(place).parent) + match[3]
        if not target.is_file():
            return match[0]
        here = DOCS in target.parents and target.suffix in ASSETS
        at = pages.get(target) or (str(target.relative_to(DOCS)) if here else None)
        if at is None:
            at = f"files/{target.relative_to(ROOT)}"
            copy(target, BUILD / at)
        return match[1] + os.path.relpath(at, Path(place).parent) + match[3]

    return LINK.sub(lead, page.read_text(encoding="utf-8"))


def navigation(index: Path, pages: dict[Path, str]) -> list[Any]:
    """The sections of an index page, each with the pages that its tables name, in order."""
    found: list[Any] = [{"Start": pages[index]}]
    for section in re.split(r"^## ", index.read_text(encoding="utf-8"), flags=re.M)[1:]:
        title, _, text = section.partition("\n")
        links = re.findall(r"^\| \[([^\]]+)\]\(([^)]+\.md)\)", text, re.M)
        if links:
            found.append({title: [{name: pages[Path(os.path.normpath(index.parent / to))]} for name, to in links]})
    return found


def toml(value: Any) -> str:
    """Lists, tables with one entry, and texts, inline."""
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, to)


if __name__ == "__main__":
    main()
