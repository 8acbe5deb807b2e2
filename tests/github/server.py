"""The HTTP in front of the world: REST, GraphQL and git, each request checked and counted."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import shutil
import socket
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jwt

from tests.github import contract, web
from tests.github import rest as rest_api
from tests.github.accounts import Account, Kind, Refusal, Token
from tests.github.faults import Fault, Faults
from tests.github.gitserver import commands
from tests.github.repository import Repository
from tests.github.rest.route import perform, require, visible
from tests.github.rules import hook_environment
from tests.github.runs import ISSUER, REQUESTED_AT
from tests.github.world import World

_WINDOW = timedelta(hours=1)


@dataclass(eq=False)
class Request:
    """One request as it arrived; `kind` is rest, graphql, git, mint or oidc."""

    kind: str
    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str] = field(repr=False)
    raw: bytes = field(repr=False)
    #: REST's operation id.
    operation: str | None = None

    @property
    def text(self) -> str:
        return self.raw.decode("utf-8", "replace")


@dataclass
class Reply:
    """Bytes to send."""

    status: int
    headers: dict[str, str]
    body: bytes


class GitHub(World):
    """See the package's own docstring."""

    def __init__(self, enterprise: bool = True, merges_at_once: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="github-"))
        super().__init__(self._folder, merges_at_once)
        self.faults = Faults()
        self.requests: list[Request] = []
        #: Whose browser asks for a page, if it isn't an organization's.
        self.logged_in: Account | None = None
        #: What the answers to a classic token say that it may.
        self.scopes = "gist, read:org, repo, workflow"
        #: How many calls an hour each token has; None is GitHub's own.
        self.rate_limit: int | None = None
        #: How many issues, comments, reviews a token may create in a minute; None: any number.
        self.content_limit: int | None = None
        self._used: Counter[tuple[str, str]] = Counter()
        self._window_ends = self.clock.now() + _WINDOW
        self._created: list[tuple[str, datetime]] = []
        self._prefix = "/api/v3" if enterprise else ""
        self._graphql = "/api/graphql" if enterprise else "/graphql"
        self._connections: set[socket.socket] = set()
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.github = self
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.api_url = f"{self.url}{self._prefix}"
        self.graphql_url = f"{self.url}{self._graphql}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> GitHub:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
        if kind is None:
            self.check()

    def close(self) -> None:
        """Stop serving, wait for what is under way, remove the repositories."""
        self.faults.clear()
        self._http.shutdown()
        for connection in list(self._connections):
            with suppress(OSError):  # it may have gone by itself
                connection.shutdown(socket.SHUT_RDWR)
        self._http.server_close()
        self._thread.join()
        for bare in self.bares:
            bare.close()
        shutil.rmtree(self._folder)

    def check(self) -> None:
        """Raises where a request, an answer or an event broke GitHub's own description."""
        if self.problems:
            told = "\n".join(dict.fromkeys(self.problems))
            raise AssertionError(f"against GitHub's description:\n{told}")

    def environment(self, repository: Repository, token: object | None = None) -> dict[str, str]:
        """What a job of Actions finds in its environment about where GitHub is."""
        told = {
            "GITHUB_SERVER_URL": self.url,
            "GITHUB_API_URL": self.api_url,
            "GITHUB_GRAPHQL_URL": self.graphql_url,
            "GITHUB_REPOSITORY": repository.full_name,
            "GITHUB_REPOSITORY_ID": str(repository.id),
            "GITHUB_REPOSITORY_OWNER": repository.owner.login,
        }
        return told | ({"GITHUB_TOKEN": str(token)} if token is not None else {})

    # -- counting ----------------------------------------------------------------------------

    @property
    def counts(self) -> Counter[str]:
        """Requests so far by kind: `github.counts["rest"]`, graphql, git, mint."""
        return Counter(each.kind for each in self.requests)

    def forget_requests(self) -> None:
        """Start counting anew."""
        self.requests.clear()

    def limit_of(self, token: Token | None, resource: str = "core") -> dict[str, int]:
        """The token's rate limit, as `GET /rate_limit` shows it."""
        if self.clock.now() >= self._window_ends:
            self._used.clear()
            self._window_ends = self.clock.now() + _WINDOW
        used = self._used[token.secret if token else "", resource]
        own = 60 if token is None else 1000 if token.kind is Kind.ACTIONS else 5000
        limit = own if self.rate_limit is None else self.rate_limit
        ends = int(self._window_ends.timestamp())
        return {
            "limit": limit,
            "used": min(used, limit),
            "remaining": max(limit - used, 0),
            "reset": ends,
        }

    def moment_of(self, seconds: int) -> datetime:
        return datetime.fromtimestamp(seconds, UTC)

    # -- one request -------------------------------------------------------------------------

    def reply(self, request: Request) -> Reply | None:
        """The answer; None where the connection is to be cut."""
        self.requests.append(request)
        fault = self.faults.strike(request)
        if fault is None:
            return self._serve(request)
        if fault.after:
            reply = self._serve(request)
            return self._spoiled(fault, reply)
        self._disturb(fault)
        if fault.cut:
            return None
        return _stated(fault) or self._serve(request)

    def _spoiled(self, fault: Fault, reply: Reply) -> Reply | None:
        self._disturb(fault)
        if fault.cut:
            return None
        if fault.truncate:
            whole = len(reply.body)
            return Reply(
                reply.status,
                {**reply.headers, "Content-Length": str(whole), "Connection": "close"},
                reply.body[: whole // 2],
            )
        return _stated(fault) or reply

    @staticmethod
    def _disturb(fault: Fault) -> None:
        if fault.hold is not None:
            fault.hold.wait()
        if fault.run is not None:
            fault.run()

    def _serve(self, request: Request) -> Reply:
        try:
            if request.kind == "git":
                return self._git(request)
            if request.kind == "oidc":
                return self._oidc(request)
            if request.kind == "web":
                with self.lock:
                    return self._web(request)
            with self.lock:
                return self._graph(request) if request.kind == "graphql" else self._rest(request)
        except Exception:  # noqa: BLE001 (whatever it is, the test that asked must hear of it)
            self.problems.append(f"{request.method} {request.path}: {traceback.format_exc()}")
            return _json(500, {"message": "the test server failed; see its problems"})

    def kind_of(self, path: str, headers: Mapping[str, str]) -> str:
        """Which door a request knocks at."""
        if path.endswith(("/info/refs", "/git-upload-pack", "/git-receive-pack")):
            return "git"
        if path == self._graphql:
            return "graphql"
        if path.startswith("/_services/"):
            return "oidc"
        if web.is_page(path):
            return "web"
        return "mint" if _is_jwt(_credential(headers)) else "rest"

    # -- who asks ----------------------------------------------------------------------------

    def _token(self, headers: Mapping[str, str]) -> Token | None:
        """Raises the 401 of a token that is unknown, expired or revoked."""
        secret = _credential(headers)
        if secret is None:
            return None
        if _is_jwt(secret):
            return self._by_jwt(secret)
        token = self.tokens.get(secret)
        if token is None or token.revoked:
            raise Refusal(401, "Bad credentials")
        if token.expires_at is not None and self.clock.now() >= token.expires_at:
            raise Refusal(401, "Bad credentials")
        token.used += 1
        return token

    def _by_jwt(self, secret: str) -> Token:
        try:
            issuer = str(jwt.decode(secret, options={"verify_signature": False}).get("iss"))
        except jwt.PyJWTError:
            raise Refusal(401, "A JSON web token could not be decoded") from None
        for app in self.apps.values():
            if issuer in (str(app.id), app.client_id):
                app.check(secret, self.clock.now())
                return Token(Kind.APP, app.bot, secret, app=app)
        raise Refusal(401, "Integration must generate a public key")

    def _spend(self, token: Token | None, resource: str) -> None:
        """Raises the 403 of a token that has spent its hour."""
        limit = self.limit_of(token, resource)
        self._used[token.secret if token else "", resource] += 1
        if limit["remaining"] == 0:
            raise Refusal(403, "API rate limit exceeded for user ID 1.")

    def _spend_content(self, token: Token | None) -> None:
        if self.content_limit is None or token is None:
            return
        now = self.clock.now()
        recent = [row for row in self._created if now - row[1] < timedelta(minutes=1)]
        self._created = [*recent, (token.secret, now)]
        if sum(1 for secret, _ in recent if secret == token.secret) >= self.content_limit:
            raise Refusal(429, "You have exceeded a secondary rate limit.")

    # -- REST --------------------------------------------------------------------------------

    def _rest(self, request: Request) -> Reply:
        path = request.path
        if path.startswith(self._prefix):
            path = path[len(self._prefix) :]
        token = None
        try:
            token = self._token(request.headers)
            if path != "/rate_limit":
                self._spend(token, "core")
            answer = self._operate(request, path, token)
        except Refusal as refusal:
            answer = rest_api.Answer(refusal.status, _refused(refusal), _waits(refusal))
            self._check_answer(request, answer)
        scopes = {"X-OAuth-Scopes": self.scopes} if token and token.kind is Kind.CLASSIC else {}
        headers = {**self._limits(token), **scopes, **answer.headers}
        return _json(answer.status, answer.body, headers)

    def _operate(self, request: Request, path: str, token: Token | None) -> rest_api.Answer:
        found = contract.routes().find(request.method, path)
        if found is None:
            self.problems.append(f"{request.method} {path}: the test server has no such operation")
            return rest_api.Answer(501, {"message": f"not served: {request.method} {path}"})
        request.operation, parameters = found
        media = request.headers.get("Accept", "")
        if any(f".{form}" in media for form in ("raw", "html", "text", "full", "diff", "patch")):
            self.problems.append(f"{request.operation}: the test server serves no {media}")
            return rest_api.Answer(501, {"message": f"not served: {media}"})
        body = _parsed(request.raw)
        faults = contract.request_faults(request.operation, parameters, request.query, body)
        if faults:
            self.problems += [f"request {request.operation}: {each}" for each in faults]
            raise Refusal(422, "Invalid request.\n\n" + "\n".join(faults))
        if request.method == "POST" and request.kind == "rest":
            self._spend_content(token)
        url = f"{self.api_url}{path}"
        call = rest_api.Call(self, token, parameters, request.query, body, url)
        with self.acting(token):
            answer = perform(request.operation, call)
        self._check_answer(request, answer)
        return answer

    def _check_answer(self, request: Request, answer: rest_api.Answer) -> None:
        if request.operation is not None:
            faults = contract.response_faults(request.operation, answer.status, answer.body)
            self.problems += [f"answer {request.operation} {answer.status}: {f}" for f in faults]

    def _limits(self, token: Token | None, resource: str = "core") -> dict[str, str]:
        shown = self.limit_of(token, resource)
        return {
            "X-RateLimit-Resource": resource,
            **{f"X-RateLimit-{name.title()}": str(value) for name, value in shown.items()},
        }

    # -- GraphQL -----------------------------------------------------------------------------

    def _graph(self, request: Request) -> Reply:
        from tests.github import graphql, mutations  # noqa: F401 (mutations register themselves)

        token = None
        try:
            token = self._token(request.headers)
            if token is None or token.kind is Kind.APP:
                raise Refusal(401, "This endpoint requires you to be authenticated.")
            self._spend(token, "graphql")
            given = _parsed(request.raw)
            if isinstance(given, dict) and "mutation" in str(given.get("query")):
                self._spend_content(token)
        except Refusal as refusal:
            if refusal.status == 403:  # GraphQL tells of its limit in the body
                told = {"errors": [{"type": "RATE_LIMITED", "message": refusal.message}]}
                return _json(200, told, self._limits(token, "graphql"))
            return _json(refusal.status, {"message": refusal.message}, _waits(refusal))
        body, problems = graphql.answer(self, token, given)
        self.problems += problems
        return _json(200, body, self._limits(token, "graphql"))

    # -- tokens of jobs ----------------------------------------------------------------------

    def _oidc(self, request: Request) -> Reply:
        """Anybody reads the issuer's keys; a job asks for its token with the job's credential."""
        issuer = self.issuer
        if request.path == REQUESTED_AT:
            answer = issuer.requested(_credential(request.headers), request.query)
            return _json(401, {"message": "no"}) if answer is None else _json(200, answer)
        known = {
            f"{ISSUER}/.well-known/openid-configuration": issuer.configuration,
            f"{ISSUER}/.well-known/jwks": issuer.key_set,
        }
        if request.method != "GET" or request.path not in known:
            self.problems.append(f"{request.method} {request.path}: the issuer serves no such page")
            return _json(404, {"message": "Not Found"})
        return _json(200, known[request.path]())

    # -- pages -------------------------------------------------------------------------------

    def _web(self, request: Request) -> Reply:
        status, headers, text = web.answer(self, request)
        return Reply(status, headers, text.encode())

    # -- git ---------------------------------------------------------------------------------

    def _git(self, request: Request) -> Reply:
        where, service = _git_target(request)
        push = service == "git-receive-pack"
        try:
            with self.lock:
                token = self._token(request.headers)
                repo = self._git_repository(where, token, push)
                told = {}
                if token is not None and request.path.endswith("git-receive-pack"):
                    refs = [ref for ref, _, _ in commands(request.raw)]
                    told = hook_environment(repo.all_rulesets(), refs, repo, token)
        except Refusal as refusal:
            headers = {"Content-Type": "text/plain"}
            if refusal.status == 401:
                headers["WWW-Authenticate"] = 'Basic realm="GitHub"'
            return Reply(refusal.status, headers, refusal.message.encode())
        status, rows, body = repo.bare.serve(_cgi(request, told), request.raw)
        if push and token is not None and request.method == "POST":
            with self.lock, self.acting(token):
                repo.noticed(token.actor)
        return Reply(status, dict(rows), body)

    def _git_repository(self, where: str, token: Token | None, push: bool) -> Repository:
        repo = self.find_repository(where.removesuffix(".git"))
        if token is None and (push or repo is None or repo.private):
            raise Refusal(401, "Authentication required")
        if repo is None or not visible(token, repo):
            raise Refusal(404, "Repository not found.")
        try:
            require(token, repo, [("contents", "write" if push else "read")])
        except Refusal as refusal:
            who = token.actor.login if token else "anonymous"
            if refusal.status == 403:
                raise Refusal(403, f"Permission to {repo.full_name}.git denied to {who}.") from None
            raise
        return repo


def _git_target(request: Request) -> tuple[str, str]:
    """The repository's full name, and the service asked of it."""
    for ending in ("/info/refs", "/git-upload-pack", "/git-receive-pack"):
        if request.path.endswith(ending):
            service = request.query.get("service") or ending.strip("/")
            return request.path.removesuffix(ending).strip("/"), service
    raise AssertionError(request.path)


def _cgi(request: Request, told: Mapping[str, str]) -> dict[str, str]:
    ending = next(
        e
        for e in ("/info/refs", "/git-upload-pack", "/git-receive-pack")
        if request.path.endswith(e)
    )
    return {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": ending,
        "QUERY_STRING": "&".join(f"{k}={v}" for k, v in request.query.items()),
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(request.raw)),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "REMOTE_USER": "somebody",
        "REMOTE_ADDR": "127.0.0.1",
        **told,
    }


def _credential(headers: Mapping[str, str]) -> str | None:
    scheme, _, secret = headers.get("Authorization", "").partition(" ")
    if scheme.lower() in ("token", "bearer"):
        return secret.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(secret).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return None


def _is_jwt(secret: str | None) -> bool:
    return secret is not None and secret.startswith("eyJ") and secret.count(".") == 2


def _parsed(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        raise Refusal(400, "Problems parsing JSON") from None


def _refused(refusal: Refusal) -> dict[str, Any]:
    body: dict[str, Any] = {
        "message": refusal.message,
        "documentation_url": "https://docs.github.com/rest",
        "status": str(refusal.status),
    }
    if refusal.errors:
        body["errors"] = refusal.errors
    return body


def _waits(refusal: Refusal) -> dict[str, str]:
    return {"Retry-After": "60"} if refusal.status == 429 else {}


def _stated(fault: Fault) -> Reply | None:
    if fault.status is None:
        return None
    headers = {"Content-Type": "application/json; charset=utf-8", **fault.headers}
    return Reply(fault.status, headers, fault.body or b"")


def _json(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
    shown = {"X-GitHub-Media-Type": "github.v3; format=json", **(headers or {})}
    if body is None:
        return Reply(status, shown, b"")
    shown["Content-Type"] = "application/json; charset=utf-8"
    return Reply(status, shown, json.dumps(body).encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for every request under way
    request_queue_size = 128
    github: GitHub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 60

    def setup(self) -> None:
        super().setup()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.github._connections.add(self.request)

    def finish(self) -> None:
        self.server.github._connections.discard(self.request)
        super().finish()

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the other side went away: a killed process, a cut connection
            self.close_connection = True

    def _any(self) -> None:
        target = urlsplit(self.path)
        headers = dict(self.headers.items())
        github = self.server.github
        raw_path = target.path if "%2F" in target.path else unquote(target.path)
        request = Request(
            github.kind_of(target.path, headers),
            self.command,
            raw_path,
            dict(parse_qsl(target.query, keep_blank_values=True)),
            headers,
            self._body(),
        )
        reply = github.reply(request)
        if reply is None:
            self.close_connection = True
            return
        self._send(reply)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _any  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            raw = b"".join(self._chunks())
        else:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        zipped = self.headers.get("Content-Encoding") == "gzip"
        return gzip.decompress(raw) if zipped else raw

    def _chunks(self) -> list[bytes]:
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return chunks

    def _send(self, reply: Reply) -> None:
        """Head and body in one write: two of them wait for each other's acknowledgement."""
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in reply.headers and reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        if reply.headers.get("Connection") == "close":
            self.close_connection = True
        head = b"".join(self._headers_buffer) + b"\r\n"  # type: ignore[attr-defined]
        self._headers_buffer: list[bytes] = []
        self.wfile.write(head + (b"" if self.command == "HEAD" else reply.body))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing is logged: a test reads `github.requests`."""
