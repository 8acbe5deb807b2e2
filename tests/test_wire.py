"""The connection to a git server: what a server may answer, and where it is not spoken."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.ledger.clone import GitClone
from bridge.ledger.git import QUIET, GitFailed, TooLarge, environment
from bridge.ledger.git_ledger import create
from bridge.ledger.remote import Remote
from bridge.ledger.wire import Wire, connect, transport
from tests.githttp import serving
from tests.ledgers import git, ledger_of

SHA = "1" * 40


def packet(content: bytes) -> bytes:
    return b"%04x%s" % (len(content) + 4, content)


#: Always ready to be read.
ENDED = os.open(os.devnull, os.O_RDONLY)


class Output(io.BytesIO):
    """What a process has said that is over."""

    def fileno(self) -> int:
        return ENDED


def wire_that_hears(answer: bytes, said: bytes = b"") -> Wire:
    """A connection on which the server, or git's transport, says just this."""
    proc = SimpleNamespace(pid=2**31 - 1, poll=lambda: 0, wait=lambda timeout=0: 0, returncode=0)
    streams = {"stdin": io.BytesIO(), "stdout": Output(answer), "stderr": io.BytesIO(said)}
    return Wire(SimpleNamespace(proc=proc, **streams), "git upload-pack", stateless=False)


# -- what a server may answer ---------------------------------------------------------------------


def test_the_server_says_whether_it_filters() -> None:
    for features, filters in ((b"fetch=shallow filter\n", True), (b"fetch=shallow\n", False)):
        wire = wire_that_hears(packet(b"version 2\n") + packet(features) + b"0000")
        assert wire.greet()
        assert wire.takes_filters is filters


def test_another_version_and_another_hash_are_left_to_git() -> None:
    assert not wire_that_hears(packet(b"version 1\n")).greet()
    hashed = packet(b"version 2\n") + packet(b"object-format=sha256\n") + b"0000"
    assert not wire_that_hears(hashed).greet()


def test_only_the_branches_that_were_asked_for_are_taken() -> None:
    names = ("refs/heads/approvals", "refs/heads/approvals-2027", "refs/heads/gate/1", "refs/x")
    lines = [packet(f"{SHA} {name} peeled:{SHA}\n".encode()) for name in names]
    wire = wire_that_hears(b"".join(lines) + b"0000")
    found = wire.refs(["refs/heads/approvals*", "refs/heads/gate/1"])
    assert found == dict.fromkeys(names[:3], SHA)


@pytest.mark.parametrize("sha", ["--output=x", "1" * 39, "", "unborn"])
def test_what_names_no_commit_is_not_given_to_git(sha: str) -> None:
    with pytest.raises(GitFailed, match="names a commit"):
        wire_that_hears(packet(f"{sha} refs/heads/approvals\n".encode()) + b"0000").refs([])


def test_what_git_or_the_server_says_is_the_fault() -> None:
    with pytest.raises(GitFailed, match="Authentication failed"):
        wire_that_hears(b"", b"fatal: Authentication failed for 'x'\n").refs([])
    with pytest.raises(GitFailed, match="not our ref"):
        wire_that_hears(packet(b"ERR upload-pack: not our ref 1\n")).refs([])
    # git's transport ends the answer that a server broke off.
    with pytest.raises(GitFailed, match="the remote end hung up"):
        taken(wire_that_hears(b"0000", b"fatal: the remote end hung up unexpectedly\n"))
    with pytest.raises(GitFailed, match="out of memory"):
        fetched(packet(b"packfile\n") + packet(b"\3out of memory\n"))


def test_a_pack_that_is_larger_than_asked_for_is_given_up() -> None:
    answer = packet(b"packfile\n") + packet(b"\1PACK") + packet(b"\2so far\n") + packet(b"\1x" * 9)
    assert fetched(answer + b"0000") == b"PACK" + b"x\1" * 8 + b"x"
    with pytest.raises(TooLarge):
        fetched(answer + b"0000", most=8)


@given(st.binary(max_size=40))
@settings(max_examples=50)
def test_no_answer_is_another_fault_than_gits(noise: bytes) -> None:
    for beginning in (b"", packet(b"packfile\n"), packet(f"{SHA} refs/heads/a\n".encode())):
        for ask in (Wire.greet, lambda wire: wire.refs([]), taken):
            wire = wire_that_hears(beginning + noise)
            with suppress(GitFailed):
                ask(wire)
            wire.close()


def test_a_close_that_an_alarm_ended_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(tmp_path / "ledger.git")
    command = transport(str(tmp_path / "ledger.git"), {})
    assert command
    wire = connect(command, {})
    assert wire
    process = wire._process.proc
    with monkeypatch.context() as patched:
        patched.setattr(process, "wait", rings)
        with pytest.raises(InterruptedError):
            wire.close()
    wire.close()
    assert process.returncode is not None


def rings(timeout: float) -> None:
    raise InterruptedError


def fetched(answer: bytes, most: int = 99) -> bytes:
    return taken(wire_that_hears(answer), most)


def taken(wire: Wire, most: int = 99) -> bytes:
    into = io.BytesIO()
    wire.fetch([SHA], depth=1, but="tree:0", into=into, most=most)
    return into.getvalue()


# -- where it is not spoken -----------------------------------------------------------------------


def test_an_address_that_a_person_leads_elsewhere_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ledger_of(tmp_path / "ledger.git", 0)
    with serving(tmp_path) as server:
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{server.url}/.insteadOf")
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://git.example/")
        clone = GitClone(Remote("https://git.example/ledger.git"), tmp_path / "cache")
        head = git(path, "rev-parse", "approvals")
        assert clone.remote_refs() == {"refs/heads/approvals": head}
        assert len(server.requests) == 2


@pytest.mark.parametrize("address", ["{here}", "https://git.example/a.git", "git@git.example:a"])
def test_what_a_person_forbids_and_what_is_spoken_over_ssh_is_left_to_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "ssh")
    given = environment(tmp_path, {**QUIET, "core.askPass": os.devnull})
    assert transport(address.format(here=tmp_path), given) is None
