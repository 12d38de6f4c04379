"""Maintenance windows on random snapshots."""

from dataclasses import replace

from hypothesis import given, settings

from mlops_platform.tests.equipment.examples import examples
from scheduler.engine import Snapshot, make_plan
from scheduler.engine.codec import encode_plan, encode_snapshot
from scheduler.engine.invariants import check
from scheduler.engine.snapshot import NODE, Window, Workload
from scheduler.forecast.future import Future
from scheduler.tests.engine.build import ends, job, node, rack, window
from scheduler.tests.engine.plans import replayed_plan
from scheduler.tests.engine.strategies import snapshots, with_windows

FAR_S = 10**6


def lasts_ms(workload: Workload, snapshot: Snapshot) -> int:
    limit_s = workload.limit_s
    return 1000 * (snapshot.policy.assumed_runtime_s if limit_s is None else limit_s)


def meets(workload: Workload, each: Window, snapshot: Snapshot) -> bool:
    """Whether it would run, or is started, in the window: said without a word of the planner's."""
    run = range(snapshot.now_ms, snapshot.now_ms + max(lasts_ms(workload, snapshot), 1))
    return max(run.start, each.begins_ms) < min(run.stop, each.ends_ms)


@given(with_windows())
@settings(max_examples=examples(600), deadline=None)
def test_no_start_meets_a_window_of_its_nodes_and_each_plan_replays(snapshot: Snapshot) -> None:
    made = replayed_plan(snapshot)
    queued = {each.id: each for each in snapshot.queued}
    for start in made.starts:
        for place in start.placement:
            for each in snapshot.windows:
                if place.node_id in each.node_ids and each.begins_ms > snapshot.now_ms:
                    assert not meets(queued[start.workload_id], each, snapshot)
                elif place.node_id in each.node_ids:
                    assert each.ends_ms <= snapshot.now_ms


@given(with_windows())
@settings(max_examples=examples(300), deadline=None)
def test_windows_that_none_reaches_change_nothing(snapshot: Snapshot) -> None:
    far = tuple(
        replace(each, begins_ms=ends(FAR_S + n), ends_ms=ends(FAR_S + n + 1))
        for n, each in enumerate(snapshot.windows)
    )
    over = tuple(
        replace(each, begins_ms=ends(-5), ends_ms=snapshot.now_ms) for each in snapshot.windows
    )
    without = encode_plan(make_plan(replace(snapshot, windows=())))
    for windows in (far, over, far + over):
        assert encode_plan(make_plan(replace(snapshot, windows=windows))) == without


@given(snapshots())
@settings(max_examples=examples(100), deadline=None)
def test_without_windows_a_snapshot_is_recorded_as_before_there_were_any(
    snapshot: Snapshot,
) -> None:
    with_one = replace(snapshot, windows=(Window("w", "disks", "now", 1, 2, ("a",)),))
    assert len(encode_snapshot(with_one)) > len(encode_snapshot(snapshot))
    assert encode_plan(make_plan(with_one)) == encode_plan(make_plan(snapshot))


@given(with_windows())
@settings(max_examples=examples(300), deadline=None)
def test_a_shorter_limit_is_never_kept_back_by_more_windows(snapshot: Snapshot) -> None:
    """What waits for windows alone waits for none once it would end before all of them."""
    plan = make_plan(snapshot)
    reasons = {each.workload_id or each.scheduling_key: each.reason for each in plan.waits}
    now_ms = snapshot.now_ms
    soonest = min((w.begins_ms for w in snapshot.windows if w.ends_ms > now_ms), default=now_ms)
    for each in snapshot.queued:
        found = reasons.get(each.id) or reasons.get(each.scheduling_key)
        if found is None or found.code != "MAINTENANCE_WINDOW" or soonest <= now_ms + 1000:
            continue
        limit_s = (soonest - now_ms) // 1000
        short = replace(each, limit_s=limit_s, scheduling_key=f"{each.scheduling_key}!")
        others = tuple(other for other in snapshot.queued if other is not each)
        again = make_plan(replace(snapshot, queued=(*others, short)))
        assert all(
            w.reason.code != "MAINTENANCE_WINDOW"
            for w in again.waits
            if w.scheduling_key == short.scheduling_key
        )


@given(with_windows())
@settings(max_examples=examples(300), deadline=None)
def test_what_windows_keep_from_all_nodes_changes_nothing_for_others(snapshot: Snapshot) -> None:
    first = make_plan(snapshot)
    own = {wait.workload_id for wait in first.waits if wait.workload_id}
    kept = {
        wait.scheduling_key
        for wait in first.waits
        if wait.reason.code == "MAINTENANCE_WINDOW" and wait.workload_id is None
    }
    never = [
        each
        for each in snapshot.queued
        if each.scheduling_key in kept
        and each.id not in own
        and all(
            any(node.id in w.node_ids and meets(each, w, snapshot) for w in snapshot.windows)
            for node in snapshot.nodes
        )
    ]
    others = tuple(each for each in snapshot.queued if each not in never)
    second = make_plan(replace(snapshot, queued=others))
    assert (first.starts, first.evictions) == (second.starts, second.evictions)
    assert first.reserved_for == second.reserved_for


@given(with_windows())
@settings(max_examples=examples(100), deadline=None)
def test_in_no_future_a_workload_starts_where_it_would_meet_a_window(snapshot: Snapshot) -> None:
    """Every plan of the future keeps the invariants, as the nodes are at its moment."""
    future = Future(snapshot, lambda _id, _done: 500_000, lambda _id: False)
    looked = []

    def at(now_ms: int) -> Snapshot:
        looked.append(now_ms)
        return original(now_ms)

    original, future._at = future._at, at  # type: ignore[method-assign]  # a look at each moment
    future.play([each.id for each in snapshot.queued], lambda: len(looked) > 30)
    queued = {each.id: each for each in snapshot.queued if each.whole != NODE}
    for id_, start in future.starts.items():
        if id_ in queued:
            then = replace(snapshot, now_ms=start.at_ms)
            assert any(
                not any(n.id in w.node_ids and meets(queued[id_], w, then) for w in then.windows)
                for n in snapshot.nodes
            )


def test_the_checker_finds_a_start_that_meets_a_window() -> None:
    waiting = job(1, limit_s=600, id="mine")
    snapshot = rack([node("a")], queued=[waiting])
    plan = make_plan(snapshot)
    assert check(snapshot, plan) == []
    for begins_s, faults in ((-10, 1), (599, 1), (600, 0)):
        planned = replace(snapshot, windows=(window("a", begins_s=begins_s),))
        assert len(check(planned, plan)) == faults
