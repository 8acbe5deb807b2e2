"""A ledger's address: a path or a URL, and the credential that may stand in it."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from bridge.core.errors import BridgeError, LedgerUnavailable

#: What git may speak, as GIT_ALLOW_PROTOCOL has it.
TRANSPORTS = "file:git:http:https:ssh"

_HELPER = re.compile(r"[A-Za-z0-9.+-]+::")
_OWNER_AND_NAME = re.compile(r"/*([\w.-]+/[\w.-]+?)(?:\.git)?/*", re.ASCII)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.+-]*)://([^/?#]*)")
#: `urlsplit` drops some of these in silence, so that another repository would be used.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: A password with a / in it ends too early, and its beginning is taken for a port.
_AUTHORITY = re.compile(r"(?:.*@)?(?:\[[^\[\]@]*\]|[^:@\[\]]*)(?::[0-9]*)?")


def fault_of(remote: str) -> str | None:
    """Why git must not be given this as an address; it holds no part of it but its beginning."""
    if remote.startswith("-"):
        return "starts with `-`, so git would take it for an option; for a path, write ./ before it"
    if found := _HELPER.match(remote):
        return f"starts with {found[0]}, which lets git run a program; use https, ssh or a path"
    scheme = _SCHEME.match(remote)
    if scheme and scheme[1].lower() not in TRANSPORTS.split(":"):
        return f"starts with {scheme[1]}://; git is given {TRANSPORTS.replace(':', ', ')} and paths"
    if _CONTROL.search(remote):
        return "contains a line break or another control character; write it on one line"
    if scheme and not _AUTHORITY.fullmatch(scheme[2]):
        return (
            f"has no valid host and port after {scheme[1]}://; in a user name or a password,"
            " write / as %2F, ? as %3F and # as %23"
        )
    return None


def names_path(remote: str) -> bool:
    return "://" not in remote and ":" not in remote.split("/")[0]


def of_repository(server_url: str, repository: str, token: str | None) -> str:
    """A forge's repository for git, with the credential in it, if there is one: not to be shown."""
    parts = urlsplit(server_url)
    if token:
        parts = parts._replace(netloc=f"x-access-token:{quote(token, safe='')}@{parts.netloc}")
    return f"{urlunsplit(parts)}/{repository}.git"


def repository_at(remote: str) -> tuple[str | None, str] | None:
    """Host and `owner/name` of a repository at this address, in lower case; None if it is a path.

    Over SSH, the host is None: a person's own configuration says which machine the name means.
    """
    if names_path(remote) or remote.startswith("file:"):
        return None
    if "://" in remote:
        parts = urlsplit(remote)
        host = parts.netloc.rpartition("@")[2].casefold() if parts.scheme[:4] == "http" else None
        path = parts.path
    else:
        host, path = None, remote.partition(":")[2]
    return host, path.strip("/").removesuffix(".git").casefold()


def repository_on(remote: str, server_url: str) -> str | None:
    """`owner/name` of a repository at this address; None if it is a path.

    Raises `BridgeError` if it is on another server: one of the same name may be somebody else's.
    """
    if names_path(remote) or remote.startswith("file:"):
        return None
    if "://" in remote:
        try:
            parts = urlsplit(remote)
            over_ssh, host, path = parts.scheme.startswith("ssh"), parts.hostname, parts.path
        except ValueError:  # an address that cannot be read names no repository
            return None
    else:
        before, _, path = remote.partition(":")
        over_ssh, host = True, before.rpartition("@")[2].casefold()
    found = _OWNER_AND_NAME.fullmatch(path)
    if found is None:
        return None
    server = (urlsplit(server_url).hostname or "").casefold()
    if host != server and not (over_ssh and _may_mean(host or "", server)):
        raise BridgeError(
            f"the remote is on {host}, and the bridge works with {server}: for GitHub Enterprise"
            " Server, set GITHUB_SERVER_URL and GITHUB_API_URL, or name a repository on"
            f" {server} with GITHUB_REPOSITORY"
        )
    return found[1]


def _may_mean(host: str, server: str) -> bool:
    """Whether a person's own SSH configuration may lead there: `github.com-work`, or `work`.

    https://docs.github.com/en/authentication/troubleshooting-ssh/using-ssh-over-the-https-port
    """
    # `github.com-evil.com` is a name that somebody can register.
    alias = host.removeprefix(f"{server}-")
    return "." not in alias or host == f"ssh.{server}"


def part_secret(remote: str) -> tuple[str, dict[str, str]]:
    """A URL without its credential, and the credential as a header for git alone to see."""
    if "://" not in remote:
        return remote, {}
    try:
        parts = urlsplit(remote)
    except ValueError:  # which must not be shown: it may hold a credential
        raise LedgerUnavailable(
            "the ledger's address cannot be read as one: check HITL_LEDGER"
        ) from None
    if parts.password is None and not (parts.scheme.startswith("http") and parts.username):
        return remote, {}
    host = parts.netloc.rpartition("@")[2]
    if not parts.scheme.startswith("http"):
        # ssh takes no password this way, but it needs the name
        return urlunsplit(parts._replace(netloc=f"{parts.username}@{host}")), {}
    shown = urlunsplit(parts._replace(netloc=host))
    import base64  # few addresses hold a credential, and every command would load it

    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    basic = base64.b64encode(pair.encode()).decode()
    return shown, {f"http.{shown}.extraHeader": f"Authorization: Basic {basic}"}
