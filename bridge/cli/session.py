"""What a command works with: settings, ledger and venue, and the arguments that commands share."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.output import shown
from bridge.core.errors import BridgeError, NoSuchGate

if TYPE_CHECKING:
    from datetime import datetime

    from bridge.core.model import ApprovalRequest, Standing
    from bridge.core.settings import Settings
    from bridge.gates.ports import Ledger, Notices
    from bridge.gates.venue import Venue


class Session:
    """Made for one command, each part when it is first needed."""

    def __init__(self, flow: str | None = None, address: str | None = None) -> None:
        self.flow = flow
        self.address = address  # what --ledger said

    @cached_property
    def settings(self) -> Settings:
        from bridge.core.settings import LEDGER, from_environment

        told = {LEDGER: self.address} if self.address else {}
        return from_environment({**os.environ, **told})

    @cached_property
    def ledger(self) -> Ledger:
        from bridge.wiring import existing_ledger

        return existing_ledger(self.settings)

    @cached_property
    def notices(self) -> Notices:
        from bridge.wiring import notices

        return notices(self.settings, self.ledger)

    @property
    def now(self) -> datetime:
        from bridge.wiring import clock

        return clock()

    def gate(self, name: str) -> Standing:
        """The gate of this name, settled first (and that is said) where its deadline has passed."""
        standing = self.ledger.read(self.ledger.resolve(name))
        if standing is None:
            raise NoSuchGate(f"no gate is called {name!r} in {self.ledger.where}: see `hitl list`")
        if standing.decision:
            return standing
        after = self.venue_of(standing.request).settle(standing)
        if after.decision:
            say_settled(after)
        return after

    def venue_of(self, request: ApprovalRequest) -> Venue:
        """Where this gate is decided."""
        from bridge.wiring import venue_of

        return venue_of(request, self.ledger, self.notices, os.environ)


def say_settled(standing: Standing, *, err: bool = True) -> None:
    if standing.decision:
        click.echo(f"settled {standing.request.gate.key}: {standing.decision.reason}", err=err)


pass_session = click.make_pass_decorator(Session)


def open_ids(context: click.Context, _: click.Parameter, typed: str) -> list[Any]:
    """For the shell's completion: the open gates, each with what it asks."""
    from click.shell_completion import CompletionItem

    session = Session(address=context.find_root().params.get("ledger"))
    try:
        gates = session.ledger.listing().gates
    except BridgeError:
        return []
    return [
        CompletionItem(gate.id, help=f"{gate.key}: {shown(gate.headline)}")
        for gate in gates
        if gate.id.startswith(typed)
    ]


gate_id = click.argument("gate", metavar="ID", shell_complete=open_ids)
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for a script.")
