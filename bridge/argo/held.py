"""What a run holds while its gates wait: no pod of the gate, and yet not nothing.

https://argo-workflows.readthedocs.io/en/latest/synchronization/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bridge.argo.inject import Post, enclosing, name_of, spec_of

_IS_CRON: Final = "CronWorkflow"
_CRON: Final = {
    "Forbid": "the schedule skips its runs for as long as a gate waits",
    "Replace": "the schedule's next run ends the one whose gate waits",
}


def held(manifest: Mapping[str, Any], posts: Sequence[Post]) -> Iterator[str]:
    """What these gates make others wait for, or cost, as warnings."""
    if posts:
        yield from (f"{name_of(manifest)}: {each}" for each in _held(manifest, posts))


def _held(manifest: Mapping[str, Any], posts: Sequence[Post]) -> Iterator[str]:
    spec = spec_of(manifest)
    if spec.get("synchronization"):
        yield (
            "the workflow keeps its lock (`synchronization`) while a gate waits, and other runs"
            " wait for it. Put the lock on the templates that need it"
        )
    if (spec.get("templateDefaults") or {}).get("synchronization"):
        yield (
            "`templateDefaults` gives a lock (`synchronization`) to every template, also to the"
            " node that waits, which keeps it. Put the lock on the templates that need it"
        )
    around = enclosing(spec, {post.owner for post in posts})
    for template in spec["templates"]:
        if template["name"] in around and template.get("synchronization"):
            yield (
                f"the template {template['name']} keeps its lock (`synchronization`) while the gate"
                " in it waits. Put the lock on the templates that need it"
            )
        if template.get("daemon"):
            yield (
                f"the daemon {template['name']} keeps its pod if a gate waits in the template that"
                " started it. Start it after the gate"
            )
    if spec.get("volumeClaimTemplates"):
        yield (
            "the workflow keeps its volumes (`volumeClaimTemplates`) while a gate waits. Hand on"
            " artifacts instead, if the storage is scarce"
        )
    policy = manifest["spec"].get("concurrencyPolicy") if manifest.get("kind") == _IS_CRON else None
    if policy in _CRON:
        yield f"with `concurrencyPolicy: {policy}`, {_CRON[policy]}"
