"""The lab answers whatever comes: odd requests are refused by name, and others are answered meanwhile."""

import json
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from types import SimpleNamespace
from unittest.mock import Mock, patch

import psutil
import pytest
from command import PATIENCE_S

pytest.importorskip("starlette")

import uvicorn
from lab_server import TOKEN, running

from netlathe import zoo
from netlathe.arch.document import to_json
from netlathe.arch.network import Network
from netlathe.errors import NetlatheError
from netlathe.lab.catalogue import Catalogue
from netlathe.lab.charts import CHARTS, charts
from netlathe.lab.connections import ANSWER, BODY, HEAD, MOST, Connection

DIGITS = "9" * 5000


@pytest.fixture(scope="module")
def lab():
    with running() as server:
        yield server
        assert server.process.poll() is None, "the server has ended"


def raw(lab, *pieces):
    """The status that raw bytes get; 0 where the connection is closed without an answer."""
    with closing(socket.create_connection(("127.0.0.1", lab.port), timeout=PATIENCE_S)) as sock:
        try:
            for piece in pieces:
                sock.sendall(piece)
            answer = sock.makefile("rb").readline()
        except ConnectionError:
            return 0
    match = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(match[1]) if match else 0


def request(lab, line, *headers, body=b"", host=None):
    """A request as bytes; `line` may name the path below the token as {}."""
    head = [line.replace("{}", f"/{TOKEN}"), f"Host: {host or f'127.0.0.1:{lab.port}'}", *headers]
    return "\r\n".join([*head, "Connection: close", "", ""]).encode("latin-1") + body


STATES = [
    "net=resnext50_32x4d:groups=16,group_width=4000000",
    "net=resnext50_32x4d:groups=16,group_width=99999999999999",
    f"net=resnext50_32x4d:groups=16,group_width={DIGITS}",
    "net=resnet50:depth=1000000000", "net=unet:depth=999", "net=unet:depth=10000000", "net=nasnet_large:depth=1000",
    "net=densenet121:growth=10000000", "net=vit_tiny_patch16:depth=1000", "net=lenet5:classes=1e308",
    "net=lenet5:classes=nan", "net=lenet5:classes=ten", "net=vgg11:bn=7", "net=resnet50:depths=3",
    "net=mobilenetv1:alpha=1e-300", "net=mobilenetv1:alpha=1e300", "net=mobilenetv1:resolution=100000000000",
    "net=mobilenetv1:resolution=99999", "net=efficientnet_b7:depth=10000000,width=10000000",
    "net=resnet152:width=10000000&depth=4&width=4&resolution=1024", "net=regnety_32gf:wm=1e-9,w0=1e6,wa=1e6",
    "net=resnet50&width=999999&depth=999999&inner=999999&groups=999999&resolution=999999",
    "net=resnet50&width=0.0000001&depth=0.0000001", "net=efficientnet_b7&depth=4&width=4&inner=4&resolution=1024",
    "net=resnet50&width=inf", "net=resnet50&width=nan", f"net=resnet50&width={DIGITS}", f"batch={'0' * 5000}1",
    f"step={'0' * 5000}", "step=99", "net=resnet50&step=99&depth=4", "batch=1024&net=efficientnet_b7&width=4",
    "batch=\u0661", "batch=\u00b2", "memory=0.1B", "memory=1e308GB", "latency=1e-320ms", "latency=1e308s", "macs=1e-9k",
    "latency=" + "1" + " " * 8000 + "!", f"latency={DIGITS}ms", "size=-1MB", "size=%00", "net=%00", "net=%ED%A0%80",
    "net=a%0Ab", "net=upload/%00", "net=upload/../../etc/passwd", "net=timm:resnet18", "net=/dev/zero.json",
    "device=/dev/zero.toml", "device=upload/x", "net=*", "net=resnet*", "net=" + "a" * 8000, "run=" + "x" * 8000,
    "&" * 8000, "a=b&" * 100, "=", "%", "net", "", "net=resnet18&net=resnet50", "net=resnet18:" + "alpha=1," * 1000,
    "net=<script>alert(1)</script>", "net=\x1b[2J", "run=\x1b]0;title\x07", "net=" + ":" * 900, "net=resnet18:=,=,=",
    "net=swin_tiny:window=1", "net=swin_tiny:window=0", "net=swin_tiny:window=10000000", "net=vit_tiny_patch16:patch=1",
    "net=vit_tiny_patch16:patch=0", "net=text_encoder:vocabulary=10000000", "net=vit_tiny_patch16:expansion=10000000",
    "net=mobilenetv2:classes=0", "net=mobilenetv2:classes=-5", "net=alexnet_grouped:groups=0", "net=unet:width=0",
    "device=this", "device=stm32f746&net=efficientnet_b7", "device=stm32f746&memory=1B&net=mobilenetv1_025",
]  # fmt: skip


@pytest.mark.parametrize("question", ["view?charts=roofline,stages,memory,profile&tables", "road"])
def test_whatever_state_is_asked_about_the_answer_is_one_or_names_the_mistake(lab, question):
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda state: lab.request("POST", question, state.encode()), STATES))
    wrong = {
        state[:60]: (status, body[:200])
        for state, (status, _, body) in zip(STATES, answers, strict=True)
        if status not in (200, 422) or not isinstance(json.loads(body), dict)
    }
    assert wrong == {}


def test_choices_that_make_a_network_too_large_to_follow_a_knob_are_refused_by_name():
    with pytest.raises(NetlatheError, match="5000"):
        Catalogue().net("vit_tiny_patch16:depth=1000")


def test_advice_is_given_or_refused_too(lab):
    large, small = "resnext50_32x4d:groups=16,group_width=4000000", "mobilenetv1_025&device=stm32f746"
    for state in (f"net={large}&macs=1G", f"net={small}&memory=1B", "net=lenet5:classes=10000000&memory=1B"):
        assert lab.request("POST", "advice", state)[0] in (200, 422)


def test_half_characters_and_no_text_at_all_are_refused(lab):
    for body in (b"\xff\xfe", b"\xed\xa0\x80", b"net=\xed\xa0\x80", "net=\ud800".encode("utf-8", "surrogatepass")):
        assert lab.request("POST", "view", body)[0] == 422
    assert lab.request("POST", "view", b"x" * 100_000)[0] == 422


def test_half_a_character_in_a_name_is_no_bug(lab):
    text = to_json(Network("half", zoo.get("lenet5").body)).replace('"half"', '"\\ud800"')
    status, _, body = lab.request("POST", "upload?name=half.json", text.encode())
    assert status in (200, 422)
    assert lab.request("GET", "menu")[0] == 200
    if status == 200:
        assert lab.request("POST", "view?charts=profile", "net=" + json.loads(body)["name"])[0] in (200, 422)
        assert lab.request("GET", "export/arch?net=" + json.loads(body)["name"])[0] in (200, 422)
        assert lab.request("GET", "export/report?net=" + json.loads(body)["name"])[0] in (200, 422)


QUERIES = [
    "view?charts=" + "roofline," * 3000, "view?charts=%00", "view?charts=" + "x" * 20_000, "view?tables&tables",
    "view?" + "&" * 30_000, "view?charts=%ED%A0%80", "upload?name=%00.json", "upload?name=" + "a" * 20_000,
    "upload?name=..%2f..%2fetc%2fpasswd.json", "upload", "upload?name=%ED%A0%80.json", "upload?name=%1b[2J.onnx",
]  # fmt: skip
LOOKS = [
    "export/arch?net=resnet18&width=nan", "export/nothing", "export/%00", "export/onnx?net=lenet5:classes=10000000",
    "export/onnx?net=resnet50&width=4&inner=4", "export/arch?" + "&" * 30_000, "export/report?net=%ED%A0%80",
    "export/../../etc/passwd", "claim?id=%00", "claim?id=" + "s" * 30_000, "claim", "page/%00", "page/..", "page/.",
    "page/" + "a" * 5000, "page/%ED%A0%80", "page/index.html%00.js", "menu?x=y", "%00", "%", "a" * 30_000, "..;/alive",
]  # fmt: skip


def test_whatever_is_looked_at_is_there_or_refused(lab):
    answers = {path[:60]: lab.request("POST", path, "net=lenet5")[0] for path in QUERIES}
    answers |= {path[:60]: lab.request("GET", path.replace("\0", ""))[0] for path in LOOKS}
    assert {path: status for path, status in answers.items() if not 200 <= status < 500} == {}


def requests(lab):
    """Requests as no browser sends them, and the statuses that are proper."""
    good, refused = {200, 204}, {400, 403, 404, 405, 408, 411, 413, 414, 431, 501, 0}
    post, long = "POST {}/view HTTP/1.1", "x" * 100_000
    yield "websocket", refused, request(lab, "GET {}/ HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade")
    yield "h2c", refused, request(lab, "GET {}/ HTTP/1.1", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings")
    yield "HTTP/2", refused, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield "TLS", refused, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200 + b"\r\n\r\n"
    yield "noise", refused, bytes(range(256)) * 8 + b"\r\n\r\n"
    yield "origin [", refused, request(lab, post, "Origin: http://[", "Content-Length: 0")
    yield "origin ]", refused, request(lab, post, "Origin: http://]:x", "Content-Length: 0")
    yield "origin @", refused, request(lab, post, "Origin: http://127.0.0.1:80@evil.com", "Content-Length: 0")
    for host in (f"127.0.0.1:{lab.port}@evil.com", "127.0.0.1:80@evil.com", "127.0.0.1:", "127.0.0.1:x", "[", "[::1]",
                 "127.0.0.1:999999", "evil.com#127.0.0.1", "127.0.0.1/", "localhost.evil.com"):  # fmt: skip
        yield f"host {host}", refused, request(lab, "GET {}/alive HTTP/1.1", host=host)
    yield "two hosts", refused, request(lab, "GET {}/alive HTTP/1.1", "Host: evil.com")
    yield "no host", refused, f"GET /{TOKEN}/alive HTTP/1.1\r\nConnection: close\r\n\r\n".encode()
    yield "HTTP/1.0", good, request(lab, "GET {}/alive HTTP/1.0")
    yield "HTTP/1.0 without host", refused, f"GET /{TOKEN}/alive HTTP/1.0\r\n\r\n".encode()
    yield "HTTP/0.9", refused, f"GET /{TOKEN}/alive\r\n\r\n".encode()
    yield "HTTP/9.9", refused | good, request(lab, "GET {}/alive HTTP/9.9")
    yield "absolute form", refused | good, request(lab, f"GET http://127.0.0.1:{lab.port}/{TOKEN}/alive HTTP/1.1")
    yield "elsewhere", refused, request(lab, "GET http://evil.com/ HTTP/1.1")
    yield "asterisk", refused, request(lab, "OPTIONS * HTTP/1.1")
    yield "CONNECT", refused, request(lab, "CONNECT evil.com:443 HTTP/1.1")
    for method in ("OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "BREW", "get"):
        yield method, refused, request(lab, f"{method} {{}}/alive HTTP/1.1")
    yield "HEAD", good, request(lab, "HEAD {}/ HTTP/1.1")
    yield "HEAD export", good, request(lab, "HEAD {}/export/arch?net=lenet5 HTTP/1.1")
    yield "large header", refused, request(lab, "GET {}/alive HTTP/1.1", f"X: {long}")
    yield "many headers", refused, request(lab, "GET {}/alive HTTP/1.1", *[f"X{i}: y" for i in range(20_000)])
    yield "long path", refused, request(lab, f"GET {{}}/{long} HTTP/1.1")
    yield "header with NUL", refused, request(lab, "GET {}/alive HTTP/1.1", "X: a\0b")
    yield "path with NUL", refused, request(lab, "GET {}/ali\0ve HTTP/1.1")
    yield "path in Latin-1", refused, request(lab, "GET {}/\xe9 HTTP/1.1")
    yield "folded header", refused | good, request(lab, "GET {}/alive HTTP/1.1", "X: a\r\n b")
    yield "no length", {200, *refused}, request(lab, post, body=b"net=lenet5")
    for length in ("-1", "1e3", "99999999999999999999999", "5, 6", "x"):
        yield f"length {length}", refused, request(lab, post, f"Content-Length: {length}", body=b"")
    yield "two lengths", refused, request(lab, post, "Content-Length: 1", "Content-Length: 2", body=b"ab")
    chunked = "Transfer-Encoding: chunked"
    yield "chunked", good, request(lab, post, chunked, body=b"a\r\nnet=lenet5\r\n0\r\n\r\n")
    yield (
        "chunked large",
        {422},
        request(lab, post, chunked, body=b"%x\r\n" % 20_000 + b"x" * 20_000 + b"\r\n0\r\n\r\n"),
    )
    yield "chunk of no size", refused, request(lab, post, chunked, body=b"zz\r\nnet\r\n0\r\n\r\n")
    yield "negative chunk", refused, request(lab, post, chunked, body=b"-5\r\nnet\r\n0\r\n\r\n")
    yield "huge chunk", refused, request(lab, post, chunked, body=b"f" * 30 + b"\r\nnet\r\n")
    yield "chunk after its answer", refused, request(lab, "POST {}/alive HTTP/1.1", chunked, body=b"3\r\nnet\r\nzz\r\n")
    yield (
        "smuggled",
        refused | good,
        request(lab, post, chunked, "Content-Length: 3", body=b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
    )
    yield "gzip", {*good, 422, *refused}, request(lab, post, "Transfer-Encoding: gzip", body=b"\x1f\x8b")
    yield "expects", {100}, request(lab, post, "Expect: 100-continue", "Content-Length: 10", body=b"net=lenet5")


def test_a_request_that_no_browser_sends_is_refused_or_answered_as_it_should(lab):
    statuses = {name: (raw(lab, data), allowed) for name, allowed, data in requests(lab)}
    assert {name: status for name, (status, allowed) in statuses.items() if status not in allowed} == {}
    assert lab.request("GET", "alive")[0] == 204


# --- slow clients, and many of them ---


def opened(lab, start=b""):
    """A connection that sends this, and waits."""
    sock = socket.create_connection(("127.0.0.1", lab.port), timeout=PATIENCE_S)
    sock.sendall(start)
    return sock


def test_connections_that_send_nothing_or_half_a_head_keep_nobody_out(lab):
    with ExitStack() as stack:
        for i in range(2 * MOST):
            start = (b"", b"GET / HT", f"GET /{TOKEN}/alive HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode())[i % 3]
            stack.enter_context(closing(opened(lab, start)))
            if i % 50 == 0:
                assert lab.ask("view", "net=lenet5")["name"] == "lenet5"
        server = psutil.Process(lab.process.pid)
        for _ in range(1000):  # it closes them when it comes to it
            if server.num_fds() < 1.5 * MOST:
                break
            time.sleep(0.02)
        assert server.num_fds() < 1.5 * MOST
        assert lab.ask("view", "net=lenet5")["name"] == "lenet5"


def test_uploads_that_do_not_arrive_are_limited_and_questions_are_answered_meanwhile(lab):
    head = request(lab, "POST {}/upload?name=a.json HTTP/1.1", "Content-Length: 1000", body=b"{")
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(closing(opened(lab, head)))
        while (status := lab.request("POST", "upload?name=a.json", b"{")[0]) == 422:
            time.sleep(0.01)  # not all have been noticed yet
        assert status == 503
        assert lab.ask("view", "net=lenet5")["name"] == "lenet5"
    while lab.request("POST", "upload?name=a.json", b"{")[0] == 503:
        time.sleep(0.01)  # the others have left


def test_long_questions_do_not_hold_up_the_knobs(lab):
    with ThreadPoolExecutor(3) as threads:
        fronts = [threads.submit(lab.ask, "front", f"batch={2 + i}") for i in range(3)]
        for i in range(3):
            assert lab.ask("view", f"net=resnet18&width=0.{i + 1}")["name"].startswith("resnet18")
        assert not all(front.done() for front in fronts)
    assert all("chart" in front.result() for front in fronts)


class Waiting:
    """A connection of `Connection`, whose clock is turned by hand."""

    def __init__(self):
        self.timers, self.written, self.closed = [], b"", ""

    def time(self):
        return 0.0

    def call_later(self, seconds, action):
        self.timers.append((seconds, action))
        return SimpleNamespace(cancel=lambda: self.timers.remove((seconds, action)))

    def create_task(self, work):
        work.close()
        return Mock()

    def get_extra_info(self, name):
        return None

    def is_closing(self):
        return bool(self.closed)

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = "close"

    def abort(self):
        self.closed = "abort"

    pause_reading = resume_reading = lambda self: None


def connected():
    world = Waiting()
    config = uvicorn.Config(lambda scope, receive, send: None, ws="none", lifespan="off", log_config=None)
    connection = Connection(config, uvicorn.server.ServerState(), {}, world)
    connection.connection_made(world)
    return connection, world


HEAD_OF_ONE = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "waits"),
    [
        ([], [HEAD]),
        ([b"P"], [HEAD]),
        ([b"P", b"O", b"S"], [HEAD]),
        ([HEAD_OF_ONE], [BODY]),
        ([HEAD_OF_ONE[:20], HEAD_OF_ONE[20:], b"a", b"b"], [BODY]),
        ([HEAD_OF_ONE + b"abcd"], []),
    ],
)
def test_a_request_has_one_deadline_however_many_pieces_it_comes_in(pieces, waits):
    connection, world = connected()
    for piece in pieces:
        connection.data_received(piece)
    assert [seconds for seconds, _ in world.timers] == waits
    for _, action in list(world.timers):
        action()
    assert (world.closed, world.written[:12]) == (("close", b"HTTP/1.1 408") if waits else ("", b""))
    connection.connection_lost(None)
    assert world.timers == []


def test_a_reader_that_does_not_read_is_left():
    connection, world = connected()
    connection.data_received(HEAD_OF_ONE + b"abcd")
    connection.pause_writing()
    connection.resume_writing()
    assert world.timers == []
    connection.pause_writing()
    ((seconds, action),) = world.timers
    assert seconds == ANSWER
    action()
    assert world.closed == "abort"


# --- the end ---


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -15), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_it_ends_at_once_whatever_it_is_at_and_its_children_with_it(number, code, tmp_path):
    big = to_json(Network("big", zoo.get("resnet152").body)).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path))
        with running() as lab, ExitStack() as stack:
            asks = [
                request(lab, "POST {}/front HTTP/1.1", "Content-Length: 7", body=b"batch=%d" % i) for i in range(2, 8)
            ]
            asks += [request(lab, "POST {}/upload?name=a.json HTTP/1.1", f"Content-Length: {len(big)}", body=big)] * 2
            asks += [request(lab, "POST {}/upload?name=a.json HTTP/1.1", "Content-Length: 1000", body=b"{")]
            for ask in asks:
                stack.enter_context(closing(opened(lab, ask)))
            server = psutil.Process(lab.process.pid)
            while len(children := server.children(recursive=True)) < 4:  # workers, and one that reads an upload
                time.sleep(0.01)
            begin = time.monotonic()
            lab.process.send_signal(number)
            assert lab.process.wait(PATIENCE_S) == code
            assert time.monotonic() - begin < 30  # it takes half a second; the upload would be waited for a minute
            _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
            assert alive == []
            errors = lab.process.stderr.read()
    assert "Traceback" not in errors
    assert number == signal.SIGKILL or list(tmp_path.iterdir()) == []


def test_files_of_the_folder_that_it_runs_in_are_not_imported(tmp_path):
    for name in ("numpy", "torch", "onnx", "json", "platform", "starlette", "netlathe", "signal"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r})")
    with running(cwd=tmp_path) as lab:
        text = to_json(Network("mine", zoo.get("lenet5").body))
        name = json.loads(lab.request("POST", "upload?name=mine.json", text)[2])["name"]
        assert lab.ask("view?charts=profile", f"net={name}")["name"] == "mine"
        lab.ask("advice", "net=resnet18&macs=1G")
        assert lab.request("GET", "export/onnx?net=lenet5")[0] == 200
        assert lab.request("POST", "upload?name=a.onnx", b"hello")[0] == 422
    assert not (tmp_path / "imported").exists()


def test_a_chart_that_is_asked_for_many_times_is_drawn_once():
    drawn = []
    with patch.dict(CHARTS, roofline=lambda facts: drawn.append(facts)):
        assert charts("facts", ["roofline"] * 1000) == {"roofline": None}
    assert len(drawn) == 1
