"""The organization calls: parse, call one service or query, answer."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.response import Response

from accounts.api.requests import UserRequest
from mlops_platform.api.requests import flag_of
from mlops_platform.api.routers import ID_OR_NAME
from mlops_platform.api.serializers import EmptySerializer
from mlops_platform.api.throttling.throttles import JoinThrottle
from organizations import codes, deletion, queries, services
from organizations.api import docs
from organizations.api.permissions import NamedRoleViewSet, RoleViewSet
from organizations.api.serializers import (
    BanSerializer,
    ChangeRoleSerializer,
    CodeSerializer,
    CreatedOrganizationSerializer,
    JoinedSerializer,
    JoinSerializer,
    MemberSerializer,
    NewCodeSerializer,
    NewOrganizationSerializer,
    OrganizationSerializer,
    OwnOrganizationSerializer,
)
from organizations.models import Ban, Membership, Organization, Role


class OrganizationViewSet(NamedRoleViewSet):
    roles = {
        "found": None,
        "join": None,
        "invite_codes": Role.ADMIN,
        "retrieve": Role.VIEWER,
        "partial_update": Role.ADMIN,
        "destroy": Role.ADMIN,
        "leave": Role.VIEWER,
    }
    key_scopes = dict.fromkeys(("found", "join", "invite_codes", "destroy", "leave"))
    bodies = {
        "found": NewOrganizationSerializer,
        "join": JoinSerializer,
        "invite_codes": NewCodeSerializer,
        "partial_update": NewOrganizationSerializer,
        "leave": EmptySerializer,
    }
    docs = docs.ORGANIZATIONS
    serializer_class = OwnOrganizationSerializer
    queryset = Organization.objects.none()
    lookup_url_kwarg = "organization_id"
    lookup_value_converter = ID_OR_NAME

    @action(detail=False, methods=["post"], url_path="create")
    def found(self, request: UserRequest) -> Response:
        organization = services.create_organization(request.user, **self.body())
        return Response(CreatedOrganizationSerializer(organization).data, status=201)

    @action(detail=False, methods=["post"], throttle_classes=[JoinThrottle])
    def join(self, request: UserRequest) -> Response:
        membership = services.join(request.user, self.body()["invite_code"])
        return Response(JoinedSerializer(membership).data)

    @action(detail=True, methods=["post"], url_path="invite-codes")
    def invite_codes(self, request: UserRequest, organization_id: UUID) -> Response:
        code = codes.rotate_code(request.user, organization_id, **self.body())
        return Response(CodeSerializer(code).data, status=201)

    def retrieve(self, request: UserRequest, organization_id: UUID) -> Response:
        membership = queries.own_membership(request.user, organization_id)
        return Response(self.get_serializer(membership).data)

    def partial_update(self, request: UserRequest, organization_id: UUID) -> Response:
        services.rename_organization(request.user, organization_id, **self.body())
        return self.retrieve(request, organization_id)

    def destroy(self, request: UserRequest, organization_id: UUID) -> Response:
        force = flag_of(request, "force")
        deletion.delete_own_organization(request.user, organization_id, force=force)
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def leave(self, request: UserRequest, organization_id: UUID) -> Response:
        self.body()  # an empty one
        services.remove_member(request.user, organization_id, request.user.pk)
        return Response(status=204)


class AllOrganizationsViewSet(ListModelMixin, RoleViewSet):
    roles = {"list": None}
    docs = docs.ALL_ORGANIZATIONS
    serializer_class = OrganizationSerializer
    queryset = Organization.objects.none()

    def get_queryset(self) -> QuerySet[Organization]:
        return queries.all_organizations()


class OwnOrganizationsViewSet(ListModelMixin, RoleViewSet):
    roles = {"list": None}
    docs = docs.OWN_ORGANIZATIONS
    serializer_class = OwnOrganizationSerializer
    queryset = Membership.objects.none()

    def get_queryset(self) -> QuerySet[Membership]:
        return queries.memberships_of(self.request.user)


class MemberViewSet(ListModelMixin, NamedRoleViewSet):
    roles = {"list": Role.VIEWER, "partial_update": Role.ADMIN, "destroy": Role.ADMIN}
    key_scopes = {"partial_update": None, "destroy": None}
    bodies = {"partial_update": ChangeRoleSerializer}
    docs = docs.MEMBERS
    serializer_class = MemberSerializer
    queryset = Membership.objects.none()
    lookup_url_kwarg = "user_id"
    lookup_value_converter = ID_OR_NAME

    def get_queryset(self) -> QuerySet[Membership]:
        """404 for a stranger. Two queries with the page's."""
        self.check_role(self.kwargs["organization_id"])
        return queries.members_of(self.kwargs["organization_id"])

    def partial_update(self, request: UserRequest, **path: Any) -> Response:
        membership = services.change_role(request.user, **path, **self.body())
        return Response(MemberSerializer(membership).data)

    def destroy(self, request: UserRequest, **path: Any) -> Response:
        services.remove_member(request.user, **path)
        return Response(status=204)


class BanViewSet(ListModelMixin, NamedRoleViewSet):
    roles = {"list": Role.ADMIN, "destroy": Role.ADMIN}
    key_scopes = {"destroy": None}
    docs = docs.BANS
    serializer_class = BanSerializer
    queryset = Ban.objects.none()
    lookup_url_kwarg = "banned_user_id"
    lookup_value_converter = ID_OR_NAME

    def get_queryset(self) -> QuerySet[Ban]:
        self.check_role(self.kwargs["organization_id"])
        return queries.bans_of(self.kwargs["organization_id"])

    def destroy(
        self, request: UserRequest, organization_id: UUID, banned_user_id: UUID
    ) -> Response:
        services.lift_ban(request.user, organization_id, banned_user_id)
        return Response(status=204)
