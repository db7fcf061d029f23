"""netlathe modernize: the same as modernise."""

from netlathe.cli.modernise import command

__all__ = ["command"]
