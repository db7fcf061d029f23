"""Netlathe turns vision networks to fit the hardware."""

__version__ = "0.1.0"
