"""The log: off by default, on stderr, one line for each call, and never a secret in it."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.core import log
from bridge.core.digest import digest_of
from bridge.core.errors import Faults
from bridge.core.evaluation import Actor, Channel, Evidence, Verdict, Vote
from bridge.core.settings import from_environment
from bridge.entrypoints.github_action import main as action
from bridge.gates.decide import decide
from bridge.gates.recording import record_now
from bridge.ledger.git_ledger import GitLedger
from bridge.local.notify import Silent
from tests.forge import World
from tests.githttp import serving
from tests.github import GitHub
from tests.ledgers import NOON, a_request, ledger_of

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z bridge\.\w+: \S.*")

HIDDEN = "hunter22-correct-horse"
KEY = f"-----BEGIN PRIVATE KEY-----\n{HIDDEN}\n-----END PRIVATE KEY-----"


@pytest.fixture(autouse=True)
def off_again() -> Iterator[None]:
    yield
    root = logging.getLogger("bridge")
    root.handlers.clear()
    root.setLevel(logging.NOTSET)
    root.propagate = True


def hitl(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bridge.cli.main", *arguments]
    given = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "HITL_CACHE": str(folder / "cache"),
        **env,
    }
    return subprocess.run(command, env=given, capture_output=True, text=True)


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    return str(ledger_of(tmp_path / "ledger.git", 1, waiting=1))


# -- on and off ----------------------------------------------------------------------------------


def test_the_log_is_off_by_default(tmp_path: Path, ledger: str) -> None:
    assert hitl(tmp_path, "log", HITL_LEDGER=ledger).stderr == ""


@pytest.mark.parametrize(
    ("options", "env"),
    [(["-v"], {}), ([], {"HITL_LOG": "debug"}), ([], {"RUNNER_DEBUG": "1"})],
)
def test_the_log_goes_to_stderr_and_the_answer_alone_to_stdout(
    tmp_path: Path, ledger: str, options: list[str], env: dict[str, str]
) -> None:
    quiet = hitl(tmp_path, "log", "--json", HITL_LEDGER=ledger)
    shown = hitl(tmp_path, *options, "log", "--json", HITL_LEDGER=ledger, **env)
    assert shown.stdout == quiet.stdout
    lines = shown.stderr.splitlines()
    assert any("git ls-refs" in line for line in lines)
    assert any("git upload-pack" in line and "exit 0" in line for line in lines)
    assert all(LINE.fullmatch(line) for line in lines)


def test_a_level_that_does_not_exist_is_a_fault() -> None:
    with pytest.raises(Faults, match="HITL_LOG is 'loud': set it to debug"):
        from_environment({"HITL_LOG": "loud"})


def test_a_git_call_that_fails_is_shown_with_its_exit_code(tmp_path: Path) -> None:
    shown = hitl(tmp_path, "-v", "--ledger", str(tmp_path / "nowhere.git"), "list")
    assert "git upload-pack" in shown.stderr
    assert "exit 128" in shown.stderr


def test_text_of_strangers_stays_on_one_line_and_commands_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.turn_on({})
    log.logger("git").debug("git push %s", "a\n::error::x\x1b[2J")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "\x1b" not in said


# -- secrets -------------------------------------------------------------------------------------


def test_a_whole_gate_on_github_leaves_no_secret_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with GitHub() as github:
        at = World(github, tmp_path)
        env = {
            **github.environment(at.repo),
            "HITL_CACHE": str(tmp_path / "cache"),
            "HITL_TOKEN": at.tokens[at.decider],
            "HITL_VOICES": "approval-opener[bot]",
            "HITL_LOG": "debug",
            "HITL_ARGO_TOKEN": f"argo-{HIDDEN}",
            "METAFLOW_HITL_APPRISE_URLS": f"json://127.0.0.1:9/{HIDDEN}",
            "HITL_INPUTS": f'{{"note": "{HIDDEN}"}}',
            "DB_PASSWORD": HIDDEN,
            "SIGNING_KEY": KEY,
        }
        pull = at.open()
        assert action(env | {"HITL_NUMBER": str(pull.number)}) == 0
        pull.review(at.alice, "APPROVED")
        assert action(env) == 0
        said = capsys.readouterr().err
        secrets = [*github.secrets, *(str(each) for each in at.tokens.values())]
    lines = said.splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    for part in ("bridge.git: git push", "bridge.github: query Page: 200", "approved by alice"):
        assert part in said
    assert re.search(r"bridge\.github: mutation \w+: 200, \d+ ms", said)
    for secret in (*secrets, HIDDEN):
        assert secret not in said


def test_the_log_of_a_ledger_with_a_credential_does_not_show_it(tmp_path: Path) -> None:
    ledger_of(tmp_path / "ledger.git", 1, waiting=1)
    with serving(tmp_path) as server:
        server.credential = f"ann:{HIDDEN}"
        address = server.of("ledger.git", f"ann:{HIDDEN}")
        wrong = server.of("ledger.git", f"ann:{HIDDEN[:-1]}x")
        shown = [
            hitl(tmp_path, "-v", "list", HITL_LEDGER=address),
            hitl(tmp_path, "-v", "--ledger", address, "show", "Flow/1/wait/1"),
            hitl(tmp_path, "-v", "--ledger", wrong, "list"),
        ]
    assert [each.returncode for each in shown][::2] == [0, 6]
    said = "".join(each.stdout + each.stderr for each in shown)
    assert server.url in said
    assert "hunter22" not in said


def test_a_program_with_handlers_of_its_own_sees_no_secret_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HITL_TOKEN", HIDDEN)
    caplog.set_level(logging.DEBUG)
    log.logger("git").debug("git fetch https://ann:%s@example.org, %s", HIDDEN, "ghs_" + "x1" * 18)
    assert HIDDEN not in caplog.text
    assert "x1x1" not in caplog.text
    assert "git fetch https://…@example.org" in caplog.text


# -- decisions -----------------------------------------------------------------------------------


def test_each_decision_says_what_was_seen_and_what_was_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "bridge.gates")
    ledger = GitLedger(str(ledger_of(tmp_path / "ledger.git", 0, waiting=0)), tmp_path / "cache")
    request = a_request("Flow/1/gate/3")
    standing = ledger.open(request, "")
    record_now(ledger, decide(ledger, Silent(), standing, Evidence(NOON)))
    vote = Vote(
        actor=Actor("Ann", "ann@example.org"),
        verdict=Verdict.APPROVE,
        at=NOON,
        digest=digest_of(request),
        channel=Channel.CLI,
    )
    record_now(ledger, decide(ledger, Silent(), standing, Evidence(NOON, (vote,))))
    waits, decided = (each.getMessage() for each in caplog.records)
    assert waits.startswith(f"gate {request.gate.id}: saw 0 votes, no decision: pending")
    assert waits.endswith("recorded nothing")
    assert "saw 1 votes, no decision: approved" in decided
    assert decided.endswith(f"the ledger has the decision in {ledger.head()}")
