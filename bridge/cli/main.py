"""The command line: parse, call one verb, print.

Heavy imports wait until a command needs them: `hitl --help` is little more than `import click`, and
`hitl list` little more than git.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Sequence

import click

from bridge.cli.argo import argo
from bridge.cli.decide import approve, reject, withdraw
from bridge.cli.gates import explain, list_, show
from bridge.cli.github import open_, sweep, tend
from bridge.cli.github_setup import github
from bridge.cli.github_try import try_
from bridge.cli.ledger import log, settle, verify_gate
from bridge.cli.ledger_coverage import coverage
from bridge.cli.ledger_verify import ledger
from bridge.cli.repository import doctor, init, policy
from bridge.cli.session import Session, pass_session
from bridge.core.errors import BridgeError, Faults

_INTERRUPTED = 130
#: Options of `hitl` itself, which people write behind the command.
_BEFORE = ("--ledger",)


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
            obj=Session(flow=flow),
        )
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption) and error.option_name in _BEFORE:
            first = f"{error.option_name} goes before the command: {prog} --ledger … list"
            error = click.UsageError(first, error.ctx)
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


_FORMER = {
    "inject": ("argo", "inject"),
    "resume": ("argo", "resume"),
    "open": ("github", "open"),
    "tend": ("github", "tend"),
    "sweep": ("github", "sweep"),
}


def _today(args: list[str]) -> list[str]:
    """The same call by the names of today: workflows, manifests and scripts keep the former."""
    if not args:
        return args
    name, *rest = args
    if name in _FORMER:
        return [*_FORMER[name], *rest]
    if name == "reconcile":
        others = [each for each in rest if each != "--watch"]
        return ["argo", "reconcile", *others] if "--watch" in rest else ["ledger", "settle", *rest]
    if name == "verify":
        # An empty ID is a variable that was not set: it must not prove the whole ledger instead.
        of_a_gate = any(not each.startswith("-") for each in rest)
        return ["ledger", "verify-gate" if of_a_gate else "verify", *rest]
    return args


class _ByTask(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order in which a person needs them, not in that of the alphabet."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        widest = max(map(len, self.commands))
        for title, commands in _TASKS.items():
            rows = [(f"{each.name:{widest}}", each.get_short_help_str(80)) for each in commands]
            with formatter.section(title):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        now = _today(args)
        if now != args and sys.stderr and sys.stderr.isatty() and not ctx.resilient_parsing:
            said, path = args[0], ctx.command_path
            click.echo(f"`{path} {said}` is now called `{path} {now[0]} {now[1]}`", err=True)
        return super().resolve_command(ctx, now)


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from bridge.core.crash_report import released

        click.echo(f"hitl {released()}")
        context.exit()


@click.group(
    cls=_ByTask,
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
@pass_session
def hitl(session: Session, ledger: str | None, verbose: bool) -> None:
    """Decide what waits for a person, and read what was decided.

    \b
    hitl list                              what waits
    hitl show 3fa9                         what is asked there
    hitl approve 3fa9 -i target=staging    let it run
    hitl reject 3fa9 --reason "too low"    end it

    ID is a gate's id, the start of it, or its whole name, such as Flow/run/step/task.
    """
    session.address = ledger
    if verbose or "HITL_LOG" in os.environ or "RUNNER_DEBUG" in os.environ:
        from bridge.core import log

        env = {**os.environ, "HITL_LEDGER": ledger} if ledger else os.environ
        (log.turn_on if verbose else log.turn_on_if_asked)(env)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script for your shell that completes commands and gates.

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


for _command in (open_, tend, sweep, try_):
    github.add_command(_command)
for _command in (coverage, verify_gate, settle):
    ledger.add_command(_command)
_TASKS = {
    "Decide": (list_, show, explain, approve, reject, withdraw, log),
    "Set up": (init, doctor, completion),
    "More": (github, argo, ledger, policy),
}
for _command in (each for commands in _TASKS.values() for each in commands):
    hitl.add_command(_command)


if __name__ == "__main__":
    sys.exit(main())
