"""Transfer: of the pretrained networks that keep the budget, the one whose probe is best; then its layers are unfrozen.

    probes      a linear probe on the features of each candidate, cross-validated: the race
    probed/     the winner with its probe as head: a finished network
    unfrozen/   the same trained on, the last layers first, where the time allows it
    final       whichever gets more validation images right; the probe stands unless unfreezing beats it

Each is a step of the folder, and `probed` is there before anything slow is begun: what is best so far is never lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from math import inf, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlathe.files import make_folder
from netlathe.fit.backbone import Backbone
from netlathe.fit.chance import refuse_chance
from netlathe.fit.clock import reserved_seconds
from netlathe.fit.plan import describe_time, plan_unfreezing, probe_until
from netlathe.fit.probing import Prober, final_probe, measure_speeds, probe_candidates, rank_probes
from netlathe.fit.race import CandidateTrainer, Row, Say, TrainedCandidate
from netlathe.fit.rungs import standard_error
from netlathe.lower.weights import Array
from netlathe.runfolder.steps import StepResult, cached_step
from netlathe.train.export import export, save_weights
from netlathe.train.folder import prepare_folder
from netlathe.train.transfer.head import with_head

PROBED, UNFROZEN = "probed", "unfrozen"
UNFREEZE_SEED = 1000  # counted from the seed of the fit
TEMPERATURES = np.geomspace(0.25, 4, 33)


def transfer(
    trainer: CandidateTrainer,
    prober: Prober,
    pool: Mapping[str, Row],
    seconds: float | None,
    epochs: float | None,
    say: Say,
) -> TrainedCandidate:
    """The best of pretrained candidates, as good as the time makes it.

    `seconds` are the wall of the whole fit, None where `epochs` of unfreezing are counted.
    Raises NetlatheError where no probe is better than naming the largest class.
    """
    out, clock, seeds = prober.out, prober.clock, (trainer.seed, trainer.seed + UNFREEZE_SEED)
    speeds = cached_step(out, "forward", lambda: measure_speeds(prober, pool))
    for line in describe_time(seconds, epochs, clock.spent(), len(prober.images), speeds):
        say(line)
    budgeted = None if seconds is None else seconds - reserved_seconds(seconds)
    until = probe_until(budgeted, clock.spent(), len(prober.images), speeds)
    results = probe_candidates(prober, pool, speeds, until)
    ranking = cached_step(out, "rung0", lambda: rank_probes(pool, results))
    winner = pool[ranking["kept"][0]]
    refuse_probe(prober, winner["name"], results[winner["name"]])
    probed = cached_step(out, "probed", lambda: write_probed(trainer, prober, winner, results[winner["name"]], until))
    say(f"{winner['name']} with its probe: {100 * probed['validation']:.1f} % of the validation images")
    plan = cached_step(out, "unfreeze", lambda: plan_rest(prober, speeds[winner["name"]], seconds, epochs))
    say(f"unfreezing buys {plan['buys']}")
    if plan["frozen"] is None:
        return TrainedCandidate(winner, out / PROBED, probed, seeds, len(pool), ranking)
    unfrozen = cached_step(out, "unfrozen", lambda: train_unfrozen(trainer, prober, winner, plan))
    final = cached_step(out, "final", lambda: pick_final(trainer, winner, out, say))
    figures = (probed if final["folder"] == PROBED else unfrozen) | {"unfreezing": final["verdict"]}
    return TrainedCandidate(winner, out / final["folder"], figures, seeds, len(pool), ranking)


def refuse_probe(prober: Prober, name: str, result: Mapping[str, Any]) -> None:
    """Raise NetlatheError where the best probe learned nothing."""
    labels, classes = prober.images.labels[prober.rows(result["images"])], prober.images.classes
    refuse_chance(name, len(result["correct"]), labels, classes, ("weights of another network", "more images"))


def write_probed(
    trainer: CandidateTrainer, prober: Prober, row: Row, result: Mapping[str, Any], until: float | None
) -> StepResult:
    """The winner with its probe as head, as a finished training in a folder; its figures."""
    seconds = None if until is None else max(0.0, until - prober.clock.spent())
    backbone = prober.backbone(row)
    probe = final_probe(prober, row, result, seconds)
    write_trained(prober.out / PROBED, backbone, with_head(backbone.tensors, backbone.head, probe), trainer)
    correct = trainer.correct(row, prober.out / PROBED)
    return {
        "network": row["name"],
        "how": "a linear probe on frozen features",
        "penalty": probe.penalty,
        "validation": float(correct.mean()),
        "validation_images": len(correct),
        "test": None,  # looked at once, by the file that is deployed
        "precision": result["policy"],
    }


def write_trained(folder: Path, backbone: Backbone, tensors: Mapping[str, Any], trainer: CandidateTrainer) -> None:
    """The files of a finished training, of a network that was not trained here."""
    recipe, classes = backbone.recipe, trainer.splits.train.classes
    make_folder(folder)
    prepare_folder(folder, backbone.network, recipe)
    save_weights(folder, tensors)
    export(folder, backbone.network, backbone.normal, recipe, classes, trainer.seed)


def plan_rest(prober: Prober, speed: Mapping[str, Any], seconds: float | None, epochs: float | None) -> StepResult:
    """How the layers of the winner are unfrozen in what is left of the time."""
    clock = prober.clock
    left = None if seconds is None else seconds - reserved_seconds(seconds, clock.slowdown) - clock.spent()
    return plan_unfreezing(left, epochs, len(prober.images), speed["images_per_s"])


def train_unfrozen(trainer: CandidateTrainer, prober: Prober, row: Row, plan: StepResult) -> StepResult:
    """Train the probed network on, from its last layers to its first; its figures."""
    seconds = plan["seconds"]
    fields = [f"optimiser.frozen={plan['frozen']}", f"schedule.unfreeze={plan['unfreeze']}", "regularise.norms=given"]
    result = trainer.train(
        row,
        prober.out / UNFROZEN,
        f"unfreezing: {row['name']}",
        seed=UNFREEZE_SEED,
        before=prober.out / PROBED,
        epochs=plan["epochs"],
        seconds=seconds,
        fields=fields,
    )
    return asdict(result) | {"how": "a linear probe, then its layers unfrozen from the last to the first"}


def pick_final(trainer: CandidateTrainer, row: Row, out: Path, say: Say) -> StepResult:
    """The folder of what is deployed: the probe, unless unfreezing beats it on the validation images (`beats`)."""
    labels = trainer.splits.validation.labels
    probed, unfrozen = (trainer.outputs(row, out / folder) for folder in (PROBED, UNFROZEN))
    better, what = beats(unfrozen, probed, labels)
    verdict = f"{what}: {'it is deployed' if better else 'the probe stays'}"
    say(f"unfreezing: {verdict}")
    shares = {folder: float((x.argmax(1) == labels).mean()) for folder, x in ((PROBED, probed), (UNFROZEN, unfrozen))}
    return {"folder": UNFROZEN if better else PROBED, "verdict": verdict, **shares}


def beats(new: Array, old: Array, labels: NDArray[np.int64]) -> tuple[bool, str]:
    """Whether logits (N, classes) are better than others of the same images by more than one standard error; and how.

    By the images that are right, or, where these are no fewer, by the mean cross entropy, each at its own best
    temperature: that differs in every image, so it tells apart what a few hundred right and wrong ones cannot.
    """
    right = [x.argmax(1) == labels for x in (new, old)]
    gain, error = float(right[0].mean() - right[1].mean()), standard_error(*right)
    losses = [log_losses(x, labels) for x in (new, old)]
    less = losses[1] - losses[0]
    doubt, doubt_error = float(less.mean()), float(less.std(ddof=1) / sqrt(len(less))) if len(less) > 1 else inf
    better = gain > error or (gain >= 0 and doubt > doubt_error)
    return better, (
        f"{100 * gain:+.1f} points on the validation images (standard error {100 * error:.1f}), "
        f"cross entropy {-doubt:+.3f} (standard error {doubt_error:.3f})"
    )


def log_losses(logits: Array, labels: NDArray[np.int64]) -> Array:
    """The cross entropy of each image (N,), at the temperature at which their mean is least."""
    rows = np.arange(len(labels))
    scaled = (logits.astype(np.float64) / temperature for temperature in TEMPERATURES)
    losses = [np.logaddexp.reduce(x, 1) - x[rows, labels] for x in scaled]
    best: Array = min(losses, key=lambda loss: float(loss.mean()))
    return best
