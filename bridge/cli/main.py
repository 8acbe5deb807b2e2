"""The command line: parse, call one verb, print.

Heavy imports wait until a command needs them: `hitl --help` is little more than `import click`, and
`hitl list` little more than git.
"""

from __future__ import annotations

import errno
import gc
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.github import open_, sweep, tend
from bridge.cli.repository import doctor, init, policy
from bridge.core.errors import (
    AlreadyDecided,
    BridgeError,
    Faults,
    LedgerCorrupt,
    NoLedger,
    NoSuchGate,
)

if TYPE_CHECKING:
    from datetime import datetime

    from bridge.core.evaluation import Verdict
    from bridge.core.model import ApprovalRequest, OpenGate, Recorded, Standing
    from bridge.core.settings import Settings
    from bridge.gates.ports import Ledger, Notices
    from bridge.gates.venue import Venue

_INTERRUPTED = 130
_EMAIL = re.compile(r" <[^<>]*>")


def main(argv: Sequence[str] | None = None, *, prog: str = "hitl", flow: str | None = None) -> int:
    """Run one command and return its exit code.

    `prog` is what the person typed before the arguments; with `flow`, `list` shows that flow's
    gates alone. What went wrong is one sentence on stderr, and never an exception.
    """
    # A command is short: collecting while its modules load costs a twentieth, and frees nothing.
    gc.set_threshold(50_000)
    try:
        # Not standing alone, click hands back what a command left with.
        code = hitl.main(
            args=None if argv is None else list(argv),
            prog_name=prog,
            standalone_mode=False,
            obj=_Desk(flow=flow),
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BridgeError as error:
        _complain(prog, error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - no traceback reaches a person
        return _unexpected(prog, error)
    return code if isinstance(code, int) else 0


def _complain(prog: str, error: BridgeError) -> None:
    if isinstance(error, Faults):
        click.echo(f"{prog}: {error.subject}:", err=True)
        for fault in error.faults:
            click.echo(f"  - {fault}", err=True)
    else:
        click.echo(f"{prog}: {error}", err=True)


def _unexpected(prog: str, error: Exception) -> int:
    # The ledger words its own full disk; what comes up here is that of a redirected output.
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        click.echo(f"{prog}: the output could not be written: {error.strerror}", err=True)
        return 1
    from bridge.core.crash_report import EXIT_BUG, report

    click.echo(f"{prog}: {report(error, os.environ)}", err=True)
    return EXIT_BUG


# -- what the commands work with -----------------------------------------------------------------


class _Desk:
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
            _say_settled(after)
        return after

    def venue_of(self, request: ApprovalRequest) -> Venue:
        """Where this gate is decided."""
        from bridge.wiring import venue_of

        return venue_of(request, self.ledger, self.notices, os.environ)


def _say_settled(standing: Standing, *, err: bool = True) -> None:
    if standing.decision:
        click.echo(f"settled {standing.request.gate.key}: {standing.decision.reason}", err=err)


_pass_desk = click.make_pass_decorator(_Desk)


def _open_ids(context: click.Context, _: click.Parameter, typed: str) -> list[Any]:
    """For the shell's completion: the open gates, each with what it asks."""
    from click.shell_completion import CompletionItem

    desk = _Desk(address=context.find_root().params.get("ledger"))
    try:
        gates = desk.ledger.listing()
    except BridgeError:
        return []
    return [
        CompletionItem(gate.id, help=f"{gate.key}: {_shown(gate.headline)}")
        for gate in gates
        if gate.id.startswith(typed)
    ]


_gate = click.argument("gate", metavar="ID", shell_complete=_open_ids)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for a script.")


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order in which a person needs them, not in that of the alphabet."""
        return list(self.commands)


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from bridge.core.crash_report import released

        click.echo(f"hitl {released()}")
        context.exit()


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Exit codes:
  0  done                           7    the ledger is not to be trusted
  1  something is wrong, see above  8    GitHub cannot be used
  2  wrong usage or input           9    the cluster cannot be used
  3  no such gate                   70   a bug of the bridge
  4  you may not decide this gate   130  interrupted
  5  decided otherwise already      202  the gated step must not run
  6  the ledger cannot be used

Environment: HITL_LEDGER, HITL_CACHE, HITL_ENVIRONMENT, HITL_SIGN,
METAFLOW_HITL_APPRISE_URLS and others: see docs/cli.md.""",
)
@click.option(
    "--ledger",
    metavar="PATH_OR_URL",
    help="The ledger. Else HITL_LEDGER, else the one of the project around this folder.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show each call of git and GitHub on stderr.")
@_pass_desk
def hitl(desk: _Desk, ledger: str | None, verbose: bool) -> None:
    """Decide what waits for a person, and read what was decided.

    \b
    hitl list                              what waits
    hitl show 3fa9                         what is asked there
    hitl approve 3fa9 -i target=staging    let it run
    hitl reject 3fa9 --reason "too low"    end it

    ID is a gate's id, the start of it, or its whole name, such as Flow/run/step/task.
    """
    desk.address = ledger
    if verbose or "HITL_LOG" in os.environ or "RUNNER_DEBUG" in os.environ:
        from bridge.core import log

        env = {**os.environ, "HITL_LEDGER": ledger} if ledger else os.environ
        (log.turn_on if verbose else log.turn_on_if_asked)(env)


# -- reading -------------------------------------------------------------------------------------


@hitl.command("list")
@_as_json
@_pass_desk
def list_(desk: _Desk, as_json: bool) -> None:
    """The open gates, oldest first."""
    gates = _open_gates(desk)
    if as_json:
        _print_json([_gate_json(gate) for gate in gates])
    elif gates:
        _print_gates(gates, desk.now)
    else:
        whose = f" of {desk.flow}" if desk.flow else ""
        click.echo(
            f"No gate{whose} is open. A flow that reaches an approval opens one;"
            " `hitl log` shows what was decided."
        )


def _open_gates(desk: _Desk) -> list[OpenGate]:
    try:
        gates = desk.ledger.listing()
    except NoLedger:
        return []
    settled = set()
    if any(gate.expires_at and gate.expires_at <= desk.now for gate in gates):
        settled = _settle_overdue(desk, gates)
    return [
        gate
        for gate in gates
        if gate.id not in settled and (not desk.flow or gate.key.startswith(f"{desk.flow}/"))
    ]


def _settle_overdue(desk: _Desk, gates: tuple[OpenGate, ...]) -> set[str]:
    from bridge.gates.settle import settle_overdue

    settled = set()
    try:
        for standing in settle_overdue(desk.ledger, desk.venue_of, gates, desk.now):
            _say_settled(standing)
            settled.add(standing.request.gate.id)
    except BridgeError as error:  # who may only read may still look
        click.echo(f"what expired could not be settled: {error}", err=True)
    return settled


def _print_gates(gates: list[OpenGate], now: datetime) -> None:
    from bridge.core.durations import relative

    rows = [
        (
            gate.id,
            relative(gate.opened_at, now),
            relative(gate.expires_at, now) if gate.expires_at else "never",
            _shown(gate.key),
            _shown(gate.headline),
        )
        for gate in gates
    ]
    _print_table(("ID", "ASKED", "DEADLINE", "GATE", "QUESTION"), rows)


def _gate_json(gate: OpenGate) -> dict[str, Any]:
    from bridge.core.timestamps import moment_out

    return {
        "id": gate.id,
        "key": gate.key,
        "question": gate.headline,
        "opened_at": moment_out(gate.opened_at),
        "expires_at": moment_out(gate.expires_at) if gate.expires_at else None,
        "initiator": gate.initiator,
    }


@hitl.command()
@_gate
@_as_json
@_pass_desk
def show(desk: _Desk, gate: str, as_json: bool) -> None:
    """What is asked, what was decided, and how to read it in git."""
    standing = desk.gate(gate)
    if as_json:
        _print_json(_standing_json(desk, standing))
        return
    from bridge.render import suggested_commands
    from bridge.render.request import terminal

    click.echo(
        terminal(
            standing.request, colour=_colour(), width=_width(), now=desk.now, standing=standing
        )
    )
    click.echo()
    if standing.decision is None:
        try:
            _explain_open(desk, standing)
        except BridgeError as error:  # the ledger could be read, and is what was asked for
            click.echo(f"where it stands cannot be seen: {error}", err=True)
    if standing.decision is None:
        click.echo(f"To approve:  {suggested_commands.approve(standing.request, desk.address)}")
        reject_with = suggested_commands.command("reject", standing.request.gate.id, desk.address)
        click.echo(f"To reject:   {reject_with} --reason …")
    for line in suggested_commands.in_git(standing, desk.ledger.where, is_path=desk.ledger.is_path):
        click.echo(f"In git:      {line}")


def _standing_json(desk: _Desk, standing: Standing) -> dict[str, Any]:
    from bridge.core.records import decision_out, request_out
    from bridge.core.yaml_text import load

    decision = standing.decision
    return {
        "id": standing.request.gate.id,
        "key": standing.request.gate.key,
        "outcome": decision.outcome.value if decision else "pending",
        "request": load(request_out(standing.request), "request"),
        "decision": load(decision_out(decision), "decision") if decision else None,
        "ledger": desk.ledger.where,
        "commit": standing.commit,
    }


@hitl.command()
@_gate
@_pass_desk
def explain(desk: _Desk, gate: str) -> None:
    """Where a gate stands and why, as a tree of reasons."""
    from bridge.core.evaluation import Outcome
    from bridge.policy.evaluate import evaluate
    from bridge.render.request import explanation

    standing = desk.gate(gate)
    decision = standing.decision
    if decision and decision.outcome is Outcome.WITHDRAWN:
        click.echo(f"withdrawn: {decision.reason}")
        return
    if decision is None:
        _explain_open(desk, standing)
        return
    click.echo(explanation(evaluate(standing.request, decision.evidence), colour=_colour()))


def _explain_open(desk: _Desk, standing: Standing) -> None:
    """An open gate, judged as it would be now."""
    from bridge.render.request import explanation

    found = desk.venue_of(standing.request).explain(standing)
    if found.evaluation:
        click.echo(explanation(found.evaluation, colour=_colour()))
    else:
        click.echo(f"pending: {_shown(found.trouble)}")
    if found.address:
        click.echo(f"  to answer: {found.address}")


@hitl.command()
@click.option(
    "-n",
    "limit",
    metavar="N",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="At most so many.",
)
@_as_json
@_pass_desk
def log(desk: _Desk, limit: int, as_json: bool) -> None:
    """The recorded decisions, newest first."""
    try:
        found = desk.ledger.history(limit)
    except NoLedger:
        found = ()
    if as_json:
        _print_json([_recorded_json(each) for each in found])
    elif found:
        rows = [
            (
                each.id,
                each.outcome.value,
                f"{each.decided_at:%Y-%m-%d %H:%M}",
                _shown(_EMAIL.sub("", each.approvers)) or f"the {each.by.value}",
                _shown(each.key),
                _shown(each.headline),
            )
            for each in found
        ]
        _print_table(("ID", "OUTCOME", "DECIDED (UTC)", "BY", "GATE", "QUESTION"), rows)
    else:
        click.echo("Nothing was decided yet. `hitl list` shows what waits.")


def _recorded_json(recorded: Recorded) -> dict[str, Any]:
    from bridge.core.timestamps import moment_out

    return {
        "id": recorded.id,
        "key": recorded.key,
        "question": recorded.headline,
        "outcome": recorded.outcome.value,
        "by": recorded.by.value,
        "approvers": recorded.approvers,
        "decided_at": moment_out(recorded.decided_at),
        "commit": recorded.commit,
    }


# -- deciding ------------------------------------------------------------------------------------


@hitl.command()
@_gate
@click.option("--input", "text", metavar="JSON", help="The whole input, as one JSON object.")
@click.option(
    "-i", "pairs", metavar="KEY=VALUE", multiple=True, help="One field of the input; once for each."
)
@click.option("--reason", metavar="TEXT", default="", help="Goes into the record.")
@_pass_desk
def approve(desk: _Desk, gate: str, text: str | None, pairs: tuple[str, ...], reason: str) -> None:
    """Approve a gate: the run goes on.

    `hitl show ID` tells what input it asks for.
    """
    from bridge.core.evaluation import Verdict

    def given(standing: Standing) -> dict[str, Any] | None:
        from bridge.core import input_fields
        from bridge.render import suggested_commands

        schema = standing.request.schema
        try:
            return (
                input_fields.read(schema, text=text, pairs=pairs)
                if schema or text or pairs
                else None
            )
        except Faults as error:
            again = suggested_commands.approve(standing.request, desk.address)
            raise Faults(
                f"{error.subject} was not accepted, and {standing.request.gate.key} stays open",
                (*error.faults, f"once corrected: {again}"),
            ) from None

    _vote(desk, gate, Verdict.APPROVE, reason, given)


@hitl.command()
@_gate
@click.option("--reason", metavar="TEXT", required=True, help="Goes into the record.")
@_pass_desk
def reject(desk: _Desk, gate: str, reason: str) -> None:
    """Reject a gate: the run ends there.

    Only a new run can ask again.
    """
    from bridge.core.evaluation import Verdict

    if not reason.strip():
        raise click.BadParameter("say why", param_hint="--reason")
    _vote(desk, gate, Verdict.REJECT, reason, lambda _: None)


def _vote(
    desk: _Desk,
    name: str,
    verdict: Verdict,
    reason: str,
    given: Callable[[Standing], dict[str, Any] | None],
) -> None:
    from bridge.gates.venue import Ballot

    standing = desk.gate(name)
    if standing.decision:
        _already(standing, verdict)
        return
    ballot = Ballot(verdict, reason, given(standing))
    voted = desk.venue_of(standing.request).vote(standing, ballot)
    key, decision = standing.request.gate.key, voted.standing.decision
    if voted.posted:
        click.echo(f"{key}: posted as your own answer at {voted.posted}")
        click.echo("The bridge replies there if it does not count; nothing is recorded until then.")
    elif decision and voted.vote in decision.votes:
        from bridge.render import suggested_commands

        click.echo(f"{key}: {_shown(decision.reason)}")
        look = suggested_commands.command("show", standing.request.gate.id, desk.address)
        click.echo(f"Recorded; to read it back: {look}")
    else:
        _already(voted.standing, verdict)


def _already(standing: Standing, verdict: Verdict) -> None:
    """Saying again what one has said is no fault; anything else came too late."""
    from bridge.local.identity import person
    from bridge.policy.approvers import same_person

    me, decision = person(), standing.decision
    if decision is None:
        return
    mine = any(same_person(vote.actor, me) and vote.verdict is verdict for vote in decision.votes)
    says = f"{standing.request.gate.key} was {_shown(decision.reason)}"
    if not decision.votes:
        says = f"{standing.request.gate.key} is {decision.outcome.value}: {decision.reason}"
    when = f"{says} ({decision.decided_at:%Y-%m-%d %H:%M:%S} UTC)"
    if not mine:
        raise AlreadyDecided(f"{when}; the first decision stands, and only a new run asks again")
    click.echo(f"{when}; nothing to do")


# -- keeping house -------------------------------------------------------------------------------


@hitl.command()
@click.argument("gate", metavar="[ID]", required=False, shell_complete=_open_ids)
@click.option(
    "--signed",
    is_flag=True,
    help="Ask for a good signature too, on every decision since the first signed one.",
)
@_pass_desk
def verify(desk: _Desk, gate: str | None, signed: bool) -> None:
    """Prove the ledger, or that one gate's step may run.

    Without ID the whole ledger is read, commit by commit, and every fault is listed.
    """
    if gate is not None:  # an empty one is a variable that was not set, and proves nothing
        standing = desk.gate(gate)
        decision = desk.venue_of(standing.request).verify(standing.request.draft)
        click.echo(f"{standing.request.gate.key}: {_shown(decision.reason)}; the record holds")
        return
    from bridge.gates.audit import audit

    result = audit(desk.ledger, signed=signed)
    for fault in result.faults:
        click.echo(f"  - {_shown(fault)}", err=True)
    counted = f"{result.decisions} decision{'' if result.decisions == 1 else 's'}"
    if result.faults:
        raise LedgerCorrupt(
            f"{desk.ledger.where}: {counted}, {len(result.faults)} faults; it is not to be trusted"
        )
    click.echo(f"{desk.ledger.where}: {counted}, no fault")


@hitl.command()
@click.option("--watch", is_flag=True, help="Go on, and bring decisions to Argo as they come.")
@click.option("--namespace", metavar="NAME", help="With --watch: of the workflows; else all.")
@click.option(
    "--interval",
    default=30,
    show_default=True,
    type=click.IntRange(1, 3600),
    metavar="SECONDS",
    help="With --watch: between two looks at the ledger.",
)
@click.option("--listen", metavar="HOST:PORT", help="With --watch: for health and metrics.")
@_pass_desk
def reconcile(
    desk: _Desk, watch: bool, namespace: str | None, interval: int, listen: str | None
) -> None:  # fmt: skip
    """Settle what the clock or a crash left behind."""
    from bridge.gates.settle import reconcile as settle_all
    from bridge.wiring import existing_venue

    if watch:
        _watch(desk, namespace, interval, listen)
        return
    settled = False
    with suppress(NoLedger):
        for standing in settle_all(existing_venue(desk.settings), desk.venue_of):
            _say_settled(standing, err=False)
            settled = True
    if not settled:
        click.echo("Nothing to settle.")


def _watch(desk: _Desk, namespace: str | None, interval: int, listen: str | None) -> None:
    import signal
    import time

    from bridge.argo.kubernetes import Kubernetes
    from bridge.gates.reconciler import Watch
    from bridge.wiring import clock, existing_venue

    def end(*_: object) -> None:
        raise SystemExit(0)

    settings = desk.settings
    watch = Watch(
        Kubernetes(settings.kubeconfig, namespace, settings.cluster),
        existing_venue(settings),
        desk.venue_of,
        clock,
        lambda line: click.echo(f"{clock():%Y-%m-%dT%H:%M:%SZ} {line}", err=True),
    )
    signal.signal(signal.SIGTERM, end)
    if listen:
        from bridge.entrypoints.metrics import listening

        # A round takes as long as the interval, and a list of thousands some seconds more.
        at = listening(listen, watch.progress, clock, patience=3 * interval + 60)
        watch.tell(f"health and metrics at http://{at}")
    watch.tell(f"delivering what {desk.ledger.where} decides")
    watch.follow(interval, time.sleep)


@hitl.command()
@click.argument("gate", metavar="ID")
@_pass_desk
def resume(desk: _Desk, gate: str) -> None:
    """Bring a recorded decision to the node of Argo that waits for it.

    Approved, the node succeeds; anything else, it fails. Doing it twice changes nothing.
    """
    from bridge import wiring
    from bridge.core.delivery import Delivery
    from bridge.gates.deliver import deliver

    cluster = wiring.cluster(desk.settings)
    if cluster is None:
        from bridge.argo.kubernetes import Kubernetes

        cluster = Kubernetes(None, name=desk.settings.cluster)
    found = deliver(cluster, desk.gate(gate), desk.now)
    click.echo(found.says)
    if found.delivery not in (Delivery.RESUMED, Delivery.ALREADY):
        raise click.exceptions.Exit(1)


@hitl.command()
@click.argument("manifests", nargs=-1, required=True, type=click.File("r", encoding="utf-8"))
@click.option("--image", metavar="IMAGE", help="Of the pods that open and verify.")
@click.option(
    "--no-setup", is_flag=True, help="That image has the bridge: install nothing as a pod starts."
)
@_pass_desk
def inject(desk: _Desk, manifests: tuple[Any, ...], image: str | None, no_setup: bool) -> None:
    """Put gates before the tasks of Argo workflows that an annotation names; print the result.

    The annotation is `approval-bridge/TASK`. Injecting twice changes nothing.
    """
    from dataclasses import replace

    from bridge.argo.annotations import injected
    from bridge.argo.pod_settings import install, pods_from_environment

    env = {**os.environ, "HITL_LEDGER": desk.address} if desk.address else os.environ
    pods = pods_from_environment(env)
    pods = replace(pods, image=image or pods.image, setup="" if no_setup else install())
    for file in manifests:
        click.echo(injected(file.read(), file.name, pods), nl=False)


@hitl.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that completes commands and open gates.

    \b
    bash, in ~/.bashrc:    eval "$(hitl completion bash)"
    zsh, in ~/.zshrc:      eval "$(hitl completion zsh)"
    fish, in config.fish:  hitl completion fish | source
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    root = context.find_root()
    if made is not None:
        click.echo(made(root.command, {}, "hitl", "_HITL_COMPLETE").source())


for _command in (open_, tend, sweep, policy, init, doctor):
    hitl.add_command(_command)


# -- printing ------------------------------------------------------------------------------------


def _on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()  # None: it was closed by the caller


def _colour() -> bool:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return _on_terminal() and not plain


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((100, 24)).columns


def _shown(text: str) -> str:
    """Other people's text on one line, harmless to a terminal."""
    from bridge.core.sanitize import one_line

    return one_line(text)


def _print_json(value: Any) -> None:
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _print_table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Aligned columns; on a terminal a line is cut where the terminal ends."""
    from bridge.core.sanitize import columns, cut

    rows = [header, *rows]
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        line = "  ".join(cell + " " * (width - columns(cell)) for cell, width in cells).rstrip()
        if _on_terminal():
            line = cut(line, _width())
        if _colour():
            if row is header:
                line = click.style(line, bold=True)
            else:
                line = click.style(row[0], fg="cyan") + line.removeprefix(row[0])
        click.echo(line)


if __name__ == "__main__":
    sys.exit(main())
