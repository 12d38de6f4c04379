"""Below /api/."""

from django.urls import path

from scheduler import views

urlpatterns = [
    path("clusters/<uuid:cluster_id>/status", views.ClusterStatusView.as_view({"get": "retrieve"})),
    path("clusters/<uuid:cluster_id>/queue", views.QueueView.as_view({"get": "list"})),
    path("clusters/<uuid:cluster_id>/cycles", views.CycleViewSet.as_view({"get": "list"})),
    path("deployments/quote", views.QuoteView.as_view({"post": "create"})),
    path(
        "deployments/<uuid:deployment_id>/explain", views.ExplainView.as_view({"get": "retrieve"})
    ),
    path("cycles/<uuid:cycle_id>", views.CycleViewSet.as_view({"get": "retrieve"})),
]
