"""How `@hitl(...)` spells the declaration of a gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.core.gate_spec import Form, GateSpec, read
from bridge.core.message_template import Known

FORM: Final = Form(
    approvers="approvers",
    timeout="timeout",
    on_timeout="on_timeout",
    input="input_schema",
    auto_approve_if="auto_approve_if",
    notifier="notifier",
    compare="compare",
    better="better",
    pictures="pictures",
    on_reject="on_reject",
    keep="keep",
    functions=True,
    proposes=True,
    others=("poll_interval",),
)


def declare(attributes: Mapping[str, Any], step: str, known: Known) -> GateSpec:
    """Raises `Faults` naming every fault of the declaration."""
    subject = f"Invalid `@hitl` declaration on step {step}"
    return read(attributes, FORM, subject, asks=f"May the step {step} run?", known=known)
