"""From when a running workload may be evicted: at that moment, and not a millisecond earlier."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from scheduler.engine import Snapshot
from scheduler.engine.preemption.exemption import evictable_from
from scheduler.engine.resources import ZERO
from scheduler.engine.snapshot import Policy, Running
from scheduler.tests.engine.build import NOW, job, pool
from scheduler.tests.engine.plans import evicted_ids, plan
from scheduler.tests.engine.strategies import CLASSES, running_on

POLICIES = st.builds(
    Policy, preempt_exempt_s=st.sampled_from([0, 300]), max_preemptions=st.sampled_from([0, 3, 5])
)
TOP = replace(CLASSES[1], name="TOP", value=10_000)


@given(
    running_on([None]),
    POLICIES,
    st.sampled_from([None, NOW - 5000]),
    st.none() | st.integers(-10_000, 0).map(lambda seconds: NOW + 1000 * seconds),
)
def test_it_is_the_first_moment_at_which_the_planner_evicts_it(
    running: Running, policy: Policy, admitted_ms: int | None, waits_since_ms: int | None
) -> None:
    """For one that waits since then, or has just begun to wait."""
    running = replace(running, admitted_ms=admitted_ms)
    preemptor = replace(job(priority="TOP"), request=running.total)
    classes = {each.name: each for each in CLASSES}
    from_ms = evictable_from(running, classes[running.priority], policy, waits_since_ms)

    def at(now_ms: int) -> Snapshot:
        queued_ms = now_ms if waits_since_ms is None else waits_since_ms
        waiting = replace(preemptor, queued_ms=queued_ms)
        base = pool(running=[running], queued=[waiting], classes=(*CLASSES, TOP))
        return replace(base, policy=policy, total=running.total, now_ms=now_ms)

    assert running.total != ZERO
    if from_ms is None:
        for now_ms in (NOW, NOW + 10**9):
            assert evicted_ids(plan(at(now_ms))) == set()
        return
    assert evicted_ids(plan(at(from_ms))) == {running.id}
    if policy.preempt_exempt_s:  # else it is never exempt
        assert evicted_ids(plan(at(from_ms - 1))) == set()
