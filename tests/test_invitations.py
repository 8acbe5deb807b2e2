"""Who is asked for a review, who is only mentioned, and how often anybody hears of a gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.core.facts import started_by
from bridge.core.model import ApprovalRequest, Decision
from bridge.gates.open_page import ask
from bridge.gates.process_page import tend
from tests.forge import POLICY, World, world
from tests.github.accounts import Team
from tests.github.pulls import PullRequest

REFUSED = "**GitHub does not let the bridge ask these for a review:**"


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def ml(at: World) -> Team:
    """A team that may answer, beside alice."""
    team = at.github.organisation("acme").team("ml", at.bob)
    at.repo.grant(team, "write")
    at.write_policy(POLICY.replace("[alice, bob]", "[alice], teams: [acme/ML]"))
    return team


def heard(at: World, pull: PullRequest) -> list[str]:
    """What of the bridge reaches whoever watches the page."""
    bots = (at.opener.bot, at.decider.bot)
    events = [each.kind for each in pull.timeline if each.by in bots]
    shown = [each for each in events if each in ("ClosedEvent", "MergedEvent", "ReopenedEvent")]
    said = ["comment" for each in pull.comments if each.author in bots]
    return ["opened", *said, *dict.fromkeys(e.replace("Merged", "Closed") for e in shown)]


def requests(at: World) -> int:
    return sum(each.path.endswith("/requested_reviewers") for each in at.github.requests)


def test_the_decider_asks_the_team_that_the_opener_may_not_ask(at: World, ml: Team) -> None:
    pull = at.open()
    assert (pull.requested, pull.requested_teams) == ([at.alice], [])
    assert "so mentioned here:** @acme/ml\n" in at.status(pull)
    at.tend(pull)
    assert (pull.requested, pull.requested_teams) == ([at.alice], [ml])
    assert "@acme/ml" not in at.status(pull)
    # Whom somebody released, or who answered, is not asked again.
    pull.unrequest(["alice"], ["ml"])
    at.github.forget_requests()
    at.tend(pull)
    assert requests(at) == 0
    assert (pull.requested, pull.requested_teams) == ([], [])


def test_who_cannot_be_asked_is_mentioned_in_the_status_comment_and_tried_once(at: World) -> None:
    at.write_policy(POLICY.replace("[alice, bob]", "[alice, nobody-here], teams: [other/ml]"))
    own = at.github.organisation("acme").team("ml", at.bob)  # of another organization's name
    at.repo.grant(own, "write")
    pull = at.open()
    at.tend(pull)
    assert f"{REFUSED} @nobody-here @other/ml\n" in at.status(pull)
    assert (pull.requested, pull.requested_teams) == ([at.alice], [])
    at.github.forget_requests()
    at.tend(pull)
    assert requests(at) == 0
    assert f"{REFUSED} @nobody-here @other/ml\n" in at.status(pull)
    assert at.notes(pull) == []


def test_who_may_not_approve_and_who_answered_already_is_not_asked(at: World) -> None:
    barred = POLICY.replace("    bar: {initiator: false}\n", "")
    at.write_policy(f"identities: {{ann: bob}}\n{barred}")
    pull = at.open(facts=started_by("ann"))
    assert pull.requested == [at.alice]
    pull.unrequest(["alice"])
    pull.timeline[:] = [e for e in pull.timeline if e.kind != "ReviewRequestedEvent"]
    pull.review(at.alice, "COMMENTED", "I am looking")
    at.tend(pull)
    assert pull.requested == []


def test_a_gate_that_goes_well_tells_people_three_times(at: World, ml: Team) -> None:
    pull = at.open()
    at.tend(pull)
    pull.review(at.bob, "APPROVED")
    at.tend(pull)
    at.repo.notice_merges()
    at.tend(pull)
    assert at.recorded(pull)
    assert heard(at, pull) == ["opened", "comment", "ClosedEvent"]


class Notified:
    """The `Notices` port: what was said, and with which page's address."""

    def __init__(self) -> None:
        self.words: list[tuple[str, str | None]] = []

    def opened(self, request: ApprovalRequest, page: str | None = None) -> None:
        self.words.append(("opened", page))

    def reminded(self, request: ApprovalRequest, page: str | None = None) -> None:
        self.words.append(("reminded", page))

    def decided(
        self, request: ApprovalRequest, decision: Decision, page: str | None = None
    ) -> None:
        self.words.append((decision.outcome.value, page))


def test_a_notice_comes_once_the_page_is_there_and_names_its_address(at: World) -> None:
    notices = Notified()
    draft = at.request("Train/7/deploy/12").draft
    _, page = ask(replace(at.desk(at.opener), notices=notices), draft)
    assert page
    ask(replace(at.desk(at.opener), notices=notices), draft)  # found again: nobody hears of it
    assert notices.words == [("opened", page.url)]
    at.repo.pull(page.number).review(at.alice, "APPROVED")
    tend(replace(at.desk(), notices=notices), page.number)
    assert notices.words[1:] == [("approved", page.url)]
