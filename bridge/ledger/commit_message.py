"""What `git log` of the ledger says: the commit messages, written, and read back.

A message is a subject, a person's reason (indented, so that no line of it passes for a trailer) and
one last paragraph of trailers. Whatever text people put in, each value stays on its own line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from bridge.core.digest import digest_of
from bridge.core.errors import LedgerCorrupt
from bridge.core.evaluation import Decider, Objection, Outcome
from bridge.core.model import (
    ApprovalRequest,
    Decision,
    Listing,
    OpenGate,
    Recorded,
    Unreadable,
)
from bridge.core.timestamps import moment, moment_out

#: Control characters, what turns the direction of writing, and halves of characters.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def request_message(request: ApprovalRequest, headline: str) -> str:
    """Of the commit that opens a gate."""
    trailers = {
        "Gate": request.gate.id,
        "Gate-Key": request.gate.key,
        "Request-Digest": digest_of(request),
        "Opened-At": moment_out(request.opened_at),
        "Expires-At": moment_out(request.expires_at) if request.expires_at else None,
        "Initiator": request.initiator,
    }
    return _message(f"Ask: {headline}", "", trailers)


def decision_message(request: ApprovalRequest, decision: Decision, headline: str) -> str:
    """Of the commit that records a decision."""
    trailers = {
        "Gate": request.gate.id,
        "Gate-Key": request.gate.key,
        "Outcome": decision.outcome.value,
        "Decided-By": decision.by.value,
        "Decided-At": moment_out(decision.decided_at),
        "Approvers": ", ".join(str(vote.actor) for vote in decision.votes) or None,
        "Request-Digest": decision.request_digest,
    }
    subject = f"{decision.outcome.value.capitalize()}: {headline}"
    return _message(subject, decision.reason, trailers)


def objections_message(
    request: ApprovalRequest, objections: Sequence[Objection], headline: str
) -> str:
    """Of the commit that records objections to an undecided gate, or what lifted them."""
    open_ = [str(each.who) for each in objections if each.lifted is None]
    lifted = [f"{each.who} (by {each.lifted.by})" for each in objections if each.lifted]
    trailers = {
        "Gate": request.gate.id,
        "Gate-Key": request.gate.key,
        "Held-By": ", ".join(dict.fromkeys(open_)) or None,
        "Lifted": ", ".join(dict.fromkeys(lifted)) or None,
        "Request-Digest": digest_of(request),
    }
    return _message(f"{'Hold' if open_ else 'Release'}: {headline}", "", trailers)


def open_gate(gate_id: str, head: str, commit: str) -> OpenGate:
    """An open gate, from the text of its one commit. Raises `LedgerCorrupt`."""
    subject, trailers = _parsed(commit)
    try:
        return OpenGate(
            id=gate_id,
            head=head,
            key=trailers["Gate-Key"],
            headline=subject,
            opened_at=moment(trailers["Opened-At"]),
            expires_at=moment(trailers["Expires-At"]) if "Expires-At" in trailers else None,
            initiator=trailers.get("Initiator"),
        )
    except (KeyError, ValueError):
        raise LedgerCorrupt(
            f"the commit {head[:12]} on gate/{gate_id} is not one the bridge wrote:"
            " delete that branch, or look who pushed it"
        ) from None


def open_gates(heads: Mapping[str, str], text_of: Callable[[str], str]) -> Listing:
    """The open gates by the texts of their commits. `heads` are their branches' commits by id."""
    found: list[OpenGate] = []
    unreadable: list[Unreadable] = []
    for gate_id, head in sorted(heads.items()):
        try:
            found.append(open_gate(gate_id, head, text_of(head)))
        except LedgerCorrupt as error:
            unreadable.append(Unreadable(gate_id, str(error)))
    found.sort(key=lambda each: (each.opened_at, each.id))
    return Listing(tuple(found), tuple(unreadable))


def recorded(sha: str, commit: str) -> Recorded | None:
    """A decision, from the text of its one commit; None where it is another kind of commit."""
    subject, trailers = _parsed(commit)
    try:
        return Recorded(
            id=trailers["Gate"],
            outcome=Outcome(trailers["Outcome"]),
            by=Decider(trailers["Decided-By"]),
            key=trailers["Gate-Key"],
            headline=subject,
            approvers=trailers.get("Approvers", ""),
            decided_at=moment(trailers["Decided-At"]),
            commit=sha,
        )
    except (KeyError, ValueError):
        return None


def one_line(text: str) -> str:
    """The text as a trailer holds it."""
    return _UNSAFE.sub("", " ".join(text.split()))


def _message(subject: str, reason: str, trailers: Mapping[str, str | None]) -> str:
    lines = [f"{key}: {one_line(value)}" for key, value in trailers.items() if value is not None]
    body = "\n".join(f"    {one_line(line)}" for line in reason.splitlines())
    parts = [one_line(subject), *([body] if body.strip() else []), "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _parsed(commit: str) -> tuple[str, dict[str, str]]:
    """Subject without the word before its colon, and the trailers."""
    message = commit.partition("\n\n")[2]
    subject = message.partition("\n")[0].partition(":")[2].strip()
    last = message.rstrip("\n").rpartition("\n\n")[2]
    pairs = (line.partition(":") for line in last.split("\n"))
    return subject, {key: value.strip() for key, _, value in pairs}


def git_name(text: str) -> str:
    """A name as git takes one: it refuses what has no letter left once its own marks are gone."""
    return one_line(text).strip(" .,:;<>\"\\'")


def first_parent(commit: str) -> str | None:
    for line in commit.partition("\n\n")[0].split("\n"):
        if line.startswith("parent "):
            return line.removeprefix("parent ")
    return None
