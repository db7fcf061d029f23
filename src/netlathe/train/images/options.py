"""ImageOptions: how a source of images is read and split, beyond what it says itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from shlex import quote
from typing import Any, cast

from netlathe.documents.faults import faults_error
from netlathe.documents.schema import check_document
from netlathe.errors import NetlatheError

SHARE = 0.15  # of each class for validation, and for test


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """As options of the command line and as files hold them; what is not set follows from the source.

    `validation` and `test` are a share of each class (0.15, 15%), a number of images (200), or another source.
    """

    validation: str | float | None = None
    test: str | float | None = None
    path_column: str | None = None  # of a CSV or of metadata
    label_column: str | None = None
    group_column: str | None = None
    merge_labels: bool = False  # those that differ in case or surrounding space become one
    labels_as_they_are: bool = False  # numbers and "a|b" are classes like any other

    def document(self) -> dict[str, Any]:
        """What is set, as plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value is not None and value is not False}

    def flags(self) -> list[str]:
        """The options of the command line that say the same."""
        names = {name: f"--{name.replace('_', '-')}" for name in self.document()}
        return [name if (value := getattr(self, key)) is True else f"{name} {quote(str(value))}"
                for key, name in names.items()]  # fmt: skip


PLAIN = ImageOptions()  # as the source says


def read_options(document: Mapping[str, Any]) -> ImageOptions:
    """The options of a table such as a package holds. Raises NetlatheError for other fields or values."""
    options, faults = check_document(ImageOptions, document)
    if faults:
        raise faults_error(faults, code="images.options", path="images")
    return cast(ImageOptions, options)


def read_amount(text: str | float | None, name: str) -> float | Path:
    """A share below 1 or a number of images; a path where the text names a source; 15 % where nothing is said.

    Raises NetlatheError for a text that is neither.
    """
    if text is None:
        return SHARE
    try:
        return float(text[:-1]) / 100 if isinstance(text, str) and text.endswith("%") else float(text)
    except ValueError:
        assert isinstance(text, str)
    path = Path(text).expanduser()
    if path.exists():
        return path
    message = f"--{name} {text}: neither a share, nor a number of images, nor a folder or file that exists"
    raise NetlatheError(message, code="images.split", hint=f"for example --{name} 15%, --{name} 200, --{name} photos2/")
