"""What changed since the last approved gate of the same kind. Values in, values out.

A request says its kind, and holds the baseline that it was opened with: a page, a terminal and an
auditor compare the same two sides, without looking anywhere else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final, TypeVar

from bridge.core.approval import DECISION
from bridge.core.artifacts import comparable, ordered
from bridge.core.converter import plain
from bridge.core.digest import canonical
from bridge.core.evaluation import Decider
from bridge.core.model import (
    ApprovalRequest,
    Approved,
    Artifact,
    Baseline,
    Baselines,
    Better,
    CompareBy,
    Decision,
    Gate,
    Kind,
    Place,
    Subject,
)
from bridge.core.unmatched import own_name

#: Of the artifacts of a baseline; a join of thousands of branches would fill every later request.
MOST_ARTIFACTS: Final = 200
#: Of their names, types and values together: one approved gate with long ones must leave room for
#: what later gates of its kind ask.
MOST_CHARACTERS: Final = 100_000
#: Runs whose last approval of a kind the ledger keeps at hand with its values, newest first.
MOST_BASELINES: Final = 3
#: Approvals of a kind of which it keeps when they were.
MOST_LISTED: Final = 50

#: What a float can hold, and the difference of two such.
_LARGEST: Final = Decimal("1e300")


class Change(StrEnum):
    SAME = "same"  # byte by byte
    CHANGED = "changed"
    NEW = "new"
    GONE = "gone"
    UNKNOWN = "unknown"  # the baseline had no room for it


@dataclass(frozen=True, slots=True)
class Row:
    """One artifact: as it is asked about, and as it was approved last."""

    now: Artifact | None
    before: Artifact | None
    change: Change

    @property
    def name(self) -> str:
        either = self.now or self.before
        return either.name if either else ""

    @property
    def difference(self) -> Decimal | None:
        """Of the two shown numbers; None if one of them is no metric."""
        pair = [number_of(each) for each in (self.now, self.before)]
        return None if pair[0] is None or pair[1] is None else pair[0] - pair[1]

    @property
    def improved(self) -> bool | None:
        """None if it did not change, or if the flow does not say which values are better."""
        difference, better = self.difference, self.now.better if self.now else None
        if better is None or not difference:
            return None
        return (difference > 0) is (better is Better.HIGHER)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A request beside its baseline. The rows are in the order in which a person reads them."""

    baseline: Baseline
    rows: tuple[Row, ...]

    def count(self, *changes: Change) -> int:
        return sum(each.change in changes for each in self.rows)


def compared(request: ApprovalRequest) -> Comparison | None:
    """None if there is no baseline."""
    baseline = request.baseline
    if baseline is None:
        return None
    before = {each.name: each for each in baseline.artifacts}
    now = tuple(each for each in ordered(request.artifacts) if not _is_own(each))
    names = {each.name for each in now}
    rows = [_row(each, before.get(each.name), baseline) for each in now]
    gone = [Row(None, each, Change.GONE) for each in baseline.artifacts if each.name not in names]
    return Comparison(baseline, (*rows, *gone))


def changes(request: ApprovalRequest) -> dict[str, float]:
    """How much each metric changed since the baseline; nothing of one that cannot be compared."""
    found = compared(request)
    rows = found.rows if found else ()
    differences = ((each.name, each.difference) for each in rows)
    return {name: float(difference) for name, difference in differences if difference is not None}


def _is_own(artifact: Artifact) -> bool:
    """An earlier gate's decision, which is another one in each run."""
    return artifact.name.rpartition(".")[2] == DECISION


def _row(now: Artifact, before: Artifact | None, baseline: Baseline) -> Row:
    if before is None:
        return Row(now, None, Change.UNKNOWN if baseline.left_out else Change.NEW)
    same = (now.digest, now.type) == (before.digest, before.type)
    return Row(now, before, Change.SAME if same else Change.CHANGED)


def number_of(artifact: Artifact | None) -> Decimal | None:
    text = (artifact.value if artifact and artifact.metric else None) or ""
    if not text.isascii() or "_" in text:  # `Decimal` also takes other digits than people read
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:  # so long that it is shown in words
        return None
    # The difference of two larger ones overflows. `abs` would round, and may overflow itself.
    return number if number.is_finite() and number.copy_abs() <= _LARGEST else None


# -- kinds and baselines ---------------------------------------------------------------------------


def kind_of(
    subject: Subject,
    compare: CompareBy,
    project: str | None = None,
    branch: str | None = None,
    splits: Iterable[str] = (),
) -> Kind | None:
    """The kind of a gate; None if its author wants no comparison."""
    if not compare.wanted:
        return None
    of = (subject.flow, subject.step, subject.environment)
    return Kind(*of, project, branch, compare.name, tuple(splits))


def split_of(name: str, index: int, items: Sequence[Any]) -> str:
    """How the split of this index is found again in the next run: by its item, if that is short
    and the only one that reads so, and else by its place."""
    item = items[index] if index < len(items) else None
    text = str(item) if comparable(name, item) and comparable("item", item) else ""
    if not text.strip() or text.startswith("#"):
        return f"#{index}"
    alike = sum(type(each) in (str, int, float, bool) and str(each) == text for each in items)
    return text if alike == 1 else f"#{index}"


def is_of(kind: Kind, subject: Subject) -> bool:
    """Whether gates about this subject are of this kind. An opener could name another flow's, and
    then its approval would be what that flow's next gate is compared with."""
    own = (subject.flow, subject.step, subject.environment)
    return (kind.flow, kind.step, kind.environment) == own


def declared_better(
    artifacts: Iterable[Artifact], better: Mapping[str, Better]
) -> tuple[Artifact, ...]:
    """The artifacts with what their author says of them. A join's are called `train.accuracy`."""
    return tuple(
        replace(each, better=better.get(each.name) or better.get(own_name(each.name)))
        if better
        else each
        for each in artifacts
    )


def path_of(request: ApprovalRequest) -> str | None:
    """Where the ledger keeps the baselines of this kind: `baselines/<ab>/<hash>.yaml`.

    A ledger may serve several repositories, whose flows may have the same names.
    """
    if request.kind is None:
        return None
    of = {**plain(request.kind), **dict(_repository(request.venue))}
    name = hashlib.sha256(canonical(of)).hexdigest()[:32]
    return f"baselines/{name[:2]}/{name}.yaml"


def _repository(venue: Place) -> Iterator[tuple[str, str]]:
    if venue.repository:
        number = venue.repository_id  # which a rename does not change
        yield "server", (venue.server or "").casefold()
        yield "repository", str(number) if number else venue.repository.casefold()


def baseline_of(request: ApprovalRequest, decision: Decision) -> Baseline:
    """An approved request, as later ones are compared with it."""
    artifacts = [each for each in ordered(request.artifacts) if not _is_own(each)]
    kept = list(_with_room(artifacts[:MOST_ARTIFACTS]))
    by = ", ".join(dict.fromkeys(each.actor.name for each in decision.votes))
    return Baseline(
        gate=request.gate.id,
        key=request.gate.key,
        decided_at=decision.decided_at,
        by=by or ("the clock" if decision.by is Decider.CLOCK else f"a {decision.by}"),
        artifacts=tuple(kept),
        left_out=len(artifacts) - len(kept),
    )


def _with_room(artifacts: Iterable[Artifact]) -> Iterator[Artifact]:
    """Those that have room, as a baseline keeps them."""
    room = MOST_CHARACTERS
    for each in artifacts:
        words = (each.name, each.type, each.digest, each.value, each.text)
        room -= sum(len(text or "") for text in words)
        if room >= 0:
            yield replace(each, size=None, head=None, link=None, better=None)


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger has at hand of a kind, newest first."""

    approved: tuple[Baseline, ...] = ()
    listed: tuple[Approved, ...] = ()
    since: datetime | None = None  # every approval from then on is listed; None: every one


def known_from(files: Iterable[Baselines]) -> Known:
    """What is at hand of a kind on several branches of the record."""
    found = list(files)
    approved = dict.fromkeys(each for file in found for each in file.approved)
    listed = dict.fromkeys(each for file in found for each in file.listed)
    cut = [each.listed[-1].decided_at for each in found if len(each.listed) >= MOST_LISTED]
    return Known(
        tuple(sorted(approved, key=_when, reverse=True)),
        tuple(sorted(listed, key=_when, reverse=True)),
        max(cut, default=None),
    )


def _when(approved: Approved | Baseline) -> datetime:
    return approved.decided_at


def is_of_same_run(request: ApprovalRequest, other: Approved | Baseline) -> bool:
    """Whether a gate of the request's kind is a sibling: of the same run, such as another split."""
    gate = request.gate
    if Gate(gate.origin, other.key).id != other.gate:
        return False
    if request.workflow:  # a run of Argo is an origin of its own
        return True
    step = request.kind.step if request.kind else ""
    return _run(gate.key, step) == _run(other.key, step)


def _run(key: str, step: str) -> str:
    """`Flow/6` of `Flow/6/deploy/12`, and of `Flow/6/deploy`."""
    found = re.fullmatch(rf"(.*?)/{re.escape(step)}(?:/[^/]*)?", key, re.DOTALL)
    return found[1] if found else key


A = TypeVar("A", Approved, Baseline)


def candidates(request: ApprovalRequest, known: Iterable[A]) -> Iterator[A]:
    """What a request may be compared with, of those that are known of its kind: a gate of the run
    that its flow names, and none of its own run, such as another split of one foreach."""
    wanted = request.against
    for each in known:
        is_wanted = wanted is None or run_in(each.key, request) == wanted
        if is_wanted and not is_of_same_run(request, each):
            yield each


def run_in(key: str, request: ApprovalRequest) -> str:
    """`6` of `Flow/6/deploy/12`, the key of a gate of the request's kind."""
    return _run(key, request.kind.step if request.kind else "").rpartition("/")[2]


def last_run(request: ApprovalRequest, known: Iterable[Baseline]) -> Baseline | None:
    """What a request is compared with, of those at hand, newest first."""
    return next(candidates(request, known), None)


def is_stale(
    request: ApprovalRequest,
    known: Known,
    asked_at: datetime,
    on_record: Callable[[Approved | Baseline], bool],
) -> bool:
    """Whether people were shown another comparison than with the run that was approved last when
    they were asked, or than with the run that its flow names. Its opener chose it, and could
    choose a flattering one.

    What was approved later voids nothing, and a sibling of the same run is never due. Times are
    whole seconds: what was approved in the second of the question may have been approved after it.
    """
    baseline = request.baseline
    if baseline and (
        not any(candidates(request, [baseline]))
        or not (baseline in known.approved or on_record(baseline))
    ):
        return True
    newest = last_run(request, known.approved)
    # Of a run that is named, what is listed no more is not looked for.
    since = known.since if request.against is None else None
    for due in _before(request, known, asked_at):
        if since and due.decided_at < since and due.gate != (newest and newest.gate):
            return True  # one that is listed no more may be due
        if baseline and due.decided_at <= baseline.decided_at:
            return False
        if due in known.approved or on_record(due):
            return True
    # Of those that are listed no more, one may have been due.
    return since is not None and newest is not None


def _before(
    request: ApprovalRequest, known: Known, asked_at: datetime
) -> Iterator[Approved | Baseline]:
    """The approvals that it may be compared with, from before this time, newest first."""
    every: list[Approved | Baseline] = [
        *candidates(request, known.approved),
        *candidates(request, known.listed),
    ]
    for each in sorted(every, key=_when, reverse=True):
        if each.decided_at < asked_at:
            yield each


def with_newest(before: Baselines, request: ApprovalRequest, decision: Decision) -> Baselines:
    """Those at hand on one branch after one more approval."""
    newest = baseline_of(request, decision)
    others = [
        each
        for each in before.approved
        if each.gate != newest.gate and not is_of_same_run(request, each)
    ]
    row = Approved(newest.gate, newest.key, newest.decided_at)
    rows = [each for each in before.listed if each.gate != newest.gate]
    return replace(
        before,
        approved=(newest, *others)[:MOST_BASELINES],
        listed=(row, *rows)[:MOST_LISTED],
    )
