"""Valid inputs of every reader that is fuzzed: small, and of every form that the reader knows."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path
from typing import Any

NETS = (b"resnet18:width=32", b"mobilenetv1:alpha=0.5", b"resnet20:width=8", b"lenet5", b"regnet*", b"vit_tiny_patch16",
        b"resnext50_32x4d:groups=16,group_width=8", b"resnet50:classes=10", b"nothing.json", b"a/b.onnx",
        b"file.py:name", b"package.module:name")  # fmt: skip
SPACES = (b"macro", b"nb201", b"around:resnet20", b"around:mobilenetv1:alpha=0.5", b"regnet", b"ofa:classes=10",
          b"darts:width=8", b"file.py:space")  # fmt: skip
QUANTITIES = (b"latency 15ms", b"time 1.5h", b"size 20MB", b"size 4 MiB", b"macs 600M", b"macs 1.5G",
              b"shape 3x224x224", b"shape 8x8", b"time 1e3 s")  # fmt: skip
SETTINGS = (b"optimiser.lr=0.1", b"optimiser.betas=[0.9, 0.99]", b"batch=16", b"optimiser.name=lamb",
            b"evaluate.crop=0.9", b"augment.pad=2", b"base=none", b"resolution=128")  # fmt: skip
MEASURED = (b"resnet18", b"resnet34", b"lenet5", b"mobilenetv2", b"vgg11", b"alexnet")
LATENCIES = (
    b"network,runtime,threads,precision,latency_ms\n"
    + b"".join(b"%s,onnxruntime,1,fp32,%d.5\n" % (name, i) for i, name in enumerate(MEASURED)),
)
ACCURACIES = (b"file,accuracy,resolution\na.onnx,71.5,224\nb/c.onnx,70,160\n", b"file,accuracy\na.onnx,70\n")
LIMITS = (b'latency = "10ms"\nsize = "8MB"\nmemory = "64MB"\nmacs = "300M"\naccuracy = 0.9\n',)
LABELS = (
    b"path,label\na.png,cat\nb.png,dog\nsub/c.png,cat\n",
    b"path\tlabel\tsplit\na.png\tx\ttrain\nb.png\ty\ttrain\n",
)
CARD = (
    b'{"schema": "netlathe.modelcard/1", "name": "a", "made": "2026-01-02", "classes": ["x", "y"], '
    b'"network": {"params": 1}, "files": {"model.onnx": "00"}, "accuracy": {"hits": 1, "images": 2, "share": 0.5}}'
)
RESULT = b'{"schema": "netlathe.run/1", "network": "a", "validation": 0.5, "test": null, "seconds": 3.5}'
STEP = b'{"step": "times", "seconds": 0.1, "result": {"search_s": null, "rung_epochs": 1.0}}'
SEARCH_CONFIG = (
    b'{"space": "macro", "strategy": "random", "options": {}, "evaluations": 9, '
    b'"objective": {"kind": "proxy", "name": "naswot"}}'
)
COMMANDS = (
    b"cost resnet18:width=32 --batch 4", b"cost lenet5 --json --by op", b"arch lenet5 --json", b"zoo resnet* --json",
    b"reshape resnet20 --width 0.5", b"reshape resnet18 --factor separable --json", b"device show rpi-5",
    b"device roofline lenet5 --device rpi-5 --precision fp16", b"device why lenet5 --device rpi-5 --batch 2",
    b"device micro mobilenetv1_025 --device stm32f746", b"compare lenet5 lenet5_modern --no-latency --diff",
    b"recipe show digits", b"recipe diff digits small", b"advise --latency 10ms --device rpi-5",
    b"choose --device rpi-5 --latency 10ms --networks resnet*",
)  # fmt: skip
LAB = (
    b"net=resnet50&width=0.75&device=rpi-5&latency=15ms&batch=4&step=2\nHost: 127.0.0.1:80\nOrigin: http://127.0.0.1:80",
    b"net=lenet5&macs=1M&run=ncnn/fp16/4\nHost: localhost\nSec-Fetch-Site: same-origin",
)


def arch_seeds() -> tuple[bytes, ...]:
    from netlathe import zoo
    from netlathe.arch.document import to_json

    names = ("lenet5", "mobilenetv1_025", "resnet18", "unet", "googlenet")
    return tuple(to_json(zoo.get(name)).encode() for name in names)


def onnx_seeds() -> tuple[bytes, ...]:
    """Networks whose weights have shapes, but no numbers, and a model with a function and a branch."""
    from netlathe import zoo
    from netlathe.lower.onnx import to_onnx

    models = []
    for name in ("lenet5_modern", "mobilenetv2_035", "vit_tiny_patch16"):
        model = to_onnx(zoo.get(name))
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) > 256:
                tensor.ClearField("raw_data")
        models.append(model)
    return tuple(bytes(model.SerializeToString()) for model in (*models, branching_model()))


def branching_model() -> Any:
    """If(x's rank == 4, Relu(x), Twice(x)), where Twice is a function of the file."""
    from onnx import TensorProto, helper

    shape = (1, 3, 8, 8)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    branches = [
        helper.make_graph(
            [helper.make_node(kind, ["x"], [out], domain=domain)],
            out,
            [],
            [helper.make_tensor_value_info(out, TensorProto.FLOAT, shape)],
        )
        for kind, out, domain in (("Relu", "a", ""), ("Twice", "b", "own"))
    ]
    condition = helper.make_tensor("condition", TensorProto.BOOL, (), [True])
    nodes = [
        helper.make_node("Constant", [], ["if"], value=condition),
        helper.make_node("If", ["if"], ["z"], then_branch=branches[0], else_branch=branches[1]),
        helper.make_node("Twice", ["z"], ["y"], domain="own"),
    ]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    twice = helper.make_function("own", "Twice", ["p"], ["q"], [helper.make_node("Add", ["p", "p"], ["q"])], opsets[:1])
    return helper.make_model(
        helper.make_graph(nodes, "branching", [x], [y]), functions=[twice], opset_imports=opsets, ir_version=9
    )


def safetensors_seeds() -> tuple[bytes, ...]:
    import numpy as np
    from safetensors.numpy import save

    arrays = {"c1.conv.weight": np.ones((2, 1, 3, 3), np.float32), "c1.conv.bias": np.zeros(2, np.float16)}
    return (save(arrays, metadata={"license": "MIT"}), save({"x": np.arange(3)}))


def pickle_seeds() -> tuple[bytes, ...]:
    import torch

    made = io.BytesIO()
    torch.save({"state_dict": {"weight": torch.ones(2, 2), "bias": torch.zeros(2)}, "epoch": 3}, made)
    old = io.BytesIO()
    torch.save({"weight": torch.ones(2)}, old, _use_new_zipfile_serialization=False)
    return made.getvalue(), old.getvalue()


def card_seeds() -> tuple[bytes, ...]:
    from netlathe.device.card import FOLDER

    return tuple(path.read_bytes() for path in sorted(FOLDER.glob("*.toml")))


def recipe_seeds() -> tuple[bytes, ...]:
    from netlathe.train import recipefile

    return tuple(path.read_bytes() for path in sorted((Path(recipefile.__file__).parent / "recipes").glob("*.toml")))


def run_toml_seeds() -> tuple[bytes, ...]:
    from netlathe.fit.config import FitConfig
    from netlathe.train.recipefile import load

    config = FitConfig(data="photos", budget={"latency": "10ms", "size": "8MB"}, recipe=load("small"), seconds=60.0)
    with tempfile.TemporaryDirectory() as folder:
        config.write(Path(folder))
        return ((Path(folder) / "run.toml").read_bytes(),)


def image_seeds() -> tuple[bytes, ...]:
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (9, 12, 3), np.uint8)
    kinds = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO")
    made = [io.BytesIO() for _ in kinds]
    for kind, file in zip(kinds, made, strict=True):
        Image.fromarray(pixels).save(file, kind)
    deep = io.BytesIO()
    Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 200).save(deep, "PNG")
    return tuple(file.getvalue() for file in (*made, deep))


def npz_seeds() -> tuple[bytes, ...]:
    import numpy as np

    labels = np.arange(12) % 3
    made = [io.BytesIO() for _ in range(2)]
    np.savez(made[0], images=np.zeros((12, 4, 4, 3), np.uint8), labels=labels)
    names = {"x_train": np.zeros((12, 4, 4)), "y_train": labels, "x_test": np.ones((12, 4, 4)), "y_test": labels}
    np.savez_compressed(made[1], **names)
    return tuple(file.getvalue() for file in made)


def idx_seeds() -> tuple[bytes, ...]:
    """The images of an idx file, raw and packed; its labels lie beside it."""
    import gzip

    raw = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (12, 4, 4)) + bytes(192)
    return raw, gzip.compress(raw)


def package_seeds() -> tuple[bytes, ...]:
    from deployed import colours

    with tempfile.TemporaryDirectory() as folder:
        colours(Path(folder))
        return ((Path(folder) / "package.json").read_bytes(),)


def report_seeds() -> tuple[bytes, ...]:
    """What --json of some verbs prints."""
    commands = ("cost lenet5", "compare lenet5 lenet5_modern --no-latency", "device roofline lenet5 --device rpi-5",
                "device why lenet5 --device rpi-5", "zoo")  # fmt: skip
    return tuple(printed([*command.split(), "--json"])[1].encode() for command in commands)


def ledger_seeds() -> tuple[bytes, ...]:
    from benched import record

    lines = [json.dumps(record(batch=batch).to_json()).encode() for batch in (1, 8)]
    return (lines[0] + b"\n", b"\n".join(lines))


def experiment_seeds(name: str) -> tuple[bytes, ...]:
    """A file of the folder of an experiment."""
    from experiments import study_of

    from netlathe.train.experiment.grid import save_experiment

    with tempfile.TemporaryDirectory() as folder:
        save_experiment(study_of(), Path(folder))
        return ((Path(folder) / name).read_bytes(),)


def checkpoint_seeds() -> tuple[bytes, ...]:
    import hashlib

    body = pickle_seeds()[0]
    return (hashlib.sha256(body).hexdigest().encode() + b"\n" + body,)


def search_seeds() -> tuple[bytes, ...]:
    from searchable import wish

    from netlathe.search.run import search

    with tempfile.TemporaryDirectory() as folder:
        search(wish(evaluations=8), Path(folder))
        return ((Path(folder) / "search.db").read_bytes(),)


def printed(words: list[str]) -> tuple[int, str]:
    """The exit code of a command line, and what it printed."""
    from netlathe.cli.main import run

    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = run(words)
    return code, out.getvalue()
