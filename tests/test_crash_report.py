"""A bug of the bridge: one sentence for the person, and a file that may be sent to strangers."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.core.crash_report import report, without_secrets


def crashed(words: str, env: dict[str, str]) -> str:
    try:
        raise RuntimeError(words)
    except RuntimeError as error:
        return report(error, env)


def kept(cache: Path) -> str:
    (log,) = cache.glob("bug-*.log")
    return log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "env"),
    [
        ("push to https://ann:hunter22@example.org failed", {}),
        ("GET /x, Authorization: Basic aHVudGVyMjI=", {}),
        ("Bearer hunter22 was refused", {}),
        ("slack said hunter22 is no channel", {"METAFLOW_HITL_APPRISE_URLS": "slack://a/hunter22"}),
        ("remote: hunter22 expired", {"HITL_LEDGER": "https://ann:hunter22@example.org/x.git"}),
        ("remote: hunter22 expired", {"GITHUB_TOKEN": "hunter22"}),
        ("cannot log in with hunter22", {"DB_PASSWORD": "hunter22"}),
        ("remote: hunter22 expired", {"HITL_TOKEN": "hunter22\n"}),
        (
            "POST /services/T0/B0/hunter22",
            {"METAFLOW_HITL_SLACK_WEBHOOK": "https://hooks.slack.com/services/T0/B0/hunter22"},
        ),
        ("remote: hunter22@ expired", {"HITL_LEDGER": "https://ann:hunter22%40@example.org/x"}),
        ("mail: hunter22@ refused", {"METAFLOW_HITL_APPRISE_URLS": "mailto://a:hunter22%40@b"}),
        ("bad line hunter22", {"HITL_APP_KEY": "-----BEGIN PRIVATE KEY-----\\nhunter22\\n"}),
        ("{'Authorization': 'Basic aHVudGVyMjI='}", {}),
        ('{"authorization":"Basic aHVudGVyMjI="}', {}),
    ],
)
def test_neither_the_sentence_nor_the_file_holds_a_secret(
    tmp_path: Path, words: str, env: dict[str, str]
) -> None:
    said = crashed(words, {"HITL_CACHE": str(tmp_path), **env})
    assert "hunter22" not in said + kept(tmp_path)
    assert "aHVudGVyMjI" not in said + kept(tmp_path)


def test_the_file_holds_what_is_needed_to_find_the_bug(tmp_path: Path) -> None:
    said = crashed("no such colour", {"HITL_CACHE": str(tmp_path)})
    assert "RuntimeError: no such colour" in said
    for words in (
        "approval-bridge ",
        "Python 3",
        "test_crash_report.py",
        "RuntimeError: no such colour",
    ):
        assert words in kept(tmp_path)


def test_where_no_file_can_be_kept_the_sentence_still_stands(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = crashed("no such colour", {"HITL_CACHE": str(tmp_path / "file" / "cache")})
    assert "its traceback could not be kept (Not a directory)" in said
    assert said.count("\n") == 0


def test_words_that_are_no_text_are_kept_all_the_same(tmp_path: Path) -> None:
    crashed("half a character: \ud800", {"HITL_CACHE": str(tmp_path)})
    assert "half a character: ?" in kept(tmp_path)


def test_a_short_secret_blots_out_no_words() -> None:
    assert without_secrets("the cat sat", {"CAT_TOKEN": "cat"}) == "the cat sat"


@pytest.mark.parametrize(
    "env",
    [{"PWD": "/home/ann/shop"}, {"HITL_OPENER_SECRET": "hitl-opener"}],
    ids=lambda env: next(iter(env)),
)
def test_what_is_only_called_like_a_secret_is_kept(env: dict[str, str]) -> None:
    (value,) = env.values()
    assert without_secrets(f"it failed in {value}", env) == f"it failed in {value}"


def test_a_webhook_blots_out_no_word_of_its_address() -> None:
    env = {"METAFLOW_HITL_SLACK_WEBHOOK": "https://hooks.slack.com/services/T0/B0/hunter22"}
    assert (
        without_secrets("two services of hooks.slack.com", env) == "two services of hooks.slack.com"
    )


def test_a_traceback_keeps_what_follows_a_line_that_opens_a_bracket() -> None:
    text = "    password = read(\n  File x.py\n    {'password': 'hunter22', 'n': 1}"
    hidden = "    password = (hidden)\n  File x.py\n    {'password': (hidden), 'n': 1}"
    assert without_secrets(text, {}) == hidden
