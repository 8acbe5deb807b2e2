"""Begin the ledger's next branch on GitHub, where only the decider may make one."""

from __future__ import annotations

from bridge.core.errors import BridgeError
from bridge.gates.finish_page import Tended
from bridge.gates.open_page import Desk


def begun(desk: Desk) -> tuple[Tended, ...]:
    """What to say of it. If it can't be made, gates go on to the branch that there is."""
    try:
        desk.ledger.begin_branch(desk.clock())
    except BridgeError as error:
        return (Tended(f"the ledger's next branch can't begin: {error}", failed=True),)
    return ()
