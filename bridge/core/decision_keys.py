"""The decider's keys, and whether a decision, or a list of objections, has a signature by one.

A reader has them from outside the ledger (HITL_KEYS, beside the ledger's address). One key a line:

    ssh-ed25519 AAAAC3… decider 2027
    until=<commit>,unsigned-until=<commit> ssh-ed25519 AAAAC3… decider 2026

A key with `until` is retired. What the ledger holds at that commit, it signed well; what came later
doesn't count. `unsigned-until` is for a ledger that is older than its first key: what it holds
unsigned at that commit counts. Each takes several commits (`until=<commit>,<commit>`), because a
commit is on one branch of the ledger alone. Options go before the key, as in OpenSSH's
`authorized_keys`: after it, a misspelled option would pass for a comment, and the key would be good
for ever.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bridge.core.digest import digest_of
from bridge.core.errors import Faults, LedgerCorrupt
from bridge.core.model import ApprovalRequest, Decision
from bridge.core.remote_url import repository_at
from bridge.core.signed_statement import objections_statement, statement
from bridge.core.sshsig import (
    DECISION_NAMESPACE,
    IS_PRIVATE,
    MOST_KEYS,
    OBJECTIONS_NAMESPACE,
    PRIVATE,
    BadSignature,
    PublicKey,
    parse_key,
    verify,
)

_OPTIONS: Final = re.compile(r"((?:unsigned-)?until=\S*)\s+(.*)", re.DOTALL)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
#: What Argo would take for a parameter, if the keys are in a workflow.
_BRACES: Final = re.compile("[{}]")


class NotSigned(LedgerCorrupt):
    """A record without a signature that counts. It is no decision, whatever it says."""


@dataclass(frozen=True, slots=True)
class DecisionKey:
    """A decider's public key. `until`: the commits up to which it holds, if it is retired.

    `unsigned_until`: those up to which the ledger was written before there was a key. Of each
    branch of the ledger, one.
    """

    key: PublicKey
    until: tuple[str, ...] = ()
    unsigned_until: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """As a list of keys has it."""
        own = _BRACES.sub("", self.key.line)
        options = {"until": self.until, "unsigned-until": self.unsigned_until}
        given = ",".join(f"{name}={','.join(them)}" for name, them in options.items() if them)
        return f"{given} {own}" if given else own


def parse_keys(text: str, where: str) -> tuple[DecisionKey, ...]:
    """A list of keys: one a line, `#` begins a comment line. Raises `Faults` with them all.

    A list without a key is a fault: it is never a reason to check nothing.
    """
    if len(text) > MOST_KEYS:
        raise Faults(where, [f"has {len(text):,} characters; the most is {MOST_KEYS:,}"])
    if PRIVATE in text:
        raise Faults(where, [IS_PRIVATE])
    found: dict[PublicKey, DecisionKey] = {}
    faults = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            own = _key(line)
        except Faults as fault:
            faults.append(f"line {number}: {'; '.join(fault.faults)}")
            continue
        if found.setdefault(own.key, own) != own:
            faults.append(f"line {number}: the key is listed before with other options")
    if not found and not faults:
        faults.append("has no key; add one, as in `ssh-ed25519 AAAA… comment`")
    if len({each.unsigned_until for each in found.values()} - {()}) > 1:
        faults.append("`unsigned-until` differs between keys; a ledger has one first key")
    if faults:
        raise Faults(where, faults)
    return tuple(found.values())


def _key(line: str) -> DecisionKey:
    options = _OPTIONS.fullmatch(line.strip())
    if options is None:
        return DecisionKey(parse_key(line))
    found: dict[str, list[str]] = {}
    name = ""
    for part in options[1].split(","):
        option, given, commit = part.rpartition("=")
        if given and (option not in ("until", "unsigned-until") or option in found):
            fault = (
                "the options are `until=` and `unsigned-until=`, each once, with a comma between"
            )
            raise Faults("the public key", [fault])
        name = option or name
        if not _COMMIT.fullmatch(commit):
            fault = (
                f"`{name}=` takes the full id of a commit of the ledger, 40 hex digits; of several"
                " branches, one each, with a comma between"
            )
            raise Faults("the public key", [fault])
        found.setdefault(name, []).append(commit)
    until, unsigned = (tuple(found.get(each, ())) for each in ("until", "unsigned-until"))
    return DecisionKey(parse_key(options[2]), until, unsigned)


def unsigned_until(keys: Sequence[DecisionKey]) -> tuple[str, ...]:
    """The commits up to which the ledger was written before there was a key."""
    return next((each.unsigned_until for each in keys if each.unsigned_until), ())


def statement_of(request: ApprovalRequest, decision: Decision, text: str) -> bytes:
    """What a signature of this decision is about; `text` is its `decision.yaml`.

    Raises `Faults` if no decision of this gate can be signed.
    """
    venue = request.venue
    if venue.server is None or venue.repository_id is None:
        why = (
            "its request names no repository by number; open it again with this version"
            if venue.server
            else "it is decided on a machine, and only decisions of a repository on GitHub are"
        )
        raise Faults(f"the decision of gate {request.gate.id} can't be signed", [why])
    return statement(
        venue.server.lower(),
        venue.repository_id,
        request.gate.id,
        digest_of(request),
        decision.outcome,
        _sha256(text),
    )


def objections_statement_of(request: ApprovalRequest, text: str) -> bytes:
    """What a signature of a gate's objections is about; `text` is its `objections.yaml`.

    Raises `Faults` if they can't be signed.
    """
    server, number = (request.venue.server or "").lower(), request.venue.repository_id or 0
    return objections_statement(server, number, request.gate.id, _sha256(text))


def _sha256(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def signer(
    keys: Sequence[DecisionKey],
    request: ApprovalRequest,
    decision: Decision,
    text: str,
    signature: str | None,
) -> DecisionKey:
    """The key that signed this decision. Raises `NotSigned`.

    If the key is retired, it is for the caller to see that the ledger had the record in time.
    """
    gate = f"{request.gate.key} (gate {request.gate.id})"
    if signature is None:
        first = unsigned_until(keys)
        late = f", and the ledger doesn't have it at commit {' or '.join(first)}" if first else ""
        raise NotSigned(
            f"the decision of {gate} isn't signed{late}; expected a signature by {_names(keys)}."
            f" {_ADVICE}"
        )
    try:
        about = statement_of(request, decision, text)
        by = verify(about, signature, [each.key for each in keys], DECISION_NAMESPACE)
    except (BadSignature, Faults) as error:
        raise NotSigned(
            f"the decision of {gate} doesn't count: {error}; expected a signature by"
            f" {_names(keys)}. {_ADVICE}"
        ) from None
    return next(each for each in keys if each.key == by)


def objections_signer(
    keys: Sequence[DecisionKey], request: ApprovalRequest, text: str, signature: str
) -> DecisionKey | None:
    """The key that signed these objections; None if none of them did.

    If the key is retired, it is for the caller to see that the ledger had the file in time.
    """
    try:
        about = objections_statement_of(request, text)
        by = verify(about, signature, [each.key for each in keys], OBJECTIONS_NAMESPACE)
    except (BadSignature, Faults):
        return None
    return next(each for each in keys if each.key == by)


def too_late(request: ApprovalRequest, by: DecisionKey) -> NotSigned:
    """The refusal of what a retired key signed after its time."""
    return NotSigned(
        f"the decision of {request.gate.key} (gate {request.gate.id}) doesn't count: {by.key} is"
        f" retired, and the ledger doesn't have this record at commit {' or '.join(by.until)}, up"
        f" to which HITL_KEYS lets that key sign. {_ADVICE}"
    )


def repository_of(request: ApprovalRequest) -> int | None:
    """The number of the repository whose decider may sign this request's decision."""
    return request.venue.repository_id


def elsewhere(request: ApprovalRequest, ledger: str) -> str | None:
    """Why a decision of this request doesn't count in the ledger at this address.

    A ledger on a path may be a copy of any repository, so it is taken for its own.
    """
    venue, at = request.venue, repository_at(ledger)
    if at is None or venue.repository is None:
        return None
    host, name = at
    same_host = host in (None, (venue.server or "").casefold())
    if same_host and name == venue.repository.casefold():
        return None
    return (
        f"it was made in {venue.name} on {venue.server}, and this ledger is {ledger}; if the"
        " repository was renamed, read the ledger at its former address, or ask again"
    )


def _names(keys: Sequence[DecisionKey]) -> str:
    return " or ".join(str(each.key) for each in keys if not each.until) or "a retired key"


_ADVICE: Final = (
    "Compare HITL_KEYS with the decider's key; if they agree, find out who pushed that record"
)
