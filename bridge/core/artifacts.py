"""Artifacts as a person is shown them: type, size, a short value, what counts as a metric.

Values are hostile text and hostile objects: whatever one of them does when looked at, it is then
shown by its type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bridge.core.hide_secrets import HIDDEN, in_text, table
from bridge.core.json_schema import not_plain
from bridge.core.model import Artifact
from bridge.core.sanitize import harmless_terminal, is_secret, shortened
from bridge.core.texts import text_of

_WIDTH: Final = 80
_HEAD_LINES: Final = 6
_HEAD_WIDTH: Final = 110
_MOST_ITEMS: Final = 12

#: Stored bytes up to which a value of a plain type is worth unpickling: one line of it is shown.
_WORTH: Final = 1_000_000
_WORTH_ROWS: Final = 20_000_000  # a frame or an array, for its shape and first rows
_PLAIN: Final = frozenset(
    {"int", "float", "str", "bool", "NoneType", "complex", "list", "tuple", "dict", "set",
     "frozenset", "bytes", "Decimal", "Fraction", "datetime", "date", "time", "timedelta", "Path",
     "PosixPath", "UUID"}
)  # fmt: skip
LONGEST_COMPARED: Final = 200
#: How a text ends that is shown in part.
CUT: Final = " characters)"
_MODULES: Final = frozenset({"", "datetime", "decimal", "fractions", "pathlib", "uuid"})
_ROWS: Final = ("numpy.", "pandas.", "polars.")

#: First among the metrics, because they are what a person looks for.
_TELLING: Final = re.compile(
    r"acc|accuracy|auc|auroc|f1|precision|recall|loss|score|rmse|mse|mae|mape|r2|bleu|rouge\w*"
    r"|perplexity|error|cost|drift|latency|p\d{2}"
)


def summarise(name: str, value: Any, *, digest: str, size: int | None = None) -> Artifact:
    """The artifact with its value in short. `size` is in bytes, as stored. Never raises."""
    kind = type_name(value)
    if is_secret(name, value):
        return Artifact(name, kind, digest, size, HIDDEN)
    try:
        number = _number(value)
        shown = _shown(value)
        return Artifact(
            name,
            kind,
            digest,
            size,
            None if shown is None else shortened(shown, _WIDTH),
            _head(value),
            _link(value),
            number is not None,
            text=text_of(value, _WIDTH),
        )
    except Exception:  # noqa: BLE001 - the value's own code: its type must do
        return Artifact(name, kind, digest, size)


def unread(name: str, type_name: str, digest: str, size: int | None = None) -> Artifact:
    """The artifact by type and size alone, if it was not unpickled."""
    return Artifact(name, _spoken(type_name), digest, size)


def worth_reading(type_name: str, size: int | None) -> bool:
    """Whether an artifact of this type and stored size (bytes) is worth unpickling to show.

    A model is not: it costs memory and imports, and shows nothing.
    """
    spoken = _spoken(type_name)
    if has_rows(type_name):
        return size is not None and size <= _WORTH_ROWS
    module, _, name = spoken.rpartition(".")
    return module in _MODULES and name in _PLAIN and (size is None or size <= _WORTH)


def comparable(name: str, value: Any) -> bool:
    """Whether a policy may choose by it: a short text, a number, yes or no; and nothing secret."""
    return (
        type(value) in (str, int, float, bool)
        and not is_secret(name, value)
        and not any(not_plain(value, name))
        and len(str(value)) <= LONGEST_COMPARED
        and in_text(str(value)) == str(value)
    )


def has_rows(type_name: str) -> bool:
    """Whether it is a frame or an array, as far as its type says."""
    return _spoken(type_name).startswith(_ROWS)


def as_recorded(now: Iterable[Artifact], shown: Iterable[Artifact]) -> tuple[Artifact, ...]:
    """The artifacts as they are now, to be compared with those that were shown.

    If one side could not read a value, the digest of its bytes alone is compared: a package may be
    missing in one place and not in the other.
    """
    before = {(each.name, each.digest): each for each in shown}
    return tuple(_as_recorded(each, before.get((each.name, each.digest))) for each in now)


def _as_recorded(now: Artifact, shown: Artifact | None) -> Artifact:
    return shown if shown and shown.is_read is not now.is_read else now


def ordered(artifacts: Iterable[Artifact]) -> tuple[Artifact, ...]:
    """Metrics first, and among them what a person looks for."""

    def key(artifact: Artifact) -> tuple[bool, bool, str]:
        words = re.split(r"[_\W]+", artifact.name.lower())
        telling = any(_TELLING.fullmatch(word) for word in words)
        return not artifact.metric, not telling, artifact.name

    return tuple(sorted(artifacts, key=key))


# -- types ---------------------------------------------------------------------------------------


def type_name(value: Any) -> str:
    """`float`, `numpy.ndarray`, `pandas.DataFrame`: the package and the name, no inner modules."""
    kind = type(value)
    try:
        return _spoken(f"{kind.__module__}.{kind.__qualname__}")
    except Exception:  # noqa: BLE001 - a class can lie about its own name
        return "unknown"


def _spoken(name: str) -> str:
    """Also of what Metaflow keeps: `<class 'pandas.core.frame.DataFrame'>`."""
    match = re.fullmatch(r"<class '(.+)'>", name)
    parts = (match[1] if match else name).split(".")
    if parts[0] in {"builtins", "__main__"} or len(parts) == 1:
        return shortened(parts[-1], _WIDTH) or "unknown"
    return shortened(f"{parts[0]}.{parts[-1]}", _WIDTH)


def _is_array(value: Any) -> bool:
    return isinstance(getattr(value, "shape", None), tuple) and hasattr(value, "dtype")


def _is_frame(value: Any) -> bool:
    return hasattr(value, "columns") and isinstance(getattr(value, "shape", None), tuple)


def _number(value: Any) -> int | float | None:
    if _is_array(value) and value.shape == () and hasattr(value, "item"):
        value = value.item()
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else None


# -- values --------------------------------------------------------------------------------------


def _shown(value: Any) -> str | None:
    number = _number(value)
    if number is not None:
        return _number_shown(number)
    if isinstance(value, str):
        more = f"… ({len(value):,}{CUT}"
        text = in_text(value[: _WIDTH * 8])
        line = shortened(text, _WIDTH)
        return line if not line.endswith("…") else shortened(text, _WIDTH - len(more)) + more[1:]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value):,} bytes"
    if _is_frame(value):
        rows, columns = value.shape
        return f"{rows:,} rows × {columns:,} columns"
    if _is_array(value):
        return f"{' × '.join(f'{each:,}' for each in value.shape) or 'one'} of {value.dtype}"
    if _is_figure(value):
        return "figure"
    if isinstance(value, Mapping | Sequence | set | frozenset):
        return in_text(_several(value))
    return _said(value)


def _number_shown(number: float) -> str:
    if isinstance(number, int):
        # More digits than 4,300 are refused by Python itself.
        huge = number.bit_length() > 128
        return f"a number of {number.bit_length():,} bits" if huge else str(number)
    exact = repr(number)
    return exact if len(exact) <= 10 else f"{number:.6g}"


def _several(value: Any, depth: int = 0) -> str:
    """A container's first entries, secrets left out, and how many there are besides."""
    if depth > 2:
        return "…"
    if names := getattr(value, "_fields", None):  # a namedtuple
        value = dict(zip(names, value, strict=True))
    taken = []
    for index, item in enumerate(
        sorted(value, key=repr) if isinstance(value, set | frozenset) else value
    ):
        if index == _MOST_ITEMS:
            taken.append(f"… {len(value) - index:,} more")
            break
        if isinstance(value, Mapping):
            hidden = is_secret(str(item), value[item])
            inner = HIDDEN if hidden else _item(value[item], depth)
            taken.append(f"{shortened(str(item), 40)}: {inner}")
        else:
            taken.append(_item(item, depth))
    opening, closing = "[]" if isinstance(value, list) else "()"
    if isinstance(value, Mapping | set | frozenset):
        opening, closing = "{}"
    return opening + ", ".join(taken) + closing


def _item(value: Any, depth: int) -> str:
    if is_secret("", value):
        return HIDDEN
    if isinstance(value, str):
        return shortened(repr(value[:200]), 60)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _several(value, depth + 1)
    return shortened(_shown(value) or type_name(value), 60)


def _said(value: Any) -> str | None:
    """What the value says of itself, unless that is only where it lies in memory."""
    said = str(value)
    return None if re.search(r" at 0x[0-9a-fA-F]+", said) else in_text(said[: _WIDTH * 80])


def _is_figure(value: Any) -> bool:
    return hasattr(value, "savefig") or hasattr(value, "write_image")


def _head(value: Any) -> str | None:
    """The first rows of a frame, the first numbers of an array."""
    if _is_frame(value):
        shown = table(value)
        first = shown[list(shown.columns)[:_MOST_ITEMS]].head(_HEAD_LINES - 1)
        text = first.to_string() if hasattr(first, "to_string") else str(first)
    elif _is_array(value) and len(value.shape) in {1, 2} and value.shape[0]:
        rows = table(value) if hasattr(value, "index") else value
        text = rows if isinstance(rows, str) else "\n".join(map(str, rows[: _HEAD_LINES - 1]))
    else:
        return None
    lines = harmless_terminal(in_text(text[:20_000])).split("\n")[: _HEAD_LINES * 2]
    cut = (line if len(line) <= _HEAD_WIDTH else line[: _HEAD_WIDTH - 1] + "…" for line in lines)
    return "\n".join(each.rstrip() for each in cut)


def _link(value: Any) -> str | None:
    """A file the value stands for. A text never becomes a link: anyone may have written it."""
    if not hasattr(value, "__fspath__"):
        return None
    return shortened(in_text(str(value)[:2_000]), 200)
