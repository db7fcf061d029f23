"""Builder: writes the ONNX nodes of one operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from netlathe.arch.graph import Op
from netlathe.lower.weights import tensor_name


class OnnxNodeBuilder:
    """Writes the nodes of one operator: `build("Relu", x)` adds a node and gives the name of its output."""

    def __init__(self, op: Op, xs: tuple[str, ...], batch: int | None) -> None:
        self.op, self.xs, self.batch = op, xs, batch
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.several(kind, 1, *inputs, **attributes)[0]

    def several(self, kind: str, count: int, *inputs: str, **attributes: Any) -> tuple[str, ...]:
        """A node with `count` outputs; their names."""
        name = f"{self.op.path}:{len(self.nodes) + 1}"
        names = (name, *(f"{name}:{i}" for i in range(1, count)))
        while not inputs[-1]:  # an absent tensor at the end goes unsaid
            inputs = inputs[:-1]
        self.nodes.append(onnx.helper.make_node(kind, inputs, names, name, **attributes))
        return names

    def weight(self, name: str) -> str:
        """The name of a weight or buffer, empty where the operator has none of that name."""
        exists = name in self.op.weights or name in self.op.buffers
        return tensor_name(self.op.path, name) if exists else ""

    def constant(self, values: Any, dtype: type = np.float32) -> str:
        """The name of a new constant."""
        name = f"{self.op.path}:c{len(self.constants) + 1}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def ints(self, *values: int) -> str:
        """The name of a new row of whole numbers: axes, shapes, pads."""
        return self.constant(values, np.int64)

    def reshape(self, x: str, *shape: int) -> str:
        """x in another shape: 0 keeps the size of an axis, -1 is what remains."""
        return self("Reshape", x, self.ints(*shape))

    def finish(self, y: str, name: str) -> None:
        """Let the last node write the value `name` and carry the operator's path."""
        if not self.nodes:
            self("Identity", y)
        last = self.nodes[-1]
        last.name, last.output[0] = self.op.path, name
