"""A gate on GitHub from a shell: seen as its page has it, and answered as the person one is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cli.main import main
from bridge.core.evaluation import Decider, Outcome
from bridge.gates.open_page import ask
from bridge.pages import answer_text, comment_commands
from tests.forge import POLICY, World, world
from tests.github.accounts import Account
from tests.github.pulls import PullRequest

INPUT = {
    "type": "object",
    "properties": {"target": {"type": "string"}, "share": {"type": "number"}},
    "required": ["target"],
}
Shell = Callable[..., tuple[int, str]]


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def shell(at: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    def run(who: Account, *words: str) -> tuple[int, str]:
        token = at.github.token(who)
        for name, value in at.github.environment(at.repo, token).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HITL_LEDGER", at.repo.clone_url_for(token))
        monkeypatch.setenv("HITL_CACHE", str(at.folder / f"cache-of-{who.login}"))
        code = main(words)
        said = capsys.readouterr()
        assert str(token) not in said.out + said.err
        return code, said.out + said.err

    return run


def gate(pull: PullRequest) -> str:
    return pull.head_ref.removeprefix("gate/")


def test_an_approval_from_a_shell_is_the_persons_own_review_and_says_where(
    at: World, shell: Shell
) -> None:
    pull = at.open(schema=INPUT)
    before = at.repo.branch("approvals")
    code, said = shell(at.alice, "approve", gate(pull), "-i", "target=prod", "--reason", "/fine")
    assert code == 0
    (review,) = pull.reviews
    assert (review.author, review.state, review.commit) == (at.alice, "APPROVED", pull.head_sha)
    assert f"#pullrequestreview-{review.id}" in said
    assert at.repo.branch("approvals") == before, "a shell writes no record"
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.inputs == {"target": "prod"}
    assert decision.votes[0].actor.id == at.alice.id


def test_a_rejection_from_a_shell_is_the_persons_own_comment(at: World, shell: Shell) -> None:
    pull = at.open()
    code, said = shell(at.bob, "reject", gate(pull), "--reason", "no\n/approve")
    assert code == 0
    assert f"#issuecomment-{pull.comments[-1].id}" in said
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert (decision.outcome, decision.votes[0].reason) == (Outcome.REJECTED, "no /approve")


def test_a_withdrawal_from_a_shell_is_the_persons_own_comment_and_ends_the_gate(
    at: World, shell: Shell
) -> None:
    pull = at.open()
    code, said = shell(at.bob, "withdraw", gate(pull), "--reason", "my approval was a mistake")
    assert (code, pull.comments[-1].author == at.bob) == (4, False)
    assert "ends this request for everybody" in said
    code, said = shell(at.bob, "withdraw", gate(pull), "--reason", "the run was killed\n/approve")
    assert code == 0
    assert f"#issuecomment-{pull.comments[-1].id}" in said
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert (decision.outcome, decision.by) == (Outcome.WITHDRAWN, Decider.PERSON)
    assert decision.votes[0].reason == "the run was killed /approve"


def test_an_approval_of_an_issue_from_a_shell_carries_the_digest(at: World, shell: Shell) -> None:
    at.write_policy(POLICY + "    via: issue\n")

    standing, page = ask(at.desk(at.opener), at.request().draft)
    assert page
    code, said = shell(at.alice, "approve", standing.request.gate.id)
    assert code == 0, said
    at.tend(at.repo.issue(page.number))
    after = at.desk().ledger.read(standing.request.gate.id)
    assert after
    assert after.decision


def test_input_that_does_not_fit_is_not_posted(at: World, shell: Shell) -> None:
    pull = at.open(schema=INPUT)
    code, said = shell(at.alice, "approve", gate(pull), "-i", "share=many")
    assert code == 2
    assert "target" in said
    assert "share" in said
    assert not pull.reviews


def test_whoever_may_not_decide_may_post_and_is_told_there_that_it_does_not_count(
    at: World, shell: Shell
) -> None:
    pull = at.open()
    at.repo.grant(at.mallory, "read")
    assert shell(at.mallory, "approve", gate(pull))[0] == 0
    at.tend(pull)
    assert at.recorded(pull) is None
    assert "mallory is not among those who may decide" in at.status(pull)


def test_explain_and_show_read_the_page_and_tell_who_counts_and_who_does_not(
    at: World, shell: Shell
) -> None:
    at.write_policy(POLICY.replace("{users", "{count: 2, users"))
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    pull.comment(at.mallory, "/approve")
    before = len(pull.comments)
    for verb in ("explain", "show"):
        code, said = shell(at.alice, verb, gate(pull))
        assert code == 0
        assert "1 of 2 approvals from alice or bob (alice)" in said
        assert "counts: alice, approve" in said
        assert "does not count: mallory, approve" in said
        assert pull.url in said
    assert len(pull.comments) == before, "to look writes nothing"


def test_explain_tells_a_recorded_decision_by_what_it_was_judged_by(
    at: World, shell: Shell
) -> None:
    team = at.github.organisation("acme").team("ml", at.bob)
    at.repo.grant(team, "write")
    at.write_policy(POLICY.replace("users: [alice, bob]", "teams: [acme/ml]"))
    pull = at.open()
    pull.review(at.bob, "APPROVED")
    at.tend(pull)
    code, said = shell(at.alice, "explain", gate(pull))
    assert code == 0
    assert said.startswith("approved: approved by bob")


def test_without_a_token_of_ones_own_nothing_is_posted_with_the_bridges(
    at: World, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull = at.open()
    shell(at.alice, "list")
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HITL_TOKEN", at.tokens[at.decider])
    assert main(["approve", gate(pull)]) == 4
    assert not pull.reviews


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.dictionaries(_TEXT, _TEXT | st.integers(-9, 9) | st.booleans(), max_size=3), _TEXT)
def test_what_is_written_reads_as_what_was_meant(inputs: dict[str, object], reason: str) -> None:
    schema = {"type": "object"}
    digest = "0123456789abcdef" * 2
    command = comment_commands.read(answer_text.approval(inputs, digest, reason))
    assert isinstance(command, comment_commands.Command)
    assert command.digest == digest
    assert comment_commands.given(command, schema) == inputs
    rejected = comment_commands.read(answer_text.rejection(reason))
    assert isinstance(rejected, comment_commands.Command)
    assert rejected.word is comment_commands.Word.REJECT
