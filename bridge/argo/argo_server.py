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
from urllib3.exceptions import HTTPError

from bridge.argo.inject import GATE
from bridge.argo.nodes import outputs
from bridge.core import whole_answer
from bridge.core.delivery import Move, Workflow
from bridge.core.errors import ClusterUnavailable

Json = dict[str, Any]

_SECONDS: Final = 20
#: What it answers, with a code of gRPC, both if the node moved already and if there is none.
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
        status, body = self._asked("GET", _path(named))
        return None if status == 404 else self._object(body)

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
        status, body = self._asked("PUT", f"{_path(named)}/set", wanted)
        if status in (404, _TAKEN):
            return False  # the next look at the workflow shows which of the two it is
        self._object(body)
        return True

    def _asked(self, method: str, path: str, given: Json | None = None) -> tuple[int, bytes]:
        """The answer's status and body."""

        def answer() -> tuple[int, bytes]:
            with requests.request(
                method,
                self._url + path,
                json=given,
                headers={"Authorization": f"Bearer {self._token}"} if self._token else {},
                timeout=_SECONDS,
                stream=True,
                allow_redirects=False,  # the token is for this server alone
            ) as reply:
                return reply.status_code, whole_answer.body_of(reply)

        try:
            status, body = whole_answer.within(whole_answer.SECONDS, answer)
        except whole_answer.Endless as error:
            raise ClusterUnavailable(
                f"Argo Server at {self._url} is given up: {error}; check what answers there"
            ) from None
        except (requests.RequestException, HTTPError, OSError) as error:
            raise ClusterUnavailable(
                f"Argo Server cannot be reached at {self._url} ({type(error).__name__}): check"
                " HITL_ARGO_SERVER and the network"
            ) from None
        known = status in (200, 404) or (status == _TAKEN and method == "PUT")
        if not known:
            says = _MEANINGS.get(status, f"answered {status}")
            raise ClusterUnavailable(f"Argo Server at {self._url} {says}")
        return status, body

    def _object(self, body: bytes) -> Json:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or "metadata" not in found:
            raise ClusterUnavailable(
                f"what answers at {self._url} is no Argo Server: check HITL_ARGO_SERVER"
            )
        return found


def _path(named: Workflow) -> str:
    return f"/api/v1/workflows/{quote(named.namespace, safe='')}/{quote(named.name, safe='')}"
