"""SSH signatures: what `ssh-keygen -Y sign` writes, read and verified without `ssh-keygen`.

The formats are OpenSSH's `PROTOCOL.sshsig` (the envelope) and `PROTOCOL.u2f` (security keys). This
module accepts less than they allow: Ed25519 keys alone, an empty `reserved` field, and base64 in
its one canonical form. So apart from line breaks nothing in a signature can change without making
it invalid. (`ssh-keygen` ignores `reserved`, so anybody can change that part.)

A signature carries the key that made it. That proves nothing: it counts only if the caller's own
list of allowed keys has that key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from bridge.core import ed25519
from bridge.core.errors import BridgeError, Faults
from bridge.core.sanitize import shortened

#: What a signature is for. One that was made for something else (a commit, a file, a login) never
#: counts. OpenSSH asks for the form NAME@DOMAIN; the part after the @ is the project's, as in the
#: annotations of a manifest (`approval-bridge/…`).
DECISION_NAMESPACE: Final = "decision@approval-bridge"
OBJECTIONS_NAMESPACE: Final = "objections@approval-bridge"
VOTE_NAMESPACE: Final = "vote@approval-bridge"
WAITING_NAMESPACE: Final = "waiting@approval-bridge"

#: Characters. A signature by a security key has about 500.
MOST_ARMORED: Final = 4_096
#: Characters of a whole list, which leaves room for some hundred keys with comments.
MOST_KEYS: Final = 65_536

_MAGIC: Final = b"SSHSIG"
_VERSION: Final = 1
_BEGIN: Final = "-----BEGIN SSH SIGNATURE-----"
_END: Final = "-----END SSH SIGNATURE-----"
_COLUMNS: Final = 70  # as ssh-keygen breaks its lines
_HASHES: Final = {"sha512": hashlib.sha512, "sha256": hashlib.sha256}
_MOST_TEXT: Final = 255  # bytes of a name, a namespace, an application
_MOST_BLOB: Final = 1_024  # bytes of a key or an inner signature
_USER_PRESENT: Final = 0x01
PRIVATE: Final = "PRIVATE KEY"
IS_PRIVATE: Final = (
    "this is a private key; give the public one, from the file that ends in .pub, and make a new"
    " pair if others could read this one"
)

#: Key, message, signature: whether it holds.
Verifier = Callable[[bytes, bytes, bytes], bool]


class KeyType(StrEnum):
    """The kinds of keys whose signatures are verified."""

    ED25519 = "ssh-ed25519"
    SECURITY_KEY = "sk-ssh-ed25519@openssh.com"


_ACCEPTED: Final = " or ".join(KeyType)


class Why(StrEnum):
    """Why a signature doesn't count."""

    MALFORMED = "malformed"
    OTHER_NAMESPACE = "other namespace"
    UNKNOWN_KEY = "unknown key"
    CHANGED = "changed content"
    NOT_TOUCHED = "no user presence"


class BadSignature(BridgeError):
    """The signature doesn't count. What it should have proven isn't proven."""

    exit_code = 7

    def __init__(self, why: Why, sentence: str) -> None:
        self.why = why
        super().__init__(sentence)


class _Malformed(Exception):
    """What is wrong with the bytes, for the sentence of the caller."""


# -- keys ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key whose signatures can be trusted: no key with a `key_fault` can be made.

    The comment is for people and doesn't tell keys apart.
    """

    type: KeyType
    point: bytes
    application: str = ""  # of a security key, nearly always `ssh:`
    comment: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        fault = ed25519.key_fault(self.point)
        if fault:
            raise ValueError(fault)

    @property
    def blob(self) -> bytes:
        """The key as the SSH protocol encodes it."""
        parts = [self.type.encode(), self.point]
        if self.type is KeyType.SECURITY_KEY:
            parts.append(self.application.encode())
        return b"".join(map(_string, parts))

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it."""
        return _fingerprint(self.blob)

    @property
    def line(self) -> str:
        """The key as a line of a `.pub` file."""
        return f"{self.type} {base64.b64encode(self.blob).decode()} {self.comment}".rstrip()

    def __str__(self) -> str:
        return f"{self.fingerprint} ({self.comment})" if self.comment else self.fingerprint


def parse_key(line: str) -> PublicKey:
    """One line of a `.pub` file: type, base64, and a comment if there is one. Raises `Faults`."""
    try:
        return _key(line)
    except _Malformed as fault:
        raise Faults("the public key", [str(fault)]) from None


def _key(line: str) -> PublicKey:
    if PRIVATE in line:
        raise _Malformed(IS_PRIVATE)
    if len(line) > MOST_KEYS or "\n" in line.strip():
        raise _Malformed("it must be one line")
    name, encoded, comment = (*line.split(maxsplit=2), "", "", "")[:3]
    if name not in list(KeyType):
        # What looks like no type isn't repeated: it may be a piece of a secret.
        other = f", not `{name}`" if re.fullmatch(r"[a-z0-9@.-]{1,40}", name) else ""
        raise _Malformed(f"the line must begin with {_ACCEPTED}{other}")
    try:
        blob = _Fields(_decoded(encoded, "the key"), "the key")
        inner, point = blob.text("its type"), blob.string("its bytes", _MOST_BLOB)
        if inner != name:
            raise _Malformed(f"the line says {name}, the key {shortened(inner, 40)}")
        application = blob.text("its application") if name == KeyType.SECURITY_KEY else ""
        blob.end()
        return PublicKey(KeyType(name), point, application, shortened(comment, 200))
    except ValueError as fault:
        raise _Malformed(f"the key can't be used: {fault}") from None


def _fingerprint(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


# -- signatures ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signature:
    """What an armored signature says. None of it is proven before `verify` returns."""

    key: bytes  # the blob of the key that claims to have signed
    namespace: str
    hash: str
    raw: bytes  # 64 bytes, Ed25519
    flags: int | None = None  # these two only from a security key
    counter: int | None = None

    @property
    def type(self) -> KeyType:
        return KeyType.ED25519 if self.flags is None else KeyType.SECURITY_KEY

    def armored(self) -> str:
        """The text that `ssh-keygen -Y sign` would write, to the byte."""
        inner = _string(self.type.encode()) + _string(self.raw)
        if self.flags is not None:
            inner += struct.pack(">BI", self.flags, self.counter)
        parts = (self.key, self.namespace.encode(), b"", self.hash.encode(), inner)
        blob = _MAGIC + struct.pack(">I", _VERSION) + b"".join(map(_string, parts))
        encoded = base64.b64encode(blob).decode()
        lines = [encoded[at : at + _COLUMNS] for at in range(0, len(encoded), _COLUMNS)]
        return "\n".join([_BEGIN, *lines, _END, ""])


def signed_bytes(message: bytes, namespace: str, hash_name: str = "sha512") -> bytes:
    """What the key signs: the message's hash, bound to what the signature is for."""
    digest = _HASHES[hash_name](message).digest()
    parts = (namespace.encode(), b"", hash_name.encode(), digest)
    return _MAGIC + b"".join(map(_string, parts))


def parse(armored: str | bytes) -> Signature:
    """The signature in this text, of a file or a comment. Raises `BadSignature`."""
    try:
        return _signature(_Fields(_unarmored(armored), "the signature"))
    except _Malformed as fault:
        sentence = f"the signature can't be read: {fault}; have it made again"
        raise BadSignature(Why.MALFORMED, sentence) from None


def verify(
    message: bytes, armored: str | bytes, keys: Collection[PublicKey], namespace: str
) -> PublicKey:
    """The allowed key that signed this message for this purpose. Raises `BadSignature`."""
    signature = parse(armored)
    if signature.namespace != namespace:
        made_for = shortened(signature.namespace, 60)
        sentence = f"the signature was made for `{made_for}`, not for `{namespace}`"
        raise BadSignature(Why.OTHER_NAMESPACE, sentence)
    key = next((each for each in keys if each.blob == signature.key), None)
    if key is None:
        allowed = ", ".join(map(str, keys)) or "none"
        by = _fingerprint(signature.key)
        sentence = f"the signature is by {by}, which isn't an allowed key; allowed: {allowed}"
        raise BadSignature(Why.UNKNOWN_KEY, shortened(sentence, 1_000))
    signed = _as_the_key_signs(signed_bytes(message, namespace, signature.hash), key, signature)
    if not verifier()(key.point, signed, signature.raw):
        sentence = f"the signature by {key} is of other content, or was changed itself"
        raise BadSignature(Why.CHANGED, sentence)
    if signature.flags is not None and not signature.flags & _USER_PRESENT:
        sentence = f"the security key {key} signed without being touched; sign with a touch"
        raise BadSignature(Why.NOT_TOUCHED, sentence)
    return key


def verifier() -> Verifier:
    """That of `cryptography` if it can be imported, else our own; a test holds both to agree."""
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return ed25519.verify

    def by_cryptography(key: bytes, message: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except InvalidSignature:
            return False
        except UnsupportedAlgorithm:  # an OpenSSL that was built or set up without Ed25519 (FIPS)
            return ed25519.verify(key, message, signature)
        return True

    return by_cryptography


def _as_the_key_signs(blob: bytes, key: PublicKey, signature: Signature) -> bytes:
    """A security key doesn't sign the blob but its hash, with its own state (`PROTOCOL.u2f`)."""
    if signature.flags is None:
        return blob
    state = struct.pack(">BI", signature.flags, signature.counter)
    application = hashlib.sha256(key.application.encode()).digest()
    return application + state + hashlib.sha256(blob).digest()


def _signature(blob: _Fields) -> Signature:
    if blob.take(len(_MAGIC)) != _MAGIC:
        raise _Malformed("it doesn't begin with SSHSIG")
    version = blob.number()
    if version != _VERSION:
        raise _Malformed(f"it has version {version}, and only version {_VERSION} is known")
    key = blob.string("its key", _MOST_BLOB)
    namespace = blob.text("its namespace")
    if blob.string("its reserved field", _MOST_TEXT):
        raise _Malformed("its reserved field isn't empty")
    hash_name = blob.text("its hash")
    inner = _Fields(blob.string("its inner part", _MOST_BLOB), "the inner part")
    blob.end()
    if not namespace:
        raise _Malformed("its namespace is empty")
    if hash_name not in _HASHES:
        raise _Malformed(f"its hash is `{shortened(hash_name, 40)}`, not {' or '.join(_HASHES)}")
    return _inner(inner, key, namespace, hash_name)


def _inner(inner: _Fields, key: bytes, namespace: str, hash_name: str) -> Signature:
    made_as, of_key = inner.text("its type"), _Fields(key, "the key").text("its type")
    if made_as not in list(KeyType):
        raise _Malformed(f"it is of type `{shortened(made_as, 40)}`, not {_ACCEPTED}")
    if made_as != of_key:
        raise _Malformed(f"it is of type {made_as}, its key of type `{shortened(of_key, 40)}`")
    raw = inner.string("its bytes", _MOST_BLOB)
    if len(raw) != 64:
        raise _Malformed(f"an Ed25519 signature has 64 bytes, this one {len(raw)}")
    flags, counter = None, None
    if made_as == KeyType.SECURITY_KEY:
        flags, counter = inner.take(1)[0], inner.number()
    inner.end()
    return Signature(key, namespace, hash_name, raw, flags, counter)


# -- encodings -----------------------------------------------------------------------------------


def _unarmored(armored: str | bytes) -> bytes:
    if len(armored) > MOST_ARMORED:
        raise _Malformed(f"it has {len(armored):,} characters; the most is {MOST_ARMORED:,}")
    if isinstance(armored, bytes):
        armored = armored.decode("latin-1")  # what isn't ASCII is no base64 either
    # A web form sends CRLF, and a text that was pasted has blanks around it.
    lines = armored.replace("\r\n", "\n").strip(" \t\r\n").split("\n")
    if lines[0] != _BEGIN or lines[-1] != _END:
        raise _Malformed(f"it must begin with {_BEGIN} and end with {_END}")
    return _decoded("".join(lines[1:-1]), "it")


def _decoded(encoded: str, what: str) -> bytes:
    try:
        decoded = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise _Malformed(f"{what} isn't base64") from None
    # Python ignores the bits that the padding leaves over, so one signature would have many texts.
    if not decoded or base64.b64encode(decoded).decode() != encoded:
        raise _Malformed(f"{what} isn't base64 in its canonical form")
    return decoded


def _string(data: bytes) -> bytes:
    """A string of the SSH protocol (RFC 4251 §5): its length, then its bytes."""
    return struct.pack(">I", len(data)) + data


class _Fields:
    """Reads the fields of a blob in turn; nothing may be missing, and nothing left over."""

    def __init__(self, blob: bytes, what: str) -> None:
        self._blob, self._at, self._what = blob, 0, what

    def take(self, size: int) -> bytes:
        taken = self._blob[self._at : self._at + size]
        if len(taken) != size:
            raise _Malformed(f"{self._what} is cut short")
        self._at += size
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self, name: str, most: int) -> bytes:
        size = self.number()
        if size > most:
            raise _Malformed(f"{name} has {size:,} bytes; the most is {most:,}")
        return self.take(size)

    def text(self, name: str) -> str:
        """A short string of printable ASCII."""
        data = self.string(name, _MOST_TEXT)
        if not re.fullmatch(rb"[\x20-\x7e]*", data):
            raise _Malformed(f"{name} isn't printable ASCII")
        return data.decode("ascii")

    def end(self) -> None:
        left = len(self._blob) - self._at
        if left:
            raise _Malformed(f"{self._what} has {left} bytes too many")
