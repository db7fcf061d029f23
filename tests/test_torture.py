"""The harness of kills and faults sees what it is there for: jobs that break each promise, and one that keeps all."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import torture
import torture_stage
from torture_jobs import JOBS, Job

# A file; whatever a test puts here; the end of a run that nobody disturbs or that goes on; a second file.
STEPS = """
import os, pathlib, signal, subprocess, sys, tempfile, time
signal.signal(signal.SIGTERM, signal.SIG_{term})
out = pathlib.Path(sys.argv[1])
out.mkdir(exist_ok=True)
again = (out / "first").exists()
(out / "first").write_text("1")
{between}
again or "undisturbed" in sys.argv[1] or time.sleep(60)
(out / "second").write_text("2")
"""


def files(out: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in out.iterdir()}


@pytest.fixture
def count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict]:
    def wait_for_first(stage: torture.Stage, process: object) -> bool:
        return torture_stage.wait_until((stage.out / "first").exists, process)

    monkeypatch.setattr(torture.Stage, "wait_for_moment", wait_for_first)

    def counts(between: str = "", fault: str = "SIGKILL to all", term: str = "DFL") -> dict[str, int]:
        """The last line of the table of one attempt at a job, without zeros."""
        program = (sys.executable, "-c", STEPS.format(between=between, term=term))
        job = Job("{out}", files, lambda out, cache: frozenset(path.name for path in out.glob("first")), program)
        monkeypatch.setitem(JOBS, "toy", job)
        failed = torture.main(["--jobs", "toy", "--faults", fault, "--attempts", "1", "--folder", str(tmp_path)])
        text = capsys.readouterr().out
        row = dict(zip(torture.COLUMNS, map(int, text.splitlines()[-3].split()[1:]), strict=True))
        assert failed == any(row[name] for name in torture.FAILURES)
        assert ("repeat: python benchmarks/torture.py --jobs toy" in text or "toy does not run" in text) == failed
        return {name: number for name, number in row.items() if number and name != "attempts"}

    return counts


@pytest.mark.parametrize("fault", ["SIGKILL to all", "SIGTERM to the first"])
def test_a_job_that_keeps_its_promises_has_zeros(count, fault):
    assert {*count(fault=fault)} == {"kills"}


@pytest.mark.parametrize(
    ("between", "columns"),
    [
        ("assert not again", {"lost", "unclear"}),
        ("again and (out / 'first').write_text('3')", {"differing"}),
        ("again and (out / 'first').unlink()", {"lost", "differing"}),
        ("subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])", {"orphans"}),
        ("tempfile.mkdtemp()", {"leftovers"}),
        ("(out / '.second.123').touch()", {"leftovers", "differing"}),
        ("again and print('Traceback (most recent call last)', file=sys.stderr)", {"unclear"}),
    ],
)
def test_a_job_that_breaks_a_promise_is_counted(count, monkeypatch, between, columns):
    monkeypatch.setattr(torture_stage, "GRACE_S", 0.2)
    between = between.replace("(out / '.second", "again or 'undisturbed' in sys.argv[1] or (out / '.second")
    assert {*count(between)} == {"kills", *columns}


def test_a_process_that_no_signal_ends_is_frozen(count, monkeypatch):
    undisturbed = torture.run_undisturbed

    def impatient(*arguments):
        usual = undisturbed(*arguments)
        monkeypatch.setattr(torture_stage, "PATIENCE_S", 0.5)
        return usual

    monkeypatch.setattr(torture, "run_undisturbed", impatient)
    assert "frozen" in count(fault="SIGTERM to all", term="IGN")


def test_two_at_once_that_both_end_alike_are_no_failure(count):
    assert count("again = True", "two at once") == {}


def test_the_draws_of_an_attempt_depend_on_its_number_alone():
    draws = [torture.draw(0, number, list(JOBS), list(torture.FAULTS)) for number in range(20)]
    assert draws == [torture.draw(0, number, list(JOBS), list(torture.FAULTS)) for number in range(20)]
    assert len(set(draws)) > 10
    assert torture.draw(0, 7, ["train"], ["two at once"]) == ("train", "two at once")


def test_a_job_that_fails_undisturbed_is_lost_once(count):
    assert count("sys.exit(2)") == {"lost": 1}
