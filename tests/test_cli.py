"""The command line, as a person and as a script meet it."""

from __future__ import annotations

import io
import json
import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

from bridge import wiring
from bridge.cli import main as cli
from bridge.core.evaluation import Decider, Outcome
from bridge.core.model import Gate, Link, on_github
from bridge.core.rules import OnTimeout
from bridge.ledger.clone import GitClone
from bridge.render import request as render
from tests.gates import ROOT, TARGET, a_request, decision_of, hitl, opened

KEY = "Flow/1/gate/3"


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]

_HITL = "import sys; from bridge.cli.main import main; sys.exit(main(prog='hitl'))"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process."""

    def ran(*args: str, **how: Any) -> Ran:
        capsys.readouterr()
        code = cli.main(args, **how)
        return Ran(code, *capsys.readouterr())

    return ran


def be(home: Path, name: str, *teams: str) -> None:
    """Somebody else sits down at this machine."""
    claims = "".join(f"[hitl]\n\tteam = {team}\n" for team in teams)
    (home / ".gitconfig").write_text(
        f"[user]\n\tname = {name}\n\temail = {name.lower()}@example.org\n{claims}"
    )


def long_ago(**changed: Any) -> Any:
    then = wiring.clock() - timedelta(days=1)
    return opened(a_request(KEY, opened_at=then, timeout=60, **changed))


# -- list ----------------------------------------------------------------------------------------


def test_without_open_gates_it_says_what_opens_one(ledger: Path, run: Run) -> None:
    assert run("list").out.startswith("No gate is open. A flow that reaches an approval opens one")


def test_looking_where_no_ledger_is_makes_none(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (("list",), ("list", "--json"), ("log",), ("reconcile",), ("show", "abcd")):
        ran = run(*command)
        assert (ran.code, ran.out) == (6, "")
        assert ran.err.startswith(f"hitl: there is no ledger in {tmp_path} yet")
    assert list(tmp_path.iterdir()) == []


def test_open_gates_stand_in_aligned_columns_without_colour_in_a_pipe(
    ledger: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = wiring.clock()
    monkeypatch.setattr(wiring, "clock", lambda: now)
    request = opened(a_request(KEY, timeout=7_200, opened_at=now - timedelta(seconds=5)))
    opened(a_request("A/longer/name/1", message="\x1b[31mred"))
    head, first, second = run("list").out.splitlines()
    assert first.split()[0] == request.gate.id
    assert head.index("GATE") == first.index(KEY) == second.index("A/longer")
    assert head.index("QUESTION") == first.index("Deploy 0.94?") == second.index("[31mred")
    assert "5 s ago  in 1 h " in first
    assert "never" in second
    assert "\x1b" not in first + second


def test_a_terminal_gets_colour_unless_it_asks_for_none(ledger: Path) -> None:
    opened(a_request(KEY))

    def on_terminal(**env: str) -> bytes:
        master, slave = pty.openpty()
        subprocess.run(
            [sys.executable, "-m", "bridge.cli.main", "list"],
            stdout=slave,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **env},
            check=True,
        )
        os.close(slave)
        seen = os.read(master, 65536)
        os.close(master)
        return seen

    assert b"\x1b[" in on_terminal()
    assert b"\x1b[" in on_terminal(NO_COLOR="")
    assert b"\x1b[" not in on_terminal(NO_COLOR="1")
    assert b"\x1b[" not in on_terminal(TERM="dumb")


def test_a_line_is_cut_where_the_terminal_ends_and_columns_hold_wide_letters(
    ledger: Path,
) -> None:
    opened(a_request("流/1/gate/3", message="long " * 40))
    opened(a_request("Flow/1/gate/33"))
    master, slave = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "bridge.cli.main", "list"],
        stdout=slave,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "70", "NO_COLOR": "1"},
        check=True,
    )
    os.close(slave)
    lines = os.read(master, 65536).decode().splitlines()
    os.close(master)
    long, other = sorted(lines[1:], key=lambda line: "流" not in line)
    assert long.endswith("…")
    assert render.columns(long) <= 70
    assert render.columns(long.partition("long")[0]) == other.index("Deploy")


def test_a_flows_own_command_lists_that_flows_gates_alone(ledger: Path, run: Run) -> None:
    opened(a_request("Flow/1/gate/3"))
    opened(a_request("Flower/1/gate/3"))
    out = run("list", prog="python flow.py hitl", flow="Flow").out
    assert "Flow/1" in out
    assert "Flower" not in out
    assert "No gate of Other is open" in run("list", flow="Other").out


@pytest.mark.parametrize("option", ["--flow", "--flow-name"])  # that of log, that of metaflow-hitl
def test_a_listing_can_be_of_one_flow(ledger: Path, run: Run, option: str) -> None:
    opened(a_request("Flow/1/gate/3"))
    opened(a_request("Flowers/1/gate/3"))
    [gate] = json.loads(run("list", option, "Flow", "--json").out)
    assert gate["key"] == "Flow/1/gate/3"
    assert "No gate of Other is open" in run("list", option, "Other").out


def test_a_script_reads_open_gates_as_json(ledger: Path, run: Run) -> None:
    assert json.loads(run("list", "--json").out) == []
    request = opened(a_request(KEY, timeout=60))
    assert json.loads(run("list", "--json").out) == [
        {
            "id": request.gate.id,
            "key": KEY,
            "question": "Deploy 0.94?",
            "opened_at": f"{request.opened_at:%Y-%m-%dT%H:%M:%SZ}",
            "expires_at": f"{request.expires_at:%Y-%m-%dT%H:%M:%SZ}",
            "initiator": None,
            "run": None,
            "orphaned": False,
        }
    ]


def test_a_listing_links_what_waits(ledger: Path, run: Run) -> None:
    url = "https://argo.example/workflows/ml/release?tab=workflow"
    request = opened(replace(a_request(KEY), links=(Link("the workflow in Argo", url),)))
    assert run("list").out.splitlines()[-2:] == ["What waits:", f"{request.gate.id}  {url}"]
    [gate] = json.loads(run("list", "--json").out)
    assert gate["run"] == url


# -- names ---------------------------------------------------------------------------------------


def test_a_prefix_that_fits_several_gates_names_them_and_decides_none(
    ledger: Path, run: Run
) -> None:
    gates = [opened(a_request(f"Flow/{number}/gate/3")).gate.id for number in range(17)]
    first = next(each[0] for each in gates if sum(each[0] == other[0] for other in gates) > 1)
    ran = run("approve", first)
    assert ran.code == 3
    assert f"{first!r} means several gates" in ran.err
    assert sum(each in ran.err for each in gates) > 1
    assert len(json.loads(run("list", "--json").out)) == 17


@pytest.mark.parametrize("name", ["id", "prefix", "key"])
def test_a_gate_goes_by_its_id_the_start_of_it_and_its_natural_key(
    ledger: Path, run: Run, name: str
) -> None:
    gate = opened(a_request(KEY)).gate
    called = {"id": gate.id, "prefix": gate.id[:5], "key": KEY}[name]
    assert run("approve", called).code == 0


def test_an_unknown_name_says_where_the_names_are(ledger: Path, run: Run) -> None:
    ran = run("show", "Flow/9/gate/9")
    assert ran.code == 3
    assert "see `hitl list`" in ran.err


# -- approve and reject --------------------------------------------------------------------------


def test_several_gates_are_approved_by_one_push_and_one_that_refuses_stops_no_other(
    ledger: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[int] = []
    push = GitClone.push

    def counted(self: GitClone, refs: Any, lease: Any) -> None:
        pushed.append(len(refs) - 1)
        push(self, refs, lease)

    keys = [f"Flow/{number}/gate/1" for number in range(4)]
    for key in keys[:3]:
        opened(a_request(key))
    opened(a_request(keys[3], schema=TARGET))
    monkeypatch.setattr(GitClone, "push", counted)
    ran = run("approve", *keys, "Flow/9/never/1", keys[0])
    assert pushed == [3]
    assert ran.out.splitlines() == [f"{key}: approved by Ann <ann@example.org>" for key in keys[:3]]
    assert ran.code == 2  # as that of the first that refused
    assert "2 of 5 gates were not answered" in ran.err
    assert f"{keys[3]} stays open" in ran.err
    assert "no gate is called 'Flow/9/never/1'" in ran.err
    assert run("approve", *keys[:3]).out.count("nothing to do") == 3
    assert pushed == [3]


def test_an_approval_is_recorded_as_unverified_and_through_the_command_line(
    ledger: Path, run: Run
) -> None:
    request = opened(a_request(KEY))
    ran = run("approve", KEY, "--reason", "looks right")
    assert ran.code == 0
    assert f"{KEY}: approved by Ann <ann@example.org>" in ran.out
    decision = decision_of(request)
    assert decision
    vote = decision.votes[0]
    assert (vote.channel, vote.actor.proven, vote.reason) == ("cli", False, "looks right")


def test_input_comes_as_json_or_as_pairs(ledger: Path, run: Run) -> None:
    for key, args in (
        ("F/1/a/1", ("--input", '{"target":"staging"}')),
        ("F/1/a/2", ("-i", "target=staging", "-i", "replicas=2")),
        ("F/1/a/3", ("--input", '{"replicas":2}', "-i", "target=staging")),
    ):
        request = opened(a_request(key, schema=TARGET))
        assert run("approve", key, *args).code == 0
        decision = decision_of(request)
        assert decision
        assert decision.inputs == {"target": "staging", "replicas": 2}


def test_wrong_input_names_every_fault_and_the_command_and_decides_nothing(
    ledger: Path, run: Run
) -> None:
    request = opened(a_request(KEY, schema=TARGET))
    ran = run("approve", KEY, "-i", "target=moon", "-i", "replicas=99", "-i", "colour=red")
    assert ran.code == 2
    for field in ("target", "replicas", "colour"):
        assert f"  - {field}: " in ran.err
    assert f"approve {request.gate.id} -i target=…" in ran.err
    assert decision_of(request) is None


@pytest.mark.parametrize(
    "text", ['{"target":"staging","target":"production"}', "[1]", "{", '{"replicas":NaN}']
)
def test_json_that_is_no_plain_object_decides_nothing(ledger: Path, run: Run, text: str) -> None:
    request = opened(a_request(KEY, schema=TARGET))
    assert run("approve", KEY, "--input", text).code == 2
    assert decision_of(request) is None


def test_a_field_without_its_option_approves_nothing(ledger: Path, run: Run) -> None:
    request = opened(a_request(KEY, schema={"properties": {"n": {"type": "integer"}}}))
    ran = run("approve", KEY, "n=5")
    assert ran.code == 2
    assert "'n=5' is no gate; to give an input: -i n=5" in ran.err
    assert decision_of(request) is None


def test_a_gate_with_an_equals_sign_in_its_name_is_a_gate(ledger: Path, run: Run) -> None:
    request = opened(a_request("Flow/lr=0.1/gate/3"))
    assert run("approve", "Flow/lr=0.1/gate/3").code == 0
    assert decision_of(request)


def test_a_missing_required_field_decides_nothing(ledger: Path, run: Run) -> None:
    request = opened(a_request(KEY, schema=TARGET))
    assert "  - target: " in run("approve", KEY).err
    assert decision_of(request) is None


def test_saying_again_what_one_has_said_changes_nothing_and_is_no_fault(
    ledger: Path, run: Run
) -> None:
    opened(a_request(KEY))
    run("approve", KEY)
    before = run("log", "--json").out
    again = run("approve", KEY)
    assert again.code == 0
    assert "nothing to do" in again.out
    assert run("log", "--json").out == before


@pytest.mark.parametrize(
    ("again", "code"),
    [
        (("-i", "target=production"), 0),
        ((), 0),
        (("-i", "target=staging"), 5),
        (("-i", "target=nowhere"), 5),
    ],
)
def test_who_approves_again_with_another_input_is_not_left_to_think_that_it_counts(
    ledger: Path, run: Run, again: tuple[str, ...], code: int
) -> None:
    opened(a_request(KEY, schema=TARGET))
    assert run("approve", KEY, "-i", "target=production").code == 0
    ran = run("approve", KEY, *again)
    assert ran.code == code
    if code:
        assert "its input is target = production, replicas = 2, not yours; the first" in ran.err


def test_another_word_after_the_decision_is_told_who_decided(
    ledger: Path, run: Run, hermetic: Path
) -> None:
    opened(a_request(KEY))
    run("approve", KEY)
    changed_mind = run("reject", KEY, "--reason", "no")
    be(hermetic, "Bob")
    second = run("approve", KEY)
    assert (changed_mind.code, second.code) == (5, 5)
    for ran in (changed_mind, second):
        assert f"{KEY} was approved by Ann <ann@example.org>" in ran.err


@pytest.mark.parametrize(
    ("reason", "recorded"),
    [((), "no reason given"), (("--reason", " "), "no reason given"), (("--reason", "low"), "low")],
)
def test_a_rejection_without_a_reason_says_so(
    ledger: Path, run: Run, reason: tuple[str, ...], recorded: str
) -> None:
    request = opened(a_request(KEY))
    assert run("reject", KEY, *reason).code == 0
    decision = decision_of(request)
    assert decision
    assert decision.votes[0].reason == recorded


@pytest.mark.parametrize("verb", ["approve", "reject", "withdraw"])
def test_a_reason_in_another_encoding_is_refused(ledger: Path, run: Run, verb: str) -> None:
    request = opened(a_request(KEY))
    ran = run(verb, KEY, "--reason", os.fsdecode(b"l\xf6w"))
    assert ran.code == 2
    assert "'--reason': it has a byte that is not UTF-8" in ran.err
    assert decision_of(request) is None


def test_a_rejection_at_a_terminal_is_asked_for_its_reason(ledger: Path) -> None:
    request = opened(a_request(KEY))
    master, slave = pty.openpty()
    os.write(master, b"too low\n")
    command = [sys.executable, "-m", "bridge.cli.main", "reject", KEY]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, stdin=slave, stdout=slave, stderr=slave, env=env, check=True)
    os.close(slave)
    os.close(master)
    decision = decision_of(request)
    assert decision
    assert decision.votes[0].reason == "too low"


def test_a_stranger_is_refused_and_told_who_may_and_how(
    ledger: Path, run: Run, hermetic: Path
) -> None:
    request = opened(a_request(KEY, "alice", "ml-team"))
    ran = run("approve", KEY)
    assert ran.code == 4
    assert "that is for alice or ml-team" in ran.err
    assert "`git config --global --add hitl.team ml-team`" in ran.err
    assert "unverified" in ran.err
    assert decision_of(request) is None


@pytest.mark.parametrize(("name", "teams"), [("Alice", ()), ("Bob", ("other", "ml-team"))])
def test_an_approver_decides_by_name_or_for_a_claimed_team(
    ledger: Path, run: Run, hermetic: Path, name: str, teams: tuple[str, ...]
) -> None:
    opened(a_request(KEY, "alice", "ml-team"))
    be(hermetic, name, *teams)
    assert run("approve", KEY).code == 0


def test_a_gate_of_a_forge_is_not_decided_here(ledger: Path, run: Run) -> None:
    request = opened(a_request(KEY, venue=on_github("acme/flows")))
    ran = run("approve", KEY)
    assert ran.code == 4
    assert "github:acme/flows" in ran.err
    assert decision_of(request) is None


# -- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("show",), ("explain",), ("approve",), ("verify",)])
def test_whoever_meets_an_expired_gate_settles_it_first_and_says_so(
    ledger: Path, run: Run, command: tuple[str, ...]
) -> None:
    request = long_ago()
    ran = run(*command, KEY)
    assert f"settled {KEY}: nobody answered by" in ran.err
    decision = decision_of(request)
    assert decision
    assert (decision.outcome, decision.by) == (Outcome.EXPIRED, "clock")


def test_a_listing_settles_what_expired_and_shows_it_no_more(ledger: Path, run: Run) -> None:
    long_ago()
    ran = run("list")
    assert f"settled {KEY}" in ran.err
    assert "No gate is open" in ran.out


def test_a_late_approval_comes_too_late(ledger: Path, run: Run) -> None:
    long_ago()
    ran = run("approve", KEY)
    assert ran.code == 5
    assert "is expired: nobody answered by" in ran.err


def test_a_reminded_gate_stays_open_past_its_deadline(ledger: Path, run: Run) -> None:
    long_ago(on_timeout="notify")
    assert KEY in run("list").out
    assert run("approve", KEY).code == 0


def test_reconcile_settles_what_expired(ledger: Path, run: Run) -> None:
    assert run("ledger", "settle").out == "Nothing to settle.\n"
    long_ago(on_timeout=OnTimeout.APPROVE)
    assert f"settled {KEY}: nobody answered" in run("ledger", "settle").out
    assert run("ledger", "verify-gate", KEY).code == 0


# -- reading back --------------------------------------------------------------------------------


def test_show_gives_the_commands_that_decide_and_those_that_read_it_in_git(
    ledger: Path, run: Run
) -> None:
    opened(a_request(KEY, schema=TARGET))
    before = run("show", KEY).out
    assert "Deploy 0.94?" in before
    assert "-i target=…" in before
    run("approve", KEY, "-i", "target=staging")
    after = run("show", KEY).out
    assert "staging" in after
    lines = [line for line in after.splitlines() if line.startswith("In git:")]
    assert lines
    for line in lines:
        command = shlex.split(line.removeprefix("In git:"))
        read = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "pproved" in read.stdout


def test_a_command_that_is_suggested_reaches_the_ledger_as_this_one_did(
    ledger: Path, run: Run
) -> None:
    gate = opened(a_request(KEY)).gate
    assert f"To approve:  hitl approve {gate.id}\n" in run("show", KEY).out
    there = shlex.join(["hitl", "--ledger", str(ledger), "approve", gate.id])
    assert f"To approve:  {there}\n" in run("--ledger", str(ledger), "show", KEY).out


def test_an_approvers_reason_is_read_back(ledger: Path, run: Run) -> None:
    opened(a_request(KEY))
    run("approve", KEY, "--reason", "looks right")
    facts = [line.split(maxsplit=1) for line in run("show", KEY).out.splitlines()]
    assert ["decision", "approved by Ann <ann@example.org>"] in facts
    assert ["reason", "looks right (Ann)"] in facts


def test_show_and_explain_say_that_nobody_proved_who_decided_on_this_machine(
    ledger: Path, run: Run
) -> None:
    opened(a_request(KEY))
    run("approve", KEY)
    facts = [line.split(maxsplit=1) for line in run("show", KEY).out.splitlines()]
    assert ["identity", "unverified: git's own settings say who decided"] in facts
    assert "counts: Ann <ann@example.org> (unverified), approve" in run("explain", KEY).out


def test_show_gives_the_commands_that_ask_again_for_what_was_refused(
    ledger: Path, run: Run
) -> None:
    opened(a_request(KEY))
    assert "Ask again:" not in run("show", KEY).out
    assert run("reject", KEY, "--reason", "no").code == 0
    said = run("show", KEY).out
    assert "Ask again:   python flow.py resume --origin-run-id 1" in said
    assert "Ask again:   python flow.py run" in said


def test_show_as_json_is_the_records_own_words(ledger: Path, run: Run) -> None:
    request = opened(a_request(KEY))
    pending = json.loads(run("show", KEY, "--json").out)
    assert (pending["outcome"], pending["decision"]) == ("pending", None)
    run("approve", KEY)
    found = json.loads(run("show", KEY, "--json").out)
    assert found["id"] == request.gate.id
    assert found["outcome"] == "approved"
    assert found["request"]["message"] == "Deploy 0.94?"
    assert found["decision"]["votes"][0]["actor"]["proven"] is False


def test_explain_tells_what_is_missing_and_what_was_enough(ledger: Path, run: Run) -> None:
    opened(a_request(KEY, "ann", "bob"))
    assert "bob" in run("explain", KEY).out
    run("approve", KEY)
    assert "approved by Ann" in run("explain", KEY).out


def test_the_log_shows_the_newest_first_and_at_most_so_many(ledger: Path, run: Run) -> None:
    assert run("log").out.startswith(f"Nothing was decided yet in {ledger}.")
    for number in (1, 2, 3):
        opened(a_request(f"Flow/{number}/gate/1"))
        run("approve", f"Flow/{number}/gate/1")
    keys = [each["key"] for each in json.loads(run("log", "--json", "-n", "2").out)]
    assert run("log", "-n", "9" * 20).code == 2  # Python counts no further than 2**63
    assert keys == ["Flow/3/gate/1", "Flow/2/gate/1"]
    head, newest, *_ = run("log").out.splitlines()
    assert newest.startswith(decision_id := Gate("here", "Flow/3/gate/1").id)
    assert head.index("BY") == newest.index(" Ann (unverified) ") + 1
    assert json.loads(run("log", "--json", "-n", "1").out)[0]["unverified"] is True
    assert run("show", decision_id).code == 0


def test_verify_proves_a_ledger_and_finds_what_was_forged(ledger: Path, run: Run) -> None:
    opened(a_request(KEY))
    run("approve", KEY)
    said = run("ledger", "verify").out
    assert said.startswith(f"{ledger}: 1 decision, no fault (signatures not checked")
    git = ["git", "--git-dir", str(ledger)]
    made = ["-c", "user.name=x", "-c", "user.email=x", "commit-tree", "-p", "approvals", "-m", "x"]
    tree = subprocess.run(
        [*git, "mktree"], input="", capture_output=True, text=True, check=True
    ).stdout.strip()
    forged = subprocess.run(
        [*git, *made, tree], capture_output=True, text=True, check=True
    ).stdout.strip()
    subprocess.run([*git, "update-ref", "refs/heads/approvals", forged], check=True)
    ran = run("ledger", "verify")
    assert ran.code == 7
    assert "do not trust it" in ran.err


def test_verify_of_a_repository_without_decisions_asks_whether_it_is_the_ledger(
    ledger: Path, run: Run
) -> None:
    asks = f"{ledger} has no branch approvals: nothing was decided there yet, or it is not"
    ran = run("ledger", "verify")
    assert ran.code == 0
    assert asks in ran.err
    opened(a_request(KEY))
    run("approve", KEY)
    assert run("ledger", "verify").err == ""


def test_a_list_of_a_repository_without_a_ledger_asks_whether_it_is_the_ledger(
    ledger: Path, run: Run, tmp_path: Path
) -> None:
    project = tmp_path / "project.git"
    subprocess.run(["git", "init", "-q", "--bare", str(project)], check=True)
    ran = run("--ledger", str(project), "list")
    assert (ran.code, ran.err.count("\n")) == (0, 1)
    assert f"{project} has no branch approvals" in ran.err
    opened(a_request(KEY))
    assert run("list").err == ""
    run("approve", KEY)
    assert run("list").err == ""


def test_verify_of_one_gate_says_whether_its_step_may_run(ledger: Path, run: Run) -> None:
    opened(a_request(KEY))
    assert run("ledger", "verify-gate", KEY).code == 202
    run("approve", KEY)
    assert run("ledger", "verify-gate", KEY).code == 0


def picked(run: Run, monkeypatch: pytest.MonkeyPatch, typed: str) -> Ran:
    """`hitl approve` alone, at a terminal at which somebody types this."""
    stdin = io.StringIO(typed)
    monkeypatch.setattr(stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr("bridge.cli.decide.on_terminal", lambda: True)
    return run("approve")


def test_a_terminal_offers_the_open_gates(
    ledger: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = wiring.clock() - timedelta(minutes=5)
    first = opened(a_request("Flow/1/gate/1", opened_at=then))
    other = opened(a_request("Flow/2/gate/1"))
    left = picked(run, monkeypatch, "\n")
    assert (left.code, decision_of(first), decision_of(other)) == (0, None, None)
    ran = picked(run, monkeypatch, "3\n-1\nx\n2\n")
    assert ran.code == 0
    assert f"1  {first.gate.id}  Flow/1/gate/1" in ran.out
    assert ran.out.count("a number from 1 to 2") == 3
    assert decision_of(first) is None
    decision = decision_of(other)
    assert decision
    assert decision.outcome is Outcome.APPROVED


def test_a_terminal_without_an_open_gate_offers_none(
    ledger: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = picked(run, monkeypatch, "")
    assert (ran.code, ran.out) == (0, "No gate is open.\n")


def test_a_pipe_is_offered_nothing(ledger: Path, run: Run) -> None:
    opened(a_request(KEY))
    for command in ("approve", "reject"):
        ran = run(command)
        assert ran.code == 2
        assert "Missing argument 'ID...'. `hitl list` shows the open gates." in ran.err


def test_a_gate_that_nothing_waits_for_is_withdrawn_by_whoever_says_so(
    ledger: Path, run: Run
) -> None:
    request = opened(a_request(KEY))
    withdrawn = run("withdraw", KEY, "--reason", "the run was killed\nOutcome: approved")
    assert (withdrawn.code, withdrawn.err) == (0, "")
    decision = decision_of(request)
    assert decision
    assert (decision.outcome, decision.by) == (Outcome.WITHDRAWN, Decider.PERSON)
    assert decision.reason.startswith("withdrawn by Ann <ann@example.org>: the run was killed")
    assert "withdrawn by Ann" in run("explain", KEY).out
    assert json.loads(run("log", "--json").out)[0]["outcome"] == "withdrawn"
    assert run("ledger", "verify").code == 0
    assert run("ledger", "verify-gate", KEY).code == 202


def test_a_decided_gate_is_not_withdrawn(ledger: Path, run: Run) -> None:
    request = opened(a_request(KEY))
    assert run("withdraw", KEY, "--reason", " ").code == 2
    assert run("approve", KEY).code == 0
    ran = run("withdraw", KEY, "--reason", "too late")
    assert ran.code == 5
    assert f"{KEY} was approved by Ann" in ran.err
    assert "the first decision counts" in ran.err
    decision = decision_of(request)
    assert decision
    assert decision.outcome is Outcome.APPROVED


def test_who_withdrew_a_gate_may_say_so_again_and_several_end_together(
    ledger: Path, run: Run
) -> None:
    gates = [opened(a_request(f"Flow/{number}/gate/3")).gate.id for number in (1, 2)]
    assert run("withdraw", *gates, "--reason", "killed").code == 0
    again = run("withdraw", gates[0], "--reason", "killed")
    assert (again.code, "nothing to do" in again.out) == (0, True)
    assert run("list").out.startswith("No gate is open")


def test_nobody_withdraws_a_gate_on_github_without_a_token_of_their_own(
    ledger: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    request = opened(a_request(KEY, venue=on_github("o/r")))
    ran = run("withdraw", KEY, "--reason", "the run was killed")
    assert (ran.code, decision_of(request)) == (4, None)
    assert "set GITHUB_TOKEN or GH_TOKEN to a token of your own" in ran.err


# -- the top -------------------------------------------------------------------------------------


FORMER = {
    "inject w.yaml --image i": "argo inject w.yaml --image i",
    "resume 3fa9": "argo resume 3fa9",
    "open prod": "github open prod",
    "tend 17": "github tend 17",
    "sweep": "github sweep",
    "reconcile": "ledger settle",
    "reconcile --watch --namespace ml": "argo reconcile --namespace ml",
    "verify --signed": "ledger verify --signed",
    "verify 3fa9": "ledger verify-gate 3fa9",
}


@pytest.mark.parametrize(("former", "today"), FORMER.items())
def test_a_former_name_is_the_same_command(former: str, today: str) -> None:
    context = click.Context(cli.hitl, info_name="hitl")
    group, command, rest = cli.hitl.resolve_command(context, former.split())
    assert [group, *rest] == today.split()
    assert isinstance(command, click.Group)
    assert rest[0] in command.commands
    assert former.split()[0] not in cli.hitl.commands


def test_a_former_name_says_its_new_one_at_a_terminal_alone(
    ledger: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = run("ledger", "verify")
    assert run("verify") == today
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    says = "`hitl verify` is now called `hitl ledger verify`\n"
    assert run("verify").err == says + today.err
    assert run("ledger", "verify").err == today.err


def test_the_option_outweighs_the_environment(ledger: Path, run: Run, tmp_path: Path) -> None:
    opened(a_request(KEY))
    ran = run("--ledger", str(tmp_path / "other.git"), "list")
    assert ran.code == 6
    assert "other.git" in ran.err


def test_a_bug_is_one_sentence_and_a_file_without_secrets(
    ledger: Path, run: Run, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("https://ann:hunter22@example.org with s3cr3t-value")

    monkeypatch.setenv("METAFLOW_HITL_APPRISE_URLS", "slack://s3cr3t-value")
    monkeypatch.setattr("bridge.cli.gates.still_open", broken)
    ran = run("list")
    assert ran.code == 70
    assert ran.err.count("\n") == 1
    (log,) = (hermetic / "cache").glob("bug-*.log")
    assert str(log) in ran.err
    assert "ZeroDivisionError" in log.read_text()
    for secret in ("hunter22", "s3cr3t"):
        assert secret not in ran.err + log.read_text()


def test_a_closed_pipe_is_quiet(ledger: Path) -> None:
    for number in range(1, 3):
        opened(a_request(f"Flow/{number}/gate/1"))
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "bridge.cli.main", "list"],
        stdout=writer,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_an_output_that_cannot_be_written_is_no_bug(ledger: Path) -> None:
    opened(a_request(KEY))
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bridge.cli.main", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "hitl: the output could not be written: No space left on device\n"


def test_an_interrupt_is_quiet(ledger: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bridge.cli.gates.still_open", interrupted)
    assert run("list") == Ran(130, "", "\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    done = hitl("completion", shell)
    assert done.returncode == 0
    assert "_HITL_COMPLETE" in done.stdout


def test_the_shell_completes_the_ids_of_open_gates(ledger: Path) -> None:
    gate = opened(a_request(KEY)).gate
    done = hitl(
        env={"_HITL_COMPLETE": "bash_complete", "COMP_WORDS": "hitl approve ", "COMP_CWORD": "2"}
    )
    # `python -m` is the name that a completion script would call `hitl`
    assert gate.id in done.stdout


def test_bash_completes_with_the_script_that_it_is_given(ledger: Path, tmp_path: Path) -> None:
    gate = opened(a_request(KEY)).gate
    program = tmp_path / "hitl"
    program.write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(_HITL)} "$@"\n'
    )
    program.chmod(0o755)
    for typed, offered in (
        (("hitl", "argo", "reco"), "reconcile"),
        (("hitl", "approve", ""), gate.id),
    ):
        words = shlex.join(typed)
        done = subprocess.run(
            ["bash", "-c", f'eval "$(hitl completion bash)"; COMP_WORDS=({words});'
             f' COMP_CWORD={len(typed) - 1}; _hitl_completion hitl; echo "${{COMPREPLY[@]}}"'],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
        )  # fmt: skip
        assert done.stdout == f"{offered}\n"


def test_completion_looks_into_the_ledger_that_was_typed_and_is_quiet_where_there_is_none(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = opened(a_request(KEY)).gate
    monkeypatch.delenv("HITL_LEDGER")
    for where, offered in ((ledger, gate.id), ("/nowhere", "")):
        typed = shlex.join(["hitl", "--ledger", str(where), "show"])
        env = {"_HITL_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": "4"}
        done = hitl(env=env)
        assert done.stderr == ""
        assert done.stdout.strip().removeprefix("plain,") == offered


HEAVY = {
    *("metaflow", "flowyml", "apprise", "github", "kubernetes"),
    *("jinja2", "jsonschema", "yaml", "numpy", "pandas"),
}


@pytest.mark.parametrize(
    ("args", "never"), [(("--help",), HEAVY | {"git"}), (("list",), HEAVY), (("log",), HEAVY)]
)
def test_what_a_command_does_not_need_is_not_imported(
    ledger: Path, args: tuple[str, ...], never: set[str]
) -> None:
    opened(a_request(KEY))
    code = (
        "import sys; from bridge.cli.main import main; code = main(sys.argv[1:]);"
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    modules = done.stderr.split()
    imported = {name.partition(".")[0] for name in modules}
    assert "click" in imported
    assert not imported & never
    if args == ("--help",):
        assert "bridge.core.settings" not in modules
        assert "bridge.core.sanitize" not in modules
    if args == ("list",):
        assert "bridge.core.evaluation" not in modules


def test_an_option_behind_the_command_is_told_where_it_goes(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["list", "--ledger", str(ledger)]) == 2
    assert "--ledger goes before the command: hitl --ledger … list" in capsys.readouterr().err


def test_a_log_has_one_form(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["log", "--json", "--export", "csv"]) == 2
    assert "say --json or --export, not both" in capsys.readouterr().err
