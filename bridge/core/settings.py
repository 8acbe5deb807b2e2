"""The environment, parsed once, every fault at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from bridge.core.errors import Faults
from bridge.core.remote_url import fault_of

# Not when it runs: `hitl --help` needs a name of this module, and would load every noun with it.
if TYPE_CHECKING:
    from bridge.core.decision_keys import DecisionKey
    from bridge.core.delivery import Workflow
    from bridge.core.model import Place

#: The variables of metaflow-hitl keep their names.
APPRISE_URLS = "METAFLOW_HITL_APPRISE_URLS"
#: Slack's own form of an address, which Apprise takes as it is.
SLACK_WEBHOOK = "METAFLOW_HITL_SLACK_WEBHOOK"
ARGO_UI_URL = "METAFLOW_HITL_ARGO_UI_URL"
ARGO_SERVER = "HITL_ARGO_SERVER"
ARGO_TOKEN = "HITL_ARGO_TOKEN"  # noqa: S105 - a name
KUBECONFIG = "KUBECONFIG"
LEDGER = "HITL_LEDGER"
CACHE = "HITL_CACHE"
ENVIRONMENT = "HITL_ENVIRONMENT"
LABELS = "HITL_LABELS"
#: Begins a HITL_LEDGER that names a repository on GitHub: gates are asked there.
FORGE = "github:"
#: GitHub Actions sets these four; on Enterprise Server they name that server.
API_URL = "GITHUB_API_URL"
GRAPHQL_URL = "GITHUB_GRAPHQL_URL"
SERVER_URL = "GITHUB_SERVER_URL"
REPOSITORY = "GITHUB_REPOSITORY"
TOKENS = ("HITL_TOKEN", "GITHUB_TOKEN", "GH_TOKEN")
APP_ID = "HITL_APP_ID"
APP_KEY = "HITL_APP_KEY"
VOICES = "HITL_VOICES"
SIGN = "HITL_SIGN"
#: The public keys by which decisions are checked, and the private one with which they are signed.
KEYS = "HITL_KEYS"
SIGNING_KEY = "HITL_SIGNING_KEY"
LOG = "HITL_LOG"
#: GitHub's runner sets it to 1 if a person runs a job again with debug logging.
RUNNER_DEBUG = "RUNNER_DEBUG"
#: `namespace/name/uid`, in the pods of a workflow that has gates.
WORKFLOW = "HITL_WORKFLOW"
#: What this cluster is called, if several have gates in one ledger.
CLUSTER = "HITL_CLUSTER"
#: Where gates are deployed: the Kubernetes Secrets of who opens and who reads, and whether pods are
#: brought the Python that a gate needs.
OPENER_SECRET = "HITL_OPENER_SECRET"  # noqa: S105 - a name
READER_SECRET = "HITL_READER_SECRET"  # noqa: S105 - a name
BRING = "HITL_BRING"
#: The namespace of `hitl init --kubernetes` and `hitl doctor --kubernetes`.
ARGO_NAMESPACE = "METAFLOW_HITL_ARGO_NAMESPACE"

# The bridge sets these for itself: no user does.

#: The action's inputs.
MODE, NUMBER, GATE_ID = "HITL_MODE", "HITL_NUMBER", "HITL_GATE_ID"
GATE, MESSAGE, INPUTS = "HITL_GATE", "HITL_MESSAGE", "HITL_INPUTS"
VALUES, FILES = "HITL_VALUES", "HITL_FILES"
#: In the pods of a plain workflow: what the gate asks, the workflow's labels as a JSON object, and
#: the folder for what the pod hands on.
ASKED = "HITL_ASKED"
LABELLED = "HITL_WORKFLOW_LABELS"
OUT = "HITL_OUT"
#: In the pod that opens a gate: the full name of its node.
NODE = "HITL_NODE"

INTERNAL = frozenset(
    (MODE, NUMBER, GATE_ID, GATE, MESSAGE, INPUTS, VALUES, FILES, ASKED, LABELLED, OUT, NODE)
)

_REPOSITORY = re.compile(r"(?!\.{1,2}/)[\w.-]+/(?!\.{1,2}$)[\w.-]+", re.ASCII)
#: An App, or a person whose own token opens gates, by their number.
_VOICE = re.compile(r"[A-Za-z0-9-]+\[[Bb][Oo][Tt]\]|[A-Za-z0-9_-]+#[1-9][0-9]{0,17}")
#: A managed cluster's own identifier is one too: `arn:aws:eks:eu-west-1:123:cluster/ml`.
_CLUSTER_NAME = re.compile(r"[A-Za-z0-9]([\w.:/-]{0,251}[A-Za-z0-9])?", re.ASCII)

T = TypeVar("T")

SWITCH = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings from outside. Notification URLs have tokens and are never shown."""

    ledger: str | None = field(default=None, repr=False)  # may hold a credential
    cache: Path = Path()
    github: GitHubSettings | None = None  # where gates are asked; None: on the ledger alone
    environment: str | None = None
    labels: tuple[str, ...] = ()
    apprise_urls: tuple[str, ...] = field(default=(), repr=False)
    argo_ui_url: str | None = None
    argo_server: str | None = None  # where decisions are delivered, instead of to Kubernetes itself
    argo_token: str | None = field(default=None, repr=False)
    kubeconfig: str | None = None
    cluster: str = ""  # the name of the one that the workflows run in, if it has one
    sign: bool = False  # git signs what is recorded, with the key it is configured with
    workflow: Workflow | None = None  # the one that this pod belongs to
    keys: tuple[DecisionKey, ...] = ()  # what none of them signed is no decision; none: unchecked
    signing_key: str | None = field(default=None, repr=False)  # its text


def from_environment(env: Mapping[str, str]) -> Settings:
    """Raises `Faults` naming every variable that is wrong."""
    env = stripped(env)
    faults = []
    ui = env.get(ARGO_UI_URL) or None
    if ui and not ui.startswith(("http://", "https://")):
        faults.append(f"{ARGO_UI_URL} is not an http(s) address")
    webhook = env.get(SLACK_WEBHOOK, "").strip()
    if webhook and not webhook.startswith("https://"):
        faults.append(f"{SLACK_WEBHOOK} is not an https address")
    server = env.get(ARGO_SERVER) or None
    if server and not _keeps_secrets(server):
        faults.append(f"{ARGO_SERVER} is not an https address: the token would travel in the open")
    sign = SWITCH.get(env.get(SIGN, "").lower())
    if sign is None:
        faults.append(f"{SIGN} is {env[SIGN]!r}; it is one of 1, true, yes, 0, false, no")
    if env.get(LOG, "").lower() not in ("", "debug"):
        faults.append(f"{LOG} is {env[LOG]!r}: set it to debug, or leave it unset")
    cluster = env.get(CLUSTER, "")
    faults += faults_of_cluster(cluster)
    told = env.get(WORKFLOW)
    parts = told.split("/") if told else []
    if told and (len(parts) != 3 or not all(parts)):
        faults.append(f"{WORKFLOW} is not namespace/name/uid")
    if refused := fault_of(env.get(LEDGER, "").removeprefix(FORGE)):
        faults.append(f"{LEDGER} {refused}")
    github = _found(forge_of, env, faults)
    keys = _found(keys_of, env, faults) or ()
    if faults:
        raise Faults("the environment", faults)
    return Settings(
        ledger=env.get(LEDGER) or None,
        cache=cache_folder(env),
        github=github,
        environment=env.get(ENVIRONMENT) or None,
        labels=tuple(dict.fromkeys(_listed(env, LABELS))),
        apprise_urls=(*_listed(env, APPRISE_URLS), *([webhook] if webhook else [])),
        argo_ui_url=ui,
        argo_server=server,
        argo_token=env.get(ARGO_TOKEN) or None,
        kubeconfig=env.get(KUBECONFIG) or None,
        sign=bool(sign),
        cluster=cluster,
        workflow=_workflow(parts, cluster) if parts else None,
        keys=keys,
        signing_key=_lines(env.get(SIGNING_KEY) or None),
    )


def _workflow(parts: Sequence[str], cluster: str) -> Workflow:
    from bridge.core.delivery import Workflow  # here: `hitl list` does without the nouns it brings

    namespace, name, uid = parts
    return Workflow(namespace, name, uid, cluster)


def keys_of(env: Mapping[str, str]) -> tuple[DecisionKey, ...]:
    """The keys that decisions are checked by. Raises `Faults`, also if it is set and empty."""
    if KEYS not in env:
        return ()
    from bridge.core.decision_keys import parse_keys

    try:
        return parse_keys(env[KEYS], KEYS)
    except Faults as found:
        raise Faults("the environment", [f"{KEYS}: {each}" for each in found.faults]) from None


def _lines(key: str | None) -> str | None:
    """Many places that keep secrets take one line, and its ends come as backslash and n."""
    return key and key.replace("\\n", "\n")


def _found(
    read: Callable[[Mapping[str, str]], T], env: Mapping[str, str], faults: list[str]
) -> T | None:
    """What it reads; its faults go to the others."""
    try:
        return read(env)
    except Faults as found:
        faults += found.faults
        return None


def faults_of_cluster(name: str) -> Iterator[str]:
    """What is wrong with it as the name of a cluster; empty is none, and right."""
    if name and not _CLUSTER_NAME.fullmatch(name):
        yield f"{CLUSTER} is {name!r}: a name has letters, digits, and - . _ : / between them"


def _keeps_secrets(url: str) -> bool:
    """https, or a server on this machine."""
    parts = urlsplit(url)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return bool(parts.hostname) and parts.scheme in (("http", "https") if local else ("https",))


_TOKEN = re.compile(r"[!#-&(-~]+", re.ASCII)


def stripped(env: Mapping[str, str]) -> dict[str, str]:
    """Without the newline that a file or a secret store puts behind a value."""
    return {name: value.strip() for name, value in env.items()}


def _listed(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in env.get(name, "").split(",") if each.strip())


def is_on_github(env: Mapping[str, str]) -> bool:
    """Whether HITL_LEDGER names a repository on GitHub, where gates are then decided."""
    return env.get(LEDGER, "").strip().startswith(FORGE)


def forge_of(env: Mapping[str, str]) -> GitHubSettings | None:
    """The repository that HITL_LEDGER names as a forge; who only reads may lack a credential."""
    ledger = env.get(LEDGER, "").strip()
    if not is_on_github(env):
        if ledger.casefold().startswith(FORGE):  # else git would look for a host of this name
            raise Faults("the environment", [f"{LEDGER}: write {FORGE} in small letters"])
        return None
    repository = ledger.removeprefix(FORGE)
    if repository.endswith(".git"):
        says = f"{LEDGER} is {ledger!r}: write {ledger.removesuffix('.git')}"
        raise Faults("the environment", [says])
    if not _REPOSITORY.fullmatch(repository):
        raise Faults("the environment", [f"{LEDGER} names no repository: {FORGE}owner/name"])
    return _github({**env, REPOSITORY: repository}, credential=False)


@dataclass(frozen=True, slots=True)
class GitHubSettings:
    """Which GitHub, which repository, and which identity: an App, or a token."""

    repository: str  # owner/name
    api_url: str = "https://api.github.com"
    graphql_url: str = "https://api.github.com/graphql"
    server_url: str = "https://github.com"
    token: str | None = field(default=None, repr=False)
    app_id: str | None = None
    app_key: str | None = field(default=None, repr=False)
    voices: tuple[str, ...] = ()  # the other accounts of the bridge: `approval-opener[bot]`

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{FORGE}{self.repository}"

    @property
    def place(self) -> Place:
        """As a request has it."""
        from bridge.core.model import on_github

        return on_github(self.repository, urlsplit(self.server_url).netloc)

    @property
    def can_write(self) -> bool:
        """Whether there is a credential; without one a public repository can be read."""
        return bool(self.app_id or self.token)


def github_from_environment(env: Mapping[str, str]) -> GitHubSettings:
    """Raises `Faults` naming every variable that is missing or wrong, never its value."""
    return _github(env, credential=True)


def _github(env: Mapping[str, str], *, credential: bool) -> GitHubSettings:
    env = stripped(env)
    urls = {
        API_URL: env.get(API_URL) or "https://api.github.com",
        SERVER_URL: env.get(SERVER_URL) or "https://github.com",
    }
    if env.get(GRAPHQL_URL):
        urls[GRAPHQL_URL] = env[GRAPHQL_URL]
    faults = [
        f"{name} is not an http(s) address"
        for name, url in urls.items()
        if not url.startswith(("https://", "http://"))
    ]
    urls.setdefault(GRAPHQL_URL, _graphql_of(urls[API_URL]))
    repository = env.get(REPOSITORY, "")
    if not _REPOSITORY.fullmatch(repository):
        faults.append(f"{REPOSITORY} must name the repository as owner/name")
    app_id, app_key = env.get(APP_ID) or None, env.get(APP_KEY) or None
    if bool(app_id) != bool(app_key):
        faults.append(f"{APP_ID} and {APP_KEY} go together, and only one of them is set")
    token = next((env[name] for name in TOKENS if env.get(name)), None)
    if token and not _TOKEN.fullmatch(token):  # no header could carry it
        name = next(name for name in TOKENS if env.get(name))
        faults.append(f"{name} has a blank or another character that no token has: set it again")
    if credential and not app_id and not app_key and not token:
        faults.append(f"no credential: set {APP_ID} and {APP_KEY}, or {TOKENS[0]}")
    voices = _listed(env, VOICES)
    faults += [
        f"{VOICES} names {each!r}: name each App by its slug with [bot], and put commas between"
        " them, as in acme-opener[bot],acme-decider[bot]; a person who opens gates with their own"
        " token is named with their number, as in ann#583231"
        for each in voices
        if not _VOICE.fullmatch(each)
    ]
    if faults:
        raise Faults("the environment", faults)
    return GitHubSettings(
        repository=repository,
        api_url=urls[API_URL].rstrip("/"),
        graphql_url=urls[GRAPHQL_URL].rstrip("/"),
        server_url=urls[SERVER_URL].rstrip("/"),
        token=token,
        app_id=app_id,
        app_key=_lines(app_key),
        voices=voices,
    )


def _graphql_of(api_url: str) -> str:
    # Enterprise Server has its REST at /api/v3 and GraphQL beside it, at /api/graphql.
    return api_url.rstrip("/").removesuffix("/v3") + "/graphql"


def cache_folder(env: Mapping[str, str]) -> Path:
    if env.get(CACHE):
        return Path(env[CACHE])
    base = Path(env.get("XDG_CACHE_HOME", ""))
    if (
        not base.is_absolute()
    ):  # https://specifications.freedesktop.org/basedir-spec/latest/#variables
        base = Path(env.get("HOME", "/")) / ".cache"
    return base / "approval-bridge"
