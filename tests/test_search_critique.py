"""The exhibits of the critique on arrays whose answer is known, and the report that is made of them."""

import re
from pathlib import Path

import numpy as np
import pytest
from test_search_compare import ground, maker

from netlathe.cli import main
from netlathe.search.compare import compare_strategies, report
from netlathe.search.compare.benchmark_table import BenchmarkTable
from netlathe.search.compare.critique import (
    STRATEGIES,
    Critique,
    critique_to_json,
    dataset_transfers,
    design_shares,
    measure_critique,
)
from netlathe.search.compare.statistics import (
    accuracy_spread,
    device_agreement,
    device_transfer,
    macs_caps,
    noise_floor,
)

DATA = Path(__file__).parent.parent.parent / "shared" / "data"


def rng():
    return np.random.default_rng(20261126)


def accuracy_and_latency(devices=5, n=300):
    """Accuracy rises with size; devices agree with size but for some noise."""
    drawn = rng()
    size = drawn.uniform(1, 100, n)
    return size, 50 + size / 4 + drawn.normal(0, 3, n), size[:, None] * drawn.lognormal(0, 0.3, (n, devices))


# Exhibits


def test_between_equal_devices_everything_transfers():
    size, accuracy, _ = accuracy_and_latency()
    same = device_transfer(accuracy, np.stack([size, 2 * size, 3 * size], 1), 0.25, rng=rng())
    assert (same.pairs, same.same, same.breaks.value, same.loss.value) == (6, 1.0, 0.0, 0.0)


def test_between_devices_that_differ_the_choice_breaks_limits_or_loses_accuracy():
    _, accuracy, latency = accuracy_and_latency()
    found = device_transfer(accuracy, latency, 0.25, rng=rng())
    assert 0 < found.breaks.low <= found.breaks.value <= found.breaks.high <= 1
    assert found.over > 0
    assert found.same < 1
    orders = device_agreement(latency, list("abcde"))
    assert len(orders) == 10
    assert [tau for *_, tau in orders] == sorted(tau for *_, tau in orders)


def test_macs_are_a_limit_of_latency_only_where_they_order_it():
    size, accuracy, latency = accuracy_and_latency()
    exact = macs_caps(accuracy, size, 3 * size[:, None], ["ideal"], 0.25)[0]
    assert exact.tau == pytest.approx(1)
    assert exact.breaking == 0
    assert exact.over <= 0
    assert exact.within_macs == exact.within_latency
    real = macs_caps(accuracy, size, latency, list("abcde"), 0.25)
    assert all(0.5 < cap.tau < 1 and 0 < cap.breaking < 0.5 for cap in real)
    assert any(cap.over > 0 or cap.within_latency > cap.within_macs for cap in real)


def test_seeds_seem_to_disagree_where_their_mean_chose_the_networks():
    drawn = rng()
    trained = drawn.normal(90, 0.3, (600, 1)) + drawn.normal(0, 0.2, (600, 3))
    found = noise_floor(trained, rng=drawn, top=40)
    assert found.seed_sd == pytest.approx(0.2, abs=0.01)
    assert found.tau.low < found.tau.value < found.tau.high
    assert found.tau_top.value < found.tau_top_apart.value < found.tau.value


def test_a_space_is_told_by_its_quantiles():
    found = accuracy_spread(np.arange(101, dtype=float))
    assert (found.mean, found.quantiles, found.best) == (50.0, (50.0, 95.0, 99.0), 100.0)


# The report


@pytest.fixture(scope="module")
def critique():
    """The report of a small made-up space."""
    macro = ground(noise=1.0)
    truth = macro.values
    drawn = rng()
    judged = {
        name: BenchmarkTable(
            f"nb201 {name}", macro.space, macro.genotypes, (truth + drawn.normal(0, 1, 81))[:, None], truth + i
        )
        for i, name in enumerate(("c10", "c100"))
    }
    searches = {
        on.name: compare_strategies(
            on, {s: maker(on, s) for s in STRATEGIES}, evaluations=30, runs=6, noisy=on is macro
        )
        for on in (macro, *judged.values())
    }
    searches = {"macro" if name == "little" else name: one for name, one in searches.items()}
    size, accuracy, latency = accuracy_and_latency()
    return Critique(
        30,
        6,
        searches,
        tuple(dataset_transfers(judged)),
        tuple(device_transfer(accuracy, latency, share, rng=drawn) for share in (0.25, 0.5)),
        device_agreement(latency, list("abcde")),
        macs_caps(accuracy, size, latency, list("abcde"), 0.25),
        {name: design_shares(name, one) for name, one in searches.items()},
        noise_floor(macro.trained, rng=drawn, top=20),
    )


def test_the_report_answers_every_claim_and_says_what_it_cannot(critique):
    page = report.to_markdown(critique, "netlathe search critique --data there")
    for part in report.critique_parts(critique):
        assert f"*{part.claim}*" in page
        assert part.cannot
        for table in part.tables:
            assert {len(row) for row in table.rows} == {len(table.columns)}, table.title
    assert not re.search(r"\bnan\b|\binf\b", page)
    assert "netlathe search critique --data there" in page


def test_every_way_from_guessing_to_the_best_adds_up(critique):
    for one in critique.shares.values():
        assert one.guess < one.space.mean < one.random <= one.space.best + 1e-9
        assert one.found <= one.space.best + 1e-9
        assert one.rule.mean > one.space.mean
    steps = report.report_design(critique).tables[1]
    for row in steps.rows:
        assert sum(float(cell.split("(")[1].split()[0]) for cell in row[1:]) == pytest.approx(100, abs=0.21)


def test_the_document_holds_what_the_report_says(critique):
    found = critique_to_json(critique)
    assert set(found["searches"]) == {"macro", "nb201 c10", "nb201 c100"}
    assert len(found["domains"]) == 2
    assert found["floor"]["tau_top"]["low"] <= found["floor"]["tau_top"]["value"]


def test_the_command_says_which_table_is_missing(tmp_path, capsys):
    assert main.run(["search", "critique", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "nas_bench_macro.npz" in said
    assert "github.com/xiusu/NAS-Bench-Macro" in said
    assert main.run(["search", "critique", "--data", str(tmp_path), "-o", "page.pdf"]) == 2
    assert "critique.html" in capsys.readouterr().err


@pytest.mark.data
@pytest.mark.slow
def test_the_real_report_has_the_figures_of_the_reference():
    if not DATA.exists():
        pytest.skip(f"{DATA} is absent")
    found = measure_critique(DATA, evaluations=50, runs=10)
    # computed once from the same public tables by a script of its own
    assert found.floor.seed_sd == pytest.approx(0.213, abs=5e-4)
    assert found.floor.tau.value == pytest.approx(0.881, abs=2e-3)
    assert found.floor.near == 25
    known = {"raspi4": 0.739, "pixel3": 0.682, "eyeriss": 0.421, "samsung_a50": 0.912}
    assert {cap.device: cap.tau for cap in found.caps if cap.device in known} == pytest.approx(known, abs=5e-4)
    assert found.devices[0] == ("eyeriss", "titan_rtx_1", pytest.approx(0.262, abs=5e-4))
    assert 0.04 < min(cap.breaking for cap in found.caps) < max(cap.breaking for cap in found.caps) < 0.43


def test_strategies_that_did_the_same_are_equal_in_the_report(critique):
    on = ground()
    same = {name: maker(on, name) for name in ("random", "evolution")}  # 10 draws are evolution's first population
    searches = {"macro": compare_strategies(on, same, evaluations=10, runs=4, noisy=True)}
    part = report.report_against_random(critique._replace(searches=searches))
    assert part.tables[0].rows[1][-1] == "equal"
