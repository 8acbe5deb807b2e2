"""What must be looked up on a forge before the votes on a gate can be judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from bridge.core.digest import digest_of
from bridge.core.evaluation import Actor, Evidence, Question, Verdict, Vote
from bridge.core.model import ApprovalRequest
from bridge.core.rules import Group, Policy
from bridge.policy.approvers import Memberships, among, bar, identity, leaves
from bridge.policy.claims import as_asked
from bridge.policy.evaluate import objection_of_form
from bridge.policy.objections import kept_open, key, objects


def questions(
    request: ApprovalRequest, evidence: Evidence, besides: Iterable[tuple[Actor, bool]] = ()
) -> tuple[Question, ...]:
    """What must be looked up before these votes can be judged, and nothing besides.

    Look each up, `replace(evidence, memberships=…)`, evaluate. What is not looked up is unknown.
    `besides` are people who gave no vote, each with whether they may be somebody who objects.
    """
    request = as_asked(request, evidence.facts)
    digest = digest_of(request)
    known = {(each.user, each.group) for each in evidence.memberships}
    found: dict[tuple[int, Group], Question] = {}
    for actor, objecting in (*_whom(request, evidence, digest), *besides):
        for group in _groups(request.policy, actor, objecting=objecting):
            if actor.id is not None and (actor.id, group) not in known:
                found[actor.id, group] = Question(actor, group)
    return tuple(found.values())


def _whom(
    request: ApprovalRequest, evidence: Evidence, digest: str
) -> Iterator[tuple[Actor, bool]]:
    """Who must be known, and whether as somebody who objects."""
    kept = kept_open(request, evidence.objections, evidence.facts)
    on_record = {key(each) for each in evidence.objections}
    for vote in sorted(evidence.votes, key=_order):
        late = kept or vote.verdict is Verdict.RELEASE  # it may set an approval aside
        if objects(vote) or objection_of_form(request, digest, vote, late) is None:
            for actor in (vote.actor, vote.dismissed_by):
                if actor and not actor.bot and not bar(request, evidence, actor):
                    ends = objects(vote) or vote.verdict is Verdict.WITHDRAW
                    yield actor, ends and actor is vote.actor
    for vote in sorted((*evidence.said, *evidence.votes), key=_order):
        if objects(vote):
            if not vote.actor.bot and key(vote) not in on_record:
                yield vote.actor, True  # also one who is barred: a no is heard all the same
            by = vote.dismissed_by
            if by and not by.bot and not bar(request, evidence, by):
                yield by, False


def _groups(policy: Policy, actor: Actor, *, objecting: bool) -> Iterator[Group]:
    nothing = Memberships(())
    besides = [policy.only, policy.disapprove if objecting else None]
    for actors in (*leaves(policy.require), *(each for each in besides if each)):
        if not among(actors, actor, nothing).surely:  # else the policy names the account itself
            yield from actors.groups


def _order(vote: Vote) -> tuple[datetime, str, str, str]:
    return vote.at, vote.verdict, identity(vote.actor), vote.url or ""
