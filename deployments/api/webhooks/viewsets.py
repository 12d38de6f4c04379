"""The calls for webhooks: parse, call one service or query, answer."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.response import Response

from accounts.api.requests import UserRequest
from deployments.api.webhooks import docs
from deployments.api.webhooks.serializers import (
    ChangedWebhookSerializer,
    DeliverySerializer,
    NewWebhookSerializer,
    WebhookSerializer,
)
from deployments.subscriptions import Webhook, WebhookDelivery
from deployments.webhooks import services
from mlops_platform.api.errors import not_found
from mlops_platform.api.serializers import EmptySerializer
from organizations.api.permissions import NamedRoleViewSet
from organizations.models import Role


class WebhookViewSet(ListModelMixin, NamedRoleViewSet):
    roles = dict.fromkeys(
        ("list", "retrieve", "create", "partial_update", "destroy", "test"), Role.ADMIN
    )
    bodies = {
        "create": NewWebhookSerializer,
        "partial_update": ChangedWebhookSerializer,
        "test": EmptySerializer,
    }
    docs = docs.WEBHOOKS
    serializer_class = WebhookSerializer
    queryset = Webhook.objects.none()
    lookup_url_kwarg = "webhook_id"

    def get_queryset(self) -> QuerySet[Webhook]:
        """404 for a stranger, 403 for a lower role. One query."""
        self.check_role(self.kwargs["organization_id"])
        found = Webhook.objects.filter(organization=self.kwargs["organization_id"])
        return found.select_related("created_by").order_by("-pk")

    def retrieve(self, request: UserRequest, **_: Any) -> Response:
        return Response(WebhookSerializer(self.get_object()).data)

    def create(self, request: UserRequest, organization_id: UUID) -> Response:
        self.check_role(organization_id)
        added = services.add_webhook(request.user, organization_id, **self.body())
        shown = WebhookSerializer(added.webhook).data
        return Response({**shown, "secret": added.secret}, status=201)

    def partial_update(self, request: UserRequest, **_: Any) -> Response:
        webhook = self.get_object()
        changed = services.change_webhook(webhook, self.body())
        return Response(WebhookSerializer(changed).data)

    def destroy(self, request: UserRequest, **_: Any) -> Response:
        services.delete_webhook(self.get_object())
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def test(self, request: UserRequest, **_: Any) -> Response:
        webhook = self.get_object()
        self.body()  # an empty one
        delivery = services.ping(request.user, webhook)
        return Response(DeliverySerializer(delivery).data, status=201)


class DeliveryViewSet(ListModelMixin, NamedRoleViewSet):
    roles = dict.fromkeys(("list", "retrieve", "resend"), Role.ADMIN)
    bodies = {"resend": EmptySerializer}
    docs = docs.DELIVERIES
    serializer_class = DeliverySerializer
    queryset = WebhookDelivery.objects.none()
    lookup_url_kwarg = "delivery_id"

    def get_webhook(self) -> Webhook:
        """404 for a stranger, and where there is none; 403 for a lower role. Two queries."""
        self.check_role(self.kwargs["organization_id"])
        own = Webhook.objects.filter(organization=self.kwargs["organization_id"])
        webhook = own.filter(pk=self.kwargs["webhook_id"]).first()
        if webhook is None:
            raise not_found()
        return webhook

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        return self.get_webhook().deliveries.order_by("-pk")

    def retrieve(self, request: UserRequest, **_: Any) -> Response:
        return Response(DeliverySerializer(self.get_object()).data)

    @action(detail=True, methods=["post"])
    def resend(self, request: UserRequest, **_: Any) -> Response:
        webhook, delivery = self.get_webhook(), self.get_object()
        self.body()  # an empty one
        return Response(DeliverySerializer(services.send_again(webhook, delivery)).data)
