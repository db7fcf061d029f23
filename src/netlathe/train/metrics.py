"""What a training says while it runs: JSON lines in a file, TensorBoard event files if asked for."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from netlathe.errors import MissingExtra, NetlatheError
from netlathe.files import write_text
from netlathe.runfolder.document import whole
from netlathe.runfolder.lines import append_line

FILE = "metrics.jsonl"


class Metrics:
    """Appends a line an event; a resumed training first drops what its checkpoint does not know yet."""

    def __init__(self, folder: Path, *, lines: int = 0, tensorboard: bool = False) -> None:
        self.path, self.lines = folder / FILE, lines
        with whole(self.path, f"remove {FILE}: it only tells what happened"):
            text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        kept = text.splitlines(keepends=True)[:lines]
        write_text(self.path, "".join(kept))
        self.board = open_tensorboard(folder) if tensorboard else None

    def write(self, event: str, images: int, **values: Any) -> None:
        """One event after so many images; numbers also go to TensorBoard."""
        line = json.dumps({"event": event, "images": images} | values)
        try:
            append_line(self.path, f"{line}\n".encode())
        except OSError as error:
            raise NetlatheError(f"cannot write {self.path}: {error.strerror}", code="file.write") from error
        self.lines += 1
        if self.board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self.board.add_scalar(f"{event}/{name}", value, images)

    def close(self) -> None:
        """Flush the event files."""
        if self.board is not None:
            self.board.close()


def read(folder: Path) -> list[dict[str, Any]]:
    """The events of a run, oldest first; a line that is none, such as one that a kill cut short, is left out."""
    events = []
    for line in (folder / FILE).read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError, RecursionError):
            events.append(json.loads(line))
    return events


def read_events(folder: Path) -> list[dict[str, Any]]:
    """The same, none where there is no such file."""
    return read(folder) if (folder / FILE).is_file() else []


def open_tensorboard(folder: Path) -> Any:
    """A writer of event files."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise MissingExtra("tensorboardX", "tensorboard") from error
    return SummaryWriter(str(folder / "tensorboard"))
