"""An objection in any dress: what the page shows at the start of a line, whatever it is made of."""

from __future__ import annotations

import re
from html import unescape
from unicodedata import category, normalize

#: Slashes of other widths, and the start of an HTML entity.
SLASHES = frozenset("/／⁄∕&")
#: An objection at the start of a line in any other dress; but struck out it is none.
_DRESSED_UP = re.compile(
    r"((?:[0-9]{1,9}+[.)](?=\s)|\[[xX ]\](?=\s)|:[a-z0-9_+-]{1,40}:|[0-9]\ufe0f?\u20e3"
    r"|<(?!/?(?:s|del|strike|code|pre|kbd|samp|q|blockquote|textarea)\b)[^<>]{1,200}>"
    r"|(?!~~)[^\w/`<]|_)*+)"
    r"/(hold|reject)(?!_*+[^\W_]|/+\w|\.\w)[/=_-]*+(.*)",
    re.IGNORECASE,
)
_HTML_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")


def find(text: str) -> tuple[str, str] | None:
    """The word of an objection that begins this line on the page, and what is behind it."""
    match = _DRESSED_UP.fullmatch(_as_drawn(text))
    if not match:
        return None
    before, written, after = match.groups()
    if "~" in before and "~" in after:  # struck out
        return None
    return written, _HTML_TAG.sub("", after)


def _as_drawn(text: str) -> str:
    drawn = normalize("NFKC", unescape(text)).translate(dict.fromkeys(map(ord, "⁄∕"), "/"))
    return "".join(each for each in drawn if category(each) != "Cf").strip()
