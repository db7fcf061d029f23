"""Images for training: `load` decodes a source once into a cache that is mapped into memory, splits it and reports.

load.py      the door                     sources.py  what a source is
folders.py, table.py, arrays.py           the layouts
decode.py    one file to pixels           build.py    all files, on every core
cache.py     entries, keys, the limit     split.py    what is held out
inspect.py   the report                   sets.py     ImageSet and Splits
"""

from netlathe.train.images.inspect import DatasetReport
from netlathe.train.images.load import load
from netlathe.train.images.sets import ImageSet, Splits

__all__ = ["DatasetReport", "ImageSet", "Splits", "load"]
