"""How many answers about what would happen are made at once."""

from clusters.models import Cluster
from mlops_platform.api.throttling.concurrency import Share


def shares_of(cluster: Cluster) -> list[Share]:
    """Of the explanations, quotes and dry runs that are answered at once: this cluster's, and this
    organization's."""
    return [
        Share(f"what-if:cluster:{cluster.pk}", running=1, waiting=2),
        Share(f"what-if:organization:{cluster.organization_id}", running=2, waiting=4),
    ]
