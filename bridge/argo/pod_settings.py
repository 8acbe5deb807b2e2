"""Pods: what those of a gate are given besides what their own step has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.core.errors import Faults
from bridge.core.remote_url import names_path, part_secret
from bridge.core.settings import (
    API_URL,
    APP_ID,
    APP_KEY,
    ARGO_UI_URL,
    BRING,
    CACHE,
    CLUSTER,
    ENVIRONMENT,
    GRAPHQL_URL,
    KEYS,
    LABELS,
    LEDGER,
    LOG,
    OPENER_SECRET,
    READER_SECRET,
    SERVER_URL,
    SWITCH,
    TOKENS,
    VOICES,
    WORKFLOW,
    faults_of_cluster,
    forge_of,
    is_on_github,
    keys_of,
    stripped,
)

#: What a deployer's pods get besides: nothing here is secret.
_PASSED_ON = (ENVIRONMENT, LABELS, CLUSTER, ARGO_UI_URL, LOG)
_OF_FORGE = (API_URL, GRAPHQL_URL, SERVER_URL, VOICES)

_SECRET_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Pods:
    """What the pods of a gate are given besides what the step itself has.

    Secrets go by reference alone: `opener` and `reader` are names of Kubernetes Secrets, whose keys
    become variables of the notify pod and of the pod that verifies.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    opener: str | None = None
    reader: str | None = None
    image: str = ""  # of the pods that have no step of their own to take it from: it has the bridge

    def given(self, container: dict[str, Any], secret: str | None) -> dict[str, Any]:
        """The container with the variables, and with the secret of its role."""
        own = [{"name": name, "value": value} for name, value in self.env.items()]
        env = [*(container.get("env") or ()), *own]
        sources = list(container.get("envFrom") or ())
        if secret:
            sources.append({"secretRef": {"name": secret}})
        return {**container, "env": env, "envFrom": sources}


def pods_from_environment(env: Mapping[str, str]) -> Pods:
    """What the pods of a workflow are given, from the environment of the deployer.

    Raises `Faults` naming every variable that is wrong.
    """
    env = stripped(env)
    ledger = env.get(LEDGER, "")
    opener, reader = env.get(OPENER_SECRET) or None, env.get(READER_SECRET) or None
    faults = [
        f"{name} is not the name of a Kubernetes Secret"
        for name, value in ((OPENER_SECRET, opener), (READER_SECRET, reader))
        if value and not _SECRET_NAME.fullmatch(value)
    ]
    faults += _of_forge(env, opener)
    faults += faults_of_cluster(env.get(CLUSTER, ""))
    try:
        keys_of(env)
    except Faults as found:
        faults += found.faults
    secret = bool(ledger) and bool(part_secret(ledger)[1])
    if not ledger or names_path(ledger):
        faults.append(
            f"{LEDGER} must be the URL of a git repository that pods can reach: it is"
            f" {'a path of this machine' if ledger else 'not set'}"
        )
    elif secret and not (opener and reader):
        faults.append(
            f"{LEDGER} contains a credential, which must not be in a workflow: put the whole URL"
            f" into Kubernetes Secrets under the key {LEDGER}, and name these with {OPENER_SECRET}"
            f" and {READER_SECRET}"
        )
    if faults:
        raise Faults("the environment", faults)
    told = passed_on(env)
    if not secret:  # of a variable and a Secret's key of one name, the pod sees the variable
        told[LEDGER] = ledger
    place = "{{workflow.namespace}}/{{workflow.name}}/{{workflow.uid}}"
    return Pods({**told, WORKFLOW: place, CACHE: "/tmp/hitl"}, opener, reader)  # noqa: S108


def _of_forge(env: Mapping[str, str], opener: str | None) -> Iterator[str]:
    try:
        github = forge_of(env)
    except Faults as found:
        yield from found.faults
        return
    if github and not opener:
        yield (
            f"{OPENER_SECRET} is not set: gates on {github.name} are opened with a credential, so"
            f" put {APP_ID} and {APP_KEY}, or {TOKENS[0]}, into a Kubernetes Secret, and name it"
        )


def passed_on(env: Mapping[str, str]) -> dict[str, str]:
    """What the pod of a step gets from this environment besides the ledger's place."""
    names = _PASSED_ON + (_OF_FORGE if is_on_github(env) else ())
    told = {name: env[name] for name in names if env.get(name)}
    if keys := keys_of(env):
        told[KEYS] = "\n".join(each.line for each in keys)
    return told


def brings(env: Mapping[str, str]) -> bool:
    """Whether pods are brought what a gate needs; else their image has it."""
    return SWITCH.get(env.get(BRING, "1").lower(), True)
