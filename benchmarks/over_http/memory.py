"""Memory of each process, at rest and after many submits."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from benchmarks.over_http import client
from benchmarks.over_http.stack import Stack
from benchmarks.report import Result

SUBMITS = 5000
CLIENTS = 8
SETTLE_S = 3.0  # the servers' children come and go
LOOKS = 5
MIB = 2**20


def measure(rounds: int) -> Result:
    looks = max(rounds, LOOKS)
    result = Result(
        "memory",
        "Memory",
        notes=[
            "PSS: each process's own memory and its share of what it shares (`smaps_rollup`); "
            "these add up. RSS counts what is shared in every process, so its sum is too much. At "
            f"rest: started, one submit made. After: {SUBMITS:,} submits by {CLIENTS} clients, all "
            "waiting in a full cluster, in 50 different requests."
        ],
    )
    with Stack() as stack:
        token = client.newcomer(stack.caller())
        owner = stack.caller(token)
        organization = client.organization(owner)
        full = client.cluster(owner, organization, "full", total_gpu=1)
        owner.post("/api/deployments", client.workload(full))
        time.sleep(SETTLE_S)
        _look(stack, "at rest", result, looks)
        _submit(stack, token, full)
        time.sleep(SETTLE_S)
        _look(stack, f"after {SUBMITS:,} submits", result, looks)
    return result


def _submit(stack: Stack, token: str, cluster_id: str) -> None:
    def share(_: int) -> None:
        caller = stack.caller(token)
        for number in range(SUBMITS // CLIENTS):
            caller.post(
                "/api/deployments", client.workload(cluster_id, required_ram=1024 + number % 50)
            )

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(share, range(CLIENTS)))


def _look(stack: Stack, when: str, result: Result, looks: int) -> None:
    pss: dict[str, list[float]] = {}
    rss: dict[str, list[float]] = {}
    for _ in range(looks):
        found = by_role(stack)
        found["whole stack"] = [process for group in found.values() for process in group]
        for role, processes in found.items():
            pss.setdefault(role, []).append(sum(map(_pss_mib, processes)))
            rss.setdefault(role, []).append(sum(map(_rss_mib, processes)))
        time.sleep(0.2)
    for role, amounts in pss.items():
        count = len(found[role])
        name = f"{role} ({count} process{'es' if count > 1 else ''})"
        result.add(f"{name} {when}, PSS", "MiB", amounts)
        result.add(f"{name} {when}, RSS", "MiB", rss[role], reference=True)


def by_role(stack: Stack) -> dict[str, list[psutil.Process]]:
    """The processes of web, worker, timer, their supervisor and the two servers, by role."""
    found: dict[str, list[psutil.Process]] = {}
    folder = str(stack.folder)
    ours = [psutil.Process(stack.process.pid)]
    ours += ours[0].children(recursive=True)
    for process in psutil.process_iter():  # a server may have lost its parent process
        if folder in " ".join(_words(process)) and process not in ours:
            ours += [process, *(c for c in process.children(recursive=True) if c not in ours)]
    for process in ours:
        words = " ".join(_words(process))
        if words:
            found.setdefault(_role(words, process), []).append(process)
    return found


def _role(words: str, process: psutil.Process) -> str:
    for role, sign in (
        ("PostgreSQL", "postgres"),
        ("Redis", "valkey-server"),
        ("web", "gunicorn"),
        ("timer", "scheduler.timer"),
        ("worker", "celery"),
        ("supervisor", "manage.py"),
    ):
        if sign in words:
            return role
    return process.name()


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _pss_mib(process: psutil.Process) -> float:
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _rss_mib(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss / MIB)
    except psutil.Error:
        return 0.0
