"""Ledgers of any size, exactly as the bridge would have left them.

A decision names the commit before it, so each id is computed here, and git is asked for none. The
branches are made side by side, each in a pack of its own.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from bridge.core.converter import plain
from bridge.core.digest import canonical, digest_of
from bridge.core.model import FOLDER_LEVELS, ApprovalRequest, Decision, Gate, branch_of
from bridge.core.records import decision_out, request_out, turn_out
from bridge.core.shards import LEDGER_FILE, begin_of, first_turn
from bridge.core.timestamps import moment_out
from bridge.ledger.commit_message import decision_message, request_message
from bridge.ledger.commits import BRIDGE
from bridge.ledger.new_branch import first_message
from bridge.ledger.readme import README
from tests.ledger_pack import FILE, Folder, Pack, Template, inserted_before

#: An id that YAML would take for a number is in quotes.
_LIKE_A_NUMBER: Final = re.compile("[0-9]+(e[0-9]+)?")
_KEY, _TIME = "Flow/SAMPLE/gate/1", datetime(2001, 2, 3, tzinfo=UTC)

#: From one gate to the next. If all commits were of one time, git would walk all of them to see
#: what a push brings.
_APART: Final = timedelta(minutes=2)

#: Where a commit of the sample names its time, its tree and its parents, and a decision the commit
#: before it.
_OF_COMMIT: Final = ("<ASKED>", "<DECIDED>", "<TREE>", "<PARENT>", "<JOINED>")
_ASKED, _DECIDED, _TREE, _PARENT, _JOINED = _OF_COMMIT

_BRIDGE: Final = f"{BRIDGE.name} <{BRIDGE.email}>"


class _Templates(NamedTuple):
    """What is written for one gate: two files and a commit to ask, and one of each to decide."""

    request: Template
    page: Template
    asking: Template
    decision: Template
    deciding: Template


class _Texts:
    """The gates of one branch differ in a few values alone: what is the same is written once."""

    def __init__(
        self,
        request_of: Callable[[str, datetime], ApprovalRequest],
        decision_of: Callable[[ApprovalRequest], Decision],
    ) -> None:
        self._request_of, self._decision_of = request_of, decision_of
        request = request_of(_KEY, _TIME)
        self._origin = request.gate.origin
        self._times = (_TIME, request.expires_at or _TIME, decision_of(request).decided_at)
        own = [request.gate.id, digest_of(request), _KEY, *map(moment_out, self._times)]
        slots = {text: own.index(text) for text in own}
        bound = plain(request, bound=True)
        self._bound = Template("blob", canonical(bound).decode(), slots)
        assert self._digested(_KEY) == own[1].encode()
        self._usual = self._templates(request, slots)

    def of(self, key: str, at: datetime) -> tuple[_Templates, list[bytes]]:
        """Templates, and the values of this gate to put into them; those of a commit come after."""
        later, gate_id = at - _TIME, Gate(self._origin, key).id
        templates = self._usual
        if _LIKE_A_NUMBER.fullmatch(gate_id):
            templates = self._templates(self._request_of(key, at), {})
        return templates, [
            gate_id.encode(),
            self._digested(key),
            key.encode(),
            *(moment_out(each + later).encode() for each in self._times),
            b"%d" % at.timestamp(),
            b"%d" % (self._times[2] + later).timestamp(),
        ]

    def _templates(self, request: ApprovalRequest, slots: Mapping[str, int]) -> _Templates:
        decision = replace(self._decision_of(request), previous=_PARENT)
        who = decision.votes[0].actor
        asking = request_message(request, request.message)
        deciding = decision_message(request, decision, request.message)
        author, parents = f"{who.name} <{who.email}>", (_PARENT, _JOINED)
        slots = {**slots, **{text: number for number, text in enumerate(_OF_COMMIT, 6)}}
        return _Templates(
            Template("blob", request_out(request), slots),
            Template("blob", request.message, slots),
            Template("commit", _commit(asking, _BRIDGE, _ASKED, _PARENT), slots),
            Template("blob", decision_out(decision), slots),
            Template("commit", _commit(deciding, author, _DECIDED, *parents), slots),
        )

    def _digested(self, key: str) -> bytes:
        bound = self._bound.text([b"", b"", key.encode()])
        return b"sha256:" + hashlib.sha256(bound).hexdigest().encode()


def _commit(message: str, author: str, at: str, *parents: str, tree: str = _TREE) -> str:
    lines = [f"tree {tree}", *(f"parent {each}" for each in parents)]
    lines += [f"author {author} {at} +0000", f"committer {_BRIDGE} {at} +0000"]
    return "\n".join([*lines, "", message])


def asked_at(shard: str, nth: int, began: datetime) -> datetime:
    """When the nth gate of this branch was asked. `began` is that of the first branch."""
    year = begin_of(shard)[:4]
    return (datetime(int(year), 1, 1, tzinfo=UTC) if year else began) + nth * _APART


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
    branches: list[_Branch] = []
    for name in shards:
        texts = _Texts(lambda key, at, name=name: request_of(key, name, at), decision_of)  # type: ignore[misc]
        before = {each.name: each.head.decode() for each in branches}
        branches.append(_Branch(path, name, texts, asked_at(name, 0, began), before))

    def grow(index: int) -> None:
        last = index == len(branches) - 1
        branches[index].grow(key_of, index * decisions, decisions, waiting if last else 0)

    if decisions * len(shards) < _MANY:
        for index in range(len(shards)):
            grow(index)
    else:
        _side_by_side(len(shards), grow)


#: Decisions for which processes are worth their start.
_MANY: Final = 10_000


def _side_by_side(count: int, action: Callable[[int], None]) -> None:
    """`action(0)` …, in a process for each processor."""
    running: set[int] = set()
    for number in range(count):
        if len(running) >= (os.cpu_count() or 1):
            running.remove(_ended())
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                action(number)
                code = 0
            finally:
                os._exit(code)
        running.add(pid)
    while running:
        running.remove(_ended())


def _ended() -> int:
    pid, status = os.wait()
    assert status == 0
    return pid


class _Branch:
    """One branch of the ledger, in a pack of its own."""

    def __init__(
        self, path: Path, name: str, texts: _Texts, began: datetime, before: Mapping[str, str]
    ) -> None:
        self.name, self._path, self._texts, self._began = name, path, texts, began
        self._pack = Pack(path, name)
        turn, message = first_turn(began), "The ledger begins\n"
        if before:
            turn = replace(turn, begun=begin_of(name))
            message = first_message(name, before)
        files = (("README.md", README), (LEDGER_FILE, turn_out(turn)))
        readme, ledger = (
            FILE + name.encode() + b"\0" + self._pack.add("blob", text.encode()).sha
            for name, text in files
        )
        tree = self._pack.add("tree", readme + ledger).sha.hex()
        at = str(int(began.timestamp()))
        first = _commit(message, _BRIDGE, at, tree=tree)
        self.head = self._pack.add("commit", first.encode()).sha.hex().encode()
        self._root, self._folders = Folder(readme, ledger), dict[bytes, Folder]()

    def grow(self, key_of: Callable[[int], str], first: int, decisions: int, waiting: int) -> None:
        """So many gates, of which this is the number of the first."""
        refs = []
        for nth in range(decisions):
            self._gate(key_of(first + nth), self._began + nth * _APART)
        refs.append(f"create refs/heads/{self.name} {self.head.decode()}")
        at = self._began + decisions * _APART  # those that wait were asked at once
        for nth in range(decisions, decisions + waiting):
            gate, asked = self._gate(key_of(first + nth), at, waits=True)
            refs.append(f"create refs/heads/{branch_of(gate)} {asked}")
        self._pack.end()
        subprocess.run(
            ["git", "-C", str(self._path), "update-ref", "--stdin"],
            input="".join(f"{each}\n" for each in refs).encode(),
            check=True,
        )

    def _gate(self, key: str, at: datetime, *, waits: bool = False) -> tuple[str, str]:
        """Ask, and decide unless it waits: the gate's id, and the commit that asks."""
        texts, values = self._texts.of(key, at)
        gate_id, pack = values[0], self._pack
        page, request = texts.page.put(pack, values), texts.request.put(pack, values)
        asked = b"%srequest.md\0%s%srequest.yaml\0%s" % (FILE, page.sha, FILE, request.sha)
        folder = pack.add("tree", asked)
        tree = self._grown(gate_id, folder.sha, keep=not waits)
        commit = texts.asking.put(pack, [*values, tree, self.head]).sha.hex().encode()
        if not waits:
            text = texts.decision.put(pack, [*values, b"", self.head])
            decision = FILE + b"decision.yaml\0" + text.sha
            delta = inserted_before(decision, len(asked))
            folder = pack.add_upon(folder, "tree", decision + asked, delta)
            tree = self._grown(gate_id, folder.sha)
            decided = texts.deciding.put(pack, [*values, tree, self.head, commit])
            self.head = decided.sha.hex().encode()
        return gate_id.decode(), commit.decode()

    def _grown(self, gate_id: bytes, sha: bytes, *, keep: bool = True) -> bytes:
        """The id of the branch's whole tree, with this folder in it."""
        name = gate_id
        for level in range(FOLDER_LEVELS, -1, -1):
            along = gate_id[:level]
            folder = self._folders.get(along)
            if folder is None:
                folder = Folder()
                if keep:
                    self._folders[along] = folder
            sha = folder.put(self._pack, name, sha, keep=keep)
            name = gate_id[level - 1 : level]
        return self._root.put(self._pack, b"gates", sha, keep=keep).hex().encode()
