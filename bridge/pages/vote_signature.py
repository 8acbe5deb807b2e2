"""A voter's signature in a comment or a review: a line that nobody sees on the page."""

from __future__ import annotations

import re
from typing import Final

from bridge.core.sshsig import MOST_ARMORED

_LINE: Final = re.compile(r"<!-- approval-bridge signature ([A-Za-z0-9+/=]+) -->", re.ASCII)
_BEGIN: Final = "-----BEGIN SSH SIGNATURE-----"
_END: Final = "-----END SSH SIGNATURE-----"


def signed(text: str, armored: str) -> str:
    """The text of an answer with its signature behind it."""
    encoded = "".join(armored.strip().split("\n")[1:-1])
    return f"{text.rstrip()}\n\n<!-- approval-bridge signature {encoded} -->\n"


def signature_of(body: str) -> str | None:
    """The armored signature on the text's last line; None if there is none."""
    last = body.rstrip().rpartition("\n")[2]
    found = _LINE.fullmatch(last) if len(last) <= MOST_ARMORED else None
    return f"{_BEGIN}\n{found[1]}\n{_END}" if found else None
