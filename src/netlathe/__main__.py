"""python -m netlathe, as torchrun starts it."""

from netlathe.cli.main import main

main()
