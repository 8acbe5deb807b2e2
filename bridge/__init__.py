"""The approval bridge: a person decides inside an automated pipeline, and git keeps the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.entrypoints.python import approval

__all__ = ["approval"]


def __getattr__(name: str) -> Any:
    # Imported when it is used: `hitl --help` must not pay for it.
    if name == "approval":
        from bridge.entrypoints.python import approval

        return approval
    raise AttributeError(f"module 'bridge' has no attribute {name!r}")
