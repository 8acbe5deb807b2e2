"""What git is not given, and how long it may take."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from bridge.cli.main import main
from bridge.core.errors import Faults, LedgerUnavailable
from bridge.core.settings import from_environment
from bridge.ledger import clone_objects, git
from bridge.ledger.clone import GitClone
from bridge.ledger.git_faults import meaning
from bridge.ledger.git_ledger import GitLedger
from bridge.ledger.remote import Remote

# -- addresses -----------------------------------------------------------------------------------

TRICKS = {
    "--upload-pack=touch {mark};": "starts with `-`",
    "-c core.sshCommand=touch": "starts with `-`",
    "ext::sh -c touch% {mark}": "starts with ext::",
    "fd::17": "starts with fd::",
    "ftp://git.example/ledger.git": "starts with ftp://",
}


@pytest.mark.parametrize("address", sorted(TRICKS))
def test_an_address_that_could_run_a_program_is_refused_and_nothing_runs(
    tmp_path: Path,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trick = address.format(mark=tmp_path / "mark")
    with pytest.raises(Faults, match=f"HITL_LEDGER {TRICKS[address]}"):
        from_environment({"HITL_LEDGER": trick})
    with pytest.raises(LedgerUnavailable, match=f"address {TRICKS[address]}"):
        GitClone(Remote(trick), tmp_path / "cache")
    monkeypatch.setenv("HITL_LEDGER", trick)
    assert main(["list"]) == 2
    assert TRICKS[address] in capsys.readouterr().err
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("https://git.example/led\nger.git", "contains a line break"),
        ("/srv/led\rger.git", "contains a line break"),
        ("https://ann:hunt/er22@git.example/x", "has no valid host and port after https://"),
        ("https://ann:hunt?er22@git.example/x", "has no valid host and port after https://"),
        ("https://[::1/x", "has no valid host and port after https://"),
    ],
)
def test_an_address_that_would_be_read_as_another_is_refused_and_not_shown(
    address: str, fault: str
) -> None:
    with pytest.raises(Faults, match=f"HITL_LEDGER {fault}") as raised:
        from_environment({"HITL_LEDGER": address})
    assert "hunt" not in str(raised.value)
    assert "git.example" not in str(raised.value)


@pytest.mark.parametrize(
    "address",
    [
        "/srv/ledger.git",
        "/srv/a@b: c/ledger.git",
        "https://ann:hunt%2Fer@22@git.example:8443/ledger.git?x=a:b",
        "ssh://ann@[::1]:22/ledger.git",
        "ledger.git",
        "./--odd.git",
        "git@git.example:team/ledger.git",
        "ssh://git@git.example/ledger.git",
        "https://git.example/ledger.git",
        "file:///srv/ledger.git",
        "github:acme/models",
    ],
)
def test_paths_and_the_usual_addresses_are_taken(address: str) -> None:
    assert from_environment({"HITL_LEDGER": address}).ledger == address


def test_git_itself_is_told_which_transports_it_may_speak(tmp_path: Path) -> None:
    git.make_bare(tmp_path / "own.git", {})
    given = git.environment(tmp_path / "own.git", git.QUIET)
    with pytest.raises(git.GitFailed, match="transport 'ext' not allowed"):
        git.run(["ls-remote", "--", f"ext::sh -c touch% {tmp_path / 'mark'}"], given)
    assert not (tmp_path / "mark").exists()


# -- time ----------------------------------------------------------------------------------------


@pytest.fixture
def dripping() -> Iterator[str]:
    """A server whose answer never ends."""
    stop, threads = threading.Event(), []

    def drip(to: socket.socket) -> None:
        with closing(to), suppress(OSError):
            to.recv(65536)
            kind = b"Content-Type: application/x-git-upload-pack-advertisement"
            to.sendall(b"HTTP/1.1 200 OK\r\n" + kind + b"\r\n\r\n001e# service=git-upload-pack\n")
            while not stop.wait(0.1):
                to.sendall(b"0")

    def serve() -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                one = threading.Thread(target=drip, args=(listener.accept()[0],))
                one.start()
                threads.append(one)

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(0.1)
        server = threading.Thread(target=serve)
        server.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/ledger.git"
        stop.set()
        for each in (server, *threads):
            each.join()


def test_a_server_that_drips_is_given_up_and_nothing_of_git_goes_on(
    tmp_path: Path, dripping: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "SECONDS", 1.0)
    ledger = GitLedger(dripping, tmp_path / "cache")
    # The second try shows that the lock is free: a helper of git that lived on would hold it.
    for look in (ledger.head, lambda: ledger.read("0" * 12)):
        with pytest.raises(LedgerUnavailable, match="the server is too slow, so git was ended"):
            look()
    assert not [each for each in running() if dripping in each]


def running() -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(process.read_text(errors="replace"))
    return found


# -- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (
            "remote: error: object is larger than 100 MB\n"
            "error: RPC failed; curl 18 transfer closed\n"
            "fatal: the remote end hung up unexpectedly",
            "remote: error: object is larger than 100 MB",
        ),
        (
            "error: RPC failed; HTTP 413 curl 22\nfatal: the remote end hung up unexpectedly",
            "error: RPC failed; HTTP 413 curl 22",
        ),
    ],
)
def test_a_cut_connection_shows_what_git_said_first(said: str, cause: str) -> None:
    assert meaning(said).startswith("the connection was cut")
    assert meaning(said).endswith(f"(git: {cause})")


# -- memory ----------------------------------------------------------------------------------------


def test_what_was_read_before_is_forgotten_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone_objects, "_MOST_SEEN", 100)
    git.make_bare(tmp_path / "clone.git", {})
    clone = tmp_path / "clone.git"
    names = [git.write_object(clone, "blob", each * 60) for each in (b"a", b"b")]
    reader = clone_objects.CloneObjects(clone, ())
    try:
        for name in (*names, *names):
            found = reader.look(name)
            assert found
            assert len(found.content) == 60
        assert list(reader._seen) == names[1:]
    finally:
        reader.close()
