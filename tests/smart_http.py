"""Git's smart HTTP as `git http-backend` answers it, without the process or two of its own.

Clones and pushes run git's service itself, and refs are listed from the repository's files. All
else, and so each refusal, is left to the real one, with which `test_smart_http.py` compares this.
"""

from __future__ import annotations

import gzip
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.git_objects import NOTHING, refs

_SERVICES = ("git-upload-pack", "git-receive-pack")
_SWITCHED_OFF = re.compile(rb"^\s*(upload|receive)pack\s*=\s*false\s*$", re.MULTILINE)
#: With which the server of the tests hides what belongs to pull requests from those who push.
_HIDDEN = re.compile(rb"^\[receive\]\n\thideRefs = (refs/[a-z]+)$", re.MULTILINE)
_PREFIX = re.compile(rb"[0-9a-f]{4}ref-prefix ([^\n]+)\n")
_ONLY_PREFIXES = re.compile(
    rb"0014command=ls-refs\n(?:[0-9a-f]{4}(?:agent=|object-format=sha1)[^\n]*\n?)*0001"
    rb"(?:[0-9a-f]{4}ref-prefix [^\n]+\n)+0000"
)
_FOR_NO_CACHE = [
    ("Expires", "Fri, 01 Jan 1980 00:00:00 GMT"),
    ("Pragma", "no-cache"),
    ("Cache-Control", "no-cache, max-age=0, must-revalidate"),
]
_CAPABILITIES: dict[tuple[bytes, str, str], bytes] = {}
#: In the environment of a push: the repository's hooks are not to be run.
HOOKLESS = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "core.hooksPath",
    "GIT_CONFIG_VALUE_0": "/dev/null",
}


class Answer(NamedTuple):
    status: str  # 200 OK
    headers: list[tuple[str, str]]
    content: bytes


def answer(cgi: Mapping[str, str], body: bytes) -> Answer:
    """The answer to a request, which is described by the variables of CGI; the rest are git's."""
    path, _, last = cgi["PATH_INFO"].rpartition("/")
    repository = Path(cgi["GIT_PROJECT_ROOT"] + path.removesuffix("/info"))
    if ".." in repository.parts or not (repository / "HEAD").is_file():
        return backend(cgi, body)
    config = (repository / "config").read_bytes()
    if _SWITCHED_OFF.search(config):
        return backend(cgi, body)
    asked = cgi["QUERY_STRING"].removeprefix("service=")
    listed = cgi["REQUEST_METHOD"] == "GET" and f"{path[-5:]}/{last}" == "/info/refs"
    if listed and asked in _SERVICES:
        return _advertised(repository, config, asked, cgi)
    done = cgi["REQUEST_METHOD"] == "POST" and last in _SERVICES
    if done and cgi.get("CONTENT_TYPE") == f"application/x-{last}-request":
        return _done(repository, last, cgi, body)
    return backend(cgi, body)


def backend(cgi: Mapping[str, str], body: bytes) -> Answer:
    """The answer of the real `git http-backend`."""
    done = subprocess.run(["git", "http-backend"], input=body, env=cgi, capture_output=True)
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    if not head:
        return Answer("500 Internal Server Error", [("Content-Type", "text/plain")], done.stderr)
    lines = [line.partition(": ") for line in head.decode("latin-1").split("\r\n")]
    status = next((value for name, _, value in lines if name == "Status"), "200 OK")
    return Answer(status, [(name, value) for name, _, value in lines if name != "Status"], content)


def _advertised(repository: Path, config: bytes, service: str, cgi: Mapping[str, str]) -> Answer:
    second = "version=2" in cgi.get("GIT_PROTOCOL", "").split(":")
    if second and service == "git-upload-pack":
        content = _capabilities(repository, config, cgi)
    elif service == "git-receive-pack" and (ours := _receivable(repository, config, cgi)):
        content = ours
    else:
        content = _run(repository, service, cgi, b"", "--advertise-refs")
    if not second:
        name = f"# service={service}\n".encode()
        content = b"%04x%s0000" % (len(name) + 4, name) + content
    return _typed(f"{service}-advertisement", content)


def _capabilities(repository: Path, config: bytes, cgi: Mapping[str, str]) -> bytes:
    """The second protocol names no ref here: what it says follows from git and the settings."""
    key = (config, cgi["PATH"], "upload")
    if key not in _CAPABILITIES:
        _CAPABILITIES[key] = _run(repository, "git-upload-pack", cgi, b"", "--advertise-refs")
    return _CAPABILITIES[key]


def _receivable(repository: Path, config: bytes, cgi: Mapping[str, str]) -> bytes | None:
    """The refs that a pusher is told of; what else the server says of itself, git says once."""
    if _is_unusual(repository, config) or "version=1" in cgi.get("GIT_PROTOCOL", ""):
        return None
    key = (config, cgi["PATH"], "receive")
    if key not in _CAPABILITIES:
        said = _run(repository, "git-receive-pack", cgi, b"", "--advertise-refs")
        _CAPABILITIES[key] = said[4 : int(said[:4], 16)].partition(b"\0")[2]
    hidden = tuple(f"{each.decode()}/" for each in _HIDDEN.findall(config))
    found = [
        f"{sha} {ref}".encode()
        for ref, sha in refs(repository, "refs/").items()
        if not ref.startswith(hidden)
    ]
    first, *others = found or [f"{NOTHING} capabilities^{{}}".encode()]
    lines = [first + b"\0" + _CAPABILITIES[key], *(line + b"\n" for line in others)]
    return b"".join(map(_packet, lines)) + b"0000"


def _is_unusual(repository: Path, config: bytes) -> bool:
    """Whether which refs are shown is not for us to say."""
    left = _HIDDEN.sub(b"", config).lower()
    borrows = (repository / "objects" / "info" / "alternates").exists()
    return borrows or b"hiderefs" in left or b"include" in left


def _listed(repository: Path, config: bytes, body: bytes) -> bytes | None:
    """The refs that begin with what was asked for; None if more is asked than that."""
    asked = _ONLY_PREFIXES.fullmatch(body)
    if not asked or _is_unusual(repository, config):
        return None
    starts = tuple(each.decode() for each in _PREFIX.findall(body))
    if not all(each.startswith("refs/") for each in starts):  # HEAD is one without a slash
        return None
    found = refs(repository, "refs/").items()
    lines = [f"{sha} {ref}\n".encode() for ref, sha in found if ref.startswith(starts)]
    return b"".join(map(_packet, lines)) + b"0000"


def _packet(line: bytes) -> bytes:
    return b"%04x" % (len(line) + 4) + line


def _done(repository: Path, service: str, cgi: Mapping[str, str], body: bytes) -> Answer:
    if cgi.get("HTTP_CONTENT_ENCODING") in ("gzip", "x-gzip"):
        body = gzip.decompress(body)
    if service == "git-upload-pack" and "version=2" in cgi.get("GIT_PROTOCOL", "").split(":"):
        listed = _listed(repository, (repository / "config").read_bytes(), body)
        if listed is not None:
            return result(service, listed)
    who = cgi.get("REMOTE_USER") or "anonymous"
    committer = {
        "GIT_COMMITTER_NAME": who,
        "GIT_COMMITTER_EMAIL": f"{who}@http.{cgi.get('REMOTE_ADDR') or '(none)'}",
    }
    return result(service, _run(repository, service, {**committer, **cgi}, body))


def _run(
    repository: Path, service: str, env: Mapping[str, str], body: bytes, *options: str
) -> bytes:
    # What it has written by the time it fails is the answer: it says there what failed.
    return subprocess.run(
        ["git", service.removeprefix("git-"), "--stateless-rpc", *options, "."],
        cwd=repository,
        env=env,
        input=body,
        capture_output=True,
    ).stdout


def result(service: str, content: bytes) -> Answer:
    return _typed(f"{service}-result", content)


def _typed(kind: str, content: bytes) -> Answer:
    headers = [*_FOR_NO_CACHE, ("Content-Type", f"application/x-{kind}")]
    return Answer("200 OK", headers, content)
