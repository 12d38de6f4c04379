"""What victims who free so much weigh at the least, told without a search: most bins can be ruled
out by that alone."""

from collections.abc import Iterable

from scheduler.engine.preemption.victims import EqualCandidates
from scheduler.engine.resources import Resources

_Line = list[tuple[int, int, int]]  # weight per amount (scaled), amount, weight


class LowerBound:
    """The dearest of the single dimensions' linear relaxations (Dantzig 1957), and the lightest."""

    def __init__(self, stacks: Iterable[EqualCandidates]) -> None:
        stacks = list(stacks)
        self._lightest = min(stack.weights[0] for stack in stacks)
        self._lines = [_line(stacks, dimension) for dimension in range(len(Resources._fields))]

    def of(self, need: Resources) -> int:
        """No set of these that frees `need`, of which something is positive, weighs less."""
        dearest = self._lightest
        for missing, line in zip(need, self._lines, strict=True):
            spent = 0
            for _, amount, weight in line:
                if missing <= amount:
                    spent += weight * max(missing, 0) // amount
                    break
                spent += weight
                missing -= amount  # noqa: PLW2901  # the dimension's own running need
            dearest = max(dearest, spent)
        return dearest


def _line(stacks: Iterable[EqualCandidates], dimension: int) -> _Line:
    """2**80 tells apart any two ratios of amounts below 2**40, so the order is exact."""
    return sorted(
        ((weight << 80) // amount, amount, weight)
        for stack in stacks
        if (amount := stack.frees[dimension])
        for weight in stack.weights
    )
