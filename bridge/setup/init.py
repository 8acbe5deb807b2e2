"""Init: make a repository ready for gates, as far as files go, and name what only a person can set.

Run twice, it changes nothing. What somebody changed by hand is kept, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from bridge.core.records import turn_out
from bridge.core.shards import FIRST, LEDGER_FILE, first_turn
from bridge.ledger.readme import README
from bridge.setup import workflow_files
from bridge.setup.action_address import action_address
from bridge.setup.checkout import Checkout
from bridge.setup.kubernetes_manifests import Deployed, files
from bridge.setup.workflow_files import MAIN, POLICY, RELAY, SCHEDULE


class Deed(StrEnum):
    """What became of one file."""

    WRITTEN = "written"
    REPLACED = "replaced"
    KEPT = "kept"  # it is there, and is the user's own
    CHANGED = "changed by hand, and kept"
    FILLED = "filled in"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Done:
    """One file of the checkout, or one of a branch of the ledger."""

    path: str
    deed: Deed
    shard: str | None = None


@dataclass(frozen=True, slots=True)
class Filling:
    """What the workflow says of its surroundings; None: what it says already, or the default."""

    action: str | None = None  # acme/approval-bridge/action@<commit>
    opener: str | None = None  # the App that opens gates: acme-approvals-opener
    #: Where the action is if nobody says it. Raises `BridgeError`.
    release: Callable[[], str] = lambda: action_address(None, "https://github.com")


def init(checkout: Checkout, filling: Filling, *, overwrite: bool = False) -> tuple[Done, ...]:
    """Write what is missing. `overwrite`: also the workflows that somebody changed.

    The ledger's branches are written in the checkout and not pushed. Raises `BridgeError`.
    """
    checkout.catch_up()
    # First, because it may not be known where the action is: then nothing is written.
    workflow = _workflow(checkout, filling, overwrite)
    schedule = _schedule(checkout, overwrite)
    return (_policy(checkout), workflow, schedule, *_ledger(checkout, overwrite))


def deploy(checkout: Checkout, deployed: Deployed, *, overwrite: bool = False) -> Iterator[Done]:
    """Write the manifests of the cluster. `overwrite`: also those that somebody changed."""
    for path, text in files(deployed).items():
        found = checkout.read(path)
        if found == text:
            yield Done(path, Deed.UNCHANGED)
        elif found is None or overwrite:
            checkout.write(path, text)
            yield Done(path, Deed.WRITTEN if found is None else Deed.REPLACED)
        else:
            yield Done(path, Deed.CHANGED)


def _policy(checkout: Checkout) -> Done:
    if checkout.read(POLICY) is not None:
        return Done(POLICY, Deed.KEPT)
    checkout.write(POLICY, workflow_files.text(POLICY))
    return Done(POLICY, Deed.WRITTEN)


def _workflow(checkout: Checkout, filling: Filling, overwrite: bool) -> Done:
    found = checkout.read(MAIN)
    deed = _deed(MAIN, found, overwrite)
    if deed in _WRITES:
        action = filling.action or workflow_files.action_of(found or "") or filling.release()
        opener = filling.opener or workflow_files.opener_of(found or "")
        # Without its keys, a decision that a push forged would count.
        keys = workflow_files.said_of_keys(found or "")
        fresh = workflow_files.workflow(action, opener, keys)
        checkout.write(MAIN, workflow_files.with_settings_of(found or "", fresh))
    elif found is not None:
        filled = workflow_files.with_action(found, filling.action) if filling.action else found
        filled = workflow_files.with_opener(filled, filling.opener) if filling.opener else filled
        if filled != found:
            checkout.write(MAIN, filled)
            return Done(MAIN, Deed.FILLED)
    return Done(MAIN, deed)


def _schedule(checkout: Checkout, overwrite: bool) -> Done:
    found = checkout.read(SCHEDULE)
    deed = _deed(SCHEDULE, found, overwrite)
    if deed in _WRITES:
        fresh = workflow_files.text(SCHEDULE)
        checkout.write(SCHEDULE, workflow_files.with_settings_of(found or "", fresh))
    return Done(SCHEDULE, deed)


def _ledger(checkout: Checkout, overwrite: bool) -> Iterator[Done]:
    shards = checkout.shards()
    begins = FIRST not in shards
    yield Done("README.md", Deed.WRITTEN if begins else Deed.KEPT, FIRST)
    if begins:
        files = {
            RELAY: workflow_files.text(RELAY),
            "README.md": README,
            LEDGER_FILE: turn_out(first_turn(datetime.now(UTC))),
        }
        checkout.add_to_ledger(files, "The ledger begins")
        yield Done(RELAY, Deed.WRITTEN, FIRST)
    # GitHub runs it from the branch that the gate's pull request goes into.
    for shard in shards:
        found = checkout.in_ledger(RELAY, shard)
        deed = _deed(RELAY, found, overwrite)
        if deed in _WRITES:
            fresh = workflow_files.text(RELAY)
            relay = {RELAY: workflow_files.with_settings_of(found or "", fresh)}
            checkout.add_to_ledger(relay, "Write the relay that this bridge expects", shard)
        yield Done(RELAY, deed, shard)


_WRITES: Final = (Deed.WRITTEN, Deed.REPLACED)


def _deed(path: str, found: str | None, overwrite: bool) -> Deed:
    if found is None:
        return Deed.WRITTEN
    if workflow_files.is_current(path, found):
        return Deed.UNCHANGED
    return Deed.REPLACED if overwrite else Deed.CHANGED


def for_a_person(repository: str | None) -> Iterator[str]:
    """What is left to do by hand, in the order in which it is best done."""
    owner, _, name = (repository or "your organization/the repository").partition("/")
    yield "Merge the new files into the default branch, and push the branch approvals."
    yield (
        f"Two GitHub Apps of {owner}, installed on {name} alone. The opener, for pods and jobs:"
        " contents, pull requests, issues and commit statuses, each read and write. The decider,"
        " for the workflow: the same, and members read where the policy names teams."
    )
    yield (
        f"An environment {workflow_files.ENVIRONMENT!r}, its deployment branches limited to the"
        " default branch, with the decider's private key as the secret HITL_APP_KEY and its id as"
        " the variable HITL_APP_ID. As a secret of the repository, anyone who can push a branch"
        " could use the key."
    )
    yield "A ruleset for the branch approvals: restrict deletions, block force pushes. No bypass."
    yield "A ruleset for the branch approvals: restrict updates. Bypass: the decider."
    yield (
        "A ruleset for the branches gate/**/*: restrict creations, updates and deletions. Bypass:"
        " the opener and the decider."
    )
    yield f"In {MAIN}, the input `voices`: the opener's slug with [bot], unless --opener said it."
    yield "Then `hitl doctor`, which checks each of these on the live repository."
