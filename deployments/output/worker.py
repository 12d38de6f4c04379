"""Takes requests for logs, and reads them: threads of the worker of the runtimes' queue.

One thread takes requests while another one is free to read, so a worker that is busy leaves them to
others. A reading has a thread to itself, which passes over clusters do not use, and those of one
organization are limited, as are those at one endpoint and those that follow.
"""

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore, Event, Thread
from typing import NamedTuple
from uuid import UUID

from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import close_old_connections
from redis.exceptions import RedisError

from clusters.models import Node
from deployments.models import Deployment
from deployments.output import at_endpoint
from deployments.output.answers import Answer, ReaderGone
from deployments.output.errors import EndpointUnavailable
from deployments.output.exchange import (
    REQUESTS,
    WORKERS,
    WORKERS_S,
    Failure,
    Request,
    unpacked,
)
from deployments.output.kept import KeptWithoutTimes, source_of
from deployments.output.missing import Missing
from deployments.output.sending import Sender
from deployments.runtimes.base import Runtime
from mlops_platform.api.throttling.slots import Slots
from mlops_platform.coordination.redis import redis_client, waiting_client

logger = logging.getLogger(__name__)

QUEUE = "runtimes"
WAIT_S = 1.0  # for a request
AWAY_S = 1.0  # after an error of Redis
# After each wait for a socket a pass waits for the interpreter until each thread that picks lines
# has had its turn: with Python's 5 ms, four of them made each call of a pass some 90 ms longer.
SWITCH_S = 0.0005
BUSY_S = 0.1  # until a worker without a free thread looks again
MOST_LOOKUPS = 4  # of one worker in PostgreSQL at the same time
TOO_MANY = "You, or others, {} too many logs just now."


class LogReaders:
    """The readings of one process."""

    def __init__(self, most: int) -> None:
        """`most` readings at the same time."""
        self._sender = Sender()
        self._stopped = Event()
        self._free = BoundedSemaphore(most)
        self._lookups = ThreadPoolExecutor(MOST_LOOKUPS, thread_name_prefix="log-lookups")
        self._followers = Slots(
            all=max(most * 3 // 4, 1), organization=max(most // 4, 1), endpoint=max(most // 8, 1)
        )
        self._readers = Slots(
            all=max(most // 4, 1), organization=max(most // 8, 1), endpoint=max(most // 16, 1)
        )
        self._thread = Thread(target=self._run, name="log-readers", daemon=True)

    def start(self) -> None:
        self._sender.start()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._sender.stop()
        self._lookups.shutdown(wait=False)

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)
        self._sender.join(timeout_s)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                redis_client().set(WORKERS, "1", ex=WORKERS_S)
                if self._free.acquire(timeout=BUSY_S):
                    self._take()
            except RedisError as error:
                extra = {"error": str(error)}
                logger.warning("no output is read: redis is away or full", extra=extra)
                self._stopped.wait(AWAY_S)
            except Exception:  # such as no thread left: the next request may be read
                logger.exception("a request for output was lost")

    def _take(self) -> None:
        """Begins the next reading, with a thread that is free."""
        begun = False
        try:
            request = _next_request()
            if request is not None:
                Thread(target=self._read, args=(request,), name="log", daemon=True).start()
                begun = True
        finally:
            if not begun:
                self._free.release()

    # --- In the reading's thread ---

    def _read(self, request: Request) -> None:
        answer = self._sender.begin(request)
        try:
            self._answer(answer)
            answer.end()
        except ReaderGone:
            pass
        except KeptWithoutTimes:  # its container was removed since it was asked for
            answer.fail(Failure.NO_TIMES)
        except EndpointUnavailable as error:
            answer.fail(Failure.ENDPOINT, str(error.detail))
        except _TooManyError:
            verb = "follow" if request.query.follow else "read"
            answer.fail(Failure.TOO_MANY, TOO_MANY.format(verb))
        except Exception:
            logger.exception("a log was not read", extra={"deployment_id": request.deployment_id})
            answer.fail(Failure.INTERNAL, "The log could not be read.")
        finally:
            self._free.release()

    def _answer(self, answer: Answer) -> None:
        query = answer.request.query
        found = self._lookups.submit(self._look_up, answer.request).result()
        if isinstance(found, bytes):
            answer.open()
            answer.write(found)
            return
        slots = self._followers if query.follow else self._readers
        keys = {
            "organization": str(found.row.cluster.organization_id),
            "endpoint": str(found.node.endpoint_id),
        }
        if not slots.acquire(keys):
            raise _TooManyError
        try:
            pieces = at_endpoint.pieces_at(found.runtime, found.node, found.row, query)
            answer.open()
            for piece in pieces:
                answer.write(piece)
        finally:
            slots.release(keys)

    # --- In a thread for lookups, whose database connection stays ---

    def _look_up(self, request: Request) -> "bytes | _AtEndpoint":
        """Where the log is; as bytes what was kept meanwhile, or nothing. Up to four queries."""
        close_old_connections()
        try:
            rows = Deployment.objects.select_related("cluster")
            row = rows.filter(pk=UUID(request.deployment_id)).first()
            source = b"" if row is None else source_of(row, request.query)
            if row is None or isinstance(source, bytes | Missing):
                return source if isinstance(source, bytes) else b""
            return _AtEndpoint(row, source, at_endpoint.connect(source, row))
        finally:
            close_old_connections()


class _AtEndpoint(NamedTuple):
    row: Deployment
    node: Node
    runtime: Runtime


class _TooManyError(Exception):
    """The organization, or the endpoint, has as many readings as it may have."""


def _next_request() -> Request | None:
    """Waits for a request whose reader is still there; None where none comes for WAIT_S."""
    taken = waiting_client(WAIT_S).blpop([REQUESTS], WAIT_S)
    if taken is None:
        return None
    try:
        request = unpacked(taken[1])
    except (ValueError, KeyError, TypeError):
        logger.exception("a request for output that is none was dropped")
        return None
    return request if redis_client().exists(request.lease) else None


# --- In the Celery worker ------------------------------------------------------------------------

_readers: list[LogReaders] = []


def connect_to_worker() -> None:
    """Have the Celery worker start and stop the threads (called on the import of tasks.py)."""
    worker_ready.connect(_start)
    worker_shutting_down.connect(_stop)


def _start(sender: object = None, **_: object) -> None:
    """Only in the worker that takes tasks from the runtimes' queue."""
    app = getattr(sender, "app", None)
    if app is not None and QUEUE in app.amqp.queues.consume_from:
        sys.setswitchinterval(SWITCH_S)
        _readers.append(LogReaders(settings.RUNTIMES_READERS))
        _readers[-1].start()


def _stop(**_: object) -> None:
    for each in _readers:
        each.stop()
