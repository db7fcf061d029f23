"""The documentation as a site: every page is there, links lead somewhere, and nothing is asked of another host."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

DOCS = Path(__file__).parent.parent / "docs"
ASKED = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=[\"']?([^\"' >]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    sys.path.insert(0, str(DOCS))
    try:
        import make_site
    finally:
        sys.path.remove(str(DOCS))
    folder = tmp_path_factory.mktemp("docs") / "site"
    make_site.main(folder)
    return folder


def test_every_page_of_the_docs_is_a_page_of_the_site(site):
    for page in DOCS.rglob("*.md"):
        name = "index.html" if page.name == "README.md" else page.with_suffix(".html").name
        assert (site / page.parent.relative_to(DOCS) / name).exists(), page


def test_links_within_the_site_lead_somewhere(site):
    pages = [page for page in site.rglob("*.html") if page.name != "404.html"]
    assert len(pages) > 50
    for page in pages:
        for target in set(re.findall(r"<a\b[^>]*?\bhref=[\"']([^\"']+)", page.read_text(encoding="utf-8"))):
            parts = urlsplit(target)
            if not parts.scheme and not parts.netloc and parts.path:
                assert (page.parent / unquote(parts.path)).exists(), f"{page.relative_to(site)}: {target}"


def test_pages_ask_no_other_host_for_anything(site):
    for page in site.rglob("*.html"):
        for found in ASKED.findall(page.read_text(encoding="utf-8")):
            assert not re.match(r"(https?:)?//", found), f"{page.relative_to(site)}: {found}"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", style.read_text(encoding="utf-8")), style


def test_the_reference_shows_functions_with_their_units_and_every_verb(site):
    cost = (site / "reference" / "cost.html").read_text(encoding="utf-8")
    assert "netlathe.cost.totals" in cost
    verbs = (site / "reference" / "cli.html").read_text(encoding="utf-8")
    assert "netlathe search compare" in verbs
    assert "netlathe device micro" in verbs
