"""How often GitHub is asked: its limits are counted by the hour, and shared by all of a repository.

Git's requests and the minting of tokens are counted apart. `bench/github.py` prints the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.core.model import ApprovalRequest, Gate, Kind, Standing
from bridge.core.rules import Actors, Approvals, Policy
from bridge.gates.gate_issues import asked_since
from bridge.gates.open_page import ask
from bridge.github import client as adapter
from bridge.github import queries
from bridge.github.client import GitHub
from bridge.pages.marker import seal_of
from bridge.pages.model import Look, Page
from tests.forge import POLICY, World, world
from tests.test_votes import page

GROUPS = """\
gates:
  - name: deploy
    require: {permission: write, count: 2}
    bar: {initiator: false}
"""
TEAM = """\
gates:
  - name: deploy
    require: {teams: [acme/ml], count: 2}
    bar: {initiator: false}
"""
ISSUE = POLICY + "    via: issue\n"


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        for name in ("pending", "approved"):
            made.repo.label(f"gate:{name}")
        yield made


def asked(at: World, act: Callable[[], Any]) -> int:
    """How many requests of REST and GraphQL it takes."""
    at.github.forget_requests()
    act()
    return at.github.counts["rest"] + at.github.counts["graphql"]


@pytest.mark.parametrize("policy", [POLICY, GROUPS, ISSUE])
def test_opening_a_gate_takes_five(at: World, policy: str) -> None:
    at.write_policy(policy)
    assert asked(at, lambda: ask(at.desk(at.opener), at.request().draft)) <= 5


@pytest.mark.parametrize(
    ("policy", "voters"), [(POLICY, 1), (GROUPS, 2), (TEAM, 2)], ids=["names", "permission", "team"]
)
def test_deciding_takes_six_and_one_for_each_voter_who_is_looked_up(
    at: World, policy: str, voters: int
) -> None:
    at.github.organisation("acme").team("ml", at.alice, at.bob)
    at.write_policy(policy)
    pull = at.open()
    for who in (at.alice, at.bob)[:voters]:
        pull.review(who, "APPROVED", "/approve")
    looked_up = voters if voters > 1 else 0
    assert asked(at, lambda: at.tend(pull)) <= 6 + looked_up
    assert at.recorded(pull)


def test_deciding_takes_two_more_for_what_was_edited(at: World) -> None:
    pull = at.open()
    for _ in range(3):
        pull.comment(at.mallory, "hello").edit("hello there")
    pull.review(at.alice, "APPROVED", "/approve")
    assert asked(at, lambda: at.tend(pull)) <= 6 + 2  # each look reads it
    assert at.recorded(pull)


def test_a_look_at_an_unchanged_gate_takes_two(at: World) -> None:
    pull = at.open()
    at.tend(pull)
    assert asked(at, lambda: at.tend(pull)) == 2  # the page, and the gate's issues that changed
    assert not at.recorded(pull)


def test_a_decision_on_a_runner_without_a_clone_takes_eight_exchanges_with_git(at: World) -> None:
    taken = []
    for run in range(2):  # the second is compared with the first
        pull = at.open(f"Train/{run}/deploy/1", kind=Kind("Train", "deploy"))
        pull.review(at.alice, "APPROVED", "/approve")
        at.folder = at.folder / "another runner"
        at.github.forget_requests()
        at.tend(pull)
        taken.append(at.github.counts["git"])
        assert at.recorded(pull)
    assert taken == [7, 8]


def test_waiting_takes_none(at: World) -> None:
    pull = at.open()
    ledger = at.desk().ledger

    def wait() -> None:
        for _ in range(3):
            assert ledger.head()
            assert ledger.read(pull.head_ref.removeprefix("gate/"))

    assert asked(at, wait) == 0


@pytest.mark.parametrize("policy", [POLICY, ISSUE], ids=["pull requests", "issues"])
def test_a_sweep_takes_one_for_so_many_gates_and_three_besides(
    at: World, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "_AT_ONCE", 3)
    few = queries.WAITING_ISSUES.replace("first: 50", "first: 3")
    monkeypatch.setattr(queries, "WAITING_ISSUES", few)
    at.write_policy(policy)
    for number in range(7):
        ask(at.desk(at.opener), at.request(f"Train/{number}/deploy/1").draft)
    # Seven gates, three at a time; besides: the issues, the pull requests, those left behind. An
    # issue's gate may have had a pull request.
    assert asked(at, at.sweep) <= (3 + 2 if policy is POLICY else 3 + 4)
    assert all(each.state == "open" for each in at.repo.issues.values())


def test_a_sweep_on_a_runner_without_a_clone_asks_git_no_more_for_more_gates(at: World) -> None:
    counts = []
    for number in range(6):
        at.open(f"Train/{number}/deploy/1")
        at.folder = at.folder / "another runner"
        at.github.forget_requests()
        assert not any(each.failed for each in at.sweep())
        counts.append(at.github.counts["git"])
    assert counts[2] == counts[-1] <= 20


def test_a_thousand_unchanged_gates_take_twenty_five(at: World) -> None:
    names = [f"gate/{number:016x}" for number in range(1000)]
    at.repo.commit("approvals", {"README.md": "The record"}, "Begin")
    at.repo.many_pull_requests(
        at.opener.bot, {name: {name: "x"} for name in names}, base="approvals"
    )
    forge = GitHub(at.settings(at.decider))

    def look() -> None:
        assert len(forge.find(names).pages) == 1000
        assert forge.waiting().pages == ()
        assert forge.closed().stranded.pages == ()

    assert asked(at, look) <= 25


def test_a_thousand_waiting_issues_take_no_more(at: World) -> None:
    for number in range(1000):
        at.repo.open_issue(at.opener.bot, f"Gate {number}").label(at.opener.bot, "gate:pending")
    forge = GitHub(at.settings(at.decider))
    found: list[Look] = []
    assert asked(at, lambda: found.append(forge.waiting())) <= 22
    assert len({each.number for each in found[0].pages}) == 1000


def test_opening_takes_five_and_deciding_six_beside_a_thousand_issues_that_wait(at: World) -> None:
    at.write_policy(ISSUE)
    for number in range(1000):
        at.repo.open_issue(at.opener.bot, f"Gate {number}").label(at.opener.bot, "gate:pending")
    at.github.clock.advance(hours=2)
    at.mint()
    pages: list[Page | None] = []

    def opened(message: str) -> None:
        pages.append(ask(at.desk(at.opener), at.request(message=message).draft)[1])

    for message in ("Deploy?", "Deploy?", "Deploy another one?"):  # also again, and with others
        assert asked(at, lambda message=message: opened(message)) <= 5
    page = pages[0]
    assert page
    assert {each.number for each in pages if each} == {page.number}
    issue = at.repo.issue(page.number)
    sealed = seal_of(issue.body)
    assert sealed
    at.github.clock.advance(minutes=1)
    issue.comment(at.alice, f"/approve {sealed.digest.removeprefix('sha256:')}")
    assert asked(at, lambda: at.tend(issue)) <= 6
    assert issue.labels == ["gate:approved"]


def test_a_gate_that_says_it_is_younger_than_its_page_hides_no_issue() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    put_up = now - timedelta(days=2)
    asked = Standing(_asked(now - timedelta(minutes=1)), None, "")
    since = asked_since([asked], [page(at=put_up)], now)
    assert since
    assert since < put_up


@pytest.mark.parametrize("opened_at", [datetime.min, datetime.max])
def test_a_gate_that_lies_about_its_age_makes_nobody_read_all_issues_or_none(
    opened_at: datetime,
) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    asked = Standing(_asked(opened_at.replace(tzinfo=UTC)), None, "")
    since = asked_since([asked], [], now)
    assert since
    assert timedelta(0) < now - since < timedelta(days=31)


def _asked(opened_at: datetime) -> ApprovalRequest:
    return ApprovalRequest(
        gate=Gate("https://metadata.test", "Train/7/deploy/12"),
        message="Deploy?",
        policy=Policy(Approvals(Actors(anyone=True))),
        opened_at=opened_at,
    )
