"""How long commands of `mlops` take, from their start to their end, beside `python -c pass`.

A queue of 500 waits on a cluster of eight GPUs. Each round runs each command once, in turns, in a
process of its own. CPU is the process's own, which other load on the machine lengthens less.
"""

import os
import subprocess
import sys
from time import perf_counter
from typing import NamedTuple

from mlops import Client

from benchmarks.over_http.stack import REPOSITORY, Stack
from benchmarks.report import Result

WAITING = 500
RUNS = 5  # of each command in each round
PASSWORD = "correct-horse-battery"
JOB = {"image": "train:1", "required_cpu": 1, "required_ram": 64, "required_gpu": 8}
COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "mlops --version": ("-m", "mlops", "--version"),
    "mlops ps": ("-m", "mlops", "ps"),
    "mlops why": ("-m", "mlops", "why", "waits"),
    "mlops run --detach": ("-m", "mlops", "run", "--detach", "--gpu", "8", "train:1"),
}
REFERENCE = "python -c pass"


class Took(NamedTuple):
    wall_ms: float
    cpu_ms: float


def measure(rounds: int) -> Result:
    seen: dict[str, list[Took]] = {name: [] for name in COMMANDS}
    with Stack() as stack:
        environment = _environment(stack)
        for _ in range(max(rounds, 1) * RUNS):
            for name, arguments in COMMANDS.items():
                seen[name].append(_took(arguments, environment))
    result = Result("commands", "Commands of mlops, from start to end")
    for name, times in seen.items():
        reference = name == REFERENCE
        result.add(f"{name}, time", "ms", [each.wall_ms for each in times], reference=reference)
        result.add(f"{name}, CPU", "ms", [each.cpu_ms for each in times], reference=reference)
    result.notes = [
        f"{WAITING} deployments wait in the cluster; `ps` shows the latest 200. Each command is a "
        "process of its own, and all take turns."
    ]
    return result


def _environment(stack: Stack) -> dict[str, str]:
    """The variables of a user's shell, whose cluster has what waits."""
    url = f"http://127.0.0.1:{stack.port}"
    with Client(url, "") as client:
        client.users.register(username="ada", password=PASSWORD)
        client.login("ada", PASSWORD)
        organization = client.organizations.create(name="Engines")
        client.clusters.create(
            organization_id=organization.id, name="gpu", total_cpu=64, total_ram=65536, total_gpu=8
        )
        job = {**JOB, "cluster_id": "gpu"}
        client.deployments.submit(**job, name="first")
        client.deployments.submit(**job, name="waits")
        client.deployments.submit_many(deployments=[job] * (WAITING - 1))
        key = client.keys.create(name="bench", scope="submit").key
    return {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY / "client/src"),
        "MLOPS_URL": url,
        "MLOPS_TOKEN": key,
        "MLOPS_CLUSTER": "gpu",
    }


def _took(arguments: tuple[str, ...], environment: dict[str, str]) -> Took:
    before = perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = perf_counter() - before
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments} ended with {process.returncode}.")
    return Took(wall * 1000, (used.ru_utime + used.ru_stime) * 1000)
