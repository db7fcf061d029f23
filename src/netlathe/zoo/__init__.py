"""The zoo: one paper a file, a registry, and the published figures as data."""

from netlathe.zoo.registry import get, names

__all__ = ["get", "names"]
