"""The calls for a user's own API keys: parse, call one service or query, answer."""

from django.db.models import QuerySet
from rest_framework.mixins import ListModelMixin
from rest_framework.response import Response

from accounts.api import key_docs
from accounts.api.key_serializers import NewOwnKeySerializer, OwnKeySerializer, shown_once
from accounts.api.requests import UserRequest
from accounts.keys import queries, services
from accounts.models import ApiKey
from mlops_platform.api.scopes import KeyScope
from mlops_platform.api.viewsets import ApiViewSet


class OwnKeyViewSet(ListModelMixin, ApiViewSet):
    bodies = {"create": NewOwnKeySerializer}
    docs = key_docs.OF_USERS
    key_scopes = dict.fromkeys(("list", "retrieve", "create", "destroy"))
    serializer_class = OwnKeySerializer
    queryset = ApiKey.objects.none()
    lookup_url_kwarg = "own_key_name"
    lookup_value_converter = "str"
    request: UserRequest

    def get_queryset(self) -> QuerySet[ApiKey]:
        return queries.keys_of(self.request.user)

    def retrieve(self, request: UserRequest, own_key_name: str) -> Response:
        return Response(OwnKeySerializer(queries.key_named(self.get_queryset(), own_key_name)).data)

    def create(self, request: UserRequest) -> Response:
        body = self.body()
        scope = KeyScope(body.pop("scope"))
        issued = services.create_key(request.user, scope=scope, **body)
        return Response(shown_once(OwnKeySerializer, *issued), status=201)

    def destroy(self, request: UserRequest, own_key_name: str) -> Response:
        services.revoke_key(request.user, self.get_queryset(), own_key_name)
        return Response(status=204)
