"""A policy file in words, for a person who wants to know what it does and not how it is written."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.core import durations
from bridge.core.rules import (
    DismissedReviews,
    Facts,
    Initiator,
    OnTimeout,
    Policy,
    RequestChanges,
    Selected,
    Via,
)
from bridge.policy.policy_file import Covers, PolicyFile
from bridge.policy.rule_words import takes

_CLOCK = {
    OnTimeout.REJECT: "then it is rejected",
    OnTimeout.APPROVE: "then the clock approves it",
    OnTimeout.NOTIFY: "then people are reminded, and it goes on waiting",
}

_STARTER = {
    Initiator.PROVEN: "until that is proven, nobody's approval counts",
    Initiator.CLAIMED: "as the run says; if their account is not known, nobody's approval counts",
    Initiator.UNKNOWN: "as the run says; if their account is not known, this bars nobody",
}


def in_words(file: PolicyFile) -> Iterator[str]:
    """Lines of plain text."""
    yield f"{file.where}: the first entry from the top that covers a gate is its policy."
    for number, entry in enumerate(file.entries, start=1):
        yield ""
        yield f"{number}. {entry.selected.rule} (line {entry.line})"
        yield from (f"   {name:<9} {says}" for name, says in _entry(entry))
    yield ""
    yield "A gate that no entry covers waits, and nobody can approve it."
    if file.identities:
        yield ""
        yield "The account of each user that a run names:"
        yield from (f"   {name} is {account}" for name, account in file.identities.items())


def _entry(entry: Covers) -> Iterator[tuple[str, str]]:
    policy = entry.selected.policy
    yield "covers", str(entry.when)
    yield "takes", takes(policy.require)
    yield "never", "; ".join(_never(policy))
    yield "asked", "in an issue" if entry.selected.via is Via.ISSUE else "in a pull request"
    yield "time", _time(policy)
    yield from (("besides", says) for says in _besides(entry.selected))


def _never(policy: Policy) -> Iterator[str]:
    if policy.bars.initiator:
        yield f"the person who started the run ({_STARTER[policy.initiator_is]})"
    if policy.bars.author:
        yield "the person who opened the request"
    if policy.bars.users:
        yield ", ".join(user.partition("#")[0] for user in policy.bars.users)
    yield "bots"


def _time(policy: Policy) -> str:
    if policy.timeout is None:
        return "as the flow says"
    return f"{durations.words(policy.timeout)}, {_CLOCK[policy.on_timeout]}"


def _besides(selected: Selected) -> Iterator[str]:
    policy = selected.policy
    if policy.signed:
        yield "an approval counts only if its author signed it"
    if selected.auto_approve_if:
        conditions = " or if ".join(selected.auto_approve_if)
        yield f"if the flow asks for it, it is approved if {conditions}"
    if policy.facts is Facts.CLAIMED:
        yield "the clock and a condition may use what the run claims"
    if policy.request_changes is RequestChanges.REJECT:
        yield "a review that requests changes rejects"
    else:
        yield "a review that requests changes holds the gate"
    if policy.checks:
        yield f"green on the commit under approval: {', '.join(policy.checks)}"
    if policy.disapprove:
        yield f"an objection of {policy.disapprove} counts too"
    if policy.dismissed_reviews is DismissedReviews.DECIDERS:
        yield "only people who may decide can cancel an approval by dismissing it"
    else:
        yield "a dismissed approval does not count"
