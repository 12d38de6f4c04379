"""Which deployments mount a volume."""

from collections.abc import Sequence
from uuid import UUID

from deployments.models import ENDED, Deployment
from deployments.queries.names import called

MOST_NAMED = 20


def volume_users(cluster_id: UUID, name: str) -> tuple[int, Sequence[str]]:
    """See clusters.hooks.VolumeUsers. Two queries."""
    using = Deployment.objects.filter(cluster=cluster_id, volumes__contains=[{"name": name}])
    using = using.exclude(status__in=ENDED)
    return using.count(), called(using.order_by("id")[:MOST_NAMED])
