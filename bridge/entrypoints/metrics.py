"""Monitor: a watch's health and figures over HTTP, for Kubernetes and for Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from bridge.core.delivery import Delivery
from bridge.core.errors import Faults
from bridge.gates.ports import Clock
from bridge.gates.reconciler import Progress


def listening(address: str, progress: Progress, clock: Clock, patience: int) -> str:
    """Answer at `host:port` (port 0: any) from now on, in a thread that ends with the process.

    `/healthz` is 200 as long as a round in which both sides answered is at most `patience` seconds
    ago, else 503; `/livez` the same of any round: what cannot be reached is not mended by starting
    anew. `/metrics` is for Prometheus. The address it got. Raises `Faults`.
    """
    host, _, port = address.rpartition(":")
    try:
        server = make_server(
            host, int(port), _site(progress, clock, patience), WSGIServer, handler_class=_Quiet
        )
    except (ValueError, OverflowError, OSError) as error:
        raise Faults(
            "--listen", [f"{address} is no address to listen at (host:port): {error}"]
        ) from None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"{host}:{server.server_port}"


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _site(progress: Progress, clock: Clock, patience: int) -> Callable[..., Iterable[bytes]]:
    registry = CollectorRegistry()
    registry.register(_Figures(progress))
    metrics = make_wsgi_app(registry)

    def site(asked: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if asked["PATH_INFO"] == "/metrics":
            answer: Iterable[bytes] = metrics(asked, start)
            return answer
        plain = [("Content-Type", "text/plain")]
        moments = {"/healthz": progress.well_at, "/livez": progress.turned_at}
        if asked["PATH_INFO"] not in moments:
            start("404 Not Found", plain)
            return [b"/healthz, /livez and /metrics\n"]
        at = moments[asked["PATH_INFO"]]
        well = at is not None and (clock() - at).total_seconds() <= patience
        start("200 OK" if well else "503 Service Unavailable", plain)
        return [f"last: {at or 'never'}\n".encode()]

    return site


class _Figures(Collector):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def collect(self) -> Iterator[Metric]:
        seen = self._progress
        yield GaugeMetricFamily("hitl_gates_waiting", "Gates whose nodes wait.", seen.waiting)
        yield GaugeMetricFamily(
            "hitl_workflows_unreadable", "Workflows not as Argo writes them.", seen.unreadable
        )
        done = CounterMetricFamily("hitl_deliveries", "By what came of them.", labels=["result"])
        for each in Delivery:
            done.add_metric([each.name.lower()], seen.deliveries[each.value])
        yield done
        yield SummaryMetricFamily(
            "hitl_delivery_seconds",
            "From a decision to its node.",
            seen.deliveries[Delivery.RESUMED.value],
            seen.seconds,
        )
        wrong = CounterMetricFamily(
            "hitl_troubles", "Times a side did not answer, and bugs of the bridge.", labels=["side"]
        )
        for side in ("cluster", "ledger", "bridge"):
            wrong.add_metric([side], seen.troubles[side])
        yield wrong
        yield CounterMetricFamily("hitl_rounds", "Looks at the ledger.", seen.rounds)
