"""Below /api/."""

from django.urls import path

from clusters.views import ClusterViewSet

urlpatterns = [
    path("clusters", ClusterViewSet.as_view({"get": "list", "post": "create"})),
    path(
        "clusters/<uuid:cluster_id>",
        ClusterViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
]
