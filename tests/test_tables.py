"""Tables: what a terminal of 80, 120 and 160 columns shows of each, that no figure is cut, and that a pipe gets all.

The files in golden/ are what terminals show; `GOLDEN=write pytest tests/test_tables.py` writes them again.
"""

import importlib
import io
import os
import pty
import subprocess
import sys
from inspect import getsource
from pathlib import Path

import click
import pytest
from chosen import candidate, measured
from rich.console import Console

from netlathe.cli import common
from netlathe.cli.choose_show import candidate_data
from netlathe.cli.main import cli, run
from netlathe.tables import choose, compare, fit, search, terminal
from netlathe.tables.page import render_html
from netlathe.tables.table import Column, make_table, text_table

GOLDEN = Path(__file__).parent / "golden"
WIDTHS = (80, 120, 160)
CANDIDATES = [
    candidate("efficientnet_b0", 77.7, 14.2, macs=385_900_000, size=21_450_000, memory=30_100_000),
    candidate("mobilenetv3_large", 75.8, 9.87, macs=216_600_000, size=21_930_000, memory=26_400_000),
    candidate("regnety_002_with_a_long_name", 70.3, 7.01, macs=199_000_000, size=12_600_000, memory=15_300_000),
    candidate("lenet5", 60.2, None, macs=416_520, size=246_824, memory=300_000),
]
LATENCIES = [
    measured(14.2).to_json() | {"network": "efficientnet_b0", "id": "1f0c5a7e2b", "p90_ms": 15.1, "runs": 211}
    | {"rss_bytes": 61_000_000},
    measured(9.87).to_json() | {"network": "mobilenetv3_large", "id": "92ab01cd3e", "p90_ms": 10.4, "runs": 305},
    measured(9.87, failure="timed out").to_json() | {"network": "vgg16", "id": "7701fe22aa", "median_ms": None},
]  # fmt: skip
TRIALS = [
    {"number": 17, "score": 91.204, "genotype": [0, 2, 1] * 9, "costs": {"macs": 41e6, "latency": 2.31, "size": 1.1e6}},
    {"number": 4, "score": 88.1, "genotype": [1, 1, 0] * 9, "costs": {"macs": 22e6, "latency": 1.17, "size": 0.9e6}},
]
FIT = [
    {"name": "resnet20", "macs": 40_813_184, "size_bytes": 1_090_000, "memory_bytes": 1_350_000, "measured": True,
     "latency_ms": [0.91, 0.93, 0.96], "weights": None},
    {"name": "mobilenetv3_small@160", "macs": 29_000_000, "size_bytes": 10_200_000, "memory_bytes": 11_600_000,
     "measured": False, "latency_ms": [2.1, 4.2, 8.9], "weights": "timm:mobilenetv3_small_100.lamb_in1k"},
]  # fmt: skip


def compared():
    """Rows of `netlathe compare`, with latencies."""
    costs = {"input": [3, 224, 224], "params": 5_288_548, "acts": 6_700_000, "intensity": 14.3, "peak_bytes": 9_600_000}
    rows = [("efficientnet_b0", 385_900_000, 77.7), ("mobilenetv3_large", 216_600_000, 75.8), ("vgg16", 15e9, None)]
    ratios = [{"ratio": 1.0, "tied": False}, {"ratio": 0.695, "tied": True}, {"ratio": None, "tied": False}]
    return [
        {"name": name, "macs": macs, "top1": top1, "latency": m | ratio} | costs
        for (name, macs, top1), m, ratio in zip(rows, LATENCIES, ratios, strict=True)
    ]


def front(**how):
    rows = [candidate_data(c) for c in CANDIDATES]
    marks = {choose.candidate_key(rows[0]): "pick", choose.candidate_key(rows[1]): "tied"}
    return choose.front_table(rows, marks, title="a machine, onnxruntime, fp32: the front", **how)


TABLES = {
    "choose": lambda: front(),
    "choose-runtimes": lambda: front(several=True, batch=8),
    "bench": lambda: compare.latencies_table(LATENCIES, title="a cpu, 1 thread", caption="interval: 95 %"),
    "compare": lambda: compare.networks_table(compared(), title="a cpu, 1 thread", caption="interval: 95 %"),
    "search-show": lambda: search.front_table(TRIALS, title="front of around:resnet20", caption="8 more: --all"),
    "fit": lambda: fit.candidates_table(FIT, "12 networks keep the budget; these would be raced"),
}
COMMANDS = {
    "cost": "cost resnet18",
    "cost-op": "cost lenet5 --by op",
    "cost-many": "cost resnet18 vgg16",
    "device-list": "device list",
    "device-show": "device show rpi-5",
    "device-why": "device why efficientnet_b0 --device rpi-5",
    "device-roofline": "device roofline mobilenetv2 --device rpi-5",
    "device-micro": "device micro mobilenetv2_035 --device stm32h743",
    "device-rankings": "device rankings",
    "zoo": "zoo resnet1*",
    "audit": "audit --slide 10",
    "audit-table": "audit --table quiz",
    "recipe": "recipe list",
    "recipe-show": "recipe show rsb-a3",
    "recipe-diff": "recipe diff torchvision-v1 torchvision-v2",
    "modernise": "modernise resnet50",
    "reshape": "reshape resnet20 --doubling --device rpi-5",
    "advise": "advise --task mobile --device phone-a76-core --latency 60ms",
}


@pytest.fixture
def shown(monkeypatch, capsys):
    """What a terminal shows of a table, and every table that was laid out with the sizes of its columns."""
    laid_out = []
    lay_out = terminal.grid

    def recording(table, sizes=None, **frame):
        laid_out.append((table, sizes))
        return lay_out(table, sizes, **frame)

    def show(name, width):
        # First where it is imported by name, so that nobody imports the stand-in for good.
        monkeypatch.setattr("netlathe.cli.recipe.terminal_width", lambda: width)
        monkeypatch.setattr(common, "terminal_width", lambda: width)
        if name in TABLES:
            common.print_table(TABLES[name]())
        else:
            assert run(COMMANDS[name].split()) == 0
        return "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines()) + "\n"

    monkeypatch.setattr(terminal, "grid", recording)
    monkeypatch.setenv("NO_COLOR", "1")
    show.laid_out = laid_out
    return show


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", [*TABLES, *COMMANDS])
def test_a_terminal_shows_the_golden_table_and_cuts_no_figure(name, width, shown):
    output, file = shown(name, width), GOLDEN / f"{name}-{width}.txt"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(output)
    assert output == file.read_text()
    assert shown.laid_out
    for table, sizes in shown.laid_out:
        for i, column in enumerate(table.columns):
            if i in sizes and not column.text:
                for row in table.rows:
                    assert column.cell(row) in output
                    assert len(column.cell(row)) <= sizes[i]
                    assert not column.cell(row).endswith("…")
            elif i not in sizes:
                assert (column.name or column.heading) in output.replace("\n", " ")
                assert "--wide" in output
        assert terminal.needed(sizes) <= width


@pytest.mark.parametrize("name", [*TABLES, *COMMANDS])
def test_a_pipe_gets_every_column_whole(name, shown):
    output = shown(name, None)
    assert "…" not in output
    assert "not shown" not in output
    for table, sizes in shown.laid_out:
        assert sizes is None
        assert all(cell in output for cells in table.cells() for cell in cells)


NARROW = make_table(
    (
        Column("a name", 0, text=True),
        Column("important", 1, "{:.6f}".format),
        Column("second", 2, str, priority=2),
        Column("third", 3, str, priority=3),
    ),
    [("a very long name that may be cut", 1234567.5, 22222222, 3)],
)


@pytest.mark.parametrize(
    ("width", "headings"),
    [(80, ["a name", "important", "second", "third"]), (65, ["a name", "important", "second"]), (30, None), (5, None)],
)
def test_columns_go_by_priority_then_words_are_shortened_and_figures_stand(width, headings, capsys):
    terminal.render(NARROW, Console(width=1000, height=25), width)
    output = capsys.readouterr().out
    assert "1234567.500000" in output
    kept = headings or ["a name", "important"]
    assert all(heading in output for heading in kept)
    sizes = terminal.fit(NARROW, width)
    assert [NARROW.columns[i].heading for i in sizes] == kept
    assert ("…" in output) == (headings is None)


def test_nothing_less_important_stands_where_something_more_important_does_not():
    table = make_table((Column("a", 0), Column("b", 1, priority=2), Column("c", 2, priority=3)), [("1", "2" * 50, "3")])
    assert list(terminal.fit(table, 40)) == [0]
    assert list(terminal.fit(table, 80)) == [0, 1, 2]


def test_a_page_shows_every_column_of_the_same_table_and_a_document_its_values():
    table = make_table(
        (Column("network", "name", text=True, key="name"), Column("ms", "ms", "{:.1f}".format, 9, key="latency_ms")),
        [{"name": "<b>", "ms": 1.25}, {"name": "c", "ms": None}],
        title="latencies",
    )
    html = render_html(table)
    assert "&lt;b&gt;" in html
    assert "1.2</td>" in html
    assert "-</td>" in html
    assert 'aria-label="latencies"' in html
    assert table.records() == [{"name": "<b>", "latency_ms": 1.25}, {"name": "c", "latency_ms": None}]


def commands(group, path=()):
    """Every command of the tree with its words."""
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            yield from (
                commands(command, (*path, name)) if isinstance(command, click.Group) else [((*path, name), command)]
            )


def test_every_verb_that_prints_a_table_has_wide():
    verbs = dict(commands(cli))
    for words, command in verbs.items():
        module = importlib.import_module(command.callback.__module__)
        prints = "print_table(" in getsource(module) and words != ("device", "check")
        if prints:
            assert "--wide" in {option for parameter in command.params for option in parameter.opts}, words
    assert len(verbs) > 40


def test_a_real_terminal_has_the_width_of_columns_and_wide_ignores_it():

    def width(*words):
        master, slave = pty.openpty()
        env = os.environ | {"COLUMNS": "60", "TERM": "dumb", "NO_COLOR": "1"}
        with subprocess.Popen([sys.executable, "-m", "netlathe", *words], stdout=slave, stdin=slave, env=env):
            os.close(slave)
            output = b""
            while True:
                try:
                    chunk = os.read(master, 65536)
                except OSError:  # the other side has closed
                    break
                if not chunk:
                    break
                output += chunk
        os.close(master)
        return output.decode().replace("\r", "")

    narrow, wide = width("zoo", "resnet1*"), width("zoo", "resnet1*", "--wide")
    assert "not shown: recipe (--wide shows all columns)" in narrow
    assert "timm a1h" not in narrow
    assert all(len(line) <= 60 for line in narrow.splitlines())
    assert "timm a1h" in wide
    assert "not shown" not in wide


def test_words_stand_at_the_left_and_figures_at_the_right_in_a_pipe_too(capsys):
    rows = [{"name": "a", "note": "short", "n": 5}, {"name": "b", "note": "a longer note", "n": 1234}]
    columns = (Column("name", "name", text=True), Column("note", "note", text=True, wraps=True), Column("n", "n"))
    common.print_table(make_table(columns, rows))
    lines = capsys.readouterr().out.splitlines()
    head, first, second = (
        next(line for line in lines if line.strip().startswith(start)) for start in ("name", "a", "b")
    )
    assert head.index("note") == first.index("short") == second.index("a longer note")
    assert first.rstrip().endswith("   5")
    assert len(first.rstrip()) == len(second.rstrip()) == len(head.rstrip())


def test_a_tall_table_has_the_lines_of_any_other(monkeypatch):
    table = text_table(["name", "x"], [("a", "1"), ("b\x1b", "22")], title="T", caption="below")

    def lines():
        file = io.StringIO()
        terminal.render(table, Console(width=terminal.UNLIMITED, height=25, file=file))
        return [line.rstrip() for line in file.getvalue().splitlines() if line.strip()]

    usual = lines()
    monkeypatch.setattr(terminal, "TALL", 1)
    assert lines() == usual
    assert "b\\x1b" in usual[-2]
