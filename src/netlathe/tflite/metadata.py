"""What a .tflite file says of its images and classes, in the form that phones' libraries read.

https://github.com/google-ai-edge/mediapipe/blob/master/mediapipe/tasks/metadata/metadata_schema.fbs: a flatbuffer in
the buffer TFLITE_METADATA, and the labels as a file of a zip archive that is appended to the model.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from netlathe.tflite.schema import Byte, TableOffset, TfliteModel, UByte, UInt, numbers_vector, offsets, table, text

BUFFER, IDENTIFIER, PARSER = "TFLITE_METADATA", b"M001", "1.0.0"
LABELS = "labels.txt"  # one class a line
NORMALISATION, IMAGE, FEATURE = 1, 2, 1  # kinds in the unions of the schema
AXIS_LABELS = 2
COLOURS = {3: 1, 1: 2}  # RGB, grey
DATE = (1980, 1, 1, 0, 0, 0)  # of a file in the archive: equal models are equal files


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is said of a model: its classes, and the mean and deviation, by channel, that pixels of 0 to 1 are given."""

    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    licence: str = ""


def describe(model: TfliteModel, facts: ModelFacts) -> bytes:
    """The file of a model with its metadata, and its labels behind it."""
    content = replace(model, metadata={**model.metadata, BUFFER: encode(model, facts)}).serialize()
    if not facts.classes:
        return content
    stream = io.BytesIO()
    stream.write(content)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr(zipfile.ZipInfo(LABELS, DATE), "\n".join(facts.classes))
    return stream.getvalue()


def pixel_normalisation(model: TfliteModel, facts: ModelFacts) -> tuple[list[float], list[float]]:
    """(mean, std) of what a file takes: (pixel - mean) / std, then what the scale of its input makes of that.

    A file that takes pixels takes them as they are. One in int8 may have the normalisation in the scale of its input.
    """
    tensor = model.tensors[model.inputs[0]]
    scale = tensor.quantisation.scales[0] if tensor.quantisation else None
    if tensor.type != "float32" and scale == 1:
        return [0.0], [1.0]
    return [255 * x for x in facts.mean], [255 * x for x in facts.std]


def encode(model: TfliteModel, facts: ModelFacts) -> bytes:
    """The flatbuffer of a model's metadata."""
    import flatbuffers

    b = flatbuffers.Builder(1024)
    files = [table(b, {0: text(b, LABELS), 2: Byte(AXIS_LABELS)})] if facts.classes else []
    inputs = [image_metadata(b, model, i, facts) for i in model.inputs]
    outputs = [tensor_metadata(b, model, i, content(b, FEATURE, {}), {6: offsets(b, files)}) for i in model.outputs]
    graph = table(b, {0: text(b, model.name), 2: offsets(b, inputs), 3: offsets(b, outputs)})
    licence = {5: text(b, facts.licence)} if facts.licence else {}
    whole = {0: text(b, model.name), 3: offsets(b, [graph]), **licence, 7: text(b, PARSER)}
    b.Finish(table(b, whole), file_identifier=IDENTIFIER)
    return bytes(b.Output())


def image_metadata(b: Any, model: TfliteModel, number: int, facts: ModelFacts) -> int:
    """Write what is said of an input: an image with its normalisation, or plain features."""
    shape = model.tensors[number].shape
    if len(shape) != 4 or shape[-1] not in COLOURS:
        return tensor_metadata(b, model, number, content(b, FEATURE, {}), {})
    size = table(b, {0: UInt(shape[2]), 1: UInt(shape[1])})
    image = content(b, IMAGE, {0: Byte(COLOURS[shape[-1]]), 1: TableOffset(size)})
    if not facts.mean:
        return tensor_metadata(b, model, number, image, {})
    normalisation = [numbers_vector(b, values, "<f4") for values in pixel_normalisation(model, facts)]
    unit = table(b, {0: UByte(NORMALISATION), 1: TableOffset(table(b, dict(enumerate(normalisation))))})
    return tensor_metadata(b, model, number, image, {4: offsets(b, [unit])})


def content(b: Any, kind: int, fields: Mapping[int, Any]) -> int:
    """Write what a tensor holds."""
    return table(b, {0: UByte(kind), 1: TableOffset(table(b, fields))})


def tensor_metadata(b: Any, model: TfliteModel, number: int, holds: int, fields: Mapping[int, Any]) -> int:
    """Write what is said of a tensor."""
    return table(b, {0: text(b, model.tensors[number].name), 3: TableOffset(holds), **fields})
