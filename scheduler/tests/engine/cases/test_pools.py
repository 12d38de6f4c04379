"""Pools with known answers: the rules one by one, then situations that broke other schedulers."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine import Plan
from scheduler.engine.placement.capacity import OverAllocatedError
from scheduler.engine.snapshot import PriorityClass, Running
from scheduler.tests.engine.build import HIGH, LOW, MID, NOW, ends, job, node, pool, rack, run
from scheduler.tests.engine.plans import evicted_ids, plan, started


def reasons(made: Plan, *ids_or_keys: str) -> list[str]:
    """The codes of waits, by workload id or scheduling key."""
    own = {wait.workload_id: wait.reason.code.value for wait in made.waits if wait.workload_id}
    keys = {w.scheduling_key: w.reason.code.value for w in made.waits if not w.workload_id}
    return [own.get(each) or keys[each] for each in ids_or_keys]


# --- Order -------------------------------------------------------------------------------------


def test_high_starts_before_low_however_late_it_is_submitted() -> None:
    low, high = job(gpu=8, id="a"), job(gpu=8, high=True, id="b")
    assert started(plan(pool(queued=[low, high]))) == ["b"]


@pytest.mark.parametrize(
    ("ordering", "expected"),
    [("gpu_weighted", ["gpu", "cpu"]), ("fifo", ["cpu", "gpu"])],
)
def test_the_policy_orders_workloads_within_a_class(ordering: str, expected: list[str]) -> None:
    first = job(cpu=32, id="cpu", submitted_ms=NOW - 2)
    second = job(gpu=4, id="gpu", submitted_ms=NOW - 1)
    assert started(plan(pool(queued=[first, second], ordering=ordering))) == expected


def test_workloads_of_equal_score_start_by_submit_time_then_id() -> None:
    jobs = [
        job(gpu=1, id="c", submitted_ms=NOW - 5),
        job(gpu=1, id="b", submitted_ms=NOW - 9),
        job(gpu=1, id="a", submitted_ms=NOW - 5),
    ]
    assert started(plan(pool(queued=jobs))) == ["b", "a", "c"]


def test_large_units_do_not_outweigh_the_gpus() -> None:
    """All of the RAM, in MiB a large number, weighs less than one GPU of ten."""
    ram, gpu = job(ram=512, id="ram"), job(gpu=1, id="gpu")
    assert started(plan(pool(gpu=10, queued=[ram, gpu]))) == ["gpu"]


# --- Placing -----------------------------------------------------------------------------------


def test_low_fills_the_capacity_that_high_leaves() -> None:
    queued = [job(gpu=6, high=True, id="h"), job(gpu=2, id="l"), job(gpu=2, id="m")]
    assert started(plan(pool(queued=queued))) == ["h", "l"]


@pytest.mark.parametrize(
    ("full", "short"),
    [
        (run(gpu=8, high=True), {"gpu": 1}),
        (run(cpu=64, high=True), {"cpu_milli": 1000}),
        (run(ram=512, high=True), {"ram_mib": 1024}),
    ],
    ids=["gpu", "cpu", "ram"],
)
def test_each_resource_can_be_the_one_that_is_short(full: Running, short: dict[str, int]) -> None:
    (wait,) = plan(pool(running=[full], queued=[job(gpu=1, cpu=1, ram=1)])).waits
    assert wait.reason.details["short"] == short


def test_a_gang_starts_whole_or_not_at_all() -> None:
    gang, small = job(gpu=3, replicas=3, id="gang"), job(gpu=1, id="small")
    made = plan(pool(gpu=9, running=[run(gpu=2, high=True)], queued=[gang, small]))
    assert started(made) == ["small"]
    made = plan(pool(gpu=9, queued=[gang, small]))
    assert started(made) == ["gang"]
    assert made.starts[0].placement[0].replicas == 3


def test_an_impossible_request_has_its_reason_and_blocks_no_other() -> None:
    huge, small = job(gpu=9, high=True, id="huge"), job(gpu=1, id="small")
    for queueing in ("best_effort", "strict"):
        made = plan(pool(queued=[huge, small], queueing=queueing))
        assert started(made) == ["small"]
        assert reasons(made, huge.scheduling_key) == ["EXCEEDS_CAPACITY"]


# --- Queueing ----------------------------------------------------------------------------------


def test_best_effort_lets_workloads_pass_a_blocked_head() -> None:
    queued = [job(gpu=8, high=True, id="h"), job(gpu=1, id="l")]
    made = plan(pool(running=[run(gpu=4, high=True)], queued=queued))
    assert started(made) == ["l"]


def test_strict_lets_no_workload_pass_a_blocked_head() -> None:
    head = job(gpu=8, high=True, id="h")
    queued = [head, job(gpu=1, high=True, id="i"), job(gpu=1, id="l")]
    made = plan(pool(running=[run(gpu=4, high=True)], queued=queued, queueing="strict"))
    assert started(made) == []
    assert reasons(made, "h", queued[1].scheduling_key, queued[2].scheduling_key) == [
        "INSUFFICIENT_CAPACITY",
        "BLOCKED_BY_HEAD",
        "BLOCKED_BY_HEAD",
    ]


def test_the_reason_of_a_strict_queues_head_names_what_it_lacks() -> None:
    twins = [job(gpu=6, id="first"), job(gpu=6, id="second")]
    made = plan(pool(running=[run(gpu=4, high=True)], queued=twins, queueing="strict"))
    assert reasons(made, "first", twins[1].scheduling_key) == [
        "INSUFFICIENT_CAPACITY",
        "BLOCKED_BY_HEAD",
    ]


@pytest.mark.parametrize("state", ["PAUSED", "DRAINING"])
def test_a_paused_or_draining_cluster_starts_no_workload(state: str) -> None:
    running, waiting = run(gpu=1, id="r"), job(gpu=1, high=True)
    made = plan(pool(running=[running], queued=[waiting], state=state))
    assert started(made) == []
    assert evicted_ids(made) == ({"r"} if state == "DRAINING" else set())
    assert reasons(made, waiting.scheduling_key) == ["CLUSTER_PAUSED"]


# --- Preemption --------------------------------------------------------------------------------


def test_high_evicts_low_and_the_plan_names_both() -> None:
    victim, preemptor = run(gpu=8, id="v", ran_s=120), job(gpu=2, high=True, id="p")
    made = plan(pool(running=[victim], queued=[preemptor]))
    assert made.starts[0].victims == ("v",)
    (eviction,) = made.evictions
    assert (eviction.by, eviction.lost_ms) == ("p", 120_000)
    assert eviction.reason.details == {"by": "p", "priority": "HIGH", "lost_s": 120}


@pytest.mark.parametrize(
    ("victim", "policy"),
    [
        (run(gpu=8, high=True), {}),
        (run(gpu=8, ran_s=59), {"preempt_exempt_s": 60}),
        (run(gpu=8, ran_s=None, admitted_ms=ends(-59)), {"preempt_exempt_s": 60}),
        (run(gpu=8, preemptions=5), {}),
        (run(gpu=8), {"preemption": "never"}),
        (run(gpu=8, priority="FIRM"), {}),
    ],
    ids=["equal", "exempt", "still starting", "bounced enough", "never", "not preemptible"],
)
def test_a_workload_that_may_not_be_evicted_stays(victim: Running, policy: dict[str, Any]) -> None:
    firm = PriorityClass("FIRM", 10, may_preempt=False, preemptible=False)
    waiting = job(gpu=1, high=True)
    made = plan(pool(running=[victim], queued=[waiting], classes=(LOW, HIGH, firm), **policy))
    assert (started(made), evicted_ids(made)) == ([], set())
    assert reasons(made, waiting.scheduling_key) == ["INSUFFICIENT_CAPACITY"]


def test_a_workload_that_is_still_starting_is_exempt_from_its_admission_on() -> None:
    """An image that never comes would exempt it for ever."""
    starting = run(gpu=8, ran_s=None, admitted_ms=ends(-60), id="starting")
    waiting = job(gpu=1, high=True)
    made = plan(pool(running=[starting], queued=[waiting], preempt_exempt_s=60))
    assert [each.workload_id for each in made.evictions] == ["starting"]


def test_the_uptime_of_a_service_is_no_work_that_its_eviction_loses() -> None:
    service = run(gpu=4, ran_s=30 * 24 * 3600, endless=True, id="service")
    training = run(gpu=4, ran_s=5 * 3600, id="training")
    made = plan(pool(running=[service, training], queued=[job(gpu=4, high=True)]))
    assert [(each.workload_id, each.lost_ms) for each in made.evictions] == [("service", 0)]


@pytest.mark.parametrize("reporter_is_older", [True, False])
def test_a_job_does_not_gain_by_reporting_no_checkpoints(reporter_is_older: bool) -> None:
    """The cost of two jobs that started together is equal, so the tie decides, here the age."""
    ages = (5 * 3600 + reporter_is_older, 5 * 3600 + 1 - reporter_is_older)
    reporter = run(gpu=4, ran_s=ages[0], checkpoint_ms=ends(-60), id="reports")
    hides = run(gpu=4, ran_s=ages[1], id="hides")
    made = plan(pool(running=[reporter, hides], queued=[job(gpu=4, high=True)]))
    younger = "hides" if reporter_is_older else "reports"
    assert [each.workload_id for each in made.evictions] == [younger]


def test_a_job_without_checkpoints_loses_what_it_has_done_where_no_other_reports_any() -> None:
    old, young = run(gpu=4, ran_s=5 * 3600), run(gpu=4, ran_s=3600, id="young")
    made = plan(pool(running=[old, young], queued=[job(gpu=4, high=True)]))
    assert [(each.workload_id, each.lost_ms) for each in made.evictions] == [("young", 3600_000)]


def test_a_snapshot_that_allocates_more_than_there_is_says_so() -> None:
    with pytest.raises(OverAllocatedError, match=r"the cluster has .*'gpu': 9.*'gpu': 8"):
        plan(pool(gpu=8, running=[run(gpu=9)], queued=[job(gpu=1, high=True)]))
    with pytest.raises(OverAllocatedError, match=r"the node a has .*'gpu': 9.*'gpu': 8"):
        plan(rack([node("a"), node("b")], running=[run(gpu=9, on="a")], queued=[job(gpu=1)]))


def test_low_never_evicts() -> None:
    idle = PriorityClass("IDLE", -5, may_preempt=False, preemptible=True)
    snapshot = pool(running=[run(gpu=8, priority="IDLE")], queued=[job(gpu=1)])
    assert evicted_ids(plan(replace(snapshot, classes=(LOW, HIGH, idle)))) == set()


def test_no_workload_is_evicted_if_the_preemptor_would_not_start_even_then() -> None:
    running = [run(gpu=4, id="low"), run(gpu=4, high=True)]
    assert evicted_ids(plan(pool(running=running, queued=[job(gpu=6, high=True)]))) == set()


def test_the_lowest_class_is_evicted_first_even_if_that_costs_more() -> None:
    running = [run(gpu=4, id="low", ran_s=90_000), run(gpu=4, id="mid", ran_s=1, priority="MID")]
    snapshot = pool(running=running, queued=[job(gpu=4, high=True)], classes=(LOW, MID, HIGH))
    assert evicted_ids(plan(snapshot)) == {"low"}


@pytest.mark.parametrize(
    ("running", "need", "victims"),
    [
        ([run(gpu=2, id="old", ran_s=900), run(gpu=2, id="new", ran_s=9)], 2, {"new"}),
        (
            [
                run(gpu=2, id="saved", ran_s=900, checkpoint_ms=NOW),
                run(gpu=2, id="b", checkpoint_ms=ends(-60)),
            ],
            2,
            {"saved"},
        ),
        ([run(gpu=2, id="ran", ran_s=1), run(gpu=8, id="starting", ran_s=None)], 2, {"starting"}),
        ([run(gpu=1, id="a"), run(gpu=1, id="b"), run(gpu=2, id="c", ran_s=100)], 2, {"c"}),
        ([run(gpu=4, id="big"), run(gpu=2, id="small")], 2, {"small"}),
        ([run(gpu=2, id="x", ran_s=60), run(gpu=2, id="y", ran_s=60)], 2, {"y"}),
        (
            [
                run(gpu=1, id="p", ran_s=60),
                run(gpu=1, id="q", ran_s=60),
                run(gpu=2, id="r", ran_s=60),
            ],
            2,
            {"r"},
        ),
    ],
    ids=[
        "least work lost",
        "checkpointed",
        "starting",
        "one for two",
        "smallest",
        "highest id",
        "fewest",
    ],
)
def test_the_cheapest_victims_are_evicted(
    running: list[Running], need: int, victims: set[str]
) -> None:
    total = sum(each.total.gpu for each in running)
    assert (
        evicted_ids(plan(pool(gpu=total, running=running, queued=[job(gpu=need, high=True)])))
        == victims
    )


def test_what_a_large_victim_frees_beyond_the_need_goes_to_the_queue_in_order() -> None:
    queued = [job(gpu=2, high=True, id="h"), job(gpu=3, id="l"), job(gpu=3, id="m")]
    made = plan(pool(running=[run(gpu=8, id="v")], queued=queued))
    assert (started(made), evicted_ids(made)) == (["h", "l", "m"], {"v"})


def test_a_refused_workload_is_the_first_to_use_the_rest_of_a_later_victim() -> None:
    """FIRM may not preempt and comes before MID, whose victim frees more than MID needs."""
    firm = PriorityClass("FIRM", 700, may_preempt=False, preemptible=True)
    queued = [
        job(gpu=4, priority="FIRM", id="firm"),
        job(gpu=4, priority="MID", id="mid"),
        job(gpu=4, id="low"),
    ]
    made = plan(pool(running=[run(gpu=8, id="v")], queued=queued, classes=(LOW, MID, HIGH, firm)))
    assert (started(made), evicted_ids(made)) == (["mid", "firm"], {"v"})


def test_equals_of_a_refused_workload_use_the_rest_of_a_later_victim_too() -> None:
    """Two FIRM workloads come before LOW, and fit beside MID in the capacity of its victim."""
    firm = PriorityClass("FIRM", 700, may_preempt=False, preemptible=True)
    queued = [
        job(gpu=2, priority="FIRM", id="firm"),
        job(gpu=2, priority="FIRM", id="firm too"),
        job(gpu=4, priority="MID", id="mid"),
        job(gpu=2, id="low"),
    ]
    snapshot = pool(running=[run(gpu=8, id="v")], queued=queued, classes=(LOW, MID, HIGH, firm))
    assert started(plan(snapshot)) == ["mid", "firm", "firm too"]
    assert started(plan(replace(snapshot, max_starts=2))) == ["mid", "firm"]


# --- Situations that broke other schedulers (scheduling rules, numbered as there) ----------------


def test_case_2_an_impossible_request_finds_no_victim_in_any_cycle() -> None:
    snapshot = pool(gpu=0, running=[run(cpu=32), run(cpu=32)], queued=[job(gpu=1, high=True)])
    for cycle in range(5):
        assert evicted_ids(plan(replace(snapshot, now_ms=NOW + cycle * 10**6))) == set()


def test_case_3_one_core_costs_one_victim_of_eleven() -> None:
    running = [run(cpu=1) for _ in range(11)]
    made = plan(pool(cpu=11, running=running, queued=[job(cpu=1, high=True)]))
    assert len(evicted_ids(made)) == 1


@pytest.mark.parametrize("ordering", ["gpu_weighted", "fifo"])
def test_case_4_a_stream_of_small_workloads_does_not_starve_a_large_one(ordering: str) -> None:
    """Each second one of eight small workloads ends and a new one arrives; the large one needs all
    eight GPUs.

    Without a reservation the large one never starts: a small one always takes the free GPU.
    """
    big = job(gpu=8, id="big", submitted_ms=NOW)
    running = [run(gpu=1, id=f"run-{n}") for n in range(8)]
    for second in range(200):
        now = NOW + second * 1000
        small = job(gpu=1, id=f"small-{second}", submitted_ms=now)
        made = plan(
            pool(
                running=running[1:],
                queued=[big, small],
                now_ms=now,
                reserve_after_s=60,
                ordering=ordering,
            )
        )
        if "big" in started(made):
            assert second == 60 + 7
            return
        running = running[1:] + [run(gpu=1, id=each) for each in started(made)]
        if second >= 60:
            assert reasons(made, small.scheduling_key) == ["RESERVED_FOR_HEAD"]
    pytest.fail("the large workload starved")


def test_case_4_a_more_urgent_workload_uses_reserved_capacity() -> None:
    big = job(gpu=8, id="big", waited_s=7200)
    queued = [big, job(gpu=4, high=True, id="high"), job(gpu=4, id="low")]
    made = plan(pool(running=[run(gpu=4, high=True)], queued=queued))
    assert started(made) == ["high"]


def test_a_reservation_leaves_amounts_that_its_workload_does_not_need() -> None:
    big = job(gpu=8, cpu=8, id="big", waited_s=7200)
    queued = [big, job(cpu=40, id="cpu"), job(gpu=1, id="gpu")]
    made = plan(pool(running=[run(gpu=1)], queued=queued))
    assert started(made) == ["cpu"]


def test_case_5_thousands_ahead_do_not_hide_the_workload_that_fits() -> None:
    queued = [job(gpu=1) for _ in range(5000)] + [job(cpu=1, id="cpu")]
    made = plan(pool(running=[run(gpu=8)], queued=queued))
    assert started(made) == ["cpu"]
    assert len(made.waits) == 1


def test_case_7_a_victim_keeps_its_submit_time_when_its_preemptor_is_cancelled() -> None:
    victim = run(gpu=8, id="v")
    first = plan(pool(running=[victim], queued=[job(gpu=8, high=True, id="p")]))
    assert (started(first), evicted_ids(first)) == (["p"], {"v"})
    back = job(gpu=8, id="v", submitted_ms=NOW - 10**7)
    later = job(gpu=8, id="w", submitted_ms=NOW - 10**6)
    assert started(plan(pool(queued=[later, back]))) == ["v"]


def test_case_8_a_thousand_blocked_workloads_do_not_delay_a_hundred_that_fit() -> None:
    queued = [job(gpu=1, high=True) for _ in range(1000)] + [job(cpu=1) for _ in range(100)]
    made = plan(pool(cpu=200, running=[run(gpu=8, high=True)], queued=queued))
    assert len(made.starts) == 100


# --- The limit of one cycle -----------------------------------------------------------------------


def test_a_cycle_that_reaches_its_limit_is_unfinished() -> None:
    queued = [job(gpu=1) for _ in range(5)]
    made = plan(pool(queued=queued, max_starts=3))
    assert (len(made.starts), made.unfinished) == (3, True)
    assert reasons(made, queued[0].scheduling_key) == ["NOT_YET_EVALUATED"]
    assert not plan(pool(queued=queued[:3], max_starts=3)).unfinished


def test_a_plan_has_one_wait_per_scheduling_key() -> None:
    queued = [job(gpu=n % 3 + 1) for n in range(300)]
    made = plan(pool(running=[run(gpu=8)], queued=queued))
    assert Counter(wait.reason.code.value for wait in made.waits) == {"INSUFFICIENT_CAPACITY": 3}
