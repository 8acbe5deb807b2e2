"""A small git server on 127.0.0.1: git's real smart HTTP, counted and broken.

Every byte of every request and answer that crosses the socket is counted, headers too.
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from tests.ledgers import GITCONFIG
from tests.smart_http import Answer, answer

CUT = 0  # instead of a status: the connection is cut in the middle of an answer
DONE_AND_CUT = -1  # the same, once the request has had its effect


@dataclass
class GitServer:
    """`answer` gets (method, path) and returns a status to refuse with, or None to serve."""

    root: Path
    url: str = ""
    requests: list[str] = field(default_factory=list)
    bytes_in: int = 0
    bytes_out: int = 0
    credential: str | None = None  # user:password that it asks for
    answer: Callable[[str, str], int | None] = lambda method, path: None
    old: bool = False  # speaks the protocol of before 2018: serves only what branches point at

    @property
    def wire(self) -> int:
        return self.bytes_in + self.bytes_out

    def forget(self) -> None:
        self.requests.clear()
        self.bytes_in = self.bytes_out = 0

    def of(self, name: str, credential: str = "") -> str:
        at = f"{credential}@" if credential else ""
        return f"{self.url.replace('://', '://' + at)}/{name}"


@contextmanager
def serving(root: Path) -> Iterator[GitServer]:
    """The repositories beneath `root`, until the end of the block."""
    state = GitServer(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: GitServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.serve(b"")

    def do_POST(self) -> None:
        self.serve(self.body())

    def body(self) -> bytes:
        if self.headers.get("Expect") == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def serve(self, body: bytes) -> None:
        self.state.requests.append(f"{self.command} {self.path}")
        self.state.bytes_in += len(self.raw_requestline) + len(bytes(self.headers)) + len(body)
        refusal = self.refusal()
        if refusal == DONE_AND_CUT:
            self.backend(body)
        if refusal in (CUT, DONE_AND_CUT):
            self.cut(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n00")
        elif refusal:
            self.reply(f"{refusal} No", [("WWW-Authenticate", 'Basic realm="git"')], b"")
        else:
            self.reply(*self.backend(body))

    def refusal(self) -> int | None:
        wanted = self.state.credential and base64.b64encode(self.state.credential.encode()).decode()
        if wanted and self.headers.get("Authorization") != f"Basic {wanted}":
            return 401
        return self.state.answer(self.command, self.path)

    def backend(self, body: bytes) -> Answer:
        parts = urlsplit(self.path)
        names = {
            "CONTENT_TYPE": "Content-Type",
            "HTTP_CONTENT_ENCODING": "Content-Encoding",
            "GIT_PROTOCOL": "Git-Protocol",
        }
        env = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(GITCONFIG),
            "GIT_PROJECT_ROOT": str(self.state.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "someone",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_LENGTH": str(len(body)),
            **{key: self.headers[name] for key, name in names.items() if name in self.headers},
            **({"GIT_PROTOCOL": "version=0"} if self.state.old else {}),
        }
        return answer(env, body)

    def reply(self, status: str, headers: list[tuple[str, str]], content: bytes) -> None:
        lines = [f"HTTP/1.1 {status}", *(f"{key}: {value}" for key, value in headers)]
        lines.append(f"Content-Length: {len(content)}")
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + content)

    def cut(self, beginning: bytes) -> None:
        self.send(beginning)
        self.close_connection = True

    def send(self, data: bytes) -> None:
        self.state.bytes_out += len(data)
        self.wfile.write(data)
