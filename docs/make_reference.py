"""Writes the reference from the source: the docstrings of every room, and the help of every verb.

    python docs/make_reference.py FOLDER

Modules are parsed, not imported, so neither torch nor any other extra is needed. What is public: every function, class
and method with a docstring whose name does not begin with an underscore.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

SOURCE = Path(__file__).parent.parent / "src" / "netlathe"
ROOMS = (
    ("arch", "layers, combinators, shapes, graph, rewriting, notation"),
    ("runtimes", "one file a runtime, and the registry"),
    ("zoo", "one paper a file, and the registry"),
    ("cost", "counts, traffic, peak memory, formulas, other tools' conventions"),
    ("device", "cards, calibration, roofline, latency prediction, microcontrollers"),
    ("reshape", "knobs, factoring, scaling, modernisation, folding"),
    ("lower", "from the expression to ONNX and torch; weights"),
    ("read", "from an ONNX file or a torch module to a graph"),
    ("bench", "measured latency"),
    ("choose", "budget, front, decision and reasons"),
    ("train", "recipes, images, the loop, studies, learning without labels"),
    ("deploy", "export, quantise, check, predict, the model card"),
    ("search", "spaces, strategies, trials, comparison"),
    ("fit", "from images and a budget to a verified file"),
    ("audit", "the claims of the lecture, each a check"),
    ("report", "pages that open offline"),
    ("lab", "the live page"),
)
TOP = "netlathe"  # modules beside the rooms


def main(folder: Path) -> list[tuple[str, str]]:
    """Write all pages into a folder; the name and the title of each, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = [("cli", "Command line", command_line())]
    pages += [(room, f"netlathe.{room}", room_page(room, what)) for room, what in ROOMS]
    pages.append((TOP, TOP, f"# {TOP}\n\n{''.join(map(module_part, sorted(SOURCE.glob('[a-z]*.py'))))}"))
    for name, _, content in pages:
        (folder / f"{name}.md").write_text(content, encoding="utf-8")
    return [(f"{name}.md", title) for name, title, _ in pages]


def room_page(room: str, what: str) -> str:
    """All modules of a room."""
    files = sorted((SOURCE / room).rglob("*.py"))
    return f"# netlathe.{room}\n\n{what[0].upper()}{what[1:]}.\n\n" + "".join(map(module_part, files))


def module_part(file: Path) -> str:
    """A module: its docstring, then what is public; nothing for one that says nothing."""
    source = file.read_text(encoding="utf-8")
    tree = ast.parse(source)
    parts = [part for node in tree.body for part in described(node, source)]
    said = ast.get_docstring(tree)
    if not said and not parts:
        return ""
    name = ".".join(("netlathe", *file.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
    return "\n\n".join([f"## {name}", prose(said or ""), *parts]).replace("\n\n\n", "\n\n") + "\n\n"


def described(node: ast.stmt, source: str) -> Iterator[str]:
    """What is said of a function or a class, with its public methods."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return
    said = ast.get_docstring(node)
    if node.name.startswith("_") or not said:
        return
    yield f"### {node.name}"
    yield f"```python\n{fields(node, source) if isinstance(node, ast.ClassDef) else signature(node)}\n```"
    yield prose(said)
    if isinstance(node, ast.ClassDef):
        for method in node.body:
            public = isinstance(method, ast.FunctionDef) and not method.name.startswith("_")
            if public and isinstance(method, ast.FunctionDef) and (words := ast.get_docstring(method)):
                yield f"```python\n{signature(method)}\n```"
                yield prose(words)


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The head of a function, one parameter a line where it is long."""
    gives = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"def {node.name}({ast.unparse(node.args)}){gives}"
    if len(line) <= 100:
        return line
    inside = re.split(r", (?=[*\w]+(?:: |, |=|$)|\*, )", ast.unparse(node.args))
    return f"def {node.name}(\n    " + ",\n    ".join(inside) + f",\n){gives}"


def fields(node: ast.ClassDef, source: str) -> str:
    """The head of a class and its fields, with the comments that say their units."""
    bases = ", ".join(map(ast.unparse, node.bases))
    lines = source.splitlines()
    stated = [item for item in node.body if isinstance(item, ast.AnnAssign)]
    found = [line for item in stated for line in lines[item.lineno - 1 : item.end_lineno]]
    return "\n".join([f"class {node.name}" + (f"({bases})" if bases else ""), *found])


def prose(text: str) -> str:
    """A docstring as Markdown: paragraphs; what is indented or an example stays as it is."""
    out = []
    for part in re.split(r"\n\s*\n", text.strip()):
        if part.startswith((">>>", "    ")) or "\n    " in part:
            out.append(f"```text\n{part}\n```")
        else:
            pieces = re.split(r"(`[^`]*`)", part)
            out.append("".join(p if p.startswith("`") else re.sub(r"([*_<\[\]])", r"\\\1", p) for p in pieces))
    return "\n\n".join(out)


def command_line() -> str:
    """The help of every verb, as `--help` prints it."""
    from netlathe.cli.main import cli

    context = click.Context(cli, info_name="netlathe", max_content_width=100, terminal_width=100)
    return "# Command line\n\n" + "".join(helps(cli, context, 2))


def helps(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    """The help of a command and of those under it."""
    yield f"{'#' * level} {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            under = command.get_command(context, name)
            if under is not None and name not in ("quantize", "modernize"):  # the same in another spelling
                yield from helps(under, click.Context(under, parent=context, info_name=name), min(level + 1, 3))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
