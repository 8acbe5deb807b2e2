"""Names as people mean them: without letter case, blanks around them, and what nothing draws."""

from __future__ import annotations

import unicodedata
from typing import Final

from bridge.core.sanitize import one_line

#: Letters of other alphabets that people cannot tell from a Latin one, out of
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
#: The same of alphabets that fewer people write, in either case, and digits like an `o`.
_RARER: Final = {
    "a": "\u13aa\u15c5\u1d00\u2c80\u2c81\ua4ee",
    "b": "\u0299\u13cf\u13f4\u15af\u2c82\ua4d0",
    "c": "\u13df\u1d04\u2ca4\u2ca5\ua4da\uabaf",
    "d": "\u13a0\u13e7\u146f\u15de\u15ea\u1d05\ua4d2\ua4d3",
    "e": "\u04bd\u13ac\u1d07\u2d39\ua4f0\uab32",
    "f": "\u15b4\ua4dd\ua799",
    "g": "\u0262\u13c0\u13f3\ua4d6",
    "h": "\u029c\u13bb\u13c2\u157c\u2c8e\ua4e7",
    "i": "\u026a\u13a5\u2c92\ua647\uab75",
    "j": "\u037f\u13ab\u148d\u1d0a\ua4d9",
    "k": "\u13e6\u1d0b\u2c94\ua4d7",
    "l": "\u0196\u01c0\u029f\u13de\u14aa\u16c1\u2cd0\u2d4f\ua4e1\ua4f2",
    "m": "\u13b7\u15f0\u1d0d\u2c98\ua4df",
    "n": "\u0274\u057c\u2c9a\ua4e0",
    "o": "\u03c3\u0966\u0ae6\u0be6\u0ed0\u1040\u10ff\u1d0f\u1d11\u2c9e\u2c9f\u2d54\u3007"
    "\ua4f3\uab3d\U0001042c\U000104c2\U000104ea",
    "p": "\u01bf\u13e2\u146d\u1d18\u2ca2\u2ca3\ua4d1",
    "q": "\u2d55",
    "r": "\u01a6\u0280\u0433\u13a1\u13d2\u1587\u1d26\u2c85\ua4e3\uab47\uab48\uab81",
    "s": "\u01bd\u13d5\u13da\ua4e2\ua731\uabaa",
    "t": "\u13a2\u1d1b\u2ca6\ua4d4",
    "u": "\u144c\u1d1c\ua4f4\ua79f",
    "v": "\u13d9\u142f\u1d20\u2d38\ua4e6\uaba9",
    "w": "\u026f\u0561\u13b3\u13d4\u1d21\ua4ea\uab83",
    "x": "\u166e\u2cac\ua4eb",
    "y": "\u028f\u13a9\u13bd\u2ca8\ua4ec",
    "z": "\u13c3\u1d22\u2c8c\ua4dc",
}
LATIN: Final = str.maketrans(
    {each: latin for table in (_ALIKE, _RARER) for latin, alike in table.items() for each in alike}
)


def folded(name: str) -> str:
    """The form in which environments, flows, steps and labels are compared.

    Who asks may choose the name, and `environment != production` must not hold in one that only
    looks like it.
    """
    # Before too: a lunate sigma would become another sigma, which looks like no `c`.
    plain = unicodedata.normalize("NFKC", name.translate(LATIN)).translate(LATIN)
    return one_line(plain).casefold()
