"""Deployed .tflite files: made of a package, checked in the interpreter of the device, and compiled as C."""

import shutil
import subprocess

import pytest

from netlathe import zoo
from netlathe.deploy.check import memory_bytes
from netlathe.deploy.export import arch_document, deployable_model
from netlathe.deploy.package import Package, Preprocessing, write_package
from netlathe.deploy.session import open_session
from netlathe.deploy.tflite import least_arena_bytes, with_c_sources
from netlathe.deploy.trial import random_images, time_int8
from netlathe.deploy.variants import choose_variant, runtimes_here
from netlathe.errors import NetlatheError
from netlathe.lower.initial import initial_weights
from netlathe.runtimes.agreement import compare_outputs
from netlathe.runtimes.quantise import Labelled
from netlathe.tflite.arena import head_bytes, tail_bytes
from netlathe.tflite.c_source import arena_size, c_array, c_text
from netlathe.tflite.parse import parse

NETWORK = zoo.get("mobilenetv1_025", resolution=32, classes=4)


@pytest.fixture(scope="module")
def images():
    """Random images with the classes that the float network gives them."""
    return random_images(48, 32, 3).pixels


@pytest.fixture
def package(tmp_path):
    """A package with the float file alone."""
    return float_package(tmp_path)


def float_package(folder):
    """The same in a folder."""
    steps = Preprocessing(
        resolution=32, crop=1.0, interpolation="bilinear", mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), channels=3
    )
    model = deployable_model(NETWORK, initial_weights(NETWORK, "he"), steps).SerializeToString()
    about = Package(arch=arch_document(NETWORK), classes=("a", "b", 'c"?', "ä"), preprocessing=steps, folder=folder)
    return write_package(about, {"model.onnx": model})


def labelled(package, pixels):
    """The images with what the float file says of them."""
    return Labelled(pixels, open_session(package).run(pixels).argmax(1))


def test_a_package_becomes_an_int8_file_that_litert_runs(package, images):
    expected = open_session(package).run(images)
    few = labelled(package, images[:40]), labelled(package, images[40:])
    chosen, (tried,) = choose_variant(package, *few, runtimes=["litert"], wanted="int8", measured=False)
    assert (chosen.runtime, chosen.model, tried.precision) == ("litert", "model.int8.tflite", "int8+fp32")
    assert compare_outputs(expected, open_session(chosen).run(images)).snr_db > 25
    assert set(chosen.files) == {"model.onnx", "model.int8.tflite"}


def test_a_float_file_of_litert_is_kept_because_it_is_exact(package, images):
    few = labelled(package, images[:4])
    chosen, _ = choose_variant(package, few, few, runtimes=["litert"], wanted="fp32", measured=False)
    assert chosen.model == "model.tflite"
    assert compare_outputs(open_session(package).run(images), open_session(chosen).run(images)).exact


@pytest.fixture(scope="module")
def deployed(images, tmp_path_factory):
    """The package of a microcontroller."""
    package = float_package(tmp_path_factory.mktemp("micro"))
    some = labelled(package, images)
    return choose_variant(package, some, some, runtimes=["tflm"], wanted="int8", measured=False)[0]


def test_a_package_becomes_an_int8_file_that_tensorflow_lite_micro_runs(deployed, images):
    expected = open_session(deployed.folder / "model.onnx").run(images)
    assert (deployed.runtime, deployed.model, deployed.precision) == ("tflm", "model.tflite", "int8+fp32")
    assert compare_outputs(expected, open_session(deployed).run(images)).snr_db > 25
    assert {"model.onnx", "model.tflite"} <= set(deployed.files)


def test_the_memory_of_a_microcontroller_is_the_arena_and_enough_of_it(deployed):
    model = parse(deployed.path.read_bytes())
    assert memory_bytes(deployed) == head_bytes(model) + tail_bytes(model)
    enough = memory_bytes(deployed)
    least = least_arena_bytes(deployed, int(0.9 * enough), enough, step=enough // 40)
    assert 0.95 * enough < least <= enough


STUBS = {
    "tensorflow/lite/micro/micro_interpreter.h": """#pragma once
#include <cstddef>
#include <cstdint>
enum TfLiteStatus { kTfLiteOk, kTfLiteError };
union TfLitePtrUnion { int8_t* int8; uint8_t* uint8; float* f; };
struct TfLiteTensor { TfLitePtrUnion data; };
namespace tflite {
struct Model;
struct MicroOpResolver {};
struct MicroInterpreter {
  MicroInterpreter(const Model*, const MicroOpResolver&, uint8_t*, size_t);
  TfLiteStatus AllocateTensors(); TfLiteStatus Invoke(); TfLiteTensor* input(size_t); TfLiteTensor* output(size_t);
};
template <class T> T* GetTensorData(TfLiteTensor*);
}
""",
    "tensorflow/lite/schema/schema_generated.h": """#pragma once
namespace tflite { const Model* GetModel(const void*); }
""",
}


def test_the_program_of_a_microcontroller_compiles(deployed, tmp_path):
    """Against headers that declare what TensorFlow Lite Micro declares; nothing is linked."""
    compiler = next(filter(None, map(shutil.which, ("arm-none-eabi-g++", "g++", "clang++"))), None)
    if compiler is None:
        pytest.skip("no C++ compiler here")
    package = with_c_sources(deployed)
    source = (package.folder / "main.cc").read_text()
    names = [line.split("resolver.")[1].split("(")[0] for line in source.splitlines() if "resolver.Add" in line]
    adds = " ".join(f"TfLiteStatus {name}();" for name in names)
    resolver = f"template <unsigned n> struct MicroMutableOpResolver : MicroOpResolver {{ {adds} }};"
    stubs = STUBS | {
        "tensorflow/lite/micro/micro_mutable_op_resolver.h": (
            f'#pragma once\n#include "micro_interpreter.h"\nnamespace tflite {{ {resolver} }}\n'
        )
    }
    for name, text in stubs.items():
        path = tmp_path / "stubs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    flags = ["-std=c++17", "-Wall", "-Werror", "-fsyntax-only", f"-I{tmp_path / 'stubs'}", f"-I{package.folder}"]
    done = subprocess.run([compiler, *flags, str(package.folder / "main.cc")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    c = ["-x", "c", "-std=c11", "-Wall", "-Werror", "-fsyntax-only", str(package.folder / "model_data.c")]
    done = subprocess.run([compiler, *c], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_file_as_c_is_the_file():
    source, header = c_array(b"TFL3\x00\xff")
    assert "0x54, 0x46, 0x4c, 0x33, 0x00, 0xff," in source
    assert "model_data_len = 6" in source
    assert "extern const unsigned char model_data[]" in header
    assert c_text('c"?\\ä') == '"c\\042\\077\\134\\303\\244"'


def test_the_arena_of_the_program_has_room_for_the_file(deployed):
    model = parse(deployed.path.read_bytes())
    assert arena_size(model) % 1024 == 0
    assert arena_size(model) >= memory_bytes(deployed)


def test_int8_of_litert_is_timed_before_anything_is_trained():
    m = time_int8(zoo.get("mobilenetv1_025", resolution=32), "litert", seconds=0.1)
    assert m.failure is None
    assert (m.runtime, m.precision) == ("litert", "int8+fp32")


def test_what_a_machine_tries_by_itself_is_what_it_runs(package):
    assert "litert" in runtimes_here(package)
    assert "tflm" not in runtimes_here(package)


def test_a_file_for_a_microcontroller_is_made_here_without_being_timed(package, images):
    some = labelled(package, images)
    chosen, (tried,) = choose_variant(package, some, some, runtimes=["tflm"], wanted="int8", measured=True)
    assert chosen.runtime == "tflm"
    assert tried.to_json()["latency_ms"] == [None, None, None]


def test_a_float_network_is_not_timed_on_a_microcontroller_that_is_not_here():
    from netlathe.bench.measure import measure

    with pytest.raises(NetlatheError, match="says nothing of a microcontroller"):
        measure([NETWORK], runtime="tflm", seconds=0.1)
