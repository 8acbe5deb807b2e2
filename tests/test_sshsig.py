"""SSH signatures: whose counts, for what, and that nothing in one can be changed."""

from __future__ import annotations

import base64
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import ed25519, sshsig
from bridge.core.decision_keys import parse_keys
from bridge.core.errors import Faults
from bridge.core.sshsig import (
    DECISION_NAMESPACE,
    VOTE_NAMESPACE,
    BadSignature,
    KeyType,
    PublicKey,
    Signature,
    Why,
    parse,
    parse_key,
    signed_bytes,
    verify,
)
from tests.ssh_keys import point, private, private_text, security_key, signed_by_security_key

RECORD = b"the record\n"
LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea decider"
KEY = parse_key(LINE)
OTHER = PublicKey(KeyType.ED25519, point(bytes(32)), comment="somebody else")
TOUCH = security_key(comment="ann's token")

#: `ssh-keygen -Y sign -n decision@approval-bridge` of OpenSSH 9.2 over `RECORD`, with this key.
OF_SSH_KEYGEN = """\
-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAg11qYAYKxCrfVS/7TyWQHOg7hcv
PapiMlrwIaaPcHURoAAAAYZGVjaXNpb25AYXBwcm92YWwtYnJpZGdlAAAAAAAAAAZzaGE1
MTIAAABTAAAAC3NzaC1lZDI1NTE5AAAAQOqwLlpeoCghfVMqBWPSWwd8Rf62raSoF2yUK0
WgxTSVq7ODgOhEuoqjRE2cPtF+wxey8vSscQgEDGkOiMPC6g4=
-----END SSH SIGNATURE-----
"""
#: The same with `-O hashalg=sha256`.
OF_SSH_KEYGEN_SHA256 = """\
-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAg11qYAYKxCrfVS/7TyWQHOg7hcv
PapiMlrwIaaPcHURoAAAAYZGVjaXNpb25AYXBwcm92YWwtYnJpZGdlAAAAAAAAAAZzaGEy
NTYAAABTAAAAC3NzaC1lZDI1NTE5AAAAQBOwyq98i7vNYiwCmgIMdV8Z/RtWmWFXsDXuuS
FOlezsIKsH/wpnos9gr/ygnXVMTa2kFqs/c8ex4xjLmFvBGQI=
-----END SSH SIGNATURE-----
"""
BY_DEVICE = signed_by_security_key(RECORD, DECISION_NAMESPACE, TOUCH).armored()


@pytest.fixture(params=["cryptography", "our own"])
def _verifier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "our own":
        monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)  # import fails
    assert (sshsig.verifier() is ed25519.verify) == (request.param == "our own")


def why(armored: str | bytes, *keys: PublicKey, message: bytes = RECORD, **more: Any) -> Why:
    namespace = more.get("namespace", DECISION_NAMESPACE)
    with pytest.raises(BadSignature) as refused:
        verify(message, armored, keys or (KEY, TOUCH), namespace)
    sentence = str(refused.value)
    assert len(sentence) <= 1_000
    assert sentence.isprintable()
    return refused.value.why


def rearmored(blob: bytes) -> str:
    encoded = base64.b64encode(blob).decode()
    return f"-----BEGIN SSH SIGNATURE-----\n{encoded}\n-----END SSH SIGNATURE-----\n"


def blob_of(armored: str) -> bytes:
    return base64.b64decode("".join(armored.splitlines()[1:-1]))


# -- what counts ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("_verifier")
class TestBothVerifiers:
    @pytest.mark.parametrize("armored", [OF_SSH_KEYGEN, OF_SSH_KEYGEN_SHA256])
    def test_a_signature_of_ssh_keygen_counts(self, armored: str) -> None:
        assert verify(RECORD, armored, [OTHER, KEY], DECISION_NAMESPACE) is KEY
        assert verify(RECORD, armored.encode(), [KEY], DECISION_NAMESPACE) is KEY

    def test_a_signature_of_a_security_key_counts(self) -> None:
        assert verify(RECORD, BY_DEVICE, [KEY, TOUCH], DECISION_NAMESPACE) is TOUCH

    @pytest.mark.parametrize("armored", [OF_SSH_KEYGEN, OF_SSH_KEYGEN_SHA256, BY_DEVICE])
    def test_other_content_does_not_count(self, armored: str) -> None:
        assert why(armored, message=b"the record") is Why.CHANGED
        assert why(armored, message=b"") is Why.CHANGED

    def test_a_security_key_that_was_not_touched_does_not_count(self) -> None:
        untouched = signed_by_security_key(RECORD, DECISION_NAMESPACE, TOUCH, flags=0x04)
        assert why(untouched.armored()) is Why.NOT_TOUCHED

    @pytest.mark.parametrize(("flags", "counter"), [(0x05, 7), (0x01, 8)])
    def test_the_state_of_a_security_key_cannot_be_changed(self, flags: int, counter: int) -> None:
        changed = replace(parse(BY_DEVICE), flags=flags, counter=counter)
        assert why(changed.armored()) is Why.CHANGED

    def test_a_signature_with_s_plus_the_order_does_not_count(self) -> None:
        good = parse(OF_SSH_KEYGEN)
        s = int.from_bytes(good.raw[32:], "little") + ed25519.L
        assert why(replace(good, raw=good.raw[:32] + s.to_bytes(32, "little")).armored()) is (
            Why.CHANGED
        )


def test_a_python_without_any_package_verifies() -> None:
    """As in a stock image: without site-packages, so without `cryptography`."""
    root = Path(__file__).parents[1]
    code = f"""
from bridge.core import ed25519, sshsig
keys = [sshsig.parse_key({LINE!r})]
print(sshsig.verify({RECORD!r}, {OF_SSH_KEYGEN!r}, keys, sshsig.DECISION_NAMESPACE))
assert sshsig.verifier() is ed25519.verify
"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == f"{KEY}\n"


def test_a_signature_for_something_else_does_not_count() -> None:
    assert why(OF_SSH_KEYGEN, namespace=VOTE_NAMESPACE) is Why.OTHER_NAMESPACE
    renamed = replace(parse(OF_SSH_KEYGEN), namespace=VOTE_NAMESPACE).armored()
    assert why(renamed, namespace=VOTE_NAMESPACE) is Why.CHANGED


def test_a_key_that_is_not_allowed_does_not_count() -> None:
    assert why(OF_SSH_KEYGEN, OTHER) is Why.UNKNOWN_KEY
    with pytest.raises(BadSignature, match="allowed: none"):
        verify(RECORD, OF_SSH_KEYGEN, [], DECISION_NAMESPACE)


def test_naming_an_allowed_key_is_not_enough() -> None:
    by_other = private(bytes(32)).sign(signed_bytes(RECORD, DECISION_NAMESPACE))
    claimed = Signature(KEY.blob, DECISION_NAMESPACE, "sha512", by_other)
    assert why(claimed.armored()) is Why.CHANGED


def test_a_security_key_counts_for_its_own_application_alone() -> None:
    elsewhere = security_key("ssh:elsewhere")
    assert why(BY_DEVICE, elsewhere) is Why.UNKNOWN_KEY
    moved = replace(parse(BY_DEVICE), key=elsewhere.blob)
    assert why(moved.armored(), elsewhere) is Why.CHANGED


def test_a_plain_signature_does_not_count_for_a_security_key_of_the_same_point() -> None:
    raw = parse(OF_SSH_KEYGEN).raw
    untouched = Signature(TOUCH.blob, DECISION_NAMESPACE, "sha512", raw, 0x01, 7)
    assert why(untouched.armored(), TOUCH) is Why.CHANGED
    assert why(Signature(TOUCH.blob, DECISION_NAMESPACE, "sha512", raw).armored()) is Why.MALFORMED


@pytest.mark.parametrize(
    ("armored", "keys", "namespace", "sentence"),
    [
        (
            OF_SSH_KEYGEN,
            [KEY],
            VOTE_NAMESPACE,
            "the signature was made for `decision@approval-bridge`, not for `vote@approval-bridge`",
        ),
        (
            OF_SSH_KEYGEN,
            [OTHER],
            DECISION_NAMESPACE,
            f"the signature is by {KEY.fingerprint}, which isn't an allowed key; allowed: {OTHER}",
        ),
        (
            OF_SSH_KEYGEN.replace("OqwLlpe", "OqwLlpf"),
            [KEY],
            DECISION_NAMESPACE,
            f"the signature by {KEY} is of other content, or was changed itself",
        ),
        (
            "LGTM",
            [KEY],
            DECISION_NAMESPACE,
            "the signature can't be read: it must begin with -----BEGIN SSH SIGNATURE----- and end"
            " with -----END SSH SIGNATURE-----; have it made again",
        ),
    ],
)
def test_the_sentence_says_what_is_wrong(
    armored: str, keys: list[PublicKey], namespace: str, sentence: str
) -> None:
    with pytest.raises(BadSignature) as refused:
        verify(RECORD, armored, keys, namespace)
    assert str(refused.value) == sentence


def test_a_cryptography_without_ed25519_leaves_it_to_our_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unsupported(_: bytes) -> Ed25519PublicKey:
        raise UnsupportedAlgorithm("as in FIPS mode")

    monkeypatch.setattr(Ed25519PublicKey, "from_public_bytes", unsupported)
    assert verify(RECORD, OF_SSH_KEYGEN, [KEY], DECISION_NAMESPACE) is KEY
    assert why(OF_SSH_KEYGEN, message=b"") is Why.CHANGED


# -- the text of a signature ---------------------------------------------------------------------


@pytest.mark.parametrize("armored", [OF_SSH_KEYGEN, OF_SSH_KEYGEN_SHA256, BY_DEVICE])
def test_what_is_written_is_what_ssh_keygen_writes(armored: str) -> None:
    assert parse(armored).armored() == armored


@pytest.mark.parametrize(
    "changed",
    [
        OF_SSH_KEYGEN.replace("\n", "\r\n"),
        OF_SSH_KEYGEN.strip(),
        f"\n  {OF_SSH_KEYGEN}\n\n",
        rearmored(blob_of(OF_SSH_KEYGEN)),
    ],
    ids=["CRLF", "no last newline", "blanks around", "one long line"],
)
def test_a_signature_survives_a_web_form(changed: str) -> None:
    assert verify(RECORD, changed, [KEY], DECISION_NAMESPACE) is KEY


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def envelope(
    *,
    magic: bytes = b"SSHSIG",
    version: int = 1,
    key: bytes = KEY.blob,
    end: bytes = b"",
    **parts: bytes,
) -> str:
    raw = parse(OF_SSH_KEYGEN).raw
    inner = parts.get("inner", string(b"ssh-ed25519") + string(raw))
    fields = (
        key,
        parts.get("namespace", DECISION_NAMESPACE.encode()),
        parts.get("reserved", b""),
        parts.get("hash_name", b"sha512"),
        inner,
    )
    return rearmored(magic + struct.pack(">I", version) + b"".join(map(string, fields)) + end)


def test_the_envelope_of_these_tests_is_sound() -> None:
    assert verify(RECORD, envelope(), [KEY], DECISION_NAMESPACE) is KEY


@pytest.mark.parametrize(
    ("armored", "what"),
    [
        (envelope(magic=b"SSHSIH"), "it doesn't begin with SSHSIG"),
        (envelope(version=2), "it has version 2, and only version 1 is known"),
        (envelope(namespace=b""), "its namespace is empty"),
        (envelope(namespace=b"decision\0"), "its namespace isn't printable ASCII"),
        (envelope(namespace=b"x" * 256), "its namespace has 256 bytes; the most is 255"),
        (envelope(reserved=b"x"), "its reserved field isn't empty"),
        (envelope(hash_name=b"sha1"), "its hash is `sha1`, not sha512 or sha256"),
        (envelope(key=b""), "the key is cut short"),
        (envelope(key=b"x" * 1_025), "its key has 1,025 bytes; the most is 1,024"),
        (envelope(end=b"x"), "the signature has 1 bytes too many"),
        (
            envelope(inner=string(b"rsa-sha2-512") + string(bytes(256))),
            "it is of type `rsa-sha2-512`, not ssh-ed25519 or sk-ssh-ed25519@openssh.com",
        ),
        (
            envelope(key=TOUCH.blob),
            "it is of type ssh-ed25519, its key of type `sk-ssh-ed25519@openssh.com`",
        ),
        (
            envelope(inner=string(b"ssh-ed25519") + string(bytes(63))),
            "an Ed25519 signature has 64 bytes, this one 63",
        ),
        (
            envelope(inner=string(b"ssh-ed25519") + string(bytes(64)) + b"\1"),
            "the inner part has 1 bytes too many",
        ),
        (
            envelope(
                key=TOUCH.blob,
                inner=string(b"sk-ssh-ed25519@openssh.com") + string(bytes(64)) + b"\1",
            ),
            "the inner part is cut short",
        ),
        (envelope(key=struct.pack(">I", 2**32 - 1)), "its type has 4,294,967,295 bytes"),
        (rearmored(b"SSHSIG"), "the signature is cut short"),
        (OF_SSH_KEYGEN.replace("\nU1N", "\n*U1N"), "it isn't base64"),
        (OF_SSH_KEYGEN.replace("\nU1N", "\n U1N"), "it isn't base64"),
        (OF_SSH_KEYGEN.replace("g4=", "g5="), "it isn't base64 in its canonical form"),
        (OF_SSH_KEYGEN.replace("\n-----END", "=\n-----END"), "it isn't base64"),
        ("-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----", "it isn't base64"),
        ("-----BEGIN SSH SIGNATURE-----", "it must begin with"),
        (OF_SSH_KEYGEN * 2, "it isn't base64"),
        ("", "it must begin with"),
        ("x" * 4_097, "it has 4,097 characters; the most is 4,096"),
    ],
)
def test_a_malformed_signature_is_refused_with_what_is_wrong(armored: str, what: str) -> None:
    with pytest.raises(BadSignature) as refused:
        parse(armored)
    assert refused.value.why is Why.MALFORMED
    assert f"the signature can't be read: {what}" in str(refused.value)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_text_is_refused_in_a_sentence(anything: bytes | str) -> None:
    assert why(anything) is Why.MALFORMED


@given(st.binary(max_size=400), st.sampled_from([b"", b"SSHSIG\0\0\0\1"]))
def test_any_blob_is_refused_in_a_sentence(anything: bytes, start: bytes) -> None:
    assert why(rearmored(start + anything)) is Why.MALFORMED


@given(*[st.binary(max_size=80)] * 3, st.sampled_from([b"sha512", b"sha256", b""]), st.binary())
def test_any_fields_are_refused_in_a_sentence(
    key: bytes, namespace: bytes, reserved: bytes, hash_name: bytes, inner: bytes
) -> None:
    parts = {"namespace": namespace, "reserved": reserved, "hash_name": hash_name, "inner": inner}
    why(envelope(key=key, **parts))


@given(
    st.sampled_from([KEY.blob, TOUCH.blob, OTHER.blob]),
    st.binary(min_size=64, max_size=64),
    st.none() | st.integers(0, 255),
    st.sampled_from(["sha512", "sha256"]),
)
def test_a_well_formed_signature_of_nobody_never_counts(
    key: bytes, raw: bytes, flags: int | None, hash_name: str
) -> None:
    counter = None if flags is None else 0
    why(Signature(key, DECISION_NAMESPACE, hash_name, raw, flags, counter).armored())


def every_bit(data: bytes) -> Callable[[int], bytes]:
    return lambda bit: bytes(
        each ^ (1 << bit % 8 if at == bit // 8 else 0) for at, each in enumerate(data)
    )


@pytest.mark.parametrize("armored", [OF_SSH_KEYGEN, BY_DEVICE], ids=["plain", "security key"])
def test_no_bit_of_a_signature_can_be_flipped(armored: str) -> None:
    blob = blob_of(armored)
    for bit in range(len(blob) * 8):
        why(rearmored(every_bit(blob)(bit)))
    for bit in range(len(armored) * 8):
        why(every_bit(armored.encode())(bit))


@given(st.sampled_from([OF_SSH_KEYGEN, BY_DEVICE]), st.data())
def test_nothing_can_be_cut_from_a_blob_or_put_into_it(armored: str, data: st.DataObject) -> None:
    blob = blob_of(armored)
    start = data.draw(st.integers(0, len(blob)))
    end = data.draw(st.integers(start, len(blob)))
    put = data.draw(st.binary(max_size=8))
    changed = blob[:start] + put + blob[end:]
    if changed != blob:
        why(rearmored(changed))


# -- keys ----------------------------------------------------------------------------------------


def test_a_public_key_line_is_read_as_ssh_keygen_reads_it() -> None:
    assert KEY.type is KeyType.ED25519
    assert KEY.point == point()
    assert KEY.comment == "decider"
    assert KEY.line == LINE
    assert KEY.fingerprint == "SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8"
    assert str(KEY) == f"{KEY.fingerprint} (decider)"


def test_a_comment_may_have_blanks_or_be_missing() -> None:
    words = LINE.split()
    assert parse_key(" ".join(words[:2])).comment == ""
    assert parse_key(f"  {words[0]}\t{words[1]}  the decider of  acme \n").comment == (
        "the decider of acme"
    )


def test_a_security_key_keeps_its_application() -> None:
    assert parse_key(TOUCH.line) == TOUCH
    assert parse_key(security_key("ssh:acme").line).application == "ssh:acme"
    assert security_key("ssh:acme") != TOUCH


def line_of(*parts: bytes, name: str = "ssh-ed25519") -> str:
    return f"{name} {base64.b64encode(b''.join(map(string, parts))).decode()}"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", "the line must begin with"),
        ("ssh-ed25519", "the key isn't base64 in its canonical form"),
        ("ssh-ed25519 AAAA", "the key is cut short"),
        ("ssh-ed25519 ä", "the key isn't base64"),
        (f'command="x" {LINE}', "the line must begin with"),
        (f"{LINE}\n{LINE}", "it must be one line"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", "the line must begin with"),
        (line_of(b"ssh-rsa", point()), "the line says ssh-ed25519, the key ssh-rsa"),
        (line_of(b"ssh-ed25519", bytes(31)), "an Ed25519 key has 32 bytes, this one 31"),
        (line_of(b"ssh-ed25519", b"\1" + bytes(31)), "it is a point of small order"),
        (line_of(b"ssh-ed25519", b"\2" + bytes(31)), "its bytes encode no point of the curve"),
        (line_of(b"ssh-ed25519", point(), b""), "the key has 4 bytes too many"),
        (
            line_of(b"sk-ssh-ed25519@openssh.com", point(), name="sk-ssh-ed25519@openssh.com"),
            "the key is cut short",
        ),
    ],
)
def test_a_line_that_is_no_key_is_refused_with_what_is_wrong(line: str, fault: str) -> None:
    with pytest.raises(Faults) as refused:
        parse_key(line)
    assert fault in str(refused.value)


PARSERS = [parse_key, lambda text: parse_keys(text, "HITL_KEYS")]


@pytest.mark.parametrize("read", PARSERS, ids=["a line", "a list"])
def test_a_private_key_in_place_of_a_public_one_is_named(read: Callable[[str], object]) -> None:
    for text in (private_text(), private_text().replace("\n", " ")):
        with pytest.raises(Faults, match="this is a private key; give the public one"):
            read(text)


@pytest.mark.parametrize("read", PARSERS, ids=["a line", "a list"])
def test_no_piece_of_a_private_key_is_repeated(read: Callable[[str], object]) -> None:
    pieces = private_text().splitlines()[1:-1]
    for text in (*pieces, "\n".join(pieces), " ".join(pieces), private_text()):
        with pytest.raises(Faults) as refused:
            read(text)
        assert not any(piece[:6] in str(refused.value) for piece in pieces)


def test_a_key_of_small_order_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="small order"):
        PublicKey(KeyType.ED25519, b"\1" + bytes(31))


@given(st.text(max_size=300) | st.text(max_size=300).map(lambda text: f"ssh-ed25519 {text}"))
def test_any_line_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(Faults):
        parse_key(text)


@given(st.binary(min_size=32, max_size=32), st.text("abc:/.@ ", max_size=40))
def test_a_key_that_is_written_is_read_again(seed: bytes, application: str) -> None:
    for key in (
        PublicKey(KeyType.ED25519, point(seed), comment="ann"),
        PublicKey(KeyType.SECURITY_KEY, point(seed), application, "ann"),
    ):
        assert parse_key(key.line) == key
