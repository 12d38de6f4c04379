"""The events of an organization's feed, whatever they have happened to."""

from collections.abc import Mapping
from typing import Any

from drf_yasg.utils import swagger_serializer_method
from rest_framework import serializers

from deployments.api.event_serializers import EventSerializer
from deployments.api.feed.parameters import TARGET_TYPES, TYPES
from deployments.api.representation import EXAMPLE
from deployments.feed.pages import FeedEvent, position_of_row
from deployments.feed.window import CLUSTER, DEPLOYMENT
from deployments.models import DeploymentEvent, EventType
from mlops_platform.api.answers.commit_order import cursor_of
from organizations.events.models import ActorKind
from organizations.models import OrganizationEvent


class TargetSerializer(serializers.Serializer):
    type = serializers.ChoiceField(TARGET_TYPES)
    id = serializers.CharField(allow_null=True)
    name = serializers.CharField(allow_null=True, help_text="Null of a deployment that is gone.")


class FeedEventSerializer(EventSerializer):
    """Needs `seen`, the horizon, `named`, what deployments' events name, and `clusters`, the names
    of clusters, in its context."""

    cursor = serializers.SerializerMethodField(
        help_text="Go on after this event: give it as `since`."
    )
    type = serializers.ChoiceField(TYPES)
    actor_kind = serializers.SerializerMethodField(
        help_text="`user`, `key` (an API key), `operator` (in the admin), `cycle` (the scheduler) "
        "or `platform`."
    )
    api_key = serializers.SerializerMethodField(help_text="The name of the key that was used.")
    request_id = serializers.CharField(
        allow_null=True, help_text="The `X-Request-ID` of the request that caused it."
    )
    target = serializers.SerializerMethodField(help_text="What it has happened to.")
    before = serializers.SerializerMethodField(
        help_text="What has changed, as it was. Null of deployments, whose `details` say it."
    )
    after = serializers.SerializerMethodField(
        help_text="The same as it is now; `replaced` in the place of what no event shows."
    )
    deployment_id = serializers.SerializerMethodField(
        help_text="Null where it is of no single deployment."
    )
    name = serializers.SerializerMethodField(
        help_text="The deployment's; null where it is of no single one."
    )
    owner = serializers.SerializerMethodField(help_text="The name of the deployment's owner.")
    cluster_id = serializers.UUIDField(allow_null=True, help_text="Null where it is of no cluster.")
    cluster = serializers.SerializerMethodField(help_text="Its name, also where it is gone.")

    class Meta:
        swagger_schema_fields: Mapping[str, Any] = {
            "example": {
                "cursor": "WyI2YjFkM2M5ZTJmMDQiLDkwNDIsNTEsMTc3MjM1NTYwMDAwMF0",
                "deployment_id": EXAMPLE["id"],
                "name": EXAMPLE["name"],
                "owner": EXAMPLE["owner"],
                "cluster_id": EXAMPLE["cluster_id"],
                "cluster": EXAMPLE["cluster"],
                **EventSerializer.Meta.swagger_schema_fields["example"],
                "actor_kind": "user",
                "api_key": None,
                "request_id": "5f0c3a3e9b0f4a0d8a4b6f1f6f0f2d11",
                "target": {
                    "type": "deployment",
                    "id": EXAMPLE["id"],
                    "name": EXAMPLE["name"],
                },
                "before": None,
                "after": None,
            }
        }

    @swagger_serializer_method(serializers.CharField())
    def get_cursor(self, event: FeedEvent) -> str:
        return cursor_of(position_of_row(event), self.context["seen"], event.at)

    @swagger_serializer_method(serializers.CharField(allow_null=True))
    def get_actor(self, event: FeedEvent) -> str | None:
        return super().get_actor(event) if isinstance(event, DeploymentEvent) else event.actor_name

    @swagger_serializer_method(serializers.ChoiceField(ActorKind.values))
    def get_actor_kind(self, event: FeedEvent) -> str:
        """Those of deployments say it of operators alone."""
        if event.actor_kind is not None:
            return event.actor_kind
        if event.actor_id is not None or event.actor_name is not None:
            return ActorKind.KEY if self.get_api_key(event) else ActorKind.USER
        return ActorKind.PLATFORM if event.cycle_id is None else ActorKind.CYCLE

    @swagger_serializer_method(serializers.CharField(allow_null=True))
    def get_api_key(self, event: FeedEvent) -> str | None:
        if isinstance(event, OrganizationEvent):
            return event.api_key
        return event.details.get("api_key") if isinstance(event.details, dict) else None

    @swagger_serializer_method(TargetSerializer())
    def get_target(self, event: FeedEvent) -> dict[str, str | None]:
        if isinstance(event, OrganizationEvent):
            return {"type": event.target_type, "id": event.target_id, "name": event.target_name}
        if event.deployment_id is None:
            return {
                "type": CLUSTER,
                "id": str(event.cluster_id),
                "name": self.get_cluster(event),
            }
        return {
            "type": DEPLOYMENT,
            "id": str(event.deployment_id),
            "name": self.get_name(event),
        }

    @swagger_serializer_method(serializers.DictField(allow_null=True))
    def get_before(self, event: FeedEvent) -> dict[str, Any] | None:
        return event.before if isinstance(event, OrganizationEvent) else None

    @swagger_serializer_method(serializers.DictField(allow_null=True))
    def get_after(self, event: FeedEvent) -> dict[str, Any] | None:
        return event.after if isinstance(event, OrganizationEvent) else None

    @swagger_serializer_method(serializers.DictField())
    def get_details(self, event: FeedEvent) -> dict[str, Any]:
        """Of the deletion of a cluster its name, as earlier versions have it."""
        if isinstance(event, DeploymentEvent):
            return super().get_details(event)
        return {"name": event.target_name} if event.type == EventType.CLUSTER_DELETED else {}

    @swagger_serializer_method(serializers.UUIDField(allow_null=True))
    def get_deployment_id(self, event: FeedEvent) -> str | None:
        if isinstance(event, OrganizationEvent) or event.deployment_id is None:
            return None
        return str(event.deployment_id)

    @swagger_serializer_method(serializers.CharField(allow_null=True))
    def get_name(self, event: FeedEvent) -> str | None:
        found = self.context["named"].names.get(self.get_deployment_id(event))
        return found.name if found else None

    @swagger_serializer_method(serializers.CharField(allow_null=True))
    def get_owner(self, event: FeedEvent) -> str | None:
        found = self.context["named"].names.get(self.get_deployment_id(event))
        return found.owner if found else None

    @swagger_serializer_method(serializers.CharField(allow_null=True))
    def get_cluster(self, event: FeedEvent) -> str | None:
        if isinstance(event, OrganizationEvent):
            is_cluster = event.target_type == CLUSTER
            return (
                event.target_name if is_cluster else self.context["clusters"].get(event.cluster_id)
            )
        found: str | None = self.context["named"].clusters.get(str(event.deployment_id))
        if found is None and event.deployment_id is None and isinstance(event.details, dict):
            found = event.details.get("name")
        return found
