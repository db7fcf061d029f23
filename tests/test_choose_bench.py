"""What a choice measures and forecasts, on this machine and on others; an impossible budget gets a possible one."""

import json
from dataclasses import replace
from math import log2
from typing import ClassVar

import pytest
from chosen import A, measured
from command import netlathe

from netlathe import zoo
from netlathe.bench import ledger
from netlathe.bench.measure import HEADLINE
from netlathe.choose import run as choosing
from netlathe.choose.budget import Budget, within_device
from netlathe.choose.decide import decide, tied
from netlathe.choose.run import choose, nearest_budget
from netlathe.cli.choose_reasons import infeasible_error
from netlathe.cost.totals import totals
from netlathe.device.card import DeviceCard, ErrorBar, Model, save
from netlathe.device.latency import predict
from netlathe.errors import NetlatheError
from netlathe.sources import source
from netlathe.sources.zoo import Zoo
from netlathe.target.card import CardTarget
from netlathe.target.device import targets_on
from netlathe.target.here import MachineTarget, calibrated, targets_here
from netlathe.target.target import Forecast
from netlathe.zoo.published import figures as published

MS_A_GMAC = 20.0
CARD = DeviceCard(
    "this-test", "a test", "server cpu core", "2026-01-01", (),
    (Model("onnxruntime", "2026-01-01", 9, {"*.macs": MS_A_GMAC, "*.calls": 0.01}, ErrorBar(0.1, 1.0, 0.8, 1.3)),),
)  # fmt: skip
HERE = [MachineTarget(CARD, "onnxruntime")]
AWAY = [CardTarget(CARD, "onnxruntime")]


def candidates(targets, pattern="*", recipe=""):
    return source.candidates(Zoo(), targets, source.SourceFilter(pattern, recipe))


def test_candidates_are_the_published_pairs_of_network_and_resolution():
    found = {c.name: c for c in candidates(HERE, "mobilenetv1*")}
    assert {"mobilenetv1", "mobilenetv1@160", "mobilenetv1_025@128"} <= found.keys()
    small = found["mobilenetv1_025@128"]
    assert small.macs == 13_570_048
    assert small.size_bytes == 4 * (470_072 + 5_472)
    assert small.memory_bytes > small.size_bytes
    assert small.forecast.low_ms < small.forecast.ms < small.forecast.high_ms
    figures = {
        (f.network, f.resolution, f.top1, f.recipe): f for name in zoo.names("mobilenetv1*") for f in published(name)
    }
    qualifying = [figures[c.net.name, c.resolution, c.top1, c.accuracy.recipe] for c in found.values()]
    assert all(not figure.extra_data and figure.crops == 1 for figure in qualifying)


def test_a_recipe_restricts_the_accuracies():
    best = {c.name: c.top1 for c in candidates(HERE, "resnet50")}["resnet50"]
    plain = {c.name: c.top1 for c in candidates(HERE, "resnet50", recipe="pycls")}["resnet50"]
    assert plain == 76.8 < best


def latency_of(network, batch=1):
    """What the made-up machine needs for a batch: 10 % above the forecast."""
    return 1.1 * MS_A_GMAC * batch * totals(network.body, network.input).macs / 1e9


class MadeUp(list):
    """Latencies made up from MACs; says what was measured, and in how many processes. `slow` is by network: how much
    slower several processes are than one."""

    slow: ClassVar = {}

    def measure(self, networks, *, keep, runtime, precision, batch, processes, **how):
        self.append([(network.name, processes) for network in networks])
        done = []
        for network in networks:
            ms = latency_of(network, batch) * (self.slow.get(network.key, 1.0) if processes > 1 else 1.0)
            m = replace(
                measured(ms, processes=processes), key=network.key, network=network.name, device="test", batch=batch,
                date="2999-01-01T00:00:00+00:00", runtime=runtime, precision=precision,
                runtime_version=choosing.runtime_version("onnxruntime"),
            )  # fmt: skip
            done.append(m)
            keep(m)
        return done

    @property
    def shortlist(self):
        """The networks that were measured in one process."""
        return [name for group in self for name, processes in group if processes == 1]

    @property
    def claims(self):
        """Those that were measured in several."""
        return [(name, processes) for group in self for name, processes in group if processes > 1]


@pytest.fixture
def bench(monkeypatch, tmp_path):
    monkeypatch.setenv("NETLATHE_CACHE", str(tmp_path))
    made_up = MadeUp()
    made_up.slow = {}
    monkeypatch.setattr(choosing, "measure", made_up.measure)
    return made_up


BUDGETS = [
    Budget(latency=80), Budget(latency=40, size=100_000_000), Budget(latency=6, memory=30_000_000), Budget(macs=10**9),
    Budget(latency=15, top1=70),
]  # fmt: skip


@pytest.mark.parametrize("budget", BUDGETS)
def test_measuring_only_what_can_win_picks_what_measuring_everything_picks(bench, budget):
    pool = candidates(HERE, "[rm]e*net*")
    quick = choose(pool, budget, HERE, fresh=True)
    count = len(bench.shortlist)
    full = choose(pool, budget, HERE, fresh=True, everything=True)
    assert quick.decision.pick.key == full.decision.pick.key
    assert not budget.broken(quick.decision.pick)
    assert all(c.is_measured for c in [quick.decision.pick, quick.decision.top])
    assert count < len(bench.shortlist) - count


def test_the_pick_is_measured_in_several_fresh_processes_and_nothing_else_is(bench):
    pick = choose(candidates(HERE, "mobilenetv*"), Budget(latency=6), HERE).decision.pick
    assert bench.claims == [(pick.net.name, HEADLINE)]
    assert pick.latency.processes == HEADLINE >= 5


def test_a_network_that_keeps_the_budget_in_one_process_but_not_in_several_is_not_claimed(bench):
    pool = candidates(HERE, "mobilenetv1*")
    first = choose(pool, Budget(latency=15), HERE, fresh=True).decision.pick
    bench.slow = {first.net.key: 15 / first.latency_ms}  # the middle fits, the upper end does not
    outcome = choose(pool, Budget(latency=15), HERE, fresh=True)
    second = outcome.decision.pick
    assert second.key != first.key
    assert second.latency.processes == HEADLINE
    assert second.latency_high_ms <= 15
    (way,) = [r for r in outcome.decision.relaxations if r.limit.name == "latency"]
    assert way.candidate.key == first.key, "it is named as what a longer latency admits"


def test_the_latency_that_is_offered_for_an_impossible_one_is_of_several_processes(bench):
    outcome = choose(candidates(HERE, "resnet*"), Budget(latency=0.001), HERE)
    (way,) = outcome.decision.relaxations
    assert way.candidate.latency.processes == HEADLINE


def test_a_failure_in_several_processes_is_final(bench, monkeypatch):
    def crash(networks, *, processes, **how):
        done = bench.measure(networks, processes=processes, **how)
        return [replace(m, failure="killed") for m in done] if processes > 1 else done

    monkeypatch.setattr(choosing, "measure", crash)
    outcome = choose(candidates(HERE, "mobilenetv1_025"), Budget(latency=15), HERE)
    assert outcome.decision.pick is None


def test_what_the_reasons_name_is_measured(bench):
    decision = choose(candidates(HERE, "mobilenetv*"), Budget(latency=6), HERE).decision
    (latency,) = [r for r in decision.relaxations if r.limit.name == "latency"]
    assert latency.candidate.is_measured
    assert decision.cheaper.is_measured


def test_a_second_choice_asks_the_ledger(bench):
    pool = candidates(HERE, "mobilenetv1*")
    first = choose(pool, Budget(latency=5), HERE)
    count = len(bench)
    second = choose(pool, Budget(latency=5), HERE)
    assert len(bench) == count
    assert second.decision.pick.name == first.decision.pick.name
    choose(pool, Budget(latency=5), HERE, fresh=True)
    assert len(bench) > count


def test_the_ledger_gives_the_record_of_most_processes_not_a_later_hasty_one(bench):
    pool = candidates(HERE, "mobilenetv1*")
    pick = choose(pool, Budget(latency=5), HERE).decision.pick
    ledger.append(replace(pick.latency, processes=1, median_ms=99.0))
    count = len(bench)
    again = choose(pool, Budget(latency=5), HERE).decision.pick
    assert (again.key, again.latency_ms, len(bench)) == (pick.key, pick.latency_ms, count)


def test_a_choice_for_a_batch_forecasts_and_measures_the_whole_batch(bench):
    targets = [replace(HERE[0], batch=8)]
    one, eight = (candidates(at, "mobilenetv1*") for at in (HERE, targets))
    for a, b in zip(one, eight, strict=True):
        assert (a.macs, a.size_bytes, a.top1) == (b.macs, b.size_bytes, b.top1)
        activations = a.memory_bytes - a.size_bytes
        assert b.memory_bytes == b.size_bytes + 8 * activations
        assert a.forecast.ms < b.forecast.ms < 8 * a.forecast.ms, "calls are paid once"
    pick = choose(eight, Budget(latency=40), targets).decision.pick
    assert pick.latency.batch == 8
    assert pick.latency_ms == pytest.approx(latency_of(pick.net, 8))
    assert pick.key == choose(one, Budget(latency=5), HERE).decision.pick.key


def test_what_was_measured_at_another_batch_says_nothing(bench):
    pool = candidates(HERE, "mobilenetv1*")
    choose(pool, Budget(latency=5), HERE)
    count = len(bench)
    targets = [replace(HERE[0], batch=2)]
    outcome = choose(candidates(targets, "mobilenetv1*"), Budget(latency=10), targets)
    assert len(bench) > count
    assert {c.latency.batch for c in outcome.candidates if c.is_measured} == {2}


def test_a_forecast_beyond_the_batch_of_its_model_is_wider_and_says_so():
    one = candidates(HERE, "resnet18")[0]
    graph = one.net.graph()
    near = predict(graph, CARD)
    for batch in (2, 8):
        far = predict(graph, CARD, batch=batch)
        wider = 1.1 ** log2(batch)
        assert far.high_ms / far.total_ms == pytest.approx(wider * near.high_ms / near.total_ms)
        assert far.low_ms / far.total_ms == pytest.approx(near.low_ms / near.total_ms / wider)
        assert any(f"at batch {batch} it is extrapolated" in said for said in far.warnings)
    own = replace(CARD.models[0], batch=8)
    card = replace(CARD, models=(*CARD.models, own))
    assert replace(HERE[0], batch=8).notes == [
        "onnxruntime fp32: the model was fitted at batch 1: at batch 8 it is extrapolated, with a wider interval"
    ]
    assert replace(HERE[0], device=card, batch=8).notes == replace(HERE[0], device=card).notes == []


def test_a_card_forecasts_batches_too():
    one, eight = (targets_on("rpi-5", (), None, 4, batch) for batch in (1, 8))
    a, b = (candidates(targets, "resnet18")[0] for targets in (one, eight))
    assert a.forecast.ms < b.forecast.ms < 8 * a.forecast.ms, "weights and calls are paid once"
    with pytest.raises(NetlatheError, match="stm32f746 runs one image at a time, not 8"):
        targets_on("stm32f746", (), None, 1, 8)


def test_an_impossible_latency_is_answered_with_a_measured_possible_one(bench):
    pool = candidates(HERE, "resnet*")
    outcome = choose(pool, Budget(latency=0.001), HERE)
    assert outcome.decision.pick is None
    (way,) = outcome.decision.relaxations
    assert way.candidate.is_measured
    assert choose(pool, Budget(latency=way.value), HERE).decision.pick is not None


def test_an_impossible_budget_of_a_batch_says_for_how_many_images_and_on_what_it_rests(bench):
    noted = replace(CARD, models=(replace(CARD.models[0], note="fitted on a note"),))
    targets = [replace(HERE[0], device=noted, batch=4)]
    said = str(infeasible_error(choose(candidates(targets, "resnet*"), Budget(latency=0.001), targets)))
    assert "ms for 4 images" in said
    assert "onnxruntime fp32 was fitted on a note" in said


def test_networks_that_do_not_run_are_named_with_their_failure(monkeypatch):
    monkeypatch.setattr(choosing.MeasurementCache, "measure", lambda bench, some, processes=1: [
        replace(c, latency=measured(float("inf"), failure="the worker was killed by SIGSEGV")) for c in some
    ])  # fmt: skip
    monkeypatch.setattr(choosing.MeasurementCache, "processes", lambda bench, c: HEADLINE)
    said = infeasible_error(choose(candidates(HERE, "resnet*"), Budget(latency=1000.0), HERE)).hint
    assert "did not run: the worker was killed by SIGSEGV" in said
    assert "others" in said
    assert "bug" not in said


def test_limits_that_exclude_each_other_are_answered_with_the_nearest_network(bench):
    outcome = choose(candidates(HERE, "resnet*"), Budget(size=1000, macs=1000), HERE)
    nearest, broken = nearest_budget(outcome)
    assert outcome.decision.relaxations == []
    assert {limit.name for limit in broken} == {"size", "macs"}
    assert nearest.net.name == "resnet18"


def test_an_unmeasured_forecast_decides_elsewhere_and_its_upper_end_has_to_fit(bench):
    away = AWAY
    pool = candidates(away, "mobilenetv*")
    outcome = choose(pool, Budget(latency=5), away)
    assert bench == []
    pick = outcome.decision.pick
    assert pick.forecast.high_ms <= 5
    assert not any(c.forecast.high_ms <= 5 and c.top1 > pick.top1 and not tied(c, pick) for c in pool)


def test_runtime_and_precision_are_part_of_the_answer():
    model = CARD.models[0]
    fast = replace(model, runtime="openvino", precision="bf16", coefficients={"*.macs": 5.0, "*.calls": 0.01})
    card = replace(CARD, models=(model, fast))
    targets = [CardTarget(card, "onnxruntime", "fp32"), CardTarget(card, "openvino", "bf16")]
    pick = choose(candidates(targets, "resnet*"), Budget(latency=40), targets).decision.pick
    assert (pick.runtime, pick.precision) == ("openvino", "bf16")
    assert pick.top1 > choose(candidates(HERE, "resnet*"), Budget(latency=40), AWAY).decision.pick.top1


def test_a_microcontroller_brings_its_own_limits():
    targets = targets_on("stm32f746", (), None, 1)
    budget = within_device(Budget(), targets[0])
    assert (budget.size, budget.memory) == (1 << 20, 320 << 10)
    outcome = choose(candidates(targets, "mobilenetv[12]*"), budget, targets)
    assert outcome.decision.pick.net.name == "mobilenetv1_025"
    assert outcome.decision.pick.precision == "int8"


def test_a_precision_that_a_card_has_not_is_refused():
    with pytest.raises(NetlatheError, match="nobody measured int8 on rpi-5"):
        targets_on("rpi-5", (), "int8", 1)


def test_a_precision_that_no_model_of_a_card_has_is_refused(tmp_path):
    save(CARD, tmp_path / "card.toml")
    with pytest.raises(NetlatheError, match="nobody measured bf16 on this-test"):
        targets_on(str(tmp_path / "card.toml"), (), "bf16", 1)
    with pytest.raises(NetlatheError, match="unknown precision of stm32f746 'fp32'"):
        targets_on("stm32f746", (), "fp32", 1)


def test_compiled_torch_is_forecast_by_its_own_rule():
    compiled = replace(CARD.models[0], runtime="torch-compile")
    card = replace(CARD, models=(compiled,))
    targets = [MachineTarget(card, "torch-compiled")]
    assert calibrated(card, 1) == [("torch-compiled", "fp32")]
    found = candidates(targets, "resnet18")[0]
    assert found.forecast.ms == predict(found.net.graph(), card, runtime="torch-compile").total_ms


def test_a_gpu_here_is_chosen_for_by_its_own_card():
    with pytest.raises(NetlatheError, match=r"choose --device my-gpu\.toml"):
        targets_here(["torch-cuda"], None, 1)


def test_a_candidate_without_any_latency_fits_only_where_no_latency_is_asked():
    silent = replace(A, latency=None)
    assert decide([silent], Budget(size=10)).pick == silent
    assert decide([silent], Budget(latency=1e9)).pick is None
    assert decide([replace(silent, forecast=Forecast(1, 0.5, 2, ""))], Budget(latency=2)).pick is not None


def test_the_command_line_chooses_for_a_batch(calibrated):
    words = ["choose", "--networks", "mobilenetv1_025", "--latency"]
    more = ["2s", "--macs", "20M", "--seconds", "0.05", "--batch", "4"]
    done = netlathe(*words, *more)
    assert "batch 4: the front" in done.stdout
    assert "an image" in done.stdout
    assert "measured 1, 1 of them in 6 fresh processes each" in done.stdout
    assert "--batch 4" in done.stdout.partition("repeat:")[2]
    assert "at batch 4 it is extrapolated" in done.stderr
    (first, second) = ledger.read()
    assert [(m.batch, m.processes) for m in (first, second)] == [(4, 1), (4, HEADLINE)]
    asjson = json.loads(netlathe(*words, *more, "--json").stdout)
    assert asjson["data"]["batch"] == 4
    assert asjson["data"]["pick"]["latency"]["id"] == second.id, "the ledger knows it"
