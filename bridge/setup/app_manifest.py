"""The bridge's two GitHub Apps: what each may do, and the manifest that registers one.

GitHub publishes a table of permissions per operation, and it lacks rulesets and environments. So
what an App needs is listed here, and the tests hold the code to it: the GitHub for tests refuses
what a token's permissions don't reach.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

#: What an App needs to open gates, and to decide them.
_OPENS: Final = {
    "contents": "write",
    "issues": "write",
    "pull_requests": "write",
    "statuses": "write",
}
#: GitHub refuses a longer name, and names are taken for all of GitHub.
_LONGEST: Final = 34


class Role(StrEnum):
    OPENER = "opener"
    DECIDER = "decider"


@dataclass(frozen=True, slots=True)
class Manifest:
    """An App to be registered. `organization` is None if a person owns the repository."""

    role: Role
    name: str
    permissions: Mapping[str, str]
    repository: str
    server: str
    organization: str | None

    def text(self, redirect: str) -> str:
        """The JSON that GitHub takes. Without `hook_attributes`: the bridge has no webhook."""
        given: dict[str, Any] = {
            "name": self.name,
            "url": f"{self.server}/{self.repository}",
            "description": f"Approval bridge: the {self.role} of {self.repository}",
            "redirect_url": redirect,
            "public": False,
            "default_permissions": dict(self.permissions),
            "default_events": [],
        }
        return json.dumps(given)

    def address(self, state: str) -> str:
        """Where the browser posts it. GitHub sends `state` back with the code."""
        owner = f"organizations/{self.organization}/" if self.organization else ""
        return f"{self.server}/{owner}settings/apps/new?state={state}"


def permissions(role: Role, *, private: bool, groups: bool, checks: bool = False) -> dict[str, str]:
    """The least that an App of this role works with. The policy names `groups`, or `checks`.

    The opener never reads members: it runs beside the initiator's code.
    """
    if role is Role.OPENER:
        return dict(_OPENS)
    more = {"members": "read"} if groups else {}
    # Anybody sees the runs of a public repository, and its checks.
    if private:
        more |= {"actions": "read", **({"checks": "read"} if checks else {})}
    return {**_OPENS, **more}


def name_of(role: Role, repository: str) -> str:
    """A name that nobody else has taken, the same each time, so that a second run finds the App."""
    number = hashlib.sha256(repository.lower().encode()).hexdigest()[:8]
    ending = f"-{role}-{number}"
    own = re.sub(r"[^a-z0-9]+", "-", repository.partition("/")[2].lower()).strip("-")
    return (own[: _LONGEST - len(ending)].strip("-") or "approvals") + ending


def page(manifest: Manifest, redirect: str, state: str) -> str:
    """The page whose only button posts the manifest to GitHub."""
    address = html.escape(manifest.address(state))
    given = html.escape(manifest.text(redirect))
    granted = "".join(
        f"<li>{html.escape(name.replace('_', ' '))}: {html.escape(level)}</li>"
        for name, level in manifest.permissions.items()
    )
    return f"""<!doctype html>
<meta charset="utf-8"><title>Approval bridge: the {manifest.role}'s App</title>
<h1>Register the {manifest.role}'s GitHub App</h1>
<p>GitHub shows the name {html.escape(manifest.name)} and asks you to confirm it. The App may, in
{html.escape(manifest.repository)}:</p>
<ul>{granted}</ul>
<form action="{address}" method="post">
<input type="hidden" name="manifest" value="{given}">
<button>Go on to GitHub</button>
</form>
"""


def as_address(text: str) -> str:
    """The page as an address that any browser opens, if none runs on this machine."""
    return "data:text/html;base64," + base64.b64encode(text.encode()).decode()


def code_in(pasted: str, state: str) -> str | None:
    """The code in the address that GitHub sent the browser to, or the bare code.

    None if it is neither, or if the address has another `state`: it answers another page then.
    """
    pasted = pasted.strip()
    if re.fullmatch(r"[\w-]{1,200}", pasted, re.ASCII):
        return pasted
    code = re.search(r"[?&]code=([\w-]{1,200})(?=&|$)", pasted, re.ASCII)
    own = re.search(r"[?&]state=([\w-]*)(?=&|$)", pasted, re.ASCII)
    return code[1] if code and own and own[1] == state else None
