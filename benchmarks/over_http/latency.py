"""From a submit's first byte to RUNNING in the table: alone, at a steady rate, and in a crowd."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.over_http import client
from benchmarks.over_http.stack import Stack
from benchmarks.report import Result, percentile

SUBMITS = 40  # a round of one figure
STEADY_PER_S = 20
CROWD = 8
LOOK_EVERY_S = 0.0005
PAUSE_S = 0.02  # so that one probe's cycle is over before the next one's begins


def measure(rounds: int) -> Result:
    result = Result(
        "latency",
        "Submit to RUNNING",
        notes=[
            "Measured at the client, before the POST to the first look at the table that finds "
            "RUNNING; the cluster is empty and has room. p99 is of all rounds together. The steady "
            f"load is {STEADY_PER_S} submits a second, the crowd {CROWD} clients without a pause, "
            "both into another cluster. The answer to the POST is part of the time, and shown "
            "beside it."
        ],
    )
    with Stack() as stack:
        token = client.newcomer(stack.caller())
        owner = stack.caller(token)
        organization = client.organization(owner)
        probe = _Probe(stack, token, client.workload(client.cluster(owner, organization, "probe")))
        noise = client.workload(client.cluster(owner, organization, "noise"))
        probe.times(20)
        loads: dict[str, Any] = {
            "one at a time": _quiet,
            f"at {STEADY_PER_S} submits a second": lambda: _steady(stack, token, noise),
            f"in a crowd of {CROWD} clients": lambda: _crowd(stack, token, noise),
        }
        for name, load in loads.items():
            with load():
                time.sleep(1)
                measured = [probe.times(SUBMITS) for _ in range(rounds)]
            _tell(result, name, measured)
    return result


def _tell(result: Result, name: str, measured: list[list[tuple[float, float]]]) -> None:
    """Each round's (answered, running) times, in ms."""
    running = [[each[1] for each in times] for times in measured]
    answered = [[each[0] for each in times] for times in measured]
    result.add(f"{name}, p50", "ms", [percentile(times, 50) for times in running])
    result.add(
        f"{name}, p99", "ms", [percentile([each for times in running for each in times], 99)]
    )
    result.add(
        f"of which the answer, {name}, p50",
        "ms",
        [percentile(times, 50) for times in answered],
        reference=True,
    )


class _Probe:
    def __init__(self, stack: Stack, token: str, body: dict[str, Any]) -> None:
        self._caller, self._body = stack.caller(token), body
        self._sql = stack.sql().cursor()

    def times(self, count: int) -> list[tuple[float, float]]:
        """(ms until answered, ms until RUNNING) of so many submits, one after another."""
        measured = []
        for _ in range(count):
            measured.append(self._time())
            time.sleep(PAUSE_S)
        return measured

    def _time(self) -> tuple[float, float]:
        began = time.perf_counter()
        key = self._caller.post("/api/deployments", self._body)["id"]
        answered = time.perf_counter()
        while not self._runs(key):
            time.sleep(LOOK_EVERY_S)
        return (answered - began) * 1000, (time.perf_counter() - began) * 1000

    def _runs(self, key: str) -> bool:
        self._sql.execute("SELECT status FROM deployments_deployment WHERE id = %s", [key])
        return bool(self._sql.fetchone()[0] == "RUNNING")


@contextmanager
def _quiet() -> Iterator[None]:
    yield


@contextmanager
def _steady(stack: Stack, token: str, body: dict[str, Any]) -> Iterator[None]:
    def submit(caller: client.Caller, due: float) -> float:
        time.sleep(max(0.0, due - time.perf_counter()))
        caller.post("/api/deployments", body)
        return due + 1 / STEADY_PER_S

    with _threads(stack, token, 1, submit):
        yield


@contextmanager
def _crowd(stack: Stack, token: str, body: dict[str, Any]) -> Iterator[None]:
    def submit(caller: client.Caller, due: float) -> float:
        caller.post("/api/deployments", body)
        return due

    with _threads(stack, token, CROWD, submit):
        yield


@contextmanager
def _threads(stack: Stack, token: str, count: int, submit: Any) -> Iterator[None]:
    over = threading.Event()

    def repeat() -> None:
        caller, due = stack.caller(token), time.perf_counter()
        while not over.is_set():
            due = submit(caller, due)

    threads = [threading.Thread(target=repeat) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
