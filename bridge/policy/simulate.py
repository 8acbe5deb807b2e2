"""Simulate: which entry of a policy file a gate would have, and what some approvals would come to.

The same evaluation as a decision's, over votes that nobody cast. Nothing is read or changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bridge.core import conditions
from bridge.core.comparison import changes
from bridge.core.digest import digest_of
from bridge.core.errors import Faults
from bridge.core.evaluation import (
    Actor,
    Answer,
    Channel,
    Condition,
    Evaluation,
    Evidence,
    Finding,
    Membership,
    Verdict,
    Vote,
)
from bridge.core.model import ApprovalRequest, Place, on_github
from bridge.core.rules import Group, GroupKind
from bridge.policy.checks import GREEN, check_fact, commit_of
from bridge.policy.evaluate import evaluate
from bridge.policy.narrow import narrow
from bridge.policy.policy_file import PERMISSIONS, PolicyFile

#: Who opens a gate in a safe installation: an App, and so none of those who approve.
_OPENER = Actor("the bridge", id=0, proven=True, bot=True)


@dataclass(frozen=True, slots=True)
class Simulation:
    """`selection`: the entries of the file from the top, until one covers the gate, and why."""

    selection: tuple[Finding, ...]
    evaluation: Evaluation


def simulate(
    file: PolicyFile,
    request: ApprovalRequest,
    approvers: Sequence[str] = (),
    supposed: Mapping[str, Sequence[Group]] | None = None,
    objectors: Sequence[str] = (),
    checks: Sequence[str] = (),
) -> Simulation:
    """What would become of this request if these accounts approved as soon as it is asked, and if
    these held it. `checks` are those that are taken to be green.

    `supposed` is what the forge would answer about them; of all else nothing is known. Raises
    `NoPolicy` if no entry covers the gate, `Faults` if the flow's own wishes leave nobody.
    """
    subject, declared = request.subject, request.declared
    if subject is None or declared is None:
        raise Faults(
            f"the request of {request.gate.key}",
            ["it does not say what it is about: describe the gate with --flow, --step and so on"],
        )
    changed = changes(request)
    selected = file.select(subject, request.initiator, changed)
    passed = [
        Finding(
            f"{entry.selected.rule!r} ({file.where}:{entry.line}) does not cover it: {why}", False
        )
        for entry, why in file.passed_over(subject, changed)
    ]
    entry = file.entries[len(passed)]
    covers = Finding(f"{selected.rule!r} ({file.where}:{entry.line}) covers it: {entry.when}", True)
    asked = replace(request, venue=_somewhere(request), policy=narrow(selected, declared))
    commit = commit_of(asked) or ""
    green = tuple(check_fact(commit, name, GREEN) for name in checks)
    nobody_yet = Evidence(asked.opened_at, condition=_condition(asked), author=_OPENER, facts=green)
    evidence = simulated(asked, nobody_yet, approvers, supposed, objectors)
    return Simulation((*passed, covers), evaluate(asked, evidence))


def _somewhere(request: ApprovalRequest) -> Place:
    """A described gate names no repository, and is judged as one on GitHub all the same."""
    return request.venue if request.forge else on_github("the repository")


def _condition(request: ApprovalRequest) -> Condition | None:
    if request.policy.auto_approve_if is None or request.subject is None:
        return None
    try:
        test = conditions.parse(request.policy.auto_approve_if)
    except Faults:  # a function of the flow's own approves nothing on a forge
        return None
    readable = conditions.Readable(request.subject.artifacts, request.subject.environment)
    return conditions.judge(test, readable)


def belonging(text: str) -> tuple[str, list[Group]]:
    """`ann=acme/ml`, `ann=acme`, `ann=maintain`: an account and what it is taken to be in.

    Who is in a team is in its organization, and who has a permission has those beneath it; any
    other word is an organization, or a role of that name. Raises `Faults`.
    """
    account, _, name = (part.strip() for part in text.partition("="))
    if not account or not name:
        raise Faults(f"--member {text}", ["write it like ann=acme/ml or ann=maintain"])
    if "/" in name:
        organization = Group(GroupKind.ORGANIZATION, name.partition("/")[0])
        return account, [Group(GroupKind.TEAM, name), organization]
    if name in PERMISSIONS:
        reached = PERMISSIONS[: PERMISSIONS.index(name) + 1]
        return account, [Group(GroupKind.PERMISSION, each) for each in reached]
    return account, [Group(GroupKind.ORGANIZATION, name), Group(GroupKind.ROLE, name)]


def simulated(
    request: ApprovalRequest,
    evidence: Evidence,
    approvers: Sequence[str],
    supposed: Mapping[str, Sequence[Group]] | None = None,
    objectors: Sequence[str] = (),
) -> Evidence:
    """The evidence as it would be if these accounts answered now: what a what-if evaluates.

    `supposed` says which groups an account is taken to be in; of anything else nothing is known.
    """
    votes, facts = list(evidence.votes), list(evidence.memberships)
    answers = [(login, Verdict.APPROVE) for login in approvers]
    answers += [(login, Verdict.HOLD) for login in objectors]
    for index, (login, verdict) in enumerate(answers, start=1):
        actor = _account(login, evidence, stand_in=-index)
        vote = Vote(actor, verdict, evidence.now, digest_of(request), Channel.COMMENT)
        vote = replace(vote, signed_by="supposed")
        votes.append(vote)
        for group in (supposed or {}).get(login, ()):
            facts = [each for each in facts if (each.user, each.group) != (actor.id, group)]
            facts.append(Membership(actor.id or 0, group, Answer.MEMBER))
    return replace(evidence, votes=tuple(votes), memberships=tuple(facts))


def _account(login: str, evidence: Evidence, stand_in: int) -> Actor:
    """The person with that login among those who answered; else somebody of a number nobody has."""
    name, _, number = login.partition("#")
    known = [*(vote.actor for vote in evidence.votes), evidence.author]
    for each in known:
        if each and each.login and each.login.lower() == name.lower():
            return each
    return Actor(name, login=name, id=int(number) if number else stand_in, proven=True)
