"""What a gated task asks, from what Metaflow stored for it.

The launching side and the gated task come to the same digest, because both read the same inputs.
Digests are the datastore's own content keys, so nothing is unpickled for them; a value is read
where the message names it or where it is small enough to show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.core import artifacts as shown
from bridge.core import message_template
from bridge.core.conditions import Readable, judge
from bridge.core.errors import Faults
from bridge.core.evaluation import Condition
from bridge.core.facts import started_by
from bridge.core.gate_spec import GateSpec
from bridge.core.model import Artifact, Draft, Gate, Subject
from bridge.core.settings import Settings

from .properties import Compute, WithProperties

#: The types, as they were stored, that a policy can choose by.
_PLAIN = ("str", "int", "float", "bool")


@dataclass(frozen=True)
class GatedTask:
    """A task that stands before its gate. `inputs` are the datastores of its parents."""

    gate: Gate
    step: str
    is_join: bool
    split_index: int | None
    inputs: Sequence[Any]
    parameters: Mapping[str, Any]  # Metaflow's Parameter objects
    shared: frozenset[str]  # parameters, configs and class values: the same in every branch
    properties: Mapping[str, Compute]  # the flow's own


def draft_of(
    task: GatedTask, declared: GateSpec, settings: Settings, initiator: str | None
) -> Draft:
    """Raises `Faults` if the message cannot be rendered."""
    branches = _branches(task)
    return Draft(
        gate=task.gate,
        message=message_template.render(declared.message, _scope(task, branches)),
        policy=declared.policy,
        artifacts=shown.ordered(_summaries(branches)),
        schema=declared.schema,
        facts=started_by(initiator),
        subject=_subject_of(task, settings),
        declared=declared.declared,
        workflow=settings.workflow,
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
    artifacts = _scope(task, _branches(task)).artifacts
    return judge(declared.condition, Readable(artifacts, environment))


def _scope(task: GatedTask, branches: Sequence[_Branch]) -> message_template.Scope:
    shared = branches[0].only(task.shared)
    seen = [(each.step, WithProperties(each, task.properties)) for each in branches]
    if task.is_join:
        return message_template.Scope(artifacts=shared, inputs=seen, params=shared)
    return message_template.Scope(artifacts=seen[0][1], params=shared)


def _summaries(branches: Sequence[_Branch]) -> Iterator[Artifact]:
    """Each artifact once where all branches hold the same, else one for each branch that has it."""
    for name in sorted({name for branch in branches for name in branch}):
        holding = [each for each in branches if name in each]
        same = len(holding) == len(branches) and len({each.digest(name) for each in holding}) == 1
        for each in holding[:1] if same else holding:
            yield each.summary(name, name if same else f"{each.label}.{name}")


def _branches(task: GatedTask) -> list[_Branch]:
    if not task.is_join:
        split = _split_of(task.inputs[0], task.split_index)
        return [_Branch(task.inputs[0], task.parameters, split, task.step, task.step)]
    steps = Counter(each.step_name for each in task.inputs)
    found = []
    for position, each in enumerate(task.inputs):
        step = each.step_name
        label = step if steps[step] == 1 else f"{step}[{_index_of(each, position)}]"
        found.append(_Branch(each, task.parameters, None, step, label))
    return found


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


def _index_of(parent: Any, position: int) -> int:
    stack = parent.get("_foreach_stack", [])
    return int(stack[-1].index) if stack else position


class _Branch(Mapping[str, Any]):
    """The artifacts of one parent, each read when it is asked for."""

    def __init__(
        self,
        stored: Any,
        parameters: Mapping[str, Any],
        split: _Split | None,
        step: str,
        label: str,
        names: frozenset[str] | None = None,
    ) -> None:
        self.step = step
        self.label = label
        self._stored = stored
        self._parameters = parameters
        self._keys = {
            name: key
            for name, key in stored.items()
            # Metaflow's own begin with an underscore; `name` is the flow's, set by Metaflow
            if not name.startswith("_") and name != "name" and (names is None or name in names)
        }
        self._split = split if split and split.variable in self._keys else None
        self._read: dict[str, Any] = {}

    def only(self, names: frozenset[str]) -> _Branch:
        return _Branch(self._stored, self._parameters, None, self.step, self.label, names)

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
        if name not in self:
            raise KeyError(name)
        if name not in self._read:
            self._read[name] = self._item(name)
        return self._read[name]

    def _item(self, name: str) -> Any:
        if self._split and name == "index":
            return self._split.index
        if self._split and name == "input":
            return self._input(self._split)
        try:
            value = self._stored[name]
            parameter = self._parameters.get(name)
            return parameter.load_parameter(value) if parameter is not None else value
        except Exception as error:
            # unpickling runs the code of whatever class was stored: anything may come out of it
            raise Faults(
                f"the artifact {name} of {self._stored.pathspec}",
                [f"it cannot be read here ({type(error).__name__}: {error})"],
            ) from error

    def _input(self, split: _Split) -> Any:
        items = self[split.variable]
        for position, each in enumerate(items):
            if position == split.index:
                return each
        raise Faults(
            f"the artifact {split.variable} of {self._stored.pathspec}",
            [f"it has no item {split.index} any more"],
        )

    def digest(self, name: str) -> str:
        if self._split and name in ("input", "index"):
            return f"{self.digest(self._split.variable)}#{self._split.index}"
        return f"sha1:{self._keys[name]}"

    def summary(self, name: str, label: str) -> Artifact:
        type_name, size = self._stored_as(name)
        digest = self.digest(name)
        if name == "index" or shown.worth_reading(type_name, size):
            try:
                value = self[name]
            except Faults:
                return shown.unread(label, type_name, digest, size)
            own_size = None if self._split and name in ("input", "index") else size
            return shown.summarise(label, value, digest=digest, size=own_size)
        return shown.unread(label, type_name, digest, size)

    def plain(self) -> Iterator[tuple[str, Any]]:
        """The short texts, the numbers, and what is yes or no; nothing that is kept from sight."""
        for name in self:
            kind, size = self._stored_as(name)
            # An item of a foreach can be read only where all of them can: not everywhere.
            if name == "input" or (name != "index" and kind not in _PLAIN):
                continue
            if shown.worth_reading(kind, size) or name == "index":
                value = self[name]
                if shown.comparable(name, value):
                    yield name, value

    def _stored_as(self, name: str) -> tuple[str, int | None]:
        """Type and size as they were stored, for `input` those of the whole it is an item of."""
        if self._split and name in ("input", "index"):
            name = self._split.variable
        # The public accessor of sizes reads included files; this is the record itself.
        stored = self._stored._info.get(name, {})
        kind = str(stored.get("type", "?"))
        return kind.removeprefix("<class '").removesuffix("'>"), stored.get("size")
