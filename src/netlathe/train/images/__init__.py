"""Images for training: `load` decodes a source once into a cache that is mapped into memory, splits it and reports.

load.py      the door                     sources.py  what a source is
folders.py, table.py, arrays.py           the layouts
decode.py    one file to pixels           build.py    all files, on every core
cache.py     entries, keys, the limit     alike.py    copies and near copies
split.py     what is held out             folds.py    parts for cross-validation
inspect.py   the report                   sets.py     ImageSet and Splits
"""

from netlathe.train.images.inspect import DatasetReport
from netlathe.train.images.load import load, load_folds
from netlathe.train.images.sets import FoldedSplits, ImageSet, Splits

__all__ = ["DatasetReport", "FoldedSplits", "ImageSet", "Splits", "load", "load_folds"]
