"""Commands as people write them, and what only looks like one."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given as having
from hypothesis import strategies as st

from bridge.core.errors import Faults
from bridge.pages import approve_button
from bridge.pages.answer_text import approval, rejection
from bridge.pages.command_words import Word
from bridge.pages.comment_commands import Command, Unreadable, given, read, readable
from bridge.pages.lookalikes import drawn

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
        (
            "/approve 0123456789abcdef0123456789abcdef",
            Command(Word.APPROVE, digest="0123456789abcdef0123456789abcdef"),
        ),
        (
            "/approve 0123456789abcdef0123456789abcdef a=1",
            Command(Word.APPROVE, pairs=("a=1",), digest="0123456789abcdef0123456789abcdef"),
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
        "<!--\n/approve\n-->",
        "see <!-- this\n/approve\n-->",
        "<!-- /hold -->",
        "//approve",
        "/etc/passwd",
        "https://example.org/hold/on and src/hold.py",
        "/hold.txt, /hold/on",
        "approve",
        "LGTM 👍",
    ],
)
def test_what_a_reader_does_not_see_or_is_no_command_is_passed_over(body: str) -> None:
    assert read(body) is None


@pytest.mark.parametrize(
    ("body", "meant"),
    [
        ("/lgtm", "/approve"),
        ("/ship it", "/approve"),
        ("/unblock", "/unhold"),
    ],
)
def test_the_word_of_another_bot_is_answered_and_leaves_the_button_alone(
    body: str, meant: str
) -> None:
    found = read(body)
    assert isinstance(found, Unreadable)
    assert f"did you mean `{meant}`?" in found.why
    assert found.aside


def test_who_asks_for_help_reads_all_commands() -> None:
    found = read("/help")
    assert isinstance(found, Unreadable)
    assert found.why == (
        "`/help` is no command: write `/approve`, `/reject`, `/hold`, `/unhold`, `/withdraw` or"
        " `/status`"
    )
    assert found.aside


@pytest.mark.parametrize("body", ["/lgtm\n/approve", "/approve\n/lgtm", "/approve\n/help"])
def test_the_word_of_another_bot_takes_no_approval_away(body: str) -> None:
    assert read(body) == Command(Word.APPROVE)


@pytest.mark.parametrize("body", ["/retest", "/ok-to-test", "/no_think", "/block/x", "/cc @ann"])
def test_a_command_that_is_none_of_ours_is_not_answered(body: str) -> None:
    assert read(body) is None


@pytest.mark.parametrize(
    "comment",
    ["<!-->\n{}\n-->", "<!--->\n{}\n-->", "a <!-->\n{}\n-->", "\\<!--\n{}\n-->", "<!-- a --!>\n{}",
     "<?x >\n{}", "<pre>a</pre> <del>b</del>\n{}", "`<del>`\n{}"],
)  # fmt: skip
@pytest.mark.parametrize("word", [Word.HOLD, Word.APPROVE])
def test_a_comment_that_hides_nothing_on_the_page_hides_no_command(
    comment: str, word: Word
) -> None:
    found = read(comment.format(f"/{word}"))
    assert isinstance(found, Command)
    assert found.word is word


IN_A_QUOTE = [
    "> {}",
    "> nested\n{}",  # markdown draws it inside the quote
    ">> {}\nstill quoted\n{}",
    "- > {}",
    "> - one\n{}",
    "<blockquote>\n{}\n</blockquote>",
]
IN_CODE = [
    "I would `{}`",
    "`a\n{}\nb`",  # a span of code may go over the end of a line
    "```\n{}\n```",
    "~~~text\n{}\n~~~",
    "````\n```\n{}\n```\n````",
    "```\n{}",  # a fence that never ends
    "    {}",
    "\t{}",
    "text\n\n    {}",
    "- item\n\n      {}",
    "- ```\n  {}\n  ```",
    "1. item\n   ```\n   {}\n   ```",
    "<pre>\n{}\n</pre>",
    "<code>\n\n{}\n</code>",
]
IN_A_LINE = ["please {} this", "I object: {}", "text\u2028{}", "~~{}~~"]


@pytest.mark.parametrize("word", ["/approve", "/hold", "/reject", "/unhold"])
@pytest.mark.parametrize(
    ("body", "where"),
    [
        *((each, "in a quote") for each in IN_A_QUOTE),
        *((each, "in code") for each in IN_CODE),
        *((each, "in the middle of a line") for each in IN_A_LINE),
    ],
)
def test_a_command_in_a_quote_in_code_or_inside_a_line_counts_for_nothing_and_is_answered(
    body: str, where: str, word: str
) -> None:
    found = read(body.format(word, word))
    assert isinstance(found, Unreadable)
    assert f"`{word}` counts for nothing {where}" in found.why


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("/approve a=1 looks good", "no `key=value`"),
        ("/approve a=1 0123456789abcdef0123456789abcdef", "no `key=value`"),
        ("/approve 0123456", "not the whole number"),
        ("/approve a=1 a=2", "given twice: a"),
        ("/approve notes=it's", "goes around a whole value"),
        ('/approve notes="it', "goes around a whole value"),
        ('/approve notes="a"b', "goes around a whole value"),
        ("/approve notes=O’Brien", "goes around a whole value"),
        ("/approve a=prod, b=3", "ends in a comma"),
        ("/approve a=prod.", "ends in a comma"),
        ("/approve a=prod?", "or a question mark"),
        ("/approve a=prod!", "ends in a comma"),
        ("/approve a=prod…", "ends in a comma"),
        ("/deny too low", "did you mean `/reject`?"),
        ("**/veto**", "did you mean `/reject`?"),
        ("/Stop", "did you mean `/hold` or `/reject`?"),
        ("/cancel", "did you mean `/reject` or `/withdraw`?"),
        ("/approve\n/nack", "more than one command"),
        ("<div><blockquote>\n/approve\n</blockquote></div>", "counts for nothing in a quote"),
        ("see <del>\n/approve\n</del>", "counts for nothing in code"),
        ("<p><pre>\n/unhold\n</pre>", "counts for nothing in code"),
        ("/approve not yet", "an approval has no conditions"),
        ("/approve if the tests pass", "an approval has no conditions"),
        ("/approve\n\n/approve", "more than one command"),
        ("/approve\n/unhold", "more than one command"),
        ("/aprove", "did you mean `/approve`"),
        ("/approved", "did you mean `/approve`"),
        ("- /rejct", "did you mean `/reject`"),
        ("/status please", "without other words"),
        ("/approve\n```yaml\na: 1", "has no end"),
        ("/approve\n```toml\na = 1\n```", "marked `toml`, and was not read: mark it `yaml`"),
        ("/approve\n~~~ini\na = 1\n~~~", "marked `ini`, and was not read"),
        ("- /approve", "the first thing on its line"),
        (" /approve", "the first thing on its line"),
        ("**/approve**", "the first thing on its line"),
        ("- /unhold", "the first thing on its line"),
        ("/approve?", "not in a question mark"),
        ("/approve ? not sure", "not in a question mark"),
        ("/approve LGTM, but /hold until Monday", "it approves, and mentions `/hold`"),
        ("/approve\n\nor do we /reject this", "it approves, and mentions `/reject`"),
    ],
)
def test_a_command_that_cannot_be_read_is_answered_with_what_is_wrong(body: str, why: str) -> None:
    found = read(body)
    assert isinstance(found, Unreadable)
    assert why in found.why
    assert not found.aside


@pytest.mark.parametrize(
    "words",
    [
        *("no", "nope", "wait", "later", "pending tests", "(if green)", "but only staging"),
        *(
            "LGTM if tests pass",
            "LGTM, but wait for QA",
            "looks good once CI is green",
            "**not** yet",
        ),
        *(
            "tomorrow",
            "on Monday",
            "fine, except the name",
            "with changes",
            "nein",
            "👎",
            ":-1:",
            "LGTM?",
        ),
        *(
            "n\u200bo",
            "ＮＯ",
            "can't",
            "isn’t good",
            "good as long as it is green",
            "yes, in case it is ok",
        ),
        *("subject to QA", "assuming it works", "LGTM ⏳", "after lunch", "gut, aber nur staging"),
        *(
            "\nif tests pass",
            "\nbut wait for QA",
            "\nLGTM, only for staging",
            "\n\nBut wait for QA.",
        ),
        *("\n\n- not before Monday", "\n\nLGTM. If the tests pass.", "\nReason: if tests pass"),
        "\n```yaml\na: 1\n```\nonce the tests pass",
    ],
)
def test_words_that_condition_negate_or_delay_an_approval_take_it_back(words: str) -> None:
    for body in (f"/approve {words}", f"/approve 0123456789abcdef0123456789abcdef {words}"):
        found = read(body)
        assert isinstance(found, Unreadable), found
        assert not found.aside
    assert read("/approve") == Command(Word.APPROVE)


@pytest.mark.parametrize(
    "before", ["If the tests pass:\n", "When CI is green:\n\n", "Do not deploy\n"]
)
def test_a_condition_before_an_approval_takes_it_back(before: str) -> None:
    assert isinstance(read(f"{before}/approve"), Unreadable)


@pytest.mark.parametrize(
    "words",
    [
        *(
            "LGTM",
            "lgtm!",
            "looks good to me",
            "thanks",
            ":+1:",
            "+1",
            "👍",
            "👍🏽",
            "✅",
            "🎉🎉",
            "ship it 🚀",
        ),
        *(
            "no objections",
            "no concerns, thanks",
            "ok",
            "yes",
            "checked the metrics",
            "(LGTM)",
            "**LGTM**",
        ),
        *(
            "\nThanks for the plots!",
            "\n\nI looked at the loss curves. They are fine.",
            "\n\ncc @bob",
        ),
    ],
)
def test_plain_praise_stays_an_approval(words: str) -> None:
    found = read(f"/approve {words}")
    assert isinstance(found, Command), found
    assert found.word is Word.APPROVE


# -- objections are read generously ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "word", "reason"),
    [
        ("/reject: too low", Word.REJECT, "too low"),
        ("/reject too low", Word.REJECT, "too low"),
        ("/reject, too low!", Word.REJECT, "too low!"),
        ("/reject - too low", Word.REJECT, "too low"),
        ("/reject—too low", Word.REJECT, "too low"),
        ("/reject -3 is too low", Word.REJECT, "-3 is too low"),
        ("/reject(too low)", Word.REJECT, "(too low)"),
        ("/hold: wait for QA", Word.HOLD, "wait for QA"),
        ("/reject.", Word.REJECT, ""),
        ("/hold!!!", Word.HOLD, ""),
        ("/hold?", Word.HOLD, ""),
        ("/hold:-)", Word.HOLD, "-)"),
        ("/HOLD", Word.HOLD, ""),
        ("/Reject No", Word.REJECT, "No"),
        (" /hold", Word.HOLD, ""),
        ("   /hold", Word.HOLD, ""),
        ("\u00a0/hold\u00a0wait", Word.HOLD, "wait"),
        ("text\n    /hold", Word.HOLD, ""),  # drawn as a line of the paragraph
        ("\ufeff/hold", Word.HOLD, ""),
        ("- /hold", Word.HOLD, ""),
        ("* /hold wait", Word.HOLD, "wait"),
        ("1. /hold", Word.HOLD, ""),
        ("2) /hold", Word.HOLD, ""),
        ("- [ ] /hold", Word.HOLD, ""),
        ("- a\n    - /hold", Word.HOLD, ""),
        ("# /hold", Word.HOLD, ""),
        ("**/hold**", Word.HOLD, ""),
        ("__/hold__", Word.HOLD, ""),
        ("*/hold* wait", Word.HOLD, "wait"),
        ("_/hold_ wait", Word.HOLD, "wait"),
        ("**/hold wait for QA**", Word.HOLD, "wait for QA"),
        ("**/reject:** too low", Word.REJECT, "too low"),
        ("“/hold”", Word.HOLD, ""),
        ("(/hold)", Word.HOLD, ""),
        ("\\/hold", Word.HOLD, ""),
        ("<!-- x --> /hold", Word.HOLD, ""),
        ("<pressure> is high\n/hold", Word.HOLD, ""),
        ("we use `<!--` for notes\n\n/hold", Word.HOLD, ""),
        ("see <!-- this, which never ends\n\n/hold", Word.HOLD, ""),
        ("> quoted\n\n/hold", Word.HOLD, ""),
        ("> quoted\n- /hold", Word.HOLD, ""),
        ("> ```\n> code\n/hold", Word.HOLD, ""),
        ("> # heading\n/hold", Word.HOLD, ""),
        ("- ```\n  code\n/hold", Word.HOLD, ""),  # the block ends with its item
        ("/reject\ntoo low", Word.REJECT, "too low"),
        ("/reject\n\nToo low.\n\n- 0.1\n- 0.2\n", Word.REJECT, "Too low.\n\n- 0.1\n- 0.2"),
        ("/hold\n```\nTraceback\n```", Word.HOLD, "```\nTraceback\n```"),
        ("/hold until\nMonday\n\nThanks!", Word.HOLD, "until\nMonday\n\nThanks!"),
        (
            "/reject because:\n\nthe loss\n\nexplodes",
            Word.REJECT,
            "because:\n\nthe loss\n\nexplodes",
        ),
        ("/reject\n> too low", Word.REJECT, "too low"),
        ("/reject\n\n> too\n> low", Word.REJECT, "too\nlow"),
        ("/reject see\n> 0.1\n\n> the whole mail", Word.REJECT, "see\n0.1"),
        ("/hold\r\nwait\r\n\r\n> /approve", Word.HOLD, "wait"),
    ],
)
def test_an_objection_holds_in_whatever_dress(body: str, word: Word, reason: str) -> None:
    assert read(body) == Command(word, reason=reason)


@pytest.mark.parametrize(
    "body",
    [
        *(
            "◦ /hold",
            "‣ /hold",
            "~/hold",
            "=> /hold",
            "| /hold",
            "「/hold」",
            "：/hold",
            "<b>/hold</b>",
        ),
        *(
            "&nbsp;/hold",
            "/hold=x",
            "🛑 /hold",
            "1️⃣ /hold",
            ":stop_sign: /hold",
            "／hold",
            "/hold-now",
        ),
        *(
            "/hold/",
            "| /hold |",
            "→ /hold",
            "<br>/hold",
            "✋/hold",
            "&#47;hold",
            "/ｈｏｌｄ",
            "§ /HOLD wait",
        ),
        *(f"{unseen}/hold" for unseen in "\u2066\u00ad\u200b"),
        *(f"/ho{unseen}ld" for unseen in "\u2066\u00ad\u200b"),
    ],
)
def test_an_objection_that_the_page_shows_at_the_start_of_a_line_is_one(body: str) -> None:
    for text in (body, f"thanks\n\n{body}\n", f"/approve\n\n{body}"):
        found = read(text)
        assert isinstance(found, Command), text
        assert found.word is Word.HOLD
    found = read(body.replace("hold", "approve").replace("HOLD", "approve"))
    assert not isinstance(found, Command) or found.word is not Word.APPROVE


@pytest.mark.parametrize(
    "body", ["~/hold~", "<b><s>/hold</s></b>", "- `/hold`", "a 🛑 /hold", "//hold"]
)
def test_an_objection_struck_out_in_code_or_behind_words_is_none(body: str) -> None:
    assert not isinstance(read(body), Command)


@pytest.mark.parametrize(
    "body",
    [
        "/approve\n/reject no",
        "/reject no\n/approve",
        "/hold wait\n\n/reject no",
        "/aprove\n/reject no",
        "/status\n- /reject no",
        "/unhold\n/reject no",
        "/reject no\n\n> /approve",
    ],
)
def test_of_several_commands_the_objection_counts(body: str) -> None:
    assert read(body) == Command(Word.REJECT, reason="no")


# -- letters that only look like those of a command -----------------------------------------------

#: For each letter of our commands, characters that look like it on the page.
LOOKALIKES = {
    "a": "\u0430\u03b1\u13aaà\uff41\U0001d41a\u24d0\U0001f150",
    "c": "\u0441\u03f2ç\uff43",
    "d": "\u0501\u13a0đ\u1d05\uff44",
    "e": "\u0435\u0415é\u212f\uff45",
    "h": "\u04bb\u043d\u0570ħ\u029c\u210e\uff48\U0001f1ed",
    "i": "\u0456\u03b9\u0131ì\uff491",
    "j": "\u0458\u03f3\uff4a",
    "l": "\u04cf\u0406ł\u029f\u2113\uff4cI1\u0661",
    "n": "\u0578ñ\uff4e",
    "o": "\u043e\u03bf\u0585øō0\u0966\u1d0f\uff4f\u24de\U0001f17e",
    "p": "\u0440\u03c1\uff50",
    "r": "\u0433\u1d26\u0280ř\uff52",
    "s": "\u0455ş\u017f\uff53",
    "t": "\u0442\u03c4ť\uff54",
    "u": "\u057d\u03c5ü\uff55",
    "v": "\u0475\u03bd\uff56",
    "w": "\u051d\u0461\uff57",
    "/": "\uff0f\u2044\u2215\u2571\u29f8\u30ce",
}
UNSEEN = "\u200b\u200d\u2060\u00ad\ufeff\u034f\u3164\ufe0f\u2066\U000e0061\u0332\x08"


@pytest.mark.parametrize("letter", LOOKALIKES)
def test_each_lookalike_is_seen_as_its_letter(letter: str) -> None:
    for each in LOOKALIKES[letter]:
        assert drawn(each)[0].casefold() in {"o": "o0", "i": "i1", "l": "li1"}.get(letter, letter)
    assert drawn(UNSEEN)[0] == ""


@st.composite
def _lookalike(draw: st.DrawFn, word: str) -> str:
    """The command in other characters: at least one of them is not its own."""
    there = [
        draw(st.sampled_from(each + LOOKALIKES.get(each, "")))
        + draw(st.sampled_from(("", *UNSEEN)))
        for each in f"/{word}"
    ]
    at = draw(st.integers(1, len(word)))
    own = there[at][0].casefold() == word[at - 1]
    there[at] += draw(st.sampled_from(UNSEEN)) if own and at < len(word) else ""
    text = "".join(there)
    return text if f"/{word}" not in text.casefold() else text.replace("/", "\uff0f")


@having(st.data(), st.sampled_from(Word), st.sampled_from(("", " now", "\n\nThanks", " a=1", ".")))
def test_what_only_looks_like_a_command_is_an_objection_or_answered_and_never_an_approval(
    data: st.DataObject, word: Word, behind: str
) -> None:
    text = data.draw(_lookalike(word)) + behind
    found = read(text)
    if word in (Word.HOLD, Word.REJECT):
        assert isinstance(found, Command)
        assert found.word is word
    else:
        assert isinstance(found, Unreadable)
        assert f"Type `/{word}` yourself" in found.why
        assert not found.aside


@having(
    st.text(
        st.sampled_from([*"/approve a=1\n&#47;", *"".join(LOOKALIKES.values()), *UNSEEN]),
        max_size=24,
    )
)
def test_only_the_letters_themselves_approve(text: str) -> None:
    found = read(text)
    if isinstance(found, Command) and found.word is Word.APPROVE:
        assert any(line.lower().startswith("/approve") for line in text.splitlines())


@pytest.mark.parametrize(
    ("body", "word", "reason"),
    [
        ("/h\u043eld ждём до понедельника", Word.HOLD, "ждём до понедельника"),
        ("/hoId", Word.HOLD, ""),  # a capital I
        ("/h0ld: wait", Word.HOLD, "wait"),
        ("- /re\u0458ect слишком низко", Word.REJECT, "слишком низко"),
        ("/approve\n/h\u03bfld", Word.HOLD, ""),
        ("/ho&#x43b;d&#8203;", None, ""),  # л looks like no l
        ("/h&#x43e;ld &lt;wait&gt;", Word.HOLD, "<wait>"),
        ("|/h\u043eld|wait|", Word.HOLD, "|wait|"),
        ("/h\u043elding", None, ""),
        ("/h\u043eld.txt", None, ""),
    ],
)
def test_an_objection_in_other_letters_keeps_the_reason_as_it_was_written(
    body: str, word: Word | None, reason: str
) -> None:
    found = read(body)
    if word is None:
        assert not isinstance(found, Command)
    else:
        assert found == Command(word, reason=reason)


@pytest.mark.parametrize(
    "mention", ["/h\u043eld", "\u2215hold", "/rej\u0435ct", "/h0ld", "/ho\u200bld"]
)
def test_an_approval_that_mentions_an_objection_in_other_letters_is_none(mention: str) -> None:
    found = read(f"/approve\n\nor do we {mention} this")
    assert isinstance(found, Unreadable)
    assert "it approves, and mentions" in found.why
    found = read(f"I would {mention} this")
    assert isinstance(found, Unreadable)
    assert "counts for nothing in the middle of a line" in found.why


@pytest.mark.parametrize(
    "mention", ["/hold", "/h\u043eld", "\u2215hold", "/rej\u0435ct", "/ho\u200bld"]
)
def test_a_reason_given_on_a_command_line_is_no_command_whatever_its_letters(mention: str) -> None:
    found = read(approval({}, reason=f"we do not {mention} this"))
    assert isinstance(found, Command)
    assert found.word is Word.APPROVE


@pytest.mark.parametrize("body", ["/appr0ve", "/\u0430pprov", "/approve2", "&#47;\u0430proved now"])
def test_what_nearly_looks_like_a_command_is_answered(body: str) -> None:
    found = read(body)
    assert isinstance(found, Unreadable)
    assert "/approve`" in found.why


# -- approvals are read strictly -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "remark"),
    [
        ("/approve.", ""),
        ("/approve!", ""),
        ("/approve, thanks", "thanks"),
        ("/approve LGTM", "LGTM"),
        ("/approve looks good", "looks good"),
        ("/approve :+1:", ":+1:"),
        ("/approve 👍", "👍"),
        ("/approve it's fine", "it's fine"),
        ("/approve — thanks", "thanks"),
        ("/approve 0123456789abcdef0123456789abcdef, thanks", "thanks"),
        ("/approve 0123456789abcdef0123456789abcdef.", ""),
    ],
)
def test_words_behind_an_approval_are_its_comment_if_no_input_is_asked(
    body: str, remark: str
) -> None:
    command = read(body)
    assert isinstance(command, Command)
    assert (command.word, command.reason, command.pairs) == (Word.APPROVE, remark, ())
    assert readable(command, None) is command
    assert given(command, None) == {}


@pytest.mark.parametrize("words", ["LGTM", ", thanks", "looks good", ":+1:"])
def test_words_behind_an_approval_are_answered_with_the_form_if_input_is_asked(words: str) -> None:
    command = read(f"/approve {words}")
    assert isinstance(command, Command)
    found = readable(command, SCHEMA)
    assert isinstance(found, Unreadable)
    assert "is no `key=value`" in found.why
    assert "write `/approve target=…`" in found.why


def test_a_key_in_letters_that_only_look_like_its_own_is_unreadable() -> None:
    found = read("/approve t\u0430rget=production")  # the Cyrillic letter
    assert isinstance(found, Unreadable)
    assert "is no `key=value`" in found.why


BLANKS = ("\t", "\u00a0", "\u3000", "\u2003", "\u202f", "\u2028", "\x0b")


@pytest.mark.parametrize("blank", BLANKS)
def test_any_white_space_separates_pairs(blank: str) -> None:
    assert _input(f"/approve{blank}target=production{blank}share=5") == {
        "target": "production",
        "share": 5,
    }
    digest = "0123456789abcdef0123456789abcdef"
    assert read(f"/approve {digest}{blank}a=1") == Command(
        Word.APPROVE, pairs=("a=1",), digest=digest
    )


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (r"target=C:\m\v1", r"C:\m\v1"),
        (r"target=a\ b", None),
        ("target=$HOME/*", "$HOME/*"),
        ('target="a b"', "a b"),
        ("target='a b'", "a b"),
        ('target="it\'s"', "it's"),
        (r'target="C:\m\"', "C:\\m\\"),
        ("target=`prod`", "prod"),
        ("target=.", "."),
        ('target="a,"', "a,"),
        ("target=“prod”", "prod"),
        ("target=„prod“", "prod"),
        ("target=‘a b’", "a b"),
        ("target=“prod", None),
        ("target=", ""),
        ("target=a=b", "a=b"),
        *((f"target=a{blank}", "a") for blank in BLANKS),
        ("target=«prod»", "prod"),
        ("target=»prod«", "prod"),
        ("target=‹a b›", "a b"),
        *(
            (f"target={each}", None)
            for each in ("**prod**", "_prod_", "<prod>", "「prod」", "＂a＂")
        ),
        *(
            (f"target={each}", None)
            for each in ("&quot;prod&quot;", "*prod*", "´prod´", "<b>a</b>")
        ),
        ("target=pr\u200bod", None),
        ("target=prod\u2800", None),
        ("target=prod,share=3", None),
        ("target=prod，share=3", None),
    ],
)
def test_a_value_is_kept_as_written_and_quotation_marks_hold_blanks_together(
    written: str, value: str | None
) -> None:
    command = read(f"/approve {written}")
    if value is None:
        assert isinstance(command, Unreadable)
    else:
        assert isinstance(command, Command)
        assert given(command, SCHEMA) == {"target": value}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("/approve\nfor the release:\n```yaml\ntarget: prod\n```", "the block was not read"),
        ("/approve\nfor the release:\n```toml\ntarget = 1\n```", "the block was not read"),
        ("```yaml\ntarget: prod\n```\n/approve", "the block was not read"),
        ("```\ntarget: prod\n```\n/approve", "the block was not read"),
        ("/approve\ntarget=prod", "`target=prod` was not read"),
        ("/approve share=1\n- target: prod", "`- target: prod` was not read"),
        (
            "/approve\n```yaml\ntarget: a\n```\n```yaml\nshare: 1\n```",
            "the block was not read",
        ),
    ],
)
def test_input_where_nothing_reads_it_is_refused(body: str, why: str) -> None:
    command = read(body)
    assert isinstance(command, Command)
    found = readable(command, SCHEMA)
    assert isinstance(found, Unreadable)
    assert why in found.why
    assert readable(command, None) is command


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1. target: production",
            "Target: production",
            "| target | production |",
            "target production",
        ),
        *("<pre>\ntarget: production\n</pre>", "> target: x", "> ```yaml\n> target: x\n> ```"),
        *("<!-- target: x -->", "<!-- target: x --> thanks", "    target: x", "\tx", "production"),
        *("`target: x`", "```console\ntarget: x\n```", "<details>\ntarget: x\n</details>", "- x"),
    ],
)
def test_text_behind_an_approval_that_nothing_reads_is_refused_if_input_is_asked(text: str) -> None:
    bodies = [f"/approve\n{text}", f"/approve\n\n{text}", f"/approve share=1\n\n\n{text}"]
    if text.startswith(("<!--", "`t")):
        bodies = [*bodies, f"/approve {text}"]
    for body in (*bodies, f"/approve\n```yaml\nshare: 1\n```\n{text}"):
        command = read(body)
        if isinstance(command, Command):
            command = readable(command, SCHEMA)
        assert isinstance(command, Unreadable), body


@pytest.mark.parametrize("text", ["1. Target: prod", "| target | prod |", "**target**: prod"])
def test_what_looks_like_input_before_an_approval_is_refused(text: str) -> None:
    command = read(f"{text}\n\n/approve")
    assert isinstance(command, Command)
    assert isinstance(readable(command, SCHEMA), Unreadable)
    assert isinstance(approve_button.approval(text, SCHEMA), Unreadable)


@pytest.mark.parametrize(
    "body", ["/approve target=a share=1\n\nThanks!", "> target: x\n\n/approve"]
)
def test_text_that_can_hold_no_lost_input_is_no_fault(body: str) -> None:
    command = read(body)
    assert isinstance(command, Command)
    assert readable(command, SCHEMA) is command


@pytest.mark.parametrize("body", ["target: prod", "```yaml\ntarget: prod\n```"])
def test_input_in_a_review_without_the_command_is_refused(body: str) -> None:
    assert isinstance(approve_button.approval(body, SCHEMA), Unreadable)
    fine = "It works:\n```console\n$ x\n```"
    assert isinstance(approve_button.approval(fine, SCHEMA), Command)


@pytest.mark.parametrize(
    "text",
    [
        *("LGTM if tests pass", "not yet", "no", "don't merge", "dont merge", "wait for QA", "👎"),
        *("LGTM?", "OK, but staging only", "Great work!\n\nOne thing: hold off until Monday."),
        *("noch nicht", "LGTM, mais attends", "ещё нет", "LGTM. まだです", "Let's see", "TBD"),
        *("```\nnot yet\n```", "Good.\n\n    if green", "> ship it\n\nno", "No."),
    ],
)
def test_the_button_beside_an_objection_or_a_condition_does_not_approve(text: str) -> None:
    found = approve_button.approval(text, None)
    assert isinstance(found, Unreadable)
    assert "write `/approve` alone in a comment, or `/hold`" in found.why


@pytest.mark.parametrize(
    "text",
    [
        *("", "LGTM", "Looks good to me!", "👍", "!", "ship it 🚀", "Thanks, Ann.", "Excellent"),
        *("> not yet\n\nNow it is fine.", "> wait", "I checked the metrics: AUC 0.93, β=0.1."),
        *("No objections.", "<!-- if you read this -->", "Merci, c'est bon"),
    ],
)
def test_the_button_alone_or_with_plain_praise_approves(text: str) -> None:
    assert isinstance(approve_button.approval(text, None), Command)


def _input(body: str) -> dict[str, object]:
    command = read(body)
    assert isinstance(command, Command)
    return given(command, SCHEMA)


HOSTILE = "x\ud800\u202e\x1b[31m`"


@pytest.mark.parametrize(
    "body",
    [
        f"/approve {HOSTILE} share=1",
        f"/approve {HOSTILE} if green",
        f"/approve share=1\u200b{HOSTILE}",
        "/approve \ud800 share=1",
        f"/approve\n```{HOSTILE[:-1]}\nshare: 1\n```",
    ],
)
def test_words_that_could_not_be_read_are_shown_without_what_is_hostile_in_them(body: str) -> None:
    found = read(body)
    assert isinstance(found, Unreadable)
    found.why.encode()  # as what is sent to GitHub
    assert not {"\u202e", "\x1b", "\u200b"} & set(found.why)
    assert "``" not in found.why
    assert found.why.count("`") % 2 == 0


def test_input_in_the_line_and_in_the_block_is_one_input() -> None:
    assert _input("/approve target=prod\n```yaml\nshare: 0.5\n```") == {
        "target": "prod",
        "share": 0.5,
    }


@pytest.mark.parametrize("sign", ["=", "<<"])
def test_a_sign_that_yaml_once_gave_a_meaning_to_is_text(sign: str) -> None:
    assert _input(f"/approve\n```yaml\ntarget: {sign}\n```") == {"target": sign}


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("target: a\ntarget: b", "appears twice"),
        ("target: a\nshare: .nan", "no number"),
        ("target: a\nshare: -.inf", "no number"),
        ("target: 2026-01-01", "quotation marks"),
        ("1: a", "quotation marks"),
        ("- a", "not a mapping"),
        ("target: [", "cannot be read"),
        ("target: !!python/object:os.system a", "cannot be read"),
        ("target: !!bool maybe", "without a tag"),
        ("target: !!timestamp soon", "without a tag"),
        ("target: !!int ''", "without a tag"),
        ("target: !!binary \u00e9", "without a tag"),
        ("!!set {target}", "without a tag"),
        ("<<: {target: a}", "<< merges another mapping: write its keys out"),
        ("target: {{x}}", "a key is a list or a mapping: put the text in quotation marks"),
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


@pytest.mark.parametrize(
    "value",
    [
        *("010", "-010", "0o10", "0b1", "1_000", "0x1_0", "1:30", "1:30.5", "1e3", "1.5e3", ".5e1"),
        *("+.5", "-.5"),
        *("yes", "No", "on", "OFF", "“prod”", "‘prod’", "{a: 010}", "[1_000]"),
    ],
)
def test_a_value_that_yaml_may_read_in_two_ways_is_refused(value: str) -> None:
    for schema in (SCHEMA, {**SCHEMA, "properties": {"share": {}}}):
        command = read(f"/approve\n```yaml\nshare: {value}\n```")
        assert isinstance(command, Command)
        with pytest.raises(Faults, match=r"ambiguous|curly"):
            given(command, schema)


@pytest.mark.parametrize(
    ("written", "value"),
    [("10", 10), (".5", 0.5), ("1.5", 1.5), ("-3", -3), ("0", 0), ("1.5e+3", 1500.0)],
)
def test_a_plain_number_is_a_number(written: str, value: float) -> None:
    assert _input(f"/approve target=a\n```yaml\nshare: {written}\n```")["share"] == value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("fix #3 now", "ends where YAML sees a comment"),
        ("[a #b\n  ]", "ends where YAML sees a comment"),
        ("0.1234567890123456789", "has more digits than a number keeps"),
        ("0." + "0" * 400 + "1", "has more digits than a number keeps"),
    ],
)
def test_a_value_of_which_a_part_would_be_lost_is_refused(value: str, why: str) -> None:
    command = read(f"/approve\n```yaml\nshare: {value}\n```")
    assert isinstance(command, Command)
    with pytest.raises(Faults, match=why):
        given(command, {"type": "object", "properties": {"share": {}}})


@pytest.mark.parametrize(
    ("block", "share"),
    [
        ('{"share": 1e2}', 100.0),
        ('{"share": 1.5E-3}', 0.0015),
        ('{\n\t"share": "\\ud83d\\ude00 #1"\n}', "\N{GRINNING FACE} #1"),
        ('{"share": [1e2, {"on": "yes"}]}', [100.0, {"on": "yes"}]),
    ],
)
def test_a_block_of_json_has_the_one_meaning_of_json(block: str, share: object) -> None:
    command = read(f"/approve\n```json\n{block}\n```")
    assert isinstance(command, Command)
    assert given(command, {"type": "object", "properties": {"share": {}}}) == {"share": share}


@pytest.mark.parametrize(
    "block",
    [
        *('{"share": 1, "share": 2}', '{"share": 010}', '{"share": 1e999}', '{"share": "\\ud83d"}'),
        *('{"share": 0.1234567890123456789}', '{"share": ' + "[" * 200 + "]" * 200 + "}"),
        '{"share": ' + "9" * 400 + "}",
    ],
)
def test_a_block_of_json_that_would_be_bent_is_refused(block: str) -> None:
    command = read(f"/approve\n```json\n{block}\n```")
    assert isinstance(command, Command)
    with pytest.raises(Faults):
        given(command, {"type": "object", "properties": {"share": {}}})


def test_a_comment_of_its_own_or_behind_a_number_is_a_comment() -> None:
    block = 'share: 3 # three\n# and\ntarget: "a" # b'
    assert _input(f"/approve\n```yaml\n{block}\n```") == {"share": 3, "target": "a"}


def test_yes_is_true_for_a_field_that_is_true_or_false_and_a_quoted_word_is_a_text() -> None:
    schema = {"type": "object", "properties": {"dry": {"type": "boolean"}, "a": {}}}
    command = read('/approve\n```yaml\ndry: yes\na: "no"\n```')
    assert isinstance(command, Command)
    assert given(command, schema) == {"dry": True, "a": "no"}


def test_a_key_in_the_line_and_in_the_block_is_given_twice() -> None:
    with pytest.raises(Faults, match="target is given twice"):
        _input("/approve target=a\n```yaml\ntarget: b\n```")


def test_input_to_a_gate_that_takes_none_is_refused() -> None:
    command = read("/approve target=a")
    assert isinstance(command, Command)
    with pytest.raises(Faults, match="takes no input"):
        given(command, None)


# -- whatever somebody writes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "again", "after"),
    [
        ("~~~", " ", "`"),
        ("", "~", "`"),
        ("", "`", "/hold"),
        ("", "<!-- a\n", "/"),
        ("", "`a``b", "/"),
        ("", "`a\n`", "/"),
        ("", "`a` /hold ", ""),
        ("", "- ", "/"),
        ("", "> ", "/"),
        ("", "*_", "/"),
        ("", "/a\n", ""),
        ("", "/holt\n", ""),
        ("/hold", "* ", "x"),
        ("/approve a=", '"', ""),
        ("/approve ", "a=1 ", ""),
        ("/approve a=", "**a", ""),
        ("/approve a=", ",", "x"),
        ("", "- a\n", "/"),
        ("", "/hold x\n", ""),
        ("", "```\n", "/"),
        ("", " /hold`", ""),
        ("<pre>", "<pre>\n", "/"),
        ("", "\\`", "/"),
    ],
)
def test_a_long_body_is_read_in_time_linear_in_its_length(
    before: str, again: str, after: str
) -> None:
    """Counted in calls, not in seconds; where it is one call that goes back, this never ends."""
    times = 64_000 // len(again)
    whole, half = (f"{before}{again * n}{after}" for n in (times, times // 2))
    assert _work(whole) < 3 * _work(half) + 1_000


def _work(body: str) -> int:
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        read(body)
    finally:
        sys.setprofile(before)
    return steps


DRESSES = st.tuples(
    st.sampled_from(
        ["", "thanks\n\n", "> quoted\n\n", "```\ncode\n```\n", "/approve\n", "/status\n"]
    ),
    st.sampled_from(
        ["", " ", "  ", "   ", "- ", "* ", "+ ", "1. ", "12) ", "## ", "- [ ] ", "\u00a0"]
    ),
    st.sampled_from([("", ""), ("**", "**"), ("__", "__"), ("*", "*"), ("_", "_"), ("“", "”")]),
    st.sampled_from(["/reject", "/Reject", "/REJECT", "/hold", "/Hold", "/hOLD"]),
    st.sampled_from(["", ".", ":", ",", "!", ";", "?", "…", " -", " —", "...", ":)"]),
    st.sampled_from(
        ["", " wait", " too low!", "\nbecause\nof this", "\n\n/approve", "\r\n> /approve"]
    ),
)


@having(DRESSES)
def test_an_objection_in_any_tolerated_dress_is_an_objection(
    dress: tuple[str, str, tuple[str, str], str, str, str],
) -> None:
    before, mark, (opens, closes), word, end, after = dress
    for inner, outer in ((end, ""), ("", end)):
        found = read(f"{before}{mark}{opens}{word}{inner}{closes}{outer}{after}")
        assert isinstance(found, Command)
        assert found.word is Word(word[1:].lower())


@having(
    st.sampled_from(IN_A_QUOTE + IN_CODE + IN_A_LINE),
    st.sampled_from(["/approve", "/hold", "/reject", "/unhold", "/status"]),
    st.text(alphabet="ab /.:*_-#1", max_size=20),
)
def test_no_text_in_a_quote_in_code_or_inside_a_line_is_a_command(
    place: str, word: str, after: str
) -> None:
    text = f"{word} {after}"
    assert not isinstance(read(place.format(text, text)), Command)


@having(st.text(alphabet="/approvejcthld \t\n\r`~><!-=\"'|*_.:1)[]", max_size=80))
def test_no_body_makes_the_reader_stumble(body: str) -> None:
    found = read(body)
    assert found is None or isinstance(found, Command | Unreadable)
    if isinstance(found, Command):
        readable(found, SCHEMA)


@having(st.text(max_size=40), st.sampled_from(["> ", "    ", "\t", " ", "- ", "x ", "**"]))
def test_no_text_before_it_on_its_line_leaves_an_approval(text: str, before: str) -> None:
    found = read(before + "/approve " + text.replace("\n", " ").replace("\r", " "))
    assert not isinstance(found, Command)


REASONS = st.text() | st.sampled_from(["no need to /hold it", "/reject", "`/hold`", "<!-- /hold"])


@having(st.dictionaries(st.sampled_from(["target", "share"]), st.text(max_size=20)), REASONS)
def test_what_the_command_line_posts_is_read_as_it_was_given(
    inputs: dict[str, str], reason: str
) -> None:
    schema = {"type": "object", "properties": {"target": {}, "share": {}}}
    command = read(approval(inputs, reason=reason))
    assert isinstance(command, Command)
    assert readable(command, schema) is command
    assert given(command, schema) == inputs
    rejected = read(rejection(reason))
    assert isinstance(rejected, Command)
    assert rejected.word is Word.REJECT
