"""Watches the endpoints, so that a pass comes as soon as an endpoint reports a change.

One thread for each endpoint, in the runtimes' worker, so that an endpoint that hangs delays no
other. Nothing depends on the threads: the next full pass finds what a watch has missed, and it
comes at once where an endpoint has gone away or come back.
"""

import logging
import threading
from uuid import UUID

from celery.signals import worker_ready, worker_shutting_down
from django.db import close_old_connections, connection

from clusters.models import Endpoint, Runtime
from clusters.secrets import Unsealable
from deployments import runtime_connections, wakeup
from deployments.reconciler import circuit_breaker
from deployments.runtimes.base import RuntimeUnavailable

logger = logging.getLogger(__name__)

READ_ENDPOINTS_EVERY_S = 5.0
PAUSE_S = 5.0  # before an endpoint that has gone away is tried again
QUEUE = "runtimes"


class Watchers:
    """One watching thread for each endpoint; it ends when its endpoint is deleted."""

    def __init__(self) -> None:
        self._stop = threading.Event()
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
                self.update(set(_endpoints()))
            except Exception:  # whatever it was: no other thread starts the watches
                logger.exception("endpoints unknown")
            connection.close()
            self._stop.wait(READ_ENDPOINTS_EVERY_S)

    def update(self, present: set[UUID]) -> None:
        """Start the threads of new endpoints, stop those of deleted ones."""
        for gone in self.stops.keys() - present:
            self.stops.pop(gone).set()
        for new in present - self.stops.keys():
            stop = self.stops[new] = threading.Event()
            name = f"watch-{new}"
            threading.Thread(target=watch, args=(new, stop), name=name, daemon=True).start()


def _endpoints() -> list[UUID]:
    return list(
        Endpoint.objects.exclude(cluster__runtime=Runtime.SIMULATED).values_list("pk", flat=True)
    )


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
    for number, changed in enumerate(runtime.watch(stop)):
        if number == 0:  # it answers; the full pass finds what changed before the watch
            circuit_breaker.answered(endpoint.pk)
            wakeup.request(endpoint.cluster_id, [wakeup.EVERYTHING])
        elif changed is not None:
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
        _watchers.start()


def _stop(**_: object) -> None:
    _watchers.stop()
