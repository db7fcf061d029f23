"""Spoilt files: no reader crashes, hangs or runs what is in them; it reads the file or names the mistake."""

import pytest
from fuzzed import READERS, WORD, WORDS, seeds, survives
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

QUICK = settings(suppress_health_check=list(HealthCheck), derandomize=True, database=None)


@st.composite
def respelt(draw, reader):
    """A valid file in which some words are others, or gone."""
    text = draw(st.sampled_from(seeds(reader))).decode()
    spans = [match.span() for match in WORD.finditer(text)]
    for _ in range(draw(st.integers(1, 4))):
        start, end = spans[draw(st.integers(0, len(spans) - 1))]
        text = text[:start] + draw(st.sampled_from((*WORDS, ""))) + text[end:]
    return text.encode()


@st.composite
def damaged(draw, reader):
    """A valid file cut, or with bytes changed, added and left out."""
    data = bytearray(draw(st.sampled_from(seeds(reader))))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@pytest.mark.parametrize("reader", list(READERS))
def test_a_valid_file_is_read(reader):
    assert all(survives(READERS[reader], data) for data in seeds(reader))


@pytest.mark.parametrize("reader", ["arch", "card", "recipe"])
def test_words_that_are_others_are_named_mistakes(reader):
    @settings(QUICK, max_examples=120)
    @given(respelt(reader))
    def holds(data):
        survives(READERS[reader], data)

    holds()


@pytest.mark.parametrize("reader", list(READERS))
def test_damaged_bytes_are_named_mistakes(reader):
    @settings(QUICK, max_examples=100)
    @given(damaged(reader))
    def holds(data):
        survives(READERS[reader], data)

    holds()


@pytest.mark.parametrize("reader", list(READERS))
def test_what_is_no_such_file_at_all_is_a_named_mistake(reader):
    @settings(QUICK, max_examples=60)
    @given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
    def holds(data):
        survives(READERS[reader], data)

    holds()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "a = " + "[" * 20_000])
@pytest.mark.parametrize("reader", ["arch", "card", "recipe"])
def test_deep_nesting_is_a_named_mistake(reader, text):
    assert not survives(READERS[reader], text.encode())


def test_what_atheris_found_stays_a_named_mistake():
    import onnx

    def spoilt(change):
        model = onnx.ModelProto.FromString(seeds("onnx")[0])
        change(model)
        return model.SerializeToString()

    def flat_weight(model):  # a convolution whose weight has no axes
        conv = next(node for node in model.graph.node if node.op_type == "Conv")
        weight = next(t for t in model.graph.initializer if t.name == conv.input[1])
        del weight.dims[:]

    def no_result(model):
        del model.graph.node[0].output[:]

    for change in (flat_weight, no_result):
        assert not survives(READERS["onnx"], spoilt(change))
    for name in (b"input", b".weight"):  # names that are no text: read or refused, but nothing else
        survives(READERS["onnx"], seeds("onnx")[0].replace(name, name[:-2] + b"\xd7t"))
