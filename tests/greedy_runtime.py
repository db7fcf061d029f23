"""A runtime that asks for more memory than the machine has, in pieces that no system refuses one by one."""

from netlathe.process.limits import machine_memory
from netlathe.runtimes.base import Runtime
from netlathe.runtimes.fusion import fusion
from netlathe.runtimes.registry import register


def fill_memory():
    """Hold four thirds of the memory of the machine, untouched, as a file with a wrong size makes a runtime do."""
    import numpy as np

    return len([np.empty(machine_memory().data // 3, np.uint8) for _ in range(4)])


def open_greedy(model, options):
    """A model that fills the memory."""
    import numpy as np

    count = fill_memory()
    return lambda xs: np.zeros((1, count), np.float32)


if __name__ != "greedy_runtime":  # not where a test imports it
    register(
        Runtime(
            name="greedy",
            title="Greedy",
            package="onnxruntime",
            module="onnxruntime",
            open=open_greedy,
            as_written=True,
            fusion=fusion("", False, "nothing is fused"),
        )
    )
