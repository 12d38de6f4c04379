"""On which nodes the first in line will likely start: a guess, on which nothing is decided."""

from scheduler.engine.decision import Decision

MOST_NODES = 8  # of one workload


def likely_nodes(decision: Decision, most: int) -> list[tuple[str, tuple[str, ...]]]:
    """The ids of the first `most` workloads that wait, and those of the nodes of each: 1. where
    capacity is reserved for it, 2. where time limits promise it its place, else 3. where it will
    fit soonest, beside those before it."""
    state, snapshot = decision.state, decision.snapshot
    if state is None or not snapshot.nodes:
        return []
    reserved = _reserved(decision)
    found, claimed = [], frozenset[int]()
    for workload in decision.waiting()[:most]:
        bins = reserved.get(workload.id) or state.reservations.soonest_bins(workload, claimed)
        bins = bins or state.reservations.soonest_bins(workload, frozenset())
        claimed |= bins
        ids = [str(state.capacity.ids[at]) for at in sorted(bins)[:MOST_NODES]]
        if ids:
            found.append((workload.origin.id, tuple(ids)))
    return found


def _reserved(decision: Decision) -> dict[str, frozenset[int]]:
    """By workload, the bins that are kept for it."""
    state = decision.state
    if state is None:
        return {}
    reservations, delays = state.reservations, state.delays
    found = {each.reserved_for.id: frozenset(each.bins) for each in reservations.starvations}
    if reservations.backfill is not None:
        found[reservations.backfill.head.id] = frozenset(reservations.backfill.bins)
    for promise in delays.promises if delays is not None else ():
        found[promise.reserved_for.id] = frozenset(at for at, _ in promise.where)
    return found
