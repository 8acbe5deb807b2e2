"""Whose approval would be the last one that a rule needs."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.evaluation import Vote
from bridge.core.rules import AllOf, AnyOf, Approvals, EachOf, Rule
from bridge.policy.approvers import Memberships, among, identity, match_up


def last_needed(rule: Rule, approvals: Sequence[Vote], members: Memberships) -> tuple[str, ...]:
    """The groups, in words, of which one more approval satisfies the rule; empty if none does."""
    missing, groups = _missing(rule, approvals, members)
    return groups if missing == 1 else ()


def _missing(
    rule: Rule, approvals: Sequence[Vote], members: Memberships
) -> tuple[int, tuple[str, ...]]:
    """How many approvals are missing, and of which groups if it is one."""
    match rule:
        case Approvals(by=actors, count=count):
            have = sum(among(actors, vote.actor, members).surely for vote in approvals)
            return max(0, count - have), (str(actors),)
        case EachOf(of):
            choices = [
                frozenset(
                    identity(vote.actor)
                    for vote in approvals
                    if among(actors, vote.actor, members).surely
                )
                for actors in of
            ]
            chosen = match_up(choices)
            open_to = tuple(str(actors) for at, actors in enumerate(of) if at not in chosen)
            return len(open_to), open_to
        case AllOf(rules):
            parts = [_missing(each, approvals, members) for each in rules]
            unmet = [part for part in parts if part[0]]
            # One person may answer for two rules, and nobody can know here who does.
            return unmet[0] if len(unmet) == 1 else (sum(part[0] for part in unmet), ())
        case AnyOf(rules):
            parts = [_missing(each, approvals, members) for each in rules]
            least = min((part[0] for part in parts), default=0)
            groups = [name for part in parts if part[0] == least for name in part[1]]
            return least, tuple(dict.fromkeys(groups))
