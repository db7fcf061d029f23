"""Words that somebody else wrote (names of nodes, files, classes, tensors) are shown as words: they steer no terminal.

Control characters, and those that turn the direction of writing around, are written as in a Python text: \\x1b and
\\u202e. Whatever is printed passes here (`cli.streams`); pages escape by `html`, and JSON by itself: it stays exact.
"""

from __future__ import annotations

import unicodedata

# Control, format (direction of writing, tags), surrogate; separators of lines and of paragraphs.
ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
JOINERS = frozenset("\u200c\u200d")  # Persian, the languages of India and emoji are not written without them


def escape_line(text: str) -> str:
    """A text as one line in which nothing steers."""
    return text if text.isprintable() else "".join(map(escape_character, text))


def escape_text(text: str) -> str:
    """A text of lines and tabulators in which nothing else steers."""
    if text.isprintable():
        return text
    return "".join(char if char in "\n\t" else escape_character(char) for char in text)


def escape_lines(text: str) -> str:
    """A message whose further lines are indented, as those of errors are; any other line break is part of a name."""
    return "\n  ".join(map(escape_line, text.split("\n  ")))


def escape_character(char: str) -> str:
    """One character, or how it is written."""
    if char in JOINERS or unicodedata.category(char) not in ESCAPED:
        return char
    return char.encode("unicode_escape").decode("ascii")
