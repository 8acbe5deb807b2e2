"""What Metaflow's UI, its Client and a card show of a task's decision, beside its artifacts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.core.approval import Approval

#: An address in which nothing ends a link of Markdown.
_ADDRESS = re.compile(r"https://[\w./:#?=&%-]+", re.ASCII)


def datum(approval: Approval, attempt: int) -> Any:
    """What is listed of the task."""
    from metaflow.metadata_provider import MetaDatum  # not in an old Metaflow

    who = ", ".join(approval.approvers) or approval.by
    said = f"{approval.outcome} by {who}, commit {approval.commit}"
    return MetaDatum("hitl-decision", said, "hitl-decision", [f"attempt_id:{attempt}"])


def add_to_card(decision: dict[str, Any]) -> None:
    """Put the decision first in the task's default card, if it has one. The hooks of all decorators
    have run, so the order in which `@card` and `@hitl` are written means nothing."""
    from metaflow import current  # not above: Metaflow loads its plugins before it has one

    cards = getattr(current, "card", None)  # of a step with a card
    found = cards.get(type="default") if cards is not None else None
    if not found:
        return
    from metaflow.cards import Markdown

    text = "\n\n".join(_lines(decision))
    for each in found:
        each.append(Markdown(text))


def _lines(decision: dict[str, Any]) -> Iterator[str]:
    """Everything that a person wrote is text."""
    from bridge.core.sanitize import harmless_line, in_code

    yield f"### Gate: {harmless_line(decision['outcome'])}"
    yield f"{harmless_line(decision['reason'])} ({harmless_line(decision['decided_at'])})"
    for name, value in decision["inputs"].items():
        yield f"- {harmless_line(str(name))}: {harmless_line(str(value))}"
    page = decision["page"] or ""
    where = f", [the page]({page})" if _ADDRESS.fullmatch(page) else ""
    yield f"Recorded in commit `{in_code(decision['commit'], 40)}`{where}"
