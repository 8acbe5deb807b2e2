"""Keys for tests. Their seeds are here, so nobody trusts them."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: The secret key of TEST 1 of RFC 8032 §7.1, as everybody knows it.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")


def private(seed: bytes = SEED) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed)


def point(seed: bytes = SEED) -> bytes:
    return private(seed).public_key().public_bytes_raw()
