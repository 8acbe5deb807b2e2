"""Each vote that does not count has a code that says why, and each code is given to some vote."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.core.evaluation import (
    Actor,
    Dismissal,
    Evaluation,
    Evidence,
    Outcome,
    ReasonCode,
    Verdict,
)
from bridge.core.model import Standing
from bridge.core.rules import Actors, Bars, Initiator
from bridge.gates.decide import decision_of
from bridge.pages import votes
from bridge.pages.model import Edit
from tests import test_policy_forge as forge
from tests import test_votes as pages

ANN, BOB, CAT, INA, EVE = forge.EVERYBODY
HOLD, RELEASE = Verdict.HOLD, Verdict.RELEASE


def judged(*said: Any, asked: Any = None, **more: Any) -> Iterable[Dismissal]:
    """What the policy says of these votes, each an actor or an actor and more."""
    request = asked or forge.asked()
    votes = [forge.vote(request, *(each if isinstance(each, tuple) else (each,))) for each in said]
    return forge.judged(request, *votes, **more).dismissals


def changed(**about: Any) -> Iterable[Dismissal]:
    """What the policy says of Ann's approval with this about it."""
    request = forge.asked()
    return forge.judged(request, forge.vote(request, ANN, **about)).dismissals


def told(*said: Any, asked: Any = None, head: str | None = pages.HEAD, **of: Any) -> Any:
    """What the page says of these comments and reviews."""
    return pages.gathered(pages.page(*said, **of), asked, head).dismissed


def misfitting() -> Iterable[Dismissal]:
    request = forge.asked()
    evidence = Evidence(forge.OPENED, (forge.vote(request, ANN),), author=forge.OPENER)
    evidence = replace(evidence, memberships=forge.members(forge.ML, ANN))
    return forge.evaluate(request, evidence, lambda _: "a is missing").dismissals


def altered() -> Iterable[Dismissal]:
    edits = (Edit(pages.MALLORY, pages.at(3)), Edit(pages.BOT, pages.at(7)))
    return told(pages.comment("/approve", minutes=5), edits=edits)


def misworded() -> Iterable[Dismissal]:
    request, of = pages.request(), pages.page(pages.comment("/approve", minutes=5))
    seen = pages.shown(of, pages.VOICES)
    assert seen
    seen = replace(seen, misworded=((pages.at(3), pages.at(7)),))
    return votes.gather(request, of, seen, pages.HEAD, pages.VOICES).dismissed


REASONS: dict[ReasonCode, Callable[[], Iterable[Dismissal]]] = {
    ReasonCode.SUPERSEDED: lambda: judged(ANN, (ANN, Verdict.APPROVE, 2)),
    ReasonCode.LIFTS_NOTHING: lambda: judged((BOB, HOLD, 1), (ANN, RELEASE, 2)),
    ReasonCode.EDITED: lambda: told(
        pages.comment("/approve", edited=Edit(pages.ALICE, pages.at(6)))
    ),
    ReasonCode.DISMISSED: lambda: told(pages.review("DISMISSED", "/approve")),
    ReasonCode.BAD_INPUT: misfitting,
    ReasonCode.LATE: lambda: judged((ANN, Verdict.APPROVE, 60)),
    ReasonCode.OLDER_VERSION: lambda: told(pages.review("APPROVED", commit=pages.OLD)),
    ReasonCode.OTHER_VERSION: lambda: changed(digest="sha256:0"),
    ReasonCode.UNNAMED_VERSION: lambda: told(pages.comment("/approve"), branch=None),
    ReasonCode.NOT_YET_SHOWN: lambda: told(
        pages.comment("/approve"), asked=pages.request(message="Another?")
    ),
    ReasonCode.BRANCH_MOVED: lambda: told(pages.comment("/approve"), head=pages.OLD),
    ReasonCode.TEXT_ALTERED: altered,
    ReasonCode.OTHER_WORDS: misworded,
    ReasonCode.BOT: lambda: judged(replace(ANN, bot=True)),
    ReasonCode.NOT_PROVEN: lambda: judged(replace(ANN, proven=False)),
    ReasonCode.NOT_AN_APPROVER: lambda: judged(EVE),
    ReasonCode.NOT_NAMED: lambda: judged(ANN, asked=forge.asked(only=Actors(users=("bob",)))),
    ReasonCode.NOT_SIGNED: lambda: judged(ANN, asked=forge.asked(signed=True)),
    ReasonCode.MEMBERSHIP_UNKNOWN: lambda: judged(ANN, memberships=()),
    ReasonCode.INITIATOR_UNKNOWN: lambda: judged(ANN, asked=forge.asked(initiator=None)),
    ReasonCode.INITIATOR_NOT_PROVEN: lambda: judged(
        ANN, asked=forge.asked(initiator_is=Initiator.PROVEN)
    ),
    ReasonCode.AUTHOR_UNKNOWN: lambda: judged(ANN, author=None),
    ReasonCode.BARRED_INITIATOR: lambda: judged(INA),
    ReasonCode.BARRED_AUTHOR: lambda: judged(ANN, author=ANN),
    ReasonCode.BARRED_USER: lambda: judged(ANN, asked=forge.asked(bars=Bars(users=("ann",)))),
}
COUNTED = {ReasonCode.APPROVED, ReasonCode.REJECTED, ReasonCode.WITHDRAWN}


@pytest.mark.parametrize("code", REASONS)
def test_a_vote_that_does_not_count_has_its_code_and_a_sentence(code: ReasonCode) -> None:
    found = list(REASONS[code]())
    assert [each.why.code for each in found] == [code]
    assert found[0].reason


def test_every_code_is_given_to_some_vote() -> None:
    assert REASONS.keys() | COUNTED == set(ReasonCode)


# -- in the record -----------------------------------------------------------------------------


def recorded(*said: tuple[Actor, Verdict, int], **more: Any) -> list[tuple[str, bool, ReasonCode]]:
    request = forge.asked()
    found = forge.judged(request, *(forge.vote(request, *each) for each in said), **more)
    return [
        (each.vote.actor.name, each.counts, each.code) for each in _decided(request, found, **more)
    ]


def _decided(request: Any, found: Evaluation, **more: Any) -> Any:
    assert found.outcome is not Outcome.PENDING
    more = {"author": forge.OPENER, "memberships": forge.members(forge.ML, ANN, BOB, INA), **more}
    evidence = Evidence(forge.OPENED + timedelta(minutes=5), **more)
    return decision_of(Standing(request, None, "c"), found, evidence).considered


def test_a_decision_records_every_vote_that_could_have_mattered_with_its_code() -> None:
    yes = Verdict.APPROVE
    assert recorded((ANN, yes, 1), (INA, yes, 2), (ANN, yes, 3)) == [
        ("ann", True, ReasonCode.APPROVED),
        ("ann", False, ReasonCode.SUPERSEDED),
        ("ina", False, ReasonCode.BARRED_INITIATOR),
    ]


def test_a_rejection_is_recorded_beside_the_approvals_that_it_outweighs() -> None:
    assert recorded((ANN, Verdict.APPROVE, 1), (BOB, Verdict.REJECT, 2)) == [
        ("ann", True, ReasonCode.APPROVED),
        ("bob", True, ReasonCode.REJECTED),
    ]


def test_a_stranger_or_a_bot_fills_no_record() -> None:
    bot = replace(ANN, bot=True)
    yes = Verdict.APPROVE
    assert recorded((EVE, yes, 1), (bot, yes, 2), (ANN, yes, 3)) == [
        ("ann", True, ReasonCode.APPROVED)
    ]
