"""Addresses in Argo's own user interface."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, urlencode

from bridge.argo.inject import notify_name, suspend_name
from bridge.core.model import Link
from bridge.core.settings import Settings

#: A try of a node with retries, at the end of its name.
_TRY: Final = re.compile(r"\(\d+\)$")
_NOTIFY: Final = re.compile(
    rf"(?P<owner>.*?)(?:\[(?P<group>\d+)\])?\.{notify_name('')}(?P<gate>[^.\[\]()]+)"
)


def run_links(settings: Settings, notify: str = "") -> tuple[Link, ...]:
    """To the workflow that asks, at the node that will wait; none if the address is not known.

    `notify` is the full name of the node before it.
    """
    base, workflow = settings.argo_ui_url, settings.workflow
    if not (base and workflow):
        return ()
    query = {"tab": "workflow", "uid": workflow.uid}
    waits = _suspended(notify)
    if waits:
        query["nodeId"] = node_id(workflow.name, waits)
    place = f"{quote(workflow.namespace, safe='')}/{quote(workflow.name, safe='')}"
    url = f"{base.rstrip('/')}/workflows/{place}?{urlencode(query)}"
    return (Link("the workflow in Argo", url),)


def _suspended(notify: str) -> str | None:
    """The full name of the node that waits: beside notify in a DAG, a group behind it in steps."""
    found = _NOTIFY.fullmatch(_TRY.sub("", notify))
    if found is None:
        return None
    group = "" if found["group"] is None else f"[{int(found['group']) + 1}]"
    return f"{found['owner']}{group}.{suspend_name(found['gate'])}"


def node_id(workflow: str, name: str) -> str:
    """As Argo makes it: FNV-1a of the full name, in 32 bits.

    https://github.com/argoproj/argo-workflows/blob/v4.1.2/pkg/apis/workflow/v1alpha1/workflow_types.go
    """
    if name == workflow:
        return workflow
    value = 0x811C9DC5
    for byte in name.encode():
        value = ((value ^ byte) * 0x01000193) % 2**32
    return f"{workflow}-{value}"
