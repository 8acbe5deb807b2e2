"""What is proven of a run, what is only claimed, and what each is worth.

The opener's key lies beside the code of whoever started the run, so what a request says is that
person's word. A proof comes from elsewhere: the account whose token opened the page, GitHub's
times, a token of the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from bridge.core.evaluation import ReasonCode, Why
from bridge.core.facts import STARTED, About, Fact, account_of, fact_of, in_words, weighed
from bridge.core.model import ApprovalRequest
from bridge.core.rules import Initiator
from bridge.core.timestamps import moment

#: Between the clocks of the opener and of GitHub, and until a page is made.
_ABOUT: Final = timedelta(minutes=5)


def starters(request: ApprovalRequest, facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """Who started the run, each by a proof; without one, whom the request names."""
    known = [each for each in weighed(facts, request.facts) if each.name in STARTED]
    return tuple(each for each in known if each.proven) or tuple(known)


def proven_accounts(facts: Iterable[Fact]) -> tuple[str, ...]:
    """The accounts that surely started the run, as `ann#583231`."""
    found = (account_of(each) for each in facts if each.proven and each.name in STARTED)
    return tuple(each for each in found if each)


def why_starter_unknown(request: ApprovalRequest, facts: Iterable[Fact]) -> Why | None:
    """Why it is not known well enough who started the run; None if the policy asks no more."""
    policy = request.policy
    if not policy.bars.initiator or policy.initiator_is is Initiator.UNKNOWN:
        return None
    if proven_accounts(facts):
        return None
    claim = request.fact(About.INITIATOR)
    if policy.initiator_is is Initiator.PROVEN:
        who = f"{in_words(claim)}, which is no proof" if claim else "nobody says who did"
        return Why(
            ReasonCode.INITIATOR_NOT_PROVEN,
            f"the policy asks for a proof of who started this run ({who}). A run of GitHub Actions"
            " proves it with its own token, a laptop by opening the gate with its owner's token;"
            " `initiator: claimed` in the policy takes the word of the run",
        )
    if policy.initiator:
        return None
    who = f"it was started by {in_words(claim)}" if claim else "nobody says who did"
    name = claim.value if claim else "USER"
    return Why(
        ReasonCode.INITIATOR_UNKNOWN,
        f"it is not known which account on {request.forge} started this run ({who}), and the policy"
        f" then lets nobody approve: add `{name}: LOGIN` under `identities:` in the policy",
    )


# -- time ----------------------------------------------------------------------------------------


def asked_at(facts: Iterable[Fact]) -> datetime | None:
    """Since when people can see the request, if GitHub proves it."""
    fact = fact_of([each for each in facts if each.proven], About.ASKED_AT)
    try:
        return moment(fact.value) if fact else None
    except ValueError:
        return None


def as_asked(request: ApprovalRequest, facts: Iterable[Fact]) -> ApprovalRequest:
    """The request with the time from which its deadline counts.

    `opened_at` is the opener's word: two days in the past, it would let the clock approve at once.
    On a forge the time since which people can see the request takes its place.
    """
    at = asked_at(facts)
    if request.forge is None or at is None:
        return request
    dated = replace(request, opened_at=at)
    try:
        dated.expires_at  # noqa: B018 - it may lie past the last year there is
    except OverflowError:
        return request
    return dated


def as_shown(request: ApprovalRequest, facts: Iterable[Fact]) -> ApprovalRequest:
    """The request with the time that its page shows: its own, if that is about right.

    Its page is made a moment later, and need not be written again for that.
    """
    dated = as_asked(request, facts)
    return dated if abs(dated.opened_at - request.opened_at) > _ABOUT else request


def clock_may_approve(request: ApprovalRequest, facts: Iterable[Fact]) -> bool:
    """Whether the time that has passed is more than the opener's word."""
    return request.forge is None or asked_at(facts) is not None
