"""What the opener wrote on a page, held against what the decider makes of the request."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.digest import digest_of
from bridge.core.facts import About, Fact, Source, account
from bridge.core.model import Artifact, Link, Standing
from bridge.core.timestamps import moment_out
from bridge.pages import page_text
from bridge.pages.body_history import Shown, Spans
from bridge.pages.false_words import with_misworded
from bridge.pages.model import LONGEST_BODY, Account, Edit, Page, Rename, Revision, Voices
from bridge.render.request import message
from tests.test_votes import BOT, HEAD, MALLORY, NOON, OPENER, SITE, VOICES, at, page, request

HERE = replace(SITE, voices=replace(VOICES, me=BOT.id))
ASKED = request(
    artifacts=(Artifact("score", "float", "sha256:" + "a" * 64, value="0.93"),),
    links=(Link("card", "https://cards.test/7"),),
)
STANDING = Standing(ASKED, None, HEAD, HEAD)
SEEN = Shown(HEAD, digest_of(ASKED), NOON, NOON, NOON)
TRUE = page_text.body(ASKED, HEAD, HERE)
TITLE = page_text.title(ASKED)


def misworded(of: Page, standing: Standing = STANDING, facts: tuple[Fact, ...] = ()) -> Spans:
    return with_misworded(SEEN, standing, of, HERE, facts).misworded


def showing(*bodies: tuple[Account, float, str | None], **more: Any) -> Page:
    """A page whose body was written by these, at these minutes."""
    found = tuple(Revision(by, at(minutes), text) for by, minutes, text in bodies)
    edits = tuple(Edit(each.by, each.at) for each in found[1:])
    last = found[-1].text or ""
    made = page(title=TITLE, body=last, author=found[0].by, revisions=found[1:] and found)
    return replace(made, edits=edits, **more)


def test_what_an_honest_opener_wrote_is_what_the_decider_makes_of_the_request() -> None:
    assert misworded(showing((OPENER, 0, TRUE))) == ()


@pytest.mark.parametrize(
    ("true", "lie"),
    [
        ("Deploy the model?", "Deploy the docs?"),
        ("0.93", "0.99"),
        ("It takes 1 approval from alice", "It takes 1 approval from anybody"),
        ("/reject your reason", "/approve your reason"),
        ("https://cards.test/7", "https://cards.test/8"),
        (f"blob/{HEAD}", f"blob/{'b' * 40}"),
        ("There is no", "![](https://beacon.test/x.png) There is no"),
        ("Deploy the model?", "Deploy the mode\u0142?"),
        ("Deploy the model?", "Deploy the model?\u2028Or not?"),
        ("<sub>", "<!-- "),
    ],
)
def test_every_part_of_the_body_is_bound(true: str, lie: str) -> None:
    text = TRUE.replace(true, lie)
    assert text != TRUE
    assert misworded(showing((OPENER, 0, text))) == ((NOON, None),)


@settings(max_examples=40)
@given(start=st.integers(0, len(TRUE)), length=st.integers(0, 30), put=st.text(max_size=5))
def test_whatever_the_opener_changes_in_the_body_is_found(
    start: int, length: int, put: str
) -> None:
    text = TRUE[:start] + put + TRUE[start + length :]
    seen = [each.split() for each in (text, TRUE)]
    if seen[0] != seen[1]:
        assert misworded(showing((OPENER, 0, text)))


def test_other_ends_of_lines_are_no_other_words() -> None:
    text = TRUE.replace("\n", "\r\n") + "\n\n"
    assert misworded(showing((OPENER, 0, text))) == ()


def test_other_words_end_when_the_decider_writes_or_the_true_words_are_back() -> None:
    lie = TRUE.replace("0.93", "0.99")
    for by, text in ((BOT, TRUE), (BOT, "as an older decider wrote it"), (OPENER, TRUE)):
        shown = showing((OPENER, 0, TRUE), (OPENER, 2, lie), (by, 5, text))
        assert misworded(shown) == ((at(2), at(5)),)


def test_what_a_stranger_puts_back_after_the_opener_lied_is_still_a_lie() -> None:
    lie = TRUE.replace("0.93", "0.99")
    shown = showing((OPENER, 0, lie), (MALLORY, 2, "x"), (MALLORY, 3, lie))
    assert misworded(shown) == ((NOON, None),)


def test_words_of_the_opener_that_nobody_can_read_any_more_are_no_words_of_the_request() -> None:
    deleted = showing((OPENER, 0, None), (OPENER, 4, TRUE))
    assert misworded(deleted) == ((NOON, at(4)),)
    no_history = replace(deleted, revisions=())
    assert misworded(no_history) == ((NOON, at(4)),)
    assert misworded(replace(no_history, body="x")) == ((NOON, None),)
    assert misworded(showing((OPENER, 0, TRUE), (BOT, 4, None))) == ()


def test_a_persons_own_token_opens_and_decides_nothing() -> None:
    """Its number is among the bridge's, and yet it is not the decider's."""
    voices = Voices(frozenset({BOT.id or 0, MALLORY.id or 0}), me=BOT.id)
    there = replace(HERE, voices=voices)
    shown = showing((MALLORY, 0, "as I like it"))
    assert with_misworded(SEEN, STANDING, shown, there, ()).misworded == ((NOON, None),)


def test_a_title_that_the_opener_chose_is_other_words() -> None:
    def titled(*names: str, by: Account = OPENER) -> Page:
        renames = tuple(
            Rename(by, at(n + 1), *pair) for n, pair in enumerate(itertools.pairwise(names))
        )
        return showing((OPENER, 0, TRUE), title=names[-1], renames=renames)

    assert misworded(titled(TITLE)) == ()
    assert misworded(titled("Approve the docs")) == ((NOON, None),)
    assert misworded(titled("Approve the docs", TITLE)) == ((NOON, at(1)),)
    assert misworded(titled("x", "as an older decider calls it", by=BOT)) == ((NOON, at(1)),)


def test_what_was_not_proven_yet_when_the_opener_wrote_is_no_lie() -> None:
    started = Fact(About.INITIATOR, account("ann", 5), Source.RUN, proven=True)
    late = Fact(About.ASKED_AT, moment_out(at(90)), Source.GITHUB, proven=True)
    timed = replace(ASKED, policy=replace(ASKED.policy, timeout=3600))
    standing = replace(STANDING, request=timed, facts=(started,))
    seen = replace(SEEN, digest=digest_of(timed))
    for facts in ((), (started,)):
        text = page_text.body(timed, HEAD, HERE, facts)
        found = with_misworded(seen, standing, showing((OPENER, 0, text)), HERE, (started, late))
        assert found.misworded == ()


def test_a_message_that_is_too_long_for_a_page_is_cut_in_the_same_place() -> None:
    long = replace(ASKED, message="Deploy? " + "@" * 100_000)
    standing = replace(STANDING, request=long)
    text = page_text.body(long, HEAD, HERE)
    assert message(long) in text
    assert len(text) <= LONGEST_BODY
    shown = replace(showing((OPENER, 0, text)), title=page_text.title(long))
    assert misworded(shown, standing) == ()
    assert misworded(replace(shown, body=text[:-200] + text[-199:]), standing)


def test_the_clock_counts_from_when_the_true_words_were_back() -> None:
    lie = TRUE.replace("0.93", "0.99")
    shown = showing((OPENER, 0, TRUE), (OPENER, 2, lie), (OPENER, 5, TRUE))
    assert with_misworded(SEEN, STANDING, shown, HERE, ()).unshut == at(5)
