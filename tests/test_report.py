"""The report as a file: what it may do, what it says, and what happens to names and documents that are wrong."""

import json
import re
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from deployed import colours
from reported import EVIL, EVILS, charts, page
from test_deploy_card import card, measurement

from netlathe import zoo
from netlathe.arch.document import to_json
from netlathe.cli.main import run
from netlathe.cost.memory import memory, timeline
from netlathe.cost.table import cost_rows
from netlathe.deploy.model_card import write_card
from netlathe.device.card import load
from netlathe.device.roofline import roofline
from netlathe.errors import NetlatheError
from netlathe.html import Html, document, table, tag
from netlathe.report.charts import front, predicted
from netlathe.report.documents import page_of
from netlathe.report.page import Page, hash_script, render
from netlathe.report.pages import choose, search


class Reader(HTMLParser):
    """The tags of a page, the text of its tables, its scripts."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.tables, self.scripts, self.words = [], [], [], [], []
        self.inside = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        self.inside = tag
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside in ("td", "th"):
            self.tables[-1][-1][-1] += data
        elif self.inside == "script":
            self.scripts[-1] += data
        self.words.append(data)


@pytest.fixture(scope="module")
def html():
    return render(page())


@pytest.fixture(scope="module")
def read(html):
    return Reader(html)


def test_the_policy_allows_these_scripts_by_hash_and_nothing_else(html, read):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)[1]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == "'unsafe-inline'"
    assert rules["img-src"] == "data:"
    data, *scripts = read.scripts
    assert rules["script-src"].split() == [
        f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts
    ]
    assert "unsafe" not in rules["script-src"]
    assert json.loads(data)


def test_nothing_of_the_page_points_anywhere(read):
    assert not {"link", "img", "iframe", "object", "embed", "form", "base", "audio", "video"} & set(read.tags)
    assert not [a for a in read.attributes if a[1] in ("src", "href", "srcset", "action", "formaction", "poster")]
    assert not [a for a in read.attributes if a[1].startswith("on")]


def test_one_plotly_a_page_and_less_than_6_mb(html):
    assert html.count("* plotly.js v") == 1
    assert len(html.encode()) < 6_000_000


def test_no_name_becomes_a_tag(html, read):
    assert len(read.scripts) == 4  # the data, plotly, paint, page
    assert read.tags.count("h1") == 1
    assert html.count("alert(1)") > 10
    assert EVIL not in html
    assert EVIL in "".join(read.words)
    for figure in json.loads(read.scripts[0]):
        assert EVIL not in json.dumps(figure).replace("\\u003c", "<")  # plotly reads a little HTML in names


def test_every_chart_has_title_description_and_the_same_as_a_table(read):
    found = charts()
    assert len(read.tables) == len(found) == read.tags.count("details")
    for chart, seen in zip(found, read.tables, strict=True):
        assert chart.title
        assert chart.description
        assert seen == [list(chart.heads), *map(list, chart.rows)]
        assert ("div", "aria-labelledby", f"title-{chart.id}") in read.attributes


def test_colours_of_figures_are_names_that_the_page_knows(html):
    known = set(re.findall(r"--([a-z]+):", html))
    for chart in charts():
        said = re.findall(r'"@([a-z]+)(?:/[\d.]+)?"', json.dumps(chart.figure))
        assert said
        assert set(said) <= known, chart.id
        assert not re.findall(r"#[0-9a-f]{6}", json.dumps(chart.figure)), "a colour that would not follow the scheme"


def test_the_tables_have_the_engines_values():
    graph, device = zoo.get("mobilenetv2").graph(), load("rpi-5")
    by = {chart.id: chart for chart in charts()}
    stages = {row.path: row for row in cost_rows(graph)}
    assert [row[0] for row in by["stages"].rows] == list(stages)
    bars = by["stages"].figure["data"][0]
    whole = sum(row.cost.macs for row in stages.values())
    assert bars["x"] == pytest.approx([100 * row.cost.macs / whole for row in stages.values()])
    assert len(by["roofline"].rows) == len(roofline(graph, device).lines)
    folded = by["memory"].figure["data"][0]
    assert max(folded["y"]) * 1e6 == memory(graph).folded == max(size for _, size in timeline(graph))
    widths = [float(row[3].replace(",", "")) for row in by["profile"].rows]
    assert max(widths) == 1280


def test_bands_of_the_profile_are_to_scale():
    """MobileNetV2's second block: 16 channels swell to 96 and are squeezed to 24."""
    (chart,) = [chart for chart in charts() if chart.id == "profile"]
    placed = dict(zip([row[0] for row in chart.rows], range(len(chart.rows)), strict=True))
    expand = placed["stage2.block1.expand.conv"]
    middle = chart.figure["data"][-1]["y"][expand]
    shapes = [
        (trace["x"][i : i + 4], trace["y"][i])
        for trace in chart.figure["data"][:-1]
        for i in range(0, len(trace["x"]), 6)
    ]
    ((corners, _),) = [shape for shape in shapes if middle - 0.5 < shape[1] < middle]
    assert [abs(x) * 2 for x in corners] == [16, 16, 96, 96]


def test_a_front_without_memory_says_nothing_of_it():
    known = front.FrontPoint("a", 70, 1.0, 1.0, 1.0, None)
    chart = front.chart([known], across="MACs", unit="M", show="{:g} M".format)
    assert chart.title == "Accuracy and MACs"
    assert "memory" not in chart.description
    assert "whisker" not in chart.description
    assert chart.rows == (("a", "front", "70.0", "1 M", "-", "-", ""),)


def test_predicted_against_measured_counts_what_lies_outside():
    inside = predicted.PredictedPair("a", (4, 5, 6), (5.5, 5.6, 5.7))
    outside = predicted.PredictedPair("b", (4, 5, 6), (7, 8, 9))
    chart = predicted.chart([inside, outside])
    assert chart.description.startswith("1 of 2 measured")
    assert [row[-1] for row in chart.rows] == ["yes", "no"]


def test_what_is_not_html_is_escaped_and_what_is_html_is_not_twice():
    assert tag("p", "<b>", Html("<i></i>"), title='"') == '<p title="&quot;">&lt;b&gt;<i></i></p>'
    assert "&lt;x&gt;" in table(("<x>",), [("<y>",)])
    assert document("<t>", "<u>").count("&lt;") == 2
    assert hash_script("") == "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"


def test_a_page_without_charts_needs_no_plotly():
    assert len(render(Page(title="t", lead="l", command="c"))) < 20_000


def test_without_plotly_the_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("netlathe.report.page.find_spec", lambda name: None)
    from netlathe.report.page import read_plotly

    read_plotly.cache_clear()
    code = run(["cost", "lenet5", "--html", str(tmp_path / "a.html")])
    read_plotly.cache_clear()
    assert code == 5
    assert "netlathe[report]" in capsys.readouterr().err
    assert not (tmp_path / "a.html").exists()


def test_cost_without_a_page_imports_no_report():
    program = (
        "import sys; from netlathe.cli.main import run; run(['cost', 'lenet5']);"
        "print([name for name in sys.modules if name.startswith(('netlathe.report', 'plotly'))], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_the_verbs_write_pages_and_say_where(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NETLATHE_CACHE", str(tmp_path / "cache"))
    for words, said in (
        (["cost", "mobilenetv1_025", "--device", "stm32f746", "--precision", "int8"], "latency on stm32f746"),
        (["cost", "mobilenetv1_025", "--batch", "8", "--precision", "fp16", "--device", "h100-sxm"], "h100-sxm"),
        (["cost", "resnet18", "resnet34"], "side by side"),
        (["choose", "--device", "rpi-4-1500", "--latency", "60ms", "--networks", "mobilenetv*"], "Why this one"),
        (["compare", "resnet18", "resnet34", "--no-latency", "--diff"], "resnet18 to resnet34"),
        (["device", "roofline", "resnet18", "--device", "a100-sxm-40"], "waits for memory"),
        (["device", "why", "mobilenetv2", "--device", "rpi-5"], "What would help"),
        (["audit", "--slide", "6"], "Bottleneck 256-64-256"),
    ):
        file = tmp_path / "page.html"
        code = run([*words, "--html", str(file)])
        err = capsys.readouterr().err
        assert code == 0, err
        assert f"wrote {file}" in err
        assert said in file.read_text(encoding="utf-8"), words


def test_a_document_gives_the_page_that_the_verb_itself_writes(tmp_path, capsys):
    words = ["device", "why", "resnet18", "--device", "rpi-5", "--html", str(tmp_path / "a.html"), "--json"]
    assert run(words) == 0
    (tmp_path / "b.json").write_text(capsys.readouterr().out)
    assert run(["report", str(tmp_path / "b.json")]) == 0
    tables = [Reader((tmp_path / name).read_text(encoding="utf-8")).tables for name in ("a.html", "b.html")]
    assert tables[0] == tables[1]


def test_any_document_has_a_page_with_every_value(tmp_path, capsys):
    assert run(["zoo", "vgg1*", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]["networks"]
    (tmp_path / "zoo.json").write_text(json.dumps({"schema": "netlathe.zoo/1", "data": {"networks": data}}))
    html = render(page_of(str(tmp_path / "zoo.json")))
    for network in data:
        assert network["name"] in html
        assert f"{network['params']:,}" in html


def test_the_page_of_a_fit_has_the_card_and_the_race(tmp_path):
    folder = tmp_path / "out"
    document = card(folder, EVILS[:3], ((10, 2, 0), (0, 9, 3), (1, 0, 7)))
    write_card(folder, document)
    (folder / "steps").mkdir()
    candidate = {
        "arch": to_json(zoo.get("resnet20")),
        "latency_ms": [1.0, 2.0, 3.0],
        "memory_bytes": 1000,
        "size_bytes": 900,
        "forecast": {"ms": 2.5, "low_ms": 2.0, "high_ms": 3.0, "basis": "b"},
        "measured": True,
    }
    names = ["resnet20", EVIL, "slow"]
    steps = {
        "racing": {"names": names[:2]},
        "candidates": {"candidates": [candidate | {"name": name} for name in names]},
        "rung0": {"validation": {"resnet20": 0.9, EVIL: 0.8}, "tied": ["resnet20"], "kept": ["resnet20"]},
    }
    for name, result in steps.items():
        (folder / "steps" / f"{name}.json").write_text(json.dumps({"step": name, "result": result}))
    html = render(page_of(str(folder)))
    assert html == render(page_of(str(folder / "card.json")))
    for said in ("left behind", "too slow to train", "Recall by class", "Confusion matrix", "Width profile",
                 "Predicted against measured"):  # fmt: skip
        assert said in html, said
    assert EVIL not in html


def test_a_choice_marks_the_pick_the_ties_and_what_is_over_budget():
    def candidate(name, ms, top1):
        m = measurement(median_ms=ms, low_ms=ms - 0.1, high_ms=ms + 0.1).to_json()
        return {"name": name, "resolution": 224, "runtime": "onnxruntime", "precision": "fp32", "top1": top1,
                "recipe": "r", "source": "s", "macs": 1, "size_bytes": 1, "memory_bytes": 1, "predicted": None,
                "latency": m}  # fmt: skip

    pick, tie, fits, slow = (
        candidate("p", 5, 70),
        candidate("t", 6, 70.1),
        candidate("f", 4, 60),
        candidate("s", 20, 80),
    )
    budget = {"latency": 10.0, "memory": None, "size": None, "macs": None, "top1": None}
    data = {"pick": pick, "ties": [tie], "front": [pick], "measured": [pick, tie, fits, slow], "budget": budget}
    marks = {point.name: point.mark for point in choose.points(data)}
    assert marks == {"p": "pick", "t": "tied", "f": "fits", "s": "over"}


def test_a_comparison_of_searches_starts_its_curves_after_the_first_twentieth():
    arm = {"name": EVIL, "regret": [5.0] * 40, "low": [4.0] * 40, "high": [6.0] * 40, "winners": [],
           "winners_curse": None}  # fmt: skip
    data = {"space": "s", "networks": 9, "best": 90.0, "evaluations": 40, "runs": 3, "seed": 0, "noisy": False,
            "repeats": "free", "strategies": [arm, arm | {"name": "b"}], "pairs": [], "notes": ["n"]}  # fmt: skip
    made = search.comparison(data)
    (chart,) = [part for _, parts in made.sections for part in parts if not isinstance(part, Html)]
    assert chart.figure["data"][1]["x"][0] == 3
    assert EVIL not in render(made)


def test_the_page_of_a_search_has_the_front_of_what_is_known():
    def trial(number, state, score, **costs):
        return {"number": number, "state": state, "score": score, "genotype": [number], "costs": costs}

    trials = [trial(0, "done", 70.0, macs=2e6), trial(1, "failed", None), trial(2, "done", 75.0, macs=4e6)]
    data = {"space": EVIL, "strategy": "random", "seed": 0, "evaluations": 3, "ended": None, "counts": {"done": 2},
            "failures": {EVIL: 1}, "best": trials[2], "winner": trials[2], "front": [trials[0], trials[2]],
            "trials": trials, "final": {"score": 74.0, "gap": 1.0, "half": None, "scores": [74.0]}}  # fmt: skip
    made = search.show(data)
    progress, front_ = (part for _, parts in made.sections for part in parts if not isinstance(part, Html))
    assert [row[1] for row in progress.rows] == ["done", "failed", "done"]
    assert [row[:4] for row in front_.rows] == [("trial 2", "pick", "75.0", "4 M"), ("trial 0", "front", "70.0", "2 M")]
    assert ("the curse", "+1.00", "what the search said beyond the fresh seeds") in made.tiles
    assert EVIL not in render(made)
    late = search.show(data | {"trials": [trial(0, "done", 1.0, latency=3.0), trial(1, "done", 2.0, latency=4.0)]})
    assert "Accuracy and latency" in render(late)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "nothing that a page"),
        ('{"schema": "netlathe.choose/1", "data": {}}', "not what netlathe.choose/1 holds"),
        ('{"schema": "netlathe.error/1", "error": {"message": "no"}}', "is an error"),
        ('{"schema": "netlathe.modelcard/1"}', "not what netlathe.modelcard/1 holds"),
    ],
)
def test_documents_that_are_wrong_are_refused_by_name(tmp_path, content, said):
    path = tmp_path / "card.json"
    path.write_text(content)
    with pytest.raises(NetlatheError, match=said):
        page_of(str(path))


def test_a_folder_without_anything_is_refused(tmp_path):
    colours(tmp_path / "out")
    with pytest.raises(NetlatheError, match="nothing in this folder"):
        page_of(str(tmp_path))
    with pytest.raises(NetlatheError, match="cannot read"):
        page_of(str(tmp_path / "none.json"))


def test_scripts_beside_the_page_are_those_that_it_carries(html):
    folder = Path(__file__).parent.parent / "src" / "netlathe" / "report"
    for name in ("paint.js", "page.js"):
        assert (folder / name).read_text(encoding="utf-8") in html
