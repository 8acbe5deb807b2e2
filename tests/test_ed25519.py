"""Our own verifier: held to RFC 8032, to Wycheproof, and to OpenSSL if they leave a choice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import ed25519
from bridge.core.ed25519 import L, P
from tests.ssh_keys import point, private

VECTORS = Path(__file__).parent / "data" / "wycheproof" / "ed25519_test.json"

#: RFC 8032 §7.1: public key, message, signature. TEST 1024 is number 83 of Wycheproof's.
RFC_8032 = {
    "TEST 1": (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    "TEST 2": (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "TEST 3": (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
    "TEST SHA(abc)": (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e030"
        "3dca179c138ac17ad9bef1177331a704",
    ),
}

#: A point of order eight; its multiples are the eight points of small order.
TORSION = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")

keys = st.binary(min_size=32, max_size=32).map(lambda seed: (private(seed), point(seed)))
messages = st.binary(max_size=100)


def openssl(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def agreed(key: bytes, message: bytes, signature: bytes) -> bool:
    """What both verifiers say, which must be the same."""
    ours = ed25519.verify(key, message, signature)
    assert ours == openssl(key, message, signature)
    return ours


def multiple(factor: int, of: bytes) -> bytes:
    return plus(0, factor, of)


def plus(of_base: int, factor: int, of: bytes) -> bytes:
    """`[of_base]B + [factor]of`, encoded."""
    decoded = ed25519._decoded(of)
    assert decoded is not None
    return ed25519._encoded(ed25519._combined(of_base, ed25519._BASE, factor, decoded))


SMALL = [multiple(each, TORSION) for each in range(8)]


def encoded(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


#: Each encodes a point of small order for a decoder that is laxer than RFC 8032, as OpenSSL's is.
NOT_CANONICAL = [
    encoded(1, 1),
    encoded(P - 1, 1),
    *(encoded(y, sign) for y in (P, P + 1) for sign in (0, 1)),
]


@pytest.mark.parametrize("name", RFC_8032)
def test_a_signature_of_rfc_8032_holds(name: str) -> None:
    key, message, signature = map(bytes.fromhex, RFC_8032[name])
    assert agreed(key, message, signature)
    assert not agreed(key, message + b".", signature)


def wycheproof() -> Iterator[Any]:
    for group in json.loads(VECTORS.read_text())["testGroups"]:
        for each in group["tests"]:
            parts = group["publicKey"]["pk"], each["msg"], each["sig"]
            yield pytest.param(*map(bytes.fromhex, parts), each, id=f"{each['tcId']}")


@pytest.mark.parametrize(("key", "message", "signature", "vector"), list(wycheproof()))
def test_a_vector_of_wycheproof_gives_its_result(
    key: bytes, message: bytes, signature: bytes, vector: dict[str, Any]
) -> None:
    if "SmallOrderPublicKey" in vector["flags"]:  # "acceptable": a verifier may refuse them
        assert ed25519.key_fault(key)
        assert not ed25519.verify(key, message, signature)
    elif vector["result"] == "acceptable":  # keys of mixed order
        assert agreed(key, message, signature)
    else:
        assert agreed(key, message, signature) == (vector["result"] == "valid")


def test_there_are_eight_points_of_small_order() -> None:
    assert len(set(SMALL)) == 8
    assert multiple(8, TORSION) == SMALL[0] == encoded(1)


@pytest.mark.parametrize("key", [*SMALL, *NOT_CANONICAL], ids=bytes.hex)
def test_a_key_of_small_order_is_refused_because_one_signature_holds_for_many_messages(
    key: bytes,
) -> None:
    signature = encoded(1) + bytes(32)  # R is the neutral point, S is 0
    signed = [message for message in map(str.encode, "abcdefghijklmnopqrstuvwxyz")
              if openssl(key, message, signature)]  # fmt: skip
    assert signed, "the trap is gone: OpenSSL refuses the key itself"
    assert ed25519.key_fault(key)
    assert not any(ed25519.verify(key, message, signature) for message in signed)


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        (b"", "an Ed25519 key has 32 bytes, this one 0"),
        (bytes(31), "an Ed25519 key has 32 bytes, this one 31"),
        (bytes(33), "an Ed25519 key has 32 bytes, this one 33"),
        (encoded(2), "its bytes encode no point of the curve"),
        (encoded(1, 1), "its bytes encode no point of the curve"),
        (encoded(P + 3), "its bytes encode no point of the curve"),
        (encoded(1), "it is a point of small order, for which signatures prove nothing"),
    ],
)
def test_bytes_that_are_no_key_are_refused_with_a_reason(key: bytes, fault: str) -> None:
    assert ed25519.key_fault(key) == fault
    assert not ed25519.verify(key, b"", bytes(64))


@given(keys, messages)
def test_what_was_signed_holds(pair: Any, message: bytes) -> None:
    signer, key = pair
    assert ed25519.key_fault(key) is None
    assert agreed(key, message, signer.sign(message))


@given(keys, messages, st.integers(0, 511))
def test_a_signature_with_one_bit_flipped_never_holds(pair: Any, message: bytes, bit: int) -> None:
    signer, key = pair
    flipped = int.from_bytes(signer.sign(message), "little") ^ 1 << bit
    assert not agreed(key, message, flipped.to_bytes(64, "little"))


@given(keys, messages, st.integers(1, 15))
def test_a_signature_has_one_s_alone(pair: Any, message: bytes, times: int) -> None:
    signer, key = pair
    signature = signer.sign(message)
    s = int.from_bytes(signature[32:], "little") + times * L
    assert not agreed(key, message, signature[:32] + (s % 2**256).to_bytes(32, "little"))


@given(keys, messages, st.integers(0, 100))
def test_a_signature_of_another_length_never_holds(pair: Any, message: bytes, size: int) -> None:
    signer, key = pair
    signature = (signer.sign(message) + bytes(40))[:size]
    assert agreed(key, message, signature) == (size == 64)


@given(keys, messages)
def test_a_signature_of_zeros_never_holds(pair: Any, message: bytes) -> None:
    assert not agreed(pair[1], message, bytes(64))


@given(st.integers(1, L - 1), st.integers(0, L - 1), st.integers(0, 7), st.integers(0, 7), messages)
def test_points_of_mixed_order_are_judged_as_openssl_judges_them(
    a: int, r: int, of_key: int, of_r: int, message: bytes
) -> None:
    """Key and R each have a part of small order. The equation with a cofactor would ignore it."""
    key, nonce = plus(a, of_key, TORSION), plus(r, of_r, TORSION)
    k = int.from_bytes(hashlib.sha512(nonce + key + message).digest(), "little") % L
    signature = nonce + ((r + k * a) % L).to_bytes(32, "little")
    assert agreed(key, message, signature) == ((of_r + k * of_key) % 8 == 0)


@given(st.integers(1, L - 1), messages)
def test_an_r_that_is_not_canonical_never_holds(a: int, message: bytes) -> None:
    """Each R here is an encoding of the point that the equation gives: the neutral one."""
    key = plus(a, 0, TORSION)
    for r, holds in ((encoded(1), True), (encoded(1, 1), False), (encoded(P + 1), False)):
        k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L
        assert agreed(key, message, r + encoded(k * a % L)) == holds


@given(st.binary(max_size=80), messages, st.binary(max_size=80))
def test_any_bytes_are_judged_alike(key: bytes, message: bytes, signature: bytes) -> None:
    if ed25519.key_fault(key) is None:
        agreed(key, message, signature)
    else:
        assert not ed25519.verify(key, message, signature)


@given(
    st.integers(0, 2**256 - 1).map(lambda number: number.to_bytes(32, "little")),
    messages,
    st.sampled_from(SMALL),
    st.sampled_from([0, 1, 2, 8, L - 1, L, L + 1, 2**252, 2**255, 2**256 - 1]),
)
def test_any_point_with_a_special_r_and_s_is_judged_alike(
    key: bytes, message: bytes, r: bytes, s: int
) -> None:
    if ed25519.key_fault(key) is None:
        agreed(key, message, r + s.to_bytes(32, "little"))
