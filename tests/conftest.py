"""What every test has: a home of its own, a git that knows Ann, and nothing of this machine."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bridge.ledger.git_ledger import create
from tests import objectstore
from tests.ledgers import GITCONFIG

# A property holds however busy the machine is: hypothesis would fail one that draws slowly there.
settings.register_profile("bridge", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bridge")

# A shell's background job is born deaf to Ctrl-C, and so would be all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _each in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_each, signal.SIG_DFL)


_GITCONFIG = f"[user]\n\tname = Ann\n\temail = ann@example.org\n{GITCONFIG.read_text()}"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Half of the time went to looking for garbage among what is imported, which stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def hermetic(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder, with `.gitconfig`: nothing that a person has set reaches a test."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(_GITCONFIG)
    for name in os.environ:
        if name.startswith(("HITL_", "METAFLOW_HITL_", "GIT_")):
            monkeypatch.delenv(name)
    # Else each Python that a test starts may compile the bridge anew.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("HITL_CACHE", str(home / "cache"))
    # A checkout may have a `user.name` of its own, which git reads from any folder inside it.
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ledger on this machine, named by HITL_LEDGER."""
    path = tmp_path / "led ger é.git"
    create(path)
    monkeypatch.setenv("HITL_LEDGER", str(path))
    return path


@pytest.fixture(scope="session")
def store() -> Iterator[dict[str, str]]:
    """The environment in which Metaflow keeps everything in an object store."""
    with objectstore.serving() as env:
        yield env


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whole workflows take minutes and a package index: they run when they are named."""
    named = (
        "test_act.py",
        "test_browser.py",
        "test_browser_setup.py",
        "test_image.py",
        "test_octokit.py",
        "test_release.py",
    )
    if collection_path.name not in named:
        return None
    return None if any(collection_path.name in each for each in config.args) else True
