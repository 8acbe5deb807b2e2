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
from bridge.core.sanitize import is_secret

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
    "an option": f"train --lr 0.1 --api-key {SECRET} --epochs 3",
    "a quoted option": f"train --db-password 'a {SECRET}'",
    "an option on the next line": f"train --token \\\n  {SECRET}",
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
        "train --max-tokens 512 --lr 0.1; --no-password --lr 1",
        "at 12:30:01, ratio 3:2, https://example.org/a:b",
        "passed: all, compass='north', keyboard=qwerty, monkey: 'george', primary_key=7",
        "pass: true, first_pass='done', pass=0.93, bypass: none, public_key: abc",
        "the bearer of good news; Bearer authentication, Basic authentication, Basic JavaScript",
        "npm_config_cache, pypi-server-of-ours, sk_testing, Asia, https://slack.com/services/x",
    ],
)
def test_a_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert in_text(text) == text


def test_a_text_keeps_what_is_around_its_secrets() -> None:
    text = f"lr=0.1 password={SECRET} host=db, 'api_key': '{SECRET}', n=3 secret: '{SECRET} cut"
    hidden = "lr=0.1 password=(hidden) host=db, 'api_key': (hidden), n=3 secret: (hidden)"
    assert in_text(text) == hidden


#: Each gives itself away, and holds `SECRET`.
LOOKS = {
    "Google": f"AIza{SECRET * 5}",
    "npm": f"npm_{SECRET * 5}",
    "PyPI": f"pypi-AgEIcHlwaS5vcmc{SECRET}",
    "AWS, for a time": f"ASIA{SECRET * 3}".upper(),
    "Stripe": f"sk_live_{SECRET * 3}",
    "Slack": f"https://hooks.slack.com/services/T0/B0/{SECRET}",
    "Discord": f"https://discord.com/api/webhooks/1/{SECRET}",
    "Teams": f"https://acme.webhook.office.com/webhookb2/{SECRET}",
    "Telegram": f"https://api.telegram.org/bot12345678:{SECRET}/sendMessage",
    "a signed address of S3": f"https://b.s3.example/k?X-Amz-Date=1&X-Amz-Signature={SECRET * 4}",
    "a signed address of Azure": f"https://a.blob.example/c?sv=2020&amp;sig={SECRET * 4}%3D",
    "a token in an address": f"https://{SECRET * 4}@git.example/a/b",
    "Vault": f"hvs.{SECRET * 4}",
    "SendGrid": f"SG.{SECRET * 3}.{SECRET * 6}",
    "Docker": f"dckr_pat_{SECRET * 4}",
    "Bearer": f"Bearer {SECRET}",
    "Bearer, in parts": f"sent bearer abc.{SECRET}.ghi",
    "Basic": "Basic dXNlcjpodW50ZXIy",
    "Basic in a header": "Authorization: Basic dXNlcjpodW50ZXIy",
    "a key": f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
    "a PGP key": f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n{SECRET}",
    "JWT": f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{SECRET}",
}


@pytest.mark.parametrize("kind", LOOKS)
def test_a_secret_that_gives_itself_away_is_hidden_alone_nested_and_in_text(kind: str) -> None:
    text = LOOKS[kind]
    shown = [
        within("x", {"a": [text]}) if "header" not in kind else in_text(text),
        in_text(f"see {text}"),
        in_text(f"{{'a': '{text}'}}"),
        summarise("x", text, digest="d"),
        summarise("x", {"a": [text]}, digest="d"),
    ]
    assert not [each for each in map(repr, shown) if SECRET in each.lower() or "dXNl" in each]
    assert not comparable("x", text)


@pytest.mark.parametrize(
    "name",
    ["api-key", "X-Api-Key", "private-key", "signing-key", "ACCESS-KEY", "APIKey", "api.key",
     "HFToken", "hftoken", "bearer", "pass", "DB_PASS", "dbPass", "AccountKey", "jwt", "Cookie"],
)  # fmt: skip
def test_a_name_is_that_of_a_secret_however_its_words_are_joined(name: str) -> None:
    assert within("x", {"a": [{name: "abc"}]}) == {"a": [{name: HIDDEN}]}
    for text in (f"{name}='abc'", f'{{"{name}": "abc"}}', f"{name}: abc", f"--{name}=abc"):
        assert "abc" not in in_text(text)
    assert not comparable(name, "abc")


@pytest.mark.parametrize(
    ("name", "value"),
    [("passed", "all"), ("compass", "n"), ("keyboard", "qwerty"), ("monkey", "x"), ("pass", True),
     ("primary_key", 7), ("pass_rate", 0.9), ("pass@1", 0.4), ("bypass", "x"), ("token_count", 9),
     ("first_pass", "done"), ("sort-key", "date"), ("author", "ann"), ("bearing", "SE")],
)  # fmt: skip
def test_a_name_that_only_sounds_like_a_secret_is_shown(name: str, value: object) -> None:
    assert within("x", {name: value}) == {name: value}


@pytest.mark.parametrize(
    "text",
    ["ssh://git@host/a", "https://x.example/?sig=short", "significance=0.0001 and signature=none",
     "SG.1 of 2", "s3://training-data-of-the-year-2026/a", "see //a-long-name-of-a-certain-host/x"],
)  # fmt: skip
def test_what_only_looks_a_little_like_a_secret_is_shown(text: str) -> None:
    assert in_text(text) == text
    assert not is_secret("x", text)


def test_a_column_of_numbers_is_shown_if_its_name_may_be_that_of_a_number() -> None:
    frame = pd.DataFrame({"pass": [True], "tokens": [512], "token": ["abc"], "password": [1]})
    assert list(within("x", frame).columns) == ["pass", "tokens"]


@given(st.text(st.sampled_from("pas=:'\"token, {}\n\\"), max_size=200))
def test_hiding_twice_is_hiding_once(text: str) -> None:
    assert in_text(in_text(text)) == in_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "a=" * 100_000,
        "token: " * 30_000,
        "x='" * 60_000,
        "eyJaaaaaaaaaa-" * 15_000,
        "Bearer " * 30_000,
        "Basic aA" * 25_000,
        "-----BEGIN " * 20_000,
        "Bearer" + " " * 200_000,
        "hooks.slack.com/services/" * 8_000,
        "&sig=" * 40_000,
        "://" + "a" * 200_000,
        "://a" * 50_000,
        "SG." * 60_000,
    ],
)
def test_a_long_text_takes_time_in_its_length_alone(text: str) -> None:
    is_secret(text, text)
    in_text(text)  # seconds at worst, and hours if each name were tried again from each letter


def test_a_value_without_a_secret_is_not_copied() -> None:
    for value in ({"a": [1, {"b": 2}]}, [1, (2,)], {1, 2}, Named("ann", None)[:1], Login()):
        assert within("config", value) is value
