"""Resources below /deployments/{deployment_id}, in whichever app they are."""

from deployments.models import Deployment
from deployments.queries.deployments import deployment_for
from organizations.api.permissions import RoleViewSet


class DeploymentChildViewSet(RoleViewSet):
    finds_own_rows = True
    lookup_url_kwarg = "deployment_id"

    def get_deployment(self) -> Deployment:
        """The path's deployment, where the caller's role allows the action; else 404 or 403.

        One query, and one more for a role above VIEWER.
        """
        deployment = deployment_for(self.request.user, self.kwargs["deployment_id"])
        self.check_role(deployment.cluster.organization_id)
        return deployment
