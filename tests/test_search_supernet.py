"""A supernet computes the mixture of its networks, with the paper's gradient, and a genotype is found in it again."""

import json

import numpy as np
import pytest
import torch
from oneshots import FAMILY, SMALL
from torch.nn import functional as F

from netlathe.arch.build import conv, head, relu, seq
from netlathe.arch.combinators import Choice, Identity
from netlathe.arch.layers import Conv
from netlathe.arch.network import Network
from netlathe.errors import NetlatheError, ShapeError
from netlathe.lower.torch import to_torch
from netlathe.search.oneshot import genotypes
from netlathe.search.oneshot.cells import Cells, edge_id, supernet_of
from netlathe.search.oneshot.curvature import dominant_eigenvalue
from netlathe.search.oneshot.family import DartsFamily
from netlathe.search.oneshot.gradient import first_order, second_order
from netlathe.search.oneshot.supernet import Supernet
from netlathe.search.space import SearchSpace
from netlathe.search.spaces import get
from netlathe.zoo.darts import V1, V2

pytestmark = pytest.mark.usefixtures("one_thread")


def network(*parts, side=6, **known):
    return Network("open", seq(stem=conv(4, 3), **known, head=head(3)), (1, side, side))


def nested():
    """A choice of a choice, with a decision that occurs twice."""
    inner = Choice(("a", "b"), (conv(4, 3), conv(4, 1)), "kernel")
    outer = Choice(("deep", "skip"), (seq(first=inner, second=inner), Identity()), "depth")
    return network(body=outer, last=Choice(("relu", "conv"), (relu, conv(4, 1))))


# What a supernet computes


@pytest.mark.parametrize(
    "space", [SearchSpace("nested", nested()), get("macro", width=4)], ids=["nested and tied", "nas-bench-macro"]
)
def test_a_one_hot_mixture_is_the_resolved_network_with_the_same_weights(space):
    supernet = Supernet(space.network, seed=3).eval()
    x = torch.randn(2, *space.network.input, generator=torch.Generator().manual_seed(0))
    rng = np.random.default_rng(1)
    for genotype in {space.sample(rng) for _ in range(4)}:
        picks = dict(zip((d.name for d in space.decisions), genotype, strict=True))
        path = supernet(x, picks)
        mixed = supernet(x, {d.name: F.one_hot(torch.tensor(picks[d.name]), len(d.options)) for d in space.decisions})
        weights = supernet.inherit({d.name: d.options[picks[d.name]] for d in space.decisions})
        alone = to_torch(space.decode(genotype), weights).eval()(x)
        torch.testing.assert_close(path, alone, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(mixed, alone, rtol=1e-5, atol=1e-6)


def test_a_mixture_is_the_weighted_sum_of_its_options():
    choice = Choice(("three", "one"), (Conv(3, 3), Conv(3)), "kernel")
    supernet = Supernet(Network("sum", seq(pick=choice), (2, 5, 5)), seed=1)
    x = torch.randn(2, 2, 5, 5)
    three, one = (supernet(x, {"kernel": i}) for i in (0, 1))
    mixed = supernet(x, {"kernel": torch.tensor([0.3, 0.7])})
    torch.testing.assert_close(mixed, 0.3 * three + 0.7 * one)
    assert not supernet(x, {"kernel": None}).any()
    assert supernet(x, {"kernel": None}).shape == three.shape


def test_options_of_different_shapes_are_refused_with_the_name_of_the_choice():
    wrong = network(body=Choice(("wide", "narrow"), (conv(8), conv(4)), "width"))
    with pytest.raises(ShapeError, match=r"'width' give different shapes: wide .8, 6, 6., narrow .4, 6, 6."):
        Supernet(wrong)


def test_an_expression_without_a_choice_has_no_supernet():
    with pytest.raises(NetlatheError, match="without a choice"):
        Supernet(network(body=conv(4)))


def test_a_path_of_the_darts_supernet_is_the_zoo_network_of_its_genotype():
    """Operations without pools, which the search norms and the final network does not."""
    cells = Cells(operations=("none", "skip", "sep3", "sep5", "dil3", "dil5"))
    family = DartsFamily(cells=cells, channels=4, depth=4, final_channels=4, final_depth=4)
    genotype = family.draw(np.random.default_rng(5))
    supernet = Supernet(family.supernet((1, 12, 12), 3), seed=2).eval()
    state = supernet.net.state_dict()
    module = to_torch(family.network(genotype, (1, 12, 12), 3, "found")).eval()
    weights = {}
    for name in module.state_dict():
        cell, step, side, *rest = [*name.split("."), "", ""]
        if step.startswith("step"):
            number = int(step[4:])
            kind = "normal" if cell in ("cell1", "cell4") else "reduce"
            operation, j = genotype[kind == "reduce"].steps[number - 1][side == "right"]
            theirs = ".".join(filter(None, (cell, f"edge{j}-{number + 1}", operation, *rest)))
        else:
            theirs = name
        weights[name] = state[theirs]
    module.load_state_dict(weights)
    x = torch.randn(2, 1, 12, 12)
    torch.testing.assert_close(supernet(x, family.setting(genotype)), module(x), rtol=1e-4, atol=1e-5)


def test_partial_channels_mix_a_part_and_shuffle_the_rest():
    cells = Cells(steps=2, operations=("skip", "sep3"), partial=4)
    supernet = Supernet(supernet_of(cells, 8, 3, (1, 8, 8), 3))
    assert supernet.decisions["normal:in3"] == ("from0", "from1", "from2")
    even = {name: torch.full((len(options),), 1 / len(options)) for name, options in supernet.decisions.items()}
    assert supernet(torch.randn(2, 1, 8, 8), even).shape == (2, 3)
    full = Supernet(supernet_of(Cells(steps=2, operations=("skip", "sep3")), 8, 3, (1, 8, 8), 3))
    assert sum(w.numel() for w in supernet.parameters()) < sum(w.numel() for w in full.parameters()) / 2
    with pytest.raises(NetlatheError, match="a multiple of 8"):
        supernet_of(cells, 12, 3, (1, 8, 8), 3)


def test_norms_of_the_cells_have_no_factors_and_those_of_the_stem_have():
    supernet = Supernet(FAMILY.supernet((1, 8, 8), 3), affine=FAMILY.affine)
    norms = [name for name in supernet.net.state_dict() if name.endswith("norm.weight")]
    assert norms == ["stem.norm.weight"]


# The gradient


def tiny():
    """Losses of two weights and two architecture parameters, smooth and far from quadratic."""
    torch.manual_seed(0)
    weights = [torch.randn(3, 2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    alphas = [torch.randn(2, dtype=torch.float64, requires_grad=True)]
    data = [(torch.randn(8, 3, dtype=torch.float64), torch.randn(8, 2, dtype=torch.float64)) for _ in range(2)]

    def loss(which, ws):
        x, y = data[which]
        mix = alphas[0].softmax(0)
        return ((mix[0] * torch.tanh(x @ ws[0]) + mix[1] * torch.sin(x @ ws[1]) - y) ** 2).mean()

    return weights, alphas, loss


@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.9, 0.1)])
def test_the_second_order_is_the_gradient_through_the_unrolled_step(momentum, decay):
    weights, alphas, loss = tiny()
    lr, velocity = 0.3, [torch.randn_like(w) for w in weights]
    slopes = torch.autograd.grad(loss(0, weights), weights, create_graph=True)
    unrolled = [w - lr * (momentum * v + g + decay * w) for w, v, g in zip(weights, velocity, slopes, strict=True)]
    [exact] = torch.autograd.grad(loss(1, unrolled), alphas)
    before = [w.detach().clone() for w in weights]
    [found] = second_order(
        lambda: loss(0, weights),
        lambda: loss(1, weights),
        weights,
        alphas,
        lr=lr,
        momentum=momentum,
        weight_decay=decay,
        velocity=velocity,
    )
    [first] = first_order(lambda: loss(1, weights), alphas)
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-7)
    assert (first - exact).norm() > 0.05 * exact.norm()  # so the second order is not the first
    for w, old in zip(weights, before, strict=True):
        assert torch.equal(w, old)


def test_the_dominant_eigenvalue_is_that_of_the_whole_hessian():
    weights, _, loss = tiny()
    hessian = torch.autograd.functional.hessian(lambda *ws: loss(0, ws), tuple(weights))
    rows = [
        torch.cat([block.reshape(w.numel(), -1) for block in row], 1) for row, w in zip(hessian, weights, strict=True)
    ]
    exact = float(torch.linalg.eigvalsh(torch.cat(rows))[-1])
    found = dominant_eigenvalue(lambda: loss(0, weights), weights, steps=12)
    assert found == pytest.approx(exact, rel=1e-4)


# Genotypes


def shares(cells, genotype, level=0.6):
    """Weights of the options that stand for a genotype, with `none` the strongest on every edge."""
    found = {}
    for kind, cell in zip(("normal", "reduce"), genotype, strict=True):
        for j, i in cells.edges:
            weights = np.full(len(cells.operations), 0.01)
            weights[cells.operations.index("none")] = 0.9
            for name, state in cell.steps[i - 2]:
                if state == j:
                    weights[cells.operations.index(name)] = level
            found[edge_id(kind, j, i)] = weights / weights.sum()
    return found


def as_sets(genotype):
    return [[frozenset(pair) for pair in cell.steps] for cell in genotype]


@pytest.mark.parametrize("genotype", [V1, V2])
def test_the_derivation_finds_a_genotype_again_and_never_takes_none(genotype):
    cells = Cells()
    assert as_sets(genotypes.derive_genotype(cells, shares(cells, genotype))) == as_sets(genotype)


def test_a_genotype_is_printed_as_the_zoo_writes_it():
    from netlathe.zoo.cells import Cell

    assert eval(genotypes.genotype_to_text(V2), {"Cell": Cell}) == V2
    assert genotypes.genotype_from_json(Cells(), json.loads(json.dumps(genotypes.genotype_to_json(V2)))) == V2


def test_the_cap_keeps_the_two_strongest_skips():
    cells = Cells(operations=("none", "skip", "sep3"))
    weights = {
        edge_id(k, j, i): np.array([0.1, 0.8 + 0.01 * (i + j), 0.1])
        for k in ("normal", "reduce")
        for j, i in cells.edges
    }
    free, capped = genotypes.derive_genotype(cells, weights), genotypes.derive_genotype(cells, weights, skips=2)
    assert genotypes.cell_operators(free[0]).count("skip") == 8
    assert genotypes.skip_edges(capped[0]) == [(4, 5), (3, 5)]
    assert capped[1] == free[1]  # the reduction cell keeps its own


def test_random_genotypes_read_two_different_states_and_cover_all():
    rng = np.random.default_rng(0)
    drawn = [genotypes.draw_genotype(SMALL, rng) for _ in range(300)]
    assert all(a[1] != b[1] for g in drawn for cell in g for a, b in cell.steps)
    assert {name for g in drawn for cell in g for name in genotypes.cell_operators(cell)} == set(SMALL.real)
    assert len({g[0] for g in drawn}) > 100
