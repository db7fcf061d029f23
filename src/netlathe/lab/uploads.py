"""Uploads: what was dropped on the page since the start, as the text that a process of its own made of it.

The server keeps these texts and never reads them; its workers do (`catalogue`).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import NamedTuple

MARK = "upload/"
KEPT = 32  # uploads; the oldest goes


class Upload(NamedTuple):
    """A file that was read: `text` is an arch.json, a card in TOML, or a graph in JSON (`graph_json`), by `kind`."""

    kind: str  # arch, card or graph
    name: str  # of the file
    title: str  # of the network or the device
    text: str


class Uploads:
    """Uploads by mark, shared by all tabs, for a mark says the content."""

    def __init__(self) -> None:
        self.by_mark: OrderedDict[str, Upload] = OrderedDict()

    def put(self, digest: str, upload: Upload) -> str:
        """Keep an upload under the digest of its file; returns the name that the page uses."""
        mark = MARK + digest[:12]
        self.by_mark[mark] = upload
        while len(self.by_mark) > KEPT:
            self.by_mark.popitem(last=False)
        return mark

    def those(self, *names: str) -> dict[str, Upload]:
        """The uploads among these names of networks and devices; what is not there is missed by whoever looks it up."""
        return {name: self.by_mark[name] for name in names if name in self.by_mark}

    def cards(self) -> dict[str, Upload]:
        """The uploaded devices."""
        return {mark: upload for mark, upload in self.by_mark.items() if upload.kind == "card"}

    def networks(self) -> list[tuple[str, str]]:
        """(name, what it is called) of the uploaded networks."""
        return [(mark, upload.title) for mark, upload in self.by_mark.items() if upload.kind != "card"]


def digest_of(content: bytes) -> str:
    """What an upload is kept under: equal files have equal ones."""
    return hashlib.sha256(content).hexdigest()


def machine_refuses(error: OSError) -> str:
    """What to say where the operating system refuses a file or a process, without the paths of this machine."""
    return f"this machine refuses what it takes to answer: {error.strerror or type(error).__name__}"
