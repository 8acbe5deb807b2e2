"""Record decisions: one push of as many commits, each upon the one before it.

The push is the compare-and-swap for all of them. What is amiss with one gate is that gate's alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final

from bridge.core.errors import LedgerCorrupt, LedgerUnavailable, NoSuchGate
from bridge.core.evaluation import Outcome
from bridge.core.model import ApprovalRequest, Decision, Standing, branch_of
from bridge.ledger.baselines import BaselineFiles
from bridge.ledger.clone import GitClone
from bridge.ledger.commit_message import decision_message
from bridge.ledger.commits import BRIDGE, Commits
from bridge.ledger.exchanges import Declined, Exchanges, LostRace
from bridge.ledger.gate_folders import GateFolders, as_asked, still_asked, with_objections
from bridge.ledger.git import GitFailed, Tree
from bridge.ledger.picture_files import check_pictures, without_other_pictures
from bridge.ledger.queue import MOST, WAITING, Line, Ticket, Turn, Waiting
from bridge.ledger.shard_refs import SHARDS, home_of, ref_of, shards_of
from bridge.ledger.signed_files import SignedFiles

#: Lost races with those who wait, before a push without them.
_MOST_RACES: Final = 2

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

    turn: Turn
    known: Mapping[str, str] | None = None  # the branches, for the first of them
    takes_along: bool = True  # those who wait
    along: bool = False  # the last try had some of them
    races: int = 0  # with them, since one without
    heads: dict[str, str | None] = field(default_factory=dict)
    restless: set[str] = field(default_factory=set)

    def saw(self, decision: Decision, refs: Mapping[str, str]) -> None:
        head = refs.get(_branch(decision.gate_id))
        if self.heads.setdefault(decision.gate_id, head) != head:
            self.restless.add(decision.gate_id)


@dataclass(frozen=True, slots=True)
class _Others:
    """What others wait to record: all that their tickets ask, and the first for each gate."""

    asked: Sequence[Waiting] = ()
    first: Mapping[str, Waiting] = field(default_factory=dict)

    def allow(self, line: Line, request: ApprovalRequest) -> bool:
        """Whether the decision of this gate is one's own, or of a ticket that may ask for it."""
        waiting = self.first.get(request.gate.id)
        return waiting is None or line.believes(request)


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
        line: Line,
    ) -> None:
        self._clone = clone
        self._exchanges = exchanges
        self._gates = gates
        self._baselines = baselines
        self._files = files
        self._commits = commits
        self._line = line

    def record(
        self, decisions: Sequence[Decision], known: Mapping[str, str] | None = None
    ) -> Recorded:
        """What became of each, by gate: the gate as it is now, or why nothing was recorded.

        `known`: the branches as somebody has just seen them.
        """
        first = {each.gate_id: each for each in reversed(decisions)}  # of each gate
        wanted = list(first.values())[::-1]
        turn = Turn(self._line, wanted)
        try:
            with self._line.listening():
                found = self._together(wanted, _Tries(turn, known))
        finally:
            turn.leave()
        return {each.gate_id: found[each.gate_id] for each in wanted}

    def _together(self, decisions: Sequence[Decision], tries: _Tries) -> Recorded:
        turn = tries.turn
        try:
            done = self._exchanges.repeat(lambda: self._try(decisions, tries), turn.lost)
        except LedgerUnavailable as error:
            if tries.along:  # perhaps it is what somebody else waits to record
                return self._together(decisions, _Tries(turn, takes_along=False))
            if not isinstance(error, Declined):
                return {each.gate_id: error for each in decisions}
            if len(decisions) == 1:
                return {decisions[0].gate_id: error}
            # Perhaps for one of them, such as a reason that looks like a secret to the server.
            half = len(decisions) // 2
            return {
                **self._together(decisions[:half], _Tries(turn, takes_along=tries.takes_along)),
                **self._together(decisions[half:], _Tries(turn, takes_along=tries.takes_along)),
            }
        for each in decisions:
            if each.gate_id not in done:
                done = {
                    **done,
                    **self._together([each], _Tries(turn, takes_along=tries.takes_along)),
                }
        return done

    def _try(self, decisions: Sequence[Decision], tries: _Tries) -> Recorded:
        known, tries.known = tries.known, None
        if known:
            if tries.turn.must_wait(known):
                raise LostRace
            done: _Done = {}
            made = self._made(self._due(decisions, known, done, _Others()), known, done)
            # Nothing but a push is believed of it, and it must find every branch as it was.
            if made:
                self._push(made, known)
                return done
        own = [_branch(each.gate_id) for each in decisions]
        refs: Mapping[str, str] = self._clone.remote_refs(SHARDS, WAITING, *own)
        if tries.turn.must_wait(refs):
            raise LostRace
        for each in decisions:
            tries.saw(each, refs)
        if len(decisions) > 1:
            # A person who keeps pushing to one gate's branch would make all lose each race.
            decisions = [each for each in decisions if each.gate_id not in tries.restless]
        done = {}
        if tries.turn.taken_along and not self._due(decisions, refs, done, _Others()):
            return done  # who takes along the others now would race with the first of them
        others, refs = self._others(decisions, refs, tries)
        along = [each.decision for each in others.first.values()]
        due = self._due([*decisions, *along], refs, done, others)
        made = self._made(due, refs, done)
        over = self._over(refs, done, others, tries)
        if made or tries.turn.ticket in over:
            self._push(made, refs, over=over)
        if tries.turn.ticket in over:
            tries.turn.ticket = None
        return done

    def _others(
        self, decisions: Sequence[Decision], refs: Mapping[str, str], tries: _Tries
    ) -> tuple[_Others, Mapping[str, str]]:
        """What others wait to record, and the branches with those of their gates."""
        line = [each for each in self._line.fresh(refs) if each != tries.turn.ticket][:MOST]
        # A person who keeps pushing to a ticket or to its gate would make each push lose its race.
        some = bool(line or self._line.stale(refs))
        tries.along = some and tries.takes_along and tries.races < _MOST_RACES
        tries.races = tries.races + 1 if tries.along else 0
        if not tries.along:
            return _Others(), refs
        own = {each.gate_id for each in decisions}
        asked = self._line.waiting(line)
        first = {each.gate_id: each for each in reversed(asked) if each.gate_id not in own}
        branches = self._clone.remote_refs(*map(_branch, first)) if first else {}
        return _Others(asked, first), {**branches, **refs}

    def _over(
        self, refs: Mapping[str, str], done: _Done, others: _Others, tries: _Tries
    ) -> list[Ticket]:
        """The tickets that ask for nothing more once this is pushed."""
        turn = tries.turn
        left = {each.ticket for each in others.asked if each.gate_id not in done}
        over = {each.ticket for each in others.asked} - left
        if turn.ticket and all(each.gate_id in done for each in turn.decisions):
            over.add(turn.ticket)
        return [*over, *(self._line.stale(refs) if tries.along else ())]

    def _due(
        self,
        decisions: Sequence[Decision],
        refs: Mapping[str, str],
        done: _Done,
        others: _Others,
    ) -> list[_Due]:
        with suppress(LedgerCorrupt):  # of one of them, and it is found again below
            self._gates.bring_records([each.gate_id for each in decisions], refs)
        due = []
        for each in decisions:
            with _aside(done, each.gate_id):
                found = self._gates.standing(each.gate_id, refs)
                if found is None:
                    raise NoSuchGate(
                        f"the ledger {self._clone.remote.where} has no gate {each.gate_id}"
                    )
                if found.decision:
                    done[each.gate_id] = found
                elif others.allow(self._line, found.request):
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
        over: Sequence[Ticket] = (),
    ) -> None:
        """All in one, and each gate's branch must still be what was judged: a request replaced
        meanwhile cannot inherit this decision. So must every branch of the ledger, or another
        decision of the gate could be there by now.

        Of a ref that the push doesn't move, git only looks at what the server says as it begins.
        """
        moved = {due.home: after.commit for due, after in made}  # the last of each
        moved.update({due.branch: after.head or "" for due, after in made})
        moved.update({each.ref: "" for each in over})
        lease = {ref_of(name): sha for name, sha in shards_of(refs).items()} if made else {}
        lease.update({due.branch: due.head for due, _ in made})
        self._exchanges.push(moved, {**lease, **{each.ref: each.commit for each in over}})


def _branch(gate_id: str) -> str:
    return f"refs/heads/{branch_of(gate_id)}"


@contextmanager
def _aside(done: _Done, gate_id: str) -> Iterator[None]:
    """What is amiss with one gate is set aside, and stops no other."""
    try:
        yield
    except (GitFailed, OSError, LedgerUnavailable):
        raise
    except Exception as error:  # noqa: BLE001 - the caller is given it, and says it of this gate alone
        done[gate_id] = error
