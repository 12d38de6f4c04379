"""Notes of which images are wanted ahead at an endpoint, and of which not for a while.

They are in Redis, so that the workers of all machines share them. A note ends by itself unless the
next pass renews it, and the pull with it; what Redis loses is noted again.
"""

import json
from collections.abc import Collection
from uuid import UUID

from clusters.models import Endpoint
from deployments.lifecycle import timeline
from deployments.models import Deployment, EventType, Status
from deployments.reasons.codes import IMAGE_PULLED_AHEAD
from mlops_platform.coordination.redis import redis_client

LIKELY_S = 60  # a note lasts for four passes
PAUSE_S = 600  # after a failure, and after a pull that took too long


def want(endpoint_id: UUID, image: str, deployment_ids: Collection[str]) -> bool:
    """Note that these deployments will likely start from the image there; False where its pull has
    failed of late."""
    if redis_client().exists(_pause_key(endpoint_id, image)):
        return False
    redis_client().set(_key(endpoint_id, image), json.dumps(list(deployment_ids)), ex=LIKELY_S)
    return True


def is_wanted(endpoint_id: UUID, image: str) -> bool:
    return bool(redis_client().exists(_key(endpoint_id, image)))


def leave(endpoint_id: UUID, image: str) -> None:
    """Its pull has failed: the image is not wanted there for a while."""
    redis_client().delete(_key(endpoint_id, image))
    redis_client().set(_pause_key(endpoint_id, image), "1", ex=PAUSE_S)


def pulled(endpoint: Endpoint, image: str) -> None:
    """The image is there: say so in the timelines of those that wait for a start. Three queries."""
    noted = redis_client().getdel(_key(endpoint.pk, image))
    if noted is None:  # it was for a start
        return
    node = endpoint.nodes.values_list("name", flat=True).first()
    waiting = Deployment.objects.filter(pk__in=json.loads(noted), status=Status.QUEUED)
    details = {"code": IMAGE_PULLED_AHEAD, "node": node or ""}
    lines = [(pk, details) for pk in waiting.values_list("pk", flat=True)]
    if lines:
        timeline.record_all(lines, EventType.NOTICE, at=None)


def _key(endpoint_id: UUID, image: str) -> str:
    return f"endpoint:{endpoint_id}:ahead:{image}"


def _pause_key(endpoint_id: UUID, image: str) -> str:
    return f"endpoint:{endpoint_id}:ahead-pause:{image}"
