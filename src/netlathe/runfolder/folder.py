"""A folder that is open for a long job: nobody else works in it, and run.json says what it holds.

run.json has the kind of the job, the identity of this one, its state, the versions that it was begun with, and the
error that ended it. A job that is "running" in a folder that nobody has locked was killed; the next call goes on.
"""

from __future__ import annotations

import json
import platform
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from netlathe.errors import NetlatheError
from netlathe.files import PART, write_json
from netlathe.runfolder.document import read_document, whole
from netlathe.runfolder.identity import Identity, describe_value, find_differences
from netlathe.runfolder.lock import locked

RECORD, LOCK = "run.json", ".lock"
SCHEMA, FORMAT = "netlathe.folder", 1
PACKAGES = ("netlathe", "numpy", "torch", "onnxruntime")  # whose versions a run notes
REMEDY = "give another folder with -o, or remove this one"

Say: TypeAlias = Callable[[str], None]


class RunKind(NamedTuple):
    """What a folder holds. `files` it writes: without a run.json they are somebody else's, and stay as they are."""

    noun: str  # training: "this folder holds another training"
    files: tuple[str, ...] = ()
    hint: str = ""  # where it holds another run
    meanwhile: str = ""  # what may be done while a process is at work in it


class RunState(StrEnum):
    """How far a job is; a job that is killed stays running."""

    RUNNING = "running"
    STOPPED = "stopped"  # by somebody, or by the time: the same call goes on
    FINISHED = "finished"
    FAILED = "failed"


class RunWarning(UserWarning):
    """A run goes on under other versions than it was begun with."""


class RunFolder:
    """A folder that is open. Only the first of several processes that train as one holds the lock, and writes."""

    def __init__(self, path: Path, kind: RunKind, *, writes: bool = True, say: Say) -> None:
        """Raises NetlatheError for a folder that holds anything but this kind of run, or nothing."""
        self.path, self.kind, self.writes, self.say = path, kind, writes, say
        self.record, self.begun, self.end_state = read_record(path, kind), False, RunState.FINISHED

    @property
    def state(self) -> RunState | None:
        """How the run was left, before this process; None: there was none."""
        return RunState(self.record["state"]) if self.record else None

    def begin(
        self, identity: Identity, *, changeable: Collection[str] = (), until_finished: Collection[str] = ()
    ) -> None:
        """Start a run, or go on with the one that is here.

        Raises NetlatheError, with every field that differs, where that is another one; but for those that are
        `changeable`, or are so `until_finished`.
        """
        identity = json.loads(json.dumps(dict(identity)))
        if self.record is not None:
            ignored = {*changeable, *(until_finished if self.state is not RunState.FINISHED else ())}
            self.refuse_other(self.record["identity"], identity, ignored=ignored)
            self.compare_versions(self.record["versions"])
        if self.writes:
            now = time.strftime("%Y-%m-%d %H:%M:%S")
            old = self.record or {"versions": read_versions(), "begun": now}
            self.record = {
                "schema": f"{SCHEMA}/{FORMAT}", "kind": self.kind.noun, "state": RunState.RUNNING, "error": "",
                "begun": old["begun"], "versions": old["versions"], "identity": identity,
            }  # fmt: skip
            write_json(self.path / RECORD, self.record)
            self.begun = True

    def refuse_other(self, old: Identity, new: Identity, *, ignored: Collection[str] = ()) -> None:
        """Raise NetlatheError where two identities differ."""
        differences = find_differences(old, new, ignored=ignored)
        if differences:
            word = "begun" if self.state in (None, RunState.RUNNING) else self.state
            lines = [
                f"{name}: {word} with {describe_value(before)}, asked for {describe_value(now)}"
                for name, before, now in differences
            ]
            raise NetlatheError(
                f"this folder holds another {self.kind.noun}: other {', '.join(name for name, *_ in differences)}",
                code="folder.other_run",
                path=str(self.path),
                hint="\n".join([*lines, *filter(None, [self.kind.hint]), REMEDY]),
            )

    def compare_versions(self, old: dict[str, str]) -> None:
        """Warn where a run that has not finished goes on under other versions."""
        now = read_versions()
        changed = [f"{name} {old[name]}, now {now.get(name, 'none')}" for name in old if old[name] != now.get(name)]
        if changed and self.state is not RunState.FINISHED:
            noun = self.kind.noun
            self.say(f"{self.path}: this {noun} was begun with {'; '.join(changed)}: its numbers may differ a little")

    def stop(self) -> None:
        """Leave the run as stopped: a later call goes on."""
        self.end_state = RunState.STOPPED

    def finish(self) -> None:
        """Leave it as finished, which is what happens without a word."""
        self.end_state = RunState.FINISHED

    def end(self, state: RunState, error: str = "") -> None:
        """Write how this process left the run, where it had begun."""
        if self.begun and self.record is not None:
            write_json(self.path / RECORD, {**self.record, "state": state, "error": error})


Place: TypeAlias = str | Path | RunFolder


def warn(line: str) -> None:
    """Where nobody listens otherwise."""
    warnings.warn(line, RunWarning, stacklevel=5)


@contextmanager
def open_run(place: Place, kind: RunKind, *, writes: bool = True, say: Say = warn) -> Iterator[RunFolder]:
    """The folder of a job, made where it is absent, and locked until the job ends; one that is open is handed on.

    Whether it finished, was stopped or failed is written at the end. Raises NetlatheError where another process is at
    work in it, it holds something else, or it cannot be read and written. `say` hears what is worth a warning.
    """
    if isinstance(place, RunFolder):
        yield place
        return
    folder = Path(place)
    with held(folder, kind) if writes else nullcontext():
        run = RunFolder(folder, kind, writes=writes, say=say)
        try:
            yield run
        except BaseException as error:
            state = RunState.STOPPED if isinstance(error, KeyboardInterrupt) else RunState.FAILED
            with suppress(NetlatheError):  # of a full disk, say: the error itself says more
                run.end(state, str(error) or type(error).__name__)
            raise
        run.end(run.end_state)


@contextmanager
def held(folder: Path, kind: RunKind) -> Iterator[None]:
    """The folder exists and is locked, and holds nothing half written. What was made for nothing goes again."""
    new_folders = make_missing(folder)
    hint = "\n".join(filter(None, ["wait for it or end it, or give another folder with -o", kind.meanwhile]))
    with locked(folder / LOCK, hint=hint):
        sweep(folder)
        try:
            yield
        finally:
            if new_folders and [file.name for file in folder.iterdir()] == [LOCK]:
                with suppress(OSError):
                    (folder / LOCK).unlink()
                    for part in reversed(new_folders):
                        part.rmdir()


def make_missing(folder: Path) -> list[Path]:
    """Make a folder and those above it; the ones that were made, from above."""
    new_folders = []
    try:
        for part in [*reversed(folder.parents), folder]:
            if not part.is_dir():
                part.mkdir(exist_ok=True)
                new_folders.append(part)
        next(folder.iterdir(), None)
    except OSError as error:
        message = "this is a file, and the run needs a folder"
        if not isinstance(error, FileExistsError):
            message = f"cannot use this folder: {error.strerror}"
        raise NetlatheError(message, code="folder.unusable", path=str(folder), hint="give another with -o") from None
    return new_folders


def sweep(folder: Path) -> None:
    """Remove the files that killed processes left half written; the lock of the folder is held."""
    for file in [*folder.glob(f".*{PART}"), *folder.glob(f"*/.*{PART}")]:
        if file.parent == folder or not (file.parent / RECORD).exists():
            with suppress(OSError):
                file.unlink()


def read_record(folder: Path, kind: RunKind) -> dict[str, Any] | None:
    """The run.json of a folder, checked; None where there is none, or the run ended before it wrote anything.

    Raises NetlatheError for another kind of run, a newer format, a damaged file, and files of somebody else.
    """
    path = folder / RECORD
    with whole(path, REMEDY):
        written = [name for name in kind.files if (folder / name).exists()]
        recorded = path.exists()
    if not recorded:
        if written:
            raise NetlatheError(
                f"this folder has no {RECORD}, but {', '.join(written)}: an older Netlathe or another program wrote it",
                code="folder.foreign",
                path=str(folder),
                hint=f"it is left as it is; {REMEDY}",
            )
        return None
    record = read_document(path, REMEDY)
    with whole(path, REMEDY):
        name, _, number = str(record["schema"]).partition("/")
        if name != SCHEMA:
            raise ValueError(f"its schema is {record['schema']!r}, not {SCHEMA}/{FORMAT}")
        if int(number) != FORMAT:
            hint = f"go on with the Netlathe that made it, or {REMEDY}"
            message = f"this folder has format {number}, and this Netlathe knows format {FORMAT}"
            raise NetlatheError(message, code="folder.version", path=str(path), hint=hint)
        state = RunState(record["state"])
        if not (isinstance(record["identity"], dict) and isinstance(record["versions"], dict) and record["begun"]):
            raise ValueError("its fields are not those of a run")
        if record["kind"] != kind.noun:
            message = f"this folder holds a {record['kind']} ({state}), not a {kind.noun}"
            raise NetlatheError(message, code="folder.other_kind", path=str(folder), hint=REMEDY)
    return record if written or state is RunState.FINISHED else None


def read_versions() -> dict[str, str]:
    """The versions of what computes; packages that are not installed are left out."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions
