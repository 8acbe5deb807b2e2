"""The command line for people who run a repository: parse, call one verb, print."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from bridge.cli.output import colour, line
from bridge.core.errors import BridgeError, Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bridge.core.model import ApprovalRequest
    from bridge.policy.policy_file import PolicyFile
    from bridge.setup.checks import Check

_file = click.argument("file", metavar="[FILE]", required=False, type=click.Path())


class _Namespace(click.Option):
    """Loads the name of its variable when it is parsed or shown: `hitl --help` does without the
    settings, which would cost it a tenth."""

    @property
    def envvar(self) -> str | Sequence[str] | None:
        from bridge.core.settings import ARGO_NAMESPACE

        return ARGO_NAMESPACE

    @envvar.setter
    def envvar(self, _: str | Sequence[str] | None) -> None:
        """click sets it as it makes the option."""


_namespace = click.option(
    "--namespace",
    cls=_Namespace,
    default="argo",
    show_default=True,
    show_envvar=True,
    help="Of the workflows on Argo.",
)


@click.group()
def policy() -> None:
    """Check, explain and try the policy file.

    Nothing here changes anything. The file is .github/approvals.yml of the repository around this
    folder. A gate is decided by the one on the default branch.
    """


@policy.command()
@_file
def validate(file: str | None) -> None:
    """List every fault of the policy file, with its line.

    The exit code is 1 if there is one.

    \b
    hitl policy validate
    """
    where = _chosen(file)
    try:
        parsed = _parsed(where)
    except Faults as error:
        for fault in error.faults:
            click.echo(line(fault), err=True)
        count = len(error.faults)
        click.echo(f"{count} fault{'' if count == 1 else 's'}: no gate can be decided", err=True)
        click.get_current_context().exit(1)
    count = len(parsed.entries)
    click.echo(f"{where}: {count} entr{'y' if count == 1 else 'ies'}, no fault")


@policy.command()
@_file
def explain(file: str | None) -> None:
    """Say the policy file in words.

    \b
    hitl policy explain
    """
    from bridge.policy.describe import in_words

    for each in in_words(_parsed(_chosen(file))):
        click.echo(line(each))


def _described(command: Callable[..., None]) -> Callable[..., None]:
    """The options that name a gate, or describe one."""
    options = [
        click.option("--gate", metavar="ID", help="A gate that was asked, with all that it says."),
        click.option("--flow", metavar="NAME", help="Else a gate of this flow …"),
        click.option("--step", metavar="NAME", help="… before this step …"),
        click.option("--environment", metavar="NAME", help="… in this environment …"),
        click.option("--label", "labels", metavar="NAME", multiple=True, help="… so labelled …"),
        click.option(
            "--artifact", "artifacts", metavar="NAME=VALUE", multiple=True, help="… showing this …"
        ),
        click.option("--initiator", metavar="USER", help="… in a run that this user started."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


class _Described(NamedTuple):
    gate: str | None
    flow: str | None
    step: str | None
    environment: str | None
    labels: tuple[str, ...]
    artifacts: tuple[str, ...]
    initiator: str | None

    def request(self) -> ApprovalRequest:
        rest = [name for name, said in self._asdict().items() if name != "gate" and said]
        if self.gate and rest:
            raise click.UsageError(f"--gate says all of it: leave out {', '.join(rest)}")
        return self._asked(self.gate) if self.gate else self._made_up()

    @staticmethod
    def _asked(name: str) -> ApprovalRequest:
        from bridge.core.errors import NoSuchGate
        from bridge.core.settings import from_environment
        from bridge.wiring import existing_ledger

        context = click.get_current_context().find_root()
        settings = from_environment({**os.environ, **_ledger_of(context)})
        ledger = existing_ledger(settings)
        with ledger.connected():
            standing = ledger.read(ledger.resolve(name))
        if standing is None:
            raise NoSuchGate(f"no gate is called {name!r} in {ledger.where}: see `hitl list`")
        return standing.request

    def _made_up(self) -> ApprovalRequest:
        from bridge.core.facts import started_by
        from bridge.core.model import ApprovalRequest as Request
        from bridge.core.model import Artifact, Declared, Gate, Subject
        from bridge.core.rules import Actors, Approvals, Policy
        from bridge.policy.checks import COMMIT
        from bridge.wiring import clock

        if not self.flow or not self.step:
            raise click.UsageError("which gate? Give --gate ID, or at least --flow and --step")
        return Request(
            gate=Gate("simulated", f"{self.flow}/0/{self.step}/0"),
            message="",
            policy=Policy(Approvals(Actors(anyone=True))),
            opened_at=clock(),
            facts=started_by(self.initiator),
            subject=Subject(
                self.flow,
                self.step,
                self.environment,
                self.labels,
                dict(map(_pair, self.artifacts)),
            ),
            declared=Declared(),
            artifacts=(Artifact(COMMIT, "str", "", value="0" * 40),),  # a commit, for its checks
        )


def _ledger_of(context: click.Context) -> dict[str, str]:
    from bridge.core.settings import LEDGER

    address = context.params.get("ledger")
    return {LEDGER: address} if address else {}


def _pair(text: str) -> tuple[str, Any]:
    from bridge.core.conditions import scalar

    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--artifact")
    plain = scalar(value)
    return name, value if plain is None else plain


@policy.command()
@_described
@click.option("--approver", "approvers", metavar="ACCOUNT", multiple=True, help="Suppose this.")
@click.option("--objector", "objectors", metavar="ACCOUNT", multiple=True, help="Suppose a /hold.")
@click.option(
    "--member",
    "members",
    metavar="ACCOUNT=GROUP",
    multiple=True,
    help="Suppose that the account is in a team (ann=acme/ml) or an organization, or has a"
    " permission (ann=maintain) or a role: those are GitHub's to say.",
)
@click.option("--check", "checks", metavar="NAME", multiple=True, help="Suppose it is green.")
@click.option("--file", "file", metavar="FILE", type=click.Path())
def simulate(
    approvers: tuple[str, ...],
    objectors: tuple[str, ...],
    members: tuple[str, ...],
    checks: tuple[str, ...],
    file: str | None,
    **described: Any,
) -> None:
    """Evaluate a gate as if these people had answered.

    It shows which entry of the policy the gate has. The exit code is 1 if it would not be approved.

    \b
    hitl policy simulate --flow Train --step deploy --approver ann
    """
    from bridge.core.evaluation import Outcome
    from bridge.policy.simulate import belonging
    from bridge.policy.simulate import simulate as simulated
    from bridge.render.request import explanation

    supposed: dict[str, list[Any]] = {}
    for account, groups in map(belonging, members):
        supposed.setdefault(account, []).extend(groups)
    request = _Described(**described).request()
    found = simulated(_parsed(_chosen(file)), request, approvers, supposed, objectors, checks)
    for each in found.selection:
        click.echo(f"{'✓' if each.met else '·'} {line(each.says)}")
    click.echo(explanation(found.evaluation, colour=colour()))
    if found.evaluation.outcome is not Outcome.APPROVED:
        click.get_current_context().exit(1)


# -- init ------------------------------------------------------------------------------------------


@click.command()
@click.option("--push", is_flag=True, help="Also push the ledger's branch to origin.")
@click.option("--overwrite", is_flag=True, help="Also write workflows that were changed by hand.")
@click.option(
    "--action", metavar="USES", help="Where the action is: its repository, folder and whole commit."
)
@click.option("--opener", metavar="SLUG", help="The GitHub App that opens gates.")
@click.option(
    "--kubernetes", is_flag=True, help="Write the manifests for a cluster, and only them."
)
@_namespace
@click.option("--image", metavar="IMAGE", help="What kubernetes/Containerfile is built as.")
def init(
    push: bool, overwrite: bool, action: str | None, opener: str | None, kubernetes: bool,
    namespace: str, image: str | None,
) -> None:  # fmt: skip
    """Write what a repository needs: policy, workflow, ledger.

    Run twice, it changes nothing; what you changed is kept. At the end stands what only a person
    can set; `hitl doctor` checks it.

    \b
    hitl init
    hitl init --kubernetes --image registry.example.com/approval-bridge:1
    """
    if kubernetes:
        _deploy(namespace, image, overwrite)
        return
    from pathlib import Path

    from bridge.core.settings import REPOSITORY, SERVER_URL
    from bridge.setup.action_address import action_address
    from bridge.setup.checkout import Checkout
    from bridge.setup.init import Filling, for_a_person
    from bridge.setup.init import init as make_ready

    checkout = Checkout(Path.cwd())
    server = os.environ.get(SERVER_URL) or "https://github.com"
    repository = os.environ.get(REPOSITORY) or checkout.repository(server)
    given = action_address(action, server) if action else None
    filling = Filling(given, opener, lambda: action_address(None, server))
    done = make_ready(checkout, filling, overwrite=overwrite)
    for each in done:
        place = f"{each.path} on the branch {each.shard}" if each.shard else each.path
        click.echo(f"{place}: {each.deed}")
    if push:
        checkout.push_ledger()
    if checkout.ledger_is_pushed():
        click.echo(f"The ledger is on {checkout.remote}: {', '.join(checkout.shards())}.")
    else:
        shards = " ".join(checkout.shards())
        click.echo(f"To push the ledger:  git push {checkout.remote} {shards}")
    click.echo("\n`hitl github setup` does all that is left with one command. By hand:")
    for number, says in enumerate(for_a_person(repository), 1):
        click.echo(click.wrap_text(f"{number}. {says}", 100, " ", "   "))


def _deploy(namespace: str, image: str | None, overwrite: bool) -> None:
    from pathlib import Path

    from bridge.core.settings import CLUSTER, FORGE, LEDGER, SERVER_URL
    from bridge.setup.action_address import own_source
    from bridge.setup.checkout import Checkout
    from bridge.setup.init import deploy
    from bridge.setup.kubernetes_manifests import Deployed

    if not image:
        raise click.UsageError(
            "name the image, in a registry of yours: --image registry.example.com/approval-bridge:1"
        )
    checkout = Checkout(Path.cwd())
    server = os.environ.get(SERVER_URL) or "https://github.com"
    ledger = os.environ.get(LEDGER) or ""
    if not ledger and (repository := checkout.repository(server)):
        ledger = f"{FORGE}{repository}"
    cluster = os.environ.get(CLUSTER, "")
    source = own_source(server)
    wanted = Deployed(namespace, image, ledger, cluster, source or "SOURCE")
    for each in deploy(checkout, wanted, overwrite=overwrite):
        click.echo(f"{each.path}: {each.deed}")
    click.echo(
        f"\nTo deliver the decisions of {ledger} to the workflows in {namespace}:\n"
        f"  1. the bridge's wheel: pip wheel --no-deps --wheel-dir kubernetes {wanted.source}\n"
        f"  2. build the image:    docker build -t {image} -f kubernetes/Containerfile kubernetes\n"
        f"  3. who reads:          kubectl -n {namespace} create secret generic hitl-reader"
        " --from-literal=HITL_TOKEN=…\n"
        "  4. and go:             kubectl apply -k kubernetes"
    )
    if not source:
        click.echo(
            "SOURCE is the bridge's repository at a commit (git+https://…@COMMIT), or its checkout"
        )


# -- doctor ----------------------------------------------------------------------------------------


@click.command()
@click.option("--kubernetes", is_flag=True, help="Of the cluster that KUBECONFIG names, instead.")
@_namespace
@click.option("--fix", is_flag=True, help="Do what `hitl github setup` can do about it.")
def doctor(kubernetes: bool, namespace: str, fix: bool) -> None:
    """Check that gates here are safe, and say how to fix what is not.

    The exit code is 1 if a gate would not be safe.

    GITHUB_REPOSITORY, or the remote of this checkout, says which repository; GH_TOKEN,
    GITHUB_TOKEN, HITL_TOKEN or `gh auth token` is the token of somebody who administers it.

    \b
    hitl doctor
    hitl doctor --fix
    hitl doctor --kubernetes --namespace ml
    """
    from bridge.setup.checks import is_safe

    if fix and kubernetes:
        raise click.UsageError("--fix mends a repository: leave --kubernetes out")
    checks = _of_cluster(namespace) if kubernetes else _of_repository()
    _show_checks(checks)
    waits = None
    if fix:
        from bridge.cli.github_setup import fix as mend

        waits = mend(checks)
    if waits is not None:
        checks = _of_repository()
        click.echo()
        _show_checks(checks)
    if waits:
        click.echo("until you merge the pull request, no gate can be decided", err=True)
    if not is_safe(checks):
        what = "nothing is delivered there" if kubernetes else "a gate here is not safe"
        click.echo(f"{what}, or not known to be", err=True)
        if not kubernetes and not fix:
            click.echo("`hitl doctor --fix` shows what it can do about it, and asks", err=True)
    if waits or not is_safe(checks):
        click.get_current_context().exit(1)


def _show_checks(checks: Sequence[Check]) -> None:
    from bridge.setup.checks import Level

    for each in checks:
        shade = {Level.FINE: "green", Level.NOTE: "yellow"}.get(each.level, "red")
        mark = click.style(each.level, fg=shade) if colour() else each.level
        click.echo(f"{mark} {each.name}: {line(each.says)}")
        if each.fix:
            click.echo(f"    {line(each.fix)}")


def _of_repository() -> tuple[Check, ...]:
    from bridge.cli.github_target import target
    from bridge.setup.doctor import examine
    from bridge.setup.github_survey import GitHubSurvey
    from bridge.wiring import clock

    return examine(GitHubSurvey(target()), clock())


def _of_cluster(namespace: str) -> tuple[Check, ...]:
    from bridge.argo.kubernetes import Kubernetes
    from bridge.setup.argo_doctor import examine_cluster

    there = Kubernetes(os.environ.get("KUBECONFIG"))
    return examine_cluster(there.survey(namespace))


# -- the file --------------------------------------------------------------------------------------


def _chosen(file: str | None) -> Path:
    """The file that is named, else the policy file of the repository around this folder."""
    from pathlib import Path

    from bridge.policy.policy_file import PATH

    if file:
        return Path(file)
    here = Path.cwd()
    top = next((each for each in (here, *here.parents) if (each / ".git").exists()), here)
    path = top / PATH
    if not path.is_file():
        raise BridgeError(f"{top} has no {PATH}: `hitl init` writes a first one")
    return path.relative_to(here) if path.is_relative_to(here) else path


def _parsed(path: Path) -> PolicyFile:
    from bridge.policy.policy_file import parse

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Faults(str(path), [f"{path}:1: it is no UTF-8 text"]) from None
    except OSError as error:
        raise BridgeError(f"{path} cannot be read: {error.strerror}") from None
    return parse(text, str(path))
