"""Licences of published weights, by what they allow: what `--licence` takes."""

from __future__ import annotations

from collections.abc import Sequence

from netlathe.errors import unknown

# By kind, the licences as timm's configurations name them.
KINDS: dict[str, tuple[str, ...]] = {
    "open": ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0"),
    "non-commercial": ("cc-by-nc-4.0",),
    "vendor": ("cvnets-license", "fastvit-license", "mobileone-license", "seer-license"),
    "unknown": ("unknown",),
}
OPEN = "open"
WARNINGS = {
    "non-commercial": "not for commercial use",
    "vendor": "terms of its maker, read them first",
    "unknown": "nobody says under what licence",
}  # of kinds that are not open


def kind_of(licence: str) -> str:
    """The kind of a licence: unknown for one that is not listed."""
    return next((kind for kind, names in KINDS.items() if licence in names), "unknown")


def allowed(names: Sequence[str]) -> frozenset[str]:
    """The licences that names of kinds or of licences stand for. Raises NetlatheError for a name that is neither."""
    licences: set[str] = set()
    for name in names:
        if name in KINDS:
            licences |= set(KINDS[name])
        elif any(name in legal for legal in KINDS.values()):
            licences.add(name)
        else:
            legal = [*KINDS, *(one for some in KINDS.values() for one in some)]
            raise unknown("licence", name, dict.fromkeys(legal), code="choose.licence")
    return frozenset(licences)


def describe_licence(licence: str) -> str:
    """A licence, with a warning where it is not an open one."""
    warning = WARNINGS.get(kind_of(licence))
    return f"{licence} ({warning})" if warning else licence
