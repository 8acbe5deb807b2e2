"""The page on this machine that registers an App, and waits until GitHub sends the browser back.

Attackers: any page in the person's browser can send requests to this machine, and would like the
bridge to take its own App for the decider. So the code counts only with this page's `state`, which
nobody else knows, and only if it was sent to 127.0.0.1 by that name, so that no other name that
leads here can read the page.
"""

from __future__ import annotations

import queue
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final
from urllib.parse import parse_qs, urlsplit

from bridge.setup.app_manifest import Manifest, code_in, page

_BACK: Final = "/registered"


class AppPage:
    """`with AppPage(manifest) as shown:` serve it at `shown.address` until the code is there."""

    def __init__(self, manifest: Manifest) -> None:
        self.state = secrets.token_urlsafe(32)
        self._codes: queue.Queue[str] = queue.Queue()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._host = f"127.0.0.1:{self._server.server_address[1]}"
        self.address = f"http://{self._host}/"
        self.redirect = f"http://{self._host}{_BACK}"
        self.text = page(manifest, self.redirect, self.state)
        self._server.shown = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    def __enter__(self) -> AppPage:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def code(self, seconds: float) -> str | None:
        """The code that GitHub sent; None if it doesn't come in time."""
        try:
            return self._codes.get(timeout=seconds)
        except queue.Empty:
            return None

    def answer(self, target: str, host: str) -> tuple[int, str]:
        """The status and the page for one request."""
        parts = urlsplit(target)
        if host != self._host:
            return 403, "This page is for 127.0.0.1 alone."
        if parts.path == "/":
            return 200, self.text
        if parts.path != _BACK:
            return 404, "There is no such page."
        given = parse_qs(parts.query).get("state", [""])[0]
        if not secrets.compare_digest(given.encode(), self.state.encode()):
            return 403, "This answers another page: run `hitl github setup` again."
        code = code_in(target, self.state)
        if code is None:
            return 400, "GitHub sent no code: go back and try again."
        self._codes.put(code)
        return 200, "The App is registered. Go back to the terminal."


class _Server(ThreadingHTTPServer):
    shown: AppPage


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 20

    def do_GET(self) -> None:
        status, text = self.server.shown.answer(self.path, self.headers.get("Host", ""))
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        # The code must not leave with the address of this page.
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """The address has the code in it: nothing is logged."""
