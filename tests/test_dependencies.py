"""Every version that an installation takes is pinned with the hash of its file, and audited with a clear answer."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "dependencies"))
from audit import audit_lines
from lock import lock_text

ROOT = Path(__file__).parent.parent


def lines(name):
    return [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]


def test_the_lock_has_the_versions_of_the_constraints_each_with_a_hash():
    locked = [line.partition(" --hash=sha256:") for line in lines("requirements.lock")]
    assert [pin for pin, _, _ in locked] == lines("constraints.txt")
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for _, _, digest in locked)


def test_a_lock_is_made_of_what_pip_reports():
    install = {
        "metadata": {"name": "torch", "version": "2.13.0+cpu"},
        "download_info": {"archive_info": {"hashes": {"sha256": "a" * 64}}},
    }
    assert lock_text(["Torch==2.13.0"], [install]).splitlines()[-1] == f"Torch==2.13.0 --hash=sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("dependencies", "line", "code"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], "1 of 1 dependencies were looked up, 0 vulnerabilities", 0),
        (
            [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}],
            "a 1: CVE-1, mended in 2",
            1,
        ),
        ([{"name": "a", "skip_reason": "not there"}], "0 of 1 dependencies were looked up", 1),
    ],
)
def test_an_audit_that_looked_nothing_up_is_no_clean_one(dependencies, line, code):
    shown, actual = audit_lines(dependencies)
    assert any(text.startswith(line) for text in shown)
    assert actual == code
