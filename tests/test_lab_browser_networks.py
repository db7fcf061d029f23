"""The lab in a real browser: networks that are dropped, compared, put away and taken along."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("playwright")
pytest.importorskip("starlette")

from command import PATIENCE_S
from lab_pages import engine, show, state_of, total
from playwright.sync_api import expect

from netlathe import zoo
from netlathe.arch.document import to_json
from netlathe.arch.network import Network
from netlathe.units import show_count

expect.set_options(timeout=1000 * PATIENCE_S)


def drop(page, name, content):
    page.locator("#file").set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": content})


def test_bad_files_are_told_and_the_page_lives_on(shared, lab):
    show(shared, lab, "net=resnet18")
    for name, content, said in [
        ("cut.onnx", b"\x08\x0a\x12\x04", "not an ONNX file"),
        ("text.json", b"hello", "not JSON"),
        ("photo.png", b"\x89PNG", "none of the files"),
    ]:
        drop(shared, name, content)
        expect(shared.locator("#notice")).to_contain_text(said)
        assert state_of(shared)["net"] == "resnet18"
    shared.locator("#knob-width-number").fill("0.5")
    shared.locator("#knob-width-number").press("Enter")
    expect(total(shared)).to_have_text(engine("net=resnet18&width=0.5")["macs"])


def test_a_name_with_markup_is_text_everywhere(shared, lab):
    evil = "<img src=x onerror=document.title='hit'><script>alert(1)</script>"
    drop_name = Network(evil, zoo.get("resnet18").body)
    show(shared, lab, "net=resnet18")
    drop(shared, "evil.json", to_json(drop_name).encode())
    expect(shared.locator("#title-a")).to_contain_text("<script>")
    shared.locator("#compare").click()
    expect(shared.locator("#versus")).to_contain_text("<script>")
    shared.wait_for_selector("#chart-front-front .main-svg")
    assert shared.locator("img").count() == 0
    assert shared.evaluate("document.querySelectorAll('main script').length") == 0
    assert shared.wrong == []


def test_a_and_b_stand_side_by_side(shared, lab):
    show(shared, lab, "net=resnet18")
    shared.locator("#compare").click()
    shared.locator("#net").fill("mobilenetv2")
    shared.locator("#net").press("Enter")
    expect(total(shared, side="b")).to_have_text(engine("net=mobilenetv2")["macs"])
    expect(total(shared, side="a")).to_have_text(engine("net=resnet18")["macs"])
    row = shared.locator("#versus tr", has_text="MACs")
    ratio = view_macs("mobilenetv2") / view_macs("resnet18")
    expect(row.locator("td").last).to_have_text(f"{ratio:.3g}")
    shared.locator("#knob-width-number").fill("0.5")
    shared.locator("#knob-width-number").press("Enter")
    expect(total(shared, side="b")).to_have_text(engine("net=mobilenetv2&width=0.5")["macs"])
    shared.locator("#which [data-side=a]").click()
    expect(shared.locator("#knobs-title")).to_have_text("Knobs of A")


def view_macs(name):
    from netlathe.cost.totals import totals

    network = zoo.get(name)
    return totals(network.body, network.input).macs


def test_a_network_that_is_put_away_while_its_answer_is_on_its_way_does_not_stop_the_page(shared, lab):
    show(shared, lab, "net=resnet18&device=rpi-5&b.net=mobilenetv2")
    held = []
    shared.route("**/view*", lambda route: held.append(route), times=2)
    shared.locator("#swap").click()
    while len(held) < 2:  # both sides are asked for
        shared.wait_for_timeout(20)
    shared.locator("#compare").click()
    for route in held:
        route.continue_()
    shared.locator("#net").fill("resnet50")
    shared.locator("#net").press("Enter")
    expect(total(shared)).to_have_text(engine("net=resnet50")["macs"])
    assert shared.wrong == []


def test_a_network_that_comes_beside_another_while_that_is_drawn_is_shown_too(shared, lab):
    show(shared, lab, "net=resnet18&device=rpi-5")
    held = []
    shared.route("**/view*", lambda route: held.append(route), times=1)
    shared.locator("#net").fill("mobilenetv2")
    shared.locator("#net").press("Enter")
    while not held:
        shared.wait_for_timeout(20)
    shared.locator("#compare").click()
    held[0].continue_()
    expect(total(shared, side="b")).to_have_text(engine("net=mobilenetv2")["macs"])
    assert shared.wrong == []


def test_the_expression_leaves_as_a_file(shared, lab):
    show(shared, lab, "net=resnet18&width=0.5")
    shared.locator("#export summary").click()
    expect(shared.locator("[data-export=arch]")).to_have_attribute("href", re.compile("width=0.5"))
    with shared.expect_download() as download:
        shared.locator("[data-export=arch]").click()
    document = json.loads(Path(download.value.path()).read_text())
    assert document["name"] == "resnet18-w0.5"
    with shared.expect_download() as download:
        shared.locator("[data-export=report]").click()
    assert show_count(view_macs("resnet18")) not in Path(download.value.path()).read_text()[:200_000]
    assert engine("net=resnet18&width=0.5")["macs"] in Path(download.value.path()).read_text()
