"""Below /api/."""

from django.urls import path

from clusters.api.node_viewsets import NodeViewSet
from clusters.api.registry_viewsets import RegistryViewSet
from clusters.api.viewsets import ClusterViewSet

NODE = "clusters/<uuid:cluster_id>/nodes/<uuid:node_id>"

urlpatterns = [
    path("clusters", ClusterViewSet.as_view({"get": "list", "post": "create"})),
    path(
        "clusters/<uuid:cluster_id>",
        ClusterViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path(
        "clusters/<uuid:cluster_id>/nodes",
        NodeViewSet.as_view({"get": "list", "post": "create"}),
    ),
    path(
        "clusters/<uuid:cluster_id>/registries",
        RegistryViewSet.as_view({"get": "list", "post": "create"}),
    ),
    path(
        "clusters/<uuid:cluster_id>/registries/<uuid:registry_id>",
        RegistryViewSet.as_view({"delete": "destroy"}),
    ),
    path(
        NODE,
        NodeViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path(f"{NODE}/cordon", NodeViewSet.as_view({"post": "cordon"})),
    path(f"{NODE}/uncordon", NodeViewSet.as_view({"post": "uncordon"})),
    path(f"{NODE}/drain", NodeViewSet.as_view({"post": "drain"})),
]
