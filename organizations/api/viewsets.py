"""The organization calls: parse, call one service or query, answer."""

from uuid import UUID

from drf_yasg.utils import swagger_auto_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet, ViewSet

from accounts.api.callers import caller
from mlops_platform.api.errors import FAULTY
from mlops_platform.api.requests import body_of, query_of
from mlops_platform.api.schema import error
from organizations import queries, services
from organizations.api.serializers import (
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
from organizations.models import Membership, Organization

LAST_ADMIN = error(
    "The last ADMIN", "last_admin", "An organization needs an ADMIN; appoint another one first."
)


class OrganizationViewSet(ViewSet):
    @swagger_auto_schema(
        operation_summary="Create an organization",
        operation_description="You become its ADMIN. Each code lets others join in its role.",
        tags=["organizations"],
        request_body=NewOrganizationSerializer,
        needs_role=False,
        responses={201: CreatedOrganizationSerializer},
    )
    def create(self, request: Request) -> Response:
        body = body_of(request, NewOrganizationSerializer)
        organization = services.create_organization(caller(request), **body)
        return Response(CreatedOrganizationSerializer(organization).data, status=201)

    @swagger_auto_schema(
        operation_summary="Join an organization with a code",
        tags=["organizations"],
        request_body=JoinSerializer,
        needs_role=False,
        responses={
            200: JoinedSerializer,
            400: error(
                "A code that lets nobody in: unknown or replaced (invalid_invite_code), expired "
                "(expired_invite_code), used up (used_up_invite_code); or a malformed body",
                "expired_invite_code",
                FAULTY,
                invite_code=["This code has expired; ask for a new one."],
            ),
            409: error(
                "A member already",
                "already_a_member",
                "You are a member of this organization already.",
            ),
        },
    )
    def join(self, request: Request) -> Response:
        body = body_of(request, JoinSerializer)
        membership = services.join(caller(request), body["invite_code"])
        return Response(JoinedSerializer(membership).data)


class AllOrganizationsViewSet(GenericViewSet):
    queryset = Organization.objects.none()

    @swagger_auto_schema(
        operation_summary="Every organization's id and name",
        tags=["organizations"],
        responses={200: OrganizationSerializer(many=True)},
    )
    def list(self, request: Request) -> Response:
        query_of(request)
        page = self.paginate_queryset(queries.all_organizations())
        return self.get_paginated_response(OrganizationSerializer(page, many=True).data)


class OwnOrganizationsViewSet(GenericViewSet):
    queryset = Membership.objects.none()

    @swagger_auto_schema(
        operation_summary="Your organizations, with your role",
        operation_description=(
            "The invite codes are shown where you are ADMIN; null where one is expired or used up."
        ),
        tags=["organizations"],
        responses={200: OwnOrganizationSerializer(many=True)},
    )
    def list(self, request: Request) -> Response:
        query_of(request)
        page = self.paginate_queryset(queries.memberships_of(caller(request)))
        return self.get_paginated_response(OwnOrganizationSerializer(page, many=True).data)


class MemberViewSet(GenericViewSet):
    queryset = Membership.objects.none()

    @swagger_auto_schema(
        operation_summary="The members of an organization",
        tags=["organizations"],
        responses={200: MemberSerializer(many=True)},
    )
    def list(self, request: Request, organization_id: UUID) -> Response:
        query_of(request)
        page = self.paginate_queryset(queries.members_of(caller(request), organization_id))
        return self.get_paginated_response(MemberSerializer(page, many=True).data)

    @swagger_auto_schema(
        operation_summary="Change a member's role (ADMIN)",
        tags=["organizations"],
        request_body=ChangeRoleSerializer,
        responses={200: MemberSerializer, 409: LAST_ADMIN},
    )
    def partial_update(self, request: Request, organization_id: UUID, user_id: UUID) -> Response:
        body = body_of(request, ChangeRoleSerializer)
        membership = services.change_role(caller(request), organization_id, user_id, **body)
        return Response(MemberSerializer(membership).data)

    @swagger_auto_schema(
        operation_summary="Remove a member (ADMIN), or leave",
        tags=["organizations"],
        responses={204: "No longer a member", 409: LAST_ADMIN},
    )
    def destroy(self, request: Request, organization_id: UUID, user_id: UUID) -> Response:
        services.remove_member(caller(request), organization_id, user_id)
        return Response(status=204)


class InviteCodeViewSet(ViewSet):
    @swagger_auto_schema(
        operation_summary="Replace a role's invite code (ADMIN)",
        operation_description="The old code lets nobody in from now on; members stay members.",
        tags=["organizations"],
        request_body=NewCodeSerializer,
        responses={201: CodeSerializer},
    )
    def create(self, request: Request, organization_id: UUID) -> Response:
        body = body_of(request, NewCodeSerializer)
        code = services.rotate_code(caller(request), organization_id, **body)
        return Response(CodeSerializer(code).data, status=201)
