"""Who is at this machine: what git's configuration claims, which nobody has proven."""

from __future__ import annotations

import getpass
import socket
import subprocess

from bridge.core.evaluation import Actor
from bridge.core.sanitize import as_text, one_line

_KEYS = r"^(user\.(name|email)|hitl\.team)$"


def person() -> Actor:
    """The person git would name as an author here, or the login if git knows none.

    Teams are those that `git config --get-all hitl.team` claims. Never proven.
    """
    login = _login()
    claims = _claims()
    names, emails = claims.get("user.name"), claims.get("user.email")
    return Actor(
        name=names[-1] if names else login,
        email=emails[-1] if emails else f"{login}@{socket.gethostname()}",
        login=login,
        teams=tuple(dict.fromkeys(claims.get("hitl.team", ()))),
    )


def _login() -> str:
    try:
        # From a variable, it may have bytes that are not UTF-8, which no record can hold.
        return as_text(getpass.getuser())
    except (KeyError, OSError):  # a container's user without an entry in the password file
        return "unknown"


def _claims() -> dict[str, list[str]]:
    try:
        out = subprocess.run(
            ["git", "config", "-z", "--get-regexp", _KEYS], capture_output=True, check=False
        ).stdout
    except OSError:
        return {}
    found: dict[str, list[str]] = {}
    for entry in out.decode(errors="replace").split("\0"):
        key, _, value = entry.partition("\n")
        shown = one_line(value)  # others will read it in the record
        if shown:
            found.setdefault(key, []).append(shown)
    return found
