"""An objection in any dress: what the page shows at the start of a line, whatever it is made of."""

from __future__ import annotations

import re
from html import unescape
from typing import Final

from bridge.pages import lookalikes

_WORDS: Final = {
    each: re.compile(lookalikes.pattern_of(each), re.IGNORECASE | re.ASCII)
    for each in ("hold", "reject")
}
#: An objection at the start of a line in any other dress; but struck out it is none.
_DRESSED_UP = re.compile(
    r"((?:[0-9]{1,9}+[.)](?=\s)|\[[xX ]\](?=\s)|:[a-z0-9_+-]{1,40}:|[0-9]\u20e3"
    r"|<(?!/?(?:s|del|strike|code|pre|kbd|samp|q|blockquote|textarea)\b)[^<>]{1,200}>"
    r"|(?!~~)[^\w/`<]|_)*+)"
    rf"/({'|'.join(each.pattern for each in _WORDS.values())})(?!_*+[^\W_]|/+\w|\.\w)[/=_-]*+(.*)",
    re.IGNORECASE,
)
_HTML_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")


def find(text: str) -> tuple[str, str] | None:
    """The word of an objection that begins this line on the page, and what is behind it."""
    seen, places = lookalikes.drawn(text.rstrip(), entities=True)
    match = _DRESSED_UP.fullmatch(seen)
    if not match:
        return None
    before, written, after = match.groups()
    if "~" in before and "~" in after:  # struck out
        return None
    word = next(word for word, pattern in _WORDS.items() if pattern.fullmatch(written))
    return word, unescape(_HTML_TAG.sub("", text[places[match.start(3)] :]))
