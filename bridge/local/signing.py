"""Signing with a private key that is at hand as text: the decider's, from its environment.

Unlike verifying, signing needs `cryptography`: our own arithmetic takes an amount of time that
depends on its numbers, so no secret may pass through it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.core.errors import Faults
from bridge.core.sshsig import KeyType, PublicKey, Signature, signed_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_WHAT = "the signing key"
_HOW = (
    "make one with `ssh-keygen -t ed25519 -N '' -f decider` and give the text of the file `decider`"
)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key that signs; only its public half is ever shown."""

    public: PublicKey
    _private: Ed25519PrivateKey = field(repr=False, compare=False)

    def sign(self, message: bytes, namespace: str) -> str:
        """The armored signature, the same each time: Ed25519 needs no random numbers."""
        raw = self._private.sign(signed_bytes(message, namespace))
        return Signature(self.public.blob, namespace, "sha512", raw).armored()


def signing_key(text: str) -> SigningKey:
    """The key in the text of an OpenSSH private key file without a passphrase. Raises `Faults`.

    No sentence repeats any of the text: it is a secret even if it is malformed.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            PublicFormat,
            load_ssh_private_key,
        )
    except ImportError:
        fault = "signing needs the package `cryptography`; install it: pip install cryptography"
        raise Faults(_WHAT, [fault]) from None
    try:
        private = load_ssh_private_key(text.strip().encode() + b"\n", password=None)
    except TypeError:
        fault = "it has a passphrase, and nobody is there to type it"
        raise Faults(_WHAT, [f"{fault}; {_HOW}"]) from None
    except (ValueError, UnsupportedAlgorithm):
        raise Faults(_WHAT, [f"it can't be read as an OpenSSH private key; {_HOW}"]) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise Faults(_WHAT, [f"it isn't an Ed25519 key; {_HOW}"])
    point = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return SigningKey(PublicKey(KeyType.ED25519, point), private)


def new_key() -> tuple[str, str]:
    """A new key pair: the text of an OpenSSH private key file, and its public line."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.generate()
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return text, signing_key(text).public.line
