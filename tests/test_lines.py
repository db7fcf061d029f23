"""Plots of scaling and of design spaces: curves to scale, as SVG, from the command line."""

import json
from xml.etree import ElementTree

import pytest
from command import netlathe

from netlathe.report.lines import FOOT, HIGH, LEFT, RIGHT, TOP, WIDE, lines

SVG = "{http://www.w3.org/2000/svg}"


def curves(text):
    """name -> points in pixels."""
    root = ElementTree.fromstring(text)
    return {
        line.find(f"{SVG}title").text: [tuple(map(float, p.split(","))) for p in line.get("points").split()]
        for line in root.iter(f"{SVG}polyline")
    }


def test_a_curve_is_drawn_to_scale_in_its_frame():
    drawn = curves(lines({"a": [(0, 0), (1, 1), (4, 2)], "b & c": [(2, 1)]}, "x", "y"))
    wide, high = WIDE - LEFT - RIGHT, HIGH - TOP - FOOT
    assert drawn["a"] == [
        pytest.approx((LEFT, HIGH - FOOT)),
        pytest.approx((LEFT + wide / 4, TOP + high / 2)),
        pytest.approx((LEFT + wide, TOP)),
    ]
    assert drawn["b & c"] == [pytest.approx((LEFT + wide / 2, TOP + high / 2))]


def test_doubling_draws_a_curve_for_every_policy(tmp_path):
    file = tmp_path / "doubling.svg"
    table = netlathe("reshape", "resnet18", "--doubling", "--svg", file).stdout
    drawn = curves(file.read_text())
    assert {"d", "w", "r", "dWr"} <= drawn.keys()
    assert all(name in table for name in drawn)
    assert all(len(points) == 4 for points in drawn.values())


def test_regnets_of_equal_macs_are_sampled_compared_and_drawn(tmp_path):
    file = tmp_path / "edf.svg"
    words = ["regnets", "--macs", "360M:440M", "-n", "10", "--device", "rpi-5", "--svg", file]
    found = json.loads(netlathe(*words, "--json").stdout)["data"]["samples"]
    assert found.keys() == {"RegNetX", "RegNetY"} == curves(file.read_text()).keys()
    assert all(360e6 <= row["macs"] <= 440e6 and row["ms"] > 0 for rows in found.values() for row in rows)
    assert netlathe(*words, "--json").stdout == netlathe(*words, "--json").stdout
    assert "write --macs" in netlathe("regnets", "--macs", "400M", code=2).stderr
