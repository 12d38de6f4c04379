"""Below /api/."""

from django.urls import path

from scheduler.api import viewsets

urlpatterns = [
    path(
        "clusters/<uuid:cluster_id>/status", viewsets.ClusterStatusView.as_view({"get": "retrieve"})
    ),
    path("clusters/<uuid:cluster_id>/queue", viewsets.QueueView.as_view({"get": "list"})),
    path("clusters/<uuid:cluster_id>/cycles", viewsets.CycleViewSet.as_view({"get": "list"})),
    path("deployments/quote", viewsets.QuoteView.as_view({"post": "create"})),
    path(
        "deployments/<uuid:deployment_id>/explain",
        viewsets.ExplainView.as_view({"get": "retrieve"}),
    ),
    path("cycles/<uuid:cycle_id>", viewsets.CycleViewSet.as_view({"get": "retrieve"})),
]
