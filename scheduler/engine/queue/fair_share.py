"""Each owner's usage during a cycle: the share of the cluster, and the unused part of the quota;
and the number of members of each sweep that have an allocation (sweeps.py).

An owner's dominant share is the largest of the allocated shares of CPU, RAM and GPUs (Ghodsi et
al., NSDI 2011). The owner with the smallest one goes first. Every start counts before the next
workload is considered, so no owner takes the whole cluster in one cycle or exceeds a quota.
"""

from copy import copy
from math import lcm

from scheduler.engine.queue.sweeps import SweepUsage
from scheduler.engine.resources import ENDLESS, ZERO, Resources
from scheduler.engine.snapshot import DEFAULT_QUOTA, Running, Snapshot, Workload

NO_LIMIT = Resources(ENDLESS, ENDLESS, ENDLESS)


class OwnerUsage:
    """Allocations by owner, with the dominant shares and the quotas.

    Exact: shares are integers, in units of one by the least common multiple of the totals.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.shrink_count = 0  # the calls of `shrink`
        self._allocated = dict(snapshot.allocated_by_owner)
        self._units = _units(snapshot.total)
        self._shares: dict[str, int] = {}
        self._limits = dict(snapshot.quotas)
        self._limit = self._limits.get(DEFAULT_QUOTA, NO_LIMIT)
        self.sweeps = SweepUsage(snapshot)

    def copy(self) -> "OwnerUsage":
        """The same usage, to be changed on its own."""
        other = copy(self)
        other._allocated, other._shares = self._allocated.copy(), self._shares.copy()
        other.sweeps = self.sweeps.copy()
        return other

    # --- Fair shares -----------------------------------------------------------------------------

    def share(self, owner: str) -> int:
        share = self._shares.get(owner)
        if share is None:
            allocated = self.allocated(owner)
            share = max(amount * unit for amount, unit in zip(allocated, self._units, strict=True))
            self._shares[owner] = share
        return share

    # --- Quotas ----------------------------------------------------------------------------------

    def limit(self, owner: str) -> Resources:
        """The most that the owner may have allocated at once."""
        return self._limits.get(owner, self._limit)

    def unused_quota(self, owner: str) -> Resources:
        """What the owner may still start; 0 of a resource whose quota is used up or exceeded."""
        return self.limit(owner).minus_at_most(self.allocated(owner))

    def unused_quotas(self) -> dict[str, Resources]:
        """The unused quota by owner, of each owner with an allocation or a quota of its own. The
        entry of DEFAULT_QUOTA applies to all other owners."""
        return {
            owner: self.unused_quota(owner)
            for owner in {*self._allocated, *self._limits, DEFAULT_QUOTA}
        }

    def over(self, workload: Workload, besides: Resources = ZERO) -> bool:
        """Whether a gate keeps the workload from starting: as many of its sweep as may have an
        allocation have one, or it is over its owner's quota."""
        return self.sweeps.is_full(workload) or self.over_quota(workload, besides)

    def over_quota(self, workload: Workload, besides: Resources = ZERO) -> bool:
        """Whether the workload's start would exceed its owner's quota, after that owner has started
        `besides` as well."""
        if not self._limits:
            return False
        return not workload.total.fits_in(self.unused_quota(workload.owner).minus_at_most(besides))

    def shortfall(self, workload: Workload, besides: Resources = ZERO) -> Resources:
        """How much of the quota would have to be given back for the workload to start, after its
        owner has started `besides` as well."""
        owner, total = workload.owner, workload.total
        wanted = self.allocated(owner).plus(besides).plus(total)
        missing = wanted.minus_at_most(self.limit(owner))
        asked = zip(missing, total, strict=True)
        return Resources(*(lacks if asks else 0 for lacks, asks in asked))

    # --- What changes both -----------------------------------------------------------------------

    def allocated(self, owner: str) -> Resources:
        return self._allocated.get(owner, ZERO)

    def grow(self, workload: Workload, amount: Resources | None = None) -> None:
        """Add the allocation of a workload that starts: `amount`, or what it asks for."""
        self._add(workload.owner, workload.total if amount is None else amount)
        self.sweeps.add(workload.sweep, 1)

    def shrink(self, running: Running) -> None:
        """Subtract the allocation of a workload that leaves."""
        self._add(running.owner, running.total.times(-1))
        self.sweeps.add(running.sweep, -1)
        self.shrink_count += 1

    def _add(self, owner: str, amount: Resources) -> None:
        self._allocated[owner] = self.allocated(owner).plus(amount)
        self._shares.pop(owner, None)


def _units(total: Resources) -> tuple[int, ...]:
    """The weight of one unit of each resource; 0 if the cluster has none of it."""
    one = lcm(*(amount for amount in total if amount > 0))
    return tuple(one // amount if amount > 0 else 0 for amount in total)
