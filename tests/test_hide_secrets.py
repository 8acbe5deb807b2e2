"""One rule for secrets, by name or by looks, in whatever holds them and every text of it."""

from __future__ import annotations

import argparse
from collections import UserDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.artifacts import comparable, summarise
from bridge.core.conditions import function, judge, parse
from bridge.core.hide_secrets import HIDDEN, in_text, within
from bridge.core.message_template import Scope, render

SECRET = "hunter2"  # noqa: S105
KEY = f"ghp_{SECRET * 4}"


@dataclass
class Login:
    user: str = "ann"
    password: str = SECRET
    more: Any = field(default_factory=dict)


Named = namedtuple("Named", ["user", "password"])


class Raising:
    @property
    def password(self) -> str:
        raise ValueError(f"no password={SECRET} here")


def itself() -> dict[str, Any]:
    holder: dict[str, Any] = {"password": SECRET}
    return holder | {"again": holder}


#: Values of an artifact that is named innocently.
HOLDERS: dict[str, Any] = {
    "a dictionary": {"user": "ann", "password": SECRET},
    "nested": {"db": {"auth": [{"host": "h", "apiKey": SECRET}]}},
    "deep": {"a": {"b": {"c": {"d": {"e": {"access_key": SECRET}}}}}},
    "a list of pairs": [("a", {"client_secret": SECRET})],
    "a mapping": UserDict({"password": SECRET}),
    "a named tuple": Named("ann", SECRET),
    "a dataclass": Login(),
    "dataclasses": [Login(more={"token": SECRET})],
    "a namespace": argparse.Namespace(password=SECRET, lr=0.1),
    "a token in a set": {KEY, "x"},
    "a token as a key": {KEY: 1},
    "a text": f"host=db user=ann password={SECRET}",
    "a text of JSON": f'{{"host": "db", "password": "{SECRET}"}}',
    "a text of YAML": f"host: db\npassphrase: {SECRET} {SECRET}\nport: 1",
    "a list in a dataclass": Login(password=["a", {"b": SECRET}]),  # type: ignore[arg-type]
    "a call in a text": f"Login(user='ann', password=Secret('{SECRET}'), lr=0.1)",
    "a header": f"Authorization: Bearer {SECRET}",
    "an address": f"https://example.org/x?access_token={SECRET}&y=1",
    "credentials": f"see postgres://ann:{SECRET}@db/x",
    "a key in a text": f"log in with {KEY}, please",
    "a frame": pd.DataFrame({"user": ["ann"], "password": [SECRET]}),
    "a series": pd.Series({"user": "ann", "password": SECRET}),
    "a column": pd.DataFrame({"password": [SECRET]})["password"],
    "one that holds itself": itself(),
    "an error": ValueError(f"bad password='{SECRET}'"),
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_a_secret_inside_a_value_is_shown_nowhere(kind: str) -> None:
    value = HOLDERS[kind]
    artifact = summarise("config", value, digest="d")
    messages = [
        render(template, Scope({"config": value}))
        for template in (
            "{self.config}",
            "{self.config!r}",
            "{{ self.config }}",
            "{{ [self.config] }}",
            "{{ self.config | string | upper | lower }}",
        )
    ]
    record = judge(function(lambda config: True), {"config": value}).seen
    assert SECRET not in repr((artifact, messages, record)).lower()
    assert not comparable("config", value)


@pytest.mark.parametrize(
    "template",
    [
        "{self.config.password}",
        "{self.config[password]}",
        "{self.config[password]!r:>20}",
        "{{ self.config.password }}",
        "{{ self.config['pass' ~ 'word'] }}",
        "{{ self.config | attr('password') }}",
        "{{ [self.config] | map(attribute='password') | join }}",
        "{% for each in [self.config] %}{{ each.password }}{% endfor %}",
        "{% set name = 'password' %}{{ self.config[name] }}",
    ],
)
def test_a_message_that_reads_a_secret_by_its_name_shows_that_it_is_hidden(template: str) -> None:
    for value in (Login(), {"password": SECRET}):
        if isinstance(value, Login) or "attr" not in template:
            assert HIDDEN.replace("(", "").strip(")") in render(template, Scope({"config": value}))
        assert SECRET not in render(template, Scope({"config": value}))


@pytest.mark.parametrize(
    "template",
    [
        "{% for key, value in self.config.items() %}{{ value }} {% endfor %}",
        "{{ self.config.values() | list }}",
        "{{ self.config | dictsort }}",
        "{{ self.config | tojson }}",
    ],
)
def test_a_loop_over_a_value_meets_no_secret(template: str) -> None:
    assert SECRET not in render(template, Scope({"config": {"a": 1, "password": SECRET}}))


def test_what_an_error_says_holds_no_secret() -> None:
    for template in ("{self.config.password}", "{{ self.config.password }}"):
        with pytest.raises(Exception, match="no password") as caught:
            render(template, Scope({"config": Raising()}))
        assert SECRET not in str(caught.value)
    raising: Callable[..., bool] = lambda config: bool(config.password)  # noqa: E731
    assert SECRET not in repr(judge(function(raising), {"config": Raising()}))


def test_a_condition_that_reads_a_secret_records_that_it_was_hidden() -> None:
    judged = judge(parse("api_key == hunter2"), {"api_key": SECRET})
    assert judged.holds
    assert judged.seen == {"api_key": HIDDEN}


@pytest.mark.parametrize(
    "text",
    [
        "accuracy=0.94, tokens=512, n_tokens: 1_024",
        "tokenizer: bpe; author='ann'",
        "password=None token='' secret=***",
        "no password is needed",
        "at 12:30:01, ratio 3:2, https://example.org/a:b",
    ],
)
def test_a_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert in_text(text) == text


def test_a_text_keeps_what_is_around_its_secrets() -> None:
    text = f"lr=0.1 password={SECRET} host=db, 'api_key': '{SECRET}', n=3 secret: '{SECRET} cut"
    hidden = "lr=0.1 password=(hidden) host=db, 'api_key': (hidden), n=3 secret: (hidden)"
    assert in_text(text) == hidden


@given(st.text(st.sampled_from("pas=:'\"token, {}\n\\"), max_size=200))
def test_hiding_twice_is_hiding_once(text: str) -> None:
    assert in_text(in_text(text)) == in_text(text)


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "a=" * 100_000, "token: " * 30_000, "x='" * 60_000]
)
def test_a_long_text_takes_time_in_its_length_alone(text: str) -> None:
    in_text(text)  # seconds at worst, and hours if each name were tried again from each letter


def test_a_value_without_a_secret_is_not_copied() -> None:
    for value in ({"a": [1, {"b": 2}]}, [1, (2,)], {1, 2}, Named("ann", None)[:1], Login()):
        assert within("config", value) is value
