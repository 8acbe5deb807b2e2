"""Artifacts as a person is shown them: type, size, a short value, what counts as a metric."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.model import Artifact


def summarise(name: str, value: Any, *, digest: str, size: int | None = None) -> Artifact:
    """The artifact with its value in short. Never raises."""
    metric = isinstance(value, int | float) and not isinstance(value, bool)
    shown = value if isinstance(value, int | float | str | bool) else None
    return Artifact(
        name,
        type(value).__name__,
        digest,
        size,
        None if shown is None else " ".join(str(shown).split())[:80],
        metric=metric,
    )


def unread(name: str, type_name: str, digest: str, size: int | None = None) -> Artifact:
    """The artifact by type and size alone, where it was not unpickled."""
    return Artifact(name, type_name, digest, size)


def worth_reading(type_name: str, size: int | None) -> bool:
    """Whether an artifact of this type and stored size (bytes) is worth unpickling to show."""
    return size is not None and size < 1_000_000


def ordered(artifacts: Iterable[Artifact]) -> tuple[Artifact, ...]:
    """Metrics first."""
    return tuple(sorted(artifacts, key=lambda each: (not each.metric, each.name)))
