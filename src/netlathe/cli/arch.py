"""netlathe arch NET: the expression as a person reads it, as an arch.json, or as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from netlathe.cli.common import one_network, resolution_option


@click.command()
@click.argument("net")
@resolution_option
@click.option("--json", "as_json", is_flag=True, help="The arch.json document, which every verb reads.")
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="Draw it, widths to scale.")
def command(net: str, resolution: int | None, as_json: bool, svg: Path | None) -> None:
    """The expression of NET as text, or with --json as a document to change and to give back.

    \b
      netlathe arch resnet50
      netlathe arch mobilenetv1:alpha=0.35 --json > mine.json && netlathe cost mine.json
      netlathe arch mobilenetv2 --svg mobilenetv2.svg
    """
    network = one_network(net, resolution)
    network.graph()  # shapes that do not fit are an error here, not in the next command
    if svg is not None:
        from netlathe.files import write_text
        from netlathe.report.picture import picture

        write_text(svg, picture(network))
        click.echo(f"wrote {svg}", err=True)
    if as_json:
        from netlathe.arch.document import to_json

        click.echo(to_json(network), nl=False)
    elif svg is None:
        from netlathe.arch.notation import to_text

        click.echo(to_text(network), nl=False)
