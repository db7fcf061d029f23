"""Every claim of the lecture has a check that computes, and whose verdict follows from what it computes."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from netlathe.audit import facts, records
from netlathe.audit.backward import backward_bytes
from netlathe.audit.claims import KINDS, VERDICTS, claims_by_id, find_claim, parse_sayings, select_claims
from netlathe.audit.facts import CitedFigure, months
from netlathe.audit.rules import CHECKS, grade, grade_number, grade_points
from netlathe.audit.run import SECTIONS, check_claim, check_claims, count_verdicts
from netlathe.audit.tables import check_table, decision, era, quiz
from netlathe.errors import NetlatheError

REFERENCE = Path(__file__).parent.parent.parent / "shared" / "reference" / "claims.csv"


@pytest.fixture(scope="session")
def found():
    """All findings, with the records of the package alone."""
    before = os.environ.get("NETLATHE_CACHE")
    os.environ["NETLATHE_CACHE"] = "/nonexistent"
    try:
        return {finding.claim.id: finding for finding in check_claims()}
    finally:
        os.environ.pop("NETLATHE_CACHE")
        if before is not None:
            os.environ["NETLATHE_CACHE"] = before


@pytest.fixture(autouse=True)
def no_records_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("NETLATHE_CACHE", str(tmp_path))


def test_the_lecture_makes_152_claims_each_with_a_check_unless_nothing_can_be_computed(found):
    assert len(claims_by_id()) == 152
    assert set(CHECKS) == {c.id for c in claims_by_id().values() if c.kind != "opinion"}
    assert all(c.needs for c in claims_by_id().values() if c.id not in CHECKS)
    assert all(c.kind in KINDS and c.verdict in VERDICTS and c.source for c in claims_by_id().values())


def test_every_check_confirms_the_recorded_verdict(found):
    assert {id: f.verdict for id, f in found.items()} == {id: c.verdict for id, c in claims_by_id().items()}


def test_evidence_is_a_sentence_and_says_a_number_where_the_claim_is_counted(found):
    for id, finding in found.items():
        assert finding.evidence.endswith("."), id
        if finding.claim.kind in ("arithmetic", "count") and id not in ("s14-4",):
            assert any(letter.isdigit() for letter in finding.evidence), id


# What claims that do not hold would have to say.
TRUTH = {
    "s2-2": "top5=16.4",
    "s10-2": "times=3.06",
    "s10-6": "lever=all widths",
    "s14-7": "first=14; second=17",
    "s15-9": "times=27.2",
    "s17-1": "times=27.2",
    "s21-3": "better=efficientnet_b4",
    "s22-3": "gpus=500; days=4",
    "s22-4": "points=1.2",
    "s26-4": "years=1.25",
    "s28-3": "objective=macs",
    "s28-5": "tool=transformer",
}


def changed(said):
    """Other things that a claim might say."""
    if isinstance(said, float):
        return [said * 10, said / 10, said + 1, -said - 1, 1e9, -1e9]
    return ["something else", "no", "yes", "shortcut", "alternating"]


@pytest.mark.parametrize("id", [id for id, c in claims_by_id().items() if c.kind != "opinion"])
def test_no_check_is_a_constant(id, found):
    """Let the claim say something else: at least one such claim gets another verdict."""
    if id in TRUTH:
        told = CHECKS[id](replace(find_claim(id), says=parse_sayings(TRUTH[id])))
        assert told.verdict != found[id].verdict
        return
    for name, said in find_claim(id).says.items():
        for other in changed(said):
            try:
                told = CHECKS[id](replace(find_claim(id), says={**find_claim(id).says, name: other}))
            except (KeyError, ValueError, AssertionError):  # nonsense such as a width of -3 channels
                continue
            if told.verdict != found[id].verdict:
                return
    pytest.fail(f"{id}: the verdict is {found[id].verdict} whatever the claim says")


COUNTED = ("s6-1", "s17-2", "s17-7", "s26-2", "s29-2")  # published claims that are counted, or read other tables
PUBLISHED = [c.id for c in claims_by_id().values() if c.kind == "published" and c.id not in COUNTED]


@pytest.mark.parametrize("id", PUBLISHED)
def test_a_published_claim_rests_on_figures_that_could_have_decided_otherwise(id, found, monkeypatch):
    read = found[id].figures
    assert read, f"{id} reads no figure"
    true = facts.note_figure

    def shown(key, other):
        def note(figure):
            return true(replace(figure, value=other) if figure.key == key else figure)

        return note

    for figure in read:
        for other in others(figure):
            monkeypatch.setattr(facts, "note_figure", shown(figure.key, other))
            if figure.key.startswith("zoo."):
                continue  # top1 gives the number of the zoo's table
            try:
                told = CHECKS[id](find_claim(id))
            except (ValueError, ZeroDivisionError, StopIteration):
                continue
            if (told.verdict, told.evidence) != (found[id].verdict, found[id].evidence):
                return
    monkeypatch.setattr(facts, "note_figure", true)
    if all(figure.key.startswith("zoo.") for figure in read):
        monkeypatch.setattr(facts, "figures", lambda name: [replace(row, top1=50.0) for row in figures_of(name)])
        assert CHECKS[id](find_claim(id)).evidence != found[id].evidence
        return
    pytest.fail(f"{id}: no figure matters")


figures_of = facts.figures


def others(figure: CitedFigure):
    if isinstance(figure.value, float):
        return [figure.value * 10 + 1, 0.0]
    return ["2030-01", "1990-01"] if figure.value[:2].isdigit() else ["something else"]


def test_counted_claims_follow_the_counts(monkeypatch):
    assert check_claim(find_claim("s15-9")).verdict == "does-not-hold"
    true = facts.macs
    monkeypatch.setattr(
        facts, "macs", lambda name, *rest, **more: true(name, *rest, **more) // (3 * (name == "vgg16") or 1)
    )
    assert check_claim(find_claim("s15-9")).verdict == "holds", (
        "a VGG of a third of the MACs is about nine times a MobileNet"
    )


def test_ranked_claims_follow_the_table_of_measurements(monkeypatch):
    import netlathe.audit.hardware as hardware

    tied = [replace(r, costs=(1.0, 1.1, 1.0)) for r in hardware.measurements()]
    monkeypatch.setattr(hardware, "measurements", lambda: tied)
    assert check_claim(find_claim("s17-7")).verdict == "holds"
    assert check_claim(find_claim("s17-2")).verdict == "holds"
    assert check_claim(find_claim("s17-8")).verdict == "does-not-hold"


def test_measured_claims_follow_the_records(tmp_path):
    slow = replace(records.latest_record("cpu.mobilenetv1.ms"), value=1e4)
    assert records.store_records([slow]).parent == tmp_path
    assert check_claim(find_claim("s17-8")).verdict == "does-not-hold"
    even = [replace(records.latest_record(f"gradient.{name}"), value=1.0) for name in ("dense", "plain")]
    records.store_records(even)
    assert check_claim(find_claim("s9-3")).verdict == "does-not-hold"
    assert len(records.own_records()) == 3, "records are added, not replaced by others"


def test_records_of_another_form_are_refused_with_their_path(tmp_path):
    records.own_records_path().write_text('{"schema": "something"}')
    with pytest.raises(NetlatheError, match=r"audit\.json"):
        records.all_records()


def test_numbers_are_judged_by_one_rule():
    assert [grade_number(x, 100) for x in (98, 102, 97, 110, 111, 89)] == [
        *("holds", "holds", "caveat", "caveat", "does-not-hold", "does-not-hold")
    ]
    assert [grade_points(80.4 + x, 80.4) for x in (0.05, 0.2, 0.5)] == ["holds", "caveat", "does-not-hold"]
    assert [grade(False), grade(True, False), grade(True)] == ["does-not-hold", "caveat", "holds"]


@pytest.mark.data
def test_every_difference_to_the_notes_is_explained():
    if not REFERENCE.exists():
        pytest.skip(f"{REFERENCE} is absent")
    with REFERENCE.open(encoding="utf-8", newline="") as file:
        notes = {row["id"]: row for row in csv.DictReader(file)}
    assert list(notes) == list(claims_by_id())
    for id, c in claims_by_id().items():
        assert (c.slide, c.kind, c.reference) == (int(notes[id]["slide"]), notes[id]["kind"], notes[id]["verdict"])
        assert bool(c.differs) == (c.verdict != c.reference), id


def test_figures_have_a_source_and_say_how_it_is_known():
    assert all(f.source and f.what and f.mark in ("confirmed", "recalled") for f in facts.cited_figures().values())
    used = {figure.key for finding in check_claims() for figure in finding.figures}
    assert set(facts.cited_figures()) <= used, "figures that no check reads"


def test_records_say_device_date_and_command():
    for record in records.shipped_records().values():
        assert record.device
        assert record.date >= "2026-11-23"
        assert record.command
        assert record.claims
        assert all(id in claims_by_id() for id in record.claims)


def test_what_training_keeps_is_what_autograd_saves(one_thread):
    """An independent count: the storages that torch's own hooks see while a network runs."""
    import torch

    from netlathe import zoo
    from netlathe.lower.torch import to_torch

    for name in ("resnet18", "densenet121", "vgg11", "mobilenetv2_035"):
        network = zoo.get(name, resolution=64)
        module = to_torch(network)
        own = {p.untyped_storage().data_ptr() for p in [*module.parameters(), *module.buffers()]}
        saved = {}

        def pack(tensor, own=own, saved=saved):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own and tensor.numel() > 2048:  # not statistics of channels
                saved[storage.data_ptr()] = storage.nbytes(), tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            module(torch.randn(2, 3, 64, 64))
        held = sum(size for size, _ in saved.values()) / 2
        assert backward_bytes(network.graph()) == pytest.approx(held, rel=0.03), name


def test_dates_are_compared_by_months():
    assert months("2020-10", "2022-01") == 15
    assert months("2015-02", "2016-01") == 11


def test_a_selection_names_what_does_not_exist():
    assert [c.id for c in select_claims(slides=(10,), kinds=("count",))] == ["s10-6"]
    assert parse_sayings("a=1; b=two words") == {"a": 1.0, "b": "two words"}
    with pytest.raises(NetlatheError, match="s10-2"):
        find_claim("s10-22")
    with pytest.raises(NetlatheError, match="slide 11 makes no claim"):
        select_claims(slides=(11,))
    with pytest.raises(NetlatheError, match="unknown figure"):
        facts.cited_figure("ilsvrc2012.top")


def test_the_quiz_is_answered_by_counting():
    one, two = quiz()
    assert (one.verdict, one.findings[0].value) == ("holds", "69,632")
    assert (two.verdict, two.findings[0].value) == ("does-not-hold", "3.0588 times")


def test_the_era_table_has_nine_rows_and_counts_their_networks():
    found = era()
    assert len(found) == 9
    assert [row.line.cells[0] for row in found] == [
        "1998",
        "2012",
        "2014",
        "2014",
        "2015",
        "2017",
        "2019",
        "2018-20",
        "2022",
    ]
    assert all(row.counted for row in found)
    assert "138,357,544 params" in found[2].counted


def test_the_decision_table_has_six_rows_of_which_two_do_not_hold():
    found = decision()
    assert [row.verdict for row in found] == [*4 * ["caveat"], *2 * ["does-not-hold"]]
    assert all(row.line.instead for row in found if row.verdict == "does-not-hold")
    with pytest.raises(NetlatheError, match="decision"):
        check_table("decisions")


def test_counting_checks_take_seconds_and_no_torch():
    program = (
        "import sys, time; start = time.process_time();"
        "from netlathe.audit.run import check_claims; found = check_claims(kinds=('arithmetic', 'count'));"
        "assert len(found) == 62 and all(f.agrees for f in found);"
        "print(time.process_time() - start, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, torch = done.stdout.split()
    assert float(seconds) < 10
    assert torch == "False"


def test_every_section_of_the_lecture_has_checks_and_totals_add_up(found):
    assert {function.__module__.rpartition(".")[2] for function in CHECKS.values()} == set(SECTIONS)
    assert sum(count_verdicts(found.values()).values()) == len(found)
    assert count_verdicts(check_claims(ids=("s10-1", "s10-2"))) == {
        "holds": 1,
        "caveat": 0,
        "does-not-hold": 1,
        "not-testable": 0,
    }
