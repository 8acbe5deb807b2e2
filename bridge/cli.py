"""The command line: parse, call one verb, print. Heavy imports wait until a command needs them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import click

from bridge.errors import BridgeError


@dataclass
class _Top:
    ledger: str | None
    flow: str | None


def main(argv: Sequence[str] | None = None, *, prog: str = "hitl", flow: str | None = None) -> int:
    """Run one command and return its exit code. `flow`: `list` shows this flow's gates alone."""
    try:
        made = hitl.main(args=list(argv) if argv is not None else None, prog_name=prog,
                         standalone_mode=False, obj=_Top(None, flow))
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BridgeError as error:
        click.echo(f"{prog}: {error}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    return made if isinstance(made, int) else 0


@click.group()
@click.option("--ledger", metavar="PATH_OR_URL", help="The ledger; else HITL_LEDGER, else the project's.")
@click.pass_obj
def hitl(top: _Top, ledger: str | None) -> None:
    """Decide what waits for a person, and read what was decided."""
    top.ledger = ledger


@hitl.command("list")
@click.pass_obj
def list_(top: _Top) -> None:
    """The open gates."""
    for gate in _ledger(top).listing():
        if top.flow is None or gate.key.startswith(f"{top.flow}/"):
            click.echo(f"{gate.id}  {gate.key}  {gate.headline}")


@hitl.command()
@click.argument("gate")
@click.option("--input", "given", help="The whole input, as a JSON object.")
@click.option("--reason", default="")
@click.pass_obj
def approve(top: _Top, gate: str, given: str | None, reason: str) -> None:
    """Approve a gate."""
    import json

    _vote(top, gate, "approve", reason, json.loads(given) if given else None)


@hitl.command()
@click.argument("gate")
@click.option("--reason", required=True)
@click.pass_obj
def reject(top: _Top, gate: str, reason: str) -> None:
    """Reject a gate."""
    _vote(top, gate, "reject", reason, None)


def _vote(top: _Top, name: str, verdict: str, reason: str, inputs: dict[str, object] | None) -> None:
    from bridge.decide import decide
    from bridge.errors import NoSuchGate
    from bridge.identity import person
    from bridge.model import Channel, Evidence, Verdict, Vote
    from bridge.notices import Silent
    from bridge.records import digest_of
    from bridge.wiring import clock

    ledger = _ledger(top)
    standing = ledger.read(ledger.resolve(name))
    if standing is None:
        raise NoSuchGate(f"no gate is called {name!r}")
    vote = Vote(person(), Verdict(verdict), clock(), digest_of(standing.request), Channel.CLI,
                reason, inputs)
    evaluation, _ = decide(ledger, Silent(), standing, Evidence(clock(), (vote,)))
    click.echo(evaluation.reason)


def _ledger(top: _Top):  # type: ignore[no-untyped-def]
    import os
    from dataclasses import replace

    from bridge import wiring
    from bridge.settings import from_environment

    settings = from_environment(os.environ)
    if top.ledger:
        settings = replace(settings, ledger=top.ledger)
    return wiring.ledger(settings)


if __name__ == "__main__":
    sys.exit(main())
