"""Where things are kept when the machine is poor: no home, packages that do not load."""

import pytest

from netlathe.errors import Exit, MissingExtra, NetlatheError
from netlathe.files import cache_dir


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
