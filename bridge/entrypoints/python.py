"""An approval in plain Python: a call that asks, waits, and returns the decision with its input."""

from __future__ import annotations

import hashlib
import itertools
import os
import pickle
import sys
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bridge import wiring
from bridge.core import log
from bridge.core.approval import Approval, approval_of
from bridge.core.artifacts import comparable, ordered, summarise
from bridge.core.comparison import declared_better, kind_of
from bridge.core.conditions import Readable, judge
from bridge.core.digest import canonical
from bridge.core.draw import pictures
from bridge.core.errors import Faults, GateShut, NoLedger
from bridge.core.facts import started_by
from bridge.core.gate_spec import Form, GateSpec, read
from bridge.core.message_template import Known
from bridge.core.model import Artifact, Draft, Gate, Standing, Subject
from bridge.core.proposals import proposed
from bridge.core.sanitize import one_line
from bridge.core.settings import from_environment
from bridge.core.texts import with_room
from bridge.core.unmatched import unmatched
from bridge.gates.wait import pass_gate
from bridge.local.identity import person
from bridge.render.declared_names import notes

#: One process is one run, unless the caller names it: what another run approved is not found.
_PROCESS_RUN = uuid.uuid4().hex[:12]

#: Asked twice under one name in one run, it is two gates: the second must not inherit the first's
#: answer.
_calls: dict[tuple[str, str], Iterator[int]] = defaultdict(lambda: itertools.count(1))

FORM = Form(
    approvers="approver",
    timeout="timeout_seconds",
    on_timeout="on_timeout",
    input="input_schema",
    auto_approve_if="auto_approve_if",
    compare="compare",
    better="better",
    pictures="pictures",
    approvers_required=True,
    functions=True,
    proposes=True,
)


def approval(
    name: str,
    approver: str | Sequence[str],
    timeout_seconds: float | None = 3600,
    auto_approve_if: str | Callable[..., bool] | None = None,
    *,
    message: str | None = None,
    input_schema: Mapping[str, Any] | None = None,
    artifacts: Mapping[str, Any] | None = None,
    on_timeout: str = "reject",
    compare: bool | Mapping[str, str] | None = None,
    better: Mapping[str, str] | None = None,
    pictures: Sequence[str] | None = None,
    run: str | None = None,
) -> Approval:
    """Ask a person, wait, and return the recorded approval; its input is `approval.inputs`.

    `approver` is a name, an e-mail, a login or a team, or several; "anyone" is everybody. `message`
    is literal text. `artifacts` are shown and bound: the approval is of these values.
    `auto_approve_if` is a condition such as `accuracy >= 0.9`, or a function that is given the
    artifacts (and `environment`) that its parameters name. The page compares the artifacts with the
    last approved run's: `compare=False` turns that off, `compare={"run": "6"}` compares with that
    run's, `compare={"key": "de"}` compares only with gates of this key, and
    `better={"accuracy": "higher"}` says which values are better.
    `pictures=["losses"]` draws these artifacts. `run` names this run, so that the same run, started
    again, finds its decisions; otherwise each process is a run of its own.

    Raises `Faults` if an argument is invalid, and `GateShut` if the gate is not approved.
    """
    spec = declared(name, locals())
    flow = one_line(Path(sys.argv[0]).stem) or "python"
    run = one_line(run or _PROCESS_RUN)
    nth = next(_calls[run, name])
    try:
        return ask(spec, Gate("python", f"{flow}/{run}/{name}/{nth}"), artifacts or {})
    except GateShut as shut:
        if isinstance(shut.__cause__, KeyboardInterrupt):
            print(f"hitl: {shut}", file=sys.stderr)
            raise KeyboardInterrupt from None  # the sentence says it; Python's chain hides it
        raise


def declared(
    name: str,
    said: Mapping[str, Any],
    known: Known | None = None,
    besides: Iterable[str] = (),
) -> GateSpec:
    """The gate that these arguments declare. Raises `Faults` with every fault of them, and those
    that the caller found `besides`."""
    named = isinstance(name, str) and name and "/" not in name and name == one_line(name)
    faults = [*besides] if named else ["`name` must be one line of text without a /", *besides]
    subject = f"the approval {one_line(str(name))!r}"
    own = {key: said[key] for key in FORM.keys if key in said}
    return read(
        own, FORM, subject, asks=f"Approve {name}?", known=known, besides=[*faults, *besides]
    )


def check_before_run(spec: GateSpec, flow: str, step: str) -> None:
    """Raises if it is sure already that this gate could not be asked, before hours of training."""
    settings = from_environment(os.environ)
    try:
        venue = wiring.existing_venue(settings)
    except NoLedger:  # the first gate makes one
        return
    subject = Subject(flow, step, settings.environment, settings.labels)
    venue.check(subject, spec.declared, str(person()))
    venue.ledger.head()


def ask(spec: GateSpec, gate: Gate, values: Mapping[str, Any]) -> Approval:
    """The recorded approval of these values at this gate. Raises `GateShut`."""
    log.turn_on_if_asked(os.environ)
    settings = from_environment(os.environ)
    # The process that waits is the run itself: that its parent went away means nothing.
    run = replace(wiring.run(settings), alive=lambda: True)
    plain = {name: value for name, value in values.items() if comparable(name, value)}
    flow, step = gate.key.split("/")[0], gate.key.rsplit("/", 2)[1]
    subject = Subject(flow, step, settings.environment, settings.labels, plain)
    shown = ordered(artifact(key, value) for key, value in values.items())
    named = [each for each in spec.pictures if each in values]
    drawn = pictures((each, partial(values.__getitem__, each)) for each in named)
    draft = Draft(
        gate=gate,
        message=spec.message,
        policy=spec.policy,
        artifacts=declared_better(with_room(shown), spec.better),
        schema=proposed(spec.schema, partial(_given, values)),
        facts=started_by(str(person())),
        subject=subject,
        declared=spec.declared,
        kind=kind_of(subject, spec.compare, splits=_turn_of(gate, spec)),
        against=spec.compare.run,
        unmatched=unmatched(spec.named, values.keys()),
        drawn=drawn.drawn,
        not_drawn=drawn.not_drawn,
    )
    for says in (*notes(draft), *(each.why for each in drawn.not_drawn)):
        print(f"hitl: {says}", file=sys.stderr)
    readable = Readable(values, settings.environment)
    condition = judge(spec.condition, readable) if spec.condition else None
    verified: list[Standing] = []

    def again(standing: Standing) -> Draft:
        verified.append(standing)
        return draft

    decision = pass_gate(wiring.venue(settings), run, draft, condition, again)
    return approval_of(verified[-1], decision)


def _turn_of(gate: Gate, spec: GateSpec) -> Iterator[str]:
    """Which of the calls of one name in a run it is: a loop asks many times."""
    nth = gate.key.rpartition("/")[2]
    if nth != "1" and not spec.compare.name:  # the author's own key distinguishes them
        yield f"#{nth}"


def _given(values: Mapping[str, Any], name: str) -> Any:
    if name not in values:
        raise Faults(name, [f"self.{name} is not among the artifacts"])
    return values[name]


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
