"""Gates that are decided on GitHub: people answer on a page, and the decider alone records.

What runs here may open the gate, answer it as the person whose token it has, and read the record.
"""

# ruff: noqa: ARG002 - a venue takes what the other kind needs
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from bridge.core.digest import digest_of
from bridge.core.errors import BridgeError
from bridge.core.evaluation import Condition, Outcome, Vote
from bridge.core.listing import OpenGate
from bridge.core.model import (
    ApprovalRequest,
    Decision,
    Declared,
    Draft,
    Gate,
    Place,
    Standing,
    Subject,
)
from bridge.core.rules import Via
from bridge.gates.open_page import Desk, ask, check_covered, own_page
from bridge.gates.ports import Clock, Forge, Ledger, Notices
from bridge.gates.post_answer import answer, explain
from bridge.gates.recording import Deciding
from bridge.gates.venue import Ballot, Explained, Opened, Voted, asked_anew
from bridge.gates.verify import Compute, asked_again, verify_gate
from bridge.pages.afterwards import end_claim, says_end

#: Pages on which a run says how it ended: one request each.
_ENDS: Final = 50


@dataclass(frozen=True)
class OnGitHub:
    """The `Venue` of a repository on GitHub. It connects when it first must: to read the record
    takes no credential for GitHub's API."""

    place: Place  # as a request has it
    ledger: Ledger
    notices: Notices
    clock: Clock
    connect: Callable[[], Forge]

    @property
    def address(self) -> str:
        return str(self.place.name)

    @cached_property
    def _forge(self) -> Forge:
        return self.connect()

    def check(self, subject: Subject, declared: Declared, initiator: str | None) -> None:
        check_covered(self._forge.find([]).site, subject, declared, initiator)

    def open(self, draft: Draft) -> Opened:
        standing, page = ask(Desk(self._forge, self.ledger, self.notices, self.clock), draft)
        address = page.url if page else None
        return Opened(standing, f"to decide: {address or self.address}", address)

    def verify(self, gate: Gate, compute: Compute) -> Decision:
        return verify_gate(self.ledger, gate, compute, self.place)

    def ask_here(self, request: ApprovalRequest, decided: Callable[[], bool]) -> Vote | None:
        """Nobody at a terminal is proven to be who they are."""

    def mark(self, gate_id: str) -> object:
        """What is pushed to the gate's branch, the decider puts back."""
        return self.ledger.head()

    def look(self, draft: Draft, before: Standing) -> Standing:
        """A request that has vanished is put back by the decider, and a new policy asks anew."""
        found = self.ledger.read(draft.gate.id)
        if found is None or (found.decision is None and found.head is None):
            return before
        expected = asked_again(draft, found.request, self.place)
        if digest_of(found.request) != digest_of(expected):
            raise asked_anew(draft.gate.key)
        return found

    def judge(
        self, standing: Standing, votes: Sequence[Vote] = (), condition: Condition | None = None
    ) -> Standing:
        return standing  # the decider looks at the page, the condition and the clock

    def withdraw(self, standing: Standing, why: str) -> Standing:
        return standing  # the decider asks the cluster whether the run has ended

    def say_ended(self, gate_ids: Sequence[str], *, well: bool, uid: str | None = None) -> None:
        """In this account's own voice: the decider repeats it as a claim. A page that says it
        already is left as it is, so this can be tried again; the last failure is raised."""
        known = self.ledger.decided(dict.fromkeys(gate_ids[:_ENDS]))
        # Who makes workflows may write anybody's gate into one.
        passed = [e for e in known.values() if _goes_on(e) and _uid(e.request) == uid]
        if not passed:
            return
        branches = [each.request.gate.branch for each in passed]
        issues = [each.request.opened_at for each in passed if each.request.policy.via is Via.ISSUE]
        look = self._forge.find(branches, min(issues, default=None))
        failed = None
        for each in passed:
            page = own_page(look, each.request.gate.id, each.request.policy.via)
            if page is None or says_end(page, each.request, look.site.voices, well=well):
                continue
            try:
                self._forge.say(page, end_claim(each.request, each.commit, well=well))
            except BridgeError as error:  # such as a conversation that somebody locked
                failed = error
        if failed:
            raise failed

    def vote(self, standing: Standing, ballot: Ballot) -> Deciding[Voted]:
        yield from ()  # it decides nothing
        posted = answer(
            self._forge,
            standing,
            self.clock(),
            ballot.verdict,
            ballot.reason,
            ballot.inputs,
            ballot.sign,
        )
        return Voted(standing, posted=posted)

    def explain(self, standing: Standing) -> Explained:
        return explain(self._forge, standing, self.clock())

    def unsettled(self) -> tuple[OpenGate, ...]:
        return ()

    def settle(self, standing: Standing) -> Deciding[Standing]:
        yield from ()
        return standing


def _uid(request: ApprovalRequest) -> str | None:
    return request.workflow.uid if request.workflow else None


def _goes_on(standing: Standing) -> bool:
    outcome = standing.decision.outcome if standing.decision else Outcome.PENDING
    return outcome is Outcome.APPROVED or standing.request.skips(outcome)
