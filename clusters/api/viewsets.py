"""The cluster, node and registry calls: parse, call one service or query, answer."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.response import Response

from accounts.api.requests import UserRequest
from clusters import queries
from clusters.api import docs
from clusters.api.drain_serializers import DrainSerializer
from clusters.api.filters import ClusterFilterSet
from clusters.api.nested import ClusterChildViewSet
from clusters.api.node_serializers import (
    ChangeNodeSerializer,
    NewNodeSerializer,
    NodeInDetailSerializer,
    NodeSerializer,
)
from clusters.api.registry_serializers import NewRegistrySerializer, RegistrySerializer
from clusters.api.serializers import (
    ChangeClusterSerializer,
    ClusterSerializer,
    NewClusterSerializer,
)
from clusters.models import Cluster, Node, Registry
from clusters.services import attach, deletion, drains, nodes, registries
from mlops_platform.api.requests import flag_of
from mlops_platform.api.routers import ID_OR_NAME
from mlops_platform.api.serializers import EmptySerializer
from organizations.models import Role
from organizations.names import organization_given


class ClusterViewSet(ListModelMixin, RetrieveModelMixin, ClusterChildViewSet):
    roles = {
        "list": None,
        "create": Role.ADMIN,
        "retrieve": Role.VIEWER,
        "partial_update": Role.ADMIN,
        "destroy": Role.ADMIN,
    }
    bodies = {"create": NewClusterSerializer, "partial_update": ChangeClusterSerializer}
    docs = docs.CLUSTERS
    serializer_class = ClusterSerializer
    filterset_class = ClusterFilterSet
    queryset = Cluster.objects.none()
    lookup_url_kwarg = "cluster_id"
    lookup_value_converter = ID_OR_NAME

    def get_queryset(self) -> QuerySet[Cluster]:
        return queries.clusters_visible_to(self.request.user)

    def paginate_queryset(self, queryset: Any) -> Any:
        page = super().paginate_queryset(queryset)
        queries.attach_api_servers(page or [])
        queries.attach_closed(page or [])
        return page

    def get_object(self) -> Cluster:
        return self.get_cluster()

    def create(self, request: UserRequest) -> Response:
        body = self.body()
        organization_id = organization_given(request.user, body.pop("organization_id"))
        cluster = attach.create_cluster(request.user, organization_id, body)
        return Response(ClusterSerializer(cluster).data, status=201)

    def partial_update(self, request: UserRequest, **path: Any) -> Response:
        cluster = self.get_cluster()
        changed = attach.change_cluster(cluster, self.body(), by=request.user.username)
        changed.organization = cluster.organization
        return Response(ClusterSerializer(changed).data)

    def destroy(self, request: UserRequest, **path: Any) -> Response:
        cluster = self.get_cluster()
        closing = deletion.delete_cluster(cluster, force=flag_of(request, "force"))
        if closing is None:
            return Response(status=204)
        closing.organization = cluster.organization
        return Response(ClusterSerializer(closing).data, status=202)


class NodeViewSet(ListModelMixin, RetrieveModelMixin, ClusterChildViewSet):
    roles = {
        "list": Role.VIEWER,
        "create": Role.ADMIN,
        "retrieve": Role.VIEWER,
        "partial_update": Role.ADMIN,
        "destroy": Role.ADMIN,
        "cordon": Role.ADMIN,
        "uncordon": Role.ADMIN,
        "drain": Role.ADMIN,
    }
    bodies = {
        "create": NewNodeSerializer,
        "partial_update": ChangeNodeSerializer,
        "cordon": EmptySerializer,
        "uncordon": EmptySerializer,
        "drain": DrainSerializer,
    }
    docs = docs.NODES
    serializer_class = NodeSerializer
    queryset = Node.objects.none()
    lookup_url_kwarg = "node_id"
    lookup_value_converter = ID_OR_NAME

    def get_queryset(self) -> QuerySet[Node]:
        nodes = queries.nodes_in(self.get_cluster())
        return nodes.select_related("images") if self.action == "retrieve" else nodes

    def get_serializer_class(self) -> type[NodeSerializer]:
        return NodeInDetailSerializer if self.action == "retrieve" else NodeSerializer

    def create(self, request: UserRequest, **path: Any) -> Response:
        node = attach.add_node(self.get_cluster(), self.body())
        return Response(NodeSerializer(node).data, status=201)

    def partial_update(self, request: UserRequest, **path: Any) -> Response:
        node, drain = self.get_object(), flag_of(request, "drain")
        changed = attach.change_node(node, self.body(), drain=drain)
        return _shown(changed, node.cluster)

    def destroy(self, request: UserRequest, **path: Any) -> Response:
        node = self.get_object()
        leaving = attach.delete_node(node, drain=flag_of(request, "drain"))
        if leaving is None:
            return Response(status=204)
        return _shown(leaving, node.cluster, 202)

    @action(detail=True, methods=["post"])
    def cordon(self, request: UserRequest, **path: Any) -> Response:
        return self._set(nodes.cordon)

    @action(detail=True, methods=["post"])
    def uncordon(self, request: UserRequest, **path: Any) -> Response:
        return self._set(nodes.uncordon)

    @action(detail=True, methods=["post"])
    def drain(self, request: UserRequest, **path: Any) -> Response:
        node, order = self.get_object(), self.body()
        drained, effect = drains.drain(node, by=request.user.username, **order)
        drained.cluster = node.cluster
        shown = NodeSerializer(drained).data
        return Response({**shown, "dry_run": order["dry_run"], "effect": effect})

    def _set(self, change: Callable[[Node], Node]) -> Response:
        node = self.get_object()
        self.body()  # an empty one
        return _shown(change(node), node.cluster)


def _shown(node: Node, cluster: Cluster, status: int = 200) -> Response:
    """A row that was read anew, which knows its cluster by its id alone."""
    node.cluster = cluster
    return Response(NodeSerializer(node).data, status=status)


class RegistryViewSet(ListModelMixin, ClusterChildViewSet):
    roles = {"list": Role.ADMIN, "create": Role.ADMIN, "destroy": Role.ADMIN}
    bodies = {"create": NewRegistrySerializer}
    docs = docs.REGISTRIES
    serializer_class = RegistrySerializer
    queryset = Registry.objects.none()
    lookup_url_kwarg = "registry_id"

    def get_queryset(self) -> QuerySet[Registry]:
        return queries.registries_in(self.get_cluster())

    def create(self, request: UserRequest, **path: Any) -> Response:
        registry = registries.put_registry(self.get_cluster(), **self.body())
        return Response(RegistrySerializer(registry).data, status=201)

    def destroy(self, request: UserRequest, **path: Any) -> Response:
        registries.delete_registry(self.get_object())
        return Response(status=204)
