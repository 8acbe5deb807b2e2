"""Recorded decisions with all that an auditor lists, as JSON or CSV. Values in, text out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from bridge.core.evaluation import Actor, Answer, Decider, JudgedVote
from bridge.core.facts import About, Fact, fact_of, in_words
from bridge.core.log_filter import environment_of
from bridge.core.model import Decision, Standing
from bridge.core.sanitize import harmless_json, harmless_terminal
from bridge.core.timestamps import moment_out
from bridge.policy.claims import as_asked


def row(standing: Standing, decision: Decision, commit: str) -> dict[str, Any]:
    """One decision, which `commit` records. Times are in UTC, `waited` is in seconds."""
    request = standing.request
    facts = decision.facts or request.facts
    asked = as_asked(request, decision.facts)
    starter = fact_of(facts, About.INITIATOR)
    counted = [each for each in decision.considered if each.counts]
    return {
        "id": request.gate.id,
        "key": request.gate.key,
        "environment": environment_of(request),
        "question": request.message,
        "outcome": decision.outcome.value,
        "by": decision.by.value,
        "reason": decision.reason,
        "requester": _requester(starter),
        "requester_proven": bool(starter and starter.proven),
        "approvers": [_person(each) for each in counted],
        "approvers_proven": bool(counted) and all(each.vote.actor.proven for each in counted),
        "right": [_right(decision, each.vote.actor) for each in counted],
        "independent": _independent(starter, counted),
        "refused": [_refused(each) for each in decision.considered if not each.counts],
        "objections": [f"{each.who} {each.verdict}" for each in decision.objections],
        "inputs": dict(decision.inputs),
        "shown": {each.name: each.digest for each in request.artifacts},
        "asked_at": moment_out(asked.opened_at),
        "decided_at": moment_out(decision.decided_at),
        "waited": int((decision.decided_at - asked.opened_at).total_seconds()),
        "policy": decision.policy_source,
        "request_digest": decision.request_digest,
        "compared_with": request.baseline.gate if request.baseline else None,
        "ledger_commit": commit,
    }


def _requester(fact: Fact | None) -> str | None:
    return in_words(fact) if fact else None


def _person(judged: JudgedVote) -> str:
    who = str(judged.vote.actor)
    return who if judged.vote.actor.proven else f"{who} (unverified)"


def _refused(judged: JudgedVote) -> str:
    return f"{judged.vote.actor} {judged.vote.verdict}: {judged.why or judged.code}"


def _right(decision: Decision, actor: Actor) -> str:
    """The groups that the person was found in, or that the policy names them."""
    if decision.by is not Decider.PERSON:
        return decision.by.value
    groups = [
        f"{each.group.kind} {each.group.name}"
        for each in decision.memberships
        if each.user == actor.id and each.answer is Answer.MEMBER
    ]
    return ", ".join(groups) or "named by the policy"


def _independent(starter: Fact | None, counted: Sequence[JudgedVote]) -> bool | None:
    """Whether somebody else than who started the run decided; None if that is not known."""
    if not counted or starter is None or not starter.value.startswith("@"):
        return None
    number = starter.value.rpartition("#")[2]
    return any(str(each.vote.actor.id) != number for each in counted)


# -- forms -----------------------------------------------------------------------------------------


#: How a formula begins, also in the wide letters of Japanese; blanks before it don't matter to all.
_FORMULA: Final = frozenset("=+-@＝＋－＠")


def as_json(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """One array, a row at a time: an export can be longer than the memory."""
    before = None
    for each in rows:
        yield f"{before}," if before else "["
        text = harmless_json(json.dumps(each, indent=2, ensure_ascii=False))
        before = "  " + text.replace("\n", "\n  ")
    yield f"{before}\n]" if before else "[]"


def as_json_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield from (harmless_json(json.dumps(each, ensure_ascii=False)) for each in rows)


def as_csv(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line each, the header first. A spreadsheet would run a cell that begins like a formula:
    https://owasp.org/www-community/attacks/CSV_Injection"""
    header: list[str] = []
    for each in rows:
        if not header:
            header = list(each)
            yield _line(header)
        yield _line([_cell(each[name]) for name in header])


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)  # it quotes a line break only if it ends lines with one
    return text.getvalue().removesuffix("\r\n")


def _cell(value: Any) -> str:
    if isinstance(value, list):
        value = "; ".join(value)
    elif isinstance(value, Mapping):
        value = json.dumps(value, ensure_ascii=False, sort_keys=True)
    elif isinstance(value, bool):
        value = "yes" if value else "no"
    text = "" if value is None else harmless_terminal(str(value))
    return f"'{text}" if text.lstrip()[:1] in _FORMULA else text


FORMS = {"json": as_json, "jsonl": as_json_lines, "csv": as_csv}
