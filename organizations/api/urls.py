"""Below /api/."""

from mlops_platform.api.routers import ApiRouter
from organizations.api import invitation_viewsets, key_viewsets, secret_viewsets, viewsets

IN_ORGANIZATION = "orgs/<id_or_name:organization_id>"

router = ApiRouter()
router.register("orgs/all", viewsets.AllOrganizationsViewSet, "all-organizations")
router.register("orgs/my", viewsets.OwnOrganizationsViewSet, "own-organizations")
# After those, whose paths look like an organization's name.
router.register("orgs", viewsets.OrganizationViewSet, "organization")
router.register(f"{IN_ORGANIZATION}/members", viewsets.MemberViewSet, "member")
router.register(f"{IN_ORGANIZATION}/bans", viewsets.BanViewSet, "ban")
router.register(
    f"{IN_ORGANIZATION}/invitations", invitation_viewsets.InvitationViewSet, "invitation"
)
router.register(f"{IN_ORGANIZATION}/keys", key_viewsets.OrganizationKeyViewSet, "organization-key")
router.register(f"{IN_ORGANIZATION}/secrets", secret_viewsets.SecretViewSet, "secret")
router.register("users/me/secrets", secret_viewsets.OwnSecretViewSet, "own-secret")
