"""Traces that are small enough to be checked by hand."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine.resources import Resources
from scheduler.simulator import Job, Result, cluster_spec, policies, simulate
from scheduler.simulator.figures import figures


def job(
    submit_s: int, run_s: int, cores: int, limit_s: int | None = None, priority: str = "LOW"
) -> Job:
    return Job(submit_s * 1000, run_s * 1000, Resources(cores * 1000), 1, priority, limit_s)


def on(spec: str, policy: str, jobs: list[Job], **more: Any) -> Result:
    """Simulate; every plan is verified and compared with the plan without the kept queue."""
    return simulate(jobs, cluster_spec.parse(spec), policies.parse(policy), checked=True, **more)


def starts(result: Result) -> list[float | None]:
    """The first start of each job, in seconds."""
    return [None if f.started_ms is None else f.started_ms / 1000 for f in result.fates]


def ends(result: Result) -> list[float | None]:
    return [None if fate.ended_ms is None else fate.ended_ms / 1000 for fate in result.fates]


# Four cores. A has three until 10, so B (two) waits; may C and D (one each) pass it?
THREE = [job(0, 10, 3, 10), job(1, 5, 2, 5), job(2, 3, 1, 8), job(3, 90, 1, 90), job(4, 9, 1, 9)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("strict,fifo", [0, 10, 10, 10, 13]),
        ("best_effort,fifo", [0, 10, 2, 5, 10]),
        # C ends by 10, when B is to start. D and E do not, but B leaves two cores over then, and
        # one of them is free when C has ended.
        ("easy_backfill,fifo", [0, 10, 2, 5, 10]),
    ],
)
def test_three_policies_order_one_pool_differently(policy: str, expected: list[float]) -> None:
    assert starts(on("pool:cpu=4", policy, THREE)) == expected


def test_fair_share_alternates_between_two_users() -> None:
    """Ann's four jobs of two cores each came first. Ben's first is next after two of Ann's, and his
    second after one of hers has ended, because Ann's share is still the larger one."""
    ann = [replace(job(0, 10 + n, 2), user="ann") for n in range(4)]
    ben = [replace(job(1, 20, 2), user="ben") for _ in range(2)]
    assert starts(on("pool:cpu=4", "fifo", [*ann, *ben])) == [0, 0, 10, 11, 22, 24]
    assert starts(on("pool:cpu=4", "fair_share", [*ann, *ben])) == [0, 0, 11, 23, 10, 30]


def test_easy_starts_no_job_that_would_delay_the_head() -> None:
    """B needs all four cores at 10. C would use one until 11; D ends by then."""
    jobs = [job(0, 10, 3, 10), job(1, 5, 4, 5), job(2, 9, 1, 9), job(3, 7, 1, 7)]
    assert starts(on("pool:cpu=4", "easy_backfill,fifo", jobs)) == [0, 10, 15, 3]


def test_the_head_starts_when_a_job_ends_before_its_limit() -> None:
    jobs = [job(0, 4, 3, 10), job(1, 5, 4, 5)]
    assert starts(on("pool:cpu=4", "easy_backfill,fifo", jobs)) == [0, 4]


def test_at_one_moment_limits_end_first_then_submits_then_ends() -> None:
    """At 10 the first job reaches its limit, so its cores are free for the new job. The second ends
    at 10 too, without a limit: if it ended before the submit, the head would start instead."""
    jobs = [job(0, 10, 2, 10), job(0, 10, 2, 99), job(9, 1, 4, 1), job(10, 5, 2, 5)]
    assert starts(on("pool:cpu=4", "easy_backfill,fifo", jobs)) == [0, 0, 15, 10]


def test_an_impossible_job_blocks_no_other_and_never_ends() -> None:
    jobs = [job(0, 10, 5), job(1, 5, 4)]
    result = on("pool:cpu=4", "strict,fifo", jobs)
    assert ends(result) == [None, 6]
    of_all = figures(result).classes["all"]
    assert (of_all.jobs, of_all.ended) == (2, 1)


# --- Preemption ----------------------------------------------------------------------------------

LOW_THEN_HIGH = [job(0, 10, 4), job(4, 3, 4, priority="HIGH")]


@pytest.mark.parametrize(
    ("policy", "more", "started", "ended", "lost_s"),
    [
        ("best_effort", {}, [0, 4], [17, 7], 4),
        ("best_effort,never", {}, [0, 10], [10, 13], 0),
        ("best_effort,preempt_exempt_s=5", {}, [0, 10], [10, 13], 0),
        ("best_effort,max_preemptions=0", {}, [0, 10], [10, 13], 0),
        ("best_effort", {"checkpoint_s": 3}, [0, 4], [14, 7], 1),
        ("best_effort", {"checkpoint_s": 2}, [0, 4], [13, 7], 0),
    ],
)
def test_evicted_work_starts_again(
    policy: str, more: dict[str, int], started: list[int], ended: list[int], lost_s: int
) -> None:
    result = on("pool:cpu=4", policy, LOW_THEN_HIGH, **more)
    assert (starts(result), ends(result)) == (started, ended)
    assert result.fates[0].lost_ms == lost_s * 1000


def test_the_figures_count_a_preemption() -> None:
    result_figures = figures(on("pool:cpu=4", "best_effort", LOW_THEN_HIGH))
    low, high = result_figures.classes["LOW"], result_figures.classes["HIGH"]
    assert (low.wait_mean_s, low.preemptions, low.lost_core_hours) == (7, 1, round(16 / 3600, 3))
    assert (high.wait_mean_s, high.preemptions) == (0, 0)
    assert low.bounded_slowdown == 1.7
    assert result_figures.makespan_s == 17
    assert result_figures.utilisation == {"cpu_milli": 1.0}
    assert result_figures.goodput == {"cpu_milli": round(13 / 17, 6)}


def test_an_evicted_job_keeps_its_position() -> None:
    """It was submitted first, so it returns before the other LOW job, which has waited longer."""
    jobs = [job(0, 10, 4), job(1, 5, 4), job(4, 3, 4, priority="HIGH")]
    assert ends(on("pool:cpu=4", "best_effort,fifo", jobs)) == [17, 22, 7]


def test_evicted_jobs_are_considered_at_the_same_moment() -> None:
    """HIGH needs three cores, and the cheapest victim frees four. The fourth core goes at once to a
    smaller job that waits with the victim."""
    jobs = [job(0, 10, 4), job(1, 5, 1), job(4, 3, 3, priority="HIGH")]
    assert starts(on("pool:cpu=4", "best_effort", jobs)) == [0, 4, 4]


def test_a_gang_on_nodes_is_whole_or_waits() -> None:
    gang = Job(1000, 5000, Resources(2000), replicas=3)
    result = on("nodes=3,cpu=2", "best_effort", [job(0, 10, 2), gang, job(2, 1, 2)])
    assert starts(result) == [0, 10, 2]


def test_percentiles_are_nearest_rank() -> None:
    """A hundred jobs wait for 0, 1, …, 99 seconds in turn."""
    jobs = [job(0, 1, 1) for _ in range(100)]
    of_all = figures(on("pool:cpu=1", "strict,fifo", jobs)).classes["all"]
    waits = [of_all.wait_median_s, of_all.wait_p95_s, of_all.wait_p99_s, of_all.wait_max_s]
    assert waits == [49, 94, 98, 99]
    assert of_all.wait_mean_s == 49.5


def test_series_are_means_over_time() -> None:
    """Half of the pool for half of the time, then all of it."""
    result_figures = figures(on("pool:cpu=2", "best_effort", [job(0, 20, 1), job(10, 10, 1)]))
    shares = result_figures.series["cpu_milli"]
    assert (shares[0], shares[-1], sum(shares) / len(shares)) == (0.5, 1.0, 0.75)
    assert set(result_figures.series["waiting"]) == {0.0}
