"""The tabular benchmarks agree with the spaces: every published count is that of our own expression."""

from pathlib import Path

import numpy as np
import pytest

from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError
from netlathe.search import tables
from netlathe.search.canonical import canonical_form, live_ops

DATA = Path(__file__).parents[2] / "shared" / "data"
MACRO = DATA / "nas_bench_macro" / "nas_bench_macro.npz"
NB201 = DATA / "nas_bench_201" / "nas_bench_201.npz"
HELP = DATA / "hw_latency" / "nb201_latency_help.npz"

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not MACRO.exists() or not NB201.exists(), reason=f"the tables are not at {DATA}"),
]


def counted(network):
    cost = totals(network.body, network.input)
    return cost.params, cost.macs


@pytest.fixture(scope="module")
def macro():
    return tables.load_macro(MACRO)


@pytest.fixture(scope="module")
def nb201():
    return tables.load_nb201(NB201)


def test_every_network_of_macro_costs_what_is_published(macro):
    assert len(macro.genotypes) == macro.space.size == 6561
    for genotype in macro.genotypes:
        known = macro.costs(genotype)
        assert counted(macro.space.decode(genotype)) == (known["params"], known["macs"])


def test_the_best_of_macro_is_the_published_one(macro):
    assert macro.space.decode(macro.best).name == "macro-22212202"
    assert macro.score(macro.best) == pytest.approx(93.127, abs=5e-4)
    assert [macro.score(macro.best, seed) for seed in range(3)] == pytest.approx([93.28, 93.33, 92.77], abs=1e-4)


def test_the_best_of_macro_under_50M_macs_is_the_reference_one(macro):
    kept = macro.feasible({"macs": 50e6})
    best = macro.genotypes[int(np.where(kept, macro.mean, -1).argmax())]
    assert best == (2, 1, 2, 0, 1, 2, 0, 0)
    assert macro.score(best) == pytest.approx(92.167, abs=5e-4)


def test_macros_networks_that_are_one_have_one_row_of_accuracies(macro):
    # The authors trained them once: an oracle for our canonical form that knows nothing of it.
    rng = np.random.default_rng(0)
    seen = {}
    for row in rng.choice(6561, 400, replace=False):
        key = macro.space.key(macro.genotypes[row])
        twin = seen.setdefault(key, row)
        assert (macro.scores[row] == macro.scores[twin]).all()
    assert len(seen) < 400


def test_cells_of_nb201_cost_what_is_published_but_for_the_bias_of_the_classifier(nb201):
    # Ours counts no MACs for a bias; the authors count one a class: 10.
    rows = [0, *np.random.default_rng(1).choice(15625, 500, replace=False)]
    rows += [int(np.argmax(nb201.columns["macs"])), int(np.argmin(nb201.columns["macs"]))]
    for row in rows:
        params, macs = counted(nb201.space.decode(nb201.genotypes[row]))
        assert (params, macs + 10) == (nb201.columns["params"][row], nb201.columns["macs"][row])
    assert nb201.costs(nb201.genotypes[0]) == {"params": 129_306, "macs": 15_647_370}
    assert (max(nb201.columns["params"]), max(nb201.columns["macs"])) == (1_531_546, 220_119_690)


def test_the_key_of_nb201_gives_the_published_isomorphism_groups(nb201):
    groups = tables.read_arrays(NB201, "iso_group")["iso_group"]
    keys = [nb201.space.key(genotype) for genotype in nb201.genotypes]
    assert len(set(keys)) == 6466
    assert len(set(zip(keys, groups, strict=True))) == 6466  # the same partition


def test_live_macs_are_those_of_edges_between_input_and_output(nb201):
    wanted = tables.read_arrays(NB201, "macs_c10_live")["macs_c10_live"]
    for row in np.random.default_rng(2).choice(15625, 60, replace=False):
        found = live_ops(nb201.space.decode(nb201.genotypes[row]).graph())
        connected = "@" in nb201.space.key(nb201.genotypes[row]) or "0" in nb201.space.key(nb201.genotypes[row])
        assert sum(op.macs for op in found.ops) == (wanted[row] - 10 if connected else 0)


def test_the_canonical_form_tells_two_convolutions_from_one_that_is_read_twice(nb201):
    twice, shared = (3, 3, 1, 0, 0, 1), (3, 0, 1, 0, 1, 1)  # conv(x) + conv'(x), and conv(x) + conv(x)
    assert nb201.space.key(twice).count("@") == nb201.space.key(shared).count("@") == 2
    assert canonical_form(nb201.space.decode(twice)) != canonical_form(nb201.space.decode(shared))


def test_latencies_of_devices_are_costs(nb201):
    table = tables.with_latency(nb201, HELP, "raspi4", "fpga")
    found = table.costs(table.genotypes[0])
    assert found["raspi4"] == pytest.approx(10.4819765)
    assert found["fpga"] == pytest.approx(2.57296)
    assert len(tables.with_latency(nb201, HELP).columns) == 2 + 27
    with pytest.raises(NetlatheError, match="did you mean raspi4"):
        tables.with_latency(nb201, HELP, "raspi")


def test_what_a_table_does_not_have_is_said(macro, tmp_path):
    with pytest.raises(NetlatheError, match="no seed 3"):
        macro.score(macro.best, 3)
    with pytest.raises(NetlatheError, match="no option 5 of layer1"):
        macro.score((5, 0, 0, 0, 0, 0, 0, 0))
    with pytest.raises(NetlatheError, match="unknown cost 'mac'"):
        macro.feasible({"mac": 1e6})
    with pytest.raises(NetlatheError, match="there is no table at"):
        tables.load_macro(tmp_path / "none.npz")
    with pytest.raises(NetlatheError, match="is a folder"):
        tables.load_macro(tmp_path)
    with pytest.raises(NetlatheError, match="has no arch, test_acc"):
        tables.load_macro(NB201)
    with pytest.raises(NetlatheError, match="unknown dataset"):
        tables.load_nb201(NB201, "cifar")
    (tmp_path / "bad.npz").write_text("hello")
    with pytest.raises(NetlatheError, match=r"is no npz file"):
        tables.load_nb201(tmp_path / "bad.npz")
