"""What one value of YAML means to two readers, and whether a reader gets all of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridge.core.numbers import exact
from bridge.core.sanitize import in_code

if TYPE_CHECKING:
    import yaml

#: What only one of the two takes for a number, or both for different ones.
_TWO_NUMBERS = re.compile(
    r"[-+]?(?:0[0-9]+"  # 8 or 10
    r"|0o[0-7]+|0b[01_]+"  # a text in one of them
    r"|(?=[0-9.]*[0-9]_)[0-9._]+|0x[0-9A-Fa-f]*_[0-9A-Fa-f_]*"
    r"|(?<=[-+])\.[0-9]+"  # only 1.2 has a sign there
    r"|[0-9]+(?::[0-5]?[0-9])+(?:\.[0-9]*)?"  # 1:30 is 90
    r"|(?![0-9]+\.[0-9]*[eE][-+])(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+)"  # 1e3
)
_YES_OR_NO = re.compile(r"yes|no|on|off", re.IGNORECASE)
_CURLY = re.compile(r"[“”„‟‘’‚‛«»].*[“”„‟‘’‚‛«»]", re.DOTALL)


def cut_short(node: yaml.ScalarNode, text: str) -> str | None:
    """Why a value is not all that its author wrote, if so."""
    written, shown = str(node.value), in_code(node.value, 60)
    if node.tag.endswith(":float") and written[-1:].isdigit():  # not `.inf`
        try:
            exact(written)
        except ValueError as error:
            return f"{shown} {error}"
    behind = text[node.end_mark.index :][:80]
    if node.tag.endswith(":str") and re.match(r"[ \t]+#", behind):
        return f"{shown} ends where YAML sees a comment: put a text with a # in quotation marks"
    return None


def two_meanings(written: str, is_switch: bool) -> str | None:
    shown = in_code(written, 60)
    if _CURLY.fullmatch(written):
        return f"{shown} is in curly quotation marks: write straight ones"
    if _TWO_NUMBERS.fullmatch(written):
        return (
            f"{shown} is ambiguous, because YAML has two ways to read it: write a plain number such"
            " as 10, or put a text in quotation marks"
        )
    if _YES_OR_NO.fullmatch(written) and not is_switch:
        return (
            f"{shown} is ambiguous, because YAML may take it for true or false: write true or"
            " false, or put a text in quotation marks"
        )
    return None
