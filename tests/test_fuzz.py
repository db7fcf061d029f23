"""Spoilt inputs: no reader crashes, hangs or eats the memory; it reads them or names the mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzed import READERS, survives

FUZZ = Path(__file__).parent.parent / "benchmarks" / "fuzz_readers.py"
# Refused all the same: files that do not exist, arrays of other names, another run.
REFUSED = {"net": 4, "space": 1, "search-table": 1, "run.json": 1}


@pytest.mark.parametrize("reader", list(READERS))
def test_a_valid_input_is_read(reader):
    seeds = READERS[reader].seeds()
    assert sum(not survives(reader, data) for data in seeds) == REFUSED.get(reader, 0)


def fuzz(*words, readers=""):
    """The exit code and the output of the script, where `readers` may put other readers in place."""
    program = f"import sys; sys.path[:0] = {[str(FUZZ.parent), str(Path(__file__).parent)]!r}\n{readers}\n"
    program += "import fuzz_readers; sys.exit(fuzz_readers.main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_a_share_of_the_spoilt_inputs_of_every_reader_is_read_or_refused(tmp_path):
    count = 40 * len(READERS)
    code, output = fuzz("--inputs", str(count), "--folder", str(tmp_path))
    assert code == 0, output
    assert f"all{count:>23}" in output


@pytest.mark.parametrize(
    ("read", "column"),
    [
        ("1 / 0", "crashes"),
        ("os.abort()", "crashes"),
        ("os._exit(3)", "crashes"),
        ("any(iter(int, 1))", "hangs"),
        ("bytes(2 * 10**9)", "memory"),
    ],
)
def test_what_a_reader_must_not_do_is_counted_and_the_others_go_on(read, column, tmp_path):
    readers = f"""
import os, fuzzed, fuzz_readers
def bad(data):
    if data == b"3":
        {read}
fuzzed.READERS = {{"bad": fuzzed.Reader(bad, tuple, ())}}
fuzz_readers.spoilt_input = lambda name, seed, number: str(number).encode()
fuzz_readers.HANG_CPU_S = 0.3
"""
    code, output = fuzz("--inputs", "6", "--folder", str(tmp_path), readers=readers)
    assert code == 1, output
    row = dict(
        zip(("inputs", "taken", "crashes", "hangs", "memory"), output.split("\nall")[1].split()[:5], strict=True)
    )
    assert row == {"inputs": "6", "taken": "5", "crashes": "0", "hangs": "0", "memory": "0"} | {column: "1"}
    assert (tmp_path / "bad-0-3").read_bytes() == b"3"
    assert "repeat: python benchmarks/fuzz_readers.py --readers bad --seed 0 --first 3 --inputs 1" in output


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "a = " + "[" * 20_000])
@pytest.mark.parametrize("reader", ["arch", "card", "recipe"])
def test_deep_nesting_is_a_named_mistake(reader, text):
    assert not survives(reader, text.encode())


def test_what_atheris_found_stays_a_named_mistake():
    import onnx

    seed = READERS["onnx"].seeds()[0]

    def spoilt(change, data=seed):
        model = onnx.ModelProto.FromString(data)
        change(model)
        return model.SerializeToString()

    def flat_weight(model):  # a convolution whose weight has no axes
        conv = next(node for node in model.graph.node if node.op_type == "Conv")
        weight = next(t for t in model.graph.initializer if t.name == conv.input[1])
        del weight.dims[:]

    def no_result(model):
        del model.graph.node[0].output[:]

    def surplus_output(model):  # on which ONNX's own inference ends the process
        split = next(node for node in model.graph.node if node.op_type == "Split")
        split.output.append("surplus")

    for change in (flat_weight, no_result):
        assert not survives("onnx", spoilt(change))
    assert not survives("onnx", spoilt(surplus_output, READERS["onnx"].seeds()[2]))
    for name in (b"input", b".weight"):  # names that are no text: read or refused, but nothing else
        survives("onnx", seed.replace(name, name[:-2] + b"\xd7t"))
    survives("onnx", READERS["onnx"].seeds()[2].replace(b"attend", b"atten\xd7"))


PLAN = {"networks": [], "recipes": [], "fractions": [], "seeds": [], "settings": {}, "facts": {}}
RUN = {"network": "a", "recipe": "b", "fraction": 1.0, "seed": 0}
SEARCH = {"space": "macro", "strategy": "random", "evaluations": 9}


def respelt(old, new):
    """An npz file of images, where the headers of its arrays say something else."""
    return READERS["npz"].seeds()[0].replace(old, new)


@pytest.mark.parametrize(
    ("reader", "data"),
    [
        ("net", b"[" * 100_000),
        ("experiment", PLAN | {"runs": [RUN | {"folder": 7}]}),
        ("experiment", PLAN | {"runs": [RUN | {"folder": "/etc"}]}),
        ("search-config", SEARCH | {"objective": [["kind", "proxy"]]}),
        ("search-config", SEARCH | {"objective": {"kind": "proxy"}}),
        ("search-config", SEARCH | {"objective": {"kind": "proxy", "name": "naswot"}, "surplus": 1}),
        ("report", {"schema": "netlathe.cost/1", "data": {}, "warnings": 1.5}),
        ("npz", respelt(b"(12, 4, 4, 3)", b"(12, 4, 4, 3 ")),
        ("npz", respelt(b"(12, 4, 4, 3)", b"(10**400, 4,)")),
        ("npz", respelt(b"(12, 4, 4, 3), }    ", b"(12, 4, 4, False), }")),
        ("npz", respelt(b"'|u1'", b"'|,' ")),
        ("npz", respelt(b"|u1", b"|V1")),
    ],
)
def test_what_this_fuzzer_met_first_stays_a_named_mistake(reader, data):
    assert not survives(reader, data if isinstance(data, bytes) else json.dumps(data).encode())


@pytest.mark.parametrize(
    ("reader", "data"),
    [
        ("metrics", b"\xff\n" + b"[" * 100_000 + b"\n"),
        ("ledger", b"\xff\n" + b"[" * 100_000 + b"\n"),
        ("labels", b"path,label\n" + b"1" * 5000 + b",x\na.png,y\n"),
    ],
)
def test_lines_of_which_some_are_none_are_read(reader, data):
    assert survives(reader, data)
