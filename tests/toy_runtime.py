"""A runtime in one file, as somebody who is not Netlathe adds one: ONNX Runtime without its graph optimisations.

The tests name this file in NETLATHE_RUNTIMES; every process of Netlathe loads it from there.
"""

from netlathe.runtimes.base import Runtime
from netlathe.runtimes.fusion import fusion
from netlathe.runtimes.registry import register


def open_plain(model, options):
    """One operator after the other, none fused."""
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return lambda xs: session.run(None, dict(zip(names, xs, strict=True)))[0]


register(
    Runtime(
        name="toy",
        title="Toy",
        aliases=("plaything",),
        package="onnxruntime",
        module="onnxruntime",
        open=open_plain,
        as_written=True,
        fusion=fusion("", False, "nothing is fused"),
    )
)
