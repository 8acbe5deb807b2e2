"""Record decisions: one push of as many commits, each upon the one before it.

The push is the compare-and-swap for all of them. What is amiss with one gate is that gate's alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from bridge.core.errors import LedgerCorrupt, LedgerUnavailable, NoSuchGate
from bridge.core.evaluation import Outcome
from bridge.core.model import Decision, Standing, branch_of
from bridge.ledger.baselines import BaselineFiles
from bridge.ledger.clone import GitClone
from bridge.ledger.commit_message import decision_message
from bridge.ledger.commits import BRIDGE, Commits
from bridge.ledger.exchanges import Declined, Exchanges
from bridge.ledger.gate_folders import GateFolders, as_asked, still_asked, with_objections
from bridge.ledger.git import GitFailed, Tree
from bridge.ledger.picture_files import check_pictures, without_other_pictures
from bridge.ledger.shard_refs import SHARDS, home_of, ref_of, shards_of
from bridge.ledger.signed_files import SignedFiles

#: What became of each gate.
Recorded = Mapping[str, Standing | Exception]
_Done = dict[str, Standing | Exception]


@dataclass(frozen=True, slots=True)
class _Due:
    """A gate that waits for this decision."""

    found: Standing
    head: str
    home: str  # the ledger's branch that records it
    files: Tree  # of its request and its objections
    decision: Decision

    @property
    def branch(self) -> str:
        return _branch(self.decision.gate_id)

    @property
    def approved(self) -> bool:
        return self.decision.outcome is Outcome.APPROVED


@dataclass(slots=True)
class _Tries:
    """What is remembered from one try to the next."""

    known: Mapping[str, str] | None  # the branches, for the first of them
    heads: dict[str, str | None] = field(default_factory=dict)
    restless: set[str] = field(default_factory=set)

    def saw(self, decision: Decision, refs: Mapping[str, str]) -> None:
        head = refs.get(_branch(decision.gate_id))
        if self.heads.setdefault(decision.gate_id, head) != head:
            self.restless.add(decision.gate_id)


class DecisionRecorder:
    """Writes decisions into one clone and pushes them."""

    def __init__(
        self,
        clone: GitClone,
        exchanges: Exchanges,
        gates: GateFolders,
        baselines: BaselineFiles,
        files: SignedFiles,
        commits: Commits,
    ) -> None:
        self._clone = clone
        self._exchanges = exchanges
        self._gates = gates
        self._baselines = baselines
        self._files = files
        self._commits = commits

    def record(
        self, decisions: Sequence[Decision], known: Mapping[str, str] | None = None
    ) -> Recorded:
        """What became of each, by gate: the gate as it is now, or why nothing was recorded.

        `known`: the branches as somebody has just seen them.
        """
        wanted = {each.gate_id: each for each in reversed(decisions)}  # the first of each gate
        return self._together(list(wanted.values())[::-1], known)

    def _together(
        self, decisions: Sequence[Decision], known: Mapping[str, str] | None = None
    ) -> Recorded:
        tries = _Tries(known)
        try:
            done = self._exchanges.repeat(lambda: self._try(decisions, tries))
        except Declined as error:
            if len(decisions) == 1:
                return {decisions[0].gate_id: error}
            # Perhaps for one of them, such as a reason that looks like a secret to the server.
            half = len(decisions) // 2
            return {**self._together(decisions[:half]), **self._together(decisions[half:])}
        except LedgerUnavailable as error:
            return {each.gate_id: error for each in decisions}
        for each in decisions:
            if each.gate_id not in done:
                done = {**done, **self._together([each])}
        return done

    def _try(self, decisions: Sequence[Decision], tries: _Tries) -> Recorded:
        known, tries.known = tries.known, None
        if known:
            done: _Done = {}
            made = self._made(self._due(decisions, known, done), known, done)
            # Nothing but a push is believed of it, and it must find every branch as it was.
            if made:
                shards = {ref_of(name): sha for name, sha in shards_of(known).items()}
                self._push(made, known, shards)
                return done
        refs = self._clone.remote_refs(SHARDS, *(_branch(each.gate_id) for each in decisions))
        for each in decisions:
            tries.saw(each, refs)
        if len(decisions) > 1:
            # Whoever keeps pushing to one gate's branch would make all lose each race.
            decisions = [each for each in decisions if each.gate_id not in tries.restless]
        done = {}
        self._push(self._made(self._due(decisions, refs, done), refs, done), refs)
        return done

    def _due(
        self, decisions: Sequence[Decision], refs: Mapping[str, str], done: _Done
    ) -> list[_Due]:
        with suppress(LedgerCorrupt):  # of one of them, and it is found again below
            self._gates.bring_records([each.gate_id for each in decisions], refs)
        due = []
        for each in decisions:
            with _aside(done, each.gate_id):
                found = self._gates.standing(each.gate_id, refs)
                if found is None:
                    raise NoSuchGate(f"the ledger {self._clone.where} has no gate {each.gate_id}")
                if found.decision:
                    done[each.gate_id] = found
                else:
                    due.append(self._asked(found, each, refs))
        return due

    def _asked(self, found: Standing, decision: Decision, refs: Mapping[str, str]) -> _Due:
        head = still_asked(found, decision)
        home, ledger = home_of(found.request, refs)
        folders = self._gates.of([head, ledger], decision.gate_id)
        files = with_objections(as_asked(folders[head]), folders[ledger])
        files = without_other_pictures(found.request, files)
        if decision.outcome is Outcome.APPROVED:
            check_pictures(self._clone, found.request, files)
        return _Due(found, head, home, files, decision)

    def _made(
        self, due: Sequence[_Due], refs: Mapping[str, str], done: _Done
    ) -> list[tuple[_Due, Standing]]:
        """A commit for each, upon the one before it."""
        # git sees what is there already by a commit's parents, and the push sends all other files.
        unjoined = [each for each in due if not each.approved]
        self._clone.bring(leaf.sha for each in unjoined for leaf in each.files.values())
        made: list[tuple[_Due, Standing]] = []
        tips = dict(refs)
        for each in due:
            with _aside(done, each.decision.gate_id):
                after = self._decided(each, tips)
                tips[each.home] = after.commit
                made.append((each, after))
                done[each.decision.gate_id] = after
        return made

    def _decided(self, due: _Due, tips: Mapping[str, str]) -> Standing:
        from bridge.render.request import headline  # here, because reading does without it

        ledger = tips[due.home]
        request, final = due.found.request, replace(due.decision, previous=ledger)
        files = {**due.files, **self._files.decision(request, final)}
        tree = self._gates.with_files(ledger, request.gate.id, files)
        if due.approved:
            shards = list(shards_of(tips).values())
            tree = self._baselines.after(tree, ledger, shards, request, final)
        commit = self._commits.make(
            tree,
            # An approval joins the gate's own commit to the record, as a merged pull request does.
            [ledger, due.head] if due.approved else [ledger],
            decision_message(request, final, headline(request)),
            author=final.votes[0].actor if final.votes else BRIDGE,
            at=final.decided_at,
        )
        # A forge sees the merge first.
        kept = due.head if request.forge else None
        return replace(due.found, decision=final, commit=commit, head=kept)

    def _push(
        self,
        made: Sequence[tuple[_Due, Standing]],
        refs: Mapping[str, str],
        others: Mapping[str, str] | None = None,
    ) -> None:
        """All in one, and each gate's branch must still be what was judged: a request replaced
        meanwhile cannot inherit this decision. `others` must be as they were, too."""
        if made:
            moved = {due.home: after.commit for due, after in made}  # the last of each
            moved.update({due.branch: after.head or "" for due, after in made})
            lease = {**(others or {}), **{due.home: refs[due.home] for due, _ in made}}
            self._exchanges.push(moved, {**lease, **{due.branch: due.head for due, _ in made}})


def _branch(gate_id: str) -> str:
    return f"refs/heads/{branch_of(gate_id)}"


@contextmanager
def _aside(done: _Done, gate_id: str) -> Iterator[None]:
    """What is amiss with one gate is set aside, and stops no other."""
    try:
        yield
    except (GitFailed, OSError, LedgerUnavailable):
        raise
    except Exception as error:  # noqa: BLE001 - whoever asked is told, and says it of this gate alone
        done[gate_id] = error
