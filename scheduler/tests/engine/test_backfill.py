"""EASY backfilling by the book, and what else is held back in the same cycle."""

from dataclasses import replace
from typing import Any

from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.invariants import check
from scheduler.engine.snapshot import Policy, PriorityClass
from scheduler.tests.engine.build import HIGH, LOW, NOW, job, node, pool, rack, run


def started(snapshot: Snapshot) -> list[str]:
    plan = make_plan(snapshot)
    assert check(snapshot, plan) == []
    return [start.workload_id for start in plan.starts]


def told(plan: Plan, key: str) -> tuple[str, str]:
    wait = next(each for each in plan.waits if each.scheduling_key == key)
    return wait.reason.code, wait.reason.details.get("head", "")


def ends(seconds: int) -> int:
    return NOW + seconds * 1000


def easy(ordering: str = "fifo") -> Snapshot:
    """10 GPUs, of which 8 are taken; a head waits for 8 until two of the three end, at 100 s."""
    running = [
        run(gpu=3, ends_ms=ends(100)),
        run(gpu=3, ends_ms=ends(100)),
        run(gpu=2, ends_ms=ends(200)),
    ]
    return pool(gpu=10, running=running, queueing="easy_backfill", ordering=ordering)


def test_whoever_ends_before_the_head_starts_may_pass() -> None:
    queued = [
        job(gpu=8, limit_s=50, id="head"),
        job(gpu=1, limit_s=101, id="long"),
        job(gpu=1, limit_s=100, id="short"),
    ]
    assert started(replace(easy(), queued=tuple(queued))) == ["short"]


def test_all_that_ends_as_the_head_starts_is_left_over_by_it() -> None:
    """The head needs 5: with the first 3 that end there are enough, with all 6 there are 3 over."""
    queued = [job(gpu=5, limit_s=50, id="head"), job(gpu=2, limit_s=999, id="long")]
    assert started(replace(easy(), queued=tuple(queued))) == ["long"]


def test_what_is_left_over_is_given_once() -> None:
    queued = [
        job(gpu=7, limit_s=50, id="head"),
        job(gpu=1, limit_s=999, id="first"),
        job(gpu=1, limit_s=998, id="second"),
    ]
    assert started(replace(easy(), queued=tuple(queued))) == ["first"]


def test_a_head_with_a_promise_needs_no_hold() -> None:
    """It has waited for long; still the short one passes, for it cannot delay it."""
    queued = [
        job(gpu=8, limit_s=50, id="head", waited_s=9999),
        job(gpu=2, limit_s=100, id="short"),
    ]
    assert started(replace(easy(), queued=tuple(queued))) == ["short"]


def test_a_head_without_a_promise_holds() -> None:
    """Nobody has a time limit, so nothing is promised."""
    running = [run(gpu=8)]
    queued = [job(gpu=8, limit_s=50, id="head", waited_s=9999), job(gpu=2, limit_s=1, id="short")]
    snapshot = pool(
        gpu=10, running=running, queued=queued, queueing="easy_backfill", ordering="fifo"
    )
    assert started(snapshot) == []


def test_a_hold_and_a_reservation_for_two_bind_together() -> None:
    """The largest is always first in line; the small one that has waited too long is not passed."""
    queued = [
        job(gpu=8, limit_s=50, id="head"),
        job(gpu=3, limit_s=999, id="holder", waited_s=9999),
        job(gpu=1, limit_s=10, id="short"),
        job(gpu=1, id="endless"),
    ]
    snapshot = replace(easy("gpu_weighted"), queued=tuple(queued))
    assert started(snapshot) == ["short"]
    plan = make_plan(snapshot)
    assert told(plan, queued[3].scheduling_key) == ("RESERVED_FOR_HEAD", "head")


def test_a_holder_is_not_refused_for_its_own_hold() -> None:
    """An equal stands before it that was evicted lately, and may not touch what is held."""
    first = job(gpu=8, id="evicted", submitted_ms=ends(-9000), queued_ms=ends(-10))
    reserved_for = job(gpu=8, id="holder", submitted_ms=ends(-8000), queued_ms=ends(-8000))
    assert first.scheduling_key == reserved_for.scheduling_key
    assert started(pool(gpu=8, queued=[first, reserved_for])) == ["holder"]


def test_whoever_ends_before_the_holder_could_start_may_pass_a_hold() -> None:
    """Without EASY too: 8 of 10 GPUs are free for the holder at 100 s, and not sooner."""
    queued = [
        job(gpu=8, id="holder", waited_s=9999),
        job(gpu=1, limit_s=101, id="long"),
        job(gpu=1, limit_s=100, id="short"),
        job(gpu=1, id="endless"),
    ]
    assert started(replace(best_effort(), queued=tuple(queued))) == ["short"]


def test_nobody_passes_a_hold_that_the_limits_promise_nothing() -> None:
    queued = [job(gpu=8, id="holder", waited_s=9999), job(gpu=1, limit_s=1, id="short")]
    running = tuple(replace(each, ends_ms=None) for each in best_effort().running)
    assert started(replace(best_effort(), running=running, queued=tuple(queued))) == []


def best_effort() -> Snapshot:
    return replace(easy(), policy=Policy(ordering="fifo"))


def test_a_head_and_a_holder_never_wait_for_each_other() -> None:
    """The head was evicted lately; each alone fills the pool, and neither would leave it free."""
    queued = [
        job(gpu=10, limit_s=50, id="head", submitted_ms=ends(-9999), queued_ms=ends(-10)),
        job(gpu=9, limit_s=50, id="holder", submitted_ms=ends(-8000), queued_ms=ends(-8000)),
    ]
    running = (run(gpu=1, ends_ms=ends(10)),)
    snapshot = replace(easy(), running=running, allocated=running[0].total, queued=tuple(queued))
    assert started(snapshot) == ["holder"]


# --- Who may evict while something is promised ----------------------------------------------------


def promised_on_a(**policy: Any) -> Snapshot:
    """The head waits for all 8 GPUs of node a, which are its own at 100 s; on b runs a LOW one."""
    running = [
        run(gpu=8, high=True, on="a", ends_ms=ends(100)),
        run(gpu=4, on="b", id="low"),
        run(gpu=4, high=True, on="b"),
    ]
    return rack([node("a"), node("b")], running=running, **policy)


def test_who_delays_no_promise_may_evict_beside_a_reservation() -> None:
    queued = [job(gpu=8, high=True, id="head"), job(gpu=4, high=True, id="elsewhere")]
    snapshot = promised_on_a(queueing="easy_backfill", ordering="fifo")
    assert started(replace(snapshot, queued=tuple(queued))) == ["elsewhere"]


def test_nobody_evicts_whom_the_head_counts_on() -> None:
    """The LOW one on node a ends in time, so what it would give back is the head's by then."""
    running = [
        run(gpu=4, high=True, on="a", ends_ms=ends(100)),
        run(gpu=4, on="a", id="low", ends_ms=ends(100)),
    ]
    queued = [job(gpu=8, high=True, id="a-head"), job(gpu=4, high=True, id="endless")]
    snapshot = rack([node("a")], running=running, queueing="easy_backfill", ordering="fifo")
    assert started(replace(snapshot, queued=tuple(queued))) == []
    hasty = replace(queued[1], limit_s=100, scheduling_key="hasty")
    assert started(replace(snapshot, queued=(queued[0], hasty))) == ["endless"]


def test_a_gang_that_holds_some_of_what_is_promised_is_spared() -> None:
    """It would be the cheapest, and another one does as well."""
    running = [
        run(gpu=7, high=True, on="a", ends_ms=ends(100)),
        run(gpu=1, on={"a": 1, "b": 1}, ran_s=1, id="gang"),
        run(gpu=4, on="b", ran_s=9999, id="dear"),
        run(gpu=3, high=True, on="b"),
    ]
    queued = [job(gpu=7, high=True, id="head"), job(gpu=1, high=True, id="other")]
    snapshot = rack([node("a"), node("b")], running=running, queueing="easy_backfill")
    plan = make_plan(replace(snapshot, queued=tuple(queued)))
    assert [(each.by, each.workload_id) for each in plan.evictions] == [("other", "dear")]


def test_who_delays_no_promise_may_evict_beside_a_hold() -> None:
    queued = [
        job(gpu=8, high=True, id="holder", waited_s=9999),
        job(gpu=4, high=True, id="elsewhere"),
    ]
    snapshot = promised_on_a(ordering="fifo")
    assert started(replace(snapshot, queued=tuple(queued))) == ["elsewhere"]


def test_the_next_in_line_is_promised_a_start_once_the_head_has_started() -> None:
    """The head fits in what the victim of another one frees beyond need. Then it is the next one
    that nobody may delay: it fits when that other one has ended."""
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
