"""netlathe arch NET: the expression as a person reads it, or as an arch.json."""

from __future__ import annotations

import click

from netlathe.cli.common import one_network, resolution_option


@click.command()
@click.argument("net")
@resolution_option
@click.option("--json", "as_json", is_flag=True, help="The arch.json document, which every verb reads.")
def command(net: str, resolution: int | None, as_json: bool) -> None:
    """The expression of NET as text, or with --json as a document to change and to give back.

    \b
      netlathe arch resnet50
      netlathe arch mobilenetv1:alpha=0.35 --json > mine.json && netlathe cost mine.json
    """
    network = one_network(net, resolution)
    network.graph()  # shapes that do not fit are an error here, not in the next command
    if as_json:
        from netlathe.arch.document import to_json

        click.echo(to_json(network), nl=False)
    else:
        from netlathe.arch.notation import to_text

        click.echo(to_text(network), nl=False)
