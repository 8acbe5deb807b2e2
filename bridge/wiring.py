"""Which adapter serves which port. Nothing is imported here before it is needed."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.settings import Settings

if TYPE_CHECKING:
    from bridge.ports import Here, Ledger, Notices

#: The ledger of a laptop, beside the project it belongs to.
LAPTOP_LEDGER = Path(".hitl") / "ledger.git"


def clock() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def ledger(settings: Settings, start: Path | None = None) -> Ledger:
    """The configured ledger, or the one of this project, made where there is none."""
    from bridge import gitledger

    if settings.ledger:
        return gitledger.GitLedger(settings.ledger, settings.cache)
    path = laptop_ledger(start or Path.cwd())
    gitledger.create(path)
    return gitledger.GitLedger(str(path), settings.cache)


def here(settings: Settings, start: Path | None = None) -> Here:
    """What a step at hand waits with. It is alive as long as the process that started it."""
    from bridge.identity import person
    from bridge.ports import Here

    parent = os.getppid()
    return Here(
        ledger=ledger(settings, start),
        notices=notices(settings),
        person=person(),
        clock=clock,
        asker=None,
        alive=lambda: os.getppid() == parent,
        pause=time.sleep,
    )


def notices(settings: Settings) -> Notices:
    from bridge.notices import Silent

    return Silent()


def laptop_ledger(start: Path) -> Path:
    """The nearest ledger from here upwards; where there is none, the top of the project's."""
    here = Path(os.path.abspath(start))
    upwards = [here, *here.parents]
    for folder in upwards:
        if (folder / LAPTOP_LEDGER).is_dir():
            return folder / LAPTOP_LEDGER
    top = next((folder for folder in upwards if (folder / ".git").exists()), here)
    return top / LAPTOP_LEDGER
