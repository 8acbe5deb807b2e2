"""The last approved gates of each kind: `baselines/<ab>/<hash>.yaml`, on the ledger's branch alone.

Only the commit that records an approval writes one. A gate's branch never does: two open gates of
one kind would conflict, and GitHub runs no workflow for a pull request with conflicts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from bridge.core.comparison import (
    MOST_BASELINES,
    MOST_LISTED,
    Known,
    baseline_of,
    candidates,
    is_stale,
    known_from,
    last_run,
    path_of,
    with_newest,
)
from bridge.core.errors import LedgerCorrupt, StaleBaseline
from bridge.core.evaluation import Outcome
from bridge.core.model import ApprovalRequest, Approved, Baseline, Baselines, Decision
from bridge.core.records import baselines_in, baselines_out
from bridge.ledger.clone import GitClone
from bridge.ledger.gate_folders import GateFolders, record_ids
from bridge.ledger.git import BLOBS, FOLDER, Leaf, Tree
from bridge.ledger.open_gates import IS_ID
from bridge.policy.claims import asked_at


class BaselineFiles:
    """Reads them from one clone, and writes them to it.

    With `signed`, one counts only if its gate's decision is on record with a signature and says the
    same: anyone who may push could flatter a request by what it is compared with.
    """

    def __init__(self, clone: GitClone, gates: GateFolders, *, signed: bool) -> None:
        self._clone = clone
        self._gates = gates
        self._signed = signed

    def read(self, commits: Sequence[str], request: ApprovalRequest) -> Known:
        """Those at hand on any of these branches, newest first.

        What cannot be read is not there: it must not keep a gate from being opened or decided.
        """
        path = path_of(request)
        if path is None:
            return Known()
        folders = self._folders(commits, path)
        name = path.rpartition("/")[2]
        files = [each[name] for each in folders if name in each and each[name].mode in BLOBS]
        self._clone.bring_files(leaf.sha for leaf in files)
        found = known_from(each for leaf in files for each in self._file(leaf, path))
        if not self._signed:
            return found
        told = (each for each in found.approved if self._is_on_record(each, commits, path))
        return replace(found, approved=tuple(told))

    def at_hand(self, commits: Sequence[str], request: ApprovalRequest) -> tuple[Baseline, ...]:
        """What the request can be compared with, newest first. If it names a run whose values are
        at hand no more, its own record has them."""
        path = path_of(request)
        known = self.read(commits, request)
        if request.against is None or path is None or last_run(request, known.approved):
            return known.approved
        listed = candidates(request, known.listed)
        recorded = (self._recorded(each, commit, path) for each in listed for commit in commits)
        found = next((each for each in recorded if each), None)
        return (*known.approved, found) if found else known.approved

    def _is_on_record(self, told: Approved | Baseline, commits: Sequence[str], path: str) -> bool:
        return any(self._says_so(told, commit, path) for commit in commits)

    def _says_so(self, told: Approved | Baseline, commit: str, path: str) -> bool:
        known = self._recorded(told, commit, path)
        if known is None or isinstance(told, Baseline):
            return known == told
        return (known.key, known.decided_at) == (told.key, told.decided_at)

    def _recorded(self, told: Approved | Baseline, commit: str, path: str) -> Baseline | None:
        """The approval of this kind as its own record says it."""
        if not IS_ID.fullmatch(told.gate):
            return None
        try:
            files = self._gates.of([commit], told.gate)[commit]
            if "decision.yaml" not in files:
                return None
            self._clone.bring_files(record_ids([files]))
            found = self._gates.as_recorded(told.gate, files, commit, None)
        except LedgerCorrupt:
            return None
        decision = found.decision
        if decision is None or decision.outcome is not Outcome.APPROVED:
            return None
        return baseline_of(found.request, decision) if path_of(found.request) == path else None

    def _folders(self, commits: Sequence[str], path: str) -> list[Tree]:
        """One exchange a level, for however many commits."""
        self._clone.bring_roots(commits)
        trees = [self._clone.root(each) for each in commits]
        for name in path.split("/")[:-1]:
            self._clone.bring(trees)
            below = (self._clone.tree(each).get(name) for each in trees)
            trees = [leaf.sha for leaf in below if leaf and leaf.mode == FOLDER]
        self._clone.bring(trees)
        return [self._clone.tree(each) for each in trees]

    def _file(self, leaf: Leaf, path: str) -> Iterator[Baselines]:
        with suppress(LedgerCorrupt):
            found = baselines_in(self._clone.blob(leaf.sha), path)
            # No more than the bridge writes: each one's record is looked up.
            yield replace(
                found,
                approved=found.approved[:MOST_BASELINES],
                listed=found.listed[:MOST_LISTED],
            )

    def after(
        self,
        tree: str,
        ledger: str,
        commits: Sequence[str],
        request: ApprovalRequest,
        decision: Decision,
    ) -> str:
        """The tree of the commit that records this approval upon `ledger`, with its kind's file
        besides. `commits` are the tips of all branches of the record.

        Raises `StaleBaseline` if people were shown another comparison than was due.
        """
        path = path_of(request)
        if request.kind is None or path is None:
            return tree
        at = asked_at(decision.facts)

        def on_record(told: Approved | Baseline) -> bool:
            # Without signatures a list is worth what a record is. Of a run that is named the
            # record itself is looked up, as it was when the gate was opened.
            listed = isinstance(told, Approved) and not self._signed and request.against is None
            return listed or self._is_on_record(told, commits, path)

        # Without a proof of when it was asked, nobody but the opener looks after it anyway.
        if at and is_stale(request, self.read(commits, request), at, on_record):
            raise StaleBaseline(
                f"gate {request.gate.id} was compared with another gate than the one that was"
                " approved last: look at the new comparison and answer that"
            )
        own = self.read([ledger], request)
        before = Baselines(request.kind, own.approved, own.listed)
        text = baselines_out(with_newest(before, request, decision))
        *folders, name = path.split("/")
        return self._grown(tree, folders, {name: self._clone.write_blob(text)}).sha

    def _grown(self, tree: str | None, folders: Sequence[str], files: Tree) -> Leaf:
        entries = self._clone.tree(tree) if tree else {}
        if not folders:
            return self._clone.write_tree({**entries, **files})
        leaf = entries.get(folders[0])
        below = leaf.sha if leaf and leaf.mode == FOLDER else None
        return self._clone.write_tree(
            {**entries, folders[0]: self._grown(below, folders[1:], files)}
        )
