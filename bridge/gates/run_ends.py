"""Say on the pages of decided gates how their runs ended: one edit of the decider's own comment.

Argo and GitHub Actions are asked. If the decider did not resume the run itself, it repeats what the
account that asked says of it, as a claim. What fails is tried again by the next sweep, for a week
after the decision; after that the page says that the run was resumed, and no more. Nothing is
recorded: a run's end is no decision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from bridge.argo.compressed_nodes import UnreadableWorkflow
from bridge.argo.nodes import run_of
from bridge.core.digest import digest_of
from bridge.core.errors import BridgeError
from bridge.core.model import Standing
from bridge.gates.finish_page import Tended
from bridge.gates.open_page import Desk
from bridge.gates.ports import Cluster
from bridge.pages import page_text as show
from bridge.pages import status_comment
from bridge.pages.afterwards import (
    RunEnd,
    actions_end,
    awaited,
    claimed_end,
    claims_of,
    has_ended,
    workflow_end,
)
from bridge.pages.marker import Seal, seal_of
from bridge.pages.model import Amend, Comment, Look, Page, Remove, Site, Started
from bridge.pages.votes import Gathered
from bridge.render.run_again import workflow_file

#: How long after its decision a run is asked about.
_LOOKED_FOR: Final = timedelta(days=7)
#: Files of GitHub Actions whose runs are listed by one sweep: one request each.
_FILES: Final = 3
#: Failures in one namespace, after which no other workflow there is asked for: each may take long.
_FAILURES: Final = 3
#: GitHub's clock and the decider's differ by less.
_CLOCKS: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _Resumed:
    """A page whose own comment, the decider's, says that its run was resumed, or on which the side
    of the run says how it ended."""

    page: Page
    comment: Comment
    seal: Seal
    claims: tuple[Comment, ...]


@dataclass(slots=True)
class _Seen:
    """By gate, how its run ended; and why that is not known of others."""

    ends: dict[str, RunEnd] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def tell_ends(desk: Desk, decided: Look) -> tuple[Tended, ...]:
    """Edit the pages whose runs ended. `decided` has of each page its last comments alone."""
    since = desk.clock() - _LOOKED_FOR
    resumed = list(_resumed(decided, since))
    if not resumed:
        return ()
    known = desk.ledger.decided(dict.fromkeys(each.seal.gate_id for each in resumed))
    due = {
        gate_id: standing
        for gate_id, standing in known.items()
        if standing.decision and standing.decision.decided_at >= since
    }
    actions, argo = _of_actions(desk, decided.site, due), _of_argo(desk.cluster, due)
    ends = {**actions.ends, **argo.ends}
    done = [
        Tended(f"whether the resumed runs have ended is not known: {why}")
        for why in dict.fromkeys((*actions.unknown, *argo.unknown))
    ]
    for each in resumed:
        # What the decider resumed itself, it knows better than the run's own side.
        own = awaited(each.comment)
        end = ends.get(each.seal.gate_id) if own else claimed_end(each.claims)
        if end and each.seal.gate_id in due:
            done.append(_told(desk, decided.site, each, due[each.seal.gate_id], end))
    return tuple(done)


def _resumed(look: Look, since: datetime) -> Iterator[_Resumed]:
    for page in look.pages:
        current = status_comment.newest(page, look.site.voices)
        if current is None or not status_comment.is_mine(current, look.site.voices):
            continue
        seal = seal_of(current.body)
        said = current.edited.at if current.edited else current.at
        claims = claims_of(page, seal, look.site.voices) if seal else ()
        if seal and said >= since and (awaited(current) or (claims and not has_ended(current))):
            yield _Resumed(page, current, seal, claims)


def _told(desk: Desk, site: Site, at: _Resumed, standing: Standing, end: RunEnd) -> Tended:
    key = standing.request.gate.key
    if digest_of(standing.request) != at.seal.digest:
        return Tended(f"{key}: {at.page.url} shows another request than was decided", standing)
    text = show.status(standing, at.seal.head, site, None, Gathered(), note=end.word)
    try:
        gone = [Remove(each.node) for each in at.claims]
        desk.forge.write(site, at.page, [Amend(at.comment.node, text), *gone])
    except BridgeError as error:
        return Tended(f"{key}: its page does not say yet how the run ended: {error}", standing)
    return Tended(f"{key}: the run {'finished' if end.well else 'failed'}", standing)


# -- Argo ------------------------------------------------------------------------------------------


def _of_argo(cluster: Cluster | None, due: Mapping[str, Standing]) -> _Seen:
    """What cannot be read, such as a namespace that is not the decider's, hides no other's end."""
    seen, failed = _Seen(), Counter[str]()
    if cluster is None:
        return seen
    for gate_id, standing in due.items():
        place = standing.request.workflow.namespace if standing.request.workflow else ""
        if failed[place] >= _FAILURES:
            continue
        try:
            end = _of_workflow(cluster, standing)
        except BridgeError as error:
            failed[place] += 1
            seen.unknown.append(str(error))
        else:
            seen.ends |= {gate_id: end} if end else {}
    return seen


def _of_workflow(cluster: Cluster, standing: Standing) -> RunEnd | None:
    """None if it goes on, or is not there any more: then its end is not known."""
    named = standing.request.workflow
    workflow = cluster.workflow(named) if named else None
    if named is None or workflow is None:
        return None
    try:
        run = run_of(workflow)
    except UnreadableWorkflow:
        return None
    # A workflow that was made again under the name is another run.
    own = run.named.uid == named.uid
    return workflow_end(standing.request, run.phase) if own and run.ended else None


# -- GitHub Actions --------------------------------------------------------------------------------


def _of_actions(desk: Desk, site: Site, due: Mapping[str, Standing]) -> _Seen:
    files = {gate_id: workflow_file(standing.request) for gate_id, standing in due.items()}
    seen = _Seen()
    listed: dict[str, Sequence[Started]] = {}
    named = list(dict.fromkeys(filter(None, files.values())))
    # Each sweep begins at another one: three whose runs go on for days must not hide the others.
    first = int(desk.clock().timestamp()) % len(named) if len(named) > _FILES else 0
    for file in (named[first:] + named[:first])[:_FILES]:
        try:
            listed[file] = desk.forge.started(file)
        except BridgeError as error:  # such as a file that is gone
            seen.unknown.append(str(error))
    for gate_id, name in files.items():
        if end := _first(listed.get(name or "", ()), due[gate_id], site):
            seen.ends[gate_id] = end
    return seen


def _first(runs: Sequence[Started], standing: Standing, site: Site) -> RunEnd | None:
    """The end of the run that goes on for this approval: the first one, as its own step checks."""
    decision = standing.decision
    if decision is None:
        return None
    since = decision.decided_at - _CLOCKS
    # A list that does not reach back so far may lack the first.
    if len(runs) >= Started.AT_ONCE and all(each.at >= since for each in runs):
        return None
    own = [each for each in runs if each.at >= since and standing.request.gate.id in each.title]
    first = min(own, key=lambda each: each.number, default=None)
    if first is None or first.conclusion is None:
        return None
    return actions_end(first.number, first.conclusion, site)
