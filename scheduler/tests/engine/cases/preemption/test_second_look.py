"""Workloads that are refused at their turn, and start later in the same cycle."""

import pytest

from scheduler.engine.snapshot import PriorityClass
from scheduler.tests.engine.build import HIGH, LOW, ends, job, node, rack, run
from scheduler.tests.engine.plans import evicted, placed, plan

FIRM = PriorityClass("FIRM", 2000, may_preempt=False, preemptible=False)


@pytest.mark.parametrize(
    "policy",
    [{"queueing": "easy_backfill"}, {"reserve_after_s": 60}],
    ids=["of the head", "of a starved one"],
)
def test_a_workload_evicts_where_a_reservation_has_ended_in_the_same_cycle(
    policy: dict[str, object],
) -> None:
    """FIRM waits for the 4 GPUs that come free on node a, so HIGH may not evict there. Then the
    victim of an urgent one leaves so much on node b that FIRM starts there."""
    running = [
        run(gpu=4, priority="FIRM", on="a", ends_ms=ends(100)),
        run(gpu=4, on="a", id="low"),
        run(gpu=8, on="b", id="wide"),
    ]
    queued = [
        job(gpu=4, priority="FIRM", id="firm", waited_s=99),
        job(gpu=4, high=True, id="on a", waited_s=9, selector={"zone": "x"}),
        job(gpu=1, high=True, id="urgent", waited_s=8, selector={"zone": "y"}, limit_s=50),
    ]
    nodes = [node("a", labels={"zone": "x"}), node("b", labels={"zone": "y"})]
    snapshot = rack(
        nodes, running=running, queued=queued, classes=(LOW, HIGH, FIRM), ordering="fifo", **policy
    )
    made = plan(snapshot)
    assert evicted(made) == {"wide": "urgent", "low": "on a"}
    assert placed(made) == {"urgent": {"b": 1}, "firm": {"b": 1}, "on a": {"a": 1}}
