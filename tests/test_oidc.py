"""The token by which GitHub says which run asks: what it must say, and whose signature it has."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.errors import Faults, ForgeUnavailable
from bridge.github.oidc import (
    Expected,
    Keys,
    RunToken,
    audience_of,
    issuer_of,
    mismatches,
    read_claims,
    requested,
    signed,
)
from tests.github import GitHub
from tests.github.runs import Run

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
DIGEST = "sha256:" + "ab" * 32
ISSUER = "https://token.actions.githubusercontent.com"
EXPECTED = Expected(ISSUER, "acme/models", 7, DIGEST, NOW)
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": audience_of(DIGEST),
    "repository_id": "7",
    "run_id": "99",
    "run_attempt": "2",
    "workflow_ref": "acme/models/.github/workflows/deploy.yml@refs/heads/main",
    "ref": "refs/heads/main",
    "sha": "0123456789" * 4,
    "event_name": "push",
    "actor": "bob",
    "actor_id": "5",
    "iat": int(NOW.timestamp()) - 60,
    "nbf": int(NOW.timestamp()) - 660,
    "exp": int(NOW.timestamp()) + 240,
}
GOOD = read_claims(CLAIMS)


# -- what it says ----------------------------------------------------------------------------------


def test_a_token_of_the_run_that_asks_proves_it() -> None:
    assert mismatches(GOOD, EXPECTED) == []
    assert (GOOD.run, GOOD.attempt, GOOD.workflow) == (99, 2, ".github/workflows/deploy.yml")
    assert (GOOD.actor, GOOD.actor_id, GOOD.environment) == ("bob", 5, None)


def test_every_fault_of_the_claims_is_told_at_once() -> None:
    bad = CLAIMS | {"run_id": 99, "actor_id": "0x5", "sha": "main", "iat": "now"}
    bad |= {"workflow_ref": "deploy.yml", "aud": ["approval-bridge:x"]}
    del bad["event_name"]
    with pytest.raises(Faults) as refused:
        read_claims(bad)
    assert len(refused.value.faults) == 7
    said = str(refused.value)
    for name in ("run_id", "actor_id", "sha", "iat", "workflow_ref", "aud", "event_name"):
        assert f"`{name}`" in said


@pytest.mark.parametrize("missing", [each for each in CLAIMS if each not in ("exp", "nbf")])
def test_a_claim_that_is_missing_is_no_proof(missing: str) -> None:
    with pytest.raises(Faults, match=missing):
        read_claims({name: value for name, value in CLAIMS.items() if name != missing})


@given(st.dictionaries(st.sampled_from(sorted(CLAIMS)), st.none() | st.integers() | st.text()))
@settings(max_examples=40)
def test_whatever_is_in_the_claims_is_read_or_refused(changes: dict[str, Any]) -> None:
    try:
        read_claims(CLAIMS | changes)
    except Faults as refused:
        assert refused.faults  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"issuer": "https://token.actions.evil.example"}, "its issuer is"),
        ({"issuer": f"{ISSUER}.evil.example"}, "its issuer is"),
        ({"issuer": f"{ISSUER}/one/two"}, "its issuer is"),
        ({"audience": audience_of("sha256:" + "cd" * 32)}, "it is for another request"),
        ({"audience": "https://github.com/acme"}, "it is for another request"),
        ({"repository_id": 8}, "another repository"),
        ({"workflow_repository": "mallory/models"}, "its workflow file is one of mallory/models"),
        ({"issued_at": NOW + timedelta(minutes=6)}, "of the future"),
        ({"not_before": NOW + timedelta(minutes=6)}, "of the future"),
        ({"issued_at": NOW - timedelta(hours=25)}, "over a day ago"),
    ],
)
def test_a_token_for_something_else_is_refused(changes: dict[str, Any], why: str) -> None:
    (fault,) = mismatches(replace(GOOD, **changes), EXPECTED)
    assert why in fault


def test_everything_that_does_not_fit_is_told_at_once() -> None:
    other = replace(EXPECTED, issuer="https://a.test", repository_id=1, digest="x")
    assert len(mismatches(GOOD, other)) == 3


def test_a_run_that_waited_for_a_runner_is_believed_after_its_token_ran_out() -> None:
    late = replace(EXPECTED, now=NOW + timedelta(hours=23))
    assert mismatches(GOOD, late) == []


def test_an_enterprise_may_have_its_name_in_the_issuer() -> None:
    assert mismatches(replace(GOOD, issuer=f"{ISSUER}/octocorp"), EXPECTED) == []


@pytest.mark.parametrize(
    ("server", "issuer"),
    [
        ("https://github.com", ISSUER),
        ("https://octo.ghe.com", "https://token.actions.octo.ghe.com"),
        ("https://git.acme.example/", "https://git.acme.example/_services/token"),
        ("https://github.com.evil.example", "https://github.com.evil.example/_services/token"),
    ],
)
def test_whose_token_it_must_be_follows_from_the_servers_address(server: str, issuer: str) -> None:
    assert issuer_of(server) == issuer


# -- whose signature it has ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def github() -> Iterator[GitHub]:
    with GitHub() as made:
        yield made


@pytest.fixture
def run(github: GitHub) -> Run:
    repo = github.repository("acme/models")
    return repo.run(".github/workflows/deploy.yml", github.user("bob"))


@pytest.fixture
def keys(github: GitHub) -> Keys:
    return Keys(issuer_of(github.url), lambda _: None)


def read(token: str, keys: Keys) -> RunToken:
    return read_claims(signed(token, keys))


def test_a_job_asks_for_its_token_and_the_keys_prove_it(
    github: GitHub, run: Run, keys: Keys
) -> None:
    token = read(requested(github.issuer.job(run), DIGEST), keys)
    repo = run.repository
    expected = Expected(keys.issuer, repo.full_name, repo.id, DIGEST, github.clock.now())
    assert mismatches(token, expected) == []
    assert (token.run, token.attempt, token.actor, token.sha) == (run.id, 1, "bob", run.sha)


def test_the_keys_are_read_once_in_a_process(github: GitHub, run: Run, keys: Keys) -> None:
    github.forget_requests()
    for _ in range(3):
        read(github.issuer.token(run, "x"), keys)
    assert github.counts["oidc"] == 2


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _forged(github: GitHub, run: Run, kind: str) -> str:
    issuer = github.issuer
    claims = issuer.claims(run, audience_of(DIGEST))
    header, _, signature = issuer.signed(claims).split(".")
    if kind == "changed":
        changed = json.dumps({**claims, "actor": "alice"}).encode()
        return f"{header}.{_text(changed)}.{signature}"
    if kind == "unsigned":
        return jwt.encode(claims, "", algorithm="none", headers={"kid": "one"})
    if kind == "the public key as a secret":
        # With the algorithm left to the token, anybody could sign with what everybody has.
        public = issuer.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        said = b'{"alg": "HS256", "kid": "one"}', json.dumps(claims).encode()
        begun = ".".join(map(_text, said))
        return f"{begun}.{_text(hmac.digest(public, begun.encode(), 'sha256'))}"
    if kind == "another algorithm":
        return jwt.encode(claims, issuer.key, algorithm="RS512", headers={"kid": "one"})
    if kind == "an unknown key":
        return issuer.signed(claims, kid="mine", jku="https://evil.example/keys")
    if kind == "no key named":
        return jwt.encode(claims, issuer.key, algorithm="RS256")
    if kind == "another's key":
        other = github.app("forger", {})
        return jwt.encode(claims, other.key, algorithm="RS256", headers={"kid": "one"})
    if kind == "too long":
        return issuer.signed(claims | {"more": "x" * 20_000})
    if kind == "no claims":
        return jwt.api_jws.encode(b"[" * 9000, issuer.key, "RS256", headers={"kid": "one"})
    return kind


@pytest.mark.parametrize(
    "kind",
    [
        "changed",
        "unsigned",
        "the public key as a secret",
        "another algorithm",
        "an unknown key",
        "no key named",
        "another's key",
        "too long",
        "no claims",
        "",
        "no token at all",
        "a.b.c",
        "\ud800.b.c",
    ],
)
def test_a_token_that_github_did_not_sign_is_refused(
    github: GitHub, run: Run, keys: Keys, kind: str
) -> None:
    with pytest.raises(Faults, match="the token of the run"):
        read(_forged(github, run, kind), keys)


@pytest.mark.parametrize(
    "page",
    [
        {"issuer": "https://evil.example"},
        {"jwks_uri": "https://evil.example/keys"},
        {"jwks_uri": None},
    ],
)
def test_keys_from_elsewhere_are_not_read(
    github: GitHub, run: Run, keys: Keys, page: dict[str, Any]
) -> None:
    body = json.dumps(github.issuer.configuration() | page).encode()
    github.faults.answer(200, path="*/openid-configuration", body=body)
    with pytest.raises(ForgeUnavailable, match="names another issuer or other keys"):
        read(github.issuer.token(run, "x"), keys)


@pytest.mark.parametrize(
    ("body", "why"),
    [(b"{}" + b" " * 300_000, "too large"), (b"<html>", "not JSON"), (b'{"keys": []}', "no key")],
)
def test_a_key_set_that_makes_no_sense_is_a_sentence(
    github: GitHub, run: Run, keys: Keys, body: bytes, why: str
) -> None:
    fault = github.faults.answer(200, path="*/jwks", body=body, times=None)
    with pytest.raises(ForgeUnavailable, match=why):
        read(github.issuer.token(run, "x"), keys)
    github.faults.clear()
    assert fault


def test_an_issuer_that_stumbles_is_asked_again(github: GitHub, run: Run, keys: Keys) -> None:
    github.faults.answer(502, path="*/openid-configuration")
    github.faults.cut(path="*/jwks")
    assert read(github.issuer.token(run, "x"), keys).actor == "bob"


def test_a_key_that_github_gave_up_is_no_key(github: GitHub, run: Run, keys: Keys) -> None:
    old = github.issuer.token(run, "x")
    github.issuer.rotate()
    with pytest.raises(Faults, match="no key of"):
        read(old, keys)


def test_a_job_that_gets_no_token_says_so_without_its_credential(github: GitHub, run: Run) -> None:
    env = github.issuer.job(run)
    github.faults.answer(500, path="*/idtoken", times=3)
    with pytest.raises(ForgeUnavailable) as refused:
        requested(env, DIGEST, lambda _: None)
    assert "it answers 500" in str(refused.value)
    assert env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] not in str(refused.value)
