"""Names of objects in somebody's code, as people type them: file.py:name, package.module:name, with choices."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from netlathe.errors import NetlatheError, nearest
from netlathe.files import is_file, read_text

FILE = re.compile(r"(?P<source>.+?\.py)(?::(?P<name>[^:]*)(?::(?P<choices>.*))?)?", re.S)
MODULE = re.compile(r"(?P<source>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<name>[^\W\d][\w.]*)(?::(?P<choices>.*))?", re.S)
VARIADIC = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


class ObjectName(NamedTuple):
    """The parts of file.py:name:choices."""

    source: str  # a file, or a module by its dotted name
    name: str
    choices: str

    def __str__(self) -> str:
        return f"{self.source}:{self.name}"


def split_name(text: str) -> ObjectName | None:
    """The parts of file.py:name or package.module:name, with choices or not; None for what is neither."""
    match = FILE.fullmatch(text) or MODULE.fullmatch(text)
    return ObjectName(**{key: part or "" for key, part in match.groupdict().items()}) if match else None


def file_of(text: str) -> str:
    """The file of file.py:name; empty for other texts."""
    where = split_name(text)
    return where.source if where and where.name and where.source.endswith(".py") else ""


def missing_name(source: str) -> NetlatheError:
    """The error for a file alone, with what it defines, which is read and not run."""
    try:
        body = ast.parse(read_text(Path(source))).body if is_file(Path(source)) else []
    except SyntaxError as error:
        return NetlatheError(f"this file is no Python: {error}", code="load.broken_file", path=source)
    names = [node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_"]
    names += [target.id for node in body if isinstance(node, ast.Assign) for target in node.targets
              if isinstance(target, ast.Name)]  # fmt: skip
    hint = f"write {source}:{names[0] if len(names) == 1 else 'NAME'}"
    if len(names) > 1:
        hint += f", where NAME is one of {', '.join(names[:16])}"
    return NetlatheError(
        "say which function, class or object is the network", code="load.no_function", path=source, hint=hint
    )


def read_choices(where: ObjectName) -> dict[str, Any]:
    """c=8,depths=(2,2),act=relu as keyword arguments: literals of Python, true, false, and words."""
    try:
        call_node = ast.parse(f"f({where.choices})", mode="eval").body
        assert isinstance(call_node, ast.Call)
        if call_node.args:
            raise ValueError("an argument without a name")
        names = [keyword.arg for keyword in call_node.keywords if keyword.arg is not None]
        if len(set(names)) < len(call_node.keywords):
            raise ValueError("a name stands more than once")
        return dict(zip(names, (literal(keyword.value) for keyword in call_node.keywords), strict=True))
    except (SyntaxError, ValueError, AssertionError, RecursionError, MemoryError) as error:
        message = f"{where.choices[:80]!r} are no arguments: {error}"
        hint = f"write {where}:width=8,depths=(2,2),act=relu"
        raise NetlatheError(message, code="load.choice", path=where.source, hint=hint) from None


def literal(value: ast.expr) -> Any:
    """A literal; a bare word is itself, true and false are those."""
    if isinstance(value, ast.Name):
        return {"true": True, "false": False, "none": None}.get(value.id, value.id)
    return ast.literal_eval(value)


def check_arguments(value: Any, choices: Mapping[str, Any], where: ObjectName) -> None:
    """Raise NetlatheError where a callable does not take the choices, or needs more."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):  # of some classes written in C
        return
    parameters = signature.parameters.values()
    takes = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for name in choices:
            if name not in takes:
                close = nearest(name, takes)
                hint = f"did you mean {' or '.join(close)}? " * bool(close) + f"it is {where.name}{signature}"
                raise NetlatheError(f"{where.name} takes no {name!r}", code="load.choice", path=where.source, hint=hint)
    missing = [p.name for p in parameters
               if p.default is p.empty and p.kind not in VARIADIC and p.name not in choices]  # fmt: skip
    if missing:
        hint = f"it is {where.name}{signature}: write {where}:{','.join(f'{name}=...' for name in missing)}"
        message = f"{where.name} needs {' and '.join(missing)}"
        raise NetlatheError(message, code="load.choice", path=where.source, hint=hint)
