"""What a choice is asked: the best that fits, the least that reaches an accuracy; mistakes are said before any work."""

import json
from dataclasses import replace

import onnx
import pytest
from chosen import A, candidate, measured
from hypothesis import given
from hypothesis import strategies as st

from netlathe import zoo
from netlathe.bench import calibrate
from netlathe.choose import run as choosing
from netlathe.choose.budget import Budget
from netlathe.choose.decide import MINIMISED, decide
from netlathe.choose.run import undecided
from netlathe.cli.main import run
from netlathe.deploy import trial
from netlathe.runtimes import registry
from netlathe.target import here
from netlathe.target.target import Forecast

LATENCY = MINIMISED["latency"]
B = candidate("medium", 75.0, 5.0, size=50, memory=25)
C = candidate("large", 80.0, 20.0, macs=1000, size=40, memory=200)


def forecast(name, top1, low, middle, high):
    return replace(candidate(name, top1, None), forecast=Forecast(middle, low, high, "a card"))


def busy(name, top1, low, middle, high):
    m = replace(
        measured(middle), quiet_low_ms=low, quiet_ms=middle, quiet_high_ms=high, contended=True, foreign_load=2.0
    )
    return replace(candidate(name, top1, middle), latency=m)


def answer(capsys, *words, code=0):
    assert run([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("least", "name"), [("latency", "medium"), ("size", "large"), ("memory", "medium")])
def test_the_least_that_reaches_the_accuracy_is_picked(least, name):
    decision = decide([A, B, C], Budget(top1=70), MINIMISED[least])
    assert decision.pick.name == name
    (step,) = [r for r in decision.relaxations if r.limit.name == "top1"]
    assert (step.candidate, step.gain > 0.1) == (A, True)


def test_the_next_more_accurate_network_of_the_front_is_named_with_its_price():
    decision = decide([A, B, C], Budget(top1=70), LATENCY)
    assert (decision.pick, decision.dearer, decision.cheaper) == (B, C, None)


@given(st.lists(st.tuples(st.floats(50, 90), st.floats(1, 100), st.integers(1, 9)), min_size=1, max_size=8))
def test_nothing_that_fits_has_less_of_what_is_minimised(rows):
    pool = [candidate(f"n{i}", top1, ms, size=size) for i, (top1, ms, size) in enumerate(rows)]
    for criterion in MINIMISED.values():
        decision = decide(pool, Budget(top1=60), criterion)
        fitting = [c for c in pool if c.top1 >= 60]
        assert (decision.pick is None) == (not fitting)
        assert all(criterion.amount(decision.pick) <= criterion.amount(c) for c in fitting)


def test_only_what_may_be_faster_than_the_fastest_is_measured():
    slow, quick = forecast("slow", 76, 6, 8, 10), forecast("quick", 76, 3, 6, 8)
    assert undecided([B, slow, quick], Budget(top1=70), LATENCY) == [quick]


def test_what_only_the_upper_end_rules_out_is_named_as_likely():
    sure, likely, hopeless = (
        forecast("sure", 70, 8, 10, 14),
        forecast("likely", 77, 15, 20, 26),
        candidate("no", 80, 40),
    )
    decision = decide([sure, likely, hopeless], Budget(latency=25))
    assert (decision.pick, decision.likely) == (sure, (likely,))
    assert decide([likely, hopeless], Budget(latency=25)).likely == (likely,)


def test_a_forecast_that_likely_fits_comes_with_the_command_that_measures_it(capsys):
    words = ("choose", "--device", "rpi-5", "--networks", "mobilenetv3_*", "--from", "zoo")
    ms = answer(capsys, *words, "--macs", "1G")["data"]["pick"]["predicted"]
    data = answer(capsys, *words, "--latency", f"{(ms['ms'] + ms['high_ms']) / 2}ms")["data"]
    assert data["likely"]
    (line,) = [line for line in data["reasons"] if line.startswith("likely fits (forecast")]
    assert "measure it to be sure: " in line
    assert f"netlathe export {data['likely'][0]['name']}" in line


def test_on_a_busy_machine_the_quiet_middle_decides():
    inside, outside = busy("inside", 77, 12, 14, 18), busy("outside", 78, 13, 16, 19)
    decision = decide([A, inside, outside], Budget(latency=15))
    assert decision.pick == inside
    assert outside not in decision.fitting
    calm = replace(inside, latency=replace(inside.latency, contended=False))
    assert decide([A, calm], Budget(latency=15)).pick == A


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("choose", "--top1", "0.7"), "is 70 meant?"),
        (("choose", "--top1", "76,5"), "a percentage between 0 and 100"),
        (("choose", "--top1", "140"), "a percentage between 0 and 100"),
        (("choose", "--latency", "15"), "has no unit"),
        (("choose", "--size", "7"), "has no unit"),
        (("choose", "--latency", "15ms", "--minimise", "latency"), "needs an accuracy"),
        (("choose", "--latency", "15ms", "--networks", "nosuch*"), "no network matches"),
        (("choose", "--latency", "15ms", "--recipe", "nosuch"), "no recipe"),
        (("choose", "--latency", "15ms", "--from", "nosuch"), "is no source"),
        (("choose", "--latency", "15ms", "--runtime", "nosuch"), "is not one of"),
        (("choose", "--latency", "15ms", "--precision", "fp7"), "unknown precision"),
        (("choose", "--latency", "15ms", "--html", "nosuch/choice.html"), "no folder"),
        (("fit", "nosuchfolder", "--latency", "5ms", "-o", "out"), "no such file or folder"),
        (("fit", "digits", "--latency", "5", "-o", "out"), "has no unit"),
        (("fit", "digits", "--latency", "5ms", "--from", "nosuch", "-o", "out"), "is no source"),
        (("fit", "digits", "--latency", "5ms", "--weights", "nosuch", "-o", "out"), "no source of weights"),
        (("fit", "digits", "--latency", "5ms", "--search", "nosuch", "-o", "out"), "nosuch"),
        (("fit", "digits", "--latency", "5ms", "--precision", "nosuch", "-o", "out"), "nosuch"),
        (("search", "run", "macro", "--data", "nosuch", "--latency", "5ms", "-o", "out"), "no such file or folder"),
        (("train", "resnet18", "--data", "nosuch", "-o", "out"), "no such file or folder"),
        (("device", "calibrate", "--runtime", "onnxruntime", "--precision", "bf16"), "unknown precision"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_mistake_is_said_before_anything_is_calibrated(words, message, tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise AssertionError("calibrated before the mistake was said")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETLATHE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(calibrate, "measure_all", refuse)
    assert run(list(words)) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def quick_calibration(tmp_path, monkeypatch):
    """A machine without a card whose calibrations take no time; what was calibrated."""
    done = []

    def calibrate_at_once(name, *, precision, threads, progress, **_):
        from netlathe.bench.calibrate import Calibration
        from netlathe.device.card import ErrorBar, Model

        (progress or print)(0, 1, "lenet5")
        if name == "torch":
            from netlathe.errors import NetlatheError

            raise NetlatheError("nothing runs under torch")
        done.append((name, precision))
        model = Model(
            name, "2026-11-01", 9, {"*.macs": 10.0, "*.calls": 0.01}, ErrorBar(0.1, 1.0, 0.8, 1.2), precision=precision
        )
        return Calibration(model, (), [], [], [], 1.0, 0.0, 1.0)

    monkeypatch.setenv("NETLATHE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(here, "calibrate", calibrate_at_once)
    monkeypatch.setattr(registry, "installed", lambda: ["onnxruntime", "openvino", "torch"])
    return done


def with_flags(monkeypatch, *flags):
    machine = replace(here.this_machine(), flags=flags)
    monkeypatch.setattr(here, "this_machine", lambda: machine)


def test_on_first_use_what_the_processor_is_made_for_takes_part(quick_calibration, monkeypatch, capsys):
    pytest.importorskip("openvino")
    with_flags(monkeypatch, "amx_bf16", "amx_int8")
    from netlathe.cli.common import calibration_progress

    with calibration_progress() as progress:
        targets = here.targets_here((), progress=progress)
    assert [(t.runtime, t.precision) for t in targets] == [("onnxruntime", "fp32"), ("openvino", "bf16")]
    assert "calibrating this machine under openvino bf16" in capsys.readouterr().err
    lines = here.overlooked(targets)
    assert "openvino fp32, torch fp32, torch bf16; --runtime all" in lines[0]
    assert "for which this processor has amx_int8; --int8" in lines[1]


def test_without_such_instructions_the_usual_runtime_is_calibrated_alone(quick_calibration, monkeypatch):
    with_flags(monkeypatch, "avx2")
    assert [(t.runtime, t.precision) for t in here.targets_here(())] == [("onnxruntime", "fp32")]
    assert quick_calibration == [("onnxruntime", "fp32")]


def test_litert_takes_part_where_it_is_installed(quick_calibration, monkeypatch):
    with_flags(monkeypatch, "avx2")
    monkeypatch.setattr(registry, "installed", lambda: ["onnxruntime", "litert"])
    here.targets_here(())
    assert quick_calibration == [("onnxruntime", "fp32"), ("litert", "fp32")]


def test_all_is_every_installed_runtime_that_can_be_calibrated(quick_calibration, monkeypatch):
    pytest.importorskip("openvino")
    targets = here.targets_here((here.ALL,))
    assert ("openvino", "fp32") in [(t.runtime, t.precision) for t in targets]
    assert "torch" not in [t.runtime for t in targets]  # it cannot be calibrated, which is no reason to stop


def test_int8_of_the_pick_is_measured_and_its_accuracy_is_called_that_of_fp32(calibrated, monkeypatch, capsys):
    def measure(networks, **how):
        return [replace(measured(5.0, processes=6), key=net.key, precision=how["precision"]) for net in networks]

    monkeypatch.setattr(choosing, "measure", measure)
    monkeypatch.setattr(trial, "time_int8", lambda network, runtime, **_: replace(measured(2.0), precision="int8+fp32"))
    words = ("choose", "--networks", "mobilenetv3_small", "--latency", "10ms", "--int8")
    data = answer(capsys, *words)["data"]
    (line,) = [line for line in data["reasons"] if line.startswith("the quantised file of mobilenetv3_small")]
    assert "2.5 times as fast" in line
    assert "% is its accuracy in fp32" in line
    assert data["int8"][0]["median_ms"] == 2.0
    assert not any("not looked at: int8" in line for line in data["reasons"])
    assert run([*words, "--device", "rpi-5"]) == 2
    assert "this machine alone" in capsys.readouterr().err


def test_what_is_quantised_for_a_trial_takes_images_of_its_resolution(monkeypatch):
    def quantise(model, images, few, **how):
        onnx.checker.check_model(onnx.load_from_string(model))
        return images.pixels.shape, few.pixels.shape, how["runtime"]

    monkeypatch.setattr(trial, "quantise_model", quantise)
    network = zoo.get("mobilenetv1_025", resolution=100)
    assert trial.quantise_random(network, "onnxruntime", 1) == ((32, 100, 100, 3), (2, 100, 100, 3), "onnxruntime")
