"""The earliest start that is promised if nothing but the time changes, by limits and by exempt
times: the planner keeps it, and does not start the workload one millisecond earlier."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.tests.equipment.examples import examples
from scheduler.engine import Snapshot
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.snapshot import Workload
from scheduler.engine.whatif import EarliestStart, WhatIf, at_moment, plan_with
from scheduler.engine.whatif.earliest_start import first_with_enough
from scheduler.tests.engine.build import NOW, job, pool, run
from scheduler.tests.engine.properties.test_whatif import with_another
from scheduler.tests.engine.strategies import snapshots, with_quotas, with_shares


@st.composite
def exempt(draw: st.DrawFn) -> Snapshot:
    """Any snapshot with exempt times of all lengths, what it takes for most of them to matter."""
    base = draw(snapshots(max_queued=6) | with_quotas(max_queued=6) | with_shares())
    running = []
    for each in base.running:
        ran_s = draw(st.integers(0, 700))
        if each.started_ms is None:
            running.append(replace(each, admitted_ms=NOW - ran_s * 1000))
        else:
            running.append(replace(each, started_ms=NOW - ran_s * 1000))
    exempt_s = draw(st.sampled_from([300, 600, 900]))
    policy = replace(base.policy, preempt_exempt_s=exempt_s)
    return replace(base, running=tuple(running), policy=policy, state="ACTIVE")


def evicts(snapshot: Snapshot, workload: Workload, at_ms: int) -> list[str] | None:
    """Whom it evicts if the planner starts it at that moment; None if it waits on."""
    found = plan_with(at_moment(snapshot, at_ms), workload)
    if found.start is None:
        return None
    return [each.workload_id for each in found.evictions]


def promised(snapshot: Snapshot, workload: Workload) -> EarliestStart | None:
    what_if = WhatIf(snapshot, workload)
    found = what_if.earliest_start()
    assert what_if.complete
    return found


@given(exempt() | snapshots(max_queued=10), st.integers(0, 100))
@settings(max_examples=examples(600), deadline=None)
def test_the_workload_starts_at_the_promised_moment_and_not_a_millisecond_earlier(
    snapshot: Snapshot, which: int
) -> None:
    snapshot, workload = with_another(snapshot, which)
    found = promised(snapshot, workload)
    if found is None:
        assert evicts(snapshot, workload, snapshot.now_ms) is None
        return
    assert found.at_ms >= snapshot.now_ms
    assert evicts(snapshot, workload, found.at_ms) == [e.workload_id for e in found.evictions]
    if found.at_ms > snapshot.now_ms:
        assert evicts(snapshot, workload, found.at_ms - 1) is None


@given(exempt(), st.integers(0, 100), st.integers(0, 1000))
@settings(max_examples=examples(300), deadline=None)
def test_no_plan_starts_it_before_enough_could_have_come_free(
    snapshot: Snapshot, which: int, later_s: int
) -> None:
    """However the search goes on: it begins at the first moment that could be right."""
    snapshot, workload = with_another(snapshot, which)
    first_ms = first_with_enough(ClusterView(snapshot), workload)
    at_ms = NOW + later_s * 1000
    if first_ms is None or at_ms < first_ms:
        assert evicts(snapshot, workload, at_ms) is None


@given(exempt(), st.integers(0, 100))
@settings(max_examples=examples(200), deadline=None)
def test_the_earliest_start_is_no_later_than_the_one_that_time_limits_promise(
    snapshot: Snapshot, which: int
) -> None:
    """Where nothing else waits: what waits too may preempt what time limits leave."""
    snapshot, workload = with_another(snapshot, which)
    snapshot = replace(snapshot, queued=())
    after = WhatIf(snapshot, workload).after_limits()
    if after is not None and after.at_ms is not None:
        found = promised(snapshot, workload)
        assert found is not None
        assert found.at_ms <= after.at_ms


@given(exempt(), st.integers(0, 100))
@settings(max_examples=examples(200), deadline=None)
def test_each_running_workload_that_could_make_room_is_spared_for_one_cause(
    snapshot: Snapshot, which: int
) -> None:
    snapshot, workload = with_another(snapshot, which)
    what_if = WhatIf(snapshot, workload)
    found = what_if.spared(list(snapshot.running))
    if what_if.starts():
        assert found == ()
    elif found:
        assert sum(each.count for each in found) == len(snapshot.running)
        assert len({each.cause for each in found}) == len(found)
        for each in found:
            assert (each.until_ms is None) or each.until_ms > snapshot.now_ms


def test_a_workload_that_time_alone_cannot_start_is_promised_nothing_and_costs_no_plan() -> None:
    tried = []

    def check() -> None:
        tried.append(1)

    snapshot = pool(gpu=8, running=[run(gpu=8, high=True)])
    what_if = WhatIf(snapshot, job(gpu=8, high=True), check=check)
    assert what_if.earliest_start() is None
    assert (what_if.complete, tried) == (True, [])
