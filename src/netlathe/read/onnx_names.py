"""Names of ONNX: of operators with their domain, of types, and the path that a node has here."""

from __future__ import annotations

import onnx

Type = onnx.TensorProto
STANDARD = ("", "ai.onnx")
TYPES: dict[int, str] = {
    Type.FLOAT: "fp32", Type.FLOAT16: "fp16", Type.BFLOAT16: "bf16", Type.DOUBLE: "fp64",
    **{getattr(Type, name.upper()): name for name in (
        "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool", "int4", "uint4", "complex64",
        "complex128",
    )},
    **{kind: "fp8" for name, kind in Type.DataType.items() if name.startswith("FLOAT8")},
    **{kind: name.lower() for name, kind in Type.DataType.items() if name in ("INT2", "UINT2")},
    **{kind: "fp4" for name, kind in Type.DataType.items() if name.startswith("FLOAT4")},
}  # fmt: skip


def name_of(node: onnx.NodeProto) -> str:
    """An operator with its domain, but those of ONNX itself, and those that ONNX Runtime has in its own domain too."""
    if node.domain in STANDARD or (node.domain == "com.microsoft" and node.op_type in ALSO_MICROSOFT):
        return str(node.op_type)
    return f"{node.domain}::{node.op_type}"


ALSO_MICROSOFT = frozenset({"QuantizeLinear", "DequantizeLinear", "Trilu", "GridSample", "Range"})


def path_of(node: onnx.NodeProto, i: int) -> str:
    """The name of a node; torch's `/layer1/layer1.0/conv1/Conv` is layer1.0.conv1."""
    if not node.name.startswith("/"):
        return node.name or f"{node.op_type.lower()}{i}"
    parts: list[str] = []
    for part in node.name.strip("/").split("/"):
        if parts and part.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(part)
    return ".".join(parts[:-1]) if len(parts) > 1 and parts[-1] == node.op_type else ".".join(parts)
