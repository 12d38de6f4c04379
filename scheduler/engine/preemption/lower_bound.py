"""A lower bound of the weight of victims that free a given amount, found without a search. Most
bins can be ruled out by that bound alone."""

from collections.abc import Iterable

from scheduler.engine.preemption.victims import EqualCandidates
from scheduler.engine.resources import Resources

_Ratios = list[tuple[int, int, int]]  # weight per amount (scaled), amount, weight


class LowerBound:
    """The maximum of the single dimensions' linear relaxations (Dantzig 1957) and of the lightest
    candidate's weight."""

    def __init__(self, groups: Iterable[EqualCandidates]) -> None:
        groups = list(groups)
        self._lightest = min(group.weights[0] for group in groups)
        self._dimensions = [
            _ratios(groups, dimension) for dimension in range(len(Resources._fields))
        ]

    def of(self, need: Resources) -> int:
        """The least possible weight of candidates that free `need`, which has a positive amount."""
        dearest = self._lightest
        for missing, ratios in zip(need, self._dimensions, strict=True):
            spent = 0
            for _, amount, weight in ratios:
                if missing <= amount:
                    spent += weight * max(missing, 0) // amount
                    break
                spent += weight
                missing -= amount  # noqa: PLW2901  # the dimension's own running need
            dearest = max(dearest, spent)
        return dearest


def _ratios(groups: Iterable[EqualCandidates], dimension: int) -> _Ratios:
    """All candidates that free some of the dimension, by ascending weight per amount.

    Scaled by 2**80, any two ratios of amounts below 2**40 differ, so the order is exact.
    """
    return sorted(
        ((weight << 80) // amount, amount, weight)
        for group in groups
        if (amount := group.frees[dimension])
        for weight in group.weights
    )
