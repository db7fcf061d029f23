"""Where things are kept when the machine is poor: no home, packages that do not load."""

import pytest

from netlathe.errors import Exit, MissingExtra, NetlatheError
from netlathe.files import cache_dir, open_part, write_text


def test_what_a_killed_process_left_of_a_file_goes_when_the_file_is_written_and_what_is_being_written_stays(tmp_path):
    (tmp_path / ".a.json.123.part").write_text("half")
    (tmp_path / ".b.json.123.part").write_text("half of another")
    with open_part(tmp_path / ".a.json.456.part") as file:
        file.write(b"other process")
        write_text(tmp_path / "a.json", "whole")
        assert sorted(path.name for path in tmp_path.iterdir()) == [".a.json.456.part", ".b.json.123.part", "a.json"]
    assert (tmp_path / "a.json").read_text() == "whole"


def test_without_a_home_the_cache_says_what_to_set(monkeypatch):
    for name in ("NETLATHE_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)

    def no_such_user(number):
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", no_such_user)
    with pytest.raises(NetlatheError, match="set NETLATHE_CACHE"):
        cache_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(cache_dir()) == "/somewhere/netlathe"


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (ModuleNotFoundError("No module named 'torch'"), "which is not installed"),
        (ImportError("libtorch.so: failed to map"), "which does not load: libtorch.so: failed to map"),
    ],
)
def test_a_package_that_is_there_and_does_not_load_is_not_called_absent(cause, text):
    try:
        raise cause
    except ImportError:
        error = MissingExtra("torch", "train")
    assert text in error.message
    assert error.exit == Exit.MISSING
