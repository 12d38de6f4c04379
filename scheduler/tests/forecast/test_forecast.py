"""The forecast of one moment: tables of small clusters, and properties of random ones."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from random import Random

import pytest

from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Policy, Snapshot, Workload
from scheduler.forecast import Basis, Budget, Eta, Expected, History, Traits, forecast
from scheduler.simulator import Job, simulate
from scheduler.simulator.cluster_spec import parse
from scheduler.tests.engine.build import NOW, ends, job, node, pool, rack, run

ADA = Traits("ada", "train-7", "train:1", "LOW")
HOUR_MS = 3_600_000


def limited(snapshot: Snapshot, **known_s: int) -> dict[str, Expected]:
    """Every workload with its limit, and some with a run time that is known."""
    running = {
        each.id: None if each.ends_ms is None else each.ends_ms - (each.started_ms or NOW)
        for each in snapshot.running
    }
    waiting = {
        each.id: None if each.limit_s is None else each.limit_s * 1000 for each in snapshot.queued
    }
    return {
        id_: Expected(ADA, limit_ms, known_s[id_] * 1000 if id_ in known_s else None)
        for id_, limit_ms in (running | waiting).items()
    }


def eta_of(snapshot: Snapshot, target: str, history: History | None = None, **known_s: int) -> Eta:
    found = forecast(snapshot, [target], limited(snapshot, **known_s), history or History())
    return found.etas[target]


def both(eta: Eta) -> tuple[int | None, int | None, str]:
    return eta.p50_ms, eta.p90_ms, eta.basis


# --- Where all is known ---------------------------------------------------------------------------


def test_it_starts_when_the_limit_of_what_runs_ends_it() -> None:
    snapshot = pool(running=[run(8, ends_ms=ends(60))], queued=[job(8, id="mine")])
    assert both(eta_of(snapshot, "mine")) == (ends(60), ends(60), Basis.LIMITS)


def test_those_ahead_of_it_run_to_their_limits_first() -> None:
    first = [job(8, limit_s=100 * n, waited_s=10 - n) for n in (1, 2, 3)]
    snapshot = pool(running=[run(8, ends_ms=ends(60))], queued=[*first, job(8, id="mine")])
    assert both(eta_of(snapshot, "mine")) == (ends(660), ends(660), Basis.LIMITS)


def test_a_run_time_that_is_known_counts_before_the_limit() -> None:
    ahead = job(8, limit_s=100, waited_s=9, id="ahead")
    snapshot = pool(running=[run(8, ends_ms=ends(60))], queued=[ahead, job(8, id="mine")])
    assert eta_of(snapshot, "mine", ahead=40).p90_ms == ends(100)


def test_it_passes_what_does_not_fit() -> None:
    large = job(8, limit_s=100, waited_s=9)
    snapshot = pool(
        running=[run(4, ends_ms=ends(60)), run(4, ends_ms=ends(90))],
        queued=[large, job(4, id="mine")],
    )
    assert eta_of(snapshot, "mine").p90_ms == ends(60)


def test_what_is_evicted_starts_again_and_what_evicts_waits_for_exempt_times() -> None:
    victim = run(8, ran_s=50, ends_ms=ends(950))
    snapshot = pool(
        running=[victim],
        queued=[job(8, high=True, limit_s=30, id="urgent"), job(4, id="mine")],
        preempt_exempt_s=60,
    )
    assert eta_of(snapshot, "urgent").p90_ms == ends(10)
    assert eta_of(snapshot, "mine").p90_ms == ends(10 + 30 + 1000)


def test_what_is_being_stopped_frees_its_capacity_soon() -> None:
    snapshot = replace(pool(queued=[job(8, id="mine")]), allocated=Resources(1000, 1024, 8))
    eta = eta_of(snapshot, "mine")
    assert eta.p90_ms is not None
    assert NOW < eta.p90_ms <= ends(60)


def test_on_nodes_it_waits_for_one_that_has_enough() -> None:
    snapshot = rack(
        [node("a"), node("b")],
        running=[run(4, on="a", ends_ms=ends(50)), run(8, on="b", ends_ms=ends(70))],
        queued=[job(8, id="mine", selector={})],
    )
    assert eta_of(snapshot, "mine").p90_ms == ends(50)


@pytest.mark.parametrize(
    ("snapshot", "basis"),
    [
        (pool(running=[run(8)], queued=[job(8, id="mine")]), Basis.UNKNOWN),
        (
            pool(running=[run(8, ends_ms=ends(9))], queued=[job(9, id="mine")]),
            Basis.IMPOSSIBLE,
        ),
        (pool(state="PAUSED", queued=[job(8, id="mine")]), Basis.PAUSED),
        (
            pool(
                running=[run(8, ends_ms=ends(9))],
                queued=[job(8, endless=True, waited_s=9), job(8, id="mine")],
            ),
            Basis.UNKNOWN,
        ),
    ],
)
def test_where_nothing_is_known_it_says_why(snapshot: Snapshot, basis: Basis) -> None:
    assert both(eta_of(snapshot, "mine")) == (None, None, basis)


# --- History --------------------------------------------------------------------------------------


def hours(*lasted: float, traits: Traits = ADA) -> History:
    return History((traits, round(each * HOUR_MS)) for each in lasted)


def test_without_a_limit_run_times_of_the_past_are_taken() -> None:
    snapshot = pool(running=[run(8, ran_s=0)], queued=[job(8, id="mine")])
    eta = eta_of(snapshot, "mine", hours(*range(1, 11)))
    assert both(eta) == (NOW + 5 * HOUR_MS, NOW + 9 * HOUR_MS, Basis.HISTORY)


def test_what_has_run_for_long_runs_on_as_those_that_did_too() -> None:
    snapshot = pool(running=[run(8, ran_s=5 * 3600)], queued=[job(8, id="mine")])
    eta = eta_of(snapshot, "mine", hours(*range(1, 11)))
    assert both(eta) == (NOW + 3 * HOUR_MS, NOW + 5 * HOUR_MS, Basis.HISTORY)


def test_no_run_time_of_the_past_exceeds_the_limit() -> None:
    snapshot = pool(running=[run(8, ran_s=0, ends_ms=ends(7200))], queued=[job(8, id="mine")])
    eta = eta_of(snapshot, "mine", hours(*range(1, 11)))
    assert both(eta) == (ends(7200), ends(7200), Basis.HISTORY)


@pytest.mark.parametrize(
    ("closest", "others", "expected_h"),
    [
        (Traits("ada", "train-8", "other", "HIGH"), Traits("bo", "x", "train:1", "LOW"), 1),
        (Traits("bo", "x", "train:1", "HIGH"), Traits("bo", "y", "other", "LOW"), 1),
        (Traits("bo", "x", "other", "LOW"), Traits("bo", "y", "other", "HIGH"), 1),
    ],
)
def test_the_most_alike_that_are_enough_are_asked(
    closest: Traits, others: Traits, expected_h: int
) -> None:
    snapshot = pool(running=[run(8, ran_s=0)], queued=[job(8, id="mine")])
    runs = [(others, 9 * HOUR_MS)] * 20 + [(closest, HOUR_MS)] * 5
    assert eta_of(snapshot, "mine", History(runs)).p50_ms == NOW + expected_h * HOUR_MS
    four = eta_of(snapshot, "mine", History(runs[:-1]))
    assert four.p50_ms == NOW + 9 * HOUR_MS


def test_only_the_latest_run_times_are_kept() -> None:
    history = hours(*[9.0] * 500, *[1.0] * 500)
    assert set(history.longer_than(0, ADA)) == {HOUR_MS}


# --- Budget ---------------------------------------------------------------------------------------


def ticks() -> Callable[[], float]:
    """A clock that goes on by a second each time that it is looked at."""
    times = count()
    return lambda: float(next(times))


@pytest.mark.parametrize(("seconds", "least", "most"), [(10**6, 20, 20), (60, 6, 19), (1, 5, 5)])
def test_a_small_budget_plays_fewer_futures(seconds: float, least: int, most: int) -> None:
    snapshot = pool(
        running=[run(8, ran_s=0)], queued=[*(job(8) for _ in range(3)), job(8, id="mine")]
    )
    budget = Budget(seconds, ticks())
    found = forecast(snapshot, ["mine"], limited(snapshot), hours(*range(1, 11)), budget=budget)
    assert least <= found.futures <= most


def test_what_a_budget_does_not_reach_has_no_forecast_and_what_it_reaches_has() -> None:
    """The first in line is reached, the last of many is not."""
    queued = [job(8, waited_s=100 - n) for n in range(50)]
    snapshot = pool(running=[run(8, ran_s=0)], queued=queued)
    first, last = queued[0].id, queued[-1].id
    found = forecast(
        snapshot,
        [first, last],
        limited(snapshot),
        hours(*range(1, 11)),
        budget=Budget(50, ticks()),
    )
    assert both(found.etas[last]) == (None, None, Basis.TOO_LARGE)
    assert found.etas[first].basis == Basis.HISTORY
    assert found.etas[first].p50_ms is not None


# --- Properties -----------------------------------------------------------------------------------

POLICIES = (
    Policy(),
    Policy(ordering="fifo", preemption="never"),
    Policy(queueing="strict"),
    Policy(queueing="easy_backfill", ordering="fair_share"),
)


def crowd(seed: int, length: int = 30) -> list[Job]:
    """The last of which has to wait."""
    rng = Random(seed)
    jobs = [
        Job(
            submit_ms=1000 * number,
            run_ms=rng.randrange(5_000, 400_000),
            request=Resources(1000, 1024, rng.choice([0, 1, 2, 4, 8])),
            priority=rng.choice(["HIGH", "LOW", "LOW"]),
            limit_s=rng.choice([None, 400]),
            user=rng.choice("abc"),
        )
        for number in range(length)
    ]
    jobs[-1] = replace(jobs[-1], request=Resources(1000, 1024, 8), priority="LOW")
    return jobs


class LastSubmit:
    """Keeps the cluster as it is after the last submit."""

    def __init__(self, jobs: list[Job]) -> None:
        self.snapshot: Snapshot | None = None
        self._last = len(jobs) - 1

    def waits(self, number: int, snapshot: Callable[[], Snapshot]) -> None:
        if number == self._last:
            self.snapshot = snapshot()

    def starts(self, number: int, now_ms: int) -> None: ...

    def ends(self, number: int, now_ms: int) -> None: ...


@pytest.mark.parametrize("policy", POLICIES, ids=lambda each: f"{each.queueing} {each.ordering}")
@pytest.mark.parametrize("seed", range(4))
def test_it_is_exact_where_run_times_are_known_and_nothing_else_is_submitted(
    policy: Policy, seed: int
) -> None:
    jobs = crowd(seed)
    last = LastSubmit(jobs)
    result = simulate(jobs, parse("nodes=2,gpu=8,cpu=64,ram=65536"), policy, observer=last)
    assert last.snapshot is not None
    ids = [each.id for each in last.snapshot.queued]
    expected = {
        f"{number:09d}": Expected(ADA, known_ms=each.run_ms) for number, each in enumerate(jobs)
    }
    found = forecast(last.snapshot, ids, expected, History())
    assert len(ids) >= 5
    waited = [id_ for id_ in ids if result.fates[int(id_)].preemptions == 0]
    assert {id_: found.etas[id_].p90_ms for id_ in waited} == {
        id_: result.fates[int(id_)].started_ms for id_ in waited
    }


def uncertain(seed: int) -> tuple[Snapshot, dict[str, Expected], History]:
    rng = Random(seed)
    running = [run(2, ran_s=rng.randrange(3600)) for _ in range(4)]
    queued = [
        job(rng.choice([1, 2, 4]), high=rng.random() < 0.3, waited_s=20 - n) for n in range(12)
    ]
    snapshot = pool(running=running, queued=queued, preemption="never")
    return snapshot, limited(snapshot), hours(*[rng.uniform(0.1, 20) for _ in range(50)])


def submitted(snapshot: Snapshot, more: Workload) -> Snapshot:
    return replace(snapshot, queued=(*snapshot.queued, more))


@pytest.mark.parametrize("seed", range(3))
def test_p50_is_never_after_p90_and_the_same_input_gives_the_same_answer(seed: int) -> None:
    snapshot, expected, history = uncertain(seed)
    ids = [each.id for each in snapshot.queued]
    found = forecast(snapshot, ids, expected, history)
    assert found == forecast(snapshot, ids, expected, history)
    for eta in found.etas.values():
        assert eta.p50_ms is not None
        assert eta.p90_ms is not None
        assert NOW <= eta.p50_ms <= eta.p90_ms


@pytest.mark.parametrize("seed", range(3))
def test_longer_run_times_ahead_start_it_later(seed: int) -> None:
    """In one line, where each waits for the one before it."""
    rng = Random(seed)
    lasted = [rng.uniform(0.1, 5) for _ in range(20)]
    snapshot = pool(
        running=[run(8, ran_s=0)],
        queued=[*(job(8, waited_s=9 - n) for n in range(5)), job(8, id="mine")],
    )
    shorter = eta_of(snapshot, "mine", hours(*lasted))
    longer = eta_of(snapshot, "mine", hours(*[each * 1.5 for each in lasted]))
    assert shorter.p50_ms is not None
    assert longer.p50_ms is not None
    assert shorter.p50_ms < longer.p50_ms
    one_more = submitted(snapshot, job(8, waited_s=60))
    later = forecast(one_more, ["mine"], limited(one_more), hours(*lasted)).etas["mine"]
    assert later.p50_ms is not None
    assert later.p50_ms > shorter.p50_ms
