"""The delay of preemptions against a model that tries every moment, on any small cluster."""

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from scheduler.engine import Plan, Snapshot, decide, make_plan
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.preemption.exemption import evictable_from
from scheduler.engine.reservations.profile import DelayedStart
from scheduler.engine.resources import ZERO, Resources, add_up
from scheduler.engine.snapshot import Workload
from scheduler.tests.engine.build import ends, job, node, pool, rack, run, size
from scheduler.tests.engine.plans import evicted_ids, free_amounts, plan, release
from scheduler.tests.engine.strategies import snapshots, with_quotas

patiently = settings(suppress_health_check=[HealthCheck.too_slow])
delays = st.sampled_from([1, 60, 1000, 4000])


def with_delay(snapshot: Snapshot, delay_s: int) -> Snapshot:
    return replace(snapshot, policy=replace(snapshot.policy, preemption_delay_s=delay_s))


@st.composite
def nearly_full(draw: st.DrawFn, preemptors: int = 1) -> Snapshot:
    """GPUs of which few are free, allocated to HIGH and LOW workloads most of which end soon; HIGH
    ones that wait, and LOW ones behind them."""
    names = draw(st.sampled_from([[], ["a", "b"], ["a", "b", "c"]]))
    bins: list[str | None] = [*names] or [None]
    running = [
        run(
            gpu=draw(st.integers(1, 4)),
            high=draw(st.booleans()),
            ran_s=draw(st.sampled_from([10, 1000, 100_000])),
            on=draw(st.sampled_from(bins)),
            ends_ms=draw(st.none() | st.integers(-5, 80).map(ends)),
        )
        for _ in range(draw(st.integers(2, 6)))
    ]
    queued = [
        job(
            gpu=draw(st.integers(1, 4)),
            high=number < preemptors,
            replicas=draw(st.sampled_from([1, 1, 2])),
            waited_s=draw(st.integers(0, 40)),
            limit_s=draw(st.none() | st.integers(1, 60)),
        )
        for number in range(preemptors + draw(st.integers(0, 4)))
    ]
    more: dict[str, Any] = {
        "queueing": draw(st.sampled_from(["best_effort", "easy_backfill", "strict"]))
    }
    more["placement"] = draw(st.sampled_from(["binpack", "spread"]))
    exempt_s, spare = draw(st.sampled_from([0, 0, 20])), draw(st.integers(0, 2))
    if not names:
        base = pool(running=running, queued=queued, preempt_exempt_s=exempt_s, **more)
        return replace(base, total=base.allocated.plus(size(spare, 64, 512)))
    nodes = [node(name) for name in names]
    base = rack(nodes, running=running, queued=queued, preempt_exempt_s=exempt_s, **more)
    with_spare = tuple(
        replace(each, capacity=each.allocated.plus(size(spare, 64, 512))) for each in base.nodes
    )
    return replace(base, nodes=with_spare, total=add_up(each.capacity for each in with_spare))


def promised_ms(snapshot: Snapshot, workload: Workload, until_ms: int) -> int | None:
    """The model: the first moment by which enough has ended, moment by moment."""
    draining = {each.id for each in snapshot.nodes if each.state == "DRAINING"}
    stay = [r for r in snapshot.running if not any(p.node_id in draining for p in r.placement)]
    leave = [each for each in snapshot.running if each not in stay]
    is_open: set[str | None] = {
        node.id
        for node in snapshot.nodes
        if node.state == "READY" and set(workload.selector) <= set(node.labels)
    }
    if not snapshot.nodes:
        is_open = {None}
    moments = {max(r.ends_ms, snapshot.now_ms) for r in stay if r.ends_ms is not None}
    for at_ms in sorted(moments):
        if at_ms > until_ms:
            return None
        free = free_amounts(snapshot)
        for running in leave:
            release(free, running)
        for running in stay:
            if running.ends_ms is not None and running.ends_ms <= at_ms:
                release(free, running)
        count = sum(workload.request.count_in(free[at]) for at in free if at in is_open)
        if count >= workload.replicas:
            return at_ms
    return None


def deadline_ms(snapshot: Snapshot, made: Plan, workload: Workload) -> int:
    classes = {each.name: each for each in snapshot.classes}
    running, began_ms = {each.id: each for each in snapshot.running}, workload.queued_ms
    for victim in (running[each.workload_id] for each in made.evictions if each.by is not None):
        its = classes[victim.priority]
        from_ms = evictable_from(victim, its, snapshot.policy, workload.queued_ms)
        began_ms = max(began_ms, from_ms or 0)
    return began_ms + snapshot.policy.preemption_delay_s * 1000


@given(base=nearly_full(), delay_s=st.sampled_from([1, 20, 60]))
def test_one_preemptor_waits_exactly_where_a_time_limit_promises_its_place_in_time(
    base: Snapshot, delay_s: int
) -> None:
    at_once, delayed = with_delay(base, 0), with_delay(base, delay_s)
    preemptor = base.queued[0]
    before, made = plan(at_once), plan(delayed)
    victims = [each for each in before.evictions if each.by is not None]
    found_ms = None
    if victims:
        until_ms = deadline_ms(delayed, before, preemptor)
        if base.now_ms < until_ms:
            found_ms = promised_ms(delayed, preemptor, until_ms)
    event(f"victims {bool(victims)}, promised {found_ms is not None}")
    if found_ms is None:
        assert made == before
        return
    assert not any(each.by is not None for each in made.evictions)
    assert preemptor.id not in {each.workload_id for each in made.starts}
    assert made.due_ms == (found_ms if found_ms > base.now_ms else until_ms)


@patiently
@given(base=snapshots() | with_quotas() | nearly_full(4), delay_s=delays)
def test_all_promises_of_a_plan_can_be_kept_together(base: Snapshot, delay_s: int) -> None:
    """With the plan carried out, what runs ended by its limits and each started when promised, no
    node is ever over-committed."""
    snapshot = with_delay(base, delay_s)
    decision = decide(ClusterView(snapshot))
    made = decision.plan()
    assert made == plan(snapshot)
    promises: tuple[DelayedStart, ...] = ()
    if decision.state is not None and decision.state.delays is not None:
        promises = decision.state.delays.promises
    gone, free = evicted_ids(made), free_amounts(snapshot)
    changes: list[tuple[int, str | None, Resources]] = []
    ids: list[str | None] = [*sorted(each.id for each in snapshot.nodes)] or [None]
    for running in snapshot.running:
        if running.id in gone:
            release(free, running)
        elif running.ends_ms is not None:
            for each in running.placement:
                at_ms = max(running.ends_ms, snapshot.now_ms)
                changes.append((at_ms, each.node_id, running.request.times(each.replicas)))
    queued = {each.id: each for each in snapshot.queued}
    for start in made.starts:
        workload = queued[start.workload_id]
        for each in start.placement:
            amount = workload.request.times(each.replicas)
            free[each.node_id] = free[each.node_id].minus(amount)
            if workload.limit_s is not None:
                end_ms = snapshot.now_ms + workload.limit_s * 1000
                changes.append((end_ms, each.node_id, amount))
    for promise in promises:
        assert promise.at_ms <= promise.deadline_ms
        assert snapshot.now_ms < promise.deadline_ms
        assert sum(count for _, count in promise.where) == promise.reserved_for.replicas
        for at, count in promise.where:
            less = ZERO.minus(promise.reserved_for.request.times(count))
            changes.append((promise.at_ms, ids[at], less))
    for at_ms in sorted({each[0] for each in changes}):
        for _, node_id, amount in (each for each in changes if each[0] == at_ms):
            if node_id in free:
                free[node_id] = free[node_id].plus(amount)
        assert all(min(each) >= 0 for each in free.values())


@patiently
@given(base=snapshots() | with_quotas(), delay_s=delays)
def test_without_time_limits_there_is_nothing_to_wait_for(base: Snapshot, delay_s: int) -> None:
    running = tuple(replace(each, ends_ms=None) for each in base.running)
    queued = tuple(replace(each, limit_s=None) for each in base.queued)
    base = replace(base, running=running, queued=queued)
    assert make_plan(with_delay(base, delay_s)) == make_plan(with_delay(base, 0))
