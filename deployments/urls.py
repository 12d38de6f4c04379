"""Below /api/."""

from django.urls import path

from deployments.output_views import OutputViewSet
from deployments.views import ClusterDeploymentsViewSet, DeploymentViewSet, EventViewSet

ONE = "deployments/<uuid:deployment_id>"

urlpatterns = [
    path("deployments", DeploymentViewSet.as_view({"get": "list", "post": "create"})),
    path(
        ONE,
        DeploymentViewSet.as_view(
            {
                "get": "retrieve",
                "patch": "partial_update",
                "post": "stop_of_cluster",
                "delete": "destroy",
            }
        ),
    ),
    path(f"{ONE}/stop", DeploymentViewSet.as_view({"post": "stop"})),
    path(f"{ONE}/checkpoint", DeploymentViewSet.as_view({"post": "checkpoint"})),
    path(f"{ONE}/logs", OutputViewSet.as_view({"get": "retrieve"})),
    path(f"{ONE}/events", EventViewSet.as_view({"get": "list"})),
    path(
        "clusters/<uuid:cluster_id>/deployments",
        ClusterDeploymentsViewSet.as_view({"get": "list"}),
    ),
]
