"""Files that nobody here wrote: each gets an answer or a named error, in little memory, and steers no terminal."""

import json
import os
import subprocess
import sys

import hostile
import pytest
from command import NETLATHE, command, netlathe

from netlathe import zoo
from netlathe.arch.document import to_json
from netlathe.arch.graph import MOST_OPERATORS

GIGABYTE = 1 << 30
PATIENCE_S = 600  # a guard; no test depends on it


def limited(*words, memory=3 * GIGABYTE, stdout=subprocess.PIPE, **options):
    """A command in a process of its own that cannot take more memory."""
    import resource

    return subprocess.run(
        [NETLATHE, *map(str, words)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
        check=False,
        **options,
    )


def said(*words, **options):
    """What a command that is refused prints: one error, exit code 2, no traceback."""
    done = netlathe(*words, code=2, **options)
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    return done.stderr


# ONNX files


@pytest.mark.parametrize("depth", [31, 95])
def test_nested_functions_are_counted_before_they_are_expanded(tmp_path, depth):
    file = hostile.saved(hostile.nested(depth), tmp_path / "nested.onnx")
    assert f"more than {MOST_OPERATORS:,} operators once its functions are expanded" in said("cost", file)


def test_functions_that_are_few_once_expanded_are_read(tmp_path):
    file = hostile.saved(hostile.nested(6), tmp_path / "nested.onnx")
    document = json.loads(netlathe("cost", file, "--by", "op", "--json").stdout)
    assert len(document["data"]["rows"]) == 2**5


def test_very_deep_calls_of_functions_are_refused(tmp_path):
    file = hostile.saved(hostile.nested(5000, times=1), tmp_path / "deep.onnx")
    assert "call each other more than 100 deep" in said("cost", file)


@pytest.mark.parametrize("verb", ["cost", "bench", "compare"])
def test_recursive_functions_are_named(tmp_path, verb):
    file = hostile.saved(hostile.recursive(), tmp_path / "recursive.onnx")
    words = [verb, file, *(["lenet5"] if verb == "compare" else [])]
    assert "functions of this file are recursive: a calls b calls a" in said(*words)


def test_a_file_with_more_operators_than_any_network_is_refused_by_its_size(tmp_path, monkeypatch):
    from netlathe.read import onnx_model

    file = hostile.saved(hostile.chain(60), tmp_path / "chain.onnx")
    assert netlathe("cost", file, "--by", "op")
    monkeypatch.setattr(onnx_model, "MOST_OPERATORS", 59)
    assert "this file is too large: more than 59 operators" in said("cost", file)


def test_time_and_memory_are_linear_in_operators(tmp_path):
    """In steps of the interpreter, not of a clock."""

    def steps(count):
        file, ran = hostile.saved(hostile.chain(count), tmp_path / f"{count}.onnx"), [0]

        def trace(frame, event, argument):
            ran[0] += 1
            return trace

        sys.settrace(trace)
        try:
            done = command("cost", file)
        finally:
            sys.settrace(None)
        assert done.returncode == 0
        return ran[0]

    command("cost", hostile.saved(hostile.chain(2), tmp_path / "warm.onnx"))
    few, many = steps(3000), steps(6000)
    assert many < 2.3 * few


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("/etc/passwd", "an absolute path"),
        ("../secret.bin", "outside of its folder"),
        ("a/../../secret.bin", "outside of its folder"),
        ("..\\secret.bin", "outside of its folder"),
        ("C:\\secret.bin", "an absolute path"),
        ("link.bin", "a link to elsewhere"),
        ("inside/secret.bin", "a link to elsewhere"),
        ("pipe.bin", "which is no regular file"),
        (".", "which is no regular file"),
        ("", "which names no file"),
        ("a\0b", "which names no file"),
    ],
)
@pytest.mark.parametrize("verb", ["cost", "bench"])
def test_external_data_lies_beside_the_model_or_is_refused(tmp_path, location, why, verb):
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(36))
    (folder / "link.bin").symlink_to("/dev/zero")
    (folder / "inside").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.bin")
    file = hostile.saved(hostile.with_data_at(location), folder / "model.onnx")
    error = said(verb, file)
    assert "the data of 'w' is in" in error
    assert why in error


def test_external_data_beside_the_model_is_counted_and_run(tmp_path):
    file = hostile.saved(hostile.with_data_at("data.bin"), tmp_path / "model.onnx")
    assert netlathe("cost", file)  # without its data
    (tmp_path / "data.bin").write_bytes(bytes(36))
    assert netlathe("bench", file, "--seconds", "0.05", NETLATHE_CACHE=str(tmp_path / "cache"))


def test_a_constant_that_would_be_huge_is_not_computed(tmp_path):
    from onnx import TensorProto, helper

    shape = helper.make_tensor("shape", TensorProto.INT64, [1], [1 << 40])
    nodes = [
        helper.make_node("Identity", ["shape"], ["s"]),
        helper.make_node("ConstantOfShape", ["s"], ["big"]),
        helper.make_node("Relu", ["x"], ["y"]),
    ]
    file = hostile.saved(hostile.model_of(nodes, tensors=[shape]), tmp_path / "constant.onnx")
    assert limited("cost", file).returncode in (0, 2)


# Names steer no terminal


@pytest.mark.parametrize("words", [("--by", "op"), ()])
def test_names_reach_the_terminal_as_words(tmp_path, words):
    file = hostile.saved(hostile.named(hostile.EVIL), tmp_path / "evil.onnx")
    out = netlathe("cost", file, *words).stdout
    assert not [control for control in hostile.CONTROLS if control in out]
    assert "\\x1b[31mred\\x1b]0;title" in out
    assert "\\nerror: fake" in out  # a line break in a name breaks no line
    assert "[red]x[/red]" in out  # and what rich would take for a colour is none
    document = json.loads(netlathe("cost", file, *words, "--json").stdout)
    assert document["data"]["rows"][0]["path"] == hostile.EVIL


def test_a_name_in_an_error_is_words_on_its_line(tmp_path):
    model = hostile.named(hostile.EVIL)
    model.graph.node[0].op_type = "Strange" + hostile.EVIL
    file = hostile.saved(model, tmp_path / "evil.onnx")
    error = said("cost", file)
    assert not [control for control in hostile.CONTROLS if control in error]
    assert not [line for line in error.splitlines() if line.startswith("error: fake")]
    as_json = json.loads(netlathe("cost", file, "--json", code=2).stdout)
    assert as_json["error"]["path"] == hostile.EVIL


def test_a_title_is_no_markup(tmp_path):
    file = tmp_path / "[red]x[bold].json"
    file.write_text(to_json(zoo.get("lenet5").renamed("[red]x[/red]")))
    assert "[red]x[/red]" in netlathe("cost", file).stdout


def test_the_names_of_an_expression_are_one_line_of_text(tmp_path):
    file = tmp_path / "arch.json"
    document = json.loads(to_json(zoo.get("lenet5")))
    document["body"]["items"][0]["name"] = "\x1b[31m"
    file.write_text(json.dumps(document | {"name": "two\nlines"}))
    error = said("arch", file)
    assert "name: must be one line of text" in error
    assert "body: names must be one line of text" in error


def test_classes_and_files_of_images_are_words(tmp_path):
    from netlathe.train.images import load

    root = tmp_path / "shoes"
    for name in ("\x1b[31mboot", "san\ndal"):
        (root / name).mkdir(parents=True)
        for i in range(8):
            (root / name / f"\x1b]0;{i}\x07.png").write_bytes(hostile.png(len(name) * 10 + i))
        (root / name / "\x1b[2Jempty.png").write_bytes(b"")
    out = netlathe("inspect", root, NETLATHE_CACHE=str(tmp_path / "cache")).stdout
    assert not [control for control in hostile.CONTROLS if control in out]
    assert "\\x1b[31mboot" in out
    assert "san\\ndal" in out
    splits = load(root, size=8, cache=tmp_path / "other")
    assert splits.report.classes == ("\x1b[31mboot", "san\ndal")


def test_warnings_and_progress_pass_the_same_door(capsys):
    import logging

    import click

    from netlathe.cli.common import print_warnings
    from netlathe.cli.streams import escaped_output

    with escaped_output():
        print("\x1b[1mprinted", file=sys.stderr)
        click.echo("\x1b]0;echo\x07", err=True)
        logging.lastResort.handle(logging.LogRecord("x", logging.WARNING, "", 0, "\x9blogged", (), None))
        print_warnings(["a name\nof two lines"])
        print("\rbar", file=sys.stderr)
        print("\ttab")
    out, err = capsys.readouterr()
    assert not [control for control in hostile.CONTROLS if control in err]
    assert "\\x1b]0;echo\\x07\n" in err
    assert "\\x9blogged\n" in err
    assert "a name\\nof two lines\n" in err
    assert "\rbar\n" in err  # as other packages draw bars
    assert out == "\ttab\n"


# Documents


def lenet(**changes):
    return json.dumps(json.loads(to_json(zoo.get("resnet18"))) | changes)


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (lambda: lenet().replace('"depth": 2', f'"depth": {10**8}', 1), "body.items[1]", "repeats without end"),
        (lambda: lenet().replace('"depth": 2', f'"depth": {"9" * 5000}', 1), "body.items[1].depth", "5000 digits"),
        (lambda: lenet().replace('"depth": 2', f'"depth": {10**30}', 1), "body.items[1].depth", "too large"),
        (lambda: lenet(name="\ud800"), "name", "half of a character"),
        (lambda: lenet().replace('"depth": 2', '"depth": 2, "depth": 3', 1), "body.items[1].depth", "more than once"),
        (lambda: "[" * 100_000, "", "nested too deeply"),
        (lambda: lenet(body=json.loads("[" * 150 + "]" * 150)), "body[0]", "nested more than 100 deep"),
        (lambda: lenet(body={"kind": "seq", "items": [{"kind": f"no{i}"} for i in range(5000)]}), "", "and 4980 more"),
    ],
)
def test_an_arch_json_that_would_harm_is_named_with_its_place(tmp_path, text, where, what):
    file = tmp_path / "arch.json"
    file.write_text(text())
    error = said("cost", file)
    assert f"{where}" in error
    assert what in error
    assert max(map(len, error.splitlines())) < 600


def test_a_stage_in_a_stage_is_counted_as_often_as_it_repeats():
    from netlathe.arch.build import conv, seq, stage
    from netlathe.arch.graph import count_operators, graph
    from netlathe.errors import NetlatheError

    block = conv(8, 1)
    for _ in range(20):
        block = seq(a=stage(block, 1000))
    assert count_operators(block) == 3 * 1000**20
    with pytest.raises(NetlatheError, match="repeats without end"):
        graph(block, (3, 8, 8))


@pytest.mark.parametrize("verb", [("recipe", "show"), ("device", "check")])
@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 10_000 + "]" * 10_000,
        "a = " + "{b = " * 200 + "1" + "}" * 200,
        ".".join("a" * 10_000) + " = 1",
        "[" + ".".join("a" * 10_000) + "]\nb = 1",
        "epochs = " + "9" * 5000,
        "epochs = " + "9" * 50,
        "name = '\x1b[31m\x07'",
        'base = "./file.toml"',
        "\n".join(f"k{i} = 1" for i in range(2000)),
    ],
)
def test_a_toml_file_that_would_harm_is_named(tmp_path, verb, text):
    (tmp_path / "file.toml").write_text(text)
    error = said(*verb, "./file.toml", cwd=tmp_path)
    assert "\x1b" not in error
    assert len(error.splitlines()) < 60


@pytest.mark.parametrize("name", ["x.json", "x.onnx", "x.toml", "x.csv", "x.npz", "x.py:net", "x.pth", "x.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_only_regular_files_are_read(tmp_path, name, kind):
    """Reading a pipe would wait for ever, and a device has no end."""
    path = tmp_path / name.partition(":")[0]
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    target = tmp_path / name
    words = {
        ".toml": [
            ("recipe", "show", target),
            ("device", "check", target),
            ("cost", "lenet5", "--html", "x", "--device", target),
        ],
        ".csv": [("inspect", target)],
        ".npz": [("inspect", target)],
        ".pth": [("export", "resnet18", "--weights", target, "-o", tmp_path / "out")],
        ".safetensors": [("export", "resnet18", "--weights", target, "-o", tmp_path / "out")],
        ".json": [("cost", target), ("report", target)],
    }.get(path.suffix, [("cost", target)])
    for line in words:
        assert said(*line, NETLATHE_CACHE=str(tmp_path / "cache"))


def test_a_choice_is_given_once_and_is_a_number_that_can_be():
    assert "the choice width stands more than once" in said("cost", "mobilenetv1:width=2,width=3")
    assert "4000 digits is too large" in said("cost", f"mobilenetv1:alpha={'9' * 4000}")


def test_a_column_stands_once(tmp_path):
    (tmp_path / "images.csv").write_text("path,label,label\na.png,1,2\n")
    assert "the column label stands more than once" in said("inspect", tmp_path / "images.csv")


def test_a_cell_of_megabytes_is_refused(tmp_path):
    (tmp_path / "images.csv").write_text("path,label\na.png," + "x" * 10**6 + "\n")
    assert "field larger than field limit" in said("inspect", tmp_path / "images.csv")


@pytest.mark.parametrize("name", ["card.json", "package.json"])
def test_names_that_stand_twice_are_faults_of_every_document(tmp_path, name):
    (tmp_path / name).write_text('{"schema": 1, "a": {"b": 1, "b": 2}}')
    words = ("report", tmp_path) if name == "card.json" else ("predict", tmp_path, tmp_path / "x.png")
    assert "a.b: stands more than once" in said(*words)


# Images


def test_claims_of_archives_are_checked_before_there_is_room_for_them(tmp_path):
    words = {"NETLATHE_CACHE": str(tmp_path / "cache")}
    assert "211.1 TB" in said("inspect", hostile.npz_that_claims(tmp_path / "a.npz", 201_326_592), **words)
    assert "claims to have" in said("inspect", hostile.npz_that_claims(tmp_path / "b.npz", 1000), **words)
    assert "10.49 GB" in said("inspect", hostile.idx_that_claims(tmp_path / "idx", 10_000), **words)


def test_what_unpacks_to_more_than_is_allowed_is_named_and_the_limit_can_be_raised(tmp_path):
    folder = hostile.idx_that_claims(tmp_path / "idx", 2, data=bytes(2 << 20))
    cache = {"NETLATHE_CACHE": str(tmp_path / "cache"), "NETLATHE_ARRAYS_LIMIT": "1MB"}
    assert "NETLATHE_ARRAYS_LIMIT=20GB allows more" in said("inspect", folder, **cache)
    assert "can be held out for validation" in said("inspect", folder, **cache | {"NETLATHE_ARRAYS_LIMIT": "3MB"})


def test_traps_in_a_folder_of_images_are_skipped_by_name(tmp_path):
    root = hostile.folder_of_traps(tmp_path / "shoes")
    report = json.loads(netlathe("inspect", root, "--json", NETLATHE_CACHE=str(tmp_path / "cache")).stdout)["data"]
    reasons = {skipped["name"]: skipped["reason"] for skipped in report["skipped"]}
    deep = next(name for name in reasons if name.startswith("sandal/d/d/"))
    assert reasons.pop(deep) == "more than 32 folders deep"
    assert reasons.pop("boot/huge.png").startswith("more than")
    assert reasons == {
        "boot/zero.png": "it is a device",
        "boot/pipe.jpg": "it is a named pipe",
        "boot/socket.png": "it is a socket",
        "boot/up": "a link back to a folder that is read already",
        "again": "a link back to a folder that is read already",
    }
    assert report["classes"] == ["boot", "sandal"]
    assert sum(map(sum, report["counts"].values())) == 16


def test_a_trap_that_is_predicted_is_named(tmp_path):
    from netlathe.train.images.decode import UnreadableImage, read_image

    root = hostile.folder_of_traps(tmp_path / "shoes") / "boot"
    for name, why in {"pipe.jpg": "a named pipe", "zero.png": "a device", "up": "a folder"}.items():
        with pytest.raises(UnreadableImage, match=why):
            read_image(root / name)
