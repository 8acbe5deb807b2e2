"""The templates that the bridge ships, filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from bridge.core.shipped_files import templates

if TYPE_CHECKING:
    from jinja2 import Environment


def filled(
    name: str, values: Mapping[str, Any], finalize: Callable[[Any], Any] | None = None
) -> str:
    """The template `name`; each value in it goes through `finalize`."""
    text: str = _environment(finalize).get_template(name).render(values)
    return text


@cache
def _environment(finalize: Callable[[Any], Any] | None) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(  # noqa: S701 - Markdown: `finalize` makes values harmless
        loader=FileSystemLoader(templates()),
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
