"""Which keys make a record a decision, as a reader writes them down."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.decision_keys import DecisionKey, elsewhere, parse_keys, unsigned_until
from bridge.core.errors import Faults
from bridge.core.model import HERE, on_github
from bridge.core.sshsig import KeyType, PublicKey, parse_key
from tests.ledgers import a_request
from tests.ssh_keys import point, private_text, security_key

LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea decider"
KEY = parse_key(LINE)
OTHER = PublicKey(KeyType.ED25519, point(bytes(32)), comment="the one before")
TOUCH = security_key(comment="ann's token")
COMMIT = "0123456789" * 4


def faults(text: str) -> list[str]:
    with pytest.raises(Faults) as refused:
        parse_keys(text, "HITL_KEYS")
    return list(refused.value.faults)


def test_a_list_of_keys_has_comments_and_empty_lines() -> None:
    text = f"# the decider\r\n{LINE}\r\n\r\n   # ann\n{TOUCH.line}\n{LINE} again\n"
    assert parse_keys(text, "HITL_KEYS") == (DecisionKey(KEY), DecisionKey(TOUCH))


def test_a_retired_key_says_up_to_which_commit_it_holds() -> None:
    found = parse_keys(f"{LINE}\n  until={COMMIT} {OTHER.line}\n", "HITL_KEYS")
    assert found == (DecisionKey(KEY), DecisionKey(OTHER, (COMMIT,)))
    assert parse_keys("\n".join(each.line for each in found), "HITL_KEYS") == found


def test_a_ledger_of_several_branches_has_a_commit_for_each() -> None:
    two, three = "2" * 40, "3" * 40
    text = f"until={COMMIT},{two},unsigned-until={three},{two} {OTHER.line}\n{LINE}"
    found = parse_keys(text, "HITL_KEYS")
    assert found == (DecisionKey(OTHER, (COMMIT, two), (three, two)), DecisionKey(KEY))
    assert parse_keys("\n".join(each.line for each in found), "HITL_KEYS") == found


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (f"until=abc1234 {OTHER.line}", "takes the full id of a commit"),
        (f"until= {OTHER.line}", "takes the full id of a commit"),
        (f"until={COMMIT.upper()}A {OTHER.line}", "takes the full id of a commit"),
        (f"until={COMMIT}", "the line must begin with ssh-ed25519"),
        (f"unti1={COMMIT} {OTHER.line}", "the line must begin with ssh-ed25519"),
        (f"until={COMMIT} until={COMMIT} {OTHER.line}", "the line must begin with ssh-ed25519"),
        (f"until={COMMIT} {KEY.line}", "the key is listed before with other options"),
        (f"unsigned-until={COMMIT} {KEY.line}", "the key is listed before with other options"),
        (f"unsigned-until=abc {OTHER.line}", "`unsigned-until=` takes the full id of a commit"),
        (f"until={COMMIT},from={COMMIT} {OTHER.line}", "the options are `until=` and"),
        (f"until={COMMIT},until={'2' * 40} {OTHER.line}", "the options are `until=` and"),
        (f"until={COMMIT},{OTHER.line}", "takes the full id of a commit"),
        (f"until={COMMIT},, {OTHER.line}", "takes the full id of a commit"),
        (f"until={COMMIT},abc {OTHER.line}", "`until=` takes the full id of a commit"),
        (f"unsigned={COMMIT} {OTHER.line}", "the line must begin with ssh-ed25519"),
    ],
)
def test_an_option_that_is_not_understood_is_a_fault_and_no_comment(line: str, fault: str) -> None:
    [said] = faults(f"{LINE}\n{line}")
    assert said.startswith("line 2: ")
    assert fault in said


def test_a_ledger_older_than_its_keys_says_up_to_which_commit_nothing_was_signed() -> None:
    text = f"unsigned-until={'2' * 40},until={COMMIT} {OTHER.line}\n{LINE}"
    found = parse_keys(text, "HITL_KEYS")
    assert found == (DecisionKey(OTHER, (COMMIT,), ("2" * 40,)), DecisionKey(KEY))
    assert parse_keys("\n".join(each.line for each in found), "HITL_KEYS") == found
    assert (unsigned_until(found), unsigned_until(found[1:])) == (("2" * 40,), ())
    two = f"unsigned-until={'2' * 40} {LINE}\nunsigned-until={COMMIT} {OTHER.line}"
    assert faults(two) == ["`unsigned-until` differs between keys; a ledger has one first key"]


def test_every_fault_of_a_list_is_reported_at_once() -> None:
    found = faults(f"{LINE}\nssh-rsa AAAA ann\nssh-ed25519 AAAA\n\nnonsense\n")
    assert [each.split(":")[0] for each in found] == ["line 2", "line 3", "line 5"]
    assert found[0].startswith("line 2: the line must begin with ssh-ed25519")


@pytest.mark.parametrize("text", ["", "\n\n", "# nobody yet\n", "   "])
def test_a_list_without_a_key_is_a_fault_and_no_reason_to_check_nothing(text: str) -> None:
    assert faults(text) == ["has no key; add one, as in `ssh-ed25519 AAAA… comment`"]


def test_a_list_that_is_too_long_is_refused() -> None:
    assert faults("#" * 65_537) == ["has 65,537 characters; the most is 65,536"]


def test_a_private_key_is_refused_without_repeating_it() -> None:
    [said] = faults(f"{LINE}\n{private_text()}")
    assert said.startswith("this is a private key; give the public one")


@given(text=st.text() | st.text(alphabet="until= ssh-ed25519AAAC3\n#", max_size=200))
def test_no_list_takes_the_reader_down(text: str) -> None:
    with suppress(Faults):
        assert parse_keys(text, "HITL_KEYS")


def test_an_argo_workflow_takes_nothing_in_a_keys_comment_for_a_parameter() -> None:
    [key] = parse_keys(f"{LINE} {{{{workflow.name}}}}", "HITL_KEYS")
    assert key.line == f"{LINE} workflow.name"


# -- whose ledger ----------------------------------------------------------------------------------

MODELS = on_github("acme/models")


@pytest.mark.parametrize(
    ("ledger", "its_own"),
    [
        ("https://github.com/acme/models.git", True),
        ("https://github.com/ACME/Models", True),
        ("https://ann@github.com/acme/models/", True),
        ("git@github.com:acme/models.git", True),
        ("ssh://git@ssh.github.com:443/acme/models.git", True),
        ("/srv/mirrors/models.git", True),
        ("file:///srv/mirrors/models.git", True),
        ("https://github.com/acme/sandbox.git", False),
        ("https://github.acme.com/acme/models.git", False),
        ("https://github.com:8443/acme/models.git", False),
        ("git@github.com:acme/sandbox.git", False),
        ("https://github.com/models.git", False),
    ],
)
def test_a_decision_counts_in_the_ledger_of_its_own_repository(ledger: str, its_own: bool) -> None:
    assert (elsewhere(a_request(venue=MODELS), ledger) is None) is its_own


def test_what_is_decided_on_a_machine_names_no_repository() -> None:
    assert elsewhere(a_request(venue=HERE), "https://github.com/acme/models.git") is None
