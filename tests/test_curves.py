"""Plots of scaling and of design spaces: curves to scale, on a page, from the command line."""

import json
import re

import pytest
from command import netlathe

from netlathe.report.charts.curves import chart


def curves(text):
    """name -> points of the figure in a page."""
    charts = json.loads(re.search(r'id="charts">(.*?)</script>', text, re.DOTALL)[1])
    traces = charts[0]["figure"]["data"]
    return {trace["name"]: list(zip(trace["x"], trace["y"], strict=True)) for trace in traces}


def test_a_curve_has_its_points_and_its_table():
    drawn = chart({"a": [(0, 0), (1, 1), (4, 2)], "b & c": [(2, 1)]}, title="t", description="d", x="x", y="y")
    (a, b) = drawn.figure["data"]
    assert list(zip(a["x"], a["y"], strict=True)) == [(0, 0), (1, 1), (4, 2)]
    assert (b["name"], b["x"], b["y"]) == ("b &amp; c", [2], [1])
    assert drawn.heads == ("curve", "x", "y")
    assert drawn.rows[-1] == ("b & c", "2", "1")


@pytest.mark.parametrize("steps", [False, True])
def test_curves_are_told_apart_by_more_than_colour(steps):
    drawn = chart({str(i): [(0, i)] for i in range(3)}, title="t", description="d", x="x", y="y", steps=steps)
    assert len({trace["line"]["dash"] for trace in drawn.figure["data"]}) == 3


def test_doubling_draws_a_curve_for_every_policy(tmp_path):
    file = tmp_path / "doubling.html"
    table = netlathe("reshape", "resnet18", "--doubling", "--html", file).stdout
    drawn = curves(file.read_text())
    assert {"d", "w", "r", "dWr"} <= drawn.keys()
    assert all(name in table for name in drawn)
    assert all(len(points) == 4 for points in drawn.values())


def test_regnets_of_equal_macs_are_sampled_compared_and_drawn(tmp_path):
    file = tmp_path / "edf.html"
    words = ["regnets", "--macs", "360M:440M", "-n", "10", "--device", "rpi-5", "--html", file]
    found = json.loads(netlathe(*words, "--json").stdout)["data"]["samples"]
    assert found.keys() == {"RegNetX", "RegNetY"} == curves(file.read_text()).keys()
    assert all(360e6 <= row["macs"] <= 440e6 and row["ms"] > 0 for rows in found.values() for row in rows)
    assert netlathe(*words, "--json").stdout == netlathe(*words, "--json").stdout
    assert "write --macs" in netlathe("regnets", "--macs", "400M", code=2).stderr
