"""What a card shows beside accuracy: calibration, label errors, maps and mistakes are what they say they are."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import onnx
import pytest
from deployed import COLOURS, GAIN, colours, plain
from hypothesis import given, settings
from hypothesis import strategies as st

from netlathe.deploy.calibration import (
    calibration_error,
    coverage_curve,
    fit_temperature,
    log_loss,
    probabilities,
    reliability,
)
from netlathe.deploy.heatmaps import find_linear_head, make_heatmaps, occlusion_maps
from netlathe.deploy.label_errors import find_label_errors
from netlathe.deploy.package import load_package, write_facts
from netlathe.deploy.predict import predict
from netlathe.deploy.review import learning_curves, review
from netlathe.deploy.review_page import review_sections
from netlathe.errors import NetlatheError
from netlathe.html import join
from netlathe.train.images import load


def answers(count=4000, classes=4, seed=0):
    """Logits and labels that follow their softmax."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (count, classes))
    labels = np.array([random.choice(classes, p=p) for p in probabilities(logits)])
    return logits, labels


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_outputs_were_multiplied_by_and_changes_no_answer(factor):
    logits, labels = answers()
    temperature = fit_temperature(logits * factor, labels)
    assert temperature == pytest.approx(factor, rel=0.1)
    before, after = probabilities(logits * factor), probabilities(logits * factor, temperature)
    assert (before.argmax(1) == after.argmax(1)).all()
    assert log_loss(logits * factor, labels, temperature) <= log_loss(logits * factor, labels)
    assert calibration_error(after, labels).ece < 0.03
    if factor == 3.0:
        assert calibration_error(before, labels).low > calibration_error(after, labels).high
    assert fit_temperature(np.eye(4) * 9, np.arange(4)) == 1.0  # no image is wrong: nothing can be fitted


@given(st.integers(1, 200), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_bins_hold_all_images_and_their_gaps_make_the_error(count, seed):
    logits, labels = answers(count, seed=seed)
    shares = probabilities(logits)
    bins = reliability(shares, labels)
    assert sum(row.images for row in bins) == count
    error = calibration_error(shares, labels)
    assert error.ece == pytest.approx(sum(row.images * abs(row.confidence - row.accuracy) for row in bins) / count)
    assert 0 <= error.low <= error.high <= 1
    assert error.nll == pytest.approx(log_loss(logits, labels))


def test_what_is_answered_with_more_confidence_is_right_more_often():
    logits, labels = answers()
    shares = probabilities(logits)
    points = coverage_curve(probabilities(answers(seed=1)[0]).max(1), shares, labels)
    assert [round(point.coverage, 1) for point in points] == [1, 0.9, 0.9, 0.8, 0.7, 0.5]
    assert points[0].hits == (shares.argmax(1) == labels).sum()
    assert all(a.share < b.share for a, b in pairwise(points))


def test_labels_that_were_changed_are_found_first_and_sound_ones_are_left_alone():
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 600)
    logits = random.normal(0, 1, (600, 3)) + 6 * np.eye(3)[truth]
    labels = truth.copy()
    wrong = random.choice(600, 30, replace=False)
    labels[wrong] = (truth[wrong] + 1) % 3
    errors = find_label_errors(probabilities(logits), labels)
    rows = [error.row for error in errors]
    assert set(rows) <= set(wrong.tolist())
    assert len(rows) > 25
    assert [error.suggested for error in errors] == truth[rows].tolist()
    assert not find_label_errors(probabilities(logits), truth)


def patch(place):
    """A grey image with a red square."""
    x = np.full((16, 16, 3), 60, np.uint8)
    y = 4 * place
    x[y : y + 4, y : y + 4] = (255, 0, 0)
    return x


def test_the_map_of_a_linear_head_is_its_weights_times_the_activations(tmp_path):
    package = colours(tmp_path)
    pixels = np.stack([patch(0), patch(3)])
    made = make_heatmaps(package.path, pixels, np.array([0, 1]))
    assert made.method == "activation"
    assert made.maps[0] == pytest.approx(GAIN * pixels[0, ..., 0] / 255, abs=1e-5)
    assert made.maps[1] == pytest.approx(GAIN * pixels[1, ..., 1] / 255, abs=1e-5)


def test_without_a_linear_head_covering_tells_where_the_answer_comes_from(tmp_path):
    model = onnx.load(str(colours(tmp_path).path))
    grid = occlusion_maps(model, patch(3)[None], np.array([0]))[0]
    assert np.unravel_index(grid.argmax(), grid.shape) == (6, 6)
    relu = onnx.helper.make_node("Relu", ["flatten:out"], ["between"])
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    gemm.input[0] = "between"
    model.graph.node.insert(len(model.graph.node) - 1, relu)
    assert find_linear_head(model) is None


@pytest.fixture
def reviewed(tmp_path, own_cache):
    """Plain images, two red ones of them called blue, one called green, in every split."""
    shades = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200)}
    for split, count in (("train", 4), ("val", 12), ("test", 12)):
        for name, colour in shades.items():
            for i in range(count):
                wrong = name == "blue" and i < 2 and split != "train"
                seed = {"train": 0, "val": 1, "test": 2}[split] * 20 + i
                pixels = (255, 30, seed // 2) if wrong else tuple(max(0, c - seed) for c in colour)
                plain(tmp_path / "photos" / split / name / f"<{i}>.png", pixels)
    package = colours(tmp_path / "out")
    return package, review(package, load(tmp_path / "photos", size=16), EVENTS)


EVENTS = [{"event": "evaluation", "images": 100 * i, "loss": 2 / (i + 1), "accuracy": 1 - 0.5**i} for i in range(300)]


def test_a_review_names_the_mistakes_and_the_labels_to_look_at(reviewed):
    _, found = reviewed
    assert found["mistakes"]["count"] == 2
    assert {(row["label"], row["answer"]) for row in found["mistakes"]["rows"]} == {("blue", "red")}
    assert found["label_errors"]["count"] == 4
    assert {row["split"] for row in found["label_errors"]["rows"]} == {"validation", "test"}
    assert found["calibration"]["judged_on"] == {"split": "test", "images": 36, "halves": False}
    assert found["calibration"]["coverage"][0]["hits"] == 34
    assert found["maps"]["method"] == "activation"
    assert len(found["curves"]["loss"]) <= 200
    assert learning_curves([]) == {}


def test_the_sections_hold_what_was_found_and_load_nothing(reviewed):
    _, found = reviewed
    page = join(review_sections(found))
    several = "4 of 72 validation and test images may have a wrong label"
    for text in (
        "2 test images are wrong",
        several,
        "label blue",
        "likely red",
        "&lt;0&gt;.png",
        "Temperature",
        "images",
    ):
        assert text in page, text
    assert "<0>" not in page
    sources = re.findall(r'src="([^"]*)"', page)
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert len(page) < 250_000
    assert review_sections({}) == []


def test_without_test_images_each_half_is_judged_by_the_other(tmp_path, own_cache):
    for split, count in (("train", 2), ("val", 10)):
        for name, colour in zip(COLOURS, ((200, 20, 20), (20, 200, 20), (20, 20, 200)), strict=True):
            for i in range(count):
                shade = tuple(max(0, c - i - 40 * (split == "val")) for c in colour)
                plain(tmp_path / "photos" / split / name / f"{i}.png", shade)
    found = review(colours(tmp_path / "out"), load(tmp_path / "photos", size=16))
    assert found["calibration"]["judged_on"] == {"split": "validation", "images": 30, "halves": True}
    assert "No validation image is wrong" in join(review_sections(found))


def test_predict_divides_the_outputs_by_the_temperature_of_the_package(tmp_path):
    package = colours(tmp_path / "out")
    photo = plain(tmp_path / "a.png", (200, 100, 0))
    (cold,) = predict(package, [photo])
    write_facts(replace(package, temperature=2.0))
    (warm,) = predict(load_package(package.folder), [photo])
    assert [g.label for g in warm.guesses] == [g.label for g in cold.guesses]
    ratios = [np.log(g.guesses[0].probability / g.guesses[1].probability) for g in (cold, warm)]
    assert ratios[0] == pytest.approx(2 * ratios[1], rel=1e-4)
    with pytest.raises(NetlatheError, match="temperature"):
        write_facts(replace(package, temperature=0.0))
