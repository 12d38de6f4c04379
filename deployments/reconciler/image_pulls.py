"""Pulls images, which may take long, in tasks beside the passes that wait for them."""

import logging
from threading import BoundedSemaphore
from uuid import UUID

from django.utils import timezone

from clusters.models import Endpoint
from deployments import runtime_connections, wakeup
from deployments.models import Deployment, Status
from deployments.placements import node_ids
from deployments.reconciler import circuit_breaker, status_writer
from deployments.reconciler.assessment import Assessment, Outcome
from deployments.runtimes.base import Code, RefusedError, RuntimeUnavailable
from mlops_platform.api.redis import redis_client
from mlops_platform.api.wakeup import try_lock

logger = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 15  # a killed worker keeps other workers from the same pull for so long
REQUEST_TTL_S = 30  # a request may be on its way for so long
MOST_AT_ONCE = 8  # in a worker of 16 threads: passes over other clusters need threads too

_slots = BoundedSemaphore(MOST_AT_ONCE)


def should_request(endpoint_id: UUID, image: str) -> bool:
    """False where a pull of the image runs at the endpoint, or has just been requested."""
    if redis_client().exists(_lock_key(endpoint_id, image)):
        return False
    return bool(
        redis_client().set(_request_key(endpoint_id, image), "1", nx=True, ex=REQUEST_TTL_S)
    )


def pull(endpoint_id: UUID, image: str) -> None:
    """Pull the image; where the registry refuses it, fail the deployments that wait for it."""
    endpoint = Endpoint.objects.select_related("cluster").filter(pk=endpoint_id).first()
    if endpoint is None:
        return
    if not _slots.acquire(blocking=False):  # the next pass requests it again
        redis_client().delete(_request_key(endpoint_id, image))
        return
    try:
        with try_lock(_lock_key(endpoint_id, image), LOCK_TIMEOUT_S, renew=True) as locked:
            if not locked:
                return
            _pull(endpoint, image)
            redis_client().delete(_request_key(endpoint_id, image))
    finally:
        _slots.release()
    wakeup.request(endpoint.cluster_id)


def _pull(endpoint: Endpoint, image: str) -> None:
    try:
        runtime_connections.connect_to(endpoint).pull(image)
    except RefusedError as error:
        details = {"said": error.problem.message} if error.problem.message else {}
        code = str(error.problem.code)
        failed = [  # other replicas of a gang may run at other endpoints
            (row, Assessment(Outcome.FAIL, code, details, alive=row.replicas > 1))
            for row in _waiting(endpoint, image)
        ]
        status_writer.write(endpoint.cluster_id, failed, timezone.now())
    except RuntimeUnavailable as error:
        circuit_breaker.failed(endpoint.pk)
        extra = {"endpoint_id": str(endpoint.pk), "error": str(error)}
        logger.warning("pull interrupted", extra=extra)


def _waiting(endpoint: Endpoint, image: str) -> list[Deployment]:
    """The deployments that are placed on the endpoint's nodes and wait for the image."""
    nodes = {str(pk) for pk in endpoint.nodes.values_list("pk", flat=True)}
    starting = Deployment.objects.filter(
        cluster=endpoint.cluster_id,
        status=Status.STARTING,
        image=image,
        reason_code=Code.PULLING_IMAGE,  # the others have found the image
    )
    return [row for row in starting if not nodes.isdisjoint(node_ids(row))]


def _lock_key(endpoint_id: UUID, image: str) -> str:
    return f"endpoint:{endpoint_id}:pulling:{image}"


def _request_key(endpoint_id: UUID, image: str) -> str:
    return f"endpoint:{endpoint_id}:pull:{image}"
