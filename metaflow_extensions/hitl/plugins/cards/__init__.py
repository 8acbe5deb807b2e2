"""`@card(type="hitl")`: who let the task run, as a card beside it."""

from __future__ import annotations

from html import escape
from typing import Any, ClassVar

from metaflow.plugins.cards.card_modules.card import MetaflowCard

_ROWS = (
    ("outcome", "Outcome"),
    ("approvers", "Approved by"),
    ("reason", "Reason"),
    ("decided_at", "When"),
    ("inputs", "Input"),
    ("page", "Page"),
    ("gate", "Gate"),
    ("commit", "Commit of the ledger"),
)
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Approval</title><style>
body{{font:16px/1.5 system-ui,sans-serif;margin:2rem;color-scheme:light dark}}
th{{text-align:left;padding-right:1.5rem;vertical-align:top;font-weight:600}}
td{{overflow-wrap:anywhere}}</style></head><body><h1>{title}</h1>{body}</body></html>
"""


class HitlCard(MetaflowCard):
    """The decision of the task's gate."""

    type = "hitl"
    ALLOW_USER_COMPONENTS: ClassVar[bool] = False

    def render(self, task: Any) -> str:
        found = getattr(task.data, "hitl_decision", None)
        if not isinstance(found, dict) or "key" not in found:  # or a flow's own of that name
            return _PAGE.format(title="No gate", body="<p>This step has no <code>@hitl</code>.</p>")
        rows = "".join(
            f"<tr><th>{label}</th><td>{_shown(found[name])}</td></tr>"
            for name, label in _ROWS
            if found.get(name)
        )
        return _PAGE.format(title=escape(str(found["key"])), body=f"<table>{rows}</table>")


def _shown(value: Any) -> str:
    """Everything a person wrote is text here, and only an address of the web is a link."""
    if isinstance(value, list):
        return "<br>".join(map(_shown, value))
    if isinstance(value, dict):
        return "<br>".join(f"{escape(str(k))} = {escape(str(v))}" for k, v in value.items())
    text = escape(str(value))
    return f'<a href="{text}">{text}</a>' if str(value).startswith("https://") else text


CARDS = [HitlCard]
