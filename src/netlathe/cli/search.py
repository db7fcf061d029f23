"""netlathe search: the best network of a space, found by a strategy and told honestly. One file a question."""

from __future__ import annotations

import click

from netlathe.cli.lazy import LazyGroup
from netlathe.errors import nearest

QUESTIONS = {
    "run": ("netlathe.cli.search_run", "Search a space by a strategy; `netlathe search SPACE` is short for it."),
    "show": ("netlathe.cli.search_show", "What a search has found so far: best, front, failures."),
    "export": ("netlathe.cli.search_export", "The winner as arch.json, which every verb takes."),
    "spaces": ("netlathe.cli.search_spaces", "The spaces by name, their sizes and sources."),
    "strategies": ("netlathe.cli.search_strategies", "The strategies and their options."),
    "compare": ("netlathe.cli.search_compare", "Strategies against each other at equal budget, with power."),
    "darts": ("netlathe.cli.search_darts", "A cell by gradients on a supernet, with a watch on collapse."),
    "rsws": ("netlathe.cli.search_rsws", "Random search with weight sharing on a supernet: the baseline of darts."),
    "critique": ("netlathe.cli.search_critique", "What public tables say of architecture search, as a report."),
}


class SearchGroup(LazyGroup):
    """The first word is a question, or the space to be searched."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A word that is no question is a space, unless it is nearly a question."""
        from netlathe.search import spaces

        is_command = args[0] in self.later or args[0] in self.commands
        if not is_command and (args[0] in spaces.names() or not nearest(args[0], self.later, 1)):
            args = ["run", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=SearchGroup, later=QUESTIONS)
def command() -> None:
    """The best network of a space of networks, under limits, by a search strategy.

    \b
      netlathe search around:resnet20 --data photos/ --latency 5ms --evaluations 40 -o out/
      netlathe search show out/
      netlathe train best.json --data photos/ -o run/

    The same command goes on where a search was stopped, however it was stopped.
    """
