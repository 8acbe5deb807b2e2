"""Commands as people write them, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given as having
from hypothesis import strategies as st

from bridge.core.errors import Faults
from bridge.pages.comment_commands import Command, Unreadable, Word, given, read

SCHEMA = {
    "type": "object",
    "properties": {"target": {"type": "string"}, "share": {"type": "number"}},
    "required": ["target"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ("/approve", Command(Word.APPROVE)),
        ("  \r\n/approve\r\n", Command(Word.APPROVE)),
        ("/Approve", Command(Word.APPROVE)),  # a phone writes the first letter large
        ("Looked at it.\n\n/approve a=1 b=two", Command(Word.APPROVE, pairs=("a=1", "b=two"))),
        ('/approve notes="looks good"', Command(Word.APPROVE, pairs=("notes=looks good",))),
        ("/approve\n```yaml\na: 1\n```", Command(Word.APPROVE, block="a: 1")),
        ("/approve\r\n\r\n~~~\r\na: 1\r\n~~~\r\nthanks", Command(Word.APPROVE, block="a: 1")),
        ("/approve 0123456789ab", Command(Word.APPROVE, digest="0123456789ab")),
        (
            "/approve 0123456789ab a=1",
            Command(Word.APPROVE, pairs=("a=1",), digest="0123456789ab"),
        ),
        ("/reject the loss explodes ", Command(Word.REJECT, reason="the loss explodes")),
        ("/hold", Command(Word.HOLD)),
        ("/unhold", Command(Word.UNHOLD)),
        ("/status", Command(Word.STATUS)),
        ("> do we?\n\n/approve", Command(Word.APPROVE)),
        ("<!-- a note -->\n/approve", Command(Word.APPROVE)),
    ],
)
def test_a_line_of_its_own_is_a_command(body: str, command: Command) -> None:
    assert read(body) == command


@pytest.mark.parametrize(
    "body",
    [
        "",
        "please /approve this",
        "I would `/approve`",
        "> /approve",
        "> nested\n/approve",  # markdown draws it inside the quote
        ">> /approve\nstill quoted\n/approve",
        "```\n/approve\n```",
        "~~~text\n/approve\n~~~",
        "````\n```\n/approve\n```\n````",
        "```\n/approve",  # a fence that never ends
        "    /approve",
        "\t/approve",
        "<!--\n/approve\n-->",
        "see <!-- this\n/approve\n-->",
        "<pre>\n/approve\n</pre>",
        "- /approve",
        "//approve",
        "/etc/passwd",
        "/app\u200brove",
        "text\u2028/approve",
        "approve",
        "LGTM 👍",
    ],
)
def test_what_is_quoted_fenced_hidden_or_inside_a_sentence_is_no_command(body: str) -> None:
    assert read(body) is None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("/approve looks good", "no `key=value`"),
        ("/approve a=1 0123456789ab", "no `key=value`"),
        ("/approve 0123456", "no `key=value`"),
        ("/approve a=1 a=2", "given twice: a"),
        ("/approve notes=it's", "no partner"),
        ("/approve\n/reject", "more than one command"),
        ("/approve\n\n/approve", "more than one command"),
        ("/aprove", "did you mean `/approve`"),
        ("/approved", "did you mean `/approve`"),
        ("/status please", "stands alone"),
        ("/approve\n```yaml\na: 1", "has no end"),
    ],
)
def test_a_command_that_cannot_be_read_is_answered_with_what_is_wrong(body: str, why: str) -> None:
    found = read(body)
    assert isinstance(found, Unreadable)
    assert why in found.why


def _input(body: str) -> dict[str, object]:
    command = read(body)
    assert isinstance(command, Command)
    return given(command, SCHEMA)


def test_input_in_the_line_and_in_the_block_is_one_input() -> None:
    assert _input("/approve target=prod\n```yaml\nshare: 0.5\n```") == {
        "target": "prod",
        "share": 0.5,
    }


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("target: a\ntarget: b", "stands twice"),
        ("target: a\nshare: .nan", "no number"),
        ("target: a\nshare: -.inf", "no number"),
        ("target: 2026-01-01", "quotation marks"),
        ("1: a", "quotation marks"),
        ("- a", "no mapping"),
        ("target: [", "cannot be read"),
        ("target: !!python/object:os.system a", "cannot be read"),
        ("target: !!bool maybe", "without a tag"),
        ("target: !!timestamp soon", "without a tag"),
        ("target: !!int ''", "without a tag"),
        ("target: !!binary \u00e9", "without a tag"),
        ("!!set {target}", "without a tag"),
        ("target: ! a", "without a tag"),
        ("target: " + "9" * 6_000, "cannot be read"),
        ("target: 0x" + "f" * 6_000, "too large"),
        ("target: " + "[" * 60_000, "nested more than"),  # took the process down
        ("- " * 30_000 + "a", "nested more than"),
        ("a: &a [x, x]\nb: &b [*a, *a]\ntarget: [*b, *b]", "write it out"),
    ],
)
def test_a_block_that_yaml_would_bend_is_refused(block: str, why: str) -> None:
    with pytest.raises(Faults, match=why):
        _input(f"/approve\n```yaml\n{block}\n```")


def test_a_key_in_the_line_and_in_the_block_is_given_twice() -> None:
    with pytest.raises(Faults, match="target is given twice"):
        _input("/approve target=a\n```yaml\ntarget: b\n```")


def test_input_to_a_gate_that_takes_none_is_refused() -> None:
    command = read("/approve target=a")
    assert isinstance(command, Command)
    with pytest.raises(Faults, match="takes no input"):
        given(command, None)


@pytest.mark.parametrize("body", ["~~~" + " " * 65_000 + "`", "~" * 65_000 + "`"])
def test_a_line_that_is_nearly_a_fence_is_read_without_going_back_for_minutes(body: str) -> None:
    assert read(body) is None


@having(st.text(alphabet="/approvejct \n\r`~><!-=\"'|", max_size=60))
def test_no_body_makes_the_reader_stumble(body: str) -> None:
    found = read(body)
    assert found is None or isinstance(found, Command | Unreadable)


@having(st.text(max_size=40), st.sampled_from(["> ", "    ", "\t", "- ", "x "]))
def test_no_text_before_it_on_its_line_leaves_a_command(text: str, before: str) -> None:
    assert read(before + "/approve " + text.replace("\n", " ").replace("\r", " ")) is None
