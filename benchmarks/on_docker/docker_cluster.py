"""A cluster of the platform whose only node is a benchmark's own Docker engine."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from benchmarks.on_docker.engines import CPU_MILLI, IMAGE, PIDS, RAM_MIB, SLEEPS, OwnEngine
from benchmarks.over_http import client
from benchmarks.over_http.stack import Stack

LOOK_EVERY_S = 0.002
TIMEOUT_S = 600.0
ATTACH = """
from clusters.services.attach import add_node
from clusters.models import Cluster, Sandbox

cluster = Cluster.objects.get(pk={cluster_id!r})
Sandbox.objects.create(cluster=cluster, network="none", pids_limit={pids})
add_node(cluster, {node!r}, trusted=True)
"""


@dataclass(frozen=True)
class Submitted:
    """The times from a submit until RUNNING, and until the process began by the engine's clock."""

    key: str
    from_first_byte_ms: float
    from_answer_ms: float
    process_from_answer_ms: float


class DockerCluster:
    """A cluster for `replicas` of `body`, attached as an operator does it, and ready."""

    def __init__(
        self,
        stack: Stack,
        engine: OwnEngine,
        token: str,
        organization: str,
        *,
        name: str,
        replicas: int,
    ) -> None:
        self._stack, self._token = stack, token
        self.engine, self.caller = engine, stack.caller(token)
        self._sql = stack.sql().cursor()
        given = {"organization_id": organization, "name": name, "runtime": "docker"}
        self.id = str(self.caller.post("/api/clusters", given)["id"])
        node = {
            "name": name,
            "endpoint": {"url": engine.attach_url},
            "cpu_milli": replicas * CPU_MILLI,
            "ram_mib": replicas * RAM_MIB,
            "gpu": 0,
        }
        stack.python(ATTACH.format(cluster_id=self.id, node=node, pids=PIDS))
        self._until("SELECT observed = 'READY' FROM clusters_node WHERE cluster_id = %s", self.id)
        self.body = {
            "cluster_id": self.id,
            "name": "sleeps",
            "image": IMAGE,
            "args": list(SLEEPS),
            "required_cpu": CPU_MILLI / 1000,
            "required_ram": RAM_MIB,
            "required_gpu": 0,
        }

    def submit(self, priority: str = "LOW") -> Submitted:
        """Submit, and wait until it runs."""
        began = perf_counter()
        key = self._submit(self.caller, priority)
        answered, answered_at = perf_counter(), datetime.now(UTC)
        self.await_status(key, "RUNNING")
        runs = perf_counter()
        self._sql.execute("SELECT started_at FROM deployments_deployment WHERE id = %s", [key])
        process_ms = (self._sql.fetchone()[0] - answered_at).total_seconds() * 1000
        return Submitted(key, (runs - began) * 1000, (runs - answered) * 1000, process_ms)

    def submit_many(self, count: int, threads: int) -> list[str]:
        def share(number: int) -> list[str]:
            caller = self._stack.caller(self._token)
            return [self._submit(caller, "LOW") for _ in range(number, count, threads)]

        with ThreadPoolExecutor(threads) as pool:
            return [each for ids in pool.map(share, range(threads)) for each in ids]

    def stop_many(self, ids: list[str], threads: int) -> None:
        def share(number: int) -> None:
            caller = self._stack.caller(self._token)
            for each in ids[number::threads]:
                caller.post_until_done(f"/api/deployments/{each}/stop", {})

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(share, range(threads)))

    def await_status(self, key: str, status: str) -> None:
        statement = "SELECT status = %s FROM deployments_deployment WHERE id = %s"
        self._until(statement, status, key)

    def await_all(self, keys: list[str], status: str) -> None:
        statement = (
            "SELECT count(*) = %s FROM deployments_deployment "
            "WHERE id = ANY(%s::uuid[]) AND status = %s"
        )
        self._until(statement, len(keys), keys, status, every_s=0.05)

    def await_empty(self) -> None:
        """Wait until the engine has no container of the cluster."""
        deadline = perf_counter() + TIMEOUT_S
        while self.engine.count(self.id):
            _not_later_than(deadline)
            time.sleep(0.05)

    def stop(self, *keys: str) -> None:
        """Stop deployments, and wait until they and their containers are gone."""
        for key in keys:
            self.caller.post(f"/api/deployments/{key}/stop", {})
        for key in keys:
            self.await_status(key, "STOPPED")
        self.await_empty()

    def _submit(self, caller: client.Caller, priority: str) -> str:
        return str(caller.post("/api/deployments", {**self.body, "priority": priority})["id"])

    def _until(self, statement: str, *values: Any, every_s: float = LOOK_EVERY_S) -> None:
        deadline = perf_counter() + TIMEOUT_S
        while not self._is_true(statement, values):
            _not_later_than(deadline)
            time.sleep(every_s)

    def _is_true(self, statement: str, values: Iterable[Any]) -> bool:
        self._sql.execute(statement, tuple(values))
        return bool(self._sql.fetchone()[0])


def _not_later_than(deadline: float) -> None:
    if perf_counter() > deadline:
        raise TimeoutError(f"It did not happen within {TIMEOUT_S:.0f} s.")
