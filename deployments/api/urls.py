"""Below /api/."""

from django.urls import path

from deployments.api.bulk_viewsets import BulkViewSet
from deployments.api.log_viewsets import OutputViewSet
from deployments.api.quota_viewsets import DefaultQuotaViewSet, QuotaViewSet
from deployments.api.viewsets import ClusterDeploymentsViewSet, DeploymentViewSet, EventViewSet

ONE = "deployments/<uuid:deployment_id>"
QUOTAS = "clusters/<uuid:cluster_id>/quotas"

urlpatterns = [
    path("deployments", DeploymentViewSet.as_view({"get": "list", "post": "create"})),
    path("deployments/bulk", BulkViewSet.as_view({"post": "create"})),
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
    path(QUOTAS, QuotaViewSet.as_view({"get": "list"})),
    path(
        f"{QUOTAS}/default",
        DefaultQuotaViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
    ),
    path(
        f"{QUOTAS}/<uuid:user_id>",
        QuotaViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
    ),
]
