"""Whatever breaks, wherever: one sweep later there is one decision, and the page says it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.core.errors import BridgeError
from bridge.core.evaluation import Outcome
from bridge.core.model import folder_of
from bridge.gates.open_page import ask
from bridge.gates.process_page import tend
from bridge.github.client import GitHub
from bridge.ledger.git_ledger import GitLedger
from tests.forge import World, world
from tests.github.pulls import PullRequest
from tests.github.server import Request


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        for name in ("pending", "approved", "rejected"):
            made.repo.label(f"gate:{name}")
        yield made


def decisions(at: World, gate_id: str) -> int:
    """How many commits of the record bring a decision of this gate."""
    path = f"{folder_of(gate_id)}/decision.yaml"
    said = at.repo.bare.run("log", "--format=%H", "--first-parent", "approvals", "--", path)
    return len(said.split())


def agree(at: World, gate_id: str, outcome: Outcome) -> None:
    """One decision, recorded once; one page, and every part of it says the same."""
    standing = at.desk().ledger.read(gate_id)
    assert standing
    found = standing.decision.outcome if standing.decision else Outcome.PENDING
    assert found is outcome
    assert decisions(at, gate_id) == (0 if outcome is Outcome.PENDING else 1)
    (pull,) = [each for each in at.repo.pulls if each.head_ref == f"gate/{gate_id}"]
    assert pull.labels == [f"gate:{outcome}"]
    words = {"approved": "✅", "rejected": "❌", "pending": "⏳"}
    assert words[outcome] in at.status(pull)
    lights = {"approved": "success", "rejected": "failure", "pending": "pending"}
    assert at.statuses(pull) == {"approval": lights[outcome]}
    assert (pull.state == "open") is (outcome is Outcome.PENDING)
    assert pull.merged is (outcome is Outcome.APPROVED)


def settle(at: World) -> None:
    """What comes by itself: GitHub notices what was pushed, and one sweep."""
    at.github.faults.clear()
    at.github.tick()
    failed = [each.says for each in at.sweep() if each.failed]
    assert failed == []
    at.github.tick()


def writes(request: Request) -> bool:
    """Whether it changes anything, so that it matters if only the answer is lost."""
    if request.kind == "graphql":
        return '"mutation' in request.text
    return request.method == "POST" and not request.path.endswith("/git-upload-pack")


def struck_down(at: World, nth: int, after: bool, act: Callable[[], object]) -> bool:
    """Run with the line dead from the nth write on, as for a killed process; whether it was.

    `after`: that one still had its effect. To die at a read is to die before the write that
    follows. Whatever a person is told of it is one of ours.
    """
    first = at.github.faults.cut(nth=nth, after=after, when=writes)
    at.github.faults.cut(times=None, when=lambda request: first.struck > 0)
    try:
        act()
    except BridgeError as error:
        shown = f"{error}{error!r}"
        assert not any(secret in shown for secret in at.github.secrets)
    at.github.faults.clear()
    return first.struck > 0


CUTS = pytest.mark.parametrize(
    "after", [False, True], ids=["before its effect", "after its effect"]
)


def each_cut(at: World, after: bool, act: Callable[[int], object]) -> int:
    """Cut off at the first write, then at the second …, until none is left: how many runs."""
    for nth in range(1, 60):
        if not struck_down(at, nth, after, lambda nth=nth: act(nth)):
            return nth
    raise AssertionError("it asks without end")


@CUTS
def test_killed_at_any_write_of_opening(at: World, after: bool) -> None:
    requests = {n: at.request(f"Train/{n}/deploy/1").draft for n in range(1, 60)}
    count = each_cut(at, after, lambda nth: ask(at.desk(at.opener), requests[nth]))
    assert count > 4
    settle(at)
    for nth in range(1, count + 1):
        # The step's own retry opens again what never reached the ledger.
        ask(at.desk(at.opener), requests[nth])
        agree(at, requests[nth].gate.id, Outcome.PENDING)


@CUTS
@pytest.mark.parametrize("outcome", [Outcome.APPROVED, Outcome.REJECTED])
def test_killed_at_any_write_of_deciding(at: World, after: bool, outcome: Outcome) -> None:
    pulls: list[PullRequest] = []

    def decided(nth: int) -> bool:
        pulls.append(at.open(f"Train/{nth}/deploy/1"))
        if outcome is Outcome.APPROVED:
            pulls[-1].review(at.alice, "APPROVED", "/approve")
        else:
            pulls[-1].comment(at.bob, "/reject the loss explodes")
        return not struck_down(at, nth, after, lambda: at.tend(pulls[-1]))

    assert next(filter(decided, range(1, 60))) > 4
    settle(at)
    settle(at)
    for pull in pulls:
        agree(at, pull.head_ref.removeprefix("gate/"), outcome)
        assert at.repo.branch(pull.head_ref) is None


@CUTS
def test_killed_at_any_write_of_settling(at: World, after: bool) -> None:
    pulls = [at.open(f"Train/{nth}/deploy/1") for nth in range(1, 5)]
    for pull in pulls:
        pull.review(at.alice, "APPROVED")
        at.tend(pull)
    at.github.tick()
    assert each_cut(at, after, lambda nth: at.tend(pulls[nth - 1])) > 1
    settle(at)
    for pull in pulls:
        agree(at, pull.head_ref.removeprefix("gate/"), Outcome.APPROVED)
        assert at.repo.branch(pull.head_ref) is None


@CUTS
def test_killed_at_any_write_of_undoing_a_close(at: World, after: bool) -> None:
    pulls = [at.open(f"Train/{nth}/deploy/1") for nth in range(1, 5)]
    for pull in pulls:
        pull.close(at.mallory)
    assert each_cut(at, after, lambda nth: at.tend(pulls[nth - 1])) > 1
    settle(at)
    for pull in pulls:
        agree(at, pull.head_ref.removeprefix("gate/"), Outcome.PENDING)
        assert sum("closed this" in note for note in at.notes(pull)) == 1


@CUTS
def test_killed_at_any_write_of_the_sweep(at: World, after: bool) -> None:
    pulls = [at.open(f"Train/{nth}/deploy/1") for nth in range(3)]
    pulls[0].review(at.alice, "APPROVED")
    pulls[1].comment(at.bob, "/reject no")
    each_cut(at, after, lambda nth: at.sweep())
    settle(at)
    outcomes = (Outcome.APPROVED, Outcome.REJECTED, Outcome.PENDING)
    for pull, outcome in zip(pulls, outcomes, strict=True):
        agree(at, pull.head_ref.removeprefix("gate/"), outcome)


# -- real processes --------------------------------------------------------------------------------


def action(at: World, number: int | None = None) -> subprocess.Popen[bytes]:
    """The action as a runner starts it: looks at one page, or sweeps."""
    env = {
        **os.environ,
        **at.github.environment(at.repo),
        "HITL_TOKEN": at.tokens[at.decider],
        "HITL_VOICES": "approval-opener[bot],approval-decider[bot]",
        "HITL_CACHE": str(at.folder / f"cache-{random.getrandbits(32):x}"),
        "HITL_NUMBER": str(number or ""),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "bridge.entrypoints.github_action"],
        cwd=Path(__file__).parent.parent,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.mark.parametrize(
    ("where", "after"),
    [
        ({"kind": "git", "path": "*/git-receive-pack"}, False),
        ({"kind": "git", "path": "*/git-receive-pack"}, True),
        ({"kind": "graphql", "containing": "updateIssueComment"}, True),
    ],
    ids=["before the record", "after the record", "after the page"],
)
def test_a_runner_that_is_killed_outright(at: World, where: dict[str, str], after: bool) -> None:
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    running: list[subprocess.Popen[bytes]] = []
    held = at.github.faults.hold(**where, after=after)
    running.append(action(at, pull.number))
    assert held.reached.wait(60)
    running[0].send_signal(signal.SIGKILL)
    assert running[0].wait(60) == -signal.SIGKILL
    running[0].stdout.close()  # type: ignore[union-attr]
    held.release()
    settle(at)
    settle(at)
    agree(at, pull.head_ref.removeprefix("gate/"), Outcome.APPROVED)


def test_two_deciders_at_once_record_one_decision(at: World) -> None:
    pull = at.open()
    pull.review(at.alice, "APPROVED")
    pull.comment(at.bob, "/reject no")
    # The first waits with its push, until the second has recorded.
    held = at.github.faults.hold(kind="git", method="POST", path="*/git-receive-pack")
    first = action(at, pull.number)
    assert held.reached.wait(60)
    second = action(at, pull.number)
    out = second.communicate(timeout=60)[0]
    assert second.returncode == 0, out.decode()
    recorded = at.recorded(pull)
    held.release()
    out = first.communicate(timeout=60)[0]
    assert first.returncode == 0, out.decode()
    assert at.recorded(pull) == recorded
    settle(at)
    assert recorded
    agree(at, pull.head_ref.removeprefix("gate/"), recorded.outcome)


def test_many_lookers_at_once_say_everything_once(at: World) -> None:
    pull = at.open()
    pull.comment(at.mallory, "/approve")
    pull.review(at.alice, "APPROVED")
    runs = [threading.Thread(target=at.tend, args=(pull,)) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    settle(at)
    agree(at, pull.head_ref.removeprefix("gate/"), Outcome.APPROVED)


# -- events ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_events_that_are_lost_doubled_and_reordered_change_nothing(at: World, seed: int) -> None:
    chance = random.Random(seed)
    approved, rejected, held, waiting = (at.open(f"Train/{n}/deploy/1") for n in range(4))
    approved.comment(at.mallory, "/approve")
    approved.review(at.alice, "APPROVED", "/approve")
    rejected.comment(at.bob, "/reject no")
    held.comment(at.bob, "/hold")
    at.github.clock.advance(minutes=1)
    held.review(at.alice, "APPROVED")
    waiting.comment(at.alice, "/aprove")
    said = [each for each in at.github.events if each.starts_workflows]
    heard = [each for each in said for _ in range(chance.choice([0, 1, 2]))]
    chance.shuffle(heard)
    for event in heard:
        page = event.payload.get("issue") or event.payload.get("pull_request")
        if page:
            tend(at.desk(), page["number"])
    settle(at)
    outcomes = {
        approved: Outcome.APPROVED,
        rejected: Outcome.REJECTED,
        held: Outcome.PENDING,
        waiting: Outcome.PENDING,
    }
    for pull, outcome in outcomes.items():
        agree(at, pull.head_ref.removeprefix("gate/"), outcome)


# -- GitHub in trouble -----------------------------------------------------------------------------


@CUTS
def test_github_failing_at_any_request_of_deciding(at: World, after: bool) -> None:
    pulls: list[PullRequest] = []

    def decided(nth: int) -> bool:
        pulls.append(at.open(f"Train/{nth}/deploy/1"))
        pulls[-1].review(at.alice, "APPROVED", "/approve")
        when = writes if after else None
        fault = at.github.faults.answer(502, nth=nth, times=3, after=after, when=when)
        with suppress(BridgeError):
            at.tend(pulls[-1])
        at.github.faults.clear()
        return not fault.struck

    assert next(filter(decided, range(1, 60))) > (4 if after else 8)
    settle(at)
    settle(at)
    for pull in pulls:
        agree(at, pull.head_ref.removeprefix("gate/"), Outcome.APPROVED)


def test_a_limit_in_the_middle_is_waited_for_and_the_decision_stands(at: World) -> None:
    pull = at.open()
    pull.review(at.alice, "APPROVED", "/approve")
    at.github.faults.secondary_limit(retry_after=5, containing="ROCKET")
    at.github.faults.secondary_limit(retry_after=5, path="*/statuses/*", status=429)
    at.tend(pull)
    assert at.waits == [5, 5]
    at.github.tick()
    agree(at, pull.head_ref.removeprefix("gate/"), Outcome.APPROVED)


def test_a_limit_that_lasts_leaves_the_page_to_the_sweep(at: World) -> None:
    pull = at.open()
    pull.review(at.alice, "APPROVED", "/approve")
    at.github.faults.secondary_limit(retry_after=1800, containing="ROCKET")
    with pytest.raises(BridgeError, match="accepts no more requests until"):
        at.tend(pull)
    assert at.recorded(pull)
    assert at.waits == []
    settle(at)
    agree(at, pull.head_ref.removeprefix("gate/"), Outcome.APPROVED)


def test_a_push_that_loses_its_race_reads_again(at: World) -> None:
    pull = at.open()
    pull.review(at.alice, "APPROVED")

    def other() -> None:
        """Another gate's decision arrives first."""
        at.repo.commit("approvals", {"gates/other": "x"}, "Another decision", by=at.decider.bot)

    at.github.faults.run(other, kind="git", method="POST", path="*/git-receive-pack", times=2)
    at.tend(pull)
    at.github.tick()
    agree(at, pull.head_ref.removeprefix("gate/"), Outcome.APPROVED)


# -- the App's token -------------------------------------------------------------------------------


def by_key(at: World) -> tuple[GitHub, GitLedger]:
    settings = replace(
        at.settings(at.decider), token=None, app_id=str(at.decider.id), app_key=at.decider.key
    )
    forge = GitHub(settings, at.waits.append)
    return forge, GitLedger(forge.git_url(), at.folder / "cache-of-app")


def test_a_token_that_ends_between_two_calls_is_renewed_once(at: World) -> None:
    pull = at.open()
    pull.review(at.alice, "APPROVED", "/approve")
    forge, ledger = by_key(at)
    given = list(at.github.tokens.values())[-1]
    at.github.forget_requests()
    at.github.faults.run(given.revoke, containing="ROCKET")
    tend(replace(at.desk(), forge=forge, ledger=ledger), pull.number)
    assert at.github.counts["mint"] == 1
    assert given.used
    at.github.tick()
    agree(at, pull.head_ref.removeprefix("gate/"), Outcome.APPROVED)


def test_an_app_mints_for_its_own_repository_and_uses_one_token(at: World) -> None:
    at.github.repository("acme/other")
    pull = at.open()
    at.github.forget_requests()
    forge, _ = by_key(at)
    forge.look(pull.number)
    forge.look(pull.number)
    assert at.github.counts == {"mint": 2, "graphql": 2}
    minted = list(at.github.tokens.values())[-1]
    assert [each.full_name for each in minted.repositories or ()] == ["acme/models"]


def test_an_app_that_is_not_installed_or_suspended_is_told_so(at: World) -> None:
    at.decider.installations[0].suspended = True
    with pytest.raises(BridgeError, match="This installation has been suspended"):
        by_key(at)
    at.decider.installations.clear()
    with pytest.raises(BridgeError, match="gets no token for acme/models: it is not installed"):
        by_key(at)
