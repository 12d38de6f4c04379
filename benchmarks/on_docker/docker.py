"""The platform on a real Docker engine, compared with the same engine called directly."""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from benchmarks.on_docker import idle
from benchmarks.on_docker.docker_cluster import DockerCluster
from benchmarks.on_docker.engines import OwnEngine
from benchmarks.over_http import client
from benchmarks.over_http.stack import Stack
from benchmarks.report import Result
from mlops_platform.tests.equipment.docker_engine import NoEngine

TIMES = 4  # in a round, of what takes about a second
CROWD, MOST_CROWDS = 200, 3
THREADS = 8


def measure(rounds: int) -> Result | None:
    try:
        with OwnEngine() as engine, Stack() as stack:
            return _measure(rounds, engine, stack)
    except NoEngine as why:
        print(f"docker is skipped: {why}\n")
        return None


def _measure(rounds: int, engine: OwnEngine, stack: Stack) -> Result:
    result = Result(
        "docker",
        "On a Docker engine",
        notes=[
            "An engine of the benchmark's own, on this machine; its image is busybox, its network "
            "`none`, its limits the same for all. One at a time: the platform, the docker program "
            "and the engine's API take turns; between them all is cleared away. RUNNING: found "
            "in the table, looked at every 2 ms.",
            "Preemption: the cluster is full of one LOW, which ends as soon as it is asked to.",
            f"A crowd: {CROWD} submits by {THREADS} clients, then {CROWD} stops; beside it "
            f"{THREADS} threads that create and start, then kill and remove, over the engine's "
            "API. The platform lets what it stops end by SIGTERM, keeps its output, and removes "
            "it.",
            *idle.notes(),
        ],
    )
    token = client.newcomer(stack.caller())
    organization = client.organization(stack.caller(token))

    def cluster(name: str, replicas: int) -> DockerCluster:
        return DockerCluster(stack, engine, token, organization, name=name, replicas=replicas)

    large = cluster("roomy", 2000)
    idle.measure_empty(result, rounds, stack)
    _one_at_a_time(result, rounds * TIMES, large)
    _preemption(result, rounds * TIMES, cluster("full", 1))
    _crowd(result, min(rounds, MOST_CROWDS), large)
    idle.measure_full(result, rounds, stack, large)
    return result


def _one_at_a_time(result: Result, times: int, cluster: DockerCluster) -> None:
    engine = cluster.engine
    submits, runs, calls = [], [], []
    for number in range(times + 1):
        submit = cluster.submit()
        cluster.stop(submit.key)
        run, made = _timed(engine.run)
        engine.remove(engine.client, made)
        call, made = _timed(lambda: engine.create_and_start(engine.client))
        engine.remove(engine.client, made)
        if number:  # the first ones find everything cold
            submits.append(submit)
            runs.append(run)
            calls.append(call)
    answered = [each.from_answer_ms for each in submits]
    began = [each.process_from_answer_ms for each in submits]
    result.add("submit answered to RUNNING", "ms", answered)
    result.add("of which until its process began", "ms", began, reference=True)
    result.add(
        "submit's first byte to RUNNING", "ms", [each.from_first_byte_ms for each in submits]
    )
    result.add("docker run -d", "ms", runs, reference=True)
    result.add("create and start by the API", "ms", calls, reference=True)
    _beside(result, "submit answered to RUNNING", "docker run -d", answered, runs)


def _preemption(result: Result, times: int, cluster: DockerCluster) -> None:
    engine = cluster.engine
    submits, references = [], []
    for number in range(times + 1):
        low = cluster.submit("LOW")
        high = cluster.submit("HIGH")
        cluster.stop(low.key, high.key)  # LOW first: it waits, and would start again
        before = engine.run()
        reference, after = _timed(partial(engine.stop_and_run, before))
        engine.remove(engine.client, before)
        engine.remove(engine.client, after)
        if number:
            submits.append(high.from_answer_ms)
            references.append(reference)
    result.add("preemption: HIGH answered to RUNNING", "ms", submits)
    result.add("docker stop && docker run -d", "ms", references, reference=True)
    _beside(result, "preemption", "docker stop && docker run -d", submits, references)


def _crowd(result: Result, rounds: int, cluster: DockerCluster) -> None:
    engine = cluster.engine
    figures: dict[str, list[float]] = {}

    def timed(label: str, work: Callable[[], Any]) -> Any:
        seconds = figures.setdefault(label, [])  # now, so that a whole stands before its parts
        took, done = _timed(work)
        seconds.append(took / 1000)
        return done

    def run(ids: list[str]) -> None:
        ids += timed(f"of which {CROWD} submits answered", submit)
        cluster.await_all(ids, "RUNNING")

    def end(ids: list[str]) -> None:
        timed(f"of which {CROWD} stops answered", partial(cluster.stop_many, ids, THREADS))
        cluster.await_all(ids, "STOPPED")
        cluster.await_empty()

    submit = partial(cluster.submit_many, CROWD, THREADS)
    for _ in range(rounds):
        ids: list[str] = []
        timed(f"{CROWD} submitted to all RUNNING", partial(run, ids))
        timed(f"{CROWD} stopped to no container left", partial(end, ids))
        made = timed(
            f"create and start {CROWD}, by the API", partial(engine.start_many, CROWD, THREADS)
        )
        timed(f"kill and remove {CROWD}, by the API", partial(engine.end_many, made, THREADS))
    for label, seconds in figures.items():
        result.add(label, "s", seconds, reference="API" in label or "answered" in label)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """(ms, result) of one call."""
    began = perf_counter()
    done = work()
    return (perf_counter() - began) * 1000, done


def _beside(
    result: Result, label: str, reference: str, ours: list[float], theirs: list[float]
) -> None:
    pairs = zip(ours, theirs, strict=True)
    result.add(f"{label}, beside {reference}", "x", [our / their for our, their in pairs])
