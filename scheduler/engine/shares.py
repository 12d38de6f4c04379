"""What each owner holds as a cycle goes on: dominant resource fairness.

An owner's dominant share is the largest of the shares of CPU, RAM and GPUs that they hold (Ghodsi
et al., NSDI 2011). Whoever has the smallest goes first, and each start is counted before the next
one is looked at, so that nobody takes everything in one cycle.
"""

from math import lcm

from scheduler.engine.resources import NOTHING, Resources
from scheduler.engine.snapshot import Running, Snapshot


class Shares:
    """Exact: shares are integers, in units of one by the least common multiple of the totals."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.shrunk = 0  # how often one has
        self._held = dict(snapshot.held)
        self._units = _units(snapshot.total)
        self._known: dict[str, int] = {}

    def of(self, owner: str) -> int:
        share = self._known.get(owner)
        if share is None:
            held = self._held.get(owner, NOTHING)
            share = max(amount * unit for amount, unit in zip(held, self._units, strict=True))
            self._known[owner] = share
        return share

    def grow(self, owner: str, amount: Resources) -> None:
        self._held[owner] = self._held.get(owner, NOTHING).plus(amount)
        self._known.pop(owner, None)

    def shrink(self, running: Running) -> None:
        """It has to give back what it holds."""
        self.grow(running.owner, running.total.times(-1))
        self.shrunk += 1


def _units(total: Resources) -> tuple[int, ...]:
    """What one of each resource weighs; nothing where the cluster has none of it."""
    one = lcm(*(amount for amount in total if amount > 0))
    return tuple(one // amount if amount > 0 else 0 for amount in total)
