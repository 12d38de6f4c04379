"""Limits of sweeps with known answers: no more members than that run at once, and one that waits
for that keeps nothing from others."""

from dataclasses import replace

import pytest

from scheduler.engine import Snapshot
from scheduler.engine.invariants import check
from scheduler.engine.plan import Start
from scheduler.engine.snapshot import Placement
from scheduler.engine.wait_reasons import ReasonsWithoutCycle
from scheduler.engine.whatif import WhatIf
from scheduler.engine.whatif.questions import occupants
from scheduler.tests.engine.build import (
    NOW,
    ends,
    job,
    limited,
    member_of,
    members,
    node,
    pool,
    rack,
    run,
)
from scheduler.tests.engine.plans import evicted_ids, plan, reason, replayed_plan, started

FULL = {"sweep": "lr", "max_parallel": 2, "allocated": 2}


def test_the_first_of_a_sweep_start_up_to_its_limit_and_one_reason_is_that_of_all_others() -> None:
    waiting = members("lr", 1000)
    made = replayed_plan(limited(pool(gpu=8, queued=waiting), lr=2))
    assert started(made) == ["lr-000", "lr-001"]
    assert len(made.waits) == 1
    assert reason(made, waiting[-1]) == ("SWEEP_LIMIT", FULL)


def test_those_that_run_count_and_the_next_starts_when_one_has_ended() -> None:
    waiting = members("lr", 3)
    runs = [replace(run(gpu=1), sweep="lr") for _ in range(2)]
    assert started(plan(limited(pool(running=runs, queued=waiting), lr=2))) == []
    assert started(plan(limited(pool(running=runs[:1], queued=waiting), lr=2))) == ["lr-000"]


def test_a_limit_below_what_runs_evicts_nothing() -> None:
    runs, waiting = [replace(run(gpu=1), sweep="lr") for _ in range(3)], members("lr", 1)
    made = plan(limited(pool(running=runs, queued=waiting), lr=1))
    assert (started(made), made.evictions) == ([], ())
    assert reason(made, waiting[0])[1] == {"sweep": "lr", "max_parallel": 1, "allocated": 3}


@pytest.mark.parametrize("queueing", ["best_effort", "strict", "easy_backfill"])
def test_a_full_sweep_blocks_nothing_and_evicts_nothing(queueing: str) -> None:
    """Not as the head either, and not however long it has waited."""
    runs = [replace(run(gpu=1), sweep="lr"), run(gpu=6)]
    waiting = members("lr", 3, gpu=4, high=True, waited_s=100_000)
    other = job(gpu=1)
    made = plan(limited(pool(running=runs, queued=[*waiting, other], queueing=queueing), lr=1))
    assert (started(made), made.evictions, made.reserved_for) == ([other.id], (), ())
    assert reason(made, waiting[0])[0] == "SWEEP_LIMIT"


def test_more_than_a_thousand_starved_members_keep_no_reservation_from_one_behind_them() -> None:
    waiting = members("lr", 1200, waited_s=100_000)
    large = job(gpu=8, waited_s=90_000)
    runs = [replace(run(gpu=1), sweep="lr"), run(gpu=6)]
    made = plan(limited(pool(running=runs, queued=[*waiting, large, job(gpu=1)]), lr=1))
    assert made.reserved_for == (large.id,)


def test_capacity_is_reserved_for_no_more_members_than_may_run() -> None:
    nodes = [node(name, gpu=2) for name in ("a", "b")]
    runs = [run(gpu=1, on="a"), run(gpu=1, on="b")]
    starved = [
        member_of("lr", job(gpu=2, cpu=cpu, waited_s=9000, selector={"at": at}))
        for cpu, at in ((1, "a"), (2, "b"))
    ]
    nodes = [replace(each, labels=(("at", each.id),)) for each in nodes]
    base = rack(nodes, running=runs, queued=starved)
    assert plan(limited(base, lr=1)).reserved_for == (starved[0].id,)
    assert len(plan(limited(base, lr=2)).reserved_for) == 2


def test_a_member_that_makes_way_lets_the_next_of_its_sweep_start_in_the_same_cycle() -> None:
    """The evicted one counts no more, and what its eviction frees beyond need takes the next."""
    runs = [replace(run(gpu=4), sweep="lr")]
    waiting = members("lr", 1, gpu=1)
    urgent = job(gpu=2, high=True)
    made = plan(limited(pool(gpu=4, running=runs, queued=[*waiting, urgent]), lr=1))
    assert evicted_ids(made) == {runs[0].id}
    assert started(made) == [urgent.id, "lr-000"]


def test_a_plan_that_starts_one_more_than_the_limit_is_refused() -> None:
    snapshot = limited(pool(queued=members("lr", 2)), lr=1)
    made = plan(snapshot)
    more = Start("lr-001", (Placement(None, 1),))
    [breach] = check(snapshot, replace(made, starts=(*made.starts, more), waits=()))
    assert breach == "lr-001 takes the sweep lr over its limit"


def test_a_member_that_no_cycle_has_read_has_the_same_reason() -> None:
    runs = [replace(run(gpu=1), sweep="lr") for _ in range(2)]
    snapshot: Snapshot = limited(pool(running=runs), lr=2)
    [waiting] = members("lr", 1)
    answer = ReasonsWithoutCycle(replace(snapshot, running=(), queued=()), None).why(waiting)
    assert (answer.code, answer.details) == ("SWEEP_LIMIT", FULL)


def test_what_keeps_it_waiting_are_the_members_that_run_and_it_starts_when_the_first_ends() -> None:
    runs = [replace(run(gpu=1, ends_ms=ends(s)), sweep="lr") for s in (60, 90)]
    [waiting] = members("lr", 1)
    snapshot = limited(pool(running=[*runs, run(gpu=1, ends_ms=ends(5))], queued=[waiting]), lr=2)
    assert {each.id for each in occupants(snapshot, waiting)} == {each.id for each in runs}
    found = WhatIf(snapshot, waiting).earliest_start()
    assert found is not None
    assert found.at_ms == NOW + 60_000
