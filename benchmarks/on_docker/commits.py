"""This commit on a real Docker engine, compared with an earlier one: both run, and take turns."""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import psutil

from benchmarks.on_docker.docker_cluster import DockerCluster, Submitted
from benchmarks.on_docker.engines import OwnEngine
from benchmarks.over_http import client
from benchmarks.over_http.memory import by_role
from benchmarks.over_http.stack import Stack
from benchmarks.report import Result, percentile
from mlops_platform.tests.equipment.docker_engine import NoEngine

TIMES = 12  # submits of each commit in a round
CROWD = 100
THREADS = 8


def measure(rounds: int, before: Path) -> Result | None:
    try:
        with OwnEngine() as engine, Stack(before) as earlier, Stack() as present:
            stacks = {_commit(before): earlier, "now": present}
            return _measure(
                rounds, {name: (stack, _cluster(stack, engine)) for name, stack in stacks.items()}
            )
    except NoEngine as why:
        print(f"commits is skipped: {why}\n")
        return None


def _cluster(stack: Stack, engine: OwnEngine) -> DockerCluster:
    token = client.newcomer(stack.caller())
    organization = client.organization(stack.caller(token))
    return DockerCluster(stack, engine, token, organization, name="roomy", replicas=2 * CROWD)


def _measure(rounds: int, clusters: dict[str, tuple[Stack, DockerCluster]]) -> Result:
    submits: dict[str, list[Submitted]] = {name: [] for name in clusters}
    crowds: dict[str, list[float]] = {name: [] for name in clusters}
    ends: dict[str, list[float]] = {name: [] for name in clusters}
    cpu: dict[str, list[float]] = {name: [] for name in clusters}
    for _, each in clusters.values():  # the first finds everything cold
        each.stop(each.submit().key)
    for number in range(rounds):
        # Each begins every other round, so that neither always follows the other.
        turns = list(clusters.items())[:: 1 if number % 2 else -1]
        for _ in range(TIMES):
            for name, (_, cluster) in turns:
                submit = cluster.submit()
                cluster.stop(submit.key)
                submits[name].append(submit)
        for name, (stack, cluster) in turns:
            before_s = _cpu_s(stack)
            begun, ended = _crowd(cluster)
            cpu[name].append(_cpu_s(stack) - before_s)
            crowds[name].append(begun)
            ends[name].append(ended)
    first, *_ = clusters
    result = Result(
        "commits",
        f"On a Docker engine, beside commit {first}",
        notes=[
            f"Two platforms on one engine take turns: of commit {first}, in italics, and of the "
            f"commit above. The engine is the benchmark's own, on this machine, and each container "
            f"busybox without a network. p50 and p95 are of {TIMES} submits in each round, from "
            f"the first byte until RUNNING is found in the table. {CROWD} submits come by "
            f"{THREADS} clients. CPU is that of all processes of one platform, its PostgreSQL and "
            "Redis among them, and without the engine's: other load on the machine changes it less."
        ],
    )
    for name in clusters:
        is_reference = name == first
        per_round = [submits[name][at : at + TIMES] for at in range(0, rounds * TIMES, TIMES)]
        for percent in (50, 95):
            took = [
                percentile([each.from_first_byte_ms for each in some], percent)
                for some in per_round
            ]
            result.add(f"submit to RUNNING, p{percent}, {name}", "ms", took, reference=is_reference)
        label = f"{CROWD} submitted to all RUNNING, {name}"
        result.add(label, "s", crowds[name], reference=is_reference)
        label = f"{CROWD} stopped to no container left, {name}"
        result.add(label, "s", ends[name], reference=is_reference)
        label = f"CPU of the platform for these {CROWD}, {name}"
        result.add(label, "s", cpu[name], reference=is_reference)
    return result


def _crowd(cluster: DockerCluster) -> tuple[float, float]:
    """The seconds until all of a crowd run, and then until none of their containers is left."""
    ids: list[str] = []

    def begin() -> None:
        ids.extend(cluster.submit_many(CROWD, THREADS))
        cluster.await_all(ids, "RUNNING")

    def end() -> None:
        cluster.stop_many(ids, THREADS)
        cluster.await_all(ids, "STOPPED")
        cluster.await_empty()

    return _seconds(begin), _seconds(end)


def _cpu_s(stack: Stack) -> float:
    """The CPU seconds of all processes of a platform until now; of those that have ended, their
    parents count them."""
    seconds = 0.0
    for process in (each for of_role in by_role(stack).values() for each in of_role):
        with suppress(psutil.NoSuchProcess):  # it has ended since it was listed
            seconds += sum(process.cpu_times()[:4])
    return seconds


def _seconds(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


def _commit(checkout: Path) -> str:
    words = ["git", "rev-parse", "--short=7", "HEAD"]
    done = subprocess.run(words, cwd=checkout, capture_output=True, check=True, text=True)
    return done.stdout.strip()
