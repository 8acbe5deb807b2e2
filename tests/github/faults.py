"""What goes wrong on demand: errors, limits, cut, slow and mangled answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.github.server import Request


class Hold:
    """A request held back: wait for `reached`, do what the test wants meanwhile, then `release`."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._released = threading.Event()

    def release(self) -> None:
        self._released.set()

    def wait(self) -> None:
        self.reached.set()
        self._released.wait()


@dataclass(eq=False)
class Fault:
    """One thing to go wrong, from the `nth` matching request on, `times` over (None: always)."""

    kind: str | None
    method: str | None
    path: str | None
    containing: str | None
    when: Callable[[Request], bool] | None
    nth: int
    times: int | None
    #: True: GitHub does what was asked, and only the answer suffers.
    after: bool
    status: int | None = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    truncate: bool = False
    hold: Hold | None = None
    run: Callable[[], Any] | None = None
    struck: int = 0

    def meets(self, request: Request) -> bool:
        """Whether this request is the one; counts those that come before it."""
        fits = (
            self.kind in (None, request.kind)
            and self.method in (None, request.method)
            and (self.path is None or fnmatchcase(request.path, self.path))
            and (self.containing is None or self.containing in request.text)
            and (self.when is None or self.when(request))
        )
        if not fits or self.times == 0:
            return False
        self.nth -= 1
        if self.nth > 0:
            return False
        self.struck += 1
        if self.times is not None:
            self.times -= 1
        return True


class Faults:
    """`github.faults`: each method arms one fault.

    All take `kind` (rest, graphql, git, mint), `method`, `path` (a glob), `containing` (a piece of
    the request's body), `when` (a question about the request), `nth`, `times`, and `after`.
    """

    def __init__(self) -> None:
        self._armed: list[Fault] = []
        self._lock = threading.Lock()

    def answer(
        self,
        status: int,
        body: bytes = b'{"message": "Server Error"}',
        headers: dict[str, str] | None = None,
        **where: Any,
    ) -> Fault:
        """An error, or anything else: `github.faults.answer(502, nth=3)`."""
        return self._arm(status=status, body=body, headers=headers or {}, **where)

    def malformed(self, body: bytes = b'{"number": 7, "sta', **where: Any) -> Fault:
        """200 and a body that is no JSON."""
        return self._arm(status=200, body=body, **where)

    def cut(self, **where: Any) -> Fault:
        """The connection closes unanswered; with `after=True` the work is done all the same."""
        return self._arm(cut=True, **where)

    def truncate(self, **where: Any) -> Fault:
        """Half of the true answer, then the connection closes."""
        return self._arm(truncate=True, after=True, **where)

    def hold(self, **where: Any) -> Hold:
        """A slow answer, as slow as the test likes."""
        hold = Hold()
        self._arm(hold=hold, **where)
        return hold

    def run(self, action: Callable[[], Any], **where: Any) -> Fault:
        """Do something of the test's own just before (or after) the request is served."""
        return self._arm(run=action, **where)

    def secondary_limit(
        self, retry_after: int | None = 7, status: int = 403, **where: Any
    ) -> Fault:
        return self._arm(
            status=status,
            body=b'{"message": "You have exceeded a secondary rate limit. Please wait a few minutes'
            b' before you try again.", "documentation_url": "https://docs.github.com/rest"}',
            headers={} if retry_after is None else {"Retry-After": str(retry_after)},
            **where,
        )

    def primary_limit(self, reset: int, status: int = 403, **where: Any) -> Fault:
        """`reset`: when it ends, in seconds of the epoch."""
        return self._arm(
            status=status,
            body=b'{"message": "API rate limit exceeded for installation ID 1.",'
            b' "documentation_url": "https://docs.github.com/rest"}',
            headers={
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Limit": "5000",
                "X-RateLimit-Reset": str(reset),
            },
            **where,
        )

    def _arm(
        self,
        kind: str | None = None,
        method: str | None = None,
        path: str | None = None,
        containing: str | None = None,
        when: Callable[[Request], bool] | None = None,
        nth: int = 1,
        times: int | None = 1,
        after: bool = False,
        **effect: Any,
    ) -> Fault:
        fault = Fault(kind, method, path, containing, when, nth, times, after, **effect)
        with self._lock:
            self._armed.append(fault)
        return fault

    def strike(self, request: Request) -> Fault | None:
        """The fault that this request meets; the first armed wins."""
        with self._lock:
            met = [each for each in self._armed if each.meets(request)]
            return met[0] if met else None

    def clear(self) -> None:
        with self._lock:
            holds = [each.hold for each in self._armed if each.hold is not None]
            self._armed.clear()
        for hold in holds:
            hold.release()
