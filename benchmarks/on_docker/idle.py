"""The cost of watching many running containers while nothing happens."""

import json
import resource
import time
from time import perf_counter

import psutil

from benchmarks.on_docker.docker_cluster import DockerCluster
from benchmarks.on_docker.engines import OwnEngine
from benchmarks.over_http.stack import Stack
from benchmarks.report import Result

CONTAINERS = 1000
EACH_MIB = 6  # of a container's shim, init and process, and of what the engine keeps of it
SPARE_MIB = 2048
CLIENTS = 8
SETTLE_S = 20.0  # a full pass or more
SPAN_S, MOST_SPANS = 60.0, 2
PASSES = 7
LISTS = 10
TIME_PASSES = """
import json, time
from uuid import UUID
from deployments.reconciler.loop import reconcile

def timed():
    began, burnt = time.perf_counter(), time.process_time()
    reconcile(UUID({cluster_id!r}), ["*"], print)
    return (time.perf_counter() - began) * 1000, (time.process_time() - burnt) * 1000

print(json.dumps([timed() for _ in range({count})]))
"""


def notes() -> list[str]:
    return [
        f"Nothing happens: {CONTAINERS:,} containers run, and the worker looks at all of them "
        "every 15 s. Its CPU is that of its process and its children. A full pass looks at the "
        "engine and judges every row; it was timed in a process of its own, whose first pass also "
        "asks for each container when it began, as a new worker's does."
    ]


def measure_empty(result: Result, rounds: int, stack: Stack) -> None:
    time.sleep(SETTLE_S)
    burnt = [_per_minute([stack.runtimes()])[0] for _ in range(min(rounds, MOST_SPANS))]
    result.add("worker's CPU, 0 running", "s/min", burnt, reference=True)


def measure_full(result: Result, rounds: int, stack: Stack, cluster: DockerCluster) -> None:
    engine = cluster.engine
    fit = int(psutil.virtual_memory().available / 2**20 - SPARE_MIB) // EACH_MIB
    count = min(CONTAINERS, fit)
    began = perf_counter()
    cluster.await_all(cluster.submit_many(count, CLIENTS), "RUNNING")
    result.add(f"{count:,} submitted to all RUNNING", "s", [perf_counter() - began])
    time.sleep(SETTLE_S)
    spans = [
        _per_minute([stack.runtimes(), engine.process]) for _ in range(min(rounds, MOST_SPANS))
    ]
    result.add(f"worker's CPU, {count:,} running", "s/min", [each[0] for each in spans])
    result.add("the engine's own meanwhile", "s/min", [each[1] for each in spans], reference=True)
    code = TIME_PASSES.format(cluster_id=cluster.id, count=PASSES)
    (first, first_cpu), *others = json.loads(stack.python(code).splitlines()[-1])
    result.add(f"full pass over {count:,}", "ms", [each[0] for each in others])
    result.add("of which CPU", "ms", [each[1] for each in others], reference=True)
    result.add("first pass of a new worker", "ms", [first])
    result.add("of which CPU, first pass", "ms", [first_cpu], reference=True)
    lists = [_list(engine) for _ in range(LISTS)]
    result.add("docker ps -a", "ms", [each[0] for each in lists], reference=True)
    result.add("CPU of docker ps -a", "ms", [each[1] for each in lists], reference=True)
    result.add("the engine's CPU for it", "ms", [each[2] for each in lists], reference=True)


def _per_minute(processes: list[psutil.Process]) -> list[float]:
    """CPU seconds per minute of each process, children included."""
    before = [_burnt_s(each) for each in processes]
    time.sleep(SPAN_S)
    after = [_burnt_s(each) for each in processes]
    return [(late - early) * 60 / SPAN_S for early, late in zip(before, after, strict=True)]


def _list(engine: OwnEngine) -> tuple[float, float, float]:
    """(ms, the program's CPU in ms, the engine's)."""
    began, burnt = perf_counter(), _children_s()
    of_engine = _burnt_s(engine.process)
    engine.program("ps", "--all")
    took, burnt = perf_counter() - began, _children_s() - burnt
    return took * 1000, burnt * 1000, (_burnt_s(engine.process) - of_engine) * 1000


def _burnt_s(process: psutil.Process) -> float:
    times = [each.cpu_times() for each in [process, *process.children(recursive=True)]]
    return float(sum(each.user + each.system for each in times))


def _children_s() -> float:
    """CPU seconds of this process's ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
