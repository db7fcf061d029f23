"""Budgets carry units; what is written wrong is answered with what to write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlathe.errors import NetlatheError
from netlathe.units import (
    COUNTS,
    DECIMAL_BYTES,
    TIMES,
    ask,
    byte_count,
    mac_count,
    milliseconds,
    quantity,
    show_bytes,
    show_count,
    show_ms,
)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (milliseconds, "15ms", 15.0),
        (milliseconds, "0.5 s", 500.0),
        (milliseconds, "250us", 0.25),
        (byte_count, "4MB", 4_000_000),
        (byte_count, "4MiB", 4_194_304),
        (byte_count, "320KiB", 327_680),
        (mac_count, "300M", 300_000_000),
        (mac_count, "1.5G", 1_500_000_000),
    ],
)
def test_a_quantity_is_read_with_its_unit(read, text, value):
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (milliseconds, "15", "write 15ms"),
        (byte_count, "4", "write 4MB"),
        (mac_count, "300", "write 300M"),
        (milliseconds, "15MS", "did you mean 15ms?"),
        (byte_count, "4mb", "did you mean 4MB?"),
        (milliseconds, "15 parsecs", "units: us, ms, s"),
        (milliseconds, "-3ms", "must be positive"),
        (byte_count, "0MB", "must be positive"),
        (byte_count, "1e308GB", "must be positive and finite"),
        (byte_count, "0.1B", "must be at least 1"),
        (milliseconds, "fast", "write a number and a unit"),
        (milliseconds, "1.2.3ms", "write a number and a unit"),
        (milliseconds, "", "write a number and a unit"),
        (milliseconds, "1e999ms", "must be positive"),
    ],
)
def test_a_mistake_is_answered_with_the_fix(read, text, said):
    with pytest.raises(NetlatheError) as caught:
        read(text)
    assert said in str(caught.value)


@given(st.floats(1e-6, 1e12), st.sampled_from([COUNTS, DECIMAL_BYTES, TIMES]))
def test_a_suggested_budget_can_be_typed_and_is_never_too_small(number, units):
    typed = quantity(ask(number, units), units, "quantity", "1ms")
    assert typed >= number * (1 - 1e-9)
    assert typed <= max(number * 1.011, number + 0.0011 * min(units.values()))


def test_figures_are_printed_with_decimal_prefixes():
    assert show_count(4_089_184_256) == "4.089 G"
    assert show_bytes(102_228_128) == "102.2 MB"
    assert show_bytes(12) == "12 B"
    assert show_ms(6.885) == "6.88 ms"
    assert show_ms(1234) == "1.23 s"
