"""What git's faults mean: a lost race, or a sentence that says what you can do."""

from __future__ import annotations

import re
from typing import Final

from bridge.ledger.git import GitFailed

#: A refusal that reading again cannot change, though git words some like a lost race …
_HOPELESS = re.compile(
    r"Permission denied|Read-only file system|No space left|Not a directory|cannot create|declined"
    r"|denying|deletion prohibited|currently checked out|unpacker error|shallow update not allowed"
)
#: … and one that says somebody else moved a ref first.
_LOST_RACE = re.compile(
    r"non-fast-forward|fetch first|failed to update ref|cannot lock ref|stale info"
    r"|incorrect old value|reference already exists|remote ref does not exist"
)

#: A refusal that is the same for every push.
_OF_THE_PLACE = re.compile(
    r"[Pp]ermission denied|insufficient permission|Read-only file system|No space left"
    r"|File too large|[Dd]isk quota|temporary object directory|currently checked out"
)

_CUT = "the connection was cut: try again, what was done already is found"

NO_REPOSITORY: Final = (
    "there is no git repository at that place: check HITL_LEDGER (the ledger of a project on a"
    " laptop is its .hitl/ledger.git), or make one there with `git init --bare`"
)

#: What git says, and what it means to a person. The first that fits is said.
_MEANINGS = tuple(
    (re.compile(sign), meaning)
    for sign, meaning in (
        (
            r"No space left on device|File too large|[Dd]isk quota|Failed to write all bytes",
            "the disk is full: free some space, here or where the ledger is",
        ),
        (
            r"Authentication failed|terminal prompts disabled|could not read (Username|Password)"
            r"|error: 401",
            "it asks for authentication, or refuses the credential: give a good one in"
            " HITL_LEDGER, to git's credential helper, or to the action",
        ),
        (
            r"dubious ownership",
            "another user owns it, so git does not trust it: put it into git's safe.directory",
        ),
        (r"error: 403", "this credential may not do that there: ask for read and write access"),
        (
            r"not appear to be a git repository|error: 404|repository .* not found|does not exist",
            NO_REPOSITORY,
        ),
        (r"error: 5\d\d", "the server failed: try again later"),
        (
            r"currently checked out",
            "its branch `approvals` is checked out there: switch that checkout to another branch",
        ),
        (
            r"[Pp]ermission denied|Read-only file system|insufficient permission"
            r"|temporary object directory",
            "permission was denied: this user may not write there",
        ),
        (
            r"gave up after|Operation too slow",
            "the server is too slow, so git was ended: check the network, or try again later",
        ),
        (
            r"RPC failed|transfer closed|early EOF|hung up|disconnect|expected flush"
            r"|Empty reply|bytes of body|invalid server response|Connection reset",
            _CUT,
        ),
        (
            r"Could not resolve|[Ff]ailed to connect|Couldn't connect"
            r"|Connection (refused|timed out)|Could not read from remote",
            "it cannot be reached: check the address and the network",
        ),
        (
            r"gpg failed to sign|failed to sign|signing failed|Couldn't load public key"
            r"|user.signingkey|gpg.ssh",
            "git cannot sign with the configured key: check user.signingKey and gpg.format, or"
            " unset HITL_SIGN",
        ),
    )
)


def is_lost_race(error: GitFailed) -> bool:
    """Whether somebody else moved a ref first, so that reading again helps."""
    return bool(_LOST_RACE.search(error.said)) and not _HOPELESS.search(error.said)


def is_declined(error: GitFailed) -> bool:
    """Whether the server refused a push for what it holds: another one may go through."""
    return "[remote rejected]" in error.said and not _OF_THE_PLACE.search(error.said)


def meaning(said: str) -> str:
    """What git's words mean to a person; else the most telling of them."""
    found = next((means for sign, means in _MEANINGS if sign.search(said)), None)
    # git words every end of a push so; its first line says whether the server had a reason.
    return (
        f"{found} (git: {_most_telling(said)})" if found == _CUT else found or _most_telling(said)
    )


def _most_telling(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("error: failed to push")] or lines
    told = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "!"))]
    return (told or lines or ["git gave no reason"])[0]
