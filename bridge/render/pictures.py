"""The pictures of a request, as Markdown shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from bridge.core.picture import Picture
from bridge.core.sanitize import shortened

#: Of the words beside a picture.
_ALT: Final = 300
#: Of the pictures on a page; the record may list more, and their words are bounded alone.
_MOST: Final = 20


@dataclass(frozen=True, slots=True)
class Folder:
    """The gate's folder, as the page that shows the pictures gets at it. `ending`: GitHub gives a
    file's content, with the reader's own session, only if it is asked for it."""

    url: str = ""
    ending: str = ""

    def address(self, file: str) -> str:
        return escape(f"{self.url}/{file}{self.ending}" if self.url else file)


#: The page is a file of that folder.
BESIDE: Final = Folder()


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture with its words. `image` is HTML; `caption` is not harmless yet."""

    image: str
    caption: str


def shown(pictures: Sequence[Picture], folder: Folder) -> Iterator[Shown]:
    """Each picture once. The words stand below it too: a mail and an app may show no pictures."""
    dark = {each.of: each for each in pictures if each.dark}
    for each in [each for each in pictures if not each.dark][:_MOST]:
        yield Shown(_image(each, dark.get(each.of), folder), shortened(each.alt, _ALT))


def _image(light: Picture, dark: Picture | None, folder: Folder) -> str:
    # Each on a line of its own and no blank one between: then no Markdown is read in it.
    # https://spec.commonmark.org/0.31.2/#html-blocks
    lines = ["<picture>"]
    if dark:
        media = "(prefers-color-scheme: dark)"
        lines.append(f'<source media="{media}" srcset="{folder.address(dark.file)}">')
    alt = escape(shortened(light.alt, _ALT))
    lines.append(f'<img alt="{alt}" src="{folder.address(light.file)}">')
    return "\n".join([*lines, "</picture>"])
