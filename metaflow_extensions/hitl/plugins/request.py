"""What a gated task asks, from what Metaflow stored for it.

The launching side and the gated task come to the same digest, because both read the same inputs.
Artifacts have the digests of their stored bytes, for which nothing is unpickled. A value is read if
the message names it or if it is small enough to show, and without running code if it is plain.
"""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bridge.argo.ui import run_links
from bridge.core import artifacts as shown
from bridge.core import draw, message_template, plain_pickle
from bridge.core.approval import DECISION
from bridge.core.branches import asking_for, names_of
from bridge.core.comparison import declared_better, kind_of, split_of
from bridge.core.conditions import Readable, Test, judge
from bridge.core.errors import Faults
from bridge.core.evaluation import Condition
from bridge.core.facts import started_by
from bridge.core.gate_spec import GateSpec
from bridge.core.model import Artifact, Draft, Gate, Subject
from bridge.core.plain_pickle import NotPlain
from bridge.core.proposals import proposed
from bridge.core.settings import NODE, Settings
from bridge.core.texts import with_room
from bridge.core.unmatched import Option, unmatched
from metaflow_extensions.hitl.stored_bytes import StoredBytes

from .properties import Compute, WithProperties

#: The types, as they were stored, that a policy can choose by.
_PLAIN = ("str", "int", "float", "bool")


@dataclass(frozen=True)
class GatedTask:
    """A task that stands before its gate. `inputs` are the datastores of its parents."""

    gate: Gate
    step: str
    is_join: bool
    ends_foreach: bool  # it joins the splits of one
    keeps: bool  # and people choose which of them it gets
    split_index: int | None
    inputs: Sequence[Any]
    parameters: Mapping[str, Any]  # Metaflow's Parameter objects
    shared: frozenset[str]  # parameters, configs and class values: the same in every branch
    properties: Mapping[str, Compute]  # the flow's own
    project: tuple[str | None, str | None]  # that of `@project`, and its branch
    stored: StoredBytes


def draft_of(
    task: GatedTask, declared: GateSpec, settings: Settings, initiator: str | None
) -> Draft:
    """Raises `Faults` if the message cannot be rendered."""
    branches = _branches(task)
    subject = _subject_of(task, settings)
    pictures = _pictures(branches, declared.pictures)
    schema = proposed(declared.schema, partial(_value, branches))
    message = message_template.render(declared.message, _scope(task, branches))
    artifacts = with_room(shown.ordered(_summaries(branches)))
    return Draft(
        gate=task.gate,
        message=message,
        policy=declared.policy,
        artifacts=declared_better(artifacts, declared.better),
        schema=asking_for(schema, [*branch_names(task).values()]) if task.keeps else schema,
        facts=started_by(initiator),
        links=run_links(settings, os.environ.get(NODE, "")),
        subject=subject,
        declared=declared.declared,
        workflow=settings.workflow,
        kind=kind_of(subject, declared.compare, *task.project, _splits_of(task)),
        against=declared.compare.run,
        on_reject=declared.on_reject,
        unmatched=unmatched(_named(task, declared), [each.name for each in artifacts]),
        drawn=pictures.drawn,
        not_drawn=pictures.not_drawn,
    )


def _named(task: GatedTask, declared: GateSpec) -> Iterator[tuple[Option, str]]:
    for option, name in declared.named:
        # A condition reads properties, too.
        if option is not Option.AUTO_APPROVE_IF or name not in task.properties:
            yield option, name


def _value(branches: Sequence[_Branch], wanted: str) -> Any:
    """A plain value that the flow proposes. Raises `Faults`."""
    found = [each for each in _listed(branches) if wanted in each[:2]]
    if len(found) != 1:
        why = "differs between the branches" if found else "does not exist"
        raise Faults(wanted, [f"self.{wanted} {why}"])
    name, _, branch = found[0]
    try:
        return branch.plainly(name)
    except NotPlain:
        raise Faults(wanted, [f"self.{wanted} is no plain value"]) from None


def _pictures(branches: Sequence[_Branch], wanted: Sequence[str]) -> draw.Pictures:
    """On a join `losses` is that of each branch, and `train.losses` is that of one."""
    listed = [*_listed(branches)] if wanted else []
    return draw.pictures(
        (label, partial(branch.__getitem__, name))
        for each in wanted
        for name, label, branch in listed
        if each in (name, label)
    )


def _subject_of(task: GatedTask, settings: Settings) -> Subject:
    """What a repository's policy chooses by: the same in every process of this task."""
    branches = _branches(task)
    if task.is_join:  # a name of several branches has several values
        branches = [branches[0].only(task.shared)]
    flow = task.gate.key.partition("/")[0]
    plain = {k: v for each in branches for k, v in each.plain()}
    return Subject(flow, task.step, settings.environment, settings.labels, plain)


def condition_of(task: GatedTask, declared: GateSpec, environment: str | None) -> Condition | None:
    """The declared condition, looked at; None if none was declared."""
    if declared.condition is None:
        return None
    if isinstance(declared.condition, Test):
        return judge(declared.condition, readable(task, environment))
    artifacts = _scope(task, _branches(task)).artifacts
    return judge(declared.condition, Readable(artifacts, environment))


class _Plainly(Mapping[str, Any]):
    """Values of which those of a branch are None unless they are plain."""

    def __init__(self, values: Mapping[str, Any], branch: _Branch) -> None:
        self._values = values
        self._branch = branch

    def __getitem__(self, name: str) -> Any:
        if name not in self._branch:
            return self._values[name]  # a property
        try:
            return self._branch.plainly(name)
        except NotPlain:
            return None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def readable(task: GatedTask, environment: str | None) -> Readable:
    """What a condition that is a text may read: an object could claim to be any number."""
    branches = _branches(task)
    scope = _scope(task, branches)
    branch = branches[0].only(task.shared) if task.is_join else branches[0]
    return Readable(_Plainly(scope.artifacts, branch), environment)


@dataclass(frozen=True)
class Bytes:
    """The artifacts of a task's parents as they are stored now, and nothing loaded of them."""

    artifacts: frozenset[tuple[str, str]]  # name and digest, as the request has them
    digests: Mapping[str, str]  # by Metaflow's key
    names: Mapping[str, str]


def bytes_of(task: GatedTask) -> Bytes:
    digests: dict[str, str] = {}
    names: dict[str, str] = {}
    artifacts = set()
    for name, label, branch in _listed(_branches(task)):
        artifacts.add((label, branch.digest(name)))
        names[branch.key(name)] = label
        digests[branch.key(name)] = task.stored.digest(branch.key(name))
    return Bytes(frozenset(artifacts), digests, names)


def _scope(task: GatedTask, branches: Sequence[_Branch]) -> message_template.Scope:
    shared = branches[0].only(task.shared)
    seen = [(each.step, WithProperties(each, task.properties)) for each in branches]
    if task.is_join:
        return message_template.Scope(artifacts=shared, inputs=seen, params=shared)
    return message_template.Scope(artifacts=seen[0][1], params=shared)


def _summaries(branches: Sequence[_Branch]) -> Iterator[Artifact]:
    for name, label, branch in _listed(branches):
        yield branch.summary(name, label)


def plain_artifacts(task: GatedTask) -> list[Artifact]:
    """Those whose value can be shown without running code."""
    shown_plainly = (
        branch.summary(name, label, plain=True) for name, label, branch in _listed(_branches(task))
    )
    return [each for each in with_room(shown_plainly) if each.is_read]


def _listed(branches: Sequence[_Branch]) -> Iterator[tuple[str, str, _Branch]]:
    """Each artifact once if all branches hold the same, else one for each branch that has it."""
    branches[0].stored.read(key for branch in branches for key in branch.keys_stored())
    for name in sorted({name for branch in branches for name in branch}):
        holding = [each for each in branches if name in each]
        same = len(holding) == len(branches) and len({each.digest(name) for each in holding}) == 1
        for each in holding[:1] if same else holding:
            yield name, name if same else f"{each.label}.{name}", each


def _branches(task: GatedTask) -> list[_Branch]:
    if not task.is_join:
        split = _split_of(task.inputs[0], task.split_index)
        return [_Branch(task, task.inputs[0], split, task.step, task.step)]
    steps = Counter(each.step_name for each in task.inputs)
    names = branch_names(task) if task.keeps else {}
    found = []
    for position, each in enumerate(task.inputs):
        step = each.step_name
        alone = steps[step] == 1 and not names
        name = names[position] if names else _index_of(each, position)
        label = step if alone else f"{step}[{name}]"
        found.append(_Branch(task, each, None, step, label))
    return found


def branch_names(task: GatedTask) -> dict[int, str]:
    """What people call each input of a join over a foreach, by its position among the inputs. In
    the order of the foreach, which is the same in every process of the task."""
    places = [_index_of(each, position) for position, each in enumerate(task.inputs)]
    positions = sorted(range(len(places)), key=lambda each: places[each])
    frames = [task.inputs[each].get("_foreach_stack", []) for each in positions]
    # Metaflow's own word for the item: it outlives a join within the foreach, as the items do not.
    names = names_of([frame[-1].value if frame else None for frame in frames])
    return dict(zip(positions, names, strict=True))


@dataclass(frozen=True)
class _Split:
    """Which item of which artifact a foreach gave to this task."""

    variable: str
    index: int


def _split_of(parent: Any, split_index: int | None) -> _Split | None:
    if not parent.is_none("_foreach_var") and split_index is not None:
        return _Split(parent["_foreach_var"], split_index)
    stack = parent.get("_foreach_stack", [])
    return _Split(stack[-1].var, stack[-1].index) if stack else None


def _splits_of(task: GatedTask) -> Iterator[str]:
    """Which split of each foreach around it the task is, in words that hold in the next run."""
    parent = task.inputs[0]
    branch = _Branch(task, parent, None, task.step, task.step)
    splits = [_Split(each.var, each.index) for each in parent.get("_foreach_stack", [])]
    if task.ends_foreach:
        splits = splits[:-1]
    elif not task.is_join and not parent.is_none("_foreach_var") and task.split_index is not None:
        splits.append(_Split(parent["_foreach_var"], task.split_index))
    for each in splits:
        yield split_of(each.variable, each.index, branch.items_of(each.variable))


def _index_of(parent: Any, position: int) -> int:
    stack = parent.get("_foreach_stack", [])
    return int(stack[-1].index) if stack else position


@dataclass(frozen=True)
class _Loaded:
    """A value, and whether loading it ran no code."""

    value: Any
    is_plain: bool


class _Branch(Mapping[str, Any]):
    """The artifacts of one parent, each read when it is asked for."""

    def __init__(
        self,
        task: GatedTask,
        parent: Any,
        split: _Split | None,
        step: str,
        label: str,
        names: frozenset[str] | None = None,
    ) -> None:
        self.step = step
        self.label = label
        self.stored = task.stored
        self._task = task
        self._parent = parent
        self._keys: dict[str, str] = {
            name: key
            for name, key in parent.items()
            # Metaflow's own begin with an underscore; `name` is the flow's, set by Metaflow
            if not name.startswith("_") and name != "name" and (names is None or name in names)
        }
        self._split = split if split and split.variable in self._keys else None
        self._read: dict[str, _Loaded] = {}

    def only(self, names: frozenset[str]) -> _Branch:
        return _Branch(self._task, self._parent, None, self.step, self.label, names)

    def __iter__(self) -> Iterator[str]:
        yield from self._keys
        if self._split:
            yield "input"
            yield "index"

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._keys or (self._split is not None and name in ("input", "index"))

    def __getitem__(self, name: str) -> Any:
        """An artifact that the flow's author names: it is loaded whatever it is."""
        return self._value(name, plain=False)

    def plainly(self, name: str) -> Any:
        """The same, but only if that runs no code. Raises `NotPlain`."""
        return self._value(name, plain=True)

    def _value(self, name: str, *, plain: bool) -> Any:
        if name not in self:
            raise KeyError(name)
        if name not in self._read:
            self._read[name] = self._item(name, plain)
        found = self._read[name]
        if plain and not found.is_plain:
            raise NotPlain("it was loaded as an object")
        return found.value

    def _item(self, name: str, plain: bool) -> _Loaded:
        if self._split and name == "index":
            return _Loaded(self._split.index, True)
        if self._split and name == "input":
            return self._input(self._split, plain)
        try:
            found = self._loaded(name, plain)
            parameter = self._task.parameters.get(name)
            if parameter is None:
                return found
            return _Loaded(parameter.load_parameter(found.value), found.is_plain)
        except NotPlain:
            raise
        except Exception as error:
            # unpickling runs the code of whatever class was stored: anything may come out of it
            raise Faults(
                f"the artifact {name} of {self._parent.pathspec}",
                [f"it cannot be read here ({type(error).__name__}: {error})"],
            ) from error

    def _loaded(self, name: str, plain: bool) -> _Loaded:
        if "pickle" not in str(self._about(name).get("encoding", "pickle")):
            # Another serializer of Metaflow's stored it, and knows how it is read.
            if plain:
                raise NotPlain("it is no pickle")
            return _Loaded(self._parent[name], False)
        blob = self.stored.load(self._keys[name])
        try:
            return _Loaded(plain_pickle.load(blob), True)
        except NotPlain:
            if plain:
                raise
        return _Loaded(pickle.loads(blob), False)  # noqa: S301 - the flow's author names it

    def _input(self, split: _Split, plain: bool) -> _Loaded:
        items = self._value(split.variable, plain=plain)
        for position, each in enumerate(items):
            if position == split.index:
                return _Loaded(each, self._read[split.variable].is_plain)
        raise Faults(
            f"the artifact {split.variable} of {self._parent.pathspec}",
            [f"it has no item {split.index} any more"],
        )

    def items_of(self, variable: str) -> Sequence[Any]:
        """Those of a foreach, if they can be read everywhere without running code."""
        if variable not in self._keys or not shown.worth_reading(*self._stored_as(variable)):
            return ()
        try:
            return list(self.plainly(variable))
        except (Faults, NotPlain, TypeError):
            return ()

    def keys_stored(self) -> Iterable[str]:
        return self._keys.values()

    def key(self, name: str) -> str:
        """Metaflow's name of the bytes that this artifact is loaded from."""
        if self._split and name in ("input", "index"):
            name = self._split.variable
        return self._keys[name]

    def digest(self, name: str) -> str:
        digest = self.stored.digest(self.key(name))
        return f"{digest}#{self._split.index}" if self._split and self._is_item(name) else digest

    def summary(self, name: str, label: str, *, plain: bool = False) -> Artifact:
        type_name, size = self._stored_as(name)
        digest = self.digest(name)
        if name == DECISION or (name != "index" and not shown.worth_reading(type_name, size)):
            return shown.unread(label, type_name, digest, size)
        try:
            # Rows are no plain value, and worth more to people than their number.
            value = self._value(name, plain=plain or not shown.has_rows(type_name))
        except (Faults, NotPlain):
            return shown.unread(label, type_name, digest, size)
        own_size = None if self._is_item(name) else size
        return shown.summarise(label, value, digest=digest, size=own_size)

    def plain(self) -> Iterator[tuple[str, Any]]:
        """The short texts, the numbers, and what is yes or no; nothing that is kept from sight."""
        for name in self:
            kind, size = self._stored_as(name)
            # An item of a foreach can be read only where all of them can: not everywhere.
            if name == "input" or (name != "index" and kind not in _PLAIN):
                continue
            if shown.worth_reading(kind, size) or name == "index":
                try:
                    value = self.plainly(name)
                except NotPlain:
                    continue
                if shown.comparable(name, value):
                    yield name, value

    def _is_item(self, name: str) -> bool:
        return self._split is not None and name in ("input", "index")

    def _stored_as(self, name: str) -> tuple[str, int | None]:
        """Type and size as they were stored, for `input` those of the whole it is an item of."""
        stored = self._about(self._split.variable if self._split and self._is_item(name) else name)
        kind = str(stored.get("type", "?"))
        return kind.removeprefix("<class '").removesuffix("'>"), stored.get("size")

    def _about(self, name: str) -> Mapping[str, Any]:
        # The public accessor of sizes reads included files; this is the record itself.
        found: Mapping[str, Any] = self._parent._info.get(name, {})
        return found
