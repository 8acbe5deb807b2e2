"""Signing with a key from the environment: what it takes, and that it gives nothing away."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Faults
from bridge.core.sshsig import DECISION_NAMESPACE, parse, verify
from bridge.local.signing import signing_key
from tests.ssh_keys import private_text
from tests.test_sshsig import KEY, OF_SSH_KEYGEN, RECORD

#: Made once by `ssh-keygen -t ed25519 -N pw12345`, for this test alone.
ENCRYPTED = """\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABBBaRCg9a
p3sCglDKTzN/0JAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIJc/9Fwc6vdzRuY7
DBJGjulMgMSw9zDQZ7Hm6XGwKU5qAAAAkBA1vLij2BH97rOHGWweKCZuxHDjNWsVMjzX59
aU/y/M+BV/zgC6itNeXpDt3oL9t7JolcvBpZeONEVkSJ2SqHHHHtddG5Ir2JcDHXabWR9f
f4R3SroUjeyDCBa7+P+TMYSWEPQOu13ilIFgTEJ9lugZQZQ+V57OTh4HGxEQA2du07drsB
2pQI1o7UbkAlpVFg==
-----END OPENSSH PRIVATE KEY-----
"""


def refused(text: str) -> str:
    with pytest.raises(Faults) as error:
        signing_key(text)
    return str(error.value)


def test_the_same_key_and_content_give_the_text_that_ssh_keygen_wrote() -> None:
    key = signing_key(private_text())
    assert key.public == KEY
    assert key.sign(RECORD, DECISION_NAMESPACE) == OF_SSH_KEYGEN


@pytest.mark.parametrize(
    "text",
    [
        private_text().strip(),
        f"\n  {private_text()}\n\n",
        private_text().replace("\n", "\r\n"),
    ],
    ids=["no last newline", "blanks around", "CRLF"],
)
def test_a_key_survives_being_a_secret_in_a_web_form(text: str) -> None:
    assert signing_key(text).public == KEY


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_what_is_signed_is_verified(seed: bytes, message: bytes) -> None:
    key = signing_key(private_text(seed))
    armored = key.sign(message, DECISION_NAMESPACE)
    assert verify(message, armored, [KEY, key.public], DECISION_NAMESPACE) == key.public
    assert parse(armored).armored() == armored


def test_a_key_with_a_passphrase_is_refused() -> None:
    assert refused(ENCRYPTED) == (
        "the signing key: it has a passphrase, and nobody is there to type it; make one with"
        " `ssh-keygen -t ed25519 -N '' -f decider` and give the text of the file `decider`"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "LGTM",
        KEY.line,
        private_text()[:200],
        private_text().replace("QyNTUx", "QyNTUy"),
        "\ud800",
    ],
    ids=["nothing", "other text", "the public key", "half", "another type", "half a character"],
)
def test_what_is_no_private_key_is_refused(text: str) -> None:
    assert refused(text).startswith(
        "the signing key: it can't be read as an OpenSSH private key; make one with `ssh-keygen"
    )


def test_a_key_of_another_kind_is_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    ecdsa = ec.generate_private_key(ec.SECP256R1())
    text = ecdsa.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    assert refused(text).startswith("the signing key: it isn't an Ed25519 key; make one with")


def test_without_cryptography_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)  # import fails
    assert refused(private_text()) == (
        "the signing key: signing needs the package `cryptography`;"
        " install it: pip install cryptography"
    )


def test_neither_a_repr_nor_an_error_shows_the_secret() -> None:
    lines = private_text().splitlines()[1:-1]
    key = signing_key(private_text())
    said = f"{key!r} {key} {refused(private_text()[:200])} {refused(ENCRYPTED)}"
    assert "decider" in said
    assert not any(line[:12] in said for line in [*lines, *ENCRYPTED.splitlines()[1:-1]])
