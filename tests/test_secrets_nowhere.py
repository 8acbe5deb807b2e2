"""Every text that the bridge writes, with a secret seeded in each input that could hold one."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bridge import approval, wiring
from bridge.cli import main as cli
from bridge.core import crash_report, log
from bridge.core.errors import BridgeError, GateShut
from bridge.core.message_template import Scope, render
from bridge.core.settings import from_environment
from bridge.entrypoints import action_summary, argo_pod
from bridge.gates.finish_page import Tended
from bridge.gates.process_page import tend
from bridge.gates.wait import Run
from bridge.ledger.git_ledger import GitLedger
from bridge.local.notify import Told
from tests.forge import World, world
from tests.github import GitHub
from tests.test_github_job import Ci

#: A secret for each place that could hold one; none is a part of another, or of an ordinary word.
SEEDS = {
    place: f"seed{number:02}hunter2{place}"
    for number, place in enumerate(
        (
            *("artifact", "nested", "field", "column", "text", "header", "url", "query", "named"),
            *("pem", "key", "raised", "variable", "token", "appkey", "apprise", "slack", "argo"),
            *("ledger", "password", "comment"),
        )
    )
}


@dataclass
class Login:
    user: str = "ann"
    password: str = SEEDS["field"]


@pytest.fixture
def values() -> dict[str, Any]:
    import pandas as pd

    return {
        "accuracy": 0.94,
        "api_key": SEEDS["artifact"],
        "config": {"db": [{"password": SEEDS["nested"]}], f"ghp_{SEEDS['key']}": 1},
        "login": Login(),
        "users": pd.DataFrame({"user": ["ann"], "password": [SEEDS["column"]]}),
        "notes": f"host=db password={SEEDS['text']} port=1",
        "sent": f"Authorization: Bearer {SEEDS['header']}",
        "source": f"postgres://ann:{SEEDS['url']}@db/x",
        "page": f"https://example.org/x?access_token={SEEDS['query']}&y=1",
        "pem": f"-----BEGIN PRIVATE KEY-----\n{SEEDS['pem']}",
        "hf_token": SEEDS["named"],
    }


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The settings that hold credentials, and a variable of the user's own."""
    said = {
        "DB_PASSWORD": SEEDS["variable"],
        "HITL_TOKEN": SEEDS["token"],
        "HITL_APP_KEY": f"-----BEGIN PRIVATE KEY-----\n{SEEDS['appkey']}",
        "METAFLOW_HITL_APPRISE_URLS": f"json://ann:{SEEDS['apprise']}@127.0.0.1:9/x",
        "METAFLOW_HITL_SLACK_WEBHOOK": f"https://hooks.slack.com/services/T0/B0/{SEEDS['slack']}",
        "HITL_ARGO_TOKEN": SEEDS["argo"],
    }
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    return said


@dataclass
class Written:
    """The texts, and where each was written."""

    texts: list[tuple[str, str]] = field(default_factory=list)

    def take(self, where: str, *texts: object) -> None:
        assert texts, f"nothing was written to {where}"
        self.texts += [(where, str(text)) for text in texts]

    def objects(self, where: str, git_dir: Path) -> None:
        """Every blob, commit and tag: request.md, request.yaml, decision.yaml, messages."""
        git = ["git", "--git-dir", str(git_dir), "cat-file", "--batch-all-objects"]
        self.take(where, subprocess.run([*git, "--batch"], capture_output=True, check=True).stdout)

    def hold(self, secrets: Mapping[str, str]) -> list[tuple[str, str]]:
        """Which secret is in a text of which place."""
        return sorted(
            {(name, place) for place, text in self.texts for name, each in secrets.items()
             if each in text}
        )  # fmt: skip


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """It takes the notifications and the log as they come."""
    found = Written()

    def hand_over(_: Told, value: object) -> None:
        if isinstance(value, dict):  # the addresses themselves go down the pipe before
            found.take("notification", json.dumps(value, ensure_ascii=False))

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.take("log", record.getMessage())

    monkeypatch.setattr(Told, "_start", lambda _: 0)
    monkeypatch.setattr(Told, "_hand_over", hand_over)
    handler, logger = Handler(), logging.getLogger("bridge")
    before = logger.level, logger.propagate, list(logger.handlers)
    logger.addHandler(handler)
    log.turn_on(os.environ)
    yield found
    logger.level, logger.propagate, logger.handlers[:] = before


def test_no_text_that_the_bridge_writes_holds_a_secret(
    tmp_path: Path,
    values: dict[str, Any],
    environment: Mapping[str, str],
    written: Written,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with world(tmp_path) as at:
        _on_github(at, values, written, monkeypatch)
        secrets = {**SEEDS, **{f"minted{n}": each for n, each in enumerate(at.github.secrets)}}
    with GitHub() as github:
        (tmp_path / "ci").mkdir()
        _in_ci(Ci(github, tmp_path / "ci"), written)
        secrets |= {f"ci{n}": each for n, each in enumerate(github.secrets)}
    _on_this_machine(tmp_path, values, written, monkeypatch)
    _in_a_pod(tmp_path, written, monkeypatch)
    _errors(tmp_path, written, environment)
    said = capfd.readouterr()
    written.take("the run's log", said.err, said.out)
    assert {where for where, _ in written.texts} >= {"page", "git", "log", "notification"}
    for place in ("page", "git", "ledger", "notification", "page of a job", "git of a job"):
        assert any("(hidden)" in text for where, text in written.texts if where == place)
    assert written.hold(secrets) == []


def _asking(values: dict[str, Any]) -> dict[str, Any]:
    names = " ".join(f"{{self.{name}}} {{self.{name}!r}}" for name in values)
    asks = f"Deploy? postgres://ann:{SEEDS['url']}@db/x {names}"
    return {"message": render(asks, Scope(values)), "artifacts": values}


def _on_github(
    at: World, values: dict[str, Any], written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One gate that is approved and one that is rejected, each from its run to its record."""
    done: list[Tended] = []
    verdicts = iter(["approve", "reject"])

    def decided(_: float) -> None:
        pull = at.repo.pulls[-1]
        if len(done) < len(at.repo.pulls):
            said = f"/{next(verdicts)} password={SEEDS['comment']}"
            pull.comment(at.mallory, said)
            if done:
                pull.comment(at.alice, "/reject no")
            else:
                pull.review(at.alice, "APPROVED")
            done.append(tend(told, pull.number))

    settings = replace(from_environment(os.environ), github=at.settings(at.opener))
    told = replace(at.desk(), notices=wiring.notices(settings, at.desk().ledger))
    venue = replace(at.venue(), notices=told.notices)
    with monkeypatch.context() as patch:
        patch.setattr(wiring, "venue", lambda _: venue)
        patch.setattr(wiring, "run", lambda _: Run(alive=lambda: True, pause=decided))
        assert approval("first", "alice", **_asking(values)).record.votes
        with pytest.raises(GateShut, match="rejected") as shut:
            approval("second", "alice", **_asking(values))
    written.take("error", shut.value)
    for pull in at.repo.pulls:
        own = {at.opener.bot, at.decider.bot}
        written.take("page", pull.title, pull.body, repr(sorted(map(str, pull.labels))))
        written.take("comment", *(e.body for e in pull.comments if e.author in own))
    written.take("status", *map(repr, at.repo.statuses))
    written.take("summary", action_summary.markdown(done), *action_summary.log(done))
    written.take("settings", repr(settings), repr(told), repr(at.settings(at.decider)))
    written.objects("git", at.repo.bare.path)


def _on_this_machine(
    folder: Path, values: dict[str, Any], written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Conditions that read secrets, and the views of the command line."""

    def raises(config: Any) -> bool:
        raise ValueError(f"no password={SEEDS['raised']} in {config}")

    monkeypatch.chdir(folder)
    approval("third", "Ann", auto_approve_if="api_key != x", **_asking(values))
    approval(
        "fourth", "Ann", auto_approve_if=lambda api_key, config, notes: True, **_asking(values)
    )
    with pytest.raises(GateShut) as shut:
        approval("fifth", "Ann", auto_approve_if=raises, timeout_seconds=1, **_asking(values))
    written.take("error", shut.value)
    for args in (["log"], ["log", "--json"], ["list", "--json"], ["show", "third"]):
        cli.main(args)
    written.objects("ledger", folder / ".hitl" / "ledger.git")


#: Plain values, as a job of GitHub Actions and a manifest of Argo give them.
GIVEN = {
    "accuracy": 0.94,
    "api_key": SEEDS["artifact"],
    "config": {"db": [{"password": SEEDS["nested"]}], f"ghp_{SEEDS['key']}": 1},
    "notes": f"host=db password={SEEDS['text']} port=1",
    "sent": f"Authorization: Bearer {SEEDS['header']}",
    "source": f"postgres://ann:{SEEDS['url']}@db/x",
    "page": f"https://example.org/x?access_token={SEEDS['query']}&y=1",
    "pem": f"-----BEGIN PRIVATE KEY-----\n{SEEDS['pem']}",
}
#: Authors write it to be read, so of the secrets in it those alone are hidden that look like one.
MESSAGE = (
    f"Deploy postgres://ann:{SEEDS['url']}@db/x with ghp_{SEEDS['key']}? Password: see the wiki"
)


def _in_ci(at: Ci, written: Written) -> None:
    """A job that asks, is approved, goes on, and then gives other values; and one that is wrong."""
    given = {"HITL_MESSAGE": MESSAGE, "HITL_VALUES": json.dumps(GIVEN)}
    told: list[str] = []

    def take() -> None:
        told.extend((at.runner.summary, json.dumps(at.runner.outputs)))

    pull = at.ask(**given)
    take()
    at.approve(pull, f"/approve password={SEEDS['comment']}")
    at.github.clock.advance(minutes=1)
    at.approve(pull)
    take()
    gate = at.standing(pull).request.gate.id
    assert at.verify(gate, **given) == 0
    take()
    other = json.dumps({**GIVEN, "api_key": SEEDS["named"]})
    assert at.verify(gate, **{**given, "HITL_VALUES": other}) == 1
    take()
    for wrong in (f"password: {SEEDS['password']}: x", f"[{SEEDS['password']}]"):
        env = {"HITL_TOKEN": at.tokens[at.opener], "HITL_VALUES": f"api_key: {wrong}"}
        assert at.runner.run(HITL_MODE="open", **{**given, **env}) == 1
        take()
    written.take("summary of a job", *told)
    own = {at.opener.bot, at.decider.bot}
    written.take("page of a job", pull.title, pull.body)
    written.take("page of a job", *(e.body for e in pull.comments if e.author in own))
    written.objects("git of a job", at.repo.bare.path)


def _in_a_pod(folder: Path, written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pods of a plain workflow on Argo: what they say, and what they hand on."""
    given = {
        "gate": "deploy", "place": "wf", "message": MESSAGE, "approvers": "Ann",
        "artifacts": json.dumps(GIVEN), "artifact-hf_token": SEEDS["named"],
        "workflow-parameters": json.dumps({"json": "null", "db_password": SEEDS["password"]}),
    }  # fmt: skip
    out = folder / "pod"

    def pod(verb: str, **changed: str) -> int:
        said = {**given, **changed}
        words = (f"{key}={b64encode(said[key].encode()).decode()}" for key in said)
        monkeypatch.setenv("HITL_ASKED", " ".join(words))
        return argo_pod.main([verb])

    monkeypatch.setenv("HITL_LEDGER", str(folder / ".hitl" / "ledger.git"))
    monkeypatch.setenv("HITL_WORKFLOW", "argo/wf/u-1")
    monkeypatch.setenv("HITL_OUT", str(out))
    assert pod("open") == 0
    assert pod("verify") != 0
    assert cli.main(["approve", (out / "gate").read_text()]) == 0
    assert pod("verify") == 0
    for name in ("artifacts", "workflow-parameters"):
        assert pod("verify", **{name: json.dumps({"api_key": SEEDS["column"]})}) != 0
        assert pod("verify", **{name: f"password: {SEEDS['column']}"}) != 0
    written.take("pod", *(each.read_text() for each in out.iterdir()))
    written.objects("ledger", folder / ".hitl" / "ledger.git")


def _errors(folder: Path, written: Written, environment: Mapping[str, str]) -> None:
    address = f"http://ann:{SEEDS['ledger']}@127.0.0.1:9/ledger.git"
    with pytest.raises(BridgeError) as caught:
        GitLedger(address, folder / "other").read("0" * 12)
    written.take("error", caught.value)
    for says in (*environment.values(), address, f"{{'password': '{SEEDS['password']}'}}"):
        env = {**environment, "HITL_LEDGER": address, "HITL_CACHE": str(folder / "bugs")}
        written.take("error", crash_report.report(RuntimeError(f"cannot use {says}!"), env))
    written.take("crash report", *(each.read_text() for each in folder.glob("bugs/*.log")))
