"""One gate in git: its folder in the trees of the ledger and of the gate's branch.

How a folder is found at a cost that does not grow with the years is in `docs/ledger.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from bridge.core import log
from bridge.core.decision_keys import (
    DecisionKey,
    NotSigned,
    elsewhere,
    objections_signer,
    signer,
    too_late,
    unsigned_until,
)
from bridge.core.digest import digest_of, holding
from bridge.core.errors import LedgerCorrupt, LostRequest
from bridge.core.facts import Fact, left_out
from bridge.core.model import (
    FOLDER_LEVELS,
    OBJECTIONS,
    OBJECTIONS_SIGNATURE,
    SIGNATURE,
    ApprovalRequest,
    Decision,
    Objections,
    Standing,
    branch_of,
    folder_of,
    is_asked_file,
)
from bridge.core.records import decision_in, objections_in, request_in
from bridge.ledger.clone import NO_SUCH_OBJECT, GitClone
from bridge.ledger.git import BLOBS, FOLDER, GitFailed, Leaf, Tree
from bridge.ledger.shard_refs import shards_of, with_newest
from bridge.policy.objections import lost, unlifted

_log = log.logger("ledger")
#: Commits whose folders beside the way are brought too, to take fewer exchanges. Each has 8 KB of
#: them at the first step, and at the second 17 KB if its branch holds 100,000 decisions.
_FEW: Final = 3
_MOST_FOLDERS: Final = 64 * 1024
#: The newest branches, on one of which a gate that is expected to be decided nearly always is: the
#: second one counts after the turn of the year or the month.
_LIKELY: Final = 2
#: Of more commits, the roots with what is in them: 1 KB each, and more the more kinds there are.
_MOST_ROOTS: Final = 32 * 1024
#: Of the gate's folder, its records: a larger one is fetched by itself, a picture not at all.
_SMALL: Final = "blob:limit=32k"
_MOST_FILES: Final = 256 * 1024
REQUEST_PAGE: Final = "request.md"
RECORDS = ("request.yaml", OBJECTIONS, OBJECTIONS_SIGNATURE, "decision.yaml", SIGNATURE)


class GateFolders:
    """The folders of gates, read from one clone and written to it.

    With `keys`, a decision that none of them signed is none: it raises `NotSigned`. Of objections
    that none of them signed, each one holds, and nothing is proven.
    """

    def __init__(self, clone: GitClone, keys: Sequence[DecisionKey] = ()) -> None:
        self._clone = clone
        self._keys = keys

    def standing(self, gate_id: str, refs: Mapping[str, str]) -> Standing | None:
        """The gate, from all of the ledger's branches: its opener chose the one that its request
        names, and must not get past a decision or an objection on another."""
        gate = refs.get(f"refs/heads/{branch_of(gate_id)}")
        shards = shards_of(refs)
        folders = self.of([*shards.values(), *([gate] if gate else [])], gate_id)
        self._clone.bring_files(record_ids(folders.values()))
        # The record first: a branch that outlived its decision changes nothing. Then the branch: a
        # request that was merged by hand is no decision, and asks only if the branch is gone.
        recorded = {name: sha for name, sha in shards.items() if sha != gate and folders[sha]}
        if found := self._decided(gate_id, recorded, folders, gate):
            return found
        asked = [gate] if gate and "request.yaml" in folders[gate] else []
        asked += [sha for sha in recorded.values() if "request.yaml" in folders[sha]]
        if not asked:
            return None
        files = with_objections(folders[asked[0]], {})
        if asked[0] != gate:  # a decision there is one that was copied
            files = {name: leaf for name, leaf in files.items() if is_asked_file(name)}
        found = self.as_recorded(gate_id, files, asked[0], gate)
        _check_home(found.request, recorded, folders)
        home = recorded.get(found.request.shard)
        seen = self._objections(found.request, folders[home] if home else {})
        return with_facts(replace(found, objections=seen.objections), seen.facts)

    def decided_lately(self, gate_id: str, refs: Mapping[str, str]) -> Standing | None:
        """The gate with its decision, if that is on one of the newest branches. None says nothing
        of the others.

        A second decision on another branch isn't seen. Who can make one is in
        `docs/decisions/0008-shards.md`.
        """
        gate = refs.get(f"refs/heads/{branch_of(gate_id)}")
        shards = shards_of(with_newest(refs, _LIKELY))
        folders = self.of(list(shards.values()), gate_id)
        self._clone.bring_files(record_ids(folders.values()))
        recorded = {name: sha for name, sha in shards.items() if sha != gate}
        return self._decided(gate_id, recorded, folders, gate)

    def _decided(
        self,
        gate_id: str,
        shards: Mapping[str, str],
        folders: Mapping[str, Tree],
        gate: str | None,
    ) -> Standing | None:
        """The gate with its decision. One that was copied to another branch is none there."""
        made = [
            (name, self.as_recorded(gate_id, folders[sha], sha, gate))
            for name, sha in shards.items()
            if "decision.yaml" in folders[sha]
        ]
        found = [each for name, each in made if each.request.shard == name]
        if len(found) > 1:
            both = " and ".join(each.request.shard for each in found)
            raise LedgerCorrupt(f"gate {gate_id} is decided on {both}: someone made one by hand")
        return found[0] if found else None

    def asked_at(self, source: str, gate_id: str, refs: Mapping[str, str]) -> tuple[Standing, Tree]:
        """The gate as this commit asks it, with the objections on record, and its files."""
        shards = shards_of(refs)
        folders = self.of([source, *shards.values()], gate_id)
        files = as_asked(folders[source])
        request = self.as_recorded(gate_id, files, source, None).request
        _check_home(request, shards, folders)
        home = shards.get(request.shard)
        files = with_objections(files, folders[home] if home else {})
        self._clone.bring(leaf.sha for leaf in files.values())
        return self.as_recorded(gate_id, files, source, None), files

    def as_recorded(self, gate_id: str, files: Tree, commit: str, gate: str | None) -> Standing:
        folder = folder_of(gate_id)
        if "request.yaml" not in files:
            raise LedgerCorrupt(f"{folder} has a decision and no request")
        request = request_in(self._text(gate_id, files, "request.yaml"), f"{folder}/request.yaml")
        if request.gate.id != gate_id:
            raise LedgerCorrupt(f"{folder}/request.yaml is the request of gate {request.gate.id}")
        decision = None
        if "decision.yaml" in files:
            if commit == gate:
                raise LedgerCorrupt(
                    f"gate/{gate_id} has a decision, which only the record may have"
                )
            text = self._text(gate_id, files, "decision.yaml")
            decision = decision_in(text, f"{folder}/decision.yaml")
            _belongs(decision, request)
            if self._keys:
                self._check_signature(request, decision, text, files)
        seen = self._objections(request, files)
        page = files.get(REQUEST_PAGE)
        shown = page.sha if page and page.mode in BLOBS else None
        found = Standing(request, decision, commit, gate, seen.objections, page=shown)
        return with_facts(found, seen.facts)

    def _check_signature(
        self, request: ApprovalRequest, decision: Decision, text: str, files: Tree
    ) -> None:
        gate_id = request.gate.id
        signature = self._optional(gate_id, files, SIGNATURE)
        if wrong := elsewhere(request, self._clone.remote.where):
            raise NotSigned(f"the decision of {request.gate.key} doesn't count here: {wrong}")
        if signature is None and self._is_older_than_keys(gate_id, files, "decision.yaml"):
            return
        by = signer(self._keys, request, decision, text, signature)
        if by.until and not self._had(by.until, gate_id, "decision.yaml", files):
            raise too_late(request, by)

    def _had(self, commits: Sequence[str], gate_id: str, name: str, files: Tree) -> bool:
        """Whether one of these commits of the ledger has exactly this file, at the cost of one more
        gate."""
        try:
            folders = self.of(commits, gate_id).values()
            return any(folder.get(name) == files[name] for folder in folders)
        except GitFailed as error:
            if not any(sign in error.said for sign in NO_SUCH_OBJECT):
                raise
            raise NotSigned(
                f"a commit that HITL_KEYS names ({', '.join(commits)}) isn't in"
                f" {self._clone.remote.where}: take it from `git log` of the ledger's branch"
            ) from None

    def _objections(self, request: ApprovalRequest, files: Tree) -> Objections:
        gate_id = request.gate.id
        if OBJECTIONS not in files:
            return Objections(gate_id)
        where = f"{folder_of(gate_id)}/{OBJECTIONS}"
        text = self._text(gate_id, files, OBJECTIONS)
        found = objections_in(text, where)
        if found.gate_id != gate_id:
            raise LedgerCorrupt(f"{where} is that of gate {found.gate_id}")
        if self._keys and not self._is_signed(request, text, files):
            _log.debug("%s: no good signature, so it lifts and proves nothing", where)
            return unlifted(found)
        return found

    def _is_signed(self, request: ApprovalRequest, text: str, files: Tree) -> bool:
        gate_id = request.gate.id
        signature = self._optional(gate_id, files, OBJECTIONS_SIGNATURE)
        if signature is None:
            return self._is_older_than_keys(gate_id, files, OBJECTIONS)
        by = objections_signer(self._keys, request, text, signature)
        if by is None:
            return False
        return not by.until or self._had(by.until, gate_id, OBJECTIONS, files)

    def _is_older_than_keys(self, gate_id: str, files: Tree, name: str) -> bool:
        """Whether the ledger had exactly this file when its first key came."""
        first = unsigned_until(self._keys)
        return bool(first) and self._had(first, gate_id, name, files)

    def _optional(self, gate_id: str, files: Tree, name: str) -> str | None:
        return self._text(gate_id, files, name) if name in files else None

    def _text(self, gate_id: str, files: Tree, name: str) -> str:
        if files[name].mode not in BLOBS:
            raise LedgerCorrupt(f"{folder_of(gate_id)}/{name} is not a file")
        return self._clone.blob(files[name].sha)

    def of(self, commits: Sequence[str], gate_id: str) -> dict[str, Tree]:
        """The gate's folder in each of these commits."""
        few = len(set(commits)) <= _FEW
        if few:  # the root, `gates`, every `<a>`
            self._clone.bring_along(commits, "tree:3", _MOST_FOLDERS)
        else:  # the root and `gates`
            self._clone.bring_along(commits, "tree:2", _MOST_ROOTS)
        found = self.everywhere([(commit, gate_id) for commit in commits], along=few)
        return {commit: folder for (commit, _), folder in found.items()}

    def everywhere(
        self, places: Sequence[tuple[str, str]], *, along: bool = False
    ) -> dict[tuple[str, str], Tree]:
        """The folder at each (commit, gate): one exchange for each level, however many they are.

        `along`: some levels come with the one above, at the cost of their other folders.
        """
        self._clone.bring_roots(list(dict.fromkeys(commit for commit, _ in places)))
        trees = {place: self._clone.root(place[0]) for place in places}
        for level in range(FOLDER_LEVELS + 2):
            if along and level == FOLDER_LEVELS:  # `<b>` and every `<c>` in it
                self._clone.bring_along(trees.values(), "tree:1", _MOST_FOLDERS)
            self._clone.bring(trees.values())
            below = {
                (commit, gate_id): self._clone.tree(sha).get(folder_of(gate_id).split("/")[level])
                for (commit, gate_id), sha in trees.items()
            }
            trees = {
                place: leaf.sha for place, leaf in below.items() if leaf and leaf.mode == FOLDER
            }
        # One gate is on one branch, of which there may be twenty.
        if len(trees) <= _FEW and len({gate_id for _, gate_id in places}) == 1:
            self._clone.bring_along(trees.values(), _SMALL, _MOST_FILES)
        self._clone.bring(trees.values())
        found = {place: self._clone.tree(sha) for place, sha in trees.items()}
        return {place: found.get(place, {}) for place in places}

    def with_files(self, commit: str, gate_id: str, files: Tree) -> str:
        """The commit's tree with this gate's folder set to these files."""

        def grow(entries: Tree, names: Sequence[str]) -> Leaf:
            if not names:
                return self._clone.write_tree(files)
            leaf = entries.get(names[0])
            below = self._clone.tree(leaf.sha) if leaf and leaf.mode == FOLDER else {}
            return self._clone.write_tree({**entries, names[0]: grow(below, names[1:])})

        return grow(self._clone.tree(self._clone.root(commit)), folder_of(gate_id).split("/")).sha

    def bring_records(self, gates: Sequence[str], refs: Mapping[str, str]) -> None:
        if len(gates) == 1:
            return  # which is read as cheaply
        shards = shards_of(refs).values()
        places = [
            (sha, gate_id)
            for gate_id in gates
            for sha in (*shards, refs.get(f"refs/heads/{branch_of(gate_id)}"))
            if sha
        ]
        self._clone.bring_files(record_ids(self.everywhere(places).values()))


def record_ids(folders: Iterable[Tree]) -> Iterator[str]:
    """The files to read. What a gitlink names is nowhere, and one fetch brings all of them."""
    for files in folders:
        found = (files[name] for name in RECORDS if name in files)
        yield from (leaf.sha for leaf in found if leaf.mode in BLOBS)


def as_asked(files: Tree) -> Tree:
    """What of a gate's branch is recorded: anybody who opens gates may push what they like there.

    A link or a script would be one in the checkout of a reader of the record.
    """
    return {
        name: Leaf("100644", leaf.sha)
        for name, leaf in files.items()
        if is_asked_file(name) and leaf.mode in BLOBS
    }


def with_objections(files: Tree, recorded: Tree) -> Tree:
    """The files with the objections of the record: a gate's branch has no say in them."""
    own = (OBJECTIONS, OBJECTIONS_SIGNATURE)
    others = {name: leaf for name, leaf in files.items() if name not in own}
    return {**others, **{name: recorded[name] for name in own if name in recorded}}


def _check_home(
    request: ApprovalRequest, shards: Mapping[str, str], folders: Mapping[str, Tree]
) -> None:
    """Its opener, who names a branch, must not leave objections behind on another."""
    others = [name for name, sha in shards.items() if OBJECTIONS in folders[sha]]
    if left := [name for name in others if name != request.shard]:
        raise LedgerCorrupt(
            f"gate {request.gate.id} asks to be recorded on {request.shard}, and {left[0]} has what"
            " was objected to it: delete its branch, and open the gate again"
        )


def _belongs(decision: Decision, request: ApprovalRequest) -> None:
    if decision.gate_id != request.gate.id or decision.request_digest != digest_of(request):
        raise LedgerCorrupt(
            f"the decision in {request.gate.folder} answers another request than the one beside it"
        )


def is_answer(found: Standing, asked: ApprovalRequest) -> bool:
    """Whether what is there is the answer to opening this, or must make room for it."""
    if found.request.gate != asked.gate:
        raise LedgerCorrupt(
            f"the id {asked.gate.id} belongs to {found.request.gate.key} of"
            f" {found.request.gate.origin} already"
        )
    same = digest_of(found.request) == digest_of(asked)
    return found.decision is not None or (same and found.head is not None)


def with_facts(found: Standing, facts: Sequence[Fact]) -> Standing:
    """The gate with the facts on record. Those of another request than the present are apart."""
    own = holding(facts, found.request)
    return replace(found, facts=own, other_facts=left_out(facts, own))


def still_asked(found: Standing, decision: Decision) -> str:
    """The gate branch's commit that the decision answers. Raises `LostRequest`."""
    if found.head is None:
        raise LostRequest(
            f"the branch of gate {decision.gate_id} is gone, though it was never decided:"
            " open the gate again and answer that"
        )
    if digest_of(found.request) != decision.request_digest:
        raise LostRequest(
            f"gate {decision.gate_id} was asked again while it was being decided:"
            " read the new request and answer that"
        )
    if lost(found.objections, decision.objections):
        raise LostRequest(
            f"someone objected to gate {decision.gate_id} while it was being decided:"
            " look at it again"
        )
    if left_out(found.facts, decision.facts):
        raise LostRequest(
            f"more was learned about the run of gate {decision.gate_id} while it was being decided:"
            " look at it again"
        )
    return found.head
