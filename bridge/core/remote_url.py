"""A ledger's address: a path or a URL, and the credential that may stand in it."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit, urlunsplit

from bridge.core.errors import LedgerUnavailable


def names_path(remote: str) -> bool:
    return "://" not in remote and ":" not in remote.split("/")[0]


def of_repository(server_url: str, repository: str, token: str | None) -> str:
    """A forge's repository for git, with the credential in it, if there is one: not to be shown."""
    parts = urlsplit(server_url)
    if token:
        parts = parts._replace(netloc=f"x-access-token:{quote(token, safe='')}@{parts.netloc}")
    return f"{urlunsplit(parts)}/{repository}.git"


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
