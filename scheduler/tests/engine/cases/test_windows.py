"""Maintenance windows with known answers: a workload starts on no node on which it might still run
when a window begins, and evicts and reserves nothing there."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine import Snapshot
from scheduler.engine.plan import Plan
from scheduler.engine.snapshot import NODE, Workload
from scheduler.engine.wait_reasons import ReasonsWithoutCycle, impossible
from scheduler.engine.whatif import Cause, WhatIf, occupants
from scheduler.forecast import Expected, History, Traits, forecast
from scheduler.tests.engine.build import NOW, ends, job, node, pool, rack, run, window
from scheduler.tests.engine.plans import evicted_ids, placed, plan, reason, replayed_plan, started

HOUR = 3600


def two(*windows: Any, **more: Any) -> Snapshot:
    """Nodes a and b of 8 GPUs."""
    return rack([node("a"), node("b")], windows=windows, **more)


def on(made: Plan, workload: Workload) -> list[str]:
    return sorted(map(str, placed(made).get(workload.id, {})))


@pytest.mark.parametrize(
    ("limit_s", "begins_s", "assumed_s", "starts"),
    [
        (600, 600, 0, True),  # it has ended when the window begins
        (601, 600, 0, False),
        (601, -10, 0, False),  # the window is under way
        (1, -10, 0, False),
        (601, -3600, 0, True),  # it is over
        (None, 600, 600, True),
        (None, 600, 601, False),
        (None, 600, 14_400, False),
        (None, 0, 0, False),
        (None, 1, 0, True),
    ],
)
def test_it_starts_where_its_limit_ends_it_before_the_window(
    limit_s: int | None, begins_s: int, assumed_s: int, starts: bool
) -> None:
    waiting = job(1, limit_s=limit_s)
    snapshot = rack(
        [node("a")],
        windows=(window("a", begins_s=begins_s),),
        queued=[waiting],
        assumed_runtime_s=assumed_s,
    )
    assert started(replayed_plan(snapshot)) == [waiting.id] * starts


def test_it_starts_on_a_node_whose_window_it_does_not_reach() -> None:
    short, long = job(8, limit_s=60), job(8, limit_s=7200)
    made = replayed_plan(two(window("a", begins_s=HOUR), queued=[long, short]))
    assert (on(made, long), on(made, short)) == (["b"], ["a"])


def test_of_windows_one_after_the_other_the_next_one_counts() -> None:
    windows = (window("a", begins_s=HOUR, lasts_s=60), window("a", begins_s=3 * HOUR, lasts_s=60))
    waiting = job(1, limit_s=2 * HOUR)
    one = rack([node("a")], windows=windows, queued=[waiting])
    assert started(plan(one)) == []
    assert started(plan(replace(one, now_ms=ends(HOUR + 60)))) == []  # 2 h - 60 s are left
    short = replace(waiting, limit_s=2 * HOUR - 60)
    assert started(plan(replace(one, now_ms=ends(HOUR + 60), queued=(short,)))) == [short.id]


def test_a_gang_starts_outside_of_them_or_not_at_all() -> None:
    gang = job(8, replicas=2, limit_s=2 * HOUR)
    nodes = [node(name) for name in "abc"]
    snapshot = rack(nodes, windows=(window("a", begins_s=HOUR),), queued=[gang])
    assert on(replayed_plan(snapshot), gang) == ["b", "c"]
    closed = replace(snapshot, windows=(window("a", "b", begins_s=HOUR),))
    assert reason(replayed_plan(closed), gang)[0] == "MAINTENANCE_WINDOW"


def test_whole_nodes_are_those_outside_of_them() -> None:
    whole = job(1, limit_s=2 * HOUR, whole=NODE)
    made = replayed_plan(two(window("a", begins_s=HOUR), queued=[whole]))
    assert on(made, whole) == ["b"]
    closed = two(window("a", "b", begins_s=HOUR), queued=[whole])
    assert reason(replayed_plan(closed), whole)[0] == "MAINTENANCE_WINDOW"


def test_nothing_is_evicted_where_a_window_forbids_the_start() -> None:
    running = [run(8, on="a"), run(8, on="b", ran_s=6000)]
    long, short = (job(8, high=True, limit_s=limit_s) for limit_s in (2 * HOUR, 60))
    base = two(window("a", begins_s=HOUR), running=running)
    for waiting, victim in ((long, running[1]), (short, running[0])):
        assert evicted_ids(plan(replace(base, queued=(waiting,)))) == {victim.id}
    closed = replace(base, windows=(window("a", "b", begins_s=HOUR),), queued=(long,))
    made = replayed_plan(closed)
    assert evicted_ids(made) == set()
    assert reason(made, long)[0] == "MAINTENANCE_WINDOW"


# --- Reasons --------------------------------------------------------------------------------------


def shown(begins_s: int, *, is_open: bool = False) -> dict[str, Any]:
    at = {-60: ("1970-01-12T13:45:40", "1970-01-12T14:45:40")}
    at[HOUR] = ("1970-01-12T14:46:40", "1970-01-12T15:46:40")
    begins_at, ends_at = (f"{each}+00:00" for each in at[begins_s])
    times = {"begins_at": begins_at, "ends_at": ends_at, "open": is_open}
    return {"id": f"w{begins_s}", "reason": "disks", **times}


def test_the_reason_names_the_window_and_lasts_from_cycle_to_cycle() -> None:
    waiting = job(1, limit_s=2 * HOUR)
    snapshot = two(window("a", "b", begins_s=HOUR), queued=[waiting])
    expected = ("MAINTENANCE_WINDOW", {"windows": [shown(HOUR)], "window_nodes": 2})
    for now_ms in (NOW, ends(60)):
        assert reason(replayed_plan(replace(snapshot, now_ms=now_ms)), waiting) == expected
    endless = replace(waiting, limit_s=None, scheduling_key="endless")
    made = replayed_plan(replace(snapshot, queued=(endless,)))
    assert reason(made, endless)[1]["assumed_runtime_s"] == 14_400
    open_ = replace(snapshot, windows=(window("a", "b", begins_s=-60),))
    assert reason(plan(open_), waiting)[1]["windows"] == [shown(-60, is_open=True)]


def test_what_could_start_but_for_a_window_says_so_and_else_what_is_short_beside_it() -> None:
    waiting = job(8, limit_s=2 * HOUR)
    base = two(window("a", begins_s=HOUR), running=[run(8, on="b", high=True)], queued=[waiting])
    code, details = reason(replayed_plan(base), waiting)
    assert (code, details["window_nodes"]) == ("MAINTENANCE_WINDOW", 1)
    full = rack(
        list(base.nodes),
        windows=base.windows,
        running=[run(8, on="b", high=True), run(8, on="a", high=True)],
        queued=[waiting],
    )
    code, details = reason(replayed_plan(full), waiting)
    assert (code, details["short"]) == ("INSUFFICIENT_CAPACITY", {"gpu": 8})
    assert (details["windows"], details["window_nodes"]) == ([shown(HOUR)], 1)


def test_the_reason_without_a_cycle_is_the_same() -> None:
    running = [run(8, on="b", high=True)]
    for waiting in (job(8, limit_s=2 * HOUR), job(1, limit_s=2 * HOUR, whole=NODE), job(9)):
        for windows in ((), (window("a", begins_s=HOUR),), (window("a", "b", begins_s=HOUR),)):
            snapshot = rack(
                [node("a"), node("b")], windows=windows, running=running, queued=[waiting]
            )
            made = plan(snapshot)
            empty = replace(snapshot, queued=(), running=())
            if not started(made):
                found = ReasonsWithoutCycle(empty, None).why(waiting)
                assert (found.code, found.details) == reason(made, waiting)


def test_a_window_makes_nothing_impossible() -> None:
    snapshot = two(window("a", "b", begins_s=-60, lasts_s=10**6))
    what_if = WhatIf(snapshot, job(1))
    assert impossible(what_if._view.cluster.capacity, job(1)) is None


# --- Those that wait, and others ------------------------------------------------------------------


@pytest.mark.parametrize("queueing", ["best_effort", "strict", "easy_backfill"])
def test_one_that_windows_keep_back_blocks_none_behind_it(queueing: str) -> None:
    long, short = job(8, limit_s=2 * HOUR, waited_s=9), job(1, limit_s=60)
    snapshot = two(window("a", "b", begins_s=HOUR), queued=[long, short], queueing=queueing)
    assert started(replayed_plan(snapshot)) == [short.id]


def test_a_head_is_promised_no_node_whose_window_it_would_reach_by_then() -> None:
    """a is free sooner, but not for as long as the head runs: only b counts, and what would keep it
    from b waits."""
    head = job(8, limit_s=HOUR, waited_s=9)
    filler = job(1, limit_s=2 * HOUR)
    running = [run(8, on="a", ends_ms=ends(60)), run(7, on="b", ends_ms=ends(600))]
    base = two(running=running, queued=[head, filler], queueing="easy_backfill")
    assert started(plan(base)) == [filler.id]
    # until its begin the head could run on a if it started now: from 60 s on no more
    made = plan(replace(base, windows=(window("a", begins_s=HOUR + 30),)))
    assert started(made) == []
    assert reason(made, filler)[0] == "RESERVED_FOR_HEAD"


def test_nothing_is_reserved_for_a_starved_one_where_windows_keep_it_from() -> None:
    starved = job(8, limit_s=2 * HOUR, waited_s=10**5)
    small = job(1, limit_s=HOUR - 1)
    running = [run(4, on="a"), run(4, on="b", high=True)]
    base = two(running=running, queued=[starved, small], preemption="never")
    assert started(plan(base)) == [small.id]  # a is reserved, and b is free for it
    alone = rack([node("a")], running=running[:1], queued=[starved, small], preemption="never")
    made = plan(alone)
    assert (started(made), made.reserved_for) == ([], (starved.id,))
    made = plan(replace(alone, windows=(window("a", begins_s=HOUR),)))
    assert (started(made), made.reserved_for) == ([small.id], ())


def test_a_service_on_a_node_that_a_window_closes_does_not_count_for_those_beside_it() -> None:
    """Capacity is reserved for a starved workload beside services: on nodes that it may have."""
    service = run(8, on="b", high=True, endless=True)
    starved = job(8, limit_s=2 * HOUR, waited_s=10**5)
    snapshot = two(window("a", begins_s=HOUR), running=[service], queued=[starved])
    made = replayed_plan(snapshot)
    assert (made.reserved_for, reason(made, starved)[0]) == ((), "MAINTENANCE_WINDOW")


@pytest.mark.parametrize("begins_s", [500, 5000])
def test_a_preemptor_waits_for_a_limit_only_where_no_window_comes_before(begins_s: int) -> None:
    ending = run(8, on="a", ends_ms=ends(60))
    waiting = job(8, high=True, limit_s=HOUR)
    snapshot = rack(
        [node("a"), node("b")],
        windows=(window("a", begins_s=begins_s),),
        running=[ending, run(8, on="b")],
        queued=[waiting],
        preemption_delay_s=100,
    )
    assert (evicted_ids(plan(snapshot)) == set()) == (begins_s == 5000)


# --- Questions ------------------------------------------------------------------------------------


def test_a_smaller_limit_helps_up_to_the_begin_and_not_where_more_is_lacking() -> None:
    windows = (window("a", begins_s=HOUR), window("b", begins_s=2 * HOUR))
    for limit_s in (None, 3 * HOUR):
        waiting = job(8, limit_s=limit_s)
        assert WhatIf(two(*windows), waiting).largest_limit_s() == 2 * HOUR
        part = two(*windows, running=[run(1, on="b", high=True)])
        assert WhatIf(part, waiting).largest_limit_s() == HOUR
        full = two(*windows, running=[run(1, on=each, high=True) for each in "ab"])
        assert WhatIf(full, waiting).largest_limit_s() is None
    assert WhatIf(two(), job(9)).largest_limit_s() is None


def test_the_earliest_start_is_after_the_window_and_what_has_closed_nodes_opens_them() -> None:
    waiting = job(1, limit_s=2 * HOUR)
    ahead = rack([node("a")], windows=(window("a", begins_s=HOUR),), queued=[waiting])
    found = WhatIf(ahead, waiting).earliest_start()
    assert found is not None
    assert found.at_ms == ends(2 * HOUR)
    closed = rack(
        [node("a", state="CORDONED")],
        windows=(window("a", begins_s=-60, closed=True),),
        queued=[waiting],
    )
    found = WhatIf(closed, waiting).earliest_start()
    assert found is not None
    assert found.at_ms == ends(HOUR - 60)
    by_hand = replace(closed, windows=(window("a", begins_s=-60),))
    assert WhatIf(by_hand, waiting).earliest_start() is None


def test_what_runs_where_a_window_comes_is_spared_for_that() -> None:
    running = [run(8, on="a"), run(8, on="b", high=True)]
    waiting = job(8, high=True, limit_s=2 * HOUR)
    snapshot = two(window("a", begins_s=HOUR), running=running, queued=[waiting])
    found = WhatIf(snapshot, waiting).spared(occupants(snapshot, waiting))
    assert {each.cause: each.count for each in found} == {
        Cause.SAME_OR_HIGHER_CLASS: 1,
        Cause.MAINTENANCE_WINDOW: 1,
    }


@pytest.mark.parametrize(
    ("limit_s", "mode", "starts_s"),
    [(HOUR, "cordon", 0), (HOUR + 1, "cordon", 2 * HOUR), (HOUR + 1, "now", 2 * HOUR)],
)
def test_a_forecast_passes_the_window(limit_s: int, mode: str, starts_s: int) -> None:
    waiting = job(8, limit_s=limit_s, id="mine")
    snapshot = rack([node("a")], windows=(window("a", begins_s=HOUR, mode=mode),), queued=[waiting])
    assert eta(snapshot, [waiting]) == ends(starts_s)


def test_a_forecast_counts_on_nodes_that_a_window_gives_back_and_on_no_others() -> None:
    waiting = job(8, limit_s=60, id="mine")
    snapshot = rack(
        [node("a", state="CORDONED")],
        windows=(window("a", begins_s=-60, closed=True),),
        queued=[waiting],
    )
    assert eta(snapshot, [waiting]) == ends(HOUR - 60)
    assert eta(replace(snapshot, windows=(window("a", begins_s=-60),)), [waiting]) is None


def test_a_forecast_requeues_what_a_window_evicts() -> None:
    running = run(8, on="a", id="first", ends_ms=ends(3 * HOUR))
    waiting = job(8, limit_s=60, id="mine")
    windows = (window("a", begins_s=HOUR, mode="now"),)
    snapshot = rack([node("a")], windows=windows, running=[running], queued=[waiting])
    assert (eta(snapshot, [waiting]) or 0) >= ends(2 * HOUR)


def eta(snapshot: Snapshot, waiting: list[Workload]) -> int | None:
    traits = Traits("ada", "train", "train:1", "LOW")
    expected = {each.id: Expected(traits, (each.limit_s or 0) * 1000) for each in waiting}
    for each in snapshot.running:
        expected[each.id] = Expected(traits, (each.ends_ms or NOW) - (each.started_ms or NOW))
    found = forecast(snapshot, ["mine"], expected, History())
    return found.etas["mine"].p50_ms


def test_a_pool_has_no_nodes_and_so_no_windows() -> None:
    waiting = job(1)
    snapshot = pool(windows=(window("a", begins_s=-60),), queued=[waiting])
    assert started(replayed_plan(snapshot)) == [waiting.id]
