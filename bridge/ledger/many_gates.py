"""Many gates, read together: as many exchanges as one takes, one for each level of folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from bridge.core.errors import LedgerCorrupt
from bridge.core.model import Standing, branch_of
from bridge.ledger.exchanges import Exchanges
from bridge.ledger.gate_folders import GateFolders, record_ids
from bridge.ledger.git import Tree
from bridge.ledger.open_gates import GATES
from bridge.ledger.shard_refs import SHARDS, ref_of, shards_of


def read_all(
    exchanges: Exchanges, gates: GateFolders, gate_ids: Sequence[str]
) -> Mapping[str, Standing]:
    """What cannot be read is left out: it must not hide the others."""

    def attempt() -> dict[str, Standing]:
        refs = exchanges.clone.remote_refs(SHARDS, GATES)
        # One that makes no sense is read again, alone.
        with suppress(LedgerCorrupt):
            gates.bring_records(gate_ids, refs)
        found = {}
        shards = {ref_of(name): sha for name, sha in shards_of(refs).items()}
        for gate_id in gate_ids:
            # Without the other gates' branches: each gate would look through all of them.
            ref = f"refs/heads/{branch_of(gate_id)}"
            own = {**shards, ref: refs[ref]} if ref in refs else shards
            with suppress(LedgerCorrupt):
                found[gate_id] = gates.standing(gate_id, own)
        return {gate_id: standing for gate_id, standing in found.items() if standing}

    return exchanges.alone(attempt)


def decided(
    exchanges: Exchanges, gates: GateFolders, gate_ids: Sequence[str]
) -> Mapping[str, Standing]:
    """Those of them that are decided; what cannot be read is left out."""

    def attempt() -> dict[str, Standing]:
        done = _recorded(exchanges, gates, gate_ids)
        exchanges.clone.bring_files(record_ids(each.files for each in done))
        found = {}
        for each in done:
            with suppress(LedgerCorrupt):
                standing = gates.as_recorded(each.gate_id, each.files, each.commit, None)
                if standing.request.shard == each.shard:
                    found[each.gate_id] = standing
        return found

    return exchanges.alone(attempt)


def recorded(exchanges: Exchanges, gates: GateFolders, gate_ids: Sequence[str]) -> frozenset[str]:
    """Those of them that have a decision on record, whatever it says."""
    return exchanges.alone(
        lambda: frozenset(each.gate_id for each in _recorded(exchanges, gates, gate_ids))
    )


class _Recorded(NamedTuple):
    """A gate's folder with a decision, on one branch of the ledger."""

    gate_id: str
    shard: str
    commit: str
    files: Tree


def _recorded(exchanges: Exchanges, gates: GateFolders, gate_ids: Sequence[str]) -> list[_Recorded]:
    """Their folders on all branches: of the gates that are open, nothing is fetched."""
    shards = shards_of(exchanges.clone.remote_refs(SHARDS)) if gate_ids else {}
    places = [(commit, each) for commit in shards.values() for each in gate_ids]
    folders = gates.everywhere(places) if places else {}
    return [
        _Recorded(gate_id, shard, commit, files)
        for shard, commit in shards.items()
        for gate_id in gate_ids
        if "decision.yaml" in (files := folders[commit, gate_id])
    ]
