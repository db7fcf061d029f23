"""Files that were made to harm, built here, for the tests of readers: ONNX models, archives, folders."""

from __future__ import annotations

import gzip
import io
import os
import socket
import struct
import zipfile
from pathlib import Path

import onnx
from onnx import TensorProto, helper

FLOAT = TensorProto.FLOAT
OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
# Colour, title of the window, link, direction of writing, zero, line break, one byte control sequence.
EVIL = "\x1b[31mred\x1b]0;title\x07\x1b]8;;http://x\x1b\\link\u202edlrow\0\nerror: fake\x9b1m[red]x[/red]<script>"
CONTROLS = ("\x1b", "\x07", "\0", "\u202e", "\x9b")


def value(name: str) -> onnx.ValueInfoProto:
    """An image."""
    return helper.make_tensor_value_info(name, FLOAT, [1, 3, 8, 8])


def model_of(nodes, functions=(), tensors=()) -> onnx.ModelProto:
    """Nodes from x to y."""
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], list(tensors))
    return helper.make_model(graph, functions=list(functions), opset_imports=OPSETS)


def chain(count: int) -> onnx.ModelProto:
    """So many operators, one after the other."""
    names = ["x", *(f"v{i}" for i in range(1, count)), "y"]
    return model_of([helper.make_node("Relu", [names[i]], [names[i + 1]], name=f"n{i}") for i in range(count)])


def function(name: str, calls: list[str], domain: str = "f") -> onnx.FunctionProto:
    """A function that calls others one after the other."""
    names = ["x", *(f"v{i}" for i in range(1, len(calls))), "y"]
    nodes = [
        helper.make_node(call, names[i : i + 1], names[i + 1 : i + 2], domain=domain) for i, call in enumerate(calls)
    ]
    return helper.make_function("f", name, ["x"], ["y"], nodes, OPSETS)


def nested(depth: int, times: int = 2) -> onnx.ModelProto:
    """Functions, each of which calls the one before it several times."""
    functions = [function("f0", ["Relu"], ""), *(function(f"f{i}", [f"f{i - 1}"] * times) for i in range(1, depth))]
    return model_of([helper.make_node(f"f{depth - 1}", ["x"], ["y"], domain="f")], functions)


def recursive() -> onnx.ModelProto:
    """Two functions that call each other."""
    return model_of([helper.make_node("a", ["x"], ["y"], domain="f")], [function("a", ["b"]), function("b", ["a"])])


def named(name: str) -> onnx.ModelProto:
    """An operator of that name, with a weight of that name."""
    weight = helper.make_tensor(name, FLOAT, [3, 3, 1, 1], [0.5] * 9)
    return model_of([helper.make_node("Conv", ["x", name], ["y"], name=name)], tensors=[weight])


def with_data_at(location: str) -> onnx.ModelProto:
    """A convolution whose weight lies in another file."""
    weight = TensorProto(name="w", data_type=FLOAT, dims=[3, 3, 1, 1], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value=location)
    return model_of([helper.make_node("Conv", ["x", "w"], ["y"], name="conv")], tensors=[weight])


def saved(model: onnx.ModelProto, path: Path) -> Path:
    """The file of a model."""
    path.write_bytes(model.SerializeToString())
    return path


def npy_header(shape: tuple[int, ...], kind: str = "|u1") -> bytes:
    """The beginning of an array."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def npz_that_claims(path: Path, images: int) -> Path:
    """An archive whose images are said to be so many, and are none."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", npy_header((images, 1024, 1024)))
        archive.writestr("y.npy", npy_header((2,)) + b"\0\1")
    return path


def idx_that_claims(folder: Path, images: int, *, data: bytes = b"") -> Path:
    """A folder of idx files whose images are said to be so many, of 1024 x 1024."""
    folder.mkdir()
    head = struct.pack(">I3I", 0x803, images, 1024, 1024)
    with gzip.open(folder / "train-images-idx3-ubyte.gz", "wb") as file:
        file.write(head + data)
    (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 2) + b"\0\1")
    return folder


def png(colour: int, side: int = 8) -> bytes:
    """A small image."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (side, side), colour).save(file, "png")
    return file.getvalue()


def folder_of_traps(root: Path) -> Path:
    """Two classes of images, between which lie a device, a pipe, a socket, links back up, and folders without end."""
    for i, name in enumerate(("boot", "sandal")):
        (root / name).mkdir(parents=True)
        for k in range(8):
            (root / name / f"{k}.png").write_bytes(png(20 * k + i))
    (root / "boot" / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(root / "boot" / "pipe.jpg")
    # Names of sockets are short, so it is bound from within.
    before = Path.cwd()
    os.chdir(root / "boot")
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind("socket.png")
    finally:
        os.chdir(before)
    (root / "boot" / "up").symlink_to("..")
    (root / "again").symlink_to(".")
    deep = root / "sandal"
    for _ in range(200):
        deep = deep / "d"
        deep.mkdir()
    (root / "boot" / "huge.png").write_bytes(bomb())
    return root


def bomb() -> bytes:
    """The beginning of a PNG of 60,000 x 60,000."""
    import zlib

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(60_001)))]
    body = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body
