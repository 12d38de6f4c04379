"""Fetching images, which may take long, beside the passes that wait for them."""

import logging
from threading import BoundedSemaphore
from uuid import UUID

from django.utils import timezone

from clusters.models import Endpoint
from deployments import runtime_connections, wakeup
from deployments.models import Deployment, Status
from deployments.reconciler import circuit_breaker, status_writer
from deployments.reconciler.assessment import Assessment, Outcome
from deployments.runtimes.base import Code, RefusedError, RuntimeUnavailable
from mlops_platform.api.redis import redis_client
from mlops_platform.api.wakeup import try_lock

logger = logging.getLogger(__name__)

LEASE_S = 15  # so long a killed worker keeps others from pulling the same
ASKED_S = 30  # so long a message may be on its way
MOST_AT_ONCE = 8  # in a worker of 16 threads: passes over other clusters need some too

_places = BoundedSemaphore(MOST_AT_ONCE)


def begin(endpoint_id: UUID, image: str) -> bool:
    """Whether to have it pulled: not where it is being pulled there, or has just been asked for."""
    if redis_client().exists(_lock(endpoint_id, image)):
        return False
    return bool(redis_client().set(_asked(endpoint_id, image), "1", nx=True, ex=ASKED_S))


def pull(endpoint_id: UUID, image: str) -> None:
    """Fetch it, and fail those that wait for it there where it cannot be had."""
    endpoint = Endpoint.objects.select_related("cluster").filter(pk=endpoint_id).first()
    if endpoint is None:
        return
    if not _places.acquire(blocking=False):  # asked for again by the next pass
        redis_client().delete(_asked(endpoint_id, image))
        return
    try:
        with try_lock(_lock(endpoint_id, image), LEASE_S, renew=True) as held:
            if not held:
                return
            _pull(endpoint, image)
            redis_client().delete(_asked(endpoint_id, image))
    finally:
        _places.release()
    wakeup.request(endpoint.cluster_id)


def _pull(endpoint: Endpoint, image: str) -> None:
    node = endpoint.nodes.first()
    try:
        runtime_connections.connect(endpoint.cluster, endpoint, node.name if node else "").pull(
            image
        )
    except RefusedError as error:
        said = {"said": error.trouble.message} if error.trouble.message else {}
        code = str(error.trouble.code)
        failed = [
            (
                row,
                Assessment(Outcome.FAIL, code, said, alive=row.replicas > 1),
            )  # elsewhere some may run
            for row in _waiting(endpoint, image)
        ]
        status_writer.write(endpoint.cluster_id, failed, timezone.now())
    except RuntimeUnavailable as error:
        circuit_breaker.failed(endpoint.pk)
        extra = {"endpoint_id": str(endpoint.pk), "error": str(error)}
        logger.warning("pull interrupted", extra=extra)


def _waiting(endpoint: Endpoint, image: str) -> list[Deployment]:
    """Those that were admitted to its nodes, and do not run for want of the image."""
    nodes = {str(pk) for pk in endpoint.nodes.values_list("pk", flat=True)}
    starting = Deployment.objects.filter(
        cluster=endpoint.cluster_id,
        status=Status.STARTING,
        image=image,
        reason_code=Code.PULLING_IMAGE,  # others have got it already
    )
    return [row for row in starting if nodes & {place["node_id"] for place in row.placement}]


def _lock(endpoint_id: UUID, image: str) -> str:
    return f"endpoint:{endpoint_id}:pulling:{image}"


def _asked(endpoint_id: UUID, image: str) -> str:
    return f"endpoint:{endpoint_id}:pull:{image}"
