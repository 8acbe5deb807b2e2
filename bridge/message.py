"""The message of a gate: a template over artifacts, checked early and rendered without surprises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Known:
    """What can be known of a step's artifacts before it runs.

    `artifacts` and `params` are None where they cannot be known. `branches` are the steps that a
    join joins (empty: the step is no join); `foreach` says that they are many tasks of one step.
    """

    artifacts: frozenset[str] | None = None
    branches: tuple[str, ...] = ()
    foreach: bool = False
    params: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What a template may read. Mappings may be lazy: only the names in `names(template)` are asked.

    `inputs` are the branches of a join in order, each with its step's name; None: no join.
    """

    artifacts: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[tuple[str, Mapping[str, Any]]] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


def check(template: str, known: Known) -> None:
    """Refuse a template that cannot be rendered, as far as that can be known. Raises `Faults`."""


def names(template: str) -> frozenset[str]:
    """The artifact names that the template may read."""
    return frozenset()


def render(template: str, scope: Scope, escape: Callable[[str], str] = str) -> str:
    """The message. Every interpolated value goes through `escape`. Raises `Faults`."""

    class _View:
        def __getattr__(self, name: str) -> Any:
            return scope.artifacts[name]

    return template.format(self=_View())
