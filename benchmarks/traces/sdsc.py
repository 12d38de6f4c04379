"""The SDSC-SP2 log, first come, first served, with and without backfilling, beside other figures.

The log is in the Parallel Workloads Archive (Feitelson, Tsafrir and Krakov 2014) as
SDSC-SP2-1998-4.2-cln.swf.gz. Published: Gaussier et al., SC'15, 87.870 with the users' estimates
and 70.478 with exact run times; this version of the log has seven jobs fewer, and a simulator
written for it alone gets 87.825 and 70.414, and 13,824.97 without backfilling.
"""

from pathlib import Path

from benchmarks.report import Result
from scheduler.simulator import cluster_spec, policies, simulate, traces
from scheduler.simulator.figures import figures

FILE = "SDSC-SP2-1998-4.2-cln.swf.gz"
PROCESSORS = 128
RUNS = (  # label, policy, with exact limits, mean bounded slowdown elsewhere
    ("strict FIFO", "strict,fifo", False, 13_824.97),
    ("EASY", "easy_backfill,fifo", False, 87.825),
    ("EASY, exact run times", "easy_backfill,fifo", True, 70.414),
    ("best effort", "best_effort,fifo", False, None),
)


def measure(rounds: int, folder: Path) -> Result | None:
    """None if the log is not in the folder."""
    path = folder / FILE
    if not path.exists():
        return None
    log = traces.read(path).jobs
    machine = cluster_spec.parse(f"pool:cpu={PROCESSORS}")
    result = Result(
        "sdsc",
        "The SDSC-SP2 log by the production planner",
        notes=[
            f"{len(log):,} jobs on {PROCESSORS} processors. Slowdown is the mean bounded slowdown, "
            "the same in each round; in italics what a simulator for this log alone gets.",
        ],
    )
    for label, words, exact, elsewhere in RUNS:
        jobs = traces.with_exact_limits(log) if exact else log
        runs = [simulate(jobs, machine, policies.parse(words)) for _ in range(rounds)]
        slowdowns = [figures(run).classes["all"].bounded_slowdown for run in runs]
        result.add(f"{label}: slowdown", "", slowdowns)
        if elsewhere is not None:
            result.add(f"{label}: slowdown elsewhere", "", [elsewhere], reference=True)
            off = [100 * (slowdown / elsewhere - 1) for slowdown in slowdowns]
            result.add(f"{label}: off by", "%", off)
        result.add(f"{label}: whole log", "s", [run.took_s for run in runs])
        result.add(f"{label}: simulated", "jobs/s", [len(jobs) / run.took_s for run in runs])
    return result
