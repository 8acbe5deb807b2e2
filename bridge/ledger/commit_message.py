"""What `git log` of the ledger says: the commit messages of requests, objections and decisions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bridge.core.digest import digest_of
from bridge.core.evaluation import Decider, Objection, Outcome
from bridge.core.facts import Fact, in_words
from bridge.core.model import ApprovalRequest, Decision, Recorded
from bridge.core.timestamps import moment, moment_out
from bridge.ledger.commit_trailers import message, one_line, parsed

#: As a table and `hitl show` say it of people whom only git's own settings name.
_UNVERIFIED: Final = "unverified"


def request_message(request: ApprovalRequest, headline: str) -> str:
    """Of the commit that opens a gate."""
    trailers = {
        "Gate": request.gate.id,
        "Gate-Key": request.gate.key,
        "Request-Digest": digest_of(request),
        "Opened-At": moment_out(request.opened_at),
        "Expires-At": moment_out(request.expires_at) if request.expires_at else None,
        "Initiator": request.initiator,
        "Run": request.links[0].url if request.links else None,
    }
    return message(f"Ask: {headline}", "", trailers)


def decision_message(request: ApprovalRequest, decision: Decision, headline: str) -> str:
    """Of the commit that records a decision."""
    trailers = {
        "Gate": request.gate.id,
        "Gate-Key": request.gate.key,
        "Outcome": decision.outcome.value,
        "Decided-By": decision.by.value,
        "Decided-At": moment_out(decision.decided_at),
        "Approvers": ", ".join(str(vote.actor) for vote in decision.votes) or None,
        "Identity": None if all(vote.actor.proven for vote in decision.votes) else _UNVERIFIED,
        "Request-Digest": decision.request_digest,
    }
    subject = f"{decision.outcome.value.capitalize()}: {headline}"
    return message(subject, decision.reason, trailers)


def objections_message(
    request: ApprovalRequest,
    objections: Sequence[Objection],
    facts: Sequence[Fact],
    headline: str,
) -> str:
    """Of the commit that records what was seen of an undecided gate: objections, what lifted them,
    and what is proven of its run."""
    open_ = [str(each.who) for each in objections if each.lifted is None]
    lifted = [f"{each.who} (by {each.lifted.by})" for each in objections if each.lifted]
    trailers = {
        "Gate": request.gate.id,
        "Gate-Key": request.gate.key,
        "Held-By": ", ".join(dict.fromkeys(open_)) or None,
        "Lifted": ", ".join(dict.fromkeys(lifted)) or None,
        "Proven": ", ".join(f"{each.name} {in_words(each)}" for each in facts) or None,
        "Request-Digest": digest_of(request),
    }
    what = "Hold" if open_ else "Release" if lifted else "Note"
    return message(f"{what}: {headline}", "", trailers)


def recorded(sha: str, commit: str) -> Recorded | None:
    """A decision, from the text of its one commit; None if it is another kind of commit."""
    subject, trailers = parsed(commit)
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
            unverified=trailers.get("Identity") == _UNVERIFIED,
        )
    except (KeyError, ValueError):
        return None


def git_name(text: str) -> str:
    """A name as git writes one into a commit: without the marks that would end it."""
    return one_line(re.sub("[<>]", "", text)).strip(" .,:;\"\\'")
