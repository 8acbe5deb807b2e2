"""The formats of JSON Schema that are checked: `date`, `email`, `uri` and their kin.

`jsonschema` checks most of them only if other packages are there, and else takes anything
(https://python-jsonschema.readthedocs.io/en/stable/validate/#validating-formats).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Final

#: Each with what it is called in a sentence.
FORMATS: Final[Mapping[str, str]] = {
    "date": "a date such as 2026-01-31",
    "time": "a time such as 12:30:00Z",
    "date-time": "a moment such as 2026-01-31T12:30:00Z",
    "email": "an e-mail address",
    "hostname": "the name of a host",
    "ipv4": "an IPv4 address",
    "ipv6": "an IPv6 address",
    "uri": "an absolute address such as https://example.org",
    "uuid": "a UUID",
}

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(
    r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]{1,9})?"
    r"(z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])",
    re.IGNORECASE,
)
_EMAIL: Final = re.compile(r"[^\s@<>,;:\\\"()\[\]]{1,64}@[A-Za-z0-9.-]{1,253}")
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_IN_HOST: Final = r"A-Za-z0-9._~!$&'()*+,;=%-"
_URI: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:(?!\Z)"
    rf"(?://(?:[{_IN_HOST}:]*@)?(?:\[[0-9A-Fa-f:.]+\]|[{_IN_HOST}]*)(?::[0-9]{{0,5}})?(?=[/?#]|\Z)"
    r"|(?!//))"
    r"[!#-;=?-Z_a-z~]*"
)
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def fits(name: str, text: str) -> bool:
    """Whether a text is of this format, one of `FORMATS`."""
    return _CHECKS[name](text)


def _is_date(text: str) -> bool:
    return bool(_DATE.fullmatch(text)) and _parses(date.fromisoformat, text)


def _is_moment(text: str) -> bool:
    day, time = text[:10], text[11:]
    return text[10:11] in ("T", "t") and _is_date(day) and bool(_TIME.fullmatch(time))


def _is_host(text: str) -> bool:
    labels = text.split(".")
    return len(text) <= 253 and all(_LABEL.fullmatch(each) for each in labels)


def _is_email(text: str) -> bool:
    return bool(_EMAIL.fullmatch(text)) and _is_host(text.rpartition("@")[2])


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


_CHECKS: Final[Mapping[str, Callable[[str], bool]]] = {
    "date": _is_date,
    "time": lambda text: bool(_TIME.fullmatch(text)),
    "date-time": _is_moment,
    "email": _is_email,
    "hostname": _is_host,
    "ipv4": lambda text: _parses(ipaddress.IPv4Address, text),
    # `ipaddress` takes any text for the zone behind a `%`, and RFC 4291 has no zone.
    "ipv6": lambda text: "%" not in text and _parses(ipaddress.IPv6Address, text),
    "uri": lambda text: text.isascii() and bool(_URI.fullmatch(text)),
    "uuid": lambda text: bool(_UUID.fullmatch(text)),
}
