"""Push: the decider brings what it recorded to Argo, and withdraws the gates of runs that ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.argo.kubernetes import Kubernetes
from bridge.core.delivery import Workflow
from bridge.core.evaluation import Decider, Outcome
from bridge.gates import process_page
from bridge.gates.open_page import Desk
from bridge.gates.process_page import tend
from bridge.pages import page_text
from bridge.pages.votes import Gathered
from tests.argo import api
from tests.forge import POLICY, World
from tests.github import GitHub
from tests.github.conversation import Issue
from tests.github.pulls import PullRequest

RUN = Workflow("argo", "run-1", "u-1")
KEY = "Train/argo-run-1/deploy/12"


class Pushing(World):
    """A decider that has a credential of the cluster; the opener has none."""

    cluster: api.Cluster

    def desk(self, app: Any = None) -> Desk:
        there = Kubernetes(os.environ["KUBECONFIG"]) if app is None else None
        return replace(super().desk(app), cluster=there)

    def ask(self, cluster: str = "", **changes: Any) -> PullRequest:
        """A gate whose run waits at a suspended node of the cluster."""
        changes = {"workflow": replace(RUN, cluster=cluster), **changes}
        request = self.request(KEY, **changes)
        gate = request.gate.id
        self.run = {
            "metadata": {"name": RUN.name, "namespace": RUN.namespace, "uid": RUN.uid},
            "status": {
                "phase": "Running",
                "nodes": {
                    "wait": {
                        "id": "wait",
                        "displayName": "hitl-suspend-deploy",
                        "type": "Suspend",
                        "phase": "Running",
                        "inputs": {"parameters": [{"name": "gate", "value": gate}]},
                        "outputs": {
                            "parameters": [{"name": "decision", "valueFrom": {"supplied": {}}}]
                        },
                    }
                },
            },
        }
        self.cluster.submit(self.run)
        return self.open(KEY, **changes)

    def node(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.get("argo", "run-1")["status"]["nodes"]["wait"]
        return found

    def happens(self, **status: Any) -> None:
        """What the controller writes."""
        self.cluster.patch("argo", "run-1", api.MERGE_PATCH, {"status": status})


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pushing]:
    with GitHub() as github, api.serving() as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path)))
        made = Pushing(github, tmp_path)
        made.cluster = cluster
        yield made


def has_branch(at: Pushing, pull: Issue) -> bool:
    return bool(at.desk().ledger.open_heads())


def out_of_reach(at: Pushing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = tmp_path / "away"
    away.mkdir()
    nowhere = api.Cluster(url="http://127.0.0.1:1")
    monkeypatch.setenv("KUBECONFIG", str(nowhere.kubeconfig(away)))


def test_an_approval_resumes_its_node_once_it_is_recorded(at: Pushing) -> None:
    pull = at.ask()
    at.tend(pull)
    assert at.node()["phase"] == "Running"
    pull.review(at.alice, "APPROVED")
    done = at.tend(pull)
    standing = at.standing(pull)
    assert standing.decision
    assert at.node()["phase"] == "Succeeded"
    assert at.node()["message"] == f"approved by alice @{standing.commit[:12]}"
    assert at.node()["outputs"]["parameters"] == [{"name": "decision", "value": "approved"}]
    assert "the node wait of argo/run-1 is Succeeded now" in done.says
    assert "**Resumed:** the workflow `argo/run-1` goes on." in at.status(pull)


@pytest.mark.parametrize("how", ["a comment", "an edit"])
def test_an_openers_forged_word_that_it_was_delivered_is_not_believed(
    at: Pushing, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    pull = at.ask()
    at.tend(pull)
    pull.review(at.alice, "APPROVED")
    with monkeypatch.context() as cut:  # the decider is killed once the decision is recorded
        cut.setattr(process_page, "finish", lambda *_: sys.exit())
        with pytest.raises(SystemExit):
            at.tend(pull)
    decided = at.standing(pull)
    site = at.desk().forge.look(pull.number).site
    told = page_text.status(decided, decided.head or "", site, None, Gathered())
    if how == "a comment":
        pull.comment(at.opener.bot, told)
    else:
        pull.comments[0].edit(told, by=at.opener.bot)
    at.tend(pull)
    assert at.node()["phase"] == "Succeeded"
    at.github.tick()
    at.cluster.requests.clear()
    at.tend(pull)
    assert not at.cluster.requests  # the decider's own word is believed
    own = [each for each in pull.comments if "bridge status" in each.body]
    assert len(own) == 1


def test_a_rejection_fails_its_node_with_the_reason(at: Pushing) -> None:
    pull = at.ask()
    pull.comment(at.alice, "/reject the recall is too low")
    at.tend(pull)
    assert at.node()["phase"] == "Failed"
    assert "the recall is too low" in at.node()["message"]
    assert pull.state == "closed"
    assert "**Delivered:** the gate's step in the workflow `argo/run-1` failed" in at.status(pull)
    assert "**To ask again,** change what led to the rejection, then start" in at.status(pull)


def test_a_delivered_decision_asks_the_cluster_nothing_but_whether_its_run_has_ended(
    at: Pushing,
) -> None:
    pull = at.ask()
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    at.cluster.requests.clear()
    before = at.status(pull)
    at.tend(pull)
    assert not at.cluster.requests
    at.github.tick()
    at.sweep()
    asked = ["GET /apis/argoproj.io/v1alpha1/namespaces/argo/workflows/run-1"]
    assert at.cluster.requests == asked
    assert at.status(pull) == before
    assert not has_branch(at, pull)

    at.happens(phase="Succeeded")
    [done] = at.sweep()
    assert (done.says, done.failed) == (f"{KEY}: the run finished", False)
    resumed = "**Resumed:** the workflow `argo/run-1` goes on."
    finished = "**Finished:** the workflow `argo/run-1` ended as `Succeeded`."
    assert at.status(pull) == before.replace(resumed, finished)
    at.cluster.requests.clear()
    assert at.sweep() == ()
    at.tend(pull)
    assert not at.cluster.requests
    assert at.status(pull) == before.replace(resumed, finished)


def test_a_cluster_out_of_reach_keeps_the_record_and_is_tried_again(
    at: Pushing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull = at.ask()
    pull.comment(at.alice, "/reject no")
    good = os.environ["KUBECONFIG"]
    out_of_reach(at, tmp_path, monkeypatch)
    done = at.tend(pull)
    assert done.failed
    assert "Kubernetes cannot be reached" in done.says
    decision = at.recorded(pull)
    assert decision
    assert decision.outcome is Outcome.REJECTED
    assert "**Not delivered yet:** Kubernetes cannot be reached" in at.status(pull)
    assert has_branch(at, pull)  # so that the next sweep finds it

    monkeypatch.setenv("KUBECONFIG", good)
    [after] = at.sweep()
    assert not after.failed
    assert at.node()["phase"] == "Failed"
    assert "Not delivered" not in at.status(pull)
    assert not has_branch(at, pull)


def test_a_cluster_out_of_reach_keeps_nobody_from_deciding(
    at: Pushing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull = at.ask()
    out_of_reach(at, tmp_path, monkeypatch)
    waits = at.tend(pull)
    assert waits.failed  # somebody has to mend it
    assert "Not delivered" not in at.status(pull)
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.recorded(pull)


def test_a_node_that_a_stranger_moved_is_told_and_the_record_stands(at: Pushing) -> None:
    pull = at.ask()
    at.happens(nodes={"wait": {"phase": "Succeeded", "message": "by hand"}})
    pull.comment(at.alice, "/reject no")
    at.tend(pull)
    said = at.status(pull)
    assert "is Succeeded already (by hand)" in said
    assert "The step obeys the record" in said
    at.tend(pull)
    assert at.status(pull) == said


@pytest.mark.parametrize("phase", ["Failed", "Error", "Succeeded"])
def test_a_run_that_ended_while_it_waited_has_its_gate_withdrawn(at: Pushing, phase: str) -> None:
    pull = at.ask()
    at.tend(pull)
    at.happens(phase=phase, message="Stopped with strategy 'Stop'")
    at.sweep()
    decision = at.recorded(pull)
    assert decision
    assert (decision.outcome, decision.by) == (Outcome.WITHDRAWN, Decider.RUN)
    assert f"the run argo/run-1 ended {phase} (Stopped with strategy" in decision.reason
    assert pull.state == "closed"
    assert pull.labels == ["gate:withdrawn"]
    assert "🚫 Withdrawn: the run argo/run-1 ended" in at.status(pull)
    at.sweep()
    assert not has_branch(at, pull)


@pytest.mark.parametrize("look", ["tend", "sweep"])
def test_a_gate_whose_node_a_stranger_moved_is_withdrawn(at: Pushing, look: str) -> None:
    pull = at.ask()
    at.happens(nodes={"wait": {"phase": "Succeeded", "message": "by hand"}})
    pull.review(at.alice, "APPROVED")
    at.tend(pull) if look == "tend" else at.sweep()
    decision = at.recorded(pull)
    assert decision
    assert decision.outcome is Outcome.WITHDRAWN
    assert "became Succeeded (by hand) before anyone decided" in decision.reason
    assert pull.state == "closed"
    at.sweep()
    assert not has_branch(at, pull)


def test_a_run_that_vanished_has_its_gate_withdrawn(at: Pushing) -> None:
    pull = at.ask()
    at.cluster.delete(at.run)
    at.sweep()
    decision = at.recorded(pull)
    assert decision
    assert decision.reason == "withdrawn: the run argo/run-1 is gone before anyone decided"
    assert "**The workflow:**" not in at.status(pull)


def test_the_gate_of_a_run_in_another_cluster_is_not_withdrawn(at: Pushing) -> None:
    pull = at.ask(cluster="blue")
    at.cluster.delete(at.run)
    assert not any(each.failed for each in at.sweep())
    assert at.recorded(pull) is None
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.outcome is Outcome.APPROVED
    assert "**The workflow:**" not in at.status(pull)


def test_an_approval_of_a_run_that_ended_approves_nothing(at: Pushing) -> None:
    pull = at.ask()
    at.happens(phase="Failed")
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    decision = at.recorded(pull)
    assert decision
    assert decision.outcome is Outcome.WITHDRAWN


def test_a_run_that_stopped_by_itself_at_the_deadline_is_recorded_as_expired(at: Pushing) -> None:
    at.write_policy(POLICY + "    timeout: 10m\n")
    pull = at.ask()
    at.github.clock.advance(minutes=10, seconds=1)
    at.happens(phase="Failed")
    at.sweep()
    decision = at.recorded(pull)
    assert decision
    assert (decision.outcome, decision.by) == (Outcome.EXPIRED, Decider.CLOCK)


def test_people_are_told_that_another_branch_has_lost_the_run_already(at: Pushing) -> None:
    pull = at.ask()
    at.happens(
        nodes={
            "other": {"id": "other", "displayName": "score", "type": "Pod", "phase": "Failed"},
        }
    )
    at.tend(pull)
    assert "This run has lost a step already:** `score` failed" in at.status(pull)
    assert at.recorded(pull) is None
    pull.review(at.alice, "APPROVED")
    at.tend(pull)
    assert at.node()["phase"] == "Succeeded"


def test_a_failed_attempt_that_is_tried_again_loses_no_run(at: Pushing) -> None:
    pull = at.ask()
    at.happens(
        nodes={
            "all": {"id": "all", "type": "Retry", "phase": "Running", "children": ["one"]},
            "one": {"id": "one", "displayName": "score(0)", "type": "Pod", "phase": "Failed"},
        }
    )
    at.tend(pull)
    assert "lost" not in at.status(pull)


@pytest.mark.parametrize("has_page", [True, False])
def test_a_decider_that_died_before_it_delivered_is_finished_by_the_sweep(
    at: Pushing, has_page: bool
) -> None:
    class Dies(Kubernetes):
        def move(self, named: Workflow, seen: Any, move: Any) -> bool:
            raise SystemExit

    pull = at.ask()
    pull.review(at.alice, "APPROVED")
    with pytest.raises(SystemExit):
        tend(replace(at.desk(), cluster=Dies(os.environ["KUBECONFIG"])), pull.number)
    assert at.recorded(pull)
    assert at.node()["phase"] == "Running"
    if not has_page:
        del at.repo.issues[pull.number]
    at.sweep()
    assert at.node()["phase"] == "Succeeded"
