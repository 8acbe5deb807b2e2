"""A comment's lines as GitHub's page shows them: plain text, a quote, code, or nothing at all.

Only as much of Markdown (https://github.github.com/gfm/) as it takes to know whether a reader sees
a line as its author's own words. The time is linear in the text's length.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from operator import itemgetter


class Shown(StrEnum):
    """What a reader of the rendered page takes a line for."""

    TEXT = "text"
    QUOTE = "a quote"
    CODE = "code"
    NOTHING = "nothing"  # an HTML comment


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block. `end` is the number of the line after it."""

    info: str
    text: str
    closed: bool
    end: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text. `fence` is the block that it opens, if it opens one.

    `code` is what of a plain line is code: from where to where. `hidden` says that the page does
    not show a part of what was written here, an HTML comment.
    """

    text: str
    shown: Shown = Shown.TEXT
    fence: Fence | None = None
    code: tuple[tuple[int, int], ...] = ()
    hidden: bool = False

    def shown_at(self, place: int) -> Shown:
        """What a reader takes the character at this place for."""
        before = bisect_right(self.code, place, key=itemgetter(0)) - 1
        inside = before >= 0 and place < self.code[before][1]
        return Shown.CODE if inside else self.shown


def read_lines(body: str) -> list[Line]:
    """The lines of a Markdown text, each with what a reader takes it for."""
    return _LineReader(_LINE_END.split(body)).lines()


#: Not `str.splitlines`: it also ends a line at U+2028 and the like, where GitHub's page does not.
_LINE_END = re.compile(r"\r\n|\r|\n")
#: Possessive: if a line of 65,536 characters fits nearly, going back would take minutes.
_FENCE = re.compile(r"(`{3,}+|~{3,}+)([^`]*+)")
_MARK = re.compile(r"(?:[-+*]|[0-9]{1,9}+[.)])(?=[ \t]|$)")
_INTERRUPTS = re.compile(r"(?:[-+*]|1[.)])[ \t]+\S")
_HEADING = re.compile(r"#{1,6}(?=[ \t]|$)")
_RULE = re.compile(r"(?:-[ \t]*+){3,}+|(?:\*[ \t]*+){3,}+|(?:_[ \t]*+){3,}+|=++[ \t]*+|-++[ \t]*+")
#: HTML that shows what is in it as code, as a quote, or struck out; it goes on over blank lines.
_TAGS = {"pre": Shown.CODE, "code": Shown.CODE, "samp": Shown.CODE, "kbd": Shown.CODE,
         "textarea": Shown.CODE, "script": Shown.CODE, "style": Shown.CODE,
         "blockquote": Shown.QUOTE, "q": Shown.QUOTE, "del": Shown.CODE, "s": Shown.CODE,
         "strike": Shown.CODE}  # fmt: skip
_HTML = re.compile(
    rf"<({'|'.join(_TAGS)})(?=[ \t>]|$)|(<!--)|(<\?)|(<!\[cdata\[)|(<![a-z])", re.IGNORECASE
)
#: As a browser ends it, which shows what follows: `<!-->` is a whole comment, `<?x>` another.
#: https://html.spec.whatwg.org/multipage/parsing.html#comment-start-state
_ENDS = {2: re.compile(r"--!?>"), **dict.fromkeys((3, 4, 5), re.compile(">"))}
#: What ends a paragraph, and a list item that it is not within.
_STARTS = re.compile(r"[->#<+*]|[0-9]{1,9}+[.)]|```|~~~")
_DEEPEST = 20  # lists in lists on one line: each looks at the rest of it
_INLINE = re.compile(r"`++|<!--")
#: A backslash before it, or nothing in it: it hides nothing.
_NO_COMMENT = re.compile(r"\\<!--|.?<!---?>", re.DOTALL)


class _LineReader:
    """One pass over the lines. `_open` is the paragraph that goes on until a blank line, mark or no
    mark of a quote; `_items` are the columns at which the text of the open list items begins."""

    def __init__(self, raw: Sequence[str]) -> None:
        self._raw = raw
        self._lines: list[Line] = []
        self._open: Shown | None = None
        self._items: list[int] = []
        self._quoted_fence: str | None = None
        self._paragraph: list[int] = []  # the numbers of its lines

    def lines(self) -> list[Line]:
        while len(self._lines) < len(self._raw):
            self._next(self._raw[len(self._lines)])
        self._end_paragraph()
        return self._lines

    def _next(self, line: str) -> None:
        if not line.strip(" \t"):
            self._close()
            self._lines.append(Line(line))
            return
        column, rest = _indent(line, 0)
        if self._open is None or _STARTS.match(rest):
            while self._items and column < self._items[-1]:
                self._items.pop()
        if self._open is None and column >= self._inside() + 4:
            self._lines.append(Line(line, Shown.CODE))
            return
        column, rest, deep = self._marks(column, rest)
        if deep:
            self._lines.append(Line(line, Shown.CODE))
        elif rest.startswith(">"):
            self._quote(line, rest)
        else:
            self._block(line, rest)

    def _inside(self) -> int:
        return self._items[-1] if self._items else 0

    def _close(self) -> None:
        self._end_paragraph()
        self._open = None
        self._quoted_fence = None

    def _marks(self, column: int, rest: str) -> tuple[int, str, bool]:
        """The text behind the marks of a list, and whether it is so far behind them to be code."""
        if self._open is not None and not self._items and not _INTERRUPTS.match(rest):
            return column, rest, False
        for _ in range(_DEEPEST):
            mark = _MARK.match(rest)
            if not mark or _RULE.fullmatch(rest):
                break
            self._close()
            start = column + len(mark[0])
            column, rest = _indent(rest[mark.end() :], start)
            deep = bool(rest) and column - start > 4
            self._items.append(start + 1 if deep or not rest else column)
            if deep:
                return column, rest, True
        return column, rest, False

    def _quote(self, line: str, rest: str) -> None:
        if not self._lines or self._lines[-1].shown is not Shown.QUOTE:
            self._close()
        inner = rest.lstrip("> \t")
        fence = _FENCE.fullmatch(inner)
        if self._quoted_fence is not None:
            if fence and fence[1].startswith(self._quoted_fence) and not fence[2].strip():
                self._quoted_fence = None
            self._open = None
        elif fence:
            self._quoted_fence, self._open = fence[1], None
        else:
            goes_on = bool(inner) and not _HEADING.match(inner) and not _RULE.fullmatch(inner)
            self._open = Shown.QUOTE if goes_on else None
        self._lines.append(Line(line, Shown.QUOTE))

    def _block(self, line: str, rest: str) -> None:
        self._quoted_fence = None
        fence = _FENCE.fullmatch(rest)
        if fence:
            self._fenced(fence)
            return
        html = _HTML.match(rest)
        if html:
            self._html(html)
            return
        if _HEADING.match(rest) or _RULE.fullmatch(rest):
            self._close()
            self._paragraph.append(len(self._lines))
            self._lines.append(Line(line))
            self._end_paragraph()
            return
        if self._open is not Shown.QUOTE:
            self._open = Shown.TEXT
            self._paragraph.append(len(self._lines))
        # Markdown goes on with a quote on the next line, mark or no mark, until a blank one.
        self._lines.append(Line(line, self._open))

    def _fenced(self, fence: re.Match[str]) -> None:
        self._close()
        start = len(self._lines) + 1
        end = re.compile(rf"[ \t]*+{re.escape(fence[1][0])}{{{len(fence[1])},}}+[ \t]*+")
        at = start
        while at < len(self._raw):
            line = self._raw[at]
            column, rest = _indent(line, 0)
            if end.fullmatch(line) and column <= self._inside() + 3:
                break
            if rest and column < self._inside():  # the list item ends, and the block with it
                break
            at += 1
        closed = at < len(self._raw)
        after = at + 1 if closed and end.fullmatch(self._raw[at]) else at
        block = Fence(fence[2].strip(), "\n".join(self._raw[start:at]), closed, after)
        self._take(after, Shown.CODE)
        self._lines[start - 1] = replace(self._lines[start - 1], fence=block)

    def _html(self, html: re.Match[str]) -> None:
        self._close()
        index = len(self._lines)
        tag = (html[1] or "").casefold()
        shown = _TAGS[tag] if tag else Shown.NOTHING
        ends = re.compile(rf"</{tag}", re.IGNORECASE) if tag else _ENDS[html.lastindex or 0]
        start = self._raw[index].find(html[0])
        end = ends.search(self._raw[index], start + (len(html[0]) if tag else 2))
        while not end and index + 1 < len(self._raw):
            index += 1
            end = ends.search(self._raw[index])
        self._take(index + 1, shown)
        tail = self._raw[index][end.end() :] if end else ""
        if shown is Shown.NOTHING and tail.strip():
            self._lines[-1] = Line(
                " " + tail, hidden=True
            )  # what stands behind a comment is on the page

    def _take(self, end: int, shown: Shown) -> None:
        self._lines += [Line(each, shown) for each in self._raw[len(self._lines) : end]]

    # -- within a paragraph --------------------------------------------------------------------

    def _end_paragraph(self) -> None:
        """Take code and comments that run over the ends of lines out of the paragraph's text."""
        numbers, self._paragraph = self._paragraph, []
        text = "\n".join(self._lines[each].text for each in numbers)
        if "`" not in text and "<!--" not in text:
            return
        spans = list(_spans(text))
        blanked = list(text)
        for start, end, shown in spans:
            if shown is Shown.NOTHING:
                blanked[start:end] = [c if c == "\n" else " " for c in blanked[start:end]]
        code = [(start, end) for start, end, shown in spans if shown is Shown.CODE]
        at = first = 0
        for number, line in zip(numbers, "".join(blanked).split("\n"), strict=True):
            here = []
            while first < len(code) and code[first][0] < at + len(line):
                here.append((code[first][0] - at, code[first][1] - at))
                if code[first][1] > at + len(line):
                    break
                first += 1
            inside = bool(here) and here[0][0] < 0
            self._lines[number] = Line(
                line,
                Shown.CODE if inside else Shown.TEXT,
                code=tuple(here),
                hidden=self._lines[number].hidden or line != self._lines[number].text,
            )
            at += len(line) + 1


def dressed(before: Sequence[Line]) -> Shown | None:
    """What HTML that these lines leave open, anywhere in them, makes of the line behind them."""
    left: dict[str, int] = {}
    for line in before:
        if line.shown is not Shown.TEXT:
            continue
        for match in _TAG.finditer(line.text):
            if line.shown_at(match.start()) is Shown.TEXT:
                tag = match[2].casefold()
                left[tag] = max(0, left.get(tag, 0) + (-1 if match[1] else 1))
    return next((_TAGS[tag] for tag, count in left.items() if count), None)


_TAG = re.compile(rf"<(/?)({'|'.join(_TAGS)})(?=[\s/>]|$)", re.IGNORECASE)


def emphasized(value: str) -> bool:
    """Whether a mark that the page does not show is around a value."""
    rest = value.lstrip("*_~")  # a pattern that asks for the same mark again goes back for each
    mark = value[: len(value) - len(rest)]
    return bool(mark) and rest.endswith(mark) and bool(re.search(r"\w", rest[: -len(mark)]))


def _indent(text: str, column: int) -> tuple[int, str]:
    """The column at which a text begins, tabs counted as GitHub does, and the text from there."""
    rest = text.lstrip(" \t")
    for blank in text[: len(text) - len(rest)]:
        column += 4 - column % 4 if blank == "\t" else 1
    return column, rest


def _spans(text: str) -> Iterator[tuple[int, int, Shown]]:
    """The code and the comments within a paragraph: from where to where. What begins first wins."""
    found = list(_INLINE.finditer(text))
    ticks: dict[int, list[int]] = {}
    for each in found:
        if each[0] != "<!--":
            ticks.setdefault(len(each[0]), []).append(each.start())
    done = 0
    last_comment = text.rfind("-->")
    for each in found:
        start, length = each.start(), len(each[0])
        if start < done or (length == 1 and text[start - 1 : start] == "\\"):
            continue
        if each[0] == "<!--" and _NO_COMMENT.match(text, max(start - 1, 0)):
            continue
        if each[0] == "<!--":
            closed = each.end() <= last_comment
            end = text.find("-->", each.end()) if closed else -1
            closes, shown = 3, Shown.NOTHING
        else:
            same = ticks[length]
            after = bisect_left(same, each.end())
            end, closes, shown = (same[after] if after < len(same) else -1), length, Shown.CODE
        if end >= 0:
            done = end + closes
            yield start, done, shown
