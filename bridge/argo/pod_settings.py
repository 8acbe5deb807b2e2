"""Pods: what those of a gate are given besides what their own step has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.core.errors import BridgeError


@dataclass(frozen=True, slots=True)
class Pods:
    """What the pods of a gate are given besides what the step itself has.

    Secrets go by reference alone: `opener` and `reader` are names of Kubernetes Secrets, whose keys
    become variables of the notify pod and of the pod that verifies.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    opener: str | None = None
    reader: str | None = None
    image: str = "python:3.11"  # of the pods that have no step of their own to take it from
    setup: str = ""  # the shell command that brings the bridge to it, empty where it has it

    def given(self, container: dict[str, Any], secret: str | None) -> dict[str, Any]:
        """The container with the variables, and with the secret of its role."""
        own = [{"name": name, "value": value} for name, value in self.env.items()]
        env = [*(container.get("env") or ()), *own]
        sources = list(container.get("envFrom") or ())
        if secret:
            sources.append({"secretRef": {"name": secret}})
        return {**container, "env": env, "envFrom": sources}


def install() -> str:
    """Brings the bridge to an image that lacks it, at the version that is here."""
    from importlib.metadata import PackageNotFoundError, version  # 15 ms of each start

    try:
        wanted = f"approval-bridge=={version('approval-bridge')}"
    except PackageNotFoundError:
        raise BridgeError(
            "this bridge runs from a checkout, so pods cannot be told which version to install:"
            " name an image that has it, with --image and --no-setup"
        ) from None
    options = "-qqq --no-cache-dir --disable-pip-version-check"
    return f"python -c 'import bridge' 2>/dev/null || python -m pip install {options} {wanted}"
