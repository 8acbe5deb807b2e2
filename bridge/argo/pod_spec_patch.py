"""What a `podSpecPatch` does to the init containers of a pod, of which one checks the gate.

Argo merges the patch into the finished pod, so it comes after everything that a template says:
https://github.com/argoproj/argo-workflows/blob/v4.1.2/workflow/controller/workflowpod.go
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.core.errors import LedgerCorrupt
from bridge.core.sanitize import shortened
from bridge.core.yaml_text import load

#: What a patch may set of an init container: nothing that changes what it runs, or whether it ends.
_HARMLESS: Final = {"name", "resources", "imagePullPolicy"}

_INIT_CONTAINERS: Final = "initContainers"


def fault_of(patch: object) -> str | None:
    """Why the check of a gate cannot rely on a pod with this patch; None if it can."""
    if not patch:
        return None
    if not isinstance(patch, str):
        return "that is not text"
    if "{{" in patch:
        # A parameter could write init containers of its own over ours.
        return "with a `{{…}}`, and what is filled in there could replace the check"
    try:
        found = load(patch, "it")
    except LedgerCorrupt as error:
        return f"that cannot be read with certainty ({error})"
    for key, value in found.items():
        said = _fault_of_key(key, value)
        if said:
            return said
    return None


def _fault_of_key(key: object, value: Any) -> str | None:
    if key == _INIT_CONTAINERS:
        return _fault_of_containers(value)
    # Kubernetes reads a patch without regard to letter case, and `$patch: replace` as an order.
    # https://github.com/kubernetes/apimachinery/blob/master/third_party/forked/golang/json/fields.go
    if str(key).casefold() == _INIT_CONTAINERS.casefold():
        return f"with the key {shortened(str(key), 80)}: write it {_INIT_CONTAINERS}"
    if str(key).startswith("$"):
        return f"with {shortened(str(key), 80)}, which could take the check out of the pod"
    return None


def _fault_of_containers(containers: object) -> str | None:
    if not isinstance(containers, list) or not all(isinstance(e, Mapping) for e in containers):
        return f"whose {_INIT_CONTAINERS} is not a list, which takes the check out of the pod"
    more = ", ".join(sorted({str(key) for each in containers for key in each} - _HARMLESS))
    if more:
        return (
            f"that sets {shortened(more, 80)} of an init container, which could replace the check"
            f" or run before it: a patch may set {', '.join(sorted(_HARMLESS - {'name'}))} there,"
            " and your own init containers belong in the template"
        )
    return None
