"""Microsoft's Philly trace on 40 nodes, with preemption and without, and without reservations.

Jeon et al., USENIX ATC 2019; as timestamp, duration, num_gpus, gpu_time, cluster. It has neither
CPU nor RAM nor priority: 6 cores and 60 GiB a GPU, and a seeded third of the jobs is HIGH.
"""

from pathlib import Path

from benchmarks.report import Result
from scheduler.simulator import cluster_spec, policies, simulate, traces
from scheduler.simulator.figures import figures

FILE = "philly.csv.gz"
CLUSTER = "nodes=40,gpu=8,cpu=48,ram=491520"
HIGH_SHARE, SEED = 1 / 3, 1
RUNS = (
    ("preemption", "best_effort"),
    ("no preemption", "best_effort,never"),
    ("neither preemption nor reservations", "best_effort,never,reserve_after_s=1000000000"),
)
HOUR_S = 3600


def measure(rounds: int, folder: Path) -> Result | None:
    """Always one round, as all figures but the speed are the same in each. None if the trace is not
    in the folder."""
    path = folder / FILE
    if not path.exists():
        return None
    jobs = traces.with_share(traces.read(path).jobs, "HIGH", HIGH_SHARE, SEED)
    result = Result(
        "philly",
        "The Philly trace on 40 nodes of 8 GPUs",
        notes=[
            f"{len(jobs):,} jobs of three and a half months, a seeded third of them HIGH. Together "
            "they ask for more than the nodes have, so LOW waits long in any case. Evicted work "
            "starts again from zero. Wait: from submit to end, less the run time.",
        ],
    )
    for label, words in RUNS:
        run = simulate(jobs, cluster_spec.parse(CLUSTER), policies.parse(words))
        measured = figures(run)
        for name in ("HIGH", "LOW"):
            of = measured.classes[name]
            result.add(f"{label}: {name} waits, mean", "h", [of.wait_mean_s / HOUR_S])
            result.add(f"{label}: {name} waits, median", "h", [of.wait_median_s / HOUR_S])
            result.add(f"{label}: {name} waits, p99", "h", [of.wait_p99_s / HOUR_S])
            result.add(f"{label}: {name} waits, longest", "h", [of.wait_max_s / HOUR_S])
            result.add(f"{label}: {name} slowdown", "", [of.bounded_slowdown])
        result.add(f"{label}: GPUs allocated", "%", [100 * measured.utilisation["gpu"]])
        result.add(f"{label}: GPUs whose work counted", "%", [100 * measured.goodput["gpu"]])
        result.add(f"{label}: evictions", "", [float(measured.classes["all"].preemptions)])
        result.add(f"{label}: work lost", "GPU h", [measured.classes["all"].lost_gpu_hours])
        result.add(f"{label}: makespan", "days", [measured.makespan_s / 86400])
        result.add(f"{label}: simulated", "jobs/s", [len(jobs) / run.took_s])
    return result
