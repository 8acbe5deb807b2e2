"""What is proven of a run, what is only claimed, and what each is worth.

The opener's key lies beside the code of the person who started the run, so what a request says
is that person's word. A proof comes from elsewhere: the account whose token opened the page,
GitHub's times, a token of the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Final

from bridge.core.conditions import ENVIRONMENT
from bridge.core.evaluation import Condition, ReasonCode, Why
from bridge.core.facts import STARTED, About, Fact, account_of, fact_of, in_words, weighed
from bridge.core.model import ApprovalRequest
from bridge.core.names import folded
from bridge.core.rules import Facts, Initiator, OnTimeout
from bridge.core.timestamps import moment

#: Between the clocks of the opener and of GitHub, and until a page is made.
_ABOUT: Final = timedelta(minutes=5)


def starters(request: ApprovalRequest, facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """Who started the run, each by a proof; without one, the person that the request names."""
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
    """Whether the time that has passed, and what chose the policy, is more than claimed."""
    dated = request.forge is None or asked_at(facts) is not None
    return dated and not unproven(request, facts)


# -- deciding without a person -------------------------------------------------------------------


def unproven(
    request: ApprovalRequest, facts: Iterable[Fact], reads: Iterable[str] = ()
) -> tuple[str, ...]:
    """What a decision without a person would rest on and only the request says.

    That is what chose the policy, and what a condition `reads`. People see these claims on the page
    and may act on them; a machine only if the policy says that claims are enough.
    """
    policy, subject = request.policy, request.subject
    if request.forge is None or policy.facts is Facts.CLAIMED:
        return ()
    known = [each for each in facts if each.proven]
    environment, workflow = (fact_of(known, each) for each in (About.ENVIRONMENT, About.WORKFLOW))
    proven = set()
    if environment and subject and folded(environment.value) == folded(subject.environment or ""):
        proven.add(ENVIRONMENT)
    # A flow of GitHub Actions is called by the name of its workflow's file.
    if workflow and subject and folded(PurePosixPath(workflow.value).name) == folded(subject.flow):
        proven.add("flow")
    return tuple(sorted({*policy.chosen_by, *reads} - proven))


def _read_by(condition: Condition | None) -> tuple[str, ...]:
    """What a condition looked at, as `unproven` calls it."""
    names = condition.seen if condition else ()
    return tuple(each if each == ENVIRONMENT else f"artifact {each}" for each in names)


def condition_decides(
    request: ApprovalRequest, facts: Iterable[Fact], condition: Condition
) -> bool:
    """Whether the policy names this condition, it holds, and what it saw is proven enough."""
    named = condition.text == request.policy.auto_approve_if and condition.holds
    return named and not unproven(request, facts, _read_by(condition))


def why_no_machine(
    request: ApprovalRequest, facts: Iterable[Fact], condition: Condition | None
) -> str | None:
    """Why neither the clock nor a condition approves, in words for those who wait."""
    policy = request.policy
    if policy.auto_approve_if is None and policy.on_timeout is not OnTimeout.APPROVE:
        return None
    names = unproven(request, facts, _read_by(condition))
    if not names:
        return None
    return (
        f"only the run says its {', '.join(names)}, so neither the clock nor a condition approves:"
        " `facts: claimed` in the policy accepts that"
    )
