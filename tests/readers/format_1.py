"""A reader of the ledger's format 1, written from `docs/ledger.md` alone.

It imports nothing of the bridge. Once format 1 is released this file does not change any more: it
then stands for the bridges that are in use, and a newer writer is held against it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

FORMAT = 1


class Refused(Exception):
    """The record has a fault, so it is never an approval."""


# -- the tables of the page ----------------------------------------------------------------------


class Key:
    """One row of a table. `absent` is what leaving the key out means."""

    def __init__(self, kind: Any, absent: Any = ..., *, bound: bool = True) -> None:
        self.kind = kind
        self.absent = absent
        self.bound = bound


def needed(kind: Any, *, bound: bool = True) -> Key:
    return Key(kind, bound=bound)


def optional(kind: Any, absent: Any = None, *, bound: bool = True) -> Key:
    return Key(kind, absent, bound=bound)


def words(text: str) -> frozenset[str]:
    return frozenset(text.split(", "))


TEXT, NUMBER, FLAG, TIME, MAPPING = "text", "number", "flag", "time", "mapping"
ON_TIMEOUT = words("reject, approve, notify")
VERDICTS = words("approve, reject, request changes, hold, unhold, withdraw")

#: A list is `[kind]`, words are a set, the name of a table stands for its record.
TABLES: dict[str, dict[str, Key]] = {
    "request": {
        "format": needed(NUMBER),
        "gate": needed(TEXT, bound=False),
        "digest": needed(TEXT, bound=False),
        "origin": needed(TEXT),
        "key": needed(TEXT),
        "message": needed(TEXT),
        "policy": needed("policy"),
        "opened_at": needed(TIME, bound=False),
        "artifacts": optional(["artifact"], []),
        "schema": optional(MAPPING),
        "facts": optional(["fact"], [], bound=False),
        "venue": needed("venue"),
        "shard": needed(TEXT),
        "links": optional(["link"], []),
        "subject": optional("subject"),
        "declared": optional("declared"),
        "workflow": optional("workflow"),
        "kind": optional("kind"),
        "baseline": optional("baseline"),
        "against": optional(TEXT),
        "on_reject": optional(words("end, skip"), "end"),
        "unmatched": optional(["unmatched"], []),
        "pictures": optional(["picture"], []),
    },
    "artifact": {
        "name": needed(TEXT),
        "type": needed(TEXT),
        "digest": needed(TEXT),
        "size": optional(NUMBER),
        "value": optional(TEXT),
        "head": optional(TEXT),
        "text": optional(TEXT),
        "link": optional(TEXT),
        "metric": optional(FLAG, False),
        "better": optional(words("higher, lower")),
    },
    "subject": {
        "flow": needed(TEXT),
        "step": needed(TEXT),
        "environment": optional(TEXT),
        "labels": optional([TEXT], []),
        "artifacts": optional(MAPPING, {}),
    },
    "declared": {
        "approvers": optional([TEXT], []),
        "timeout": optional(NUMBER),
        "on_timeout": needed(ON_TIMEOUT),
        "auto_approve_if": optional(TEXT),
    },
    "workflow": {
        "namespace": needed(TEXT),
        "name": needed(TEXT),
        "uid": needed(TEXT),
        "cluster": optional(TEXT, ""),
    },
    "venue": {
        "kind": needed(words("local, github")),
        "server": optional(TEXT),
        "repository": optional(TEXT),
        "repository_id": optional(NUMBER),
    },
    "kind": {
        "flow": needed(TEXT),
        "step": needed(TEXT),
        "environment": optional(TEXT),
        "project": optional(TEXT),
        "branch": optional(TEXT),
        "name": optional(TEXT),
        "splits": optional([TEXT], []),
    },
    "baseline": {
        "gate": needed(TEXT),
        "key": needed(TEXT),
        "decided_at": needed(TIME),
        "by": needed(TEXT),
        "artifacts": optional(["artifact"], []),
        "left_out": optional(NUMBER, 0),
    },
    "unmatched": {
        "option": needed(words("better, pictures, auto_approve_if")),
        "name": needed(TEXT),
    },
    "picture": {
        "file": needed(TEXT),
        "sha256": needed(TEXT),
        "alt": optional(TEXT, ""),
        "of": optional(TEXT, ""),
        "dark": optional(FLAG, False),
    },
    "link": {"label": needed(TEXT), "url": needed(TEXT)},
    "fact": {
        "name": needed(
            words("initiator, actor, environment, workflow, ref, sha, event, run, asked-at, check")
        ),
        "value": needed(TEXT),
        "source": needed(words("run, creator-label, opener, oidc, github, policy, terminal")),
        "proven": needed(FLAG),
        "asked": optional(TEXT),
    },
    "policy": {
        "require": needed("rule"),
        "timeout": optional(NUMBER),
        "on_timeout": needed(ON_TIMEOUT),
        "auto_approve_if": optional(TEXT),
        "bars": optional("bars", {}),
        "only": optional("actors"),
        "disapprove": optional("actors"),
        "request_changes": optional(words("hold, reject"), "hold"),
        "dismissed_reviews": optional(words("anyone, deciders"), "anyone"),
        "facts": optional(words("proven, claimed"), "proven"),
        "chosen_by": optional([TEXT], []),
        "initiator_is": optional(words("proven, claimed, unknown"), "claimed"),
        "signed": optional(FLAG, False),
        "initiator": optional(TEXT),
        "via": optional(words("pull_request, issue"), "pull_request"),
        "checks": optional([TEXT], []),
    },
    "actors": {
        "names": optional([TEXT], []),
        "anyone": optional(FLAG, False),
        "users": optional([TEXT], []),
        "groups": optional(["group"], []),
    },
    "group": {
        "kind": needed(words("team, organization, permission, role")),
        "name": needed(TEXT),
    },
    "bars": {
        "initiator": optional(FLAG, True),
        "author": optional(FLAG, True),
        "users": optional([TEXT], []),
    },
    "decision": {
        "format": needed(NUMBER),
        "gate": needed(TEXT),
        "outcome": needed(words("approved, rejected, expired, withdrawn")),
        "by": needed(words("person, clock, condition, run")),
        "reason": needed(TEXT),
        "request_digest": needed(TEXT),
        "decided_at": needed(TIME),
        "votes": optional(["vote"], []),
        "inputs": optional(MAPPING, {}),
        "condition": optional("condition"),
        "memberships": optional(["membership"], []),
        "author": optional("actor"),
        "objections": optional(["objection"], []),
        "facts": optional(["fact"], []),
        "policy_source": needed(TEXT),
        "previous": optional(TEXT),
    },
    "vote": {
        "actor": needed("actor"),
        "verdict": needed(VERDICTS),
        "at": needed(TIME),
        "digest": needed(TEXT),
        "channel": needed(words("terminal, cli, python, review, comment, closing, deleted")),
        "reason": optional(TEXT, ""),
        "inputs": optional(MAPPING),
        "url": optional(TEXT),
        "body_sha256": optional(TEXT),
        "dismissed_by": optional("actor"),
        "dismissed_at": optional(TIME),
        "signature": optional(TEXT),
        "signed_by": optional(TEXT),
        "counts": needed(FLAG),
        "code": needed(
            words(
                "approved, rejected, superseded, lifts-nothing, edited, dismissed, bad-input, late,"
                " older-version, other-version, unnamed-version, not-yet-shown, branch-moved,"
                " text-altered, other-words, bot, not-proven, not-signed, not-an-approver,"
                " not-named, membership-unknown,"
                " initiator-unknown, initiator-not-proven, author-unknown, barred-initiator,"
                " barred-author, barred-user, withdrawn"
            )
        ),
        "why": optional(TEXT, ""),
    },
    "actor": {
        "name": needed(TEXT),
        "email": optional(TEXT),
        "login": optional(TEXT),
        "id": optional(NUMBER),
        "teams": optional([TEXT], []),
        "proven": needed(FLAG),
        "bot": optional(FLAG, False),
    },
    "membership": {
        "user": needed(NUMBER),
        "group": needed("group"),
        "answer": needed(words("member, not, unknown")),
        "why": optional(TEXT, ""),
    },
    "condition": {"text": needed(TEXT), "seen": needed(MAPPING), "holds": needed(FLAG)},
    "baselines": {
        "format": needed(NUMBER),
        "kind": needed("kind"),
        "approved": optional(["baseline"], []),
        "listed": optional(["approved"], []),
    },
    "approved": {
        "gate": needed(TEXT),
        "key": needed(TEXT),
        "decided_at": needed(TIME),
    },
    "turn": {
        "format": needed(NUMBER),
        "every": needed(words("year, month, never")),
        "begun": needed(TEXT),
    },
    "objections": {
        "format": needed(NUMBER),
        "gate": needed(TEXT),
        "objections": optional(["objection"], []),
        "facts": optional(["fact"], []),
    },
    "objection": {
        "who": needed("actor"),
        "verdict": needed(VERDICTS),
        "at": needed(TIME),
        "digest": needed(TEXT),
        "reason": optional(TEXT, ""),
        "url": optional(TEXT),
        "body_sha256": optional(TEXT),
        "lifted": optional("lifting"),
    },
    "lifting": {
        "by": needed("actor"),
        "how": needed(words("approval, unhold, dismissal")),
        "at": needed(TIME),
        "reason": optional(TEXT, ""),
        "url": optional(TEXT),
    },
}
#: Exactly one of these.
RULES: tuple[dict[str, Key], ...] = (
    {"approvals": needed(NUMBER), "by": needed("actors")},
    {"each": needed(["actors"])},
    {"all": needed(["rule"])},
    {"any": needed(["rule"])},
)


# -- reading -------------------------------------------------------------------------------------


def request(text: str) -> dict[str, Any]:
    """The record of `request.yaml`. Raises `Refused`."""
    found = _record(text, "request")
    own = hashlib.sha256(f"{found['origin']}\0{found['key']}".encode()).hexdigest()[:8]
    if found["gate"] != hashlib.sha256(found["key"].encode()).hexdigest()[:8] + own:
        raise Refused("the id is not that of the gate")
    if not re.fullmatch(r"approvals(-[0-9]{4}(-(0[1-9]|1[0-2]))?)?", found["shard"]):
        raise Refused("the shard is no branch of a ledger")
    if found["digest"] != digest_of(found):
        raise Refused("the digest is not that of the content")
    return found


def decision(text: str) -> dict[str, Any]:
    """The record of `decision.yaml`. Raises `Refused`."""
    return _record(text, "decision")


def baselines(text: str) -> dict[str, Any]:
    """The record of `baselines/<ab>/<hash>.yaml`. Raises `Refused`."""
    return _record(text, "baselines")


def turn(text: str) -> dict[str, Any]:
    """The record of `ledger.yaml`. Raises `Refused`."""
    return _record(text, "turn")


def objections(text: str) -> dict[str, Any]:
    """The record of `objections.yaml`. Raises `Refused`."""
    return _record(text, "objections")


def digest_of(found: Mapping[str, Any]) -> str:
    """The digest of a request, by the recipe of the page."""
    bound = {
        key: found[key] for key, row in TABLES["request"].items() if row.bound and key in found
    }
    if "artifacts" in bound:
        rows = bound["artifacts"]
        bound["artifacts"] = sorted(rows, key=lambda each: (each["name"], each["digest"]))
    text = json.dumps(
        bound, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _record(text: str, table: str) -> dict[str, Any]:
    try:
        found = yaml.load(text, _Strict)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        raise Refused(str(error)) from None
    if isinstance(found, dict) and found.get("format") != FORMAT:
        raise Refused(f"format {found.get('format')}")
    _check(table, found, table)
    assert isinstance(found, dict)
    return found


class _Strict(yaml.SafeLoader):
    """Each key once, and no alias."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise Refused("an alias")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in found:
                raise Refused(f"{key!r} is given twice")
            found[key] = self.construct_object(value_node, deep=True)
        return found


def _check(kind: Any, value: Any, at: str) -> None:
    if isinstance(kind, list):
        _is(list, value, at)
        for index, each in enumerate(value):
            _check(kind[0], each, f"{at}[{index}]")
    elif isinstance(kind, frozenset):
        _is(str, value, at)
        if value not in kind:
            raise Refused(f"{at} cannot be {value!r}")
    elif kind == "rule":
        _is(dict, value, at)
        fitting = [each for each in RULES if each.keys() & value.keys()]
        if len(fitting) != 1:
            raise Refused(f"{at} is not one rule")
        _check_keys(fitting[0], value, at)
    elif kind in TABLES:
        _is(dict, value, at)
        _check_keys(TABLES[kind], value, at)
    elif kind == MAPPING:
        _is(dict, value, at)
        _check_json(value, at)
    else:
        _is({TEXT: str, TIME: str, NUMBER: int, FLAG: bool}[kind], value, at)
        if kind == TIME and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value):
            raise Refused(f"{at} is not a time")


def _check_keys(table: Mapping[str, Key], value: Mapping[Any, Any], at: str) -> None:
    unknown = value.keys() - table.keys()
    if unknown:
        raise Refused(f"{at} has unknown keys: {sorted(map(str, unknown))}")
    for key, row in table.items():
        if key in value:
            _check(row.kind, value[key], f"{at}.{key}")
            if row.absent is not ... and value[key] == row.absent:
                raise Refused(f"{at}.{key} has its default")
        elif row.absent is ...:
            raise Refused(f"{at}.{key} is missing")


def _check_json(value: Any, at: str) -> None:
    if isinstance(value, dict):
        for key, each in value.items():
            _is(str, key, at)
            _check_json(each, f"{at}.{key}")
    elif isinstance(value, list):
        for each in value:
            _check_json(each, at)
    elif isinstance(value, float) and not math.isfinite(value):
        raise Refused(f"{at} is {value}")
    elif not (value is None or isinstance(value, str | bool | int | float)):
        raise Refused(f"{at} is {type(value).__name__}")


def _is(kind: type, value: Any, at: str) -> None:
    if type(value) is not kind:
        raise Refused(f"{at} is {type(value).__name__}, not {kind.__name__}")
