"""The pods of a gate in a plain Argo workflow.

They run `python -P -m bridge.entrypoints.argo_pod open` and `… verify`.
HITL_ASKED says what is asked: words `name=base64`, which Argo fills in from the parameters.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bridge import wiring
from bridge.argo.inject import GATE, PAGE
from bridge.argo.templates import ARTIFACT, OUT_FOLDER, PLACE
from bridge.argo.ui import run_links
from bridge.core import log
from bridge.core.artifacts import comparable, ordered
from bridge.core.comparison import kind_of
from bridge.core.delivery import Workflow
from bridge.core.errors import EXIT_SHUT, BridgeError, Faults, GateShut
from bridge.core.facts import Source, started_by
from bridge.core.gate_spec import Form, GateSpec, read
from bridge.core.model import Artifact, Draft, Gate, Subject
from bridge.core.settings import ASKED, LABELLED, NODE, OUT, WORKFLOW, Settings, from_environment
from bridge.entrypoints.python import artifact

FORM = Form(approvers="approvers", timeout="timeout", on_timeout="on-timeout", input="input")

#: The artifact that binds the parameters of the workflow.
WORKFLOW_PARAMETERS = "workflow.parameters"

_ARGO = "workflows.argoproj.io/"
#: Argo Server's own word for who submitted the workflow; it makes `@` of a mail address `.at.`.
_CREATOR = (f"{_ARGO}creator-preferred-username", f"{_ARGO}creator-email", f"{_ARGO}creator")
#: What the workflow was made of: its own name may be new each time.
_TEMPLATE = (
    f"{_ARGO}workflow-template",
    f"{_ARGO}cluster-workflow-template",
    f"{_ARGO}cron-workflow",
)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code. 202 if trying again cannot help: Argo's retries leave that alone."""
    [verb] = sys.argv[1:] if argv is None else argv
    log.turn_on_if_asked(os.environ)
    out = Path(os.environ.get(OUT, OUT_FOLDER))
    try:
        settings = from_environment(os.environ)
        draft = draft_from(os.environ, settings)
        outputs = _opened(settings, draft) if verb == "open" else _verified(settings, draft)
    except (Faults, GateShut) as error:
        print(f"hitl: {error}", file=sys.stderr)
        return EXIT_SHUT
    except BridgeError as error:
        print(f"hitl: the gate could not be opened: {error}", file=sys.stderr)
        return error.exit_code
    out.mkdir(parents=True, exist_ok=True)
    for name, value in outputs.items():
        (out / name).write_text(value, encoding="utf-8")
    return 0


def _opened(settings: Settings, draft: Draft) -> dict[str, str]:
    opened = wiring.existing_venue(settings).open(draft)
    gate, decision = draft.gate, opened.standing.decision
    says = f"waits for a decision (gate {gate.id}); {opened.how}"
    print(f"hitl: {gate.key} {f'is {decision.outcome}: {decision.reason}' if decision else says}")
    return {GATE: gate.id, PAGE: opened.where}


def _verified(settings: Settings, draft: Draft) -> dict[str, str]:
    decision = wiring.existing_venue(settings).verify(draft.gate, lambda _: draft)
    print(f"hitl: {draft.gate.key}: {decision.reason}")
    return {
        "decision": decision.outcome.value,
        "inputs": json.dumps(dict(decision.inputs), ensure_ascii=False),
    }


def draft_from(env: Mapping[str, str], settings: Settings) -> Draft:
    """What this node asks. Raises `Faults`."""
    workflow = settings.workflow
    if workflow is None:
        raise Faults("the environment", [f"{WORKFLOW} is not set: this runs in a pod of Argo"])
    said, labels = _said(env.get(ASKED, "")), _labels(env)
    spec, artifacts = _declared(said)
    flow = next((labels[name] for name in _TEMPLATE if labels.get(name)), workflow.name)
    if WORKFLOW_PARAMETERS in artifacts:
        raise Faults("the artifacts", [f"the name {WORKFLOW_PARAMETERS} is taken: choose another"])
    typed = {name: _typed(value) for name, value in artifacts.items()}
    plain = {name: value for name, value in typed.items() if comparable(name, value)}
    subject = Subject(flow, said["gate"], settings.environment, settings.labels, plain)
    return Draft(
        gate=_gate(workflow, said),
        message=spec.message,
        policy=spec.policy,
        artifacts=ordered(
            [
                *(artifact(name, value) for name, value in artifacts.items()),
                *_of_workflow(said.get("workflow-parameters", "")),
            ]
        ),
        schema=spec.schema,
        facts=started_by(
            next((labels[name] for name in _CREATOR if labels.get(name)), None),
            Source.CREATOR_LABEL,
        ),
        links=run_links(settings, env.get(NODE, "")),
        subject=subject,
        declared=spec.declared,
        workflow=workflow,
        kind=kind_of(
            subject, spec.compare, splits=() if spec.compare.name else _splits_of(said[PLACE])
        ),
    )


def _typed(value: Any) -> Any:
    """In Argo every parameter is text, and a policy compares numbers."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
    return found if isinstance(found, int | float) else value


def _labels(env: Mapping[str, str]) -> dict[str, str]:
    try:
        found = json.loads(env.get(LABELLED) or "{}")
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _said(text: str) -> dict[str, str]:
    try:
        words = dict(word.split("=", 1) for word in text.split())
        said = {name: base64.b64decode(value, validate=True) for name, value in words.items()}
        found = {name: value.decode() for name, value in said.items()}
    except (ValueError, binascii.Error):
        raise Faults("the environment", [f"{ASKED} cannot be read"]) from None
    if found.get("gate") == "" and not found.get(PLACE):
        raise Faults(
            "the gate",
            ["this template was started past its gate: start the workflow at its entrypoint"],
        )
    missing = [name for name in ("gate", PLACE, "message") if not found.get(name)]
    if missing:
        raise Faults("the environment", [f"{ASKED} lacks {', '.join(missing)}"])
    return found


def _gate(workflow: Workflow, said: Mapping[str, str]) -> Gate:
    """One for each node of the template around it: a fan-out or a loop has several of one name."""
    return Gate(f"argo#{workflow.uid}", f"{workflow.namespace}/{said[PLACE]}/{said['gate']}")


def _splits_of(place: str) -> Iterator[str]:
    """The items of the loops around the gate: Argo names a node `train(0:oak)` by its item."""
    for index, item in re.findall(r"\((\d+):(?:([^()]*)\))?", place):
        told = comparable("item", item) and item.strip() and not item.startswith("#")
        yield item if told else f"#{index}"


def _of_workflow(text: str) -> Iterator[Artifact]:
    """The parameters of the workflow as one artifact: their digest alone, as some may be secret.

    Raises `Faults` if a name hides another: Argo reads `a.b` as a part of `a`, and drops `a`.
    """
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise Faults(
            "the parameters of the workflow",
            ["they cannot be bound: a name with a dot in it hides another"],
        )
    own = len(found.keys() - {"json"})
    if own:
        kind = f"{own} parameter{'s' if own > 1 else ''}"
        yield Artifact(WORKFLOW_PARAMETERS, kind, artifact(WORKFLOW_PARAMETERS, found).digest)


def _declared(said: Mapping[str, str]) -> tuple[GateSpec, dict[str, Any]]:
    """The gate and its artifacts. An empty parameter says nothing. Raises `Faults`."""
    faults: list[str] = []
    given: dict[str, Any] = {key: said[key] for key in FORM.keys if said.get(key)}
    named = said.get("approvers", "")  # an empty text names nobody; a list of blanks is a fault
    given["approvers"] = named and [each for each in named.split(",") if each.strip()]
    given["input"] = _object(said, "input", faults)
    single = {
        name.removeprefix(ARTIFACT): value
        for name, value in said.items()
        if name.startswith(ARTIFACT)
    }
    artifacts = single | _object(said, "artifacts", faults)
    asks = f"May {said['gate']} run?"
    return read(given, FORM, "the parameters", asks=asks, besides=faults), artifacts


def _object(said: Mapping[str, str], name: str, faults: list[str]) -> dict[str, Any]:
    try:
        value = json.loads(said.get(name) or "{}")
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    faults.append(f"`{name}` is not a JSON object")
    return {}


if __name__ == "__main__":
    sys.exit(main())
