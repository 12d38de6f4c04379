"""Some futures of a cluster, and what they say about when each waiting workload starts.

The futures are stratified: each workload's run times cover its distribution evenly over them, in an
order of its own that follows from its id. So the same input gives the same answer.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from math import ceil, inf
from random import Random

from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.snapshot import ACTIVE, Snapshot
from scheduler.engine.wait_reasons import impossible
from scheduler.forecast.calibration import NO_CORRECTION, Correction
from scheduler.forecast.future import Future, Start
from scheduler.forecast.run_times import Expected, History, RunTime

FUTURES = 20
FEWEST = 5  # where a budget allows no more, each of them with that part of it


class Basis(StrEnum):
    """What an answer rests on: limits and other run times that are known for certain, or the
    cluster's history as well. The others say why there is no answer."""

    LIMITS = "limits"
    HISTORY = "history"
    TOO_LARGE = "too_large"  # planning on would cost too much
    UNKNOWN = "unknown"  # what runs ahead of it has no limit, and nothing alike has ended
    IMPOSSIBLE = "impossible"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Eta:
    """When a workload starts, in ms: by `p50_ms` in half of the futures, by `p90_ms` in nine of
    ten. `raw_p90_ms` is the same before the correction. None where too few futures start it."""

    basis: Basis
    p50_ms: int | None = None
    p90_ms: int | None = None
    raw_p90_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """By id; made of so many futures at `now_ms`."""

    now_ms: int
    futures: int
    etas: Mapping[str, Eta] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Budget:
    """Seconds of a clock, of the processor for instance, for one forecast."""

    seconds: float = inf
    clock: Callable[[], float] = lambda: 0.0


NO_LIMIT = Budget()


def forecast(
    snapshot: Snapshot,
    targets: Collection[str],
    expected: Mapping[str, Expected],
    history: History,
    *,
    correction: Correction = NO_CORRECTION,
    budget: Budget = NO_LIMIT,
) -> Forecast:
    """When the waiting workloads of these ids start. `expected` has every running and waiting
    workload's run time, as far as it is known."""
    capacity = Capacity(snapshot)
    never = {each.id for each in snapshot.queued if impossible(capacity, each) is not None}
    etas = {id_: Eta(Basis.IMPOSSIBLE) for id_ in targets if id_ in never}
    wanted = [id_ for id_ in targets if id_ not in never]
    if snapshot.state != ACTIVE:
        paused = dict.fromkeys(wanted, Eta(Basis.PAUSED))
        return Forecast(snapshot.now_ms, 0, etas | paused)
    played = _play(snapshot, wanted, _Draws(expected, history), budget)
    for id_ in wanted:
        etas[id_] = _eta(played, id_, snapshot.now_ms, correction)
    return Forecast(snapshot.now_ms, len(played), etas)


@dataclass(frozen=True, slots=True)
class _Played:
    starts: Mapping[str, Start]
    whole: bool  # False: what is missing starts later, or never


def _play(
    snapshot: Snapshot, wanted: Sequence[str], draws: "_Draws", budget: Budget
) -> list[_Played]:
    """As many futures as the budget allows: what the first one costs says how many."""
    played: list[_Played] = []
    count, share_s = FUTURES, budget.seconds / FEWEST
    while len(played) < count:
        began_s = budget.clock()
        future = Future(snapshot, draws.of_future(len(played)), draws.is_by_history)
        whole = future.play(wanted, partial(_is_spent, budget.clock, began_s + share_s))
        played.append(_Played(future.starts, whole))
        if not draws.vary:  # all futures would be the same
            break
        if len(played) == 1 and (cost_s := budget.clock() - began_s) > 0:
            count = min(max(int(budget.seconds / cost_s), FEWEST), FUTURES)
    return played


def _is_spent(clock: Callable[[], float], until_s: float) -> bool:
    return clock() >= until_s


def _eta(played: Sequence[_Played], id_: str, now_ms: int, correction: Correction) -> Eta:
    starts = [found for each in played if (found := each.starts.get(id_)) is not None]
    known = sorted(each.at_ms for each in starts)
    p50, p90 = (_percentile(known, len(played), share) for share in (0.5, 0.9))
    if p50 is None:
        cut = any(not each.whole and id_ not in each.starts for each in played)
        return Eta(Basis.TOO_LARGE if cut else Basis.UNKNOWN)
    basis = Basis.HISTORY if any(each.by_history for each in starts) else Basis.LIMITS
    wait_ms = correction.of(p50 - now_ms, None if p90 is None else p90 - now_ms)
    return Eta(basis, p50, None if wait_ms is None else now_ms + wait_ms, p90)


def _percentile(known: list[int], count: int, share: float) -> int | None:
    """The moment by which that share of all futures has started it; None: they have not."""
    number = ceil(share * count)
    return known[number - 1] if number <= len(known) else None


class _Draws:
    """The run times of each future."""

    def __init__(self, expected: Mapping[str, Expected], history: History) -> None:
        self.vary = False  # whether any run time drawn was not known for certain
        self._expected, self._history = expected, history
        self._orders: dict[str, list[int]] = {}
        self._run_times: dict[tuple[str, int], RunTime] = {}
        self._by_history: set[str] = set()

    def is_by_history(self, id_: str) -> bool:
        return id_ in self._by_history

    def of_future(self, number: int) -> Callable[[str, int], int | None]:
        def left_ms(id_: str, elapsed_ms: int) -> int | None:
            run_time = self._run_time(id_, elapsed_ms)
            if run_time is None:
                return None
            if not run_time.is_from_history:
                return run_time.left_ms(0.5)
            self.vary = True
            self._by_history.add(id_)
            return run_time.left_ms((self._order(id_)[number] + 0.5) / FUTURES)

        return left_ms

    def _run_time(self, id_: str, elapsed_ms: int) -> RunTime | None:
        found = self._run_times.get((id_, elapsed_ms))
        if found is None and (expected := self._expected.get(id_)) is not None:
            found = RunTime(expected, self._history, elapsed_ms)
            self._run_times[id_, elapsed_ms] = found
        return found

    def _order(self, id_: str) -> list[int]:
        order = self._orders.get(id_)
        if order is None:
            order = list(range(FUTURES))
            Random(id_).shuffle(order)
            self._orders[id_] = order
        return order
