"""EASY backfilling compared with an independent one of forty lines: all jobs start alike."""

import random
from bisect import insort
from heapq import heappop, heappush

import pytest

from mlops_platform.tests.equipment.examples import part_of
from scheduler.engine.resources import Resources
from scheduler.simulator import Job, cluster_spec, policies, simulate

PROCESSORS = 128
Row = tuple[int, int, int, int]  # submit, run, limit, processors


def textbook(rows: list[Row], *, backfill: bool) -> list[int]:
    """Start times by first come, first served, with EASY (Mu'alem and Feitelson 2001, figure 2)."""
    free, coming, starts = PROCESSORS, 0, [0] * len(rows)
    queue: list[int] = []
    running: list[tuple[int, int, int]] = []  # end by its limit, processors, job
    ends: list[tuple[int, int, int]] = []  # end, 0 at the limit else 2, job

    def start(job: int, now: int) -> None:
        _, run, limit, processors = rows[job]
        starts[job] = now
        insort(running, (now + limit, processors, job))
        heappush(ends, (now + run, 0 if run == limit else 2, job))

    while coming < len(rows) or ends:
        gone = None
        if coming < len(rows) and (not ends or (rows[coming][0], 1) < ends[0]):
            now = rows[coming][0]
            queue.append(coming)
            coming += 1
        else:
            now, _, gone = heappop(ends)
        running = [each for each in running if each[0] > now and each[2] != gone]
        free = PROCESSORS - sum(processors for _, processors, _ in running)
        while queue and rows[queue[0]][3] <= free:
            free -= rows[queue[0]][3]
            start(queue.pop(0), now)
        if not queue or not backfill:
            continue
        there, shadow = free, None
        for until, processors, _ in running:
            if shadow is not None and until > shadow:
                break
            there += processors
            if there >= rows[queue[0]][3]:
                shadow = until
        assert shadow is not None
        extra = there - rows[queue[0]][3]
        for job in queue[1:]:
            _, _, limit, processors = rows[job]
            late = now + limit > shadow
            if processors <= free and (not late or processors <= extra):
                free -= processors
                extra -= processors if late else 0
                queue.remove(job)
                start(job, now)
    return starts


def workload(count: int, seed: int) -> list[Row]:
    """Jobs as in a supercomputer's log: many small ones, some wide ones, limits in round numbers, a
    few that end by their limit, several submits in one second."""
    draw = random.Random(seed)
    rows, now = [], 0
    for _ in range(count):
        now += int(draw.expovariate(1 / 330)) if draw.random() < 0.8 else 0
        limit = draw.choice([300, 900, 3600, 7200, 14400, 43200, 64800])
        run = limit if draw.random() < 0.1 else max(int(limit * draw.random() ** 3), 1)
        processors = min(2 ** draw.choice([0, 0, 1, 2, 3, 3, 4, 5, 6, 7]), PROCESSORS)
        rows.append((now, run, limit, max(processors - draw.choice([0, 0, 1]), 1)))
    return rows


@pytest.mark.parametrize("seed", part_of([1, 2, 3], "textbook", 3))
@pytest.mark.parametrize(
    ("policy", "backfill"), [("easy_backfill,fifo", True), ("strict,fifo", False)]
)
def test_every_job_starts_when_the_textbook_algorithm_starts_it(
    policy: str, backfill: bool, seed: int
) -> None:
    rows = workload(3000, seed)
    jobs = [
        Job(submit * 1000, run * 1000, Resources(cpu_milli=1000), processors, limit_s=limit)
        for submit, run, limit, processors in rows
    ]
    result = simulate(jobs, cluster_spec.parse(f"pool:cpu={PROCESSORS}"), policies.parse(policy))
    starts = [fate.started_ms for fate in result.fates]
    assert starts == [1000 * start for start in textbook(rows, backfill=backfill)]
    waited = sum(1 for row, start in zip(rows, starts, strict=True) if start != row[0] * 1000)
    assert waited > 500, "there was hardly a queue, so this proves nothing"
