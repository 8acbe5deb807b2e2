"""Pull: a watch in the cluster brings what the ledger decides to the nodes that wait for it."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from bridge import wiring
from bridge.argo.inject import LABEL
from bridge.argo.kubernetes import Kubernetes
from bridge.core.delivery import Workflow
from bridge.core.errors import ClusterUnavailable, ForgeUnavailable, LedgerCorrupt, TooOld
from bridge.core.evaluation import Decider, Outcome
from bridge.core.model import ApprovalRequest, on_github
from bridge.entrypoints.metrics import listening
from bridge.gates.ended_runs import EndedRuns
from bridge.gates.reconciler import TENDED, Progress, Watch
from bridge.gates.this_machine import ThisMachine
from bridge.gates.venue import Venue, VenueOf
from bridge.ledger.git_ledger import GitLedger, create
from bridge.local.notify import Silent
from tests.argo import api
from tests.gates import this_machine
from tests.ledgers import NOON, a_decision, a_rejection, a_request

ENDED = "workflows.argoproj.io/completed"


class World:
    """A ledger, a cluster, and the watch between them; each is moved by hand."""

    def __init__(self, folder: Path, cluster: api.Cluster) -> None:
        create(folder / "l.git")
        self.folder, self.cluster = folder, cluster
        self.ledger = GitLedger(str(folder / "l.git"), folder / "people")
        self.said: list[str] = []
        self.now = NOON
        self.version = ""
        self.watch = self.another()

    def another(self, **changes: Any) -> Watch:
        own = GitLedger(str(self.folder / "l.git"), self.folder / "watch")
        there = Kubernetes(os.environ["KUBECONFIG"])
        venue = this_machine(changes.pop("ledger", own), Silent(), lambda: self.now)

        made = Watch(there, venue, self._venue_of(venue), lambda: self.now, self.said.append)
        return replace(made, **changes)

    def _venue_of(self, here: ThisMachine) -> VenueOf:
        """As `wiring` has it, on the clock that a test sets."""

        def venue_of(request: ApprovalRequest) -> Venue:
            there = wiring.venue_of(request, here.ledger, here.notices, {})
            return here if isinstance(there, ThisMachine) else there

        return venue_of

    def opens(self, name: str = "run-1", cluster: str = "", **changes: Any) -> ApprovalRequest:
        """A gate is opened, and its run waits for it."""
        run = Workflow("argo", name, f"u-{name}", cluster)
        asked = a_request(f"Flow/argo-{name}/deploy/1")
        request = replace(asked, workflow=run, **{"opened_at": NOON, **changes})
        self.ledger.open(request, "")
        self.submit(request)
        return request

    def submit(self, request: ApprovalRequest) -> None:
        assert request.workflow
        run = request.workflow
        node = {
            "id": "wait",
            "type": "Suspend",
            "phase": "Running",
            "inputs": {"parameters": [{"name": "gate", "value": request.gate.id}]},
            "outputs": {"parameters": [{"name": "decision", "valueFrom": {"supplied": {}}}]},
        }
        own = {
            "name": run.name,
            "namespace": run.namespace,
            "uid": run.uid,
            "labels": {LABEL: "true"},
        }
        self.cluster.submit(
            {"metadata": own, "status": {"phase": "Running", "nodes": {"wait": node}}}
        )

    def node(self, name: str = "run-1") -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.get("argo", name)["status"]["nodes"]["wait"]
        return found

    def writes(self, patch: Any, name: str = "run-1") -> None:
        self.cluster.patch("argo", name, api.MERGE_PATCH, patch)

    def starts(self) -> None:
        self.version = self.watch.list_all()
        self.watch.round()

    def goes_on(self) -> None:
        """One turn: a second of listening, and a look at the ledger."""
        self.version = self.watch.listen(self.version, 1)
        self.watch.round()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[api.Cluster]:
    with api.serving() as found:
        monkeypatch.setenv("KUBECONFIG", str(found.kubeconfig(tmp_path)))
        yield found


@pytest.fixture
def at(tmp_path: Path, cluster: api.Cluster) -> World:
    return World(tmp_path, cluster)


def test_the_log_says_what_the_watch_saw_and_what_it_did(
    at: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "bridge.reconciler")
    request = at.opens()
    gate = request.gate.id
    at.starts()
    at.ledger.record(a_decision(request))
    at.goes_on()
    said = [each.getMessage() for each in caplog.records]
    assert f"ledger at {at.ledger.head()}: looked for gates {gate}, decided {gate}" in said
    assert any(each.startswith(f"gate {gate}: is approved; resumed, ") for each in said)


def test_a_decision_recorded_later_reaches_its_node_and_no_other(at: World) -> None:
    request, _ = at.opens(), at.opens("run-2")
    at.starts()
    at.ledger.record(a_decision(request))
    at.goes_on()
    assert (at.node()["phase"], at.node("run-2")["phase"]) == ("Succeeded", "Running")
    assert at.watch.progress.deliveries == {"resumed": 1}
    assert at.watch.progress.waiting == 2
    at.goes_on()
    assert at.watch.progress.waiting == 1


class Pages:
    """As much of a `Venue` as says how runs ended. It refuses the first tries."""

    def __init__(self, refuses: int) -> None:
        self.refuses = refuses
        self.of: str | None = None
        self.said: list[tuple[tuple[str, ...], bool]] = []

    def say_ended(self, gate_ids: Sequence[str], *, well: bool, uid: str | None = None) -> None:
        self.of = uid
        if self.refuses:
            self.refuses -= 1
            raise ForgeUnavailable("GitHub answered 502")
        self.said.append((tuple(gate_ids), well))


def a_run(phase: str = "Succeeded", gate: str = "3fa9", **status: Any) -> dict[str, Any]:
    node = {"type": "Suspend", "inputs": {"parameters": [{"name": "gate", "value": gate}]}}
    status = {"phase": phase, "nodes": {"wait": node, "train": {"type": "Pod"}}, **status}
    return {"metadata": {"namespace": "ml", "name": "run-1", "uid": "u-1"}, "status": status}


def ends_said(pages: Pages, *seen: dict[str, Any], looks: int = 5) -> list[str]:
    """What is said of these events, and the reasons why it failed."""
    runs = EndedRuns()
    failed = []
    for _ in range(looks):
        for each in seen:
            runs.saw(each)
        failed.append(runs.say(cast(Venue, pages)))
    return [str(each) for each in failed if each]


@pytest.mark.parametrize(("phase", "well"), [("Succeeded", True), ("Failed", False)])
def test_how_a_run_ended_is_said_once_however_often_it_is_seen(phase: str, well: bool) -> None:
    pages = Pages(refuses=0)
    assert ends_said(pages, a_run("Running"), a_run(phase), a_run(phase)) == []
    assert pages.said == [(("3fa9",), well)]
    assert pages.of == "u-1"


@pytest.mark.parametrize(
    "run",
    [a_run("Running"), a_run(nodes={}), a_run(nodes={"wait": 7}), {"metadata": 7}],
    ids=["runs", "no gate", "an unreadable node", "unreadable"],
)
def test_nothing_is_said_of_a_run_that_goes_on_had_no_gate_or_is_unreadable(run: Any) -> None:
    pages = Pages(refuses=0)
    assert ends_said(pages, run) == []
    assert pages.said == []


@pytest.mark.parametrize(("refuses", "said"), [(2, [(("3fa9",), True)]), (9, [])])
def test_what_a_page_does_not_take_is_tried_three_times(
    refuses: int, said: list[tuple[tuple[str, ...], bool]]
) -> None:
    pages = Pages(refuses)
    assert ends_said(pages, a_run()) == ["GitHub answered 502"] * min(refuses, 3)
    assert pages.said == said


def test_a_watch_says_how_a_run_ended_and_goes_on_if_it_may_not(
    at: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = Pages(refuses=9)
    monkeypatch.setattr(
        ThisMachine, "say_ended", lambda _, *said, **how: pages.say_ended(*said, **how)
    )
    request = at.opens()
    at.ledger.record(a_decision(request))
    at.starts()
    assert at.node()["phase"] == "Succeeded"
    at.writes({"status": {"phase": "Failed"}, "metadata": {"labels": {ENDED: "true"}}})
    at.now += timedelta(seconds=TENDED)
    at.goes_on()
    says = "the pages of decided gates do not say how their runs ended: GitHub answered 502"
    assert at.said.count(says) == 1
    pages.refuses = 0
    at.now += timedelta(seconds=TENDED)
    at.watch.round()
    assert pages.said == [((request.gate.id,), False)]


def test_a_rejection_reaches_its_node(at: World) -> None:
    request = at.opens()
    at.starts()
    at.ledger.record(a_rejection(request))
    at.goes_on()
    assert at.node()["phase"] == "Failed"


def test_what_was_decided_while_nobody_watched_is_delivered_at_the_start(at: World) -> None:
    request = at.opens()
    at.ledger.record(a_decision(request))
    at.starts()
    assert at.node()["phase"] == "Succeeded"


def test_a_run_that_comes_to_wait_later_is_seen(at: World) -> None:
    at.starts()
    request = at.opens()
    at.goes_on()
    at.ledger.record(a_decision(request))
    at.goes_on()
    assert at.node()["phase"] == "Succeeded"


def test_a_node_that_was_suspended_again_is_delivered_again(at: World) -> None:
    request = at.opens()
    at.starts()
    at.ledger.record(a_decision(request))
    at.goes_on()
    at.goes_on()
    at.writes({"status": {"nodes": {"wait": {"phase": "Running"}}}})
    at.goes_on()
    assert at.node()["phase"] == "Succeeded"
    assert at.watch.progress.deliveries == {"resumed": 2}


def test_what_push_delivered_already_is_left_as_it_is(at: World) -> None:
    request = at.opens()
    at.starts()
    at.ledger.record(a_decision(request))
    at.writes({"status": {"nodes": {"wait": {"phase": "Succeeded", "message": "m"}}}})
    at.watch.round()
    assert at.node()["message"] == "m"
    assert at.watch.progress.deliveries == {"already resumed": 1}


def test_who_listens_from_too_long_ago_is_told_to_list_again(at: World) -> None:
    at.opens()
    at.starts()
    at.opens("run-2")
    at.cluster.forget()
    with pytest.raises(TooOld):
        at.goes_on()


class Enough(Exception):
    pass


def test_following_lists_again_where_that_is_asked_and_waits_where_nothing_answers(
    at: World,
) -> None:
    turns: list[str] = []

    class Cluster(Kubernetes):
        def gated(self) -> Any:
            turns.append("list")
            if len(turns) > 4:
                raise Enough
            if len(turns) == 3:
                raise ClusterUnavailable("nobody there")
            return super().gated()

        def changes(self, since: str, seconds: int) -> Any:
            turns.append("listen")
            raise TooOld("too old")

    pauses: list[float] = []
    at.watch = at.another(cluster=Cluster(os.environ["KUBECONFIG"]))
    with pytest.raises(Enough):
        at.watch.follow(1, pauses.append)
    assert turns == ["list", "listen", "list", "list", "listen", "list"][: len(turns)]
    assert pauses == [1]
    assert at.said == ["nobody there"]


def test_while_no_gate_waits_the_ledger_is_left_alone_between_two_tendings(at: World) -> None:
    asked: list[str | None] = []

    class Counted(GitLedger):
        def decided_since(self, head: str | None) -> Any:
            asked.append(head)
            return super().decided_since(head)

    at.watch = at.another(ledger=Counted(str(at.folder / "l.git"), at.folder / "watch"))
    at.starts()
    at.watch.round()
    at.watch.round()
    assert len(asked) == 1
    at.now += timedelta(seconds=TENDED)
    at.watch.round()
    assert len(asked) == 2
    at.opens()
    at.goes_on()
    at.watch.round()
    assert len(asked) == 4


def test_the_cluster_is_listened_to_for_a_shorter_time_while_a_gate_waits(at: World) -> None:
    turns: list[int] = []

    class Cluster(Kubernetes):
        def changes(self, since: str, seconds: int) -> Any:
            turns.append(seconds)
            if len(turns) == 1:
                at.opens()
            elif len(turns) == 3:
                raise Enough
            return super().changes(since, 1)

    at.watch = at.another(cluster=Cluster(os.environ["KUBECONFIG"]))
    with pytest.raises(Enough):
        at.watch.follow(3, lambda _: None)
    assert turns == [TENDED, 3, 3]


def test_a_first_gate_that_waits_ends_the_listening(at: World) -> None:
    at.starts()
    at.opens()
    at.opens("run-2")

    class Cluster(Kubernetes):
        def changes(self, since: str, seconds: int) -> Any:
            for number, each in enumerate(super().changes(since, seconds)):
                assert number == 0, "it went on to listen"
                yield each

    at.watch.cluster = Cluster(os.environ["KUBECONFIG"])
    at.version = at.watch.listen(at.version, 1, until_one_waits=True)
    at.watch.round()
    assert at.watch.progress.waiting == 1


def test_a_cluster_that_does_not_take_it_is_asked_again_the_next_time(at: World) -> None:
    class Away(Kubernetes):
        away = True

        def move(self, named: Workflow, seen: Any, move: Any) -> bool:
            if self.away:
                raise ClusterUnavailable("away")
            return super().move(named, seen, move)

    request = at.opens()
    there = Away(os.environ["KUBECONFIG"])
    at.watch = at.another(cluster=there)
    at.starts()
    at.ledger.record(a_decision(request))
    at.goes_on()
    assert (at.node()["phase"], at.watch.progress.troubles["cluster"]) == ("Running", 1)
    well_at = at.watch.progress.well_at
    at.now += timedelta(seconds=9)
    at.watch.round()
    assert at.watch.progress.well_at == well_at
    there.away = False
    at.goes_on()
    assert at.node()["phase"] == "Succeeded"


def test_a_bug_that_one_gate_sets_off_is_told_once_counted_and_stops_no_other(at: World) -> None:
    class Odd(Kubernetes):
        def move(self, named: Workflow, seen: Any, move: Any) -> bool:
            if named.name == "run-1":
                raise RuntimeError("odd")
            return super().move(named, seen, move)

    broken, fine = at.opens(), at.opens("run-2")
    at.watch = at.another(cluster=Odd(os.environ["KUBECONFIG"]))
    at.starts()
    for each in (broken, fine):
        at.ledger.record(a_decision(each))
    at.goes_on()
    at.watch.round()
    assert at.node("run-2")["phase"] == "Succeeded"
    assert at.watch.progress.troubles["bridge"] == 2
    assert len([line for line in at.said if "a bug of the bridge" in line]) == 1


def test_a_ledger_that_does_not_answer_is_told_and_looked_at_again(at: World) -> None:
    request = at.opens()
    at.starts()
    at.ledger.record(a_decision(request))
    (at.folder / "l.git").rename(at.folder / "away.git")
    at.goes_on()
    assert at.watch.progress.troubles["ledger"] == 1
    (at.folder / "away.git").rename(at.folder / "l.git")
    at.goes_on()
    assert at.node()["phase"] == "Succeeded"


@pytest.mark.parametrize("how", ["deleted", "ended", "ended, and labelled so"])
def test_a_run_that_ended_or_vanished_has_its_gate_withdrawn(at: World, how: str) -> None:
    request = at.opens()
    at.starts()
    if how == "deleted":
        at.cluster.delete(at.cluster.get("argo", "run-1"))
    else:
        label = {"labels": {ENDED: "true"}} if "labelled" in how else {}
        at.writes({"metadata": label, "status": {"phase": "Failed", "message": "stopped"}})
    at.goes_on()
    standing = at.ledger.read(request.gate.id)
    assert standing
    assert standing.decision
    assert (standing.decision.outcome, standing.decision.by) == (Outcome.WITHDRAWN, Decider.RUN)
    says = "is gone" if how == "deleted" else "ended Failed (stopped)"
    assert f"the run argo/run-1 {says}" in standing.decision.reason


MOVED = {"phase": "Succeeded", "message": "by hand"}


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (MOVED, "the node wait of argo/run-1 became Succeeded (by hand)"),
        ({"phase": "Failed"}, "the node wait of argo/run-1 became Failed"),
        (
            {"phase": "Failed", "message": "Stopped with strategy 'Stop'"},
            "the run argo/run-1 was stopped",
        ),
    ],
)
def test_a_gate_whose_node_a_stranger_moved_is_withdrawn_within_one_round(
    at: World, node: dict[str, str], why: str
) -> None:
    request = at.opens()
    at.starts()
    at.writes({"status": {"nodes": {"wait": node}}})
    at.goes_on()
    standing = at.ledger.read(request.gate.id)
    assert standing
    assert standing.decision
    assert standing.decision.outcome is Outcome.WITHDRAWN
    assert standing.decision.reason == f"withdrawn: {why} before anyone decided"
    assert at.ledger.listing().gates == ()


def test_a_node_that_a_stranger_moved_while_nobody_watched_has_its_gate_withdrawn(
    at: World,
) -> None:
    request = at.opens()
    at.writes({"status": {"nodes": {"wait": MOVED}}})
    at.starts()
    standing = at.ledger.read(request.gate.id)
    assert standing
    assert standing.decision
    assert standing.decision.outcome is Outcome.WITHDRAWN


def test_a_gate_that_has_no_node_yet_is_not_withdrawn(at: World) -> None:
    request = at.opens()
    at.writes({"status": {"nodes": {"wait": None}}})
    at.starts()
    standing = at.ledger.read(request.gate.id)
    assert standing
    assert standing.decision is None


def test_a_gate_that_the_ledger_could_not_withdraw_is_withdrawn_in_a_later_round(
    at: World,
) -> None:
    request = at.opens()
    at.starts()
    at.writes({"status": {"nodes": {"wait": MOVED}}})
    (at.folder / "l.git").rename(at.folder / "away.git")
    at.goes_on()
    (at.folder / "away.git").rename(at.folder / "l.git")
    at.watch.round()
    standing = at.ledger.read(request.gate.id)
    assert standing
    assert standing.decision
    assert standing.decision.outcome is Outcome.WITHDRAWN


def test_a_gate_that_the_watch_itself_delivered_is_not_read_once_more(
    at: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = at.opens()
    at.starts()
    at.ledger.record(a_decision(request))
    at.goes_on()
    assert at.node()["phase"] == "Succeeded"
    read: list[str] = []
    monkeypatch.setattr(GitLedger, "read", lambda _, gate: read.append(gate))
    at.goes_on()
    assert read == []


def test_a_run_that_lost_our_label_waits_on(at: World) -> None:
    request = at.opens()
    at.starts()
    at.writes({"metadata": {"labels": {LABEL: None}}})
    at.goes_on()
    standing = at.ledger.read(request.gate.id)
    assert standing
    assert standing.decision is None


def test_a_gate_that_makes_no_sense_keeps_no_decision_from_its_node(at: World) -> None:
    class Corrupt(GitLedger):
        def listing(self) -> Any:
            raise LedgerCorrupt("no sense")

    own = Corrupt(str(at.folder / "l.git"), at.folder / "watch")
    at.watch = at.another(ledger=own)
    request = at.opens()
    at.starts()
    at.ledger.record(a_decision(request))
    at.goes_on()
    assert at.node()["phase"] == "Succeeded"
    assert "no sense" in at.said
    assert at.watch.progress.well_at is None


def test_a_run_that_vanished_between_two_lists_has_its_gate_withdrawn(at: World) -> None:
    request = at.opens()
    at.starts()
    at.cluster.delete(at.cluster.get("argo", "run-1"))
    at.starts()
    standing = at.ledger.read(request.gate.id)
    assert standing
    assert standing.decision
    assert standing.decision.outcome is Outcome.WITHDRAWN


@pytest.mark.parametrize(
    ("name", "namespace", "withdrawn"),
    [("blue", None, True), ("blue", "argo", True), ("blue", "ml", False), ("green", None, False),
     ("", None, False)],
)  # fmt: skip
def test_a_run_that_vanished_while_nobody_watched_is_missed_by_the_cluster_that_it_names(
    at: World, name: str, namespace: str | None, withdrawn: bool
) -> None:
    gone, waits = at.opens(cluster="blue"), at.opens("run-2", cluster="blue")
    at.cluster.delete(at.cluster.get("argo", "run-1"))
    at.watch = at.another(cluster=Kubernetes(os.environ["KUBECONFIG"], namespace, name))
    at.starts()
    standing, still = at.ledger.read(gone.gate.id), at.ledger.read(waits.gate.id)
    assert standing
    assert still
    assert still.decision is None
    assert bool(standing.decision) is withdrawn
    if standing.decision:
        assert standing.decision.reason == (
            "withdrawn: the run argo/run-1 is gone before anyone decided"
        )


def test_the_gate_of_a_forge_is_its_deciders_to_withdraw(at: World) -> None:
    request = at.opens(venue=on_github("acme/models"))
    at.starts()
    at.cluster.delete(at.cluster.get("argo", "run-1"))
    at.goes_on()
    standing = at.ledger.read(request.gate.id)
    assert standing
    assert standing.decision is None
    assert "waits for a run that is over: the run argo/run-1 is gone" in at.said[-1]


def test_the_clock_is_read_for_gates_of_a_ledger_alone(at: World) -> None:
    request = at.opens()
    at.starts()
    at.now += timedelta(days=1)
    at.goes_on()
    standing = at.ledger.read(request.gate.id)
    assert standing
    assert standing.decision
    assert standing.decision.by is Decider.CLOCK
    assert at.node()["phase"] == "Failed"


def test_nodes_in_a_database_are_told_once(at: World) -> None:
    at.opens()
    at.writes({"status": {"offloadNodeStatusVersion": "fnv:1", "nodes": None}})
    at.starts()
    at.writes({"status": {"message": "again"}})
    at.goes_on()
    assert [each for each in at.said if "through Argo Server (HITL_ARGO_SERVER)" in each] == at.said


UNREADABLE: tuple[Any, ...] = (
    {"nodes": {"a": 5}},
    {"nodes": ["a"]},
    {"nodes": {"a": {"type": "Suspend", "phase": "Running", "inputs": 5}}},
    {"nodes": {"a": {"inputs": {"parameters": {"name": "gate"}}}}},
    {"nodes": {"a": {"outputs": {"parameters": ["decision"]}}}},
    {"nodes": {"a": {"children": 5}}},
    {"nodes": {"a": {"phase": ["Running"]}}},
    {"phase": 5, "nodes": {}},
    {"compressedNodes": "no base64"},
    {"compressedNodes": 5},
    "Running",
)


def test_an_unreadable_workflow_is_counted_and_told_once_and_the_others_are_delivered(
    at: World,
) -> None:
    for number, status in enumerate(UNREADABLE):
        own = {"name": f"odd-{number}", "namespace": "argo", "uid": f"odd-{number}"}
        at.cluster.submit({"metadata": {**own, "labels": {LABEL: "true"}}, "status": status})
    request = at.opens()
    at.starts()
    at.ledger.record(a_decision(request))
    at.writes({"metadata": {"annotations": {"a": "b"}}}, "odd-0")
    at.goes_on()
    assert at.node()["phase"] == "Succeeded"
    assert at.watch.progress.unreadable == len(UNREADABLE)
    assert at.watch.progress.well_at
    told = [each for each in at.said if "unreadable" in each]
    assert len(told) == len(UNREADABLE)
    assert (
        "the workflow argo/odd-0 is unreadable, and nothing is delivered to it:"
        " the node a is not a mapping" in told
    )


def test_a_workflow_nested_as_deep_as_the_api_takes_it_stops_no_other(at: World) -> None:
    deep: Any = 1
    for _ in range(3_000):
        deep = {"a": deep}
    own = {"name": "deep", "namespace": "argo", "uid": "deep", "labels": {LABEL: "true"}}
    at.cluster.submit({"metadata": own, "status": {"phase": "Running", "nodes": {}, "x": deep}})
    request = at.opens()
    at.starts()
    at.ledger.record(a_decision(request))
    at.goes_on()
    assert at.node()["phase"] == "Succeeded"


def test_a_workflow_that_was_unreadable_for_a_while_is_delivered_once_it_is_mended(
    at: World,
) -> None:
    request = at.opens()
    at.starts()
    nodes = at.cluster.get("argo", "run-1")["status"]["nodes"]
    at.writes({"status": {"nodes": {"odd": 5}}})
    at.ledger.record(a_decision(request))
    at.goes_on()
    assert at.watch.progress.unreadable == 1
    assert at.watch.progress.deliveries["unreadable"] == 1
    at.writes({"status": {"nodes": {"odd": None, **nodes}}})
    at.goes_on()
    assert at.node()["phase"] == "Succeeded"
    assert at.watch.progress.unreadable == 0


def test_an_overdue_gate_that_cannot_be_read_keeps_no_other_from_its_deadline(at: World) -> None:
    rotten, sound = at.opens("run-1"), at.opens("run-2")

    class Rotten(GitLedger):
        def read(self, gate_id: str) -> Any:
            if gate_id == rotten.gate.id:
                raise LedgerCorrupt("no sense")
            return super().read(gate_id)

        def read_all(self, gate_ids: Any) -> Any:  # leaves out what makes no sense
            return super().read_all(each for each in gate_ids if each != rotten.gate.id)

    at.watch = at.another(ledger=Rotten(str(at.folder / "l.git"), at.folder / "watch"))
    at.starts()
    at.now += timedelta(days=1)
    at.goes_on()
    at.goes_on()
    assert at.node("run-2")["phase"] == "Failed"
    assert at.said.count(f"gate {rotten.gate.id}: no sense") == 1
    assert at.ledger.read(sound.gate.id).decision  # type: ignore[union-attr]


def asked_of_the_cluster(at: World) -> list[str]:
    return [each.partition("?")[0] for each in at.cluster.requests]


def test_what_is_asked_of_the_cluster_does_not_grow_with_the_gates(at: World) -> None:
    for number in range(40):
        at.opens(f"run-{number}")
    at.starts()
    at.goes_on()
    workflows = "GET /apis/argoproj.io/v1alpha1/workflows"
    assert asked_of_the_cluster(at) == [workflows, workflows]
    assert at.watch.progress.waiting == 40


def test_a_list_of_many_pages_is_read_to_its_end(
    at: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.argo.kubernetes._PAGE", 3)
    for number in range(8):
        at.opens(f"run-{number}")
    at.starts()
    assert at.watch.progress.waiting == 8
    assert len(asked_of_the_cluster(at)) == 3


# -- the process -----------------------------------------------------------------------------------


def fetched(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_health_is_bad_until_all_went_well_and_again_when_it_has_not_for_long(at: World) -> None:
    progress, at.now = Progress(), NOON
    site = listening("127.0.0.1:0", progress, lambda: at.now, patience=60)
    assert fetched(f"http://{site}/healthz")[0] == 503
    progress.well_at = NOON
    assert fetched(f"http://{site}/healthz")[0] == 200
    at.now += timedelta(seconds=61)
    assert fetched(f"http://{site}/healthz")[0] == 503
    # It tries: nothing is mended by starting it anew.
    assert fetched(f"http://{site}/livez")[0] == 503
    progress.turned_at = at.now
    assert fetched(f"http://{site}/livez")[0] == 200
    assert fetched(f"http://{site}/healthz")[0] == 503
    progress.deliveries["resumed"] += 2
    _, figures = fetched(f"http://{site}/metrics")
    assert 'hitl_deliveries_total{result="resumed"} 2.0' in figures
    assert fetched(f"http://{site}/")[0] == 404


def test_the_command_delivers_tells_and_ends_when_it_is_told_to(at: World) -> None:
    request = at.opens()
    at.ledger.record(a_decision(request))
    command = [sys.executable, "-m", "bridge.cli.main", "--ledger", str(at.folder / "l.git")]
    options = ["--interval", "3", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "argo", "reconcile", *options], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        try:
            said = ""
            for line in process.stderr:
                said += line
                if "is Succeeded now" in line:
                    break
            address = re.search(r"http://\S+", said)
            assert address, said
            assert "hitl_gates_waiting" in fetched(f"{address[0]}/metrics")[1]
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()
    assert at.node()["phase"] == "Succeeded"


def test_an_address_that_cannot_be_listened_at_is_one_sentence(cluster: api.Cluster) -> None:
    command = [sys.executable, "-m", "bridge.cli.main", "--ledger", "x", "reconcile", "--watch"]
    made = subprocess.run(
        [*command, "--listen", "nowhere"], capture_output=True, text=True, check=False
    )
    assert made.returncode == 2
    assert "Traceback" not in made.stderr
    assert "nowhere is no address to listen at (host:port)" in made.stderr
