"""Ledgers of any size, exactly as the bridge would have left them, by `git fast-import`.

A decision names the commit before it, so it is written once git has said the id of that one. The
branches take turns: git is asked for one id of each, and not after every commit.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bridge.core.digest import canonical, digest_of
from bridge.core.model import ApprovalRequest, Decision, Gate, branch_of, folder_of
from bridge.core.records import decision_out, request_out, turn_out
from bridge.core.shards import LEDGER_FILE, begin_of, first_turn
from bridge.core.timestamps import moment_out
from bridge.ledger.commit_message import decision_message, request_message
from bridge.ledger.commits import BRIDGE
from bridge.ledger.new_branch import first_message
from bridge.ledger.readme import README

#: An id that YAML would take for a number is in quotes.
_LIKE_A_NUMBER: Final = re.compile("[0-9]+(e[0-9]+)?")
_KEY, _PREVIOUS, _TIME = "Flow/SAMPLE/gate/1", "PREVIOUS", datetime(2001, 2, 3, tzinfo=UTC)

#: From one gate to the next. If all commits were of one time, git would walk all of them to see
#: what a push brings.
_APART: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class _Gate:
    """A gate's two commits, as texts; the decision waits for the commit before it."""

    id: str
    asked_at: datetime
    decided_at: datetime
    request: str
    page: str
    asking: str
    decision: str
    deciding: str


class _Texts:
    """The gates of one branch differ in their key alone: what is the same is written once."""

    def __init__(
        self,
        request_of: Callable[[str, datetime], ApprovalRequest],
        decision_of: Callable[[ApprovalRequest], Decision],
    ) -> None:
        self._request_of, self._decision_of = request_of, decision_of
        request = request_of(_KEY, _TIME)
        who = decision_of(request).votes[0].actor
        self.author = f"{who.name} <{who.email}>"
        self._origin = request.gate.origin
        self._sample = self._written(request)
        self._moments = (_TIME, request.expires_at or _TIME, self._sample.decided_at)
        self._id, self._digest = request.gate.id, digest_of(request)
        self._bound = canonical(_bound(request)).decode()
        assert self._digested(_KEY) == self._digest

    def of(self, key: str, at: datetime) -> _Gate:
        gate_id = Gate(self._origin, key).id
        if _LIKE_A_NUMBER.fullmatch(gate_id):
            return self._written(self._request_of(key, at))
        sample, later = self._sample, at - _TIME
        put = [(self._id, gate_id), (self._digest, self._digested(key)), (_KEY, key)]
        put += [(moment_out(each), moment_out(each + later)) for each in self._moments]

        def fitted(text: str) -> str:
            for old, new in put:
                text = text.replace(old, new)
            return text

        return _Gate(
            gate_id,
            at,
            sample.decided_at + later,
            fitted(sample.request),
            fitted(sample.page),
            fitted(sample.asking),
            fitted(sample.decision),
            fitted(sample.deciding),
        )

    def _written(self, request: ApprovalRequest) -> _Gate:
        decision = replace(self._decision_of(request), previous=_PREVIOUS)
        return _Gate(
            request.gate.id,
            request.opened_at,
            decision.decided_at,
            request_out(request),
            request.message,
            request_message(request, request.message),
            decision_out(decision),
            decision_message(request, decision, request.message),
        )

    def _digested(self, key: str) -> str:
        text = self._bound.replace(_KEY, key).encode()
        return f"sha256:{hashlib.sha256(text).hexdigest()}"


def _bound(request: ApprovalRequest) -> object:
    from bridge.core.converter import plain

    return plain(request, bound=True)


def asked_at(shard: str, nth: int, began: datetime) -> datetime:
    """When the nth gate of this branch was asked. `began` is that of the first branch."""
    year = begin_of(shard)[:4]
    return (datetime(int(year), 1, 1, tzinfo=UTC) if year else began) + nth * _APART


@dataclass(slots=True)
class _Branch:
    name: str
    texts: _Texts
    stream: _Stream
    began: datetime
    first: int  # the number of its first gate
    last: int = 0  # the mark of its head


def import_ledger(
    path: Path,
    request_of: Callable[[str, str, datetime], ApprovalRequest],  # of this key, on this branch
    decision_of: Callable[[ApprovalRequest], Decision],
    key_of: Callable[[int], str],
    *,
    decisions: int,
    waiting: int,
    shards: Sequence[str],
    began: datetime,
) -> None:
    """So many decided gates on each branch, and so many open ones on the last."""
    streams = [_Stream(path, len(shards)) for _ in range(min(_AT_ONCE, len(shards)))]
    branches: list[_Branch] = []
    for index, name in enumerate(shards):
        texts = _Texts(lambda key, at, name=name: request_of(key, name, at), decision_of)  # type: ignore[misc]
        at = asked_at(name, 0, began)
        branch = _Branch(name, texts, streams[index % len(streams)], at, index * decisions)
        branch.last = _first(branch, dict(zip(shards, _heads(branches))))  # noqa: B905 - those before
        branches.append(branch)
    for number in range(decisions):
        for branch, head in zip(branches, _heads(branches), strict=True):
            gate = branch.texts.of(key_of(branch.first + number), branch.began + number * _APART)
            branch.last = _decide(branch, gate, head)
    newest = branches[-1]
    at = asked_at(newest.name, decisions, began)  # those that wait were asked at once
    for number in range(decisions, decisions + waiting):
        gate = newest.texts.of(key_of(newest.first + number), at)
        _ask(newest, gate, f"refs/heads/{branch_of(gate.id)}")
    for stream in streams:
        stream.end()


def _heads(branches: Sequence[_Branch]) -> list[str]:
    # All are asked for before the first is read, so that git is at work while records are written.
    for each in branches:
        each.stream.ask(each.last)
    for stream in {id(each.stream): each.stream for each in branches}.values():
        stream.flush()
    return [each.stream.told() for each in branches]


def _first(branch: _Branch, before: Mapping[str, str]) -> int:
    turn, message = first_turn(branch.began), "The ledger begins\n"
    if before:
        turn = replace(turn, begun=begin_of(branch.name))
        message = first_message(branch.name, before)
    files = {
        "README.md": branch.stream.blob(README),
        LEDGER_FILE: branch.stream.blob(turn_out(turn)),
    }
    return branch.stream.commit(f"refs/heads/{branch.name}", message, files, branch.began)


def _ask(branch: _Branch, gate: _Gate, ref: str) -> tuple[int, dict[str, int]]:
    folder, stream = folder_of(gate.id), branch.stream
    files = {
        f"{folder}/request.yaml": stream.blob(gate.request),
        f"{folder}/request.md": stream.blob(gate.page),
    }
    return stream.commit(ref, gate.asking, files, gate.asked_at, parent=branch.last), files


def _decide(branch: _Branch, gate: _Gate, previous: str) -> int:
    asked, files = _ask(branch, gate, branch.stream.asked)
    decision = branch.stream.blob(gate.decision.replace(_PREVIOUS, previous))
    return branch.stream.commit(
        f"refs/heads/{branch.name}",
        gate.deciding,
        {**files, f"{folder_of(gate.id)}/decision.yaml": decision},
        gate.decided_at,
        author=branch.texts.author,
        parent=branch.last,
        joined=asked,
    )


_BRIDGE: Final = f"{BRIDGE.name} <{BRIDGE.email}>"


#: git takes two thirds of the time.
_AT_ONCE: Final = 2

#: Without these, malloc gives the memory of each object back to the system: twice the time.
_KEPT: Final = {
    "MALLOC_MMAP_THRESHOLD_": "100000000",
    "MALLOC_TRIM_THRESHOLD_": "200000000",
    "MALLOC_TOP_PAD_": "16000000",
}


class _Stream:
    """The input of one `git fast-import`, which makes one pack."""

    def __init__(self, path: Path, branches: int) -> None:
        command = ["git", "-C", str(path), "-c", "pack.compression=1", "fast-import", "--quiet"]
        self._git = subprocess.Popen(
            [*command, "--force", f"--active-branches={branches + 1}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_KEPT},
        )
        assert self._git.stdin
        assert self._git.stdout
        self._sink, self._answers = self._git.stdin, self._git.stdout
        self._marks = 0
        self.asked = f"refs/heads/asked-{self._git.pid}"

    def blob(self, text: str) -> int:
        self._marks += 1
        self._write(f"blob\nmark :{self._marks}\n{_data(text)}\n")
        return self._marks

    def commit(
        self,
        ref: str,
        message: str,
        files: Mapping[str, int],
        at: datetime,
        *,
        author: str = _BRIDGE,
        parent: int = 0,
        joined: int = 0,
    ) -> int:
        self._marks += 1
        when = f"{int(at.timestamp())} +0000"
        lines = [f"commit {ref}", f"mark :{self._marks}", f"author {author} {when}"]
        lines += [f"committer {_BRIDGE} {when}", _data(message)]
        if parent:
            lines.append(f"from :{parent}")
        if joined:
            lines.append(f"merge :{joined}")
        lines += [f"M 100644 :{mark} {path}" for path, mark in files.items()]
        self._write("\n".join(lines) + "\n\n")
        return self._marks

    def ask(self, mark: int) -> None:
        self._write(f"get-mark :{mark}\n")

    def flush(self) -> None:
        self._sink.flush()

    def told(self) -> str:
        return self._answers.readline().decode().strip()

    def end(self) -> None:
        self._write(f"reset {self.asked}\nfrom {'0' * 40}\n\n")
        self._sink.close()
        self._answers.close()
        assert self._git.wait() == 0

    def _write(self, text: str) -> None:
        self._sink.write(text.encode())


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}"
