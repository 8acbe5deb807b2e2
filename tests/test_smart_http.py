"""The git server of the tests answers as the real `git http-backend` does."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.github.gitserver import NOTHING, environment
from tests.smart_http import Answer, answer, backend

V2 = {"GIT_PROTOCOL": "version=2"}
#: It says what it finds in its environment; the name of the quarantine is random.
HOOK = """#!/bin/sh
cat >&2
env | grep -E '^(GIT_COMMITTER|GIT_DIR|GIT_PROTOCOL|REMOTE_|GH_)' | sort >&2
exit "${GH_EXIT:-0}"
"""


def git(repository: Path, *args: str, stdin: bytes = b"") -> bytes:
    command = ["git", "-C", str(repository), *args]
    return subprocess.run(command, input=stdin, check=True, capture_output=True).stdout


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    """The same repository twice, each in a folder of its own."""
    first, second = tmp_path / "one", tmp_path / "two"
    subprocess.run(["git", "init", "-q", "--bare", first / "r.git"], check=True)
    git(first / "r.git", "config", "uploadpack.allowFilter", "true")
    feed = (
        b"commit refs/heads/main\ncommitter A <a@example.org> 1000000000 +0000\ndata 1\nx\n"
        b"M 100644 inline a\ndata 1\n1\n\n"
    )
    git(first / "r.git", "fast-import", "--quiet", stdin=feed)
    hook = first / "r.git" / "hooks" / "pre-receive"
    hook.write_text(HOOK)
    hook.chmod(0o755)
    subprocess.run(["cp", "-a", first, second], check=True)
    return [first, second]


def request(root: Path, method: str, path: str, body: bytes, **more: str) -> dict[str, str]:
    path, _, query = path.partition("?")
    service = path.rpartition("/")[2]
    cgi = {
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": f"application/x-{service}-request" if method == "POST" else "",
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_USER": "somebody",
        "REMOTE_ADDR": "127.0.0.1",
    }
    return environment({**cgi, **more})


def both(
    pair: Sequence[Path], method: str, path: str, body: bytes = b"", **more: str
) -> tuple[Answer, Answer]:
    ours, real = (request(root, method, path, body, **more) for root in pair)
    return answer(ours, body), backend(real, body)


def heard(given: Answer) -> tuple[Answer, dict[bytes, bytes]]:
    """Apart, what comes on each side band: how it is cut into packets follows from the moment."""
    bands = {b"\1": b"", b"\2": b""}
    rest, at = b"", 0
    while at < len(given.content):
        length = max(int(given.content[at : at + 4], 16), 4)
        line = given.content[at + 4 : at + length]
        if line[:1] in bands:
            bands[line[:1]] += line[1:]
        else:
            rest += given.content[at : at + length]
        at += length
    return given._replace(content=rest), bands


def packets(*lines: bytes) -> bytes:
    """Packet lines; a bare number is a delimiter or the end."""
    return b"".join(
        line if line in (b"0000", b"0001") else b"%04x" % (len(line) + 4) + line for line in lines
    )


@pytest.mark.parametrize("protocol", [{}, V2, {"GIT_PROTOCOL": "version=0"}])
@pytest.mark.parametrize("service", ["git-upload-pack", "git-receive-pack"])
def test_what_is_advertised(pair: list[Path], service: str, protocol: dict[str, str]) -> None:
    ours, real = both(pair, "GET", f"/r.git/info/refs?service={service}", **protocol)
    assert ours == real
    assert ours.content


def test_a_changed_setting_changes_what_is_advertised(pair: list[Path]) -> None:
    path = "/r.git/info/refs?service=git-upload-pack"
    before, _ = both(pair, "GET", path, **V2)
    for root in pair:
        git(root / "r.git", "config", "uploadpack.allowFilter", "false")
    ours, real = both(pair, "GET", path, **V2)
    assert ours == real != before


LISTED = {
    "some": [b"ref-prefix refs/heads/\n", b"ref-prefix refs/tags/v\n"],
    "one": [b"ref-prefix refs/heads/main\n"],
    "none": [b"ref-prefix refs/nowhere\n"],
    "with HEAD": [b"ref-prefix HEAD\n"],
    "all": [],
    "peeled": [b"peel\n", b"ref-prefix refs/\n"],
    "with their symbols": [b"symrefs\n", b"ref-prefix refs/\n"],
}


@pytest.mark.parametrize("hidden", ["", "receive", "uploadpack", "transfer"])
def test_which_refs_are_listed_and_advertised(pair: list[Path], hidden: str) -> None:
    for root in pair:
        tip = git(root / "r.git", "rev-parse", "main").decode().strip()
        refs = ["heads/main2", "heads/a/b", "heads/a-c", "pull/1/head", "tags/v1"]
        feed = "".join(f"create refs/{ref} {tip}\n" for ref in refs)
        git(root / "r.git", "update-ref", "--stdin", stdin=feed.encode())
        if hidden:
            with (root / "r.git" / "config").open("a") as config:
                config.write(f"[{hidden}]\n\thideRefs = refs/pull\n")
    for lines in LISTED.values():
        said = [b"command=ls-refs\n", b"object-format=sha1\n", b"0001", *lines, b"0000"]
        ours, real = both(pair, "POST", "/r.git/git-upload-pack", packets(*said), **V2)
        assert ours == real
    for protocol in (V2, {}):
        ours, real = both(pair, "GET", "/r.git/info/refs?service=git-receive-pack", **protocol)
        assert ours == real
        assert (b"refs/pull/1/head" in ours.content) == (hidden not in ("receive", "transfer"))


def test_what_an_empty_repository_advertises(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "r.git"], check=True)
    pair = [tmp_path, tmp_path]
    ours, real = both(pair, "GET", "/r.git/info/refs?service=git-receive-pack")
    assert ours == real


@pytest.mark.parametrize("zipped", [False, True])
def test_what_is_fetched(pair: list[Path], zipped: bool) -> None:
    tip = git(pair[0] / "r.git", "rev-parse", "main").strip()
    second = [b"command=ls-refs", b"0001", b"peel\n", b"0000"]
    fetch = [b"command=fetch", b"0001", b"no-progress\n"]
    fetched = [*fetch, b"want " + tip + b"\n", b"done\n", b"0000"]
    unknown = [*fetch, b"want " + b"1" * 40 + b"\n", b"done\n", b"0000"]
    first = [b"want " + tip + b" side-band-64k no-progress\n", b"0000", b"done\n"]
    more = {"HTTP_CONTENT_ENCODING": "gzip"} if zipped else {}
    for lines, protocol in ((second, V2), (fetched, V2), (unknown, V2), (first, {})):
        body = gzip.compress(packets(*lines)) if zipped else packets(*lines)
        ours, real = both(pair, "POST", "/r.git/git-upload-pack", body, **more, **protocol)
        assert heard(ours) == heard(real)
        assert ours.content


@pytest.mark.parametrize("refused", ["", "1"])
def test_what_is_pushed(pair: list[Path], refused: str) -> None:
    tip = git(pair[0] / "r.git", "rev-parse", "main").strip()
    line = b"%s %s refs/heads/new\0report-status side-band-64k" % (NOTHING.encode(), tip)
    pack = git(pair[0] / "r.git", "pack-objects", "--stdout", stdin=b"")
    body = packets(line, b"0000") + pack
    more = {"GH_EXIT": refused or "0", "GH_RULES": "refs/heads/new\tcreation"}
    ours, real = both(pair, "POST", "/r.git/git-receive-pack", body, **more)
    assert heard(ours) == heard(real)
    for told in (b"GIT_COMMITTER_NAME=somebody", b"somebody@http.127.0.0.1", b"GH_RULES="):
        assert told in heard(ours)[1][b"\2"]
    refs = [git(root / "r.git", "for-each-ref") for root in pair]
    assert refs[0] == refs[1]
    assert (b"refs/heads/new" in refs[0]) == (not refused)


@pytest.mark.parametrize(
    ("method", "path", "status", "more"),
    [
        ("GET", "/r.git/info/refs", "200 OK", {}),
        ("GET", "/r.git/info/refs?service=git-other", "403 Forbidden", {}),
        ("GET", "/nothing.git/info/refs?service=git-upload-pack", "404 Not Found", {}),
        ("GET", "/x/../r.git/info/refs?service=git-upload-pack", "500 Internal Server Error", {}),
        ("GET", "/r.git/git-upload-pack", "400 Bad Request", {}),
        ("GET", "/r.git/HEAD", "200 OK", {}),
        ("POST", "/r.git/git-receive-pack", "415 Unsupported Media Type", {"CONTENT_TYPE": "a/b"}),
        ("POST", "/r.git/git-other", "404 Not Found", {}),
        ("POST", "/r.git/info/refs?service=git-upload-pack", "400 Bad Request", {}),
    ],
)
def test_what_is_refused(
    pair: list[Path], method: str, path: str, status: str, more: dict[str, str]
) -> None:
    ours, real = both(pair, method, path, **more)
    assert (ours.status, *ours[1:]) == (status, *real[1:])
    assert ours == real


@pytest.mark.parametrize("service", ["uploadpack", "receivepack"])
def test_a_service_that_is_switched_off(pair: list[Path], service: str) -> None:
    for root in pair:
        git(root / "r.git", "config", f"http.{service}", "false")
    name = f"git-{service.removesuffix('pack')}-pack"
    ours, real = both(pair, "GET", f"/r.git/info/refs?service={name}")
    assert ours == real
    assert ours.status == "403 Forbidden"
