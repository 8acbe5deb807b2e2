"""The policy file: what it says, which gate it says it of, and every fault with its line."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bridge.core.errors import Faults, NoPolicy
from bridge.core.model import Subject
from bridge.core.rules import (
    Actors,
    AllOf,
    AnyOf,
    Approvals,
    Bars,
    DismissedReviews,
    EachOf,
    Facts,
    Group,
    GroupKind,
    Initiator,
    OnTimeout,
    Policy,
    RequestChanges,
    Selected,
    Via,
)
from bridge.policy.policy_file import KEYS, PATH, PERMISSIONS, PolicyFile, parse

DOCS = Path(__file__).parents[1] / "docs"

WHOLE = """\
identities:
  ann.lee@corp: ann
gates:
  - name: production
    when:
      flow: [Train, Retrain]
      step: deploy
      environment: production
      label: [risky, urgent]
      artifacts: [accuracy < 0.9, "segment == 'adults'"]
    via: issue
    require:
      any:
        - count: 2
          users: [ann, bob#12]
          teams: acme/ml
        - all:
            - permission: maintain
            - role: ml-lead
        - each:
            - organizations: acme
            - users: cat
    bar:
      initiator: false
      author: false
      users: mallory
    disapprove: {teams: acme/security, users: eve}
    timeout: 1h30m
    on_timeout: notify
    auto_approve_if: accuracy >= 0.95
    facts: claimed
    request_changes: reject
    dismissed_reviews: deciders
    initiator: unknown
  - name: everything else
    require:
      permission: admin
"""


def faults_of(text: str) -> list[str]:
    with pytest.raises(Faults) as caught:
        parse(text, "p.yml")
    return list(caught.value.faults)


def gate(text: str = "", require: str = "{users: [ann, bob]}") -> str:
    """A file of one gate; `text` is more of it, from line 4 on."""
    more = "".join(f"    {line}\n" for line in text.splitlines())
    return f"gates:\n  - name: a gate\n    require: {require}\n{more}"


def subject(**more: Any) -> Subject:
    return Subject(**{"flow": "Train", "step": "deploy", "environment": "production", **more})


# -- what it says ----------------------------------------------------------------------------------


def test_a_whole_file_is_read_whole() -> None:
    found = parse(WHOLE).select(
        subject(labels=("Risky",), artifacts={"accuracy": 0.5, "segment": "adults"}), "Ann.Lee@corp"
    )
    rule = AnyOf(
        (
            Approvals(
                Actors(users=("ann", "bob#12"), groups=(Group(GroupKind.TEAM, "acme/ml"),)), 2
            ),
            AllOf(
                (
                    Approvals(Actors(groups=(Group(GroupKind.PERMISSION, "maintain"),))),
                    Approvals(Actors(groups=(Group(GroupKind.ROLE, "ml-lead"),))),
                )
            ),
            EachOf(
                (
                    Actors(groups=(Group(GroupKind.ORGANIZATION, "acme"),)),
                    Actors(users=("cat",)),
                )
            ),
        )
    )
    policy = Policy(
        require=rule,
        timeout=5_400,
        on_timeout=OnTimeout.NOTIFY,
        bars=Bars(initiator=False, author=False, users=("mallory",)),
        disapprove=Actors(users=("eve",), groups=(Group(GroupKind.TEAM, "acme/security"),)),
        request_changes=RequestChanges.REJECT,
        dismissed_reviews=DismissedReviews.DECIDERS,
        initiator_is=Initiator.UNKNOWN,
        initiator="ann",
        facts=Facts.CLAIMED,
        chosen_by=("artifact accuracy", "artifact segment", "environment", "flow", "label", "step"),
    )
    assert found == Selected("production", policy, Via.ISSUE, ("accuracy >= 0.95",))


def test_a_group_that_disapproves_names_somebody() -> None:
    assert faults_of(gate("disapprove: {}")) == ["p.yml:4: it names nobody"]
    assert faults_of(gate("disapprove: {count: 2}"))
    (fault,) = faults_of(gate("disapprove: ann"))
    assert fault.startswith("p.yml:4: disapprove must be a mapping with the keys users, teams")


def test_what_is_not_said_is_the_careful_choice() -> None:
    found = parse(gate()).select(subject())
    assert found == Selected("a gate", Policy(Approvals(Actors(users=("ann", "bob")))))
    assert found.policy.bars == Bars(initiator=True, author=True)
    assert found.policy.initiator_is is Initiator.CLAIMED
    assert found.policy.initiator is None
    assert found.policy.facts is Facts.PROVEN
    assert found.auto_approve_if == ()


def test_what_the_file_asks_of_an_initiator_holds_where_an_entry_asks_nothing() -> None:
    file = parse("initiator: proven\n" + gate("when: {step: deploy}") + OWN)
    assert [each.selected.policy.initiator_is for each in file.entries] == [
        Initiator.PROVEN,
        Initiator.UNKNOWN,
    ]


OWN = """\
  - name: sandbox
    when: {environment: sandbox}
    require: {users: ann}
    initiator: unknown
"""


def test_the_example_in_the_documentation_stands() -> None:
    for text in re.findall(r"```yaml\n(.*?)```", (DOCS / "policy.md").read_text(), re.DOTALL):
        parse(text if text.startswith(("gates:", "identities:", "#")) else f"gates:\n{text}")


def test_the_documentation_names_every_key() -> None:
    text = (DOCS / "policy.md").read_text()
    assert not [key for keys in KEYS.values() for key in keys if f"`{key}`" not in text]


# -- which gate ------------------------------------------------------------------------------------

PICKY = (
    gate()
    + """\
    when:
      flow: Train
      environment: [production, staging]
      label: risky
      artifacts: accuracy < 0.9
"""
)


def selects(file: PolicyFile, asked: Subject) -> bool:
    try:
        file.select(asked)
    except NoPolicy:
        return False
    return True


@pytest.mark.parametrize(
    ("differs", "covered"),
    [
        ({}, True),
        ({"flow": "Other"}, False),
        ({"step": "another"}, True),
        ({"environment": "Staging"}, True),
        ({"environment": " production\n"}, True),
        ({"flow": "train "}, True),
        ({"step": "Deploy\n"}, True),
        ({"labels": ("Risky ",)}, True),
        ({"environment": "dev"}, False),
        ({"labels": ("other", "RISKY")}, True),
        ({"labels": ()}, False),
        ({"artifacts": {"accuracy": 0.9}}, False),
    ],
)
def test_an_entry_covers_what_fits_all_of_it(differs: dict[str, Any], covered: bool) -> None:
    asked = {"labels": ("risky",), "artifacts": {"accuracy": 0.5}, **differs}
    assert selects(parse(PICKY), subject(**asked)) is covered


def test_the_first_entry_that_covers_a_gate_is_its_policy() -> None:
    text = PICKY + "  - {name: rest, require: {permission: admin}}\n"
    low, high = (subject(labels=("risky",), artifacts={"accuracy": value}) for value in (0.5, 0.95))
    assert [parse(text).select(each).rule for each in (low, high)] == ["a gate", "rest"]


def test_an_entry_is_chosen_by_all_that_the_entries_before_it_look_at_too() -> None:
    file = parse(gate("when: {environment: production}") + OWN.replace("sandbox}", "staging}"))
    found = file.select(subject(environment="staging"))
    assert found.policy.chosen_by == ("environment",)
    assert parse(gate()).select(subject()).policy.chosen_by == ()


def test_a_gate_that_no_entry_covers_has_no_policy() -> None:
    with pytest.raises(NoPolicy) as caught:
        parse(PICKY, "p.yml").select(subject(flow="Other", labels=("x",)))
    assert str(caught.value) == (
        "no policy covers this gate: p.yml has no entry for step deploy of Other,"
        " environment production, labels x"
    )


@pytest.mark.parametrize(
    "artifacts", [{}, {"accuracy": "low"}, {"accuracy": True}, {"accuracy": float("nan")}]
)
def test_a_value_that_is_not_there_never_slips_past_to_a_milder_entry(
    artifacts: dict[str, Any],
) -> None:
    text = PICKY + "  - {name: milder, require: {permission: triage}}\n"
    with pytest.raises(NoPolicy, match=r"shows no artifact accuracy that 'accuracy < 0.9' can"):
        parse(text).select(subject(labels=("risky",), artifacts=artifacts))


@pytest.mark.parametrize("unsaid", [None, "", " ", "\n"])
def test_an_environment_that_is_not_said_never_slips_past_either(unsaid: str | None) -> None:
    text = PICKY + "  - {name: milder, require: {permission: triage}}\n"
    asked = subject(environment=unsaid, labels=("risky",), artifacts={"accuracy": 0.1})
    with pytest.raises(NoPolicy, match="does not say its environment"):
        parse(text).select(asked)


def test_an_environment_written_otherwise_does_not_slip_past_to_a_milder_entry() -> None:
    text = """\
gates:
  - {name: strict, when: {environment: production}, require: {permission: admin}}
  - {name: milder, require: {permission: triage}}
"""
    for written in (
        "production\n",
        "Production",
        " PRODUCTION",
        "pr\u043eduction",
        "produ\u03f2tion",
    ):
        assert parse(text).select(subject(environment=written)).rule == "strict"


def test_what_another_part_of_the_entry_rules_out_need_not_be_known() -> None:
    text = PICKY + "  - {name: milder, require: {permission: triage}}\n"
    assert parse(text).select(subject(flow="Other", environment=None)).rule == "milder"


# -- faults ----------------------------------------------------------------------------------------


def test_every_fault_is_told_at_once_with_its_line() -> None:
    text = """\
identity: {}
identities:
  svc: deploy[bot]
gates:
  - name: one
    wen: {flow: x}
    require:
      team: acme/ml
      users: [ann, 007, ann]
    timeout: 24
    on_timeout: aprove
  - name: one
    when: {enviroment: production}
    require:
      count: 3
      users: [ann, bob]
    users: [cat]
"""
    assert faults_of(text) == [
        "p.yml:1: the file has no key 'identity'; did you mean 'identities'?",
        "p.yml:3: identities: svc: 'deploy[bot]' is not an account such as ann",
        "p.yml:6: an entry of gates has no key 'wen'; did you mean 'when'?",
        "p.yml:8: require has no key 'team'; did you mean 'teams'?",
        "p.yml:9: users must be text and is '007', which YAML takes for a number: put it in quotes",
        "p.yml:9: users names 'ann' twice",
        "p.yml:10: timeout must be a length of time such as 24h and is '24',"
        " which YAML takes for a number",
        "p.yml:11: on_timeout cannot be 'aprove'; did you mean 'approve'?",
        "p.yml:12: two entries are called 'one'",
        "p.yml:13: when has no key 'enviroment'; did you mean 'environment'?",
        "p.yml:15: it can never be met: too few of ann or bob are left to approve",
        "p.yml:17: an entry of gates has no key 'users'; it belongs to require",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "p.yml:1: it is empty"),
        ("# only a comment\n", "p.yml:1: it is empty"),
        (
            "- a\n",
            "the file must be a mapping with the keys gates, identities, initiator, and is a list",
        ),
        ("a: [\n", "p.yml:2: this is not YAML"),
        ("a: 1\n--- \nb: 2\n", "p.yml:2: this is not YAML"),
        ("a: 1\nb: \x07\n", "p.yml:2: this is not YAML: it contains a character"),
        ("a: &x [1]\nb: *x\n", "p.yml:2: *x is an alias"),
        ("[" * 2_000 + "]" * 2_000, "p.yml:1: it is nested more than 100 deep"),
        ("identities: {}\n", "p.yml:1: the file has no 'gates', and needs one"),
        ("gates: []\n", "p.yml:1: gates is an empty list"),
        ("gates: {a: b}\n", "p.yml:1: gates must be a list"),
        ("gates: [~]\n", "p.yml:1: an entry of gates must be a mapping"),
        ("gates: [{name: a}]\n", "p.yml:1: an entry of gates has no 'require'"),
        ("gates: [{require: {users: a}}]\n", "p.yml:1: an entry of gates has no 'name'"),
        ("1: 2\n", "p.yml:1: a key must be text"),
        ("!x {a: b}\n", "p.yml:1: the file must be a mapping"),
        (gate(require="{}"), "p.yml:3: a rule names nobody who may decide"),
        (gate(require="{count: 2}"), "p.yml:3: a rule names nobody who may decide"),
        (gate(require="{count: 0, users: a}"), "p.yml:3: a rule asks for 0 approvals"),
        (gate(require="{users: []}"), "p.yml:3: users is an empty list"),
        (gate(require="{users: ~}"), "p.yml:3: users must be text and is nothing"),
        (gate(require="{users: '@ann'}"), "p.yml:3: users: '@ann' is not an account"),
        (gate(require="{users: no}"), "p.yml:3: users must be text and is 'no', which YAML takes"),
        (gate(require="{teams: ml}"), "p.yml:3: teams: 'ml' is not a team such as acme/ml"),
        (gate(require="{permission: read}"), "p.yml:3: permission cannot be 'read'; there is"),
        (gate(require="{permission: mantain}"), "did you mean 'maintain'?"),
        (gate(require="{count: 1:30, teams: a/b}"), "p.yml:3: count must be a plain number"),
        (gate(require="{count: 010, teams: a/b}"), "p.yml:3: count must be a plain number"),
        (gate(require="{count: two, teams: a/b}"), "p.yml:3: count must be a number and is text"),
        (gate(require="{count: 1.0, teams: a/b}"), "p.yml:3: count must be a whole number and is"),
        (gate(require="{users: anyone}"), "p.yml:3: users: 'anyone' is an account of that name"),
        (gate(require="{users: [ann, Ghost]}"), "'Ghost' is an account of that name, if there is"),
        (gate("disapprove: {users: everybody}"), "'everybody' is an account of that name"),
        (gate(require="{users: ['ann#1', Ann]}"), "p.yml:3: users names 'Ann' twice, and not with"),
        (gate("<<: {via: issue}"), "p.yml:4: << merges a mapping: write it out"),
        (gate(require="{all: []}"), "p.yml:3: all is an empty list"),
        (gate(require="{any: {users: a}}"), "p.yml:3: any must be a list"),
        (
            gate(require="{all: [{users: a}], count: 2}"),
            "p.yml:3: 'all' takes no other key beside it: put count",
        ),
        (gate(require="{each: [{users: a}, {users: a}]}"), "p.yml:3: it can never be met"),
        (gate(require="{each: [{users: a, count: 1}]}"), "a group of each has no key 'count'"),
        (gate("bar: {users: [ann]}", "{users: ann}"), "p.yml:3: it can never be met"),
        (gate("bar: {initiator: nope}"), "p.yml:4: initiator must be true or false and is text"),
        (gate("timeout: 3 weeks"), "p.yml:4: timeout: the duration '3 weeks'"),
        (gate("timeout: 0h"), "it must be longer than nothing"),
        (gate("on_timeout: approve"), "p.yml:2: on_timeout needs a timeout beside it"),
        (gate("when:\n  artifacts: accuracy << 1"), "p.yml:5: artifacts: the condition"),
        (gate("when: {step: ''}"), "p.yml:4: step is empty"),
        (gate("when: {environment: [dev, 'prod*']}"), "p.yml:4: environment: 'prod*' has a *"),
        (gate("via: email"), "p.yml:4: via cannot be 'email'; there is pull_request, issue"),
        (gate("via: issue\nvia: issue"), "p.yml:5: 'via' appears twice; the first is on line 4"),
        (gate() + "  - {name: b, require: {users: a}}\n", "p.yml:4: no gate gets here: 'a gate'"),
        ("identities: {Svc: a, svc: b}\n" + gate(), "p.yml:1: identities: 'svc' appears twice"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(text: str, says: str) -> None:
    found = faults_of(text)
    assert [each for each in found if says in each], found


def test_a_misspelt_condition_does_not_pass_for_none() -> None:
    text = gate("when: {flw: x}") + "  - {name: b, require: {users: a}}\n"
    assert faults_of(text) == ["p.yml:4: when has no key 'flw'; did you mean 'flow'?"]


@given(st.text(max_size=60) | st.text("{}[]:-,&*!|>'\"%@`~ \n\tabgtes", max_size=40))
def test_no_text_is_read_but_as_a_policy_or_as_faults(text: str) -> None:
    found: tuple[str, ...] = ()
    try:
        parse(text)
    except Faults as faults:
        found = faults.faults
    assert all(re.match(re.escape(PATH) + r":\d+: ", each) for each in found)


# -- the schema for editors ------------------------------------------------------------------------

SCHEMA = json.loads((DOCS / "approvals.schema.json").read_text())
PLACES = {
    "the file": SCHEMA,
    "an entry of gates": SCHEMA["$defs"]["entry"],
    "when": SCHEMA["$defs"]["when"],
    "require": SCHEMA["$defs"]["rule"],
    "a group of each": SCHEMA["$defs"]["group"],
    "disapprove": SCHEMA["$defs"]["group"],
    "bar": SCHEMA["$defs"]["bar"],
}
VALIDATOR = Draft202012Validator(SCHEMA)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_and_the_parser_know_the_same_keys() -> None:
    assert {place: set(keys) for place, keys in KEYS.items()} == {
        place: set(schema["properties"]) for place, schema in PLACES.items()
    }
    assert not [place for place, schema in PLACES.items() if schema["additionalProperties"]]


def test_the_schema_and_the_parser_know_the_same_words() -> None:
    entry = SCHEMA["$defs"]["entry"]["properties"]
    known = {
        "via": Via,
        "on_timeout": OnTimeout,
        "request_changes": RequestChanges,
        "dismissed_reviews": DismissedReviews,
        "initiator": Initiator,
        "facts": Facts,
    }
    for key, kind in known.items():
        assert set(entry[key]["enum"]) == {each.value for each in kind}
    assert SCHEMA["properties"]["initiator"]["enum"] == [each.value for each in Initiator]
    assert SCHEMA["$defs"]["permission"]["enum"] == list(PERMISSIONS)


def test_the_schema_takes_what_the_parser_takes() -> None:
    for text in (WHOLE, gate(), PICKY):
        parse(text)
        assert VALIDATOR.is_valid(yaml.safe_load(text))


ODD = [None, True, 3, 0, -1, 1.5, "", " ", "x", "a/b", "24h", "-5h", "@x", [], {}, ["x"], [3],
       [[]], {"x": 1}, ["x", "x"], [{}], {"users": "x"}, [{"users": "x"}]]  # fmt: skip


def _spots(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(pairs):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _spots(inner)


@st.composite
def mangled(draw: Any) -> Any:
    """A sound file with one value of it changed, taken out, or put beside."""
    document = copy.deepcopy(yaml.safe_load(WHOLE))
    container, key = draw(st.sampled_from(list(_spots(document))))
    change = draw(st.sampled_from(["odd", "odd", "gone", "more"]))
    if change == "gone":
        del container[key]
    elif change == "more" and isinstance(container, dict):
        container[draw(st.sampled_from([*sum(KEYS.values(), ()), "x"]))] = draw(
            st.sampled_from(ODD)
        )
    else:
        container[key] = draw(st.sampled_from(ODD))
    return document


#: What the parser refuses and a schema cannot say, or says less of.
BEYOND = (
    "it can never be met",
    "no gate gets here",
    "needs a timeout beside it",
    "the condition",
    "the duration",
    "twice",
    "two entries are called",
)


@given(mangled())
def test_the_schema_and_the_parser_agree_on_any_change(document: Any) -> None:
    text = yaml.safe_dump(document, sort_keys=False)
    assert yaml.safe_load(text) == document
    try:
        parse(text)
        found: tuple[str, ...] = ()
    except Faults as faults:
        found = faults.faults
    if VALIDATOR.is_valid(document):
        assert [each for each in found if not any(word in each for word in BEYOND)] == []
    else:
        assert found
