"""Quotas with known answers: no owner exceeds a quota, and a workload over it blocks no other."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine import Plan, Snapshot, whatif
from scheduler.engine.invariants import check
from scheduler.engine.plan import Start
from scheduler.engine.queue.fair_share import NO_LIMIT
from scheduler.engine.resources import ENDLESS, Resources
from scheduler.engine.snapshot import Placement, Workload
from scheduler.engine.wait_reasons import ReasonsWithoutCycle
from scheduler.engine.whatif import WhatIf
from scheduler.tests.engine.build import (
    NOW,
    allocated_by,
    job,
    jobs,
    node,
    of,
    owned,
    pool,
    rack,
    run,
)
from scheduler.tests.engine.plans import reason, replayed_plan
from scheduler.tests.engine.plans import started as started_in


def gpus(count: int) -> Resources:
    return Resources(ENDLESS, ENDLESS, count)


def started(snapshot: Snapshot) -> list[str]:
    return started_in(replayed_plan(snapshot))


def wait_reason(snapshot: Snapshot, workload: Workload) -> tuple[str, dict[str, Any]]:
    return reason(replayed_plan(snapshot), workload)


# --- What counts -----------------------------------------------------------------------------


def test_starts_of_one_cycle_count_together_and_the_reason_has_the_numbers() -> None:
    waiting = [*jobs("ann", 5, waited_s=60), *jobs("ben", 1)]
    running = [allocated_by("ann", run(gpu=1))]
    snapshot = owned(pool(gpu=8, running=running, queued=waiting), ann=gpus(3))
    assert started(snapshot) == ["ann-00", "ann-01", "ben-00"]
    numbers = {"resource": "gpu", "requested": 1, "quota": 3, "allocated": 3}
    assert wait_reason(snapshot, waiting[4]) == ("QUOTA_EXCEEDED", numbers)


@pytest.mark.parametrize(
    ("quota", "starts"),
    [
        (Resources(2000, ENDLESS, ENDLESS), 2),
        (Resources(ENDLESS, 3 * 1024, ENDLESS), 3),
        (Resources(3000, 2 * 1024, 1), 1),
        (Resources(0, 0, 0), 0),
        (NO_LIMIT, 4),
    ],
)
def test_each_resource_has_a_quota(quota: Resources, starts: int) -> None:
    assert len(started(owned(pool(queued=jobs("ann", 4)), ann=quota))) == starts


def test_a_gang_counts_with_all_its_replicas() -> None:
    gang = of("ann", job(gpu=1, replicas=4))
    assert started(owned(pool(queued=[gang]), ann=gpus(3))) == []
    assert started(owned(pool(queued=[gang]), ann=gpus(4))) == [gang.id]


def test_an_owners_quota_replaces_the_default_quota() -> None:
    waiting = [*jobs("ann", 4), *jobs("ben", 4), *jobs("cleo", 4)]
    snapshot = owned(pool(gpu=12, queued=waiting), others=gpus(1), ben=gpus(2), cleo=NO_LIMIT)
    assert started(snapshot) == ["ann-00", "ben-00", "ben-01", *(f"cleo-0{n}" for n in range(4))]


def test_a_quota_below_the_allocation_evicts_no_workload() -> None:
    """Only workloads that request a resource whose quota is exceeded have to wait."""
    running = [allocated_by("ann", run(gpu=4))]
    waiting = [*jobs("ann", 1), *jobs("ann", 1, gpu=0, priority="HIGH")]
    waiting[1] = replace(waiting[1], id="cpu-only")
    snapshot = owned(pool(gpu=8, running=running, queued=waiting), ann=gpus(2))
    assert started(snapshot) == ["cpu-only"]
    assert replayed_plan(snapshot).evictions == ()


# --- A workload over its quota ---------------------------------------------------------------


def test_a_workload_over_its_quota_evicts_no_other() -> None:
    running = [allocated_by("ben", run(gpu=8))]
    urgent = of("ann", job(gpu=8, high=True))
    snapshot = owned(pool(gpu=8, running=running, queued=[urgent]), ann=gpus(4))
    assert replayed_plan(snapshot).evictions == ()
    assert wait_reason(snapshot, urgent)[0] == "QUOTA_EXCEEDED"
    assert len(replayed_plan(replace(snapshot, quotas=())).evictions) == 1


@pytest.mark.parametrize("queueing", ["strict", "easy_backfill", "best_effort"])
def test_a_workload_over_its_quota_is_no_head_and_gets_no_reservation(queueing: str) -> None:
    """It has waited longest, and does not fit either."""
    running = [allocated_by("ben", run(gpu=6, high=True, ends_ms=NOW + 60_000))]
    first = of("ann", job(gpu=8, high=True, waited_s=10**6))
    waiting = [first, *jobs("ben", 2)]
    base = pool(gpu=8, running=running, queued=waiting, queueing=queueing, reserve_after_s=60)
    snapshot = owned(base, ann=gpus(7))
    assert started(snapshot) == ["ben-00", "ben-01"]
    assert wait_reason(snapshot, first)[0] == "QUOTA_EXCEEDED"
    assert started(replace(snapshot, quotas=())) == []


def test_a_workload_over_its_quota_waits_for_it_even_behind_the_head_of_a_strict_queue() -> None:
    head, late = of("ben", job(gpu=9, waited_s=60)), of("ann", job(gpu=1))
    running = [allocated_by("ann", run(gpu=1))]
    base = pool(gpu=9, running=running, queued=[head, late], queueing="strict")
    snapshot = owned(base, ann=gpus(1))
    assert wait_reason(snapshot, head)[0] == "INSUFFICIENT_CAPACITY"
    assert wait_reason(snapshot, late)[0] == "QUOTA_EXCEEDED"
    assert wait_reason(replace(snapshot, quotas=()), late)[0] == "BLOCKED_BY_HEAD"


def test_an_impossible_request_is_reported_before_a_quota() -> None:
    huge = of("ann", job(gpu=9))
    assert (
        wait_reason(owned(pool(gpu=8, queued=[huge]), ann=gpus(1)), huge)[0] == "EXCEEDS_CAPACITY"
    )


# --- Quotas that come free in the cycle ------------------------------------------------------


def test_an_eviction_returns_quota_to_the_owner_in_the_same_cycle() -> None:
    """Ben's workload takes two of Ann's four GPUs. The other two go to another workload of Ann's,
    which had been passed over before."""
    running = [allocated_by("ann", run(gpu=4))]
    hers, his = (job(gpu=2, high=True, id=name) for name in ("hers", "his"))
    waiting = [of("ann", hers), of("ben", his)]
    base = pool(gpu=4, running=running, queued=waiting, ordering="fifo")
    assert started(owned(base, ann=gpus(4))) == ["his", "hers"]


def test_an_owners_own_workload_may_be_evicted_within_the_quota() -> None:
    running = [allocated_by("ann", run(gpu=4)), allocated_by("ann", run(gpu=4, high=True))]
    urgent = of("ann", job(gpu=2, high=True))
    full = pool(gpu=8, running=running, queued=[urgent])
    assert replayed_plan(owned(full, ann=gpus(8))).evictions == ()
    assert len(replayed_plan(owned(full, ann=gpus(10))).evictions) == 1


def test_drained_workloads_return_quota_to_their_owner() -> None:
    nodes = [node("a", state="DRAINING"), node("b")]
    running = [allocated_by("ann", run(gpu=8, on="a"))]
    snapshot = owned(rack(nodes, running=running, queued=jobs("ann", 1, gpu=8)), ann=gpus(8))
    assert started(snapshot) == ["ann-00"]


# --- Reservations of quota -------------------------------------------------------------------


def test_later_workloads_of_an_owner_do_not_take_the_quota_reserved_for_an_earlier_one() -> None:
    """Ann's large workload is starved; her small ones would use up the quota that it needs."""
    running = [allocated_by("ben", run(gpu=6, high=True))]
    waiting = [of("ann", job(gpu=4, waited_s=7200)), *jobs("ann", 2), *jobs("ben", 1)]
    base = pool(gpu=8, running=running, queued=waiting, ordering="fifo", reserve_after_s=3600)
    nodes = [node("a", gpu=8), node("b", gpu=1)]
    two = rack(
        nodes,
        running=[replace(running[0], placement=(Placement("a", 1),))],
        queued=waiting,
        ordering="fifo",
        reserve_after_s=3600,
    )
    assert started(owned(base, ann=gpus(4))) == []  # here the capacity itself is reserved
    assert started(owned(two, ann=gpus(4))) == ["ben-00"]  # node b is free for other owners
    assert wait_reason(owned(two, ann=gpus(4)), waiting[1]) == (
        "RESERVED_FOR_HEAD",
        {"head": waiting[0].id},
    )
    assert started(owned(two, ann=gpus(5))) == ["ann-00"]


def test_a_short_workload_that_may_pass_the_head_may_not_take_its_quota() -> None:
    """It would end in time for the head. But while it ran, the head would be over the quota and
    lose its reservation."""
    running = [allocated_by("ben", run(gpu=6, high=True, ends_ms=NOW + 3_600_000))]
    head = of("ann", job(gpu=4, waited_s=60))
    waiting = [head, *jobs("ann", 1, limit_s=60), *jobs("ben", 1, limit_s=60)]
    base = pool(gpu=8, running=running, queued=waiting, queueing="easy_backfill", ordering="fifo")
    assert started(owned(base, ann=gpus(4))) == ["ben-00"]
    assert wait_reason(owned(base, ann=gpus(4)), waiting[1]) == (
        "RESERVED_FOR_HEAD",
        {"head": head.id},
    )
    assert started(owned(base, ann=gpus(5))) == ["ann-00", "ben-00"]


def test_a_more_urgent_workload_may_take_the_quota_and_ends_the_reservation() -> None:
    running = [allocated_by("ben", run(gpu=6, high=True))]
    starved, urgent = (
        of("ann", job(gpu=4, waited_s=7200)),
        of("ann", job(gpu=1, high=True)),
    )
    waiting = [starved, urgent, *jobs("ben", 1)]
    snapshot = owned(pool(gpu=8, running=running, queued=waiting), ann=gpus(4))
    assert started(snapshot) == [urgent.id, "ben-00"]
    assert wait_reason(snapshot, starved)[0] == "QUOTA_EXCEEDED"


def test_of_two_workloads_whose_quota_comes_free_the_first_in_turn_gets_the_reservation() -> None:
    """A workload of Ann's is evicted, then one of Ben's. Ann's waiting one has waited longer."""
    one, two = {"n": "1"}, {"n": "2"}
    nodes = [node("a", labels=one), node("b", labels=two)]
    running = [allocated_by("ann", run(gpu=8, on="a")), allocated_by("ben", run(gpu=8, on="b"))]
    hers = of("ann", job(gpu=8, waited_s=20_000, selector=one))
    his = of("ben", job(gpu=8, waited_s=10_000, selector=two))
    filler = of("fay", job(gpu=6, selector=one))
    waiting = [
        hers,
        his,
        of("cleo", job(gpu=2, high=True, selector=one)),
        of("eve", job(gpu=2, high=True, selector=two)),
        filler,
    ]
    snapshot = owned(rack(nodes, running=running, queued=waiting), ann=gpus(8), ben=gpus(8))
    assert len(replayed_plan(snapshot).evictions) == 2
    assert wait_reason(snapshot, filler) == ("RESERVED_FOR_HEAD", {"head": hers.id})


def test_a_workload_regains_its_reservation_once_its_owners_quota_comes_free() -> None:
    """An urgent workload of Ann's uses up her quota; then Cleo's evicts another one of Ann's."""
    labels = [{"n": str(number)} for number in range(3)]
    nodes = [node(name, labels=label) for name, label in zip("abc", labels, strict=True)]
    running = [
        allocated_by("dan", run(gpu=2, high=True, on="a")),
        allocated_by("ann", run(gpu=8, on="b")),
    ]
    hers = of("ann", job(gpu=8, waited_s=20_000, selector=labels[0]))
    filler = of("fay", job(gpu=6, selector=labels[0]))
    waiting = [
        hers,
        of("ann", job(gpu=8, high=True, waited_s=20, selector=labels[2])),
        of("cleo", job(gpu=8, high=True, waited_s=10, selector=labels[1])),
        filler,
    ]
    snapshot = owned(rack(nodes, running=running, queued=waiting), ann=gpus(16))
    assert len(replayed_plan(snapshot).starts) == 2
    assert wait_reason(snapshot, filler) == ("RESERVED_FOR_HEAD", {"head": hers.id})


# --- What would help -------------------------------------------------------------------------


def test_the_occupants_of_a_used_up_quota_are_the_owners_other_workloads() -> None:
    mine, theirs = allocated_by("ann", run(gpu=2)), allocated_by("ben", run(gpu=4))
    waiting = of("ann", job(gpu=2))
    snapshot = owned(pool(gpu=8, running=[mine, theirs], queued=[waiting]), ann=gpus(3))
    assert whatif.occupants(snapshot, waiting) == [mine]
    what_if = WhatIf(snapshot, waiting)
    assert what_if.largest_amounts() == {"gpu": 1}
    assert what_if.priority_that_starts() is None
    after = what_if.after_any_of([theirs, mine])
    assert [each.ids for each in after] == [(mine.id,)]


def test_a_workload_left_out_of_the_snapshot_gets_the_same_reason() -> None:
    running = [allocated_by("ann", run(gpu=2))]
    waiting = of("ann", job(gpu=2))
    snapshot = owned(pool(gpu=8, running=running, queued=[waiting]), ann=gpus(3))
    empty = replace(snapshot, running=(), queued=())
    reason = ReasonsWithoutCycle(empty, None).why(waiting)
    assert (reason.code.value, reason.details) == wait_reason(snapshot, waiting)


# --- The checker -----------------------------------------------------------------------------


def test_the_invariants_include_quotas() -> None:
    snapshot = owned(pool(queued=jobs("ann", 2)), others=gpus(1))
    starts = tuple(Start(each.id, (Placement(None, 1),)) for each in snapshot.queued)
    assert check(snapshot, Plan(starts=starts)) == ["ann-01 takes ann over the quota"]
    assert check(replace(snapshot, quotas=()), Plan(starts=starts)) == []
