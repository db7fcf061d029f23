"""The words of a device card: what a figure may be of, its units, its kinds, and the classes of devices."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias, get_args

from netlathe.units import BYTES

SCHEMA = "netlathe.card/1"
Kind: TypeAlias = Literal["datasheet", "derived", "measured", "unconfirmed"]
DeviceClass: TypeAlias = Literal[
    "datacentre gpu", "desktop gpu", "laptop gpu", "embedded gpu", "server cpu", "server cpu core", "desktop cpu",
    "laptop cpu", "single-board computer", "phone", "accelerator", "car computer", "microcontroller",
]  # fmt: skip
Processor: TypeAlias = Literal["cpu", "gpu", "accelerator", "microcontroller"]
Precision: TypeAlias = Literal["fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "int16", "int8", "int4"]
QuantityName: TypeAlias = Literal["peak", "bandwidth", "memory", "flash", "sram", "cache", "rate", "cores", "clock"]
PROCESSORS: dict[str, Processor] = {  # by class: what computes in such a device
    "datacentre gpu": "gpu", "desktop gpu": "gpu", "laptop gpu": "gpu", "embedded gpu": "gpu", "server cpu": "cpu",
    "server cpu core": "cpu", "desktop cpu": "cpu", "laptop cpu": "cpu", "single-board computer": "cpu", "phone": "cpu",
    "accelerator": "accelerator", "car computer": "cpu", "microcontroller": "microcontroller",
}  # fmt: skip
assert tuple(PROCESSORS) == get_args(DeviceClass)
ONE_CORE: DeviceClass = "server cpu core"  # the class whose figures are of a single core
PRECISIONS: tuple[str, ...] = get_args(Precision)
LEVELS = ("l1", "l2", "l3", "dram", "psram", "flash", "host", "link")
SCALE = {"GFLOP/s": 1e9, "GOP/s": 1e9, "GB/s": 1e9, "MMAC/s": 1e6, "cores": 1.0, "GHz": 1e9} | BYTES


class Quantity(NamedTuple):
    """What a figure may be of (nothing: any text) and its units."""

    of: tuple[str, ...]
    units: tuple[str, ...]


QUANTITIES: dict[str, Quantity] = {
    "peak": Quantity(PRECISIONS, ("GFLOP/s", "GOP/s")),
    "bandwidth": Quantity(LEVELS, ("GB/s",)),
    "memory": Quantity((), tuple(BYTES)),
    "flash": Quantity((), tuple(BYTES)),
    "sram": Quantity((), tuple(BYTES)),
    "cache": Quantity(("l1", "l2", "l3"), tuple(BYTES)),
    "rate": Quantity((), ("MMAC/s",)),
    "cores": Quantity((), ("cores",)),
    "clock": Quantity((), ("GHz",)),
}
assert tuple(QUANTITIES) == get_args(QuantityName)
