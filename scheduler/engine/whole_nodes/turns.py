"""The turns of workloads that take whole nodes: at each, one variant starts, or none can."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

from scheduler.engine.snapshot import Workload

Price = tuple[int, int]
Question = Callable[[Workload], bool]


class VariantTurns:
    """The variants of a cycle (variants.py), and what the cycle's state can do with one.

    Of the actions, `place` starts it in free capacity, `price` is that of its victims (None without
    any), and `preempt` starts it in theirs; `may_have` says whether its owner's quota allows it,
    and `waits` whether time limits promise it a place, for which it waits instead of preempting.
    """

    def __init__(
        self,
        by_origin: Mapping[str, Sequence[Workload]],
        *,
        may_have: Question,
        waits: Question,
        actions: tuple[Question, Callable[[Workload], Price | None], Question],
    ) -> None:
        """`by_origin`: the smallest first, by the id of the workload that they are variants of."""
        self._by_origin = by_origin
        self._may_have, self._waits = may_have, waits
        self._place, self._price, self._preempt = actions
        self._refused_at: dict[str, int] = {}  # by origin: how many had started by then

    def of(self, workload: Workload) -> Sequence[Workload]:
        """Its variants; of a workload without any, itself."""
        return self._by_origin.get(workload.origin.id) or (workload,)

    def is_delayed(self, workload: Workload) -> bool:
        return any(map(self._waits, self.of(workload)))

    def admit(self, workload: Workload, started: int) -> bool:
        """Start one of its variants: in free capacity the smallest that fits, else the one with the
        cheapest victims. `started`: how many workloads have started in this cycle."""
        id_ = workload.origin.id
        if self._refused_at.get(id_) == started:  # at the turn of another of its variants
            return False
        allowed = [each for each in self.of(workload) if self._may_have(each)]
        if any(map(self._place, allowed)):
            return True
        if len(allowed) > 1:
            priced = [(price, each) for each in allowed if (price := self._price(each))]
            allowed = [each for _, each in sorted(priced, key=itemgetter(0))]
        for each in allowed:
            if self._preempt(each):
                return True
            if self._waits(each):
                break
        self._refused_at[id_] = started
        return False
