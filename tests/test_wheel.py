"""The wheel is whole: what it holds is enough to run, far from the checkout."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "https://github.com/acme/approval-bridge"
COMMIT = "ab" * 20


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that holds the wheel alone, and borrows its dependencies."""
    place = tmp_path_factory.mktemp("wheel")
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(ROOT)]
    env = {**os.environ, "RELEASE_REPOSITORY": REPOSITORY, "RELEASE_COMMIT": COMMIT}
    subprocess.run([sys.executable, *build], check=True, capture_output=True, env=env)
    (wheel,) = place.glob("*.whl")
    venv.create(place / "env", with_pip=False)
    python = place / "env" / "bin" / "python"
    install = ["-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run([sys.executable, *install], check=True)
    site = next((place / "env" / "lib").glob("python3*/site-packages"))
    # After the wheel's own folder, so that the wheel is what is imported.
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return place / "env" / "bin"


def run(installed: Path, tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HOME": str(tmp_path), "HITL_CACHE": str(tmp_path / "cache")}
    env.pop("PYTHONPATH", None)
    program = str(installed / command[0])
    return subprocess.run(
        [program, *command[1:]], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )


def test_hitl_runs_from_the_wheel_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    listed = run(installed, tmp_path, "hitl", "list")
    assert listed.returncode == 6, listed.stderr
    assert "there is no ledger in" in listed.stderr


def test_the_wheel_carries_templates_and_the_metaflow_extension(
    installed: Path, tmp_path: Path
) -> None:
    program = (
        "import bridge, sys;"
        "from pathlib import Path;"
        "home = Path(bridge.__file__).parent;"
        "print(home);"
        "assert list((home / 'templates').glob('*.j2')), 'no templates';"
        "assert (home / 'action' / 'action.yml').is_file(), 'no action';"
        "from metaflow import hitl; print(hitl)"
    )
    shown = run(installed, tmp_path, "python", "-c", program)
    assert shown.returncode == 0, shown.stderr
    assert str(installed.parent) in shown.stdout, "the checkout was imported, not the wheel"


def test_a_release_knows_the_address_of_its_action(installed: Path, tmp_path: Path) -> None:
    program = (
        "from bridge.setup.action_address import action_address;"
        "print(action_address(None, 'https://github.com'))"
    )
    shown = run(installed, tmp_path, "python", "-c", program)
    assert shown.stdout.strip() == f"acme/approval-bridge/action@{COMMIT}", shown.stderr


def test_a_build_that_is_no_release_names_no_repository() -> None:
    hook = runpy.run_path(str(ROOT / "hatch_build.py"))
    asker = {"GITHUB_REPOSITORY": "eve/models", "GITHUB_SHA": COMMIT, "RELEASE_COMMIT": COMMIT}
    assert hook["project_urls"](asker) == {}
