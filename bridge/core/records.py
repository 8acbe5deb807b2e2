"""The records of the ledger: how a request and a decision are written down and read back.

A record with a fault is never an approval. The keys are those of the dataclasses, as `converter.py`
writes them; `docs/ledger.md` lists them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from bridge.core.converter import plain, read
from bridge.core.digest import digest_of
from bridge.core.errors import Faults, LedgerCorrupt
from bridge.core.evaluation import Objection, Outcome
from bridge.core.facts import Fact
from bridge.core.model import FORMAT, ApprovalRequest, Baselines, Decision, Objections
from bridge.core.sanitize import shortened
from bridge.core.shards import LEDGER_FILE, Turn, is_shard
from bridge.core.yaml_text import dump, load, too_large

T = TypeVar("T")


def request_out(request: ApprovalRequest) -> str:
    """`request.yaml`. Raises `Faults` if nobody could read it back."""
    record: dict[str, Any] = plain(request)
    named = {"gate": request.gate.id, "digest": digest_of(request)}
    text = dump({"format": _known(request.format), **named, **record})
    _, faults = read(ApprovalRequest, record, "request")
    if fault := too_large(text):
        faults = [f"its record {fault}: shorten the message, the artifacts or the input schema"]
    if faults:
        raise Faults(f"the request of {shortened(request.gate.key, 80)}", faults)
    return text


def request_in(text: str, where: str = "request.yaml") -> ApprovalRequest:
    """Raises `LedgerCorrupt` with every fault, also if the digest is not that of the content."""
    record = load(text, where)
    claimed = {key: record.pop(key, None) for key in ("gate", "digest")}
    request, faults = _read(ApprovalRequest, record, "request")
    if request:
        faults += _untrue(request, claimed)
    return _sound(where, request, faults)


def _untrue(request: ApprovalRequest, claimed: Mapping[str, object]) -> list[str]:
    """What the record says of itself and is not so."""
    if not is_shard(request.shard):  # a decision is pushed there
        named = shortened(request.shard, 80)
        return [f"request.shard is {named!r}, which is no branch of a ledger"]
    if claimed["gate"] != request.gate.id:
        return [f"the id {claimed['gate']} is not that of {request.gate.key}"]
    if claimed["digest"] != digest_of(request):
        return ["the digest is not that of the content: it was changed after it was written"]
    try:
        request.expires_at  # noqa: B018 - it may lie past the last year there is
    except OverflowError:
        return ["request.policy.timeout is too large"]
    return []


def decision_out(decision: Decision) -> str:
    """`decision.yaml`."""
    return dump({"format": _known(decision.format), **plain(decision)})


def decision_in(text: str, where: str = "decision.yaml") -> Decision:
    """Raises `LedgerCorrupt` with every fault."""
    decision, faults = _read(Decision, load(text, where), "decision")
    if decision and decision.outcome is Outcome.PENDING:
        faults.append("decision.outcome is pending, which is no decision")
    return _sound(where, decision, faults)


def objections_out(
    gate_id: str, objections: tuple[Objection, ...], facts: tuple[Fact, ...] = ()
) -> str:
    """`objections.yaml`."""
    return dump({"format": FORMAT, **plain(Objections(gate_id, objections, facts))})


def objections_in(text: str, where: str = "objections.yaml") -> Objections:
    """Raises `LedgerCorrupt` with every fault."""
    return _sound(where, *_read(Objections, load(text, where), "objections"))


def baselines_out(baselines: Baselines) -> str:
    """`baselines/<ab>/<hash>.yaml`."""
    return dump({"format": FORMAT, **plain(baselines)})


def baselines_in(text: str, where: str) -> Baselines:
    """Raises `LedgerCorrupt` with every fault."""
    return _sound(where, *_read(Baselines, load(text, where), "baselines"))


def turn_out(turn: Turn) -> str:
    """`ledger.yaml`."""
    return dump({"format": FORMAT, **plain(turn)})


def turn_in(text: str, where: str = LEDGER_FILE) -> Turn:
    """Raises `LedgerCorrupt` with every fault."""
    turn, faults = _read(Turn, load(text, where), "turn")
    if turn and not turn.is_sound():
        faults.append(f"turn.begun is {shortened(turn.begun, 80)!r}; give a month, as in 2026-11")
    return _sound(where, turn, faults)


def _read(kind: type[T], record: dict[str, Any], name: str) -> tuple[T | None, list[str]]:
    value, faults = read(kind, record, name)
    found = record.get("format")
    if type(found) is int and found != FORMAT:
        newer = "a newer version of the bridge wrote it: upgrade the bridge"
        why = newer if found > FORMAT else "no version of the bridge wrote it"
        faults = [f"it has format {found}, and this bridge reads format {FORMAT}: {why}", *faults]
    return value, faults


def _known(number: int) -> int:
    if number != FORMAT:
        raise ValueError(f"this bridge writes format {FORMAT}, not format {number}")
    return number


def _sound(where: str, value: T | None, faults: list[str]) -> T:
    if value is None or faults:
        raise LedgerCorrupt(f"{where}: {'; '.join(faults)}")
    return value
