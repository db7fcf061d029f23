"""The report in a real browser: it opens from a disk, asks for nothing and paints every chart, light and dark."""

import json

import pytest
from axe_core_python.sync_playwright import Axe
from command import PATIENCE_S
from reported import charts, page
from test_deploy_card import card

from netlathe.deploy.model_card_page import page as card_page
from netlathe.report.page import render

PHONE, DESK = {"width": 375, "height": 700}, {"width": 1280, "height": 900}


class Opened:
    """A page in a tab of its own, with everything that it asked for and complained of."""

    def __init__(self, browser, path, scheme, size):
        self.asked, self.said = [], []
        self.context = browser.new_context(color_scheme=scheme, viewport=size, offline=True)
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message) or dialog.dismiss())
        self.page.goto(path.as_uri())

    def axe(self):
        """Violations that axe-core calls serious or critical; a chart counts as the one image that it says it is."""
        found = Axe().run(self.page, {"exclude": [[".chart > *"]]}, {"resultTypes": ["violations"]})["violations"]
        return [
            (violation["id"], node["html"][:120])
            for violation in found
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]

    def wide(self):
        """How far the page can be scrolled sideways."""
        return self.page.evaluate("document.documentElement.scrollWidth - innerWidth")

    def wait(self, expression):
        """Until an expression is true; Playwright's own waiting needs an eval, which the policy forbids."""
        for _ in range(20 * PATIENCE_S):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(expression)

    def ink(self):
        """The colour of the text of a chart."""
        return self.page.evaluate("getComputedStyle(document.querySelector('.chart text')).fill")


@pytest.fixture(scope="module")
def opened(chromium, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(page()), encoding="utf-8")
    found = Opened(chromium, path, "light", DESK)
    yield found
    found.context.close()


def test_it_opens_from_a_disk_and_asks_for_nothing(opened):
    assert [url for url in opened.asked if not url.startswith("file:")] == []
    assert len(opened.asked) == 1
    assert opened.said == []


def test_every_chart_is_painted_with_as_many_marks_as_it_has_data(opened):
    for chart in charts():
        element = opened.page.locator(f"#chart-{chart.id}")
        assert element.locator(".main-svg").count() >= 1, chart.id
        box = element.locator(".main-svg").first.bounding_box()
        assert box["width"] > 600, chart.id
        assert box["height"] == pytest.approx(chart.figure["layout"]["height"]), chart.id
        marked = [t for t in chart.figure["data"] if t["type"] == "scatter" and "markers" in t["mode"]]
        assert element.locator(".scatterlayer .points path.point").count() == sum(len(t["x"]) for t in marked), chart.id
        barred = [t for t in chart.figure["data"] if t["type"] == "bar"]
        assert element.locator(".barlayer .point").count() == sum(len(t["x"]) for t in barred), chart.id


def test_names_are_shown_as_they_are(opened):
    assert "<script>alert(1)</script>" in opened.page.locator("#chart-values").inner_text()
    assert opened.page.locator("h1").inner_text() == "<script>alert(1)</script>"
    assert opened.page.locator("main h1").count() == 1
    assert opened.page.locator("img").count() == 0


def test_tables_open_with_the_keyboard_and_have_the_rows(opened):
    for chart in charts():
        figure = opened.page.locator(f"figure:has(#chart-{chart.id})")
        figure.locator("summary").focus()
        opened.page.keyboard.press("Enter")
        assert figure.locator("table").is_visible()
        assert figure.locator("tbody tr").count() == len(chart.rows)
        if len(chart.rows) > 20:  # axe-core looks at every cell
            opened.page.keyboard.press("Enter")
    assert opened.axe() == []


def test_the_command_is_copied(opened):
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = opened.page.get_by_role("button", name="Copy")
    button.click()
    opened.page.get_by_role("button", name="Copied").wait_for()
    assert opened.page.evaluate("navigator.clipboard.readText()") == "netlathe cost '<script>alert(1)</script>'"


def test_a_script_that_a_name_smuggled_in_would_not_run(opened):
    ran = opened.page.evaluate(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.smuggled = 1';"
        "document.body.append(s); return window.smuggled === undefined })()"
    )
    assert ran
    assert "Content Security Policy" in opened.said.pop()


def test_charts_follow_the_scheme_and_fit_a_phone(opened):
    light = opened.ink()
    opened.page.emulate_media(color_scheme="dark")
    opened.page.set_viewport_size(PHONE)
    opened.wait("document.querySelector('.chart .main-svg').clientWidth < 375")
    assert opened.ink() != light
    assert opened.wide() <= 0
    assert opened.axe() == []
    opened.page.emulate_media(media="print")
    opened.wait(f"getComputedStyle(document.querySelector('.chart text')).fill === {json.dumps(light)}")


@pytest.mark.parametrize(("scheme", "size"), [("light", DESK), ("dark", PHONE)])
def test_a_model_card_runs_no_script_and_reads_well(chromium, tmp_path, scheme, size):
    path = tmp_path / "card.html"
    path.write_text(card_page(card(tmp_path / "out", ("red", "green", "blue"), ((9, 1, 0), (0, 9, 1), (0, 0, 9)))))
    found = Opened(chromium, path, scheme, size)
    assert len(found.asked) == 1
    assert found.said == []
    assert found.wide() <= 0
    assert found.axe() == []
    found.context.close()
