"""`hitl argo`: manifests with gates, and decisions brought to the nodes that wait for them."""

from __future__ import annotations

import os
from typing import Any

import click

from bridge.cli.session import Session, gate_id, pass_session
from bridge.core.errors import Faults


@click.group()
def argo() -> None:
    """Put gates into Argo workflows, and resume them."""


@argo.command()
@gate_id
@pass_session
def resume(session: Session, gate: str) -> None:
    """Resume the node that waits for a decision.

    If the gate is approved, the node succeeds; if not, it fails. Doing it twice changes nothing.

    \b
    hitl argo resume 3fa9
    """
    from bridge import wiring
    from bridge.core.delivery import Delivery
    from bridge.gates.deliver import deliver

    cluster = wiring.cluster(session.settings)
    if cluster is None:
        from bridge.argo.kubernetes import Kubernetes

        cluster = Kubernetes(None, name=session.settings.cluster)
    found = deliver(cluster, session.gate(gate), session.now)
    click.echo(found.says)
    if found.delivery not in (Delivery.RESUMED, Delivery.ALREADY):
        raise click.exceptions.Exit(1)


@argo.command()
@click.argument("manifests", nargs=-1, required=True, type=click.File("r", encoding="utf-8"))
@click.option(
    "--image",
    metavar="IMAGE",
    required=True,
    help="Of the pods that open and verify: it has the bridge.",
)
@pass_session
def inject(session: Session, manifests: tuple[Any, ...], image: str) -> None:
    """Put gates before annotated tasks, and print the result.

    The annotation is `approval-bridge/TASK`. Injecting twice changes nothing.

    \b
    hitl argo inject --image IMAGE workflow.yaml > gated.yaml
    """
    from dataclasses import replace

    from bridge.argo.annotations import injected
    from bridge.argo.pod_settings import pods_from_environment

    env = {**os.environ, "HITL_LEDGER": session.address} if session.address else os.environ
    pods = replace(pods_from_environment(env), image=image)
    for file in manifests:
        try:
            made = injected(file.read(), file.name, pods)
        except UnicodeDecodeError:
            raise Faults(file.name, ["it is not UTF-8 text"]) from None
        for each in made.warnings:
            click.echo(f"{file.name}: {each}", err=True)
        click.echo(made.text, nl=False)
        if not made.gates:
            click.echo(
                f"{file.name} has no gate: it has no annotation approval-bridge/TASK", err=True
            )


@argo.command()
@click.option("--namespace", metavar="NAME", help="The namespace of the workflows. Default: all.")
@click.option(
    "--interval",
    default=3,
    show_default=True,
    type=click.IntRange(3, 3600),
    metavar="SECONDS",
    help="Time between two looks at the ledger, while a gate waits.",
)
@click.option("--listen", metavar="HOST:PORT", help="Serve health and metrics there.")
@pass_session
def reconcile(session: Session, namespace: str | None, interval: int, listen: str | None) -> None:
    """Bring decisions to Argo as they come, until you end it.

    It also settles what the clock or a crash left behind, as `hitl ledger settle` does once.

    \b
    hitl argo reconcile --namespace ml --listen 0.0.0.0:8080
    """
    import signal
    import time

    from bridge.argo.kubernetes import Kubernetes
    from bridge.gates.reconciler import TENDED, Watch
    from bridge.wiring import clock, existing_venue, venue_of

    def end(*_: object) -> None:
        raise SystemExit(0)

    settings = session.settings
    venue = existing_venue(settings)
    watch = Watch(
        Kubernetes(settings.kubeconfig, namespace, settings.cluster),
        venue,
        lambda request: venue_of(request, venue.ledger, venue.notices, os.environ),
        clock,
        lambda line: click.echo(f"{clock():%Y-%m-%dT%H:%M:%SZ} {line}", err=True),
    )
    signal.signal(signal.SIGTERM, end)
    if listen:
        from bridge.entrypoints.metrics import listening

        # A round takes as long as the interval, and a list of thousands some seconds more.
        at = listening(listen, watch.progress, clock, patience=3 * max(interval, TENDED) + 60)
        watch.tell(f"health and metrics at http://{at}")
    watch.tell(f"delivering what {venue.ledger.where} decides")
    watch.follow(interval, time.sleep)
