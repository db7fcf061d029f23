"""The American spelling of `netlathe quantise`."""

from netlathe.cli.quantise import command

__all__ = ["command"]
