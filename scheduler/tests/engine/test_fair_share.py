"""fair_share: whose owner holds the smallest dominant share of the cluster goes first."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.engine import Snapshot, make_plan
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.codec import decode_snapshot, encode_plan, encode_snapshot
from scheduler.engine.fair_share import OwnerUsage
from scheduler.engine.invariants import check
from scheduler.engine.order import order_key
from scheduler.engine.resources import Resources
from scheduler.engine.state import CycleState
from scheduler.engine.waiting_queue import WaitingQueue
from scheduler.simulator.kept_queue import KeptQueue
from scheduler.tests.engine.build import holds, job, jobs, node, of, owned, pool, rack, run
from scheduler.tests.engine.test_properties import snapshots

OWNERS = ["ann", "ben", "cleo"]


def fair(base: Snapshot) -> Snapshot:
    """With what the owners of those who run hold."""
    return replace(owned(base), policy=replace(base.policy, ordering="fair_share"))


def started(snapshot: Snapshot) -> list[str]:
    plan = make_plan(snapshot)
    assert check(snapshot, plan) == []
    return [start.workload_id for start in plan.starts]


def test_two_owners_alternate_however_many_one_has_submitted_before() -> None:
    waiting = [*jobs("ann", 50, waited_s=60), *jobs("ben", 3)]
    assert started(fair(pool(gpu=6, queued=waiting))) == [
        "ann-00", "ben-00", "ann-01", "ben-01", "ann-02", "ben-02",
    ]  # fmt: skip


def test_who_holds_much_waits_until_others_hold_as_much() -> None:
    waiting = [*jobs("ann", 4, waited_s=60), *jobs("ben", 4)]
    running = [holds("ann", run(gpu=1)) for _ in range(2)]
    assert started(fair(pool(gpu=7, running=running, queued=waiting))) == [
        "ben-00", "ben-01", "ann-00", "ben-02", "ann-01",
    ]  # fmt: skip


def test_the_share_is_the_dominant_one() -> None:
    """Ann holds a quarter of the RAM, and Ben an eighth of the GPUs: he is next, though he holds
    more GPUs."""
    running = [holds("ann", run(ram=128)), holds("ben", run(gpu=1))]
    waiting = [*jobs("ann", 1, waited_s=60), *jobs("ben", 1)]
    snapshot = fair(pool(gpu=8, ram=512, running=running, queued=waiting, max_starts=1))
    assert started(snapshot) == ["ben-00"]


def test_the_textbook_example() -> None:
    """9 cores and 18 GB (Ghodsi et al., figure 3): A asks for 1 and 4, B for 3 and 1. A gets three
    of them, B two, and both hold two thirds of what they ask most of."""
    waiting = [
        *jobs("a", 9, gpu=0, cpu=1, ram=4, waited_s=60),
        *jobs("b", 9, gpu=0, cpu=3, ram=1),
    ]
    names = started(fair(pool(gpu=0, cpu=9, ram=18, queued=waiting)))
    assert sorted(name[0] for name in names) == ["a", "a", "a", "b", "b"]


def test_the_class_counts_before_the_share() -> None:
    running = [holds("ann", run(gpu=4))]
    waiting = [*jobs("ben", 2, waited_s=60), *jobs("ann", 1, high=True)]
    assert started(fair(pool(gpu=6, running=running, queued=waiting))) == ["ann-00", "ben-00"]


def test_equal_shares_go_by_submit_time_then_id() -> None:
    waiting = [of("ben", job(id="2")), of("ann", job(id="1")), of("cleo", job(id="3", waited_s=1))]
    assert started(fair(pool(queued=waiting))) == ["3", "1", "2"]


def test_a_gang_counts_whole() -> None:
    waiting = [*jobs("ann", 3, replicas=3, waited_s=60), *jobs("ben", 9)]
    assert started(fair(pool(gpu=9, queued=waiting)))[:5] == [
        "ann-00", "ben-00", "ben-01", "ben-02", "ann-01",
    ]  # fmt: skip


def test_on_nodes() -> None:
    waiting = [*jobs("ann", 5, gpu=2, waited_s=60), *jobs("ben", 5, gpu=2)]
    snapshot = fair(rack([node("a", gpu=4), node("b", gpu=4)], queued=waiting))
    assert started(snapshot) == ["ann-00", "ben-00", "ann-01", "ben-01"]


def test_who_is_evicted_gives_back_a_share_in_the_same_cycle() -> None:
    """Ann's four GPUs make room for Cleo's one, which leaves three for those who wait: Ann holds
    nothing by now, and Ben one, so she is the first of the two."""
    running = [holds("ann", run(gpu=4)), holds("ben", run(gpu=1, high=True))]
    waiting = [
        *jobs("cleo", 1, high=True),
        *jobs("ben", 3, waited_s=60),
        *jobs("ann", 3),
    ]
    assert started(fair(pool(gpu=5, running=running, queued=waiting))) == [
        "cleo-00", "ann-00", "ben-00", "ann-01",
    ]  # fmt: skip


@pytest.mark.parametrize("queueing", ["strict", "easy_backfill"])
def test_the_head_is_the_first_whose_owner_is_next(queueing: str) -> None:
    """Ann has waited longer and holds more: Ben's, which does not fit, is the blocked head."""
    running = [holds("ann", run(gpu=4, ends_ms=2_000_000_000))]
    waiting = [*jobs("ann", 2, waited_s=60), *jobs("ben", 1, gpu=6)]
    snapshot = fair(pool(gpu=8, running=running, queued=waiting, queueing=queueing))
    plan = make_plan(snapshot)
    assert check(snapshot, plan) == []
    blocked = {"strict": "BLOCKED_BY_HEAD", "easy_backfill": "RESERVED_FOR_HEAD"}
    starts = [start.workload_id for start in plan.starts]
    assert starts == ([] if queueing == "strict" else ["ann-00", "ann-01"])
    codes = {wait.reason.code for wait in plan.waits}
    assert codes <= {blocked[queueing], "INSUFFICIENT_CAPACITY"}


def test_shares_are_exact() -> None:
    """A third of one and a third of the other, which no power of ten can say."""
    snapshot = replace(
        pool(), total=Resources(3, 9, 0), allocated_by_owner=(("a", Resources(1, 0, 0)),)
    )
    shares = OwnerUsage(snapshot)
    shares.grow("b", Resources(0, 3, 0))
    assert shares.share("a") == shares.share("b") > shares.share("nobody") == 0
    shares.grow("b", Resources(0, 1, 0))
    assert shares.share("b") > shares.share("a")
    shares.shrink(holds("b", replace(run(), request=Resources(0, 4, 0))))
    assert (shares.share("b"), shares.shrink_count) == (0, 1)


# --- What holds for every snapshot -----------------------------------------------------------


@st.composite
def shared(draw: st.DrawFn) -> Snapshot:
    """Any snapshot, of three owners."""
    base = draw(snapshots(max_queued=14))
    owner = st.sampled_from(OWNERS)
    running = tuple(holds(draw(owner), each) for each in base.running)
    queued = tuple(of(draw(owner), each) for each in base.queued)
    return fair(replace(base, running=running, queued=queued))


@given(shared())
@settings(max_examples=300, deadline=None)
def test_every_plan_passes_the_checker_and_replays(snapshot: Snapshot) -> None:
    plan = make_plan(snapshot)
    assert check(snapshot, plan) == []
    copied = decode_snapshot(encode_snapshot(snapshot))
    assert copied == snapshot
    assert encode_plan(make_plan(copied)) == encode_plan(plan)
    shuffled = replace(
        snapshot,
        queued=snapshot.queued[::-1],
        running=snapshot.running[::-1],
        allocated_by_owner=snapshot.allocated_by_owner[::-1],
    )
    assert make_plan(shuffled).starts == plan.starts


@given(shared())
@settings(max_examples=300, deadline=None)
def test_the_walk_asks_whoever_is_first_at_that_moment(snapshot: Snapshot) -> None:
    """Beside looking through everybody each time. Without evictions: after one, those who were
    refused may be asked again."""
    policy = replace(snapshot.policy, preemption="never", queueing="best_effort")
    policy = replace(policy, reserve_after_s=10**6)
    snapshot = replace(snapshot, policy=policy, state="ACTIVE")
    plan = make_plan(snapshot)
    never = {wait.scheduling_key for wait in plan.waits if wait.reason.code == "EXCEEDS_CAPACITY"}
    left = [each for each in snapshot.queued if each.scheduling_key not in never]
    state = CycleState(ClusterView(snapshot), WaitingQueue(snapshot, left))
    while left and len(state.starts) < snapshot.max_starts:
        first = min(left, key=order_key(snapshot, state.usage))
        left.remove(first)
        if not state.admit(first):
            left = [each for each in left if each.scheduling_key != first.scheduling_key]
    assert tuple(state.starts) == plan.starts


@given(shared())
@settings(max_examples=100, deadline=None)
def test_a_line_that_is_kept_gives_the_same_plan(snapshot: Snapshot) -> None:
    """It knows of no shares: they are told to each walk."""
    snapshot = replace(snapshot, state="ACTIVE")
    plan = make_plan(snapshot)
    never = {wait.scheduling_key for wait in plan.waits if wait.reason.code == "EXCEEDS_CAPACITY"}
    line = KeptQueue(replace(snapshot, queued=(), allocated_by_owner=()))
    for each in snapshot.queued:
        if each.scheduling_key not in never:
            line.enter(each)
    assert make_plan(snapshot, line, with_waits=False) == replace(plan, waits=())


@given(shared())
@settings(max_examples=50, deadline=None)
def test_where_owners_do_not_matter_nothing_is_written_of_them(snapshot: Snapshot) -> None:
    """Rows of before there were owners are the same bytes."""
    plain = replace(
        snapshot,
        policy=replace(snapshot.policy, ordering="fifo"),
        running=tuple(replace(each, owner="") for each in snapshot.running),
        queued=tuple(replace(each, owner="") for each in snapshot.queued),
        allocated_by_owner=(),
    )
    assert decode_snapshot(encode_snapshot(plain)) == plain
