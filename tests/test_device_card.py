"""Device cards: what they say, where it comes from, and what a card may not say."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from command import netlathe

from netlathe.device.card import FOLDER, CardFigure, DeviceCard, ErrorBar, Model, load, names, parse, save, to_toml
from netlathe.errors import NetlatheError

DEVICES = Path(__file__).parent.parent.parent / "shared" / "reference" / "devices.csv"
COLUMNS = {  # of devices.csv: what the figure is called here
    "fp32_gflops": [("peak", "fp32")],
    "tf32_gflops": [("peak", "tf32")],
    "fp16_bf16_gflops": [("peak", "bf16")],
    "fp8_gflops": [("peak", "fp8")],
    "int8_gops": [("peak", "int8")],
    "bandwidth_gb_s": [("bandwidth", "dram")],
}
MINIMAL = """
schema = "netlathe.card/1"
id = "mine"
name = "My phone"
class = "phone"
date = 2026-08-01

[[figure]]
quantity = "peak"
of = "fp32"
value = 40
unit = "GFLOP/s"
kind = "derived"
source = "clock x 16"
"""


@pytest.mark.parametrize("name", names())
def test_a_shipped_card_is_named_as_its_file_and_comes_back_from_its_own_text(name):
    card = load(name)
    assert card.id == name
    assert parse(to_toml(card)) == card
    assert (FOLDER / f"{name}.toml").read_text() == to_toml(card)


@pytest.mark.parametrize("name", names())
def test_every_figure_says_where_it_comes_from(name):
    assert all(figure.source for figure in load(name).figures)


@pytest.mark.data
def test_every_row_of_the_reference_table_is_a_card_with_the_same_figures():
    if not DEVICES.exists():
        pytest.skip(f"{DEVICES} is absent")
    for row in csv.DictReader(DEVICES.read_text().splitlines()):
        card = load(row["id"])
        assert card.class_ == row["class"]
        for column, ((quantity, of),) in COLUMNS.items():
            shown = [f for f in card.find(quantity, of) if f.value == float(row[column] or "nan")]
            if not row[column]:
                assert not card.find(quantity, of), f"{card.id}: {column} is empty in the table, and must stay so"
                continue
            assert shown, f"{card.id}: {column}"
            derived, measured, doubtful = (
                column in row[f"{kind}_fields"] for kind in ("derived", "measured", "unconfirmed")
            )
            if derived or measured:
                assert shown[0].kind == ("derived" if derived else "measured"), f"{card.id}: {column}"
            if doubtful:
                assert shown[0].unconfirmed or shown[0].kind == "unconfirmed", f"{card.id}: {column}"


def test_figures_come_in_base_units():
    assert load("a100-sxm-40").peak("fp16") == 312e12
    assert load("a100-sxm-40").bandwidth() == 1555e9
    assert load("stm32f746").bytes("sram") == 320 * 1024
    assert load("stm32f746").bytes("flash") == 2**20
    assert load("a100-sxm-80").bytes("memory") == 80 * 10**9


def test_the_roof_is_the_highest_figure_and_what_is_attained_the_measured_one():
    pi = load("rpi-4-1500")
    assert pi.bandwidth() == 12.8e9
    assert pi.bandwidth(attained=True) == 5.56e9
    assert pi.peak("fp32", attained=True) == pi.peak("fp32")  # nobody measured it


def test_a_missing_figure_is_an_error_that_says_what_there_is():
    with pytest.raises(NetlatheError, match="no int8 peak figure") as caught:
        load("rpi-5").peak("int8")
    assert "fp32" in caught.value.hint


def test_unconfirmed_figures_are_said_where_they_are_used():
    card = load("phone-2016-core")
    assert "unconfirmed" in card.warnings(card.figure("peak", "fp32"))[0]
    assert load("a100-sxm-40").warnings(*load("a100-sxm-40").figures) == []


def test_an_unknown_card_names_the_nearest():
    with pytest.raises(NetlatheError, match="rp-5") as caught:
        load("rp-5")
    assert "rpi-5" in caught.value.hint


def test_all_faults_of_a_file_come_at_once_with_their_places():
    text = (
        MINIMAL.replace("2026-08-01", '"soon"').replace('"phone"', '"telephone"')
        + """
note = 3
bandwith = 1

[[figure]]
quantity = "bandwidth"
of = "dram"
value = 0
unit = "GB/s"
kind = "measured"

[[figure]]
quantity = "peak"
of = "int8"
value = "fast"
unit = "GOP/s"
kind = "guess"

[[model]]
runtime = "onnxruntime"
date = 2026-08-01
networks = 0
coefficients = { macs = -1 }
error = { mape = 0.1, p50 = 1.0, low = 1.1, high = 0.9 }
"""
    )
    with pytest.raises(NetlatheError) as caught:
        parse(text, "mine.toml")
    said = caught.value.message
    assert caught.value.path == "mine.toml"
    for place, word in {
        "date": "soon",
        "class": "telephone",
        "figure[0].note": "a text",
        "figure[0].bandwith": "unknown field",
        "figure[1].value": "a bandwidth of 0 GB/s cannot be",
        "figure[1].source": "needs its source",
        "figure[2].value": "a number",
        "model[0].networks": "at least 1",
        "model[0].coefficients.macs": "from 0",
        "model[0].error": "low <= p50 <= high",
    }.items():
        assert any(line.strip().startswith(f"{place}: ") and word in line for line in said.splitlines()), (place, said)


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (
            {"quantity": "rate", "of": "mine", "value": 30_000, "unit": "MMAC/s", "kind": "measured"},
            "highest peak",
        ),
        ({"quantity": "peak", "of": "fp32", "value": 41, "unit": "GFLOP/s", "kind": "measured"}, "above the roof"),
        ({"quantity": "peak", "of": "fp32", "value": 39, "unit": "GFLOP/s", "kind": "derived"}, "again"),
        ({"quantity": "peak", "of": "int8", "value": 80, "unit": "GFLOP/s", "kind": "derived"}, "GOP/s"),
        ({"quantity": "peak", "of": "fp16", "value": -1, "unit": "GFLOP/s", "kind": "derived"}, "cannot be"),
        ({"quantity": "peak", "of": "fp16", "value": 1, "unit": "GB/s", "kind": "derived"}, "unknown word 'GB/s'"),
        ({"quantity": "speed", "of": "fp16", "value": 1, "unit": "GB/s", "kind": "derived"}, "unknown word 'speed'"),
    ],
)
def test_figures_that_cannot_be_are_refused(row, word):
    lines = [f"{key} = {json.dumps(value)}" for key, value in (row | {"source": "me"}).items()]
    with pytest.raises(NetlatheError, match=word):
        parse(MINIMAL + "\n[[figure]]\n" + "\n".join(lines))


@pytest.mark.parametrize(
    ("text", "word"),
    [("schema = 3 =", "not TOML"), ('schema = "netlathe.card/9"', "reads no other"), ("", "is missing")],
)
def test_a_file_that_is_no_card_says_why(text, word):
    with pytest.raises(NetlatheError, match=word):
        parse(text)


def test_a_card_with_a_model_is_saved_and_read_back(tmp_path):
    model = Model(
        runtime="onnxruntime",
        date="2026-08-01",
        networks=12,
        coefficients={"depthwise 3x3 macs": 0.1, "calls": 0.0},
        error=ErrorBar(mape=0.08, p50=1.0, low=0.9, high=1.2),
        held_out="leave one family out",
        roofs={"fp32": 212.0},
    )
    peak = CardFigure("peak", "fp32", 40, "GFLOP/s", "derived", "x")
    card = DeviceCard("mine", 'My "phone"', "phone", "2026-08-01", (peak,), (model,))
    save(card, tmp_path / "mine.toml")
    assert load(tmp_path / "mine.toml") == card
    assert load(str(tmp_path / "mine.toml")).models[0].coefficients["depthwise 3x3 macs"] == 0.1


def test_a_card_that_could_not_be_read_is_not_written(tmp_path):
    bad = DeviceCard(
        "mine", "My phone", "phone", "2026-08-01", (CardFigure("bandwidth", "dram", 0, "GB/s", "measured", "x"),)
    )
    with pytest.raises(NetlatheError, match="cannot be"):
        save(bad, tmp_path / "mine.toml")
    assert not list(tmp_path.iterdir())


def test_the_command_line_lists_shows_and_checks_cards(tmp_path):
    listed = json.loads(netlathe("device", "list", "--json").stdout)["data"]["cards"]
    assert [card["id"] for card in listed] == names()
    (tmp_path / "mine.toml").write_text(netlathe("device", "show", "rpi-5", "--toml").stdout)
    assert "right" in netlathe("device", "check", str(tmp_path / "mine.toml")).stdout
    (tmp_path / "mine.toml").write_text(MINIMAL.replace("40", "0"))
    assert "figure[0].value" in netlathe("device", "check", str(tmp_path / "mine.toml"), code=2).stderr


def test_cards_are_listed_without_anything_heavy():
    program = (
        "import sys; from netlathe.cli.main import run; code = run(['device', 'list']);"
        "print({'torch', 'onnx', 'numpy', 'pydantic'} & sys.modules.keys(), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"


@pytest.mark.parametrize(
    ("class_", "processor"),
    [("laptop gpu", "gpu"), ("server cpu core", "cpu"), ("phone", "cpu"), ("accelerator", "accelerator")],
)
def test_what_computes_in_a_device_is_a_property_of_its_class(class_, processor):
    assert DeviceCard("mine", "Mine", class_, "2026-11-01", ()).processor == processor
