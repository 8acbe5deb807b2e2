"""The message of a gate: a template over artifacts, checked early, rendered without surprises.

Two styles: `{self.accuracy:.1%}` as in `str.format`, and Jinja2, which a template is that holds
`{{` or `{%`. Both read `self.<artifact>`, `params.<name>`, and on a join `inputs.<step>.<artifact>`
or `inputs[0].<artifact>`. Neither reaches Python's insides, and format style calls nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.errors import Faults
from bridge.core.hide_secrets import by_looks
from bridge.core.sanitize import harmless_line
from bridge.core.template_format import parse_format
from bridge.core.template_jinja import parse_jinja
from bridge.core.template_reads import (
    LONGEST_MESSAGE,
    Known,
    Parsed,
    Scope,
    artifact_of,
    read_faults,
    text_of,
)

__all__ = ["Known", "Scope", "check", "names", "render"]


def check(template: str, known: Known) -> None:
    """Refuse a template that cannot be rendered, as far as that can be known. Raises `Faults`."""
    parsed = _parsed(template)
    faults = [says for read in parsed.reads for says in read_faults(read, known)]
    faults = [*parsed.faults, *faults]
    if faults:
        raise Faults("the message", list(dict.fromkeys(faults)))


def names(template: str) -> frozenset[str]:
    """The names of all artifacts that the template may read; never too few. Raises `Faults`."""
    parsed = _sound(template)
    found = {each for read in parsed.reads for each in artifact_of(read)}
    return frozenset(found | parsed.loose)


def render(template: str, scope: Scope, escape: Callable[[str], str] = harmless_line) -> str:
    """The message, as Markdown: the template's own text, and every value through `escape`.

    The same values give the same text in every process. Raises `Faults` naming the expression that
    fails, and the names that it could have used.
    """
    text = by_looks(_sound(template).render(scope, lambda value: escape(text_of(value))))
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


def _parsed(template: str) -> Parsed:
    return parse_jinja(template) if "{{" in template or "{%" in template else parse_format(template)


def _sound(template: str) -> Parsed:
    parsed = _parsed(template)
    if parsed.faults:
        raise Faults("the message", parsed.faults)
    return parsed
