"""Recipes are data: complete, sourced, checked as a whole, compared field by field."""

import json
import subprocess
import sys
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlathe import zoo
from netlathe.errors import NetlatheError
from netlathe.train.recipe import READS, Recipe, peak_lr, scale
from netlathe.train.recipe_warnings import find_warnings
from netlathe.train.recipecheck import field_paths, flatten, from_dict
from netlathe.train.recipefile import (
    ABOUT,
    diff,
    from_toml,
    load,
    merge,
    recipe_key,
    recipe_names,
    resolve,
    set_fields,
    to_toml,
)
from netlathe.train.schedule import lr_factor
from netlathe.zoo.published import figures

NAMES = recipe_names()
PAPERS = {
    *("resnet-2015", "torchvision-v1", "bag-of-tricks", "torchvision-v2", "rsb-a1", "rsb-a2", "rsb-a3", "convnext"),
    *("efficientnet-2019", "efficientnet-timm", "mobilenetv1-2017", "mobilenetv2-2018", "mobilenetv2-torchvision"),
    *("deit", "pycls"),
}
HERE = {"small", "finetune", "fast", "digits", "fashion"}


def nested(settings):
    """{"a.b": 1} -> {"a": {"b": 1}}"""
    document = {}
    for path, value in settings.items():
        table, _, leaf = path.rpartition(".")
        (document.setdefault(table, {}) if table else document)[leaf] = value
    return document


def refused(content, name="mine"):
    with pytest.raises(NetlatheError) as error:
        from_toml(content, name, f"{name}.toml")
    return str(error.value)


def test_the_papers_of_the_field_and_recipes_for_small_data_are_there():
    assert set(NAMES) >= PAPERS | HERE


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_survives_being_written_as_data_and_as_a_file(name):
    recipe = load(name)
    alone = replace(recipe, base=None)
    assert from_dict(json.loads(json.dumps(resolve(recipe)))) == alone
    assert from_toml(to_toml(recipe), "other", "other.toml") == alone
    assert recipe.name == name
    assert recipe.source
    assert set(recipe.unconfirmed) | set(recipe.notes) <= set(field_paths())


@pytest.mark.parametrize("name", NAMES)
def test_published_results_are_those_of_the_zoo(name):
    recipe = load(name)
    for result in recipe.published:
        assert result.network in zoo.names()
        printed = [f.top1 for f in figures(result.network) if f.resolution == recipe.evaluate.resolution and f.top1]
        assert min(abs(top1 - result.top1) for top1 in printed) <= 0.025, (result, printed)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_states_nothing_that_training_would_not_read(name):
    stated = {path for path, _ in flatten(resolve(load(name)))}
    for table, chooser, reads in READS:
        choice = dict(flatten(resolve(load(name))))[f"{table}.{chooser}"]
        others = {field for fields in reads.values() for field in fields} - set(reads[choice])
        assert not stated & {f"{table}.{field}" for field in others}


@pytest.mark.parametrize(
    ("name", "lr"),
    [
        *(("resnet-2015", 0.1), ("bag-of-tricks", 0.4), ("torchvision-v2", 0.5), ("rsb-a3", 8e-3), ("deit", 1e-3)),
        *(("convnext", 4e-3), ("efficientnet-2019", 0.256), ("mobilenetv2-2018", 0.36), ("pycls", 0.8)),
        ("pycls-efficientnet", 0.4),
    ],
)
def test_the_learning_rate_at_the_recipe_s_own_batch_is_the_paper_s(name, lr):
    recipe = load(name)
    assert peak_lr(recipe.optimiser, recipe.batch) == pytest.approx(lr)


def test_an_overlay_is_its_base_and_what_it_states():
    steps = {step.field: (step.a, step.b) for step in diff(load("rsb-a2"), load("rsb-a3"))}
    assert steps == {
        "resolution": (224, 160),
        "epochs": (300.0, 100.0),
        "optimiser.lr": (5e-3, 8e-3),
        "schedule.final": (2e-4, 1.25e-4),
        "augment.magnitude": (7.0, 6.0),
        "augment.repeats": (3, 1),
        "regularise.drop_path": (0.05, 0.0),
    }
    assert load("rsb-a3").base == "rsb-a2"
    assert {result.top1 for result in load("rsb-a3").published}.isdisjoint(r.top1 for r in load("rsb-a2").published)


def test_another_optimiser_leaves_behind_what_it_does_not_read():
    steps = {step.field: (step.a, step.b) for step in diff(load("torchvision-v2"), load("torchvision-convnext"))}
    assert steps["optimiser.momentum"] == (0.9, None)
    assert steps["optimiser.betas"] == (None, [0.9, 0.999])


def test_what_the_base_says_of_a_field_goes_when_the_field_is_stated_anew():
    recipe = from_toml(
        'base = "rsb-a2"\ntitle = "x"\n[augment]\npolicy_prob = 1\n[optimiser]\nclip = "none"', "x", "x.toml"
    )
    assert "augment.policy_prob" not in recipe.unconfirmed
    assert "regularise.bce_threshold" in recipe.unconfirmed
    assert "optimiser.clip" not in recipe.notes
    assert recipe.optimiser.clip is None
    assert recipe.published == ()


def test_a_base_is_named_and_complete():
    assert "rsb-a1 is not complete itself: it starts from rsb-a2" in refused('base = "rsb-a1"\ntitle = "x"')
    assert "did you mean rsb-a3 or rsb-a2" in refused('base = "rsb-a9"\ntitle = "x"')
    assert "base: must be the name of a recipe" in refused("base = 3")


def test_a_file_is_named_like_a_recipe(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "fast"\ntitle = "longer"\nepochs = 20\n')
    recipe = load(path)
    assert (recipe.name, recipe.base, recipe.epochs) == ("mine", "fast", 20)
    assert load(str(path)) == recipe


def test_every_fault_is_reported_at_once_with_its_place_and_the_nearest_name():
    said = refused(
        'base = "rsb-a2"\ntitel = "x"\nepochs = -3\nresolution = 160.5\nbatch = true\n'
        '[optimiser]\nname = "sdg"\nlr = "fast"\nweigth_decay = 3\nbetas = [0.9]\nno_decay = ["norms"]\n'
        '[schedule]\ndecay = "step"\nfinal = 0.1\nwarmup = 1979-05-27\n'
        "[augment]\nscale = [1.0, 0.5]\njitter = 3\nflip = nan\n[mix]\nmixup = inf\n"
        '[[published]]\ntop = 3\nnetwork = "x"\n[notes]\n"optimiser.lrs" = "x"\n'
    )
    for line in (
        "titel: unknown field (did you mean title?)",
        "title: is missing",
        "epochs: must be greater than 0, not -3",
        "resolution: must be a whole number, not 160.5",
        "batch: must be a whole number, not True",
        "optimiser.name: unknown word 'sdg' (did you mean sgd? legal: sgd, adamw, rmsprop, lamb)",
        "optimiser.lr: must be a number, not 'fast'",
        "optimiser.weigth_decay: unknown field (did you mean weight_decay",
        "optimiser.betas[1]: is missing",
        "optimiser.no_decay[0]: unknown word 'norms' (did you mean norm?",
        "schedule.final: step does not read it, cosine and linear would",
        "schedule.warmup: must be a number, not '1979-05-27'",
        "augment.scale: must be [low, high], not [1, 0.5]",
        "augment.jitter: must be a list, not 3",
        "augment.flip: must be",
        "mix.mixup: must be less than inf",
        "published[0].top: unknown field (did you mean top1?)",
        "published[0].top1: is missing",
        "notes: no field 'optimiser.lrs' (did you mean optimiser.lr",
    ):
        assert f"\n  {line}" in said
    assert said.startswith("mine.toml: 19 faults")


def test_fields_that_contradict_one_another_are_faults():
    base = 'base = "fast"\ntitle = "x"\n'
    assert "schedule.warmup: 20 epochs do not fit into 10" in refused(f"{base}[schedule]\nwarmup = 20")
    assert "optimiser.nesterov: needs a momentum" in refused(f"{base}[optimiser]\nmomentum = 0")
    assert "this is not TOML" in refused("base = ")


def test_settings_of_the_command_line_are_an_overlay():
    recipe = load("fast", ["optimiser.name=adamw", "optimiser.lr=1e-3", "epochs = 3", "augment.scale=[0.2, 1]"])
    assert (recipe.name, recipe.base, recipe.optimiser.name, recipe.epochs) == ("fast+", "fast", "adamw", 3)
    assert recipe.augment.scale == (0.2, 1.0)
    assert set_fields(recipe, ["epochs=4"]).name == "fast+"
    for wrong in ("epochs", "optimiser.lrr=1", "a.b.c=1", "=3"):
        with pytest.raises(NetlatheError):
            load("fast", [wrong])


@pytest.mark.parametrize("apart", [1, 5, 11])
def test_the_difference_leads_from_one_recipe_to_another(apart):
    optional = {"optimiser.lr_per", "optimiser.clip"}
    for i, name in enumerate(NAMES):
        a, b = load(name), load(NAMES[(i + apart) % len(NAMES)])
        steps = {step.field: step.b for step in diff(a, b)}
        stated = {path: "none" if path in optional and value is None else value for path, value in steps.items()}
        overlay = nested({path: value for path, value in stated.items() if value is not None})
        assert recipe_key(from_dict(merge(a, overlay))) == recipe_key(b), (a.name, b.name)
        assert steps


@given(st.sampled_from(NAMES), st.data())
def test_the_key_changes_with_every_field_of_a_training_and_with_no_other(name, data):
    recipe = load(name)
    document = resolve(recipe)
    path = data.draw(st.sampled_from([path for path, _ in flatten(document)]))
    table, _, leaf = path.rpartition(".")
    where = document[table] if table else document
    value = where[leaf]
    if path.partition(".")[0] in ABOUT:
        assert recipe_key(
            replace(recipe, name="x", title="x", source="x", published=(), notes={}, unconfirmed=())
        ) == recipe_key(recipe)
        return
    match value:
        case bool():
            where[leaf] = not value
        case int():
            where[leaf] = value + 1
        case float():
            where[leaf] = value / 2 or 0.25
        case [*items] if items and isinstance(items[0], float):
            where[leaf] = [items[0] / 2 or 0.25, *items[1:]]
        case _:
            return
    if path == "epochs":
        document["schedule"]["warmup"] = 0.0
    assert recipe_key(from_dict(document)) != recipe_key(recipe)


def test_a_recipe_is_complete_without_its_base():
    complete = tomllib.loads(to_toml(load("rsb-a1")))
    assert "base" not in complete
    assert complete["optimiser"]["name"] == "lamb"
    assert complete["notes"]["optimiser.clip"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("epochs", [3, 50.5])
def test_a_scaled_recipe_has_the_same_curve_over_other_epochs(name, epochs):
    recipe = load(name)
    other = scale(recipe, epochs=epochs)
    for share in (0, 0.013, 0.1, 0.37, 0.8, 0.99, 1):
        ours = lr_factor(recipe.schedule, share * recipe.epochs, recipe.epochs)
        assert lr_factor(other.schedule, share * epochs, epochs) == pytest.approx(ours, rel=1e-6, abs=1e-9)
    assert other.published == ()
    assert other.name == f"{name}+"
    assert recipe_key(from_dict(resolve(other))) == recipe_key(other)


def test_scaling_the_batch_and_the_resolution():
    v2, a2, deit = load("torchvision-v2"), load("rsb-a2"), load("deit")
    assert scale(v2, batch=256).optimiser.lr == pytest.approx(0.125)
    assert scale(a2, batch=512).optimiser.lr == pytest.approx(2.5e-3)
    assert scale(deit, batch=512).optimiser.lr == deit.optimiser.lr
    assert peak_lr(scale(deit, batch=512).optimiser, 512) == pytest.approx(5e-4)
    small = scale(v2, resolution=88)
    assert (small.resolution, small.evaluate.resolution) == (88, 112)
    # torchvision's own rule: 1 - decay grows with the batch and shrinks with the epochs.
    assert scale(v2, epochs=300).regularise.ema == pytest.approx(1 - 2e-5 * 1024 * 32 / 300, rel=1e-5)
    assert recipe_key(scale(v2)) == recipe_key(v2)
    for wrong in ({"epochs": 0}, {"batch": -1}, {"resolution": 0}):
        with pytest.raises(NetlatheError, match="must be positive"):
            scale(v2, **wrong)


@pytest.mark.parametrize(
    ("recipe", "network", "images", "words"),
    [
        ("rsb-a3", "resnet18", 1_281_167, "ResNet-18 69.76 by 90 plain epochs, 68.25 by RSB A3"),
        ("rsb-a3", "resnet50", 1_281_167, None),
        ("rsb-a3", "resnet18", 2000, None),
        ("torchvision-v1", "resnet18", 1_281_167, None),
        ("torchvision-v2", "mobilenetv2", 1_281_167, "gains little"),
        ("pycls", "efficientnet_b0", 1_281_167, "under-trains depthwise"),
        ("rsb-a1", "regnety_4gf", 1_281_167, "squeeze-excite"),
        ("pycls", "vit_small_patch16", 1_281_167, "Transformer"),
        ("deit", "vit_tiny_patch16", 1_281_167, None),
        ("small", "resnet18", 2000, None),
    ],
)
def test_cautions_say_what_the_literature_shows(recipe, network, images, words):
    found = find_warnings(load(recipe), zoo.get(network), images)
    assert [words in str(caution) for caution in found] == [True] if words else not found
    assert all(caution.source for caution in found)


def test_batch_norm_is_warned_of_tiny_batches():
    found = find_warnings(replace(load("fast"), batch=2), zoo.get("resnet18"), 100)
    assert "10.6 points more error" in str(found[0])


def test_the_command_line_lists_shows_and_compares():
    program = (
        "import sys, json; from netlathe.cli.main import run;"
        "codes = [run(words.split()) for words in ('recipe list', 'recipe diff torchvision-v1 torchvision-v2',"
        " 'recipe show rsb-a3 --net resnet18', 'recipe show deit --toml')];"
        "sys.exit(any(codes) or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "torchvision-convnext" in done.stdout
    assert "resnet50 76.13 -> 80.858 % (+4.73)" in done.stdout
    assert "augment.policy_prob       0.5?" in done.stdout
    assert "warning: strong regularisation in a short schedule" in done.stderr


def test_the_command_line_gives_one_document_and_one_error():
    program = (
        "import sys; from netlathe.cli.main import run;"
        "run('recipe show rsb-a3 --net resnet18 --json'.split());"
        "sys.exit(run(['recipe', 'show', 'torchvison-v1']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    document = json.loads(done.stdout)
    assert document["data"]["optimiser"]["lr"] == 8e-3
    assert document["data"]["cost"]["images_over_90_epochs"] == pytest.approx(100 / 90)
    assert len(document["warnings"]) == 1
    assert done.returncode == 2
    assert "did you mean torchvision-v1" in done.stderr


def test_a_recipe_cannot_be_changed_by_accident():
    recipe = load("fast")
    assert isinstance(recipe, Recipe)
    with pytest.raises(AttributeError):
        recipe.epochs = 3
