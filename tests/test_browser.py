"""The pages in Chromium: nothing scrolls sideways on a phone, and axe finds nothing to mend.

`make test-browser` runs this; it needs Chromium. With `DRAW=1` it draws docs/pictures anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests import eye
from tests.chromium import chromium
from tests.forge import world

OUT = eye.ROOT / "build" / "eye"
PICTURES = eye.ROOT / "docs" / "pictures"
#: The pages that the documentation shows.
SHOWN = ("half-approved",)
PHONE, DESKTOP = 360, 820


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, eye.Seen]:
    with world(tmp_path_factory.mktemp("world"), eye.POLICY) as at:
        return {each.name: each for each in eye.pages(at)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


def shown(browser: Browser, seen: eye.Seen, theme: str, width: int) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_content(seen.html(theme))
    OUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUT / f"{seen.name}-{theme}-{width}.png", full_page=True)
    return page


NAMES = ("first-look", "half-approved", "approved", "worse", "rejected")
#: What each page must show at once, in a row of its table.
ROWS = {**dict.fromkeys(NAMES, "fruit"), "choice": "a-long-name"}
WIDER = """() => [...document.querySelectorAll('body, article, table, pre, blockquote')]
    .filter(each => each.checkVisibility() && each.scrollWidth > each.clientWidth + 1)
    .map(each => each.tagName + ' ' + each.scrollWidth + ': ' + each.innerText.slice(0, 80))"""


@pytest.mark.parametrize("name", ROWS)
def test_nothing_scrolls_sideways_on_a_phone(
    browser: Browser, pages: dict[str, eye.Seen], name: str
) -> None:
    page = shown(browser, pages[name], "light", PHONE)
    assert page.locator("tr", has_text=ROWS[name]).first.is_visible()
    assert page.evaluate(WIDER) == []
    page.close()


@pytest.mark.parametrize("theme", eye.THEMES)
@pytest.mark.parametrize("name", ROWS)
def test_axe_finds_nothing_to_mend(
    browser: Browser, pages: dict[str, eye.Seen], name: str, theme: str
) -> None:
    page = shown(browser, pages[name], theme, DESKTOP)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_first_screen_of_a_phone_says_what_is_asked_and_what_changed(
    browser: Browser, pages: dict[str, eye.Seen], name: str
) -> None:
    page = shown(browser, pages[name], "light", PHONE)
    first = page.locator("article").first.locator("p", has_text="accuracy 0.").first
    box = first.bounding_box()
    assert box
    assert box["y"] + box["height"] < 900
    page.close()


@pytest.mark.parametrize("name", SHOWN)
def test_the_pictures_of_the_documentation_are_current(
    browser: Browser, pages: dict[str, eye.Seen], name: str
) -> None:
    drawn = PICTURES / f"{name}.txt"
    if "DRAW" in os.environ:
        for theme in eye.THEMES:
            page = shown(browser, pages[name], theme, DESKTOP)
            page.screenshot(path=PICTURES / f"{name}-{theme}.png", full_page=True)
            page.close()
        drawn.write_text(pages[name].source())
    assert drawn.read_text() == pages[name].source(), "make test-browser DRAW=1"
