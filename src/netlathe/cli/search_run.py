"""netlathe search run SPACE --strategy evolution --evaluations 40 -o out/: search, resumable, and honest about it."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netlathe.cli.budget import budget_options
from netlathe.cli.common import emit, json_option
from netlathe.cli.training import SpanType, check_images, needs_torch, px_option, recipe_of, run_folder, set_option
from netlathe.code_name import file_of
from netlathe.errors import NetlatheError
from netlathe.load import parse_choices, parse_value
from netlathe.runtimes.registry import DEFAULT

if TYPE_CHECKING:
    from netlathe.search.config import SearchConfig
    from netlathe.search.study import Study
    from netlathe.search.trial import Trial

QUIET_S = 10.0  # between lines of progress, where stderr is no terminal


@click.command()
@click.argument("space", required=False)
@click.option("--strategy", default="evolution", show_default=True, help="`netlathe search strategies` lists them.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="Of the strategy.")
@click.option("--evaluations", type=click.IntRange(1), help="Whole evaluations to pay for.  [default: 40]")
@click.option(
    "--objective", "goal", default="train", show_default=True, metavar="WHAT",
    help="train, table:FILE, proxy:NAME, or file.py:function.",
)  # fmt: skip
@click.option("--data", default="digits", show_default=True, callback=check_images, metavar="SOURCE",
              help="Images to train on.")  # fmt: skip
@click.option("--recipe", "recipe_name", help="A name or a file.  [default: fast; digits for the digits]")
@set_option
@px_option
@click.option("--epochs", type=click.FloatRange(0, min_open=True), help="Of a whole evaluation.  [the recipe's]")
@click.option("--fraction", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Of the training images.")
@click.option("--judges", type=click.IntRange(10), help="Validation images, about.  [default: all]")
@click.option("--precision", default="fp32", show_default=True, help="Of training: one policy for all trials.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of each training.")
@budget_options()
@click.option("--device", metavar="CARD", help="Another device than this machine: predicted, not measured.")
@click.option("--runtime", default=DEFAULT, show_default=True, metavar="NAME", help="That runs the network.")
@click.option("--run-threads", type=click.IntRange(1), default=1, show_default=True, help="Of the runtime.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--bill-repeats", is_flag=True, help="A proposal of a known network counts as an evaluation.")
@click.option("--final-seeds", type=click.IntRange(0), help="Fresh seeds for the winner.  [default: 3]")
@click.option("--final-top", type=click.IntRange(1), help="Networks that get them.  [default: 1]")
@click.option(
    "--time", "limit", type=SpanType(), help="A wall, such as 30m: what would not end by then does not begin."
)
@click.option("--workers", type=click.IntRange(0), help="Processes; 0: this one.  [1 for training, else 0]")
@click.option("--ray", is_flag=False, flag_value="", default=None, metavar="ADDRESS", help="Workers on a Ray cluster.")
@click.option("--resume", is_flag=True, help="Go on with what is in the folder; SPACE and the rest are read there.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The folder of the search.")
@json_option
def command(
    space: str | None,
    output: Path,
    resume: bool,
    limit: float | None,
    workers: int | None,
    ray: str | None,
    as_json: bool,
    evaluations: int | None,
    final_seeds: int | None,
    final_top: int | None,
    **asked: Any,
) -> None:
    """Search SPACE for the network of the best score that keeps the limits; the winner is trained on fresh seeds.

    SPACE is a name (`netlathe search spaces`), around:NET for the knobs of a network, or file.py:function. The same
    command on a folder goes on where it was stopped; nothing that was paid for is paid for twice.

    \b
      netlathe search macro --data fashion/ --resolution 28 --epochs 2 --latency 2ms -o out/
      netlathe search around:resnet20 --strategy random --macs 20M --evaluations 30 --workers 2 -o out/
      netlathe search run --resume -o out/

    Exit code 3: no network keeps the limits; the binding limit and the smallest member are named.
    """
    started = time.monotonic()
    from netlathe.search.run import change_config, load_config, require_best, search
    from netlathe.search.store import SEARCH

    if resume:
        refuse_more(space)
    elif space is None:
        hint = "for example: netlathe search around:resnet20 --macs 20M -o out/, or --resume -o out/"
        raise NetlatheError("SPACE is missing", code="usage", hint=hint)
    with run_folder(output, SEARCH) as folder:
        if space is None:
            config = change_config(
                load_config(output), evaluations=evaluations, final_seeds=final_seeds, final_top=final_top
            )
        else:
            seeds = 3 if final_seeds is None else final_seeds
            config = config_of(space, evaluations or 40, seeds, final_top or 1, asked)
        if config.objective["kind"] == "train":
            needs_torch()
        calibrate_first(config)
        count = workers if workers is not None else int(config.objective["kind"] == "train")
        lines = ProgressLines(config)
        try:
            result = search(
                config,
                folder,
                workers=count,
                ray=ray,
                seconds=limit,
                started=started,
                log=lines.log,
                on_trial=lines.on_trial,
            )
        except KeyboardInterrupt:
            click.echo(lines.best(), err=True)
            click.echo(f"everything is stored; this goes on: {again(output, workers, ray)}", err=True)
            raise
    from netlathe.cli.search_show import document, show

    require_best(result)
    emit("search.run", document(output)) if as_json else show(output)


def calibrate_first(config: SearchConfig) -> None:
    """Calibrate this machine before the first trial, where a latency is asked for here and it has no card."""
    if "latency" not in config.limits or config.where["device"] is not None:
        return
    from netlathe.cli.common import calibration_progress
    from netlathe.target.here import targets_here

    where = config.where
    with calibration_progress() as progress:
        targets_here([where["runtime"]], where["precision"], where["threads"], progress=progress)


def refuse_more(space: str | None) -> None:
    """With --resume, what is searched is in the folder."""
    if space is not None:
        hint = "netlathe search run --resume -o FOLDER"
        raise NetlatheError("--resume reads the space from the folder: leave SPACE out", code="usage", hint=hint)


def again(folder: Path, workers: int | None, ray: str | None) -> str:
    """The command that resumes."""
    words = ["netlathe", "search", "run", "--resume", "-o", str(folder)]
    words += ["--workers", str(workers)] if workers is not None else []
    words += ["--ray", *([ray] if ray else [])] if ray is not None else []
    return shlex.join(words)


def config_of(space: str, evaluations: int, final_seeds: int, final_top: int, asked: dict[str, Any]) -> SearchConfig:
    """What was asked for, as data with absolute paths."""
    from netlathe.search.config import SearchConfig, load_space
    from netlathe.search.costing import TargetOptions
    from netlathe.search.objective import spec_to_json
    from netlathe.target.device import other_device

    text = absolute(space)
    where = TargetOptions(other_device(asked["device"]), asked["runtime"], None, asked["run_threads"])
    return SearchConfig(
        space=text,
        strategy=asked["strategy"],
        options={name: value for text in asked["options"] for name, value in option(text)},
        objective=spec_to_json(described(asked, load_space(text))),
        limits=asked["limits"],
        where=asdict(where),
        evaluations=evaluations,
        seed=asked["seed"],
        bill_repeats=asked["bill_repeats"],
        final_seeds=final_seeds,
        final_top=final_top,
    )


def option(text: str) -> list[tuple[str, Any]]:
    """population=10 as a name and a number."""
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        hint = "write --option population=10"
        raise NetlatheError(f"{text!r} is no option of a strategy", code="search.option", hint=hint)
    return [(name, parse_value(value, text))]


def described(asked: dict[str, Any], space: Any) -> Any:
    """The objective that --objective names."""
    from netlathe.search import objective

    if file_of(asked["goal"]):
        return objective.FunctionSpec(absolute(asked["goal"]))
    kind, _, rest = asked["goal"].partition(":")
    if kind == "table" and rest:
        file, _, choices = rest.partition(",")
        more = parse_choices(choices, asked["goal"])
        if "latencies" in more:
            more["latencies"] = absolute(str(more["latencies"]))
        return objective.spec_from_json({"kind": kind, "path": absolute(file), "seed": asked["seed"], **more})
    if kind == "proxy" and rest:
        return objective.ProxySpec(rest)
    if asked["goal"] != "train":
        hint = "legal: train, table:FILE, proxy:NAME, file.py:function"
        raise NetlatheError(f"{asked['goal']!r} is no objective", code="search.objective", hint=hint)
    needs_torch()
    from netlathe.search.training import training_spec

    recipe = asked["recipe_name"] or ("digits" if asked["data"] == "digits" else "fast")
    return training_spec(
        asked["data"] if asked["data"] == "digits" else absolute(asked["data"]),
        recipe_of(recipe, asked["changes"], asked["resolution"]),
        space,
        epochs=asked["epochs"],
        fraction=asked["fraction"],
        judges=asked["judges"] or 0,
        precision=asked["precision"],
        threads=asked["threads"],
    )


def absolute(text: str) -> str:
    """A path, or file.py:function, that means the same in every folder and process."""
    if file := file_of(text):
        return f"{Path(file).absolute()}{text.removeprefix(file)}"
    return str(Path(text).absolute()) if Path(text).exists() else text


class ProgressLines:
    """Progress on stderr: a line a trial where somebody watches, else one every ten seconds."""

    def __init__(self, config: SearchConfig) -> None:
        self.config, self.last = config, 0.0
        self.trials: list[Trial] = []

    def log(self, line: str) -> None:
        click.echo(line, err=True)

    def on_trial(self, study: Study, trial: Trial) -> None:
        """A trial has ended."""
        from netlathe.search.trial import TrialState

        self.trials = study.trials
        watched = trial.evaluated and trial.seconds > 1 and sys.stderr.isatty()
        if watched or time.monotonic() - self.last > QUIET_S:
            self.last = time.monotonic()
            outcome = (
                f"{trial.score:.2f}" if trial.state is TrialState.DONE else f"{trial.state.value} {trial.error}".strip()
            )
            self.log(f"{study.spent:.4g} of {self.config.evaluations}: trial {trial.number} {outcome}; {self.best()}")

    def best(self) -> str:
        """The best so far."""
        from netlathe.search.summary import best_trial

        top = best_trial(self.trials)
        return "nothing finished so far" if top is None else f"best so far {top.score:.2f} (trial {top.number})"
