"""The ledger in git: a record of requests and decisions that `git log` alone can audit.

The layout, and how one gate is found at a cost that does not grow with the years, are told in
`docs/ledger.md`. The branch `approvals` only ever moves forward; `gate/<id>` exists while a gate is
open. A push is the compare-and-swap.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from bridge.errors import (
    LedgerCorrupt,
    LedgerUnavailable,
    LostRequest,
    NoSuchGate,
)
from bridge.gitclone import GitClone, GitFailed, make_bare
from bridge.model import (
    ID_LENGTH,
    Actor,
    ApprovalRequest,
    Decision,
    OpenGate,
    Outcome,
    Standing,
    branch_of,
    folder_of,
)
from bridge.records import (
    decision_in,
    decision_out,
    digest_of,
    moment,
    moment_out,
    request_in,
    request_out,
)
from bridge.render import headline

BRIDGE = Actor("approval bridge", "approval-bridge@localhost")

_LEDGER = "refs/heads/approvals"
_LOST_RACE = ("non-fast-forward", "fetch first", "failed to update ref", "cannot lock ref",
              "stale info", "atomic push failed")  # fmt: skip
_MOST_TRIES = 40

_Entries = dict[str, tuple[str, str, str]]
T = TypeVar("T")


class _LostRace(Exception):
    """Somebody else moved a ref first: read again."""


class GitLedger:
    """The `Ledger` port, in git. `remote` is a path or a URL."""

    def __init__(self, remote: str, cache: Path) -> None:
        self._clone = GitClone(remote, cache)

    @property
    def where(self) -> str:
        return self._clone.where

    # -- writing -----------------------------------------------------------------------------

    def open(self, request: ApprovalRequest, page: str) -> Standing:
        def attempt() -> Standing:
            refs = self._refs(request.gate.id)
            head = refs.get(_LEDGER) or self._begin()
            found = self._standing(request.gate.id, refs)
            if found and (found.decision or digest_of(found.request) == digest_of(request)):
                _same_gate(found.request, request)
                return found
            files = {
                "request.yaml": self._blob(request_out(request)),
                "request.md": self._blob(page),
            }
            commit = self._commit(
                self._with_folder(head, request.gate.id, files),
                [head],
                _request_message(request),
                author=BRIDGE,
                at=request.opened_at,
            )
            ref = f"refs/heads/{request.gate.branch}"
            self._push(f"+{commit}:{ref}", lease={ref: refs.get(ref, "")})
            return Standing(request, None, commit, commit)

        return self._repeat(attempt)

    def record(self, decision: Decision) -> Standing:
        def attempt() -> Standing:
            refs = self._refs(decision.gate_id)
            found = self._standing(decision.gate_id, refs)
            if found is None:
                raise NoSuchGate(f"the ledger {self.where} has no gate {decision.gate_id}")
            if found.decision:
                return found
            if digest_of(found.request) != decision.request_digest or found.head is None:
                raise LostRequest(
                    f"gate {decision.gate_id} was asked anew while it was being decided:"
                    " look at the new request and answer that"
                )
            head = refs[_LEDGER]
            final = replace(decision, previous=head)
            files = {
                **self._folder(found.head, decision.gate_id),
                "decision.yaml": self._blob(decision_out(final)),
            }
            # An approval joins the gate's own commit to the record, as a merged pull request does.
            parents = [head, found.head] if final.outcome is Outcome.APPROVED else [head]
            commit = self._commit(
                self._with_folder(head, decision.gate_id, files),
                parents,
                _decision_message(found.request, final),
                author=final.votes[0].actor if final.votes else BRIDGE,
                at=final.decided_at,
            )
            gate = f"refs/heads/{branch_of(decision.gate_id)}"
            # One push for both, and the gate's branch must still be what was judged: a request
            # replaced meanwhile cannot inherit this decision.
            deletion = () if found.request.forge else (f":{gate}",)
            self._push(f"{commit}:{_LEDGER}", *deletion, lease={gate: found.head})
            return Standing(found.request, final, commit, found.head if not deletion else None)

        return self._repeat(attempt)

    def settle(self, gate_id: str) -> None:
        def attempt() -> None:
            refs = self._refs(gate_id)
            gate = f"refs/heads/{branch_of(gate_id)}"
            found = self._standing(gate_id, refs)
            if gate in refs and found and found.decision:
                self._push(f":{gate}", lease={gate: refs[gate]})

        self._repeat(attempt)

    # -- reading -----------------------------------------------------------------------------

    def read(self, gate_id: str) -> Standing | None:
        return self._attempt(lambda: self._standing(gate_id, self._refs(gate_id)))

    def head(self) -> str | None:
        return self._exchange(lambda: self._clone.remote_refs(_LEDGER)).get(_LEDGER)

    def listing(self) -> tuple[OpenGate, ...]:
        def attempt() -> tuple[OpenGate, ...]:
            refs = self._clone.remote_refs("refs/heads/gate/*")
            self._clone.fetch(refs.values())
            found = [
                _open_gate(name.rpartition("/")[2], sha, self._clone.read(sha))
                for name, sha in refs.items()
            ]
            return tuple(sorted(found, key=lambda each: (each.opened_at, each.id)))

        return self._attempt(attempt)

    def resolve(self, name: str) -> str:
        if _is_id(name):
            return name
        matches = {
            each.id for each in self.listing() if each.id.startswith(name) or each.key == name
        }
        if len(matches) == 1:
            return matches.pop()
        if matches:
            raise NoSuchGate(
                f"{name!r} is the start of several gates: {', '.join(sorted(matches))}"
            )
        raise NoSuchGate(f"no open gate is called {name!r} in {self.where}: see `hitl list`")

    # -- one gate in git ---------------------------------------------------------------------

    def _refs(self, gate_id: str) -> dict[str, str]:
        return self._clone.remote_refs(_LEDGER, f"refs/heads/{branch_of(gate_id)}")

    def _standing(self, gate_id: str, refs: Mapping[str, str]) -> Standing | None:
        gate_head = refs.get(f"refs/heads/{branch_of(gate_id)}")
        heads = [sha for sha in (refs.get(_LEDGER), gate_head) if sha]
        self._clone.fetch(heads)
        # The record first: a branch that outlived its decision changes nothing.
        for commit in heads:
            files = self._folder(commit, gate_id)
            if "request.yaml" not in files:
                continue
            where = f"{folder_of(gate_id)}/request.yaml"
            request = request_in(self._clone.read(files["request.yaml"][2]), where)
            if request.gate.id != gate_id:
                raise LedgerCorrupt(f"{where} is the request of gate {request.gate.id}")
            decision = None
            if "decision.yaml" in files:
                decision = decision_in(
                    self._clone.read(files["decision.yaml"][2]),
                    f"{folder_of(gate_id)}/decision.yaml",
                )
                _belongs(decision, request)
            elif commit != gate_head:
                continue  # a request merged by hand is no decision: the gate branch is asked
            return Standing(request, decision, commit, gate_head)
        return None

    def _folder(self, commit: str, gate_id: str) -> _Entries:
        entries = self._clone.tree(self._root(commit))
        for name in folder_of(gate_id).split("/"):
            if name not in entries:
                return {}
            entries = self._clone.tree(entries[name][2])
        return entries

    def _root(self, commit: str) -> str:
        first = self._clone.read(commit).split("\n", 1)[0]
        return first.removeprefix("tree ")

    def _with_folder(self, commit: str, gate_id: str, files: _Entries) -> str:
        """The commit's tree with this gate's folder set to these files."""

        def grow(entries: _Entries, names: list[str]) -> str:
            if not names:
                return self._clone.write_tree(files)
            below = self._clone.tree(entries[names[0]][2]) if names[0] in entries else {}
            subtree = grow(below, names[1:])
            return self._clone.write_tree({**entries, names[0]: ("040000", "tree", subtree)})

        return grow(self._clone.tree(self._root(commit)), folder_of(gate_id).split("/"))

    def _blob(self, content: str) -> tuple[str, str, str]:
        return ("100644", "blob", self._clone.write_blob(content))

    def _begin(self) -> str:
        """The ledger's first commit, where there is none."""
        readme = self._blob(_README)
        commit = self._commit(
            self._clone.write_tree({"README.md": readme}), [], "The ledger begins\n", author=BRIDGE
        )
        self._push(f"{commit}:{_LEDGER}", lease={_LEDGER: ""})
        return commit

    def _commit(
        self,
        tree: str,
        parents: list[str],
        message: str,
        *,
        author: Actor,
        at: datetime | None = None,
    ) -> str:
        env = {
            "GIT_AUTHOR_NAME": author.name,
            "GIT_AUTHOR_EMAIL": author.email or "",
            "GIT_COMMITTER_NAME": BRIDGE.name,
            "GIT_COMMITTER_EMAIL": BRIDGE.email or "",
        }
        if at:
            env["GIT_AUTHOR_DATE"] = env["GIT_COMMITTER_DATE"] = f"{int(at.timestamp())} +0000"
        return self._clone.write_commit(tree, parents, message, env)

    # -- exchanges ---------------------------------------------------------------------------

    def _push(self, *refspecs: str, lease: Mapping[str, str]) -> None:
        try:
            self._clone.push(*refspecs, lease=lease)
        except GitFailed as error:
            if any(sign in error.said for sign in _LOST_RACE):
                raise _LostRace from None
            raise

    def _repeat(self, attempt: Callable[[], T]) -> T:
        for tries in range(_MOST_TRIES):
            try:
                return self._attempt(attempt)
            except _LostRace:
                # Machines that lost together must not come back together.
                time.sleep(random.uniform(0, min(2.0, 0.05 * 2**tries)))
        raise LedgerUnavailable(
            f"the ledger {self.where} moved {_MOST_TRIES} times while this was being written;"
            " nothing was recorded, try again"
        )

    def _attempt(self, attempt: Callable[[], T]) -> T:
        def alone() -> T:
            with self._clone.held():
                return attempt()

        return self._exchange(alone)

    def _exchange(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except GitFailed as error:
            said = error.said.splitlines()[0] if error.said else "git gave no reason"
            raise LedgerUnavailable(
                f"the ledger {self.where} cannot be used ({error.command}): {said}"
            ) from None


def _is_id(name: str) -> bool:
    return len(name) == ID_LENGTH and set(name) <= set("0123456789abcdef")


def _same_gate(found: ApprovalRequest, asked: ApprovalRequest) -> None:
    if found.gate != asked.gate:
        raise LedgerCorrupt(
            f"the id {asked.gate.id} belongs to {found.gate.key} of {found.gate.origin} already"
        )


def _belongs(decision: Decision, request: ApprovalRequest) -> None:
    if decision.gate_id != request.gate.id or decision.request_digest != digest_of(request):
        raise LedgerCorrupt(
            f"the decision in {request.gate.folder} answers another request than the one beside it"
        )


# -- what the log says -----------------------------------------------------------------------


def _request_message(request: ApprovalRequest) -> str:
    trailers = {
        "Gate": request.gate.id,
        "Gate-Key": request.gate.key,
        "Request-Digest": digest_of(request),
        "Opened-At": moment_out(request.opened_at),
        "Expires-At": moment_out(request.expires_at) if request.expires_at else None,
        "Initiator": request.initiator,
    }
    return _message(f"Ask: {headline(request)}", "", trailers)


def _decision_message(request: ApprovalRequest, decision: Decision) -> str:
    trailers = {
        "Gate": request.gate.id,
        "Gate-Key": request.gate.key,
        "Outcome": decision.outcome.value,
        "Decided-By": decision.by.value,
        "Approvers": ", ".join(str(vote.actor) for vote in decision.votes) or None,
        "Request-Digest": decision.request_digest,
    }
    subject = f"{decision.outcome.value.capitalize()}: {headline(request)}"
    return _message(subject, decision.reason, trailers)


def _message(subject: str, body: str, trailers: Mapping[str, str | None]) -> str:
    lines = [f"{key}: {_one_line(value)}" for key, value in trailers.items() if value]
    parts = [_one_line(subject), *([_indented(body)] if body else []), "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _indented(text: str) -> str:
    # A reason is a person's text: indented, no line of it can pass for a trailer.
    return "\n".join(f"    {line}" for line in text.splitlines())


def _open_gate(gate_id: str, head: str, commit: str) -> OpenGate:
    message = commit.partition("\n\n")[2]
    subject, _, rest = message.partition("\n")
    trailers = dict(
        line.split(": ", 1)
        for line in rest.rstrip().rpartition("\n\n")[2].splitlines()
        if ": " in line
    )
    try:
        return OpenGate(
            id=gate_id,
            head=head,
            key=trailers["Gate-Key"],
            headline=subject.removeprefix("Ask: "),
            opened_at=moment(trailers["Opened-At"]),
            expires_at=moment(trailers["Expires-At"]) if "Expires-At" in trailers else None,
            initiator=trailers.get("Initiator"),
        )
    except (KeyError, ValueError):
        raise LedgerCorrupt(
            f"the commit {head[:12]} on gate/{gate_id} is not one the bridge wrote:"
            " delete that branch, or look who pushed it"
        ) from None


_README = """\
# The ledger of approvals

Every decision that the approval bridge recorded, one commit each. `git log --first-parent` reads
as an audit log; `gates/<ab>/<cd>/<id>/` holds what was asked (`request.yaml`, `request.md`) and what was
decided (`decision.yaml`). This branch only ever moves forward.
"""


def create(path: Path) -> None:
    """A new, empty ledger at a path, in one step: it is whole or it is not there."""
    if path.exists():
        return
    try:
        make_bare(
            path,
            {
                # Without these a reader at the far end must fetch every tree.
                "uploadpack.allowFilter": "true",
                "uploadpack.allowAnySHA1InWant": "true",
                "core.hooksPath": "/dev/null",
            },
        )
    except OSError as error:
        raise LedgerUnavailable(
            f"no ledger can be made at {path}: {error.strerror}; set HITL_LEDGER to a path or URL"
            " that can be written"
        ) from None
