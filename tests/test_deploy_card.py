"""The model card: everything it claims is in it, nothing in it can run or call out, and it can be read."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from deployed import colours, plain

from netlathe.bench.machine import this_machine
from netlathe.bench.measurement import Measurement
from netlathe.deploy.check import check_figures
from netlathe.deploy.limits import parse_limits
from netlathe.deploy.model_card import HTML, JSON, Forecast, TrainingRecord, model_card, read_card, write_card
from netlathe.deploy.model_card_page import POLICY, page
from netlathe.deploy.predict import snippet
from netlathe.deploy.score import ConfusionScore, images_for
from netlathe.errors import NetlatheError

EVIL = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "blue&amp;'")
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Reader(HTMLParser):
    """The tags, their attributes and the text of a page; raises where tags do not close."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.words, self.open = [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def measurement(**more):
    machine = this_machine()
    fields = {"network": "n", "key": "k", "input": (16, 16, 3), "device": machine.id, "cpu": machine.cpu}
    fields |= {"cores": machine.cores, "flags": machine.flags}
    fields |= {"runtime": "onnxruntime", "runtime_version": "1.99", "threads": 1, "precision": "fp32", "batch": 1}
    fields |= {"seed": 0, "date": "2026-11-23T00:00:00.000+00:00", "median_ms": 5.0, "low_ms": 4.0, "high_ms": 6.0}
    return Measurement(**fields | {"processes": 6, "runs": 1234, "blocks": 24} | more)


def card(folder, classes, confusion, **more):
    package = colours(folder, classes=classes, licence="CC-BY-4.0 <b>", weights="timm:<i>", budget={"latency": "5ms"})
    found = ConfusionScore("test", classes, confusion) if confusion else None
    asked = parse_limits({"latency": "5.5ms", "accuracy": 0.5} if found else {"latency": "3ms"}, "test")
    return model_card(package, check_figures(package, asked, measurement(), found), **more)


@pytest.fixture
def evil(tmp_path):
    recipe = {"name": "r</pre><script>1</script>", "optimiser": {"lr": 0.1, "name": "<x>"}}
    return card(
        tmp_path / "out",
        EVIL,
        ((10, 2, 0), (0, 9, 3), (0, 0, 0)),
        training=TrainingRecord(recipe, (3, 4, 5), {"seconds": 95.0, "epochs": 12.0, "images": 12_345}),
        forecast=Forecast(4.0, 3.0, 5.0, "30 <networks>"),
        limits=["<limit> of the & user"],
        reproduce=["netlathe fit '<photos>' -o out"],
    )


def test_no_text_of_the_card_becomes_a_tag(evil):
    found = Reader(page(evil))
    assert not {"script", "img", "b>", "i>", "x", "limit", "link", "iframe", "object", "form", "a"} & set(found.tags)
    for name in (*EVIL, "CC-BY-4.0 <b>", "timm:<i>", "r</pre><script>1</script>", "<limit> of the & user"):
        assert name in found.text


def test_the_page_loads_nothing_and_says_so(evil):
    html = page(evil)
    found = Reader(html)
    assert ("meta", "content", POLICY) in found.attributes
    assert POLICY == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert not {name for _, name, _ in found.attributes} & {"src", "href", "srcset", "action", "data", "poster"}
    assert not [name for _, name, _ in found.attributes if name.startswith("on")]
    assert "url(" not in html
    assert "@import" not in html
    assert not re.search(r"https?:", re.sub(r"<pre>.*?</pre>", "", html, flags=re.S))


def test_what_the_json_says_the_page_says(evil):
    text = Reader(page(evil)).text
    for said in (
        "19 of 24 test images are right: 79.17 %",  # 10 + 9 of 24
        "with 95 % confidence 59.53 % to 90.76 % (Wilson)",
        "5 ms (95 %: 4 to 6 ms)",
        "4 ms (9 of 10 networks: 3 to 5 ms)",
        "1.25",
        f"id {this_machine().id}",
        "onnxruntime 1.99",
        "6 fresh ones, 1,234 runs in 24 blocks",
        "3, 4, 5",
        "1 min 35 s",
        "optimiser.lr = 0.1",
        "not shown",
        "no images",  # of the third class
        "netlathe fit '<photos>' -o out",
    ):
        assert said in text, said
    assert evil["accuracy"]["recall"][0]["share"] == pytest.approx(10 / 12)


def test_the_matrix_has_every_count_and_stays_readable(evil):
    html = page(evil)
    cells = re.findall(r'<td class="(hit|miss|none)"[^>]*>([\d,]+)</td>', html)
    counts = [n for row in evil["accuracy"]["confusion"] for n in row]
    assert [int(n) for _, n in cells] == counts
    assert [kind for kind, _ in cells] == [
        "none" if n == 0 else "hit" if i % 4 == 0 else "miss" for i, n in enumerate(counts)
    ]
    shades = [float(s) for s in re.findall(r"--s:([\d.]+)", html)]
    assert all(0.1 < s < 0.65 for s in shades)


def test_shaded_cells_keep_the_contrast_of_wcag_in_both_schemes(evil):
    """4.5 between the text and the darkest shade over the paper, light and dark."""

    def luminance(rgb):
        parts = [c / 255 / 12.92 if c / 255 <= 0.03928 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
        return float(np.dot(parts, (0.2126, 0.7152, 0.0722)))

    html = page(evil)
    schemes = re.findall(r":root\{(.*?)\}", html, re.S)
    assert len(schemes) == 2
    for scheme in schemes:
        said = dict(re.findall(r"--([a-z]+):([^;}]+)", scheme))

        def colour(name, said=said):
            value = said[name].strip().lstrip("#")
            value = "".join(2 * c for c in value) if len(value) == 3 else value
            return [int(value[i : i + 2], 16) for i in (0, 2, 4)]

        for name in ("hit", "miss"):
            tint = np.array(list(map(int, said[name].split(","))))
            ground = 0.62 * tint + 0.38 * np.array(colour("paper"))
            a, b = sorted((luminance(colour("ink")), luminance(ground)))
            assert (b + 0.05) / (a + 0.05) >= 4.5, (name, scheme)
        for name in ("dim", "good", "bad", "open"):
            a, b = sorted((luminance(colour(name)), luminance(colour("card"))))
            assert (b + 0.05) / (a + 0.05) >= 4.5, (name, scheme)


def test_many_classes_give_a_list_instead_of_a_matrix(tmp_path):
    names = tuple(f"class {i}" for i in range(60))
    counts = np.eye(60, dtype=int) * 50
    counts[7, 9] = 13
    document = card(tmp_path / "out", names, tuple(map(tuple, counts.tolist())))
    text = Reader(page(document)).text
    assert "Confusion matrix" not in text
    assert "class 7 class 9 13" in text


def test_limits_name_what_was_not_tested(tmp_path):
    known = " ".join(card(tmp_path / "a", ("red", "green", "rare"), ((50, 0, 0), (0, 50, 0), (1, 1, 1)))["limits"])
    assert "recall is hardly known: rare." in known
    assert "102" not in known
    assert this_machine().id in known
    unknown = " ".join(card(tmp_path / "b", ("r", "g", "b"), None)["limits"])
    assert "Accuracy: it was not measured" in unknown


def test_the_data_of_the_training_are_described(tmp_path):
    for i, name in enumerate(("red", "green", "blue")):
        for split in ("train", "val"):
            for j in range(2):
                plain(tmp_path / "photos" / split / name / f"{j}.png", (40 * i, 90 * j, 200 * (split == "val")))
    (tmp_path / "photos" / "LICENSE").write_text("MIT")
    package = colours(tmp_path / "out")
    report = images_for(package, tmp_path / "photos").report
    done = check_figures(package, {}, measurement())
    document = model_card(package, done, data=report)
    assert document["data"]["counts"]["train"] == {"red": 2, "green": 2, "blue": 2}
    assert "LICENSE" in " ".join(document["data"]["licences"])
    text = Reader(page(document)).text
    assert "all 6 6" in text
    assert str(tmp_path / "photos") in text


def test_a_card_is_written_and_read_again(tmp_path, evil):
    write_card(tmp_path, evil)
    assert read_card(tmp_path) == json.loads(json.dumps(evil))
    assert page(read_card(tmp_path)) == (tmp_path / HTML).read_text(encoding="utf-8")
    assert evil["reproduce"][-1] == "netlathe check . --data SOURCE"
    assert evil["use"] == snippet(colours(tmp_path / "again"))
    (tmp_path / JSON).write_text("{}")
    with pytest.raises(NetlatheError, match="schema"):
        read_card(tmp_path)


def test_a_failed_latency_is_on_the_card(tmp_path):
    package = colours(tmp_path / "out")
    done = check_figures(package, {"latency": 5.0}, measurement(failure="no answer within 180 s"))
    text = Reader(page(model_card(package, done))).text
    assert "it did not run: no answer within 180 s" in text
    assert "not shown" in text


def test_a_package_without_an_onnx_file_has_no_lines(tmp_path):
    package = replace(colours(tmp_path / "out"), files={"model.xml": "0", "model.bin": "0"})
    document = model_card(package, check_figures(package, {}, measurement()))
    assert document["use"] is None
    assert "onnxruntime, numpy and Pillow" not in page(document)


def test_the_lines_of_the_documentation_are_those_of_the_card(tmp_path):
    docs = Path(__file__).parent.parent / "docs" / "checking.md"
    (written,) = re.findall(r"^```text\n(import.*?)^```", docs.read_text(encoding="utf-8"), re.M | re.S)
    assert written == snippet(colours(tmp_path / "out", resolution=128))
