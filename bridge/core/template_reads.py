"""What a message template reads and sees: its names, their faults, and the values behind them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.core import hide_secrets
from bridge.core.errors import Faults
from bridge.core.sanitize import shortened

ROOTS: Final = ("self", "inputs", "params")
_LONGEST_VALUE: Final = 300
LONGEST_MESSAGE: Final = 16_000
_MOST_NAMES: Final = 8
#: Of the names that there are, and of one, what is compared: somebody can write a request of many.
_MOST_COMPARED: Final = 500
_COMPARED: Final = 200
#: Attributes by which a template could reach Python's own objects.
INSIDES: Final = frozenset({"gi_frame", "cr_frame", "ag_frame", "tb_frame", "f_globals"})
#: `<Model object at 0x7f…>` is another text in every process, and the digest is over the text.
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True, slots=True)
class Known:
    """What can be known of a step's artifacts before it runs.

    `artifacts` and `params` are None if they cannot be known. `branches` are the steps that a
    join joins (empty: the step is no join); `foreach` says that they are many tasks of one step.
    """

    artifacts: frozenset[str] | None = None
    branches: tuple[str, ...] = ()
    foreach: bool = False
    params: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What a template may read. The mappings may be lazy: a value is taken when it is needed.

    `inputs` are the branches of a join in order, each with its step's name; None: no join.
    """

    artifacts: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[tuple[str, Mapping[str, Any]]] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


def known_of(scope: Scope) -> Known:
    steps = [step for step, _ in scope.inputs or ()]
    return Known(
        artifacts=None if steps else frozenset(scope.artifacts),
        branches=tuple(dict.fromkeys(steps)),
        foreach=len(set(steps)) < len(steps),
        params=frozenset(scope.params),
    )


def fault(says: str) -> Faults:
    return Faults("the message", [says])


def reason(error: Exception) -> str:
    return shortened(hide_secrets.in_text(str(error)[:2_000]), 200) or type(error).__name__


def quoted(template: str) -> str:
    return repr(shortened(template, 60))


def literally(source: str) -> str:
    """How a message shows this text itself, for the end of a fault."""
    # `{{` makes a template Jinja2, so that doubled braces are no way out here.
    return (
        f"; to show {source} itself, write {{{{ {source!r} }}}} (the message is then a Jinja2"
        " template, where a value is {{ self.accuracy }})"
    )


# -- what a template reads -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Read:
    """`self.accuracy` in `{self.accuracy:.1%}`; `guarded` if the template lets it be missing."""

    expression: str
    root: str
    steps: tuple[str | int, ...]
    guarded: bool = False
    line: int = 1

    @property
    def name(self) -> str:
        return self.root + "".join(
            f"[{each}]" if isinstance(each, int) else f".{each}" for each in self.steps
        )


@dataclass(frozen=True, slots=True)
class Parsed:
    reads: tuple[Read, ...]
    render: Callable[[Scope, Callable[[Any], str]], str]
    loose: frozenset[str] = frozenset()  # attributes of a loop over `inputs`
    faults: tuple[str, ...] = ()  # it cannot be rendered then


def artifact_of(read: Read) -> Iterator[str]:
    depth = 1 if read.root == "inputs" else 0
    if read.root in {"self", "inputs"} and len(read.steps) > depth:
        yield str(read.steps[depth])


def read_faults(read: Read, known: Known) -> Iterator[str]:
    steps = read.steps
    if read.root not in ROOTS:
        there = {f"self.{each}" for each in known.artifacts or ()} or set(ROOTS)
        near = there_are(f"self.{read.root}", there)
        literal = "" if read.expression.startswith("{{") else literally(read.expression)
        yield f"{read.expression} reads {read.root}, which does not exist; {near}{literal}"
    elif read.root == "inputs":
        yield from _join_faults(read, known)
    elif read.root == "params":
        yield from _name_faults(read, "params", steps[0] if steps else None, known.params)
    elif known.branches and not (steps and steps[0] in (known.params or ())):
        wanted = str(steps[0]) if steps else "artifact"
        says = " or ".join(f"inputs.{branch}.{wanted}" for branch in known.branches)
        if known.foreach:
            says = f"inputs[0].{wanted}, or a loop over inputs"
        yield f"{read.expression} is ambiguous, because the step is a join; write {says}"
    else:
        own = known.artifacts
        allowed = None if own is None else own | (known.params or frozenset())
        yield from _name_faults(read, "self", steps[0] if steps else None, allowed)


def _join_faults(read: Read, known: Known) -> Iterator[str]:
    first = read.steps[0] if read.steps else None
    if not known.branches:
        yield f"{read.expression} reads inputs, but the step is no join; write self.<artifact>"
    elif isinstance(first, str) and known.foreach:
        yield f"{read.expression} is ambiguous: there are many tasks of {first}; write inputs[0]"
    elif isinstance(first, str):
        yield from _name_faults(read, "inputs", first, frozenset(known.branches))
    if first is not None and len(read.steps) > 1 and known.branches and not known.foreach:
        spoken = read.name.rpartition(".")[0]
        yield from _name_faults(read, spoken, read.steps[1], known.artifacts)


def _name_faults(
    read: Read, of: str, name: str | int | None, there: frozenset[str] | None
) -> Iterator[str]:
    if name is None or isinstance(name, int):
        yield f"{read.expression}: {of} must be followed by a name, such as {of}.accuracy"
    elif there is not None and name not in there and not read.guarded:
        yield f"{read.expression} {_lacking(of, name, there)}"


def _lacking(of: str, name: str, there: Sequence[str] | frozenset[str]) -> str:
    wanted = f"{of}.{name}"
    return f"reads {wanted}, which does not exist; " + there_are(
        wanted, {f"{of}.{each}" for each in there}
    )


def there_are(wanted: str, there: set[str]) -> str:
    """The names that there are, those nearest to the wanted one first."""
    from difflib import SequenceMatcher

    def distance(name: str) -> tuple[float, str]:
        return -SequenceMatcher(None, wanted[:_COMPARED], name[:_COMPARED]).ratio(), name

    nearest = sorted(sorted(there)[:_MOST_COMPARED], key=distance)
    more = f" and {len(there) - _MOST_NAMES} more" if len(there) > _MOST_NAMES else ""
    return f"there is {', '.join(nearest[:_MOST_NAMES])}{more}" if nearest else "there is nothing"


# -- what a template sees ------------------------------------------------------------------------
# No member of these has a public name: every name belongs to an artifact.


class Names:
    """`self`, `params`, or one branch of a join."""

    __slots__ = ("_of", "_values")

    def __init__(self, of: str, values: Mapping[str, Any]) -> None:
        self._of = of
        self._values = values

    def __getitem__(self, name: object) -> Any:
        if not isinstance(name, str) or name not in self._values:
            raise LookupError(_lacks(self, name))
        return hide_secrets.within(name, self._values[name])


class Inputs:
    """The branches of a join: by number, by the step's name, or one after another."""

    __slots__ = ("_branches",)

    def __init__(self, branches: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        self._branches = branches

    def __getitem__(self, key: object) -> Names:
        found = [
            Names(f"inputs[{index}]" if isinstance(key, int) else f"inputs.{step}", values)
            for index, (step, values) in enumerate(self._branches)
            if key in (index, step)
        ]
        if len(found) != 1:
            raise LookupError(_lacks(self, key))
        return found[0]

    def __iter__(self) -> Iterator[Names]:
        return (self[index] for index in range(len(self._branches)))

    def __len__(self) -> int:
        return len(self._branches)


def _lacks(holder: Names | Inputs, key: object) -> str:
    if isinstance(holder, Names):
        return _lacking(holder._of, str(key), sorted(holder._values))
    steps = [step for step, _ in holder._branches]
    if steps.count(str(key)) > 1:
        return f"is ambiguous: there are {steps.count(str(key))} tasks of {key}; write inputs[0]"
    if isinstance(key, int):
        return f"reads inputs[{key}], but there are {len(steps)} inputs, counted from 0"
    return _lacking("inputs", str(key), steps)


class _Either(Mapping[str, Any]):
    """The first mapping, and if it lacks a name, the second; still lazy."""

    def __init__(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
        self._both = first, second

    def __getitem__(self, name: str) -> Any:
        return self._both[name not in self._both[0]][name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._both[0], *self._both[1]]))

    def __len__(self) -> int:
        return len(list(iter(self)))


def view_of(scope: Scope) -> dict[str, Any]:
    view: dict[str, Any] = {
        # A parameter is an attribute of the flow as well.
        "self": Names("self", _Either(scope.artifacts, scope.params)),
        "params": Names("params", scope.params),
    }
    if scope.inputs is not None:
        view["inputs"] = Inputs(scope.inputs)
    return view


def text_of(value: Any) -> str:
    """A value as text: the same in every process, on one line, of bounded length."""
    if isinstance(value, Names | Inputs):
        raise TypeError("it names no artifact; write self.accuracy")
    if isinstance(value, set | frozenset):
        # The order of a set of texts changes with the hash seed.
        text = "{" + ", ".join(sorted(map(repr, value))) + "}"
    else:
        text = _ADDRESS.sub("", str(value))
    # Cut first, and some way behind what is shown: a value may be of any length.
    return shortened(hide_secrets.in_text(text[: _LONGEST_VALUE * 8]), _LONGEST_VALUE)
