"""What a run came to, as Markdown for its summary and as lines for its log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bridge.core.evaluation import Outcome
from bridge.core.sanitize import harmless_line, one_line
from bridge.gates.finish_page import Tended
from bridge.pages import page_text

#: GitHub takes a megabyte of summary and drops a longer one whole.
_MOST = 500_000
_FAILED = "🔥"


def log(done: Sequence[Tended]) -> Iterator[str]:
    """One line for each gate."""
    for each in done:
        yield f"{_name(each)}: {one_line(each.says)}"


def markdown(done: Sequence[Tended]) -> str:
    """Each gate with its evaluation as a tree, as far as there is room."""
    parts: list[str] = []
    room = _MOST
    for number, each in enumerate(done):
        part = _part(each)
        room -= len(part)
        if room < 0:
            parts.append(f"*and {len(done) - number} more*")
            break
        parts.append(part)
    return "\n".join(parts) or "Nothing waits for a decision.\n"


def outcome(done: Tended) -> Outcome | None:
    """Where the gate stands; None if there is no gate."""
    if done.standing is None:
        return None
    return done.standing.decision.outcome if done.standing.decision else Outcome.PENDING


def _part(done: Tended) -> str:
    stands = outcome(done)
    sign = _FAILED if done.failed else page_text.SIGNS[stands] if stands else "▫️"
    name = harmless_line(_name(done))
    linked = f"[{name}]({done.page.url})" if done.page else name
    lines = [f"### {sign} {linked}", "", harmless_line(done.says), ""]
    if done.evaluation:
        lines += [*page_text.tree(done.evaluation.finding.children), ""]
        lines += [*map(page_text.refusal, done.evaluation.dismissals), ""]
    return "\n".join(lines)


def _name(done: Tended) -> str:
    if done.standing:
        return one_line(done.standing.request.gate.key)
    return f"#{done.page.number}" if done.page else "a gate"
