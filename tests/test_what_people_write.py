"""What people write on a page is read as they mean it: on pull requests and issues alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.core import input_fields
from bridge.core.digest import digest_of
from bridge.core.evaluation import Outcome
from bridge.core.model import Decision, Subject
from bridge.gates.open_page import ask
from bridge.gates.process_page import tend
from bridge.github.client import GitHub
from bridge.pages import plain_words
from bridge.pages.marker import short
from tests.forge import POLICY, World, world

INPUT = input_fields.schema_of({"target": "str = staging", "replicas": "int = 2"})
TWO = POLICY.replace("[alice, bob]", "[alice, bob], count: 2")


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


class Gate:
    """One gate, shown as a pull request or an issue. People review it, or comment."""

    def __init__(self, at: World, kind: str, policy: str = POLICY, **changes: Any) -> None:
        self.at = at
        self.kind = kind
        at.write_policy(policy + ("    via: issue\n" if kind == "issue" else ""))
        standing, shown = ask(at.desk(at.opener), at.request(**changes).draft)
        assert shown
        self.id = standing.request.gate.id
        self.number = shown.number
        self.approve = "/approve"
        if kind == "issue":
            self.approve += f" {short(digest_of(standing.request))}"
        self.page = at.repo.issues[shown.number]

    def say(self, by: Any, text: str, button: str = "COMMENTED") -> Any:
        """A later word than the last one, in the way of this kind of page."""
        self.at.github.clock.advance(minutes=1)
        if self.kind == "review":
            return self.page.review(by, button, text)
        return self.page.comment(by, text)

    def approved_by(self, by: Any) -> None:
        self.at.github.clock.advance(minutes=1)
        if self.kind == "issue":
            self.page.comment(by, self.approve)
        else:
            self.page.review(by, "APPROVED")

    def decided(self) -> Decision | None:
        tend(self.at.desk(), self.number)
        found = self.at.desk().ledger.read(self.id)
        assert found
        return found.decision

    @property
    def status(self) -> str:
        return self.at.status(self.page)


@pytest.fixture(params=["review", "comment", "issue"])
def gate(request: pytest.FixtureRequest, at: World) -> Callable[..., Gate]:
    def made(**changes: Any) -> Gate:
        return Gate(at, request.param, **changes)

    return made


def reactions(said: Any) -> set[str]:
    return {each.content for each in said.reactions}


# -- objections ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["/hold: wait for QA", " /hold", "- **/hold**", "/hold\nwait"])
def test_a_hold_in_another_dress_holds(gate: Callable[..., Gate], at: World, text: str) -> None:
    here = gate()
    here.say(at.alice, text)
    here.approved_by(at.bob)
    assert here.decided() is None
    assert "held by alice" in here.status


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/reject: too low", "too low"),
        ("/reject.", ""),
        ("/reject\n\nthe loss explodes", "the loss explodes"),
    ],
)
def test_a_rejection_in_another_dress_rejects_and_its_reason_is_kept(
    gate: Callable[..., Gate], at: World, text: str, reason: str
) -> None:
    here = gate()
    here.say(at.alice, text)
    here.approved_by(at.bob)
    decision = here.decided()
    assert decision
    assert decision.outcome is Outcome.REJECTED
    assert [vote.reason for vote in decision.votes if vote.actor.login == "alice"] == [reason]


def test_an_objection_beside_an_approval_in_one_text_counts(
    gate: Callable[..., Gate], at: World
) -> None:
    here = gate()
    here.say(at.alice, f"{here.approve}\n\n/hold until Monday", button="APPROVED")
    here.approved_by(at.bob)
    assert here.decided() is None
    assert "held by alice: until Monday" in here.status


@pytest.mark.parametrize("text", ["please /hold this", "> /hold", "`/hold`"])
def test_a_command_in_a_quote_in_code_or_inside_a_line_is_answered_and_counts_for_nothing(
    gate: Callable[..., Gate], at: World, text: str
) -> None:
    here = gate()
    said = here.say(at.alice, text)
    assert here.decided() is None
    assert "`/hold` counts for nothing in" in here.status
    assert "confused" in reactions(said)
    here.approved_by(at.bob)
    assert here.decided()


# -- approvals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "remark"),
    [
        (".", ""),
        (", thanks", "thanks"),
        (" LGTM", "LGTM"),
        (" looks good", "looks good"),
        (" :+1:", ":+1:"),
    ],
)
def test_words_behind_an_approval_are_kept_as_its_comment(
    gate: Callable[..., Gate], at: World, words: str, remark: str
) -> None:
    here = gate()
    here.say(at.alice, here.approve + words)
    decision = here.decided()
    assert decision
    (vote,) = decision.votes
    assert (decision.outcome, vote.reason) == (Outcome.APPROVED, remark)


def test_words_in_the_place_of_input_are_answered_with_the_form_to_write(
    gate: Callable[..., Gate], at: World
) -> None:
    here = gate(schema=INPUT)
    said = here.say(at.alice, f"{here.approve} looks good")
    assert here.decided() is None
    assert f"is no `key=value`, and this gate asks for input: write `{here.approve} target=…`" in (
        here.status
    )
    assert "confused" in reactions(said)


@pytest.mark.parametrize("given", ["staging", "target: staging"])
def test_an_input_without_its_form_is_answered_with_it(
    gate: Callable[..., Gate], at: World, given: str
) -> None:
    here = gate(schema=INPUT)
    here.say(at.alice, f"{here.approve} {given}")
    assert here.decided() is None
    assert "- alice [wrote this](" in here.status
    assert "an input as `name=value`" in here.status


# -- input -----------------------------------------------------------------------------------------


def test_a_default_never_overwrites_a_value_that_somebody_gave(
    gate: Callable[..., Gate], at: World
) -> None:
    here = gate(policy=TWO, schema=INPUT)
    here.say(at.alice, f"{here.approve} target=production replicas=5")
    here.approved_by(at.bob)
    decision = here.decided()
    assert decision
    assert decision.inputs == {"target": "production", "replicas": 5}


def test_a_later_approval_with_a_condition_takes_the_same_persons_earlier_one_back(
    gate: Callable[..., Gate], at: World
) -> None:
    here = gate(policy=TWO)
    here.say(at.alice, here.approve)
    here.say(at.alice, f"{here.approve} if the tests pass")
    here.approved_by(at.bob)
    assert here.decided() is None
    assert "its author has written another approval since" in here.status
    here.say(at.alice, here.approve)
    assert here.decided()


def test_a_locked_page_says_so_until_it_is_unlocked(gate: Callable[..., Gate], at: World) -> None:
    here = gate()
    here.page.lock(at.mallory)
    assert here.decided() is None
    assert "is locked:** only people with write access can answer" in here.status
    here.page.unlock(at.mallory)
    here.decided()
    assert "is locked" not in here.status


def test_approvers_whose_inputs_do_not_fit_together_read_what_to_do(
    gate: Callable[..., Gate], at: World
) -> None:
    either = {"type": "object", "properties": {"a": {}, "b": {}}, "not": {"required": ["a", "b"]}}
    here = gate(policy=TWO, schema=either)
    here.say(at.alice, f"{here.approve} a=1")
    here.say(at.bob, f"{here.approve} b=1")
    assert here.decided() is None
    assert "lice and bob must agree on the input" in here.status
    assert "set an approval aside with `/unhold @login reason`" in here.status


def test_approvers_who_disagree_are_told_to_agree_and_nothing_is_decided(
    gate: Callable[..., Gate], at: World
) -> None:
    here = gate(policy=TWO, schema=INPUT)
    here.say(at.alice, f"{here.approve} target=production")
    here.say(at.bob, f"{here.approve} target=staging")
    assert here.decided() is None
    assert "lice and bob must agree on target" in here.status
    assert "set an approval aside with `/unhold @login reason`" in here.status
    here.say(at.bob, f"{here.approve} target=production")
    decision = here.decided()
    assert decision
    assert decision.inputs["target"] == "production"


@pytest.mark.parametrize(
    ("behind", "target"),
    [(r" target=C:\m\v1", r"C:\m\v1"), (" target=“prod”", "prod"), (" target='a b'", "a b")],
)
def test_input_arrives_as_it_was_written(
    gate: Callable[..., Gate], at: World, behind: str, target: str
) -> None:
    here = gate(schema=INPUT)
    here.say(at.alice, here.approve + behind)
    decision = here.decided()
    assert decision
    assert decision.inputs["target"] == target


@pytest.mark.parametrize(
    ("behind", "why"),
    [
        (
            "\nfor the release\n```yaml\ntarget: prod\n```",
            "the block was not read: put it directly",
        ),
        ("\n```toml\ntarget = 1\n```", "marked `toml`, and was not read: mark it `yaml` or `json`"),
        ("\n```yaml\nreplicas: 010\n```", "replicas: 010 is ambiguous"),
        ("\n```yaml\nreplicas: 1:30\n```", "replicas: 1:30 is ambiguous"),
        ("\n```yaml\ntarget: no\n```", "target: no is ambiguous"),
    ],
)
def test_input_that_would_be_changed_or_dropped_is_refused(
    gate: Callable[..., Gate], at: World, behind: str, why: str
) -> None:
    here = gate(schema=INPUT)
    here.say(at.alice, here.approve + behind)
    assert here.decided() is None
    assert why in here.status


def test_input_in_the_text_of_an_approving_review_without_the_command_is_refused(
    at: World,
) -> None:
    here = Gate(at, "review", schema=INPUT)
    here.say(at.alice, "```yaml\ntarget: prod\n```", button="APPROVED")
    assert here.decided() is None
    assert "the block was not read" in here.status


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["comment", "issue"])
def test_a_gate_is_decided_where_its_repository_is_written_in_other_letters(
    at: World, kind: str
) -> None:
    opener = at.desk(at.opener)
    shouting = GitHub(replace(at.settings(at.opener), repository="ACME/Models"), at.waits.append)
    at.desk = lambda app=None: (  # type: ignore[method-assign]  # as whoever opens, then decides
        replace(opener, forge=shouting) if app is at.opener else World.desk(at, app)
    )
    here = Gate(at, kind)
    here.say(at.alice, here.approve)
    assert here.decided()


def test_an_environment_in_other_letters_is_not_approved_by_condition(at: World) -> None:
    from bridge.core.model import Declared

    declared = Declared(auto_approve_if="environment != production")
    policy = POLICY + "    auto_approve_if: environment != production\n    facts: claimed\n"
    subject = Subject("Train", "deploy", "Production\n")
    here = Gate(at, "comment", policy, declared=declared, subject=subject)
    assert here.decided() is None


# -- plain words -----------------------------------------------------------------------------------

YES = """
LGTM|lgtm 🚀|Approved|**Approved**, thanks|✅ approved|approve target=staging|looks good to me
Looks good, but see line 3|ok to deploy|ship it!|go ahead|👍|:+1:
"""
NO = """
reject, too low|Rejected.|hold on, QA is not done|stop|Wait for QA.|👎|not approved|denied
Don't deploy this|do not merge
"""
TALK = """
I would approve this|> LGTM|Approved?|approver: alice|stopgap|`LGTM`|No.|thanks|👍 great plot
hold-out accuracy is 0.9|hold on, is that the right model?|/status|LGTM, so /approve|```LGTM```
"""


@pytest.mark.parametrize(("texts", "objects"), [(YES, False), (NO, True), (TALK, None)])
def test_plain_words_are_known_by_how_a_text_begins(texts: str, objects: bool | None) -> None:
    for line in texts.strip().splitlines():
        for text in line.split("|"):
            for said in (text, f"\n{text}\n\nThanks, Ann" if text not in "👍:+1:👎" else text):
                assert plain_words.objects(said) is objects, said
    assert plain_words.objects("What is the threshold?\nApproved ones have 0.9") is None


def test_a_plain_yes_of_an_approver_is_answered_and_approves_nothing(
    gate: Callable[..., Gate], at: World
) -> None:
    here = gate()
    said = here.say(at.alice, "LGTM")
    assert here.decided() is None
    says = f"which approves nothing: to approve, write `{here.approve}`"
    assert says in here.status
    assert reactions(said) == {"confused"}
    here.say(at.alice, here.approve)
    assert here.decided()
    assert says not in here.status


def test_a_plain_no_of_an_approver_is_answered_and_holds_nothing(
    gate: Callable[..., Gate], at: World
) -> None:
    here = gate(policy=TWO)
    said = here.say(at.alice, "reject, too low")
    here.approved_by(at.bob)
    assert here.decided() is None
    says = "which holds nothing: to object, write `/hold` or `/reject` and the reason"
    assert says in here.status
    assert reactions(said) == {"confused"}
    here.say(at.alice, here.approve)
    assert here.decided()


def test_plain_words_are_answered_only_if_their_authors_command_would_count(
    gate: Callable[..., Gate], at: World
) -> None:
    here = gate(policy=POLICY.replace("bar: {", "bar: {users: [bob], "))
    said = [here.say(at.mallory, "LGTM"), here.say(at.bob, "LGTM")]
    assert here.decided() is None
    said.append(here.say(at.mallory, "stop"))
    assert here.decided() is None
    assert "wrote this" not in here.status
    assert not any(map(reactions, said))
    here.say(at.bob, "stop")  # a bar keeps nobody from objecting
    assert here.decided() is None
    assert here.status.count("wrote this") == 1


def test_whose_command_counts_may_say_the_same_in_plain_words(
    gate: Callable[..., Gate], at: World
) -> None:
    here = gate(policy=TWO)
    here.approved_by(at.alice)
    here.say(at.alice, "Approved, well done")
    here.say(at.bob, "/hold")
    here.say(at.bob, "Wait for QA")
    assert here.decided() is None
    assert "wrote this" not in here.status
    here.say(at.alice, "hold on, the digest is odd")
    assert here.decided() is None
    assert "which holds nothing" in here.status


def test_a_member_of_a_team_who_writes_plain_words_is_answered(at: World) -> None:
    at.github.organisation("acme").team("ml", at.alice)
    here = Gate(at, "comment", POLICY.replace("users: [alice, bob]", "teams: acme/ml"))
    here.say(at.alice, "LGTM")
    here.say(at.bob, "LGTM")
    assert here.decided() is None
    assert here.status.count("which approves nothing") == 1
    assert "alice [wrote this]" in here.status
