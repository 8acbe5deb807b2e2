"""Flows on Argo whose gates are decided on GitHub, by push and by pull, from `create` to the end.

By push the decider itself moves the node; by pull a watch in the cluster does, which reads the
repository with a credential that only reads. The controller is a stand-in (see `argo/`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest
from jsonpatch import apply_patch

from bridge.argo import nodes
from bridge.argo.kubernetes import Kubernetes
from bridge.core.branches import branches_of
from bridge.core.delivery import Move
from bridge.core.evaluation import Decider, Outcome
from bridge.core.model import on_github
from bridge.gates.on_github import OnGitHub
from bridge.gates.open_page import Desk
from bridge.gates.reconciler import Watch
from bridge.github.client import GitHub as Forge
from bridge.ledger.git_ledger import GitLedger
from bridge.local.notify import Silent
from tests.argo import api
from tests.github import GitHub
from tests.github.pulls import PullRequest
from tests.test_whole_way import OnArgo

POLICY = """\
identities:
  ann: mallory
gates:
  - name: lets time decide
    when: {step: passes}
    require: {users: [alice]}
    timeout: 1h
    on_timeout: approve
    facts: claimed
  - name: shapes, which have an hour
    when: {flow: Shapes}
    require: {users: [alice]}
    timeout: 1h
    on_timeout: reject
  - name: every gate
    require: {users: [alice]}
"""


class ByPush(OnArgo):
    """The decider has a credential of the cluster."""

    cluster: api.Cluster

    def __init__(self, github: GitHub, folder: Path, store: dict[str, str], flow: str) -> None:
        super().__init__(github, folder, POLICY)
        self.deploy(store, flow)
        self.cluster.submit(self.controller.workflow)

    def desk(self, app: Any = None) -> Desk:
        there = Kubernetes(os.environ["KUBECONFIG"]) if app is None else None
        return replace(super().desk(app), cluster=there)

    def elsewhere(self, namespace: str) -> Self:
        """The same run once more in a namespace of its own: what waits here is asked there anew."""
        other = copy(self)
        other.controller = self.controller.elsewhere(namespace)
        self.cluster.submit(other.controller.workflow)
        return other

    def settle(self) -> str:
        self.cluster.settle(self.controller)
        phase: str = self.controller.status["phase"]
        return phase

    def deliver(self) -> None:
        """The decider did."""

    def pass_its_hour(self) -> None:
        """Merges are noticed; and the tokens, which are good for one, are new."""
        self.github.tick()
        self.github.clock.advance(hours=2)  # the pods have the machine's own clock
        self.mint()
        self.give_secrets()

    def waiting(self) -> dict[str, PullRequest]:
        """The gates that nodes wait for, each with its page."""
        pages = {each.head_ref.removeprefix("gate/"): each for each in self.repo.pulls}
        return {gate: pages[gate] for gate in nodes.waiting(self.controller.workflow)}

    def asked(self) -> dict[str, PullRequest]:
        """By what they ask."""
        return {self.standing(each).request.message: each for each in self.waiting().values()}

    def decide(self, pull: PullRequest, says: str = "") -> None:
        """Alice does; and of all the nodes that wait, one goes on."""
        before = set(self.waiting())
        if says:
            pull.comment(self.alice, says)
        else:
            pull.review(self.alice, "APPROVED")
        told = self.tend(pull)
        self.deliver()
        assert before - set(self.waiting()) == {pull.head_ref.removeprefix("gate/")}, told.says

    def strangers(self) -> Iterator[str]:
        """Moves each node that waits, with no decision, in a copy of the run: what its pod says."""
        for gate, node in nodes.waiting(self.controller.workflow).items():
            controller = self.controller.fork()
            move = Move(node, gate, "Succeeded", Outcome.APPROVED, "approved @f00", self.now())
            controller.workflow |= apply_patch(
                controller.workflow, nodes.json_patch(controller.workflow, move)
            )
            before = len(self.pods.started)
            controller.settle()
            [pod] = self.pods.started[before:]
            gated = controller.node(pod)
            assert gated
            assert gated["message"] == "main: Error (exit code 202)"
            yield self.pods.said(pod)

    def phase(self, name: str) -> str:
        node = self.controller.at(name)
        assert node
        phase: str = node["phase"]
        return phase


class ByPull(ByPush):
    """GitHub holds no credential of the cluster, and the cluster none that writes to GitHub."""

    version = ""

    def __init__(self, github: GitHub, folder: Path, store: dict[str, str], flow: str) -> None:
        super().__init__(github, folder, store, flow)
        cluster, ledger = Kubernetes(os.environ["KUBECONFIG"]), self.reader()
        venue = OnGitHub(
            on_github(self.repo.full_name), ledger, Silent(), self.now, self.no_credential
        )
        self.watch = Watch(cluster, venue, lambda _: venue, self.now, lambda _: None)
        self.version = self.watch.list_all()

    def no_credential(self) -> Forge:
        raise AssertionError("the watch in the cluster asks nothing of GitHub's API")

    def reader(self) -> GitLedger:
        reads = str(self.github.actions_token(self.repo, {"contents": "read"}))
        forge = Forge(replace(self.settings(self.decider), token=reads), self.waits.append)
        return GitLedger(forge.git_url(), self.folder / "watch")

    def pass_its_hour(self) -> None:
        super().pass_its_hour()
        self.watch.ledger = self.reader()

    def desk(self, app: Any = None) -> Desk:
        return replace(super().desk(app), cluster=None)

    def deliver(self) -> None:
        self.version = self.watch.listen(self.version, 1)
        self.watch.round()


#: The questions of all shapes of a step, in the order of their letters.
SHAPES = [
    "After ring 1: 10?",
    "After ring 2: 20?",
    "After ring 3: 30?",
    "Choose taken?",
    "First: 90.0%, fir?",
    "Fork?",
    "Join 1 and 2 of fir?",
    "Left?",
    "Part 0 is oak?",
    "Part 1 is elm?",
    "Ring 1?",
    "Ring 2?",
    "Ring 3?",
    "Second in a row, 0.9?",
    "Start fir of the forest?",
    "Taken?",
    "Widths 20 and 30?",
]

Started = Callable[[str], ByPush]


# Of a wider scope than `started`, so that pytest puts all tests of one way before those of the
# other: two neighbours of minutes each would fall to one worker of pytest-xdist.
@pytest.fixture(scope="module", params=[ByPush, ByPull], ids=["push", "pull"])
def way(request: pytest.FixtureRequest) -> type[ByPush]:
    made: type[ByPush] = request.param
    return made


@pytest.fixture
def started(
    way: type[ByPush], tmp_path: Path, store: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Started]:
    with GitHub() as github, api.serving() as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path)))
        monkeypatch.setattr(ByPush, "cluster", cluster, raising=False)
        yield lambda flow: way(github, tmp_path, store, flow)


def test_a_round_that_is_rejected_ends_the_run_and_the_round_before_it_ran(
    started: Started,
) -> None:
    run = started("rounds.py")
    assert run.settle() == "Running"
    [first] = run.asked().values()
    run.decide(first)
    run.settle()
    [second] = run.asked().values()
    pods = list(run.pods.started)
    run.decide(second, "/reject once is enough")
    assert run.settle() == "Failed"
    assert run.pods.started == pods
    assert [each["rounds"] for each in run.project.ran("loop")] == [0]
    run.github.tick()
    assert (first.merged, second.merged, second.state) == (True, False, "closed")
    nodes = run.controller.status["nodes"].values()
    assert [each["message"] for each in nodes if "once is enough" in each.get("message", "")]


def test_when_its_time_is_over_the_next_sweep_records_it_and_only_what_it_approves_runs(
    started: Started,
) -> None:
    run = started("deadlines.py")
    run.settle()
    asked = run.asked()
    assert sorted(asked) == ["Passes?", "Shuts?", "Waits?"]
    run.pass_its_hour()
    run.sweep()
    run.deliver()
    before = len(run.pods.started)
    run.settle()
    assert run.pods.started[before:] == ["run-1(0).passes"]
    assert run.phase("hitl-suspend-shuts") == "Failed"
    decided = {says: run.recorded(pull) for says, pull in asked.items()}
    by = {says: each.by for says, each in decided.items() if each}
    assert by == {"Passes?": Decider.CLOCK, "Shuts?": Decider.CLOCK}
    assert list(run.asked()) == ["Waits?"]


@pytest.mark.argo_shapes
@pytest.mark.timeout(1800)  # a run through all of them, and two more from each place where it waits
def test_every_shape_of_a_step_runs_once_approved_and_by_nothing_else(started: Started) -> None:
    run = started("shapes.py")
    asked: list[str] = []
    unanswered: list[ByPush] = []
    while run.settle() == "Running":
        found, ran = run.asked(), run.project.marked()
        asked += found
        for said in run.strangers():
            assert "does not run: it is still waiting for a decision" in said

        level = len(unanswered)
        rejected, left = run.elsewhere(f"rejected-{level}"), run.elsewhere(f"left-{level}")
        for other in (rejected, left):
            assert other.settle() == "Running"
            assert other.asked().keys() == found.keys()
        pods = list(run.pods.started)
        for pull in rejected.asked().values():
            rejected.decide(pull, "/reject not this one")
        assert rejected.settle() == "Failed"
        assert (run.pods.started, run.project.marked()) == (pods, ran)
        unanswered.append(left)

        for pull in found.values():
            run.decide(pull)
    assert sorted(asked) == SHAPES
    assert len(run.project.ran("ring")) == len(run.project.ran("ring_after")) == 3
    assert run.phase("taken") == "Succeeded"
    assert run.phase("hitl-notify-left-out") == "Skipped"
    assert run.phase("left-out") == "Omitted"
    assert not run.project.ran("left_out")
    # The step after a switch is given the output of a branch that never ran: Metaflow's own fault,
    # gate or no gate.
    node = run.controller.at("loop")
    assert node
    assert node["message"] == "unable to substitute tasks.left-out: output is an absent optional"

    late = [pull for left in unanswered for pull in left.asked().values()]
    assert len(late) == len(SHAPES)
    pods = list(run.pods.started)
    run.pass_its_hour()
    run.sweep()
    run.deliver()
    assert {left.settle() for left in unanswered} == {"Failed"}
    assert run.pods.started == pods
    decided = [run.recorded(pull) for pull in late]
    assert {each and each.outcome for each in decided} == {Outcome.EXPIRED}
    assert len([pull for pull in run.repo.pulls if pull.merged]) == len(SHAPES)


@pytest.mark.argo_shapes
def test_one_split_that_is_rejected_starts_no_pod_and_the_others_run(started: Started) -> None:
    run = started("shapes.py")
    while run.settle() == "Running" and "Ring 1?" not in run.asked():
        for pull in run.asked().values():
            run.decide(pull)
    found = run.asked()
    assert sorted(found) == ["Ring 1?", "Ring 2?", "Ring 3?"]
    run.decide(found["Ring 1?"])
    run.decide(found["Ring 2?"], "/reject not this one")
    run.decide(found["Ring 3?"])
    run.settle()
    assert sorted(each["ring"] for each in run.project.ran("ring")) == [1, 3]
    assert not run.project.ran("parts_joined")


@pytest.mark.argo_shapes
def test_splits_are_skipped_and_kept_as_people_say_on_their_pages(started: Started) -> None:
    run = started("picks.py")
    run.settle()
    trees = run.asked()
    assert trees.keys() == {"Plant oak?", "Plant elm?", "Plant ash?"}
    for said in run.strangers():
        assert "does not run: it is still waiting for a decision" in said
    run.decide(trees["Plant elm?"], "/reject sick")
    run.decide(trees["Plant oak?"])
    run.decide(trees["Plant ash?"])
    run.settle()
    assert {each["tree"] for each in run.project.ran("plant")} == {"oak", "ash"}

    pages = {branches_of(run.standing(each).request): each for each in run.waiting().values()}
    assert "| oak |" in pages["oak", "elm"].body
    run.decide(pages["oak", "elm"], "/approve keep=all-except-oak")
    run.decide(pages["ash",])
    assert run.settle() == "Succeeded"
    assert {each["said"]["keep"][0] for each in run.project.ran("grown")} == {"elm", "ash"}
    assert run.project.ran("end")[0]["kept"] == ["nothing", "ash"]
