"""A token by which GitHub says which run of Actions asks (OpenID Connect).

Only GitHub's key makes one, and only for a job of that run. Its audience is chosen by the job: it
holds the digest of what the job asks, so the token is good for exactly one request.

The claims are listed at https://docs.github.com/actions/reference/security/oidc.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from bridge.core.errors import Faults, ForgeUnavailable
from bridge.github.transport import fetched

#: A token lives five minutes, and the run that reads it may wait for a runner. GitHub cancels a job
#: that waits for a day (https://docs.github.com/actions/reference/limits), so an older one is not
#: of a request that is on its way. `exp` is for tokens that let somebody in: this one only says
#: which run asked, and that stays true.
ON_ITS_WAY: Final = timedelta(hours=24)
#: How far the clocks of GitHub and of this machine may be apart.
_APART: Final = timedelta(minutes=5)

_GITHUB_COM: Final = "https://token.actions.githubusercontent.com"
_CONFIGURATION: Final = "/.well-known/openid-configuration"
#: GitHub's have some 1,500 characters.
_LONGEST_TOKEN: Final = 16_384
_TRIES: Final = 3

SUBJECT: Final = "the token of the run"
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_SHA: Final = re.compile(r"[0-9a-f]{40,64}")
_WORKFLOW_REF: Final = re.compile(r"([^/]+/[^/]+)/(\.github/workflows/[^/@]+)@(.+)")
#: What an enterprise may add to its issuer, so that its tokens differ from others'.
_ENTERPRISE: Final = re.compile(r"/[A-Za-z0-9-]+")


def issuer_of(server_url: str) -> str:
    """Who signs the tokens of this server's runs. It follows from the server's address alone: a
    token must not choose whose keys it is checked with."""
    host = (urlsplit(server_url).hostname or "").lower()
    if host == "github.com":
        return _GITHUB_COM
    if host.endswith(".ghe.com"):
        return f"https://token.actions.{host}"
    return f"{server_url.rstrip('/')}/_services/token"


def audience_of(digest: str) -> str:
    """The audience of a token that is good for the request of this digest alone."""
    return f"approval-bridge:{digest}"


@dataclass(frozen=True, slots=True)
class RunToken:
    """What a token says, each value of the right form. Whether it is true of anything is open."""

    issuer: str
    audience: str
    repository_id: int
    run: int
    attempt: int
    workflow_repository: str
    workflow: str  # its file's path
    workflow_ref: str
    ref: str
    sha: str
    event: str
    actor: str
    actor_id: int
    issued_at: datetime
    not_before: datetime | None = None
    head_ref: str = ""  # of a pull request
    environment: str | None = None

    @property
    def of_pull_request(self) -> bool:
        return self.event.startswith("pull_request")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say to prove that a run asks this."""

    issuer: str
    repository: str
    repository_id: int
    digest: str
    now: datetime


def read_claims(payload: object) -> RunToken:
    """Raises `Faults` with everything that is missing or of another form than GitHub's."""
    if not isinstance(payload, Mapping):
        raise Faults(SUBJECT, ["it holds no claims"])
    read = _Reader(payload)
    workflow = _WORKFLOW_REF.fullmatch(read.text("workflow_ref"))
    if not workflow and "workflow_ref" not in read.missing:
        read.faults.append("`workflow_ref` names no workflow file of a repository")
    sha = read.text("sha")
    if not _SHA.fullmatch(sha) and "sha" not in read.missing:
        read.faults.append("`sha` is no commit")
    token = RunToken(
        issuer=read.text("iss"),
        audience=read.text("aud"),
        repository_id=read.number("repository_id"),
        run=read.number("run_id"),
        attempt=read.number("run_attempt"),
        workflow_repository=workflow[1] if workflow else "",
        workflow=workflow[2] if workflow else "",
        workflow_ref=workflow[3] if workflow else "",
        ref=read.text("ref"),
        sha=sha,
        event=read.text("event_name"),
        actor=read.text("actor"),
        actor_id=read.number("actor_id"),
        issued_at=read.time("iat") or datetime.min.replace(tzinfo=UTC),
        not_before=read.time("nbf") if "nbf" in payload else None,
        head_ref=read.text("head_ref") if payload.get("head_ref") else "",
        environment=read.text("environment") if payload.get("environment") else None,
    )
    if read.faults:
        raise Faults(SUBJECT, read.faults)
    return token


class _Reader:
    """Takes claims apart, and keeps what is wrong with them."""

    def __init__(self, payload: Mapping[str, Any]) -> None:
        self._payload = payload
        self.faults: list[str] = []
        self.missing: set[str] = set()

    def text(self, name: str) -> str:
        found = self._payload.get(name)
        if isinstance(found, str) and found:
            return found
        self.missing.add(name)
        self.faults.append(f"`{name}` is missing" if found is None else f"`{name}` is no text")
        return ""

    def number(self, name: str) -> int:
        """GitHub writes its numbers as text."""
        found = self.text(name)
        if _NUMBER.fullmatch(found):
            return int(found)
        if found:
            self.faults.append(f"`{name}` is no number")
        return 0

    def time(self, name: str) -> datetime | None:
        found = self._payload.get(name)
        if type(found) is int and 0 < found < 1 << 33:
            return datetime.fromtimestamp(found, UTC)
        self.faults.append(f"`{name}` is no time")
        return None


def mismatches(token: RunToken, expected: Expected) -> list[str]:
    """Everything that the token says, and that is not what was expected; empty: it proves it."""
    faults = []
    own = token.issuer.removeprefix(expected.issuer)
    if own == token.issuer or (own and not _ENTERPRISE.fullmatch(own)):
        faults.append(f"its issuer is {token.issuer}, and this server's is {expected.issuer}")
    if token.audience != audience_of(expected.digest):
        faults.append("it is for another request")
    if token.repository_id != expected.repository_id:
        faults.append(f"it is of another repository (number {token.repository_id})")
    if token.workflow_repository.casefold() != expected.repository.casefold():
        faults.append(f"its workflow file is one of {token.workflow_repository}")
    starts = [token.issued_at, *([token.not_before] if token.not_before else [])]
    if max(starts) > expected.now + _APART:
        faults.append("it is of the future: compare the clock of this machine")
    if token.issued_at < expected.now - ON_ITS_WAY - _APART:
        faults.append(f"it was issued at {token.issued_at:%Y-%m-%d %H:%M} UTC, over a day ago")
    return faults


# -- the signature ---------------------------------------------------------------------------------


def signed(token: str, keys: Keys) -> object:
    """The claims in a token that GitHub signed. Raises `Faults`; a key set that cannot be read
    raises `ForgeUnavailable`."""
    import jwt

    if len(token) > _LONGEST_TOKEN:
        raise Faults(SUBJECT, [f"it has more than {_LONGEST_TOKEN:,} characters"])
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, UnicodeEncodeError, RecursionError):
        raise Faults(SUBJECT, ["it is no token"]) from None
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise Faults(SUBJECT, [f"no key of {keys.issuer} has signed it"])
    try:
        # The algorithm is ours to say: a token that names another is refused.
        payload = jwt.api_jws.decode(token, key, algorithms=["RS256"])
        return json.loads(payload)
    except jwt.PyJWTError:
        raise Faults(SUBJECT, [f"its signature is not one of {keys.issuer}"]) from None
    except (ValueError, RecursionError):
        raise Faults(SUBJECT, ["it holds no claims"]) from None


class Keys:
    """The public keys of an issuer, read once. `pause` waits so many seconds."""

    def __init__(self, issuer: str, pause: Callable[[float], None] = time.sleep) -> None:
        self.issuer = issuer
        self._pause = pause
        self._known: Mapping[str, Any] | None = None

    def get(self, kid: str) -> Any:
        """The key of this name; None if the issuer has none. Raises `ForgeUnavailable`."""
        if self._known is None:
            self._known = self._read()
        return self._known.get(kid)

    def _read(self) -> Mapping[str, Any]:
        import jwt

        about = self._page(f"{self.issuer}{_CONFIGURATION}")
        where = about.get("jwks_uri")
        if about.get("issuer") != self.issuer or not _same_server(where, self.issuer):
            raise self._unavailable("its configuration names another issuer or other keys")
        try:
            found = jwt.PyJWKSet.from_dict(self._page(str(where)))
        except jwt.PyJWTError:
            raise self._unavailable("its key set holds no key") from None
        return {key.key_id: key for key in found.keys if key.key_id and key.key_type == "RSA"}

    def _page(self, url: str) -> dict[str, Any]:
        trouble = ""
        for attempt in range(_TRIES):
            if attempt:
                self._pause(2.0**attempt)
            found, trouble = fetched(url)
            if found is not None:
                return found
        raise self._unavailable(trouble)

    def _unavailable(self, trouble: str) -> ForgeUnavailable:
        return ForgeUnavailable(
            f"the keys of {self.issuer} cannot be read: {trouble}; run the job that asks again"
        )


def _same_server(url: object, issuer: str) -> bool:
    if not isinstance(url, str):
        return False
    one, other = urlsplit(url), urlsplit(issuer)
    return (one.scheme, one.netloc) == (other.scheme, other.netloc)


# -- in the job ------------------------------------------------------------------------------------

#: GitHub's runner sets both if the job has the permission `id-token: write`.
REQUEST_URL: Final = "ACTIONS_ID_TOKEN_REQUEST_URL"
REQUEST_TOKEN: Final = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"  # noqa: S105 - a name


def may_ask(env: Mapping[str, str]) -> bool:
    """Whether this job may have a token."""
    return bool(env.get(REQUEST_URL) and env.get(REQUEST_TOKEN))


def requested(
    env: Mapping[str, str], digest: str, pause: Callable[[float], None] = time.sleep
) -> str:
    """A token of this job for the request of this digest. Raises `ForgeUnavailable`."""
    url = f"{env[REQUEST_URL]}&{urlencode({'audience': audience_of(digest)})}"
    headers = {"Authorization": f"Bearer {env[REQUEST_TOKEN]}"}
    trouble = ""
    for attempt in range(_TRIES):
        if attempt:
            pause(2.0**attempt)
        found, trouble = fetched(url, headers)
        if found is not None and isinstance(found.get("value"), str):
            return str(found["value"])
    why = trouble or "its answer holds none"
    raise ForgeUnavailable(f"GitHub gives this job no token that says which run it is of: {why}")
