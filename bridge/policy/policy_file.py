"""The policy file, `.github/approvals.yml`: parsed whole, every fault at once with its line.

`docs/policy.md` explains its words, `docs/approvals.schema.json` shows them to editors.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final

from bridge.core import conditions
from bridge.core.durations import seconds
from bridge.core.errors import Faults, NoPolicy
from bridge.core.model import Subject
from bridge.core.names import folded
from bridge.core.rules import (
    Actors,
    AllOf,
    AnyOf,
    Approvals,
    Bars,
    DismissedReviews,
    EachOf,
    Facts,
    Group,
    GroupKind,
    Initiator,
    OnTimeout,
    Policy,
    RequestChanges,
    Rule,
    Selected,
    Via,
)
from bridge.policy.approvers import LEVELS
from bridge.policy.narrow import ORGANIZATION, TEAM, USER, rule_faults
from bridge.policy.yaml_source import Notes, Place, root

#: Where a repository keeps it, on its default branch.
PATH: Final = ".github/approvals.yml"

#: The keys of each place. The schema for editors is checked against these.
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "the file": ("gates", "identities", "initiator"),
    "an entry of gates": (
        "name",
        "when",
        "via",
        "require",
        "bar",
        "disapprove",
        "checks",
        "timeout",
        "on_timeout",
        "auto_approve_if",
        "facts",
        "request_changes",
        "dismissed_reviews",
        "signed",
        "initiator",
    ),
    "when": ("flow", "step", "environment", "label", "artifacts", "change"),
    "require": (
        "count",
        "users",
        "teams",
        "organizations",
        "permission",
        "role",
        "each",
        "all",
        "any",
    ),
    "a group of each": ("users", "teams", "organizations", "permission", "role"),
    "disapprove": ("users", "teams", "organizations", "permission", "role"),
    "bar": ("initiator", "author", "users"),
}
#: On a public repository everybody may read: that is no permission to decide.
PERMISSIONS: Final = LEVELS[LEVELS.index("triage") :]
_JOINS: Final = ("all", "any", "each")
_OPPOSITE: Final = {
    "==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "in": "not in",
    "not in": "in",
}  # fmt: skip


#: How much each metric changed since the last approved run, by its name.
Changes = Mapping[str, float]
_NOTHING: Final[Changes] = {}


@dataclass(frozen=True, slots=True)
class When:
    """Which gates an entry covers: those that fit all that is named here."""

    flows: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    artifacts: tuple[conditions.Test, ...] = ()
    changes: tuple[conditions.Test, ...] = ()  # of metrics, since the last approved run

    def covers(self, subject: Subject, changes: Changes) -> bool | str:
        """Yes, no, or why that cannot be known. An entry that asks for a change which nobody can
        compute covers the gate: a run without a baseline must not get past it."""
        if self.rules_out(subject, changes):
            return False
        unknown = [each for each in self._found(subject) if isinstance(each, str)]
        return unknown[0] if unknown else True

    def rules_out(self, subject: Subject, changes: Changes) -> str | None:
        """What of it the gate surely does not fit, in words; None if nothing is."""
        exact = (("flow", self.flows, subject.flow), ("step", self.steps, subject.step))
        for what, named, found in exact:
            if named and not _folded(named) & _folded([found]):
                return f"its {what} is {found or 'not named'}, not {_or(named)}"
        if self.labels and not _folded(self.labels) & _folded(subject.labels):
            return f"it has no label {_or(self.labels)}"
        environment, *artifacts = self._found(subject)
        if environment is False:
            return f"its environment is {subject.environment}, not {_or(self.environments)}"
        for test, holds in zip(self.artifacts, artifacts, strict=True):
            if holds is False:
                return f"{test.text} does not hold: {test.name} is {subject.artifacts[test.name]}"
        for test in self.changes:
            if test.name in changes and not conditions.judge(test, changes).holds:
                by = f"{changes[test.name]:+.4g}"
                return f"the change {test.text} does not hold: {test.name} changed by {by}"
        return None

    @property
    def reads(self) -> set[str]:
        """What of a gate it looks at."""
        names = {"flow": self.flows, "step": self.steps, "label": self.labels}
        names[conditions.ENVIRONMENT] = self.environments
        read = {name for name, values in names.items() if values}
        read |= {f"artifact {test.name}" for test in self.artifacts}
        return read | {f"change of {test.name}" for test in self.changes}

    def _found(self, subject: Subject) -> list[bool | str]:
        return [self._environment(subject), *(_holds(test, subject) for test in self.artifacts)]

    def _environment(self, subject: Subject) -> bool | str:
        if not self.environments:
            return True
        if not folded(subject.environment or ""):
            return "the gate does not say its environment"
        return bool(_folded(self.environments) & _folded([subject.environment or ""]))

    def __str__(self) -> str:
        said = [f"flow {_or(self.flows)}"] if self.flows else []
        said += [f"step {_or(self.steps)}"] if self.steps else []
        said += [f"environment {_or(self.environments)}"] if self.environments else []
        said += [f"label {_or(self.labels)}"] if self.labels else []
        said += [test.text for test in self.artifacts]
        said += [f"change of {test.text}" for test in self.changes]
        return ", ".join(said) or "every gate"


def _or(words: Iterable[str]) -> str:
    return " or ".join(words)


def _folded(words: Iterable[str]) -> set[str]:
    return {folded(each) for each in words}


def _holds(test: conditions.Test, subject: Subject) -> bool | str:
    if conditions.judge(test, subject.artifacts).holds:
        return True
    # A missing value, a word where a number should be, NaN: neither the condition nor its opposite
    # holds. Taken for a no, it would let the gate slip past this entry to a milder one.
    opposite = replace(test, operator=_OPPOSITE[test.operator])
    if conditions.judge(opposite, subject.artifacts).holds:
        return False
    return f"the gate shows no artifact {test.name} that {test.text!r} can be asked of"


@dataclass(frozen=True, slots=True)
class Covers:
    """One entry of `gates`."""

    line: int
    when: When
    selected: Selected


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A policy file without a fault."""

    where: str
    entries: tuple[Covers, ...]
    identities: Mapping[str, str]  # the run's user, folded, to an account

    @property
    def reads_changes(self) -> bool:
        return any(entry.when.changes for entry in self.entries)

    def select(
        self, subject: Subject, initiator: str | None = None, changes: Changes = _NOTHING
    ) -> Selected:
        """The first entry that matches this gate.

        `initiator` is the run's user, as the request has it, `changes` those of its metrics.
        Raises `NoPolicy` if no entry covers the gate, or if an entry asks for what the gate
        does not say: such a gate waits.
        """
        reads: set[str] = set()
        for entry in self.entries:
            reads |= entry.when.reads
            covers = entry.when.covers(subject, changes)
            if isinstance(covers, str):
                raise NoPolicy(
                    f"no policy covers this gate: whether {entry.selected.rule!r}"
                    f" ({self.where}:{entry.line}) does cannot be known, for {covers}"
                )
            if covers:
                policy = replace(
                    entry.selected.policy,
                    initiator=self._account(initiator),
                    chosen_by=tuple(sorted(reads)),
                )
                return replace(entry.selected, policy=policy)
        raise NoPolicy(
            f"no policy covers this gate: {self.where} has no entry for {_about(subject)}"
        )

    def may_cover(self, subject: Subject) -> bool:
        """Whether an entry is left that covers this gate, once it says what it does not yet."""
        return any(entry.when.rules_out(subject, {}) is None for entry in self.entries)

    def passed_over(
        self, subject: Subject, changes: Changes = _NOTHING
    ) -> tuple[tuple[Covers, str], ...]:
        """The entries before the one that covers this gate (or may), each with why it does not."""
        whys = ((entry, entry.when.rules_out(subject, changes)) for entry in self.entries)
        return tuple(
            (entry, why) for entry, why in takewhile(lambda pair: pair[1] is not None, whys) if why
        )

    def _account(self, initiator: str | None) -> str | None:
        if initiator and initiator.startswith("@"):  # a job of the forge, which knows the account
            return initiator[1:]
        return self.identities.get(folded(initiator)) if initiator else None


def _about(subject: Subject) -> str:
    said = [f"step {subject.step} of {subject.flow}"]
    if subject.environment:
        said.append(f"environment {subject.environment}")
    if subject.labels:
        said.append(f"labels {', '.join(subject.labels)}")
    return ", ".join(said)


def parse(text: str, where: str = PATH) -> PolicyFile:
    """Raises `Faults` with every fault, each as `file:line: what is wrong`."""
    parsed, faults = _parsed(text, where)
    if faults or parsed is None:
        raise Faults(f"the policy in {where} is invalid", faults)
    return parsed


@functools.lru_cache(maxsize=4)  # each gate of a sweep is judged by the same file
def _parsed(text: str, where: str) -> tuple[PolicyFile | None, tuple[str, ...]]:
    notes = Notes(where)
    parsed = _file(root(text, notes, KEYS), where)
    return parsed, tuple(notes.in_order())


def _file(place: Place, where: str) -> PolicyFile:
    entries: list[Covers] = []
    names: set[str] = set()
    first: dict[When, Covers] = {}  # which entry covers these gates
    initiator = place.choice("initiator", Initiator) or Initiator.CLAIMED
    for each in place.places("gates", "an entry of gates"):
        entry, is_clear = _entry(each, initiator)
        if entry.selected.rule in names:
            each.fault(f"two entries are called {entry.selected.rule!r}")
        names |= {entry.selected.rule} - {""}
        if is_clear:
            _check_reach(first, entry, each)
            first.setdefault(entry.when, entry)
        entries.append(entry)
    return PolicyFile(where, tuple(entries), _identities(place))


def _identities(place: Place) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, value in place.pairs("identities"):
        account = value.matching(USER, "an account such as ann")
        if folded(name) in found:
            value.fault(f"identities: {name!r} appears twice")
        found[folded(name)] = account or ""
    return found


def _check_reach(before: Mapping[When, Covers], entry: Covers, place: Place) -> None:
    """An entry that no gate ever reaches reads as a protection, and is none."""
    found = [before[each] for each in (When(), entry.when) if each in before]
    if found:
        shadow = min(found, key=lambda each: each.line)
        place.fault(
            f"no gate gets here: {shadow.selected.rule!r} on line {shadow.line} covers"
            " all of them before"
        )


def _entry(place: Place, initiator: Initiator) -> tuple[Covers, bool]:
    """The entry, and whether it is clear which gates it covers. `initiator` is the file's own."""
    bars = _bars(place.place("bar", "bar"))
    timeout = place.parsed("timeout", seconds, "a length of time such as 24h")
    on_timeout = place.choice("on_timeout", OnTimeout)
    if on_timeout is not None and not place.has("timeout"):
        place.fault("on_timeout needs a timeout beside it")
    policy = Policy(
        require=_rule(place.place("require", "require", required=True), bars),
        timeout=timeout,
        on_timeout=on_timeout or OnTimeout.REJECT,
        bars=bars,
        disapprove=_disapprove(place),
        checks=_whole(place, "checks"),
        request_changes=place.choice("request_changes", RequestChanges) or RequestChanges.HOLD,
        dismissed_reviews=place.choice("dismissed_reviews", DismissedReviews)
        or DismissedReviews.ANYONE,
        initiator_is=place.choice("initiator", Initiator) or initiator,
        signed=place.flag("signed") or False,
        facts=place.choice("facts", Facts) or Facts.PROVEN,
    )
    selected = Selected(
        rule=place.text("name", required=True) or "",
        policy=policy,
        via=place.choice("via", Via) or Via.PULL_REQUEST,
        auto_approve_if=_conditions(place),
    )
    when = place.place("when", "when")
    covers = Covers(place.line, _when(when), selected)
    return covers, when.sound or not place.has("when")


def _conditions(place: Place) -> tuple[str, ...]:
    tests = (
        each.parsed(conditions.parse, "a condition such as accuracy >= 0.9")
        for each in place.entries("auto_approve_if")
    )
    return tuple(test.text for test in tests if test)


def _whole(place: Place, key: str) -> tuple[str, ...]:
    """Names, and no patterns: `prod*` would cover no gate, and a milder entry below all of them."""
    names = place.texts(key)
    for name in names:
        if "*" in name:
            place.fault(f"{key}: {name!r} has a *, and a name is compared whole: list the names")
    return names


def _when(place: Place) -> When:
    tests = (
        each.parsed(conditions.parse, "a condition such as accuracy < 0.9")
        for each in place.entries("artifacts")
    )
    return When(
        flows=_whole(place, "flow"),
        steps=_whole(place, "step"),
        environments=_whole(place, "environment"),
        labels=place.texts("label"),
        artifacts=tuple(test for test in tests if test),
        changes=tuple(
            test
            for each in place.entries("change")
            if (test := each.parsed(_change, "a change such as accuracy < -0.01"))
        ),
    )


def _change(text: str) -> conditions.Test:
    test = conditions.parse(text)
    if isinstance(test.literal, bool) or not isinstance(test.literal, int | float):
        raise Faults(f"the change {text[:100]!r}", ["a change is a number: accuracy < -0.01"])
    return test


def _bars(place: Place) -> Bars:
    return Bars(
        initiator=place.flag("initiator") is not False,
        author=place.flag("author") is not False,
        users=_users(place),
    )


def _disapprove(place: Place) -> Actors | None:
    if not place.has("disapprove"):
        return None
    group = place.place("disapprove", "disapprove")
    actors = _actors(group)
    if actors.nobody and group.sound:
        group.fault("it names nobody")
    return actors


def _rule(place: Place, bars: Bars) -> Rule:
    joins = [key for key in _JOINS if place.has(key)]
    rule: Rule
    if not joins:
        rule = Approvals(_actors(place), place.count("count"))
    elif joins == ["each"]:
        groups = place.places("each", "a group of each")
        rule = EachOf(tuple(_actors(each) for each in groups))
    else:
        inner = tuple(_rule(each, bars) for each in place.places(joins[0], "require"))
        rule = AllOf(inner) if joins[0] == "all" else AnyOf(inner)
    if joins and len(place.keys) > 1:
        others = ", ".join(key for key in place.keys if key != joins[0])
        place.fault(
            f"'{joins[0]}' takes no other key beside it: put {others} inside it, each as its"
            " own rule"
        )
    if place.sound:
        for each in rule_faults(rule, bars):
            place.fault(each)
    return rule


def _actors(place: Place) -> Actors:
    teams = place.matching("teams", TEAM, "a team such as acme/ml")
    organizations = place.matching("organizations", ORGANIZATION, "an organization such as acme")
    permission = place.one_of("permission", PERMISSIONS)
    role = place.text("role")
    groups = [
        *(Group(GroupKind.TEAM, each) for each in teams),
        *(Group(GroupKind.ORGANIZATION, each) for each in organizations),
        *([Group(GroupKind.PERMISSION, permission)] if permission else []),
        *([Group(GroupKind.ROLE, role)] if role else []),
    ]
    return Actors(users=_users(place), groups=tuple(groups))


def _users(place: Place) -> tuple[str, ...]:
    users = place.matching("users", USER, "an account such as ann or ann#583231")
    bare: set[str] = set()
    for each in users:
        login = each.partition("#")[0]
        if each.casefold() in _NOBODY:
            place.fault(
                f"users: {each!r} is an account of that name, if there is one, and not everybody:"
                " name accounts, teams or a permission"
            )
        elif login.casefold() in bare:  # whoever takes the login over would count beside the number
            place.fault(f"users names {login!r} twice, and not with one number")
        bare.add(login.casefold())
    return users


#: Words for everybody, and for no one: GitHub shows a deleted account as `ghost`.
_NOBODY: Final = frozenset({"anyone", "anybody", "everyone", "everybody", "all", "ghost"})
