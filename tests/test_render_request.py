from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bridge.core import input_fields, message_template
from bridge.core.artifacts import summarise
from bridge.core.digest import digest_of
from bridge.core.evaluation import Actor, Channel, Decider, Evidence, Outcome, Verdict, Vote
from bridge.core.facts import started_by
from bridge.core.model import ApprovalRequest, Artifact, Decision, Gate, Link, Standing
from bridge.core.rules import Actors, Approvals, OnTimeout, Policy
from bridge.core.sanitize import (
    harmless_block,
    harmless_line,
    harmless_name,
    harmless_subject,
    harmless_terminal,
    one_line,
    plain,
)
from bridge.policy.evaluate import evaluate
from bridge.render import request as render

OPENED = datetime(2026, 3, 1, 12, tzinfo=UTC)
GFM = MarkdownIt("gfm-like")

HOSTILE = [
    "@octocat", "@org/team", "ann@example.org", "Fixes #1", "closes org/repo#1", "GH-1",
    "0123abc", "deadbeef" * 5, "org/repo@deadbeef", "https://evil.example", "www.evil.example",
    "javascript://x", "ftp://x.y", "mailto:a@b.c", "![x](https://evil.example/b.png)", "[x](y)",
    "[x]: http://y", "<b>", "<!-- hitl:gate -->", "<img src=x>", "<https://evil.example>",
    "&#64;octocat", "&lt;b&gt;", "&amp;", "| a | b |", "a|b\\|c", "|---|---|", "```", "~~~", "`x`",
    "``` x", "\n\n# heading", "# heading", "> quote", "- item", "1. item", "1) item", "* * *",
    "---", "===", "+ x", ":--", "**b** _i_ ~~s~~", "\\", "x\\", "\\*", "$x$", "$$x$$",
    "/approve", "\n/approve x=1\n", "\x1b[2J\x1b]0;title\x07", "\u202eevil\u202c", "\u200b@octocat",
    "@\u200boctocat", "#\ufe0f1", "a\u2028# b", "\r\n- x", "    code", "\tcode", "<details>",
    "!", "[", "](http://x)", "*", "_", "- [ ] x", "[^1]", "[^1]: x", ":+1:", "\ud800", "\0", "",
    "x" * 100_000, "`" * 300, "#" * 100, "a\u0300" * 50, "{{ 7 * 7 }}", "{% raw %}", "{self.x}",
]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(HOSTILE),
    st.lists(st.sampled_from(HOSTILE), max_size=4).map(" ".join),
    st.lists(st.sampled_from([*HOSTILE, "a", "1", " ", "\n"]), max_size=5).map("".join),
    st.text(alphabet=st.sampled_from("@#`|<>![]()*_~-+=:/\\&;$.1aw \n\tGH"), max_size=30),
    st.text(),
)


def asked(value: str = "x", **more: Any) -> ApprovalRequest:
    """A request whose every part that others may fill holds this value."""
    template = "**Deploy** {self.x}?\n\n- `{self.x}`\n- {self.x}\n\n{self.x}\n\n# {self.x}\n"
    drawn = Artifact(value[:200], value, value, 1, value, head=value + "\nrow", link=value)
    fields: dict[str, Any] = {
        "message": message_template.render(template, message_template.Scope({"x": value})),
        "artifacts": (summarise("accuracy", 0.94, digest="sha1:1"), drawn),
        "facts": started_by(value or "x"),
        "links": (Link("Argo", "https://argo.example/x"),),
        "schema": input_fields.schema_of({"deploy_target": "str", "notes": "str"}),
        **more,
    }
    policy = Policy(Approvals(Actors(names=("ann", value)), 2), 86_400)
    return ApprovalRequest(
        Gate("here", one_line(value) or "key"), policy=policy, opened_at=OPENED, **fields
    )


# -- Markdown, as GitHub would read it -----------------------------------------------------------


def tokens(markdown: str) -> Iterator[Token]:
    for token in GFM.parse(markdown):
        yield token
        yield from token.children or ()


def structure(markdown: str) -> list[str]:
    """What is there besides text: headings, rows, links, images, HTML, fences, emphasis."""
    mute = {"text", "text_special", "softbreak"}
    return [f"{each.type} {each.tag}" for each in tokens(markdown) if each.type not in mute]


def reads(markdown: str) -> str:
    """The text as rendered, outside code and fences: where GitHub looks for references."""
    parts = []
    for token in GFM.parse(markdown):
        inner = [each for each in token.children or () if each.type in {"text", "text_special"}]
        parts.append("".join(each.content for each in inner))
    return "\n".join(parts)


REFERENCES = re.compile(
    r"@[\w-]|\w@\w|#\d|\bGH-\d|://|\bwww\.|\b(?=\d*[a-f])[0-9a-f]{7,40}\b|\bmailto:\w",
    re.IGNORECASE,
)


@given(VALUES)
@example("[x]: http://y")
@example("1. `x`")
def test_whatever_a_value_holds_the_page_keeps_its_shape(value: str) -> None:
    # "x" for a value that shows nothing: an empty heading or list item has no text to compare
    benign = "x" if one_line(value) else ""
    found = structure(render.request_md(asked(value)))
    assert found == structure(render.request_md(asked(benign)))


@given(VALUES)
def test_whatever_a_value_holds_it_mentions_closes_and_links_nothing(value: str) -> None:
    page = render.request_md(asked(value)).replace("[Argo](<https://argo.example/x>)", "")
    assert not REFERENCES.search(reads(page)), reads(page)
    assert "<!--" not in page


@given(VALUES)
def test_no_line_of_a_page_is_a_command(value: str) -> None:
    assert not re.search(r"(?m)^\s*/", render.request_md(asked(value)))


@pytest.mark.parametrize("harmless", [harmless_line, harmless_name])
@given(value=VALUES)
@example(value="a_long_name. and.www.example._x_")
def test_a_harmless_line_reads_as_the_value_does(
    harmless: Callable[[str], str], value: str
) -> None:
    line = harmless(value)
    assert "\n" not in line
    assert plain(line) == one_line(value)
    read = reads(f"x {line} x").replace("\u200b", "")
    assert read.split() == ["x", *one_line(value).split(), "x"]


def test_a_long_name_in_a_table_may_be_broken_so_that_it_fits_a_phone() -> None:
    assert harmless_name("train[de].false_rate") == (
        "train&#91;de&#93;.&#8203;false&#95;&#8203;rate"
    )
    assert harmless_name("false_rate") == "false_rate"


@given(VALUES, VALUES)
def test_two_values_side_by_side_are_as_harmless_as_one(left: str, right: str) -> None:
    line = harmless_line(left) + harmless_line(right)
    assert set(structure(f"a\n\n{line or 'x'}\n\nb")) <= {
        "paragraph_open p",
        "paragraph_close p",
        "inline ",
    }


@given(VALUES)
def test_a_harmless_line_closes_nothing_that_the_author_opened(value: str) -> None:
    line = harmless_line(value)
    for before, after in [
        ("`", "`"),
        ("**", "**"),
        ("| a | ", " |"),
        ("> ", ""),
        ("- ", ""),
        ("# ", ""),
    ]:
        shape = structure(f"{before}x{after}")
        if line:
            assert structure(f"{before}x{line}x{after}") == shape


@given(st.one_of(VALUES, st.lists(VALUES).map("\n".join)))
def test_a_block_is_one_fence_whatever_it_holds(text: str) -> None:
    assert structure(f"a\n\n{harmless_block(text)}\n\nb").count("fence code") == 1
    assert [each.type for each in GFM.parse(harmless_block(text))] == ["fence"]


@given(st.lists(VALUES).map("\n".join))
def test_nothing_reaches_a_terminal_but_text(text: str) -> None:
    shown = harmless_terminal(text)
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", shown
    )
    assert shown == harmless_terminal(shown)


@pytest.mark.parametrize(
    "text",
    ["0.94", "-0.5", "94.0%", "resnet_50", "v1.2.3", "2026-03-01", "s3-bucket/key.pkl", "a, b; (c)",
     "1,234,567", "1234567", "It works!  Yes", "C'est bon"],
)  # fmt: skip
def test_an_ordinary_value_stays_readable_in_the_source(text: str) -> None:
    assert harmless_line(text) == " ".join(text.split())


@given(VALUES)
def test_a_commits_subject_mentions_and_closes_nothing(value: str) -> None:
    assert not REFERENCES.search(harmless_subject(value))
    headline = render.headline(asked(message=value or "x"))
    assert "\n" not in headline
    assert len(headline.replace("\u200b", "")) <= 72
    assert not REFERENCES.search(headline)


# -- the page ------------------------------------------------------------------------------------


def test_the_page_says_what_is_asked_until_when_and_how_to_answer() -> None:
    request = asked("v7", message="Accuracy 94 % — deploy?")
    page = render.request_md(request)
    assert page.index("Accuracy 94 %") < page.index("Decide until 2026-03-02 12:00 UTC")
    assert page.index("Decide until") < page.index("| accuracy | 0.94 |") < page.index("| v7 |")
    assert "It takes 2 approvals from ann or v7" in page
    assert f"hitl approve {request.gate.id} -i deploy_target=…\n" in page
    assert f"hitl reject {request.gate.id} --reason" in page
    assert "| notes | str | optional |" in page
    assert page.rstrip().endswith(f"request `{digest_of(request)}`")


def test_every_kind_of_deadline_says_what_happens_then() -> None:
    for on_timeout, says in [
        (OnTimeout.REJECT, "After that it is rejected."),
        (OnTimeout.APPROVE, "After that the clock approves it."),
        (OnTimeout.NOTIFY, "After that people are reminded"),
    ]:
        policy = Policy(Approvals(Actors(anyone=True)), 60, on_timeout)
        assert says in render.request_md(replace(asked(), policy=policy))
    assert "without a deadline" in render.request_md(
        replace(asked(), policy=replace(policy, timeout=None))
    )


def test_a_decided_page_says_so_and_asks_for_nothing() -> None:
    request = asked()
    page = render.request_md(request, decision(request))
    assert "**Approved**: approved by ann" in page
    assert "hitl approve" not in page


@pytest.mark.parametrize("folders", [4, 40, 4000])
def test_the_end_of_a_long_path_is_shown(folders: int) -> None:
    path = f"/home/{'models/' * folders}weights"
    page = render.request_md(replace(asked(), artifacts=(Artifact(path, "file", "sha256:0"),)))
    assert "models/weights" in page.replace("&#8203;", "")
    assert len(page) < 5_000


def test_a_gate_without_artifacts_or_input_has_no_empty_tables() -> None:
    assert "|" not in render.request_md(replace(asked(), artifacts=(), schema=None))


def test_the_authors_html_cannot_hide_what_follows() -> None:
    page = render.request_md(asked(message="look\n\n<!-- \n\n<details>\n\n```\nopen"))
    html = [each.content.strip() for each in tokens(page) if each.type == "html_block"]
    ours = ("First rows of x", "Types, sizes and digests (2 artifacts)")
    opened = [f"<details><summary>{each}</summary>" for each in ours]
    assert html == [opened[0], "</details>", opened[1], "</details>"]
    kinds = {each.type for each in tokens(page)}
    assert "html_inline" not in kinds
    assert "table_open" in kinds


def test_a_link_is_one_only_if_it_is_an_address() -> None:
    for url in ("javascript:alert(1)", "https://x y", "https://x)>", "https://u:p@h", "//x", "x"):
        assert "link_open a" not in structure(render.request_md(asked(links=(Link("a", url),))))


@pytest.mark.parametrize("character", ["@", "x", "é", "|", "\n"])
def test_a_page_holds_all_and_its_summary_no_more_than_github_takes(character: str) -> None:
    value = character * 500
    many = tuple(
        Artifact(f"{value}{n}", value, f"d{n}", n, value, head="\n".join([value] * 5), link=value)
        for n in range(150)
    )
    words = {f"{character * 60}{n}": "string" for n in range(200)}
    request = asked(
        value * 100,
        artifacts=many,
        schema=input_fields.schema_of(
            {
                "properties": {
                    name: {"type": kind, "description": value[:60]} for name, kind in words.items()
                }
            }
        ),
    )
    short = (
        render.message(request),
        render.summary(request, "https://github.example/o/r/blob/abc/gates/x"),
    )
    assert sum(map(len, short)) <= 60_000
    assert "more are in `request.md`" in short[1]
    page = render.request_md(request)
    assert page.count("First rows of") == len(many)
    assert all(f"`d{n}`" in page for n in range(150))
    assert page.rstrip().splitlines()[-1].startswith("Gate `")


# -- the terminal --------------------------------------------------------------------------------


def decision(request: ApprovalRequest) -> Decision:
    return Decision(
        request.gate.id,
        Outcome.APPROVED,
        Decider.PERSON,
        "approved by ann",
        digest_of(request),
        OPENED + timedelta(minutes=5),
        inputs={"deploy_target": "staging"},
    )


def on_terminal(request: ApprovalRequest, **more: Any) -> str:
    more = {"colour": False, "width": 80, "now": OPENED + timedelta(hours=21), **more}
    return render.terminal(request, **more)


def test_a_person_at_a_terminal_sees_message_artifacts_deadline_and_who() -> None:
    lines = on_terminal(asked("v7", message="Accuracy 94 % — deploy?")).splitlines()
    text = "\n".join(lines)
    assert "Accuracy 94 % — deploy?" in lines
    assert "in 3 h (2026-03-02 12:00 UTC). After that it is rejected." in text
    assert "2 approvals from ann or v7" in text
    assert "deploy_target: str, required" in text
    first = next(each for each in lines if each.startswith("name"))
    accuracy = next(each for each in lines if each.startswith("accuracy"))
    assert first.index("value") == accuracy.index("0.94")


def test_a_terminal_shows_a_value_as_it_is_not_as_it_is_escaped() -> None:
    assert "a*b @x" in on_terminal(asked("a*b @x"))


def test_a_decided_gate_shows_the_decision_in_place_of_the_deadline() -> None:
    request = asked()
    text = on_terminal(request, standing=Standing(request, decision(request), "c"))
    assert "decision    approved by ann" in text
    assert "deploy_target = staging" in text
    assert "deadline" not in text


@given(VALUES)
def test_no_value_reaches_the_terminal_but_as_text(value: str) -> None:
    shown = on_terminal(asked(value))
    assert shown == harmless_terminal(shown)
    coloured = on_terminal(asked(value), colour=True)
    assert re.sub("\x1b\\[[0-9]+m", "", coloured) == shown


@given(st.text(max_size=60), st.integers(40, 120))
def test_columns_align_whatever_the_width_of_a_letter(value: str, width: int) -> None:
    rows = tuple(summarise(name, value, digest="d", size=1) for name in ("a", "日本", "e\u0301"))
    lines = on_terminal(asked(message="m", artifacts=rows), width=width).splitlines()
    table = [each for each in lines if each.endswith(" 1 B")]
    assert len(table) == 3
    assert len({render.columns(each) for each in table}) == 1
    assert render.columns(table[0]) <= width


# -- why -----------------------------------------------------------------------------------------


def test_an_explanation_says_the_rule_the_count_and_who_does_not_count_and_why() -> None:
    request = asked("bob")
    votes = tuple(
        Vote(Actor(name), Verdict.APPROVE, OPENED, digest_of(request), Channel.CLI)
        for name in ("ann", "eve")
    )
    text = render.explanation(evaluate(request, Evidence(OPENED, votes)), colour=False)
    assert text.splitlines() == [
        "pending: waiting: 1 of 2 approvals from ann or bob (ann)",
        "  · 1 of 2 approvals from ann or bob (ann)",
        "  counts: ann (unverified), approve, 2026-03-01 12:00 UTC, cli",
        "  does not count: eve, approve: eve is not among those who may decide: ann or bob",
    ]


def test_an_explanation_of_nothing_says_that_nobody_answered() -> None:
    assert "nobody has answered yet" in render.explanation(
        evaluate(asked(), Evidence(OPENED)), colour=False
    )


@given(VALUES)
def test_a_name_or_reason_cannot_disturb_an_explanation(value: str) -> None:
    request = asked("bob")
    votes = (
        Vote(Actor(value), Verdict.APPROVE, OPENED, digest_of(request), Channel.CLI),
        Vote(Actor("ann"), Verdict.REJECT, OPENED, digest_of(request), Channel.CLI, reason=value),
    )
    text = render.explanation(evaluate(request, Evidence(OPENED, votes)), colour=False)
    assert len(text.splitlines()) == 4
    assert text == harmless_terminal(text)
