"""Kubernetes, through its Python client: workflow objects read and patched.

The account that KUBECONFIG names, or the pod's own service account, needs `get` and `patch` on
`workflows.argoproj.io`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from bridge.argo.admission import Admission, admission
from bridge.argo.inject import LABEL
from bridge.argo.nodes import patch_of
from bridge.core import whole_answer
from bridge.core.delivery import Move, Workflow
from bridge.core.errors import ClusterUnavailable, TooOld

Json = dict[str, Any]
T = TypeVar("T")

_GROUP, _VERSION, _PLURAL = "argoproj.io", "v1alpha1", "workflows"
#: A failed `test` of a JSON Patch, and a stale `resourceVersion`: somebody wrote first.
_WRITTEN_MEANWHILE = (409, 422)
_SECONDS = 20
_GONE = 410
_PAGE = 500
#: Among so many running workflows with gates the doctor looks for one that waits.
_TRIED_ON = 50
#: Go parses JSON of 10,000 levels, and no more: https://pkg.go.dev/encoding/json
_DEEPEST = 11_000
#: Of a run that ended, the controller says so by a label: then the watch reports it as deleted.
_SELECTOR = f"{LABEL}=true,workflows.argoproj.io/completed!=true"


#: Where Argo's controller looks by default:
#: https://argo-workflows.readthedocs.io/en/latest/workflow-controller-configmap/
_CONFIGURATION: Final = "workflow-controller-configmap"

#: What each way of delivering asks of an account, of workflows in their namespace.
PUSH: Final = ("get", "patch")
PULL: Final = (*PUSH, "list", "watch")
#: Argo Server writes with the token of the account that asks.
SERVER: Final = ("get", "update")
#: What no deliverer needs, as verb and resource.
NEEDLESS: Final = (
    ("create", "workflows"),
    ("delete", "workflows"),
    ("get", "secrets"),
    ("create", "pods"),
)


@dataclass(frozen=True, slots=True)
class ClusterSurvey:
    """What an account sees of a cluster. `controller` is its image; None: it may not see it."""

    namespace: str
    has_workflows: bool  # whether the API knows that resource type
    may: Mapping[tuple[str, str], bool]  # by verb and resource, in the namespace
    controller: str | None
    admission: Admission
    configuration: Mapping[str, str] | None = None  # of the controller; None: it may not see it


class Kubernetes:
    """The `Cluster` port. Raises `ClusterUnavailable` throughout.

    `config_file` is what KUBECONFIG names; None: the person's own file, else the pod's account.
    Runs are listed in `namespace`; None: in all of them.
    """

    def __init__(
        self, config_file: str | None, namespace: str | None = None, name: str = ""
    ) -> None:
        try:
            from kubernetes import client, config
        except ImportError:
            raise ClusterUnavailable(
                "the package kubernetes is not installed: pip install kubernetes"
            ) from None
        try:
            # The client reads KUBECONFIG once, as it is imported: so it is passed on.
            told = {"config_file": config_file} if config_file else {}
            # Without a file it prints where it looked. The sentence below says what to do.
            with redirect_stdout(None):
                config.load_config(**told)  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 - the client parses a file that somebody wrote
            if config_file or not isinstance(error, config.ConfigException):
                raise ClusterUnavailable(
                    f"{config_file or 'your kubeconfig'} configures no cluster"
                    f" ({type(error).__name__}): KUBECONFIG must name a kubeconfig file that"
                    " `kubectl config view` can read"
                ) from None
            raise ClusterUnavailable(
                "no cluster is configured: set KUBECONFIG, or run this in a pod of the cluster"
            ) from None
        # The client parses a whole list at once, and the API server takes objects that are nested
        # this deep: one of them must not stop the others.
        sys.setrecursionlimit(max(sys.getrecursionlimit(), _DEEPEST))
        self._api = client.CustomObjectsApi()
        self.namespace = namespace
        self.name = name

    def workflow(self, named: Workflow) -> Json | None:
        return self._asked(named, None)

    def move(self, named: Workflow, seen: Mapping[str, Any], move: Move) -> bool:
        return self._asked(named, patch_of(seen, move)) is not None

    def gated(self) -> Iterator[tuple[str, list[Json]]]:
        after = ""
        while True:
            how: dict[str, Any] = {"_continue": after} if after else {}
            with _told("list", "workflows"):
                page = _object(self._list(limit=_PAGE, **how))
            own = page["metadata"]
            yield own["resourceVersion"], page["items"]
            after = own.get("continue") or ""
            if not after:
                return

    def changes(self, since: str, seconds: int) -> Iterator[tuple[str, Json]]:
        from kubernetes import watch

        listing, *where = self._listing()
        stream: Any = watch.Watch  # it says nothing of its types
        until = time.monotonic() + seconds + whole_answer.SECONDS
        with _told("watch", "workflows"):
            events = stream().stream(
                listing,
                *where,
                resource_version=since,
                allow_watch_bookmarks=True,
                timeout_seconds=seconds,
                **_wanted(seconds),
            )
            # A server may end no watch, or no event.
            while event := _within(until, lambda: next(events, None)):
                yield event["type"], event["raw_object"]

    def survey(self, namespace: str) -> ClusterSurvey:
        """What this account sees and may."""
        from kubernetes import client

        asked = [*((verb, _PLURAL) for verb in (*PULL, *SERVER)), *NEEDLESS]
        may = {}
        reviews: Any = client.AuthorizationV1Api()
        with _told("review", "its own access"):
            for verb, resource in asked:
                group = _GROUP if resource == _PLURAL else ""
                wanted = {
                    "namespace": namespace,
                    "verb": verb,
                    "resource": resource,
                    "group": group,
                }
                answer = reviews.create_self_subject_access_review(
                    {"spec": {"resourceAttributes": wanted}}, _request_timeout=_SECONDS
                )
                may[verb, resource] = bool(answer.status.allowed)
        has = self._has_workflows()
        tried = Admission()
        if has and may["list", _PLURAL] and may["patch", _PLURAL]:
            tried = self._admission(namespace)
        controller, configuration = self._controller(namespace), self._configuration(namespace)
        return ClusterSurvey(namespace, has, may, controller, tried, configuration)

    def _admission(self, namespace: str) -> Admission:
        from kubernetes.client import ApiException

        where = (_GROUP, _VERSION, namespace, _PLURAL)

        def tries(run: Json, patch: list[Json] | Json) -> bool | None:
            kind = "json-patch+json" if isinstance(patch, list) else "merge-patch+json"
            try:
                self._api.patch_namespaced_custom_object(
                    *where, run["metadata"]["name"], patch, dry_run="All",
                    _content_type=f"application/{kind}", _request_timeout=_SECONDS,
                )  # fmt: skip
            except ApiException as error:
                if error.status == 403:  # the account may patch, so an admission policy refuses
                    return False
                if error.status in (404, *_WRITTEN_MEANWHILE):
                    return None
                raise
            return True

        with _told("list", "workflows"):
            found = self._api.list_namespaced_custom_object(*where, limit=_TRIED_ON, **_wanted(0))
            return admission(_object(found)["items"], tries)

    def _has_workflows(self) -> bool:
        from kubernetes.client import ApiException

        with _told("tell", "which resources it has"):
            try:
                found = self._api.get_api_resources(_GROUP, _VERSION, _request_timeout=_SECONDS)
            except ApiException as error:
                if error.status == 404:
                    return False
                raise
        return any(each.name == _PLURAL for each in found.resources)

    def _controller(self, namespace: str) -> str | None:
        """Its image, if it runs beside the workflows and may be seen."""
        from kubernetes import client

        apps: Any = client.AppsV1Api()
        with _told("list", "deployments"):
            try:
                found = apps.list_namespaced_deployment(
                    namespace, label_selector="app=workflow-controller", _request_timeout=_SECONDS
                )
            except client.ApiException as error:
                if error.status == 403:
                    return None
                raise
        images = [each.spec.template.spec.containers[0].image for each in found.items]
        return images[0] if images else None

    def _configuration(self, namespace: str) -> Mapping[str, str] | None:
        """The controller's, if it is beside the workflows and may be seen."""
        from kubernetes import client

        core: Any = client.CoreV1Api()
        with _told("get", "the controller's configuration"):
            try:
                found = core.read_namespaced_config_map(
                    _CONFIGURATION, namespace, _request_timeout=_SECONDS
                )
            except client.ApiException as error:
                if error.status in (403, 404):
                    return None
                raise
        return dict(found.data or {})

    def _list(self, **how: Any) -> object:
        listing, *where = self._listing()
        return _whole(lambda: listing(*where, **how, **_wanted(0)))

    def _listing(self) -> tuple[Any, ...]:
        """The client's method, itself: by its own words the client knows what it answers."""
        if self.namespace is None:
            return self._api.list_cluster_custom_object, _GROUP, _VERSION, _PLURAL
        own = self._api.list_namespaced_custom_object
        return own, _GROUP, _VERSION, self.namespace, _PLURAL

    def _asked(self, named: Workflow, patch: list[Json] | Json | None) -> Json | None:
        from kubernetes.client import ApiException

        where = (_GROUP, _VERSION, named.namespace, _PLURAL, named.name)
        # Untold, the client sends a list as a merge patch, which the API refuses.
        kind = "json-patch+json" if isinstance(patch, list) else "merge-patch+json"
        with _told("patch" if patch else "get", f"the workflow {named.namespace}/{named.name}"):
            try:
                how: dict[str, Any] = {"_request_timeout": _SECONDS}
                if patch is None:
                    get = self._api.get_namespaced_custom_object
                    return _object(_whole(lambda: get(*where, **how)))
                how["_content_type"] = f"application/{kind}"
                send = self._api.patch_namespaced_custom_object
                return _object(_whole(lambda: send(*where, patch, **how)))
            except ApiException as error:
                if error.status == 404 or (patch and error.status in _WRITTEN_MEANWHILE):
                    return None
                raise


def _whole(action: Callable[[], object]) -> object:
    """What the action returns. The client's timeout is that of one read of the socket."""
    return whole_answer.within(whole_answer.SECONDS, action)


def _within(until: float, action: Callable[[], T]) -> T:
    return whole_answer.within(max(0.0, until - time.monotonic()), action)


def _wanted(seconds: int) -> dict[str, Any]:
    return {"label_selector": _SELECTOR, "_request_timeout": seconds + _SECONDS}


@contextmanager
def _told(doing: str, what: str) -> Iterator[None]:
    """What goes wrong in here, in one sentence."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        if error.status == _GONE and doing in ("list", "watch"):
            raise TooOld("the cluster keeps no more what was written since") from None
        raise ClusterUnavailable(
            f"Kubernetes refuses to {doing} {what}: {error.status} {error.reason}"
        ) from None
    except (ValueError, RecursionError):
        raise ClusterUnavailable("Kubernetes answered something that is not JSON") from None
    except (HTTPError, OSError):
        raise ClusterUnavailable(
            "Kubernetes cannot be reached: check KUBECONFIG and the network"
        ) from None


def _object(found: object) -> Json:
    if not isinstance(found, dict):
        raise ClusterUnavailable("Kubernetes answered something that is no workflow")
    return found
