"""Calls to the API over one connection that stays open, as a program would make them."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from time import perf_counter, sleep
from typing import Any
from uuid import uuid4

PASSWORD = "correct-horse-battery"


BUSY = 503
BUSY_S = 0.05  # until a call is tried again


class BusyError(RuntimeError):
    """Another change of the same row was under way: the call changed nothing."""


class Caller:
    """A client for one thread. Raises on any answer that is not a success."""

    _IDLE_S = 1.0  # the server closes what is idle for longer than 15 s

    def __init__(self, port: int, token: str | None = None) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self._used = perf_counter()
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str) -> Any:
        return self._call("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("POST", path, json.dumps(body))

    def post_until_done(self, path: str, body: dict[str, Any]) -> Any:
        """The same, again as long as another change is under way."""
        while True:
            try:
                return self.post(path, body)
            except BusyError:
                sleep(BUSY_S)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("PATCH", path, json.dumps(body))

    def _call(self, method: str, path: str, body: str | None) -> Any:
        if perf_counter() - self._used > self._IDLE_S:
            self._connection.close()  # the next line opens it again
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        self._used = perf_counter()
        if answer.status >= 300:
            kind = BusyError if answer.status == BUSY else RuntimeError
            raise kind(f"{method} {path}: {answer.status} {content[:300]!r}")
        return json.loads(content) if content else None


def newcomer(anonymous: Caller, username: str = "bench") -> str:
    """A new user; answers the access token."""
    name = {"username": username, "password": PASSWORD}
    anonymous.post("/api/users/register", name)
    return str(anonymous.post("/api/users/login", name)["access_token"])


def organization(caller: Caller) -> str:
    return str(caller.post("/api/orgs/create", {"name": f"Bench {uuid4()}"})["id"])


def cluster(caller: Caller, organization_id: str, name: str, **columns: Any) -> str:
    """A cluster, by default large enough that every submit starts at once."""
    body = {
        "name": name,
        "organization_id": organization_id,
        "total_cpu": 1_000_000,
        "total_ram": 1_000_000_000,
        "total_gpu": 1_000_000,
    }
    return str(caller.post("/api/clusters", body | columns)["id"])


def workload(cluster_id: str, **columns: Any) -> dict[str, Any]:
    """The body of an everyday submit."""
    return {
        "cluster_id": cluster_id,
        "name": "train-resnet",
        "image": "registry.example.com/vision/train:1.2",
        "required_cpu": 4,
        "required_ram": 16384,
        "required_gpu": 1,
        "priority": "LOW",
        "args": ["--epochs", "10"],
        "env": {"SEED": "42"},
    } | columns


def per_second(act: Callable[[Caller], object], callers: list[Caller], seconds: float) -> float:
    """The calls per second of all callers together, each on a thread, one call after another."""

    def repeat(caller: Caller) -> tuple[int, float]:
        count, began = 0, perf_counter()
        while (spent := perf_counter() - began) < seconds:
            act(caller)
            count += 1
        return count, spent

    with ThreadPoolExecutor(len(callers)) as pool:
        return sum(count / spent for count, spent in pool.map(repeat, callers))
