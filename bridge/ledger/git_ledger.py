"""The ledger in git: a record of requests and decisions that `git log` alone can audit.

The layout, and how one gate is found at a cost that does not grow with the years, are in
`docs/ledger.md`. The branch `approvals` only ever moves forward; `gate/<id>` exists while a gate is
open. A push is the compare-and-swap.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from heapq import merge
from itertools import islice, takewhile
from pathlib import Path

from bridge.core.decision_keys import DecisionKey
from bridge.core.entry import Tell, tell_nobody
from bridge.core.errors import (
    LedgerUnavailable,
    NoSuchGate,
)
from bridge.core.evaluation import Objection
from bridge.core.facts import Fact
from bridge.core.listing import Listing
from bridge.core.log_filter import Wanted
from bridge.core.model import (
    ApprovalRequest,
    Baseline,
    Decision,
    Recorded,
    Standing,
    branch_of,
)
from bridge.core.picture import Drawn
from bridge.core.records import request_out
from bridge.core.shards import FIRST, asked_on
from bridge.ledger import many_gates, names, new_branch
from bridge.ledger.baselines import BaselineFiles
from bridge.ledger.clone import ALL_HISTORY, GitClone
from bridge.ledger.commit_message import (
    objections_message,
    recorded,
    request_message,
)
from bridge.ledger.commit_trailers import first_parent
from bridge.ledger.commits import BRIDGE, Commits
from bridge.ledger.entries import WholeRecord
from bridge.ledger.exchanges import Exchanges, LostRace
from bridge.ledger.gate_folders import (
    GateFolders,
    is_answer,
    with_facts,
    with_objections,
)
from bridge.ledger.git import BLOBS, GitFailed, Tree, make_bare
from bridge.ledger.open_gates import apart, listing, open_heads
from bridge.ledger.picture_files import check_pictures
from bridge.ledger.queue import WAITING, Line
from bridge.ledger.record_decisions import DecisionRecorder
from bridge.ledger.recording import check_recorded
from bridge.ledger.remote import Remote
from bridge.ledger.shard_refs import SHARDS, heads_in_one, home_of, ref_of, shards_of
from bridge.ledger.signed_files import SignedFiles

#: Decisions that may have come since a deliverer looked last.
_A_FEW = 8


class GitLedger:
    """The `Ledger` port, in git.

    `remote` is a path or a URL, or what makes a new one each time, if the credential in it ends.
    `sign`: git signs each commit. `signature` signs a statement in a namespace. With `keys`, what
    none of them signed is no decision, and lifts and proves nothing.
    """

    def __init__(
        self,
        remote: str | Callable[[], str],
        cache: Path,
        *,
        sign: bool = False,
        signature: Callable[[bytes, str], str] | None = None,
        keys: Sequence[DecisionKey] = (),
    ) -> None:
        self._remote = Remote(remote)
        self._clone = GitClone(self._remote, cache)
        self._exchanges = Exchanges(self._clone)
        self._listing = apart(self._remote, cache)
        self._gates = GateFolders(self._clone, keys)
        self._baselines = BaselineFiles(self._clone, self._gates, signed=bool(keys))
        self._commits = Commits(self._clone, sign)
        self._files = SignedFiles(self._clone, signature, keys)
        self._line = Line(
            self._clone, self._exchanges, self._commits, signature, trusts_unsigned=not keys
        )
        self._decisions = DecisionRecorder(
            self._clone, self._exchanges, self._gates, self._baselines, self._files, self._commits,
            self._line,
        )  # fmt: skip
        self._keys = keys
        self._seen: tuple[tuple[str, str], ...] = ()  # the branches, as of the last look at a gate
        self._last: tuple[str, dict[str, str]] | None = None  # the same with that gate's, and which
        self._opening: tuple[str, dict[str, str]] | None = None  # the same of one that opens next

    @property
    def where(self) -> str:
        return self._remote.where

    @property
    def is_path(self) -> bool:
        return self._remote.is_path

    def connected(self) -> AbstractContextManager[None]:
        return self._remote.connected()

    # -- writing -----------------------------------------------------------------------------

    def branch_for(self, request: ApprovalRequest) -> str:
        # On GitHub only the decider may make a branch.
        return self._branch_at(request.opened_at, begin=request.forge is None)

    def begin_branch(self, at: datetime) -> str:
        return self._branch_at(at, begin=True)

    def _branch_at(self, at: datetime, *, begin: bool) -> str:
        def attempt() -> str:
            shards = dict(self._seen) or shards_of(self._clone.remote_refs(SHARDS))
            newest = asked_on(shards, at)
            due = new_branch.due(self._clone, shards, at) if begin else None
            if newest is None or due is None:
                return newest or FIRST
            name, turn = due
            tree = new_branch.next_tree(self._clone, shards[newest], name, turn)
            message = new_branch.first_message(name, shards)
            commit = self._commits.make(tree, [], message, author=BRIDGE, at=at)
            self._seen, self._opening = (), None
            lease = {ref_of(newest): shards[newest], ref_of(name): ""}
            self._exchanges.push({ref_of(name): commit}, lease=lease)
            return name

        return self._exchanges.repeat(attempt)

    def open(self, request: ApprovalRequest, page: str, drawn: Sequence[Drawn] = ()) -> Standing:
        from bridge.render.request import headline  # here, because reading does without it

        def attempt() -> Standing:
            # Upon what was read before it: the push finds out whether that still is so.
            refs = self._opening_refs(request.gate.id) or self._refs(request.gate.id)
            self._opening = None
            if not shards_of(refs):
                refs = {**refs, ref_of(FIRST): self._begin(request.opened_at)}
            home, ledger = home_of(request, refs)
            found = self._gates.standing(request.gate.id, refs)
            if found and is_answer(found, request):
                return found
            asked = {
                "request.yaml": self._clone.write_blob(request_out(request)),
                "request.md": self._clone.write_blob(page),
                **self._pictures(request, drawn, found),
            }
            files = with_objections(asked, self._gates.of([ledger], request.gate.id)[ledger])
            commit = self._commits.make(
                self._gates.with_files(ledger, request.gate.id, files),
                [ledger],
                request_message(request, headline(request)),
                author=BRIDGE,
                at=request.opened_at,
            )
            ref = f"refs/heads/{request.gate.branch}"
            before = refs.get(ref)
            if before:
                # If another machine opened it, this one has not all of it, and a push looks at
                # what the remote has at the same paths.
                folder = self._gates.of([before], request.gate.id)[before]
                self._clone.bring(leaf.sha for leaf in folder.values() if leaf.mode in BLOBS)
            self._exchanges.push({ref: commit}, lease={home: ledger, ref: before or ""})
            self._last = request.gate.id, {**refs, ref: commit}
            if found:
                new = replace(found, request=request, commit=commit, head=commit)
                return with_facts(new, found.facts + found.other_facts)
            return Standing(request, None, commit, commit)

        return self._exchanges.repeat(attempt)

    def hold(
        self, gate_id: str, objections: tuple[Objection, ...] = (), facts: tuple[Fact, ...] = ()
    ) -> Standing:
        from bridge.policy.objections import merged
        from bridge.render.request import headline

        def attempt() -> Standing:
            refs = self._refs(gate_id)
            found = self._gates.standing(gate_id, refs)
            if found is None:
                raise NoSuchGate(f"the ledger {self.where} has no gate {gate_id}")
            whole = merged(found.objections, objections)
            recorded = found.other_facts + found.facts
            known = tuple(dict.fromkeys((*recorded, *facts)))
            if found.decision or (whole, known) == (found.objections, recorded):
                return found
            home, ledger = home_of(found.request, refs)
            files = with_objections(
                self._gates.of([ledger], gate_id)[ledger],
                self._files.objections(found.request, whole, known),
            )
            commit = self._commits.make(
                self._gates.with_files(ledger, gate_id, files),
                [ledger],
                objections_message(found.request, whole, known, headline(found.request)),
                author=BRIDGE,
            )
            self._exchanges.push({home: commit}, lease={home: ledger})
            self._last = gate_id, {**refs, home: commit}
            return with_facts(replace(found, objections=whole), known)

        return self._exchanges.repeat(attempt)

    def record(self, decision: Decision) -> Standing:
        after = self.record_all([decision])[decision.gate_id]
        if isinstance(after, Exception):
            raise after
        return after

    def record_all(self, decisions: Sequence[Decision]) -> Mapping[str, Standing | Exception]:
        # It is pushed upon what it was judged by: the push finds out whether that still is so.
        last, self._last = self._last, None
        alone = len(decisions) == 1 and last is not None and last[0] == decisions[0].gate_id
        return self._decisions.record(decisions, last[1] if last and alone else None)

    def renew(self, gate_id: str, commit: str | None = None) -> Standing:
        from bridge.render.request import headline, request_md

        def attempt() -> Standing:
            refs = self._refs(gate_id)
            gate = f"refs/heads/{branch_of(gate_id)}"
            # What somebody else pushed is not even looked at: its trees would spoil our push.
            looked_at = {ref: refs[ref] for ref in refs if commit is None or ref != gate}
            found = self._gates.standing(gate_id, looked_at)
            if found and found.decision:
                return found
            source = commit or (found.commit if found else None)
            if not shards_of(refs) or source is None:
                raise NoSuchGate(f"the ledger {self.where} has no gate {gate_id}")
            before, files = self._gates.asked_at(source, gate_id, refs)
            home, ledger = home_of(before.request, refs)
            # Its opener wrote the other one, and it may say what the request does not.
            page = self._clone.write_blob(request_md(before.request))
            made = self._commits.make(
                self._gates.with_files(ledger, gate_id, {**files, "request.md": page}),
                [ledger],
                # A second commit of the same second upon the same record would be the first again.
                request_message(before.request, headline(before.request))
                + f"Asked-Before: {source}\n",
                author=BRIDGE,
                at=before.request.opened_at,
            )
            self._exchanges.push({gate: made}, lease={home: ledger, gate: refs.get(gate, "")})
            return replace(before, commit=made, head=made)

        return self._exchanges.repeat(attempt)

    def settle(self, *gate_ids: str) -> None:
        try:
            self._exchanges.alone(lambda: self._forget(gate_ids))
        except LostRace:  # and somebody may keep pushing to one of them
            for each in gate_ids:
                self._exchanges.repeat(partial(self._forget, [each]))

    def _forget(self, gate_ids: Sequence[str]) -> None:
        branches = {each: f"refs/heads/{branch_of(each)}" for each in gate_ids}
        refs = self._clone.remote_refs(SHARDS, *branches.values())
        there = {gate_id: ref for gate_id, ref in branches.items() if ref in refs}
        self._gates.bring_records(list(there), refs)
        shards = {ref: sha for ref, sha in refs.items() if ref not in branches.values()}
        found = {
            ref: self._gates.standing(gate_id, {**shards, ref: refs[ref]})
            for gate_id, ref in there.items()
        }
        over = {ref: refs[ref] for ref, standing in found.items() if standing and standing.decision}
        if over:
            self._exchanges.push(dict.fromkeys(over, ""), lease=over)

    # -- reading -----------------------------------------------------------------------------

    def before_opening(self, request: ApprovalRequest) -> Standing | None:
        def attempt() -> Standing | None:
            found = self.read(request.gate.id)
            self._opening = self._last
            if found is None and self._seen:  # who opens it needs them, on this connection
                self._baselines.at_hand([sha for _, sha in self._seen], request)
            return found

        return self._exchanges.alone(attempt)

    def read(self, gate_id: str) -> Standing | None:
        return self._exchanges.alone(lambda: self._read(gate_id, self._asked_of(gate_id)))

    def read_decided(self, gate_id: str) -> Standing | None:
        def attempt() -> Standing | None:
            refs = self._asked_of(gate_id)
            found = self._gates.decided_lately(gate_id, refs)
            return self._checked(found) if found else self._read(gate_id, refs)

        return self._exchanges.alone(attempt)

    def _asked_of(self, gate_id: str) -> dict[str, str]:
        return self._refs(gate_id, WAITING)  # who decides it must not overtake the line

    def _read(self, gate_id: str, refs: Mapping[str, str]) -> Standing | None:
        found = self._gates.standing(gate_id, refs)
        if found and not found.decision:  # who decides it needs them, on this connection
            self._baselines.read(list(shards_of(refs).values()), found.request)
        return found and self._checked(found)

    def _checked(self, found: Standing) -> Standing:
        if self._remote.here and not self._keys:
            check_recorded(self._remote.here, found)
        return found

    def baselines(self, request: ApprovalRequest) -> tuple[Baseline, ...]:
        def attempt() -> tuple[Baseline, ...]:
            refs = self._opening_refs(request.gate.id) or self._clone.remote_refs(SHARDS)
            shards = shards_of(refs)
            return self._baselines.at_hand(list(shards.values()), request) if shards else ()

        return self._exchanges.alone(attempt)

    def read_all(self, gate_ids: Iterable[str]) -> Mapping[str, Standing]:
        return many_gates.read_all(self._exchanges, self._gates, list(gate_ids))

    def decided(self, gate_ids: Iterable[str]) -> Mapping[str, Standing]:
        return many_gates.decided(self._exchanges, self._gates, list(gate_ids))

    def recorded(self, gate_ids: Iterable[str]) -> frozenset[str]:
        return many_gates.recorded(self._exchanges, self._gates, list(gate_ids))

    def decided_since(self, head: str | None) -> tuple[str | None, tuple[str, ...]]:
        tips = self._exchanges.told(lambda: self._clone.remote_refs(SHARDS))
        now = heads_in_one(tips)
        if head is None or now is None or now == head:
            return now, ()  # as most often: nobody's clone is held for that
        before = frozenset(head.split())
        moved = [sha for sha in shards_of(tips).values() if sha not in before]

        def attempt() -> tuple[str, ...]:
            walks = (self._newest_first(_A_FEW, sha, before) for sha in moved)
            return tuple(each.id for walk in walks for each in walk)

        return now, self._exchanges.alone(attempt)

    def head(self) -> str | None:
        return heads_in_one(self._exchanges.told(lambda: self._clone.remote_refs(SHARDS)))

    def heads(self, gate_id: str) -> Mapping[str, str]:
        return self._exchanges.told(lambda: self._refs(gate_id))

    def listing(self) -> Listing:
        return listing(self._listing)

    def open_heads(self) -> Mapping[str, str]:
        return open_heads(self._exchanges)

    def history(
        self, limit: int, wanted: Wanted | None = None, reads: Callable[[int], None] | None = None
    ) -> tuple[Recorded, ...]:
        def attempt() -> tuple[Recorded, ...]:
            heads = list(shards_of(self._clone.remote_refs(SHARDS)).values())
            likely = min(limit, 1_000) if wanted and wanted.since else limit
            logs = [self._newest_first(likely, each) for each in heads[-1:]]
            logs += [self._newest_first(1, each) for each in heads[:-1]]
            found: Iterable[Recorded]
            found = merge(*logs, key=lambda each: each.decided_at, reverse=True)
            found = _without_copies(_counted(found, reads) if reads else found)
            if wanted:
                found = filter(wanted.fits, takewhile(lambda each: not wanted.is_past(each), found))
            return tuple(islice(found, limit))

        return self._exchanges.alone(attempt)

    @contextmanager
    def whole(self, *, keep: bool = False, tell: Tell = tell_nobody) -> Iterator[WholeRecord]:
        try:
            heads = shards_of(self._clone.remote_refs(SHARDS))
            named = {ref_of(branch): head for branch, head in heads.items()}
            cloned = self._clone.whole(named, keep=keep, tell=tell)
            with cloned as clone, clone.reader() as reader:
                try:
                    yield WholeRecord(clone, reader)
                except GitFailed:
                    clone.discard()
                    raise
        except (GitFailed, OSError) as error:
            raise self._exchanges.unavailable(error) from None

    def resolve(self, name: str) -> str:
        return names.resolve(self._exchanges, self.read_all, name)

    def _newest_first(
        self, likely: int, head: str, until: Collection[str] = ()
    ) -> Iterator[Recorded]:
        """The recorded decisions from their commits, fetched deeper as they are asked for."""
        sha: str | None = head
        depth = max(likely, 1)
        while sha and sha not in until:
            if not self._clone.has(sha):
                # From the head each time: some servers give only what a branch points at.
                self._clone.deepen(head, depth)
                if depth < ALL_HISTORY and not self._clone.has(sha):
                    depth = min(depth * 4, ALL_HISTORY)
                    continue
            commit = self._clone.passing(sha)
            found = recorded(sha, commit)
            if found:
                yield found
            sha = first_parent(commit)

    # -- one gate in git ---------------------------------------------------------------------

    def _refs(self, gate_id: str, *others: str) -> dict[str, str]:
        refs = self._clone.remote_refs(SHARDS, f"refs/heads/{branch_of(gate_id)}", *others)
        self._seen = tuple(shards_of(refs).items())
        self._last, self._opening = (gate_id, refs), None
        return refs

    def _opening_refs(self, gate_id: str) -> dict[str, str] | None:
        found = self._opening
        return found[1] if found and found[0] == gate_id else None

    def _pictures(
        self, request: ApprovalRequest, drawn: Sequence[Drawn], found: Standing | None
    ) -> Tree:
        new = {each.picture: self._clone.write_blob(each.png) for each in drawn}
        before: Tree = {}
        if found and any(each not in new for each in request.pictures):
            before = self._gates.of([found.commit], request.gate.id)[found.commit]
        files = {**before, **{picture.file: leaf for picture, leaf in new.items()}}
        check_pictures(self._clone, request, files)
        return {each.file: files[each.file] for each in request.pictures}

    def _begin(self, at: datetime) -> str:
        """The ledger's first commit, if there is none."""
        tree = new_branch.first_tree(self._clone, at)
        commit = self._commits.make(tree, [], "The ledger begins\n", author=BRIDGE, at=at)
        self._exchanges.push({ref_of(FIRST): commit}, lease={ref_of(FIRST): ""})
        return commit


def _counted(found: Iterable[Recorded], reads: Callable[[int], None]) -> Iterator[Recorded]:
    for number, each in enumerate(found, 1):
        reads(number)
        yield each


def _without_copies(found: Iterable[Recorded]) -> Iterator[Recorded]:
    """A branch that somebody copied, whole or by `git cherry-pick`, has the same decisions again.

    What differs in anything but its commit is no copy: an auditor has to see both.
    """
    seen = set()
    for each in found:
        says = replace(each, commit="")
        if says not in seen:
            seen.add(says)
            yield each


def create(path: Path) -> None:
    """A new, empty ledger at a path, in one step: it is whole or it is not there."""
    try:
        if path.exists():
            return
        make_bare(
            path,
            {
                # Without these a reader at the far end must fetch every tree.
                "uploadpack.allowFilter": "true",
                "uploadpack.allowAnySHA1InWant": "true",
                # Without it an old git sorts the whole pack anew for each object it serves.
                "pack.writeReverseIndex": "true",
                "core.hooksPath": "/dev/null",
                # What a person's own settings refuse everywhere else, this repository needs.
                "receive.denyDeletes": "false",
                "receive.denyNonFastForwards": "false",
                "transfer.fsckObjects": "false",
            },
        )
    except (OSError, GitFailed) as error:
        why = error.said if isinstance(error, GitFailed) else error.strerror
        raise LedgerUnavailable(
            f"no ledger can be made at {path}: {why}; set HITL_LEDGER to a path or URL"
            " that can be written"
        ) from None
