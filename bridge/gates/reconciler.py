"""Watch: bring each recorded decision to the node that waits for it, from inside the cluster.

Two ends meet: the runs whose gates wait, from one list and one watch, and the decisions that are
new in the ledger. What is remembered of a run is its name and its gates, so ten thousand of them
are a few megabytes, and what is asked of either side does not grow with them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bridge.argo import nodes as argo
from bridge.argo.compressed_nodes import UnreadableWorkflow
from bridge.core import log
from bridge.core.crash_report import report_once
from bridge.core.delivery import Delivery, Resumption, Workflow
from bridge.core.errors import BridgeError, ClusterUnavailable, LedgerUnavailable, TooOld
from bridge.core.listing import OpenGate, Unreadable
from bridge.core.model import Standing
from bridge.gates.deliver import deliver
from bridge.gates.ended_runs import EndedRuns
from bridge.gates.ports import Clock, Watched
from bridge.gates.settle import settle_overdue
from bridge.gates.venue import Venue, VenueOf

_log = log.logger("reconciler")

#: Seconds between two looks at what the clock does, and at the ledger while no gate waits.
TENDED = 30
#: The API server says a version two seconds before it ends a watch. A shorter watch gets none, and
#: a version that is not renewed is soon too old: https://github.com/kubernetes/kubernetes/blob/v1.35.0/staging/src/k8s.io/apiserver/pkg/storage/cacher/cache_watcher.go
SHORTEST = 3
#: Seconds between two tries at a cluster that does not answer: each time twice as long, to this.
_LONGEST_PAUSE = 60


@dataclass
class Progress:
    """What a watch did until now, for the people who monitor it."""

    waiting: int = 0  # gates whose nodes wait
    unreadable: int = 0  # workflows that are not as Argo writes them
    deliveries: Counter[str] = field(default_factory=Counter)  # by what came of them
    seconds: float = 0.0  # from decided to delivered, of all that this moved
    troubles: Counter[str] = field(
        default_factory=Counter
    )  # `cluster`, `ledger`, and bugs of the `bridge`
    rounds: int = 0
    turned_at: datetime | None = None  # when it last tried, whatever came of that
    well_at: datetime | None = None  # the end of the last round in which both sides answered


@dataclass
class Watch:
    """Follows one cluster and one ledger. `tell` is given a line for each thing that happens."""

    cluster: Watched
    venue: Venue  # of the gates that wait
    venue_of: VenueOf
    clock: Clock
    tell: Callable[[str], None]
    progress: Progress = field(default_factory=Progress)
    _runs: dict[str, tuple[Workflow, frozenset[str]]] = field(default_factory=dict)  # by uid
    _unchecked: set[str] = field(default_factory=set)  # gates that may be decided already
    _due: dict[str, Standing] = field(default_factory=dict)
    _moved: set[str] = field(default_factory=set)  # by this watch, and not seen so yet
    _leaving: dict[str, str] = field(default_factory=dict)  # gates to withdraw, and why
    _head: str | None = None
    _told: set[str] = field(default_factory=set)
    _ended: EndedRuns = field(default_factory=EndedRuns)
    _unreadable: set[str] = field(default_factory=set)  # workflows, by uid
    _listed_anew: bool = False  # and runs may have vanished while nobody listened
    _tended_at: datetime | None = None
    _tended_well: bool = True

    def follow(self, interval: int, pause: Callable[[float], None]) -> None:
        """Until the process is ended. While a gate waits, the ledger is asked every `interval`
        seconds."""
        patience = 1
        while True:
            try:
                version = self.list_all()
                patience = 1
                while True:
                    self.round()
                    if self._runs or self._due:
                        version = self.listen(version, interval)
                    else:
                        version = self.listen(version, max(interval, TENDED), until_one_waits=True)
            except TooOld:
                continue
            except ClusterUnavailable as error:
                self._trouble("cluster", error)
                self.progress.turned_at = self.clock()
                pause(patience)
                patience = min(2 * patience, _LONGEST_PAUSE)

    # -- the cluster ---------------------------------------------------------------------------

    def list_all(self) -> str:
        """See what waits now; the version to listen from."""
        before, self._runs = self._runs, {}
        self._unreadable = set()
        version = ""
        for version, page in self.cluster.gated():  # noqa: B007 - the last one's is wanted
            for workflow in page:
                self._seen(workflow)
        for uid, (named, gates) in before.items():
            if uid not in self._runs:
                self._over(named, gates, self.cluster.workflow(named))
        # A node that was suspended again while nobody listened looks as it did before.
        self._unchecked = {gate for _, gates in self._runs.values() for gate in gates}
        self._listed_anew, self._tended_at = True, None
        return version

    def listen(self, version: str, seconds: int, *, until_one_waits: bool = False) -> str:
        """For so long, or until a first gate waits; the version to listen from."""
        for kind, found in self.cluster.changes(version, seconds):
            with suppress(UnreadableWorkflow):  # the next one has a later version
                version = argo.version_of(found) or version
            if kind == "DELETED":
                self._vanished(found)
            elif kind != "BOOKMARK":
                self._seen(found)
            if until_one_waits and self._runs:
                break
        return version

    def _vanished(self, workflow: Mapping[str, Any]) -> None:
        """Gone, or with the label of those that ended; or only without ours."""
        try:
            uid = argo.named(workflow).uid
        except UnreadableWorkflow as error:
            self._cannot_read(workflow, error)
            return
        self._unreadable.discard(uid)
        self._ended.saw(workflow)
        if uid in self._runs:
            named, gates = self._runs.pop(uid)
            over = all(self._why_passed(workflow, named, gate) for gate in gates)
            self._over(named, gates, workflow if over else self.cluster.workflow(named))

    def _seen(self, workflow: Mapping[str, Any]) -> None:
        try:
            run = argo.run_of(workflow)
            now = frozenset(argo.waiting(workflow))
        except UnreadableWorkflow as error:
            self._cannot_read(workflow, error)
            return
        except Exception as error:  # noqa: BLE001 - a bug that one run sets off is that run's alone
            self._bug("a workflow", error)
            return
        named = run.named
        mended = named.uid in self._unreadable
        self._unreadable.discard(named.uid)
        if run.offloaded:  # the nodes are not here
            self._once(
                f"{run.place} keeps its nodes in the controller's database:"
                " deliver to it through Argo Server (HITL_ARGO_SERVER)"
            )
        _, before = self._runs.pop(named.uid, (named, frozenset()))
        if run.ended:
            self._ended.saw(workflow)
            self._over(named, before | now, workflow)
            return
        if now:
            self._runs[named.uid] = (named, now)
        self._over(named, before - now - self._moved, workflow)
        self._moved -= before - now
        self._unchecked |= now if mended else now - before

    def _cannot_read(self, workflow: object, error: UnreadableWorkflow) -> None:
        """That object waits until it is mended; the others are delivered to."""
        try:
            named = argo.named(workflow)
        except UnreadableWorkflow:
            self._once(f"a workflow is unreadable, and nothing is delivered to it: {error}")
            return
        # It stays in `_runs` as it was seen before, so that its end is noticed.
        self._unreadable.add(named.uid)
        place = f"{named.namespace}/{named.name}"
        self._once(f"the workflow {place} is unreadable, and nothing is delivered to it: {error}")

    def _why_passed(
        self, workflow: Mapping[str, Any] | None, named: Workflow, gate: str
    ) -> str | None:
        try:
            return argo.passed(workflow, named, gate)
        except UnreadableWorkflow as error:
            self._cannot_read(workflow, error)
            return None

    def _over(
        self, named: Workflow, gates: frozenset[str], workflow: Mapping[str, Any] | None
    ) -> None:
        """These waited in the run, as far as was seen, and it or their nodes may have ended."""
        for gate in sorted(gates):
            why = self._why_passed(workflow, named, gate)
            _log.debug("gate %s of %s/%s: %s", gate, named.namespace, named.name, why or "may wait")
            if why:
                self._unchecked.discard(gate)
                self._due.pop(gate, None)
                self._leaving[gate] = why

    def _withdraw_passed(self) -> None:
        """If the ledger can't be reached, it is tried again in the next round."""
        for gate, why in list(self._leaving.items()):
            try:
                self._withdraw(gate, why)
            except LedgerUnavailable:
                raise
            except BridgeError as error:
                self._trouble("ledger", error)
            except Exception as error:  # noqa: BLE001 - a bug of one gate is that gate's alone
                self._bug(f"gate {gate}", error)
            del self._leaving[gate]

    def _withdraw(self, gate: str, why: str) -> None:
        standing = self.venue.ledger.read(gate)
        if standing is None or standing.decision:
            return
        after = self.venue_of(standing.request).withdraw(standing, why)
        says = f" waits for a run that is over: {why}"
        if after.decision:
            says = f": {after.decision.reason}"
        self.tell(f"{standing.request.gate.key}{says}")

    # -- the ledger ----------------------------------------------------------------------------

    def round(self) -> None:
        """Look for what was decided, and deliver it."""
        with self.venue.ledger.connected():
            self._round()

    def _round(self) -> None:
        tending = self._is_time_to_tend()
        well = self._tried(self._find_decided) if tending or self._runs else True
        tried = set(self._due)
        well &= self._delivered(tried)
        if tending and well:
            # One gate that makes no sense must not end the others'.
            self._tended_well = self._tried(self._let_time_pass)
            self._tended_at = self.clock()
        well &= self._tended_well
        well &= self._tried(self._withdraw_passed)
        if tending:
            self._say_ended()
        well &= self._delivered(self._due.keys() - tried)
        self.progress.waiting = sum(len(gates) for _, gates in self._runs.values())
        self.progress.unreadable = len(self._unreadable)
        self.progress.rounds += 1
        self.progress.turned_at = self.clock()
        if well:
            self.progress.well_at = self.progress.turned_at

    def _is_time_to_tend(self) -> bool:
        before = self._tended_at
        return before is None or (self.clock() - before).total_seconds() >= TENDED

    def _tried(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except BridgeError as error:
            self._trouble("ledger", error)
            return False
        return True

    def _find_decided(self) -> None:
        head, new = self.venue.ledger.decided_since(self._head)
        waiting = {gate for _, gates in self._runs.values() for gate in gates} if new else set()
        asked = self._unchecked | (waiting & set(new))
        if asked and head:
            found = self.venue.ledger.decided(asked)
            _log.debug(
                "ledger at %s: looked for gates %s, decided %s", head, _of(asked), _of(found)
            )
            self._due |= found
        self._head = head
        self._unchecked = set()

    def _let_time_pass(self) -> None:
        now = self.clock()
        asked = self.venue.unsettled()
        if self._listed_anew:
            self._withdraw_vanished(asked)
            self._listed_anew = False
        for each in settle_overdue(self.venue.ledger, self.venue_of, asked, now):
            if isinstance(each, Unreadable):
                self._once(each.why)
            elif each.decision:
                gate = each.request.gate
                self.tell(f"{gate.key}: {each.decision.reason}")
                if any(gate.id in gates for _, gates in self._runs.values()):
                    self._due[gate.id] = each

    def _say_ended(self) -> None:
        """With a credential that only reads, the pages say nothing of it; all else goes on."""
        try:
            failed = self._ended.say(self.venue)
        except Exception as error:  # noqa: BLE001 - a bug in this must not end the deliveries
            self._bug("how a run ended", error)
            return
        if failed:
            self._once(f"the pages of decided gates do not say how their runs ended: {failed}")

    def _withdraw_vanished(self, asked: Iterable[OpenGate]) -> None:
        """Of this cluster's runs. That a run is not here says nothing of one in another cluster."""
        waiting = {gate for _, gates in self._runs.values() for gate in gates}
        missed = sorted(each.id for each in asked if each.id not in waiting)
        for gate, standing in self.venue.ledger.read_all(missed).items():
            named = standing.request.workflow
            if named is None or named.cluster != self.cluster.name:
                continue
            if self.cluster.namespace in (None, named.namespace):
                workflow = self.cluster.workflow(named)
                if self.cluster.name or self._is_here(workflow, named):
                    self._over(named, frozenset([gate]), workflow)

    def _is_here(self, workflow: Mapping[str, Any] | None, named: Workflow) -> bool:
        try:
            return workflow is not None and argo.named(workflow).uid == named.uid
        except UnreadableWorkflow:
            return False

    def _delivered(self, gates: Iterable[str]) -> bool:
        """Whether the cluster answered each time."""
        answered = [self._deliver(gate) for gate in sorted(gates)]
        return all(answered)

    def _deliver(self, gate: str) -> bool:
        """Whether the cluster answered."""
        standing = self._due[gate]
        try:
            found = deliver(self.cluster, standing, self.clock())
        except ClusterUnavailable as error:
            self._trouble("cluster", error)
            _log.debug("gate %s: the cluster did not answer; it is tried again", gate)
            return False  # it stays due, and the next round tries again
        except Exception as error:  # noqa: BLE001 - a bug that one gate sets off is that gate's alone
            self._bug(f"gate {gate}", error)
            return True  # a restart would not mend it, and the others would wait for it
        outcome = standing.decision.outcome.value if standing.decision else "pending"
        _log.debug("gate %s: is %s; %s, %s", gate, outcome, found.delivery.value, found.says)
        self._count(standing, found)
        self.tell(f"{standing.request.gate.key}: {found.says}")
        if found.delivery is Delivery.RESUMED:
            self._moved.add(gate)
        if found.delivery is not Delivery.CONFLICT:
            del self._due[gate]
        return True

    def _count(self, standing: Standing, found: Resumption) -> None:
        self.progress.deliveries[found.delivery.value] += 1
        if standing.decision and found.delivery is Delivery.RESUMED:
            self.progress.seconds += (self.clock() - standing.decision.decided_at).total_seconds()

    # -- telling -------------------------------------------------------------------------------

    def _trouble(self, side: str, error: BridgeError) -> None:
        self.progress.troubles[side] += 1
        self.tell(str(error))

    def _bug(self, what: str, error: Exception) -> None:
        self.progress.troubles["bridge"] += 1
        self._once(f"{what}: {report_once(error, os.environ)}")

    def _once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self.tell(line)


def _of(gates: Iterable[str]) -> str:
    return ", ".join(sorted(gates)) or "none"
