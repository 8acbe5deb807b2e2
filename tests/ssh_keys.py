"""Keys for tests, and a security key in software. Their seeds are here, so nobody trusts them."""

from __future__ import annotations

import hashlib
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bridge.core.sshsig import KeyType, PublicKey, Signature, signed_bytes

#: The secret key of TEST 1 of RFC 8032 §7.1, as everybody knows it.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")


def private(seed: bytes = SEED) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed)


def point(seed: bytes = SEED) -> bytes:
    return private(seed).public_key().public_bytes_raw()


def private_text(seed: bytes = SEED) -> str:
    """The text of an OpenSSH private key file."""
    return private(seed).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def security_key(application: str = "ssh:", comment: str = "") -> PublicKey:
    return PublicKey(KeyType.SECURITY_KEY, point(), application, comment)


def signed_by_security_key(
    message: bytes, namespace: str, key: PublicKey, *, flags: int = 0x01, counter: int = 7
) -> Signature:
    """What the device answers for `ssh-keygen -Y sign` (`PROTOCOL.u2f`, "SSH U2F signatures")."""
    application = hashlib.sha256(key.application.encode()).digest()
    blob = hashlib.sha256(signed_bytes(message, namespace)).digest()
    raw = private().sign(application + struct.pack(">BI", flags, counter) + blob)
    return Signature(key.blob, namespace, "sha512", raw, flags, counter)
