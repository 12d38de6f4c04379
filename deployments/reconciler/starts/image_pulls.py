"""Pulls images, which may take long, on threads beside the passes that wait for them.

An engine that hangs, or a registry, may take an hour for a pull. So pulls have threads of their
own, of which an endpoint and an organization have at most a few, and a pull ends as soon as no
deployment waits for it.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import close_old_connections, connection
from django.db.models import Q

from clusters.models import Endpoint, Volume, VolumeKind
from deployments import runtime_connections, wakeup
from deployments.models import Deployment, Status
from deployments.pull_counts import PullOutcome, count
from deployments.queries.placements import node_ids
from deployments.reconciler import circuit_breaker, status_writer
from deployments.reconciler.assessment import Assessment, Outcome
from deployments.reconciler.starts import likely_images, pull_pauses
from deployments.runtimes.base import Code, ImageDelayed, RefusedError, RuntimeUnavailable
from mlops_platform.coordination.locks import try_lock
from mlops_platform.coordination.redis import redis_client
from mlops_platform.database.clock import database_now

logger = logging.getLogger(__name__)

AWAITING_IMAGE = (Code.PULLING_IMAGE, Code.IMAGE_PULL_DELAYED)
REQUEST_TTL_S = 30  # a request may be on its way for so long
PULLED_TTL_S = 86_400  # a deployment that was placed before starts meanwhile, or pulls once more
AHEAD_S = 1800.0  # a pull ahead ends after so long


class Most(NamedTuple):
    """How many pulls run at once in this process."""

    at_once: int
    of_organization: int
    of_endpoint: int


MOST_PULLS, MOST_AHEAD = Most(32, 4, 2), Most(8, 2, 1)
MOST_AT_ONCE = MOST_PULLS.at_once  # of both kinds
LONG_S = 600.0  # where all threads are taken, a pull that took longer makes way for another
READ_WANTED_EVERY_S = 5.0


class Pulling:
    """A pull that has a thread. One that is `ahead` is for a deployment that does not start yet."""

    def __init__(self, organization_id: UUID, endpoint_id: UUID, *, ahead: bool = False) -> None:
        self.organization_id, self.endpoint_id = organization_id, endpoint_id
        self.ahead = ahead
        self.since = time.monotonic()
        self.makes_way = False


class PullSlots:
    """Counts the pulls that run in this process."""

    def __init__(self) -> None:
        self._running: list[Pulling] = []
        self._lock = threading.Lock()

    def enter(
        self, organization_id: UUID, endpoint_id: UUID, *, ahead: bool = False
    ) -> Pulling | None:
        """None where the organization or the endpoint has all pulls that it may have, or all
        threads are taken: then one that has taken long makes way for the next try.

        The pulls ahead count for themselves, and those at an endpoint make way for any other.
        """
        with self._lock:
            pulls = [each for each in self._running if each.ahead == ahead]
            of_organization = Counter(each.organization_id for each in pulls)
            of_endpoint = Counter(each.endpoint_id for each in pulls)
            most = MOST_AHEAD if ahead else MOST_PULLS
            if of_organization[organization_id] >= most.of_organization:
                return None
            if of_endpoint[endpoint_id] >= most.of_endpoint:
                return None
            if ahead and (
                len(pulls) >= most.at_once
                or any(each.endpoint_id == endpoint_id for each in self._running)
            ):
                return None
            if len(self._running) >= MOST_AT_ONCE:
                self._make_way()
                return None
            for each in self._running:
                each.makes_way |= each.ahead and each.endpoint_id == endpoint_id
            pulling = Pulling(organization_id, endpoint_id, ahead=ahead)
            self._running.append(pulling)
            return pulling

    def _make_way(self) -> None:
        """The oldest of the pulls ahead does so at once, or else of all others once it has taken
        long. The caller has the lock."""
        oldest = min(self._running, key=lambda each: (not each.ahead, each.since))
        oldest.makes_way |= oldest.ahead or time.monotonic() - oldest.since > LONG_S

    def leave(self, pulling: Pulling) -> None:
        with self._lock:
            self._running.remove(pulling)


_slots = PullSlots()


def should_request(endpoint_id: UUID, image: str) -> bool:
    """False where a pull of the image runs at the endpoint, or has just been requested."""
    if redis_client().exists(_lock_key(endpoint_id, image)):
        return False
    return bool(
        redis_client().set(_request_key(endpoint_id, image), "1", nx=True, ex=REQUEST_TTL_S)
    )


def was_pulled_since(endpoint_id: UUID, image: str, moment: datetime) -> bool:
    """Whether a pull that began then or later has succeeded at the endpoint."""
    began = redis_client().get(_pulled_key(endpoint_id, image))
    return began is not None and datetime.fromisoformat(str(began)) >= moment


def start(endpoint_id: UUID, image: str) -> None:
    """Pull the image on a thread of its own, unless too many are pulled: then the next pass
    requests it again."""
    endpoint = Endpoint.objects.select_related("cluster").filter(pk=endpoint_id).first()
    if endpoint is None:
        return
    ahead = _is_ahead(endpoint, image)
    pulling = _slots.enter(endpoint.cluster.organization_id, endpoint_id, ahead=ahead)
    if pulling is None:
        redis_client().delete(_request_key(endpoint_id, image))
        return

    def work() -> None:
        try:
            close_old_connections()
            pull(endpoint_id, image, lambda: not pulling.makes_way)
        except Exception:  # whatever it was: the next pass requests the image again
            logger.exception("pull failed", extra={"endpoint_id": str(endpoint_id)})
        finally:
            _slots.leave(pulling)
            connection.close()

    try:
        threading.Thread(target=work, name=f"pull-{endpoint_id}", daemon=True).start()
    except RuntimeError:  # the system has no thread left
        _slots.leave(pulling)
        raise


def pull(endpoint_id: UUID, image: str, may_go_on: Callable[[], bool] = lambda: True) -> None:
    """Pull the image; where the registry refuses it, fail the deployments that wait for it, and
    where it fails for another reason, try again after a pause.

    Ends where no deployment waits for it any more, or `may_go_on` says no.
    """
    endpoint = Endpoint.objects.select_related("cluster").filter(pk=endpoint_id).first()
    if endpoint is None:
        return
    with try_lock(_lock_key(endpoint_id, image)) as locked:
        if not locked:
            return
        _pull(endpoint, image, may_go_on)
        redis_client().delete(_request_key(endpoint_id, image))
    wakeup.request(endpoint.cluster_id)


def _pull(endpoint: Endpoint, image: str, may_go_on: Callable[[], bool]) -> None:
    began_at = read_at = time.monotonic()
    goes_on = True

    def is_wanted() -> bool:
        nonlocal read_at, goes_on
        goes_on = may_go_on()
        if goes_on and time.monotonic() - read_at >= READ_WANTED_EVERY_S:
            read_at = time.monotonic()
            goes_on = _is_awaited(endpoint, image)
            if not goes_on:
                goes_on = likely_images.is_wanted(endpoint.pk, image)
                if goes_on and read_at - began_at > AHEAD_S:
                    likely_images.leave(endpoint.pk, image)
                    goes_on = False
        return goes_on

    began, ahead = database_now(), _is_ahead(endpoint, image)
    try:
        runtime = runtime_connections.connect_to(endpoint)
        _give_back_connection()
        runtime.pull(image, is_wanted)
        pull_pauses.end(endpoint.pk, image)
        count(PullOutcome.PULLED if goes_on else PullOutcome.BROKEN_OFF, ahead=ahead)
        if goes_on:  # else it was broken off, and has pulled nothing
            pulled = _pulled_key(endpoint.pk, image)
            redis_client().set(pulled, began.isoformat(), ex=PULLED_TTL_S)
            likely_images.pulled(endpoint, image)
    except ImageDelayed as error:
        count(PullOutcome.DELAYED, ahead=ahead)
        if _is_left(endpoint, image, error):
            return
        now = database_now()
        pause = pull_pauses.extend(endpoint.pk, image, str(error), now)
        _write(endpoint, image, Outcome.NOTE, Code.IMAGE_PULL_DELAYED, pause.details())
        wakeup.request_in(endpoint.cluster_id, (pause.retry_at - now).total_seconds())
        extra = {"endpoint_id": str(endpoint.pk), "image": image, **pause.details()}
        logger.warning("pull failed, and is tried again", extra=extra)
    except RefusedError as error:
        count(PullOutcome.REFUSED, ahead=ahead)
        if _is_left(endpoint, image, error):
            return
        pull_pauses.end(endpoint.pk, image)
        details = {"said": error.problem.message} if error.problem.message else {}
        _write(endpoint, image, Outcome.FAIL, error.problem.code, details)
    except RuntimeUnavailable as error:
        count(PullOutcome.INTERRUPTED, ahead=ahead)
        circuit_breaker.failed(endpoint.pk)
        extra = {"endpoint_id": str(endpoint.pk), "error": str(error)}
        logger.warning("pull interrupted", extra=extra)


def _is_ahead(endpoint: Endpoint, image: str) -> bool:
    """Whether the image is wanted for deployments of which none starts yet."""
    return likely_images.is_wanted(endpoint.pk, image) and not _waiting(endpoint, image)


def _is_left(endpoint: Endpoint, image: str, error: Exception) -> bool:
    """Leave the image for a while where the pull that failed is one ahead. A start pulls at once,
    without the pause that the failure of another start's pull would cost it."""
    if not _is_ahead(endpoint, image):
        return False
    likely_images.leave(endpoint.pk, image)
    extra = {"endpoint_id": str(endpoint.pk), "image": image, "error": str(error)}
    logger.info("pull ahead failed", extra=extra)
    return True


def _write(
    endpoint: Endpoint, image: str, outcome: Outcome, code: Code, details: dict[str, Any]
) -> None:
    """Write what has become of the pull to the deployments that wait for it."""
    assessed = [  # other replicas of a gang may run at other endpoints
        (row, Assessment(outcome, str(code), details, alive=row.replicas > 1))
        for row in _waiting(endpoint, image)
        if row.reason_code in AWAITING_IMAGE  # the others have found the image
    ]
    status_writer.write(endpoint.cluster_id, assessed, database_now())


def _is_awaited(endpoint: Endpoint, image: str) -> bool:
    is_awaited = bool(_waiting(endpoint, image))
    _give_back_connection()
    return is_awaited


def _give_back_connection() -> None:
    """A pull takes long, and PostgreSQL has only so many connections."""
    if not connection.in_atomic_block:
        connection.close()


def _waiting(endpoint: Endpoint, image: str) -> list[Deployment]:
    """The deployments that are placed on the endpoint's nodes and start from the image, or fetch
    what they mount with it."""
    nodes = {str(pk) for pk in endpoint.nodes.values_list("pk", flat=True)}
    needing = Q(image=image)
    if image == settings.FETCH_IMAGE:
        buckets = Volume.objects.filter(cluster=endpoint.cluster_id, kind=VolumeKind.S3)
        for name in buckets.values_list("name", flat=True):
            needing |= Q(volumes__contains=[{"name": name}])
    starting = Deployment.objects.filter(
        needing, cluster=endpoint.cluster_id, status=Status.STARTING
    )
    return [row for row in starting if not nodes.isdisjoint(node_ids(row))]


def _lock_key(endpoint_id: UUID, image: str) -> str:
    return f"endpoint:{endpoint_id}:pulling:{image}"


def _pulled_key(endpoint_id: UUID, image: str) -> str:
    return f"endpoint:{endpoint_id}:pulled:{image}"


def _request_key(endpoint_id: UUID, image: str) -> str:
    return f"endpoint:{endpoint_id}:pull:{image}"
