"""What each owner holds as a cycle goes on: their share of the cluster, and what quotas leave them.

An owner's dominant share is the largest of the shares of CPU, RAM and GPUs that they hold (Ghodsi
et al., NSDI 2011). Whoever has the smallest goes first, and each start is counted before the next
one is looked at, so that nobody takes everything in one cycle, nor more than a quota allows.
"""

from math import lcm

from scheduler.engine.resources import ENDLESS, ZERO, Resources
from scheduler.engine.snapshot import DEFAULT_QUOTA, Running, Snapshot, Workload

NO_LIMIT = Resources(ENDLESS, ENDLESS, ENDLESS)


class OwnerUsage:
    """Exact: shares are integers, in units of one by the least common multiple of the totals."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.shrink_count = 0  # how often a share has
        self._allocated = dict(snapshot.allocated_by_owner)
        self._units = _units(snapshot.total)
        self._shares: dict[str, int] = {}
        self._limits = dict(snapshot.quotas)
        self._limit = self._limits.get(DEFAULT_QUOTA, NO_LIMIT)

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
        """The most that they may hold at once."""
        return self._limits.get(owner, self._limit)

    def unused_quota(self, owner: str) -> Resources:
        """What they may still start: nothing of what they hold too much of."""
        return self.limit(owner).minus_at_most(self.allocated(owner))

    def unused_quotas(self) -> dict[str, Resources]:
        """The same of everybody who holds anything or has a quota of their own, by owner; that of
        all others is DEFAULT_QUOTA's."""
        return {
            owner: self.unused_quota(owner)
            for owner in {*self._allocated, *self._limits, DEFAULT_QUOTA}
        }

    def over(self, workload: Workload, besides: Resources = ZERO) -> bool:
        """Whether it would take its owner over their quota, with `besides` started as well."""
        if not self._limits:
            return False
        return not workload.total.fits_in(self.unused_quota(workload.owner).minus_at_most(besides))

    # --- What changes both -----------------------------------------------------------------------

    def allocated(self, owner: str) -> Resources:
        return self._allocated.get(owner, ZERO)

    def grow(self, owner: str, amount: Resources) -> None:
        self._allocated[owner] = self.allocated(owner).plus(amount)
        self._shares.pop(owner, None)

    def shrink(self, running: Running) -> None:
        """It has to give back what it holds."""
        self.grow(running.owner, running.total.times(-1))
        self.shrink_count += 1


def _units(total: Resources) -> tuple[int, ...]:
    """What one of each resource weighs; nothing where the cluster has none of it."""
    one = lcm(*(amount for amount in total if amount > 0))
    return tuple(one // amount if amount > 0 else 0 for amount in total)
