"""A server that answers without end is given up, whether it drips or floods."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

import pytest

from bridge.argo.argo_server import ArgoServer
from bridge.argo.kubernetes import Kubernetes
from bridge.core import whole_answer
from bridge.core.delivery import Workflow
from bridge.core.errors import ClusterUnavailable, ForgeUnavailable
from bridge.core.settings import GitHubSettings
from bridge.github.transport import Line, fetched

WHERE = Workflow("argo", "run-1", "u-1")
START = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LONG = START + b"Content-Length: 1000000\r\n\r\n"

#: How an answer begins, and what comes of it again and again.
ENDLESS = {
    "a body that drips": (LONG, b" "),
    "a header that drips": (START + b"X-Word: ", b"a"),
    "a body in parts that drip": (START + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


Serve = Callable[[bytes, bytes], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that begins so, and then sends that without end, and slowly."""
    stop = threading.Event()

    def drip(to: socket.socket, start: bytes, again: bytes) -> None:
        with closing(to), suppress(OSError):
            to.recv(65536)
            to.sendall(start)
            while not stop.wait(0.01):
                to.sendall(again)

    with ExitStack() as ends:
        threads: list[threading.Thread] = []

        def started(action: Callable[[], None]) -> None:
            threads.append(threading.Thread(target=action))
            threads[-1].start()

        def make(start: bytes, again: bytes) -> str:
            listener = ends.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
            listener.settimeout(0.05)

            def accept() -> None:
                while not stop.is_set():
                    with suppress(TimeoutError):
                        started(partial(drip, listener.accept()[0], start, again))

            started(accept)
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield make
        stop.set()
        for each in threads:
            each.join()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_answer, "SECONDS", 0.3)


@pytest.mark.parametrize("how", ENDLESS)
def test_an_argo_server_whose_answer_never_ends_is_given_up(how: str, serve: Serve) -> None:
    server = ArgoServer(serve(*ENDLESS[how]), "t")
    with pytest.raises(ClusterUnavailable, match="is given up: its answer takes too long"):
        server.workflow(WHERE)


@pytest.mark.parametrize("how", ENDLESS)
def test_a_github_whose_answer_never_ends_is_given_up(how: str, serve: Serve) -> None:
    url = serve(*ENDLESS[how])
    settings = GitHubSettings("acme/models", url, token="t")  # noqa: S106
    with pytest.raises(ForgeUnavailable, match="its answer takes too long"):
        Line(settings, pause=lambda _: None).post("/x", {}, "nothing to see", again=False)
    assert fetched(url) == (None, "its answer takes too long")


def cluster_at(url: str, folder: Path) -> Kubernetes:
    config = folder / "config"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\nusers: [{name: me, user: {}}]\n"
        f"clusters: [{{name: here, cluster: {{server: '{url}'}}}}]\n"
        "contexts: [{name: here, context: {cluster: here, user: me}}]\n"
    )
    return Kubernetes(str(config))


def test_a_kubernetes_whose_answer_never_ends_is_given_up(serve: Serve, tmp_path: Path) -> None:
    cluster = cluster_at(serve(*ENDLESS["a body that drips"]), tmp_path)
    with pytest.raises(ClusterUnavailable, match="Kubernetes cannot be reached"):
        cluster.workflow(WHERE)


@pytest.mark.parametrize("again", [b" ", b'{"type": "BOOKMARK", "object": {}}\n'])
def test_a_watch_that_never_ends_is_given_up_though_each_read_of_it_is_quick(
    again: bytes, serve: Serve, tmp_path: Path
) -> None:
    cluster = cluster_at(serve(LONG, again), tmp_path)
    with pytest.raises(ClusterUnavailable, match="Kubernetes cannot be reached"):
        list(cluster.changes("1", 0))


def test_an_answer_that_is_too_large_is_not_read_to_its_end(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_answer, "SECONDS", 60.0)
    monkeypatch.setattr(whole_answer, "MOST_BYTES", 100)
    url = serve(LONG + b" " * 200, b" ")
    with pytest.raises(ClusterUnavailable, match="is given up: its answer is too large"):
        ArgoServer(url, "t").workflow(WHERE)
    settings = GitHubSettings("acme/models", url, token="t")  # noqa: S106
    with pytest.raises(ForgeUnavailable, match="its answer is too large"):
        Line(settings, pause=lambda _: None).post("/x", {}, "nothing to see", again=False)
