"""The stand-in for Argo's controller does what the real one was recorded doing.

`argo/recordings` holds workflows as Argo 4.1.2 ran them: what was submitted, each patch that
was accepted, and what stood whenever the workflow had come to rest.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonpatch import apply_patch

from tests.argo.controller import Controller

RECORDINGS = sorted((Path(__file__).parent / "argo" / "recordings").iterdir())

LONG = 100_000  # seconds: longer than any recorded duration


class Shell:
    """A pod of the recordings: a line of shell."""

    def __init__(self, template: Any, node: Any) -> None:
        command = template["container"]["command"] + template["container"]["args"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def poll(self) -> int | None:
        return self._process.poll()

    def output(self, path: str) -> str | None:
        return None


def submitted(folder: Path) -> Any:
    made = yaml.safe_load((folder / "workflow.yaml").read_text())
    made["metadata"] |= {"uid": "u", "creationTimestamp": "2026-11-23T18:00:00Z"}
    return made


def shown(controller: Controller) -> Any:
    """In the words of a recording's summary."""

    def node(each: Any) -> Any:
        found = {key: each[key] for key in ("type", "phase", "message") if each.get(key)}
        parameters = (each.get("outputs") or {}).get("parameters")
        if parameters:
            found["outputs"] = {one["name"]: one.get("value") for one in parameters}
        return {"name": each["name"].replace(controller.name, "WF", 1), **found}

    return {
        "phase": controller.status["phase"],
        "message": controller.status.get("message"),
        "nodes": sorted(map(node, controller.nodes.values()), key=lambda each: str(each["name"])),
    }


def expected(step: Any) -> Any:
    nodes = sorted(step["nodes"], key=lambda each: each["name"])
    return {"phase": step["phase"], "message": step["message"], "nodes": nodes}


def nameless(value: Any, name: str) -> str:
    return re.sub(rf"(WF|{name})(-\d+)?", "WF", json.dumps(value, indent=1, sort_keys=True))


@pytest.mark.parametrize("folder", RECORDINGS, ids=lambda each: each.name)
def test_every_recorded_state_is_reached(folder: Path) -> None:
    controller = Controller(submitted(folder), Shell)
    before = ""
    for step in yaml.safe_load((folder / "summary.yaml").read_text())["steps"]:
        number, kind = step["file"].removesuffix(".json").split("-", 1)
        if kind == "patched":
            accepted = json.loads((folder / f"{number}-patch.json").read_text())
            apply_patch(controller.workflow, accepted[uids(accepted) :], in_place=True)
        elif kind == "settled":
            if before == "settled":
                controller.now += LONG
            controller.settle()
        if kind != "refused":
            assert nameless(shown(controller), folder.name) == nameless(expected(step), folder.name)
        before = kind


def uids(patch: Any) -> int:
    """How many operations come before those of the nodes: the test of the workflow's uid."""
    return int(patch[0]["path"] == "/metadata/uid")


def test_what_it_does_not_know_it_does_not_run() -> None:
    strange = submitted(RECORDINGS[0])
    strange["spec"]["templates"][0]["parallelism"] = 3
    with pytest.raises(AssertionError, match="knows no parallelism of a template"):
        Controller(strange, Shell)
