"""`make lock`: requirements.lock, the versions of constraints.txt with the hash of the file that pip takes for each.

    pip install --require-hashes --no-deps -r requirements.lock
    pip install --no-deps --no-build-isolation -e .

pip says which file it would install for this Python and this machine, and its hash; nothing is installed. The lock is
for that kind of machine: another one refuses files of other hashes, and makes its own lock. torch is its CPU build.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CONSTRAINTS, LOCK = ROOT / "constraints.txt", ROOT / "requirements.lock"


def main() -> int:
    pins = [line for line in CONSTRAINTS.read_text().splitlines() if line and not line.startswith("#")]
    LOCK.write_text(lock_text(pins, resolve(pins)))
    print(f"{LOCK.name}: {len(pins)} files")
    return 0


def resolve(pins: list[str]) -> list[dict[str, Any]]:
    """What pip would install, as its report says. Raises SystemExit with pip's words where it finds no file."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"]
    done = subprocess.run([*command, "--report", "-", *pins], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"no lock is written, because pip cannot ask its registry:\n{done.stderr.strip()}")
    installs: list[dict[str, Any]] = json.loads(done.stdout)["install"]
    return installs


def lock_text(pins: Iterable[str], installs: Iterable[dict[str, Any]]) -> str:
    """The lock: each version, as the constraints write it, with the hash of its file. Raises KeyError without one."""
    hashes = {
        plain_name(install["metadata"]["name"]): install["download_info"]["archive_info"]["hashes"]["sha256"]
        for install in installs
    }
    head = f"# By `make lock` from constraints.txt, for {platform.python_implementation()} "
    head += f"{platform.python_version().rpartition('.')[0]} on {platform.system()} {platform.machine()}:\n"
    head += "#   pip install --require-hashes --no-deps -r requirements.lock\n"
    head += "#   pip install --no-deps --no-build-isolation -e .\n"
    return head + "".join(f"{pin} --hash=sha256:{hashes[plain_name(pin.split('==')[0])]}\n" for pin in pins)


def plain_name(name: str) -> str:
    """A name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
