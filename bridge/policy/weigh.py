"""How far approvals satisfy a rule, as a tree that explains it.

One person may answer for both rules of an `AllOf`, and for one group of an `EachOf`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.evaluation import Finding, Vote
from bridge.core.rules import Actors, AllOf, AnyOf, Approvals, EachOf, Rule
from bridge.policy.approvers import Memberships, among, identity, match_up
from bridge.policy.rule_words import joined, number_of_approvals


def weigh(rule: Rule, approvals: Sequence[Vote], members: Memberships) -> Finding:
    """How far these approvals, one a person, satisfy the rule, as a tree."""
    match rule:
        case Approvals(by=actors, count=count):
            return _weigh_count(actors, count, approvals, members)
        case EachOf(of):
            return _weigh_each(of, approvals, members)
        case AllOf(rules):
            parts = tuple(weigh(each, approvals, members) for each in rules)
            met = bool(parts) and all(part.met for part in parts)
            return Finding(joined("and", [part.says for part in parts]), met, parts)
        case AnyOf(rules):
            parts = tuple(weigh(each, approvals, members) for each in rules)
            met = any(part.met for part in parts)
            return Finding(joined("or", [part.says for part in parts]), met, parts)


def _weigh_count(
    actors: Actors, count: int, approvals: Sequence[Vote], members: Memberships
) -> Finding:
    found = [(vote, among(actors, vote.actor, members)) for vote in approvals]
    have = [vote for vote, belongs in found if belongs.surely]
    who = sorted({str(vote.actor) for vote in have})
    by = f" ({', '.join(who)})" if who else ""
    others = sorted({belongs.says for _, belongs in found if not belongs.surely})
    return Finding(
        f"{len(have)} of {number_of_approvals(count)} from {actors}{by}",
        len(have) >= count > 0 and not actors.nobody,
        tuple(Finding(each, False) for each in others),
    )


def _weigh_each(of: Sequence[Actors], approvals: Sequence[Vote], members: Memberships) -> Finding:
    names = {identity(vote.actor): str(vote.actor) for vote in approvals}
    choices = [
        frozenset(identity(v.actor) for v in approvals if among(actors, v.actor, members).surely)
        for actors in of
    ]
    chosen = match_up(choices)
    parts = tuple(
        Finding(f"{actors}: {names[chosen[at]] if at in chosen else 'nobody yet'}", at in chosen)
        for at, actors in enumerate(of)
    )
    says = f"{len(chosen)} of {len(of)}, one from each: {'; '.join(part.says for part in parts)}"
    return Finding(says, bool(of) and len(chosen) == len(of), parts)
