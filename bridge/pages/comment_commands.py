"""Commands in a comment or a review: `/approve key=value`, `/reject reason`, and their kin.

An approval is read strictly: a line that begins with it, and that a reader of the rendered page
sees as plain text. An objection is read generously: blanks, the mark of a list, bold letters or
punctuation around it do not take it away. In a quote, in code or in the middle of a line a command
counts for nothing, and the bridge says so to its author.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

from bridge.core import input_fields
from bridge.core.errors import Faults
from bridge.core.sanitize import in_code, one_line, unseen
from bridge.pages import dressed_objections, lookalikes, remarks, unread_input
from bridge.pages.answer_block import LANGUAGES, read_block
from bridge.pages.command_words import AROUND, Word, looks_like, matters, mentions, near, suggested
from bridge.pages.markdown_lines import Line, Shown, dressed, emphasized, read_lines
from bridge.pages.marker import SHORT


@dataclass(frozen=True, slots=True)
class Command:
    """One command as it was written. `pairs` are `key=value` each; `block` is the fenced YAML.

    `digest` is the start of a request's digest, if an approval names the request it is of. The
    `reason` of an approval is what its author wrote behind it. `before` and `behind` are the
    author's own text around an approval, which nothing reads as input.
    """

    word: Word
    reason: str = ""
    pairs: tuple[str, ...] = ()
    block: str | None = None
    digest: str | None = None
    before: tuple[Line, ...] = field(default=(), compare=False, repr=False)
    behind: tuple[Line, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that was meant as a command and cannot be read; `why` is for its author.

    `aside` is true if it only mentions a command and objects to nothing.
    """

    why: str
    aside: bool = False


_COMMAND = re.compile(
    rf"((?:[0-9]{{1,9}}+[.)](?=\s)|\[[xX ]\](?=\s)|[{AROUND}])*+)"
    r"/([A-Za-z]{1,20})(?!_*+[^\W_]|[/=])(.*)"
)
#: Behind a word.
_BEHIND = re.compile(
    r"(?:[*_\"'”’»)\]}:,;!?…\u200b-\u200f\u2060\ufeff]|\.(?![^\W_])|[ \t]*+[-–—](?=\s|$)|[–—])*+"
)
_PLAIN_END = frozenset(" \t.,:;!…-–—")
_MOST_TYPOS = 20  # looked at in one comment
_OBJECTIONS = (Word.REJECT, Word.HOLD)  # the sterner one first
_STRICT = (Word.APPROVE, Word.UNHOLD, Word.WITHDRAW)
_DIGEST = re.compile(rf"[0-9a-f]{{{SHORT},64}}")
#: Cut off, or of another length: a number that somebody copied is no remark.
_NEARLY_DIGEST = re.compile(r"(?=[a-f]*[0-9])[0-9a-f]{7,}", re.IGNORECASE)
_PAIR = re.compile(r"[\w.-]+=", re.ASCII)
_QUOTES = (
    {'"': '"', "'": "'", "`": "`"}
    | dict.fromkeys("“”„‟", '“”„‟"')
    | dict.fromkeys("‘’‚‛", "‘’‚‛'")
    | dict.fromkeys("«»", "«»")
    | dict.fromkeys("‹›", "‹›")
)
#: A comma between pairs, or the end of a sentence: part of a value only within quotation marks.
_DANGLING = re.compile(r".*\w[.,;:!?…，；、。．：！？]++|.*(?<![,;，；、])[,;，；、]++[\w.-]++=.*")
#: What the page shows otherwise, or what only looks like a quotation mark around a value.
_DRESSED = re.compile(r"[<＜「『《〈【（［｛].*|.*[＂＇´″′「」『』《》〈〉].*|.*&#?\w{1,31};.*")
_QUOTING = (
    "a quotation mark goes around a whole value, and around one that ends in a comma, a full stop"
    ' or a question mark: write `notes="it\'s fine."`'
)


def read(body: str) -> Command | Unreadable | None:
    """The command in a comment's body; None if it holds none.

    An objection outweighs whatever else the comment says.
    """
    if not lookalikes.SLASHES.intersection(body):
        return None
    return _known(body) if len(body) <= _KEPT else _command(body)


#: Characters of a text that is remembered: two thousand of them are a few megabytes.
_KEPT = 2_000


@functools.lru_cache(maxsize=2_048)  # a look reads each for votes, objections and answers
def _known(body: str) -> Command | Unreadable | None:
    return _command(body)


def _command(body: str) -> Command | Unreadable | None:
    lines = read_lines(body)
    found = [each for number in range(len(lines)) if (each := _found(lines, number))]
    for word in _OBJECTIONS:
        for each in found:
            if each.word is word:
                return Command(word, reason=_reason(each, lines, found))
    unknown = [each for each in found if each.word is None][:_MOST_TYPOS]
    found = [
        each
        for each in found
        if each.word or (each in unknown and (each.like or near(each.written)))
    ]
    if len(found) > 1:  # `/lgtm` beside `/approve` says the same to another bot
        found = [
            each for each in found if each.word or each.like or matters(each.written)
        ] or found[:1]
    if len(found) > 1:
        return Unreadable("it has more than one command: write one comment for each")
    if not found:
        return _mentioned(lines)
    command = _read(found[0], lines)
    may_let_go = found[0].word in (Word.APPROVE, Word.UNHOLD)
    return (_objecting(lines) if may_let_go else None) or command


def readable(command: Command, schema: Mapping[str, Any] | None) -> Command | Unreadable:
    """The command; or why not, if its gate asks for input and the author seems to have given some
    where nothing reads it."""
    if command.word is not Word.APPROVE or not schema:
        return command
    form = f"write `{_form(command, schema)}`"
    if command.reason:
        return Unreadable(
            f"`{in_code(command.reason)}` is no `key=value`, and this gate asks for input: {form}"
        )
    given = {pair.partition("=")[0] for pair in command.pairs}
    names = [each.name for each in input_fields.fields(schema) if each.name not in given]
    lost = unread_input.lost(command.before, command.behind, names)
    return Unreadable(f"{lost}, or {form}") if lost else command


def given(command: Command, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """The input that an approval carries, checked, without the defaults of what it leaves out.

    Raises `Faults` with every fault of it.
    """
    return checked(
        schema,
        input_fields.parse_pairs(command.pairs, schema) if command.pairs else {},
        read_block(command.block, schema) if command.block is not None else {},
    )


def checked(schema: Mapping[str, Any] | None, *parts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts as one input, which fits the schema with its defaults. Raises `Faults`."""
    merged: dict[str, Any] = {}
    for part in parts:
        twice = sorted(merged.keys() & part.keys())
        if twice:
            raise Faults("the input", [f"{key} is given twice" for key in twice])
        merged |= part
    if merged and not schema:
        names = ", ".join(sorted(merged))
        raise Faults("the input", [f"this gate takes no input, and {names} was given"])
    if schema:
        input_fields.check(schema, merged)
    return merged


# -- where a command is ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """A line that may be a command. `word` is None if no command is called so.

    `bare` is false if more than a full stop, say, is around the word; `like` is the word that it
    only looks like.
    """

    word: Word | None
    written: str
    rest: str
    number: int
    bare: bool
    like: Word | None = None


def _found(lines: Sequence[Line], number: int) -> _Found | None:
    line = lines[number]
    if line.shown is not Shown.TEXT or not lookalikes.SLASHES.intersection(line.text):
        return None
    found = _as_written(line, number)
    if found and found.word:
        return found
    plain = found is not None and line.text.isascii() and "&" not in line.text
    return _dressed_up(line, number) or (None if plain else _looks_like(line, number)) or found


def _dressed_up(line: Line, number: int) -> _Found | None:
    """An objection that only looks like one on the page."""
    found = dressed_objections.find(line.text)
    if found is None:
        return None
    written, after = found
    behind = _BEHIND.match(after)
    rest = after[behind.end() if behind else 0 :].strip()
    return _Found(_word(written), written, rest, number, bare=False)


def _looks_like(line: Line, number: int) -> _Found | None:
    """What only looks like another command, in letters or unseen characters that make none."""
    found = looks_like(line.text)
    return _Found(None, found[0], "", number, bare=False, like=found[1]) if found else None


def _as_written(line: Line, number: int) -> _Found | None:
    match = _COMMAND.fullmatch(line.text.rstrip())
    if not match:
        return None
    before, written, after = match.groups()
    behind = _BEHIND.match(after)
    end = behind.end() if behind else 0
    if not end and after[:1] in (".", "-"):  # `/hold-on`, `/hold.txt`: another word
        return None
    rest = after[end:].strip()
    emphasis = "".join(set(before) & set("*_"))
    if emphasis:
        rest = rest.rstrip(emphasis).rstrip()
    bare = not before and _PLAIN_END.issuperset(after[:end]) and not rest.startswith("?")
    return _Found(_word(written), written, rest, number, bare)


def _word(written: str) -> Word | None:
    try:
        return Word(written.casefold())  # a phone writes the first letter large
    except ValueError:
        return None


def _mentions(lines: Iterable[Line]) -> list[tuple[Word, Shown]]:
    return [
        (word, line.shown_at(place))
        for line in lines
        if line.shown is not Shown.NOTHING
        for word, place in mentions(line.text)
    ]


def _mentioned(lines: Iterable[Line]) -> Unreadable | None:
    """What to tell somebody who wrote a command where it counts for nothing; objections first."""
    mentions = _mentions(lines)
    if not mentions:
        return None
    word, shown = min(mentions, key=lambda each: each[0] not in _OBJECTIONS)
    is_text = shown is Shown.TEXT
    where = "in the middle of a line" if is_text else f"in {shown}"
    return Unreadable(
        f"`/{word}` counts for nothing {where}: write it as the first thing on a line of its own",
        aside=not (is_text and word in _OBJECTIONS),
    )


def _objecting(lines: Iterable[Line]) -> Unreadable | None:
    """Why a text does not approve, if its plain words speak of an objection as well."""
    for word, shown in _mentions(lines):
        if shown is Shown.TEXT and word in (*_OBJECTIONS, Word.WITHDRAW):
            return Unreadable(
                f"it approves, and mentions `/{word}`: to say that, write `/{word}` as the first"
                " thing on a line; to approve, leave it out"
            )
    return None


# -- what a command says ---------------------------------------------------------------------------


def _reason(command: _Found, lines: Sequence[Line], found: Sequence[_Found]) -> str:
    """What its author says behind it, on the line and below, up to the next command.

    Of quotes, one directly under the command or under its words is a part of it; any other one only
    if nothing else is said: a mail program puts the whole page behind an answer.
    """
    later = [each.number for each in found if each.number > command.number]
    below = lines[command.number + 1 : later[0] if later else len(lines)]
    under: Sequence[Line] = [*takewhile(lambda line: line.text.strip(), below)]
    own = [line for line in below if line.shown in (Shown.TEXT, Shown.CODE)]
    if not command.rest and not any(line.text.strip() for line in own):
        under = below
    said = [
        line.text.lstrip("> \t") if line.shown is Shown.QUOTE else line.text
        for number, line in enumerate(below)
        if line.shown in (Shown.TEXT, Shown.CODE)
        or (line.shown is Shown.QUOTE and number < len(under))
    ]
    return "\n".join([command.rest, *said]).strip()


def _read(found: _Found, lines: Sequence[Line]) -> Command | Unreadable:
    if found.like:
        return Unreadable(
            f"this only looks like `/{found.like}`: a character of it is another one, or one that"
            f" nobody sees. Type `/{found.like}` yourself"
        )
    if found.word is None:
        return Unreadable(suggested(found.written), aside=not matters(found.written))
    if found.word in _STRICT and not found.bare:
        return Unreadable(
            f"`/{found.word}` must be the first thing on its line, without a blank or a mark before"
            " it, and may end in a full stop or a comma, but not in a question mark"
        )
    if found.word in _STRICT and (shown := dressed(lines[: found.number])):
        return Unreadable(f"`/{found.word}` counts for nothing in {shown}: write it before that")
    if found.word is Word.APPROVE:
        return _approval(found, lines)
    if found.word is Word.STATUS and found.rest:
        return Unreadable("`/status` goes on a line without other words")
    if found.word is Word.WITHDRAW:
        reason = _reason(found, lines, [found])
        return _of_own_word(reason) or Command(Word.WITHDRAW, reason=reason)
    below = found.word is Word.UNHOLD and re.fullmatch(r"\S*@\S+", found.rest)  # who, then why
    return Command(found.word, reason=_reason(found, lines, [found]) if below else found.rest)


def _of_own_word(reason: str) -> Unreadable | None:
    """Why it ends nothing if somebody seems to take back only what they said themselves."""
    if one_line(reason) and not remarks.takes_back_own(reason):
        return None
    return Unreadable(
        f"`/{Word.WITHDRAW}` ends this request for everybody: say why behind it, such as that the"
        f" run was killed. You take back your own objection with `/{Word.UNHOLD}`, and your own"
        f" approval with `/{Word.HOLD}`"
    )


def _approval(found: _Found, lines: Sequence[Line]) -> Command | Unreadable:
    block, after = _block_under(lines, found.number + 1)
    if isinstance(block, Unreadable):
        return block
    said = _said_behind(found.rest)
    if isinstance(said, Unreadable):
        return said
    before, behind = lines[: found.number], lines[after:]
    hidden = [line for line in lines[found.number : found.number + 1] if line.hidden]
    command = replace(said, block=block, before=tuple(before), behind=(*hidden, *behind))
    return _taken_back(before, behind) or command


def _taken_back(before: Sequence[Line], behind: Sequence[Line]) -> Unreadable | None:
    """Why an approval counts for nothing, if the text around it makes it conditional.

    In the command's own paragraph, any such word does; in another one, if a sentence begins so.
    """
    near = [*takewhile(_is_said, reversed(before)), *takewhile(_is_said, behind)]
    far = [*before, *behind]
    said = (
        each.text
        for each in far
        if _is_said(each) and not each.text.startswith(unread_input.REASON)
    )
    word = remarks.doubt("\n".join(each.text for each in near)) or remarks.leading_doubt(
        "\n".join(said)
    )
    return _no_conditions(word) if word else None


def _is_said(line: Line) -> bool:
    return line.shown is Shown.TEXT and bool(line.text.strip())


def _doubted(remark: str) -> Unreadable | None:
    """Why words behind an approval's word are no plain praise."""
    if word := remarks.doubt(remark):
        return _no_conditions(word)
    if re.search(r"[^\s.,:;!…()-]", remark) and not remarks.praises(remark):
        return Unreadable(
            f"`{in_code(remark)}` after `/{Word.APPROVE}` may be a condition: write only the"
            " command, `LGTM` or an input as `name=value` after it, and the rest in another comment"
        )
    return None


def _no_conditions(word: str) -> Unreadable:
    return Unreadable(
        f"an approval has no conditions, and `{in_code(word)}` may be one: `/{Word.HOLD}` what is"
        f" not to go on yet, or write `/{Word.APPROVE}` without it"
    )


def _said_behind(rest: str) -> Command | Unreadable:
    """The digest, then `key=value` words, or a remark, behind an approval's word."""
    first = (rest.split(maxsplit=1) or [""])[0]
    digest = first.rstrip(".,:;!")
    if _DIGEST.fullmatch(digest):
        rest = rest[len(first) :].strip()
    elif _NEARLY_DIGEST.fullmatch(digest):
        return Unreadable(
            f"`{in_code(digest)}` is not the whole number of a version: copy the command from the"
            " page"
        )
    else:
        digest = ""
    if not re.search(r"(?:^|\s)[\w.-]+=", rest):
        return _doubted(rest) or Command(Word.APPROVE, reason=rest, digest=digest or None)
    pairs = _pairs(rest)
    if isinstance(pairs, Unreadable):
        return pairs
    counted = Counter(pair.partition("=")[0] for pair in pairs)
    twice = sorted(key for key, times in counted.items() if times > 1)
    if twice:
        return Unreadable(f"given twice: {', '.join(twice)}")
    return Command(Word.APPROVE, pairs=tuple(pairs), digest=digest or None)


def _pairs(text: str) -> list[str] | Unreadable:
    """`key=value` words. A quotation mark, also a curly one, holds blanks together; nothing else
    means anything but itself."""
    found = []
    text = text.strip()
    while text:
        key = _PAIR.match(text)
        if not key:
            return Unreadable(
                f"`{in_code(text.split()[0])}` is no `key=value`; text with spaces goes in"
                ' quotation marks: `notes="looks good"`'
            )
        value = text[key.end() :]
        closes = _QUOTES.get(value[:1], "")
        if closes:
            end = next((n for n, each in enumerate(value[1:], 1) if each in closes), 0)
            inside, text = value[1:end], value[end + 1 :]
            if not end or (text and not text[0].isspace()):
                return Unreadable(_QUOTING)
        else:
            inside = "" if value[:1].isspace() else (value.split(maxsplit=1) or [""])[0]
            text = value[len(inside) :]
            if (
                any(each in _QUOTES for each in inside)
                or _DANGLING.fullmatch(inside)
                or _DRESSED.fullmatch(inside)
                or emphasized(inside)
            ):
                return Unreadable(_QUOTING)
            if unseen(inside):
                return Unreadable(
                    f"`{in_code(key[0] + inside)}` holds a character that nobody"
                    " sees: type the value again"
                )
        found.append(key[0] + inside)
        text = text.strip()
    return found


def _block_under(lines: Sequence[Line], start: int) -> tuple[str | Unreadable | None, int]:
    """The fenced block under a command, and the number of the line after it."""
    at = start
    while at < len(lines) and not lines[at].text.strip():
        at += 1
    fence = lines[at].fence if at < len(lines) else None
    if fence is None:
        return None, start
    if fence.info.casefold() not in LANGUAGES:
        return (
            Unreadable(
                f"the block under the command is marked `{in_code(fence.info)}`, and was not read:"
                " mark it `yaml` or `json`, or leave the mark out"
            ),
            fence.end,
        )
    if not fence.closed:
        return Unreadable("the block under the command has no end: close it with ```"), fence.end
    return fence.text, fence.end


def _form(command: Command, schema: Mapping[str, Any]) -> str:
    """The command to write, with a place for each input."""
    names = input_fields.owed(schema) or [each.name for each in input_fields.fields(schema)][:1]
    blanks = [f"{in_code(name, 60)}=…" for name in names]
    return " ".join([f"/{Word.APPROVE}", *filter(None, [command.digest]), *blanks])
