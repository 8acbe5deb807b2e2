"""Waiting at a gate: what ends it, what does not, and what it costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from bridge import wiring
from bridge.core.errors import GateShut, LedgerUnavailable
from bridge.core.evaluation import Condition, Evidence, Outcome
from bridge.core.model import Standing
from bridge.core.settings import from_environment
from bridge.gates.decide import decide
from bridge.gates.recording import record_now
from bridge.ledger.git_ledger import GitLedger
from tests.gates import (
    ROOT,
    Clock,
    Heard,
    Here,
    a_request,
    a_vote,
    decision_of,
    here,
    hitl,
    opened,
    pass_gate,
)

KEY = "Flow/1/gate/3"


class Asked:
    """The `Asker` port with its answer ready."""

    def __init__(self, verdict: str | None, also: Callable[[], None] = lambda: None) -> None:
        self.verdict = verdict
        self.also = also
        self.times = 0

    def ask(self, request, person, decided):
        self.times += 1
        self.also()
        decided()
        return a_vote(request, self.verdict) if self.verdict else None


class Failing(GitLedger):
    """A ledger that cannot be reached as often as a test says."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), from_environment(os.environ).cache)
        self.down: list[str] = []
        self.calls: list[str] = []

    def _through(self, name: str) -> None:
        self.calls.append(name)
        if name in self.down:
            self.down.remove(name)
            raise LedgerUnavailable("the ledger cannot be reached")

    def heads(self, gate_id):
        self._through("head")
        return super().heads(gate_id)

    def read(self, gate_id):
        self._through("read")
        return super().read(gate_id)

    def read_decided(self, gate_id):
        self._through("verify")
        return super().read_decided(gate_id)

    def record(self, decision):
        self._through("record")
        return super().record(decision)


class Behind(Failing):
    """The same behind a URL, as far as waiting can tell."""

    is_path = False


def approved(key: str = KEY) -> Callable[[], None]:
    return lambda: _assert_ran(hitl("approve", key))


def _assert_ran(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr


def nothing() -> None:
    pass


# -- deciding ------------------------------------------------------------------------------------


def test_an_answer_at_the_terminal_decides(ledger: Path) -> None:
    decision = pass_gate(here(asker=Asked("approve")), a_request())
    assert decision.outcome is Outcome.APPROVED


def test_a_rejection_shuts_the_gate_with_its_reason(ledger: Path) -> None:
    with pytest.raises(GateShut, match=r"rejected by Ann .*no"):
        pass_gate(here(asker=Asked("reject")), a_request())


def test_any_other_shell_decides_meanwhile(ledger: Path) -> None:
    assert pass_gate(here(approved()), a_request()).votes[0].channel == "cli"


def test_a_gate_decided_before_is_passed_without_asking(ledger: Path) -> None:
    request = a_request()
    pass_gate(here(asker=Asked("approve")), request)
    asker = Asked("reject")
    assert pass_gate(here(asker=asker), request).outcome is Outcome.APPROVED
    assert asker.times == 0


def test_a_condition_that_holds_decides_at_once_and_says_what_it_saw(ledger: Path) -> None:
    asker = Asked("reject")
    held = Condition("accuracy >= 0.9", {"accuracy": 0.94}, True)
    request = a_request(auto_approve_if="accuracy >= 0.9")
    decision = pass_gate(here(asker=asker), request, held)
    assert (decision.by, decision.condition, asker.times) == ("condition", held, 0)


def test_a_condition_that_does_not_hold_leaves_it_to_a_person(ledger: Path) -> None:
    missed = Condition("accuracy >= 0.9", {"accuracy": 0.5}, False)
    request = a_request(auto_approve_if="accuracy >= 0.9")
    assert pass_gate(here(asker=Asked("approve")), request, missed).by == "person"


def passed(capfd: pytest.CaptureFixture[str]) -> str:
    """The line of the run's log that says whose approval lets it go on."""
    (line,) = [each for each in capfd.readouterr().err.splitlines() if "recorded on" in each]
    return line


def test_the_runs_log_says_that_somebody_else_was_first(
    ledger: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    decision = pass_gate(here(asker=Asked(None, also=approved())), a_request())
    assert decision.votes[0].channel == "cli"
    at = f"{decision.decided_at:%Y-%m-%d %H:%M:%S} UTC"
    says = f"hitl: {KEY}: approved by Ann <ann@example.org>; recorded on {at} in {ledger}"
    assert passed(capfd) == says


def test_the_runs_log_says_that_a_condition_the_clock_or_an_earlier_run_approved(
    ledger: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    held = Condition("accuracy >= 0.9", {"accuracy": 0.94}, True)
    by_condition = a_request("F/1/a/1", auto_approve_if="accuracy >= 0.9")
    pass_gate(here(), by_condition, held)
    assert "F/1/a/1: approved automatically: accuracy >= 0.9" in passed(capfd)
    clock = Clock()
    by_clock = a_request("F/1/b/1", timeout=60, on_timeout="approve")
    for _ in range(2):
        pass_gate(here(lambda: clock.pass_by(60), clock=clock), by_clock)
        assert "F/1/b/1: approved, nobody answered" in passed(capfd)


def test_the_first_decision_stands_against_a_later_answer_here(ledger: Path) -> None:
    request = a_request()
    with pytest.raises(GateShut, match="rejected"):
        pass_gate(
            here(
                asker=Asked(
                    "approve", also=lambda: _assert_ran(hitl("reject", KEY, "--reason", "x"))
                )
            ),
            request,
        )


def test_who_may_not_decide_is_told_how_to_answer_for_a_team(
    ledger: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asker, clock = Asked("approve"), Clock()
    request = a_request(KEY, "ml-team", timeout=60)
    with pytest.raises(GateShut, match="expired"):
        pass_gate(here(lambda: clock.pass_by(60), asker=asker, clock=clock), request)
    assert asker.times == 0
    assert "git config --global --add hitl.team ml-team" in capfd.readouterr().err


def test_waiting_begins_with_whom_for_and_the_command_that_decides(
    ledger: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    request = a_request(KEY, "ann", "ml-team")
    pass_gate(here(approved()), request)
    said = capfd.readouterr().err
    assert f"{KEY} waits for ann or ml-team" in said
    assert f"hitl --ledger '{ledger}' approve {request.gate.id}" in said


# -- the clock -----------------------------------------------------------------------------------


def test_the_deadline_rejects_in_the_name_of_the_clock(ledger: Path) -> None:
    clock, notices = Clock(), Heard()
    request = a_request(timeout=60)
    with pytest.raises(GateShut, match="expired, nobody answered by"):
        pass_gate(here(lambda: clock.pass_by(60), clock=clock, notices=notices), request)
    decision = decision_of(request)
    assert decision
    assert (decision.outcome, decision.by, decision.votes) == ("expired", "clock", ())
    assert notices.words == ["opened", "expired"]


def test_the_deadline_approves_in_the_name_of_the_clock_where_the_policy_says_so(
    ledger: Path,
) -> None:
    clock = Clock()
    request = a_request(timeout=60, on_timeout="approve")
    decision = pass_gate(here(lambda: clock.pass_by(60), clock=clock), request)
    assert (decision.by, decision.votes) == ("clock", ())


def test_the_deadline_reminds_once_and_waits_on_where_the_policy_says_so(ledger: Path) -> None:
    clock, notices = Clock(), Heard()
    request = a_request(timeout=60, on_timeout="notify")
    late = lambda: clock.pass_by(60)  # noqa: E731
    pass_gate(here(late, late, approved(), clock=clock, notices=notices), request)
    assert notices.words == ["opened", "reminded"]


def test_a_clock_set_back_only_waits_longer(ledger: Path) -> None:
    clock = Clock()
    request = a_request(timeout=60)
    back = lambda: clock.pass_by(-86_400)  # noqa: E731
    decision = pass_gate(here(back, nothing, approved(), clock=clock), request)
    assert decision.by == "person"


def test_an_answer_counts_though_the_ledger_takes_it_after_the_deadline(ledger: Path) -> None:
    clock = Clock()
    failing = Failing(ledger)
    asker = Asked("approve", also=lambda: failing.down.append("record"))
    request = a_request(timeout=60)
    late = lambda: clock.pass_by(60)  # noqa: E731
    decision = pass_gate(here(late, clock=clock, asker=asker, ledger=failing), request)
    assert decision.by == "person"


# -- what ends it --------------------------------------------------------------------------------


def test_a_run_whose_parent_is_gone_withdraws_the_gate(ledger: Path) -> None:
    request, notices = a_request(), Heard()
    with pytest.raises(GateShut, match="withdrawn, the run that waited is gone"):
        pass_gate(here(alive=lambda: False, notices=notices), request)
    decision = decision_of(request)
    assert decision
    assert (decision.outcome, decision.by) == ("withdrawn", "run")
    assert notices.words == ["opened", "withdrawn"]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_withdraws_the_gate_and_is_given_back(ledger: Path, signum: int) -> None:
    request, before = a_request(), signal.getsignal(signum)
    with pytest.raises(GateShut, match="withdrawn, the run was ended by") as shut:
        pass_gate(here(lambda: os.kill(os.getpid(), signum)), request)
    decision = decision_of(request)
    assert decision
    assert decision.outcome is Outcome.WITHDRAWN
    assert isinstance(shut.value.__cause__, KeyboardInterrupt) is (signum == signal.SIGINT)
    assert signal.getsignal(signum) is before


def test_a_second_ctrl_c_that_ends_the_git_that_withdraws_leaves_no_gate_open(ledger: Path) -> None:
    class Struck(Failing):
        def record(self, decision):
            if "record" in self.down:
                os.kill(os.getpid(), signal.SIGINT)
            return super().record(decision)

    request, struck = a_request(), Struck(ledger)
    struck.down = ["record", "record"]
    with pytest.raises(GateShut, match="withdrawn, the run was ended by Ctrl-C"):
        pass_gate(here(lambda: os.kill(os.getpid(), signal.SIGINT), ledger=struck), request)
    decision = decision_of(request)
    assert decision
    assert decision.outcome is Outcome.WITHDRAWN


def test_a_withdrawal_that_no_signal_broke_off_is_tried_once(ledger: Path) -> None:
    unreachable = Failing(ledger)
    unreachable.down = ["record"]
    with pytest.raises(GateShut, match="could not be withdrawn: the ledger cannot be reached"):
        pass_gate(
            here(lambda: os.kill(os.getpid(), signal.SIGINT), ledger=unreachable), a_request()
        )
    assert unreachable.calls.count("record") == 1


def test_a_signal_that_was_ignored_stays_ignored(ledger: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it
    try:
        hang_up = lambda: os.kill(os.getpid(), signal.SIGHUP)  # noqa: E731
        assert pass_gate(here(hang_up, approved()), a_request()).outcome is Outcome.APPROVED
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_amid_a_look_waits_until_the_look_is_done(ledger: Path) -> None:
    class Struck(Failing):
        def heads(self, gate_id):
            os.kill(os.getpid(), signal.SIGTERM)
            found = super().heads(gate_id)
            self.calls.append("done")
            return found

    struck = Struck(ledger)
    with pytest.raises(GateShut, match="SIGTERM"):
        pass_gate(here(ledger=struck), a_request())
    assert struck.calls.count("done") == 1


def test_a_gate_asked_anew_meanwhile_shuts_the_old_one(ledger: Path) -> None:
    newer = a_request(message="Deploy 0.95?")

    def again() -> None:
        opened(newer)
        _assert_ran(hitl("approve", KEY))

    with pytest.raises(GateShut, match=r"asked again|not what is here now"):
        pass_gate(here(again), a_request())


def test_a_request_deleted_by_hand_shuts_the_gate(ledger: Path) -> None:
    request, clock = a_request(timeout=60), Clock()
    branch = f"refs/heads/{request.gate.branch}"

    def delete() -> None:
        subprocess.run(["git", "--git-dir", ledger, "update-ref", "-d", branch], check=True)
        clock.pass_by(60)

    with pytest.raises(GateShut):
        pass_gate(here(delete, clock=clock), request)
    assert decision_of(request) is None


def test_a_request_that_is_damaged_meanwhile_is_said_once_and_waited_for(
    ledger: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    request = a_request(KEY)
    torn = ledger / "torn.yaml"
    torn.write_text("format: [")

    def git(*args: str) -> str:
        said = ["git", "--git-dir", str(ledger), *args]
        return subprocess.check_output(said, text=True).strip()

    branch = f"refs/heads/{request.gate.branch}"
    before: list[str] = []

    def damage() -> None:
        before.append(git("rev-parse", branch))
        paths = git("ls-tree", "-r", "--name-only", branch).splitlines()
        (path,) = [each for each in paths if each.endswith("request.yaml")]
        git("read-tree", branch)
        git("update-index", "--cacheinfo", f"100644,{git('hash-object', '-w', str(torn))},{path}")
        git("update-ref", branch, git("commit-tree", git("write-tree"), "-p", branch, "-m", "x"))

    def repair() -> None:
        git("update-ref", branch, before[0])

    decision = pass_gate(here(damage, nothing, repair, approved()), request)
    assert decision.outcome is Outcome.APPROVED
    (said,) = [each for each in capfd.readouterr().err.splitlines() if "waiting on" in each]
    assert f"{KEY}: " in said


# -- the ledger out of reach ---------------------------------------------------------------------


def test_a_ledger_out_of_reach_while_waiting_is_no_end_and_is_said_once(
    ledger: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    failing = Failing(ledger)
    failing.down = ["head"] * 3
    decision = pass_gate(here(nothing, nothing, nothing, approved(), ledger=failing), a_request())
    assert decision.outcome is Outcome.APPROVED
    assert capfd.readouterr().err.count("cannot be reached; waiting on") == 1


def test_an_answer_given_while_the_ledger_is_out_of_reach_is_not_lost(ledger: Path) -> None:
    failing = Failing(ledger)
    asker = Asked("approve", also=lambda: failing.down.extend(["record"] * 3))
    assert pass_gate(here(asker=asker, ledger=failing), a_request()).by == "person"
    assert asker.times == 1


def test_a_ledger_out_of_reach_at_the_start_shuts_the_gate(tmp_path: Path) -> None:
    nowhere = GitLedger(str(tmp_path / "nowhere.git"), tmp_path / "cache")
    with pytest.raises(GateShut, match="does not run"):
        pass_gate(_bare(nowhere), a_request())


def _bare(ledger: GitLedger) -> Here:
    os.environ["HITL_LEDGER"] = "unused"
    try:
        return here(ledger=ledger)
    finally:
        del os.environ["HITL_LEDGER"]


# -- what it costs -------------------------------------------------------------------------------


def test_on_a_path_it_looks_at_each_tick_and_reads_only_what_moved(ledger: Path) -> None:
    failing = Failing(ledger)
    pass_gate(here(*[nothing] * 9, approved(), ledger=failing), a_request())
    # before the first pause, after each of the ten pauses; read at the start and at the end
    looks = failing.calls[failing.calls.index("head") :]
    assert looks.count("head") == 11
    assert looks.count("read") == 2  # the first look, and the decision
    assert looks.count("verify") == 1


def test_on_a_url_the_looks_grow_apart_to_thirty_seconds(ledger: Path) -> None:
    behind, ticks = Behind(ledger), [0]
    looked_at: list[int] = []

    def tick() -> None:
        ticks[0] += 1
        if behind.calls.count("head") > len(looked_at):
            looked_at.append(ticks[0])
        if ticks[0] == 130:
            approved()()

    pass_gate(here(tick, ledger=behind), a_request())
    apart = [b - a for a, b in pairwise(looked_at)]
    assert apart == sorted(apart)
    assert apart[0] == 2
    assert apart[-1] == 30


# -- real processes ------------------------------------------------------------------------------

WAITS = f"""
import os, sys
sys.path[:0] = [{str(ROOT)!r}]
from bridge import wiring
from bridge.core.errors import GateShut
from bridge.core.settings import from_environment
from bridge.gates.wait import pass_gate
from tests.gates import a_request
try:
    settings = from_environment(os.environ)
    venue = wiring.venue(settings)
    pass_gate(venue, wiring.run(settings), a_request({KEY!r}).draft)
except GateShut as shut:
    print(shut, file=sys.stderr, flush=True)
    sys.exit(shut.exit_code)
"""


def _waiting(*before: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, sys.executable, "-c", WAITS],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stderr
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError(f"{words!r} was never said")


def test_a_process_without_a_terminal_waits_until_another_decides(ledger: Path) -> None:
    with _waiting() as process:
        _read_until(process, "to decide, in any shell")
        _assert_ran(hitl("approve", KEY))
        assert process.wait(20) == 0


def test_a_terminated_process_withdraws_and_leaves_with_the_shut_gates_code(ledger: Path) -> None:
    with _waiting() as process:
        _read_until(process, "to decide, in any shell")
        process.terminate()
        assert process.wait(20) == 202
    decision = decision_of(a_request(KEY))
    assert decision
    assert decision.outcome is Outcome.WITHDRAWN


def test_a_process_whose_parent_was_killed_withdraws(ledger: Path) -> None:
    parent = (sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])")
    with _waiting(*parent) as process:
        _read_until(process, "to decide, in any shell")
        process.kill()
        _read_until(process, "the run that waited is gone")
    decision = decision_of(a_request(KEY))
    assert decision
    assert decision.outcome is Outcome.WITHDRAWN


def test_a_killed_process_finds_its_open_gate_again(ledger: Path) -> None:
    with _waiting() as process:
        _read_until(process, "to decide, in any shell")
        process.kill()
    settings = from_environment(os.environ)
    standing = wiring.ledger(settings).read(a_request(KEY).gate.id)
    assert isinstance(standing, Standing)
    vote = a_vote(standing.request)
    ledger = wiring.ledger(settings)
    record_now(ledger, decide(ledger, Heard(), standing, Evidence(vote.at, (vote,))))
    with _waiting() as process:
        assert process.wait(20) == 0
