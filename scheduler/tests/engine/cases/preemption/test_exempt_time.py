"""The exempt time: how long a started workload cannot be evicted, and by which preemptors."""

from typing import Any

import pytest

from scheduler.engine.snapshot import Policy
from scheduler.tests.engine.build import HIGH, LOW, MID, ends, job, pool, run, size
from scheduler.tests.engine.plans import evicted, plan
from scheduler.tests.engine.world import World

EXEMPT_S = 900


@pytest.mark.parametrize(
    ("ran_s", "waited_s", "is_evicted"),
    [
        (10, 100, False),
        (10, EXEMPT_S - 1, False),
        (10, EXEMPT_S, True),
        (10, 10**6, True),
        (EXEMPT_S - 1, 0, False),
        (EXEMPT_S - 1, 100, False),
        (EXEMPT_S, 0, True),
        (None, EXEMPT_S, True),
        (None, EXEMPT_S - 1, False),
    ],
)
def test_a_workload_that_passed_a_waiting_one_is_exempt_from_it_no_longer_than_that_waits(
    ran_s: int | None, waited_s: int, is_evicted: bool
) -> None:
    """Otherwise each that passes would be exempt anew. `ran_s` None: it is STARTING."""
    low = run(gpu=8, ran_s=ran_s, admitted_ms=ends(-10))
    waiting = job(gpu=8, high=True, waited_s=waited_s)
    made = plan(pool(running=[low], queued=[waiting], preempt_exempt_s=EXEMPT_S))
    assert bool(evicted(made)) == is_evicted


def test_a_workload_that_has_waited_less_evicts_those_alone_that_are_no_longer_exempt() -> None:
    """Both ask for 4 GPUs. The first may evict both running ones, the second only the old one."""
    running = [run(gpu=4, ran_s=10, id="young"), run(gpu=4, ran_s=5000, id="old")]
    first, second = (
        job(gpu=4, cpu=2, high=True, waited_s=2000, id="first"),
        job(gpu=4, cpu=1, high=True, id="second"),
    )
    more: dict[str, Any] = {"preempt_exempt_s": EXEMPT_S, "ordering": "fifo"}
    both = plan(pool(running=running, queued=[first, second], **more))
    assert evicted(both) == {"young": "first", "old": "second"}
    assert evicted(plan(pool(running=running, queued=[second], **more))) == {"old": "second"}


def test_a_victim_of_one_preemptor_is_no_candidate_of_another() -> None:
    """Whichever of the two kinds of preemptors comes first."""
    running = [run(gpu=4, ran_s=10, id="young"), run(gpu=4, ran_s=5000, id="old")]
    new = job(gpu=4, high=True, id="new")
    patient = job(gpu=4, priority="MID", waited_s=2000, id="patient")
    more: dict[str, Any] = {"preempt_exempt_s": EXEMPT_S, "classes": (LOW, MID, HIGH)}
    made = plan(pool(running=running, queued=[new, patient], **more))
    assert evicted(made) == {"old": "new", "young": "patient"}


def test_of_equal_workloads_the_wait_of_the_first_in_order_counts() -> None:
    """The first was evicted lately; its equal, submitted later, has waited for long."""
    first = job(gpu=8, high=True, submitted_ms=ends(-9000), queued_ms=ends(-10))
    second = job(gpu=8, high=True, submitted_ms=ends(-8000))
    low = run(gpu=8, ran_s=20)
    more: dict[str, Any] = {"preempt_exempt_s": EXEMPT_S, "reserve_after_s": 10**6}
    assert evicted(plan(pool(running=[low], queued=[first, second], **more))) == {}


def test_a_stream_of_exempt_workloads_delays_a_waiting_one_by_the_exempt_time_at_most() -> None:
    """LOW of 1 GPU run for 100 s each, and another one is there whenever one ends. HIGH needs all
    eight GPUs."""
    policy = Policy(preempt_exempt_s=EXEMPT_S, reserve_after_s=10**6)
    world = World((LOW, HIGH), size(gpu=8, cpu=64, ram=64), policy=policy)
    for second in range(0, 3000, 100):
        if second == 100:
            world.submit(job(gpu=8, high=True, id="high"))
        for number in range(2 if second else 8):
            world.submit(job(gpu=1, id=f"low-{second:04}-{number}"))
        for id_ in sorted(world.running)[:2] if second else ():
            world.end(id_)
        world.settle()
        if "high" in world.running:
            break
        world.pass_time(100)
    assert second == 100 + EXEMPT_S
