"""Argo Server, over HTTP: the way to workflows whose nodes Kubernetes does not hold.

https://argo-workflows.readthedocs.io/en/latest/rest-api/ . Its account needs `get` and `update` on
`workflows.argoproj.io`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import requests

from bridge.argo.inject import GATE
from bridge.argo.nodes import outputs
from bridge.core.delivery import Move, Workflow
from bridge.core.errors import ClusterUnavailable

Json = dict[str, Any]

_SECONDS: Final = 20
#: What it answers, with a code of gRPC, both where the node moved already and where there is none.
_TAKEN: Final = 500
_MEANINGS: Final = {
    401: "refuses the token: give a good one in HITL_ARGO_TOKEN",
    403: "does not let this token do that: its account needs get and update on workflows",
}


class ArgoServer:
    """The `Cluster` port. Raises `ClusterUnavailable` throughout."""

    def __init__(self, url: str, token: str | None, name: str = "") -> None:
        self.name = name
        self._url = url.rstrip("/")
        self._token = (token or "").removeprefix("Bearer ")

    def workflow(self, named: Workflow) -> Json | None:
        """With all its nodes, wherever Argo keeps them."""
        answer = self._asked("GET", _path(named))
        return None if answer.status_code == 404 else self._object(answer)

    def move(self, named: Workflow, seen: Mapping[str, Any], move: Move) -> bool:
        wanted = {
            "namespace": named.namespace,
            # A run made later under the same name has a node of the same id, and another gate.
            "nodeFieldSelector": f"id={move.node},inputs.parameters.{GATE}.value={move.gate}",
            "phase": move.phase,
            "message": move.message,
        }
        if any(each.name == "decision" for each in outputs(seen, move.node)):
            wanted["outputParameters"] = json.dumps({"decision": str(move.decision)})
        answer = self._asked("PUT", f"{_path(named)}/set", wanted)
        if answer.status_code in (404, _TAKEN):
            return False  # which of the two it is, the next look at the workflow tells
        self._object(answer)
        return True

    def _asked(self, method: str, path: str, body: Json | None = None) -> requests.Response:
        try:
            answer = requests.request(
                method,
                self._url + path,
                json=body,
                headers={"Authorization": f"Bearer {self._token}"} if self._token else {},
                timeout=_SECONDS,
                allow_redirects=False,  # the token is for this server alone
            )
        except requests.RequestException as error:
            raise ClusterUnavailable(
                f"Argo Server cannot be reached at {self._url} ({type(error).__name__}): check"
                " HITL_ARGO_SERVER and the network"
            ) from None
        known = answer.status_code in (200, 404) or (
            answer.status_code == _TAKEN and method == "PUT"
        )
        if not known:
            says = _MEANINGS.get(answer.status_code, f"answered {answer.status_code}")
            raise ClusterUnavailable(f"Argo Server at {self._url} {says}")
        return answer

    def _object(self, answer: requests.Response) -> Json:
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict) or "metadata" not in found:
            raise ClusterUnavailable(
                f"what answers at {self._url} is no Argo Server: check HITL_ARGO_SERVER"
            )
        return found


def _path(named: Workflow) -> str:
    return f"/api/v1/workflows/{quote(named.namespace, safe='')}/{quote(named.name, safe='')}"
