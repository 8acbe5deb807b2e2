"""An approver signs their answer with their own SSH key, and the decider checks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.core.errors import Faults, Refused
from bridge.core.evaluation import ReasonCode, Verdict
from bridge.core.model import Standing
from bridge.core.records import objections_out
from bridge.core.signed_statement import vote_statement
from bridge.core.sshsig import VOTE_NAMESPACE, parse_key, verify
from bridge.gates.post_answer import answer
from bridge.gates.this_machine import ThisMachine
from bridge.gates.venue import Ballot
from bridge.github.client import GitHub
from bridge.local import ssh_keygen
from bridge.local.signing import SigningKey, signing_key
from bridge.pages.vote_signature import signature_of, signed
from tests.forge import POLICY, World, world
from tests.github.pulls import PullRequest
from tests.ledgers import a_request
from tests.ssh_keys import private_text

ALICES = signing_key(private_text())
MALLORYS = signing_key(private_text(b"\7" * 32))
SIGNED = POLICY + "    signed: true\n"
INPUT = {
    "type": "object",
    "properties": {"target": {"type": "string"}, "share": {"type": "number"}},
    "required": ["target"],
}


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, SIGNED) as made:
        made.alice.signing_keys.append((ALICES.public.line, made.now() - timedelta(days=9)))
        yield made


def by(key: SigningKey) -> Callable[[bytes], str]:
    return lambda statement: key.sign(statement, VOTE_NAMESPACE)


def approve(
    at: World, pull: PullRequest, key: SigningKey = ALICES, verdict: Verdict = Verdict.APPROVE,
    inputs: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """As `hitl approve --sign` does it, with alice's own token."""
    settings = replace(at.settings(at.decider), token=str(at.github.token(at.alice)))
    mine = GitHub(settings, at.waits.append)
    answer(mine, at.standing(pull), at.now(), verdict, "looked at it", inputs, by(key))


def test_a_signed_approval_counts_and_its_record_says_by_which_key(at: World) -> None:
    pull = at.open(schema=INPUT)
    approve(at, pull, inputs={"target": "prod", "share": 0.5})
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    [vote] = decision.votes
    assert vote.signed_by == ALICES.public.fingerprint
    # Anybody can check it from the record alone, whatever becomes of the page.
    request = at.standing(pull).request
    about = vote_statement(request, vote.verdict, vote.inputs, vote.actor.id or 0, None)
    assert verify(about, vote.signature or "", [parse_key(ALICES.public.line)], VOTE_NAMESPACE)
    assert decision.inputs == {"target": "prod", "share": 0.5}


def test_an_approval_without_a_signature_is_told_how_to_sign(at: World) -> None:
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    told = at.tend(pull)
    assert not at.recorded(pull)
    assert told.evaluation
    assert [each.why.code for each in told.evaluation.dismissals] == [ReasonCode.NOT_SIGNED]
    assert "hitl approve ID --sign" in at.status(pull)
    approve(at, pull)
    at.tend(pull)
    assert at.recorded(pull)


def test_a_key_that_github_does_not_list_for_the_account_signs_nothing(at: World) -> None:
    pull = at.open()
    approve(at, pull, MALLORYS)
    at.tend(pull)
    assert not at.recorded(pull)


def test_a_key_that_was_added_after_the_gate_was_asked_signs_nothing(at: World) -> None:
    pull = at.open()
    at.alice.signing_keys[:] = [(ALICES.public.line, at.now() + timedelta(seconds=5))]
    approve(at, pull)
    at.tend(pull)
    assert not at.recorded(pull)


def test_a_signature_of_another_gate_is_none_of_this_one(at: World) -> None:
    first, second = at.open(), at.open("Train/8/deploy/12")
    approve(at, first)
    second.review(at.alice, "APPROVED", first.reviews[-1].body)
    at.tend(second)
    assert not at.recorded(second)


def test_a_signed_approval_that_its_author_took_back_is_not_posted_again(at: World) -> None:
    pull = at.open()
    approve(at, pull)
    text = pull.reviews[-1].body
    at.github.clock.advance(minutes=1)
    pull.comment(at.alice, "/hold I looked at the wrong run")
    at.tend(pull)
    assert not at.recorded(pull)
    at.github.clock.advance(minutes=1)
    pull.review(at.alice, "APPROVED", text)  # by somebody with her account, and not her key
    at.tend(pull)
    assert not at.recorded(pull)
    at.github.clock.advance(minutes=1)
    approve(at, pull)  # she herself
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.votes[0].signed_by == ALICES.public.fingerprint


def test_a_hold_that_a_push_dates_into_the_future_spoils_no_signature(at: World) -> None:
    pull = at.open()
    pull.comment(at.alice, "/hold the numbers are odd")
    at.tend(pull)
    gate, [own] = at.standing(pull).request.gate, at.standing(pull).objections
    text = objections_out(gate.id, (own, replace(own, at=own.at + timedelta(days=900), url=None)))
    at.repo.commit("approvals", {f"{gate.folder}/objections.yaml": text}, "Never", by=at.mallory)
    at.github.clock.advance(minutes=1)
    approve(at, pull)
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.votes[0].signed_by == ALICES.public.fingerprint


def test_a_rejection_needs_no_signature_and_keeps_one(at: World) -> None:
    for key, signs in (("Train/8/deploy/12", True), ("Train/9/deploy/12", False)):
        pull = at.open(key)
        if signs:
            approve(at, pull, verdict=Verdict.REJECT)
        else:
            pull.comment(at.alice, "/reject too low")
        at.tend(pull)
        decision = at.recorded(pull)
        assert decision
        assert (decision.votes[0].signed_by is not None) is signs


def test_without_the_rule_a_signature_that_does_not_hold_is_no_signature(at: World) -> None:
    at.write_policy(POLICY)
    pull = at.open()
    approve(at, pull, MALLORYS)
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert (decision.votes[0].signed_by, decision.votes[0].signature) == (None, None)


def test_a_signature_stands_on_a_line_that_nobody_sees() -> None:
    armored = ALICES.sign(b"x", VOTE_NAMESPACE)
    text = signed("/approve\n", armored)
    assert text.startswith("/approve\n\n<!-- approval-bridge signature ")
    assert len(text.splitlines()) == 3
    found = signature_of(text)
    assert found
    assert verify(b"x", found, [ALICES.public], VOTE_NAMESPACE)
    assert signature_of("/approve\n") is None


def test_an_answer_on_this_machine_is_not_signed() -> None:
    ballot = Ballot(Verdict.APPROVE, sign=by(ALICES))
    venue = ThisMachine(None, None, None, None)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="is decided on this machine: leave out --sign"):
        next(venue.vote(Standing(a_request(), None, "c"), ballot))
    with pytest.raises(Faults, match="can't be signed"):
        vote_statement(a_request(), Verdict.APPROVE, None, 7, None)


def test_whoever_has_no_key_or_no_ssh_keygen_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Faults, match="there is no id_ed25519_sk or id_ed25519 in"):
        ssh_keygen.sign(None, b"x", VOTE_NAMESPACE)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Faults, match="there is no ssh-keygen on the PATH"):
        ssh_keygen.sign(tmp_path / "key", b"x", VOTE_NAMESPACE)


@pytest.mark.ssh_keygen
def test_ssh_keygen_signs_with_the_key_that_is_named(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(private_text())
    key.chmod(0o600)
    armored = ssh_keygen.sign(key, b"x", VOTE_NAMESPACE)
    assert verify(b"x", armored, [ALICES.public], VOTE_NAMESPACE) == ALICES.public
    with pytest.raises(Faults, match="did not sign with"):
        ssh_keygen.sign(tmp_path / "missing", b"x", VOTE_NAMESPACE)
