"""Listening to the endpoints, so that a pass comes at once where something has happened.

A thread an endpoint, in the runtimes' worker: one that hangs keeps nobody else waiting. Nothing
rests on them: what is not heard is found by the next full pass, which comes at once where an
endpoint has gone away or come back.
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

LOOK_EVERY_S = 5.0  # for endpoints that have come or gone
PAUSE_S = 5.0  # after one has gone away
QUEUE = "runtimes"


class Watchers:
    """One for each endpoint that there is; those of endpoints that go end by themselves."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._watched: dict[UUID, threading.Event] = {}

    def start(self) -> None:
        threading.Thread(target=self._keep_up, name="watchers", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()
        for stop in list(self._watched.values()):
            stop.set()

    def _keep_up(self) -> None:
        while not self._stop.is_set():
            try:
                close_old_connections()
                self._follow(set(_endpoints()))
            except Exception:  # whatever it was: nobody else would begin to listen again
                logger.exception("endpoints unknown")
            connection.close()
            self._stop.wait(LOOK_EVERY_S)

    def _follow(self, present: set[UUID]) -> None:
        for gone in self._watched.keys() - present:
            self._watched.pop(gone).set()
        for new in present - self._watched.keys():
            stop = self._watched[new] = threading.Event()
            name = f"watch-{new}"
            threading.Thread(target=_watch, args=(new, stop), name=name, daemon=True).start()


def _endpoints() -> list[UUID]:
    return list(
        Endpoint.objects.exclude(cluster__runtime=Runtime.SIMULATED).values_list("pk", flat=True)
    )


def _watch(endpoint_id: UUID, stop: threading.Event) -> None:
    """Until it is told to stop; an endpoint that goes away is tried again."""
    endpoint = None
    while not stop.is_set():
        try:
            close_old_connections()
            endpoint = Endpoint.objects.select_related("cluster").filter(pk=endpoint_id).first()
            if endpoint is None:
                return
            _listen(endpoint, stop)
        except (RuntimeUnavailable, Unsealable) as error:
            where = endpoint.url if endpoint else endpoint_id
            told = {"endpoint_id": str(endpoint_id)}
            logger.info("nothing is heard from %s: %s", where, error, extra=told)
            if endpoint is not None:
                wakeup.request(endpoint.cluster_id, [wakeup.EVERYTHING])
        except Exception:  # a bug, or PostgreSQL or Redis away: it listens again all the same
            logger.exception("listening failed", extra={"endpoint_id": str(endpoint_id)})
        stop.wait(PAUSE_S)


def _listen(endpoint: Endpoint, stop: threading.Event) -> None:
    node = endpoint.nodes.first()
    runtime = runtime_connections.connect(endpoint.cluster, endpoint, node.name if node else "")
    connection.close()  # listening takes hours, and PostgreSQL has only so many
    for number, changed in enumerate(runtime.watch(stop)):
        if number == 0:  # it is there: whatever happened before anybody listened
            circuit_breaker.answered(endpoint.pk)
            wakeup.request(endpoint.cluster_id, [wakeup.EVERYTHING])
        elif changed is not None:
            wakeup.request(endpoint.cluster_id, [changed])


_watchers = Watchers()


@worker_ready.connect
def _begin(sender: object = None, **_: object) -> None:
    """In the worker that answers the runtimes' queue, and no other."""
    app = getattr(sender, "app", None)
    if app is not None and QUEUE in app.amqp.queues.consume_from:
        _watchers.start()


@worker_shutting_down.connect
def _end(**_: object) -> None:
    _watchers.stop()
