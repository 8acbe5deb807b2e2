"""What the decider signs when it records a decision, or the objections to a gate.

Of a decision, seven lines of ASCII, each ending in a newline:

    approval-bridge decision 1
    server: github.com
    repository: 1296269
    gate: 3f9a1c2b4d5e6f70
    request: sha256:<64 hex digits>
    outcome: approved
    record: sha256:<64 hex digits>

- *server* and *repository* say where the decision counts. GitHub's numeric id survives a rename,
  and no copy of the repository has it, so a decision can't be carried into another ledger.
- *gate* and *request* say which question was answered, and with which content.
- *outcome* is in the record too. It is here so that the statement says what was decided.
- *record* is the SHA-256 of `decision.yaml`, byte by byte as the ledger has it.

Nobody stores or sends the statement. A reader writes it down from the record it read and verifies
the signature over that; then it holds the request against what it knows itself (its ledger's
address, the gate it waits for, the request it computed again). An auditor can do the same with a
text editor, `sha256sum` and `ssh-keygen -Y verify -n decision@approval-bridge`.

Each value has a small alphabet without blanks or newlines, so two statements are the same bytes
only if all their values are the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from bridge.core.digest import canonical, digest_of
from bridge.core.errors import Faults
from bridge.core.evaluation import Outcome, Verdict
from bridge.core.model import ApprovalRequest
from bridge.core.sanitize import shortened
from bridge.core.timestamps import moment_out

_FORM: Final = "approval-bridge decision 1"
_OBJECTIONS: Final = "approval-bridge objections 1"
_VOTE: Final = "approval-bridge vote 1"
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?(?::[0-9]{1,5})?", re.ASCII)
_GATE: Final = re.compile(r"[0-9a-f]{8,64}", re.ASCII)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def statement(
    server: str,
    repository_id: int,
    gate_id: str,
    request_digest: str,
    outcome: Outcome,
    record_sha256: str,
) -> bytes:
    """The bytes to sign. Raises `Faults` naming each value that has no place in a statement.

    `server` is a host in lower case, with its port if it isn't the usual one. Both digests are
    `sha256:` and hex digits.
    """
    faults = [
        f"{name} is {expected}, not `{shortened(value, 80)}`"
        for name, value, form, expected in (
            ("the server", server, _HOST, "a host name in lower case"),
            ("the gate", gate_id, _GATE, "8 to 64 hex digits"),
            ("the request's digest", request_digest, _DIGEST, "`sha256:` and 64 hex digits"),
            ("the record's digest", record_sha256, _DIGEST, "`sha256:` and 64 hex digits"),
        )
        if not form.fullmatch(value)
    ]
    if repository_id <= 0:
        faults.append(f"the repository is GitHub's numeric id, not {repository_id}")
    if outcome is Outcome.PENDING:
        faults.append("a gate that is pending has no decision to sign")
    if faults:
        raise Faults("the decision can't be signed or verified", faults)
    lines = (
        _FORM,
        f"server: {server}",
        f"repository: {repository_id}",
        f"gate: {gate_id}",
        f"request: {request_digest}",
        f"outcome: {outcome}",
        f"record: {record_sha256}",
    )
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def objections_statement(
    server: str, repository_id: int, gate_id: str, record_sha256: str
) -> bytes:
    """What the decider signs beside `objections.yaml`: five lines, as for a decision.

        approval-bridge objections 1
        server: github.com
        repository: 1296269
        gate: 3f9a1c2b4d5e6f70
        record: sha256:<64 hex digits>

    No request is named: an objection outlives the one that it was made to. Raises `Faults` if the
    gate names no repository of GitHub by number.
    """
    if not (_HOST.fullmatch(server) and repository_id > 0 and _GATE.fullmatch(gate_id)):
        why = "its request doesn't name a repository of GitHub by number"
        raise Faults(f"the objections to gate {shortened(gate_id, 80)} can't be signed", [why])
    lines = (
        _OBJECTIONS,
        f"server: {server}",
        f"repository: {repository_id}",
        f"gate: {gate_id}",
        f"record: {record_sha256}",
    )
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def vote_statement(
    request: ApprovalRequest,
    verdict: Verdict,
    inputs: Mapping[str, Any] | None,
    voter: int,
    after: datetime | None,
) -> bytes:
    """What an approver signs: nine lines, as for a decision, with the voter's numeric id.

        approval-bridge vote 1
        server: github.com
        repository: 1296269
        gate: 3f9a1c2b4d5e6f70
        request: sha256:<64 hex digits>
        vote: approve
        inputs: sha256:<64 hex digits>
        voter: 583231
        after: 2026-03-01T12:00:00Z

    *inputs* is the SHA-256 of what the voter gives, as canonical JSON; of `{}` if that is nothing.
    *after* is the time of the voter's latest objection to the gate before this vote; `nothing` if
    there is none. An answer that they took back could be posted again else, by somebody who took
    over their account and has no key of theirs: it is on the page, with its signature.
    Raises `Faults` if no vote of this gate can be signed.
    """
    venue, gate, digest = request.venue, request.gate.id, digest_of(request)
    server, number = (venue.server or "").lower(), venue.repository_id or 0
    if not (_HOST.fullmatch(server) and number > 0 and voter > 0):
        why = "its request doesn't name a repository of GitHub by number"
        raise Faults(f"a vote for {request.gate.key} can't be signed", [why])
    given = hashlib.sha256(canonical(dict(inputs or {}))).hexdigest()
    lines = (
        _VOTE,
        f"server: {server}",
        f"repository: {number}",
        f"gate: {gate}",
        f"request: {digest}",
        f"vote: {verdict}",
        f"inputs: sha256:{given}",
        f"voter: {voter}",
        f"after: {moment_out(after) if after else 'nothing'}",
    )
    return "".join(f"{line}\n" for line in lines).encode("ascii")
