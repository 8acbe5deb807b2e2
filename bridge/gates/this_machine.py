"""Gates that are decided on this machine: anybody who may push the ledger records the decision.

Identities are what git's configuration claims. The flow's own policy is the one that holds.
"""

# ruff: noqa: ARG002 - a venue takes what the other kind needs
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bridge.core import artifacts
from bridge.core.digest import digest_of
from bridge.core.errors import Faults, GateShut, LostRequest, Refused
from bridge.core.evaluation import Actor, Channel, Condition, Evidence, Verdict, Vote
from bridge.core.listing import OpenGate
from bridge.core.model import ApprovalRequest, Decision, Declared, Draft, Gate, Standing, Subject
from bridge.core.picture import as_recorded
from bridge.gates.decide import decide
from bridge.gates.open_gate import open_gate
from bridge.gates.ports import Asker, Clock, Ledger, Notices
from bridge.gates.recording import Deciding, record_now
from bridge.gates.venue import Ballot, Explained, Opened, Voted, asked_anew
from bridge.gates.verify import Compute, verify_gate
from bridge.policy.approvers import refusal
from bridge.policy.evaluate import evaluate, overdue
from bridge.render import suggested_commands


@dataclass(frozen=True)
class ThisMachine:
    """The `Venue` of a laptop, or of machines that share a plain git repository."""

    ledger: Ledger
    notices: Notices
    clock: Clock
    person: Actor
    asker: Asker | None = None  # None: there is no terminal, or it is not ours

    @property
    def address(self) -> str:
        return self.ledger.where

    def check(self, subject: Subject, declared: Declared, initiator: str | None) -> None:
        """The flow's own policy was checked as it was declared."""

    def open(self, draft: Draft) -> Opened:
        standing = open_gate(
            self.ledger, self.notices, self._bound(draft), draft.drawn, draft.not_drawn
        )
        command = suggested_commands.approve(standing.request, self.ledger.where)
        return Opened(standing, f"to decide, in any shell: {command}")

    def _bound(self, draft: Draft) -> ApprovalRequest:
        if draft.policy is None:
            raise Faults(
                f"the gate {draft.gate.key}",
                ["it declares no policy, and no policy file is read on this machine"],
            )
        return draft.bound(draft.policy, self.clock())

    def _again(self, draft: Draft, recorded: ApprovalRequest) -> ApprovalRequest:
        """What the draft asks now, compared with what was shown."""
        return replace(
            self._bound(draft),
            artifacts=artifacts.as_recorded(draft.artifacts, recorded.artifacts),
            shard=recorded.shard,
            baseline=recorded.baseline,
            pictures=as_recorded(draft.drawn, draft.not_drawn, recorded.pictures),
        )

    def verify(self, gate: Gate, compute: Compute) -> Decision:
        return verify_gate(self.ledger, gate, compute)

    def ask_here(self, request: ApprovalRequest, decided: Callable[[], bool]) -> Vote | None:
        if self.asker is None:
            return None
        self._check_may_decide(request)
        return self.asker.ask(request, self.person, decided)

    def mark(self, gate_id: str) -> object:
        return self.ledger.heads(gate_id)

    def look(self, draft: Draft, before: Standing) -> Standing:
        key = draft.gate.key
        found = self.ledger.read(draft.gate.id)
        if found is None or (found.decision is None and found.head is None):
            raise GateShut(
                f"{key} does not run: its request has vanished from {self.ledger.where} undecided"
            )
        if digest_of(found.request) != digest_of(self._again(draft, found.request)):
            raise asked_anew(key)
        return found

    def judge(
        self, standing: Standing, votes: Sequence[Vote] = (), condition: Condition | None = None
    ) -> Standing:
        if standing.decision:
            return standing
        return self._decided(standing, Evidence(self.clock(), tuple(votes), condition))

    def withdraw(self, standing: Standing, why: str) -> Standing:
        return self._decided(standing, Evidence(self.clock(), ended=why))

    def _decided(self, standing: Standing, evidence: Evidence) -> Standing:
        verb = decide(self.ledger, self.notices, standing, evidence)
        return record_now(self.ledger, verb)[1]

    def say_ended(self, gate_ids: Sequence[str], *, well: bool, uid: str | None = None) -> None:
        """There are no pages here."""

    def vote(self, standing: Standing, ballot: Ballot) -> Deciding[Voted]:
        request = standing.request
        if ballot.sign:
            raise Refused(f"{request.gate.key} is decided on this machine: leave out --sign")
        if ballot.verdict is not Verdict.WITHDRAW:  # anyone who may push the ledger may end a gate
            self._check_may_decide(request)
        vote = Vote(
            actor=self.person,
            verdict=ballot.verdict,
            at=self.clock(),
            digest=digest_of(request),
            channel=Channel.CLI,
            reason=ballot.reason,
            inputs=ballot.inputs,
        )
        evidence = Evidence(vote.at, (vote,))
        evaluation, after = yield from decide(self.ledger, self.notices, standing, evidence)
        if after.decision is None:
            why = [each.reason for each in evaluation.dismissals] or [evaluation.reason]
            raise Refused(f"{request.gate.key} stays open: {'; '.join(why)}")
        return Voted(after, vote)

    def _check_may_decide(self, request: ApprovalRequest) -> None:
        refused = refusal(request, self.person)
        if refused:
            raise Refused(refused)

    def explain(self, standing: Standing) -> Explained:
        return Explained(evaluate(standing.request, Evidence(self.clock())))

    def unsettled(self) -> tuple[OpenGate, ...]:
        return self.ledger.listing().gates

    def settle(self, standing: Standing) -> Deciding[Standing]:
        """Doing it twice is doing it once. A gate that waits on past its deadline waits on."""
        if standing.decision is None and overdue(standing.request, self.clock()):
            evidence = Evidence(self.clock())
            try:
                _, standing = yield from decide(self.ledger, self.notices, standing, evidence)
            except LostRequest:
                return self.ledger.read(standing.request.gate.id) or standing
        if standing.decision and standing.head:
            self.ledger.settle(standing.request.gate.id)
        return standing
