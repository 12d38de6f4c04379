"""How long a workload runs: what is known for certain, the cluster's history, and its time limit.

The history is asked level by level, the most alike first, until a level has enough runs that lasted
longer than the workload has run by now: a run time is conditional on that. A limit cuts off what is
longer, and stands in where there is no history.
"""

import re
from bisect import bisect_right, insort
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

ENOUGH = 5  # runs, for a level to speak
KEPT = 500  # of each level, the latest
_NUMBERS = re.compile(r"[0-9a-f]{8,}|\d+")


@dataclass(frozen=True)
class Traits:
    """What run times are alike by. Workloads whose names differ in numbers alone are alike."""

    owner: str
    name: str
    image: str
    priority: str

    @cached_property
    def levels(self) -> tuple[tuple[str, ...], ...]:
        """The most alike first; the last is the whole cluster."""
        return (
            ("name", self.owner, _NUMBERS.sub("#", self.name.lower())),
            ("image", self.image),
            ("class", self.priority),
            (),
        )


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a workload's run time in all: `known_ms` is exact, `limit_ms` the most."""

    traits: Traits
    limit_ms: int | None = None
    known_ms: int | None = None


class History:
    """The run times of a cluster's ended workloads, in ms, by level."""

    def __init__(self, runs: Iterable[tuple[Traits, int]] = ()) -> None:
        """`runs`: the oldest first."""
        self._latest: dict[tuple[str, ...], deque[int]] = defaultdict(deque)
        self._sorted: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for traits, run_ms in runs:
            self.add(traits, run_ms)

    def add(self, traits: Traits, run_ms: int) -> None:
        for level in traits.levels:
            latest, in_order = self._latest[level], self._sorted[level]
            latest.append(run_ms)
            insort(in_order, run_ms)
            if len(latest) > KEPT:
                del in_order[bisect_right(in_order, latest.popleft()) - 1]

    def longer_than(self, elapsed_ms: int, traits: Traits) -> list[int]:
        """The run times beyond `elapsed_ms`, sorted, of the first level that has enough of them;
        empty where none has."""
        for level in traits.levels:
            in_order = self._sorted.get(level, [])
            first = bisect_right(in_order, elapsed_ms)
            if len(in_order) - first >= ENOUGH:
                return in_order[first:]
        return []


class RunTime:
    """How long one workload runs on from a moment at which it has run for `elapsed_ms`."""

    def __init__(self, expected: Expected, history: History, elapsed_ms: int = 0) -> None:
        self._elapsed_ms, self._limit_ms = elapsed_ms, expected.limit_ms
        self._known_ms = expected.known_ms
        self._lasted = [] if self.is_known else history.longer_than(elapsed_ms, expected.traits)

    @property
    def is_known(self) -> bool:
        return self._known_ms is not None

    @property
    def is_from_history(self) -> bool:
        return bool(self._lasted)

    def left_ms(self, quantile: float) -> int | None:
        """How long it runs on, at least 1 ms, at a quantile between 0 and 1; None where neither a
        limit nor the history says anything."""
        total_ms = self._known_ms
        if self._lasted:
            total_ms = self._lasted[min(int(quantile * len(self._lasted)), len(self._lasted) - 1)]
        limits = [each for each in (total_ms, self._limit_ms) if each is not None]
        return max(min(limits) - self._elapsed_ms, 1) if limits else None
