"""The readers of files under atheris, Google's coverage-guided fuzzer for Python, as long as you like.

    pip install atheris
    python benchmarks/fuzz_readers.py onnx 60        # a reader of tests/fuzzed.py, seconds

It starts from the valid files of tests/fuzzed.py, ends with a stack and the file where a reader raises anything but a
NetlatheError or takes more than 10 s, and with exit code 0 where it does not. tests/test_fuzz.py does the same for
seconds, without atheris.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
PARTS = ("netlathe.arch", "netlathe.device", "netlathe.read", "netlathe.train.recipe", "netlathe.errors")
with atheris.instrument_imports(include=list(PARTS)):
    from fuzzed import READERS, seeds, survives

COUNTS = {True: 0, False: 0}


def main(name: str, seconds: int) -> None:
    """Fuzz one reader; libFuzzer prints what it covers."""
    with tempfile.TemporaryDirectory() as folder:
        for i, data in enumerate(seeds(name)):
            Path(folder, f"seed{i}").write_bytes(data)

        def one(data: bytes) -> None:
            COUNTS[survives(READERS[name], data)] += 1

        words = [
            sys.argv[0],
            folder,
            f"-max_total_time={seconds}",
            "-timeout=10",
            "-rss_limit_mb=4096",
            "-max_len=65536",
        ]
        atheris.Setup(words, one)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60)
