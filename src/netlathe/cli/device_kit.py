"""netlathe device kit: a folder to take to a device that cannot install Netlathe."""

from __future__ import annotations

from pathlib import Path

import click

from netlathe.cli.common import emit, json_option, print_table, progress_bar, wide_option
from netlathe.tables.table import Column, make_table
from netlathe.units import byte_count, show_bytes, show_count


@click.command("kit")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="To make.")
@click.option("-n", "count", type=click.IntRange(3), default=10, show_default=True, help="How many networks.")
@click.option(
    "--networks", "pattern", default="*", show_default=True, metavar="PATTERN", help="Choose from these of the zoo."
)
@click.option("--max-size", default="10MB", show_default=True, metavar="SIZE", help="Of one file.")
@wide_option
@json_option
def command(output: Path, count: int, pattern: str, max_size: str, as_json: bool) -> None:
    """A folder to take to a device that cannot install Netlathe: small networks, and a file that measures them.

    The device needs Python 3.8, numpy and onnxruntime; the folder's README has the steps, and the format of its table
    for other runtimes. Each network is there at two resolutions, 124 MB by default.

    \b
      netlathe device kit -o kit/
      scp -r kit/ pi@raspberrypi.local:          on the device: python3 kit/measure.py
      netlathe device fit results.csv -o my-device.toml
      netlathe choose --device my-device.toml --latency 30ms
    """
    from netlathe.bench.kit.folder import refuse_folder, write_kit
    from netlathe.bench.kit.networks import choose_networks
    from netlathe.runtimes.registry import DEFAULT

    refuse_folder(output)
    networks = choose_networks(pattern, count, byte_count(max_size), DEFAULT)
    with progress_bar(f"writing {output}") as progress:
        files = write_kit(networks, output, progress)
    if as_json:
        emit("device.kit", {"folder": str(output), "files": [file._asdict() for file in files]})
        return
    size = show_bytes(sum(file.bytes for file in files))
    print_table(make_table(COLUMNS, files, title=f"{output}: {len(files)} networks, {size}"))
    click.echo(f"  on the device: python3 measure.py; the steps are in {output / 'README.md'}")


COLUMNS = (
    Column("network", lambda file: file.network, text=True),
    Column("MACs", lambda file: file.macs, show_count),
    Column("file", lambda file: file.file, text=True, priority=3),
    Column("size", lambda file: file.bytes, show_bytes, priority=2),
)
