"""Many people at once: submits, stops, changes and ends on several clusters, from several threads.

`Storm` makes it, `Sampler` watches meanwhile, `settle` waits until it is over.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from accounts.models import User
from clusters.models import Cluster
from deployments.models import Deployment, Status
from deployments.queries.deployments import deployment_by_id
from deployments.services.drafting.update import change_deployment
from deployments.services.stop import stop, stop_deployment
from deployments.services.submit import create_deployment
from deployments.tests.clock import finish_due
from mlops_platform.api.errors import Conflict
from mlops_platform.coordination.redis import redis_client
from scheduler.tasks import sweep
from scheduler.timer.turn import ask_again

SETTLE_TIMEOUT_S = 120.0
QUIET_LOOKS = 5  # one after another
LOOK_EVERY_S = 0.05

# What is asked for and how often: weight, request. The last can never run.
REQUESTS: list[tuple[int, dict[str, int]]] = [
    (4, {"cpu_milli": 500, "ram_mib": 256, "gpu": 0}),
    (3, {"cpu_milli": 4000, "ram_mib": 8192, "gpu": 0}),
    (4, {"cpu_milli": 2000, "ram_mib": 4096, "gpu": 1}),
    (2, {"cpu_milli": 8000, "ram_mib": 32768, "gpu": 4}),
    (2, {"cpu_milli": 1000, "ram_mib": 1024, "gpu": 1, "replicas": 3}),
    (1, {"cpu_milli": 1000, "ram_mib": 1024, "gpu": 99}),
]
PRIORITIES = ["LOW"] * 6 + ["MID"] * 2 + ["HIGH"] * 2


class Storm:
    """Does `actions` things, of which some 60 % are submits, from `threads` threads."""

    def __init__(self, user: User, clusters: list[Cluster], *, actions: int, threads: int) -> None:
        self.submitted: list[UUID] = []
        self.stopped: set[UUID] = set()
        self.done = 0
        self._user = user
        self._clusters = clusters
        self._share = actions // threads
        self._threads = threads

    def blow(self) -> None:
        """Return when all is done; raises what a thread raised."""
        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(self._act, range(self._threads)))

    def _act(self, seed: int) -> None:
        choice = random.Random(seed)
        own: list[UUID] = []
        try:
            for _ in range(self._share):
                draw = choice.random()
                if draw < 0.6 or not own:
                    own.append(self._submit(choice, own))
                elif draw < 0.9:
                    self._stop(own.pop(choice.randrange(len(own))))
                elif draw < 0.95:
                    self._stop_many([own.pop() for _ in range(min(3, len(own)))])
                else:
                    self._reprioritize(choice.choice(own), choice.choice(PRIORITIES))
                self.done += 1
        finally:
            connection.close()

    def _submit(self, choice: random.Random, own: list[UUID]) -> UUID:
        (request,) = choice.choices([r for _, r in REQUESTS], [w for w, _ in REQUESTS])
        spec: dict[str, Any] = {"image": "busybox", **request}
        if choice.random() < 0.4:
            spec["simulated_runtime_s"] = 1
        elif choice.random() < 0.1:
            spec |= {"simulated_runtime_s": 60, "max_runtime_s": 1}
        cluster, priority = choice.choice(self._clusters), choice.choice(PRIORITIES)
        if own and choice.random() < 0.2:
            needed = deployment_by_id(choice.choice(own))
            cluster, spec["depends_on"] = needed.cluster, [str(needed.pk)]
        try:
            row = create_deployment(self._user, cluster.pk, spec, priority=priority).deployment
        except Conflict:  # what it depends on has failed or was stopped
            del spec["depends_on"]
            row = create_deployment(self._user, cluster.pk, spec, priority=priority).deployment
        self.submitted.append(row.pk)
        return row.pk

    def _stop(self, key: UUID) -> None:
        stop_deployment(self._user, deployment_by_id(key))
        self.stopped.add(key)

    def _stop_many(self, keys: list[UUID]) -> None:
        stop(keys, self._user)
        self.stopped.update(keys)

    def _reprioritize(self, key: UUID, priority: str) -> None:
        with suppress(Conflict):  # it has ended meanwhile
            change_deployment(self._user, deployment_by_id(key), {}, priority=priority)


@contextmanager
def meanwhile(act: Callable[[], None], *, every_s: float) -> Iterator[None]:
    """Do it again and again on another thread; what it raised is raised at the end."""
    over, failed = threading.Event(), []

    def repeat() -> None:
        try:
            while not over.wait(every_s):
                act()
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]


def end_what_is_due() -> None:
    """As a timer does: also ask again for cycles that were put off since a row was locked."""
    finish_due(timezone.now())
    ask_again()


# One statement sees one moment: the placements in it must equal the counters, and must fit.
_OVERCOMMITTED = """
SELECT c.name, c.allocated_cpu_milli, c.allocated_ram_mib, c.allocated_gpu,
       h.cpu_milli, h.ram_mib, h.gpu
  FROM clusters_cluster c, LATERAL (
    SELECT coalesce(sum(cpu_milli * replicas), 0) AS cpu_milli,
           coalesce(sum(ram_mib * replicas), 0) AS ram_mib,
           coalesce(sum(gpu * replicas), 0) AS gpu
      FROM deployments_deployment d
     WHERE d.cluster_id = c.id AND d.status IN ('STARTING', 'RUNNING', 'STOPPING')
       AND NOT d.yielded) h
 WHERE (h.cpu_milli, h.ram_mib, h.gpu)
       IS DISTINCT FROM (c.allocated_cpu_milli, c.allocated_ram_mib, c.allocated_gpu)
    OR h.cpu_milli > c.total_cpu_milli OR h.ram_mib > c.total_ram_mib OR h.gpu > c.total_gpu
"""


class Sampler:
    """Reads the tables at any moment, and keeps what no reader should ever see."""

    def __init__(self) -> None:
        self.looks = 0
        self.seen: list[Any] = []

    def look(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_OVERCOMMITTED)
            self.seen += cursor.fetchall()
        self.looks += 1


def settle() -> None:
    """Wait until nothing is due, asked for or under way, then sweep once and wait again."""
    for _ in range(2):
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        quiet = 0
        while quiet < QUIET_LOOKS:
            assert time.monotonic() < deadline, f"still busy: {_busy()}"
            end_what_is_due()
            quiet = 0 if _busy() else quiet + 1
            time.sleep(LOOK_EVERY_S)
        sweep()


def _busy() -> dict[str, object]:
    """What goes on still; empty when all is quiet."""
    redis = redis_client()
    signs = {
        "due": Deployment.objects.filter(status=Status.RUNNING, due_at__isnull=False).count(),
        "messages": redis.llen("scheduler"),
        "flags": redis.keys("cluster:*:dirty"),
        "locks": redis.keys("cluster:*:lock"),
    }
    return {name: sign for name, sign in signs.items() if sign}
