"""What people saw is what they approved, and nothing is computed before they approved it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from bridge.core.artifacts import as_recorded, summarise, unread
from bridge.core.digest import digest_of
from bridge.core.errors import GateShut
from bridge.core.evaluation import Decider, Outcome
from bridge.core.model import ApprovalRequest, Artifact, Decision, Draft, Link, Standing
from bridge.gates.ports import Ledger
from bridge.gates.verify import verify, verify_gate
from tests.ledgers import a_decision, a_rejection, a_request

SHOWN = Artifact("frame", "pandas.DataFrame", "sha256:1", 90, "3 rows", "a b", "s3://x", True)
UNREAD = unread("frame", "pandas.DataFrame", "sha256:1", 90)


@dataclass
class Recorded:
    """A ledger that holds one gate, or none."""

    request: ApprovalRequest | None = None
    decision: Decision | None = None
    where: str = "the ledger"

    def read_decided(self, gate: str) -> Standing | None:
        return Standing(self.request, self.decision, "c") if self.request else None


def approved(*artifacts: Artifact) -> Recorded:
    request = a_request(artifacts=artifacts)
    return Recorded(request, a_decision(request))


def passes(recorded: Recorded, *now: Artifact) -> Decision:
    assert recorded.request
    return verify(cast(Ledger, recorded), replace(recorded.request.draft, artifacts=now))


@pytest.mark.parametrize(
    "other",
    [
        {"value": "0.99"},
        {"head": "a b c"},
        {"link": None},
        {"metric": False},
        {"type": "Model"},
        {"size": 91},
        {"digest": "sha256:2"},
    ],
    ids=lambda each: next(iter(each)),
)
def test_every_part_of_an_artifact_that_a_page_shows_is_bound(other: dict[str, Any]) -> None:
    lie = replace(SHOWN, **other)
    assert digest_of(a_request(artifacts=(lie,))) != digest_of(a_request(artifacts=(SHOWN,)))
    with pytest.raises(GateShut, match="what was approved is not what is here now"):
        passes(approved(lie), SHOWN)


def test_a_link_that_a_page_shows_is_bound_and_not_compared() -> None:
    request = a_request(links=(Link("run", "https://one"),))
    assert digest_of(replace(request, links=(Link("run", "https://two"),))) != digest_of(request)
    ledger = cast(Ledger, Recorded(request, a_decision(request)))
    assert verify(ledger, replace(request.draft, links=()))


@pytest.mark.parametrize(("shown", "now"), [(SHOWN, UNREAD), (UNREAD, SHOWN), (UNREAD, UNREAD)])
def test_a_value_that_one_side_cannot_read_is_compared_by_its_bytes(
    shown: Artifact, now: Artifact
) -> None:
    assert passes(approved(shown), now).outcome is Outcome.APPROVED
    with pytest.raises(GateShut, match="changed: frame"):
        passes(approved(shown), replace(now, digest="sha256:2"))


def test_another_name_for_the_same_bytes_takes_no_shown_value() -> None:
    other = replace(UNREAD, name="other")
    assert as_recorded([other], [SHOWN]) == (other,)


def test_a_set_is_shown_alike_in_every_process() -> None:
    words = ["ash", "elm", "fir", "oak", "yew"]
    shown = summarise("x", frozenset(words), digest="").value
    assert shown == "{'ash', 'elm', 'fir', 'oak', 'yew'}"


NEVER: Sequence[Recorded] = (
    Recorded(),
    Recorded(a_request()),
    Recorded(a_request(), a_rejection(a_request())),
    Recorded(a_request(), a_decision(a_request(), outcome=Outcome.EXPIRED)),
)


@pytest.mark.parametrize("recorded", NEVER, ids=["nobody asked", "open", "rejected", "expired"])
def test_nothing_is_computed_before_an_approval_is_found(recorded: Recorded) -> None:
    def compute(_: Standing) -> Draft:
        pytest.fail("an artifact was read")

    with pytest.raises(GateShut):
        verify_gate(cast(Ledger, recorded), a_request().gate, compute)


@pytest.mark.parametrize(
    ("outcome", "by", "reason", "says"),
    [
        (Outcome.WITHDRAWN, Decider.RUN, "withdrawn: the run ended", "withdrawn: the run ended"),
        (Outcome.EXPIRED, Decider.CLOCK, "nobody answered", "expired, nobody answered"),
    ],
)
def test_a_shut_gate_names_its_outcome_once(
    outcome: Outcome, by: Decider, reason: str, says: str
) -> None:
    request = a_request()
    ended = a_decision(request, outcome=outcome, by=by, considered=(), reason=reason)
    with pytest.raises(GateShut) as shut:
        verify_gate(cast(Ledger, Recorded(request, ended)), request.gate, lambda _: request.draft)
    assert str(shut.value) == f"{request.gate.key} does not run: {says}"


def test_what_is_computed_is_given_the_gate_as_it_was_approved() -> None:
    recorded = approved(SHOWN)
    given = []

    def compute(standing: Standing) -> Draft:
        given.append((standing.request, standing.decision))
        return standing.request.draft

    assert recorded.request
    verify_gate(cast(Ledger, recorded), recorded.request.gate, compute)
    assert given == [(recorded.request, recorded.decision)]
