"""Kubernetes, through its Python client: workflow objects read and patched.

Whoever is named by KUBECONFIG, or the pod's own service account, needs `get` and `patch` on
`workflows.argoproj.io`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.argo import patch_of
from bridge.errors import ClusterUnavailable
from bridge.model import Move, Workflow

Json = dict[str, Any]

_GROUP, _VERSION, _PLURAL = "argoproj.io", "v1alpha1", "workflows"
#: A failed `test` of a JSON Patch, and a stale `resourceVersion`: somebody wrote first.
_WRITTEN_MEANWHILE = (409, 422)
_SECONDS = 20


class Kubernetes:
    """The `Cluster` port. Raises `ClusterUnavailable` throughout.

    `config_file` is what KUBECONFIG names; None: the person's own file, else the pod's account.
    """

    def __init__(self, config_file: str | None) -> None:
        try:
            from kubernetes import client, config
        except ImportError:
            raise ClusterUnavailable(
                "the package kubernetes is not installed: pip install 'approval-bridge[argo]'"
            ) from None
        try:
            # The client reads KUBECONFIG once, as it is imported: so it is told.
            told = {"config_file": config_file} if config_file else {}
            config.load_config(**told)  # type: ignore[no-untyped-call]
        except config.ConfigException:
            raise ClusterUnavailable(
                "no cluster is configured: set KUBECONFIG, or run this in a pod of the cluster"
            ) from None
        self._api = client.CustomObjectsApi()

    def workflow(self, named: Workflow) -> Json | None:
        return self._asked(named, None)

    def move(self, named: Workflow, seen: Mapping[str, Any], move: Move) -> bool:
        return self._asked(named, patch_of(seen, move)) is not None

    def _asked(self, named: Workflow, patch: list[Json] | Json | None) -> Json | None:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        where = (_GROUP, _VERSION, named.namespace, _PLURAL, named.name)
        # Untold, the client sends a list as a merge patch, which the API refuses.
        kind = "json-patch+json" if isinstance(patch, list) else "merge-patch+json"
        try:
            if patch is None:
                return _object(
                    self._api.get_namespaced_custom_object(*where, _request_timeout=_SECONDS)
                )
            return _object(
                self._api.patch_namespaced_custom_object(
                    *where, patch, _content_type=f"application/{kind}", _request_timeout=_SECONDS
                )
            )
        except ApiException as error:
            if error.status == 404 or (patch is not None and error.status in _WRITTEN_MEANWHILE):
                return None
            raise ClusterUnavailable(
                f"Kubernetes refuses {'patch' if patch else 'get'} of the workflow"
                f" {named.namespace}/{named.name}: {error.status} {error.reason}"
            ) from None
        except (HTTPError, OSError):
            raise ClusterUnavailable(
                "Kubernetes cannot be reached: check KUBECONFIG and the network"
            ) from None


def _object(found: object) -> Json:
    if not isinstance(found, dict):
        raise ClusterUnavailable("Kubernetes answered something that is no workflow")
    return found
