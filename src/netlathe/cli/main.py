"""The command line: one thin file a verb, imported only when it is called."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, suppress

import click

from netlathe import __version__
from netlathe.cli.lazy import LazyGroup
from netlathe.cli.streams import OUTPUT, escaped_output, open_streams
from netlathe.errors import Exit, NetlatheError
from netlathe.escapes import escape_line, escape_lines
from netlathe.trust import without_code

VERBS = {
    "choose": "the network that fits this machine and a budget, with the reasons",
    "fit": "train and verify a network that meets a budget",
    "cost": "exact params, MACs, memory and traffic of networks",
    "bench": "measured latency on this machine",
    "compare": "networks side by side, costs and latencies interleaved",
    "inspect": "check a dataset before training",
    "train": "a network trained on images by a recipe, resumable, within a time limit",
    "pretrain": "a network that learns from images alone, by SimCLR or MoCo v2",
    "recipe": "how networks are trained, as data with sources",
    "experiment": "networks x recipes x seeds: which of them made the difference",
    "search": "the best network of a space under limits, by a search strategy, resumable",
    "export": "an ONNX, .tflite, C or TorchScript file with random or real weights, verified",
    "quantise": "a deployed network in int8 or bf16, where that is measurably faster",
    "quantize": "the American spelling of quantise",
    "check": "a deployed file against its budget, measured again; for CI",
    "predict": "the classes of images by a deployed file",
    "device": "cards, roofline, why slow, microcontroller fit",
    "reshape": "turn the knobs of a network, factor it, or solve for a budget",
    "modernise": "the ConvNeXt roadmap on a ResNet, step by step",
    "modernize": "the American spelling of modernise",
    "regnets": "samples of the RegNet design space and their distributions",
    "report": "the page of a fit, a search or any --json document, as one HTML file",
    "lab": "a live page: turn knobs, and cost, latency and budget follow",
    "audit": "the lecture's claims, each checked now, with evidence",
    "advise": "recommend an architecture for a task, with reasons",
    "arch": "the expression of a network, as text or JSON",
    "zoo": "the networks that come with Netlathe",
}

LONGEST = 500  # characters of a line of an error

HELP = """Which vision network fits this hardware, and why?

\b
  netlathe choose --latency 15ms --size 20MB     the best network for a budget, measured here
  netlathe cost resnet50                         what a network costs, by stage
  netlathe compare resnet50 mobilenetv2          two networks side by side

\b
NET is a zoo name, timm:NAME, torchvision:NAME, model.onnx, arch.json, a package, file.py:name or package.module:name.
file.py:name runs that file, as you would with python, and a module likewise: --no-code refuses both.
"""


@click.group(
    cls=LazyGroup,
    help=HELP,
    later={verb: (f"netlathe.cli.{verb}", what) for verb, what in VERBS.items()},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="netlathe")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--no-code", is_flag=True, help="Refuse to run code: file.py:name, package.module:name, NETLATHE_RUNTIMES."
)
def cli(debug: bool, no_code: bool) -> None:
    pass


def main() -> None:
    """Entry point: run, and turn every error into one clear screen and an exit code."""
    # Processes that libraries start (torch compiles in some) take no code from the current folder either.
    os.environ["PYTHONSAFEPATH"] = "1"
    arguments = sys.argv[1:]
    try:
        closed = open_streams()
        code = fail(arguments, closed) if closed else run(arguments)
    except KeyboardInterrupt:  # before the verb began, or after it ended
        code = Exit.INTERRUPTED
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """The exit code of a command line."""
    debug, failure = "--debug" in arguments, None
    rest = [word for word in arguments if word not in ("--debug", "--no-code")]  # accepted anywhere
    trust = without_code() if "--no-code" in arguments else nullcontext()
    with escaped_output() as result, trust:
        try:
            code = call(rest)
            result.flush()
        except (Exception, SystemExit) as error:
            from netlathe.cli.failures import describe_failure

            if debug:
                import traceback

                traceback.print_exc()
            failure = result.failure or describe_failure(error)
            code = fail(rest, failure)
        if result.failure not in (None, failure):  # met on the way, and not raised
            code = fail(rest, result.failure)
        return code


def call(arguments: list[str]) -> int:
    """Run a verb. Raises what it raises, but for what click says and Ctrl-C."""
    try:
        result = cli.main(arguments or ["--help"], prog_name="netlathe", standalone_mode=False)
        return int(result) if isinstance(result, int) else Exit.DONE
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return Exit.INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return Exit.DONE
    except click.ClickException as error:
        usage = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "netlathe"
        return fail(arguments, NetlatheError(error.format_message(), hint=f"see {usage} --help"))


def fail(arguments: list[str], error: NetlatheError) -> int:
    """Show an error, and give its exit code: as a document on stdout with --json, as text on stderr otherwise."""
    if error.exit != Exit.READER_LEFT:
        report(arguments, error)
    return error.exit


def report(arguments: list[str], error: NetlatheError) -> None:
    """Print an error."""
    if "--json" in arguments and error.code != OUTPUT:
        import json

        fields = {"code": error.code, "message": error.message, "path": error.path, "hint": error.hint}
        with suppress(OSError):  # then as text
            click.echo(json.dumps({"schema": "netlathe.error/1", "ok": False, "error": fields}, indent=1))
            return
    where = f"{escape_line(error.path)}: " if error.path else ""
    lines = f"{where}{escape_lines(error.message)}".split("\n") + [f"  {line}" for line in error.hint.splitlines()]
    shown = [line if len(line) <= LONGEST else f"{line[:LONGEST]} ..." for line in lines]
    click.echo("error: " + "\n".join(shown), err=True)
