"""What is fuzzed: every reader of what people give, valid inputs to start from, and how they are spoilt.

Used by the tests (seconds) and by benchmarks/fuzz_readers.py (as long as you like, under limits; or under atheris).
A new reader is a row of READERS.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import NamedTuple

import fuzz_seeds as s
import mutations as m

from netlathe.errors import Exit, NetlatheError

LARGE = re.compile(r"\d{3,}")
Read = Callable[[bytes], object]
Seeds = Callable[[], tuple[bytes, ...]]
TEXT = (m.some_words, m.some_words, m.some_lines, m.some_bytes)
JSON = (m.json_tree, m.json_tree, m.json_tree, m.some_words, m.some_bytes)
TABLE = (m.some_cells, m.some_cells, m.some_lines, m.some_bytes)


class Reader(NamedTuple):
    """A reader of bytes, valid inputs, and the mutations that know their structure."""

    read: Read
    seeds: Seeds
    mutations: tuple[m.Mutation, ...]

    def spoilt(self, dice: Random) -> bytes:
        """A valid input, spoilt once or twice; seldom something else altogether."""
        data = dice.choice(self.seeds())
        if dice.random() < 0.01:
            return m.nothing_of_it(dice, data)
        for _ in range(dice.choice((1, 1, 2))):
            mutate = dice.choice(self.mutations)
            with contextlib.suppress(Exception):  # what is spoilt already may be nothing that it can take apart
                data = mutate(dice, data)
        return data


def survives(reader: str, data: bytes) -> bool:
    """Whether a reader takes an input; a mistake that it names is as good. Whatever else it raises is a bug."""
    try:
        READERS[reader].read(data)
    except NetlatheError:
        return False
    return True


def text_of(data: bytes) -> str:
    """As a command line or a file hands it over: bytes that are no UTF-8 become lone surrogates."""
    return data.decode(errors="surrogateescape")


def on_disk(name: str, read: Callable[[Path], object], data: bytes, *, folder: bool = False) -> None:
    """Read a file of that name, or the folder that holds it."""
    path = scratch() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    read(scratch() if folder else path)


@cache
def scratch() -> Path:
    """A folder of this process for files to read; the caller's folder for temporary files is to be swept."""
    return Path(tempfile.mkdtemp(prefix="fuzzed-"))


# Networks: expressions, ONNX files, weights, and the words that name them.


def arch(data: bytes) -> None:
    """An arch.json, and its operators where no number makes them many."""
    from netlathe.arch.document import from_json

    text = data.decode(errors="replace")
    network = from_json(text)
    if not LARGE.search(re.sub(r'"width": \d+|"input": \[[^\]]*\]', "", text)) and len(text) < 20_000:
        network.graph()


def onnx_file(path: Path) -> None:
    from netlathe.read.onnx import read_onnx

    read_onnx(path)


def tensors(path: Path) -> None:
    from netlathe.lower.checkpoint import read_tensors

    read_tensors(path)


def net(data: bytes) -> None:
    """NET of the command line, and its operators."""
    from netlathe.load import load_any

    for each in load_any(text_of(data)):
        each.graph()


def space(data: bytes) -> None:
    from netlathe.search.config import load_space

    load_space(text_of(data))


# What people write: cards, recipes, budgets, tables.


def card(data: bytes) -> None:
    from netlathe.device.card import parse

    parse(data.decode(errors="replace"))


def recipe(data: bytes) -> None:
    from netlathe.train import recipefile

    recipefile.from_toml(data.decode(errors="replace"), "fuzzed", "fuzzed.toml")


def settings(data: bytes) -> None:
    """--set FIELD=VALUE of a recipe."""
    from netlathe.train import recipefile

    recipefile.load("digits", [text_of(data)])


def quantity(data: bytes) -> None:
    """Times, sizes, counts and shapes of the command line."""
    import click

    from netlathe import units
    from netlathe.cli.common import input_shape

    kind, _, text = text_of(data).partition(" ")
    readers = {"time": units.seconds, "latency": units.milliseconds, "size": units.byte_count, "macs": units.mac_count}
    readers |= {"shape": input_shape}
    with contextlib.suppress(click.BadParameter):  # a mistake that is named, too
        readers.get(kind, units.seconds)(text)


def limits(path: Path) -> None:
    from netlathe.deploy.limits import read_limits

    read_limits(path)


def run_toml(path: Path) -> None:
    from netlathe.fit.config import read_config

    if not (path.parent / "recipe.toml").exists():
        (path.parent / "recipe.toml").write_bytes(s.recipe_seeds()[0])
    read_config(path)


def latencies(path: Path) -> None:
    from netlathe.device.measurements import read

    read(path)


def accuracies(path: Path) -> None:
    from netlathe.sources.folder import read_table

    read_table(path, ["a.onnx", "b/c.onnx"])


# Images.


def images(path: Path) -> None:
    """What a source of images lists or holds; beside it are some of the images that a table names."""
    from netlathe.train.images.load import find_source

    for name in ("a.png", "b.png"):
        if not (path.parent / name).exists():
            (path.parent / name).write_bytes(s.image_seeds()[0])

    find_source(path).open()


def image(data: bytes) -> None:
    """The header and the pixels of an image file."""
    from netlathe.train.images.decode import Canvas, UnreadableImage, decode, read_header

    read_header(data)
    with contextlib.suppress(UnreadableImage):  # skipped by name
        decode(data, Canvas(8, 8, 3))


def idx(data: bytes) -> None:
    from netlathe.train.images.arrays import read_idx

    on_disk("train-images-idx3-ubyte.gz" if data[:2] == b"\x1f\x8b" else "train-images-idx3-ubyte", read_idx, data)


def search_table(path: Path) -> None:
    from netlathe.search.tables import read_arrays

    read_arrays(path, "images", "labels")


# Folders of runs and packages: what programs write, and people copy, edit and cut short.


def package(path: Path) -> None:
    from netlathe.deploy.package import load_package

    load_package(path, verify=False)


def model_card(path: Path) -> None:
    from netlathe.deploy.model_card import read_card

    read_card(path)


def report_page(path: Path) -> None:
    from netlathe.report.documents import page_of

    page_of(str(path))


def ledger(path: Path) -> None:
    import warnings

    from netlathe.bench import ledger

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ledger.LedgerWarning)  # names the line and goes on
        list(ledger.read(path))


def metrics(folder: Path) -> None:
    from netlathe.train.metrics import read

    read(folder)


def experiment(folder: Path) -> None:
    from netlathe.train.experiment.grid import load_experiment, read_results

    read_results(load_experiment(folder), folder)


def run_record(folder: Path) -> None:
    """Whose folder it is, and whether the same run may go on there."""
    from netlathe.runfolder.folder import RunFolder
    from netlathe.train.experiment.grid import EXPERIMENT

    RunFolder(folder, EXPERIMENT, writes=False, say=str).begin({"data": {"name": "photos", "key": "0"}})


def run_result(folder: Path) -> None:
    from netlathe.runfolder.result import read_result

    read_result(folder, "netlathe.run/1", lambda fields: fields["network"])


def step(path: Path) -> None:
    from netlathe.runfolder.steps import read_step

    read_step(path)


def checkpoint(path: Path) -> None:
    from netlathe.train.checkpoint import read

    read(path)


def search_folder(folder: Path) -> None:
    from netlathe.search.store import TrialStore

    with TrialStore(folder, write=False) as store:
        store.facts()
        store.trials()
        store.finals()


def search_config(data: bytes) -> None:
    """The configuration of a search, as its folder holds it."""
    from netlathe.search.config import stored_config
    from netlathe.search.objective import spec_from_json

    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    spec_from_json(stored_config({"config": document}, Path("folder")).objective)


# Whole verbs, and the page.


def command(data: bytes) -> None:
    """A command line: whatever it says, it does not end with 1."""
    code, text = s.printed(text_of(data).split())
    assert code != Exit.BUG, text


def lab(data: bytes) -> None:
    """A request to the page: whether the guard lets it in, the state that its address says, and the answer."""
    from netlathe.lab.catalogue import Catalogue
    from netlathe.lab.questions import view
    from netlathe.lab.security import SecurityGuard

    query, _, headers = data.partition(b"\n")
    lines = [line.partition(b": ") for line in headers.split(b"\n")]
    scope = {"type": "http", "method": "GET", "path": "/t/state", "query_string": query,
             "headers": [(name.lower(), value) for name, _, value in lines]}  # fmt: skip
    guard = SecurityGuard(None, "t")  # type: ignore[arg-type]
    if guard.refused(scope) is None:
        view(Catalogue(), {"state": query.decode("latin-1")[:8192], "charts": ["roofline"], "tables": False})


def literal(seeds: tuple[bytes, ...]) -> Seeds:
    return lambda: seeds


def file(name: str, read: Callable[[Path], object], *, folder: bool = False) -> Read:
    return partial(on_disk, name, read, folder=folder)


BYTES = (m.some_bytes,)
WORDS = (m.some_words, m.some_words, m.some_bytes)
ARRAYS = (m.zip_members, m.zip_members, m.zip_members, m.some_bytes)
READERS: dict[str, Reader] = {
    "arch": Reader(arch, cache(s.arch_seeds), JSON),
    "onnx": Reader(file("a.onnx", onnx_file), cache(s.onnx_seeds), (m.protobuf, m.protobuf, m.protobuf, m.some_bytes)),
    "safetensors": Reader(file("a.safetensors", tensors), cache(s.safetensors_seeds), (m.tensor_header, m.some_bytes)),
    "pickle": Reader(file("a.pth", tensors), cache(s.pickle_seeds), (m.zip_members, m.some_bytes)),
    "net": Reader(net, literal(s.NETS), WORDS),
    "space": Reader(space, literal(s.SPACES), WORDS),
    "card": Reader(card, cache(s.card_seeds), TEXT),
    "recipe": Reader(recipe, cache(s.recipe_seeds), TEXT),
    "settings": Reader(settings, literal(s.SETTINGS), WORDS),
    "quantity": Reader(quantity, literal(s.QUANTITIES), WORDS),
    "limits": Reader(file("budget.toml", limits), literal(s.LIMITS), TEXT),
    "run.toml": Reader(file("run.toml", run_toml), cache(s.run_toml_seeds), TEXT),
    "latencies": Reader(file("ms.csv", latencies), literal(s.LATENCIES), TABLE),
    "accuracies": Reader(file("accuracies.csv", accuracies), literal(s.ACCURACIES), TABLE),
    "labels": Reader(file("labels.csv", images), literal(s.LABELS), TABLE),
    "npz": Reader(file("a.npz", images), cache(s.npz_seeds), ARRAYS),
    "search-table": Reader(file("table.npz", search_table), cache(s.npz_seeds), ARRAYS),
    "idx": Reader(idx, cache(s.idx_seeds), BYTES),
    "image": Reader(image, cache(s.image_seeds), BYTES),
    "package": Reader(file("package.json", package, folder=True), cache(s.package_seeds), JSON),
    "model-card": Reader(file("card.json", model_card, folder=True), literal((s.CARD,)), JSON),
    "report": Reader(file("document.json", report_page), cache(s.report_seeds), JSON),
    "ledger": Reader(file("measurements.jsonl", ledger), cache(s.ledger_seeds), JSON),
    "metrics": Reader(file("metrics.jsonl", metrics, folder=True), cache(s.ledger_seeds), (m.some_lines, *JSON)),
    "experiment": Reader(
        file("plan.json", experiment, folder=True), cache(partial(s.experiment_seeds, "plan.json")), JSON
    ),
    "run.json": Reader(file("run.json", run_record, folder=True), cache(partial(s.experiment_seeds, "run.json")), JSON),
    "result.json": Reader(file("result.json", run_result, folder=True), literal((s.RESULT,)), JSON),
    "step": Reader(file("times.json", step), literal((s.STEP,)), JSON),
    "checkpoint": Reader(file("checkpoint-a.pt", checkpoint), cache(s.checkpoint_seeds), BYTES),
    "search-folder": Reader(file("search.db", search_folder, folder=True), cache(s.search_seeds), BYTES),
    "search-config": Reader(search_config, literal((s.SEARCH_CONFIG,)), JSON),
    "command": Reader(command, literal(s.COMMANDS), WORDS),
    "lab": Reader(lab, literal(s.LAB), WORDS),
}
