"""What `@hitl(...)` says, read once, every fault at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from bridge.core import conditions, durations, message_template
from bridge.core import input_fields as typed
from bridge.core.errors import Faults
from bridge.core.message_template import Known
from bridge.core.model import Declared
from bridge.core.rules import Actors, Approvals, OnTimeout, Policy
from bridge.policy.evaluate import check_policy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Declaration:
    """A gate as its author declared it."""

    message: str
    policy: Policy
    schema: Mapping[str, Any] | None
    condition: conditions.Test | None
    notifies: bool

    @property
    def asks(self) -> Declared:
        """What narrows the policy of a repository, where one decides."""
        policy = self.policy
        return Declared(
            policy.require.by.names if isinstance(policy.require, Approvals) else (),
            policy.timeout,
            policy.on_timeout,
            policy.auto_approve_if,
        )


def declare(attributes: Mapping[str, Any], step: str, known: Known) -> Declaration:
    """Raises `Faults` naming every fault of the declaration."""
    reader = _Reader(attributes)
    template = reader.text("message") or f"May the step {step} run?"
    reader.tried(lambda: message_template.check(template, known))
    declared = Declaration(
        message=template,
        policy=Policy(
            require=Approvals(reader.approvers()),
            timeout=reader.timeout(),
            on_timeout=reader.on_timeout(),
            auto_approve_if=reader.text("auto_approve_if"),
        ),
        schema=reader.schema(),
        condition=reader.condition(known),
        notifies=reader.notifies(),
    )
    reader.tried(lambda: check_policy(declared.policy, declared.schema))
    if reader.faults:
        raise Faults(f"@hitl on the step {step}", reader.faults)
    return declared


class _Reader:
    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self._attributes = attributes
        self.faults: list[str] = []

    def tried(self, read: Callable[[], T], where: str = "") -> T | None:
        try:
            return read()
        except Faults as faults:
            self.faults += [f"{where}{faults.subject}: {each}" for each in faults.faults]
            return None

    def text(self, name: str) -> str | None:
        value = self._attributes[name]
        if value is None or (isinstance(value, str) and value.strip()):
            return value
        if value != "":
            self.faults.append(f"{name} is {_said(value)}, not text")
        return None

    def approvers(self) -> Actors:
        value = self._attributes["approvers"]
        if not value and isinstance(value, list | tuple | None):
            return Actors(anyone=True)
        names = (value,) if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(
            isinstance(each, str) and each.strip() for each in names
        ):
            self.faults.append(f"approvers is {_said(value)}, not a list of names or addresses")
            return Actors(anyone=True)
        return Actors(names=tuple(each.strip() for each in names))

    def timeout(self) -> int | None:
        value = self._attributes["timeout"]
        if value is None:
            return None
        seconds: int | None = self.tried(lambda: durations.seconds(value), "timeout: ")
        return seconds

    def on_timeout(self) -> OnTimeout:
        value = self._attributes["on_timeout"]
        try:
            return OnTimeout(value)
        except ValueError:
            choices = ", ".join(each.value for each in OnTimeout)
            self.faults.append(f"on_timeout is {_said(value)}; it can be {choices}")
            return OnTimeout.REJECT

    def schema(self) -> Mapping[str, Any] | None:
        value = self._attributes["input_schema"]
        if value is None or isinstance(value, Mapping):
            return self.tried(lambda: typed.schema_of(value))
        self.faults.append(f"input_schema is {_said(value)}, not a dictionary")
        return None

    def condition(self, known: Known) -> conditions.Test | None:
        value = self._attributes["auto_approve_if"]
        if not isinstance(value, str) or not value.strip():
            return None
        test: conditions.Test | None = self.tried(lambda: conditions.parse(value))
        if test and test.name != conditions.ENVIRONMENT:
            self._unknown(test, known)
        return test

    def _unknown(self, test: conditions.Test, known: Known) -> None:
        params = known.params or frozenset()
        if known.branches:
            if known.params is not None and test.name not in params:
                self.faults.append(
                    f"the condition {test.text!r} reads {test.name!r}, which on a join stands in"
                    " several branches: it can read a parameter or `environment`"
                )
        elif known.artifacts is not None and test.name not in known.artifacts | params:
            self.faults.append(
                f"the condition {test.text!r} reads {test.name!r}, which no step before sets"
            )

    def notifies(self) -> bool:
        value = self._attributes["notifier"]
        if value not in (None, "apprise"):
            self.faults.append(
                f"notifier is {_said(value)}; it can be 'apprise' (which reaches Slack, mail and"
                " much else, see METAFLOW_HITL_APPRISE_URLS) or None"
            )
        return bool(value == "apprise")


def _said(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"
