"""A lab for the tests: the real server in a process of its own, and requests as raw as the tests need them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from command import PATIENCE_S

TOKEN = "a-token-of-the-tests"


class Lab(NamedTuple):
    """A running server: its address, its process."""

    url: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        found = urlsplit(self.url).port
        assert found is not None
        return found

    def request(
        self, method: str, path: str, body: bytes | str | None = None, *, raw: bool = False, **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body; `path` is below the token, with `raw` the whole path."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path if raw else f"/{TOKEN}/{path}", body, sent)
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found

    def ask(self, what: str, state: str = "") -> dict[str, Any]:
        """The JSON answer to a question."""
        found: dict[str, Any] = json.loads(self.request("POST", what, state)[2])
        return found

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)


@contextmanager
def running(*options: str, port: int = 0, cwd: Path | None = None) -> Iterator[Lab]:
    """A server until the end of the block, and no longer."""
    words = [
        sys.executable,
        "-P",
        "-m",
        "netlathe",
        "lab",
        "--no-open",
        "--port",
        str(port),
        "--token",
        TOKEN,
        *options,
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*words, *options], cwd=cwd, env=os.environ | {"OMP_NUM_THREADS": "1"}, **pipes)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http"), process.communicate(timeout=PATIENCE_S)
        lab = Lab(url, process)
        while lab_answers(lab) != 204:
            assert process.poll() is None, "the server has ended"
            time.sleep(0.05)
        yield lab
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def lab_answers(lab: Lab) -> int:
    """The status of /alive, 0 where nobody listens yet."""
    try:
        return lab.request("GET", "alive")[0]
    except OSError:
        return 0
