"""The lab without a browser: its numbers are those of the command line, and it answers only its own page."""

import asyncio
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command import PATIENCE_S

pytest.importorskip("starlette")

import onnx
from lab_server import TOKEN, running
from onnx import TensorProto, helper

from netlathe import zoo
from netlathe.arch.document import to_json
from netlathe.arch.network import Network
from netlathe.cli.main import run
from netlathe.errors import NetlatheError
from netlathe.lab import child, questions
from netlathe.lab.app import make_app
from netlathe.lab.catalogue import Catalogue
from netlathe.lab.child import KINDS, parse
from netlathe.lab.facts import read_facts
from netlathe.lab.knobs import turn_to_legal
from netlathe.lab.serve import put_file
from netlathe.lab.state import read_state
from netlathe.lab.uploads import Uploads
from netlathe.lab.view import view
from netlathe.lower.onnx import save_onnx


def finished(work):
    """The result of a coroutine, in a thread of its own: the browser's tests leave this one with a running loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@pytest.fixture(scope="module")
def lab():
    with running() as found:
        yield found


def answer(query):
    state, shelf = read_state(query), Catalogue()
    return view(state, shelf.net(state.net), shelf.card(state.device))


def printed(capsys, *words):
    assert run([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["data"]


def total(found, key):
    return next(t["value"] for t in found["totals"] if t["key"] == key)


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv2", "vit_tiny"])
def test_costs_are_those_of_netlathe_cost(name, capsys):
    if name not in zoo.names():
        name = next(n for n in zoo.names("vit*"))
    found = answer(f"net={name}")  # on a Raspberry Pi 5, measured in fp16
    cost = printed(capsys, "cost", name, "--precision", "fp16")
    for ours, theirs in {"macs": cost["macs"], "params": cost["params"], "acts": cost["acts"]}.items():
        assert total(found, ours) == theirs
    assert total(found, "moved_bytes") == cost["moved_bytes"]["fused"]
    assert total(found, "intensity") == cost["intensity"]["fused"]
    assert total(found, "peak_bytes") == cost["memory_bytes"]["arena"]
    assert [row[0] for row in found["stages"]["rows"]] == [row["path"] for row in cost["rows"]]


def test_a_turned_network_is_that_of_netlathe_reshape(capsys):
    found = answer("net=resnet50&width=0.5&depth=1.5&groups=8&resolution=160")
    cost = printed(capsys, "reshape", "resnet50", "--width", "0.5", "--depth", "1.5", "--groups", "8",
                   "--resolution", "160")  # fmt: skip
    assert found["name"] == cost["name"]
    assert {key: total(found, key) for key in ("macs", "params", "acts")} == cost["after"]


def test_the_roofline_is_that_of_netlathe_device(capsys):
    found = answer("net=mobilenetv2&device=rtx-3090&run=onnxruntime/fp16/1&batch=8")
    words = ("device", "roofline", "mobilenetv2", "--device", "rtx-3090", "--precision", "fp16", "--batch", "8")
    roof = printed(capsys, *words)
    rows = found["charts"]["roofline"]["rows"]
    assert [row[0] for row in rows] == [line["path"] for line in roof["lines"]]
    drawn = {path: x for trace in found["charts"]["roofline"]["figure"]["data"] if "customdata" in trace
             for alike, x in zip(trace["customdata"], trace["x"], strict=True) for path in alike}  # fmt: skip
    assert drawn == {line["path"]: line["intensity"] for line in roof["lines"] if line["flops"] and line["bytes"]}


def test_the_latency_is_that_of_netlathe_device_why(capsys):
    found = answer("net=efficientnet_b0&device=rpi-5")
    words = ("device", "why", "efficientnet_b0", "--device", "rpi-5", "--runtime", "ncnn")
    assert total(found, "latency_ms") == pytest.approx(printed(capsys, *words)["ms"], rel=1e-12)


def test_a_microcontroller_is_judged_as_netlathe_device_micro_does(capsys):
    found = answer("net=mobilenetv1_025&device=stm32f746")
    fit = printed(capsys, "device", "micro", "mobilenetv1_025", "--device", "stm32f746")["fits"][0]
    uses = {use["name"]: use for use in found["uses"]}
    assert uses["size"]["used"] == fit["flash"][2]
    assert uses["size"]["bound"] == fit["flash_limit"]
    assert found["verdict"]["state"] == ("fits" if fit["verdict"] in ("fits", "in patches") else "over")


def test_the_verdict_names_the_limit_that_binds():
    loose = answer("net=mobilenetv2&macs=1G&size=20MB")
    assert loose["verdict"] == {"state": "fits", "text": "Fits. File size binds: 14.16 MB of 20 MB, 71 %."}
    tight = answer("net=mobilenetv2&macs=100M&size=20MB&latency=15ms")
    assert tight["verdict"]["state"] == "over"
    assert "MACs 300.8 M of 100 M" in tight["verdict"]["text"]


def test_a_value_that_is_not_legal_becomes_the_nearest_with_a_note():
    found = answer("net=resnet50&groups=5")
    assert {knob["name"]: knob["value"] for knob in found["knobs"]}["groups"] == 4
    assert "Groups 5 is not possible" in found["notes"][0]
    assert "4 is used" in found["notes"][0]


@pytest.mark.parametrize("knob", ["width", "depth", "inner", "resolution", "groups"])
def test_every_value_on_the_page_is_one_that_the_network_can_have(knob):
    found = answer(f"net=resnext50_32x4d&{knob}=0.33")
    state = next(d for d in found["knobs"] if d["name"] == knob)
    again = turn_to_legal(zoo.get("resnext50_32x4d"), ((knob, state["value"]),))
    assert not again.notes
    assert state["low"] <= state["value"] <= state["high"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("net=resnet5O", "unknown network"),
        ("net=../../etc/passwd", "unknown network"),
        ("net=/etc/passwd.json", "unknown network"),
        ("device=/etc/passwd.toml", "unknown device"),
        ("net=resnet50&width=-1", "positive number"),
        ("net=resnet50&width=nan", "positive number"),
        ("latency=15", "no unit"),
        ("colour=red", "unknown field"),
        ("batch=0", "from 1 to"),
        ("run=onnxruntime/fp32/64", "unknown way"),
        ("net=upload/0123456789ab", "earlier"),
    ],
)
def test_a_wrong_address_is_a_named_error(query, said):
    with pytest.raises(NetlatheError, match=said):
        answer(query)


def test_steps_of_the_road_are_those_of_netlathe_modernise(capsys):
    steps = printed(capsys, "modernise", "resnet50")["steps"]
    for i in (0, 4, len(steps) - 1):
        assert total(answer(f"net=resnet50&step={i}"), "macs") == steps[i]["macs"]


# --- the server ---


def test_the_page_and_its_parts_come_from_here_alone(lab):
    status, headers, page = lab.request("GET", "")
    assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert b"http://" not in page
    assert b"https://" not in page
    for part in ("plotly.js", "paint.js", "theme.css", "page/main.js", "page/lab.css"):
        assert lab.request("GET", part)[0] == 200, part


@pytest.mark.parametrize("path", ["/", "/wrong-token/", f"/{TOKEN}x/", f"//{TOKEN}/", "/wrong-token/view", f"/{TOKEN}"])
def test_without_the_token_there_is_nothing(lab, path):
    assert lab.request("GET", path, raw=True)[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "", "0.0.0.0"])
def test_another_host_is_refused(lab, host):
    assert lab.request("GET", "alive", Host=host)[0] in (400, 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_another_page_is_refused(lab, headers):
    assert lab.request("POST", "view", "net=resnet18", **headers)[0] == 403


def test_the_page_itself_is_answered(lab):
    origin = f"http://127.0.0.1:{lab.port}"
    assert lab.request("POST", "view", "net=resnet18", Origin=origin, Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.parametrize("path", ["page/../app.py", "page/..%2fapp.py", "page/%2e%2e/app.py", "page/nothing.js", "etc"])
def test_no_file_outside_the_page_is_served(lab, path):
    assert lab.request("GET", path)[0] == 404


def test_a_state_of_the_knobs_is_read_once(monkeypatch):
    read, drawn = [], []
    read_once = lambda state, *more: read.append(state.knobs) or read_facts(state, *more)  # noqa: E731
    monkeypatch.setattr(questions, "read_facts", read_once)
    monkeypatch.setattr(questions, "charts", lambda facts, names, **how: drawn.append(list(names)) or {})
    catalogue = Catalogue()

    def ask(width, *names):
        about = {"state": f"net=resnet20&width={width}", "charts": names, "tables": False}
        return questions.view(catalogue, about)["name"]

    assert [ask(0.5), ask(0.5, "roofline"), ask(0.5, "memory", "stages")] == ["resnet20-w0.5"] * 3
    assert (len(read), drawn) == (1, [[], ["roofline"], ["memory", "stages"]])
    ask(0.75)
    assert len(read) == 2


def test_a_dropped_arch_json_is_a_network_with_knobs(lab):
    text = to_json(Network("<script>alert(1)</script>", zoo.get("resnet18").body))
    name = json.loads(lab.request("POST", "upload?name=mine.json", text)[2])["name"]
    found = lab.ask("view", f"net={name}&width=0.5")
    assert found["name"] == "<script>alert(1)</script>-w0.5"  # as data; the page makes text of it
    assert total(found, "macs") == total(answer("net=resnet18&width=0.5"), "macs")
    status, headers, content = lab.request("GET", f"export/arch?net={name}&width=0.5")
    assert status == 200
    assert json.loads(content)["name"] == found["name"]
    assert "<" not in headers["content-disposition"]


def test_a_dropped_onnx_file_is_counted_as_on_the_command_line(lab, tmp_path, capsys):
    file = tmp_path / "net.onnx"
    save_onnx(zoo.get("mobilenetv1_025"), file)
    said = json.loads(lab.request("POST", "upload?name=net.onnx", file.read_bytes())[2])
    found = lab.ask("view?charts=roofline,profile,memory,stages", f"net={said['name']}")
    assert total(found, "macs") == printed(capsys, "cost", str(file))["macs"]
    assert found["knobs"] == []
    assert "without knobs" in found["fixed"]
    assert all(found["charts"].values())
    refused = lab.ask("view", f"net={said['name']}&width=0.5")
    assert refused["error"]["code"] == "lab.no_knobs"


def bad_files():
    good = onnx.helper.make_model(helper.make_graph(
        [helper.make_node("Wobble", ["x"], ["y"], domain="strange")], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 8, 8])],
    ), opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("strange", 1)])  # fmt: skip
    deep = '{"kind": "seq", "items": [' * 5000 + "]}" * 5000
    return {
        "truncated.onnx": (to_bytes(good)[:40], "not an ONNX file|cannot"),
        "text.onnx": (b"hello, this is text", "not an ONNX file"),
        "empty.onnx": (b"", "not an ONNX file"),
        "unknown.onnx": (to_bytes(good), "unknown operator|shape"),
        "notes.txt": (b"hello", "none of the files|not TOML"),
        "broken.json": (b"{", "not JSON"),
        "binary.json": (b"\xff\xfe\x00", "not text"),
        "deep.json": (f'{{"schema":"netlathe.arch/1","name":"x","input":[3,8,8],"body":{deep}}}'.encode(), "nest|deep"),
        "card.toml": (b"id = 3", "fault"),
    }


def to_bytes(model):
    return model.SerializeToString()


@pytest.mark.parametrize("name", list(bad_files()))
def test_a_bad_file_is_a_clear_message(name, tmp_path):
    content, said = bad_files()[name]
    file = tmp_path / "upload"
    file.write_bytes(content)
    document = child.describe_file(KINDS.get(Path(name).suffix, "card"), file, name)
    assert re.search(said, document["error"]["message"]), document
    assert str(tmp_path) not in json.dumps(document)


@pytest.mark.parametrize("name", ["unknown.onnx", "deep.json", "notes.txt"])
def test_a_bad_file_does_not_end_the_server(lab, name):
    content, said = bad_files()[name]
    status, _, body = lab.request("POST", f"upload?name={name}", content)
    assert status == 422
    error = json.loads(body)["error"]
    assert re.search(said, error["message"]), error
    assert "/tmp" not in json.dumps(error)
    assert lab.request("GET", "alive")[0] == 204


def test_a_file_that_is_too_large_is_refused_while_it_arrives():
    async def upload():
        sent, pieces = [], iter(range(10**6))

        async def receive():
            assert next(pieces) < 5, "it goes on reading"
            return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

        async def send(message):
            sent.append(message)

        headers = [(b"host", b"127.0.0.1")]
        await make_app("t", upload=2000)({"type": "http", "method": "POST", "path": "/t/upload", "headers": headers,
                                          "query_string": b"name=a.onnx"}, receive, send)  # fmt: skip
        return sent

    sent = finished(upload())
    assert sent[0]["status"] == 413
    assert b"larger than" in sent[1]["body"]


def test_reading_a_file_has_a_limit_of_time(tmp_path):
    file = tmp_path / "huge.json"
    huge = {"kind": "stage", "block": {"kind": "conv", "width": 8}, "depth": 240_000}
    file.write_text(json.dumps({"schema": "netlathe.arch/1", "name": "x", "input": [3, 8, 8], "body": huge}))
    with pytest.raises(NetlatheError, match=r"its time|more than 3 s"):
        finished(parse(file, "huge.json", memory=8 << 30, seconds=1))


def test_reading_a_file_has_a_limit_of_memory(tmp_path):
    file = tmp_path / "net.onnx"
    save_onnx(zoo.get("mobilenetv1_025"), file)
    with pytest.raises(NetlatheError, match="too much for the lab"):
        finished(parse(file, "net.onnx", memory=80 << 20))


def test_onnx_leaves_as_a_file_that_counts_the_same(lab, tmp_path, capsys):
    status, headers, content = lab.request("GET", "export/onnx?net=mobilenetv1_025&width=0.5&resolution=96")
    assert status == 200
    assert "mobilenetv1_025-w0.5-r96.onnx" in headers["content-disposition"]
    file = tmp_path / "out.onnx"
    file.write_bytes(content)
    assert printed(capsys, "cost", str(file))["macs"] == total(
        answer("net=mobilenetv1_025&width=0.5&resolution=96"), "macs"
    )


def test_a_claim_is_checked_as_netlathe_audit_does(lab, capsys):
    said = json.loads(lab.request("GET", "claims")[2])["claims"]
    assert len(said) == len({claim["id"] for claim in said}) > 50
    one = said[3]["id"]
    found = json.loads(lab.request("GET", f"claim?id={one}")[2])
    assert run(["audit", "--id", one, "--json"]) in (0, 4)
    told = json.loads(capsys.readouterr().out)["data"]
    assert found["verdict"] in json.dumps(told)
    assert found["value"] in [claim["value"] for claim in told.get("claims", told.get("findings", []))]
    assert lab.request("GET", "claim?id=s99-9")[0] == 422


def test_the_advice_is_a_value_that_keeps_the_limits_and_none_larger_does(lab):
    state = "net=resnet50&device=rpi-5&macs=2G"
    advice = lab.ask("advice", state)
    width = next(m for m in advice["most"] if m["knob"] == "width")
    assert answer(f"{state}&width={width['value']}")["verdict"]["state"] == "fits"
    assert answer(f"{state}&width={width['value'] + 0.05}")["verdict"]["state"] == "over"
    assert advice["changes"][0]["gain"] > 0


def test_a_port_that_is_taken_and_a_weak_token_are_said(lab):
    words = [sys.executable, "-m", "netlathe", "lab", "--no-open"]
    for more, said in ((["--port", str(lab.port)], "cannot be taken"), (["--token", "short"], "token")):
        done = subprocess.run([*words, *more], capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 2
        assert said in done.stderr


def test_a_device_or_a_pipe_is_no_file_to_start_with(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zero.onnx").symlink_to("/dev/zero")
    for name in ("pipe.json", "zero.onnx"):
        with pytest.raises(NetlatheError, match="cannot read this file: it is"):
            put_file(Uploads(), tmp_path / name)


def test_without_its_packages_it_names_the_extra():
    program = "import sys; sys.modules['uvicorn'] = None; from netlathe.cli.main import run; sys.exit(run(['lab']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 5
    assert "netlathe[lab]" in done.stderr


def test_ctrl_c_stops_it_cleanly():
    with running() as lab:
        lab.ask("view", "net=resnet18")
        assert lab.stop() in (0, 130)
        assert lab.process.stderr is not None
        assert "Traceback" not in lab.process.stderr.read()
