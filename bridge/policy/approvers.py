"""Who may decide: people against rules and bars, with what the forge answered about them.

Three answers, never two: what could not be read is unknown, and unknown never counts.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from bridge.core.evaluation import Actor, Answer, Evidence, Membership, ReasonCode, Vote, Why
from bridge.core.model import ApprovalRequest
from bridge.core.rules import (
    Actors,
    AllOf,
    AnyOf,
    Approvals,
    EachOf,
    Group,
    GroupKind,
    Policy,
    Rule,
)
from bridge.policy.claims import proven_accounts, starters, why_starter_unknown

#: Repository permissions, lowest first. `read` is not among those a policy may name: on a public
#: repository everybody has it.
LEVELS: Final = ("none", "read", "triage", "write", "maintain", "admin")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Belongs:
    """Whether somebody is among some actors. `says` explains a no or an unknown."""

    answer: Answer
    says: str = ""

    @property
    def surely(self) -> bool:
        return self.answer is Answer.MEMBER

    def why_not(self, code: ReasonCode = ReasonCode.NOT_AN_APPROVER) -> Why | None:
        """Why somebody does not count who must be among these: `code`, or that it is unknown."""
        if self.surely:
            return None
        unknown = self.answer is Answer.UNKNOWN
        return Why(ReasonCode.MEMBERSHIP_UNKNOWN if unknown else code, self.says)


class Memberships:
    """The forge's answers, by account and group. Two that contradict each other are no answer."""

    def __init__(self, memberships: Iterable[Membership]) -> None:
        self._known: dict[tuple[int, Group], Membership] = {}
        for each in sorted(memberships, key=lambda each: (each.answer, each.why)):
            before = self._known.setdefault((each.user, each.group), each)
            if before.answer is not each.answer:
                torn = Membership(each.user, each.group, Answer.UNKNOWN, "two answers disagree")
                self._known[each.user, each.group] = torn

    def about(self, actor: Actor, group: Group) -> Membership:
        found = self._known.get((actor.id, group)) if actor.id is not None else None
        return found or Membership(actor.id or 0, group, Answer.UNKNOWN, "it was not looked up")


# -- one person ----------------------------------------------------------------------------------


def is_user(actor: Actor, user: str) -> bool:
    """Whether this proven account is the `ann` or `ann#583231` of a policy."""
    if not actor.proven or actor.id is None:
        return False
    login, _, number = user.partition("#")
    if number:
        return str(actor.id) == number
    # The Kelvin sign's lower case is a plain k: only ASCII letters may differ by case alone.
    own = actor.login or ""
    return own.isascii() and own.lower() == login.lower()


def among(actors: Actors, actor: Actor, members: Memberships) -> Belongs:
    """Whether this person is one of these."""
    if actors.anyone or any(is_user(actor, user) for user in actors.users):
        return Belongs(Answer.MEMBER)
    if any(_has_name(actor, name) for name in actors.names):
        return Belongs(Answer.MEMBER)
    found = [members.about(actor, group) for group in actors.groups]
    if any(each.answer is Answer.MEMBER for each in found):
        return Belongs(Answer.MEMBER)
    unread = [each for each in found if each.answer is Answer.UNKNOWN]
    if unread:
        return Belongs(Answer.UNKNOWN, _unread(actor, unread))
    return Belongs(Answer.NOT, f"{actor} is not among {actors}")


def _has_name(actor: Actor, name: str) -> bool:
    # A proven account's display name is its owner's to choose: there the login alone is a name.
    return is_user(actor, name) if actor.proven else actor.answers_to(name)


def _unread(actor: Actor, unread: Sequence[Membership]) -> str:
    who = actor.login or actor.name
    what = " or ".join(_in_words(each.group) for each in unread)
    why = "; ".join(dict.fromkeys(each.why for each in unread if each.why))
    return f"it could not be read whether {who} {what}" + (f" ({why})" if why else "")


def _in_words(group: Group) -> str:
    match group.kind:
        case GroupKind.TEAM | GroupKind.ORGANIZATION:
            return f"is in {group.name}"
        case GroupKind.PERMISSION:
            return f"has {group.name} permission"
        case GroupKind.ROLE:
            return f"has the role {group.name}"


def identity(actor: Actor) -> str:
    """Who this is, for counting: the account's number if the forge vouches for it."""
    if actor.proven and actor.id is not None:
        return f"#{actor.id}"
    return (actor.email or actor.name).casefold()


def login_of(user: str) -> str:
    """`ann#583231` and `Ann` are both the login `ann`."""
    return user.partition("#")[0].lower()


def reaches(asked: Group, permission: str, role: str) -> Answer:
    """Whether a repository permission, as the forge gave it, is the one asked for or higher.

    `permission` is one of `LEVELS`, `role` its `role_name`. Of a custom role no more is known than
    the permission that it is built upon. Words that are no level at all are unknown.
    """
    if asked.kind is GroupKind.ROLE:
        return Answer.MEMBER if role.lower() == asked.name.lower() else Answer.NOT
    # `permission` calls maintain write, and triage read: the role distinguishes them.
    held = [LEVELS.index(each) for each in (permission, role) if each in LEVELS]
    if asked.kind is not GroupKind.PERMISSION or not held or asked.name not in LEVELS:
        return Answer.UNKNOWN
    return Answer.MEMBER if max(held) >= LEVELS.index(asked.name) else Answer.NOT


# -- one person and a rule -----------------------------------------------------------------------


def leaves(rule: Rule) -> Iterator[Actors]:
    """Every group of people that the rule names, in its order."""
    match rule:
        case Approvals(by=actors):
            yield actors
        case EachOf(of):
            yield from of
        case AllOf(rules) | AnyOf(rules):
            for each in rules:
                yield from leaves(each)


def may_decide(rule: Rule, actor: Actor, members: Memberships | None = None) -> Belongs:
    """Whether this person stands anywhere in the rule; without answers, as far as names tell."""
    members = members or Memberships(())
    found = [among(actors, actor, members) for actors in leaves(rule)]
    if any(each.surely for each in found):
        return Belongs(Answer.MEMBER)
    unread = [each for each in found if each.answer is Answer.UNKNOWN]
    if unread:
        return unread[0]
    users = [user for actors in leaves(rule) for user in actors.users]
    return Belongs(Answer.NOT, _reused(users, actor) or _not_among(rule, actor))


def may_object(policy: Policy, actor: Actor, members: Memberships) -> Belongs:
    """Whether this person's no counts: of those who may approve, and of `disapprove`."""
    found = may_decide(policy.require, actor, members)
    if policy.disapprove is None or found.surely:
        return found
    besides = among(policy.disapprove, actor, members)
    return found if besides.answer is Answer.NOT else besides


def _not_among(rule: Rule, actor: Actor) -> str:
    return f"{actor} is not among those who may decide: {who_may(rule)}"


def _reused(users: Iterable[str], actor: Actor) -> str | None:
    """A login that was given up can be taken by somebody else; its number cannot."""
    for user in users:
        login, _, number = user.partition("#")
        if number and actor.proven and (actor.login or "").lower() == login.lower():
            return f"the policy names {login} with the number {number}, and you are {actor.id}"
    return None


def who_may(rule: Rule) -> str:
    """The people who may decide, in words."""
    return " or ".join(dict.fromkeys(map(str, leaves(rule))))


# -- bars ----------------------------------------------------------------------------------------


def bar(request: ApprovalRequest, evidence: Evidence, actor: Actor) -> Why | None:
    """Why this person may not decide this gate whatever groups they are in; None: they may."""
    bars = request.policy.bars
    if request.forge is None:
        return None
    if bars.initiator and _started(request, evidence, actor):
        return Why(ReasonCode.BARRED_INITIATOR, "you started this run; someone else must approve")
    author = evidence.author
    if bars.author and author is not None and _same_account(author, actor):
        return Why(ReasonCode.BARRED_AUTHOR, "you opened this request; someone else must approve")
    if any(is_user(actor, user) for user in bars.users):
        return Why(ReasonCode.BARRED_USER, "the policy bars you from deciding this gate")
    return None


def _started(request: ApprovalRequest, evidence: Evidence, actor: Actor) -> bool:
    if proven := proven_accounts(evidence.facts):
        return any(is_user(actor, each) for each in proven)
    if request.policy.initiator:
        return is_user(actor, request.policy.initiator)
    # Nobody said that a run's user and somebody of the same name are one person, but neither is it
    # a coincidence to bet an approval on.
    return any(actor.answers_to(each.value) for each in starters(request, evidence.facts))


def _same_account(one: Actor, other: Actor) -> bool:
    return one.id == other.id and one.id is not None


def unsettled(request: ApprovalRequest, evidence: Evidence) -> Why | None:
    """What must be known before anybody's approval can count, and is not; None: nothing."""
    policy = request.policy
    if request.forge is None:
        return None
    if unknown := why_starter_unknown(request, evidence.facts):
        return unknown
    if policy.bars.author and evidence.author is None:
        return Why(
            ReasonCode.AUTHOR_UNKNOWN,
            "it could not be read who opened this request, who may not approve it",
        )
    return None


def why_nobody(request: ApprovalRequest, actor: Actor) -> Why | None:
    """Why this is nobody whose word could count, whatever the policy says; None if it is."""
    if actor.bot:
        return Why(ReasonCode.BOT, "a bot's answer never counts")
    if request.forge and (not actor.proven or actor.id is None):
        says = f"this gate is decided on {request.forge}, which has not vouched for {actor}"
        return Why(ReasonCode.NOT_PROVEN, says)
    return None


def why_no_approver(
    request: ApprovalRequest, evidence: Evidence, actor: Actor, members: Memberships
) -> Why | None:
    """Why this person's approval would not count now; None if it would."""
    if actor.bot:
        return Why(ReasonCode.BOT, "a bot's answer never counts")
    return (
        bar(request, evidence, actor)
        or may_decide(request.policy.require, actor, members).why_not()
        or unsettled(request, evidence)
        or why_not_named(request.policy, actor, members)
    )


def why_not_signed(policy: Policy, vote: Vote) -> Why | None:
    """Why an approval does not count if the policy asks for its author's signature."""
    if not policy.signed or vote.signed_by:
        return None
    return Why(
        ReasonCode.NOT_SIGNED,
        "it is not signed by an SSH signing key that your account had before this was asked: use"
        " `hitl approve ID --sign`",
    )


def why_not_named(policy: Policy, actor: Actor, members: Memberships) -> Why | None:
    """Why the flow's own list of approvers leaves this person out; None if it does not."""
    if policy.only is None:
        return None
    found = among(policy.only, actor, members)
    if found.answer is Answer.NOT:
        says = f"the flow itself names who approves this: {policy.only}"
        return Why(ReasonCode.NOT_NAMED, says)
    return found.why_not()


# -- whether a rule can be met at all ------------------------------------------------------------


def can_be_met(rule: Rule, barred: Callable[[str], bool], only: Actors | None = None) -> bool:
    """Whether enough people are left, as far as a policy's own words can tell.

    Who is in a group is the forge's to say: a group is taken to have enough.
    """
    match rule:
        case Approvals(by=actors, count=count):
            left = _left(actors, barred, only)
            return left is None or len(left) >= count
        case EachOf(of):
            known = [
                left for left in (_left(each, barred, only) for each in of) if left is not None
            ]
            return len(match_up(known)) == len(known)
        case AllOf(rules):
            return all(can_be_met(each, barred, only) for each in rules)
        case AnyOf(rules):
            return any(can_be_met(each, barred, only) for each in rules)


def _left(
    actors: Actors, barred: Callable[[str], bool], only: Actors | None
) -> frozenset[str] | None:
    """The logins that may still answer; None if a group makes their number unknowable."""
    sets = [_closed(each) for each in (actors, only) if each is not None]
    known = [each for each in sets if each is not None]
    if not known:
        return None
    return frozenset(each for each in frozenset.intersection(*known) if not barred(each))


def _closed(actors: Actors) -> frozenset[str] | None:
    if actors.anyone or actors.groups or actors.names:  # a name may be that of a team
        return None
    return frozenset(map(login_of, actors.users))


def barred_by_name(policy: Policy, started: Iterable[str] = ()) -> Callable[[str], bool]:
    """Whether a login is barred, as far as names tell. `started`: who surely started the run."""
    bars = policy.bars
    barred = {login_of(user) for user in bars.users}
    if bars.initiator:
        known = tuple(started) or ((policy.initiator,) if policy.initiator else ())
        barred |= {login_of(each) for each in known}
    return barred.__contains__


def barred_here(request: ApprovalRequest, evidence: Evidence) -> Callable[[str], bool]:
    """The same of a gate that was asked, if it is known who opened its page."""
    barred = barred_by_name(request.policy, proven_accounts(evidence.facts))
    author = evidence.author.login if evidence.author else None
    if not request.policy.bars.author or author is None:
        return barred
    return lambda login: barred(login) or login == login_of(author)


def match_up(choices: Sequence[frozenset[T]] | Sequence[Sequence[T]]) -> Mapping[int, T]:
    """A different choice for as many places as possible: place to choice.

    The classic augmenting path: greed alone would give a person to the first group, and leave the
    second, which has nobody else, empty.
    """
    taken: dict[T, int] = {}

    def place(index: int, tried: set[T]) -> bool:
        for each in sorted(choices[index], key=str):
            if each in tried:
                continue
            tried.add(each)
            if each not in taken or place(taken[each], tried):
                taken[each] = index
                return True
        return False

    for index in range(len(choices)):
        place(index, set())
    return {index: each for each, index in taken.items()}


def same_person(one: Actor, other: Actor) -> bool:
    """Whether two unproven identities claim to be one person: by e-mail, else by name."""
    return (one.email or one.name).casefold() == (other.email or other.name).casefold()


def why_no_withdrawal(
    request: ApprovalRequest, evidence: Evidence, actor: Actor, members: Memberships
) -> Why | None:
    """Why this person may not end this gate undecided; None if they may.

    Those who could reject it gain nothing by that, and nobody gains by ending their own run. A
    claim is enough to say whose it is: who forges one lets others end it.
    """
    policy = request.policy
    if request.forge is None:  # a machine's own ledger takes what people push
        return None
    named = (policy.initiator,) if policy.initiator else ()
    if any(is_user(actor, each) for each in proven_accounts(evidence.facts) or named):
        return None
    if any(is_user(actor, user) for user in policy.bars.users):
        return Why(ReasonCode.BARRED_USER, "the policy bars you from deciding this gate")
    found = may_object(policy, actor, members)
    if found.answer is not Answer.NOT:
        return found.why_not()
    return Why(
        ReasonCode.NOT_AN_APPROVER,
        "only the account that started the run and those who may reject it"
        f" ({who_may(policy.require)}) may withdraw it",
    )


def refusal(request: ApprovalRequest, person: Actor) -> str | None:
    """Why this person may not decide this gate, and what to do about it; None if they may."""
    if request.forge and not person.proven:
        return f"{request.gate.key} is decided on {request.forge}, which vouches for who decides"
    if may_decide(request.policy.require, person).surely:
        return None
    claims = " or ".join(
        f"`git config --global --add hitl.team {shlex.quote(name)}`"
        for name in _names(request.policy.require)
    )
    return (
        f"{person} may not decide {request.gate.key}: that is for"
        f" {who_may(request.policy.require)}. If you are one of them under another name, or answer"
        f" for a team of them, say so on this machine with {claims}; the record will say that this"
        " is unverified"
    )


def _names(rule: Rule) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for actors in leaves(rule) for name in actors.names))
