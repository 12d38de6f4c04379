"""The calls for invitations: parse, call one service or query, answer."""

from uuid import UUID

from django.db.models import QuerySet
from rest_framework.mixins import ListModelMixin
from rest_framework.response import Response

from accounts.api.requests import UserRequest
from mlops_platform.api.schema import Doc, error
from mlops_platform.api.throttling.throttles import InviteThrottle, RateThrottle
from organizations.api.invitation_serializers import (
    InvitationSerializer,
    IssuedInvitationSerializer,
    NewInvitationSerializer,
    shown_once,
)
from organizations.api.permissions import NamedRoleViewSet
from organizations.invitations import queries, services
from organizations.models import Invitation, Role

FULL = error(
    "As many as allowed",
    "too_many_invitations",
    "An organization may have 100 open invitations.",
)
DOCS = {
    "list": Doc(
        "organizations",
        "An organization's invitations (ADMIN)",
        "The newest first, without their tokens; ended ones are kept for 90 days.",
    ),
    "retrieve": Doc("organizations", "One of an organization's invitations (ADMIN)"),
    "create": Doc(
        "organizations",
        "Invite users by a link (ADMIN)",
        "The token is an invite code for joining and registering, shown once and kept as a digest. "
        "With an e-mail address, and where the platform sends mail, the mail alone contains it.",
        answers={201: IssuedInvitationSerializer, 409: FULL},
    ),
    "destroy": Doc(
        "organizations",
        "Revoke an invitation (ADMIN)",
        "Members who came by it stay members.",
        answers={204: "Revoked"},
    ),
}


class InvitationViewSet(ListModelMixin, NamedRoleViewSet):
    roles = dict.fromkeys(("list", "retrieve", "create", "destroy"), Role.ADMIN)
    bodies = {"create": NewInvitationSerializer}
    docs = DOCS
    key_scopes = dict.fromkeys(roles)
    serializer_class = InvitationSerializer
    queryset = Invitation.objects.none()
    lookup_url_kwarg = "invitation_id"

    def get_throttles(self) -> list[RateThrottle]:  # type: ignore[override]  # DRF's are of ours
        return [InviteThrottle()] if self.action == "create" else []

    def get_queryset(self) -> QuerySet[Invitation]:
        """404 for a stranger, 403 for a lower role. Three queries."""
        self.check_role(self.kwargs["organization_id"])
        return queries.invitations_of(self.kwargs["organization_id"])

    def retrieve(
        self, request: UserRequest, organization_id: UUID, invitation_id: UUID
    ) -> Response:
        return Response(InvitationSerializer(self.get_object()).data)

    def create(self, request: UserRequest, organization_id: UUID) -> Response:
        issued = services.invite(request.user, organization_id, **self.body())
        host = f"{request.scheme}://{request.get_host()}"
        row = queries.invitations_of(organization_id).get(pk=issued.invitation.pk)
        return Response(shown_once(issued, row, host), status=201)

    def destroy(self, request: UserRequest, organization_id: UUID, invitation_id: UUID) -> Response:
        services.revoke(request.user, organization_id, invitation_id)
        return Response(status=204)
