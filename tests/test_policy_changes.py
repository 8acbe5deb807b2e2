"""An entry of the policy that asks how a metric changed since the last approved run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.core.errors import Faults
from bridge.core.model import Subject
from bridge.policy.policy_file import parse
from tests.forge import World, world
from tests.github.pulls import PullRequest
from tests.test_comparison_on_github import approve, baseline, forged, opened

POLICY = """\
gates:
  - name: fell
    when:
      change: accuracy < -0.01
    require:
      users: [bob]
    bar: {initiator: false}
  - name: the rest
    require:
      users: [alice]
    bar: {initiator: false}
"""


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, POLICY) as made:
        yield made


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, "fell"),  # nothing to compare with
        ({"loss": -1.0}, "fell"),  # another metric
        ({"accuracy": -0.02}, "fell"),
        ({"accuracy": -0.01}, "the rest"),
        ({"accuracy": 0.02}, "the rest"),
    ],
)
def test_an_entry_covers_what_changed_so_and_what_cannot_be_compared(
    changes: dict[str, float], rule: str
) -> None:
    assert parse(POLICY).select(Subject("Train", "deploy"), None, changes).rule == rule


def test_a_policy_that_is_chosen_by_a_change_says_so() -> None:
    file = parse(POLICY)
    chosen = file.select(Subject("Train", "deploy"), None, {"accuracy": 0.0})
    assert chosen.policy.chosen_by == ("change of accuracy",)
    assert str(file.entries[0].when) == "change of accuracy < -0.01"
    ((_, why),) = file.passed_over(Subject("Train", "deploy"), {"accuracy": 0.02})
    assert why == "the change accuracy < -0.01 does not hold: accuracy changed by +0.02"


@pytest.mark.parametrize("written", ["accuracy in [1, 2]", "accuracy == high", "accuracy < true"])
def test_a_change_is_a_number(written: str) -> None:
    with pytest.raises(Faults):
        parse(POLICY.replace("accuracy < -0.01", written))


def by_bob(at: World, pull: PullRequest) -> None:
    at.github.clock.advance(minutes=1)
    pull.review(at.bob, "APPROVED")
    at.github.clock.advance(minutes=1)
    at.tend(pull)
    assert at.recorded(pull)


def test_who_decides_depends_on_how_the_metric_changed(at: World) -> None:
    first = opened(at, 6, "0.929")
    assert "It takes 1 approval from bob" in first.body
    by_bob(at, first)
    better = opened(at, 7, "0.941")
    assert "It takes 1 approval from alice" in better.body
    approve(at, better)
    assert at.recorded(better)
    assert "It takes 1 approval from bob" in opened(at, 8, "0.9").body


def test_an_opener_that_picks_a_comparison_gets_no_milder_entry(at: World) -> None:
    by_bob(at, opened(at, 5, "0.5"))
    older = baseline(at, opened(at, 50, "0.5"))
    approve(at, opened(at, 6, "0.929"))
    pull = forged(at, 7, "0.6", older)  # than which it is better
    assert "It takes 1 approval from alice" in pull.body
    for _ in range(3):
        approve(at, pull)
    assert at.recorded(pull) is None
    assert baseline(at, pull).key == "Train/6/deploy/12"
    assert "It takes 1 approval from bob" in pull.body
