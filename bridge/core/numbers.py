"""Numbers that are kept as they are written."""

from __future__ import annotations

import math
from decimal import Decimal


def whole(text: str) -> bool:
    """Whether it is written in the digits 0 to 9 alone. `isdecimal` also takes those of every other
    script, and so does `int`: people would read another number, or none."""
    return text.isascii() and text.isdigit()


def exact(written: str) -> float:
    """The number as it is written. Raises `ValueError` if a float would keep another one."""
    value = float(written)
    if not math.isfinite(value):
        return value  # refused for that by what checks it
    try:
        kept = Decimal(written) == Decimal(repr(value))
    except ArithmeticError:  # an exponent of twenty digits
        kept = False
    if not kept:
        raise ValueError("has more digits than a number keeps: write fewer")
    return value
