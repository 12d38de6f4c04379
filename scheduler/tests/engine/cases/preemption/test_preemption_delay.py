"""Preemptors that wait for time limits instead of preempting, with known answers."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine import Snapshot, make_plan
from scheduler.engine.codec import (
    canonical,
    decode_plan,
    decode_snapshot,
    encode_plan,
    encode_snapshot,
)
from scheduler.engine.resources import ENDLESS, Resources
from scheduler.engine.snapshot import Policy, Running, Workload
from scheduler.engine.whatif import WhatIf, at_moment, occupants
from scheduler.tests.engine.build import (
    HIGH,
    LOW,
    MID,
    NOW,
    allocated_by,
    ends,
    job,
    node,
    of,
    owned,
    pool,
    rack,
    run,
)
from scheduler.tests.engine.plans import evicted, evicted_ids, reason, replayed_plan, started

DAYS = 3 * 24 * 3600


def precious(id_: str = "low", gpu: int = 4, **more: Any) -> Running:
    """A LOW workload that has run for three days."""
    return run(gpu=gpu, id=id_, ran_s=DAYS, **more)


def ending(in_s: int, id_: str = "ending", gpu: int = 4, **more: Any) -> Running:
    """A HIGH workload that its time limit ends so soon."""
    return run(gpu=gpu, id=id_, high=True, ends_ms=ends(in_s), **more)


def waiting(id_: str = "high", gpu: int = 4, **more: Any) -> Workload:
    return job(gpu=gpu, high=True, id=id_, **more)


def full(*queued: Workload, delay_s: int = 60, **more: Any) -> Snapshot:
    """A full pool of 8 GPUs: half of it LOW's for three days, half of it HIGH's for 5 s more."""
    running = [precious(), ending(5)]
    return pool(running=running, queued=list(queued), preemption_delay_s=delay_s, **more)


# --- Whether it waits -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delay_s", "in_s", "waited_s", "waits"),
    [
        pytest.param(0, 5, 0, False, id="no delay, as ever"),
        pytest.param(60, 5, 0, True, id="the limit ends it soon"),
        pytest.param(60, 60, 0, True, id="just at the deadline"),
        pytest.param(60, 61, 0, False, id="a second too late"),
        pytest.param(60, 5, 54, True, id="it has waited, and not too long"),
        pytest.param(60, 5, 56, False, id="the end comes after its deadline"),
        pytest.param(60, 5, 3600, False, id="its deadline is over"),
        pytest.param(60, -2, 0, True, id="the end is overdue: what runs is about to end"),
    ],
)
def test_a_preemptor_waits_for_a_time_limit_that_makes_room_before_its_deadline(
    delay_s: int, in_s: int, waited_s: int, waits: bool
) -> None:
    high = waiting(waited_s=waited_s)
    made = replayed_plan(
        pool(running=[precious(), ending(in_s)], queued=[high], preemption_delay_s=delay_s)
    )
    if not waits:
        assert evicted(made) == {"low": "high"}
        assert made.due_ms is None
        return
    assert (made.starts, made.evictions) == ((), ())
    code, details = reason(made, high)
    assert code == "INSUFFICIENT_CAPACITY"
    assert details["short"] == {"gpu": 4}
    assert details["delayed"]["after"] == "ending"
    deadline_ms = high.queued_ms + delay_s * 1000
    assert made.due_ms == (ends(in_s) if in_s > 0 else deadline_ms)


def test_it_evicts_at_the_deadline_where_the_limit_was_extended() -> None:
    """A broken promise leads to a preemption at once."""
    high = waiting()
    before = pool(running=[precious(), ending(5)], queued=[high], preemption_delay_s=60)
    assert replayed_plan(before).evictions == ()
    extended = replace(before, running=(before.running[0], ending(3600)), now_ms=NOW + 1000)
    assert evicted(replayed_plan(extended)) == {"low": "high"}


def test_at_the_promised_moment_it_starts_without_an_eviction() -> None:
    later = at_moment(full(waiting()), ends(5))
    made = replayed_plan(later)
    assert (started(made), evicted_ids(made)) == (["high"], set())


def test_the_delay_counts_from_the_end_of_its_victims_exempt_time() -> None:
    """Before, it could not have evicted: that wait is none of the delay's."""
    high = waiting(waited_s=290)
    running = [run(gpu=4, id="low", ran_s=310), ending(40)]
    for delay_s, victims in ((60, set()), (45, {"low"})):
        made = replayed_plan(
            pool(
                running=running,
                queued=[high],
                preemption_delay_s=delay_s,
                preempt_exempt_s=300,
            )
        )
        assert evicted_ids(made) == victims


def test_what_may_not_preempt_waits_as_ever() -> None:
    low = job(gpu=4, id="waits")
    made = replayed_plan(full(low))
    assert "delayed" not in reason(made, low)[1]
    assert made.due_ms is None


@pytest.mark.parametrize("queueing", ["best_effort", "strict", "easy_backfill"])
def test_it_waits_in_any_kind_of_queue(queueing: str) -> None:
    made = replayed_plan(full(waiting(), job(gpu=0, id="small"), queueing=queueing))
    assert evicted_ids(made) == set()
    assert started(made) == ([] if queueing == "strict" else ["small"])


def test_a_gang_waits_for_the_last_of_its_nodes() -> None:
    nodes = [node("a"), node("b"), node("c"), node("d")]
    running = [
        ending(5, "first", 8, on="a"),
        ending(9, "last", 8, on="b"),
        precious("low c", 8, on="c"),
        precious("low d", 8, on="d"),
    ]
    gang = waiting(gpu=8, replicas=2)
    made = replayed_plan(rack(nodes, running=running, queued=[gang], preemption_delay_s=60))
    assert evicted_ids(made) == set()
    assert reason(made, gang)[1]["delayed"]["after"] == "last"
    assert made.due_ms == ends(9)


def test_an_end_on_another_node_or_of_too_little_promises_nothing() -> None:
    nodes = [node("a", labels={"zone": "x"}), node("b")]
    running = [precious("low", 8, on="a"), ending(5, "elsewhere", 8, on="b")]
    high = waiting(gpu=8, selector={"zone": "x"})
    made = replayed_plan(rack(nodes, running=running, queued=[high], preemption_delay_s=60))
    assert evicted_ids(made) == {"low"}
    running = [precious("low", 6), ending(5, gpu=2)]
    made = replayed_plan(pool(running=running, queued=[waiting()], preemption_delay_s=60))
    assert evicted_ids(made) == {"low"}


# --- It keeps its place ---------------------------------------------------------------------------


def test_those_of_its_class_behind_it_are_tried() -> None:
    """The second of two equal ones finds no end that is left, and evicts."""
    made = replayed_plan(full(waiting("first"), waiting("second")))
    assert evicted(made) == {"low": "second"}
    assert made.due_ms == ends(5)


def test_each_end_is_promised_once_and_what_it_leaves_over_again() -> None:
    running = [precious(gpu=2), ending(5, "one", 2), ending(6, "two", 2)]
    queued = [waiting("a", 2), waiting("b", 2), waiting("c", 2)]
    made = replayed_plan(pool(6, running=running, queued=queued, preemption_delay_s=60))
    assert evicted(made) == {"low": "c"}
    assert [reason(made, each)[1]["delayed"]["after"] for each in queued[:2]] == ["one", "two"]
    wide = pool(running=[precious(), ending(5)], queued=queued[:2], preemption_delay_s=60)
    assert replayed_plan(wide).evictions == ()


def test_a_lower_one_takes_what_is_left_over_and_nothing_that_was_promised() -> None:
    running = [precious(), ending(5)]  # 2 GPUs are free
    high = waiting(gpu=5)
    low = {gpu: job(gpu=gpu, id=f"of {gpu}") for gpu in (1, 2)}
    fits = pool(10, running=running, queued=[high, low[1]], preemption_delay_s=60)
    assert started(replayed_plan(fits)) == ["of 1"]
    too_large = replayed_plan(replace(fits, queued=(high, low[2])))
    assert started(too_large) == []
    code, details = reason(too_large, low[2])
    assert (code, details["head"], details["delayed"]) == ("RESERVED_FOR_HEAD", "high", True)


def test_what_ends_before_the_promised_moment_may_pass() -> None:
    running = [precious(), ending(5)]  # 2 GPUs are free
    for limit_s, starts in ((5, ["short"]), (6, [])):
        short = job(gpu=2, id="short", limit_s=limit_s)
        snapshot = pool(10, running=running, queued=[waiting(gpu=6), short], preemption_delay_s=60)
        assert started(replayed_plan(snapshot)) == starts


def test_a_more_urgent_one_takes_its_place_and_then_it_evicts_at_once() -> None:
    running = [precious(), run(gpu=2, id="mid", priority="MID", ends_ms=ends(5))]  # 2 are free
    mid = job(gpu=4, priority="MID", id="waits")
    snapshot = pool(running=running, queued=[mid], preemption_delay_s=60, classes=(LOW, MID, HIGH))
    assert replayed_plan(snapshot).evictions == ()
    made = replayed_plan(replace(snapshot, queued=(waiting("urgent", 2), mid)))
    assert started(made) == ["urgent", "waits"]
    assert evicted(made) == {"low": "waits"}


def test_no_other_evicts_what_its_promise_relies_on() -> None:
    """The LOW that ends soon makes room for the first; the second takes the other one, though the
    one that ends would have cost less."""
    running = [precious(gpu=4), run(gpu=4, id="ending", ran_s=10, ends_ms=ends(5))]
    made = replayed_plan(
        pool(running=running, queued=[waiting("a"), waiting("b")], preemption_delay_s=60)
    )
    assert evicted(made) == {"low": "b"}


def test_an_end_that_it_does_not_need_may_be_evicted() -> None:
    running = [
        precious(gpu=2),
        run(gpu=4, id="needed", ran_s=10, ends_ms=ends(5)),
        run(gpu=2, id="not needed", ran_s=10, ends_ms=ends(5)),
    ]
    queued = [waiting("a"), waiting("b", 2, waited_s=58)]
    made = replayed_plan(pool(running=running, queued=queued, preemption_delay_s=60))
    assert evicted(made) == {"not needed": "b"}


def test_it_starts_in_what_the_victims_of_another_leave_over() -> None:
    running = [precious("large", 6), ending(5, gpu=2)]
    queued = [waiting("a", 2), waiting("b", 2)]
    made = replayed_plan(pool(running=running, queued=queued, preemption_delay_s=60))
    assert evicted(made) == {"large": "b"}
    assert set(started(made)) == {"a", "b"}
    assert made.due_ms is None


# --- Quotas, what-if and records ------------------------------------------------------------------


def test_within_a_quota_it_waits_for_an_own_one_that_ends() -> None:
    own = [allocated_by("ann", precious()), allocated_by("ann", ending(5))]
    high = of("ann", waiting())
    for delay_s, victims in ((60, set()), (0, {"low"})):
        base = pool(
            gpu=16,
            running=own,
            queued=[high],
            preemption_within_quota="lower_priority",
            preemption_delay_s=delay_s,
        )
        made = replayed_plan(owned(base, ann=Resources(ENDLESS, ENDLESS, 8)))
        assert evicted_ids(made) == victims
        if delay_s:
            code, details = reason(made, high)
            assert (code, details["delayed"]["after"]) == ("QUOTA_EXCEEDED", "ending")


def test_its_explanation_says_when_it_starts_and_from_when_it_would_preempt() -> None:
    high = waiting()
    snapshot = full(high)
    asked = WhatIf(snapshot, high)
    earliest = asked.earliest_start()
    assert earliest is not None
    assert (earliest.at_ms, earliest.evictions) == (ends(5), ())
    causes = {each.cause.value: each for each in asked.spared(occupants(snapshot, high))}
    assert causes["PREEMPTION_DELAY"].until_ms == ends(60)
    assert [each.id for each, _ in causes["PREEMPTION_DELAY"].examples] == ["low"]
    assert causes["SAME_OR_HIGHER_CLASS"].count == 1


def test_plans_and_snapshots_from_before_the_policy_are_read_with_its_default() -> None:
    snapshot = full(waiting(), delay_s=0)
    assert b'"lower_priority","binpack",0,3600,5]' in canonical(encode_snapshot(snapshot))
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot
    assert canonical(encode_plan(make_plan(snapshot))).count(b"null") == canonical(
        encode_plan(replace(make_plan(snapshot), due_ms=None))
    ).count(b"null")
    delayed = make_plan(full(waiting()))
    assert decode_plan(encode_plan(delayed)) == delayed
    assert Policy().preemption_delay_s == 0


def test_beside_a_reservation_on_another_node_its_place_is_kept_too() -> None:
    """What is free is reserved: on the one node for a starved one, on the other for one that waits
    for a time limit."""
    nodes = [node("a", gpu=9, labels={"zone": "a"}), node("b", gpu=4, labels={"zone": "b"})]
    running = [precious(on="a"), ending(5, on="a"), run(gpu=3, high=True, on="b", id="long")]
    starved = waiting("starved", 4, waited_s=7200, selector={"zone": "b"})
    high = waiting("high", 5, selector={"zone": "a"})
    small = job(gpu=1, id="small")
    for queued, starts in (
        ([starved, high, small], []),
        ([starved, small], ["small"]),
        ([high, small], ["small"]),
    ):
        made = replayed_plan(rack(nodes, running=running, queued=queued, preemption_delay_s=60))
        assert (started(made), evicted_ids(made)) == (starts, set())
