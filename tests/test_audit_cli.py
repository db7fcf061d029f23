"""netlathe audit and netlathe advise, as a user calls them."""

import json

import pytest
from click.testing import CliRunner
from command import netlathe

from netlathe.audit import claims, records
from netlathe.audit.advise import advise, image_count
from netlathe.choose.budget import Budget
from netlathe.cli.main import run
from netlathe.errors import Exit, NetlatheError
from netlathe.sources.source import SourceFilter


@pytest.fixture(autouse=True)
def no_records_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("NETLATHE_CACHE", str(tmp_path))


@pytest.fixture
def few_networks(monkeypatch):
    """Advice from a part of the zoo: forecasts of all take seconds."""
    from netlathe.audit import advise as advising

    every = advising.candidates
    monkeypatch.setattr(advising, "candidates", lambda zoo, targets: every(zoo, targets, SourceFilter("mobilenet*")))


def called(*words, capsys):
    code = run(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def test_a_slide_is_a_table_with_totals(capsys):
    code, out, err = called("audit", "--slide", "10", capsys=capsys)
    assert (code, err) == (Exit.DONE, "")
    assert "s10-2" in out
    assert "3.0588 times" in out
    assert "6 claims: holds 4, does not hold 2" in out


def test_a_claim_is_shown_with_its_evidence_source_and_figures(capsys):
    code, out, _ = called("audit", "--id", "s22-3", capsys=capsys)
    assert code == Exit.DONE
    for words in ("does not hold", "2,000 GPU-days", "NASNet sec. 4", "gpus = 800"):
        assert words in out


def test_a_difference_to_the_notes_is_said(capsys):
    _, out, _ = called("audit", "--id", "s25-4", capsys=capsys)
    assert "the project's notes say holds" in out


def test_json_has_everything(capsys):
    code, out, _ = called("audit", "--verdict", "not-testable", "--json", capsys=capsys)
    document = json.loads(out)
    assert code == Exit.DONE
    assert document["schema"] == "netlathe.audit/1"
    assert document["data"]["totals"]["not-testable"] == 7
    assert {c["kind"] for c in document["data"]["claims"]} == {"opinion"}


def test_a_check_that_no_longer_confirms_is_exit_code_4(capsys, monkeypatch):
    drifted = dict(claims.claims_by_id())
    from dataclasses import replace

    drifted["s10-1"] = replace(drifted["s10-1"], verdict="caveat")
    monkeypatch.setattr(claims, "claims_by_id", lambda: drifted)
    code, _, err = called("audit", "--slide", "10", capsys=capsys)
    assert code == Exit.CHECK_FAILED
    assert "s10-1: the check says holds, recorded is caveat" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--id", "s10-22"], "did you mean s10-2"),
        (["--slide", "5"], "slide 5 makes no claim"),
        (["--kind", "guess"], "arithmetic"),
        (["--table", "eras"], "era"),
        (["--run", "measurement", "--id", "s2-2"], "no measurement bears on"),
    ],
)
def test_what_does_not_exist_is_exit_code_2_with_what_does(words, said, capsys):
    code, _, err = called("audit", *words, capsys=capsys)
    assert code == Exit.USAGE
    assert said in err


@pytest.mark.parametrize(("table", "rows"), [("quiz", 2), ("era", 9), ("decision", 6)])
def test_tables_of_the_lecture_come_with_evidence(table, rows, capsys):
    code, out, _ = called("audit", "--table", table, "--json", capsys=capsys)
    data = json.loads(out)["data"]
    assert code == Exit.DONE
    assert len(data["rows"]) == rows
    assert all(row["findings"][0]["evidence"] for row in data["rows"])


def test_an_experiment_is_run_kept_and_shown_with_its_date(capsys, tmp_path, monkeypatch, one_thread):
    from netlathe.audit import measure

    monkeypatch.setattr(measure, "SEEDS", 1)
    monkeypatch.setattr(measure, "DEPTHS", (4, 4))
    code, out, err = called("audit", "--run", "experiment", capsys=capsys)
    assert code == Exit.DONE, err
    assert "2 records kept" in err
    assert "s9-3" in out
    assert records.today() in out
    assert set(records.own_records()) == {"gradient.dense", "gradient.plain"}
    assert json.loads((tmp_path / "audit.json").read_text())["schema"] == "netlathe.audit.records/1"


def test_a_measurement_is_run_in_its_own_process_and_kept(capsys):
    code, out, err = called("audit", "--run", "measurement", "--id", "s17-3", "--seconds", "0.05", capsys=capsys)
    assert code == Exit.DONE, err
    assert records.own_records()["cpu.depthwise.gflops"].unit == "GFLOP/s"
    assert "record" in out


def test_advice_for_a_phone_rests_on_a_forecast_and_says_what_next(capsys, few_networks):
    words = ["advise", "--task", "mobile", "--device", "phone-a76-core", "--latency", "60ms"]
    code, out, _ = called(*words, "--json", capsys=capsys)
    document = json.loads(out)["data"]
    assert code == Exit.DONE
    assert any("networks fit on phone-a76-core, at the upper end" in reason for reason in document["reasons"])
    assert document["next"] == "netlathe choose --device phone-a76-core --latency 60ms"
    assert document["fit"] >= 1
    assert all(n["forecast_interval_ms"][1] <= 60 for n in document["networks"])


def test_advice_that_nothing_keeps_is_exit_code_3(capsys, few_networks):
    code, out, _ = called("advise", "--task", "mobile", "--device", "stm32f746", "--size", "100kB", capsys=capsys)
    assert code == Exit.INFEASIBLE
    assert "Nothing fits" in out


def test_advice_says_where_the_row_is_not_the_best():
    found = advise("mobile", device="h100-sxm", precision="fp16", budget=Budget(latency=20.0))
    assert any("here the row is not the best advice" in reason for reason in found.reasons)
    best = found.fitting[0]
    assert all(best.top1 >= other.top1 for other in found.fitting)


def test_the_number_of_images_picks_the_row():
    assert [r.line.name for r in advise("classification", images=50_000).rows] == ["classification"]
    assert [r.line.name for r in advise("classification", images=300_000_000).rows] == ["classification-large"]
    both = advise("classification", images=50_000_000)
    assert len(both.rows) == 2
    assert any("between the two rows" in reason for reason in both.reasons)
    assert advise("classification", images=50_000).command.startswith("netlathe fit photos/")


def test_rows_that_do_not_hold_are_answered_with_something_else():
    assert "diffusion Transformer" in advise("generation").answer
    assert "convolutions over time" in advise("audio").answer


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "classification", "--latency", "10ms"], "a latency needs a device"),
        (["--task", "classification", "--images", "many"], "number of images"),
        (["--task", "mobile", "--device", "phone-a75-core"], "phone-a76-core"),
        (["--task", "detecting"], "dense"),
    ],
)
def test_advice_asks_for_what_is_missing(words, said, capsys):
    code, _, err = called("advise", *words, capsys=capsys)
    assert code == Exit.USAGE
    assert said in err


def test_images_are_counted_with_or_without_a_unit():
    assert [image_count(text) for text in ("50k", "2M", "1281167", "1,281,167")] == [
        50_000,
        2_000_000,
        1281167,
        1281167,
    ]
    with pytest.raises(NetlatheError, match="at least one"):
        image_count("0")


def test_the_table_of_claims_fits_a_narrow_terminal_and_a_pipe():
    done = netlathe("audit", "--slide", "3")
    assert all(f"s3-{i}" in done.stdout for i in range(1, 10))


def test_help_says_the_exit_code():
    from netlathe.cli.audit import command

    assert "Exit code 4" in CliRunner().invoke(command, ["--help"]).output
