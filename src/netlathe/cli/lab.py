"""netlathe lab: the live page on this machine."""

from __future__ import annotations

import sys
import webbrowser

import click

from netlathe.cli.common import emit, json_option


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(dir_okay=False))
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes a free one.")
@click.option("--token", metavar="TEXT", help="The secret in the address; without it a new one each time.")
@click.option("--no-open", is_flag=True, help="Print the address, open no browser.")
@json_option
def command(files: tuple[str, ...], port: int, token: str | None, no_open: bool, as_json: bool) -> None:
    """A page that follows the knobs: cost, roofline, width, memory, latency and budget of a network on a device.

    It listens only on 127.0.0.1, its URL contains a secret token, and it works offline. FILE is a model.onnx,
    an arch.json, a file.py:function or a device card to start with; more files can be dropped on the page. Ctrl-C
    stops it.

    \b
      netlathe lab
      netlathe lab mine.onnx my-phone.toml
    netlathe lab --port 8123 --token only-on-my-machine    the same address every time
    """
    from netlathe.lab.serve import serve

    def ready(url: str) -> None:
        if as_json:
            emit("lab", {"url": url})
        else:
            click.echo(url)
            click.echo("Ctrl-C stops the server; the page keeps its state in its address.", err=True)
        sys.stdout.flush()
        if not no_open:
            webbrowser.open(url)

    serve(files, port=port, token=token or "", ready=ready)
