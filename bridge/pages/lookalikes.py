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

#: Of more alphabets than `core/names.py` compares, for the letters of commands alone, out of
#: https://www.unicode.org/Public/security/latest/confusables.txt
_ALIKE: Final = {
    "a": "\u13aa\u15c5\ua4ee",
    "c": "\u13df\u2ca4\u2ca5\ua4da\uabaf",
    "d": "\u13a0\u13e7\u146f\u15de\u15ea\ua4d2\ua4d3",
    "e": "\u04bd\u13ac\u2d39\ua4f0\uab32",
    "h": "\u13bb\u13c2\u157c\u2c8e\ua4e7",
    "i": "\u13a5\ua647\uab75",
    "j": "\u037f\u13ab\u148d\ua4d9",
    "l": "\u0196\u01c0\u13de\u14aa\u16c1\u2c92\u2cd0\u2d4f\ua4e1\ua4f2",
    "n": "\u057c\u2c9a\ua4e0",
    "o": "\u03c3\u10ff\u1d11\u2c9e\u2c9f\u2d54\ua4f3\uab3d",
    "p": "\u13e2\u146d\u2ca2\u2ca3\ua4d1",
    "r": "\u01a6\u0433\u13a1\u13d2\u1587\u1d26\u2c85\ua4e3\uab47\uab48\uab81",
    "s": "\u01bd\u13d5\u13da\ua4e2\uabaa",
    "t": "\u13a2\u2ca6\ua4d4",
    "u": "\u144c\ua4f4\ua79f",
    "v": "\u13d9\u142f\u2d38\ua4e6\uaba9",
    "w": "\u026f\u0561\u13b3\u13d4\ua4ea\uab83",
    "/": "\u1735\u2041\u2044\u2215\u2571\u27cb\u29f8\u2cc6\u3033\u30ce\u31d3\u4e3f\U0001d23a",
}
_LATIN: Final = LATIN | {ord(each): plain for plain, alike in _ALIKE.items() for each in alike}
#: `ø`, `ɦ`, `ʟ`, `🅗`, `🄷`, `🇭`: letters of a shape or a mark of their own.
_SHAPED: Final = re.compile(
    r"(?:LATIN|(?:NEGATIVE )?(?:SQUARED|CIRCLED) LATIN|REGIONAL INDICATOR) .*?"
    r"LETTER (?:SMALL CAPITAL )?([A-Z])(?: WITH .*)?"
)
#: A key with a digit on it is drawn around what is before it, and begins many a line.
_KEYCAP: Final = "\u20e3"
_ENTITY: Final = re.compile(r"&#?\w{1,31};|.", re.DOTALL)
#: What looks like a slash, or writes one in HTML.
SLASHES: Final = frozenset("/／⼃&" + _ALIKE["/"])
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
