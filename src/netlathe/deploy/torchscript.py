"""A network as TorchScript: its torch module traced, frozen, and compared with ONNX Runtime.

An expression takes normalised images, any batch, as its ONNX file does.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from netlathe.arch.network import Network
from netlathe.errors import NetlatheError
from netlathe.lower.agreement import OutputProbe, difference
from netlathe.lower.inputs import examples
from netlathe.lower.onnx import to_onnx
from netlathe.lower.pretrained import TOLERANCE
from netlathe.lower.torch import to_torch
from netlathe.lower.weights import Array


class TracedModule(NamedTuple):
    """A TorchScript file, and how far ONNX Runtime is from it, in units of the largest output."""

    content: bytes
    relative_error: float


def trace(network: Network, weights: Mapping[str, Array]) -> TracedModule:
    """The file of an expression with weights by path.

    Raises NetlatheError where it computes something else than ONNX Runtime, for one image or for two.
    """
    import torch

    inputs = tuple(torch.from_numpy(np.array(x)) for x in examples(network))
    stream = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of traces, that shapes are constants
        traced = torch.jit.trace(to_torch(network, weights).eval(), inputs)  # type: ignore[no-untyped-call]
        torch.jit.save(torch.jit.freeze(traced), stream)
        again = torch.jit.load(io.BytesIO(stream.getvalue()))  # type: ignore[no-untyped-call]
        one, two = (again(*(x.repeat(n, *[1] * (x.ndim - 1)) for x in inputs)).numpy() for n in (1, 2))
    error = difference(to_onnx(network, weights).SerializeToString(), OutputProbe(examples(network), one))
    error = max(error, float(np.abs(two - np.repeat(one, 2, 0)).max() / (np.abs(one).max() or 1.0)))
    if not error <= TOLERANCE:
        raise NetlatheError(f"TorchScript differs from ONNX Runtime by {error:.1e}", code="export.check")
    return TracedModule(stream.getvalue(), error)
