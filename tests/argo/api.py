"""A Kubernetes API on 127.0.0.1 that holds workflows: get, list, watch and patch, counted.

What it refuses it refuses in the words of the real one, as far as the recordings have them. Whether
a client may do what it does, it does not ask.
"""

from __future__ import annotations

import copy
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jsonpatch import JsonPatchException, apply_patch
from jsonpointer import JsonPointerException

from tests.argo.controller import Controller

Json = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"

_PATH = re.compile(
    r"/apis/argoproj\.io/v1alpha1(?:/namespaces/(?P<space>[^/]+))?/workflows(?:/(?P<name>[^/]+))?"
)


#: Argo Server, at the same address.
_SERVER_PATH = re.compile(r"/api/v1/workflows/([^/]+)/([^/]+)(/set)?")
SERVER_TOKEN = "the-token-of-argo-server"  # noqa: S105 - nobody's


class Refused(Exception):
    def __init__(self, code: int, reason: str, message: str, **details: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": details,
            "code": code,
        }


def _unfit() -> Refused:
    said = "the server rejected our request due to an error in our request"
    return Refused(422, "Invalid", said)


@dataclass
class Cluster:
    """The workflows, by namespace and name. `requests` are those of clients, in their order."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    _held: dict[tuple[str, str], Json] = field(default_factory=dict)
    _events: list[tuple[int, str, Json]] = field(default_factory=list)
    version: int = 0  # of what was written last
    _oldest: int = 0  # the first version that is still kept
    _closing: bool = False
    _news: threading.Condition = field(default_factory=lambda: threading.Condition())

    # -- what a test does --------------------------------------------------------------------

    def kubeconfig(self, folder: Path) -> Path:
        """A file for KUBECONFIG."""
        names = {"cluster": "here", "user": "someone"}
        made = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": names}],
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "someone", "user": {"token": "t"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(made))
        return path

    def submit(self, workflow: Json) -> None:
        """The object itself is kept: its controller goes on writing in it."""
        with self._news:
            self._held[self._key(workflow)] = workflow
            self._changed("ADDED", workflow)

    def delete(self, workflow: Json) -> None:
        with self._news:
            self._changed("DELETED", self._held.pop(self._key(workflow)))

    def settle(self, controller: Controller) -> None:
        """Until nothing of this workflow moves by itself; clients may read and patch meanwhile."""
        while self.step(controller) or controller.pods:
            controller.rest()

    def step(self, controller: Controller) -> bool:
        """One pass of the controller: no client sees half of it."""
        with self._news:
            moved = controller.step()
            if moved:
                self._changed("MODIFIED", controller.workflow)
            return moved

    def close(self) -> None:
        with self._news:
            self._closing = True
            self._news.notify_all()

    def _changed(self, kind: str, workflow: Json) -> None:
        self.version += 1
        workflow["metadata"]["resourceVersion"] = str(self.version)
        self._events.append((self.version, kind, copy.deepcopy(workflow)))
        self._news.notify_all()

    @staticmethod
    def _key(workflow: Json) -> tuple[str, str]:
        return workflow["metadata"]["namespace"], workflow["metadata"]["name"]

    # -- what a client does ------------------------------------------------------------------

    def get(self, space: str, name: str) -> Json:
        with self._news:
            return copy.deepcopy(self._found(space, name))

    def _found(self, space: str, name: str) -> Json:
        if (space, name) in self._held:
            return self._held[space, name]
        said = f'workflows.argoproj.io "{name}" not found'
        raise Refused(404, "NotFound", said, name=name, group="argoproj.io", kind="workflows")

    def listing(self, space: str | None, label: str, limit: int, after: str) -> Json:
        """A page of them; `after` is the last key of the page before."""
        with self._news:
            keys = sorted(
                key
                for key, each in self._held.items()
                if space in (None, key[0]) and _labelled(each, label) and "/".join(key) > after
            )
            page = keys[:limit] if limit else keys
            metadata = {"resourceVersion": str(self.version)}
            if len(page) < len(keys):
                metadata["continue"] = "/".join(page[-1])
            return {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "WorkflowList",
                "metadata": metadata,
                "items": [copy.deepcopy(self._held[key]) for key in page],
            }

    def forget(self) -> None:
        """As etcd does when it compacts: who listens from before this must list again."""
        with self._news:
            self._oldest = self.version + 1

    def watching(self, space: str | None, label: str, since: int, seconds: float) -> Iterator[Json]:
        if since + 1 < self._oldest:
            said = f"too old resource version: {since} ({self._oldest})"
            yield {"type": "ERROR", "object": Refused(410, "Expired", said).status}
            return
        ends = time.monotonic() + seconds
        while not self._closing:
            with self._news:
                new = [each for each in self._events if each[0] > since]
                left = ends - time.monotonic()
                if not new and (left <= 0 or not self._news.wait(left)):
                    return
            for version, kind, each in new:
                since = version
                if space not in (None, each["metadata"]["namespace"]):
                    continue
                if _labelled(each, label):
                    yield {"type": kind, "object": each}
                elif kind == "MODIFIED":  # as of one that was there until now
                    yield {"type": "DELETED", "object": each}

    def set(self, space: str, name: str, asked: Json) -> Json:
        """What Argo Server does on the same workflows."""
        with self._news:
            held = self._found(space, name)
            wanted = dict(each.split("=", 1) for each in asked["nodeFieldSelector"].split(","))
            found = [
                node
                for node in held["status"]["nodes"].values()
                if node["type"] == "Suspend"
                and node["phase"] == "Running"
                and wanted == {key: value for key, value in _fields(node).items() if key in wanted}
            ]
            if not found:
                said = "currently, set only targets suspend nodes: no suspend nodes matching"
                raise Refused(500, "", f"{said} nodeFieldSelector: {asked['nodeFieldSelector']}")
            for node in found:
                node |= {"phase": asked["phase"], "message": asked["message"]}
                given = json.loads(asked.get("outputParameters", "{}"))
                for each in (node.get("outputs") or {}).get("parameters") or ():
                    each["value"] = given.get(each["name"])
                    each.pop("valueFrom", None)
            self._changed("MODIFIED", held)
            return copy.deepcopy(held)

    def patch(self, space: str, name: str, how: str, patch: Any) -> Json:
        """JSON Patch or merge patch, all of it or nothing."""
        with self._news:
            held = self._found(space, name)
            after = _patched(held, how, patch)
            before = held["metadata"]
            if after["metadata"].get("resourceVersion") != before["resourceVersion"]:
                raise Refused(
                    409,
                    "Conflict",
                    f'Operation cannot be fulfilled on workflows.argoproj.io "{name}": the object'
                    " has been modified; please apply your changes to the latest version and try"
                    " again",
                    name=name,
                    group="argoproj.io",
                    kind="workflows",
                )
            if after["metadata"].get("uid") != before["uid"]:
                raise _unfit()
            if after != held:
                held.clear()
                held.update(after)
                self._changed("MODIFIED", held)
            return copy.deepcopy(held)


def _fields(node: Json) -> dict[str, str]:
    given = (node.get("inputs") or {}).get("parameters") or ()
    own = {f"inputs.parameters.{each['name']}.value": each.get("value", "") for each in given}
    return {"id": node["id"], "phase": node["phase"], **own}


def _labelled(workflow: Json, selector: str) -> bool:
    labels = workflow["metadata"].get("labels") or {}
    for each in filter(None, selector.split(",")):
        key, _, value = each.partition("=")
        if key.endswith("!"):
            if labels.get(key[:-1]) == value:
                return False
        elif labels.get(key) != value.lstrip("="):
            return False
    return True


def _patched(held: Json, how: str, patch: Any) -> Json:
    if how == MERGE_PATCH and isinstance(patch, dict):
        merged: Json = _merged(held, patch)
        return merged
    if how != JSON_PATCH or not isinstance(patch, list):
        raise Refused(400, "BadRequest", "the patch is not of the kind that it says it is")
    try:
        after: Json = apply_patch(held, patch)
    except (JsonPatchException, JsonPointerException):  # a failed test is one of them
        raise _unfit() from None
    return after


def _merged(value: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    found = dict(value) if isinstance(value, dict) else {}
    for key, each in patch.items():
        if each is None:
            found.pop(key, None)
        else:
            found[key] = _merged(found.get(key), each)
    return copy.deepcopy(found)


# -- HTTP ----------------------------------------------------------------------------------------


@contextmanager
def serving() -> Iterator[Cluster]:
    cluster = Cluster()
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield cluster
    finally:
        cluster.close()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.serve()

    def do_PATCH(self) -> None:
        self.serve()

    def do_PUT(self) -> None:
        self.serve()

    def serve(self) -> None:
        self.cluster.requests.append(f"{self.command} {self.path}")
        try:
            self.answer()
        except Refused as refused:
            self.reply(refused.code, refused.status)

    def answer(self) -> None:
        parts = urlsplit(self.path)
        through_server = _SERVER_PATH.fullmatch(parts.path)
        if through_server:
            if self.headers.get("Authorization") != f"Bearer {SERVER_TOKEN}":
                raise Refused(401, "", "token not valid")
            self.reply(200, self.through_server(*through_server.groups()))
            return
        asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
        found = _PATH.fullmatch(parts.path)
        if not found:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        space, name = found["space"], found["name"]
        if self.command == "PATCH":
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            how = self.headers["Content-Type"]
            self.reply(200, self.cluster.patch(space, name, how, body))
        elif name:
            self.reply(200, self.cluster.get(space, name))
        elif asked.get("watch", "").lower() in ("1", "true"):
            self.stream(space, asked)
        else:
            label, limit = asked.get("labelSelector", ""), int(asked.get("limit", 0))
            page = self.cluster.listing(space, label, limit, asked.get("continue", ""))
            self.reply(200, page)

    def through_server(self, space: str, name: str, verb: str | None) -> Json:
        if self.command != "PUT":
            return self.cluster.get(space, name)
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return self.cluster.set(space, name, asked)

    def stream(self, space: str | None, asked: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        since, seconds = (
            int(asked.get("resourceVersion") or 0),
            float(asked.get("timeoutSeconds", 60)),
        )
        label = asked.get("labelSelector", "")
        try:
            for event in self.cluster.watching(space, label, since, seconds):
                self.wfile.write(json.dumps(event).encode() + b"\n")
                self.wfile.flush()
        except OSError:
            return  # whoever watched has left

    def reply(self, code: int, body: Json) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
