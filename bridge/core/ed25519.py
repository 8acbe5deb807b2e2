"""Ed25519 signatures are verified here in pure Python, for images that lack `cryptography`.

`verify` follows RFC 8032 §5.1.7 with these choices, which are OpenSSL's (so `cryptography`'s):

- *Equation.* Without the cofactor, and on bytes: `encode([S]B - [k]A) == R`, where
  `k = SHA-512(R || A || M) mod L`. R is compared, never decoded, so an R that is not canonical is
  refused. `k` is reduced before it multiplies A: for a key of mixed order, `[k]A` and `[k mod L]A`
  differ.
- *S* is refused unless `S < L`: else everybody could turn one signature into others.
- *A* is decoded as RFC 8032 §5.1.3 says: `y < p`, and no sign bit if `x = 0`. OpenSSL is laxer.

One rule is stricter than both: a key of small order is refused, because one signature with it
holds for many messages, or for all. **On each key that has no `key_fault`, this and OpenSSL agree
about every message and every signature.** The tests hold them to that.

Only public values come here. So nothing needs to take constant time, and nothing does: never sign
with this module, and never put a secret through it.
"""

from __future__ import annotations

import hashlib
from typing import Final

#: `(X, Y, Z, T)` stands for `x = X/Z`, `y = Y/Z`, with `X*Y = Z*T` (RFC 8032 §5.1.4).
Point = tuple[int, int, int, int]

P: Final = 2**255 - 19
L: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, P) % P
_ROOT_OF_MINUS_1: Final = pow(2, (P - 1) // 4, P)
_BASE_X: Final = 0x216936D3CD6E53FEC0A4E231FDD6DC5C692CC7609525A7B2C9562D608F25D51A
_BASE_Y: Final = 4 * pow(5, -1, P) % P
_BASE: Final[Point] = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % P)
_NEUTRAL: Final[Point] = (0, 1, 1, 0)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is the key's, of this message. False for whatever is malformed."""
    key = _decoded(public_key)
    if key is None or _is_small(key) or len(signature) != 64:
        return False
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(r + public_key + message).digest(), "little") % L
    x, y, z, t = key
    return _encoded(_combined(s, _BASE, k, (P - x, y, z, P - t))) == r


def key_fault(public_key: bytes) -> str | None:
    """Why these bytes are no key to trust, or None."""
    if len(public_key) != 32:
        return f"an Ed25519 key has 32 bytes, this one {len(public_key)}"
    point = _decoded(public_key)
    if point is None:
        return "its bytes encode no point of the curve"
    if _is_small(point):
        return "it is a point of small order, for which signatures prove nothing"
    return None


def _decoded(encoded: bytes) -> Point | None:
    """The point (RFC 8032 §5.1.3), or None."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if len(encoded) != 32 or y >= P:
        return None
    u, v = (y * y - 1) % P, (_D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x + u) % P == 0:
        x = x * _ROOT_OF_MINUS_1 % P
    if (v * x * x - u) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def _encoded(point: Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, P)
    return (y * inverse % P | (x * inverse % P & 1) << 255).to_bytes(32, "little")


def _is_small(point: Point) -> bool:
    """Whether eight times the point is the neutral one."""
    x, y, z, _ = _doubled(_doubled(_doubled(point)))
    return x % P == 0 and (y - z) % P == 0


def _combined(a: int, one: Point, b: int, other: Point) -> Point:
    """`[a]one + [b]other`, with one run of doublings for both (Straus)."""
    summands = (_NEUTRAL, one, other, _added(one, other))
    total = _NEUTRAL
    for bit in range(max(a.bit_length(), b.bit_length()) - 1, -1, -1):
        total = _doubled(total)
        chosen = (a >> bit & 1) | (b >> bit & 1) << 1
        if chosen:
            total = _added(total, summands[chosen])
    return total


def _added(one: Point, other: Point) -> Point:
    """Complete: it holds for equal, opposite and neutral points too, since -1 is a square mod p."""
    (x1, y1, z1, t1), (x2, y2, z2, t2) = one, other
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * _D * t1 * t2 % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _doubled(point: Point) -> Point:
    x, y, z, _ = point
    a, b = x * x % P, y * y % P
    h, g = a + b, a - b
    e, f = h - (x + y) * (x + y), 2 * z * z + g
    e, f = e % P, f % P
    return (e * f % P, g * h % P, f * g % P, e * h % P)
