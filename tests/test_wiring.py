"""Which ledger a laptop has, and where."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bridge import wiring
from bridge.core.errors import NoLedger
from bridge.core.settings import Settings


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with a sub-folder."""
    subprocess.run(["git", "init", "-q", tmp_path / "pro ject"], check=True)
    (tmp_path / "pro ject" / "flows").mkdir()
    return tmp_path / "pro ject"


def test_the_ledger_is_made_at_the_projects_top_and_found_from_a_sub_folder(project: Path) -> None:
    made = wiring.ledger(Settings(cache=project / "c"), project / "flows")
    assert made.where == str(project / ".hitl" / "ledger.git")
    assert wiring.existing_ledger(Settings(), project / "flows").where == made.where
    assert wiring.existing_ledger(Settings(), project).where == made.where


def test_without_a_project_it_is_made_right_here(tmp_path: Path) -> None:
    assert wiring.ledger(Settings(), tmp_path).where == str(tmp_path / ".hitl" / "ledger.git")


def test_the_projects_own_git_does_not_take_the_ledger_in(project: Path) -> None:
    wiring.ledger(Settings(), project)
    status = ["git", "-C", project, "status", "--porcelain"]
    assert subprocess.run(status, capture_output=True, check=True).stdout == b""


def test_who_only_looks_makes_nothing(project: Path) -> None:
    with pytest.raises(NoLedger, match="there is no ledger in"):
        wiring.existing_ledger(Settings(), project)
    assert not (project / ".hitl").exists()


def test_a_configured_ledger_outweighs_the_projects(project: Path) -> None:
    wiring.ledger(Settings(), project)
    configured = Settings(ledger="https://git.example.org/ledger.git")
    assert wiring.ledger(configured, project).where == "https://git.example.org/ledger.git"
