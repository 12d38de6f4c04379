"""Resources below /clusters/{cluster_id}, in whichever app they are."""

from uuid import UUID

from clusters import queries
from clusters.models import Cluster, Node, Volume
from clusters.names import cluster_named, named_in
from organizations.api.permissions import NamedRoleViewSet

IN_CLUSTERS = {"node_id": Node, "volume_id": Volume}


class ClusterChildViewSet(NamedRoleViewSet):
    named_parts = {
        **NamedRoleViewSet.named_parts,
        "cluster_id": "a cluster",
        "node_id": "a node",
        "volume_id": "a volume",
    }

    def id_of(self, part: str, name: str) -> UUID:
        if part == "cluster_id":
            return cluster_named(self.request.user, name)
        if part in IN_CLUSTERS:
            return named_in(self.kwargs["cluster_id"], IN_CLUSTERS[part], name)
        return super().id_of(part, name)

    def get_cluster(self) -> Cluster:
        """The path's cluster, where the caller's role allows the action; else 404 or 403.

        Two queries.
        """
        cluster = queries.cluster_by_id(self.kwargs["cluster_id"])
        self.check_role(cluster.organization_id)
        return cluster
