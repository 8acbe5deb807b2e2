"""What `hitl github setup` does: from what exists to what is to do, in the order GitHub needs.

Values alone; `--dry-run` prints them as they are. Run on what it made, the plan is empty; after an
interruption it is what is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from bridge.core.records import turn_out
from bridge.core.settings import APP_ID, APP_KEY, SIGNING_KEY
from bridge.core.shards import FIRST, LEDGER_FILE, PATTERN, first_turn
from bridge.ledger.readme import README
from bridge.policy.policy_file import PolicyFile
from bridge.setup import workflow_files
from bridge.setup.app_manifest import Manifest, Role, name_of
from bridge.setup.app_permissions import needed
from bridge.setup.checks import Check, Level
from bridge.setup.github_steps import (
    ACTION_BRANCH,
    ACTION_COMMIT,
    ACTION_TREE,
    BRANCH,
    COMMIT,
    DECIDER_ID,
    DECIDER_NUMBER,
    KEY_ID,
    OPENER_ID,
    OPENER_SLUG,
    OURS,
    PUBLIC_KEY,
    SEAL_KEY,
    TREE,
    Found,
    Part,
    Request,
    Step,
    Verbatim,
    Wanted,
    sealed,
)
from bridge.setup.workflow_files import ENVIRONMENT, MAIN, POLICY, RELAY, SCHEDULE


def plan(found: Found, wanted: Wanted, policy: PolicyFile | None) -> tuple[Step, ...]:
    """Every step that is left. `policy`: the one that is there, None if there is none."""
    roles = (Role.DECIDER, Role.OPENER) if wanted.opener else (Role.DECIDER,)
    return (
        *ledger(found),
        *_environment(found),
        *(step for role in roles for step in _app(found, role, policy)),
        *_rulesets(found, opener=wanted.opener or Role.OPENER in found.apps),
        *vendored(found, wanted),
        *_proposed(found, wanted),
    )


def needs_key(steps: Sequence[Step]) -> bool:
    """Whether the decider's App is there already, and its private key is asked for."""
    value = {"encrypted_value": sealed(APP_KEY)}
    return any(
        step.register is None and value.items() <= (request.body or {}).items()
        for step in steps
        for request in step.requests
    )


#: The parts that make what a check of `hitl doctor` looks at.
_MAKES: Final[Mapping[str, tuple[Part, ...]]] = {
    "policy": (Part.FILES,),
    "workflow": (Part.FILES,),
    "schedule": (Part.FILES,),
    "ledger": (Part.LEDGER,),
    "decider": (Part.APPS,),
    "key": (Part.ENVIRONMENT, Part.APPS),
    "signing": (Part.FILES,),
    "ledger rules": (Part.RULESETS,),
    "gate rules": (Part.RULESETS,),
}


def mending(checks: Sequence[Check]) -> frozenset[Part]:
    """The parts of the plan that these checks need."""
    failed = [each.name for each in checks if each.level is Level.FAULT]
    return frozenset(part for name in failed for part in _MAKES.get(name, ()))


# -- the ledger, the environment -------------------------------------------------------------------


def ledger(found: Found) -> Iterator[Step]:
    if found.has_ledger:
        return
    files = {
        "README.md": README,
        LEDGER_FILE: turn_out(first_turn(datetime.now(UTC))),
        RELAY: workflow_files.text(RELAY),
    }
    requests = (
        *committed(found, files, "The ledger begins", tree=None, parents=[]),
        Request("POST", f"{found.home}/git/refs", {"ref": f"refs/heads/{FIRST}", "sha": COMMIT}),
    )
    yield Step(Part.LEDGER, f"make the branch {FIRST}, which holds the decisions", requests)


def committed(
    found: Found,
    files: Mapping[str, str | None],
    message: str,
    tree: str | None,
    parents: list[str],
    marks: tuple[str, str] = (TREE, COMMIT),
) -> tuple[Request, Request]:
    """A commit of these files; None takes one away. `marks`: for its tree and for itself."""
    blob = {"mode": "100644", "type": "blob"}
    rows = [
        {"path": path, **blob, **({"sha": None} if text is None else {"content": text})}
        for path, text in files.items()
    ]
    base = {"base_tree": tree} if tree else {}
    return (
        Request("POST", f"{found.home}/git/trees", {"tree": rows, **base}, {marks[0]: "sha"}),
        Request(
            "POST",
            f"{found.home}/git/commits",
            {"message": message, "tree": marks[0], "parents": parents},
            {marks[1]: "sha"},
        ),
    )


def _environment(found: Found) -> Iterator[Step]:
    branch = found.default_branch
    if found.environment and found.environment.branches == (branch,):
        return
    limits = {"protected_branches": False, "custom_branch_policies": True}
    requests = [Request("PUT", found.place, {"deployment_branch_policy": limits})]
    if found.environment is None or branch not in (found.environment.branches or ()):
        requests.append(
            Request(
                "POST",
                f"{found.place}/deployment-branch-policies",
                {"name": branch, "type": "branch"},
            )
        )
    yield Step(
        Part.ENVIRONMENT,
        f"make the environment {ENVIRONMENT}, which only the branch {branch} may use",
        tuple(requests),
    )


def _secret(found: Found, name: str) -> tuple[Request, Request]:
    """GitHub takes a secret only if it is sealed with the environment's key."""
    return (
        Request(
            "GET", f"{found.place}/secrets/public-key", None, {KEY_ID: "key_id", SEAL_KEY: "key"}
        ),
        Request(
            "PUT",
            f"{found.place}/secrets/{name}",
            {"encrypted_value": sealed(name), "key_id": KEY_ID},
        ),
    )


# -- the Apps --------------------------------------------------------------------------------------


def _app(found: Found, role: Role, policy: PolicyFile | None) -> Iterator[Step]:
    there = found.apps.get(role)
    manifest = None
    if there is None:
        manifest = Manifest(
            role,
            name_of(role, found.repository),
            needed(role, policy, private=found.private),
            found.repository,
            found.server,
            found.organization,
        )
    keeps = _kept(found) if role is Role.DECIDER else ()
    if manifest:
        where = f"; {APP_ID} and {APP_KEY} go into the environment" if keeps else ""
        says = f"register the {role}'s GitHub App {manifest.name} (one click){where}"
        yield Step(Part.APPS, says, keeps, register=manifest)
    elif keeps:
        yield Step(
            Part.APPS,
            f"put {APP_ID} and {APP_KEY} of the App {there.app.slug if there else ''} into the"
            f" environment {ENVIRONMENT}",
            keeps,
        )
    # Of a person's account it can't be seen; a ruleset that names the App was taken only after it.
    unseen = there is not None and there.installed is None and GATES not in found.rulesets
    if there is None or there.installed is False or unseen:
        yield Step(
            Part.APPS,
            f"install the {role}'s App on {found.repository} alone (one click)",
            install=role,
        )


def _kept(found: Found) -> tuple[Request, ...]:
    """The decider's number before its key: a run that was interrupted between finds the App."""
    there = found.environment
    app = found.apps.get(Role.DECIDER)
    number = str(app.app.id) if app else DECIDER_NUMBER
    known = (there.variables if there else {}).get(APP_ID)
    requests: list[Request] = []
    if known is None:
        path = f"{found.place}/variables"
        requests.append(Request("POST", path, {"name": APP_ID, "value": number}))
    elif known.strip() != number:
        path = f"{found.place}/variables/{APP_ID}"
        requests.append(Request("PATCH", path, {"value": number}))
    if there is None or APP_KEY not in there.secrets or app is None:
        requests += _secret(found, APP_KEY)
    return tuple(requests)


# -- the rules -------------------------------------------------------------------------------------


def _rulesets(found: Found, *, opener: bool) -> Iterator[Step]:
    for body, says in rulesets(found, opener=opener):
        name = body["name"]
        if name in found.held:
            continue
        number, there = found.rulesets.get(name, (None, {}))
        if number is None:
            request = Request("POST", f"{found.home}/rulesets", body)
        elif all(there.get(key) == body[key] for key in body):
            continue
        else:
            request = Request("PUT", f"{found.home}/rulesets/{number}", body)
        yield Step(Part.RULESETS, says, (request,))


KEPT, DECIDED, GATES = f"{OURS}ledger is kept", f"{OURS}ledger", f"{OURS}gates"


def rulesets(found: Found, *, opener: bool) -> Iterator[tuple[dict[str, Any], str]]:
    """Three, because who may bypass a ruleset may bypass each of its rules."""
    ids: dict[Role, Any] = {Role.DECIDER: DECIDER_ID, Role.OPENER: OPENER_ID}
    ids |= {role: each.app.id for role, each in found.apps.items()}
    both = (Role.DECIDER, Role.OPENER) if opener else (Role.DECIDER,)
    ledger, gates = f"refs/heads/{PATTERN}", "refs/heads/gate/**/*"

    def body(name: str, ref: str, kinds: list[str], roles: tuple[Role, ...]) -> dict[str, Any]:
        return {
            "name": name,
            "target": "branch",
            "enforcement": "active",
            "conditions": {"ref_name": {"include": [ref], "exclude": []}},
            "rules": [{"type": each} for each in kinds],
            "bypass_actors": [
                {"actor_id": ids[each], "actor_type": "Integration", "bypass_mode": "always"}
                for each in roles
            ],
        }

    yield (
        body(KEPT, ledger, ["deletion", "non_fast_forward"], ()),
        f"add a ruleset: nobody deletes or rewrites {PATTERN}",
    )
    yield (
        body(DECIDED, ledger, ["creation", "update"], (Role.DECIDER,)),
        f"add a ruleset: only the decider pushes to {PATTERN}",
    )
    whom = "the decider and the opener push" if opener else "the decider pushes"
    yield (
        body(GATES, gates, ["creation", "update", "deletion"], both),
        f"add a ruleset: only {whom} to gate/**",
    )


# -- the action ------------------------------------------------------------------------------------


def vendored(found: Found, wanted: Wanted) -> Iterator[Step]:
    tip, tree = found.action or (None, None)
    if not wanted.vendored or tree == wanted.vendored_tree:
        return
    requests: list[Request] = [
        *committed(
            found,
            {path: Verbatim(text) for path, text in wanted.vendored.items()},
            "Put the action of this release here",
            tree=None,
            parents=[tip] if tip else [],
            marks=(ACTION_TREE, ACTION_COMMIT),
        )
    ]
    if tip is None:
        ref = {"ref": f"refs/heads/{ACTION_BRANCH}", "sha": ACTION_COMMIT}
        requests.append(Request("POST", f"{found.home}/git/refs", ref))
    else:
        path = f"{found.home}/git/refs/heads/{quote(ACTION_BRANCH)}"
        requests.append(Request("PATCH", path, {"sha": ACTION_COMMIT}))
    says = f"put the action on the branch {ACTION_BRANCH}: the workflow names its commit"
    yield Step(Part.FILES, says, tuple(requests))


def action(found: Found, wanted: Wanted) -> str:
    tip, tree = found.action or ("", "")
    own = tip if tree == wanted.vendored_tree else ACTION_COMMIT
    return wanted.action or f"{found.repository}/action@{own}"


# -- the pull request ------------------------------------------------------------------------------


def _files(found: Found, wanted: Wanted) -> Iterator[Step]:
    yield from proposing(found, _written(found, wanted), _ABOUT)


def proposing(found: Found, files: Mapping[str, str], body: str) -> Iterator[Step]:
    """The pull request that brings these files; the one that is open already, if there is one."""
    if not files:
        return
    requests: list[Request] = []
    there = found.proposal
    if there is None or any(there.files.get(path) != text for path, text in files.items()):
        message = "Ask people in this repository's workflows"
        tree, tip = (there.tree, there.tip) if there else (found.tree, found.tip)
        requests += committed(found, files, message, tree=tree, parents=[tip])
        if not found.has_branch:
            ref = {"ref": f"refs/heads/{BRANCH}", "sha": COMMIT}
            requests.append(Request("POST", f"{found.home}/git/refs", ref))
        else:
            path = f"{found.home}/git/refs/heads/{quote(BRANCH)}"
            requests.append(Request("PATCH", path, {"sha": COMMIT, "force": there is None}))
    if there is None:
        about = {
            "title": "Let people decide in this repository's workflows",
            "head": BRANCH,
            "base": found.default_branch,
            "body": body,
        }
        requests.append(Request("POST", f"{found.home}/pulls", about))
    if requests:
        yield Step(Part.FILES, f"open a pull request with {', '.join(files)}", tuple(requests))


_ABOUT: Final = """\
Written by `hitl github setup`. Nothing is decided until you merge this.

- `.github/approvals.yml` says who decides. Read it: name your approvers, and check each line of
  `identities:`. A wrong line there lets somebody approve a run of their own.
- `.github/workflows/approvals.yml` is the workflow that decides. It runs on the default branch
  alone. `approvals-schedule.yml` starts it once an hour. `keys:` in it lists the public keys whose
  decisions count. If somebody else has a former one, retire it: write `until=` and a commit of the
  ledger before it.
"""


def _written(found: Found, wanted: Wanted) -> dict[str, str]:
    """What the pull request brings. What somebody changed in it already is theirs."""
    files: dict[str, str] = {}
    proposed = untried(found.proposal.files if found.proposal else {})
    if POLICY not in untried(found.files):
        files[POLICY] = Verbatim(proposed.get(POLICY) or policy_text(wanted.identities))
    if SCHEDULE not in found.files:
        files[SCHEDULE] = workflow_files.text(SCHEDULE)
    opener = found.apps.get(Role.OPENER)
    slug = opener.app.slug if opener else OPENER_SLUG if wanted.opener else None
    if MAIN not in untried(found.files):
        there = workflow_files.keys_of(proposed.get(MAIN, ""))
        keys = (*found.former_keys, PUBLIC_KEY) if _needs_signing(found) else there
        files[MAIN] = workflow_files.workflow(action(found, wanted), slug, keys)
    elif (newer := _renewed(found, wanted, slug)) != found.files[MAIN]:
        files[MAIN] = newer
    return files


def _renewed(found: Found, wanted: Wanted, slug: str | None) -> str:
    """The workflow that is there, with this action, and with an opener if it has none yet.

    An open pull request may add a key to it, whose other half is the environment's secret already.
    """
    text = (found.proposal.files if found.proposal else {}).get(MAIN) or found.files[MAIN]
    text = workflow_files.with_action(text, action(found, wanted))
    if _needs_signing(found):
        # The keys that are there stay: what they signed must go on counting.
        keys = (*workflow_files.keys_of(found.files[MAIN]), PUBLIC_KEY)
        text = workflow_files.with_keys(text, keys)
    named = workflow_files.opener_of(text) is not None
    return text if named or not wanted.opener else workflow_files.with_opener(text, slug)


def untried(files: Mapping[str, str]) -> dict[str, str]:
    """These files without what `hitl github try` wrote: it protects nothing, so it is replaced."""
    return {
        path: text
        for path, text in files.items()
        if not (path == MAIN and workflow_files.acts_by_token(text))
        and not (path == POLICY and text == workflow_files.text_to_try(POLICY))
    }


def policy_text(identities: Mapping[str, str]) -> str:
    """The first policy, with the accounts of those who start runs."""
    text = workflow_files.text(POLICY)
    if not identities:
        return text
    rows = "".join(f"  {name}: {account}\n" for name, account in identities.items())
    return re.sub(r"(?m)^#identities:\n(?:#  .*\n)*", lambda _: f"identities:\n{rows}", text)


# -- the key that signs ----------------------------------------------------------------------------


def _needs_signing(found: Found) -> bool:
    """Whether the workflow names a key, or will, and the decider has none to sign with.

    A workflow without keys is left so: what was decided without a signature must go on counting.
    """
    there = found.environment is not None and SIGNING_KEY in found.environment.secrets
    files = untried(found.files)
    if MAIN in files:
        return not there and bool(workflow_files.keys_of(files[MAIN]))
    proposed = untried(found.proposal.files) if found.proposal else {}
    return not (there and MAIN in proposed)


def _proposed(found: Found, wanted: Wanted) -> Iterator[Step]:
    """The pull request, and the key that its workflow names.

    A key can't be read back, so after an interruption nothing shows whose other half the secret is.
    With nothing to merge yet the secret comes first: a workflow that can be merged has its key. A
    workflow that is there or proposed comes first: without a secret the next run makes a new key.
    They are one part: one without the other would name a key that nobody has.
    """
    files = tuple(_files(found, wanted))
    signing = tuple(_signing(found))
    first = MAIN not in untried(found.files) and found.proposal is None
    yield from (*signing, *files) if first else (*files, *signing)


def _signing(found: Found) -> Iterator[Step]:
    if _needs_signing(found):
        yield Step(
            Part.FILES,
            f"put a new key, which signs decisions, into the environment: {SIGNING_KEY}",
            _secret(found, SIGNING_KEY),
        )
