"""A torch module as an ONNX model: by torch's own exporter, compared with the module before anybody gets it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from netlathe.errors import NetlatheError

OPSET = 17
ERROR = "netlathe.export_error"  # in the file's metadata: what it was compared to
TOLERANCE = 1e-3  # of the largest output, float32: sums in another order, through a hundred layers


def export_module(module: nn.Module, name: str, inputs: tuple[torch.Tensor, ...], *, free: bool) -> onnx.ModelProto:
    """The model of a module at inference for inputs of these shapes; `free` leaves the batch axis free, as `N`.

    The exporter is the older one, which takes a second or two and fuses batch norms. Raises NetlatheError where it
    fails, and where the file does not compute what the module computes.
    """
    buffer, training = io.BytesIO(), module.training
    names = [f"input{i}" if i else "input" for i in range(len(inputs))]
    axes = {key: {0: "N"} for key in (*names, "output")} if free else None
    try:
        with warnings.catch_warnings(), without_log():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                inputs,
                buffer,  # type: ignore[arg-type]  # the older exporter writes into it
                dynamo=False,
                opset_version=OPSET,
                input_names=names,
                output_names=["output"],
                dynamic_axes=axes,
            )
        model = onnx.load_from_string(buffer.getvalue())
        if free:
            free_reshapes(model, len(inputs[0]))
        error = export_error(module, inputs, model)
        if not error <= TOLERANCE:
            raise NetlatheError(
                f"torch exports {name} as a file whose output differs from the module's by {error:.1e} (relative)",
                code="deploy.parity",
                hint="its forward branches on values or draws random numbers"
                + (", or takes the batch for a constant: x.shape[0] is traced, len(x) is not" if free else ""),
            )
        entry = model.metadata_props.add()
        entry.key, entry.value = ERROR, f"{error:.3g}"
    except NetlatheError:
        raise
    except Exception as error:  # whatever its own forward or the exporter raises
        first = next(iter(str(error).strip().splitlines()), "")
        raise NetlatheError(
            f"{name} is a torch module that torch cannot export: {type(error).__name__}: {first}",
            code="read.export",
            hint="export it to ONNX in your own way, and give the file",
        ) from error
    finally:
        module.train(training)
    return model


def free_reshapes(model: onnx.ModelProto, batch: int) -> None:
    """Let reshapes keep the batch that arrives, where the forward said len(x): that is a number in the trace."""
    shapes = {node.input[1] for node in model.graph.node if node.op_type == "Reshape"}
    constants = [one for one in model.graph.initializer if one.name in shapes] + [
        node.attribute[0].t
        for node in model.graph.node
        if node.op_type == "Constant" and node.output[0] in shapes and node.attribute[0].name == "value"
    ]
    for constant in constants:
        shape = numpy_helper.to_array(constant)
        if shape.ndim == 1 and len(shape) > 1 and shape[0] == batch:
            name = constant.name
            constant.CopyFrom(numpy_helper.from_array(np.array([0, *shape[1:]], np.int64), name))  # 0: as it arrives


@contextmanager
def without_log() -> Iterator[None]:
    """While it holds, the exporter does not print the whole graph on stdout where it fails.

    Its switch for that (`verbose`) does nothing: torch 2.13 asks a function for its truth instead of calling it.
    """
    log = torch._C._jit_onnx_log
    torch._C._jit_onnx_log = lambda *words: None
    try:
        yield
    finally:
        torch._C._jit_onnx_log = log


def transpose_matrices(graph: Any, x: Any) -> Any:
    """x.mT, which the exporter does not know."""
    *others, rows, columns = range(x.type().dim())
    return graph.op("Transpose", x, perm_i=[*others, columns, rows])


torch.onnx.register_custom_op_symbolic("aten::mT", transpose_matrices, 9)  # type: ignore[attr-defined]


def export_error(module: nn.Module, inputs: tuple[torch.Tensor, ...], model: onnx.ModelProto) -> float:
    """The largest difference between ONNX Runtime's output and the module's for a random image, relative.

    0 where the module gives anything but one tensor: nothing is claimed of it.
    """
    from netlathe.lower.agreement import OutputProbe, difference

    generator = torch.Generator().manual_seed(0)
    xs = [torch.randn((1, *x.shape[1:]), generator=generator) if x.is_floating_point() else x[:1] for x in inputs]
    with torch.no_grad():
        y = module(*xs)
    if not isinstance(y, torch.Tensor):
        return 0.0
    probe = OutputProbe(tuple(np.asarray(x) for x in xs), y.float().numpy())
    try:
        return difference(model.SerializeToString(), probe)
    except Exception:  # of ONNX Runtime: it does not run, perhaps for the batch of the trace is in it
        return inf
