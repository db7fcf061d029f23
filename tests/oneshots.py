"""A small space of cells, and its supernets' family."""

from netlathe.search.oneshot.cells import Cells
from netlathe.search.oneshot.family import DartsFamily

SMALL = Cells(steps=2, operations=("none", "max3", "skip", "sep3"))
FAMILY = DartsFamily(cells=SMALL, channels=4, depth=3, final_channels=4, final_depth=3)
