"""Carry out the steps of `hitl github setup`, and the clicks that only a person can make."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from bridge.core.errors import BridgeError, ForgeUnavailable
from bridge.core.settings import APP_KEY, SIGNING_KEY, GitHubSettings
from bridge.github.transport import Denied, Line
from bridge.setup.app_manifest import Manifest, Role
from bridge.setup.github_steps import (
    DECIDER_ID,
    DECIDER_NUMBER,
    OPENER_ID,
    OPENER_SLUG,
    PUBLIC_KEY,
    SEAL_KEY,
    Found,
    Step,
    Verbatim,
    sealed,
)

#: Seconds that a person has for a click.
PATIENCE: Final = 600
_BETWEEN: Final = 3.0
_OF_APPS: Final = (DECIDER_ID, DECIDER_NUMBER, OPENER_ID, OPENER_SLUG)


@dataclass(frozen=True, slots=True)
class Key:
    """A GitHub App's number and private key. `slug` is its name in addresses."""

    id: int
    slug: str
    pem: str = field(repr=False)


class Person(Protocol):
    """Who runs the command."""

    def registers(self, manifest: Manifest) -> str:
        """The code that GitHub hands back once they registered this App."""
        ...

    def installs(self, address: str) -> None:
        """Show them the page on which an App is installed."""
        ...


class Setup:
    """One run. `keep` takes the opener's key to where the person asked for it."""

    def __init__(
        self,
        settings: GitHubSettings,
        line: Line,
        person: Person,
        pause: Callable[[float], None],
        keep: Callable[[Key], None],
        keys: Mapping[Role, Key],
    ) -> None:
        self._settings, self._line, self._person, self._pause = settings, line, person, pause
        self._keep = keep
        self._keys = dict(keys)
        self._known: dict[str, Any] = {}
        self._secrets: dict[str, str] = {}
        for key in keys.items():
            self._learn(*key)

    @property
    def public_key(self) -> str | None:
        """The new key that decisions are signed with, if this run made one."""
        return self._known.get(PUBLIC_KEY)

    def do(self, step: Step, found: Found) -> None:
        """Raises `ForgeUnavailable`; a run after it goes on where this one stopped."""
        if step.register:
            self._register(step.register)
        if step.install:
            self._installed(step.install, found)
        for request in step.requests:
            body = self._filled(request.body) if request.body is not None else None
            try:
                answer = self._line.send(
                    request.method, request.path, body, f"could not {step.says}"
                )
            except Denied as denied:
                raise _explained(denied, request.path) from None
            for mark, name in request.gives.items():
                self._known[mark] = answer[name]

    # -- what a request is filled with ---------------------------------------------------------

    def _filled(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self._filled(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._filled(each) for each in value]
        if not isinstance(value, str) or isinstance(value, Verbatim) or "‹" not in value:
            return value
        if PUBLIC_KEY in value and PUBLIC_KEY not in self._known:
            self._sign()
        if value in self._known:
            return self._known[value]
        for name in (APP_KEY, SIGNING_KEY):
            if value == sealed(name):
                return self._sealed(name)
        for mark, known in self._known.items():
            value = value.replace(mark, str(known))
        if unknown := next((mark for mark in _OF_APPS if mark in value), None):
            raise BridgeError(
                f"the {unknown.strip('‹›')} is not known yet, because its App is not registered: do"
                " the part `apps` first"
            )
        return value

    def _sealed(self, name: str) -> str:
        if name == SIGNING_KEY and name not in self._secrets:
            self._sign()
        return seal(self._known[SEAL_KEY], self._secrets[name])

    def _sign(self) -> None:
        from bridge.local.signing import new_key

        self._secrets[SIGNING_KEY], self._known[PUBLIC_KEY] = new_key()

    # -- the Apps ------------------------------------------------------------------------------

    def _register(self, manifest: Manifest) -> None:
        code = self._person.registers(manifest)
        path = f"/app-manifests/{code}/conversions"
        why = f"the {manifest.role}'s App is not registered"
        made = self._line.post(path, {}, why, again=False)
        owner = self._settings.repository.partition("/")[0]
        try:
            key = Key(int(made["id"]), str(made["slug"]), str(made["pem"]))
            whose = str(made["owner"]["login"])
        except (KeyError, TypeError, ValueError):
            raise ForgeUnavailable(f"{why}: the answer is not what GitHub describes") from None
        if whose.lower() != owner.lower():
            raise ForgeUnavailable(
                f"{why}: the App {key.slug} belongs to {whose}, and not to {owner}: delete it, and"
                " run this again"
            )
        if manifest.role is Role.OPENER:
            self._keep(key)
        self._learn(manifest.role, key)

    def _learn(self, role: Role, key: Key) -> None:
        self._keys[role] = key
        if role is Role.DECIDER:
            self._known |= {DECIDER_ID: key.id, DECIDER_NUMBER: str(key.id)}
            self._secrets[APP_KEY] = key.pem
        else:
            self._known |= {OPENER_ID: key.id, OPENER_SLUG: key.slug}

    def _installed(self, role: Role, found: Found) -> None:
        """Wait until the App is installed here: before, no ruleset takes it."""
        there = found.apps.get(role)
        key = self._keys.get(role)
        slug = key.slug if key else there.app.slug if there else ""
        self._person.installs(f"{found.server}/apps/{slug}/installations/new")
        waited = 0.0
        while not self._is_installed(role, found):
            if waited >= PATIENCE:
                raise ForgeUnavailable(
                    f"the {role}'s App {slug} is not installed on {found.repository}: install it,"
                    " and run this again"
                )
            self._pause(_BETWEEN)
            waited += _BETWEEN

    def _is_installed(self, role: Role, found: Found) -> bool:
        key = self._keys.get(role)
        if key is None and found.organization is None:
            return True  # this token can't see it; if it is not, the next ruleset is refused
        if key is None:
            path = f"/orgs/{found.organization}/installations?per_page=100"
            listed = self._line.get(path, "which Apps are installed cannot be read")
            number = found.apps[role].app.id
            return any(each["app_id"] == number for each in listed["installations"])
        path = f"/repos/{found.repository}/installation"
        why = "whether the App is installed cannot be read"
        return self._line.get_as_app(str(key.id), key.pem, path, why) is not None


def check_key(line: Line, key: Key) -> None:
    """That it is this App's key: with another one nothing could be decided."""
    why = f"the key is not one of the App {key.slug}"
    try:
        found = line.get_as_app(str(key.id), key.pem, "/app", why) or {}
    except Denied:
        found = {}
    if found.get("id") != key.id:
        raise BridgeError(f"{why}: on the App's page choose Generate a private key")


def seal(key: str, secret: str) -> str:
    """A secret so that only GitHub can read it: libsodium's sealed box."""
    from nacl.public import PublicKey, SealedBox

    box = SealedBox(PublicKey(base64.b64decode(key)))
    return base64.b64encode(box.encrypt(secret.encode())).decode()


def _explained(denied: Denied, path: str) -> ForgeUnavailable:
    if denied.status == 404 and "/environments/" in path:
        return ForgeUnavailable(f"{denied}: do the part `environment` first")
    if denied.status == 422 and "already exists" in denied.said:
        return ForgeUnavailable(f"{denied}: run this again, and it goes on from there")
    if denied.status == 422 and "must be part of" in denied.said:
        return ForgeUnavailable(f"{denied}: install the App on this repository, and run this again")
    if denied.status == 409 and path.endswith("/actions/permissions/workflow"):
        return ForgeUnavailable(
            f"{denied}: the organization doesn't let workflows open pull requests; ask one of its"
            " owners, or use a repository of your own"
        )
    return denied
