"""What every knob says of values that have no meaning."""

from __future__ import annotations

from dataclasses import replace
from math import gcd, isqrt

from netlathe.arch.joins import Select
from netlathe.arch.network import Network
from netlathe.arch.node import Node
from netlathe.arch.rewrite import walk
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError, ShapeError

LARGEST = 100  # of a factor; a depth beyond it would be counted for hours


def knob_error(knob: str, network: Network, why: str, hint: str = "") -> NetlatheError:
    """An error for a knob that has no meaning here, or a value that breaks something."""
    return NetlatheError(f"{network.name} has no {knob} to turn: {why}", code=f"knob.{knob}", hint=hint)


def positive(knob: str, value: float) -> None:
    """Refuse a factor that leaves nothing, or makes what nobody could build."""
    if not 0 < value <= LARGEST:
        what = "positive" if not value > LARGEST else f"at most {LARGEST}"
        raise NetlatheError(
            f"{knob} must be {what}, not {value:g}", code=f"knob.{knob}", hint=f"for example {knob}=0.5"
        )


def checked_body(knob: str, network: Network, body: Node, value: float) -> Network:
    """The network with another body, if shapes still fit. Raises NetlatheError with the place where they do not."""
    try:
        totals(body, network.input, *network.more)
    except (ShapeError, ValueError, ArithmeticError) as error:
        path = error.path if isinstance(error, ShapeError) else ""
        message = error.message if isinstance(error, ShapeError) else str(error)
        raise NetlatheError(
            f"{knob}={value:g} breaks {network.name}: {message}", code=f"knob.{knob}", path=path
        ) from None
    changed = replace(network, body=body)
    before = selected_channels(network)
    for path, channels in selected_channels(changed).items():
        if before.get(path, channels) != channels:
            raise NetlatheError(
                f"{knob}={value:g} would change what {network.name} computes: channels are selected by number from "
                f"{before[path]}, of which there would be {channels}",
                code=f"knob.{knob}",
                path=path,
                hint="Chunk(index, count) selects a part of whatever arrives (netlathe.arch.axes)",
            )
    return changed


def selected_channels(network: Network) -> dict[str, int]:
    """By path: the channels that arrive where some are selected by number."""
    if not any(isinstance(node, Select) for _, node in walk(network.body)):
        return {}
    return {op.path: op.in_shapes[0][0] for op in network.graph().ops if isinstance(op.leaf, Select)}


def divisors(*sizes: int) -> list[int]:
    """The numbers that divide all these axes of tensors, ascending; empty without axes.

    Takes as many steps as the square root of the largest one, which `graph.LONGEST_AXIS` bounds.
    """
    common = gcd(*sizes)
    small = [n for n in range(1, isqrt(common) + 1) if common % n == 0]
    return sorted({*small, *(common // n for n in small)})
