"""`make audit`: known vulnerabilities in the versions of requirements.lock, by pip-audit; to be run every month.

Exit code 0: all were looked up, and nothing is known. 1: something is known, or not all could be looked up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parent.parent / "requirements.lock"


def main(program: str) -> int:
    """Run pip-audit on the lock; it reads names and versions, and installs nothing."""
    words = ["--requirement", str(LOCK), "--disable-pip", "--no-deps", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run([program, *words], capture_output=True, text=True)
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except ValueError:
        print(f"nothing was audited: the database of vulnerabilities cannot be reached\n{last_line(done.stderr)}")
        return 1
    lines, code = audit_lines(dependencies)
    print("\n".join(lines))
    return code


def audit_lines(dependencies: list[dict[str, Any]]) -> tuple[list[str], int]:
    """What is known of the dependencies, a line each, and the exit code."""
    skipped = [d["name"] for d in dependencies if "skip_reason" in d]
    known = [(d, v) for d in dependencies for v in d.get("vulns", ())]
    lines = [
        f"{d['name']} {d['version']}: {v['id']}, mended in {', '.join(v['fix_versions']) or 'no version yet'}"
        for d, v in known
    ]
    audited = len(dependencies) - len(skipped)
    lines.append(
        f"{audited} of {len(dependencies)} dependencies were looked up, {len(known)} vulnerabilities are known"
    )
    if skipped:
        lines.append(f"not looked up, because the registry here does not answer for them: {', '.join(skipped[:5])}"
                     + (f" and {len(skipped) - 5} more" if len(skipped) > 5 else ""))  # fmt: skip
    return lines, int(bool(known or skipped))


def last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
