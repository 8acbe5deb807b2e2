"""Names as people mean them: without letter case, blanks around them, and what nothing draws."""

from __future__ import annotations

import unicodedata
from typing import Final

from bridge.core.sanitize import one_line

#: Letters of Cyrillic, Greek and Armenian that people cannot tell from a Latin one, out of
#: https://www.unicode.org/Public/security/latest/confusables.txt
_ALIKE: Final = {
    "a": "\u0430\u03b1\u0251",
    "b": "\u0432",
    "c": "\u0441\u03f2",
    "d": "\u0501",
    "e": "\u0435",
    "g": "\u0261\u0581",
    "h": "\u04bb\u043d\u0570",
    "i": "\u0456\u03b9\u0131\u0269",
    "j": "\u0458\u03f3",
    "k": "\u043a\u03ba",
    "l": "\u04cf",
    "m": "\u043c",
    "n": "\u0578",
    "o": "\u043e\u03bf\u0585",
    "p": "\u0440\u03c1",
    "q": "\u051b",
    "s": "\u0455",
    "t": "\u0442\u03c4",
    "u": "\u057d\u03c5",
    "v": "\u0475\u03bd",
    "w": "\u051d\u0461",
    "x": "\u0445\u03c7",
    "y": "\u0443\u04af\u03b3",
    "A": "\u0410\u0391",
    "B": "\u0412\u0392",
    "C": "\u0421\u03f9",
    "E": "\u0415\u0395",
    "H": "\u041d\u0397",
    "I": "\u0406\u04c0\u0399",
    "J": "\u0408",
    "K": "\u041a\u039a",
    "M": "\u041c\u039c",
    "N": "\u039d",
    "O": "\u041e\u039f\u0555",
    "P": "\u0420\u03a1",
    "S": "\u0405\u054f",
    "T": "\u0422\u03a4",
    "U": "\u054d",
    "V": "\u0474",
    "W": "\u051c",
    "X": "\u0425\u03a7",
    "Y": "\u0423\u04ae\u03a5",
    "Z": "\u0396",
}
LATIN: Final = str.maketrans({each: latin for latin, alike in _ALIKE.items() for each in alike})


def folded(name: str) -> str:
    """The form in which environments, flows, steps and labels are compared.

    Who asks may choose the name, and `environment != production` must not hold in one that only
    looks like it.
    """
    # Before too: a lunate sigma would become another sigma, which looks like no `c`.
    plain = unicodedata.normalize("NFKC", name.translate(LATIN)).translate(LATIN)
    return one_line(plain).casefold()
