"""The command line: one thin file a verb, imported only when it is called."""

from __future__ import annotations

import json
import os
import sys
import traceback

import click

from netlathe import __version__
from netlathe.cli.lazy import LazyGroup
from netlathe.errors import Exit, NetlatheError

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
    "export": "an ONNX file with random or real weights, verified",
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


HELP = """Which vision network fits this hardware, and why?

\b
  netlathe choose --latency 15ms --size 20MB     the best network for a budget, measured here
  netlathe cost resnet50                         what a network costs, by stage
  netlathe compare resnet50 mobilenetv2          two networks side by side
"""


@click.group(
    cls=LazyGroup,
    help=HELP,
    later={verb: (f"netlathe.cli.{verb}", what) for verb, what in VERBS.items()},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="netlathe")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    pass


def main() -> None:
    """Entry point: run, and turn every error into one clear screen and an exit code."""
    # Processes that libraries start (torch compiles in some) take no code from the current folder either.
    os.environ["PYTHONSAFEPATH"] = "1"
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of a command line."""
    debug = "--debug" in arguments
    rest = [word for word in arguments if word != "--debug"]  # accepted anywhere
    try:
        result = cli.main(rest or ["--help"], prog_name="netlathe", standalone_mode=False)
        return int(result) if isinstance(result, int) else Exit.DONE
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return Exit.INTERRUPTED
    except NetlatheError as error:
        if debug:
            traceback.print_exc()
        report(rest, error.code, error.message, error.path, error.hint)
        return error.exit
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return Exit.DONE
    except click.ClickException as error:
        usage = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "netlathe"
        report(rest, "usage", error.format_message(), "", f"see {usage} --help")
        return Exit.USAGE
    except BrokenPipeError:  # the reader, such as head, has enough
        sys.stderr.close()
        return Exit.DONE
    except Exception as error:
        if debug:
            traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
        report(rest, "bug", message, "", "this is a bug in Netlathe; --debug shows where")
        return Exit.BUG


def report(arguments: list[str], code: str, message: str, path: str, hint: str) -> None:
    """Show an error: as a document on stdout with --json, as text on stderr otherwise."""
    if "--json" in arguments:
        error = {"code": code, "message": message, "path": path, "hint": hint}
        click.echo(json.dumps({"schema": "netlathe.error/1", "ok": False, "error": error}, indent=1))
        return
    where = f"{path}: " if path else ""
    click.echo(f"error: {where}{message}" + "".join(f"\n  {line}" for line in hint.splitlines()), err=True)
