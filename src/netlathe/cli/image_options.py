"""The options that say how images are read and split, declared once for every verb that takes images."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

PART = "PART"  # a share, a number, or a source
SPLITTING = (
    ("--validation", "validation", "Held out to decide on: a share (15%), a number of images, or a source."),
    ("--test", "test", "Held out to test on, in the same way.  [default of both: 15%]"),
)
COLUMNS = (
    ("--path-column", "path_column", "Column of a table with the images, where its name is not a usual one."),
    ("--label-column", "label_column", "Column with the classes."),
    ("--group-column", "group_column", "Column with what must stay together, such as a person or a scene."),
)
FLAGS = (
    ("--merge-labels", "merge_labels", "Labels that differ only in case or space are one class."),
    ("--labels-as-they-are", "labels_as_they_are", "Numbers and a|b are classes like any other label."),
)


def image_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --validation, --test and how tables and labels are read, as one argument `options`."""

    @wraps(function)
    def command(*args: Any, **values: Any) -> Any:
        from netlathe.train.images.options import ImageOptions

        own = {name: values.pop(name) for _, name, _ in (*SPLITTING, *COLUMNS, *FLAGS)}
        return function(*args, options=ImageOptions(**own), **values)

    decorated: Callable[..., Any] = command
    for flag, name, text in reversed(FLAGS):
        decorated = click.option(flag, name, is_flag=True, help=text)(decorated)
    for flag, name, text in reversed(COLUMNS):
        decorated = click.option(flag, name, metavar="NAME", help=text)(decorated)
    for flag, name, text in reversed(SPLITTING):
        decorated = click.option(flag, name, metavar=PART, help=text)(decorated)
    return decorated
