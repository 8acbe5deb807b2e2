"""What a gate is declared with, read once from any caller, with every fault at once.

Metaflow's decorator, FlowyML's step, a Python call, an annotation, a pod's parameters and a job of
GitHub Actions declare the same gate and spell it differently. A `Form` holds one caller's spelling,
and the faults use it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from bridge.core import conditions, durations, hide_secrets, input_fields, message_template
from bridge.core.errors import Faults
from bridge.core.message_template import Known
from bridge.core.model import Better, CompareBy, Declared, OnReject
from bridge.core.proposals import proposals
from bridge.core.rules import Actors, Approvals, OnTimeout, Policy
from bridge.core.sanitize import shortened, unseen
from bridge.core.unmatched import Option, own_name

T = TypeVar("T")

#: The name that means everybody; a person of this name cannot be an approver.
ANYONE: Final = "anyone"

#: What `notifier` may say besides Apprise addresses: all that are configured, or those of one kind.
NOTIFIERS: Final = ("apprise", "slack", "smtp")
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")


#: Nobody is called so, and a gate that waits for such a name waits for ever.
_NO_NAMES: Final = frozenset({"anybody", "everyone", "everybody", "all", "*", "none", "null"})
_SEVERAL: Final = re.compile(r"[,;\n]")


def _misnamed(value: object, names: Iterable[str]) -> str | None:
    """How a text that stands for an approver names none, and what to write."""
    for each in names:
        if each.casefold() in _NO_NAMES:
            return f"says {each!r}: name a person or a team, or {ANYONE!r} if everybody may decide"
        if unseen(each):
            return f"has a character in {shortened(each, 60)!r} that nobody sees: type it again"
        if _SEVERAL.search(each) and isinstance(value, str):
            parts = [part.strip() for part in _SEVERAL.split(each) if part.strip()]
            return f"is {_shown(value)}; write several names as a list: {_shown(parts)}"
    return None


@dataclass(frozen=True, slots=True)
class Form:
    """How one caller spells a declaration. A field whose name is None is unknown to this caller.

    `timeout_default` is for a timeout that is left out. `others` are keys that the caller reads
    itself.
    """

    message: str | None = "message"
    approvers: str | None = None
    timeout: str | None = None
    on_timeout: str | None = None
    input: str | None = None
    auto_approve_if: str | None = None
    notifier: str | None = None
    compare: str | None = None
    better: str | None = None
    pictures: str | None = None
    on_reject: str | None = None
    keep: str | None = None
    timeout_default: str | int | None = None
    approvers_required: bool = False
    functions: bool = False  # whether a condition may be a function
    proposes: bool = False  # whether its input may propose artifacts
    others: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        own = (self.message, self.approvers, self.timeout, self.on_timeout, self.input,
               self.auto_approve_if, self.notifier, self.compare, self.better,
               self.pictures, self.on_reject, self.keep, *self.others)  # fmt: skip
        return tuple(each for each in own if each is not None)


@dataclass(frozen=True, slots=True)
class GateSpec:
    """A gate as its author declared it."""

    message: str  # a template, if the caller's messages are templates
    approvers: tuple[str, ...] = ()  # empty: anyone
    timeout: int | None = None  # seconds; None: for ever
    on_timeout: OnTimeout = OnTimeout.REJECT
    schema: Mapping[str, Any] | None = None
    condition: conditions.Test | conditions.Function | None = None
    #: Apprise addresses and words of `NOTIFIERS`; None: all that are configured, as the caller
    #: cannot choose. Addresses hold tokens.
    notify: tuple[str, ...] | None = field(default=None, repr=False)
    compare: CompareBy = field(default_factory=CompareBy)
    better: Mapping[str, Better] = field(default_factory=dict)  # by the name of a metric
    pictures: tuple[str, ...] = ()  # artifacts that are drawn
    on_reject: OnReject = OnReject.END
    keep: bool = False  # people choose which branches of a foreach the join gets

    @property
    def auto_approve_if(self) -> str | None:
        return self.condition.text if self.condition else None

    @property
    def named(self) -> Iterator[tuple[Option, str]]:
        """The artifacts that it names, and would do nothing without."""
        yield from ((Option.BETTER, each) for each in self.better)
        yield from ((Option.PICTURES, each) for each in self.pictures)
        read = self.condition.reads if self.condition else ()
        yield from ((Option.AUTO_APPROVE_IF, e) for e in read if e != conditions.ENVIRONMENT)

    @property
    def declared(self) -> Declared:
        """What narrows the policy of a repository, if one decides."""
        return Declared(self.approvers, self.timeout, self.on_timeout, self.auto_approve_if)

    @property
    def policy(self) -> Policy:
        """The flow's own policy, which decides if no repository does."""
        actors = Actors(self.approvers, anyone=not self.approvers)
        return Policy(Approvals(actors), self.timeout, self.on_timeout, self.auto_approve_if)


def read(
    said: Mapping[str, Any],
    form: Form,
    subject: str,
    *,
    asks: str,
    known: Known | None = None,
    besides: Iterable[str] = (),
) -> GateSpec:
    """The gate that `said` declares; `asks` is the message if it has none.

    `known` is what the message and the condition may read; None: the message is literal text.
    `besides` are faults that the caller found. Raises `Faults` of the `subject`, with every fault.
    """
    reader = _SpecReader(said, form, known)
    spec = GateSpec(
        message=reader.message() or asks,
        approvers=reader.approvers(),
        timeout=reader.timeout(),
        on_timeout=reader.on_timeout(),
        schema=reader.schema(),
        condition=reader.condition(),
        notify=reader.notify(),
        compare=reader.compare(),
        better=reader.better(),
        pictures=reader.pictures(),
        on_reject=reader.on_reject(),
        keep=reader.keep(),
    )
    faults = [*besides, *reader.faults]
    faults += [] if reader.faults else _together(spec, form)
    if faults:
        raise Faults(subject, faults)
    return spec


def _together(spec: GateSpec, form: Form) -> Iterable[str]:
    """What is wrong although each field is right by itself."""
    clock = spec.on_timeout is OnTimeout.APPROVE
    if clock and spec.timeout is None:
        yield f"`{form.on_timeout}` is 'approve', but there is no `{form.timeout}` to wait for"
    if spec.keep and any(each.name == form.keep for each in input_fields.fields(spec.schema)):
        yield f"`{form.input}` has a field {form.keep}, which is the answer to `{form.keep}`"
    owed = input_fields.unjudged(spec.schema)
    alone = [f"`{form.on_timeout}` 'approve'"] if clock else []
    alone += [f"`{form.auto_approve_if}`"] if spec.condition else []
    if alone and owed:
        yield (
            f"{' and '.join(alone)} would approve with nobody to fill in {', '.join(owed)}: give"
            f" each a default in `{form.input}`, such as {owed[0]!r}: '{_kind(spec, owed[0])} = …'"
        )


def _kind(spec: GateSpec, name: str) -> str:
    return next(each.kind for each in input_fields.fields(spec.schema) if each.name == name)


class _SpecReader:
    """Reads one field after another, and keeps the faults of all."""

    def __init__(self, said: Mapping[str, Any], form: Form, known: Known | None) -> None:
        self._said = said
        self._form = form
        self._known = known
        self.faults = [_unknown(key, form.keys) for key in said if key not in form.keys]

    def _value(self, name: str | None, default: Any = None) -> Any:
        return default if name is None else self._said.get(name, default)

    def _fault(self, name: str | None, says: str) -> None:
        self.faults.append(f"`{name}` {says}")

    def _tried(self, name: str | None, read: Callable[[], T], *, whole: bool = False) -> T | None:
        """`whole`: the faults' own subject says which part of the field is meant."""
        try:
            return read()
        except Faults as faults:
            for each in faults.faults:
                says = f"{faults.subject}: {each}" if whole else each
                self.faults.append(f"`{name}`: {says}")
            return None

    def message(self) -> str | None:
        name, known = self._form.message, self._known
        value = self._value(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str) or not value.strip():
            self._fault(name, f"is {_shown(value)}; write the question as text")
        elif known is not None:
            self._tried(name, lambda: message_template.check(value, known))
            return value  # rendered later
        return hide_secrets.by_looks(str(value))

    def approvers(self) -> tuple[str, ...]:
        name = self._form.approvers
        value = self._value(name)
        if value is None or (isinstance(value, str | list | tuple) and not value):
            if self._form.approvers_required:
                self._fault(name, f"is missing: name a person or a team, or {ANYONE!r}")
            elif value is not None and value != "":  # perhaps computed, and not to mean everybody
                self._fault(name, f"is an empty list: name a person or a team, or {ANYONE!r}")
            return ()
        listed = (value,) if isinstance(value, str) else value
        if not isinstance(listed, list | tuple) or not all(
            isinstance(each, str) and each.strip() for each in listed
        ):
            self._fault(name, f"is {_shown(value)}; write a name, an e-mail address or a list")
            return ()
        names = tuple(each.strip() for each in listed)
        if fault := _misnamed(value, names):
            self._fault(name, fault)
            return ()
        if ANYONE not in map(str.casefold, names):
            return names
        if len(names) > 1:
            self._fault(name, f"lists {ANYONE!r} and others: leave out one or the other")
        return ()

    def timeout(self) -> int | None:
        name = self._form.timeout
        value = self._value(name, self._form.timeout_default)
        if value is None:
            return None
        return self._tried(name, lambda: durations.seconds(value), whole=True)

    def on_timeout(self) -> OnTimeout:
        name = self._form.on_timeout
        value = self._value(name, OnTimeout.REJECT)
        if isinstance(value, str) and value in set(OnTimeout):
            return OnTimeout(value)
        self._fault(name, f"is {_shown(value)}; use {', '.join(OnTimeout)}")
        return OnTimeout.REJECT

    def on_reject(self) -> OnReject:
        name = self._form.on_reject
        value = self._value(name, OnReject.END)
        if isinstance(value, str) and value in set(OnReject):
            return OnReject(value)
        self._fault(name, f"is {_shown(value)}; use {', '.join(OnReject)}")
        return OnReject.END

    def keep(self) -> bool:
        name = self._form.keep
        value = self._value(name)
        if value is not None and not isinstance(value, bool):
            self._fault(name, f"is {_shown(value)}; use True or False")
        return value is True

    def schema(self) -> Mapping[str, Any] | None:
        name = self._form.input
        schema = self._tried(name, lambda: input_fields.schema_of(self._value(name)))
        for field_name, artifact in proposals(schema).items():
            if not self._form.proposes:
                self._fault(name, f"{field_name}: nothing can be proposed here; give a default")
            elif says := self._unknown_artifact(artifact):
                self._fault(name, f"{field_name}: proposes self.{says}")
        return schema

    def condition(self) -> conditions.Test | conditions.Function | None:
        name = self._form.auto_approve_if
        value = self._value(name)
        if value is None or value == "":
            return None
        found: conditions.Test | conditions.Function | None = None
        if isinstance(value, str):
            found = self._tried(name, lambda: conditions.parse(value), whole=True)
        elif callable(value) and self._form.functions:
            found = conditions.function(value)
        else:
            self._fault(name, f"is {_shown(value)}; write it like 'accuracy >= 0.9'")
        if found and self._known is not None:
            self._check_reads(found, self._known)
        return found

    def _check_reads(self, condition: conditions.Test | conditions.Function, known: Known) -> None:
        params = known.params or frozenset()
        for name in condition.reads:
            says = None
            if name == conditions.ENVIRONMENT:
                continue
            if known.branches and known.params is not None and name not in params:
                says = "which differs between the branches of a join: read a parameter instead"
            elif not known.branches and known.artifacts is not None:
                there = known.artifacts | params
                says = None if name in there else f"which does not exist{_near(name, there)}"
            if says:
                self._fault(
                    self._form.auto_approve_if,
                    f"({shortened(condition.text, 80)}) reads {name}, {says}",
                )

    def notify(self) -> tuple[str, ...] | None:
        name = self._form.notifier
        if name is None:
            return None
        value = self._value(name)
        listed = () if value is None else (value,) if isinstance(value, str) else value
        if not isinstance(listed, list | tuple):
            self._fault(name, f"is a {type(value).__name__}; {_NOTIFIER_FORM}")
            return ()
        for place, each in enumerate(listed, 1):
            # The value itself is not repeated: half an address may hold a token.
            if not isinstance(each, str):
                self._fault(
                    name, f"holds a {type(each).__name__} as entry {place}; {_NOTIFIER_FORM}"
                )
            elif each not in NOTIFIERS and not _ADDRESS.fullmatch(each):
                shown = (
                    repr(each) if each.isalpha() and len(each) <= 20 else f"wrong in entry {place}"
                )
                self._fault(name, f"is {shown}; {_NOTIFIER_FORM}")
        return tuple(each for each in listed if isinstance(each, str))

    def compare(self) -> CompareBy:
        name = self._form.compare
        value = self._value(name)
        if value is None or isinstance(value, bool):
            return CompareBy(wanted=value is not False)
        said = value if isinstance(value, Mapping) else {}
        words = {key: _short(each) for key, each in said.items()}
        if words and words.keys() <= {"key", "run"} and all(words.values()):
            return CompareBy(name=words.get("key"), run=words.get("run"))
        self._fault(
            name,
            f"is {_shown(value)}; use False for no comparison, {{'key': 'a name'}} to compare only"
            " with gates of this name, or {'run': '6'} to compare with that run (at most"
            f" {_LONGEST_KEY} characters)",
        )
        return CompareBy()

    def better(self) -> Mapping[str, Better]:
        name = self._form.better
        value = self._value(name)
        if value is None:
            return {}
        words = list(Better)
        if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value):
            self._fault(name, f"is {_shown(value)}; write it like {{'accuracy': 'higher'}}")
            return {}
        for metric, says in value.items():
            if says not in words:
                metric = shortened(metric, 60)
                self._fault(name, f"says {_shown(says)} of {metric}; use {' or '.join(words)}")
            elif unknown := self._unknown_artifact(metric):
                self._fault(name, f"has {unknown}")
        return {metric: Better(says) for metric, says in value.items() if says in words}

    def pictures(self) -> tuple[str, ...]:
        name = self._form.pictures
        value = self._value(name)
        listed = () if value is None else (value,) if isinstance(value, str) else value
        if not isinstance(listed, list | tuple) or not all(isinstance(e, str) for e in listed):
            self._fault(name, f"is {_shown(value)}; list the names of artifacts, as in ['losses']")
            return ()
        for each in listed:
            if says := self._unknown_artifact(each):
                self._fault(name, f"has {says}")
        return tuple(dict.fromkeys(listed))

    def _unknown_artifact(self, name: str) -> str | None:
        """What to say of an artifact that is sure not to exist."""
        known = self._known
        if known is None or known.artifacts is None:
            return None
        there = known.artifacts | (known.params or frozenset())
        # Which branches of a join have one, and what each of them is called, is known as it runs.
        if (own_name(name) if known.branches else name) in there:
            return None
        return f"{shortened(name, 60)}, which does not exist{_near(name, there)}"


#: Of the name of a kind, and of a run.
_LONGEST_KEY: Final = 200


def _short(value: object) -> str | None:
    """A short text, or a whole number as text; None if it is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value:d}" if abs(value) < 10**_LONGEST_KEY else ""
    if not isinstance(value, str) or len(value) > _LONGEST_KEY:
        return None
    return value.strip() or None


_NOTIFIER_FORM: Final = (
    "use 'apprise', 'slack', 'smtp', None, or a list of Apprise addresses such as"
    " slack://… or mailto://…"
)


def _unknown(key: object, keys: tuple[str, ...]) -> str:
    near = get_close_matches(str(key), keys, 1)
    hint = (
        f"did you mean `{near[0]}`?" if near else f"use {', '.join(f'`{each}`' for each in keys)}"
    )
    return f"unknown key `{shortened(str(key), 60)}`; {hint}"


def _near(name: str, there: Iterable[str]) -> str:
    near = get_close_matches(name, list(there), 1)
    return f"; did you mean {near[0]}?" if near else ""


def _shown(value: object) -> str:
    try:
        return shortened(repr(value), 60)
    except ValueError:  # a number of more than 4,300 digits has no repr
        return f"a {type(value).__name__}"
