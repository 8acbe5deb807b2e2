"""A policy by itself: whether it is sound, and what is left of it once a flow narrows it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from bridge.core import conditions
from bridge.core.errors import Faults
from bridge.core.input_fields import unjudged
from bridge.core.model import Declared
from bridge.core.rules import (
    Actors,
    AllOf,
    AnyOf,
    Approvals,
    Bars,
    Group,
    GroupKind,
    OnTimeout,
    Policy,
    Rule,
    Selected,
)
from bridge.policy.approvers import barred_by_name, can_be_met, leaves, who_may

_LOGIN: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?"
#: As people write them: `ann` (or `ann#583231`, if the number must match), `acme`, `acme/ml`.
USER: Final = re.compile(rf"{_LOGIN}(_[A-Za-z0-9]+)?(#[1-9][0-9]*)?")
ORGANIZATION: Final = re.compile(_LOGIN)
TEAM: Final = re.compile(rf"{_LOGIN}/[A-Za-z0-9_.-]+")


def check_policy(policy: Policy, schema: Mapping[str, Any] | None = None) -> None:
    """Refuse a policy that needs nobody or can never be met, naming every fault.

    With the `schema` of its input, also one that may approve by itself an input that only a person
    can give.
    """
    faults = list(_every_fault(policy.require, policy.bars))
    if policy.timeout is not None and policy.timeout <= 0:
        faults.append(f"timeout is {policy.timeout} seconds; it must be longer than none")
    if policy.timeout is None and policy.on_timeout is OnTimeout.APPROVE:
        faults.append("on_timeout is 'approve', but there is no timeout to wait for")
    alone = ["on_timeout 'approve'"] if policy.on_timeout is OnTimeout.APPROVE else []
    alone += ["auto_approve_if"] if policy.auto_approve_if is not None else []
    if alone and (names := unjudged(schema)):
        faults.append(
            f"{' and '.join(alone)} would approve with nobody to give {', '.join(names)}:"
            " the input needs a default, and not one that is proposed"
        )
    if faults:
        raise Faults("this policy is invalid", faults)


def _every_fault(rule: Rule, bars: Bars) -> Iterator[str]:
    yield from rule_faults(rule, bars)
    if isinstance(rule, AllOf | AnyOf):
        for each in rule.rules:
            yield from _every_fault(each, bars)


def rule_faults(rule: Rule, bars: Bars) -> list[str]:
    """What is wrong with this one rule, not with those that it joins."""
    if isinstance(rule, AllOf | AnyOf):
        return [] if rule.rules else ["a rule that joins others joins none"]
    faults = []
    if any(actors.nobody for actors in leaves(rule)) or not list(leaves(rule)):
        faults.append("a rule names nobody who may decide")
    if any(not name.strip() for actors in leaves(rule) for name in actors.names):
        faults.append("a rule names someone who has no name")
    if isinstance(rule, Approvals) and rule.count < 1:
        faults.append(f"a rule asks for {rule.count} approvals; it needs at least one")
    barred = barred_by_name(Policy(rule, bars=bars))
    if not faults and not can_be_met(rule, barred):
        faults.append(f"it can never be met: too few of {who_may(rule)} are left to approve")
    return faults


_STRICTEST_FIRST: Final = (OnTimeout.REJECT, OnTimeout.NOTIFY, OnTimeout.APPROVE)


def narrow(selected: Selected, declared: Declared) -> Policy:
    """What the policy file and the flow together ask: the stricter of the two, everywhere.

    People that the flow does not name cannot approve; they can still reject and hold. Otherwise
    naming fewer people would silence an objection. Raises `Faults` if nobody could approve.
    """
    policy = selected.policy
    timeout, on_timeout = _narrower_time(policy, declared)
    narrowed = replace(
        policy,
        timeout=timeout,
        on_timeout=on_timeout,
        only=_named(declared.approvers),
        auto_approve_if=_condition(selected.auto_approve_if, declared.auto_approve_if),
    )
    if narrowed.auto_approve_if is None and narrowed.on_timeout is not OnTimeout.APPROVE:
        narrowed = replace(narrowed, chosen_by=())  # a person decides, who sees what the run says
    if not can_be_met(policy.require, barred_by_name(policy), narrowed.only):
        asked = f"approvers= names {narrowed.only}" if narrowed.only else "nobody else is named"
        started = f" and {policy.initiator} started this run" if policy.initiator else ""
        raise Faults(
            f"the policy {selected.rule!r}",
            [
                f"too few people are left to approve: it asks {who_may(policy.require)},"
                f" {asked}{started}"
            ],
        )
    return narrowed


def _condition(allowed: Iterable[str], asked: str | None) -> str | None:
    """The flow's own condition, if the policy file names the same: the asker chooses among them."""
    return asked if asked and _meaning(asked) in {_meaning(each) for each in allowed} else None


def _meaning(text: str) -> object:
    try:
        return replace(conditions.parse(text), text="")
    except Faults:
        return None if text else text  # a function of the flow's own is named by no policy


def _narrower_time(policy: Policy, declared: Declared) -> tuple[int | None, OnTimeout]:
    if declared.timeout is None:
        return policy.timeout, policy.on_timeout
    if policy.timeout is None:
        # The clock approves only if the policy file says so.
        mild = declared.on_timeout is OnTimeout.APPROVE
        return declared.timeout, OnTimeout.REJECT if mild else declared.on_timeout
    on_timeout = min(policy.on_timeout, declared.on_timeout, key=_STRICTEST_FIRST.index)
    # A clock that approves must not be set forward by the flow.
    later = on_timeout is OnTimeout.APPROVE
    return (max if later else min)(policy.timeout, declared.timeout), on_timeout


def _named(approvers: Iterable[str]) -> Actors | None:
    names = [each.strip().removeprefix("@") for each in approvers]
    if not names:
        return None
    odd = [each for each in names if not (USER.fullmatch(each) or TEAM.fullmatch(each))]
    if odd:
        raise Faults(
            "approvers=",
            [f"{each!r} is neither an account (ann) nor a team (org/team)" for each in odd],
        )
    return Actors(
        users=tuple(each for each in names if "/" not in each),
        groups=tuple(Group(GroupKind.TEAM, each) for each in names if "/" in each),
    )
