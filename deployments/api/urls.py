"""Below /api/."""

from deployments.api.feed.viewsets import OrganizationEventViewSet
from deployments.api.house.viewsets import HouseRulesViewSet
from deployments.api.quota_viewsets import QuotaViewSet
from deployments.api.sweeps.viewsets import SweepViewSet
from deployments.api.usage.viewsets import UsageViewSet
from deployments.api.viewsets import ClusterDeploymentsViewSet, DeploymentViewSet, EventViewSet
from deployments.api.webhooks.viewsets import DeliveryViewSet, WebhookViewSet
from mlops_platform.api.routers import ApiRouter

IN_ORGANIZATION = "orgs/<id_or_name:organization_id>"
IN_CLUSTER = "clusters/<id_or_name:cluster_id>"

router = ApiRouter()
router.register("deployments", DeploymentViewSet, "deployment")
router.register("sweeps", SweepViewSet, "sweep")
router.register("deployments/<uuid:deployment_id>/events", EventViewSet, "event")
router.register(
    "orgs/<id_or_name:organization_id>/events", OrganizationEventViewSet, "organization-event"
)
router.register("orgs/<id_or_name:organization_id>", UsageViewSet, "usage")
router.register("orgs/<id_or_name:organization_id>", HouseRulesViewSet, "house-rules")
router.register(f"{IN_ORGANIZATION}/webhooks", WebhookViewSet, "webhook")
router.register(
    f"{IN_ORGANIZATION}/webhooks/<uuid:webhook_id>/deliveries", DeliveryViewSet, "delivery"
)
router.register(f"{IN_CLUSTER}/deployments", ClusterDeploymentsViewSet, "cluster-deployment")
router.register(f"{IN_CLUSTER}/quotas", QuotaViewSet, "quota")
