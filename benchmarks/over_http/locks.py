"""What a locked row of one tenant costs all others.

Ada's and Sam's organizations have a cluster each. Ada's programs call all the while for her
cluster, at a fixed rate: changes, stops, submits. In turns a session locks nothing, the row of
her cluster, or the rows of all deployments in it, for as long as a round lasts. Meanwhile Sam
reads and submits, and the script notes how long each call takes, and each start.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from itertools import count
from json import dumps
from typing import Any

from benchmarks.over_http import client
from benchmarks.over_http.stack import Stack
from benchmarks.report import Result, percentile

ROUND_S = 60.0
SETTLE_S = 2.0  # of each round, before anything is measured
ADAS_PER_S, ADAS_THREADS = 20, 16
SAM_EVERY_S = 0.25
ADAS = 400  # deployments that run in her cluster before the first round
START_TIMEOUT_S = 30.0

# Which rows a session locks, as any UPDATE of them would.
STATES = {
    "nothing locked": None,
    "her cluster's row locked": "SELECT 1 FROM clusters_cluster WHERE id = %s FOR NO KEY UPDATE",
    "her deployments' rows locked": "SELECT 1 FROM deployments_deployment WHERE cluster_id = %s"
    " FOR NO KEY UPDATE",
}


class Seen:
    """What one state's rounds have shown, in milliseconds."""

    def __init__(self) -> None:
        self.calls: list[list[float]] = []
        self.starts: list[list[float]] = []
        self.adas: list[float] = []
        self.refused: list[float] = []
        self.answers: Counter[int] = Counter()


def measure(rounds: int) -> Result:
    seen = {state: Seen() for state in STATES}
    with Stack() as stack:
        tenants = Tenants(stack)
        for number in range(max(rounds, 1)):
            order = list(STATES)
            for state in order[number % 3 :] + order[: number % 3]:
                _round(stack, tenants, STATES[state], seen[state])
    return _result(seen)


def _result(seen: dict[str, Seen]) -> Result:
    result = Result("locks", "A locked row of one tenant, and another tenant")
    answers = "; ".join(f"{state}: {_told(each.answers)}" for state, each in seen.items())
    result.notes = [
        f"{ADAS_PER_S} calls a second for Ada's cluster on {ADAS_THREADS} connections, rounds of "
        f"{ROUND_S:.0f} s in turns. Sam's calls: a read and a submit, {1 / SAM_EVERY_S:.0f} times "
        "a second. The load runs on the platform's own processors. Answers to Ada by status: "
        f"{answers}."
    ]
    for state, each in seen.items():
        for what, series in (("call", each.calls), ("start", each.starts)):
            for name, percent in (("median", 50), ("p99", 99), ("longest", 100)):
                values = [_percentile(values, percent) for values in series]
                result.add(f"Sam's {what}, {name}: {state}", "ms", values)
    free = seen["nothing locked"]
    for state, each in list(seen.items())[1:]:
        for what, ours, theirs in (
            ("call", each.calls, free.calls),
            ("start", each.starts, free.starts),
        ):
            for name, percent in (("median", 50), ("p99", 99), ("longest", 100)):
                pairs = [
                    _percentile(locked, percent) - _percentile(unlocked, percent)
                    for locked, unlocked in zip(ours, theirs, strict=True)
                ]
                result.add(f"excess of Sam's {what}, {name}: {state}", "ms", pairs)
        if each.refused:
            shown = [_percentile(each.refused, percent) for percent in (50, 99, 100)]
            for name, value in zip(("median", "p99", "longest"), shown, strict=True):
                result.add(f"Ada's refusals, {name}: {state}", "ms", [value])
    return result


def _percentile(values: list[float], percent: int) -> float:
    return max(values) if percent == 100 else percentile(values, percent)


def _told(answers: Counter[int]) -> str:
    return ", ".join(f"{number} {status}" for status, number in sorted(answers.items()))


class Tenants:
    """Both organizations, and bodies of their calls."""

    def __init__(self, stack: Stack) -> None:
        self.ada, self.sam = (client.newcomer(stack.caller(), name) for name in ("ada", "sam"))
        ada, sam = stack.caller(self.ada), stack.caller(self.sam)
        self.stuck = client.cluster(ada, client.organization(ada), "stuck")
        self.sams = client.workload(client.cluster(sam, client.organization(sam), "other"))
        self._number = count()
        body = client.workload(self.stuck, max_runtime_s=3600)
        self.runs: list[str] = []
        for _ in range(0, ADAS, 100):
            answer = ada.post("/api/deployments/bulk", {"deployments": [body] * 100})
            self.runs += [each["id"] for each in answer]

    def next_call(self) -> tuple[str, str, dict[str, Any]]:
        """Method, path and body of Ada's next call."""
        number = next(self._number)
        cluster, one = f"/api/clusters/{self.stuck}", self.runs[number % len(self.runs)]
        body = client.workload(self.stuck)
        calls: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("PATCH", cluster, {"name": f"stuck-{number}"}),
            ("POST", f"/api/deployments/{one}/stop", {}),
            ("PATCH", f"/api/deployments/{one}", {"name": f"n-{number}"}),
            ("POST", "/api/deployments", body),
            ("PATCH", f"/api/deployments/{one}", {"priority": "HIGH" if number % 2 else "LOW"}),
            ("PUT", f"{cluster}/quotas/default", {"max_gpu": 10**6 + number}),
            ("POST", "/api/deployments", body | {"depends_on": [one]}),
            ("POST", f"/api/deployments/{one}/checkpoint", {}),
        )
        return calls[number % len(calls)]


@contextmanager
def _locked(stack: Stack, statement: str | None, cluster: str) -> Iterator[None]:
    with closing(stack.sql()) as connection, connection.cursor() as cursor:
        if statement is not None:
            cursor.execute("BEGIN")
            cursor.execute(statement, [cluster])
        yield


def _round(stack: Stack, tenants: Tenants, statement: str | None, seen: Seen) -> None:
    over = threading.Event()
    calls: list[float] = []
    starts: list[float] = []
    with _locked(stack, statement, tenants.stuck):
        ada = [
            threading.Thread(target=_call_as_ada, args=(stack, tenants, place, over, seen))
            for place in range(ADAS_THREADS)
        ]
        for thread in ada:
            thread.start()
        time.sleep(SETTLE_S)
        sam = threading.Thread(target=_read_as_sam, args=(stack, tenants, over, calls))
        sam.start()
        _submit_as_sam(stack, tenants, ROUND_S - SETTLE_S, calls, starts)
        over.set()
        for thread in (*ada, sam):
            thread.join()
    seen.calls.append(calls)
    seen.starts.append(starts)


def _call_as_ada(
    stack: Stack, tenants: Tenants, place: int, over: threading.Event, seen: Seen
) -> None:
    """One call each time that is this thread's, whatever the answer."""
    period = ADAS_THREADS / ADAS_PER_S
    due = time.perf_counter() + place / ADAS_PER_S
    headers = {"Authorization": f"Bearer {tenants.ada}", "Content-Type": "application/json"}
    with closing(HTTPConnection("127.0.0.1", stack.port, timeout=60)) as connection:
        while not over.wait(max(0.0, due - time.perf_counter())):
            method, path, body = tenants.next_call()
            began = time.perf_counter()
            connection.request(method, path, dumps(body), headers)
            answer = connection.getresponse()
            answer.read()
            took = (time.perf_counter() - began) * 1000
            seen.answers[answer.status] += 1
            (seen.refused if answer.status == 503 else seen.adas).append(took)
            due += period


def _paced(seconds: float, act: Callable[[], None], over: threading.Event | None = None) -> None:
    due = time.perf_counter()
    until = due + seconds
    while due < until and not (over and over.is_set()):
        time.sleep(max(0.0, due - time.perf_counter()))
        act()
        due += SAM_EVERY_S


def _read_as_sam(stack: Stack, tenants: Tenants, over: threading.Event, calls: list[float]) -> None:
    caller = stack.caller(tenants.sam)

    def read() -> None:
        began = time.perf_counter()
        caller.get("/api/deployments?limit=5")
        calls.append((time.perf_counter() - began) * 1000)

    _paced(10 * ROUND_S, read, over)


def _submit_as_sam(
    stack: Stack, tenants: Tenants, seconds: float, calls: list[float], starts: list[float]
) -> None:
    caller = stack.caller(tenants.sam)
    with closing(stack.sql()) as connection, connection.cursor() as cursor:

        def submit() -> None:
            began = time.perf_counter()
            key = caller.post("/api/deployments", tenants.sams)["id"]
            calls.append((time.perf_counter() - began) * 1000)
            while time.perf_counter() - began < START_TIMEOUT_S:
                cursor.execute("SELECT status FROM deployments_deployment WHERE id = %s", [key])
                if cursor.fetchone()[0] == "RUNNING":
                    break
                time.sleep(0.005)
            starts.append((time.perf_counter() - began) * 1000)

        _paced(seconds, submit)
