"""The calls for an organization's API keys: parse, call one service or query, answer."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.mixins import ListModelMixin
from rest_framework.response import Response

from accounts.api.key_docs import FULL, ONCE, REVOKED
from accounts.api.requests import UserRequest
from accounts.keys.queries import key_named
from accounts.models import ApiKey
from mlops_platform.api.schema import Doc
from organizations import service_accounts
from organizations.api.key_serializers import (
    IssuedKeySerializer,
    NewKeySerializer,
    OrganizationKeySerializer,
)
from organizations.api.permissions import NamedRoleViewSet
from organizations.models import Role

DOCS = {
    "list": Doc("keys", "An organization's API keys (ADMIN)", "Without their secrets."),
    "retrieve": Doc("keys", "One of an organization's API keys (ADMIN), without its secret"),
    "create": Doc(
        "keys",
        "Make an API key of an organization (ADMIN)",
        "It acts as a service account, a member of its own in that role, and stays when you leave. "
        f"{ONCE}",
        answers={201: IssuedKeySerializer, 409: FULL},
    ),
    "destroy": Doc(
        "keys",
        "Revoke an API key of an organization (ADMIN)",
        "Its service account ends with it; what that has submitted goes on.",
        answers=REVOKED,
    ),
}


class OrganizationKeyViewSet(ListModelMixin, NamedRoleViewSet):
    roles = dict.fromkeys(("list", "retrieve", "create", "destroy"), Role.ADMIN)
    bodies = {"create": NewKeySerializer}
    docs = DOCS
    key_scopes = dict.fromkeys(roles)
    serializer_class = OrganizationKeySerializer
    queryset = ApiKey.objects.none()
    lookup_url_kwarg = "key_name"
    lookup_value_converter = "str"

    def get_queryset(self) -> QuerySet[ApiKey]:
        """404 for a stranger, 403 for a lower role. One query."""
        self.check_role(self.kwargs["organization_id"])
        return service_accounts.keys_of(self.kwargs["organization_id"])

    def retrieve(self, request: UserRequest, organization_id: UUID, key_name: str) -> Response:
        return Response(OrganizationKeySerializer(key_named(self.get_queryset(), key_name)).data)

    def create(self, request: UserRequest, organization_id: UUID) -> Response:
        body: dict[str, Any] = self.body()
        issued = service_accounts.create_key(request.user, organization_id, **body)
        key = self.get_queryset().get(pk=issued.key.pk)
        return Response({**OrganizationKeySerializer(key).data, "key": issued.token}, status=201)

    def destroy(self, request: UserRequest, organization_id: UUID, key_name: str) -> Response:
        service_accounts.revoke_key(request.user, organization_id, key_name)
        return Response(status=204)
