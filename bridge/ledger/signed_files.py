"""What the decider writes into a gate's folder, each file with its signature beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.core.decision_keys import DecisionKey, objections_statement_of, statement_of
from bridge.core.errors import Faults, Refused
from bridge.core.evaluation import Objection
from bridge.core.facts import Fact
from bridge.core.model import (
    OBJECTIONS,
    OBJECTIONS_SIGNATURE,
    SIGNATURE,
    ApprovalRequest,
    Decision,
)
from bridge.core.records import decision_out, objections_out
from bridge.core.sshsig import DECISION_NAMESPACE, OBJECTIONS_NAMESPACE
from bridge.ledger.clone import GitClone
from bridge.ledger.git import Tree


class SignedFiles:
    """`signature` signs a statement in a namespace; a decider with `keys` and no signature writes
    nothing, because readers would not believe it."""

    def __init__(
        self,
        clone: GitClone,
        signature: Callable[[bytes, str], str] | None,
        keys: Sequence[DecisionKey],
    ) -> None:
        self._clone = clone
        self._signature = signature
        self._keys = keys

    def decision(self, request: ApprovalRequest, decision: Decision) -> Tree:
        text = decision_out(decision)
        files = {"decision.yaml": self._clone.write_blob(text)}
        if (sign := self._signer(request)) is None:
            return files
        made = sign(statement_of(request, decision, text), DECISION_NAMESPACE)
        return {**files, SIGNATURE: self._clone.write_blob(made)}

    def objections(
        self, request: ApprovalRequest, objections: tuple[Objection, ...], facts: tuple[Fact, ...]
    ) -> Tree:
        text = objections_out(request.gate.id, objections, facts)
        files = {OBJECTIONS: self._clone.write_blob(text)}
        if (sign := self._signer(request)) is None:
            return files
        try:
            about = objections_statement_of(request, text)
        except Faults:  # nor can its decision be signed; and a hold needs no signature
            return files
        made = sign(about, OBJECTIONS_NAMESPACE)
        return {**files, OBJECTIONS_SIGNATURE: self._clone.write_blob(made)}

    def _signer(self, request: ApprovalRequest) -> Callable[[bytes, str], str] | None:
        if self._signature is None and self._keys:
            raise Refused(
                "HITL_KEYS is set, so a record counts only with the decider's signature, and"
                f" nothing signs here: {request.gate.key} stays open"
            )
        return self._signature
