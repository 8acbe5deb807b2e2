"""Whether a commit's checks are green: commit statuses and check runs, as GitHub's REST API says.

Both are read, because either may go by the name. Anyone who can write to the repository can set a
commit status, so each of that name must be green.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from bridge.core.errors import ForgeUnavailable
from bridge.core.facts import Fact
from bridge.github.transport import Json, Line
from bridge.policy.checks import GREEN, check_fact

#: What cannot be read whole is not green. Of either kind a commit has fewer than so many.
_MOST = 100


def facts_of(line: Line, repository: str, commit: str, names: Sequence[str]) -> tuple[Fact, ...]:
    """One fact for each name. A check that is not there or cannot be read is not green either."""
    home = f"/repos/{repository}/commits/{commit}"
    statuses = _rows(line, f"{home}/status?per_page={_MOST}", "statuses")
    found = []
    for name in names:
        path = f"{home}/check-runs?check_name={quote(name, safe='')}&per_page={_MOST}"
        runs = _rows(line, path, "check_runs")
        found.append(check_fact(commit, name, _state(name, statuses, runs)))
    return tuple(found)


def _state(name: str, statuses: list[Json] | None, runs: list[Json] | None) -> str:
    if statuses is None or runs is None:
        return "unreadable"
    states = [str(each.get("state")) for each in statuses if each.get("context") == name]
    states += [
        str(each.get("conclusion") or each.get("status"))
        for each in runs
        if each.get("name") == name
    ]
    others = [each for each in states if each != GREEN]
    return "absent" if not states else others[0] if others else GREEN


def _rows(line: Line, path: str, kind: str) -> list[Json] | None:
    """None if they cannot be read, or not all of them."""
    try:
        found = line.get(path, f"the checks cannot be read ({kind})")
        rows, total = found[kind], found["total_count"]
    except (ForgeUnavailable, KeyError, TypeError):
        return None
    return rows if isinstance(rows, list) and len(rows) == total else None
