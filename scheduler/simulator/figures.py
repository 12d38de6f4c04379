"""The results of a simulation in figures.

Wait: the time from submit to end, less the run time; so repeated work counts as waiting. Bounded
slowdown (Feitelson and Rudolph, JSSPP 1998): max(1, (wait + run) / max(run, 10 s)). Percentiles are
nearest-rank. Lost work is work that evicted jobs had to repeat.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import fsum
from typing import Any

from scheduler.engine.resources import NAMES
from scheduler.simulator.jobs import Fate, Job, Result
from scheduler.simulator.policies import name_of

SHORTEST_MS = 10_000  # bounds the slowdown of very short jobs
HOUR_MS = 3_600_000
BUCKETS = 500  # of a series over time
ALL_CLASSES = "all"


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """The figures of one priority class, or of all. Waits, in seconds, count ended jobs only."""

    jobs: int
    ended: int
    wait_mean_s: float
    wait_median_s: float
    wait_p95_s: float
    wait_p99_s: float
    wait_max_s: float
    bounded_slowdown: float
    preemptions: int
    lost_gpu_hours: float
    lost_core_hours: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one policy. None of them depends on how fast the simulation ran.

    `utilisation` is, by resource, the share of the cluster that was allocated between the first
    submit and the last end. `goodput` is the same of ended jobs alone, without lost work. `series`
    has means over equal spans of time.
    """

    policy: str
    makespan_s: float
    passes: int
    utilisation: dict[str, float]
    goodput: dict[str, float]
    classes: dict[str, ClassFigures]
    series: dict[str, list[float]]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def figures(result: Result) -> Figures:
    names = sorted({job.priority for job in result.jobs})
    pairs = list(zip(result.jobs, result.fates, strict=True))
    classes = {name: _of_class([p for p in pairs if p[0].priority == name]) for name in names}
    classes[ALL_CLASSES] = _of_class(pairs)
    makespan_ms = _makespan_ms(result)
    series = _series(result)
    return Figures(
        policy=name_of(result.policy),
        makespan_s=makespan_ms / 1000,
        passes=result.passes,
        utilisation=_utilisation(result, makespan_ms),
        goodput=_goodput(pairs, result, makespan_ms),
        classes=classes,
        series=series,
    )


def waits_s(result: Result, priority: str) -> list[float]:
    """The waits of the ended jobs of a class, in seconds, sorted by submit time."""
    return [
        _wait_ms(job, fate) / 1000
        for job, fate in zip(result.jobs, result.fates, strict=True)
        if fate.ended_ms is not None and priority in (job.priority, ALL_CLASSES)
    ]


def _wait_ms(job: Job, fate: Fate) -> int:
    assert fate.ended_ms is not None
    return fate.ended_ms - job.submit_ms - job.run_ms


def _of_class(pairs: Sequence[tuple[Job, Fate]]) -> ClassFigures:
    ended = [(job, fate) for job, fate in pairs if fate.ended_ms is not None]
    waits = sorted(_wait_ms(job, fate) for job, fate in ended)
    slowdowns = [
        max(1.0, (_wait_ms(job, fate) + job.run_ms) / max(job.run_ms, SHORTEST_MS))
        for job, fate in ended
    ]
    return ClassFigures(
        jobs=len(pairs),
        ended=len(ended),
        wait_mean_s=_rounded(sum(waits) / len(waits) / 1000) if waits else 0.0,
        wait_median_s=_percentile_s(waits, 50),
        wait_p95_s=_percentile_s(waits, 95),
        wait_p99_s=_percentile_s(waits, 99),
        wait_max_s=_percentile_s(waits, 100),
        bounded_slowdown=round(fsum(slowdowns) / len(slowdowns), 6) if slowdowns else 1.0,
        preemptions=sum(fate.preemptions for _, fate in pairs),
        lost_gpu_hours=_lost_hours(pairs, "gpu", 1),
        lost_core_hours=_lost_hours(pairs, "cpu_milli", 1000),
    )


def _percentile_s(waits: Sequence[int], percent: int) -> float:
    return waits[max(-(-len(waits) * percent // 100), 1) - 1] / 1000 if waits else 0.0


def _lost_hours(pairs: Sequence[tuple[Job, Fate]], resource: str, unit: int) -> float:
    lost = sum(fate.lost_ms * getattr(job.request, resource) * job.replicas for job, fate in pairs)
    return _rounded(lost / HOUR_MS / unit)


def _rounded(value: float) -> float:
    return round(value, 3)


def _makespan_ms(result: Result) -> int:
    at_ms = result.timeline.at_ms
    return at_ms[-1] - at_ms[0] if at_ms else 0


def _utilisation(result: Result, makespan_ms: int) -> dict[str, float]:
    timeline, shares = result.timeline, {}
    spans = [then - now for now, then in zip(timeline.at_ms, timeline.at_ms[1:], strict=False)]
    for name, whole in zip(NAMES, result.total, strict=True):
        if whole and makespan_ms:
            used = getattr(timeline, name)
            area = sum(span * amount for span, amount in zip(spans, used, strict=False))
            shares[name] = round(area / whole / makespan_ms, 6)
    return shares


def _goodput(
    pairs: Sequence[tuple[Job, Fate]], result: Result, makespan_ms: int
) -> dict[str, float]:
    ended = [job for job, fate in pairs if fate.ended_ms is not None]
    shares = {}
    for name, whole in zip(NAMES, result.total, strict=True):
        if whole and makespan_ms:
            area = sum(job.run_ms * getattr(job.request, name) * job.replicas for job in ended)
            shares[name] = round(area / whole / makespan_ms, 6)
    return shares


def _series(result: Result) -> dict[str, list[float]]:
    """Means over BUCKETS equal spans: hours since the first submit, shares in use, and waiting."""
    timeline, makespan_ms = result.timeline, _makespan_ms(result)
    if not makespan_ms:
        return {}
    width = makespan_ms / BUCKETS
    columns = {
        name: (getattr(timeline, name), whole)
        for name, whole in zip(NAMES, result.total, strict=True)
        if whole
    }
    columns["waiting"] = (timeline.waiting, 1)
    sums = {name: [0.0] * BUCKETS for name in columns}
    start_ms = timeline.at_ms[0]
    for index, (now, then) in enumerate(zip(timeline.at_ms, timeline.at_ms[1:], strict=False)):
        begin, end = float(now - start_ms), float(then - start_ms)
        bucket = min(int(begin / width), BUCKETS - 1)
        while begin < end:
            edge = min((bucket + 1) * width, end) if bucket < BUCKETS - 1 else end
            for name, (amounts, _) in columns.items():
                sums[name][bucket] += (edge - begin) * amounts[index]
            begin, bucket = edge, bucket + 1
    hours = [_rounded((at + 0.5) * width / HOUR_MS) for at in range(BUCKETS)]
    means = {
        name: [round(each / width / whole, 4) for each in sums[name]]
        for name, (_, whole) in columns.items()
    }
    return {"hours": hours, **means}
