"""Where the bridge's action is, for the workflows that are written: a repository and a commit.

Nothing that is written has a placeholder, or a name that anyone could take first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from typing import Final
from urllib.parse import urlsplit

from bridge.core.errors import BridgeError, Faults

_PINNED: Final = re.compile(r"[\w.-]+/[\w.-]+(?:/[\w.-]+)*@[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)
_ARCHIVE: Final = re.compile(
    r"/([\w.-]+/[\w.-]+)/archive/([0-9a-f]{40})\.(?:zip|tar\.gz)", re.ASCII
)
_TREE: Final = re.compile(r"/([\w.-]+/[\w.-]+)/tree/([0-9a-f]{40})/action", re.ASCII)
_REPOSITORY: Final = re.compile(r"/([\w.-]+/[\w.-]+?)(?:\.git)?/?", re.ASCII)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")

#: The address that the documentation uses. Whole: who copies a part of one pins nothing.
EXAMPLE: Final = f"acme/approval-bridge/action@{'0123456789' * 4}"


def action_address(given: str | None, server: str) -> str:
    """What `uses:` says: what was given, else where this release was installed from.

    Raises `Faults` if it is given and not pinned, `BridgeError` if nobody says it.
    """
    if given is not None:
        if _PINNED.fullmatch(given) is None:
            fault = (
                f"{given!r} names no commit: give all 40 digits of one, as in"
                f" {EXAMPLE}, so that nobody can put another action in its place"
            )
            raise Faults("--action", [fault])
        return given
    direct_url, project_urls = _installed()
    found = of_release(direct_url, server) or of_project(project_urls, server)
    if found is None:
        raise BridgeError(
            "it is not known where this release's action is: this is no published release, and it"
            f" was not installed from a repository on {urlsplit(server).netloc}: give --action,"
            f" as in {EXAMPLE}, for a copy in your organization"
        )
    return found


def own_source(server: str) -> str | None:
    """What pip installs this release from: its repository at its commit. None if nobody says it."""
    direct_url, project_urls = _installed()
    found = of_release(direct_url, server) or of_project(project_urls, server)
    if found is None:
        return None
    action, _, commit = found.partition("@")
    return f"git+{server}/{action.removesuffix('/action')}@{commit}"


def of_release(direct_url: str | None, server: str) -> str | None:
    """The address in what pip keeps of an installation (PEP 610). None if it names no commit."""
    try:
        about = json.loads(direct_url or "{}")
        parts = urlsplit(str(about.get("url", "")))
        commit = (about.get("vcs_info") or {}).get("commit_id")
    except (ValueError, AttributeError):
        return None
    if parts.hostname != urlsplit(server).hostname:
        return None
    if archive := _ARCHIVE.fullmatch(parts.path):
        return f"{archive[1]}/action@{archive[2]}"
    repository = _REPOSITORY.fullmatch(parts.path)
    if repository and isinstance(commit, str) and _COMMIT.fullmatch(commit):
        return f"{repository[1]}/action@{commit}"
    return None


def of_project(urls: Sequence[str], server: str) -> str | None:
    """The address among the `Project-URL` lines of a published release (hatch_build.py)."""
    for label, _, url in (each.partition(", ") for each in urls):
        parts = urlsplit(url)
        tree = _TREE.fullmatch(parts.path)
        if label == "Action" and tree and parts.hostname == urlsplit(server).hostname:
            return f"{tree[1]}/action@{tree[2]}"
    return None


def _installed() -> tuple[str | None, list[str]]:
    """What pip keeps of where it came from, and the addresses that the release names."""
    try:
        here = distribution("approval-bridge")
    except PackageNotFoundError:
        return None, []
    return here.read_text("direct_url.json"), here.metadata.get_all("Project-URL") or []
