"""`hitl resume` and `inject`: Argo's nodes and manifests."""

from __future__ import annotations

import os
from typing import Any

import click

from bridge.cli.session import Session, pass_session
from bridge.core.errors import Faults


@click.command()
@click.argument("gate", metavar="ID")
@pass_session
def resume(session: Session, gate: str) -> None:
    """Bring a recorded decision to the node of Argo that waits for it.

    Approved, the node succeeds; anything else, it fails. Doing it twice changes nothing.
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


@click.command()
@click.argument("manifests", nargs=-1, required=True, type=click.File("r", encoding="utf-8"))
@click.option(
    "--image",
    metavar="IMAGE",
    required=True,
    help="Of the pods that open and verify: it has the bridge.",
)
@pass_session
def inject(session: Session, manifests: tuple[Any, ...], image: str) -> None:
    """Put gates before the tasks of Argo workflows that an annotation names; print the result.

    The annotation is `approval-bridge/TASK`. Injecting twice changes nothing.
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
