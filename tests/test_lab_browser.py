"""The lab in a real browser: what a person turns, undoes and reads."""

import re
from urllib.parse import urlsplit

import pytest

pytest.importorskip("playwright")
pytest.importorskip("starlette")

from command import PATIENCE_S
from lab_pages import engine, show, state_of, total
from lab_server import TOKEN, running
from playwright.sync_api import expect

expect.set_options(timeout=1000 * PATIENCE_S)


def test_a_dragged_slider_moves_the_numbers_to_those_of_the_engine(shared, lab):
    show(shared, lab, "net=resnet18&device=rpi-5")
    expect(total(shared)).to_have_text(engine("net=resnet18")["macs"])
    knob = shared.locator("#knob-width")
    box = knob.bounding_box()
    shared.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    shared.mouse.down()
    for step in range(1, 6):
        shared.mouse.move(box["x"] + box["width"] * (0.5 - 0.05 * step), box["y"] + box["height"] / 2)
    shared.mouse.up()
    value = state_of(shared)["width"]
    assert 0.05 <= float(value) < 1
    expected = engine(f"net=resnet18&width={value}")
    for key in ("macs", "params", "latency_ms", "peak_bytes"):
        expect(total(shared, key)).to_have_text(expected[key])
    expect(shared.locator("#knob-width-number")).to_have_value(value)
    assert f"times {value}" in knob.get_attribute("aria-valuetext")
    assert shared.wrong == []


def test_it_asks_nobody_but_its_own_server(page, lab):
    show(page, lab, "net=mobilenetv2&device=rpi-5&latency=20ms")
    page.wait_for_selector("#chart-front-front .main-svg")
    assert {urlsplit(url).netloc for url in page.asked} == {f"127.0.0.1:{lab.port}"}
    assert page.wrong == []  # a word of the content security policy would be here


def test_a_link_restores_everything(shared, lab):
    link = (
        "net=resnext50_32x4d&width=0.5&groups=8&device=rtx-3090&run=onnxruntime%2Ffp16%2F1&batch=8&latency=2ms&macs=2G"
    )
    show(shared, lab, link)
    expect(total(shared)).to_have_text(engine(link)["macs"])
    expect(shared.locator("#device")).to_have_value("rtx-3090")
    expect(shared.locator("#run")).to_have_value("onnxruntime/fp16/1")
    expect(shared.locator("#batch")).to_have_value("8")
    expect(shared.locator("#limit-latency")).to_have_value("2ms")
    expect(shared.locator("#knob-groups-number")).to_have_value("8")
    expect(shared.locator("#verdict")).to_contain_text(re.compile("Fits|Over"))


def test_undo_and_redo_by_button_and_by_key(page, lab):
    show(page, lab, "net=resnet18")
    start = engine("net=resnet18")["macs"]
    expect(page.locator("#undo")).to_be_disabled()
    for value in ("0.5", "0.75"):
        page.locator("#knob-width-number").fill(value)
        page.locator("#knob-width-number").press("Enter")
        expect(total(page)).to_have_text(engine(f"net=resnet18&width={value}")["macs"])
    page.locator("#undo").click()
    expect(total(page)).to_have_text(engine("net=resnet18&width=0.5")["macs"])
    page.locator("#knob-width").focus()
    page.keyboard.press("Control+z")
    expect(total(page)).to_have_text(start)
    expect(page.locator("#undo")).to_be_disabled()
    page.keyboard.press("Control+Shift+z")
    page.locator("#redo").click()
    expect(total(page)).to_have_text(engine("net=resnet18&width=0.75")["macs"])
    expect(page.locator("#redo")).to_be_disabled()


def test_the_keyboard_alone_is_enough(page, lab):
    show(page, lab, "net=resnet18")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.id || document.activeElement.dataset.skip || ''")
        reached.add(name)
        if name == "net":
            page.keyboard.press("Control+a")
            page.keyboard.type("mobilenetv1")
            page.keyboard.press("Enter")
            expect(total(page)).to_have_text(engine("net=mobilenetv1")["macs"])
        if name == "knob-width":
            page.keyboard.press("ArrowLeft")
            expect(page.locator("#knob-width-number")).to_have_value("0.95")
            break
    assert {"net", "file", "device", "run", "batch", "knob-width"} <= reached
    expect(total(page)).to_have_text(engine("net=mobilenetv1&width=0.95")["macs"])


def test_a_value_that_is_not_legal_is_said_and_replaced(shared, lab):
    show(shared, lab, "net=resnet50")
    shared.locator("#knob-groups-number").fill("5")
    shared.locator("#knob-groups-number").press("Enter")
    expect(shared.locator("#side-a [role=status]")).to_contain_text("Groups 5 is not possible")
    expect(total(shared)).to_have_text(engine("net=resnet50&groups=4")["macs"])


def test_a_wrong_limit_is_said_and_the_page_goes_on(shared, lab):
    show(shared, lab, "net=resnet18")
    limit = shared.locator("#limit-latency")
    limit.fill("15")
    limit.press("Enter")
    expect(shared.locator("#notice")).to_contain_text("no unit")
    limit.fill("500ms")
    limit.press("Enter")
    expect(shared.locator("#notice")).to_be_hidden()
    expect(shared.locator("#verdict")).to_contain_text("Fits. Latency binds")
    expect(shared.locator("#use-latency")).to_contain_text("of 500 ms")


def test_two_tabs_do_not_disturb_each_other(context, lab):
    one = context.new_page()
    show(one, lab, "net=resnet18")
    two = context.new_page()
    show(two, lab, "net=mobilenetv2")
    for page, value in ((one, "0.5"), (two, "0.75")):
        page.bring_to_front()
        page.locator("#knob-width-number").fill(value)
        page.locator("#knob-width-number").press("Enter")
    expect(total(one)).to_have_text(engine("net=resnet18&width=0.5")["macs"])
    expect(total(two)).to_have_text(engine("net=mobilenetv2&width=0.75")["macs"])
    assert state_of(one)["width"] == "0.5"


def test_the_road_is_walked_step_by_step(shared, lab):
    show(shared, lab, "net=resnet50")
    shared.locator("#road-on").click()
    shared.locator("#road-on").click()
    shared.locator("#road-on").click()
    expect(shared.locator("#road-at")).to_contain_text("Step 2 of")
    expect(total(shared)).to_have_text(engine("net=resnet50&step=2")["macs"])
    shared.locator("#road-back").click()
    expect(shared.locator("#road-at")).to_contain_text("Step 1 of")


def test_the_claims_are_walked_one_by_one_and_a_link_names_one(shared, lab):
    show(shared, lab, "net=resnet18")
    expect(shared.locator("#claim-at")).to_contain_text("Claim 1 of")
    shared.locator("#claim-on").click()
    expect(shared.locator("#claim-at")).to_contain_text("Claim 2 of")
    expect(shared.locator("#claim dd").first).to_have_text(re.compile("holds|hold|testable"))
    text = shared.locator("#claim blockquote").inner_text()
    shared.reload()
    expect(shared.locator("#claim blockquote")).to_have_text(text)


def test_every_chart_has_its_table(shared, lab):
    show(shared, lab, "net=mobilenetv2&device=rpi-5")
    for name in ("roofline", "stages", "memory", "profile"):
        figure = shared.locator(f"#side-a figure:has(#chart-a-{name})")
        figure.scroll_into_view_if_needed()
        shared.wait_for_selector(f"#chart-a-{name} .main-svg")
        figure.locator("summary").click()
        expect(figure.locator("tbody tr").first).to_be_visible()
    expect(shared.locator("#side-a figure:has(#chart-a-stages) tbody tr").first).to_contain_text("stem")


def test_the_server_may_go_and_come_back(page, chromium):
    with running() as first:
        port = first.port
        show(page, first, "net=resnet18")
        first.stop()
        page.locator("#knob-width-number").fill("0.5")
        page.locator("#knob-width-number").press("Enter")
        expect(page.locator("#notice")).to_contain_text("server has stopped")
    with running(port=port):
        expect(total(page)).to_have_text(engine("net=resnet18&width=0.5")["macs"])
        expect(page.locator("#notice")).to_be_hidden()
        page.reload()
        page.wait_for_selector("body[data-ready]")
        expect(total(page)).to_have_text(engine("net=resnet18&width=0.5")["macs"])


def test_nothing_serious_is_wrong_for_people_with_impairments(chromium, lab):
    from axe_core_python.sync_playwright import Axe

    page = chromium.new_page(viewport={"width": 1280, "height": 2600})
    page.set_default_timeout(1000 * PATIENCE_S)
    show(page, lab, "net=resnet18&device=rpi-5&latency=100ms&size=200MB&b.net=mobilenetv1_025")
    page.wait_for_selector("#chart-front-front .main-svg")
    page.wait_for_selector("#chart-b-profile .main-svg", state="attached")
    serious = []
    for scheme, rules in {"light": {}, "dark": {"runOnly": ["color-contrast"]}}.items():  # the others see no colours
        page.emulate_media(color_scheme=scheme)
        serious += [
            (scheme, found["id"], found["help"], [node["target"] for node in found["nodes"]][:4])
            for found in Axe().run(page, options=rules | {"resultTypes": ["violations"]})["violations"]
            if found["impact"] in ("serious", "critical")
        ]
    page.close()
    assert serious == []


def test_it_fits_a_phone(chromium, lab):
    page = chromium.new_page(viewport={"width": 375, "height": 812})
    show(page, lab, "net=resnet50&device=rpi-5&latency=100ms&b.net=mobilenetv2")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.close()


def test_the_answer_of_the_next_stop_of_a_moving_knob_is_made_ready(shared, lab):
    show(shared, lab, "net=resnet18&device=rpi-5")
    asked = []
    shared.on("request", lambda request: asked.append(request.post_data) if "/view" in request.url else None)
    for width in ("0.95", "0.9"):
        shared.locator("#knob-width").press("ArrowLeft")
        expect(total(shared)).to_have_text(engine(f"net=resnet18&width={width}")["macs"])
    expect(shared.locator("#knob-width")).to_have_value("0.9")
    assert [query for query in asked if "width=0.85" in query]
    assert shared.wrong == []


def test_every_move_of_a_knob_is_painted(shared, lab):
    show(shared, lab, "net=resnet152&device=rpi-5")
    shared.wait_for_selector("#chart-front-front .main-svg")
    durations = shared.evaluate(
        """async (values) => {
          performance.clearMeasures("move");
          const knob = document.getElementById("knob-width"), moves = () => Number(document.body.dataset.moves || 0);
          for (const value of values) {
            const before = moves();
            knob.value = value;
            knob.dispatchEvent(new Event("input", { bubbles: true }));
            while (moves() === before) await new Promise((later) => setTimeout(later, 2));
          }
          return performance.getEntriesByName("move").map((entry) => entry.duration);
        }""",
        [0.5, 0.6, 0.7, 0.8, 0.9, 1.1],
    )
    assert len(durations) == 6  # how long they take: benchmarks/bench_lab.py
    expect(total(shared)).to_have_text(engine("net=resnet152&width=1.1")["macs"])


def test_a_wrong_token_shows_nothing(page, lab):
    answer = page.goto(lab.url.replace(TOKEN, "not-the-token-of-the-lab"))
    assert answer.status == 403
    assert "wrong token" in page.content()
