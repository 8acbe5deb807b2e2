"""One rule for secrets inside values: what a table, a message, a condition and an error show.

`sanitize.is_secret` knows a secret by the name that it has or by its looks. Here it is looked for
within: in what a container holds, in the attribute that a message reads, and in text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bridge.core.sanitize import HEADER, OF_VENDORS, SIGNED, WEBHOOK, is_secret

HIDDEN: Final = "(hidden)"

#: A container within so many others is hidden whole: no message shows as much.
_DEPTH: Final = 20
_LONGEST_NAME: Final = 200

#: `password=`, `'api_key': `, `Authorization: ` and the like, with what is the name in the group.
#: Nothing here is tried twice from one place (`+` behind a quantifier): the text is a stranger's.
_NAME: Final = re.compile(
    rf"(?<![\w.-])(?:([\w.-]{{1,{_LONGEST_NAME}}}+)['\"]?\s*+(?:=>|[:=])\s*+"
    rf"|(?P<option>--[\w.-]{{1,{_LONGEST_NAME}}}+)[ \t](?:[ \t]|\\++[n\n]?)*+(?!-))"
)
#: What stands behind an option of a command line.
_ARGUMENT: Final = re.compile(r"(?:'[^']*+'?|\"(?:[^\"\\]|\\.)*+\"?|\\.|[^\s'\"\\]++)*+", re.DOTALL)
#: The parts of a value: quoted text, which may be cut before its end; a bracket; a mark that ends
#: it; blanks, unless the next name follows them; and whatever else.
_PART: Final = re.compile(
    r"(?P<quoted>'(?:[^'\\]|\\.)*+'?|\"(?:[^\"\\]|\\.)*+\"?)|(?P<opens>[(\[{])|(?P<closes>[)\]}])"
    r"|(?P<ends>[,;&\n])|(?P<next>[ \t]++(?=[\w.-]++['\"]?\s*+[:=]))|\s++|[^\s'\"()\[\]{},;&]++",
    re.DOTALL,
)
#: Secrets that give themselves away; see `sanitize.is_secret`.
_KEY: Final = re.compile(
    r"\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-|AKIA|ASIA|sk-|hf_|eyJ|[rs]k_(?:live|test)_|whsec_"
    r"|AIza(?=[\w-]{30})|npm_(?=\w{30})|pypi-(?=\w{16}))[\w.~+/-]{10,}"
    rf"|{HEADER}|{WEBHOOK}|{SIGNED}|{OF_VENDORS}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_USER: Final = re.compile(r"(?<=://)(?:[^/\s'\"@:]*+:[^/\s'\"@]*|[\w-]{20,100}+)@")
#: What a number of tokens looks like, and whether a test did `pass`.
_NUMBER: Final = re.compile(r"[-+]?\d[\d_.,]*(?:[eE][-+]?\d+)?|[Tt]rue|[Ff]alse|yes|no", re.ASCII)


def in_text(text: str) -> str:
    """The text with each secret in it replaced, in time linear in its length."""
    return "".join(_pieces(by_looks(text)))


def by_looks(text: str) -> str:
    """The same of the secrets alone that give themselves away: for what a person wrote to be read,
    in which `Password: see the wiki` is no secret."""
    return _USER.sub(f"{HIDDEN}@", _KEY.sub(HIDDEN, text))


def _pieces(text: str) -> Iterator[str]:
    done = 0
    for found in _NAME.finditer(text):
        if found.start() < done:
            continue  # it is inside a secret
        name = found["option"] or found[1]
        if not is_secret(name):
            continue
        argument = _ARGUMENT.match(text, found.end()) if found["option"] else None
        end = argument.end() if argument else _end_of_value(text, found.end())
        if _is_named_secret(name, text[found.end() : end]):
            yield text[done : found.end()] + HIDDEN
            done = end
    yield text[done:]


def _end_of_value(text: str, start: int) -> int:
    depth = 0
    for part in _PART.finditer(text, start):
        kind = part.lastgroup
        if depth == 0 and kind in {"closes", "ends", "next"}:
            return part.start()
        depth += (kind == "opens") - (kind == "closes")
    return len(text)


def _is_named_secret(name: str, value: str) -> bool:
    value = value.strip()
    if value.strip("'\"*…") in {"", HIDDEN, "None", "null"}:
        return False
    return is_secret(name, 0 if _NUMBER.fullmatch(value) else None)


def within(name: str, value: Any) -> Any:
    """The value of this name with every secret in it replaced; the same object if there is none."""
    return _within(name, value, {}, 0)


#: What each container came to, by its id; and the container, so that no other gets its id.
_Seen = dict[int, tuple[Any, Any]]


def _within(name: str, value: Any, seen: _Seen, depth: int) -> Any:
    if is_secret(name, value):
        return HIDDEN
    if not _is_container(value):
        return value
    if id(value) not in seen:
        seen[id(value)] = value, HIDDEN  # perhaps it holds itself
        seen[id(value)] = value, _container(value, seen, depth)
    return seen[id(value)][1]


def _is_container(value: Any) -> bool:
    if isinstance(value, str | bytes | int | float | None):
        return False
    return isinstance(value, Mapping | list | tuple | set | frozenset) or _is_table(value)


def _is_table(value: Any) -> bool:
    """A frame, or a series, as far as a name leads to its values."""
    return isinstance(getattr(value, "shape", None), tuple) and (
        hasattr(value, "columns") or hasattr(value, "index")
    )


def _container(value: Any, seen: _Seen, depth: int) -> Any:
    if depth == _DEPTH:
        return HIDDEN
    if isinstance(value, Mapping):
        return _mapping(value, seen, depth)
    if _is_table(value):
        return table(value)
    items = list(value)
    names = getattr(value, "_fields", None) or [""] * len(items)  # those of a namedtuple
    kept = [_within(key, each, seen, depth + 1) for key, each in zip(names, items, strict=True)]
    if all(new is old for new, old in zip(kept, items, strict=True)):
        return value
    if hasattr(value, "_fields"):
        return type(value)(*kept)
    for kind in (set, frozenset, tuple):
        if isinstance(value, kind):
            return kind(kept)
    return kept


def _mapping(value: Mapping[Any, Any], seen: _Seen, depth: int) -> Mapping[Any, Any]:
    items = list(value.items())
    kept = {key: _within(str(key), each, seen, depth + 1) for key, each in items}
    return value if all(kept[key] is each for key, each in items) else kept


def _example(column: Any) -> int | None:
    """A number in the place of the values of a column of numbers."""
    kind = getattr(getattr(column, "dtype", None), "kind", "")
    return 0 if kind in ("b", "i", "u", "f") else None


def table(value: Any) -> Any:
    """A frame without its secret columns, a series without its secret rows."""
    if hasattr(value, "columns"):
        columns = [
            each
            for each in value.columns
            if not is_secret(str(each)) or not is_secret(str(each), _example(value[each]))
        ]
        return value if len(columns) == len(value.columns) else value[columns]
    if is_secret(str(getattr(value, "name", "")), _example(value)):
        return HIDDEN
    rows = [not is_secret(str(each)) for each in value.index]
    return value if all(rows) else value[rows]
