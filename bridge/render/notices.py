"""A notice in the form that each service reads best: plain text, Markdown, or the HTML of a mail.

Values in, text out. What people and runs wrote is harmless in each of them: it mentions nobody,
names no link, and is no markup.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bridge.core.sanitize import in_code


@dataclass(frozen=True, slots=True)
class Notice:
    """What people are notified of. `said` is the message of the gate, and may hold several lines.

    Each pair is a label, which may be empty, and what stands behind it.
    """

    page: tuple[str, str] | None = None  # the link on which people answer
    commands: tuple[tuple[str, str], ...] = ()
    about: tuple[tuple[str, str], ...] = ()
    said: str = ""
    values: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()


def as_text(notice: Notice) -> str:
    lines = [
        *(_labelled(*each) for each in ([notice.page] if notice.page else notice.commands)),
        *(_labelled(*each) for each in notice.about),
        *(["", notice.said] if notice.said else []),
        *(_labelled(*each) for each in (*notice.values, *notice.links)),
    ]
    return "\n".join(lines)


def _labelled(label: str, says: str) -> str:
    return f"{label}: {says}" if label else says


def as_markdown(notice: Notice) -> str:
    return "\n\n".join("\n".join(block) for block in _blocks(_in_markdown(notice)))


def _in_markdown(notice: Notice) -> Iterator[Iterable[str]]:
    if notice.page:
        label, page = notice.page
        yield [f"**[{label or 'The request'}]({address(page)})**"]
    else:
        yield [f"{label}: `{in_code(command, 1_000)}`" for label, command in notice.commands]
    yield [f"- **{label}:** {_plain(says)}" if label else f"- {_plain(says)}"
           for label, says in notice.about]  # fmt: skip
    yield [f"> {_plain(line)}" for line in notice.said.splitlines()]
    yield [f"- `{in_code(name, 200)}`: `{in_code(value, 400)}`" for name, value in notice.values]
    yield [f"- {_plain(label)}: {address(link)}" for label, link in notice.links]


def as_html(notice: Notice) -> str:
    """Of the few elements that mail and chats have in common."""
    return "<br/><br/>\n".join("<br/>\n".join(block) for block in _blocks(_in_html(notice)))


def _in_html(notice: Notice) -> Iterator[Iterable[str]]:
    if notice.page:
        label, page = notice.page
        link = html.escape(page)
        yield [f'<b><a href="{link}">{html.escape(label or "The request")}</a></b>']
    else:
        yield [
            f"{label}: <code>{html.escape(command)}</code>" for label, command in notice.commands
        ]
    yield [f"<b>{label}:</b> {html.escape(says)}" if label else html.escape(says)
           for label, says in notice.about]  # fmt: skip
    yield [html.escape(line) for line in notice.said.splitlines()]
    yield [f"<code>{html.escape(name)}</code>: {html.escape(value)}"
           for name, value in notice.values]  # fmt: skip
    yield [f"{html.escape(label)}: {html.escape(link)}" for label, link in notice.links]


def _blocks(parts: Iterable[Iterable[str]]) -> Iterator[list[str]]:
    yield from filter(None, map(list, parts))


def address(link: str) -> str:
    """An address that ends where it ends."""
    return re.sub(r"[\s()<>\[\]`*]", lambda found: f"%{ord(found[0]):02X}", link)


def _plain(text: str) -> str:
    """Words on one line, in which no Markdown of any chat finds a link, code, or a heading."""
    line = " ".join(text.replace("`", "'").splitlines())
    spaced = re.sub(r"\](?=[(\[:])", "]\u200b", line)  # `[words]: address` makes `[words]` a link
    return re.sub(r"^(?=[#>=~|-])", "\u200b", spaced)


def titled(title: str, form: str) -> str:
    """The title in the form of its notice: for many services, Apprise puts it into the body."""
    if form == "html":
        return title.translate({ord("<"): "‹", ord(">"): "›"})
    return _plain(title) if form == "markdown" else title


def cut_at_line(body: str, most: int) -> str:
    """At most so many characters, in whole lines: a chat refuses HTML that ends in an element."""
    return body if len(body) <= most else body[:most].rpartition("\n")[0]


FORMS = {"text": as_text, "markdown": as_markdown, "html": as_html}
