"""python -m netlathe, as torchrun starts it."""

import os
import sys

# Python puts the current folder first: a numpy.py that lies there would run in place of numpy.
if not sys.flags.safe_path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109  pathlib may lie there too
    del sys.path[0]

from netlathe.cli.main import main

main()
