"""The line to GitHub: one account's requests, each answered whole, or one clear error.

Here are tokens, patience and refusals; what is asked, and what an answer means, is `github.py`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import jwt
import requests
from github import Auth, Github
from github.Requester import (
    HTTPRequestsConnectionClass,
    HTTPSRequestsConnectionClass,
    Requester,
    RequestsResponse,
)
from jwt.algorithms import RSAAlgorithm
from urllib3.exceptions import HTTPError

from bridge.core import log, whole_answer
from bridge.core.errors import ForgeUnavailable
from bridge.core.settings import APP_ID, APP_KEY, REPOSITORY, GitHubSettings

# At DEBUG the library logs whole answers, and the answer that mints a token is the token.
logging.getLogger("github.Requester").setLevel(logging.INFO)

_log = log.logger("github")

#: Seconds until an unanswered request is given up.
_SECONDS = 20
#: How often a request is sent that may be sent twice, if GitHub fails or the line breaks.
_TRIES = 3
#: Seconds that a line waits in all, for limits and for GitHub to recover: a waiting runner costs
#: money, and the next sweep goes on where this one stopped.
PATIENCE = 120.0
#: GitHub's key sets have some 8,000 bytes.
_LARGEST = 200_000
#: If GitHub names no time, its documentation asks for a minute.
_UNNAMED = 60.0
#: A token about to expire is not begun with: git may work with it for some minutes.
_MARGIN = timedelta(minutes=5)

Json = dict[str, Any]


class Denied(ForgeUnavailable):
    """GitHub understood, and says no: `status` is HTTP's, `said` its own words."""

    def __init__(self, sentence: str, status: int, said: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.said = said


class Line:
    """The account that the settings name. Raises `ForgeUnavailable`, never with a secret in it."""

    def __init__(
        self, settings: GitHubSettings, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._settings = settings
        self._pause = pause
        self._patience = PATIENCE
        self._minted: _Minted | None = None
        self._installation: int | None = None
        self._common: Json = {
            "base_url": settings.api_url,
            "timeout": _SECONDS,
            # Its own retries wait as long as any answer asks for, and repeat every write.
            "retry": None,
            "seconds_between_requests": None,
            "seconds_between_writes": None,
            "user_agent": "approval-bridge",
        }
        self._github: Github | None = None

    @property
    def token(self) -> str:
        """Good for some minutes yet; an App's is minted, and minted again when its hour ends."""
        settings = self._settings
        if not settings.app_id or not settings.app_key:
            return settings.token or ""
        if self._minted is None or self._minted.expires_at - _MARGIN <= datetime.now(UTC):
            self._minted = self._mint(settings.app_id, settings.app_key)
            self._github = None
        return self._minted.token

    def get(self, path: str, why: str) -> Any:
        """`why`: what is not to be had, if it is not; the beginning of the error's sentence."""
        return self._asked("GET", path, None, why, again=True)

    def post(self, path: str, given: Json, why: str, *, again: bool) -> Any:
        """`again`: doing it twice is no harm, so it may be repeated if no answer came."""
        return self._asked("POST", path, given, why, again=again)

    def send(self, method: str, path: str, given: Json | None, why: str) -> Any:
        """A request that may be sent twice: what it asks for is then there, or is refused."""
        return self._asked(method, path, given, why, again=True)

    @property
    def scopes(self) -> frozenset[str] | None:
        """What a classic token may, as the last answer said; None: it is no classic token."""
        said = self._github.oauth_scopes if self._github else None
        return None if said is None else frozenset(said)

    def graphql(self, document: str, variables: Json, why: str, *, again: bool = True) -> Json:
        """The whole answer; its `errors` are for the caller to judge."""
        given = {"query": document, "variables": variables}
        answer = self._asked("POST", self._settings.graphql_url, given, why, again=again)
        if not isinstance(answer, dict):
            raise self._failed(why, "its answer is not what GitHub describes")
        return answer

    # -- one request -------------------------------------------------------------------------

    def _asked(self, method: str, path: str, given: Json | None, why: str, *, again: bool) -> Any:
        renewed = False
        while True:
            # A token that GitHub no longer takes is minted anew, once: it may have been revoked,
            # or this machine's clock be wrong.
            token = self.token
            reply = self._exchanged(self._as(token), method, path, given, why, again=again)
            if reply.status != 401 or renewed or self._minted is None:
                return self._taken(reply, why)
            self._minted, renewed = None, True

    def _as(self, token: str) -> Github:
        if self._github is None:
            self._github = _client(Auth.Token(token), self._common)
        return self._github

    def _exchanged(
        self,
        github: Github,
        method: str,
        path: str,
        given: Json | None,
        why: str,
        *,
        again: bool,
    ) -> _Reply:
        tries = _TRIES if again else 1
        while True:
            start = time.monotonic()
            reply = _sent(github, method, path, given)
            if _log.isEnabledFor(logging.DEBUG):
                asked = _operation(given) or f"{method} {path}"
                _log.debug("%s: %s, %s%s", asked, reply.said, log.since(start), reply.cost)
            if reply.limited:
                self._wait(_until_lifted(reply.headers), why)
            elif reply.broken and tries > 1:
                tries -= 1
                self._wait(2.0 ** (_TRIES - tries - 1), why)
            else:
                return reply

    def _wait(self, seconds: float, why: str) -> None:
        if seconds > self._patience:
            lifted = datetime.now(UTC) + timedelta(seconds=seconds)
            raise self._failed(
                why,
                f"it accepts no more requests until {lifted:%Y-%m-%d %H:%M} UTC:"
                " try again then; a workflow does so with its next sweep",
            )
        self._patience -= seconds
        self._pause(seconds)

    def _taken(self, reply: _Reply, why: str) -> Any:
        if reply.broken:
            again = "try again; a workflow does so with its next sweep"
            raise self._failed(why, f"{reply.trouble}: {again}")
        if reply.status >= 400:
            said = _words(reply.body)
            advice = _ADVICE.get(reply.status, "")
            sentence = f"{why}: GitHub answers {reply.status} ({said}){advice}"
            raise Denied(sentence, reply.status, said)
        if reply.status >= 300:
            raise self._failed(
                why, f"it says that this has moved: correct {REPOSITORY}, or the address"
            )
        return reply.body

    def _failed(self, why: str, trouble: str) -> ForgeUnavailable:
        return ForgeUnavailable(f"{why}: {self._settings.api_url}: {trouble}")

    # -- the App -----------------------------------------------------------------------------

    def get_as_app(self, app_id: str, key: str, path: str, why: str) -> Any:
        """What GitHub says to an App itself; None if there is no such thing."""
        app = _client(self._app_auth(app_id, key, why), self._common)
        reply = self._exchanged(app, "GET", path, None, why, again=True)
        return None if reply.status == 404 else self._taken(reply, why)

    @staticmethod
    def _app_auth(app_id: str, key: str, why: str) -> Auth.AppAuth:
        try:
            read = _read_key(key)
            auth = Auth.AppAuth(
                app_id, sign_func=lambda claims: jwt.encode(claims, read, algorithm="RS256")
            )
            auth.create_jwt()
        except (jwt.PyJWTError, ValueError, TypeError):
            raise ForgeUnavailable(f"{why}: {APP_KEY} is no private key in PEM form") from None
        return auth

    def _mint(self, app_id: str, key: str) -> _Minted:
        repository = self._settings.repository
        why = f"the App {app_id} gets no token for {repository}"
        app = _client(self._app_auth(app_id, key, why), self._common)

        def asked(method: str, path: str, given: Json | None = None) -> Any:
            return self._taken(self._exchanged(app, method, path, given, why, again=True), why)

        try:
            if self._installation is None:
                self._installation = asked("GET", f"/repos/{repository}/installation")["id"]
            made = asked(
                "POST",
                f"/app/installations/{self._installation}/access_tokens",
                # Of all that it is installed on, this repository alone.
                {"repositories": [repository.partition("/")[2]]},
            )
            return _Minted(made["token"], datetime.fromisoformat(made["expires_at"]))
        except Denied as denied:
            raise ForgeUnavailable(f"{why}: {_OF_APP.get(denied.status, denied.said)}") from None
        except (KeyError, TypeError, ValueError):
            raise self._failed(why, "its answer is not what GitHub describes") from None


@lru_cache(maxsize=8)
def _read_key(pem: str) -> Any:
    """OpenSSL checks the primes as it reads a key, which takes 40 ms: not for each request."""
    return RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key(pem)


@dataclass(frozen=True, slots=True)
class _Minted:
    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Reply:
    """What came back. `trouble` is why there is nothing to work with, empty if there is."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = field(default=None, repr=False)
    trouble: str = ""

    @property
    def broken(self) -> bool:
        return bool(self.trouble)

    @property
    def said(self) -> str:
        return f"{self.status}, {self.trouble}" if self.broken else str(self.status)

    @property
    def cost(self) -> str:
        """What is left of the limit that the request counted against, as GitHub says."""
        names = ("resource", "used", "remaining")
        found = {name: self.headers.get(f"x-ratelimit-{name}") for name in names}
        return "".join(f", {name} {value}" for name, value in found.items() if value)

    @property
    def limited(self) -> bool:
        if self.status == 200 and isinstance(self.body, dict):
            return any(each.get("type") == "RATE_LIMITED" for each in errors_of(self.body))
        if self.status not in (403, 429):
            return False
        # 403 is also plain "you may not", which no waiting mends.
        told = "retry-after" in self.headers or self.headers.get("x-ratelimit-remaining") == "0"
        return told or self.status == 429 or "rate limit" in _words(self.body).lower()


class _Whole(RequestsResponse):
    """An answer that is read within bounds, and not whatever comes."""

    def __init__(self, reply: requests.Response) -> None:
        super().__init__(reply)
        self._text = whole_answer.body_of(reply).decode("utf-8", "replace")

    def read(self) -> str:
        return self._text


def _whole(connection: HTTPRequestsConnectionClass | HTTPSRequestsConnectionClass) -> _Whole:
    url = f"{connection.protocol}://{connection.host}:{connection.port}{connection.url}"
    session = connection.session
    if session.trust_env:
        # Its host stays the same, so the environment's proxies and certificates do: else requests
        # goes through the environment twice for each request.
        found = session.merge_environment_settings(url, {}, None, connection.verify, None)
        session.proxies, session.verify = found["proxies"], found["verify"]
        session.trust_env = False
    with session.request(
        connection.verb,
        url,
        headers=connection.headers,
        data=connection.input,
        timeout=connection.timeout,
        allow_redirects=False,
        stream=True,
    ) as reply:
        return _Whole(reply)


class _Http(HTTPRequestsConnectionClass):
    def getresponse(self) -> RequestsResponse:
        return _whole(self)


class _Https(HTTPSRequestsConnectionClass):
    def getresponse(self) -> RequestsResponse:
        return _whole(self)


def _client(auth: Auth.Auth, common: Json) -> Github:
    # A client takes the classes as it is made. The program's other clients have their own.
    Requester.injectConnectionClasses(_Http, _Https)
    try:
        return Github(auth=auth, **common)
    finally:
        Requester.resetConnectionClasses()


def _sent(github: Github, method: str, path: str, given: Json | None) -> _Reply:
    try:
        status, headers, text = whole_answer.within(
            whole_answer.SECONDS,
            lambda: github.requester.requestJson(method, path, input=given),
        )
    except whole_answer.Endless as error:
        return _Reply(0, trouble=str(error))
    except (requests.RequestException, HTTPError, OSError) as error:
        # The text of a transport error may repeat a header or an address; its kind says enough.
        return _Reply(0, trouble=f"it cannot be reached ({type(error).__name__})")
    except (RuntimeError, AssertionError):  # a redirection to elsewhere, or in a circle
        return _Reply(301)
    except ValueError:  # a header that should be a number
        return _Reply(0, trouble="its answer makes no sense")
    if status >= 500:
        return _Reply(status, headers, trouble=f"it answers {status}")
    try:
        body = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return _Reply(status, headers, trouble="its answer is not JSON")
    return _Reply(status, headers, body, _timed_out(body))


def fetched(url: str, headers: Mapping[str, str] | None = None) -> tuple[Json | None, str]:
    """A JSON object for which GitHub asks no account, or why there is none."""

    def answer() -> tuple[int, bytes]:
        with requests.get(
            url, headers=headers, timeout=_SECONDS, stream=True, allow_redirects=False
        ) as reply:
            status = reply.status_code
            return status, whole_answer.body_of(reply, _LARGEST) if status == 200 else b""

    try:
        status, body = whole_answer.within(whole_answer.SECONDS, answer)
    except whole_answer.Endless as error:
        return None, str(error)
    except (requests.RequestException, HTTPError, OSError) as error:
        # The text of a transport error may repeat a header; its kind says enough.
        return None, f"it cannot be reached ({type(error).__name__})"
    if status != 200:
        return None, f"it answers {status}"
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None, "its answer is not JSON"
    return (found, "") if isinstance(found, dict) else (None, "its answer is not JSON")


def _operation(given: Json | None) -> str:
    """What a GraphQL document is called, as in `query Page`; empty for REST."""
    document = given.get("query") if given else None
    return document.partition("(")[0] if isinstance(document, str) else ""


def _timed_out(body: Any) -> str:
    """GraphQL says with status 200 that it gave up: there is no type to know it by."""
    if isinstance(body, dict) and body.get("data") is None:
        for each in errors_of(body):
            if str(each.get("message", "")).startswith("Something went wrong"):
                return "it gave up on the query"
    return ""


def _until_lifted(headers: Mapping[str, str]) -> float:
    """Seconds until the limit is lifted."""
    after, reset = headers.get("retry-after", ""), headers.get("x-ratelimit-reset", "")
    if after.isdecimal():
        return max(float(after), 1.0)
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        # One more: nobody says when in that second.
        return max(float(reset) - time.time() + 1, 1.0)
    return _UNNAMED


def errors_of(answer: Json) -> list[Json]:
    found = answer.get("errors")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def told(errors: Iterable[Any]) -> str:
    """GitHub's own words of these errors, each once."""
    said = [each.get("message") if isinstance(each, dict) else each for each in errors]
    return "; ".join(dict.fromkeys(str(each) for each in said if each))


def _words(body: Any) -> str:
    if not isinstance(body, dict):
        return "no reason given"
    faults = body.get("errors")
    return (told(faults) if isinstance(faults, list) else "") or str(body.get("message", ""))


_ADVICE = {
    401: "; the credential is wrong or has expired",
    403: "; the credential may not do this: see `hitl doctor`",
    404: "; it is not there, or the credential may not see it",
}
_OF_APP = {
    401: f"GitHub does not take its key: {APP_ID} and {APP_KEY} must be one App's",
    404: "it is not installed there",
}
