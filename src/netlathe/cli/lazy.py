"""Lazy: a click group some of whose commands are imported only when they are called."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from netlathe.errors import unknown

NET = "NET: a zoo name, timm:NAME, model.onnx, arch.json, a package, or file.py:name: runs that file (see --no-code)."


class LazyGroup(click.Group):
    """`later` maps a command to (module, one line of help); the module's `command` is the command."""

    def __init__(self, *args: Any, later: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.later = later

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.later, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        command = super().get_command(ctx, cmd_name)
        if command is None and cmd_name not in self.later:
            raise unknown("command", cmd_name, self.list_commands(ctx), code="usage")
        if command is None:
            command = import_module(self.later[cmd_name][0]).command
        if any(parameter.name in ("net", "nets") for parameter in command.params):
            command.epilog = command.epilog or NET
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list without an import."""
        rows = [(name, help) for name, (_, help) in self.later.items()]
        rows += [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
