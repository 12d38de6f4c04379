"""Fetching images, which may take long, beside the passes that wait for them."""

import logging
from uuid import UUID

from django.utils import timezone

from clusters.models import Endpoint
from deployments import breaker, connections, waking
from deployments.models import Deployment, Status
from deployments.reconciler import facts
from deployments.reconciler.verdict import Turn, Verdict
from deployments.runtimes.base import RefusedError, RuntimeUnavailable
from mlops_platform.api.redis import redis_client
from mlops_platform.api.waking import meanwhile

logger = logging.getLogger(__name__)

QUEUED_S = 300  # so long a pull may wait for a worker, before it is asked for once more
PULLING_S = 30  # so long a killed worker's pull keeps others away


def begin(endpoint_id: UUID, image: str) -> bool:
    """False where the image is being pulled there already."""
    return bool(redis_client().set(_key(endpoint_id, image), "1", nx=True, ex=QUEUED_S))


def pull(endpoint_id: UUID, image: str) -> None:
    """Fetch it, and fail those that wait for it there where it cannot be had."""
    endpoint = Endpoint.objects.select_related("cluster").filter(pk=endpoint_id).first()
    if endpoint is None:
        return
    node, key = endpoint.nodes.first(), _key(endpoint_id, image)

    def hold() -> None:
        redis_client().set(key, "1", ex=PULLING_S)

    try:
        hold()
        with meanwhile(hold, PULLING_S / 3):
            connections.connect(endpoint.cluster, endpoint, node.name if node else "").pull(image)
    except RefusedError as error:
        said = {"said": error.trouble.message} if error.trouble.message else {}
        code = str(error.trouble.code)
        failed = [
            (row, Verdict(Turn.FAIL, code, said, alive=row.replicas > 1))  # elsewhere some may run
            for row in _waiting(endpoint, image)
        ]
        facts.write(endpoint.cluster_id, failed, timezone.now())
    except RuntimeUnavailable as error:
        breaker.failed(endpoint_id)
        logger.warning(
            "pull interrupted", extra={"endpoint_id": str(endpoint_id), "error": str(error)}
        )
    finally:
        redis_client().delete(key)
        waking.request(endpoint.cluster_id)


def _waiting(endpoint: Endpoint, image: str) -> list[Deployment]:
    """Those that were admitted to its nodes, and do not run for want of the image."""
    nodes = {str(pk) for pk in endpoint.nodes.values_list("pk", flat=True)}
    starting = Deployment.objects.filter(
        cluster=endpoint.cluster_id, status=Status.STARTING, image=image
    )
    return [row for row in starting if nodes & {place["node_id"] for place in row.placement}]


def _key(endpoint_id: UUID, image: str) -> str:
    return f"endpoint:{endpoint_id}:pull:{image}"
