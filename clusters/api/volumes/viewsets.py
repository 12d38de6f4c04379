"""The volume calls: parse, call one service or query, answer."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.response import Response

from accounts.api.requests import UserRequest
from clusters import queries
from clusters.api.nested import ClusterChildViewSet
from clusters.api.volumes import docs
from clusters.api.volumes.serializers import (
    ChangeVolumeSerializer,
    NewVolumeSerializer,
    VolumeSerializer,
    refuse_source,
)
from clusters.models import Volume
from clusters.services import volumes
from mlops_platform.api.routers import ID_OR_NAME
from organizations.models import Role


class VolumeViewSet(ListModelMixin, RetrieveModelMixin, ClusterChildViewSet):
    roles = {
        "list": Role.VIEWER,
        "create": Role.ADMIN,
        "retrieve": Role.VIEWER,
        "partial_update": Role.ADMIN,
        "destroy": Role.ADMIN,
    }
    bodies = {"create": NewVolumeSerializer, "partial_update": ChangeVolumeSerializer}
    docs = docs.VOLUMES
    serializer_class = VolumeSerializer
    queryset = Volume.objects.none()
    lookup_url_kwarg = "volume_id"
    lookup_value_converter = ID_OR_NAME

    def get_queryset(self) -> QuerySet[Volume]:
        return queries.volumes_in(self.get_cluster())

    def create(self, request: UserRequest, **path: Any) -> Response:
        volume = volumes.add_volume(self.get_cluster(), self.body())
        return Response(VolumeSerializer(volume).data, status=201)

    def partial_update(self, request: UserRequest, **path: Any) -> Response:
        volume, body = self.get_object(), self.body()
        if "source" in body:
            refuse_source(volume.kind, body["source"])
        return Response(VolumeSerializer(volumes.change_volume(volume, body)).data)

    def destroy(self, request: UserRequest, **path: Any) -> Response:
        volumes.delete_volume(self.get_object())
        return Response(status=204)
