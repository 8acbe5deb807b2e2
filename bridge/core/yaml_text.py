"""YAML without surprises: one mapping of plain values, as the ledger and its readers use it.

Reading is strict: a key that is given twice, an alias, a tag, a nest that is too deep and a number
that is too large are faults. A text that is too long is refused before it is parsed.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from bridge.core.errors import LedgerCorrupt
from bridge.core.sanitize import as_text

if TYPE_CHECKING:
    import yaml


class Written(str):
    """A number or a date in the form in which it was written, of this tag of YAML."""

    tag = ""

    def __new__(cls, text: str, tag: str) -> Written:
        made = super().__new__(cls, text)
        made.tag = tag
        return made


def dump(record: Mapping[str, Any]) -> str:
    """YAML that a person reads: keys in the order given, long text as blocks, no aliases."""
    import yaml  # a listing of open gates does without this and the next: 30 ms

    out: str = yaml.dump(record, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=100)
    return out


@functools.cache
def _dumper() -> type[yaml.SafeDumper]:
    import yaml

    from bridge.core.yaml_meanings import two_meanings

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, _: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        value = as_text(value)  # a decision that nobody can read would shut its gate for good
        # Other ends of a line than a newline come back as newlines, unless they are escaped.
        escaped = any(each in value for each in "\r\x85\u2028\u2029\ufeff")
        # What we write without quotation marks, nobody may read in two ways.
        escaped = escaped or two_meanings(value, is_switch=False) is not None
        style = '"' if escaped else "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    def as_written(dumper: yaml.SafeDumper, value: Written) -> yaml.ScalarNode:
        return dumper.represent_scalar(value.tag, value)

    Dumper.add_representer(str, text)
    Dumper.add_representer(Written, as_written)
    return Dumper


def load(text: str, where: str) -> dict[str, Any]:
    """One mapping of plain values, each key once. Raises `LedgerCorrupt` naming the place."""
    import yaml

    if fault := too_long(text):
        raise LedgerCorrupt(f"{where} {fault}")
    try:
        _refuse_traps(text)
        found = yaml.load(text, Loader=_loader())  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise LedgerCorrupt(f"{where} cannot be read as YAML: {said}") from None
    if not isinstance(found, dict):
        raise LedgerCorrupt(f"{where} is not a mapping")
    return found


#: Characters of a record. A long message costs little, and GitHub takes 65,536 in one text.
MOST_CHARACTERS: Final = 2 * 1024 * 1024

#: Events of the parser, some two for each value: they are what a long record costs.
_MOST_EVENTS: Final = 100_000


def too_long(text: str) -> str | None:
    """Why no record is read from this text, without a look into it; None if it may be one."""
    if len(text) <= MOST_CHARACTERS:
        return None
    return f"has {len(text):,} characters; the most is {MOST_CHARACTERS:,}"


def too_large(text: str) -> str | None:
    """Why `load` would refuse what `dump` wrote; None if it reads it."""
    if len(text) < _MOST_EVENTS // 2:  # a character makes two events at most
        return too_long(text)
    import yaml

    try:
        _refuse_traps(text)
    except yaml.YAMLError as error:
        return str(error)
    return too_long(text)


#: Far more than any record has; the loader in C calls itself for each, until the process is gone.
_DEEPEST: Final = 100


#: Bits of a number: what a float can reach. Python refuses to print one of 4,300 digits.
_LONGEST_NUMBER: Final = 1_024


def _refuse_traps(text: str) -> None:
    """Refuse a nest that would take the process down, too many values, an alias, and a tag.

    By aliases one line becomes a gigabyte. A tag that its value does not fit (`!!bool maybe`) makes
    PyYAML raise whatever comes (https://github.com/yaml/pyyaml/issues/386), and no record has one.
    """
    if _has_no_room_for_traps(text):
        return
    import yaml

    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_loader())):
        if number > _MOST_EVENTS:
            raise yaml.YAMLError(f"has more than {_MOST_EVENTS // 2:,} values")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise yaml.YAMLError(f"it is nested more than {_DEEPEST} deep")
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"it repeats itself by *{event.anchor}: write it out")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise yaml.YAMLError(f"it has the tag {tag}: write the value without a tag")


def _has_no_room_for_traps(text: str) -> bool:
    """Whether it is seen without parsing: most records are so small, and an audit reads them all.

    A collection begins at a bracket, a dash, a colon or a question mark; an alias has an asterisk,
    a tag an exclamation mark; a character makes two events at most.
    """
    begins = sum(text.count(each) for each in "[{-:?")
    return begins <= _DEEPEST and len(text) < _MOST_EVENTS // 2 and not ("*" in text or "!" in text)


#: Characters of a scalar whose tag is remembered.
_SHORT: Final = 64


@functools.lru_cache(maxsize=1_024)  # most are keys, which all records have
def _tag_of(value: str) -> str:
    return _tag_of_plain(value)


def _tag_of_plain(value: str) -> str:
    """The tag of a scalar without quotation marks."""
    import yaml

    found = str(_resolver().resolve(yaml.ScalarNode, value, (True, False)))
    # PyYAML has no value for a plain `=`: https://github.com/yaml/pyyaml/issues/89
    return _TEXT if value == "=" else found


@functools.cache
def _resolver() -> Any:
    import yaml

    return yaml.resolver.Resolver()


_TEXT: Final = "tag:yaml.org,2002:str"
_ROWS: Final = "tag:yaml.org,2002:seq"
_KEYS: Final = "tag:yaml.org,2002:map"
_MERGE: Final = "tag:yaml.org,2002:merge"


@functools.cache
def _loader() -> type[yaml.SafeLoader]:
    import yaml

    scalar, rows = yaml.ScalarNode, yaml.SequenceNode

    # In C it is ten times faster, and without PyYAML's bookkeeping of aliases, which are refused,
    # twice as fast again: an audit of a long ledger feels both.
    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def resolve(self, kind: type, value: str, implicit: tuple[bool, bool]) -> Any:
            # The same that PyYAML finds, which looks for rules by path, too, and has none.
            if kind is not scalar:
                return _ROWS if kind is rows else _KEYS
            if not implicit[0]:
                return _TEXT
            return _tag_of(value) if len(value) <= _SHORT else _tag_of_plain(value)

        def descend_resolver(self, *_: object) -> None:
            """Nothing is resolved by its path."""

        ascend_resolver = descend_resolver

        def get_single_data(self) -> Any:
            node = self.get_single_node()
            return None if node is None else _built(self, node)

    Loader.add_constructor("tag:yaml.org,2002:int", _whole)
    return Loader


def _built(loader: Any, node: yaml.Node) -> Any:
    tag = node.tag
    if tag == _TEXT:
        return node.value
    if tag == _KEYS:
        return _mapping(loader, node)
    if tag == _ROWS:
        return [_built(loader, each) for each in node.value]
    if tag == _MERGE:  # as a value it is a text
        return node.value
    known = _KNOWN.get((tag, node.value))
    return loader.construct_object(node, deep=True) if known is None else known


def _mapping(loader: Any, node: yaml.Node) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        if key_node.tag in (_KEYS, _ROWS):  # `{{x}}` is a mapping within one
            raise _fault("a key is a list or a mapping: put the text in quotation marks", key_node)
        if key_node.tag == _MERGE:
            raise _fault("<< merges another mapping: write its keys out", key_node)
        key = key_node.value if key_node.tag == _TEXT else _built(loader, key_node)
        if key in found:
            raise _fault(f"the key {key!r} appears twice", key_node)
        found[key] = _built(loader, value_node)
    return found


#: What most numbers and switches of a record are, so that PyYAML need not be asked.
_KNOWN: Final[Mapping[tuple[str, Any], int]] = {
    **{("tag:yaml.org,2002:int", str(number)): number for number in range(10)},
    ("tag:yaml.org,2002:bool", "true"): True,
    ("tag:yaml.org,2002:bool", "false"): False,
}


def _whole(loader: Any, node: yaml.ScalarNode) -> int:
    # So long a text is not even parsed: in base 2 it has as many digits as bits.
    long = len(node.value) > 2 * _LONGEST_NUMBER
    found = 0 if long else int(loader.construct_yaml_int(node))
    if long or found.bit_length() > _LONGEST_NUMBER:
        raise _fault("a number is too large", node)
    return found


def _fault(says: str, node: yaml.Node) -> yaml.YAMLError:
    import yaml

    return yaml.constructor.ConstructorError(None, None, says, node.start_mark)


def ambiguous(text: str, switches: Collection[str] = ()) -> Iterator[str]:
    """Values without quotation marks that two readers of YAML read differently, or not whole.

    YAML 1.1, which PyYAML reads, and YAML 1.2, which most people have in mind, read `010`, `1:30`
    and `no` differently (https://yaml.org/spec/1.2.2/ext/changes/). `switches` are the places where
    yes and no can only mean true and false.
    """
    import yaml

    from bridge.core.yaml_meanings import cut_short, two_meanings

    root = yaml.compose(text, Loader=_loader())
    places: list[tuple[yaml.Node | None, str]] = [(root, "")]
    while places:
        node, path = places.pop()
        if isinstance(node, yaml.MappingNode):
            pairs = [(each, key.value) for key, each in node.value]
            places += [
                (each, f"{path}.{name}" if path else str(name)) for each, name in pairs[::-1]
            ]
        elif isinstance(node, yaml.SequenceNode):
            places += [(each, f"{path}[{n}]") for n, each in [*enumerate(node.value)][::-1]]
        elif isinstance(node, yaml.ScalarNode) and not node.style:  # no marks around it
            written = str(node.value)
            says = two_meanings(written, is_switch=path in switches) or cut_short(node, text)
            if says:
                yield f"{path}: {says}"
