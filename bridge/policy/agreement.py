"""What several approvals give as input, together. People who give different values must agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.core.digest import canonical
from bridge.core.evaluation import Actor, Dismissal, ReasonCode, Verdict, Vote, Why
from bridge.core.json_schema import quoted
from bridge.core.sanitize import is_secret, shortened
from bridge.policy.approvers import identity
from bridge.policy.objections import is_called, target

#: Why an input does not fit its schema; None if it does (`input_fields.objection`).
Misfit = Callable[[Mapping[str, Any] | None], str | None]


def together(approvals: Sequence[Vote]) -> dict[str, Any]:
    """All that they give; a default that nobody wrote is no part of it."""
    return {name: value for vote in approvals for name, value in (vote.inputs or {}).items()}


def disagreement(approvals: Sequence[Vote], misfit: Misfit | None = None) -> str | None:
    """Who must agree on what, in words; None if they do.

    Each input fits by itself; all of them together may not (`oneOf`).
    """
    apart = list(_apart(approvals))
    if apart:
        return "; ".join(apart)
    giving = [vote for vote in approvals if vote.inputs]
    says = misfit(together(approvals)) if misfit and len(giving) > 1 else None
    return (
        f"{_names(giving)} must agree on the input: together it does not fit, {says}"
        if says
        else None
    )


@dataclass(frozen=True, slots=True)
class Aside:
    """The approvals that are left, those that were set aside, and the words that did it."""

    approvals: tuple[Vote, ...]
    dismissals: tuple[Dismissal, ...] = ()
    used: tuple[Vote, ...] = ()


def set_aside(
    approvals: Sequence[Vote],
    given: Sequence[Vote],
    releases: Sequence[Vote],
    why_no_approver: Callable[[Actor], Why | None],
    misfit: Misfit | None,
) -> Aside:
    """The approvals without those whose input differs from another's and that a later `/unhold`
    sets aside: their author's own, or `/unhold @alice reason` of an approver.

    Else one who gave a value and left would block the gate for ever. `given` holds each approval
    so far, also those that their authors replaced: if others come round to a value that was set
    aside, it does not count again by itself.
    """
    kept, dismissals, used = [], [], []
    for vote in approvals:
        ends = [
            each
            for each in releases
            if each.at > vote.at
            and _lets_go(each, vote, why_no_approver)
            and _conflicts(vote, approvals, [one for one in given if one.at <= each.at], misfit)
        ]
        if ends:
            dismissals.append(Dismissal(vote, _why_aside(ends[0])))
            used += [each for each in ends if each not in used]
        else:
            kept.append(vote)
    return Aside(tuple(kept), tuple(dismissals), tuple(used))


def _lets_go(release: Vote, vote: Vote, why_no_approver: Callable[[Actor], Why | None]) -> bool:
    whom, reason = target(release)
    if whom is None or is_called(release.actor, whom):
        return identity(release.actor) == identity(vote.actor)
    return bool(reason) and is_called(vote.actor, whom) and not why_no_approver(release.actor)


def _conflicts(
    vote: Vote, approvals: Sequence[Vote], given: Sequence[Vote], misfit: Misfit | None
) -> bool:
    if not vote.inputs:
        return False
    who = identity(vote.actor)
    others = [
        each for each in given if each.verdict is Verdict.APPROVE and identity(each.actor) != who
    ]
    if any(disagreement([each, vote], misfit) for each in others):
        return True
    return not any(_apart(approvals)) and disagreement(approvals, misfit) is not None


def _why_aside(release: Vote) -> Why:
    _, reason = target(release)
    because = f": {shortened(reason, 200)}" if reason else ""
    return Why(ReasonCode.DISMISSED, f"{release.actor} set it aside{because}")


def _apart(approvals: Sequence[Vote]) -> Iterator[str]:
    given: dict[str, list[Vote]] = {}
    for vote in approvals:
        for name in vote.inputs or {}:
            given.setdefault(name, []).append(vote)
    for name, votes in sorted(given.items()):
        values = [(vote.inputs or {})[name] for vote in votes]
        if all(_same(value, values[0]) for value in values):
            continue
        shown = shortened(name, 60)
        who = f"{_names(votes)} must agree on {shown}"
        if is_secret(name):
            yield f"{who}: they give different values"
        else:
            each = (
                f"{vote.actor} gives {quoted(value)}"
                for vote, value in zip(votes, values, strict=True)
            )
            yield f"{who}: {', '.join(each)}"


def _same(one: object, other: object) -> bool:
    numbers = all(
        isinstance(each, int | float) and not isinstance(each, bool) for each in (one, other)
    )
    return one == other if numbers else canonical(one) == canonical(other)


def _names(votes: Sequence[Vote]) -> str:
    names = [str(vote.actor) for vote in votes]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
