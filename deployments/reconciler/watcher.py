"""Watches the endpoints, so that a pass comes as soon as an endpoint reports a change.

One thread for each endpoint that answers, in the runtimes' worker, so that an endpoint that hangs
delays no other. The threads are limited in number, for each organization too, and an endpoint that
does not answer has none. Nothing depends on them: the next full pass finds what no watch has seen.
"""

import logging
import resource
import threading
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import close_old_connections, connection

from clusters.models import Endpoint, Runtime
from deployments import runtime_connections, wakeup
from deployments.reconciler import circuit_breaker
from deployments.runtimes.base import NODES_CHANGED, RuntimeUnavailable
from deployments.runtimes.streams import paced
from mlops_platform.api.ids import parse_uuid
from mlops_platform.sealing import Unsealable

logger = logging.getLogger(__name__)

READ_ENDPOINTS_EVERY_S = 5.0
PAUSE_S = 5.0  # before an endpoint that has gone away is tried again
CHANGES_PER_S = 50  # that one endpoint may report; what it reports beyond that waits
QUEUE = "runtimes"
MOST_FILES = 16_384


class Watched(NamedTuple):
    """An endpoint, and what its threads are counted by."""

    endpoint_id: UUID
    organization_id: UUID


class Watchers:
    """One watching thread for each endpoint; it ends when its endpoint is deleted or closed."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._requested: set[UUID] = set()  # new endpoints for which a pass was requested
        self.stops: dict[UUID, threading.Event] = {}

    def start(self) -> None:
        threading.Thread(target=self._run, name="watchers", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()
        for stop in list(self.stops.values()):
            stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                close_old_connections()
                self.update(_open_endpoints())
                self._requested = _request_first_passes(self._requested)
            except Exception:  # whatever it was: no other thread starts the watches
                logger.exception("endpoints unknown")
            connection.close()
            self._stop.wait(READ_ENDPOINTS_EVERY_S)

    def update(self, present: Iterable[Watched]) -> None:
        """Start the threads of endpoints that answer, as many as there may be, and stop those of
        endpoints that are deleted or closed."""
        organizations = {each.endpoint_id: each.organization_id for each in present}
        for gone in self.stops.keys() - organizations.keys():
            self.stops.pop(gone).set()
        most = settings.RUNTIMES_WATCHERS
        of_organization = Counter(organizations[each] for each in self.stops)
        for new in [each for each in organizations if each not in self.stops]:
            organization = organizations[new]
            if len(self.stops) >= most or of_organization[organization] >= max(most // 4, 1):
                continue
            of_organization[organization] += 1
            stop = self.stops[new] = threading.Event()
            name = f"watch-{new}"
            threading.Thread(target=watch, args=(new, stop), name=name, daemon=True).start()


def _open_endpoints() -> list[Watched]:
    """The endpoints that have answered, and answer now, oldest first."""
    answering = Endpoint.objects.filter(error="", seen_at__isnull=False).order_by("pk")
    rows = answering.exclude(cluster__runtime=Runtime.SIMULATED)
    return [Watched(*row) for row in rows.values_list("pk", "cluster__organization_id")]


def _request_first_passes(requested: set[UUID]) -> set[UUID]:
    """Request a pass over each cluster with an endpoint that has never been called, once; returns
    these endpoints."""
    new = dict(Endpoint.objects.filter(error="", seen_at=None).values_list("pk", "cluster_id"))
    for endpoint_id, cluster_id in new.items():
        if endpoint_id not in requested:
            wakeup.request(cluster_id, [wakeup.EVERYTHING])
    return set(new)


def watch(endpoint_id: UUID, stop: threading.Event, pause_s: float = PAUSE_S) -> None:
    """Watch the endpoint until `stop` is set or it is deleted; try again where it goes away."""
    endpoint = None
    while not stop.is_set():
        try:
            close_old_connections()
            endpoint = Endpoint.objects.select_related("cluster").filter(pk=endpoint_id).first()
            if endpoint is None:
                return
            _report_changes(endpoint, stop)
        except (RuntimeUnavailable, Unsealable) as error:
            where = endpoint.url if endpoint else endpoint_id
            extra = {"endpoint_id": str(endpoint_id)}
            logger.info("nothing is heard from %s: %s", where, error, extra=extra)
            if endpoint is not None:
                wakeup.request(endpoint.cluster_id, [wakeup.EVERYTHING])
        except Exception:  # a bug, or PostgreSQL or Redis is away: watch again all the same
            logger.exception("listening failed", extra={"endpoint_id": str(endpoint_id)})
        stop.wait(pause_s)


def _report_changes(endpoint: Endpoint, stop: threading.Event) -> None:
    runtime = runtime_connections.connect_to(endpoint)
    connection.close()  # a watch takes hours, and PostgreSQL has only so many connections
    for number, changed in enumerate(paced(runtime.watch(stop), CHANGES_PER_S)):
        if number == 0:  # it answers; the full pass finds what changed before the watch
            circuit_breaker.call_again(endpoint.pk)
            wakeup.request(endpoint.cluster_id, [wakeup.EVERYTHING])
        elif changed == NODES_CHANGED:
            wakeup.request(endpoint.cluster_id, [wakeup.EVERYTHING])
        elif changed is not None and parse_uuid(changed):  # else it is no deployment's
            wakeup.request(endpoint.cluster_id, [changed])


_watchers = Watchers()


def connect_to_worker() -> None:
    """Have the Celery worker start and stop the threads (called on the import of tasks.py)."""
    worker_ready.connect(_start)
    worker_shutting_down.connect(_stop)


def _start(sender: object = None, **_: object) -> None:
    """Only in the worker that takes tasks from the runtimes' queue."""
    app = getattr(sender, "app", None)
    if app is not None and QUEUE in app.amqp.queues.consume_from:
        _allow_many_sockets()
        _watchers.start()


def _allow_many_sockets() -> None:
    """Many systems allow a process 1024 open files unless it asks for more."""
    present, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if most == resource.RLIM_INFINITY else min(most, MOST_FILES)
    if present != resource.RLIM_INFINITY and present < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _stop(**_: object) -> None:
    _watchers.stop()
