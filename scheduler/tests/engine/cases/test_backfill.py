"""EASY backfilling as published, and the other reservations of the same cycle."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine import Plan, Snapshot
from scheduler.engine.snapshot import (
    Policy,
    PriorityClass,
    ReservationRecord,
    Running,
    Workload,
)
from scheduler.tests.engine.build import HIGH, LOW, NOW, ends, job, node, pool, rack, run
from scheduler.tests.engine.plans import placed, plan, reason
from scheduler.tests.engine.plans import started as started_in


def started(snapshot: Snapshot) -> list[str]:
    return started_in(plan(snapshot))


def easy(ordering: str = "fifo") -> Snapshot:
    """10 GPUs, 8 of them allocated. A head of 8 waits until two of the three end, at 100 s."""
    running = [
        run(gpu=3, ends_ms=ends(100)),
        run(gpu=3, ends_ms=ends(100)),
        run(gpu=2, ends_ms=ends(200)),
    ]
    return pool(gpu=10, running=running, queueing="easy_backfill", ordering=ordering)


def test_a_workload_that_ends_before_the_head_starts_passes_it() -> None:
    queued = [
        job(gpu=8, limit_s=50, id="head"),
        job(gpu=1, limit_s=101, id="long"),
        job(gpu=1, limit_s=100, id="short"),
    ]
    assert started(replace(easy(), queued=tuple(queued))) == ["short"]


def test_amounts_freed_at_the_heads_start_beyond_its_need_are_spare() -> None:
    """The head needs 5: after the first end 5 are free, after both ends of that moment 8."""
    queued = [job(gpu=5, limit_s=50, id="head"), job(gpu=2, limit_s=999, id="long")]
    assert started(replace(easy(), queued=tuple(queued))) == ["long"]


def test_a_spare_amount_is_used_only_once() -> None:
    queued = [
        job(gpu=7, limit_s=50, id="head"),
        job(gpu=1, limit_s=999, id="first"),
        job(gpu=1, limit_s=998, id="second"),
    ]
    assert started(replace(easy(), queued=tuple(queued))) == ["first"]


def test_a_starved_head_with_a_promised_start_has_no_starvation_reservation() -> None:
    """The head has waited for long. Still the short workload passes, as it cannot delay the
    head."""
    queued = [
        job(gpu=8, limit_s=50, id="head", waited_s=9999),
        job(gpu=2, limit_s=100, id="short"),
    ]
    assert started(replace(easy(), queued=tuple(queued))) == ["short"]


def test_a_starved_head_without_a_promised_start_has_a_starvation_reservation() -> None:
    """No running workload has a time limit, so no start is promised."""
    running = [run(gpu=8)]
    queued = [job(gpu=8, limit_s=50, id="head", waited_s=9999), job(gpu=2, limit_s=1, id="short")]
    snapshot = pool(
        gpu=10, running=running, queued=queued, queueing="easy_backfill", ordering="fifo"
    )
    assert started(snapshot) == []


def test_a_backfill_and_a_starvation_reservation_bind_other_workloads_together() -> None:
    """The largest is the head; a smaller one is starved. Only the short workload delays neither."""
    queued = [
        job(gpu=8, limit_s=50, id="head"),
        job(gpu=3, limit_s=999, id="starved", waited_s=9999),
        job(gpu=1, limit_s=10, id="short"),
        job(gpu=1, id="endless"),
    ]
    made = plan(replace(easy("gpu_weighted"), queued=tuple(queued)))
    assert started_in(made) == ["short"]
    assert reason(made, queued[3]) == ("RESERVED_FOR_HEAD", {"head": "head"})


def test_the_starved_workload_is_not_refused_with_an_equal_that_its_reservation_binds() -> None:
    """Its equal, evicted lately, comes first, and may not use the reserved amounts."""
    first = job(gpu=8, id="evicted", submitted_ms=ends(-9000), queued_ms=ends(-10))
    starved = job(gpu=8, id="starved", submitted_ms=ends(-8000), queued_ms=ends(-8000))
    assert first.scheduling_key == starved.scheduling_key
    assert started(pool(gpu=8, queued=[first, starved])) == ["starved"]


def test_a_workload_that_ends_before_the_starved_one_could_start_passes_it() -> None:
    """Also without EASY: 8 of 10 GPUs are free for the starved workload at 100 s, not sooner."""
    queued = [
        job(gpu=8, id="starved", waited_s=9999),
        job(gpu=1, limit_s=101, id="long"),
        job(gpu=1, limit_s=100, id="short"),
        job(gpu=1, id="endless"),
    ]
    assert started(replace(best_effort(), queued=tuple(queued))) == ["short"]


def test_no_workload_passes_a_starvation_reservation_without_a_promised_end() -> None:
    queued = [job(gpu=8, id="starved", waited_s=9999), job(gpu=1, limit_s=1, id="short")]
    running = tuple(replace(each, ends_ms=None) for each in best_effort().running)
    assert started(replace(best_effort(), running=running, queued=tuple(queued))) == []


def best_effort() -> Snapshot:
    return replace(easy(), policy=Policy(ordering="fifo"))


@pytest.mark.parametrize(
    ("since_s", "starts"),
    [(None, []), (-10, []), (-9, []), (-11, ["starved"]), (-9999, ["starved"])],
)
def test_the_promise_to_the_head_counts_unless_the_reservation_is_older_than_its_wait(
    since_s: int | None, starts: list[str]
) -> None:
    """The head was evicted 10 seconds ago, and its start is promised in 10 more. Each of the two
    fills the pool, so only one can start; never do they wait for each other."""
    queued = [
        job(gpu=10, limit_s=50, id="head", submitted_ms=ends(-9999), queued_ms=ends(-10)),
        job(gpu=9, limit_s=50, id="starved", submitted_ms=ends(-8000), queued_ms=ends(-8000)),
    ]
    running = (run(gpu=1, ends_ms=ends(10)),)
    snapshot = replace(easy(), running=running, allocated=running[0].total, queued=tuple(queued))
    if since_s is not None:
        record = ReservationRecord("starved", 0, ends(since_s))
        snapshot = replace(snapshot, reservation_history=(record,))
    assert started(snapshot) == starts


# --- Preemption beside reservations ---------------------------------------------------------------


def promised_on_a(**policy: Any) -> Snapshot:
    """The head waits for all 8 GPUs of node a, promised at 100 s; a LOW workload runs on b."""
    running = [
        run(gpu=8, high=True, on="a", ends_ms=ends(100)),
        run(gpu=4, on="b", id="low"),
        run(gpu=4, high=True, on="b"),
    ]
    return rack([node("a"), node("b")], running=running, **policy)


def test_a_workload_that_does_not_delay_the_head_may_evict_elsewhere() -> None:
    queued = [job(gpu=8, high=True, id="head"), job(gpu=4, high=True, id="elsewhere")]
    snapshot = promised_on_a(queueing="easy_backfill", ordering="fifo")
    assert started(replace(snapshot, queued=tuple(queued))) == ["elsewhere"]


def test_a_workload_whose_end_the_head_relies_on_is_not_evicted() -> None:
    """The LOW workload on node a ends in time, so its amount is promised to the head."""
    running = [
        run(gpu=4, high=True, on="a", ends_ms=ends(100)),
        run(gpu=4, on="a", id="low", ends_ms=ends(100)),
    ]
    queued = [job(gpu=8, high=True, id="a-head"), job(gpu=4, high=True, id="endless")]
    snapshot = rack([node("a")], running=running, queueing="easy_backfill", ordering="fifo")
    assert started(replace(snapshot, queued=tuple(queued))) == []
    hasty = replace(queued[1], limit_s=100, scheduling_key="hasty")
    assert started(replace(snapshot, queued=(queued[0], hasty))) == ["endless"]


def test_a_gang_allocated_in_a_promised_bin_is_not_evicted() -> None:
    """The gang would be the cheapest victim, but another workload frees enough too."""
    running = [
        run(gpu=7, high=True, on="a", ends_ms=ends(100)),
        run(gpu=1, on={"a": 1, "b": 1}, ran_s=1, id="gang"),
        run(gpu=4, on="b", ran_s=9999, id="dear"),
        run(gpu=3, high=True, on="b"),
    ]
    queued = [job(gpu=7, high=True, id="head"), job(gpu=1, high=True, id="other")]
    snapshot = rack([node("a"), node("b")], running=running, queueing="easy_backfill")
    made = plan(replace(snapshot, queued=tuple(queued)))
    assert [(each.by, each.workload_id) for each in made.evictions] == [("other", "dear")]


def test_a_workload_that_does_not_delay_the_starved_one_may_evict_elsewhere() -> None:
    queued = [
        job(gpu=8, high=True, id="starved", waited_s=9999),
        job(gpu=4, high=True, id="elsewhere"),
    ]
    snapshot = promised_on_a(ordering="fifo")
    assert started(replace(snapshot, queued=tuple(queued))) == ["elsewhere"]


def test_the_next_blocked_workload_gets_the_reservation_once_the_head_has_started() -> None:
    """The victim of an urgent workload frees more than that needs, and the head starts there. Then
    the next blocked workload may not be delayed: it fits when the urgent one has ended."""
    firm = PriorityClass("FIRM", 2000, may_preempt=False, preemptible=False)
    running = [run(gpu=4, high=True, on="a", ends_ms=ends(100)), run(gpu=8, on="b")]
    queued = [
        job(gpu=3, priority="FIRM", id="head", waited_s=2),
        job(gpu=5, priority="FIRM", id="next", waited_s=1),
        job(gpu=1, priority="HIGH", id="urgent", limit_s=50),
        job(gpu=4, priority="LOW", id="late"),
        job(gpu=3, priority="LOW", id="quick", limit_s=50),
    ]
    snapshot = rack(
        [node("a", gpu=4), node("b")],
        running=running,
        queued=queued,
        queueing="easy_backfill",
        classes=(LOW, HIGH, firm),
        ordering="fifo",
    )
    assert started(snapshot) == ["urgent", "head", "quick"]


# --- On nodes -------------------------------------------------------------------------------------


def easy_on_nodes(queued: list[Workload], *, running: list[Running] | None = None) -> Plan:
    """Node b is full until 100 s, node a half full until 200 s. The head needs a whole node."""
    busy = [
        run(gpu=4, on="a", high=True, ends_ms=ends(200)),
        run(gpu=8, on="b", high=True, ends_ms=ends(100)),
    ]
    nodes = [node("a"), node("b")]
    policy = {"queueing": "easy_backfill", "ordering": "fifo"}
    return plan(rack(nodes, running=running or busy, queued=queued, **policy))


HEAD = job(gpu=8, id="head", submitted_ms=NOW - 9)


@pytest.mark.parametrize(
    ("limit_s", "passes"),
    [(100, True), (101, True), (None, True)],
    ids=["short", "long", "endless"],
)
def test_all_workloads_pass_on_nodes_without_the_reservation(
    limit_s: int | None, passes: bool
) -> None:
    """The head will start on b."""
    made = easy_on_nodes([HEAD, job(gpu=4, limit_s=limit_s, id="j")])
    assert ("j" in placed(made)) is passes


def test_only_a_workload_that_ends_in_time_passes_on_the_reserved_node() -> None:
    """Node b has 4 free GPUs until 100 s, and node a is full without an end."""
    running = [run(gpu=8, on="a", high=True), run(gpu=4, on="b", high=True, ends_ms=ends(100))]
    queued = [HEAD, *(job(gpu=1, limit_s=limit, id=f"j{limit}") for limit in (100, 101, None))]
    made = easy_on_nodes(queued, running=running)
    assert placed(made) == {"j100": {"b": 1}}
    assert reason(made, queued[2]) == ("RESERVED_FOR_HEAD", {"head": "head"})


def test_a_workload_that_uses_only_spare_amounts_passes() -> None:
    """The head takes 8 GPUs and one core of node b; the other cores are spare."""
    running = [run(gpu=8, on="a", cpu=64, high=True), run(gpu=4, on="b", ends_ms=ends(100))]
    head = replace(HEAD, priority="LOW")
    queued = [head, job(cpu=62, id="cpu"), job(cpu=2, id="more"), job(gpu=1, id="gpu")]
    assert placed(easy_on_nodes(queued, running=running)) == {"cpu": {"b": 1}}


def test_all_workloads_pass_a_head_without_any_promised_end() -> None:
    running = [run(gpu=8, on="a", high=True), run(gpu=4, on="b", high=True)]
    assert placed(easy_on_nodes([HEAD, job(gpu=4, id="j")], running=running)) == {"j": {"b": 1}}


def test_starts_of_the_same_cycle_count_as_promised_ends() -> None:
    """The first workload fills node a until 50 s, sooner than b, so the head will start on a."""
    running = [run(gpu=8, on="b", high=True, ends_ms=ends(100))]
    first = job(gpu=4, limit_s=50, id="first", submitted_ms=NOW - 20)
    queued = [first, HEAD, job(gpu=1, limit_s=51, id="late"), job(gpu=1, limit_s=50, id="in time")]
    assert placed(easy_on_nodes(queued, running=running)) == {
        "first": {"a": 1},
        "in time": {"a": 1},
    }


def test_a_gang_at_the_head_reserves_on_all_its_nodes() -> None:
    running = [
        run(gpu=4, on="a", high=True, ends_ms=ends(200)),
        run(gpu=7, on="b", high=True, ends_ms=ends(100)),
    ]
    head = job(gpu=8, replicas=2, id="head", submitted_ms=NOW - 9)
    queued = [head, job(gpu=1, limit_s=201, id="late"), job(gpu=1, limit_s=200, id="in time")]
    assert placed(easy_on_nodes(queued, running=running)) == {"in time": {"b": 1}}


def test_an_overdue_end_may_come_at_any_moment() -> None:
    running = [run(gpu=8, on="a", high=True), run(gpu=4, on="b", high=True, ends_ms=ends(-5))]
    made = easy_on_nodes([HEAD, job(gpu=1, limit_s=1, id="j")], running=running)
    assert placed(made) == {}


# --- A head that may evict ------------------------------------------------------------------------


def blocked_by_high(low_ends_s: int | None, **policy: Any) -> Snapshot:
    """Of 8 GPUs a HIGH job has 4 until 100 s, a LOW one 2. The head could evict that, and starts at
    100 s."""
    running = [
        run(gpu=4, high=True, ends_ms=ends(100)),
        run(gpu=2, ends_ms=None if low_ends_s is None else ends(low_ends_s), ran_s=50),
    ]
    head = job(gpu=8, high=True, id="head", waited_s=20)
    more: dict[str, Any] = {"queueing": "easy_backfill", "ordering": "fifo"}
    return pool(gpu=8, running=running, queued=[head], **more | policy)


@pytest.mark.parametrize("low_ends_s", [40_000, None])
@pytest.mark.parametrize(("limit_s", "passes"), [(100, True), (101, False), (39_000, False)])
def test_a_head_that_may_evict_is_promised_the_moment_at_which_it_can(
    low_ends_s: int | None, limit_s: int, passes: bool
) -> None:
    """It need not wait for the time limit of what it may evict, if that has one at all."""
    snapshot = blocked_by_high(low_ends_s)
    other = job(gpu=2, high=True, id="other", limit_s=limit_s)
    made = plan(replace(snapshot, queued=(*snapshot.queued, other)))
    assert (started_in(made) == ["other"]) == passes
    if not passes:
        assert reason(made, other) == ("RESERVED_FOR_HEAD", {"head": "head"})


@pytest.mark.parametrize(
    ("policy", "passes"),
    [({}, False), ({"preemption": "never"}, True), ({"preempt_exempt_s": 500}, True)],
    ids=["may evict", "never", "exempt for longer"],
)
def test_a_head_that_may_not_evict_in_time_is_promised_what_time_limits_allow(
    policy: dict[str, Any], passes: bool
) -> None:
    """The LOW job is exempt until 450 s, and ends at 400 s by its limit."""
    snapshot = blocked_by_high(400, **policy)
    other = job(gpu=2, high=True, id="other", limit_s=400)
    assert (started(replace(snapshot, queued=(*snapshot.queued, other))) == ["other"]) == passes


@pytest.mark.parametrize(
    ("limit_s", "low_ends_s", "passes"),
    [(39_000, 40_000, True), (41_000, 40_000, False), (None, None, True)],
)
def test_a_workload_that_the_head_could_evict_passes_as_time_limits_allow(
    limit_s: int | None, low_ends_s: int | None, passes: bool
) -> None:
    """It cannot delay the head's eviction. Otherwise capacity would lie idle until then."""
    snapshot = blocked_by_high(low_ends_s)
    low = job(gpu=2, id="low", limit_s=limit_s)
    assert (started(replace(snapshot, queued=(*snapshot.queued, low))) == ["low"]) == passes


def test_a_workload_that_would_still_be_exempt_then_does_not_pass() -> None:
    snapshot = blocked_by_high(40_000, preempt_exempt_s=60)
    low = job(gpu=2, id="low", limit_s=39_000)
    assert started(replace(snapshot, queued=(*snapshot.queued, low))) == ["low"]
    snapshot = blocked_by_high(40_000, preempt_exempt_s=150)  # until 130 s after the head's wait
    assert started(replace(snapshot, queued=(*snapshot.queued, low))) == []


@pytest.mark.parametrize(("preemptions", "passes"), [(0, True), (4, True), (5, False), (6, False)])
def test_a_workload_that_cannot_be_evicted_any_more_does_not_pass(
    preemptions: int, passes: bool
) -> None:
    """It would run to its end, and the head could not start at 100 s."""
    snapshot = blocked_by_high(40_000)
    low = job(gpu=2, id="low", limit_s=39_000, preemptions=preemptions)
    made = plan(replace(snapshot, queued=(*snapshot.queued, low)))
    assert (started_in(made) == ["low"]) == passes
    if not passes:
        assert reason(made, low) == ("RESERVED_FOR_HEAD", {"head": "head"})
