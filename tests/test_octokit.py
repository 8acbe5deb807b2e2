"""GitHub's own example events (octokit) through the workflows' conditions and the action.

`make test-octokit` fetches them and runs this: each starts nothing, or a run that is green or has
one red line. They come as they are, and again as events of a gate's page, so that the conditions
let them through.
"""

from __future__ import annotations

import copy
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.setup.workflow_files import MAIN, RELAY, SCHEDULE
from tests.actions import ROOT, load, written
from tests.expressions import evaluate, filled
from tests.forge import World
from tests.github import GitHub
from tests.test_github_action import Runner

PACKAGE = ROOT / "build" / "octokit-webhooks-examples-7.6.1.tgz"
Event = tuple[str, dict[str, Any]]


def examples() -> list[Event]:
    with tarfile.open(PACKAGE) as package:
        found: list[dict[str, Any]] = []
        for member in package.getnames():
            if member.endswith("/index.json"):
                text = package.extractfile(member)
                assert text
                found += json.load(text)
    return [(each["name"], payload) for each in found for payload in each["examples"]]


def of_a_gate(event: Event) -> Event:
    """The same, on a page of the bridge."""
    name, payload = event[0], copy.deepcopy(event[1])
    if isinstance(payload.get("issue"), dict):
        payload["issue"]["labels"] = [{"name": "bug"}, {"name": "gate:pending"}]
    if isinstance(payload.get("pull_request"), dict):
        payload["pull_request"]["head"]["ref"] = "gate/0123456789abcdef"
        payload["pull_request"]["head"]["repo"] = payload.get("repository")
    return name, payload


WORKFLOWS = {path: load(written(path)) for path in (MAIN, RELAY, SCHEDULE)}


def job_of(path: str) -> dict[str, Any]:
    (job,) = WORKFLOWS[path]["jobs"].values()
    only: dict[str, Any] = job
    return only


def started(path: str, event: Event) -> bool:
    """Whether GitHub starts the workflow's job for this event."""
    name, payload = event
    heard = WORKFLOWS[path]["on"]
    if name not in heard:
        return False
    types = (heard[name] or {}).get("types")
    if types and payload.get("action") not in types:
        return False
    return bool(evaluate(job_of(path).get("if", "true"), contexts(event)))


def contexts(event: Event) -> dict[str, Any]:
    name, payload = event
    repository = (payload.get("repository") or {}).get("full_name", "")
    github = {"event": payload, "event_name": name, "repository": repository, "run_id": 7}
    github |= {"token": "t"}
    inputs = payload.get("inputs") if name == "workflow_dispatch" else None
    return {"github": github, "inputs": inputs or {}, "vars": {}, "secrets": {}}


EXAMPLES = examples()


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with GitHub() as github:
        yield World(github, tmp_path_factory.mktemp("world"))


def test_there_are_hundreds_of_them_of_every_event_that_we_hear() -> None:
    assert len(EXAMPLES) > 300
    heard = {name for workflow in WORKFLOWS.values() for name in workflow["on"]}
    assert heard - {"schedule"} <= {name for name, _ in EXAMPLES}


def test_an_event_of_something_else_starts_no_job() -> None:
    for event in EXAMPLES:
        if event[0] not in ("workflow_dispatch", "repository_dispatch"):
            assert [path for path in WORKFLOWS if started(path, event)] == []


def test_what_a_bot_does_on_a_gate_starts_no_job() -> None:
    for name, payload in map(of_a_gate, EXAMPLES):
        if name.startswith(("issue", "pull_request")):
            bot = payload | {"sender": {"type": "Bot", "login": "x[bot]"}}
            assert not started(MAIN, (name, bot))
            assert not started(RELAY, (name, bot))


def test_the_relay_hands_over_the_number_and_the_default_branch_of_each_event_of_a_gate() -> None:
    env = job_of(RELAY)["steps"][0]["env"]
    handed = [
        {name: filled(text, contexts(event)) for name, text in env.items()}
        for event in map(of_a_gate, EXAMPLES)
        if started(RELAY, event)
    ]
    assert len(handed) > 10
    for each in handed:
        assert each["NUMBER"].isdecimal()
        assert each["BRANCH"]


def test_the_action_is_green_or_has_one_red_line_for_each_event_that_starts_it(
    at: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = job_of(MAIN)
    number = job["steps"][0]["with"]["number"]
    runner = Runner(at, tmp_path)
    starting, done = 0, set[tuple[str, str]]()
    for event in map(of_a_gate, EXAMPLES):
        if not started(MAIN, event):
            continue
        starting += 1
        name, payload = event
        given = filled(number, contexts(event))
        read = json.dumps(payload) if name == "workflow_dispatch" else ""
        if (given, read) in done:  # the action reads nothing else of an event
            continue
        done.add((given, read))
        (tmp_path / "event.json").write_text(json.dumps(payload))
        capsys.readouterr()
        code = runner.run(
            given, GITHUB_EVENT_NAME=name, GITHUB_EVENT_PATH=str(tmp_path / "event.json")
        )
        told = capsys.readouterr()
        assert "Traceback" not in told.out + told.err
        assert (code, told.out.count("::error")) in ((0, 0), (1, 1)), told.out
        assert filled(job["concurrency"]["group"], contexts(event)).startswith("approvals-")
    assert starting > 10
