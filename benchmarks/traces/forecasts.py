"""Forecast starts on Microsoft's Philly trace, beside what else could be shown.

The first jobs of the trace run on fewer nodes than Philly had, so that they queue. Each of some
that wait after their submit is forecast from what is known at that moment: the run times of what
has ended, by team and size. Philly has no time limits: each job gets one of the usual ones, at
least its run time times a seeded factor between 1 and 5, as users ask for more than they need
(Mu'alem and Feitelson, IEEE TPDS 2001; Tsafrir et al., JSSPP 2005).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from statistics import fmean, median
from time import thread_time

from benchmarks.report import Result
from benchmarks.traces.pictures import draw_errors
from scheduler.engine.snapshot import Snapshot
from scheduler.forecast import Budget, Correction, Eta, Expected, History, Outcome, Traits, forecast
from scheduler.simulator import Job, cluster_spec, policies, simulate, traces

FILE = "philly.csv.gz"
JOBS = 2_500
CLUSTER = "nodes=64,gpu=8,cpu=48,ram=491520"
POLICY = "best_effort"
HIGH_SHARE, SEED = 1 / 3, 1
USUAL_LIMITS_H = (1, 2, 4, 8, 12, 24, 48, 96, 168, 336, 672, 1344, 2688, 5376, 10752)
EVERY = 4  # of the jobs that wait, one is forecast
MOST = 130  # forecasts
WARM_UP = 40  # forecasts that only teach
LATEST = 200  # waits of which a moving average is made, and outcomes that correct
CPU_S = 1.0  # of one forecast
HOUR_MS = 3_600_000

OURS, RAW = "run forward", "run forward, not corrected"
LIMITS, AVERAGE = "all run to their limits", "moving average"
METHODS = (OURS, RAW, LIMITS, AVERAGE)


def measure(rounds: int, folder: Path) -> Result | None:
    """Always one round. None if the trace is not in the folder."""
    path = folder / FILE
    if not path.exists():
        return None
    jobs = with_usual_limits(
        traces.with_share(traces.read(path, JOBS).jobs, "HIGH", HIGH_SHARE, SEED)
    )
    forecaster = Forecaster(jobs)
    simulate(jobs, cluster_spec.parse(CLUSTER), policies.parse(POLICY), observer=forecaster)
    result = Result(
        "forecasts",
        "When a waiting job starts: forecasts on the Philly trace",
        notes=[
            f"The first {len(jobs):,} jobs on 64 nodes of 8 GPUs, a seeded third of them HIGH, "
            "which preempts; with the time limits that benchmarks/traces/forecasts.py gives them. "
            f"Of those that wait after their submit, one in {EVERY} is forecast at that moment, up "
            f"to {MOST}, of which the first {WARM_UP} only teach. p90 is kept where the job starts "
            "by then. Run forward: the production planner in up to 20 futures and 1 s of CPU, with "
            "run times of what has ended by then; p90 corrected by how earlier forecasts came out. "
            "All run to their limits: the same planner, as Slurm does it; its one moment stands "
            f"for both percentiles. Moving average: the last {LATEST} waits of the class, their "
            "mean and 90th percentile.",
        ],
    )
    for method in METHODS:
        done = [each for each in forecaster.done if method in each.waits_ms]
        kept = [each.waited_ms <= each.waits_ms[method][1] for each in done]
        errors = [abs(each.waited_ms - each.waits_ms[method][0]) / HOUR_MS for each in done]
        promised = [each.waits_ms[method][1] / HOUR_MS for each in done]
        is_reference = method in (LIMITS, AVERAGE)
        for label, unit, value in (
            ("forecasts", "", float(len(done))),
            ("p90 kept", "%", 100 * fmean(kept)),
            ("absolute error of p50, median", "h", median(errors)),
            ("absolute error of p50, mean", "h", fmean(errors)),
            ("wait by p90, median", "h", median(promised)),
        ):
            result.add(f"{method}: {label}", unit, [value], reference=is_reference)
    spent = sorted(1000 * each for each in forecaster.cpu_s)
    result.add("CPU of one forecast, median", "ms", [median(spent)])
    result.add("CPU of one forecast, p90", "ms", [spent[int(0.9 * len(spent))]])
    result.add("without an answer for 1 s of CPU", "", [float(forecaster.too_large)])
    draw_errors(
        {
            method: [
                abs(each.waited_ms - each.waits_ms[method][0]) / HOUR_MS
                for each in forecaster.done
                if method in each.waits_ms
            ]
            for method in METHODS
        }
    )
    return result


def with_usual_limits(jobs: list[Job]) -> list[Job]:
    draw = Random(SEED)
    limited = []
    for job in jobs:
        wanted_h = job.run_ms * draw.uniform(1, 5) / HOUR_MS
        limit_h = next(each for each in USUAL_LIMITS_H if each >= wanted_h)
        limited.append(replace(job, limit_s=limit_h * 3600))
    return limited


@dataclass
class Forecasts:
    """Of one job: by method the waits at p50 and p90, from its submit on."""

    waits_ms: dict[str, tuple[int, int]] = field(default_factory=dict)
    made_ms: int = 0
    counts: bool = False  # not one of those that only teach
    waited_ms: int = 0

    def outcome(self, waited_ms: int) -> Outcome:
        (p50_ms, p90_ms), (_, raw_p90_ms) = self.waits_ms[OURS], self.waits_ms[RAW]
        return Outcome(p50_ms, raw_p90_ms, p90_ms, waited_ms)


class Forecaster:
    """Forecasts some of the jobs that wait, and sees what becomes of them."""

    def __init__(self, jobs: list[Job]) -> None:
        self.done: list[Forecasts] = []
        self.cpu_s: list[float] = []
        self.too_large = self._waiting = 0
        self._jobs, self._history = jobs, History()
        self._expected = {
            f"{number:09d}": Expected(_traits(job), (job.limit_s or 0) * 1000)
            for number, job in enumerate(jobs)
        }
        self._open: dict[int, Forecasts] = {}
        self._outcomes: deque[Outcome] = deque(maxlen=LATEST)
        self._waits: dict[str, deque[int]] = {
            name: deque(maxlen=LATEST) for name in ("HIGH", "LOW")
        }

    def ends(self, number: int, now_ms: int) -> None:
        job = self._jobs[number]
        self._history.add(_traits(job), job.run_ms)

    def starts(self, number: int, now_ms: int) -> None:
        job = self._jobs[number]
        waited_ms = now_ms - job.submit_ms
        if waited_ms > 0:
            self._waits[job.priority].append(waited_ms)
        if (made := self._open.pop(number, None)) is None:
            return
        made.waited_ms = waited_ms
        self._outcomes.append(made.outcome(waited_ms))
        if made.counts:
            self.done.append(made)

    def waits(self, number: int, snapshot: Callable[[], Snapshot]) -> None:
        self._waiting += 1
        latest = self._waits[self._jobs[number].priority]
        if self._waiting % EVERY or len(self.cpu_s) >= MOST or len(latest) < 30:
            return
        made, now, target = Forecasts(), snapshot(), f"{number:09d}"
        began = thread_time()
        correction = Correction.learned([*self._outcomes, *self._overdue(now.now_ms)])
        eta = self._eta(now, target, self._history, correction)
        self.cpu_s.append(thread_time() - began)
        if eta.p50_ms is None:
            self.too_large += 1
            return
        by_limits = self._eta(now, target, History(), Correction())
        if by_limits.p50_ms is None:
            return
        p90_ms, raw_p90_ms = eta.p90_ms or eta.p50_ms, eta.raw_p90_ms or eta.p50_ms
        made.made_ms, made.counts = now.now_ms, len(self.cpu_s) > WARM_UP
        made.waits_ms = {
            OURS: (eta.p50_ms - now.now_ms, p90_ms - now.now_ms),
            RAW: (eta.p50_ms - now.now_ms, raw_p90_ms - now.now_ms),
            LIMITS: (by_limits.p50_ms - now.now_ms, by_limits.p50_ms - now.now_ms),
            AVERAGE: (round(fmean(latest)), sorted(latest)[int(0.9 * len(latest))]),
        }
        self._open[number] = made

    def _overdue(self, now_ms: int) -> list[Outcome]:
        """Those that have waited for longer than p90 by now, as in production."""
        waiting = ((each, now_ms - each.made_ms) for each in self._open.values())
        return [
            each.outcome(waits_ms)
            for each, waits_ms in waiting
            if waits_ms > each.waits_ms[OURS][1]
        ]

    def _eta(self, now: Snapshot, target: str, history: History, correction: Correction) -> Eta:
        found = forecast(
            now,
            [target],
            self._expected,
            history,
            correction=correction,
            budget=Budget(CPU_S, thread_time),
        )
        return found.etas[target]


def _traits(job: Job) -> Traits:
    """What Philly tells: the team and the size. Names with digits count as one, so words are made
    of the sizes."""
    size = "g" * (job.request.gpu * job.replicas)
    return Traits(job.user, size, size, job.priority)
