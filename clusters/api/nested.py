"""Resources below /clusters/{cluster_id}, in whichever app they are."""

from clusters import queries
from clusters.models import Cluster
from organizations.api.permissions import RoleViewSet


class ClusterChildViewSet(RoleViewSet):
    def get_cluster(self) -> Cluster:
        """The path's cluster, where the caller's role allows the action; else 404 or 403.

        Two queries.
        """
        cluster = queries.cluster_by_id(self.kwargs["cluster_id"])
        self.check_role(cluster.organization_id)
        return cluster
