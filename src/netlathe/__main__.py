"""The door of the command line: `netlathe`, and python -m netlathe, as torchrun starts it."""

import os
import sys


def current_folder() -> str:
    """The folder that this runs in; empty where it is gone."""
    try:
        return os.getcwd()  # noqa: PTH109  pathlib may lie there too
    except OSError:
        return ""


# Python puts the current folder first: a numpy.py that lies there would run in place of numpy.
if not sys.flags.safe_path and sys.path[0] in ("", current_folder()):
    del sys.path[0]


def main() -> None:
    """Import the command line and run it; Ctrl-C ends it quietly from the first moment on."""
    try:
        from netlathe.cli.main import main as run_command
    except KeyboardInterrupt:
        sys.exit(130)
    run_command()


if __name__ == "__main__":
    main()
