"""Many gates, read together: as many exchanges as one takes, one for each level of folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from bridge.core.errors import LedgerCorrupt
from bridge.core.model import Standing
from bridge.ledger.exchanges import Exchanges
from bridge.ledger.gate_folders import LEDGER, GateFolders, record_ids
from bridge.ledger.git import Tree
from bridge.ledger.open_gates import GATES


def read_all(
    exchanges: Exchanges, gates: GateFolders, gate_ids: Sequence[str]
) -> Mapping[str, Standing]:
    """What cannot be read is left out: it must not hide the others."""

    def attempt() -> dict[str, Standing]:
        refs = exchanges.clone.remote_refs(LEDGER, GATES)
        # One that makes no sense is read again, alone.
        with suppress(LedgerCorrupt):
            gates.bring_records(gate_ids, refs)
        found = {}
        for gate_id in gate_ids:
            with suppress(LedgerCorrupt):
                found[gate_id] = gates.standing(gate_id, refs)
        return {gate_id: standing for gate_id, standing in found.items() if standing}

    return exchanges.alone(attempt)


def decided(
    exchanges: Exchanges, gates: GateFolders, gate_ids: Sequence[str]
) -> Mapping[str, Standing]:
    """Those of them that are decided; what cannot be read is left out."""

    def attempt() -> dict[str, Standing]:
        ledger, done = _recorded(exchanges, gates, gate_ids)
        exchanges.clone.bring_files(record_ids(done.values()))
        found = {}
        for gate_id, files in done.items():
            with suppress(LedgerCorrupt):
                found[gate_id] = gates.as_recorded(gate_id, files, ledger, None)
        return found

    return exchanges.alone(attempt)


def recorded(exchanges: Exchanges, gates: GateFolders, gate_ids: Sequence[str]) -> frozenset[str]:
    """Those of them that have a decision on record, whatever it says."""
    return exchanges.alone(lambda: frozenset(_recorded(exchanges, gates, gate_ids)[1]))


def _recorded(
    exchanges: Exchanges, gates: GateFolders, gate_ids: Sequence[str]
) -> tuple[str, Mapping[str, Tree]]:
    """The ledger's head, and their folders there: of the other gates, nothing is fetched."""
    ledger = exchanges.clone.tips(LEDGER).get(LEDGER, "") if gate_ids else ""
    folders = gates.everywhere([(ledger, each) for each in gate_ids]) if ledger else {}
    return ledger, {
        gate_id: files for (_, gate_id), files in folders.items() if "decision.yaml" in files
    }
