"""The calls for secrets: parse, call one service or query, answer. None of them shows a value."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.response import Response

from accounts.api.requests import UserRequest
from mlops_platform.api.requests import flag_of
from organizations import hooks
from organizations.api import secret_docs
from organizations.api.permissions import NamedRoleViewSet
from organizations.api.secret_serializers import (
    PutSecretSerializer,
    SecretSerializer,
    SecretUseSerializer,
)
from organizations.models import Role, Secret
from organizations.secrets import owners, queries, services


class SecretViewSet(ListModelMixin, NamedRoleViewSet):
    """The secrets of the organization that the path names."""

    roles = {
        "list": Role.DEVELOPER,
        "retrieve": Role.DEVELOPER,
        "update": Role.ADMIN,
        "destroy": Role.ADMIN,
        "uses": Role.DEVELOPER,
    }
    bodies = {"update": PutSecretSerializer}
    docs = secret_docs.OF_ORGANIZATIONS
    serializer_class = SecretSerializer
    queryset = Secret.objects.none()
    lookup_url_kwarg = "secret_name"
    lookup_value_converter = "str"

    def get_owner(self) -> owners.SecretOwner:
        """404 for a stranger, 403 where the caller's role is too low. One query."""
        organization_id = self.kwargs["organization_id"]
        self.check_role(organization_id)
        return owners.organization(organization_id)

    @property
    def secret_name(self) -> str:
        return str(self.kwargs[self.lookup_url_kwarg])

    def get_queryset(self) -> QuerySet[Secret]:
        return queries.secrets_of(self.get_owner())

    def retrieve(self, request: UserRequest, **path: Any) -> Response:
        return Response(
            SecretSerializer(queries.secret_named(self.get_owner(), self.secret_name)).data
        )

    def update(self, request: UserRequest, **path: Any) -> Response:
        owner = self.get_owner()
        secret, created = services.put_secret(request.user, owner, self.secret_name, **self.body())
        return Response(SecretSerializer(secret).data, status=201 if created else 200)

    def destroy(self, request: UserRequest, **path: Any) -> Response:
        owner, force = self.get_owner(), flag_of(request, "force")
        services.delete_secret(request.user, owner, self.secret_name, force=force)
        return Response(status=204)

    @action(detail=True, serializer_class=SecretUseSerializer)
    def uses(self, request: UserRequest, **path: Any) -> Response:
        page = self.paginate_queryset(queries.uses_of(self.get_owner(), self.secret_name)) or []
        context = {"names": hooks.name_deployments([each.deployment_id for each in page])}
        shown = SecretUseSerializer(page, many=True, context=context)
        return self.get_paginated_response(shown.data)


class OwnSecretViewSet(SecretViewSet):
    """The caller's own secrets, which no other user sees."""

    roles = dict.fromkeys(SecretViewSet.roles, None)
    docs = secret_docs.OF_PERSONS
    lookup_url_kwarg = "own_secret_name"

    def get_owner(self) -> owners.SecretOwner:
        return owners.person(self.request.user.pk)
