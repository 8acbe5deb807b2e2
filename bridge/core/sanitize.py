"""Hostile text made harmless: for a line of Markdown, a block of Markdown, a terminal.

Artifact values come from anywhere. Whatever they hold, what a person reads keeps the shape that
the bridge and the flow's author gave it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# -- plain text ----------------------------------------------------------------------------------


def harmless_terminal(text: str) -> str:
    """Text that moves no cursor, sets no title and hides nothing; its lines are kept."""
    if text.isascii() and text.isprintable():  # most are, and there are thousands on a page
        return text
    lines = re.split("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", text.expandtabs(4))
    return "\n".join(map(_only_shown, lines))


def _only_shown(line: str) -> str:
    # All of the hidden kinds are unprintable to Python, which looks at a whole line at once.
    if line.isprintable() and _UNSEEN.isdisjoint(line):
        return line
    return "".join(filter(_is_shown, line))


def harmless_json(text: str) -> str:
    """The same JSON, on a terminal too: what would move a cursor or hide something is escaped."""
    if text.isascii():
        return text
    import json  # here, because a listing does without it

    return "".join(
        each if each in "\n" or _is_shown(each) else json.dumps(each)[1:-1] for each in text
    )


def _is_shown(character: str) -> bool:
    # Cc: escapes. Cf: bidi overrides, zero width, tags. Co, Cs: no one knows what is drawn.
    return character not in _UNSEEN and unicodedata.category(character) not in _HIDDEN_KINDS


_HIDDEN_KINDS: Final = frozenset({"Cc", "Cf", "Co", "Cs"})

#: Letters and marks to Unicode, nothing to the eye. Variation selectors can carry any text unseen.
_UNSEEN: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    + "".join(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
)


def unseen(text: str) -> bool:
    """Whether a character of it takes a place, or none, and shows nothing."""
    return any(not (_is_shown(each) or each in " \t\n") for each in text)


_HALF: Final = re.compile("[\ud800-\udfff]")


def is_text(text: str) -> bool:
    """Whether it can be written as UTF-8. Python keeps bytes of the system that are none as halves
    of characters (https://peps.python.org/pep-0383/), and no record can hold one."""
    return not _HALF.search(text)


def as_text(text: str) -> str:
    """The same, with a mark for each half of a character."""
    return _HALF.sub("\ufffd", text)


def one_line(text: str) -> str:
    """The text on one line, harmless to a terminal, with single spaces."""
    return " ".join(harmless_terminal(text).split())


def shortened(text: str, most: int) -> str:
    """At most so many characters, on one line; `…` stands for what is cut."""
    # Cut first: a value of a gigabyte must not be worked through for one line of it.
    line = one_line(text[: most * 8])
    if len(line) > most or len(text) > most * 8:
        return line[: most - 1].rstrip() + "…"
    return line


def in_code(text: str, most: int = 40) -> str:
    """Somebody's words for between two backticks: on one line, and they can't end the code."""
    return shortened(text, most).replace("`", "'") or "…"  # two backticks would begin longer code


def shortened_name(name: str, most: int) -> str:
    """The same of a name: a path says most at its end, so `…` is in the middle."""
    line = one_line(name if len(name) <= most * 8 else f"{name[: most * 4]}{name[-most * 4 :]}")
    half = (most - 1) // 2
    return line if len(line) <= most else f"{line[:half].rstrip()}…{line[half + 1 - most :]}"


def columns(text: str) -> int:
    """The columns of a terminal that the text takes: wide characters two, combining ones none."""
    return sum(_column(each) for each in text)


def _column(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """The text in so many columns; `…` stands for what is cut."""
    if columns(text) <= width:
        return text
    kept = ""
    for character in text:
        if columns(kept + character) > width - 1:
            break
        kept += character
    return kept + "…"


# -- Markdown ------------------------------------------------------------------------------------

#: Markup in any place, or in a place like this. `_` within a word, `!` within a sentence
#: and the rest of ordinary prose are left, so that the source stays readable.
_MARKUP: Final = re.compile(
    r"[&<>\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])|!(?=\[|$)|^[#=]|^[-+:](?=[-+:\s]|$)"
)
_NUMBERED: Final = re.compile(r"^(\d{0,9})([.)])(?=\s|$)")

#: Where a gap of no width keeps GitHub from seeing more than text. It looks in the *rendered* text,
#: so that an entity or a backslash alone would not stop it.
_GAPS: Final = re.compile(
    r"(?<=[@#])|(?=@)"  # @user, @org/team, #1, org/repo#1, ann@example.org
    r"|(?<=\bGH)(?=-)"
    r"|(?:(?<=:)|^)(?=//)"  # https://…
    r"|(?<=\bwww)(?=\.|$)"
    r"|(?<=\bmailto:)|(?<=\bxmpp:)",
    re.IGNORECASE,
)
#: Seven digits are a count of rows before they are a commit.
_COMMIT: Final = re.compile(r"\b(?=[0-9]*[a-f])[0-9a-f]{7,40}\b", re.IGNORECASE)
_GAP: Final = "&#8203;"
#: A browser breaks a word behind a hyphen, and not behind these.
_BREAKS: Final = re.compile(r"(?<=[_.])(?=[^\W_])")
_LONG: Final = 12


def harmless_line(text: str) -> str:
    """One line of inert Markdown, for a table's cell, a sentence, or inside the author's markup.

    Rendered, it reads as the text does; it holds no markup, mention, reference, link or HTML. Only
    entities are written: unlike a backslash they mean nothing inside the author's code span, and
    unlike a code span of our own they close none of theirs.
    """
    line = _gapped(one_line(text))
    line = _MARKUP.sub(lambda match: _entity(match[0]), line)
    line = _NUMBERED.sub(lambda match: match[1] + _entity(match[2]), line)
    return line.replace("\0", _GAP)


def harmless_name(name: str) -> str:
    """The same of a name in a table. A long one may be broken, so that it fits a phone."""
    parts = _BREAKS.split(name) if len(name) > _LONG else [name]
    return _GAP.join(map(harmless_line, parts))


def harmless_subject(text: str) -> str:
    """One line for a commit's subject, where there is no markup but mentions and references are."""
    return _gapped(one_line(text)).replace("\0", "\u200b")


def _gapped(line: str) -> str:
    """The line with a NUL, which no line holds, wherever a gap belongs."""
    # Six at a time: what is left of a commit's name may be a commit's name.
    gapped = _COMMIT.sub(lambda match: "\0".join(re.findall(".{1,6}", match[0])), line)
    return _GAPS.sub("\0", gapped)


def _entity(character: str) -> str:
    import html  # here, because it holds every entity there is, and a listing needs none

    named = html.escape(character, quote=False)
    return named if named != character else f"&#{ord(character)};"


def plain(markdown: str) -> str:
    """Markdown as it reads in a terminal: what `harmless_line` wrote is undone, the rest stays."""
    import html

    text = markdown.replace(_GAP, "")
    return re.sub(r"&#?\w{1,31};", lambda match: html.unescape(match[0]), text)


def harmless_block(text: str, language: str = "text") -> str:
    """Lines of text as a fenced block that nothing in them can close, or command."""
    shown = harmless_terminal(text).replace("<!--", "<! --")  # a marker is looked for in the source
    shown = re.sub(r"(?m)^(?=[ ]*/)", "· ", shown)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{shown}\n{fence}"


def no_html(markdown: str) -> str:
    """The author's Markdown without HTML: a comment left open would hide all that follows it."""
    return re.sub(r"<(?=[A-Za-z/!?])(?!https?://)", "&lt;", markdown)


# -- secrets -------------------------------------------------------------------------------------

#: What follows `Bearer` or `Basic` in a header, and is no word: `Bearer authentication` is prose.
HEADER: Final = (
    r"\b(?:[Bb]earer|BEARER)\s++(?:(?=\w[a-z]*+(?:\d|[A-Z_.~+/]\w))[\w.~+/-]{6,}|[\w.~+/-]{16,})=*+"
    r"|\b(?:[Bb]asic|BASIC)\s++(?=(?:[A-Z+/]*+[a-z0-9]++[A-Z]){2})[A-Za-z0-9+/]{8,}=*+"
)
#: An address that is itself the secret: who has it can post.
WEBHOOK: Final = (
    r"\b(?:hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/"
    r"|discord(?:app)?\.com/api/webhooks/|webhook\.office\.com/webhookb2/"
    r"|api\.telegram\.org/bot)[^\s'\"<>)\]}]++"
)
#: Who has such an address of a store can read the object, without a credential.
SIGNED: Final = (
    r"(?<=[?&;])(?:X-(?:Amz|Goog)-(?:Signature|Security-Token)|[Ss]ig(?:nature)?)=[\w%+/=.~-]{16,}+"
)
#: Tokens of Vault, Databricks, SendGrid, Google, Docker, NVIDIA, Slack, Atlassian and Telegram.
OF_VENDORS: Final = (
    r"\b(?:hvs\.[\w-]{20}|dapi[0-9a-f]{32}|SG\.[\w-]{16,32}\.[\w-]{16}|ya29\.[\w-]{20}"
    r"|dckr_pat_[\w-]{20}|nvapi-[\w-]{20}|xapp-[\w-]{20}|ATATT3[\w-]{20}|[0-9]{8,10}:AA[\w-]{33})"
    r"[\w.=-]*+"
)
#: Where a word of a name begins: `apiKey`, `HFToken`, `X-Api-Key`, `api.key`.
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[-.\s]++")
_SECRET: Final = re.compile(
    r"pass(?:word|wd|phrase)|(?<![a-z])pwd(?![a-z])|secret|credential|authorization"
    r"|(?:api|access|account|private|signing|encryption|master|auth|ssh|deploy)_?keys?(?![a-z])"
)
#: Names of secrets that are also those of numbers: 512 tokens, the pass rate of a test.
_PERHAPS: Final = re.compile(
    r"(?<![a-z])(?:(?:hf|api|auth|access|refresh|bearer)?tokens?|bearer|jwt|cookies?)(?![a-z])"
    r"|(?<![a-z])(?<!first_)(?<!second_)(?<!last_)(?<!forward_)(?<!backward_)(?<!single_)(?<!one_)"
    r"(?<!two_)(?<!test_)pass\Z"
)
#: Values that give themselves away, whatever their name. If you add a kind, add it to
#: `hide_secrets`, too. Each is bounded, or ends where it cannot begin: the time stays linear.
_KEYS: Final = re.compile(
    r"\b(?:gh[a-z]_\w{20}|github_pat_\w{20}|glpat-[\w-]{16}|xox[a-z]-[\w-]{10}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{12}|sk-[\w-]{20}|hf_\w{20}|eyJ[\w-]{10,500}+\.[\w-]{4}"
    r"|AIza[\w-]{30}|npm_\w{30}|pypi-\w{16}|[rs]k_(?:live|test)_\w{10}|whsec_\w{16})"
    rf"|{HEADER}|{WEBHOOK}|{SIGNED}|{OF_VENDORS}|://[\w-]{{20,100}}+@|-----BEGIN [A-Z ]*PRIVATE KEY|://[^/\s:@]*:[^/\s@]+@"
)


def is_secret(name: str, value: object = None) -> bool:
    """Whether a value should not be shown: for its name (`db_password`, `HF_TOKEN`) or its looks.

    A number of tokens is no secret.
    """
    if isinstance(value, str) and _KEYS.search(value[:100_000]):
        return True
    counts = isinstance(value, int | float)
    words = _WORD.sub("_", name).lower()
    return bool(_SECRET.search(words)) or (not counts and bool(_PERHAPS.search(words)))
