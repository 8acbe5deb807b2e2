from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.durations import LONGEST, relative, seconds, words
from bridge.core.errors import Faults

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "length"),
    [
        ("90s", 90),
        ("30m", 1_800),
        ("24h", 86_400),
        ("7d", 604_800),
        ("1h30m", 5_400),
        (" 2h ", 7_200),
        (45, 45),
        ("7200", 7_200),
        ("1d2h3m4s", 93_784),
        (timedelta(hours=1), 3_600),
    ],
)
def test_a_duration_is_whole_seconds(written: str | timedelta, length: int) -> None:
    assert seconds(written) == length


@pytest.mark.parametrize(
    "written",
    ["", " ", "h", "010", "+10", "1_0",
     "30 minutes", "1.5h", "-1h", "30m1h", "1h1h", "2w", "٣h", "1e3s", "1H",
     0, -5, "0s", "0h0m", True, 1.5, None, "3651d", "9" * 5000 + "s", [30]],
    ids=repr,
)  # fmt: skip
def test_anything_else_is_refused_in_one_sentence(written: object) -> None:
    with pytest.raises(Faults) as caught:
        seconds(written)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 160


def test_a_number_too_large_to_print_is_refused_in_words() -> None:
    with pytest.raises(Faults, match="must not be longer than 3650d"):
        seconds(10**5000)


@given(st.text())
def test_a_text_is_a_length_within_ten_years_or_refused(text: str) -> None:
    with contextlib.suppress(Faults):
        assert 0 < seconds(text) <= LONGEST


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (1, "1 second"),
        (90, "1 minute 30 seconds"),
        (3_600, "1 hour"),
        (86_400, "24 hours"),
        (90_000, "1 day 1 hour"),
        (172_800, "2 days"),
        (0, "no time"),
    ],
)
def test_a_length_reads_exactly(length: int, said: str) -> None:
    assert words(length) == said


@given(st.integers(min_value=1, max_value=LONGEST))
def test_words_say_the_whole_length(length: int) -> None:
    sizes = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
    parts = words(length).split()
    pairs = zip(parts[::2], parts[1::2], strict=True)
    assert sum(int(count) * sizes[name.removesuffix("s")] for count, name in pairs) == length


@pytest.mark.parametrize(
    ("away", "said"),
    [
        (0, "now"),
        (45, "in 45 s"),
        (-45, "45 s ago"),
        (-300, "5 min ago"),
        (3 * 3_600 + 3_599, "in 3 h"),
        (86_400, "in 24 h"),
        (-7 * 86_400, "7 days ago"),
    ],
)
def test_a_deadline_is_told_roughly_and_never_as_further_off(away: int, said: str) -> None:
    assert relative(NOW + timedelta(seconds=away), NOW) == said


@pytest.mark.parametrize("number", [60, 60.0, "60", np.int64(60), np.float32(60)])
def test_a_whole_number_of_seconds_may_be_of_any_type(number: Any) -> None:
    found = seconds(number)
    assert (found, type(found)) == (60, int)
