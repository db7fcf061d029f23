"""A .tflite file as C, and a program of TensorFlow Lite Micro that runs it: what is compiled into a microcontroller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

from netlathe.errors import NetlatheError
from netlathe.tflite.arena import head_bytes, tail_bytes
from netlathe.tflite.schema import Tensor, TfliteModel

COLUMNS = 12  # bytes in a line
SPARE = 1024  # bytes of the arena that are left over, for a kernel library that works in some memory
# How an operator is registered: https://github.com/tensorflow/tflite-micro, micro_mutable_op_resolver.h
REGISTERED = {
    "ADD": "Add",
    "AVERAGE_POOL_2D": "AveragePool2D",
    "BATCH_MATMUL": "BatchMatMul",
    "CONCATENATION": "Concatenation",
    "CONV_2D": "Conv2D",
    "COS": "Cos",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "DEQUANTIZE": "Dequantize",
    "DIV": "Div",
    "FULLY_CONNECTED": "FullyConnected",
    "GATHER": "Gather",
    "HARD_SWISH": "HardSwish",
    "LOGISTIC": "Logistic",
    "MAX_POOL_2D": "MaxPool2D",
    "MEAN": "Mean",
    "MUL": "Mul",
    "PAD": "Pad",
    "PADV2": "PadV2",
    "QUANTIZE": "Quantize",
    "RELU": "Relu",
    "RELU6": "Relu6",
    "RESHAPE": "Reshape",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighbor",
    "RSQRT": "Rsqrt",
    "SIN": "Sin",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SPLIT": "Split",
    "SQRT": "Sqrt",
    "SQUARED_DIFFERENCE": "SquaredDifference",
    "STRIDED_SLICE": "StridedSlice",
    "SUB": "Sub",
    "SUM": "Sum",
    "TANH": "Tanh",
    "TRANSPOSE": "Transpose",
    "TRANSPOSE_CONV": "TransposeConv",
}


def c_array(content: bytes) -> tuple[str, str]:
    """model_data.c and model_data.h: the bytes of a file, aligned as kernels read them."""
    rows = (content[i : i + COLUMNS] for i in range(0, len(content), COLUMNS))
    body = "\n".join("  " + " ".join(f"0x{byte:02x}," for byte in row) for row in rows)
    source = f'#include "model_data.h"\n\nalignas(16) const unsigned char model_data[] = {{\n{body}\n}};\n'
    source += f"const unsigned int model_data_len = {len(content)};\n"
    header = '#pragma once\n#include <stdalign.h>\n\n#ifdef __cplusplus\nextern "C" {\n#endif\n'
    header += "extern const unsigned char model_data[];\nextern const unsigned int model_data_len;\n"
    return source, header + "#ifdef __cplusplus\n}\n#endif\n"


def arena_size(model: TfliteModel) -> int:
    """The bytes of an arena in which a file runs for sure, rounded up to 1 KiB."""
    return -(-(head_bytes(model) + tail_bytes(model) + SPARE) // 1024) * 1024


def main_source(model: TfliteModel, classes: Sequence[str]) -> str:
    """main.cc: one image in, the most likely class out. Raises NetlatheError for an operator that cannot be had."""
    kinds = list(dict.fromkeys(op.kind for op in model.operators))
    refuse_missing(model.name, kinds)
    image, output = model.tensors[model.inputs[0]], model.tensors[model.outputs[0]]
    return MAIN.format(
        name=model.name,
        arena=arena_size(model),
        count=len(kinds),
        resolver="\n".join(f"    resolver.Add{REGISTERED[kind]}();" for kind in kinds),
        pixels=prod(image.shape),
        shape="x".join(map(str, image.shape[1:])),
        fill=FILLS[image.type],
        outputs=output.shape[-1],
        type=C_TYPES[output.type],
        classes=",\n".join(f"    {c_text(name)}" for name in classes),
    )


def missing_operators(kinds: Iterable[str]) -> list[str]:
    """Those that TensorFlow Lite Micro lacks."""
    return sorted(set(kinds) - set(REGISTERED))


def refuse_missing(name: str, kinds: Iterable[str]) -> None:
    """Raise NetlatheError for operators that TensorFlow Lite Micro lacks."""
    if missing := missing_operators(kinds):
        raise NetlatheError(
            f"TensorFlow Lite Micro has no {', '.join(missing)}, which {name} needs",
            code="tflite.micro",
            hint="a network with relu, relu6, hardswish or sigmoid has all it needs",
        )


def c_text(text: str) -> str:
    """A text as C has it; what is not ASCII in octal, since hexadecimal escapes have no end."""
    escaped = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in (34, 63, 92) else f"\\{byte:03o}" for byte in text.encode()
    )
    return f'"{escaped}"'


def describe_tensor(tensor: Tensor) -> str:
    """int8 1x96x96x3."""
    return f"{tensor.type} {'x'.join(map(str, tensor.shape))}"


C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "float32": "float"}
FILLS = {
    "int8": "input->data.int8[i] = (int8_t)(pixels[i] - 128);",
    "uint8": "input->data.uint8[i] = pixels[i];",
}
MAIN = """// {name} under TensorFlow Lite Micro: one image in, the most likely class out.
// Beside this file: model_data.c and model_data.h, and TensorFlow Lite Micro in the include path.
#include <cstdint>
#include <cstdio>

#include "model_data.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {{
constexpr int kArenaSize = {arena};  // what the values of this network and its records need, and 1 KiB
alignas(16) uint8_t arena[kArenaSize];
constexpr int kPixels = {pixels};  // {shape}, rows from the top, red green blue
constexpr int kClasses = {outputs};
const char* const kNames[] = {{
{classes}}};
}}  // namespace

// Yours: fill `pixels` from the camera, resized and cropped as package.json says.
extern "C" void read_image(uint8_t* pixels, int count);

int classify(const uint8_t* pixels) {{
  static tflite::MicroMutableOpResolver<{count}> resolver;
  static bool ready = false;
  if (!ready) {{
{resolver}
    ready = true;
  }}
  static tflite::MicroInterpreter interpreter(tflite::GetModel(model_data), resolver, arena, kArenaSize);
  static const bool allocated = interpreter.AllocateTensors() == kTfLiteOk;
  if (!allocated) return -1;
  TfLiteTensor* input = interpreter.input(0);
  for (int i = 0; i < kPixels; ++i) {fill}
  if (interpreter.Invoke() != kTfLiteOk) return -1;
  const {type}* scores = tflite::GetTensorData<{type}>(interpreter.output(0));
  int best = 0;
  for (int i = 1; i < kClasses; ++i) {{
    if (scores[i] > scores[best]) best = i;
  }}
  return best;
}}

int main() {{
  static uint8_t pixels[kPixels];
  read_image(pixels, kPixels);
  const int best = classify(pixels);
  std::printf("%s\\n", best < 0 ? "the network did not run" : kNames[best]);
  return best < 0;
}}
"""
