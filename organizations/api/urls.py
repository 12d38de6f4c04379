"""Below /api/."""

from mlops_platform.api.routers import ApiRouter
from organizations.api import secret_viewsets, viewsets

router = ApiRouter()
router.register("orgs", viewsets.OrganizationViewSet, "organization")
router.register("orgs/all", viewsets.AllOrganizationsViewSet, "all-organizations")
router.register("orgs/my", viewsets.OwnOrganizationsViewSet, "own-organizations")
router.register("orgs/<uuid:organization_id>/members", viewsets.MemberViewSet, "member")
router.register("orgs/<uuid:organization_id>/bans", viewsets.BanViewSet, "ban")
router.register("orgs/<uuid:organization_id>/secrets", secret_viewsets.SecretViewSet, "secret")
router.register("users/me/secrets", secret_viewsets.OwnSecretViewSet, "own-secret")
