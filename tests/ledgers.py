"""Values that open and decide, and ledgers of any size."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge.core.digest import digest_of
from bridge.core.entry import Entry
from bridge.core.evaluation import (
    Actor,
    Channel,
    Decider,
    JudgedVote,
    Outcome,
    ReasonCode,
    Verdict,
    Vote,
)
from bridge.core.model import ApprovalRequest, Artifact, Decision, Gate, Standing
from bridge.core.rules import Actors, Approvals, Policy
from bridge.core.shards import FIRST
from bridge.ledger.git_ledger import GitLedger, create
from tests.ledger_import import asked_at, import_ledger

#: What git's user has set who has set nothing.
GITCONFIG = Path(__file__).resolve().parent / "data" / "gitconfig"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LEDGER = "refs/heads/approvals"
ANN = Actor("Ann", "ann@example.org")


def a_request(key: str = "Flow/1/gate/3", **changed: object) -> ApprovalRequest:
    request = ApprovalRequest(
        gate=Gate("here", key),
        message=f"Deploy {key}?",
        policy=Policy(Approvals(Actors(anyone=True)), timeout=3600),
        opened_at=NOON,
        artifacts=(Artifact("accuracy", "float", "sha256:1", value="0.93", metric=True),),
    )
    return replace(request, **changed)  # type: ignore[arg-type]


def a_vote(request: ApprovalRequest, actor: Actor = ANN, **changed: object) -> Vote:
    at = request.opened_at + timedelta(minutes=1)
    vote = Vote(actor, Verdict.APPROVE, at, digest_of(request), Channel.CLI)
    return replace(vote, **changed)  # type: ignore[arg-type]


def judged(*votes: Vote) -> tuple[JudgedVote, ...]:
    """These votes as a decision has them, which rests on each."""
    codes = {Verdict.APPROVE: ReasonCode.APPROVED, Verdict.REJECT: ReasonCode.REJECTED}
    return tuple(JudgedVote(vote, True, codes[vote.verdict]) for vote in votes)


def a_decision(request: ApprovalRequest, actor: Actor = ANN, **changed: object) -> Decision:
    decision = Decision(
        gate_id=request.gate.id,
        outcome=Outcome.APPROVED,
        by=Decider.PERSON,
        reason=f"approved by {actor}",
        request_digest=digest_of(request),
        decided_at=request.opened_at + timedelta(minutes=1),
        considered=judged(a_vote(request, actor)),
    )
    return replace(decision, **changed)  # type: ignore[arg-type]


def a_rejection(request: ApprovalRequest, actor: Actor = ANN, **changed: object) -> Decision:
    vote = a_vote(request, actor, verdict=Verdict.REJECT)
    return a_decision(
        request,
        actor,
        outcome=Outcome.REJECTED,
        reason=f"rejected by {actor}",
        considered=judged(vote),
        **changed,
    )


def opened(ledger: GitLedger, key: str = "Flow/1/gate/3", **changed: object) -> ApprovalRequest:
    request = a_request(key, **changed)
    ledger.open(request, request.message)
    return request


def decided(ledger: GitLedger, key: str = "Flow/1/gate/3", **changed: object) -> Standing:
    return ledger.record(a_decision(opened(ledger, key), **changed))


def git(where: Path, *args: str, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
    """What git says to this, in that repository, whatever this machine's settings are."""
    plain = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": str(GITCONFIG),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Mallory",
        "GIT_AUTHOR_EMAIL": "m@example.org",
        "GIT_COMMITTER_NAME": "Mallory",
        "GIT_COMMITTER_EMAIL": "m@example.org",
        **(env or {}),
    }
    done = subprocess.run(
        ["git", "-C", str(where), *args], input=stdin.encode(), capture_output=True, env=plain
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def key_of(number: int) -> str:
    return f"Flow/{number}/gate/1"


def ledger_of(
    path: Path, decisions: int, waiting: int = 0, shards: Sequence[str] = (FIRST,)
) -> Path:
    """A ledger at `path` as the bridge would have left it: so many decided gates on each branch, so
    many open on the last.

    Gates are called `key_of(0)`, `key_of(1)` …; the open ones come after the decided ones.
    """
    create(path)
    import_ledger(
        path,
        lambda key, shard, at: a_request(key, shard=shard, opened_at=at),
        a_decision,
        key_of,
        decisions=decisions,
        waiting=waiting,
        shards=shards,
        began=NOON,
    )
    return path


def first_waiting(decisions: int, shards: Sequence[str] = (FIRST,)) -> ApprovalRequest:
    """The first open gate of such a ledger, as it was asked. A decision of another time would cost
    the server more: git walks all commits that are later than what a push brings."""
    at = asked_at(shards[-1], decisions, NOON)
    return a_request(key_of(decisions * len(shards)), shard=shards[-1], opened_at=at)


def together(count: int, action: Callable[[int], None]) -> list[int]:
    """Run `action(0)` … in so many real processes that start at once; their exit codes."""
    gate_read, gate_write = os.pipe()
    children = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            os.close(gate_write)
            os.read(gate_read, 1)  # until the parent closes its end
            in_child(lambda number=number: action(number))  # type: ignore[misc]
        children.append(pid)
    os.close(gate_read)
    os.close(gate_write)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]


def alone(action: Callable[[], None]) -> int:
    """Run it in a process of its own; its exit code, negative where a signal ended it."""
    pid = os.fork()
    if pid == 0:
        in_child(action)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def in_child(action: Callable[[], None]) -> None:
    """The rest of a forked child: it never comes back to the test that forked it."""
    code = 70
    try:
        action()
        code = 0
    except BaseException:  # noqa: BLE001 - nothing of a child may run on in the test
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def threads_of(actions: Iterable[Callable[[], None]]) -> None:
    running = [threading.Thread(target=action) for action in actions]
    for each in running:
        each.start()
    for each in running:
        each.join()


def entries_of(ledger: GitLedger, *, signatures: bool = False) -> list[Entry]:
    """Every commit of the record, branch by branch."""
    with ledger.whole() as record:
        stretches = [record.stretch(each) for each in record.heads]
        return [
            entry
            for each in stretches
            if each
            for entry in record.entries(each, signatures=signatures)
        ]
