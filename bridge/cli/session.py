"""What a command works with: settings, ledger and venue, and the arguments that commands share."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.output import shown
from bridge.core.errors import BridgeError, LedgerUnavailable, NoSuchGate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from bridge.core.model import ApprovalRequest, Standing
    from bridge.core.settings import Settings
    from bridge.gates.ports import Ledger, Notices
    from bridge.gates.recording import Deciding
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
        """Connected until the command ends."""
        from bridge.wiring import existing_ledger

        found = existing_ledger(self.settings)
        click.get_current_context().with_resource(found.connected())
        return found

    @cached_property
    def notices(self) -> Notices:
        from bridge.wiring import notices

        return notices(self.settings, self.ledger)

    @property
    def now(self) -> datetime:
        from bridge.wiring import clock

        return clock()

    def gate(self, name: str) -> Standing:
        """The gate of this name, settled first (and that is said) if its deadline has passed."""
        (found,) = self.gates([name])
        if isinstance(found, Exception):
            raise found
        return found

    def gates(self, names: Sequence[str]) -> list[Standing | Exception]:
        """The same of each name, or why there is none: read together, and settled together."""
        from bridge.gates.recording import record_each

        ids = [self._id_of(name) for name in names]
        several = [each for each in ids if isinstance(each, str)] if len(names) > 1 else []
        known = self.ledger.read_all(several) if several else {}
        found = zip(names, ids, strict=True)
        return record_each(self.ledger, [self._settled(name, each, known) for name, each in found])

    def _id_of(self, name: str) -> str | BridgeError:
        try:
            return self.ledger.resolve(name)
        except LedgerUnavailable:
            raise
        except BridgeError as error:
            return error

    def _settled(
        self, name: str, gate_id: str | BridgeError, known: Mapping[str, Standing]
    ) -> Deciding[Standing]:
        if isinstance(gate_id, BridgeError):
            raise gate_id
        standing = known.get(gate_id) or self.ledger.read(gate_id)
        if standing is None:
            raise NoSuchGate(f"no gate is called {name!r} in {self.ledger.where}: see `hitl list`")
        if standing.decision is None:
            standing = yield from self.venue_of(standing.request).settle(standing)
            say_settled(standing)
        self.forget_wait(standing)
        return standing

    def orphaned(self, gate_ids: Iterable[str]) -> frozenset[str]:
        """The gates at which a run of this machine waited that is gone."""
        from bridge.local.waiting_runs import orphaned

        return orphaned(self.settings.cache, gate_ids)

    def forget_wait(self, standing: Standing) -> None:
        """Of a decided gate nobody asks any more whether its run is gone."""
        if standing.decision:
            from bridge.local.waiting_runs import forget

            forget(self.settings.cache, standing.request.gate.id)

    def venue_of(self, request: ApprovalRequest) -> Venue:
        """Where this gate is decided."""
        from bridge.wiring import venue_of

        return venue_of(request, self.ledger, self.notices, os.environ)


def say_settled(standing: Standing, *, err: bool = True) -> None:
    if standing.decision:
        click.echo(f"settled {standing.request.gate.key}: {standing.decision.reason}", err=err)


def say_not_begun(where: str) -> None:
    """Of a ledger without a branch: it is new, or a repository that is none."""
    click.echo(
        f"hitl: {where} has no branch approvals: nothing was decided there yet, or it"
        " is not the ledger that you mean",
        err=True,
    )


pass_session = click.make_pass_decorator(Session)


def open_ids(context: click.Context, _: click.Parameter, typed: str) -> list[Any]:
    """For the shell's completion: the open gates, each with what it asks."""
    from click.shell_completion import CompletionItem

    from bridge.wiring import open_gates

    session = Session(address=context.find_root().params.get("ledger"))
    try:
        gates = open_gates(session.settings).gates
    except BridgeError:
        return []
    return [
        CompletionItem(gate.id, help=f"{gate.key}: {shown(gate.headline)}")
        for gate in gates
        if gate.id.startswith(typed)
    ]


gate_id = click.argument("gate", metavar="ID", shell_complete=open_ids)


class _GateId(click.types.StringParamType):
    def get_missing_message(self, param: click.Parameter, ctx: Any = None) -> str:  # noqa: ARG002
        return "`hitl list` shows the open gates."


gate_ids = click.argument(
    "gates", metavar="ID...", nargs=-1, required=True, shell_complete=open_ids, type=_GateId()
)
gate_ids_or_none = click.argument("gates", metavar="[ID...]", nargs=-1, shell_complete=open_ids)
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for a script.")
