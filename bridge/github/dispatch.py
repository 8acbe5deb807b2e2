"""The repository dispatch that starts the run which a GitHub Actions job asked an approval for."""

from __future__ import annotations

from typing import Final

from bridge.core.errors import GateShut
from bridge.core.model import ApprovalRequest, Standing
from bridge.gates.ports import Forge
from bridge.policy.checks import commit_of

#: The event that an approval sends, with the gate's name after it.
EVENT: Final = "approved-"


def origin_of(repository_url: str) -> str:
    """Where the gates of a repository's own runs live: no other gate has this origin."""
    return f"{repository_url}/actions"


class Dispatch:
    """The `Engine` port for the gates that jobs of this repository asked; others are left alone."""

    def __init__(self, forge: Forge, server_url: str) -> None:
        self._forge = forge
        self._server_url = server_url

    def resume(self, standing: Standing) -> bool:
        request = standing.request
        # The name that the repository had when the gate was opened; it may be another one now.
        if request.gate.origin != origin_of(f"{self._server_url}/{request.venue.repository}"):
            return False
        workflow, run, name = request.gate.key.split("/", 2)
        told = {"gate": request.gate.id, "workflow": workflow, "run": run}
        self._forge.send(EVENT + name, {**told, "commit": approved_commit(request)})
        return True


def approved_commit(request: ApprovalRequest) -> str:
    """The commit that the asking run was of. Raises `GateShut` if it names none."""
    said = commit_of(request)
    if said is None:
        raise GateShut(f"{request.gate.key} does not run: its request names no commit")
    return said
