"""Every example in the README and the documentation runs and prints what it says."""

import re
import shlex
from pathlib import Path

import pytest
from command import netlathe

from netlathe.runtimes import registry

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


PYTHON = [(page, "\n".join(blocks(page, "python"))) for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize(("page", "source"), PYTHON, ids=lambda x: x.name if isinstance(x, Path) else "")
def test_python_examples_run_and_their_comments_tell_the_values(page, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "RUNTIMES", dict(registry.RUNTIMES))  # a page registers one of its own
    names = {}
    exec(compile(source, page.name, "exec"), names)
    for expression, said in re.findall(r"^(\S.*?)  # (\[.*?\]|\d+|True)", source, re.M):
        if not re.match(r"\w+ = ", expression):
            assert eval(expression, names) == eval(said), expression


def commands():
    seen = set()
    for page in PAGES:
        for block in blocks(page, "console"):
            for part in block.split("$ ")[1:]:
                line, _, printed = part.partition("\n")
                found = line.partition("  #")[0].strip(), printed.strip()
                if found not in seen:  # several pages may show a command
                    seen.add(found)
                    yield pytest.param(*found, id=line)


@pytest.mark.parametrize(("line", "printed"), list(commands()))
def test_commands_run_and_print_what_is_shown(line, printed, tmp_path, calibrated, brief):
    words = shlex.split(line)
    if words[1] in ("choose", "bench", "compare"):
        words += ["--seconds", "0.05"]
    if "--processes" in words:
        words += ["--processes", "2"]
    if words[1] == "choose" and not printed:
        words += ["--networks", "mobilenetv*" if "--device" in words else "mobilenetv1_025"]
    assert words.pop(0) == "netlathe"
    done = netlathe(*words, cwd=tmp_path)
    if printed:
        assert [row.rstrip() for row in done.stdout.strip().splitlines()] == printed.splitlines()


def files_of_the_docs():
    """(page, file, its source, commands that name it): `Saved as` says what the Python above it is."""
    for page in PAGES:
        text = page.read_text()
        for saved in re.finditer(r"[Ss]aved as `(\w+\.py)`", text):
            source = "\n".join(re.findall(r"^```python\n(.*?)^```", text[: saved.start()], re.M | re.S))
            lines = re.findall(rf"netlathe [^`\n#]*\b{re.escape(saved[1])}:[^`\n#]*", text)
            yield pytest.param(saved[1], source, sorted({line.strip() for line in lines}), id=f"{page.name}-{saved[1]}")


@pytest.mark.parametrize(("file", "source", "lines"), list(files_of_the_docs()))
def test_a_file_of_the_docs_loads_as_its_page_says(file, source, lines, tmp_path):
    (tmp_path / file).write_text(source)
    assert lines
    for line in lines:
        _, verb, *words = shlex.split(line.partition(">")[0])
        if not {"--data", "model.onnx"} & {*words}:  # the reader's own
            netlathe(verb, *words, *["--seconds", "0.02"] * (verb == "bench"), cwd=tmp_path)


def test_every_link_to_a_file_leads_somewhere():
    for page in [*PAGES, ROOT / "benchmarks" / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_names_two_commands_that_do_all_their_set_up():
    first_screen = (ROOT / "README.md").read_text()[:1200]
    makefile = (ROOT / "Makefile").read_text()
    for command in ("demo", "test"):
        assert f"make {command}" in first_screen
        assert f"\n{command}: .venv/" in makefile
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_index_lists_every_page():
    listed = {(DOCS / target).resolve() for target in re.findall(r"\]\(([^)#:]+)\)", (DOCS / "README.md").read_text())}
    assert {page for page in PAGES if DOCS in page.parents} - {DOCS / "README.md"} <= listed
