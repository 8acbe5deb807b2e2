"""A gate whose run is gone: `hitl list` and `hitl show` say so, with the command that ends it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.core.delivery import Workflow
from bridge.core.model import ApprovalRequest
from bridge.gates.deliver import surely_over
from bridge.local import waiting_runs
from bridge.local.waiting_runs import forget, orphaned, waits
from tests.gates import a_request, hitl, opened
from tests.ledgers import a_request as a_recorded_request
from tests.test_wait import KEY, _read_until, _waiting

GATE = "3fa9000000000000"


class Lost(Exception):
    """What ends a process without a word, as far as the file can tell."""


def left_behind(cache: Path, gate: str = GATE) -> None:
    with pytest.raises(Lost), waits(cache, gate, lambda: False):
        raise Lost


def test_a_gate_at_which_a_run_waits_is_not_orphaned_and_one_it_left_undecided_is(
    tmp_path: Path,
) -> None:
    with waits(tmp_path, GATE, lambda: False):
        assert not orphaned(tmp_path, [GATE])
        with waits(tmp_path, GATE, lambda: False):  # another process, at the same gate
            pass
        assert not orphaned(tmp_path, [GATE])
    assert orphaned(tmp_path, [GATE, "77c0000000000000"]) == {GATE}


def test_a_run_that_waits_again_takes_its_gate_back(tmp_path: Path) -> None:
    left_behind(tmp_path)
    with waits(tmp_path, GATE, lambda: False):
        assert not orphaned(tmp_path, [GATE])


def test_a_decided_gate_leaves_nothing(tmp_path: Path) -> None:
    with waits(tmp_path, GATE, lambda: True):
        pass
    assert not orphaned(tmp_path, [GATE])
    assert not list((tmp_path / "waiting").iterdir())


def test_what_a_killed_run_left_goes_once_its_gate_is_decided(tmp_path: Path) -> None:
    with waits(tmp_path, GATE, lambda: False):
        forget(tmp_path, GATE)  # it waits, and is going to see the decision
        assert list((tmp_path / "waiting").iterdir())
    forget(tmp_path, GATE)
    assert not list((tmp_path / "waiting").iterdir())
    forget(tmp_path, GATE)


def test_a_gate_that_was_decided_elsewhere_leaves_nothing_once_it_is_shown(ledger: Path) -> None:
    cache, request = Path(os.environ["HITL_CACHE"]), opened(a_request(KEY))
    left_behind(cache, request.gate.id)
    elsewhere = {"HITL_CACHE": str(cache / "of another machine")}
    assert hitl("approve", request.gate.id, env=elsewhere).returncode == 0
    assert (cache / "waiting" / request.gate.id).exists()
    assert "approved" in hitl("show", request.gate.id).stdout
    assert not (cache / "waiting" / request.gate.id).exists()


def test_of_a_run_on_another_machine_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(tmp_path)
    monkeypatch.setattr(waiting_runs, "_here", lambda: "another machine with this home")
    assert not orphaned(tmp_path, [GATE])


def test_a_machine_without_a_cache_waits_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    with waits(tmp_path / "cache", GATE, lambda: False):
        pass
    assert not orphaned(tmp_path / "cache", [GATE])


def test_a_run_that_was_killed_leaves_a_gate_that_says_how_to_end_it(ledger: Path) -> None:
    with _waiting() as process:
        _read_until(process, "to decide, in any shell")
        assert "The run is gone" not in hitl("list").stdout
        process.kill()
        process.wait(20)
    gate = a_request(KEY).gate.id
    ends = f"hitl withdraw {gate} --reason …"
    listed = hitl("list").stdout
    assert "The run is gone, and nothing waits for an answer. To end the gate:" in listed
    assert f"{gate}  {ends}" in listed
    [found] = json.loads(hitl("list", "--json").stdout)
    assert found["orphaned"] is True
    assert f"To end it:   {ends}" in hitl("show", gate).stdout
    mark = Path(os.environ["HITL_CACHE"], "waiting", gate)
    assert mark.exists()
    assert hitl("withdraw", gate, "--reason", "it was killed").returncode == 0
    assert "No gate is open" in hitl("list").stdout
    assert not mark.exists()


def test_who_approves_for_a_run_that_is_gone_hears_that_it_starts_nothing(ledger: Path) -> None:
    with _waiting() as process:
        _read_until(process, "to decide, in any shell")
        process.kill()
        process.wait(20)
    gate = a_request(KEY).gate
    approved = hitl("approve", gate.id)
    assert approved.returncode == 0
    gone = f"{gate.key}: this starts nothing, because its run is gone"
    assert gone in approved.stderr
    assert gone not in hitl("approve", gate.id).stderr  # said again, nothing is approved


# -- on Argo ---------------------------------------------------------------------------------------


class Cluster:
    """The `Cluster` port, as far as it looks."""

    def __init__(self, workflow: dict[str, Any] | None, name: str = "") -> None:
        self.name = name
        self._workflow = workflow

    def workflow(self, _: Workflow) -> dict[str, Any] | None:
        return self._workflow


def on_argo(cluster: str = "") -> ApprovalRequest:
    return replace(a_recorded_request(), workflow=Workflow("argo", "run-1", "u-1", cluster=cluster))


FAILED = {
    "metadata": {"name": "run-1", "namespace": "argo", "uid": "u-1"},
    "status": {"phase": "Failed", "nodes": {}},
}


def test_a_run_that_ended_in_the_cluster_is_gone() -> None:
    found: Any = Cluster(FAILED)
    assert "run-1" in (surely_over(found, on_argo()) or "")


def test_a_run_that_a_named_cluster_does_not_know_is_gone() -> None:
    found: Any = Cluster(None, "east")
    assert "run-1" in (surely_over(found, on_argo("east")) or "")
    assert surely_over(found, on_argo("west")) is None


def test_a_cluster_without_a_name_may_be_another_one() -> None:
    found: Any = Cluster(None)
    assert surely_over(found, on_argo()) is None
