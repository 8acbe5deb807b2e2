"""What several approvals give as input, together. People who give different values must agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bridge.core.digest import canonical
from bridge.core.evaluation import Vote
from bridge.core.json_schema import quoted
from bridge.core.sanitize import is_secret, shortened

#: Why an input does not fit its schema; None if it does (`input_fields.objection`).
Misfit = Callable[[Mapping[str, Any] | None], str | None]


def together(approvals: Sequence[Vote]) -> dict[str, Any]:
    """All that they give; a default that nobody wrote is no part of it."""
    return {name: value for vote in approvals for name, value in (vote.inputs or {}).items()}


def disagreement(approvals: Sequence[Vote], misfit: Misfit | None = None) -> str | None:
    """Who must agree on what, in words; None if they do.

    Each input fits by itself; all of them together may not (`oneOf`).
    """
    apart = list(_apart(approvals))
    if apart:
        return "; ".join(apart)
    giving = [vote for vote in approvals if vote.inputs]
    says = misfit(together(approvals)) if misfit and len(giving) > 1 else None
    return (
        f"{_names(giving)} must agree on the input: together it does not fit, {says}"
        if says
        else None
    )


def _apart(approvals: Sequence[Vote]) -> Iterator[str]:
    given: dict[str, list[Vote]] = {}
    for vote in approvals:
        for name in vote.inputs or {}:
            given.setdefault(name, []).append(vote)
    for name, votes in sorted(given.items()):
        values = [(vote.inputs or {})[name] for vote in votes]
        if all(_same(value, values[0]) for value in values):
            continue
        shown = shortened(name, 60)
        who = f"{_names(votes)} must agree on {shown}"
        if is_secret(name):
            yield f"{who}: they give different values"
        else:
            each = (
                f"{vote.actor} gives {quoted(value)}"
                for vote, value in zip(votes, values, strict=True)
            )
            yield f"{who}: {', '.join(each)}"


def _same(one: object, other: object) -> bool:
    numbers = all(
        isinstance(each, int | float) and not isinstance(each, bool) for each in (one, other)
    )
    return one == other if numbers else canonical(one) == canonical(other)


def _names(votes: Sequence[Vote]) -> str:
    names = [str(vote.actor) for vote in votes]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
