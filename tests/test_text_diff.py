"""What a page says of a longer text that changed since the last approved run."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.artifacts import summarise
from bridge.core.comparison import baseline_of
from bridge.core.digest import digest_of
from bridge.core.model import ApprovalRequest, Artifact, Kind
from bridge.core.records import request_in, request_out
from bridge.core.sanitize import unseen
from bridge.core.texts import text_of, with_room
from bridge.pages.model import Site, Voices
from bridge.pages.page_text import body
from bridge.render.request import request_md, terminal
from bridge.render.text_diff import text_diffs

from .ledgers import NOON, a_decision, a_request

KIND = Kind("Flow", "gate")
SITE = Site("acme/models", 1, "https://github.example/acme/models", "main", "c", None, Voices())
PROMPT = "You answer in one sentence.\nBe polite.\nName your sources."


def artifact(value: object) -> Artifact:
    return summarise("prompt", value, digest=f"sha256:{sha256(repr(value).encode()).hexdigest()}")


def changed(before: object, now: object) -> ApprovalRequest:
    first = a_request("Flow/6/gate/3", kind=KIND, artifacts=(artifact(before),))
    second = a_request("Flow/7/gate/3", kind=KIND, artifacts=(artifact(now),))
    return replace(second, baseline=baseline_of(first, a_decision(first)))


def lines(before: object, now: object) -> tuple[str, ...]:
    return next((each.lines for each in text_diffs(changed(before, now))), ())


def test_a_page_shows_the_lines_of_a_text_that_changed() -> None:
    request = changed(PROMPT, PROMPT.replace("polite", "brief"))
    assert lines(PROMPT, PROMPT.replace("polite", "brief")) == (
        " You answer in one sentence.",
        "-Be polite.",
        "+Be brief.",
        " Name your sources.",
    )
    shown = (
        "<details><summary>What changed in prompt</summary>\n\n```diff\n"
        " You answer in one sentence.\n-Be polite.\n+Be brief.\n Name your sources.\n```\n\n"
        "</details>"
    )
    assert shown in body(request, "f" * 40, SITE)
    assert shown in request_md(request)
    said = terminal(request, colour=False, width=80, now=NOON)
    assert "what changed in prompt\n     You answer in one sentence.\n    -Be polite.\n" in said


def test_a_text_that_became_longer_is_shown_too() -> None:
    assert lines("Be polite.", PROMPT) == (
        "+You answer in one sentence.",
        " Be polite.",
        "+Name your sources.",
    )


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (PROMPT, PROMPT),
        ("Be polite.", "Be brief."),  # the table has both
        ([PROMPT], [f"{PROMPT}."]),
        (b"a\nb", b"a\nc"),
        (1, PROMPT),
        ("\n" * 90 + "a", "\n" * 90 + "b"),  # behind what a request holds
        ("a\nb", "a\nb\u200b"),
    ],
)
def test_what_is_no_change_of_a_longer_text_has_no_lines(before: object, now: object) -> None:
    assert lines(before, now) == ()


def test_what_is_compared_is_bound_and_on_record() -> None:
    request = changed(PROMPT, f"{PROMPT}\nAlways.")
    (now,) = request.artifacts
    other = replace(request, artifacts=(replace(now, text=PROMPT),))
    assert digest_of(other) != digest_of(request)
    assert request.baseline
    (before,) = request.baseline.artifacts
    flattered = replace(request.baseline, artifacts=(replace(before, text=now.text),))
    assert digest_of(replace(request, baseline=flattered)) != digest_of(request)
    assert request_in(request_out(request), request.gate.id) == request


HOSTILE = (
    "```\n</details><!-- marker -->\n@acme/all fixes #1 <b>x</b>\n/approve\n--- a\n"
    "+++ b\n@@ -1 +1 @@\n"
    "\u202egnp.exe \x1b[2J ![x](https://evil.example/p.png)\n````\n| a |"
)


def test_the_lines_of_a_text_are_inert() -> None:
    page = body(changed("start\nend", f"start\n{HOSTILE}\nend"), "f" * 40, SITE)
    block = page[page.index("`````diff") :]
    inside = block[: block.index("\n`````\n")]
    assert "+@acme/all fixes #1 <b>x</b>" in inside
    assert "+@@ -1 +1 @@" in inside
    assert "<!-- marker" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    outside = page.replace(inside, "")
    for each in ("@acme/all", "<b>", "![x]", "\n/approve\n--- a"):
        assert each not in outside
    assert not any(line.startswith(("/", "·")) for line in inside.split("\n")[1:])
    assert page.count("<details>") == page.count("\n</details>")


def test_a_secret_in_a_text_is_not_shown() -> None:
    token = "ghp_" + "a1B2" * 9
    request = changed(PROMPT, f"{PROMPT}\ntoken {token}")
    assert token not in request_md(request)
    assert token not in request_out(request)
    assert summarise("db_password", PROMPT, digest="sha256:1").text is None


@given(st.text(max_size=300), st.text(max_size=300), st.integers(1, 60))
@settings(max_examples=60)
def test_a_diff_is_short_whatever_the_texts_are(before: str, now: str, times: int) -> None:
    for each in lines(f"{before}\n" * times, f"{now}\n" * times):
        assert each[0] in " +-…"
        assert len(each) <= 201
        assert not unseen(each)
        assert "\n" not in each
    assert len(lines(f"{before}\n" * times, f"{now}\n" * times)) <= 41


def test_of_a_long_text_the_beginning_is_kept() -> None:
    kept = text_of("\n".join(f"{n} " + "x" * 500 for n in range(1_000)), 80)
    assert kept
    assert len(kept) <= 4_000
    assert all(len(line) <= 200 for line in kept.split("\n"))
    assert len((text_of("x\n" * 10_000, 80) or "").split("\n")) == 60


def test_the_texts_of_one_request_have_a_bound_and_the_first_by_name_are_kept() -> None:
    long = "x" * 199 + "\n"
    many = [replace(artifact(long * 60), name=f"prompt{n:02}") for n in reversed(range(30))]
    kept = [each.name for each in with_room(many) if each.text]
    assert kept == [f"prompt{n:02}" for n in reversed(range(10))]
    assert [each.name for each in with_room(many)] == [each.name for each in many]


def test_a_class_that_reads_like_a_text_is_none() -> None:
    class Changing(str):
        __slots__ = ()

    assert text_of(Changing(PROMPT), 80) is None
