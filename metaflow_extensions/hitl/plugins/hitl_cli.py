"""`python flow.py hitl ...`: the `hitl` command, for this flow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

# Metaflow joins its commands with its own copy of click, and takes a group's name from its only
# command: any other click, or a second command, breaks unrelated commands for some hash seeds.
from metaflow._vendor import click


@click.group()
def cli() -> None:
    pass


@cli.command(
    name="hitl",
    help="Decide what waits for a person, and read what was decided.",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def hitl(ctx: Any, arguments: tuple[str, ...]) -> None:
    if arguments[:1] == ("open",):
        from .opening import opened

        ctx.exit(opened(ctx.obj, arguments[1:]))
    from bridge.cli.main import main

    prog = f"{Path(sys.argv[0]).name} hitl"
    ctx.exit(main(list(arguments), prog=prog, flow=ctx.obj.flow.name))


if __name__ == "__main__":  # as metaflow-hitl's own is started without a flow
    from bridge.cli.main import main

    sys.exit(main())
