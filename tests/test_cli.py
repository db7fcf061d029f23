"""The command line as its users call it: results on stdout, one screen for an error, exit codes as promised."""

import json
import signal
import subprocess
import time

import psutil
import pytest
from command import NETLATHE, PATIENCE_S, netlathe

from netlathe.bench import calibrate


def data(*words, **env):
    document = json.loads(netlathe(*words, "--json", **env).stdout)
    assert document["ok"] is True
    assert document["schema"] == f"netlathe.{words[0]}/1"
    return document["data"]


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("resnet50", 25_557_032, 4_089_184_256),
        ("mobilenetv1", 4_231_976, 568_740_352),
        ("efficientnet_b7", 66_347_960, 37_745_884_192),
        ("regnety_32gf", 145_046_770, 32_279_552_832),
    ],
)
def test_cost_gives_exact_numbers(name, params, macs):
    found = data("cost", name)
    assert (found["params"], found["macs"], found["flops"]) == (params, macs, 2 * macs)


def test_cost_prints_a_table_by_stage_and_the_totals():
    text = netlathe("cost", "resnet50").stdout
    assert "stage4" in text
    assert "25,557,032 trainable (102.2 MB)" in text
    assert "4,089,184,256 an image" in text
    assert "\x1b[" not in text  # no colours in a pipe


@pytest.mark.parametrize(("by", "first"), [("op", "stem.conv"), ("block", "stem"), ("stage", "stem"), ("net", "")])
def test_rows_add_up_whatever_they_are(by, first):
    found = data("cost", "resnet18", "--by", by)
    assert found["rows"][0]["path"] == first
    assert sum(row["macs"] for row in found["rows"]) == found["macs"]
    assert sum(row["params"] for row in found["rows"]) == found["params"]


def test_batch_scales_traffic_and_not_the_counts_of_an_image():
    one, four = data("cost", "resnet18"), data("cost", "resnet18", "--batch", "4")
    assert four["macs"] == one["macs"]
    assert four["memory_bytes"]["arena"] == 4 * one["memory_bytes"]["arena"]
    assert four["intensity"]["fused"] > one["intensity"]["fused"]


def test_mobilenetv2_int8_folded_in_and_out_is_1372_kib():
    assert data("cost", "mobilenetv2", "--precision", "int8")["memory_bytes"]["max_in_out"] == 1372 * 1024


def test_several_networks_come_as_a_list():
    assert [n["name"] for n in data("cost", "vgg11", "vgg13")["networks"]] == ["vgg11", "vgg13"]
    assert "vgg13" in netlathe("cost", "vgg11", "vgg13").stdout


def test_a_resolution_is_told_apart_in_a_comparison():
    words = ("compare", "mobilenetv1", "mobilenetv1:resolution=160", "--no-latency")
    assert [n["name"] for n in data(*words)["networks"]] == ["mobilenetv1@224x224", "mobilenetv1@160x160"]
    assert "0.511" in netlathe(*words).stdout


def test_a_convention_explains_every_difference():
    found = data("cost", "resnet50", "--convention", "fvcore")
    assert found["total"] == 4_111_512_576
    assert found["macs"] + sum(d["macs"] for d in found["differences"]) == found["total"]
    assert "v1" in netlathe("cost", "resnet50", "--convention", "paper").stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["cost", "resnt50"], 2, "did you mean resnet50"),
        (["cots", "resnet50"], 2, "did you mean cost"),
        (["cost", "resnet50", "--by", "layer"], 2, "'op', 'block', 'stage', 'net'"),
        (["cost", "resnet50", "--resoluton", "3"], 2, "--resolution"),
        (["cost", "resnet50", "--resolution", "-1"], 2, "must be at least 1"),
        (["cost", "resnet50", "--batch", "0"], 2, "batch"),
        (["cost", "alexnet", "--resolution", "32"], 2, "stage3.pool: pool with kernel 3x3"),
        (["cost", "missing.json"], 2, "cannot read this file"),
        (["cost"], 2, "NET"),
        (["compare", "resnet50"], 2, "at least two networks"),
        (["bench"], 2, "give a NET"),
        (["bench", "--from", "0123456789"], 2, "no measurement has the id"),
        (["choose"], 2, "at least one limit"),
        (["choose", "--latency", "15"], 2, "write 15ms"),
        (["choose", "--latency", "0ms"], 2, "must be positive"),
        (["choose", "--size", "4mb"], 2, "did you mean 4MB?"),
        (["choose", "--macs", "300"], 2, "write 300M"),
        (["choose", "--top1", "120"], 2, "between 0 and 100"),
        (["choose", "--macs", "1G", "--networks", "nothing"], 2, "no network matches"),
        (["choose", "--size", "1kB", "--networks", "mobilenetv1*"], 3, "--size 1.91MB would do: mobilenetv1_025"),
    ],
)
def test_a_mistake_is_one_screen_with_the_fix_and_no_traceback(words, code, said, calibrated):
    done = netlathe(*words, code=code)
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    as_document = netlathe(*words, "--json", code=code)
    error = json.loads(as_document.stdout)
    assert (error["schema"], error["ok"]) == ("netlathe.error/1", False)
    assert said in "{path}: {message} {hint}".format(**error["error"])


def test_a_shape_that_does_not_fit_names_the_path_and_both_shapes(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from netlathe.arch.build import conv, residual, seq\n"
        "def net():\n    return seq(stem=conv(8, 3), body=seq(block=residual(f=conv(16, 3, 2))))\n"
    )
    said = netlathe("cost", f"{file}:net", code=2).stderr
    assert "body.block.add: cannot add (16, 112, 112) and (8, 224, 224)" in said


def test_a_broken_document_lists_all_faults(tmp_path):
    document = json.loads(netlathe("arch", "resnet18", "--json").stdout)
    document["body"]["items"][1]["kind"] = "stge"
    document["body"]["items"][2]["depth"] = 0
    file = tmp_path / "arch.json"
    file.write_text(json.dumps(document))
    said = netlathe("cost", str(file), code=2).stderr
    assert "2 faults; nothing was run" in said
    assert "body.items[1]" in said
    assert "body.items[2]" in said


def test_a_document_goes_round_through_the_command_line(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(netlathe("arch", "mobilenetv1:alpha=0.35", "--json").stdout)
    assert data("cost", str(file))["params"] == data("cost", "mobilenetv1:alpha=0.35")["params"]


def test_only_debug_shows_a_traceback():
    assert "Traceback" in netlathe("--debug", "cost", "resnt50", code=2).stderr


def test_bench_measures_and_repeats_by_id(tmp_path, brief):
    env = {"NETLATHE_CACHE": str(tmp_path)}
    first = data("bench", "lenet5", "--seconds", "0.2", **env)
    assert first["low_ms"] <= first["median_ms"] <= first["high_ms"]
    for field in ("device", "cpu", "runtime", "runtime_version", "threads", "precision", "batch", "runs", "warmups"):
        assert first[field], field
    again = netlathe("bench", "--from", first["id"], "--seconds", "0.2", **env).stdout
    assert "before: " in again
    assert len((tmp_path / "measurements.jsonl").read_text().splitlines()) == 2


def test_compare_measures_in_turns(tmp_path):
    words = ("compare", "lenet5", "lenet5_modern", "--seconds", "0.2")
    found = data(*words, NETLATHE_CACHE=str(tmp_path))["networks"]
    assert [n["latency"]["interleaved"] for n in found] == [True, True]
    assert found[0]["latency"]["ratio"] == 1.0


CHOICE = ("choose", "--latency", "1s", "--macs", "40M", "--networks", "mobilenetv1_025", "--seconds", "0.05")


def test_choose_picks_measures_and_explains(calibrated, brief):
    found = data(*CHOICE)
    assert (found["pick"]["name"], found["pick"]["resolution"]) == ("mobilenetv1_025", 192)
    assert (found["pick"]["runtime"], found["pick"]["precision"]) == ("onnxruntime", "fp32")
    assert found["pick"]["latency"]["median_ms"] > 0
    predicted, measured = found["pick"]["predicted"]["ms"], found["pick"]["latency"]["quiet_ms"]
    assert found["pick"]["residual"] == measured / predicted - 1
    assert [c["resolution"] for c in found["front"]] == [192, 160, 128]
    assert found["next_better"][0]["limit"] == "macs"
    assert found["binding"] == "macs"
    text = netlathe(*CHOICE).stdout
    assert "pick: mobilenetv1_025@192" in text
    assert "next better: --macs 41.1M would admit mobilenetv1_025 (50.6 %" in text
    assert "repeat: netlathe choose --latency 1s --macs 40M" in text


def test_choose_calibrates_a_machine_that_has_no_card(tmp_path, monkeypatch, brief):
    monkeypatch.setattr(calibrate, "NETWORKS", ("mobilenetv1_025", "mobilenetv2_035", "mobilenetv3_small", "lenet5"))
    monkeypatch.setattr(calibrate, "probe_networks", lambda probes=calibrate.probe_networks: probes()[:4])
    monkeypatch.setattr(calibrate, "operator_networks", list)
    monkeypatch.setattr(calibrate, "BLOCKS", 2)
    monkeypatch.setattr(calibrate, "LEVELS", (("l2", 2**19), ("l3", 2**20), ("dram", 2**22)))
    monkeypatch.setattr(calibrate, "foreign_load_limit", lambda cores: float("inf"))  # whoever else is at work here
    done = netlathe(*CHOICE, NETLATHE_CACHE=str(tmp_path))
    assert "pick: mobilenetv1_025@192" in done.stdout
    (card,) = (tmp_path / "cards").glob("*.toml")
    assert netlathe("device", "check", str(card)).returncode == 0


def test_choose_for_a_device_that_only_a_card_describes_measures_nothing(calibrated):
    small = ("--networks", "mobilenetv*")
    found = data("choose", "--device", "stm32f746", *small)
    assert (found["pick"]["name"], found["pick"]["precision"], found["pick"]["latency"]) == (
        "mobilenetv1_025",
        "int8",
        None,
    )
    assert "nothing was measured" in netlathe("choose", "--device", "rpi-5", "--latency", "100ms", *small).stdout
    assert not (calibrated / "measurements.jsonl").exists()


def test_ctrl_c_keeps_what_was_measured_and_exits_130(calibrated):
    words = [NETLATHE, "choose", "--latency", "1s", "--networks", "mobilenetv1*", "--seconds", "2"]
    job = subprocess.Popen(
        words,
        stderr=subprocess.PIPE,
        text=True,
        # A background job of a shell inherits an ignored SIGINT, and so would the tests' own children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + PATIENCE_S
    while len(workers(job)) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    started = workers(job)
    job.send_signal(signal.SIGINT)
    assert job.wait(PATIENCE_S) == 130
    said = job.stderr.read()
    job.stderr.close()
    assert "what was measured is kept: the same command continues" in said
    assert "Traceback" not in said
    assert not [worker for worker in started if worker.is_running()]


def workers(job):
    """The measuring processes of a running command."""
    return [child for child in psutil.Process(job.pid).children() if "netlathe.bench.worker" in child.cmdline()]


def test_a_reader_that_stops_reading_is_no_error():
    done = subprocess.run(f"{NETLATHE} cost resnet152 --by op | head -n 2", shell=True, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "resnet152" in done.stdout
