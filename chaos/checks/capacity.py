"""Nothing is over-committed and nothing miscounted. Looked at all the time, on a connection of the
suite's own, with statements that the platform does not use."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType

import psycopg2

from chaos.checks.findings import Breach, Finding

EVERY_S = 0.2
SETTINGS = "SET statement_timeout = '5s'; SET lock_timeout = '1s'"

# A statement sees one moment. Amounts are of what runs, starts, or stops and has not yielded.
CLUSTERS = """
WITH allocated AS (
    SELECT cluster_id AS id, sum(cpu_milli * replicas) AS cpu, sum(ram_mib * replicas) AS ram,
           sum(gpu * replicas) AS gpu
      FROM deployments_deployment
     WHERE status IN ('STARTING', 'RUNNING', 'STOPPING') AND NOT yielded GROUP BY 1
), compared AS (
    SELECT c.id, unnest(ARRAY['cpu', 'ram', 'gpu']) AS resource,
           unnest(ARRAY[c.total_cpu_milli, c.total_ram_mib, c.total_gpu]) AS capacity,
           unnest(ARRAY[c.allocated_cpu_milli, c.allocated_ram_mib, c.allocated_gpu]) AS counted,
           unnest(ARRAY[coalesce(a.cpu, 0), coalesce(a.ram, 0), coalesce(a.gpu, 0)]) AS summed
      FROM clusters_cluster c LEFT JOIN allocated a USING (id)
)
SELECT id::text, resource, capacity, counted, summed FROM compared
 WHERE counted <> summed OR counted < 0 OR summed > capacity
"""
NODES = """
WITH replicas AS (
    SELECT (p ->> 'node_id')::uuid AS id, d.cpu_milli * (p ->> 'replicas')::int AS cpu,
           d.ram_mib * (p ->> 'replicas')::int AS ram, d.gpu * (p ->> 'replicas')::int AS gpu
      FROM deployments_deployment d, jsonb_array_elements(d.placement) p
     WHERE d.status IN ('STARTING', 'RUNNING', 'STOPPING') AND NOT d.yielded
), allocated AS (
    SELECT id, sum(cpu) AS cpu, sum(ram) AS ram, sum(gpu) AS gpu FROM replicas GROUP BY 1
), compared AS (
    SELECT n.id, unnest(ARRAY['cpu', 'ram', 'gpu']) AS resource,
           unnest(ARRAY[n.cpu_milli, n.ram_mib, n.gpu]) AS capacity,
           unnest(ARRAY[n.allocated_cpu_milli, n.allocated_ram_mib, n.allocated_gpu]) AS counted,
           unnest(ARRAY[coalesce(a.cpu, 0), coalesce(a.ram, 0), coalesce(a.gpu, 0)]) AS summed
      FROM clusters_node n LEFT JOIN allocated a USING (id)
)
SELECT id::text, resource, capacity, counted, summed FROM compared
 WHERE counted <> summed OR counted < 0 OR summed > capacity
"""

Connect = Callable[[], "psycopg2.extensions.connection"]


def look(connection: "psycopg2.extensions.connection") -> Iterator[Finding]:
    """One look at all clusters and nodes. Raises psycopg2.Error while PostgreSQL is away."""
    with connection.cursor() as cursor:
        for what, statement in (("cluster", CLUSTERS), ("node", NODES)):
            cursor.execute(statement)
            for id_, resource, capacity, counted, summed in cursor.fetchall():
                yield Finding(
                    Breach.OVERCOMMITTED,
                    time.monotonic(),
                    f"{what} {id_}: {resource} capacity {capacity}, counted {counted}, "
                    f"allocated {summed}",
                )


class Watch:
    """`with Watch(connect) as watch`: looks until the block ends, whenever PostgreSQL answers."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_again_and_again, daemon=True)
        self.samples = 0
        self.findings: list[Finding] = []

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _look_again_and_again(self) -> None:
        connection = None
        while not self._stop.wait(EVERY_S):
            try:
                if connection is None or connection.closed:
                    connection = self._connect()
                    with connection.cursor() as cursor:
                        cursor.execute(SETTINGS)
                self.findings.extend(look(connection))
                self.samples += 1
            except psycopg2.Error:  # a fault: PostgreSQL is away, or its connections were ended
                if connection is not None:
                    with suppress(psycopg2.Error):
                        connection.close()
                connection = None
        if connection is not None:
            connection.close()
