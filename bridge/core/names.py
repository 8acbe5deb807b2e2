"""Names as people mean them: without letter case, blanks around them, and what nothing draws."""

from __future__ import annotations

import unicodedata

from bridge.core.sanitize import one_line


def folded(name: str) -> str:
    """The form in which environments, flows, steps and labels are compared."""
    return one_line(unicodedata.normalize("NFKC", name)).casefold()
