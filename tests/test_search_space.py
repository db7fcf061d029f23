"""A space is an expression with open choices: its size is exact, its samples uniform, decode and encode are inverse."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netlathe import zoo
from netlathe.arch import document
from netlathe.arch.build import conv, seq, stage
from netlathe.arch.combinators import Choice, Dag, Identity, Vertex
from netlathe.arch.joins import Add
from netlathe.arch.layers import Conv
from netlathe.arch.network import Network
from netlathe.arch.notation import to_text
from netlathe.arch.rewrite import resolve
from netlathe.errors import NetlatheError
from netlathe.search import spaces
from netlathe.search.space import SearchSpace

IMAGE = (3, 8, 8)


def of(body, **options):
    return SearchSpace("mine", Network("mine", body, IMAGE), **options)


def kernel(name, *sizes):
    return Choice(tuple(f"k{size}" for size in sizes), tuple(Conv(4, size) for size in sizes), name)


NESTED = of(  # depth opens the kernels of the blocks that it adds
    seq(
        first=kernel("kernel1", 1, 3),
        rest=Choice(
            ("none", "one", "two"),
            (
                Identity(),
                kernel("kernel2", 1, 3, 5),
                seq(a=kernel("kernel2", 1, 3, 5), b=kernel("kernel3", 1, 3)),
            ),
            "depth",
        ),
    ),
    resolutions=(8, 16),
)

# Random spaces: choices of few ids, nested and shared. An option of a choice never opens its own id.
leaves = st.builds(lambda n: Conv(4, n), st.sampled_from([1, 3]))
bodies = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda a, b: seq(a=a, b=b), inner, inner),
        st.builds(lambda a, n: stage(a, n), inner, st.integers(1, 3)),
        st.builds(lambda a, b, name: Choice(("x", "y"), (a, b), name), inner, inner, st.sampled_from("pqrs")),
        st.builds(lambda a, name: Choice(("x", "y"), (a, Identity()), name), inner, st.sampled_from("pqrs")),
    ),
    max_leaves=7,
)


@settings(max_examples=120)
@given(bodies)
def test_the_size_is_the_number_of_normal_genotypes_and_decode_and_encode_are_inverse(body):
    space = of(body)
    every = product(*(range(len(decision.options)) for decision in space.decisions))
    normal = {space.normal(genotype) for genotype in every}
    assert space.size == len(normal)
    assert sorted(space.all()) == sorted(normal)
    for genotype in list(normal)[:8]:
        network = space.decode(genotype)
        assert not any(isinstance(node, Choice) for node in leaves_of(network.body))
        assert space.decode(space.encode(network)).body == network.body


def leaves_of(node):
    yield node
    for _, child in node.children():
        yield from leaves_of(child)


def test_choices_of_one_id_are_one_decision():
    cell = kernel("kernel", 1, 3)
    space = of(seq(a=cell, b=stage(cell, 3), c=cell))
    assert [decision.name for decision in space.decisions] == ["kernel"]
    kernels = {op.weights["weight"][-1] for op in space.decode((1,)).graph().ops if op.kind == "conv"}
    assert kernels == {3}


def test_choices_without_an_id_are_named_by_their_path():
    space = of(seq(stem=conv(4, 3), body=stage(Choice(("small", "large"), (Conv(4, 3), Conv(4, 5))), 2)))
    assert [decision.name for decision in space.decisions] == ["body.block1", "body.block2"]
    assert space.size == 4


def test_one_id_with_other_options_is_refused():
    with pytest.raises(NetlatheError, match=r"'kernel' has the options k1, k3 in one place and k1, k5"):
        of(seq(a=kernel("kernel", 1, 3), b=kernel("kernel", 1, 5)))


def test_decisions_that_have_no_effect_are_zero_in_the_normal_form():
    assert [decision.name for decision in NESTED.decisions] == ["resolution", "kernel1", "depth", "kernel2", "kernel3"]
    assert NESTED.size == 2 * 2 * (1 + 3 + 3 * 2)
    assert NESTED.normal((1, 1, 0, 2, 1)) == (1, 1, 0, 0, 0)
    assert NESTED.decode((1, 1, 0, 2, 1)).body == NESTED.decode((1, 1, 0, 0, 0)).body
    assert NESTED.decode((1, 1, 0, 0, 0)).input == (3, 16, 16)
    assert NESTED.options((0, 1, 1, 2, 1)) == {"resolution": "8", "kernel1": "k3", "depth": "one", "kernel2": "k5"}


def test_samples_are_uniform_over_networks_not_over_decisions():
    rng = np.random.default_rng(0)
    seen = Counter(NESTED.sample(rng) for _ in range(4000))
    assert len(seen) == NESTED.size
    expected = 4000 / NESTED.size
    chi2 = sum((count - expected) ** 2 / expected for count in seen.values())
    assert chi2 < 66  # 39 degrees of freedom: above this in 0.5 % of all seeds


def test_a_mutation_changes_one_active_decision():
    rng = np.random.default_rng(1)
    opened = set()
    for _ in range(1000):
        before = NESTED.sample(rng)
        after = NESTED.mutate(before, rng)
        assert after != before
        assert NESTED.normal(after) == after
        shared = NESTED.active(before).keys() & NESTED.active(after).keys()
        names = [decision.name for decision in NESTED.decisions]
        changed = [name for name in shared if before[names.index(name)] != after[names.index(name)]]
        assert len(changed) == 1
        if changed == ["depth"] and after[2] == 2 and before[2] == 0:
            opened.add(after[3:])
    assert len(opened) == 6  # what the deeper network opens is drawn, not left at its first option


def test_neighbours_are_all_one_decision_changes():
    assert set(NESTED.neighbours((0, 0, 1, 2, 0))) == {
        (1, 0, 1, 2, 0),
        (0, 1, 1, 2, 0),
        (0, 0, 0, 0, 0),
        (0, 0, 2, 2, 0),
        (0, 0, 1, 0, 0),
        (0, 0, 1, 1, 0),
    }


def test_the_same_generator_gives_the_same_walk():
    def steps(seed):
        rng = np.random.default_rng(seed)
        genotype = NESTED.sample(rng)
        return [genotype := NESTED.mutate(genotype, rng) for _ in range(20)]

    assert steps(3) == steps(3) != steps(4)


def test_a_space_larger_than_a_machine_word_is_counted_and_sampled():
    space = of(seq(**{f"b{i}": Choice(("a", "b"), (kernel(f"x{i}", 1, 3, 5), Identity()), f"c{i}") for i in range(60)}))
    assert space.size == 4**60
    genotype = space.sample(np.random.default_rng(0))
    assert space.encode(space.decode(genotype)) == genotype


def test_a_network_without_choices_is_a_space_of_one_point():
    network = zoo.get("resnet20")
    space = SearchSpace("one", network)
    rng = np.random.default_rng(0)
    assert (space.size, space.decisions, space.sample(rng), list(space.neighbours(()))) == (1, (), (), [])
    assert space.mutate((), rng) == ()
    assert space.decode(()).body == network.body
    assert space.encode(network) == ()


@pytest.mark.parametrize(
    ("genotype", "message"),
    [
        ((0, 0), r"has 8 decisions, not 2"),
        ((0, 0, 0, 3, 0, 0, 0, 0), r"no option 3 of layer4\s+legal: 0 identity, 1 mb3_k3, 2 mb6_k5"),
        ((-1, 0, 0, 0, 0, 0, 0, 0), r"no option -1 of layer1"),
    ],
)
def test_an_illegal_genotype_names_the_decision_and_the_legal_options(genotype, message):
    with pytest.raises(NetlatheError, match=message):
        spaces.get("macro").decode(genotype)


def test_a_network_that_is_no_member_is_refused_with_the_place():
    space = spaces.get("macro")
    with pytest.raises(NetlatheError, match="it reads 3x224x224"):
        space.encode(zoo.get("resnet18"))
    member = space.decode((0,) * 8)
    other = Network("other", seq(**dict(member.body.children()) | {"stage2": conv(128, 3, 4)}), member.input)
    with pytest.raises(NetlatheError, match=r"no option gives what it has at stage2"):
        space.encode(other)
    assert space.contains(member)
    assert not space.contains(other)


def test_an_unknown_space_names_the_nearest():
    with pytest.raises(NetlatheError, match="did you mean macro"):
        spaces.get("marco")
    with pytest.raises(NetlatheError, match="unknown option of macro 'clases'"):
        spaces.get("macro", clases=7)


def test_the_id_of_a_choice_travels_in_document_and_text_and_resolve_still_goes_by_path():
    network = Network("mine", seq(pick=kernel("kernel", 1, 3)), IMAGE)
    assert document.from_json(document.to_json(network)) == network
    assert '"id": "kernel"' in document.to_json(network)
    assert "one of (kernel)" in to_text(network)
    assert resolve(network.body, {"pick": "k3"}) == seq(pick=Conv(4, 3))


def test_isomorphic_networks_share_a_key_and_others_do_not():
    def wired(*edges):
        vertices = [Vertex(name, Conv(3, size), (reads,)) for name, size, reads in edges]
        return of(Dag(1, (*vertices, Vertex("sum", Add(), tuple(name for name, *_ in edges)))))

    one, same = wired(("a", 1, "in0"), ("b", 3, "in0")), wired(("b", 3, "in0"), ("c", 1, "in0"))
    other = wired(("a", 1, "in0"), ("b", 3, "a"))
    assert one.key(()) == same.key(()) != other.key(())
    twice, shared = (
        wired(("a", 1, "in0"), ("b", 1, "in0")),
        of(Dag(1, (Vertex("a", Conv(3), ("in0",)), Vertex("sum", Add(), ("a", "a"))))),
    )
    assert twice.key(()) != shared.key(())  # two weights, or one weight twice


def test_networks_that_differ_in_where_an_identity_stands_share_a_key():
    space = spaces.get("macro")
    assert space.key((0, 0, 0, 1, 0, 0, 0, 0)) == space.key((0, 0, 0, 0, 1, 0, 0, 0))
    assert space.key((0, 0, 0, 1, 0, 0, 0, 0)) != space.key((0, 0, 0, 0, 0, 0, 1, 0))
    assert space.decode((0,) * 8).name == "macro-00000000"
