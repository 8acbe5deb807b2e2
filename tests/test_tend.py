"""A gate's life on GitHub, from the opened pull request to the recorded decision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.model import Outcome
from tests.forge import World, world


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def test_one_eligible_review_approves_and_github_shows_the_pull_request_merged(at: World) -> None:
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    tended = at.tend(pull)
    assert tended.standing
    assert tended.standing.decision
    assert tended.standing.decision.outcome is Outcome.APPROVED
    at.github.tick()
    assert pull.merged
    assert "✅ Approved by alice" in at.status(pull)
    assert pull.labels == ["gate:approved"]
    assert at.statuses(pull) == {"approval": "success"}
    at.tend(pull)
    assert at.repo.branch(pull.head_ref) is None
