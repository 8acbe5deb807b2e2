"""Who is at this machine: what git's configuration claims, which nobody has proven."""

from __future__ import annotations

import getpass
import shlex
import socket
import subprocess

from bridge.core.model import Actor, ApprovalRequest, Rule
from bridge.core.sanitize import one_line
from bridge.policy.approvers import leaves, may_decide, who_may

_KEYS = r"^(user\.(name|email)|hitl\.team)$"


def person() -> Actor:
    """The person git would name as an author here, or the login where git knows none.

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
        return getpass.getuser()
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


def same_person(one: Actor, other: Actor) -> bool:
    """Whether two unproven identities claim to be one person: by e-mail, else by name."""
    return (one.email or one.name).casefold() == (other.email or other.name).casefold()


def refusal(request: ApprovalRequest, person: Actor) -> str | None:
    """Why this person may not decide this gate, and what to do about it; None where they may."""
    if request.forge and not person.proven:
        return f"{request.gate.key} is decided on {request.forge}, which vouches for who decides"
    if may_decide(request.policy.require, person).surely:
        return None
    claims = " or ".join(
        f"`git config --global --add hitl.team {shlex.quote(name)}`"
        for name in _names(request.policy.require)
    )
    return (
        f"{person} may not decide {request.gate.key}: that is for"
        f" {who_may(request.policy.require)}. If you are one of them under another name, or answer"
        f" for a team of them, say so on this machine with {claims}; the record will say that this"
        " is unverified"
    )


def _names(rule: Rule) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for actors in leaves(rule) for name in actors.names))
