"""Imports go one way, and what starts fast imports nothing heavy."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "netlathe"
# Top to bottom: a room imports only from rooms above it (and the files beside the rooms).
ORDER = (
    *("process", "runfolder", "stats", "documents", "tables"),
    *("arch", "tflite", "runtimes", "zoo", "cost", "device", "catalogue", "reshape", "lower", "read", "bench"),
    *("target", "choose"),
    *("train", "deploy", "search", "sources", "fit", "audit", "report", "lab", "cli"),
)
SHARED = ("stats", "documents", "tables", "runtimes")
LIGHT = ("process", "runfolder", "arch", "zoo", "cost", "device", "catalogue", "reshape")
HEAVY = {"torch", "onnx", "onnxruntime", "numpy", "scipy", "pydantic"}


def imports(file: Path) -> set[str]:
    """The full names of modules that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "netlathe":
                found |= {f"netlathe.{alias.name}" for alias in node.names}
    return found


def loads(file: Path) -> set[str]:
    """What is imported as soon as the file is: neither inside functions nor for type checkers."""
    nodes = ast.parse(file.read_text()).body
    return {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names} | {
        node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module
    }


def rooms(file: Path) -> set[str]:
    """The rooms that a file imports from."""
    parts = [name.split(".") for name in imports(file) if name.startswith("netlathe.")]
    return {part[1] for part in parts if part[1] in ORDER}


FILES = sorted(PACKAGE.rglob("*.py"))


def test_a_room_imports_only_from_rooms_before_it():
    upwards = {}
    for file in FILES:
        room = file.relative_to(PACKAGE).parts[0]
        if room in ORDER:
            later = {other for other in rooms(file) if ORDER.index(other) > ORDER.index(room)}
            if later:
                upwards[str(file.relative_to(PACKAGE))] = later
    assert not upwards, "these files import from rooms that come after theirs"


def test_no_file_is_longer_than_400_lines():
    lines = {str(file.relative_to(PACKAGE)): len(file.read_text().splitlines()) for file in FILES}
    assert not {file: count for file, count in lines.items() if count > 400}


def test_a_class_name_is_unique_in_the_package():
    where: dict[str, list[str]] = {}
    for file in FILES:
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef):
                where.setdefault(node.name, []).append(str(file.relative_to(PACKAGE)))
    assert not {name: files for name, files in where.items() if len(files) > 1}


# Words that only this project used; docs/contributing.md has those that stand for them.
RETIRED = {"wish", "crew", "tape", "sheet", "exhibits", "dials", "shelf", "cautions", "contender", "contenders"}


def test_identifiers_are_the_words_of_the_field():
    private = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                    pass
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    pass
                case _:
                    continue
            words = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower().replace(".", "_").split("_")
            private |= {(str(file.relative_to(PACKAGE)), word) for word in RETIRED & set(words)}
    assert not private
    assert not [file for file in FILES if "class Lathe" in file.read_text()]


# A value is named by what it holds, not by how it came about.
PARTICIPLES = {"found", "said", "made", "given", "known", "told"}


def test_values_and_functions_are_not_called_by_participles():
    wrong = []
    for file in FILES:
        tree = ast.parse(file.read_text())
        stored = {field.target for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for field in node.body
                  if isinstance(field, ast.AnnAssign)}  # fmt: skip  # keys of files that users have
        for node in ast.walk(tree):
            match node:
                case ast.Name(id=name, ctx=ast.Store()) if node not in stored:
                    pass
                case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    pass
                case _:
                    continue
            if name in PARTICIPLES:
                wrong.append(f"{file.relative_to(PACKAGE)}:{node.lineno} {name}: say what it holds")
    assert not wrong


def test_the_light_rooms_never_import_torch_onnx_or_numpy():
    # where files are read, and where models are fitted: inside functions
    late = ("document.py", "fit.py", "networks.py", "population.py", "probe.py")
    for file in FILES:
        if file.relative_to(PACKAGE).parts[0] in LIGHT and file.name not in late:
            assert not {name.split(".")[0] for name in imports(file)} & HEAVY, file


def test_the_shared_rooms_import_what_is_heavy_inside_functions():
    for file in FILES:
        # A quantiser is a file of its own, which nothing imports before it quantises.
        if file.relative_to(PACKAGE).parts[0] in SHARED and not file.name.endswith("_quantise.py"):
            assert not {name.split(".")[0] for name in loads(file)} & HEAVY, file


@pytest.mark.parametrize("words", [["cost", "resnet152"], ["arch", "resnet50"], ["zoo", "vgg*"], ["--help"]])
def test_these_commands_start_without_anything_heavy(words):
    program = (
        "import sys; from netlathe.cli.main import run; code = run(sys.argv[1:]);"
        f"heavy = {HEAVY!r} & {{name.split('.')[0] for name in sys.modules}};"
        "print(heavy, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"


def module_of(file: Path) -> str:
    """The name of a file's module; of a room for its `__init__`."""
    return ".".join(("netlathe", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {module_of(file): file for file in FILES}


def imported(node: ast.AST, *, deep: bool) -> set[str]:
    """The modules of the package that a syntax tree imports, those for type checkers left out; in functions if deep."""
    found: set[str] = set()
    if isinstance(node, ast.Import):
        found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
        parts = {f"{node.module}.{alias.name}" for alias in node.names}
        found |= parts & MODULES.keys() or {node.module}
    children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        children = node.orelse
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not deep:
        children = []
    return (found & MODULES.keys()).union(*(imported(child, deep=deep) for child in children))


def circles(*, deep: bool) -> set[frozenset[str]]:
    """The sets of modules that import each other, directly or by way of others."""
    graph = {name: imported(ast.parse(file.read_text()), deep=deep) - {name} for name, file in MODULES.items()}
    reached: dict[str, set[str]] = {}
    for name in graph:
        seen, waiting = set(), [name]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        reached[name] = seen
    return {
        frozenset(other for other in reached[name] if name in reached[other]) for name in graph if name in reached[name]
    }


def test_no_files_import_each_other():
    assert circles(deep=False) == set()
    # The operators of a node (`a >> b`) build combinators, which are nodes.
    arch = {f"netlathe.arch.{name}" for name in ("build", "combinators", "joins", "layers", "leaf", "node", "pools")}
    assert circles(deep=True) == {frozenset(arch)}
