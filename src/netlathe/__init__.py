"""Netlathe turns vision networks to fit the hardware."""

from netlathe.telemetry import silence

__version__ = "0.1.0"

silence()
