"""The words of commands, and where a text holds what looks like one."""

from __future__ import annotations

import difflib
import re
from enum import StrEnum

from bridge.pages.lookalikes import SLASHES, drawn, pattern_of


class Word(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"
    HOLD = "hold"
    UNHOLD = "unhold"
    WITHDRAW = "withdraw"
    STATUS = "status"


#: What people write to other bots, or in plain words, and the commands that say it here.
_ELSEWHERE = {
    each: meant
    for words, meant in (
        ("accept accepted allow lgtm merge ship shipit yes", (Word.APPROVE,)),
        (
            "block decline declined deny denied disapprove fail nack nak no refuse veto",
            (Word.REJECT,),
        ),
        ("changes freeze halt pause stop wait", (Word.HOLD, Word.REJECT)),
        ("continue resume release unblock", (Word.UNHOLD,)),
        ("abort cancel close kill", (Word.REJECT, Word.WITHDRAW)),
        ("commands help", tuple(Word)),
    )
    for each in words.split()
}

#: What people and their editors put around a word: blanks, marks of lists, bold, quotation marks.
AROUND = r"\s\u200b-\u200f\u2060\ufeff*_\"'“”„‟‘’«»()\[\]{}•·–—\-+#.,:;!?…\\"
_LOOKS = {each: re.compile(pattern_of(each), re.IGNORECASE | re.ASCII) for each in Word}
_AT_START = re.compile(
    rf"(?:[0-9]{{1,9}}+[.)](?=\s)|\[[xX ]\](?=\s)|[{AROUND}])*+"
    r"/((?=[0-9|]*+[A-Za-z])[A-Za-z0-9|]{1,20})(?!_*+[^\W_]|[/=]|[.-]\w)"
)
_MENTION = re.compile(
    rf"(?<![\w/.])/({'|'.join(_LOOKS[each].pattern for each in Word if each is not Word.STATUS)})"
    r"(?![\w/-]|\.\w)",
    re.IGNORECASE | re.ASCII,
)


def looks_like(line: str) -> tuple[str, Word | None] | None:
    """What this line begins with to the eye, and the word that it looks like, if it is one."""
    match = _AT_START.match(drawn(line, entities=True)[0])
    return (match[1], _word(match[1])) if match else None


def near(written: str) -> tuple[Word, ...]:
    """The commands that somebody may have meant by this word; none if it looks like none."""
    return _misspelt(written) or _ELSEWHERE.get(written.casefold(), ())


def suggested(written: str) -> str:
    """What to say of a word that is no command."""
    *some, last = (f"`/{each}`" for each in near(written))
    meant = f"{', '.join(some)} or {last}" if some else last
    return f"`/{written}` is no command: " + (
        f"write {meant}" if near(written) == tuple(Word) else f"did you mean {meant}?"
    )


def matters(written: str) -> bool:
    """Whether a word that is no command may be a misspelt one, or meant to stop the gate."""
    if near(written) == tuple(Word):
        return False
    objects = {Word.REJECT, Word.HOLD}.intersection(near(written))
    return bool(objects or _misspelt(written))


def _misspelt(written: str) -> tuple[Word, ...]:
    return tuple(map(Word, difflib.get_close_matches(written.casefold(), list(Word), 1, 0.7)))


def mentions(text: str) -> list[tuple[Word, int]]:
    """The commands that somebody sees in a text, and the place of each."""
    if not SLASHES.intersection(text):
        return []
    seen, places = drawn(text)
    found = ((_word(match[1]), places[match.start()]) for match in _MENTION.finditer(seen))
    return [(word, place) for word, place in found if word]


def _word(written: str) -> Word | None:
    return next((word for word, looks in _LOOKS.items() if looks.fullmatch(written)), None)
