"""An approval in plain Python: a call that asks, waits, and returns the decision with its input."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import linecache
import math
import os
import pickle
import sys
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType
from typing import Any

from bridge import wiring
from bridge.core.artifacts import ordered, summarise
from bridge.core.conditions import judge, parse
from bridge.core.durations import seconds
from bridge.core.errors import Faults, GateShut
from bridge.core.evaluation import Condition
from bridge.core.input_fields import schema_of
from bridge.core.model import ApprovalRequest, Artifact, Decision, Gate
from bridge.core.records import canonical
from bridge.core.rules import Actors, Approvals, OnTimeout, Policy
from bridge.core.sanitize import one_line, shortened
from bridge.core.settings import Settings, from_environment
from bridge.gates.wait import pass_gate

#: One process is one run, unless the caller names it: what another run approved is not found.
_PROCESS_RUN = uuid.uuid4().hex[:12]

#: Asked twice under one name in one run, it is two gates: the second must not inherit the first's
#: answer.
_calls: dict[tuple[str, str], Iterator[int]] = defaultdict(lambda: itertools.count(1))

_LONGEST_WORDS = 200


def approval(
    name: str,
    approver: str | Sequence[str],
    timeout_seconds: int | None = 3600,
    auto_approve_if: str | Callable[..., bool] | None = None,
    *,
    message: str | None = None,
    input_schema: Mapping[str, Any] | None = None,
    artifacts: Mapping[str, Any] | None = None,
    on_timeout: str = "reject",
    run: str | None = None,
) -> Decision:
    """Ask a person, wait, and return the recorded approval; its input is `decision.inputs`.

    `approver` is a name, an e-mail, a login or a team, or several. `message` is literal text.
    `artifacts` are shown and bound: the approval is of these values. `auto_approve_if` is a
    condition such as `accuracy >= 0.9`, or a function that is given the artifacts (and
    `environment`) that its parameters name. `run` names this run, so that the same run, started
    again, finds its decisions; otherwise each process is a run of its own.

    Raises `Faults` where the arguments cannot stand, and `GateShut` where it is not approved.
    """
    asked = Asked(
        name, approver, timeout_seconds, auto_approve_if, message, input_schema, on_timeout
    )
    flow = one_line(Path(sys.argv[0]).stem) or "python"
    run = one_line(run or _PROCESS_RUN)
    nth = next(_calls[run, name])
    try:
        return asked.of(Gate("python", f"{flow}/{run}/{name}/{nth}"), artifacts or {})
    except GateShut as shut:
        if isinstance(shut.__cause__, KeyboardInterrupt):
            raise shut.__cause__ from shut
        raise


@dataclass(frozen=True)
class Asked:
    """What an approval was declared with. Raises `Faults` with every fault of it."""

    name: str
    approver: str | Sequence[str]
    timeout_seconds: int | None
    auto_approve_if: str | Callable[..., bool] | None
    message: str | None
    input_schema: Mapping[str, Any] | None
    on_timeout: str

    def __post_init__(self) -> None:
        faults = list(self._faults())
        for check in (self._timeout, lambda: schema_of(self.input_schema), self._words):
            try:
                check()
            except Faults as error:
                faults.extend(f"{error.subject}: {fault}" for fault in error.faults)
        if faults:
            raise Faults(f"the approval {one_line(str(self.name))!r}", faults)

    def _faults(self) -> Iterator[str]:
        if not self.name or "/" in self.name or self.name != one_line(self.name):
            yield "name is a word or a few on one line, without a /"
        if not self._names or not all(isinstance(each, str) and each for each in self._names):
            yield "approver names nobody: give a name, an e-mail, a login or a team"
        if self.on_timeout not in set(OnTimeout):
            yield f"on_timeout is {self.on_timeout!r}; it can be {', '.join(OnTimeout)}"

    @property
    def _names(self) -> tuple[str, ...]:
        return (self.approver,) if isinstance(self.approver, str) else tuple(self.approver)

    def _timeout(self) -> int | None:
        return None if self.timeout_seconds is None else seconds(self.timeout_seconds)

    def _words(self) -> str | None:
        if self.auto_approve_if is None or callable(self.auto_approve_if):
            return self.auto_approve_if and words_of(self.auto_approve_if)
        return parse(self.auto_approve_if).text

    def of(self, gate: Gate, values: Mapping[str, Any]) -> Decision:
        """The recorded approval of these values at this gate. Raises `GateShut`."""
        settings = from_environment(os.environ)
        # The process that waits is the run itself: that its parent went away means nothing.
        here = replace(wiring.here(settings), alive=lambda: True)
        request = ApprovalRequest(
            gate=gate,
            message=self.message or f"Approve {self.name}?",
            policy=Policy(
                Approvals(Actors(self._names)),
                self._timeout(),
                OnTimeout(self.on_timeout),
                self._words(),
            ),
            opened_at=here.clock(),
            artifacts=ordered(artifact(key, value) for key, value in values.items()),
            schema=schema_of(self.input_schema),
            initiator=str(here.person),
        )
        return pass_gate(here, request, self._condition(settings, values))

    def _condition(self, settings: Settings, values: Mapping[str, Any]) -> Condition | None:
        if self.auto_approve_if is None:
            return None
        known = {**values, "environment": settings.environment}
        if callable(self.auto_approve_if):
            return look_at(self.auto_approve_if, known)
        return judge(parse(self.auto_approve_if), known)


def artifact(name: str, value: Any) -> Artifact:
    return summarise(name, value, digest=_digest(value))


def _digest(value: Any) -> str:
    try:
        content = canonical(value)
    except (TypeError, ValueError):
        try:
            content = pickle.dumps(value, protocol=5)
        except Exception:  # noqa: BLE001 - whatever a foreign class raises
            raise Faults(
                "the artifacts", [f"a {type(value).__name__} cannot be bound: it cannot be pickled"]
            ) from None
    return "sha256:" + hashlib.sha256(content).hexdigest()


# -- a condition that is a function --------------------------------------------------------------


def look_at(condition: Callable[..., Any], known: Mapping[str, Any]) -> Condition:
    """What a function says of these values, with the values that it saw.

    Only `True` holds: a function that raises, or answers with anything that is no yes or no (a
    coroutine is true to Python), never approves.
    """
    seen = {name: _plain(value) for name, value in _closed_over(condition).items()}
    try:
        given = _wanted(condition, known)
        seen.update({name: _plain(value) for name, value in given.items()})
        answer = condition(**given)
    except Exception as error:  # noqa: BLE001 - a condition that fails is one that does not hold
        seen["raised"] = shortened(f"{type(error).__name__}: {error}", _LONGEST_WORDS)
        return Condition(words_of(condition), seen, False)
    if type(answer).__module__ == "numpy" and getattr(answer, "shape", None) == ():
        answer = answer.item()
    if not isinstance(answer, bool):
        seen["answered"] = f"a {type(answer).__name__}, which is no yes or no"
    return Condition(words_of(condition), seen, answer is True)


def _wanted(condition: Callable[..., Any], known: Mapping[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(condition).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return dict(known)
    return {each.name: known[each.name] for each in parameters if each.name in known}


def _closed_over(condition: Callable[..., Any]) -> dict[str, Any]:
    try:
        found = inspect.getclosurevars(condition)
    except (TypeError, ValueError):  # a callable object, or one written in C
        return {}
    scalars = {**found.nonlocals, **found.globals}
    return {k: v for k, v in scalars.items() if isinstance(v, str | int | float | bool)}


def _plain(value: Any) -> str | int | float | bool | None:
    if isinstance(value, str):
        return shortened(value, _LONGEST_WORDS)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    return f"a {type(value).__name__}"


def words_of(condition: Callable[..., Any]) -> str:
    """A function in words: a lambda's own source, else the name it was defined under."""
    name = getattr(condition, "__qualname__", type(condition).__qualname__)
    code = getattr(condition, "__code__", None)
    source = _source(code) if code is not None and code.co_name == "<lambda>" else None
    if source:
        given = str(inspect.signature(condition))[1:-1]
        return shortened(f"lambda {given}".rstrip() + f": {source}", _LONGEST_WORDS)
    return f"{getattr(condition, '__module__', None) or 'python'}.{name}"


def _source(code: CodeType) -> str | None:
    """The text of a lambda's body; `inspect.getsource` gives whatever else stands in its lines."""
    spans = [(a, c, b, d) for a, b, c, d in code.co_positions() if a and b and c is not None and d]
    if not spans:
        return None
    top, left = min(span[:2] for span in spans)
    bottom, right = max(span[2:] for span in spans)
    numbers = range(top, bottom + 1)
    lines = [linecache.getline(code.co_filename, number).encode() for number in numbers]
    lines[-1] = lines[-1][:right]
    lines[0] = lines[0][left:]
    return one_line(b" ".join(lines).decode(errors="replace")) or None
