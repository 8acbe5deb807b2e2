"""The question at the terminal: real pseudo-terminals, real process groups."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.gates import TARGET, a_request, decision_of, hitl
from tests.terminals import Screen

KEY = "Flow/1/gate/3"
DEPLOY = {"key": KEY}
ASKING = "Approve? [y]es / [n]o (reject) / [l]ater: "


def test_yes_at_the_terminal_approves_though_stdin_is_a_pipe(ledger: Path) -> None:
    with Screen("alone", DEPLOY) as screen:
        assert "Deploy 0.94?" in screen.expect(ASKING)
        screen.type("y\n")
        screen.expect(f"PASSED {KEY} {{}} terminal")
    decision = decision_of(a_request(KEY))
    assert decision
    assert [(str(v.actor), v.actor.proven) for v in decision.votes] == [
        ("Ann <ann@example.org>", False)
    ]


def test_the_fault_of_a_field_is_said_at_once_and_the_field_is_asked_again(ledger: Path) -> None:
    with Screen("alone", {**DEPLOY, "schema": TARGET}) as screen:
        screen.expect(ASKING)
        screen.type("yes\n")
        screen.expect("target (")
        screen.type("stagin\n")
        screen.expect("none of")
        screen.expect("target (")
        screen.type("staging\n")
        screen.expect("replicas (")
        screen.type("\n")
        screen.expect(f'PASSED {KEY} {{"target": "staging", "replicas": 2}} terminal')


@pytest.mark.parametrize(
    ("typed", "recorded"), [("too low\n", "too low"), ("\n", "no reason given")]
)
def test_a_rejection_is_asked_for_its_reason_alone(ledger: Path, typed: str, recorded: str) -> None:
    with Screen("alone", {**DEPLOY, "schema": TARGET}) as screen:
        assert "target (" not in screen.expect(ASKING)
        screen.type("n\n")
        assert "target (" not in screen.expect("Reason: ")
        screen.type(typed)
        screen.expect("SHUT")
    decision = decision_of(a_request(KEY, schema=TARGET))
    assert decision
    assert (decision.outcome, decision.votes[0].reason) == ("rejected", recorded)


def test_who_gives_no_reason_after_all_is_asked_again(ledger: Path) -> None:
    with Screen("alone", DEPLOY) as screen:
        screen.expect(ASKING)
        screen.type("n\n")
        screen.expect("Reason: ")
        screen.type("\x04")
        screen.expect(ASKING)
        screen.type("y\n")
        screen.expect(f"PASSED {KEY} {{}} terminal")


def test_yes_without_the_required_input_asks_for_it_again(ledger: Path) -> None:
    with Screen("alone", {**DEPLOY, "schema": TARGET}) as screen:
        screen.expect(ASKING)
        screen.type("y\n")
        screen.expect("target (")
        screen.type("\x04")
        screen.expect("target: ")
        screen.expect(ASKING)
        screen.type("y\n")
        screen.expect("target (")
        screen.type("production\n")
        screen.expect("replicas (")
        screen.type("3\n")
        screen.expect('"replicas": 3')


def test_what_was_typed_before_the_question_does_not_answer_it(ledger: Path) -> None:
    with Screen("alone", DEPLOY) as screen:
        screen.type("y\n")
        screen.expect(ASKING)
        screen.type("n\n")
        screen.expect("Reason: ")
        screen.type("not that fast\n")
        screen.expect("SHUT")


def test_later_leaves_the_gate_open_and_names_the_command_that_decides(ledger: Path) -> None:
    with Screen("alone", DEPLOY) as screen:
        screen.expect(ASKING)
        screen.type("l\n")
        screen.expect("to decide, in any shell: hitl --ledger")
        assert hitl("approve", KEY).returncode == 0
        screen.expect(f"PASSED {KEY} {{}} cli")


def test_another_shell_may_decide_during_the_question(ledger: Path) -> None:
    with Screen("alone", DEPLOY) as screen:
        screen.expect(ASKING)
        assert hitl("reject", KEY, "--reason", "no budget").returncode == 0
        screen.expect("SHUT")
        screen.expect("rejected by Ann")


def test_half_an_answer_to_a_question_that_is_over_reaches_no_shell(ledger: Path) -> None:
    with Screen("then_the_shell", DEPLOY) as screen:
        screen.expect(ASKING)
        screen.type("rm -r")
        screen.expect("rm -r")
        assert hitl("reject", KEY, "--reason", "no budget").returncode == 0
        screen.expect("SHUT")
        screen.type("\n")
        screen.expect("THE SHELL '\\n'")


def test_a_required_text_is_not_given_by_an_empty_line(ledger: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"target": {"type": "string"}},
        "required": ["target"],
    }
    with Screen("alone", {**DEPLOY, "schema": schema}) as screen:
        screen.expect(ASKING)
        screen.type("y\n")
        screen.expect("target (str): ")
        screen.type("\n")
        screen.expect("target is required")
        screen.expect("target (str): ")
        screen.type("staging\n")
        screen.expect(f'PASSED {KEY} {{"target": "staging"}} terminal')


def test_two_questions_are_asked_one_after_the_other(ledger: Path) -> None:
    with Screen("together", {"key": "Flow/1/a/1"}, {"key": "Flow/1/b/2"}) as screen:
        first = screen.expect(ASKING)
        screen.type("y\n")
        passed = screen.expect(ASKING)
        screen.type("y\n")
        screen.expect("PASSED")
        asked = [first.count("Deploy 0.94?"), passed.count("Deploy 0.94?")]
    assert asked == [1, 1], "the second was asked while the first was still open"


def test_a_run_in_the_background_asks_nothing_and_does_not_stop(ledger: Path) -> None:
    with Screen("background", DEPLOY) as screen:
        assert ASKING not in screen.expect("to decide, in any shell")
        assert hitl("approve", KEY).returncode == 0
        screen.expect(f"PASSED {KEY} {{}} cli")


def test_a_run_sent_to_the_background_stops_asking_and_waits_on(ledger: Path) -> None:
    with Screen("sent_away", DEPLOY) as screen:
        screen.expect(ASKING)
        os.kill(screen.leader.pid, signal.SIGUSR1)
        screen.expect("to decide, in any shell")
        assert hitl("approve", KEY).returncode == 0
        screen.expect(f"PASSED {KEY} {{}} cli")


def test_ctrl_c_at_the_question_withdraws_the_gate(ledger: Path) -> None:
    with Screen("alone", DEPLOY) as screen:
        screen.expect(ASKING)
        screen.type("\x03")
        screen.expect("withdrawn, the run was ended by Ctrl-C")
    decision = decision_of(a_request(KEY))
    assert decision
    assert (decision.outcome, decision.by) == ("withdrawn", "run")


def test_a_terminal_that_goes_away_withdraws_the_gate(ledger: Path) -> None:
    screen = Screen("alone", DEPLOY)
    screen.expect(ASKING)
    os.close(screen._master)  # the window is closed: SIGHUP
    screen._master = os.open(os.devnull, os.O_RDWR)
    with screen:
        screen.leader.wait()
        for _ in range(500):
            decision = decision_of(a_request(KEY))
            if decision:
                break
    assert decision
    assert (decision.outcome, decision.by) == ("withdrawn", "run")


def test_who_may_not_decide_is_not_asked_but_told(ledger: Path) -> None:
    with Screen("alone", {**DEPLOY, "by": ["ml-team"]}) as screen:
        told = screen.expect("to decide, in any shell")
        assert "git config --global --add hitl.team ml-team" in told
        assert ASKING not in told
