"""Somebody's project, of which an object is wanted: it is run for that (`code_name` has the names).

The file is run as Python would run it: beside its neighbours, in its package, from the root of its project, with no
words on its command line. What it prints goes to stderr. What it imports of its own is seen by it alone, so that two
projects may both have a `helper.py`; what is installed always wins over a neighbour of the same name.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import wraps
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from netlathe.code_name import ObjectName, check_arguments, missing_name, read_choices
from netlathe.errors import NetlatheError, unknown
from netlathe.files import read_text
from netlathe.trust import refuse_code

ROOTS = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", ".git")  # lie in the root of a project
MAIN_GUARD = 'keep what is not the network under `if __name__ == "__main__":`'


class Project:
    """Folders that modules are imported from, and what came from them. Other projects do not see either."""

    active: Project | None = None

    def __init__(self, *folders: Path) -> None:
        self.folders = [str(folder) for folder in dict.fromkeys(folders)]
        self.added: list[str] = []  # of them, what was on nobody's path
        self.modules: dict[str, ModuleType] = {}  # while another project is active

    def activate(self) -> None:
        """From now on imports find this project, after all that is installed, and no other one."""
        if Project.active is self:
            return
        if Project.active is not None:
            Project.active.leave()
        self.added = [folder for folder in self.folders if folder not in sys.path]
        sys.path += self.added
        sys.modules.update(self.modules)
        importlib.invalidate_caches()
        Project.active = self

    def extend(self, folder: Path) -> None:
        """One more folder to import from, at once."""
        self.folders.append(str(folder))
        if str(folder) not in sys.path:
            self.added.append(str(folder))
            sys.path.append(str(folder))

    def leave(self) -> None:
        """Take its folders off the path and its modules out of sight."""
        self.modules |= {name: module for name, module in list(sys.modules.items()) if self.owns(name)}
        for name in self.modules:
            sys.modules.pop(name, None)
        for folder in self.added:
            if folder in sys.path:
                sys.path.remove(folder)

    def owns(self, name: str) -> bool:
        """Whether a module was found in its folders."""
        top = sys.modules.get(name.partition(".")[0])
        places = [getattr(top, "__file__", None), *getattr(top, "__path__", ())]
        return name in self.modules or any(str(Path(place).parent) in self.added for place in places if place)

    def bind(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of it that runs so."""

        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self.running():
                return function(*args, **kwargs)

        return run

    @contextmanager
    def running(self) -> Iterator[None]:
        """While its code runs: it is found, what it prints goes to stderr, and its command line has no words."""
        self.activate()
        arguments, folders = sys.argv, working_folder()
        sys.argv = self.folders[:1]
        try:
            with redirect_stdout(sys.stderr):
                yield
        finally:
            sys.argv = arguments
            for folder in folders:
                os.chdir(folder)


def find_object(where: ObjectName) -> tuple[Any, Project]:
    """The object, and the project that it is of. Raises NetlatheError for code that fails or lacks it.

    With NETLATHE_NO_CODE in the environment nothing is run.
    """
    if where.source.endswith(".py") and not where.name:
        raise missing_name(where.source)
    module, project = run_code(where)
    with project.running(), failures("this file does not run", where.source):
        value: Any = module
        for name in where.name.split("."):
            members = vars(value) if isinstance(value, ModuleType) else {}
            if not hasattr(value, name):
                raise unknown("name", name, list_members(members), code="load.unknown_function", path=where.source)
            value = getattr(value, name)
    return value, project


def run_code(where: ObjectName) -> tuple[ModuleType, Project]:
    """The module of a name, and its project. Raises NetlatheError for code that fails, or is not wanted."""
    is_file = where.source.endswith(".py")
    refuse_code(where.source)
    project = project_of(Path(where.source)) if is_file else Project(*working_folder())
    with project.running(), failures("this file does not run", where.source):
        return (run_file(Path(where.source), project) if is_file else run_module(where.source)), project


@contextmanager
def failures(what: str, source: str) -> Iterator[None]:
    """Whatever the code of a project raises, as an error that says where."""
    try:
        yield
    except NetlatheError as error:
        if error.code.startswith(("load.", "file.")):
            raise
        raise NetlatheError(f"{what}: {error}", code="load.broken_file", path=source) from error
    except SystemExit as error:
        message = f"{what}: it ends the process (SystemExit: {error.code})"
        raise NetlatheError(message, code="load.broken_file", path=source, hint=MAIN_GUARD) from error
    except Exception as error:
        message = f"{what}: {type(error).__name__}: {error}"
        raise NetlatheError(message, code="load.broken_file", path=source, hint=import_hint(error, source)) from error


def import_hint(error: Exception, source: str) -> str:
    """What to do about an import that failed."""
    if not isinstance(error, ImportError):
        return ""
    path = Path(source).resolve()
    top = (error.name or "").partition(".")[0]
    neighbour = path.parent / top
    if (
        top
        and not isinstance(error, ModuleNotFoundError)
        and (neighbour.is_dir() or neighbour.with_suffix(".py").is_file())
    ):
        return f"{top} is installed, and a neighbour never stands for a library: PYTHONPATH={path.parent} puts it first"
    return ""


def list_members(members: Mapping[str, Any]) -> list[str]:
    """The names of a module that may be networks: what is defined there, not what is imported."""
    home = members.get("__name__")
    return [name for name, value in members.items()
            if (name[0] != "_" and not isinstance(value, ModuleType) and getattr(value, "__module__", home) == home)
            or (hasattr(value, "named_parameters") and not isinstance(value, type))]  # fmt: skip


def project_of(file: Path) -> Project:
    """The project of a file: what holds its package, its own folder, the root of the project and its `src`."""
    folder = file.resolve().parent
    top = folder
    while (top / "__init__.py").is_file() and top.name.isidentifier():
        top = top.parent
    # Not the home folder, nor what is above it: a stray file there makes no project.
    above = [parent for parent in (top, *top.parents) if parent not in (Path.home(), *Path.home().parents)]
    root = next((parent for parent in above if any((parent / name).exists() for name in ROOTS)), top)
    return Project(top, folder, root, root / "src")


class TextLoader(SourceFileLoader):
    """Runs the text of a file as it is now. Python takes bytecode that it has kept for a text of the same second and
    length: a width that was changed from 32 to 48 might still be 32."""

    def get_code(self, fullname: str) -> CodeType:
        """The text, compiled."""
        return self.source_to_code(self.get_data(self.path), self.path)


def run_file(file: Path, project: Project) -> ModuleType:
    """The module of a file, in its package where it is in one. Raises whatever it raises."""
    read_text(file)  # the error for an unreadable file, before Python's own
    file = file.resolve()
    parts = file.relative_to(project.folders[0]).with_suffix("").parts
    if len(parts) > 1:
        return run_packaged(file, parts)
    name = file.stem if owns_name(file) else "_netlathe_" + re.sub(r"\W", "_", file.stem)
    loader = TextLoader(name, str(file))
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    project.modules[name] = sys.modules[name] = module  # dataclasses and pickles look there
    try:
        loader.exec_module(module)
    except ImportError as error:
        if "no known parent package" not in str(error) or not file.parent.name.isidentifier():
            raise
        project.extend(file.parent.parent)  # a package without __init__.py
        return run_packaged(file, (file.parent.name, file.stem))
    return module


def run_packaged(file: Path, parts: tuple[str, ...]) -> ModuleType:
    """The module of a file in a package. Raises NetlatheError where another copy of the package is installed."""
    module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
    if Path(module.__file__ or "").resolve() != file:
        raise NetlatheError(
            f"this file is of the package {parts[0]}, but another copy is installed: {module.__file__}",
            code="load.other_copy",
            path=str(file),
            hint=f"PYTHONPATH={file.parents[len(parts) - 1]} puts this one first",
        )
    return module


def owns_name(file: Path) -> bool:
    """Whether a file may be a module under its own name: it is one, and nothing that is installed has it."""
    try:
        spec = importlib.util.find_spec(file.stem) if file.stem.isidentifier() else None
    except (ImportError, ValueError):  # a module without a spec, such as __main__
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == file


def is_importable(name: str) -> bool:
    """Whether there is a top-level module of that name, installed or in the current folder. Nothing is run."""
    try:
        if importlib.util.find_spec(name) is not None:
            return True
    except (ImportError, ValueError):  # of __main__ and others that nobody found on a path
        return False
    return importlib.machinery.PathFinder.find_spec(name, [str(folder) for folder in working_folder()]) is not None


def working_folder() -> list[Path]:
    """The current folder; none where it is gone."""
    try:
        return [Path.cwd()]
    except OSError:
        return []


def run_module(name: str) -> ModuleType:
    """A module by its dotted name, installed or in the current folder. Raises NetlatheError where there is none."""
    top = name.partition(".")[0]
    if not is_importable(top):
        raise NetlatheError(
            f"there is neither an installed package {top!r} nor one in this folder", code="load.no_module", path=name
        )
    return importlib.import_module(name)


def call(value: Any, where: ObjectName) -> Any:
    """value(**choices). Raises NetlatheError for choices that it does not take, and where it fails."""
    choices = read_choices(where)
    check_arguments(value, choices, where)
    try:
        return value(**choices)
    except NetlatheError as error:
        message = f"{where.name}() fails: {error}"
        raise NetlatheError(message, code="load.broken_function", path=where.source) from error
    except (Exception, SystemExit) as error:
        message = f"{where.name}() fails: {type(error).__name__}: {error}"
        raise NetlatheError(message, code="load.broken_function", path=where.source) from error


def build_object(where: ObjectName) -> tuple[Any, Project]:
    """The object itself, or what it returns where it is a function or a class; and its project."""
    value, project = find_object(where)
    with project.running():
        return call(value, where) if callable(value) else value, project
