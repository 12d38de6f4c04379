"""fair_share with known answers: the owner with the smallest dominant share goes first."""

from dataclasses import replace

import pytest

from scheduler.engine import Snapshot
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.resources import Resources
from scheduler.tests.engine.build import allocated_by, fair, job, jobs, node, of, pool, rack, run
from scheduler.tests.engine.plans import plan
from scheduler.tests.engine.plans import started as started_in


def started(snapshot: Snapshot) -> list[str]:
    return started_in(plan(snapshot))


def test_two_owners_alternate_however_many_workloads_one_has_submitted_before() -> None:
    waiting = [*jobs("ann", 50, waited_s=60), *jobs("ben", 3)]
    assert started(fair(pool(gpu=6, queued=waiting))) == [
        "ann-00", "ben-00", "ann-01", "ben-01", "ann-02", "ben-02",
    ]  # fmt: skip


def test_an_owner_with_a_large_share_waits_until_other_shares_are_as_large() -> None:
    waiting = [*jobs("ann", 4, waited_s=60), *jobs("ben", 4)]
    running = [allocated_by("ann", run(gpu=1)) for _ in range(2)]
    assert started(fair(pool(gpu=7, running=running, queued=waiting))) == [
        "ben-00", "ben-01", "ann-00", "ben-02", "ann-01",
    ]  # fmt: skip


def test_the_dominant_share_decides() -> None:
    """Ann has a quarter of the RAM, and Ben an eighth of the GPUs: Ben is next, although he has
    more GPUs."""
    running = [allocated_by("ann", run(ram=128)), allocated_by("ben", run(gpu=1))]
    waiting = [*jobs("ann", 1, waited_s=60), *jobs("ben", 1)]
    snapshot = fair(pool(gpu=8, ram=512, running=running, queued=waiting, max_starts=1))
    assert started(snapshot) == ["ben-00"]


def test_the_published_example_gives_the_published_allocation() -> None:
    """9 cores and 18 GB (Ghodsi et al., figure 3): A requests 1 and 4, B 3 and 1. A starts three, B
    two, and both have two thirds of their dominant resource."""
    waiting = [
        *jobs("a", 9, gpu=0, cpu=1, ram=4, waited_s=60),
        *jobs("b", 9, gpu=0, cpu=3, ram=1),
    ]
    names = started(fair(pool(gpu=0, cpu=9, ram=18, queued=waiting)))
    assert sorted(name[0] for name in names) == ["a", "a", "a", "b", "b"]


def test_the_priority_class_counts_before_the_share() -> None:
    running = [allocated_by("ann", run(gpu=4))]
    waiting = [*jobs("ben", 2, waited_s=60), *jobs("ann", 1, high=True)]
    assert started(fair(pool(gpu=6, running=running, queued=waiting))) == ["ann-00", "ben-00"]


def test_equal_shares_go_by_submit_time_then_id() -> None:
    waiting = [of("ben", job(id="2")), of("ann", job(id="1")), of("cleo", job(id="3", waited_s=1))]
    assert started(fair(pool(queued=waiting))) == ["3", "1", "2"]


def test_a_gang_counts_with_all_its_replicas() -> None:
    waiting = [*jobs("ann", 3, replicas=3, waited_s=60), *jobs("ben", 9)]
    assert started(fair(pool(gpu=9, queued=waiting)))[:5] == [
        "ann-00", "ben-00", "ben-01", "ben-02", "ann-01",
    ]  # fmt: skip


def test_owners_alternate_on_nodes_too() -> None:
    waiting = [*jobs("ann", 5, gpu=2, waited_s=60), *jobs("ben", 5, gpu=2)]
    snapshot = fair(rack([node("a", gpu=4), node("b", gpu=4)], queued=waiting))
    assert started(snapshot) == ["ann-00", "ben-00", "ann-01", "ben-01"]


def test_an_eviction_shrinks_the_owners_share_in_the_same_cycle() -> None:
    """Cleo's workload of one GPU evicts Ann's of four, which leaves three for the queue. Ann has
    nothing by now, and Ben one GPU, so Ann is next."""
    running = [allocated_by("ann", run(gpu=4)), allocated_by("ben", run(gpu=1, high=True))]
    waiting = [
        *jobs("cleo", 1, high=True),
        *jobs("ben", 3, waited_s=60),
        *jobs("ann", 3),
    ]
    assert started(fair(pool(gpu=5, running=running, queued=waiting))) == [
        "cleo-00", "ann-00", "ben-00", "ann-01",
    ]  # fmt: skip


@pytest.mark.parametrize("queueing", ["strict", "easy_backfill"])
def test_the_head_is_the_first_workload_of_the_owner_with_the_smallest_share(queueing: str) -> None:
    """Ann's workloads have waited longer, but Ann's share is larger. So Ben's, which does not fit,
    is the blocked head."""
    running = [allocated_by("ann", run(gpu=4, ends_ms=2_000_000_000))]
    waiting = [*jobs("ann", 2, waited_s=60), *jobs("ben", 1, gpu=6)]
    snapshot = fair(pool(gpu=8, running=running, queued=waiting, queueing=queueing))
    made = plan(snapshot)
    blocked = {"strict": "BLOCKED_BY_HEAD", "easy_backfill": "RESERVED_FOR_HEAD"}
    assert started_in(made) == ([] if queueing == "strict" else ["ann-00", "ann-01"])
    codes = {wait.reason.code for wait in made.waits}
    assert codes <= {blocked[queueing], "INSUFFICIENT_CAPACITY"}


def test_shares_are_exact() -> None:
    """A third of one resource equals a third of another; no decimal fraction is exact here."""
    snapshot = replace(
        pool(), total=Resources(3, 9, 0), allocated_by_owner=(("a", Resources(1, 0, 0)),)
    )
    shares = OwnerUsage(snapshot)
    shares.grow(of("b", replace(job(), request=Resources(0, 3, 0))))
    assert shares.share("a") == shares.share("b") > shares.share("unknown") == 0
    shares.grow(of("b", replace(job(), request=Resources(0, 1, 0))))
    assert shares.share("b") > shares.share("a")
    shares.shrink(allocated_by("b", replace(run(), request=Resources(0, 4, 0))))
    assert (shares.share("b"), shares.shrink_count) == (0, 1)
