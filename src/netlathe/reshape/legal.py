"""What every knob says of values that have no meaning."""

from __future__ import annotations

from dataclasses import replace
from math import gcd, isqrt

from netlathe.arch.network import Network
from netlathe.arch.node import Node
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
    return replace(network, body=body)


def divisors(*sizes: int) -> list[int]:
    """The numbers that divide all these axes of tensors, ascending; empty without axes.

    Takes as many steps as the square root of the largest one, which `graph.LONGEST_AXIS` bounds.
    """
    common = gcd(*sizes)
    small = [n for n in range(1, isqrt(common) + 1) if common % n == 0]
    return sorted({*small, *(common // n for n in small)})
