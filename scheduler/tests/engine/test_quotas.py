"""Quotas: nobody comes to hold more than theirs, and whoever is over it is in nobody's way."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.engine import Plan, Snapshot, make_plan, whatif
from scheduler.engine.codec import decode_snapshot, encode_plan, encode_snapshot
from scheduler.engine.fair_share import NO_LIMIT, OwnerUsage
from scheduler.engine.invariants import check
from scheduler.engine.plan import Start
from scheduler.engine.resources import ENDLESS, Resources
from scheduler.engine.snapshot import DEFAULT_QUOTA, Placement, Workload
from scheduler.engine.wait_reasons import ReasonsWithoutCycle
from scheduler.engine.whatif import WhatIf
from scheduler.tests.engine.build import NOW, holds, job, jobs, node, of, owned, pool, rack, run
from scheduler.tests.engine.test_properties import snapshots

OWNERS = ["ann", "ben", "cleo"]


def gpus(count: int) -> Resources:
    return Resources(ENDLESS, ENDLESS, count)


def planned(snapshot: Snapshot) -> Plan:
    """Judged, and planned again from what the ledger keeps."""
    plan = make_plan(snapshot)
    assert check(snapshot, plan) == []
    copied = decode_snapshot(encode_snapshot(snapshot))
    assert copied == snapshot
    assert encode_plan(make_plan(copied)) == encode_plan(plan)
    return plan


def started(snapshot: Snapshot) -> list[str]:
    return [start.workload_id for start in planned(snapshot).starts]


def told(snapshot: Snapshot, workload: Workload) -> tuple[str, dict[str, Any]]:
    waits = {wait.workload_id or wait.scheduling_key: wait for wait in planned(snapshot).waits}
    reason = (waits.get(workload.id) or waits[workload.scheduling_key]).reason
    return reason.code.value, reason.details


# --- What counts -----------------------------------------------------------------------------


def test_starts_of_one_cycle_count_together_and_the_numbers_are_told() -> None:
    waiting = [*jobs("ann", 5, waited_s=60), *jobs("ben", 1)]
    running = [holds("ann", run(gpu=1))]
    snapshot = owned(pool(gpu=8, running=running, queued=waiting), ann=gpus(3))
    assert started(snapshot) == ["ann-00", "ann-01", "ben-00"]
    numbers = {"resource": "gpu", "requested": 1, "quota": 3, "held": 3}
    assert told(snapshot, waiting[4]) == ("QUOTA_EXCEEDED", numbers)


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
def test_each_resource_counts(quota: Resources, starts: int) -> None:
    assert len(started(owned(pool(queued=jobs("ann", 4)), ann=quota))) == starts


def test_a_gang_counts_whole() -> None:
    gang = of("ann", job(gpu=1, replicas=4))
    assert started(owned(pool(queued=[gang]), ann=gpus(3))) == []
    assert started(owned(pool(queued=[gang]), ann=gpus(4))) == [gang.id]


def test_ones_own_quota_replaces_that_of_everybody_else() -> None:
    waiting = [*jobs("ann", 4), *jobs("ben", 4), *jobs("cleo", 4)]
    snapshot = owned(pool(gpu=12, queued=waiting), others=gpus(1), ben=gpus(2), cleo=NO_LIMIT)
    assert started(snapshot) == ["ann-00", "ben-00", "ben-01", *(f"cleo-0{n}" for n in range(4))]


def test_a_quota_below_what_is_held_evicts_nobody() -> None:
    """And keeps from starting only what asks for more of what is held too much of."""
    running = [holds("ann", run(gpu=4))]
    waiting = [*jobs("ann", 1), *jobs("ann", 1, gpu=0, priority="HIGH")]
    waiting[1] = replace(waiting[1], id="cpu-only")
    snapshot = owned(pool(gpu=8, running=running, queued=waiting), ann=gpus(2))
    assert started(snapshot) == ["cpu-only"]
    assert planned(snapshot).evictions == ()


# --- Whoever is over it is in nobody's way ---------------------------------------------------


def test_it_evicts_nobody() -> None:
    running = [holds("ben", run(gpu=8))]
    urgent = of("ann", job(gpu=8, high=True))
    snapshot = owned(pool(gpu=8, running=running, queued=[urgent]), ann=gpus(4))
    assert planned(snapshot).evictions == ()
    assert told(snapshot, urgent)[0] == "QUOTA_EXCEEDED"
    assert len(planned(replace(snapshot, quotas=())).evictions) == 1


@pytest.mark.parametrize("queueing", ["strict", "easy_backfill", "best_effort"])
def test_it_is_no_head_and_nothing_is_held_for_it(queueing: str) -> None:
    """It has waited for longest, and does not fit either."""
    running = [holds("ben", run(gpu=6, high=True, ends_ms=NOW + 60_000))]
    first = of("ann", job(gpu=8, high=True, waited_s=10**6))
    waiting = [first, *jobs("ben", 2)]
    base = pool(gpu=8, running=running, queued=waiting, queueing=queueing, reserve_after_s=60)
    snapshot = owned(base, ann=gpus(7))
    assert started(snapshot) == ["ben-00", "ben-01"]
    assert told(snapshot, first)[0] == "QUOTA_EXCEEDED"
    assert started(replace(snapshot, quotas=())) == []


def test_it_waits_for_its_quota_even_in_a_strict_line_behind_a_head() -> None:
    head, late = of("ben", job(gpu=9, waited_s=60)), of("ann", job(gpu=1))
    running = [holds("ann", run(gpu=1))]
    base = pool(gpu=9, running=running, queued=[head, late], queueing="strict")
    snapshot = owned(base, ann=gpus(1))
    assert told(snapshot, head)[0] == "INSUFFICIENT_CAPACITY"
    assert told(snapshot, late)[0] == "QUOTA_EXCEEDED"
    assert told(replace(snapshot, quotas=()), late)[0] == "BLOCKED_BY_HEAD"


def test_what_the_empty_cluster_could_not_run_is_told_so_first() -> None:
    huge = of("ann", job(gpu=9))
    assert told(owned(pool(gpu=8, queued=[huge]), ann=gpus(1)), huge)[0] == "EXCEEDS_CAPACITY"


# --- Quotas that come free in the cycle ------------------------------------------------------


def test_the_quota_of_a_victim_is_its_owners_again_in_the_same_cycle() -> None:
    """Ben's takes two of Ann's four GPUs; what is left of them goes to another of hers, which was
    passed over before."""
    running = [holds("ann", run(gpu=4))]
    hers, his = (job(gpu=2, high=True, id=name) for name in ("hers", "his"))
    waiting = [of("ann", hers), of("ben", his)]
    base = pool(gpu=4, running=running, queued=waiting, ordering="fifo")
    assert started(owned(base, ann=gpus(4))) == ["his", "hers"]


def test_within_the_quota_ones_own_may_be_evicted() -> None:
    running = [holds("ann", run(gpu=4)), holds("ann", run(gpu=4, high=True))]
    urgent = of("ann", job(gpu=2, high=True))
    full = pool(gpu=8, running=running, queued=[urgent])
    assert planned(owned(full, ann=gpus(8))).evictions == ()
    assert len(planned(owned(full, ann=gpus(10))).evictions) == 1


def test_drained_ones_give_their_quota_back() -> None:
    nodes = [node("a", state="DRAINING"), node("b")]
    running = [holds("ann", run(gpu=8, on="a"))]
    snapshot = owned(rack(nodes, running=running, queued=jobs("ann", 1, gpu=8)), ann=gpus(8))
    assert started(snapshot) == ["ann-00"]


# --- For whom capacity is held, quota is held ------------------------------------------------


def test_ones_own_later_ones_do_not_take_the_quota_of_one_who_is_held_for() -> None:
    """Ann's large one has waited too long; her small ones would use up what it may have."""
    running = [holds("ben", run(gpu=6, high=True))]
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
    assert started(owned(base, ann=gpus(4))) == []  # here the capacity itself is held
    assert started(owned(two, ann=gpus(4))) == ["ben-00"]  # Node b is free for anybody else
    assert told(owned(two, ann=gpus(4)), waiting[1]) == (
        "RESERVED_FOR_HEAD",
        {"head": waiting[0].id},
    )
    assert started(owned(two, ann=gpus(5))) == ["ann-00"]


def test_a_short_one_that_may_pass_the_head_may_not_take_its_quota() -> None:
    """Ended by then, it would delay nothing; but until then the head would have lost its place."""
    running = [holds("ben", run(gpu=6, high=True, ends_ms=NOW + 3_600_000))]
    head = of("ann", job(gpu=4, waited_s=60))
    waiting = [head, *jobs("ann", 1, limit_s=60), *jobs("ben", 1, limit_s=60)]
    base = pool(gpu=8, running=running, queued=waiting, queueing="easy_backfill", ordering="fifo")
    assert started(owned(base, ann=gpus(4))) == ["ben-00"]
    assert told(owned(base, ann=gpus(4)), waiting[1]) == ("RESERVED_FOR_HEAD", {"head": head.id})
    assert started(owned(base, ann=gpus(5))) == ["ann-00", "ben-00"]


def test_a_more_urgent_one_may_and_then_nothing_is_held() -> None:
    running = [holds("ben", run(gpu=6, high=True))]
    reservation_history, urgent = (
        of("ann", job(gpu=4, waited_s=7200)),
        of("ann", job(gpu=1, high=True)),
    )
    waiting = [reservation_history, urgent, *jobs("ben", 1)]
    snapshot = owned(pool(gpu=8, running=running, queued=waiting), ann=gpus(4))
    assert started(snapshot) == [urgent.id, "ben-00"]
    assert told(snapshot, reservation_history)[0] == "QUOTA_EXCEEDED"


def test_of_two_who_regain_their_quota_the_first_in_turn_is_held_for() -> None:
    """Ann's and Ben's are evicted one after the other; hers has waited longer than his."""
    one, two = {"n": "1"}, {"n": "2"}
    nodes = [node("a", labels=one), node("b", labels=two)]
    running = [holds("ann", run(gpu=8, on="a")), holds("ben", run(gpu=8, on="b"))]
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
    assert len(planned(snapshot).evictions) == 2
    assert told(snapshot, filler) == ("RESERVED_FOR_HEAD", {"head": hers.id})


def test_one_who_was_held_for_is_again_once_its_owner_regains() -> None:
    """Her urgent one takes her over her quota; then Cleo's evicts another of hers."""
    labels = [{"n": str(number)} for number in range(3)]
    nodes = [node(name, labels=label) for name, label in zip("abc", labels, strict=True)]
    running = [holds("dan", run(gpu=2, high=True, on="a")), holds("ann", run(gpu=8, on="b"))]
    hers = of("ann", job(gpu=8, waited_s=20_000, selector=labels[0]))
    filler = of("fay", job(gpu=6, selector=labels[0]))
    waiting = [
        hers,
        of("ann", job(gpu=8, high=True, waited_s=20, selector=labels[2])),
        of("cleo", job(gpu=8, high=True, waited_s=10, selector=labels[1])),
        filler,
    ]
    snapshot = owned(rack(nodes, running=running, queued=waiting), ann=gpus(16))
    assert len(planned(snapshot).starts) == 2
    assert told(snapshot, filler) == ("RESERVED_FOR_HEAD", {"head": hers.id})


# --- What would help -------------------------------------------------------------------------


def test_its_owners_others_are_who_holds_what_it_needs() -> None:
    mine, theirs = holds("ann", run(gpu=2)), holds("ben", run(gpu=4))
    waiting = of("ann", job(gpu=2))
    snapshot = owned(pool(gpu=8, running=[mine, theirs], queued=[waiting]), ann=gpus(3))
    assert whatif.occupants(snapshot, waiting) == [mine]
    what_if = WhatIf(snapshot, waiting)
    assert what_if.largest_amounts() == {"gpu": 1}
    assert what_if.priority_that_starts() is None
    after = what_if.after_any_of([theirs, mine])
    assert [each.ids for each in after] == [(mine.id,)]


def test_one_that_no_cycle_reads_is_told_the_same() -> None:
    running = [holds("ann", run(gpu=2))]
    waiting = of("ann", job(gpu=2))
    snapshot = owned(pool(gpu=8, running=running, queued=[waiting]), ann=gpus(3))
    empty = replace(snapshot, running=(), queued=())
    reason = ReasonsWithoutCycle(empty, None).why(waiting)
    assert (reason.code.value, reason.details) == told(snapshot, waiting)


# --- The checker -----------------------------------------------------------------------------


def test_the_checker_sees_a_quota_that_is_broken() -> None:
    snapshot = owned(pool(queued=jobs("ann", 2)), others=gpus(1))
    starts = tuple(Start(each.id, (Placement(None, 1),)) for each in snapshot.queued)
    assert check(snapshot, Plan(starts=starts)) == ["ann-01 takes ann over the quota"]
    assert check(replace(snapshot, quotas=()), Plan(starts=starts)) == []


# --- What holds for every snapshot -----------------------------------------------------------


@st.composite
def limited(draw: st.DrawFn, max_queued: int = 14) -> Snapshot:
    """Any snapshot, of three owners, with quotas."""
    base = draw(snapshots(max_queued=max_queued))
    owner = st.sampled_from(OWNERS)
    running = tuple(holds(draw(owner), each) for each in base.running)
    queued = tuple(of(draw(owner), each) for each in base.queued)
    ordering = draw(st.sampled_from(["gpu_weighted", "fifo", "fair_share"]))
    base = replace(
        base, running=running, queued=queued, policy=replace(base.policy, ordering=ordering)
    )
    limit = st.builds(
        Resources,
        st.sampled_from([0, 4000, 10_000, ENDLESS]),
        st.sampled_from([8 * 1024, ENDLESS, ENDLESS]),
        st.sampled_from([0, 2, 5, ENDLESS]),
    )
    names = st.sampled_from([*OWNERS, "others"])
    return owned(base, **draw(st.dictionaries(names, limit, min_size=1)))


@given(limited())
@settings(max_examples=500, deadline=None)
def test_every_plan_passes_the_checker_and_replays(snapshot: Snapshot) -> None:
    planned(snapshot)


@given(limited())
@settings(max_examples=300, deadline=None)
def test_who_is_told_of_a_quota_is_over_it_and_others_are_not(snapshot: Snapshot) -> None:
    plan = make_plan(replace(snapshot, state="ACTIVE"))
    owners = OwnerUsage(snapshot)
    running = {each.id: each for each in snapshot.running}
    for eviction in plan.evictions:
        owners.shrink(running[eviction.workload_id])
    queued = {each.id: each for each in snapshot.queued}
    for start in plan.starts:
        owners.grow(queued[start.workload_id].owner, queued[start.workload_id].total)
    own = {wait.workload_id: wait.reason for wait in plan.waits if wait.workload_id}
    keys = {wait.scheduling_key: wait.reason for wait in plan.waits if not wait.workload_id}
    for workload in set(queued) - {start.workload_id for start in plan.starts}:
        reason = own.get(workload) or keys[queued[workload].scheduling_key]
        if reason.code != "EXCEEDS_CAPACITY":
            assert (reason.code == "QUOTA_EXCEEDED") == owners.over(queued[workload])


@given(limited())
@settings(max_examples=300, deadline=None)
def test_whoever_may_never_start_changes_nothing_for_others(snapshot: Snapshot) -> None:
    limits = dict(snapshot.quotas)
    limit = limits.get(DEFAULT_QUOTA, NO_LIMIT)
    allowed = tuple(
        each for each in snapshot.queued if each.total.fits_in(limits.get(each.owner, limit))
    )
    one, other = make_plan(snapshot), make_plan(replace(snapshot, queued=allowed))
    assert (one.starts, one.evictions) == (other.starts, other.evictions)


@given(limited())
@settings(max_examples=200, deadline=None)
def test_quotas_without_limits_are_none(snapshot: Snapshot) -> None:
    endless = replace(snapshot, quotas=((DEFAULT_QUOTA, NO_LIMIT),))
    assert make_plan(endless) == make_plan(replace(snapshot, quotas=()))
