"""YAML read as nodes, so that every fault has its line: keys known, kinds exact, all at once.

Plain values are enough for a file without faults. They don't say on which line a fault is, that a
key came twice, or that `False` was written as `no`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bridge.core.errors import Faults

_TAG: Final = "tag:yaml.org,2002:"
_KINDS: Final = {
    "str": "text",
    "int": "a number",
    "float": "a number",
    "bool": "yes or no",
    "null": "nothing",
    "timestamp": "a date",
    "map": "a mapping",
    "seq": "a list",
}

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

#: What a place may hold: its name to its keys.
Keys = Mapping[str, tuple[str, ...]]


class Notes:
    """The faults of one file, as they are found."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.faults: dict[tuple[int, str], None] = {}

    def add(self, line: int, fault: str) -> None:
        self.faults[line, fault] = None

    def in_order(self) -> list[str]:
        ordered = sorted(self.faults, key=lambda fault: fault[0])
        return [f"{self.where}:{line}: {fault}" for line, fault in ordered]


def root(text: str, notes: Notes, keys: Keys) -> Place:
    """The file's own mapping; an empty one, and a fault, if it has none."""
    return Place(_composed(text, notes), "the file", notes, keys)


#: Some 2,500 entries. A file is read for each look at a page.
MOST_CHARACTERS: Final = 256 * 1024

#: Far more than rules in rules have; each level is a call of the loader to itself.
_DEEPEST: Final = 100

#: In C it is ten times faster.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _composed(text: str, notes: Notes) -> Node | None:
    if len(text) > MOST_CHARACTERS:
        notes.add(1, f"it has {len(text):,} characters; the most is {MOST_CHARACTERS:,}")
        return None
    try:
        for line, trap in _traps(text):
            notes.add(line, trap)
            return None
        node: Node | None = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        said = " ".join(str(error.problem or error.context).split())
        notes.add(_line(error.problem_mark), f"this is not YAML: {said}")
        return None
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        notes.add(line, "this is not YAML: it contains an unpaired surrogate")
        return None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        notes.add(line, "this is not YAML: it contains a character that is not allowed")
        return None
    if node is None:
        notes.add(1, "it is empty")
    return node


def _traps(text: str) -> Iterator[tuple[int, str]]:
    """What would take more memory or stack than there is."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        line = _line(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            # A handful of them can stand for more nodes than there is memory.
            yield line, f"*{event.anchor} is an alias: write the value out"
        if depth > _DEEPEST:
            yield line, f"it is nested more than {_DEEPEST} deep"


def _line(mark: Any) -> int:
    return int(mark.line) + 1 if mark is not None else 1


def nearest(word: str, valid: Sequence[str]) -> str:
    """`; did you mean 'teams'?`, or all that there is to choose from."""
    near = difflib.get_close_matches(word.lower(), valid, 1, 0.6)
    return f"; did you mean {near[0]!r}?" if near else f"; there is {', '.join(valid)}"


class Value:
    """One value, whatever it is."""

    def __init__(self, node: Node, called: str, notes: Notes) -> None:
        self.node = node
        self.called = called
        self._notes = notes
        self.line = node.start_mark.line + 1

    def fault(self, says: str) -> None:
        self._notes.add(self.line, says)

    def _is_not(self, wanted: str) -> None:
        kind = self.node.tag.removeprefix(_TAG)
        found = _KINDS.get(kind, f"tagged {kind}")
        plain = isinstance(self.node, ScalarNode) and kind not in {"str", "null"}
        shown = f"{self.node.value!r}, which YAML takes for {found}" if plain else found
        hint = ": put it in quotes" if plain and wanted == "text" else ""
        if wanted == found == "a number":  # `1.0`
            wanted = "a whole number"
        self.fault(f"{self.called} must be {wanted} and is {shown}{hint}")

    def scalar(self, kind: str, wanted: str) -> str | None:
        """The value as it was written, if YAML takes it for this kind."""
        if isinstance(self.node, ScalarNode) and self.node.tag == _TAG + kind:
            return str(self.node.value)
        self._is_not(wanted)
        return None

    def text(self, wanted: str = "text") -> str | None:
        found = self.scalar("str", wanted)
        if found is not None and not found.strip():
            self.fault(f"{self.called} is empty")
            return None
        return found

    def matching(self, form: re.Pattern[str], wanted: str) -> str | None:
        found = self.text()
        if found is None or form.fullmatch(found):
            return found
        self.fault(f"{self.called}: {found!r} is not {wanted}")
        return None

    def parsed(self, parse: Callable[[str], T], wanted: str) -> T | None:
        found = self.text(wanted)
        try:
            return parse(found) if found is not None else None
        except Faults as faults:
            self.fault(f"{self.called}: {faults}")
            return None

    def one_of(self, valid: Sequence[str]) -> str | None:
        found = self.text()
        if found is None or found in valid:
            return found
        self.fault(f"{self.called} cannot be {found!r}{nearest(found, valid)}")
        return None

    def items(self) -> list[Value]:
        """The entries of a list; of a single value, itself."""
        if isinstance(self.node, SequenceNode) and self.node.tag == _TAG + "seq":
            if not self.node.value:
                self.fault(f"{self.called} is an empty list")
            return [Value(each, self.called, self._notes) for each in self.node.value]
        return [self]


class Place:
    """A mapping whose keys are known. What is missing reads as nothing, and is a fault if it is
    needed."""

    def __init__(self, node: Node | None, name: str, notes: Notes, keys: Keys) -> None:
        self.name = name
        self.line = node.start_mark.line + 1 if node else 1
        self._notes = notes
        self._known = keys
        self._found: dict[str, Value] = {}
        self._before = len(notes.faults)
        self._is_there = isinstance(node, MappingNode) and node.tag == _TAG + "map"
        if isinstance(node, MappingNode) and self._is_there:
            self._read(node)
        elif node is not None:
            self.fault(
                f"{name} must be a mapping with the keys {', '.join(keys[name])},"
                f" and is {_KINDS.get(node.tag.removeprefix(_TAG), node.tag)}"
            )

    def _read(self, node: MappingNode) -> None:
        for key_node, value in node.value:
            if key_node.tag == f"{_TAG}merge":
                self._notes.add(_line(key_node.start_mark), "<< merges a mapping: write it out")
                continue
            key = Value(key_node, "a key", self._notes)
            name = key.text()
            if name is None:
                continue
            if name not in self._known[self.name]:
                key.fault(f"{self.name} has no key {name!r}{self._meant(name)}")
            elif name in self._found:
                key.fault(f"{name!r} appears twice; the first is on line {self._found[name].line}")
            else:
                self._found[name] = Value(value, name, self._notes)

    def _meant(self, name: str) -> str:
        elsewhere = [place for place, keys in self._known.items() if name in keys]
        return (
            f"; it belongs to {elsewhere[0]}"
            if elsewhere
            else nearest(name, self._known[self.name])
        )

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self._found)

    @property
    def sound(self) -> bool:
        """Whether it is there, and no fault was found in it so far."""
        return self._is_there and len(self._notes.faults) == self._before

    def fault(self, says: str) -> None:
        self._notes.add(self.line, says)

    def has(self, key: str) -> bool:
        return key in self._found

    # -- values ------------------------------------------------------------------------------

    def text(self, key: str, *, required: bool = False) -> str | None:
        found = self._at(key, required=required)
        return found.text() if found else None

    def texts(self, key: str) -> tuple[str, ...]:
        """A text, or a list of different ones."""
        return self._different(key, Value.text)

    def matching(self, key: str, form: re.Pattern[str], wanted: str) -> tuple[str, ...]:
        """As `texts`, each of this form."""
        return self._different(key, lambda entry: entry.matching(form, wanted))

    def _different(self, key: str, read: Callable[[Value], str | None]) -> tuple[str, ...]:
        found: dict[str, str] = {}
        for entry in self.entries(key):
            text = read(entry)
            if text is None:
                continue
            if text.casefold() in found:
                entry.fault(f"{key} names {text!r} twice")
            found[text.casefold()] = text
        return tuple(found.values())

    def parsed(self, key: str, parse: Callable[[str], T], wanted: str) -> T | None:
        found = self._at(key)
        return found.parsed(parse, wanted) if found else None

    def one_of(self, key: str, valid: Sequence[str]) -> str | None:
        found = self._at(key)
        return found.one_of(valid) if found else None

    def choice(self, key: str, kind: type[E]) -> E | None:
        found = self.one_of(key, [each.value for each in kind])
        return kind(found) if found in {each.value for each in kind} else None

    def flag(self, key: str) -> bool | None:
        found = self._at(key)
        written = found.scalar("bool", "true or false") if found else None
        return None if written is None else written.lower() in {"true", "yes", "on"}

    def count(self, key: str) -> int:
        """A plain number, 1 if there is none."""
        found = self._at(key)
        written = found.scalar("int", "a number") if found else "1"
        if found and written and not re.fullmatch(r"0|-?[1-9][0-9]{0,8}", written, re.ASCII):
            found.fault(f"{key} must be a plain number such as 2, and is {written}")
            return 1
        return int(written) if written else 1

    # -- what is inside ----------------------------------------------------------------------

    def entries(self, key: str) -> list[Value]:
        """The values of a list; a single value is a list of one."""
        found = self._at(key)
        return found.items() if found else []

    def place(self, key: str, name: str, *, required: bool = False) -> Place:
        found = self._at(key, required=required)
        return Place(found.node if found else None, name, self._notes, self._known)

    def places(self, key: str, name: str) -> list[Place]:
        """The mappings of a list that must be there."""
        found = self._at(key, required=True)
        if found and not isinstance(found.node, SequenceNode):
            found.fault(f"{key} must be a list: begin each of its entries with a dash")
            return []
        entries = found.items() if found else []
        return [Place(each.node, name, self._notes, self._known) for each in entries]

    def pairs(self, key: str) -> Iterator[tuple[str, Value]]:
        """The pairs of a mapping whose keys are anybody's to choose."""
        found = self._at(key)
        if found is None:
            return
        if not isinstance(found.node, MappingNode):
            found.fault(f"{key} must be a mapping")
            return
        for key_node, value in found.node.value:
            name = Value(key_node, f"a name in {key}", self._notes).text()
            if name is not None:
                yield name, Value(value, f"{key}: {name}", self._notes)

    def _at(self, key: str, *, required: bool = False) -> Value | None:
        found = self._found.get(key)
        if found is None and required and self._is_there:
            self.fault(f"{self.name} has no {key!r}, and needs one")
        return found
