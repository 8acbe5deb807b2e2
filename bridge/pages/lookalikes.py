"""Text as the eye takes it: what looks like a letter of a command is that letter.

`/hold` with a Cyrillic letter is a hold to everybody who reads the page. So an objection is found
in it. An approval is not: only the letters themselves approve. What looks like one is answered.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import unescape
from typing import Final
from unicodedata import category, normalize
from unicodedata import name as name_of

from bridge.core.names import LATIN
from bridge.core.sanitize import unseen

_SLASHES: Final = (
    "\u1735\u2041\u2044\u2215\u2571\u27cb\u29f8\u2cc6\u3033\u30ce\u31d3\u4e3f\U0001d23a"
)
_LATIN: Final = LATIN | dict.fromkeys(map(ord, _SLASHES), "/")
#: `ø`, `ɦ`, `ʟ`, `🅗`, `🄷`, `🇭`: letters of a shape or a mark of their own.
_SHAPED: Final = re.compile(
    r"(?:LATIN|(?:NEGATIVE )?(?:SQUARED|CIRCLED) LATIN|REGIONAL INDICATOR) .*?"
    r"LETTER (?:SMALL CAPITAL )?([A-Z])(?: WITH .*)?"
)
#: A key with a digit on it is drawn around what is before it, and begins many a line.
_KEYCAP: Final = "\u20e3"
_ENTITY: Final = re.compile(r"&#?\w{1,31};|.", re.DOTALL)
#: What looks like a slash, or writes one in HTML.
SLASHES: Final = frozenset("/／⼃&" + _SLASHES)
_SAME: Final = {"o": "[o0]", "i": "[il1|]", "l": "[il1|]"}


def pattern_of(word: str) -> str:
    """A regular expression, without regard to case, for what `drawn` makes of a word."""
    return "".join(_SAME.get(each, each) for each in word)


def drawn(text: str, *, entities: bool = False) -> tuple[str, list[int] | range]:
    """The text as it looks, in ASCII if it can be, and the place in the text of each character.

    What nobody sees is gone. `entities` also reads `&#47;` as the page shows it.
    """
    if text.isascii() and text.isprintable() and not (entities and "&" in text):
        return text, range(len(text) + 1)
    characters: list[str] = []
    places: list[int] = []
    for part in _ENTITY.finditer(text) if entities else re.finditer(r".", text, re.DOTALL):
        for each in unescape(part[0]) if part[0][1:] else part[0]:
            for plain in _plain(each):
                characters.append(plain)
                places.append(part.start())
    return "".join(characters), [*places, len(text)]


@lru_cache(maxsize=4_096)
def _plain(character: str) -> str:
    if character.isascii():
        return character if character.isspace() or character.isprintable() else ""
    if character.isspace() or character == _KEYCAP:
        return character
    if category(character) in ("Mn", "Me") or unseen(character):
        return ""
    # First as it is: apart, a lunate sigma would be another sigma, which looks like no `c`.
    apart = normalize("NFKD", character.translate(_LATIN))
    plain = "".join(_letter(each) for each in apart if category(each) not in ("Mn", "Me"))
    return plain if plain.isascii() else character


def _letter(character: str) -> str:
    if character.isascii():
        return character
    if character.isdecimal():
        return str(int(character))
    shaped = _SHAPED.fullmatch(name_of(character, ""))
    return shaped[1] if shaped else character.translate(_LATIN)
