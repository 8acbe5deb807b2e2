"""What others wrote has bounds, checked before it is read, and one sentence names them."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import yaml_text
from bridge.core.errors import Faults, LedgerCorrupt
from bridge.core.evaluation import Channel, Objection, Verdict
from bridge.core.model import Artifact, folder_of
from bridge.core.records import decision_in, objections_in, request_in, request_out
from bridge.gates.audit import audit
from bridge.ledger import clone as clone_layer
from bridge.ledger import git as git_layer
from bridge.ledger.git_ledger import GitLedger, create
from bridge.policy import policy_file
from bridge.policy.approvers import Memberships
from bridge.policy.objections import raised
from tests.ledgers import NOON, a_request, a_vote, decided, git, opened

READERS = (request_in, decision_in, objections_in)

MB = 1024 * 1024
LARGE = {
    "5 MB of text": ("a: " + "x" * 5 * MB, "has 5,242,883 characters; the most is 2,097,152"),
    "a million values": ("a: [" + "1," * MB + "]", "has 2,097,157 characters"),
    "half a million values": ("a: [" + "1," * (MB // 2) + "]", "has more than 50,000 values"),
    "half a million lists": ("a: [" + "[]," * (MB // 2) + "]", "has more than 50,000 values"),
    "a hundred thousand keys": (
        "".join(f"k{n}: 1\n" for n in range(100_000)),
        "has more than 50,000 values",
    ),
    "deep nesting": ("a: " + "[" * MB, "nested more than 100 deep"),
    "nested mappings": ("a: " + "{b: " * (MB // 4), "nested more than 100 deep"),
    "nested dashes": ("a: " + "- " * (MB // 2), "cannot be read as YAML"),
    "one long key": ("x" * MB + ": 1", "cannot be read as YAML"),
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_large_record_is_refused_in_one_sentence(kind: str) -> None:
    text, why = LARGE[kind]
    with pytest.raises(LedgerCorrupt, match=why) as refused:
        request_in(text)
    assert len(str(refused.value)) < 1_000


def test_a_large_record_is_refused_before_it_fills_the_memory() -> None:
    text, _ = LARGE["half a million values"]
    tracemalloc.start()
    try:
        with pytest.raises(LedgerCorrupt):
            request_in(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * MB


@pytest.mark.parametrize("read", READERS)
def test_every_kind_of_record_has_the_same_bounds(read: Callable[[str], object]) -> None:
    for kind in ("5 MB of text", "half a million values", "deep nesting"):
        text, why = LARGE[kind]
        with pytest.raises(LedgerCorrupt, match=why):
            read(text)


def test_a_request_that_nobody_could_read_back_is_not_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(yaml_text, "MOST_CHARACTERS", 20_000)
    monkeypatch.setattr(yaml_text, "_MOST_EVENTS", 2_000)
    many = tuple(Artifact(f"a{n}", "int", "sha256:1", value="1") for n in range(250))
    for asked, why in (
        (
            a_request(message="x" * 20_000),
            r"its record has 2\d,\d+ characters; .*shorten the message",
        ),
        (a_request(artifacts=many), "has more than 1,000 values"),
    ):
        with pytest.raises(Faults, match=why):
            request_out(asked)


def test_a_message_of_a_megabyte_and_a_thousand_artifacts_are_read_back() -> None:
    many = tuple(Artifact(f"a{n}", "int", "sha256:1", value="1") for n in range(1_000))
    request = a_request(message=f"{'a line of it ' * 1_000}\n" * 80, artifacts=many)
    assert request_in(request_out(request)) == request


def test_a_policy_of_any_size_is_read_or_refused_in_time_that_grows_with_its_length() -> None:
    entry = "  - {{name: g{}, when: {{flow: F{}}}, require: {{users: [ann, bob]}}}}\n"
    text = "gates:\n" + "".join(entry.format(n, n) for n in range(2_500))
    assert len(policy_file.parse(text).entries) == 2_500
    with pytest.raises(Faults, match=r"it has \d+,\d+ characters; the most is 262,144") as refused:
        policy_file.parse(text * 2)
    assert len(refused.value.faults) == 1
    with pytest.raises(Faults, match="nested more than 100 deep"):
        policy_file.parse("gates: " + "[" * 100_000)


def test_a_policy_is_parsed_once_for_all_the_gates_of_a_run() -> None:
    text = "gates: [{name: a, require: {users: ann}}]"
    assert policy_file.parse(text) is policy_file.parse(text)


# -- objections ------------------------------------------------------------------------------------


def test_a_thousand_holds_of_one_person_do_not_fill_the_record_and_the_latest_is_kept() -> None:
    request = a_request()
    said = [
        a_vote(
            request,
            verdict=Verdict.HOLD,
            channel=Channel.COMMENT,
            at=NOON + timedelta(minutes=minute),
            reason="wait " * 10_000,
            url=f"https://github.com/x#{minute}",
        )
        for minute in range(1_000)
    ]
    first = raised(request, said, (), Memberships(())).objections
    assert len(first) <= 21
    assert first[-1].at == said[-1].at
    assert all(len(each.reason) <= 1_000 for each in first)
    later = replace(said[0], at=NOON + timedelta(days=1), url="https://github.com/x#later")
    again = raised(request, [*said, later], first, Memberships(())).objections
    assert set(first) <= set(again)
    assert again[-1].at == later.at
    assert len(again) <= 22
    kept: tuple[Objection, ...] = raised(request, [*said, later], again, Memberships(())).objections
    assert kept == again


# -- git -------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    create(tmp_path / "ledger.git")
    return tmp_path / "ledger.git"


@pytest.fixture
def ledger(repository: Path, tmp_path: Path) -> GitLedger:
    return GitLedger(str(repository), tmp_path / "cache")


def blob(repository: Path, content: str) -> str:
    return git(repository, "hash-object", "-w", "--stdin", stdin=content)


def pushes(repository: Path, gate_id: str, *entries: str) -> None:
    """Somebody puts these tree entries in the place of the gate's request."""
    head = git(repository, "rev-parse", f"gate/{gate_id}")
    tree = git(repository, "mktree", "--missing", stdin="".join(f"{each}\n" for each in entries))
    kind = "040000"
    for name in reversed(folder_of(gate_id).split("/")):
        tree = git(repository, "mktree", stdin=f"{kind} tree {tree}\t{name}\n")
    commit = git(repository, "commit-tree", tree, "-p", head, "-m", "Mine")
    git(repository, "update-ref", f"refs/heads/gate/{gate_id}", commit)


SHA = "1" * 40
NOT_A_REQUEST = {
    "a blob of 9 MB": lambda repository: f"100644 blob {blob(repository, 'x' * 9 * MB)}",
    "a blob of 5 MB": lambda repository: f"100644 blob {blob(repository, 'x' * 5 * MB)}",
    "bytes": lambda repository: f"100644 blob {blob(repository, chr(0) * 99)}",
    "a gitlink": lambda _: f"160000 commit {SHA}",
    "a folder": lambda repository: (
        "040000 tree " + git(repository, "mktree", stdin=f"100644 blob {blob(repository, 'x')}\tx")
    ),
    "a link": lambda repository: f"120000 blob {blob(repository, '/etc/passwd')}",
    "a script": lambda repository: f"100755 blob {blob(repository, '#!/bin/sh')}",
}


@pytest.mark.parametrize("kind", NOT_A_REQUEST)
def test_what_is_no_request_in_git_harms_its_gate_alone(
    ledger: GitLedger, repository: Path, kind: str
) -> None:
    rotten, sound = opened(ledger, "Flow/1/gate/1"), opened(ledger, "Flow/2/gate/2")
    good = git(repository, "rev-parse", f"gate/{rotten.gate.id}")
    pushes(repository, rotten.gate.id, f"{NOT_A_REQUEST[kind](repository)}\trequest.yaml")
    with pytest.raises(LedgerCorrupt) as refused:
        ledger.read(rotten.gate.id)
    assert "\n" not in str(refused.value)
    both = [rotten.gate.id, sound.gate.id]
    assert list(ledger.read_all(both)) == [sound.gate.id]
    listing = ledger.listing()
    assert sound.gate.id in [each.id for each in listing.gates]
    assert {each.id for each in (*listing.gates, *listing.unreadable)} == set(both)
    assert ledger.renew(rotten.gate.id, good).request == rotten


def test_an_object_of_any_size_is_not_read_into_memory(
    ledger: GitLedger, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotten, sound = opened(ledger, "Flow/1/gate/1"), decided(ledger, "Flow/2/gate/2")
    monkeypatch.setattr(git_layer, "MOST_BYTES", 100_000)
    large = blob(repository, "x" * 100_001)
    pushes(repository, rotten.gate.id, f"100644 blob {large}\trequest.yaml")
    with pytest.raises(LedgerCorrupt, match=f"the blob {large} has 100,001 bytes; the most"):
        ledger.read(rotten.gate.id)
    found = ledger.read(sound.request.gate.id)
    assert found
    assert found.decision == sound.decision


def test_a_huge_file_is_given_up_while_it_is_fetched_and_stops_no_other_gate(
    ledger: GitLedger, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotten, sound = opened(ledger, "Flow/1/gate/1"), opened(ledger, "Flow/2/gate/2")
    large = blob(repository, random.Random(1).randbytes(60_000).hex())  # half of it as packed
    pushes(repository, rotten.gate.id, f"100644 blob {large}\trequest.yaml")
    monkeypatch.setattr(clone_layer, "MOST_BYTES", 10_000)
    monkeypatch.setattr(clone_layer, "_MORE_FOR_EACH", 5_000)
    fresh = GitLedger(str(repository), tmp_path / "fresh")
    assert list(fresh.read_all([rotten.gate.id, sound.gate.id])) == [sound.gate.id]
    with pytest.raises(LedgerCorrupt, match=f"{large} of .* take more than 15,000 bytes"):
        fresh.read(rotten.gate.id)
    packs = list((tmp_path / "fresh").glob("*/clone.git/objects/pack/*"))
    assert packs
    assert not [each for each in packs if each.name.startswith("tmp_")]
    assert sum(each.stat().st_size for each in packs) < 30_000


def test_an_audit_reports_a_rotten_gate_and_checks_the_others(
    ledger: GitLedger, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotten, sound = decided(ledger, "Flow/1/gate/1"), decided(ledger, "Flow/2/gate/2")
    folder = rotten.request.gate.folder
    index = {"GIT_INDEX_FILE": str(repository / "an index")}
    git(repository, "read-tree", "approvals", env=index)
    large = blob(repository, "x" * 100_001)
    new = f"100644,{large},{folder}/decision.yaml"
    git(repository, "update-index", "--cacheinfo", new, env=index)
    tree = git(repository, "write-tree", env=index)
    commit = git(repository, "commit-tree", tree, "-p", "approvals", "-m", "Mine")
    git(repository, "update-ref", "refs/heads/approvals", commit)
    decided(ledger, "Flow/3/gate/3")
    monkeypatch.setattr(git_layer, "MOST_BYTES", 100_000)
    found = audit(ledger)
    assert found.decisions == 4
    assert found.faults
    assert all(folder in each for each in found.faults)
    assert ledger.read(sound.request.gate.id)


@given(st.text(alphabet="[]{}-:?,&*!a1 \n\"'|", max_size=60))
def test_a_text_that_is_taken_without_a_look_has_no_trap(text: str) -> None:
    """What is skipped for small texts would have been refused for nothing."""
    if yaml_text._has_no_room_for_traps(text):
        deepest = depth = 0
        with suppress(yaml.YAMLError):  # up to a fault, which the loader reports as well
            for event in yaml.parse(text):
                depth += isinstance(event, yaml.CollectionStartEvent)
                depth -= isinstance(event, yaml.CollectionEndEvent)
                deepest = max(deepest, depth)
                assert not isinstance(event, yaml.AliasEvent)
                assert getattr(event, "tag", None) is None
        assert deepest <= sum(text.count(each) for each in "[{-:?")


@pytest.mark.parametrize("text", ["a: *b", "a: !!bool maybe", "[" * 101, "- " * 101 + "x"])
def test_a_small_text_with_a_trap_is_refused(text: str) -> None:
    with pytest.raises(LedgerCorrupt, match="YAML"):
        yaml_text.load(text, "it")
