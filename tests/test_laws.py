"""The laws of DESIGN section 5 for every registered network, and the suite itself: it sees what is broken.

Laws 2 and 3 run at the smallest image that a network takes. Networks of more than 62 M parameters are marked slow there
(`pytest -m slow`, part of `make bench`), but for one VGG; docs/conformance.md lists all of them with their errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from netlathe import testing, zoo
from netlathe.arch.build import conv, head, seq
from netlathe.arch.network import Network
from netlathe.arch.pools import GlobalPool
from netlathe.cost.totals import totals
from netlathe.lower.twins import twins
from netlathe.testing import LAWS, Broken, check, conformance, smallest

HEAVY, KEPT = 62e6, ("vgg11_bn",)


pytestmark = pytest.mark.usefixtures("one_thread")


def cases() -> Iterator[object]:
    for name in zoo.names():
        network = zoo.get(name)
        heavy = totals(network.body, network.input, *network.more).params > HEAVY and name not in KEPT
        for law in LAWS:
            slow = heavy and law in (2, 3)
            yield pytest.param(name, law, marks=[pytest.mark.slow] if slow else [], id=f"{name}-{law}")


@pytest.mark.parametrize(("name", "law"), list(cases()))
def test_every_registered_network_obeys_the_laws(name: str, law: int, timm: ModuleType) -> None:
    network = zoo.get(name)
    conformance(smallest(network) if law in (2, 3) else network, [law])


PAGE = Path(__file__).parent.parent / "docs" / "conformance.md"


def test_the_page_lists_every_twin_with_the_counts_of_today() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][2:]
    listed = {}
    for line in lines:
        network, twin, *cells, error, _ = (cell.strip() for cell in line.strip("|").split("|"))
        listed[network, twin] = tuple(int(cell.replace(",", "")) for cell in cells[:4])
        assert float(error) <= 1e-4, line
    for twin in twins():
        network = twin.made()
        ours = totals(network.body, network.input)
        counts = (ours.params, ours.params, ours.macs, ours.macs)
        assert listed.pop((twin.network, f"{twin.library} {twin.name}")) == counts, twin
    assert not listed


def tiny(width: int = 8) -> Network:
    return Network("tiny", seq(stem=conv(width, 3, 2), head=head(10)), (3, 32, 32))


def twin(width: int = 8, act: type[torch.nn.Module] = torch.nn.ReLU) -> torch.nn.Module:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        act(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 10),
    )


def test_a_network_of_ones_own_and_its_module_are_checked_in_one_call() -> None:
    results = check(tiny(), twin=twin())
    assert [result.law for result in results] == list(LAWS)
    assert {result.law: result.outcome for result in results} == dict.fromkeys(LAWS, "holds") | {5: "says nothing"}
    conformance(tiny(), twin=twin())


@pytest.mark.parametrize("law", [1, 3])
def test_a_twin_of_another_width_breaks_the_laws_about_twins(law: int) -> None:
    (result,) = check(tiny(), [law], twin=twin(9))
    assert result.outcome == "broken"
    with pytest.raises(Broken, match="tiny: law"):
        conformance(tiny(), [law], twin=twin(9))


def test_a_twin_with_another_activation_breaks_the_law_about_outputs() -> None:
    (result,) = check(tiny(), [3], twin=twin(act=torch.nn.SiLU))
    assert result.outcome == "broken"
    assert "output differs" in result.evidence


def test_every_broken_law_is_told_with_its_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "from_json", lambda text: replace(tiny(), input=(3, 64, 64)))
    monkeypatch.setattr(testing, "TOLERANCE", -1.0)
    with pytest.raises(Broken) as caught:
        conformance(tiny())
    assert LAWS[2].statement in str(caught.value)
    assert LAWS[4].statement in str(caught.value)
    assert LAWS[8].statement not in str(caught.value)


def test_a_figure_that_is_not_the_counted_one_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = testing.figures("resnet50")
    monkeypatch.setattr(testing, "figures", lambda name: (replace(rows[0], params_M=rows[0].params_M * 2, note=""),))
    (result,) = check(zoo.get("resnet50"), [5])
    assert result.outcome == "broken"
    (noted,) = check(tiny(), [5])
    assert noted.outcome == "says nothing"


def test_a_lowering_that_fails_in_any_way_breaks_its_law(monkeypatch: pytest.MonkeyPatch) -> None:
    import netlathe.lower.torch as room

    def broken(*given: object) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(room, "to_torch", broken)
    (result,) = check(tiny(), [2])
    assert (result.outcome, result.evidence) == ("broken", "RuntimeError: no such operator")


def test_a_network_that_ignores_its_image_size_has_no_knob_there() -> None:
    flat = Network("flat", seq(pool=GlobalPool()), (3, 8, 8))
    (result,) = check(flat, [6])
    assert result.outcome == "broken"  # no MACs at any size: not monotone
