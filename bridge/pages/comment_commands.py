"""Commands in a comment or a review: `/approve key=value`, `/reject reason`, and their kin.

A command is a line of its own that a reader of the rendered page sees as plain text. What stands in
a quote, in code, in an HTML comment or inside a sentence is talk about a command.
"""

from __future__ import annotations

import difflib
import math
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bridge.core import input_fields
from bridge.core.errors import Faults, LedgerCorrupt
from bridge.core.sanitize import one_line
from bridge.core.yaml_text import dump, load


class Word(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"
    HOLD = "hold"
    UNHOLD = "unhold"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class Command:
    """One command as it was written. `pairs` are `key=value` each; `block` is the fenced YAML.

    `digest` is the start of a request's digest, where an approval names the request it is of.
    """

    word: Word
    reason: str = ""
    pairs: tuple[str, ...] = ()
    block: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that was meant as a command and cannot be read; `why` is told to its author."""

    why: str


#: Not `str.splitlines`: it also ends a line at U+2028 and the like, where GitHub's page does not.
_LINE_END = re.compile(r"\r\n|\r|\n")
#: Possessive: where a line of 65,536 characters fits nearly, going back would take minutes.
_FENCE = re.compile(r" {0,3}(`{3,}+|~{3,}+)([^`]*+)")
_QUOTE = re.compile(r" {0,3}>")
_WORD = re.compile(r"/([A-Za-z]+)(?:[ \t]+(.*))?")
_RAW = {"<pre": "</pre>", "<!--": "-->", "<script": "</script>", "<style": "</style>",
        "<textarea": "</textarea>", "<?": "?>", "<![CDATA[": "]]>"}  # fmt: skip
_DIGEST = re.compile(r"[0-9a-f]{12,64}")
_YAML = {"", "yaml", "yml", "json"}


def read(body: str) -> Command | Unreadable | None:
    """The command in a comment's body; None where it holds none."""
    found = list(_commands(_LINE_END.split(body)))
    if len(found) > 1:
        return Unreadable("it holds more than one command: write one comment for each")
    if not found:
        return None
    word, rest, block = found[0]
    known = _known(word)
    if isinstance(known, Unreadable):
        return known
    if known is Word.APPROVE:
        return _approval(rest, block)
    if known is Word.STATUS and rest:
        return Unreadable("`/status` stands alone on its line")
    return Command(known, reason=rest)


def approval(inputs: Mapping[str, Any], digest: str | None = None, reason: str = "") -> str:
    """The text of an approval, as `read` takes it."""
    lines = [" ".join(filter(None, [f"/{Word.APPROVE}", digest]))]
    if inputs:
        block = dump(inputs)
        fence = "`" * (max(map(len, re.findall("`+", block)), default=0) + 3)
        lines.append(f"{fence}yaml\n{block}{fence}")
    if reason.strip():
        lines.append(f"\nReason: {one_line(reason)}")  # or it could be a command itself
    return "\n".join(lines) + "\n"


def rejection(reason: str) -> str:
    """The text of a rejection, as `read` takes it."""
    return f"/{Word.REJECT} {one_line(reason)}\n"


def given(command: Command, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """The input that an approval carries, checked. Raises `Faults` with every fault of it."""
    return checked(
        schema,
        input_fields.parse_pairs(command.pairs, schema) if command.pairs else {},
        _block(command.block) if command.block is not None else {},
    )


def checked(schema: Mapping[str, Any] | None, *parts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts as one input that fits the schema. Raises `Faults`."""
    merged: dict[str, Any] = {}
    for part in parts:
        twice = sorted(merged.keys() & part.keys())
        if twice:
            raise Faults("the input", [f"{key} is given twice" for key in twice])
        merged |= part
    if merged and not schema:
        names = ", ".join(sorted(merged))
        raise Faults("the input", [f"this gate takes no input, and {names} was given"])
    return input_fields.check(schema, merged) if schema else {}


def _known(word: str) -> Word | Unreadable:
    try:
        return Word(word.casefold())  # a phone writes the first letter large
    except ValueError:
        near = difflib.get_close_matches(word.casefold(), list(Word), 1, 0.7)[0]
        return Unreadable(f"`/{word}` is no command: did you mean `/{near}`?")


def _approval(rest: str, block: str | Unreadable | None) -> Command | Unreadable:
    if isinstance(block, Unreadable):
        return block
    try:
        pairs = shlex.split(rest)
    except ValueError:
        return Unreadable('a quotation mark has no partner: write `notes="it\'s fine"`')
    digest = pairs.pop(0) if pairs and _DIGEST.fullmatch(pairs[0]) else None
    wrong = [pair for pair in pairs if not re.match(r"[\w.-]+=", pair)]
    if wrong:
        return Unreadable(
            f"`{_shown(wrong[0])}` is no `key=value`; text with spaces goes in quotation marks:"
            ' `notes="looks good"`'
        )
    counted = Counter(pair.partition("=")[0] for pair in pairs)
    twice = sorted(key for key, times in counted.items() if times > 1)
    if twice:
        return Unreadable(f"given twice: {', '.join(twice)}")
    return Command(Word.APPROVE, pairs=tuple(pairs), block=block, digest=digest)


def _shown(text: str) -> str:
    return text[:40].replace("`", "'")


def _block(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        found = load(text, "the yaml block")
    except LedgerCorrupt as error:
        raise Faults("the input", [str(error)]) from None
    faults = list(_implausible(found, ""))
    if faults:
        raise Faults("the input", faults)
    return found


def _implausible(value: object, path: str) -> Iterator[str]:
    """What YAML reads into a text that the approver may not have meant, and JSON cannot say."""
    match value:
        case dict():
            for key, each in value.items():
                if not isinstance(key, str):
                    yield f"the key {key!r} is no text: put it in quotation marks"
                else:
                    yield from _implausible(each, f"{path}.{key}" if path else key)
        case list():
            for index, each in enumerate(value):
                yield from _implausible(each, f"{path}[{index}]")
        case float() if not math.isfinite(value):
            yield f"{path} is {value}, which is no number"
        case None | bool() | int() | float() | str():
            return
        case _:
            yield f"{path} reads as a {type(value).__name__}: put it in quotation marks"


# -- what of a body is plain text ------------------------------------------------------------------


def _commands(lines: Sequence[str]) -> Iterator[tuple[str, str, str | Unreadable | None]]:
    """(word, rest of its line, fenced block under it) for each line that is a command."""
    index = 0
    quoted = False
    while index < len(lines):
        line = lines[index]
        end = _hidden(lines, index)
        if end is not None:
            index, quoted = end, False
            continue
        index += 1
        # Markdown goes on with a quote on the next line, mark or no mark, until a blank one.
        quoted = bool(_QUOTE.match(line)) or (quoted and bool(line.strip()))
        match = None if quoted else _WORD.fullmatch(line.rstrip())
        if not match or not difflib.get_close_matches(match[1].casefold(), list(Word), 1, 0.7):
            continue
        block, index = _block_under(lines, index)
        yield match[1], (match[2] or "").strip(), block


def _hidden(lines: Sequence[str], index: int) -> int | None:
    """The line after the fenced code or raw HTML that begins on this one; None where none does."""
    fence = _FENCE.fullmatch(lines[index])
    if fence:
        return _closing(lines, index, fence[1])[0]
    start = lines[index].lstrip(" ").casefold()
    for opens, closes in _RAW.items():
        at = start.find(opens.casefold()) if opens == "<!--" else 0
        if at < 0 or not start.startswith(opens.casefold(), at):
            continue
        rest = start[at + len(opens) :]
        while closes.casefold() not in rest:
            index += 1
            if index == len(lines):
                return index
            rest = lines[index].casefold()
        return index + 1
    return None


def _closing(lines: Sequence[str], index: int, fence: str) -> tuple[int, bool]:
    """The line after this fence's end, and whether it has one: else it runs to the body's end."""
    end = re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*")
    for at in range(index + 1, len(lines)):
        if end.fullmatch(lines[at]):
            return at + 1, True
    return len(lines), False


def _block_under(lines: Sequence[str], index: int) -> tuple[str | Unreadable | None, int]:
    start = index
    while start < len(lines) and not lines[start].strip():
        start += 1
    fence = _FENCE.fullmatch(lines[start]) if start < len(lines) else None
    if not fence or fence[2].strip().casefold() not in _YAML:
        return None, index
    end, closed = _closing(lines, start, fence[1])
    if not closed:
        return Unreadable("the block under the command has no end: close it with ```"), end
    return "\n".join(lines[start + 1 : end - 1]), end
