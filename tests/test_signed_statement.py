"""What a decision's signature is about: an auditor can write it down by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Faults
from bridge.core.evaluation import Outcome
from bridge.core.signed_statement import statement

REQUEST, RECORD = "sha256:" + "1" * 64, "sha256:" + "2" * 64
SOUND: dict[str, Any] = {
    "server": "github.com",
    "repository_id": 1296269,
    "gate_id": "3f9a1c2b4d5e6f70",
    "request_digest": REQUEST,
    "outcome": Outcome.APPROVED,
    "record_sha256": RECORD,
}


def test_a_statement_is_seven_lines_that_anybody_can_write() -> None:
    assert statement(**SOUND).decode() == (
        "approval-bridge decision 1\n"
        "server: github.com\n"
        "repository: 1296269\n"
        "gate: 3f9a1c2b4d5e6f70\n"
        f"request: {REQUEST}\n"
        "outcome: approved\n"
        f"record: {RECORD}\n"
    )


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"server": "GitHub.com"}, "the server is a host name in lower case, not `GitHub.com`"),
        ({"server": "https://github.com"}, "the server is a host name"),
        ({"server": "github.com\ngate: x"}, "the server is a host name"),
        ({"server": "github.com\n"}, "the server is a host name"),
        ({"server": ""}, "the server is a host name"),
        ({"repository_id": 0}, "the repository is GitHub's numeric id, not 0"),
        ({"repository_id": -1}, "the repository is GitHub's numeric id, not -1"),
        ({"gate_id": "3F9A1C2B4D5E"}, "the gate is 8 to 64 hex digits, not `3F9A1C2B4D5E`"),
        ({"gate_id": "٣" * 12}, "the gate is 8 to 64 hex digits"),
        ({"request_digest": "1" * 64}, "the request's digest is `sha256:` and 64 hex digits"),
        ({"record_sha256": RECORD + "\n"}, "the record's digest is `sha256:` and 64 hex digits"),
        ({"outcome": Outcome.PENDING}, "a gate that is pending has no decision to sign"),
    ],
)
def test_a_value_that_has_no_place_in_a_statement_is_refused(
    changed: dict[str, Any], fault: str
) -> None:
    with pytest.raises(Faults) as refused:
        statement(**SOUND | changed)
    assert len(refused.value.faults) == 1
    assert fault in str(refused.value)


def test_every_fault_is_reported_at_once() -> None:
    with pytest.raises(Faults) as refused:
        statement("", 0, "", "", Outcome.PENDING, "")
    assert len(refused.value.faults) == 6


values = st.fixed_dictionaries(
    {
        "server": st.from_regex(r"[a-z0-9]{1,3}(\.[a-z]{1,3})?(:[0-9]{1,5})?", fullmatch=True),
        "repository_id": st.integers(1, 10**12),
        "gate_id": st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
        "request_digest": st.sampled_from([REQUEST, RECORD]),
        "outcome": st.sampled_from([each for each in Outcome if each is not Outcome.PENDING]),
        "record_sha256": st.sampled_from([REQUEST, RECORD]),
    }
)


@given(values, values)
def test_two_statements_are_the_same_only_if_they_say_the_same(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    for name in one:
        changed = one | {name: other[name]}
        assert (statement(**changed) == statement(**one)) == (changed == one)


@given(st.text(max_size=40), st.sampled_from(["server", "gate_id", "request_digest"]))
def test_no_text_can_add_a_line(text: str, name: str) -> None:
    try:
        made = statement(**SOUND | {name: text})
    except Faults:
        return
    assert made.count(b"\n") == 7
    assert made.isascii()
